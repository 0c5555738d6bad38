"""What a user gives a layer as a size, a switch or a number, or an error that names all three."""

from __future__ import annotations

import numpy as np

from minigrad.backends import is_array
from minigrad.tensor import ShapeError, described

__all__ = ["check_sizes", "check_switches", "integer", "number", "probability"]


def integer(name: str, value: object) -> int:
    """An integer as Python's; `name` is whose it is, such as "LSTM: input_size"."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        text = repr(value) if isinstance(value, str | bool) else described(value)
        raise TypeError(f"{name} must be an int, got {text}")
    return int(value)


def check_sizes(layer: str, least: int = 0, **sizes: object) -> None:
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


def number(name: str, value: object) -> float:
    """A number as Python's: one of NumPy's would turn float32 into float64.

    Raises:
        TypeError: It is none; arrays and Tensors of one element are.
    """
    if type(value) is float or type(value) is int:
        return value
    array = getattr(value, "_data", value)
    if is_array(array) and array.size == 1 and array.dtype.kind in "iuf":  # type: ignore[attr-defined]
        return array.item()  # type: ignore[attr-defined, no-any-return]
    if isinstance(value, bool | str) or not isinstance(value, float | int):
        text = repr(value) if isinstance(value, str | bool) else described(value)
        raise TypeError(f"{name} must be a number, got {text}")
    return float(value)


def probability(name: str, value: object) -> float:
    """A number from 0 to 1.

    Raises:
        TypeError: It is no number.
        ValueError: It is outside [0, 1].
    """
    p = number(name, value)
    if not 0 <= p <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {p}")
    return p
