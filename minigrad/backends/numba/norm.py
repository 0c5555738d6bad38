"""Batch normalization, one channel after the other, so that a channel stays in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.numba.compiled import is_supported, summing_loop
from minigrad.backends.numpy import norm as plain

_one, _zero = np.float32(1), np.float32(0)


@summing_loop
def _normalize(
    x: Any,
    weight: Any,
    bias: Any,
    eps: Any,
    y: Any,
    normalized: Any,
    mean: Any,
    var: Any,
    inverse: Any,
) -> None:
    channels, n = x.shape
    inverse_n = _one / np.float32(n)
    for c in range(channels):
        row, out, standard = x[c], y[c], normalized[c]
        total = _zero
        for k in range(n):
            total += row[k]
        mu = total * inverse_n
        total = _zero
        for k in range(n):
            total += (row[k] - mu) * (row[k] - mu)
        mean[c], var[c] = mu, total * inverse_n
        factor = _one / np.sqrt(total * inverse_n + eps)
        inverse[c] = factor
        for k in range(n):
            standard[k] = (row[k] - mu) * factor
        for k in range(n):
            out[k] = standard[k] * weight[c] + bias[c]


@summing_loop
def _normalize_back(g: Any, normalized: Any, scale: Any, dx: Any, dweight: Any, dbias: Any) -> None:
    channels, n = g.shape
    inverse_n = _one / np.float32(n)
    for c in range(channels):
        row, standard, out = g[c], normalized[c], dx[c]
        sum_g, sum_gx = _zero, _zero
        for k in range(n):
            sum_g += row[k]
            sum_gx += row[k] * standard[k]
        dbias[c], dweight[c] = sum_g, sum_gx
        mean_g, mean_gx = sum_g * inverse_n, sum_gx * inverse_n
        for k in range(n):
            out[k] = scale[c] * (row[k] - mean_g - standard[k] * mean_gx)


def _forward(x: Array, weight: Array | None, bias: Array | None, eps: float) -> Any:
    if x.ndim != 2 or not is_supported(x):
        return NotImplemented
    channels = x.shape[1]
    scale = np.ones(channels, np.float32) if weight is None else weight
    shift = np.zeros(channels, np.float32) if bias is None else bias
    if scale.dtype != np.float32 or shift.dtype != np.float32:
        return NotImplemented
    rows = np.ascontiguousarray(x.T)  # (C, N): no copy where a linear layer made x in F order
    y, normalized = np.empty_like(rows), np.empty_like(rows)
    mean, var, inverse = (np.empty(channels, np.float32) for _ in range(3))
    _normalize(rows, scale, shift, np.float32(eps), y, normalized, mean, var, inverse)
    return (y.T, mean, var), (normalized.T, inverse)


def _backward(
    g: Sequence[Array | None],
    needs: Needs,
    y: Sequence[Array],
    residuals: tuple[Array, Array],
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
) -> list[Array | None]:
    gy, g_mean, g_var = g
    if gy is None or g_mean is not None or g_var is not None:
        return plain.batch_norm.backward(g, needs, y, residuals, x, weight, bias, eps)  # type: ignore[no-any-return]
    normalized, inverse = residuals
    scale = inverse if weight is None else inverse * weight
    rows = np.ascontiguousarray(gy.T)
    dx, dweight, dbias = np.empty_like(rows), np.empty_like(scale), np.empty_like(scale)
    _normalize_back(rows, normalized.T, scale, dx, dweight, dbias)
    found = (dx.T, dweight, dbias)
    return [part if need else None for part, need in zip(found, needs, strict=True)]


batch_norm = Kernel(_forward, _backward)
