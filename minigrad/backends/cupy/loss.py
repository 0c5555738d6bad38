"""Losses fused with their sigmoid or softmax, in one or two launches forward, one backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.arrays import empty
from minigrad.backends.cupy.reduce import steps
from minigrad.backends.cupy.source import (
    BLOCK,
    aligned,
    blocks_for,
    in_c_order,
    in_one_order,
    is_supported,
    kernel,
)

# --- Two classes --------------------------------------------------------------------------------

_logits = kernel(
    "binary_cross_entropy_with_logits",
    r"""
extern "C" __global__ void binary_cross_entropy_with_logits(
    const T* z, const T* target, T* y, Int n) {
    for EACH(i, n) y[i] = softplus(z[i]) - target[i] * z[i];
}
""",
)

_logits_back = kernel(
    "binary_cross_entropy_with_logits_back",
    r"""
extern "C" __global__ void binary_cross_entropy_with_logits_back(
    const T* g, const T* z, const T* target, T* dz, T* dtarget, Int step, Int n) {
    for EACH(i, n) {
        if (dz) dz[i] = g[i * step] * (sigmoid(z[i]) - target[i]);
        if (dtarget) dtarget[i] = -g[i * step] * z[i];
    }
}
""",
)


def _logits_forward(z: Array, target: Array, pos_weight: Array | None) -> Any:
    if pos_weight is not None or z.shape != target.shape or not is_supported(z, target):
        return NotImplemented
    if not in_one_order(z, target):
        return NotImplemented
    y = np.empty_like(z)
    _logits((blocks_for(z.size),), (BLOCK,), (z, target, y, z.size))
    return y, None


def _logits_backward(
    g: Array,
    needs: Needs,
    y: Array,
    residuals: None,
    z: Array,
    target: Array,
    pos_weight: Array | None,
) -> list[Array | None]:
    g, step = aligned(g, z)
    dz = np.empty_like(z) if needs[0] else None
    dtarget = np.empty_like(z) if needs[1] else None
    _logits_back((blocks_for(z.size),), (BLOCK,), (g, z, target, dz, dtarget, step, z.size))
    return [dz, dtarget]


binary_cross_entropy_with_logits = Kernel(_logits_forward, _logits_backward)

_entropy = kernel(
    "binary_cross_entropy",
    r"""
extern "C" __global__ void binary_cross_entropy(const T* ps, const T* target, T* y, Int n) {
    for EACH(i, n) {
        T p = ps[i], t = target[i];
        y[i] = (t - 1) * larger(log1p(-p), -100) - t * larger(log(p), -100);
    }
}
""",
)

_entropy_back = kernel(
    "binary_cross_entropy_back",
    r"""
extern "C" __global__ void binary_cross_entropy_back(
    const T* g, const T* ps, const T* target, T* dp, Int step, Int n) {
    const T smallest = 1e-12f;  // for the denominator; PyTorch too has a float32 for both dtypes
    for EACH(i, n) {
        T p = ps[i];
        dp[i] = g[i * step] * (p - target[i]) / larger(p * (1 - p), smallest);
    }
}
""",
)


def _entropy_forward(p: Array, target: Array) -> Any:
    if p.shape != target.shape or not is_supported(p, target) or not in_one_order(p, target):
        return NotImplemented
    y = np.empty_like(p)
    _entropy((blocks_for(p.size),), (BLOCK,), (p, target, y, p.size))
    return y


def _entropy_backward(g: Array, p: Array, target: Array) -> Any:
    if g.shape != p.shape or not is_supported(g, p, target) or not in_one_order(p, target):
        return NotImplemented
    g, step = aligned(g, p)
    dp = np.empty_like(p)
    _entropy_back((blocks_for(p.size),), (BLOCK,), (g, p, target, dp, step, p.size))
    return dp


binary_cross_entropy = Kernel(_entropy_forward, {"p": _entropy_backward})

# --- Several classes: a warp (32 threads) computes the loss of one row of logits ------------------

_WARPS = BLOCK // 32  # in a block
_NOTHING = -(1 << 63)  # the ignore_index that ignores no class

_classes = kernel(
    "cross_entropy_of_classes",
    r"""
// y = -log softmax(z)[class]; 0 where the class is ignored, nan where it does not exist
extern "C" __global__ void cross_entropy_of_classes(
    const T* logits, const Int* classes, T* y, T* peaks, T* totals,
    Int ignored, Int rows, Int columns, Int down, Int right) {
    Int row = blockIdx.x * (Int)(blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    const T* z = logits + row * down;
    T peak = -INFINITE, total = 0;
    for (Int k = lane; k < columns; k += 32) peak = larger(peak, z[k * right]);
    peak = warp_max(peak);
    for (Int k = lane; k < columns; k += 32) total += exp(z[k * right] - peak);
    total = warp_sum(total);
    if (lane > 0) return;
    Int chosen = classes[row];
    bool exists = 0 <= chosen && chosen < columns;
    T loss = exists ? log(total) - (z[chosen * right] - peak) : INFINITE - INFINITE;
    y[row] = chosen == ignored ? 0 : loss;
    peaks[row] = peak;
    totals[row] = total;
}
""",
)

_mean = kernel(
    "mean_of_counted",
    r"""
// y = the sum of losses / the number of targets that are not ignored (count); one block
extern "C" __global__ void mean_of_counted(
    const T* losses, const Int* classes, T* y, T* count, Int ignored, Int n) {
    T total = 0, counted = 0;
    for EACH(i, n) {
        total += losses[i];
        counted += classes[i] != ignored;
    }
    total = block_sum(total);
    counted = block_sum(counted);
    if (threadIdx.x == 0) {
        *y = total / counted;  // 0 / 0 is nan
        *count = counted;
    }
}
""",
)

_classes_back = kernel(
    "cross_entropy_of_classes_back",
    r"""
// dz = g (softmax(z) - 1 at the target class), divided by count for a mean; 0 where ignored
extern "C" __global__ void cross_entropy_of_classes_back(
    const T* g, const T* z, const Int* classes, const T* peaks, const T* totals, const T* count,
    T* dz, Int ignored, Int step, Int columns, Int down, Int right, Int n) {
    for EACH(i, n) {
        Int row = i / columns, k = i % columns;
        T p = exp(z[row * down + k * right] - peaks[row]) / totals[row];
        T share = count ? g[row * step] / *count : g[row * step];
        T slope = share * (k == classes[row] ? p - 1 : p);
        dz[i] = classes[row] == ignored ? 0 : slope;
    }
}
""",
)


def _losses(z: Array, classes: Array, axis: int, ignored: int) -> Any:
    """The loss of each row, and per row for backward: its class, largest logit, sum of e^(z - max).

    NotImplemented where the logits or the classes are not supported.
    """
    if z.ndim != 2 or axis not in (1, -1) or not is_supported(z) or classes.dtype.kind not in "iu":
        return NotImplemented
    rows, columns = z.shape
    chosen = in_c_order(classes.astype(np.int64, copy=False))
    y, peaks, totals = (empty(z, (rows,)) for _ in range(3))
    args = z, chosen, y, peaks, totals, ignored, rows, columns, *steps(z)
    _classes((-(-rows // _WARPS),), (BLOCK,), args)
    return y, (chosen, peaks, totals)


def _pull_back(
    g: Array, step: int, z: Array, found: tuple[Array, ...], count: Array | None, ignored: int
) -> list[Array | None]:
    dz = np.empty_like(z, order="C")
    args = g, z, *found, count, dz, ignored, step, z.shape[1], *steps(z), z.size
    _classes_back((blocks_for(z.size),), (BLOCK,), args)
    return [dz, None]


def _classes_forward(z: Array, classes: Array, axis: int) -> Any:
    return _losses(z, classes, axis, _NOTHING)


def _classes_backward(
    g: Array,
    needs: Needs,
    y: Array,
    residuals: tuple[Array, ...],
    z: Array,
    classes: Array,
    axis: int,
) -> list[Array | None]:
    return _pull_back(*aligned(g, y), z, residuals, None, _NOTHING)


cross_entropy_of_classes = Kernel(_classes_forward, _classes_backward)


def _mean_forward(z: Array, classes: Array, axis: int, ignore_index: int) -> Any:
    losses = _losses(z, classes, axis, ignore_index)
    if losses is NotImplemented:
        return NotImplemented
    each, found = losses
    y, count = empty(z, ()), empty(z, ())
    _mean((1,), (BLOCK,), (each, found[0], y, count, ignore_index, each.size))
    return y, (found, count)


def _mean_backward(
    g: Array,
    needs: Needs,
    y: Array,
    residuals: tuple[tuple[Array, ...], Array],
    z: Array,
    classes: Array,
    axis: int,
    ignore_index: int,
) -> list[Array | None]:
    return _pull_back(g, 0, z, *residuals, ignore_index)


mean_cross_entropy = Kernel(_mean_forward, _mean_backward)
