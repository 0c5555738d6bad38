"""LeakyReLU without branches: `np.where` loses time at every sign that is predicted wrongly."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs


def _forward(x: Array, negative_slope: float) -> Any:
    if x.dtype.kind != "f" or x.ndim == 0 or not 0 < negative_slope <= 1:
        return NotImplemented
    y = x * negative_slope
    return np.maximum(x, y, out=y), None  # the larger of the two, as the slope is at most 1


def _backward(
    g: Array, needs: Needs, y: Array, residuals: None, x: Array, negative_slope: float
) -> list[Array]:
    dx: Array = (x > 0).astype(x.dtype)
    np.clip(dx, negative_slope, 1, out=dx)  # `maximum` with a number takes three times as long
    dx *= g
    return [dx]


leaky_relu = Kernel(_forward, _backward)
