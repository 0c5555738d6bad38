"""LeakyReLU without branches: NumPy's `where` waits at every sign that it could not foresee."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs


def _forward(x: Array, negative_slope: float) -> Any:
    if x.dtype.kind != "f" or x.ndim == 0 or not 0 < negative_slope <= 1:
        return NotImplemented
    y = x * negative_slope
    return np.maximum(x, y, out=y), None  # the larger of the two, as the slope is at most 1


def leaky_slopes(g: Array, x: Array, negative_slope: float) -> Array:
    """G where x > 0, else slope g: chosen bit by bit, `a ^ ((a ^ b) & mask)`."""
    integer = np.dtype(f"i{x.itemsize}")
    mask = (x > 0).view(np.int8).astype(integer)
    np.negative(mask, out=mask)  # all bits set where x > 0
    dx = g * negative_slope
    bits = dx.view(integer)
    mask &= bits ^ g.view(integer)
    bits ^= mask
    return dx


def _backward(
    g: Array, needs: Needs, y: Array, residuals: None, x: Array, negative_slope: float
) -> list[Array]:
    return [leaky_slopes(g, x, negative_slope)]


leaky_relu = Kernel(_forward, _backward)
