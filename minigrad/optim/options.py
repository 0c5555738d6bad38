"""What a user gives as an option: a plain number, or an error that says what is allowed.

A NumPy scalar, and an array or a Tensor of one element, become the Python number that they hold.
"""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from minigrad.backends import is_array, to_numpy
from minigrad.tensor import ShapeError, Tensor

__all__ = [
    "array_in",
    "at_least_zero",
    "check_implementation",
    "flag",
    "number",
    "plain",
    "quoted",
    "true_or_false",
]


def array_in(value: Any) -> np.ndarray[Any, Any] | None:
    """What a Tensor or an array of any library holds; None where it is neither."""
    array = value._data if isinstance(value, Tensor) else value
    if is_array(array):
        return np.asarray(to_numpy(array) if hasattr(array, "get") else array)
    return np.asarray(array) if hasattr(array, "__array__") else None


def plain(value: Any) -> Any:
    """The element of an array or a Tensor of one, as a Python number; anything else as it is."""
    if type(value) in (float, int, bool):  # as nearly always
        return value
    array = array_in(value)
    return value if array is None or array.size != 1 else array.item()


def quoted(value: Any) -> str:
    """A value for a message: its beginning, and its type; of an array the shape."""
    if value is None:
        return "None"
    kind, shape = type(value).__name__, getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{kind} of shape {tuple(shape)}"
    return f"{reprlib.repr(value)} ({kind})"


def number(
    name: str,
    value: Any,
    least: float | None = None,
    below: float | None = None,
    *,
    finite: bool = True,
) -> float:
    """A real number out of what a user gave.

    Args:
        name: What it is, for the message, such as "lr".
        value: A number, a NumPy scalar, or an array or a Tensor of one element.
        least: The smallest that is allowed; None allows any.
        below: What it must be less than; None allows any.
        finite: Whether infinity and NaN are refused.

    Raises:
        TypeError: It is no number; True and False are none.
        ValueError: It is out of its range, or an array of several elements.
    """
    value = plain(value)
    bounds = [] if least is None else [f"at least {least}"]
    bounds += [] if below is None else [f"below {below}"]
    allowed = " and ".join(bounds)
    wanted = f"a number {allowed}".rstrip()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        got = quoted(value)
        if isinstance(getattr(value, "shape", None), tuple):
            raise ShapeError(f"{name}: expected {wanted}, so exactly one element, got {got}")
        raise TypeError(f"{name}: expected {wanted}, got {got}")
    try:
        real = float(value)
    except OverflowError:
        raise ValueError(f"{name}: {reprlib.repr(value)} is too large for a float") from None
    if not (least is None or real >= least) or not (below is None or real < below):
        raise ValueError(f"{name}: must be {allowed}, got {value}")
    if finite and not math.isfinite(real):
        raise ValueError(f"{name}: must be a finite number, got {value}")
    return value if isinstance(value, int) else real


def flag(name: str, value: Any) -> bool:
    """True or False out of what a user gave, where 1 and 0 stand for them too.

    Raises:
        TypeError: It is neither.
    """
    value = plain(value)
    if not isinstance(value, bool | int) or value not in (0, 1):
        raise TypeError(f"{name}: expected True or False, got {quoted(value)}")
    return bool(value)


def at_least_zero(group: dict[str, Any], *names: str) -> None:
    """Make these options plain numbers; raise where one is negative or not a finite number."""
    for name in names:
        group[name] = number(name, group[name], 0)


def true_or_false(group: dict[str, Any], *names: str) -> None:
    """Make these options True or False; raise where one is neither."""
    for name in names:
        group[name] = flag(name, group[name])


def check_implementation(options: Mapping[str, bool | None]) -> None:
    """Let pass what PyTorch has users say about how to compute, and nothing else."""
    for name, value in options.items():
        if name not in ("foreach", "fused", "capturable", "differentiable"):
            raise TypeError(f"an optimizer has no option {name!r}")
        if name == "differentiable" and value:
            raise ValueError("differentiable=True: steps are not recorded, and have no gradient")
