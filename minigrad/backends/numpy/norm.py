"""Batch normalization, forward and backward, with few temporary arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.arrays import sum_over


def _forward(x: Array, weight: Array | None, bias: Array | None, eps: float) -> Any:
    if x.ndim != 2 or 0 in x.shape or x.dtype.char not in "fd":  # float16 is summed in float32
        return NotImplemented
    mean = sum_over(x, (0,)) / len(x)
    normalized = x - mean  # (N, C)
    var = sum_over(normalized * normalized, (0,)) / len(x)
    inverse = 1 / np.sqrt(var + eps)
    normalized *= inverse
    y = normalized if weight is None else normalized * weight
    if bias is not None:
        y = y + bias
    return (y, mean, var), (normalized, inverse)


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
    """Compute dx = s (g - mean(g) - x^ mean(g x^)), dweight = sum(g x^) and dbias = sum(g).

    Here x^ = normalized, s = weight / sqrt(var + eps), and means and sums are over the batch. The
    gradients of the outputs mean and var add g_mean / N and 2 (x - mean) g_var / N to dx.
    """
    gy, g_mean, g_var = g
    normalized, inverse = residuals
    n = len(x)
    dx = dweight = dbias = None
    if gy is not None:
        dbias = sum_over(gy, (0,))
        dweight = sum_over(gy * normalized, (0,))
        if needs[0]:
            dx = normalized * (-dweight / n)
            dx += gy
            dx -= dbias / n
            dx *= inverse if weight is None else inverse * weight
    if needs[0] and g_mean is not None:
        dx = np.broadcast_to(g_mean / n, x.shape) if dx is None else dx + g_mean / n
    if needs[0] and g_var is not None:
        part = normalized * (2 * g_var / (n * inverse))
        dx = part if dx is None else dx + part
    return [dx, dweight if needs[1] else None, dbias if needs[2] else None]


batch_norm = Kernel(_forward, _backward)
