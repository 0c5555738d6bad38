"""Batch normalization, channel by channel, each in the cache from its mean to its result.

LeakyReLU after it is done on the way; no activation is one with a slope of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.numba.activation import leaky_slopes
from minigrad.backends.numba.compiled import served, summing_loop
from minigrad.backends.numpy import norm as plain

_one, _zero = np.float32(1), np.float32(0)


@summing_loop
def _normalize(
    x: Any,
    weight: Any,
    bias: Any,
    eps: Any,
    slope: Any,
    y: Any,
    normalized: Any,
    mean: Any,
    var: Any,
    inverse: Any,
) -> None:
    channels, n = x.shape
    share = _one / np.float32(n)
    for c in range(channels):
        row, out, standard = x[c], y[c], normalized[c]
        total = _zero
        for k in range(n):
            total += row[k]
        mu = total * share
        total = _zero
        for k in range(n):
            total += (row[k] - mu) * (row[k] - mu)
        mean[c], var[c] = mu, total * share
        factor = _one / np.sqrt(total * share + eps)
        inverse[c] = factor
        for k in range(n):
            standard[k] = (row[k] - mu) * factor
        for k in range(n):
            value = standard[k] * weight[c] + bias[c]
            out[k] = value if value > 0 else slope * value


@summing_loop
def _normalize_back(
    g: Any, y: Any, slope: Any, normalized: Any, scale: Any, dx: Any, dweight: Any, dbias: Any
) -> None:
    channels, n = g.shape
    share = _one / np.float32(n)
    for c in range(channels):
        row, value, standard, out = g[c], y[c], normalized[c], dx[c]
        total, along = _zero, _zero
        for k in range(n):
            out[k] = row[k] if value[k] > 0 else slope * row[k]
        for k in range(n):
            total += out[k]
            along += out[k] * standard[k]
        dbias[c], dweight[c] = total, along
        shift, part = total * share, along * share
        for k in range(n):
            out[k] = scale[c] * (out[k] - shift - standard[k] * part)


def _is_done(activation: str | None, negative_slope: float) -> bool:
    """Whether the kernels apply an activation; y must show the sign of what it was made from."""
    return activation is None or (activation == "leaky_relu" and negative_slope > 0)


def _slope(activation: str | None, negative_slope: float) -> np.float32:
    return np.float32(1 if activation is None else negative_slope)


def _forward(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    activation: str | None,
    negative_slope: float,
) -> Any:
    if x.ndim != 2 or not served(x) or not _is_done(activation, negative_slope):
        return NotImplemented
    channels = x.shape[1]
    scale = np.ones(channels, np.float32) if weight is None else weight
    shift = np.zeros(channels, np.float32) if bias is None else bias
    if scale.dtype != np.float32 or shift.dtype != np.float32:
        return NotImplemented
    rows = np.ascontiguousarray(x.T)  # (C, N), as the linear layer's kernel leaves it
    y, normalized = np.empty_like(rows), np.empty_like(rows)
    mean, var, inverse = (np.empty(channels, np.float32) for _ in range(3))
    slope = _slope(activation, negative_slope)
    _normalize(rows, scale, shift, np.float32(eps), slope, y, normalized, mean, var, inverse)
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
    activation: str | None,
    negative_slope: float,
) -> list[Array | None]:
    gy, g_mean, g_var = g
    if gy is None or g_mean is not None or g_var is not None:
        if gy is not None and activation is not None:
            gy = leaky_slopes(gy, y[0], negative_slope)
        g = gy, g_mean, g_var
        return plain.batch_norm.backward(g, needs, y, residuals, x, weight, bias, eps, None, 0.0)  # type: ignore[no-any-return]
    normalized, inverse = residuals
    scale = inverse if weight is None else inverse * weight
    rows = np.ascontiguousarray(gy.T)
    slope = _slope(activation, negative_slope)
    dx, dweight, dbias = np.empty_like(rows), np.empty_like(scale), np.empty_like(scale)
    _normalize_back(rows, y[0].T, slope, normalized.T, scale, dx, dweight, dbias)
    found = (dx.T, dweight, dbias)
    return [part if need else None for part, need in zip(found, needs, strict=True)]


batch_norm = Kernel(_forward, _backward)
