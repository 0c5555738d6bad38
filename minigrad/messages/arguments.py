"""Checks of arguments: each returns a plain value, or raises an error that says what is allowed.

A NumPy scalar, or an array or Tensor of one element, becomes a Python number: in arithmetic with a
float32 array, an `np.float64` would make the result float64.
"""

from __future__ import annotations

import math
import numbers
import reprlib
from typing import Any

import numpy as np

from minigrad.backends import Array, is_array, on_host, to_numpy
from minigrad.errors import DTypeError, ShapeError
from minigrad.tensor import Tensor, as_tensor, described

__all__ = [
    "array_in",
    "check_changeable",
    "check_sizes",
    "check_switches",
    "flag",
    "floating_input",
    "integer",
    "number",
    "plain",
    "probability",
]


def array_in(value: Any) -> np.ndarray[Any, Any] | None:
    """The values of a Tensor or of any library's array as a NumPy array; None for other values."""
    array = value._data if isinstance(value, Tensor) else value
    if is_array(array):
        return np.asarray(to_numpy(array) if hasattr(array, "get") else array)
    return np.asarray(array) if hasattr(array, "__array__") else None


def plain(value: Any) -> Any:
    """Turn an array or a Tensor of one element into a Python number; return other values as is."""
    if type(value) in (float, int, bool):  # the usual case
        return value
    array = array_in(value)
    return value if array is None or array.size != 1 else array.item()


def number(
    name: str,
    value: Any,
    least: float | None = None,
    below: float | None = None,
    *,
    finite: bool = True,
) -> float:
    """Check a real number, and return it as an int or a float.

    Args:
        name: What the message calls the number, such as "lr".
        value: A number, a NumPy scalar, or an array or a Tensor of one element.
        least: The smallest number that is allowed; None allows any.
        below: The number must be less than this; None allows any.
        finite: Whether infinity and NaN are refused.

    Raises:
        TypeError: `value` is not a number; True and False do not count as numbers.
        ValueError: It is out of its range, or an array of several elements.
    """
    value = plain(value)
    bounds = [] if least is None else [f"at least {least}"]
    bounds += [] if below is None else [f"below {below}"]
    allowed = " and ".join(bounds)
    wanted = f"a number {allowed}".rstrip()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        got = described(value)
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
    """Check True or False, also given as 1 or 0, and return a bool.

    Raises:
        TypeError: `value` is something else.
    """
    value = plain(value)
    if not isinstance(value, bool | int) or value not in (0, 1):
        raise TypeError(f"{name}: expected True or False, got {described(value)}")
    return bool(value)


def probability(name: str, value: Any) -> float:
    """Check a number from 0 to 1, and return it.

    Raises:
        TypeError: `value` is not a number.
        ValueError: It is outside [0, 1].
    """
    p = number(name, value, finite=False)
    if not 0 <= p <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {p}")
    return p


def integer(name: str, value: Any) -> int:
    """Check a Python or NumPy integer, and return an int; `name` is such as "LSTM: input_size".

    Raises:
        TypeError: `value` is not an integer.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an int, got {described(value)}")
    return int(value)


def floating_input(name: str, value: Any) -> Tensor:
    """The input of a layer or loss as a Tensor of floats.

    Raises:
        DTypeError: It holds integers.
        TypeError: It is no Tensor or array.
    """
    x = as_tensor(value, f"{name}: input")
    if x.dtype.kind != "f":
        raise DTypeError(
            f"{name}: the input must be floating-point, got {x.dtype}; use .astype('float32')"
        )
    return x


def check_changeable(name: str, array: Array, floating: bool = True) -> None:
    """Raise an error unless an array can be changed in place and, if `floating`, holds floats.

    Raises:
        DTypeError: It holds integers.
        ValueError: It is read-only.
    """
    if floating and array.dtype.kind != "f":
        raise DTypeError(
            f"{name}: expected a floating-point Tensor or array, got {array.dtype}, which cannot "
            "hold the new values; use .astype('float32')"
        )
    if on_host(array) and not array.flags.writeable:
        raise ValueError(f"{name}: the array is read-only; pass a copy of it")


def check_sizes(layer: str, least: int = 0, **sizes: Any) -> None:
    """Raise an error unless all sizes are integers of at least `least`, which is 0 or 1."""
    for name, size in sizes.items():
        if integer(f"{layer}: {name}", size) < least:
            expected = "greater than 0" if least else "at least 0"
            raise ShapeError(f"{layer}: {name} must be {expected}, got {size}")


def check_switches(layer: str, **switches: object) -> None:
    """Raise TypeError unless all options are True or False, for instance where one is a size."""
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise TypeError(f"{layer}: {name} must be True or False, got {value!r}")
