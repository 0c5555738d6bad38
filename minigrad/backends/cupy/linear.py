"""The linear layer: cuBLAS multiplies, and one kernel each way does what surrounds the products."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.arrays import empty
from minigrad.backends.cupy.activation import FORMULAS, with_formula
from minigrad.backends.cupy.cublas import gemm
from minigrad.backends.cupy.reduce import column_sums, steps
from minigrad.backends.cupy.source import (
    BLOCK,
    COLUMNS,
    blocks_for,
    in_c_order,
    parts_for,
    served,
)

_ROWS = 256  # that a block goes through

_AFTER = r"""
// y holds x W^T by rows; it becomes the activation of x W^T + b
extern "C" __global__ void NAME(
    T* y, const T* bias, double slope, Int columns, Int n) {
    for EACH(i, n) {
        T z = bias ? y[i] + bias[i % columns] : y[i];
        y[i] = FORMULA;
    }
}
"""

_BEFORE = r"""
// dz from the gradient of y, and, where they are wanted, the sums of each part of its columns
extern "C" __global__ void NAME(
    const T* gradient, const T* value, T* dz, T* sums, double slope,
    Int rows, Int columns, Int down, Int right, Int share) {
    T total = 0;
    Int column = COLUMN, first = blockIdx.y * share;
    Int last = first + share < rows ? first + share : rows;
    if (column < columns)
        for (Int row = first + FIRST_ROW; row < last; row += ROWS) {
            T g = gradient[row * down + column * right], y = value[row * columns + column];
            total += dz[row * columns + column] = FORMULA;
        }
    if (!sums) return;
    total = column_sum(total);
    if (column < columns && threadIdx.x < COLUMNS) sums[blockIdx.y * columns + column] = total;
}
"""

_NAMES = "leaky_relu", "relu", "sigmoid", "tanh"
_after = {name: with_formula(f"linear_{name}", FORMULAS[name].value, _AFTER) for name in _NAMES}
_after_none = with_formula("linear_bias", "z", _AFTER)
_before = {
    name: with_formula(f"linear_{name}_back", FORMULAS[name].pull_back, _BEFORE) for name in _NAMES
}


def _forward(
    x: Array, weight: Array, bias: Array | None, activation: str | None, negative_slope: float
) -> Any:
    if not served(x, weight, bias) or weight.ndim != 2 or x.ndim < 2:
        return NotImplemented
    if x.shape[-1] != weight.shape[1] or (bias is not None and bias.shape != weight.shape[:1]):
        return NotImplemented
    if activation == "leaky_relu" and negative_slope < 0:
        return NotImplemented  # y does not tell the sign of x
    y = gemm(_rows(x), weight.T)
    if activation is not None or bias is not None:
        kernel = _after_none if activation is None else _after[activation]
        bias = None if bias is None else in_c_order(bias)
        args = y, bias, float(negative_slope), len(weight), y.size
        kernel((blocks_for(y.size),), (BLOCK,), args)
    return y.reshape(*x.shape[:-1], len(weight)), None


def _backward(
    g: Array,
    needs: Needs,
    y: Array,
    residuals: None,
    x: Array,
    weight: Array,
    bias: Array | None,
    activation: str | None,
    negative_slope: float,
) -> list[Array | None]:
    dz, dbias = _rows(g), None
    if activation is not None:
        wanted = needs.place(2), needs[2]
        dz, dbias = _pull_back(dz, _rows(y), activation, negative_slope, *wanted)
    elif needs[2]:
        dbias = column_sums(dz, out=needs.place(2))
    dx = gemm(dz, weight).reshape(x.shape) if needs[0] else None
    dweight = gemm(dz.T, _rows(x), needs.place(1)) if needs[1] else None
    return [dx, dweight, dbias]


def _pull_back(
    g: Array, y: Array, activation: str, negative_slope: float, place: Array | None, with_sums: bool
) -> tuple[Array, Array | None]:
    """The gradient of z, by rows, and where asked for the sum of its columns, in its place."""
    rows, columns = y.shape
    parts, share = parts_for(rows, _ROWS)
    sums = None
    if with_sums and parts == 1:
        sums = empty(y, (columns,)) if place is None else place
    elif with_sums:
        sums = empty(y, (parts, columns))
    dz = np.empty_like(y)
    args = g, y, dz, sums, float(negative_slope), rows, columns, *steps(g), share
    _before[activation]((-(-columns // COLUMNS), parts), (BLOCK,), args)
    if sums is not None and parts > 1:
        sums = column_sums(sums, out=place)
    return dz, sums


def _rows(x: Array) -> Array:
    """An array (..., features) as a matrix (samples, features)."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


linear = Kernel(_forward, _backward)
