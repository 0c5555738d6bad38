"""Sums and means in one launch, or a few for long sums; the terms are always in the same order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minigrad.backends import Array, Kernel
from minigrad.backends.arrays import empty
from minigrad.backends.cupy.source import BLOCK, COLUMNS, is_supported, kernel, parts_for

_SHARE = 8192  # elements of a row that one block sums
_ROWS = 512  # elements of a column that one block sums

_row_sums = kernel(
    "row_sums",
    r"""
// y[row, part] = the sum of that part of the row of x, divided by divisor
extern "C" __global__ void row_sums(
    const T* x, T* y, Int columns, Int down, Int right, Int share, double divisor) {
    Int row = blockIdx.x, first = blockIdx.y * share;
    Int last = first + share < columns ? first + share : columns;
    T total = 0;
    for (Int k = first + threadIdx.x; k < last; k += blockDim.x) total += x[row * down + k * right];
    total = block_sum(total);
    if (threadIdx.x == 0) y[row * gridDim.y + blockIdx.y] = total / (T)divisor;
}
""",
)

_column_sums = kernel(
    "column_sums",
    r"""
// y[part, column] = the sum of that part of the column of x, divided by divisor
extern "C" __global__ void column_sums(
    const T* x, T* y, Int rows, Int columns, Int down, Int right, Int share, double divisor) {
    Int column = COLUMN, first = blockIdx.y * share;
    Int last = first + share < rows ? first + share : rows;
    T total = 0;
    if (column < columns)
        for (Int k = first + FIRST_ROW; k < last; k += ROWS) total += x[k * down + column * right];
    total = column_sum(total);
    if (column < columns && threadIdx.x < COLUMNS)
        y[blockIdx.y * columns + column] = total / (T)divisor;
}
""",
)


def row_sums(x: Array, divisor: float = 1.0) -> Array:
    """The sum (rows,) of each row of a matrix of any memory order, divided by `divisor`.

    Args:
        x: (rows, columns), float32 or float64, not empty.
        divisor: What each sum is divided by.
    """
    rows, columns = x.shape
    if columns < BLOCK < rows:  # one block per short row would leave most threads idle
        return column_sums(x.T, divisor)
    parts, share = parts_for(columns, _SHARE)
    y = empty(x, (rows, parts))
    down, right = steps(x)
    last = divisor if parts == 1 else 1.0
    _row_sums((rows, parts), (BLOCK,), (x, y, columns, down, right, share, last))
    return y.reshape(rows) if parts == 1 else row_sums(y, divisor)


def column_sums(x: Array, divisor: float = 1.0, out: Array | None = None) -> Array:
    """The sum (columns,) of each column of a matrix of any memory order, divided by `divisor`.

    Args:
        x: (rows, columns), float32 or float64, not empty.
        divisor: What each sum is divided by.
        out: The contiguous array (columns,) to write to; by default a new one.
    """
    rows, columns = x.shape
    parts, share = parts_for(rows, _ROWS)
    if parts > 1:
        y = empty(x, (parts, columns))
    else:
        y = empty(x, (columns,)) if out is None else out
    down, right = steps(x)
    last = divisor if parts == 1 else 1.0
    grid = -(-columns // COLUMNS), parts
    _column_sums(grid, (BLOCK,), (x, y, rows, columns, down, right, share, last))
    return y if parts == 1 else column_sums(y, divisor, out)


def steps(x: Array) -> tuple[int, int]:
    """A matrix's strides in elements: to the next row, and to the next column."""
    down, right = x.strides
    return down // x.itemsize, right // x.itemsize


def sum_of(x: Array, axes: tuple[int, ...], mean: bool = False) -> Any:
    """The sum or mean over axes of an array, which the result does not have any more.

    NotImplemented unless the axes are the first ones or the last ones, and x can be read as a
    matrix without a copy.

    Args:
        x: Any shape.
        axes: The axes, not negative, in ascending order.
        mean: Whether to divide by the number of elements.
    """
    if not is_supported(x) or not axes:
        return NotImplemented
    count = math.prod(x.shape[axis] for axis in axes)
    divisor = float(count) if mean else 1.0
    kept = tuple(n for axis, n in enumerate(x.shape) if axis not in axes)
    is_matrix = x.ndim == 2 or x.flags.c_contiguous  # reshape to a matrix makes no copy
    if len(axes) == x.ndim and (x.flags.c_contiguous or x.flags.f_contiguous):
        in_order = x if x.flags.c_contiguous else x.T
        return row_sums(in_order.reshape(1, -1), divisor).reshape(())
    if axes == tuple(range(len(axes))) and is_matrix:
        return column_sums(x.reshape(count, -1), divisor).reshape(kept)
    if axes == tuple(range(len(kept), x.ndim)) and is_matrix:
        return row_sums(x.reshape(-1, count), divisor).reshape(kept)
    return NotImplemented


def _kernel(mean: bool) -> Callable[..., Any]:
    def forward(x: Array, *, axis: Any = None, keepdims: bool = False) -> Any:
        several = isinstance(axis, tuple | list)
        given = range(x.ndim) if axis is None else axis if several else (axis,)
        axes = tuple(sorted(int(i) % max(x.ndim, 1) for i in given))
        if any(not -x.ndim <= i < x.ndim for i in given) or len(set(axes)) < len(axes):
            return NotImplemented  # the definition raises the error
        y = sum_of(x, axes, mean)
        if y is NotImplemented or not keepdims:
            return y
        return y.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)))

    return forward


sum = Kernel(_kernel(mean=False))
mean = Kernel(_kernel(mean=True))
