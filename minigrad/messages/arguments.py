"""What a user gives as an option: a plain number, or an error that says what is allowed.

A NumPy scalar, and an array or a Tensor of one element, become the Python number that they hold: a
`np.float64` would make float64 of float32.
"""

from __future__ import annotations

import math
import numbers
import reprlib
from typing import Any

import numpy as np

from minigrad.backends import is_array, to_numpy
from minigrad.errors import ShapeError
from minigrad.tensor import Tensor

__all__ = [
    "array_in",
    "check_sizes",
    "check_switches",
    "flag",
    "integer",
    "number",
    "plain",
    "probability",
    "quoted",
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


def probability(name: str, value: Any) -> float:
    """A number from 0 to 1.

    Raises:
        TypeError: It is no number.
        ValueError: It is outside [0, 1].
    """
    p = number(name, value, finite=False)
    if not 0 <= p <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {p}")
    return p


def integer(name: str, value: Any) -> int:
    """An integer, or one of NumPy's, as Python's; `name` is whose it is: "LSTM: input_size".

    Raises:
        TypeError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an int, got {quoted(value)}")
    return int(value)


def check_sizes(layer: str, least: int = 0, **sizes: Any) -> None:
    """Refuse sizes that are no integers of at least `least`, 0 or 1."""
    for name, size in sizes.items():
        if integer(f"{layer}: {name}", size) < least:
            expected = "greater than 0" if least else "at least 0"
            raise ShapeError(f"{layer}: {name} must be {expected}, got {size}")


def check_switches(layer: str, **switches: object) -> None:
    """Refuse options that are neither True nor False: a size given in the place of one."""
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise TypeError(f"{layer}: {name} must be True or False, got {value!r}")
