"""New Tensors: filled with a value, counted, the identity, and copies."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import array_module
from minigrad.errors import DTypeError, ShapeError
from minigrad.messages.arguments import check_sizes
from minigrad.ops.shape import copied, shape_of
from minigrad.primitive import as_operand
from minigrad.tensor import Tensor, array_of, as_tensor, dtype_of, new_leaf


def full(
    shape: Any,
    fill_value: Any,
    dtype: Any = None,
    device: str = "cpu",
    requires_grad: bool = False,
) -> Tensor:
    """A Tensor whose elements all have one value.

    Args:
        shape: The sizes: an integer or a tuple.
        fill_value: The value.
        dtype: The elements' type. Default: float32 for a Python float, else the value's.
        device: "cpu" or "gpu".
        requires_grad: Whether backward passes are to compute a gradient for it.

    Raises:
        ShapeError: A size is negative, or the value has a shape that does not fit.
        TypeError: A size is no integer.
        DTypeError: The value is no number.

    Example:
        >>> import minigrad as mg
        >>> mg.full((2,), 7.0)
        tensor([7., 7.])
    """
    fill_value = array_of(fill_value)
    if not hasattr(fill_value, "dtype") and np.asarray(fill_value).dtype.kind not in "biuf":
        raise DTypeError(f"a new Tensor: expected a number as its value, got {fill_value!r}")
    if dtype is not None or type(fill_value) is float:
        dtype = dtype_of(dtype, "a new Tensor")
    try:
        array = array_module(device).full(shape, fill_value, dtype=dtype)
    except OverflowError as error:
        raise DTypeError(f"a new Tensor: {error}") from None
    except (TypeError, ValueError) as error:
        kind = ShapeError if isinstance(error, ValueError) else TypeError
        raise kind(
            f"a new Tensor: expected a shape of integers of at least 0, and a value, got the shape "
            f"{shape!r} and {fill_value!r} ({error})"
        ) from None
    return new_leaf(array).requires_grad_(requires_grad)


def zeros(
    *shape: Any, dtype: Any = np.float32, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Zeros: `zeros(2, 3)` or `zeros((2, 3))`.

    Args:
        shape: The sizes.
        dtype: The elements' type.
        device: "cpu" or "gpu".
        requires_grad: Whether backward passes are to compute a gradient for it.

    Example:
        >>> import minigrad as mg
        >>> mg.zeros(2, 3).shape
        (2, 3)
    """
    return full(shape_of(shape), 0, dtype_of(dtype, "zeros"), device, requires_grad)


def ones(
    *shape: Any, dtype: Any = np.float32, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Ones: `ones(2, 3)` or `ones((2, 3))`.

    Args:
        shape: The sizes.
        dtype: The elements' type.
        device: "cpu" or "gpu".
        requires_grad: Whether backward passes are to compute a gradient for it.

    Example:
        >>> import minigrad as mg
        >>> mg.ones(2)
        tensor([1., 1.])
    """
    return full(shape_of(shape), 1, dtype_of(dtype, "ones"), device, requires_grad)


def arange(*bounds: Any, dtype: Any = None, device: str = "cpu") -> Tensor:
    """Evenly spaced numbers: `arange(stop)`, `arange(start, stop)`, `arange(start, stop, step)`.

    Args:
        bounds: As for `range`; floats are allowed.
        dtype: The elements' type. Default: int64, or float32 where a bound is a float.
        device: "cpu" or "gpu".

    Raises:
        TypeError: A bound is no number.
        ValueError: The step is 0.

    Example:
        >>> import minigrad as mg
        >>> mg.arange(3)
        tensor([0, 1, 2])
    """
    if dtype is None:
        dtype = np.float32 if any(isinstance(bound, float) for bound in bounds) else np.int64
    bounds = tuple([array_of(bound) for bound in bounds])
    if any(np.asarray(bound).dtype.kind not in "biuf" for bound in bounds):
        raise TypeError(f"arange: expected numbers as bounds, got {bounds}")
    try:
        return new_leaf(array_module(device).arange(*bounds, dtype=dtype_of(dtype, "arange")))
    except ZeroDivisionError:
        raise ValueError(f"arange: the step is 0, in {bounds}") from None


def eye(n: int, m: int | None = None, dtype: Any = np.float32, device: str = "cpu") -> Tensor:
    """The identity matrix of shape (n, m), m = n by default.

    Args:
        n: The number of rows.
        m: The number of columns.
        dtype: The elements' type.
        device: "cpu" or "gpu".

    Raises:
        ShapeError: A size is negative.
        TypeError: A size is no integer.

    Example:
        >>> import minigrad as mg
        >>> mg.eye(2)
        tensor([[1., 0.],
                [0., 1.]])
    """
    check_sizes("eye", n=n, m=n if m is None else m)
    return new_leaf(array_module(device).eye(n, m, dtype=dtype_of(dtype, "eye")))


def full_like(x: Tensor, fill_value: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """One value for every element, with the shape, dtype and device of `x`.

    Args:
        x: The Tensor whose shape, dtype and device to take.
        fill_value: The value.
        dtype: The elements' type. Default: the dtype of x.
        requires_grad: Whether backward passes are to compute a gradient for it.

    Example:
        >>> import minigrad as mg
        >>> mg.full_like(mg.zeros(2), 7)
        tensor([7., 7.])
    """
    x = as_tensor(x, "full_like: x")
    return full(x.shape, fill_value, dtype or x.dtype, x.device, requires_grad)


def zeros_like(x: Tensor, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape, dtype and device of `x`.

    Args:
        x: The Tensor whose shape, dtype and device to take.
        dtype: The elements' type. Default: the dtype of x.
        requires_grad: Whether backward passes are to compute a gradient for it.

    Example:
        >>> import minigrad as mg
        >>> mg.zeros_like(mg.ones(2))
        tensor([0., 0.])
    """
    return full_like(as_tensor(x, "zeros_like: x"), 0, dtype, requires_grad)


def ones_like(x: Tensor, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones in the shape, dtype and device of `x`.

    Args:
        x: The Tensor whose shape, dtype and device to take.
        dtype: The elements' type. Default: the dtype of x.
        requires_grad: Whether backward passes are to compute a gradient for it.

    Example:
        >>> import minigrad as mg
        >>> mg.ones_like(mg.zeros(2))
        tensor([1., 1.])
    """
    return full_like(as_tensor(x, "ones_like: x"), 1, dtype, requires_grad)


def clone(x: Any) -> Tensor:
    """A copy with memory of its own, in the graph: its gradient goes on to `x`.

    A copy of a leaf that requires no gradient, such as `x.detach()`, is a leaf too: `+=` writes
    into it.

    Args:
        x: Any shape.

    Example:
        >>> import minigrad as mg
        >>> mg.clone(mg.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    y = copied(as_operand(x, "clone: x"))
    if isinstance(x, Tensor) and not x._requires_grad and hasattr(x, "_writable"):
        y._writable = True
    return y
