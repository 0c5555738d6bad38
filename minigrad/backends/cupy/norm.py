"""Batch normalization in one launch each way: a block takes 8 channels from their means to y."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.arrays import empty
from minigrad.backends.cupy.activation import FORMULAS, Formula, with_formula
from minigrad.backends.cupy.reduce import steps
from minigrad.backends.cupy.source import BLOCK, COLUMNS, served

_FORWARD = r"""
extern "C" __global__ void NAME(
    const T* x, const T* weight, const T* bias, T* y, T* mean, T* var,
    double eps, double slope, Int rows, Int columns, Int down, Int right) {
    Int column = COLUMN;
    bool inside = column < columns;
    const T* xs = x + column * right;
    T total = 0;
    if (inside) for (Int k = FIRST_ROW; k < rows; k += ROWS) total += xs[k * down];
    T mu = column_sum(total) / rows;
    total = 0;
    if (inside)
        for (Int k = FIRST_ROW; k < rows; k += ROWS) {
            T centred = xs[k * down] - mu;
            total += centred * centred;
        }
    T variance = column_sum(total) / rows;
    if (!inside) return;
    T inverse = 1 / sqrt(variance + (T)eps);
    T scale = weight ? weight[column] : 1, shift = bias ? bias[column] : 0;
    for (Int k = FIRST_ROW; k < rows; k += ROWS) {
        T z = (xs[k * down] - mu) * inverse * scale + shift;
        y[k * columns + column] = FORMULA;
    }
    if (threadIdx.x < COLUMNS) {
        mean[column] = mu;
        var[column] = variance;
    }
}
"""

_BACKWARD = r"""
// the gradient of what y is the activation of
__device__ __forceinline__ T pull_back(T g, T y, double slope) { return FORMULA; }

// With that as g, x^ = (x - mean) / sqrt(var + eps), and means over the batch:
// dx = weight / sqrt(var + eps) (g - mean(g) - x^ mean(g x^)), dweight = sum(g x^), dbias = sum(g)
extern "C" __global__ void NAME(
    const T* gradient, const T* x, const T* weight, const T* y, const T* mean, const T* var,
    T* dx, T* dweight, T* dbias, double eps, double slope, Int rows, Int columns,
    Int down_g, Int right_g, Int down, Int right) {
    Int column = COLUMN;
    bool inside = column < columns;
    const T *gs = gradient + column * right_g, *xs = x + column * right, *ys = y + column;
    T mu = inside ? mean[column] : 0;
    T inverse = inside ? 1 / sqrt(var[column] + (T)eps) : 0;
    T total = 0, along = 0;
    if (inside)
        for (Int k = FIRST_ROW; k < rows; k += ROWS) {
            T g = pull_back(gs[k * down_g], ys[k * columns], slope);
            total += g;
            along += g * ((xs[k * down] - mu) * inverse);
        }
    total = column_sum(total);
    along = column_sum(along);
    if (!inside) return;
    if (threadIdx.x < COLUMNS) {
        if (dweight) dweight[column] = along;
        if (dbias) dbias[column] = total;
    }
    if (!dx) return;
    T scale = weight ? inverse * weight[column] : inverse;
    T shift = total / rows, tilt = along / rows;
    for (Int k = FIRST_ROW; k < rows; k += ROWS) {
        T g = pull_back(gs[k * down_g], ys[k * columns], slope);
        T normalized = (xs[k * down] - mu) * inverse;
        dx[k * columns + column] = scale * (g - shift - normalized * tilt);
    }
}
"""

_NAMES = "leaky_relu", "relu", "sigmoid", "tanh"
_ALL = {None: Formula("z", "g")} | {name: FORMULAS[name] for name in _NAMES}
_batch_norm = {
    name: with_formula(f"batch_norm_{name or 'alone'}", f.value, _FORWARD)
    for name, f in _ALL.items()
}
_batch_norm_back = {
    name: with_formula(f"batch_norm_{name or 'alone'}_back", f.pull_back, _BACKWARD)
    for name, f in _ALL.items()
}


def _in_rows(*vectors: Array | None) -> bool:
    return all(v is None or v.flags.c_contiguous for v in vectors)


def _forward(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    activation: str | None,
    negative_slope: float,
) -> Any:
    if x.ndim != 2 or not served(x, weight, bias) or not _in_rows(weight, bias):
        return NotImplemented
    if activation == "leaky_relu" and negative_slope < 0:
        return NotImplemented  # y does not tell the sign of what it is the activation of
    rows, columns = x.shape
    y = np.empty_like(x, order="C")
    mean, var = empty(x, (columns,)), empty(x, (columns,))
    numbers = float(eps), float(negative_slope), rows, columns
    args = x, weight, bias, y, mean, var, *numbers, *steps(x)
    _batch_norm[activation]((-(-columns // COLUMNS),), (BLOCK,), args)
    return (y, mean, var), None


def _backward(
    g: Sequence[Array | None],
    needs: Needs,
    outputs: Sequence[Array],
    residuals: None,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    activation: str | None,
    negative_slope: float,
) -> list[Array | None]:
    gy, g_mean, g_var = g
    y, mean, var = outputs
    rows, columns = x.shape
    dx = dweight = dbias = None
    if gy is not None:
        dx = np.empty_like(x, order="C") if needs[0] else None
        dweight, dbias = (_place(needs, position, mean) for position in (1, 2))
        numbers = float(eps), float(negative_slope), rows, columns
        args = gy, x, weight, y, mean, var, dx, dweight, dbias, *numbers, *steps(gy), *steps(x)
        _batch_norm_back[activation]((-(-columns // COLUMNS),), (BLOCK,), args)
    if needs[0] and g_mean is not None:
        part = np.broadcast_to(g_mean / rows, x.shape)
        dx = part if dx is None else dx + part
    if needs[0] and g_var is not None:
        part = (x - mean) * (2 * g_var / rows)
        dx = part if dx is None else dx + part
    return [dx, dweight, dbias]


def _place(needs: Needs, position: int, like: Array) -> Array | None:
    """Where the gradient of a parameter goes: where it is wanted, or a new array."""
    if not needs[position]:
        return None
    place = needs.place(position)
    return np.empty_like(like) if place is None else place


batch_norm = Kernel(_forward, _backward)
