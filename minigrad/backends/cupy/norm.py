"""Batch normalization in one launch forward, one backward: a block computes 8 whole channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.arrays import empty
from minigrad.backends.cupy.reduce import steps
from minigrad.backends.cupy.source import BLOCK, COLUMNS, is_supported, kernel

_FORWARD = r"""
extern "C" __global__ void batch_norm(
    const T* x, const T* weight, const T* bias, T* y, T* mean, T* var,
    double eps, Int rows, Int columns, Int down, Int right) {
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
        y[k * columns + column] = (xs[k * down] - mu) * inverse * scale + shift;
    }
    if (threadIdx.x < COLUMNS) {
        mean[column] = mu;
        var[column] = variance;
    }
}
"""

_BACKWARD = r"""
// With x^ = (x - mean) / sqrt(var + eps), and means and sums over the batch:
// dx = weight / sqrt(var + eps) (g - mean(g) - x^ mean(g x^)), dweight = sum(g x^), dbias = sum(g)
extern "C" __global__ void batch_norm_back(
    const T* gradient, const T* x, const T* weight, const T* mean, const T* var,
    T* dx, T* dweight, T* dbias, double eps, Int rows, Int columns,
    Int down_g, Int right_g, Int down, Int right) {
    Int column = COLUMN;
    bool inside = column < columns;
    const T *gs = gradient + column * right_g, *xs = x + column * right;
    T mu = inside ? mean[column] : 0;
    T inverse = inside ? 1 / sqrt(var[column] + (T)eps) : 0;
    T sum_g = 0, sum_gx = 0;
    if (inside)
        for (Int k = FIRST_ROW; k < rows; k += ROWS) {
            T g = gs[k * down_g];
            sum_g += g;
            sum_gx += g * ((xs[k * down] - mu) * inverse);
        }
    sum_g = column_sum(sum_g);
    sum_gx = column_sum(sum_gx);
    if (!inside) return;
    if (threadIdx.x < COLUMNS) {
        if (dweight) dweight[column] = sum_gx;
        if (dbias) dbias[column] = sum_g;
    }
    if (!dx) return;
    T scale = weight ? inverse * weight[column] : inverse;
    T mean_g = sum_g / rows, mean_gx = sum_gx / rows;
    for (Int k = FIRST_ROW; k < rows; k += ROWS) {
        T g = gs[k * down_g];
        T normalized = (xs[k * down] - mu) * inverse;
        dx[k * columns + column] = scale * (g - mean_g - normalized * mean_gx);
    }
}
"""

_batch_norm = kernel("batch_norm", _FORWARD)
_batch_norm_back = kernel("batch_norm_back", _BACKWARD)


def _are_contiguous(*vectors: Array | None) -> bool:
    return all(v is None or v.flags.c_contiguous for v in vectors)


def _forward(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
) -> Any:
    if x.ndim != 2 or not is_supported(x, weight, bias) or not _are_contiguous(weight, bias):
        return NotImplemented
    rows, columns = x.shape
    y = np.empty_like(x, order="C")
    mean, var = empty(x, (columns,)), empty(x, (columns,))
    args = x, weight, bias, y, mean, var, float(eps), rows, columns, *steps(x)
    _batch_norm((-(-columns // COLUMNS),), (BLOCK,), args)
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
) -> list[Array | None]:
    gy, g_mean, g_var = g
    _, mean, var = outputs
    rows, columns = x.shape
    dx = dweight = dbias = None
    if gy is not None:
        dx = np.empty_like(x, order="C") if needs[0] else None
        dweight, dbias = (_place(needs, position, mean) for position in (1, 2))
        sizes = rows, columns, *steps(gy), *steps(x)
        args = gy, x, weight, mean, var, dx, dweight, dbias, float(eps), *sizes
        _batch_norm_back((-(-columns // COLUMNS),), (BLOCK,), args)
    if needs[0] and g_mean is not None:
        part = np.broadcast_to(g_mean / rows, x.shape)
        dx = part if dx is None else dx + part
    if needs[0] and g_var is not None:
        part = (x - mean) * (2 * g_var / rows)
        dx = part if dx is None else dx + part
    return [dx, dweight, dbias]


def _place(needs: Needs, position: int, like: Array) -> Array | None:
    """The array to write a parameter's gradient to; None where no gradient is needed."""
    if not needs[position]:
        return None
    place = needs.place(position)
    return np.empty_like(like) if place is None else place


batch_norm = Kernel(_forward, _backward)
