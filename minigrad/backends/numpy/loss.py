"""Losses fused with their sigmoid or softmax: backward reuses what forward has computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs


def _classes_forward(z: Array, classes: Array, axis: int) -> Any:
    if z.ndim != 2 or axis not in (1, -1) or z.size == 0 or z.dtype.char not in "fd":
        return NotImplemented
    shifted = z - z.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    rows = np.arange(len(z))
    return np.log(total[:, 0]) - shifted[rows, classes], (p, rows)


def _classes_backward(
    g: Array,
    needs: Needs,
    y: Array,
    residuals: tuple[Array, Array],
    z: Array,
    classes: Array,
    axis: int,
) -> list[Array | None]:
    """dL/dz = g softmax(z), minus g at the target class; g is (N,) or ()."""
    p, rows = residuals
    dz = p * g[..., None]
    dz[rows, classes] -= g
    return [dz, None]


cross_entropy_of_classes = Kernel(_classes_forward, _classes_backward)


def _mean_forward(z: Array, classes: Array, axis: int, ignore_index: int) -> Any:
    counted = classes != ignore_index
    count = np.count_nonzero(counted)
    if count == 0 or count < classes.size:  # the batch is empty, or some targets are ignored
        return NotImplemented
    found = _classes_forward(z, classes, axis)
    if found is NotImplemented:
        return NotImplemented
    losses, residuals = found
    return losses.sum() / losses.dtype.type(count), residuals


def _mean_backward(
    g: Array,
    needs: Needs,
    y: Array,
    residuals: tuple[Array, Array],
    z: Array,
    classes: Array,
    axis: int,
    ignore_index: int,
) -> list[Array | None]:
    share = g / g.dtype.type(len(z))
    return _classes_backward(share, needs, y, residuals, z, classes, axis)


mean_cross_entropy = Kernel(_mean_forward, _mean_backward)


def _logits_forward(z: Array, target: Array, pos_weight: Array | None) -> Any:
    is_supported = z.dtype == target.dtype and z.dtype.char in "fd"
    if pos_weight is not None or z.shape != target.shape or not is_supported:
        return NotImplemented
    small = np.exp(-np.abs(z))  # at most 1: nothing overflows
    y = np.maximum(z, 0)
    y += np.log1p(small)
    y -= target * z
    return y, small


def _logits_backward(
    g: Array,
    needs: Needs,
    y: Array,
    small: Array,
    z: Array,
    target: Array,
    pos_weight: Array | None,
) -> list[Array | None]:
    """With targets t: dL/dz = g (sigmoid(z) - t), and dL/dt = -g z."""
    dz = dtarget = None
    if needs[0]:
        dz = np.where(z >= 0, 1, small) / (1 + small)
        dz -= target
        dz *= g
    if needs[1]:
        dtarget = -g * z
    return [dz, dtarget]


binary_cross_entropy_with_logits = Kernel(_logits_forward, _logits_backward)
