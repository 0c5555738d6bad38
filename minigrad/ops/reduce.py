"""Reductions over axes. `axis` is an integer, a tuple of integers, or None for all axes."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from minigrad.backends import Array
from minigrad.ops.elementwise import abs, cast, exp, floating, power, sign, where
from minigrad.ops.precision import in_float32, narrowed, widened
from minigrad.ops.shape import (
    axes_of,
    broadcast_to,
    checked_axes,
    concatenate,
    flip,
    getitem,
    moveaxis,
    reshape,
    size_of,
    zeros_of,
)
from minigrad.primitive import primitive
from minigrad.tensor import Axis, Tensor


def _keepdims(g: Any, x_shape: tuple[int, ...], axis: Axis) -> Any:
    """A reduction's gradient (or result) with the reduced axes as size 1, to broadcast with x."""
    dropped = axes_of(x_shape, axis)
    return reshape(g, tuple(1 if i in dropped else n for i, n in enumerate(x_shape)))


@primitive(x=lambda g, x_shape, axis: broadcast_to(_keepdims(g, x_shape, axis), x_shape))
def sum(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum over axes; every element gets the gradient of its sum.

    Args:
        x: Any shape.
        axis: The axes to sum over; None for all.
        keepdims: Keep the axes with size 1.

    Example:
        >>> import minigrad as mg
        >>> mg.sum(mg.ones(2, 3), axis=0)
        tensor([2., 2., 2.])
    """
    return narrowed(np.sum(widened(x), axis=axis, keepdims=keepdims), x)


@primitive(
    x=lambda g, x_shape, axis: broadcast_to(
        _keepdims(widened(g) / size_of(x_shape, axis), x_shape, axis), x_shape
    )
)
def mean(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Mean over axes.

    Args:
        x: Any shape.
        axis: The axes to reduce; None for all.
        keepdims: Keep the axes with size 1.

    Example:
        >>> import minigrad as mg
        >>> mg.mean(mg.tensor([[1.0, 3.0], [2.0, 0.0]]), axis=1)
        tensor([2., 1.])
    """
    return np.mean(x, axis=axis, keepdims=keepdims)


@in_float32
def var(x: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """Variance over axes: `sum((x - mean)^2) / (n - ddof)`.

    Args:
        x: Any shape.
        axis: The axes to reduce; None for all.
        ddof: 0 (NumPy's default), or 1 for the unbiased estimate (PyTorch's default).
        keepdims: Keep the axes with size 1.

    Example:
        >>> import minigrad as mg
        >>> mg.var(mg.tensor([1.0, 3.0])).item()
        1.0
    """
    centred = x - mean(x, axis=axis, keepdims=True)
    count = builtins.max(size_of(x.shape, axis) - ddof, 0)
    return sum(centred * centred, axis=axis, keepdims=keepdims) / count


@in_float32
def std(x: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """Standard deviation over axes, the square root of `var`; its derivative at 0 is taken as 0.

    Args:
        x: Any shape.
        axis: The axes to reduce; None for all.
        ddof: 0 (NumPy's default), or 1 (PyTorch's default).
        keepdims: Keep the axes with size 1.

    Example:
        >>> import minigrad as mg
        >>> mg.std(mg.tensor([1.0, 3.0])).item()
        1.0
    """
    centred = x - mean(x, axis=axis, keepdims=True)
    count = builtins.max(size_of(x.shape, axis) - ddof, 0)
    return _euclidean_norm(centred, axis=axis, keepdims=keepdims) / math.sqrt(count)


def _extreme_rule(g: Any, x: Any, y: Any, axis: Axis) -> Any:
    """The gradient goes to the extreme elements; several equal ones share it (PyTorch's amax)."""
    g = widened(g)
    chosen = cast(x == _keepdims(y, x.shape, axis), g.dtype)
    return chosen * (_keepdims(g, x.shape, axis) / sum(chosen, axis=axis, keepdims=True))


@primitive(x=_extreme_rule)
def max(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest value over axes; equal ones share the gradient.

    Args:
        x: Any shape.
        axis: The axes to reduce; None for all.
        keepdims: Keep the axes with size 1.

    Raises:
        ShapeError: There are no elements to reduce.

    Example:
        >>> import minigrad as mg
        >>> mg.max(mg.tensor([[1.0, 3.0], [2.0, 0.0]]), axis=1)
        tensor([3., 2.])
    """
    return np.max(x, axis=axis, keepdims=keepdims)


@primitive(x=_extreme_rule)
def min(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Smallest value over axes; equal ones share the gradient.

    Args:
        x: Any shape.
        axis: The axes to reduce; None for all.
        keepdims: Keep the axes with size 1.

    Raises:
        ShapeError: There are no elements to reduce.

    Example:
        >>> import minigrad as mg
        >>> mg.min(mg.tensor([[1.0, 3.0], [2.0, 0.0]]), axis=1)
        tensor([1., 0.])
    """
    return np.min(x, axis=axis, keepdims=keepdims)


@primitive()
def argmax(x: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index of the largest value along an axis (of the flat array for None); no gradient.

    Args:
        x: Any shape.
        axis: The axis to go along; None for the flat array.
        keepdims: Keep the axis with size 1.

    Returns:
        int64, of x's shape without that axis; the first index of several equal values.

    Raises:
        ShapeError: There are no elements to reduce.

    Example:
        >>> import minigrad as mg
        >>> mg.argmax(mg.tensor([[1.0, 3.0], [2.0, 0.0]]), axis=1)
        tensor([1, 0])
    """
    return np.argmax(x, axis=axis, keepdims=keepdims)


@primitive()
def all(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether all elements are true (not 0), over axes; no gradient.

    Args:
        x: Any shape.
        axis: The axes to reduce; None for all.
        keepdims: Keep the axes with size 1.

    Returns:
        Booleans, of x's shape without those axes, or with size 1 there; true for no elements.

    Example:
        >>> import minigrad as mg
        >>> mg.all(mg.tensor([[1.0, 3.0], [2.0, 0.0]]) > 0, axis=1)
        tensor([ True, False])
    """
    return np.all(x, axis=axis, keepdims=keepdims)


@primitive()
def any(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether any element is true (not 0), over axes; no gradient.

    Args:
        x: Any shape.
        axis: The axes to reduce; None for all.
        keepdims: Keep the axes with size 1.

    Returns:
        Booleans, of x's shape without those axes, or with size 1 there; false for no elements.

    Example:
        >>> import minigrad as mg
        >>> bool(mg.any(mg.tensor([1.0, -3.0]) < 0))
        True
    """
    return np.any(x, axis=axis, keepdims=keepdims)


@in_float32
def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Product over axes, by products of pairs: exact derivatives of any order, also at zeros.

    Args:
        x: Any shape.
        axis: The axes to reduce; None for all.
        keepdims: Keep the axes with size 1.

    Example:
        >>> import minigrad as mg
        >>> mg.prod(mg.tensor([2.0, 3.0, 4.0])).item()
        24.0
    """
    if x.dtype.kind in "bui":  # as NumPy, which multiplies small integers as int64 or uint64
        x = x.astype(np.prod(np.empty(0, x.dtype)).dtype)
    shape, axes = x.shape, checked_axes("prod", len(x.shape), axis)
    y = moveaxis(x, axes, list(range(len(axes))))
    y = reshape(y, (size_of(shape, axis), *y.shape[len(axes) :]))
    if len(y) == 0:
        y = sum(y, axis=0, keepdims=True) + 1
    while len(y) > 1:
        half = len(y) // 2
        pairs = getitem(y, slice(0, half)) * getitem(y, slice(half, 2 * half))
        if len(y) % 2:
            first = getitem(pairs, slice(0, 1)) * getitem(y, slice(2 * half, None))
            rest = getitem(pairs, slice(1, None))
            pairs = concatenate([first, rest])
        y = pairs
    y = getitem(y, 0)
    return _keepdims(y, shape, axis) if keepdims else y


@primitive(x=lambda g, axis: flip(running_sum(flip(g, axis=axis), axis), axis=axis))
def running_sum(x: Array, axis: int) -> Array:
    """Sum of the elements up to each place along an axis."""
    return np.cumsum(x, axis)


@in_float32
def cumsum(x: Any, axis: int | None = None) -> Tensor:
    """Running sum along an axis; of the flat array where `axis` is None.

    Args:
        x: Any shape.
        axis: The axis to go along; None for the flat array.

    Example:
        >>> import minigrad as mg
        >>> mg.cumsum(mg.tensor([1.0, 2.0, 3.0]), axis=0)
        tensor([1., 3., 6.])
    """
    return running_sum(reshape(x, -1), 0) if axis is None else running_sum(x, axis)


def largest(x: Array, axis: Axis) -> Array:
    """The largest value along axes, kept with size 1; -inf for no elements."""
    if x.size == 0:  # max raises here, and CuPy's max has no `initial`; the sum is 0
        return np.sum(x, axis=axis, keepdims=True) - np.inf
    return np.max(x, axis=axis, keepdims=True)


def _logsumexp_rule(g: Any, x: Any, y: Any, axis: Axis) -> Any:
    wide = widened(x)
    if wide is not x:  # y in float16 is too coarse a shift
        x, y = wide, logsumexp(wide, axis=axis)
    return _keepdims(g, x.shape, axis) * exp(x - _keepdims(y, x.shape, axis))


@primitive(x=_logsumexp_rule)
def logsumexp(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """log(sum(e^x)) over axes, shifted by the largest value so that nothing overflows.

    Args:
        x: Any shape; integers are computed in float64.
        axis: The axes to reduce; None for all.
        keepdims: Keep the axes with size 1.

    Example:
        >>> import minigrad as mg
        >>> mg.logsumexp(mg.tensor([1000.0])).item()
        1000.0
    """
    wide = widened(floating(x))
    shift = largest(wide, axis)
    shift = np.where(np.isfinite(shift), shift, 0)
    with np.errstate(divide="ignore"):  # all -inf gives -inf
        y = np.log(np.sum(np.exp(wide - shift), axis=axis, keepdims=True)) + shift
    y = narrowed(y, x)
    return y if keepdims else np.squeeze(y, axis)


@primitive(
    x=lambda g, x, y, axis: (
        _keepdims(g, x.shape, axis) * (x / _keepdims(where(y == 0, 1.0, y), x.shape, axis))
    )
)
def _euclidean_norm(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def _power_norm_rule(g: Any, x: Any, y: Any, ord: float, axis: Axis) -> Any:
    size = where(x == 0, 1.0, abs(x))  # sign(x) makes the derivative at 0 zero
    share = size / _keepdims(where(y == 0, 1.0, y), x.shape, axis)
    return _keepdims(g, x.shape, axis) * sign(x) * power(share, ord - 1)


@primitive(x=_power_norm_rule)
def _power_norm(x: Array, *, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Array:
    with np.errstate(divide="ignore"):  # a 0 makes a norm of negative order 0
        return np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims) ** (1 / ord)


@primitive(x=lambda g, x_shape: zeros_of(g, x_shape))
def _count_nonzero(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    return np.sum(x != 0, axis=axis, keepdims=keepdims, dtype=x.dtype)


@in_float32
def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Vector norm over axes: `sum(|x|^ord)^(1/ord)`.

    Args:
        x: Any shape; a matrix counts as one long vector unless `axis` says otherwise. Integers
            are computed in float64.
        ord: The order: None or 2 for the Euclidean length, any other number, +-inf for the
            largest or smallest absolute value, or 0 for how many elements are not 0.
        axis: The axes to reduce; None for all.
        keepdims: Keep the axes with size 1.

    Raises:
        ValueError: `ord` is something else, such as the name of a matrix norm.

    Example:
        >>> import minigrad as mg
        >>> mg.norm(mg.tensor([3.0, 4.0])).item()
        5.0
    """
    x = floating(x)
    if ord is None or ord == 2:
        return _euclidean_norm(x, axis=axis, keepdims=keepdims)
    if ord == np.inf or ord == -np.inf:
        extreme = max if ord > 0 else min
        return extreme(abs(x), axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum(abs(x), axis=axis, keepdims=keepdims)
    if not isinstance(ord, int | float | np.number):
        raise ValueError(
            f"norm: ord must be a number, +-inf or None, got {ord!r}; norms of matrices as "
            "operators ('fro', 'nuc') are not offered"
        )
    if ord == 0:
        return _count_nonzero(x, axis=axis, keepdims=keepdims)
    return _power_norm(x, ord=float(ord), axis=axis, keepdims=keepdims)
