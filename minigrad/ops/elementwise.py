"""Elementwise operations: arithmetic, powers, comparisons, choices. They broadcast as in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.backends import Array, to_device
from minigrad.errors import DTypeError
from minigrad.observers import thread
from minigrad.primitive import as_operand, primitive
from minigrad.tensor import Tensor


@primitive(a=lambda g: g, b=lambda g: g)
def add(a: Array, b: Array) -> Array:
    """Sum, elementwise: `a + b`.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([1.0, 2.0]) + 1
        tensor([2., 3.])
    """
    return a + b


@primitive(a=lambda g: g, b=lambda g: -g)
def subtract(a: Array, b: Array) -> Array:
    """Difference, elementwise: `a - b`."""
    return a - b


@primitive(a=lambda g, b: g * b, b=lambda g, a: g * a)
def multiply(a: Array, b: Array) -> Array:
    """Product, elementwise: `a * b`."""
    return a * b


@primitive(a=lambda g, b: g / b, b=lambda g, b, y: -g * y / b)
def divide(a: Array, b: Array) -> Array:
    """Quotient, elementwise: `a / b`."""
    return a / b


@primitive(x=lambda g: -g)
def negative(x: Array) -> Array:
    """Negation, elementwise: `-x`."""
    return -x


def _power_base(g: Any, a: Any, b: Any) -> Any:
    if isinstance(b, int | float):
        return g * (b * a ** (b - 1)) if b != 0 else g * 0.0
    return g * (b * a ** where(b == 0, 1.0, b - 1))  # d(a^0)/da is 0, also at a = 0


def _power_exponent(g: Any, a: Any, b: Any, y: Any) -> Any:
    if isinstance(a, int | float) and a > 0:
        return g * y * math.log(a)
    zero = (a == 0) * (b >= 0)  # 0^b is 0 for all b near here, but log(0) is not finite
    return where(zero, 0.0, g * y * log(where(zero, 1.0, a)))


@primitive(a=_power_base, b=_power_exponent)
def power(a: Array, b: Array) -> Array:
    """Power, elementwise: `a ** b`."""
    return a**b


_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def floating(x: Array) -> Array:
    """Convert integers to float64; NumPy would compute functions of small ones in float16."""
    dtype = getattr(x, "dtype", _FLOAT64)  # a Python number has none and needs none
    return x.astype(_FLOAT64) if dtype is not _FLOAT32 and dtype.kind in "biu" else x


@primitive(x=lambda g, y: g * y)
def exp(x: Array) -> Array:
    """Exponential function e^x, elementwise.

    Args:
        x: Any shape; integers are computed in float64.

    Example:
        >>> import minigrad as mg
        >>> mg.exp(mg.tensor([0.0]))
        tensor([1.])
    """
    return np.exp(floating(x))


@primitive(x=lambda g, x: g / x)
def log(x: Array) -> Array:
    """Natural logarithm, elementwise.

    Args:
        x: Any shape; integers are computed in float64. -inf at 0, NaN below, with a warning.

    Example:
        >>> import minigrad as mg
        >>> mg.log(mg.tensor([1.0]))
        tensor([0.])
    """
    return np.log(floating(x))


@primitive(x=lambda g, x: g / (1 + x))
def log1p(x: Array) -> Array:
    """log(1 + x), elementwise, accurate near 0.

    Args:
        x: Any shape; integers are computed in float64.

    Example:
        >>> import minigrad as mg
        >>> mg.log1p(mg.tensor([0.0]))
        tensor([0.])
    """
    return np.log1p(floating(x))


@primitive(x=lambda g, y: g / (2 * y))
def sqrt(x: Array) -> Array:
    """The square root, elementwise; its derivative at 0 is infinite.

    Args:
        x: Any shape; integers are computed in float64. NaN below 0.

    Example:
        >>> import minigrad as mg
        >>> mg.sqrt(mg.tensor([4.0]))
        tensor([2.])
    """
    return np.sqrt(floating(x))


@primitive(x=lambda g, x: g * cos(x))
def sin(x: Array) -> Array:
    """Sine of an angle in radians, elementwise.

    Args:
        x: Any shape; integers are computed in float64.

    Example:
        >>> import minigrad as mg
        >>> mg.sin(mg.tensor([0.0]))
        tensor([0.])
    """
    return np.sin(floating(x))


@primitive(x=lambda g, x: -g * sin(x))
def cos(x: Array) -> Array:
    """Cosine of an angle in radians, elementwise.

    Args:
        x: Any shape; integers are computed in float64.

    Example:
        >>> import minigrad as mg
        >>> mg.cos(mg.tensor([0.0]))
        tensor([1.])
    """
    return np.cos(floating(x))


@primitive()
def sign(x: Array) -> Array:
    """-1, 0 or 1, elementwise; its derivative is zero and not recorded."""
    return np.sign(x)


@primitive(x=lambda g, x: g * sign(x))
def abs(x: Array) -> Array:
    """Absolute value, elementwise; the derivative at 0 is taken as 0.

    Args:
        x: Any shape.

    Example:
        >>> import minigrad as mg
        >>> mg.abs(mg.tensor([-2.0, 3.0]))
        tensor([2., 3.])
    """
    return np.abs(x)


def _share_of_larger(g: Any, a: Any, b: Any) -> Any:
    """The whole gradient where a > b, half of it where both are equal (as PyTorch)."""
    return where(a > b, g, where(a == b, 0.5 * g, 0.0))


@primitive(a=lambda g, a, b: _share_of_larger(g, a, b), b=lambda g, a, b: _share_of_larger(g, b, a))
def maximum(a: Array, b: Array) -> Array:
    """The larger of two, elementwise; at a tie both get half of the gradient.

    Args:
        a: Any shape.
        b: Any shape that broadcasts with a's.

    Example:
        >>> import minigrad as mg
        >>> mg.maximum(mg.tensor([1.0, 5.0]), 3.0)
        tensor([3., 5.])
    """
    return np.maximum(a, b)


@primitive(a=lambda g, a, b: _share_of_larger(g, b, a), b=lambda g, a, b: _share_of_larger(g, a, b))
def minimum(a: Array, b: Array) -> Array:
    """The smaller of two, elementwise; at a tie both get half of the gradient.

    Args:
        a: Any shape.
        b: Any shape that broadcasts with a's.

    Example:
        >>> import minigrad as mg
        >>> mg.minimum(mg.tensor([1.0, 5.0]), 3.0)
        tensor([1., 3.])
    """
    return np.minimum(a, b)


def _below(x: Any, min: Any, max: Any) -> Any:
    """Where the result is the lower bound: x is below it, and the bounds do not cross."""
    return (x < min) if max is None else (x < min) * (min <= max)


def _above(x: Any, min: Any, max: Any) -> Any:
    """Where the result is the upper bound: x is above it, or the bounds cross."""
    return (x > max) if min is None else where(min <= max, x > max, True)


def _inside(x: Any, min: Any, max: Any) -> Any:
    above = x == x if min is None else x >= min
    return above if max is None else above * (x <= max)


@primitive(
    x=lambda g, x, min, max: where(_inside(x, min, max), g, 0.0),
    min=lambda g, x, min, max: where(_below(x, min, max), g, 0.0),
    max=lambda g, x, min, max: where(_above(x, min, max), g, 0.0),
)
def limited(x: Array, min: Array, max: Array) -> Array:
    """Values limited to [min, max]; a bound that is None does not limit."""
    if min is None and max is None:  # NumPy 2.0 refuses this
        return x.copy()
    return np.clip(x, min, max)


def clip(x: Any, min: Any = None, max: Any = None) -> Tensor:
    """Values limited to [min, max]: x inside, bounds included, and the bound outside.

    The gradient goes to x inside and to the bound outside. Where the bounds cross, the upper one
    is the result.

    Args:
        x: Any shape.
        min: Lower bound, a number, an array or a Tensor that broadcasts with x; None for none.
        max: Upper bound, likewise.

    Example:
        >>> import minigrad as mg
        >>> mg.clip(mg.tensor([-2.0, 0.5, 2.0]), -1, 1)
        tensor([-1. ,  0.5,  1. ])
    """
    return limited(as_operand(x, "clip: x"), _bound("min", min), _bound("max", max))


def _bound(name: str, value: Any) -> Any:
    is_plain = value is None or isinstance(value, (Tensor, int, float))
    return value if is_plain else as_operand(value, f"clip: {name}")


def of_numbers(y: Array) -> Array:
    """Return a result; raise for one of objects or text, which NumPy makes of None and strings."""
    if y.dtype.kind not in "biuf":
        raise TypeError(f"expected numbers, got what makes an array of dtype {y.dtype}")
    return y


@primitive(
    a=lambda g, condition: where(condition, g, 0.0), b=lambda g, condition: where(condition, 0.0, g)
)
def where(condition: Array, a: Array, b: Array) -> Array:
    """`a` where the condition holds, else `b`, elementwise.

    Args:
        condition: Booleans of any shape.
        a: The values where it holds, of a shape that broadcasts with it.
        b: The values elsewhere, of a shape that broadcasts too.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([-1.0, 2.0])
        >>> mg.where(x > 0, x, 0.0)
        tensor([0., 2.])
    """
    if type(condition) is not np.ndarray:  # for NumPy None is false, and any text true
        condition = as_operand(condition, "where: condition")
    y: Array = np.where(condition, a, b)
    if y.dtype is _FLOAT32:
        return y
    for number in (a, b):
        if type(number) is int and y.dtype.kind in "iu":
            y.dtype.type(number)  # raises where NumPy's `where` would wrap the number
    return of_numbers(y)


@primitive()
def equal(a: Array, b: Array) -> Array:
    """Whether a = b, elementwise; no gradient."""
    return a == b


@primitive()
def not_equal(a: Array, b: Array) -> Array:
    """Whether a and b differ, elementwise; no gradient."""
    return a != b


@primitive()
def less(a: Array, b: Array) -> Array:
    """Whether a < b, elementwise; no gradient."""
    return a < b


@primitive()
def less_equal(a: Array, b: Array) -> Array:
    """Whether a <= b, elementwise; no gradient."""
    return a <= b


@primitive()
def greater(a: Array, b: Array) -> Array:
    """Whether a > b, elementwise; no gradient."""
    return a > b


@primitive()
def greater_equal(a: Array, b: Array) -> Array:
    """Whether a >= b, elementwise; no gradient."""
    return a >= b


def _require_bits(operation: str, example: str, *operands: Any) -> None:
    """Raise DTypeError for floats; `x > 0 & y > 0` without brackets computes `0 & y` first."""
    for x in operands:
        dtype = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype
        if dtype.kind not in "biu":
            raise DTypeError(
                f"{operation}: expected booleans or integers, got {dtype}; compare first, in "
                f"brackets: {example}"
            )


@primitive()
def bitwise_and(a: Array, b: Array) -> Array:
    """And, elementwise: `a & b` of booleans, or of the bits of integers; no gradient."""
    _require_bits("bitwise_and", "(x > 0) & (y > 0)", a, b)
    return a & b


@primitive()
def bitwise_or(a: Array, b: Array) -> Array:
    """Or, elementwise: `a | b` of booleans, or of the bits of integers; no gradient."""
    _require_bits("bitwise_or", "(x > 0) | (y > 0)", a, b)
    return a | b


@primitive()
def bitwise_xor(a: Array, b: Array) -> Array:
    """Exclusive or, elementwise: `a ^ b` of booleans, or of the bits of integers; no gradient."""
    _require_bits("bitwise_xor", "(x > 0) ^ (y > 0)", a, b)
    return a ^ b


@primitive()
def invert(x: Array) -> Array:
    """Not, elementwise: `~x` of booleans, or of the bits of integers; no gradient."""
    _require_bits("invert", "~(x > 0)", x)
    return ~x


@primitive(x=lambda g: g)  # the engine brings the gradient back to the dtype of x
def cast(x: Array, dtype: Any) -> Array:
    """The same values in a floating-point dtype."""
    return x.astype(dtype)


@primitive(x=lambda g, device: move(g, "cpu" if device == "gpu" else "gpu"))
def move(x: Array, device: str) -> Array:
    """The same values on the other device."""
    thread.observer.refuse(f"it moves a Tensor of shape {x.shape} elsewhere; do it outside")
    return to_device(x, device)
