"""Activations and their derivatives, in one launch each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.cupy.reduce import steps
from minigrad.backends.cupy.source import (
    BLOCK,
    CudaKernel,
    aligned,
    blocks_for,
    in_a_row,
    kernel,
    served,
)


class Formula(NamedTuple):
    """An activation in CUDA C.

    Attributes:
        value: y, from z and the slope of leaky_relu.
        pull_back: The gradient of z, from that of y, g, and from y itself (softplus: from z).
    """

    value: str
    pull_back: str


FORMULAS = {
    "sigmoid": Formula("sigmoid(z)", "g * (y * (1 - y))"),
    "tanh": Formula("tanh(z)", "g * (1 - y * y)"),
    "relu": Formula("z < 0 ? 0 : z", "y > 0 ? g : 0"),  # nan stays nan
    "leaky_relu": Formula("z > 0 ? z : (T)slope * z", "y > 0 ? g : (T)slope * g"),
    "softplus": Formula("softplus(z)", "g * sigmoid(y)"),
}

_VALUE = r"""
extern "C" __global__ void NAME(const T* x, T* y, double slope, Int n) {
    for EACH(i, n) {
        T z = x[i];
        y[i] = FORMULA;
    }
}
"""
_PULL_BACK = r"""
extern "C" __global__ void NAME(
    const T* gradient, const T* value, T* dz, double slope, Int step, Int n) {
    for EACH(i, n) {
        T g = gradient[i * step], y = value[i];
        dz[i] = FORMULA;
    }
}
"""


def with_formula(name: str, formula: str, source: str) -> CudaKernel:
    """The kernel of a text in which NAME and FORMULA stand for these."""
    return kernel(name, f"#define NAME {name}\n#define FORMULA ({formula})\n{source}")


_values = {name: with_formula(f"{name}_forward", f.value, _VALUE) for name, f in FORMULAS.items()}
_pull_backs = {
    name: with_formula(f"{name}_back", f.pull_back, _PULL_BACK) for name, f in FORMULAS.items()
}


def _value(name: str, x: Array, negative_slope: float = 0.0) -> Any:
    if not served(x) or not in_a_row(x):
        return NotImplemented
    y = np.empty_like(x)
    _values[name]((blocks_for(x.size),), (BLOCK,), (x, y, float(negative_slope), x.size))
    return y


def _pull_back(name: str, g: Array, y: Array, negative_slope: float = 0.0) -> Any:
    if not served(y, g) or not in_a_row(y):
        return NotImplemented
    g, step = aligned(g, y)
    dz = np.empty_like(y)
    args = g, y, dz, float(negative_slope), step, y.size
    _pull_backs[name]((blocks_for(y.size),), (BLOCK,), args)
    return dz


def _kernel(name: str) -> Kernel:
    return Kernel(lambda x: _value(name, x), {"x": lambda g, y: _pull_back(name, g, y)})


sigmoid, tanh, relu, softplus = (_kernel(n) for n in ("sigmoid", "tanh", "relu", "softplus"))


def _leaky_forward(x: Array, negative_slope: float) -> Any:
    y = _value("leaky_relu", x, negative_slope)
    return y if y is NotImplemented else (y, None)


def _leaky_backward(
    g: Array, needs: Needs, y: Array, residuals: None, x: Array, negative_slope: float
) -> list[Array]:
    return [_pull_back("leaky_relu", g, x, negative_slope)]  # by the sign of x, whatever the slope


leaky_relu = Kernel(_leaky_forward, _leaky_backward)


# --- Softmax: a warp, which is 32 threads, takes a row ------------------------------------------

WARPS = BLOCK // 32  # rows to a block

ROW_OF_WARP = r"""
// the row of this thread's warp, and the thread's place in the warp
#define ROW (blockIdx.x * (Int)(blockDim.x / 32) + threadIdx.x / 32)
#define LANE (threadIdx.x % 32)
#define EACH_COLUMN(k, columns) (Int k = LANE; k < (columns); k += 32)

// the largest of a row, and the sum of e^(x - largest)
__device__ __forceinline__ void peak_and_total(
    const T* x, Int columns, Int right, T* peak, T* total) {
    T most = -INFINITE, sum = 0;
    for EACH_COLUMN(k, columns) most = larger(most, x[k * right]);
    most = warp_max(most);
    for EACH_COLUMN(k, columns) sum += exp(x[k * right] - most);
    *peak = most;
    *total = warp_sum(sum);
}
"""

_SOFTMAX = (
    ROW_OF_WARP
    + r"""
extern "C" __global__ void NAME(
    const T* input, T* y, Int rows, Int columns, Int down, Int right) {
    Int row = ROW;
    if (row >= rows) return;
    const T* x = input + row * down;
    T peak, total;
    peak_and_total(x, columns, right, &peak, &total);
    for EACH_COLUMN(k, columns) {
        T shifted = x[k * right] - peak;
        y[row * columns + k] = FORMULA;
    }
}
"""
)
_SOFTMAX_BACK = (
    ROW_OF_WARP
    + r"""
extern "C" __global__ void NAME(
    const T* gradient, const T* output, T* dx,
    Int rows, Int columns, Int down_g, Int right_g, Int down, Int right) {
    Int row = ROW;
    if (row >= rows) return;
    const T *gs = gradient + row * down_g, *ys = output + row * down;
    T sum = 0;
    for EACH_COLUMN(k, columns) {
        T g = gs[k * right_g];
        sum += TERM;
    }
    sum = warp_sum(sum);
    for EACH_COLUMN(k, columns) {
        T g = gs[k * right_g], y = ys[k * right];
        dx[row * columns + k] = FORMULA;
    }
}
"""
)


def _softmax_kernel(name: str, value: str, term: str, pull_back: str) -> Kernel:
    """The kernel of softmax or of its logarithm.

    Args:
        name: The operation's.
        value: y, from the shifted input, and total, the sum of exponentials.
        term: What is summed over a row for the gradient, from g and the row ys of y.
        pull_back: The gradient of x, from g, y and that sum.
    """
    forward = with_formula(f"{name}_forward", value, _SOFTMAX)
    backward = with_formula(f"{name}_back", pull_back, f"#define TERM ({term})\n{_SOFTMAX_BACK}")

    def call(x: Array, *, axis: int = -1) -> Any:
        rows = _as_rows(x, axis)
        if rows is None or not served(x):
            return NotImplemented
        y = np.empty_like(x, order="C")
        grid = (blocks_for_rows(len(rows)),)
        forward(grid, (BLOCK,), (rows, y, *rows.shape, *steps(rows)))
        return y

    def pull(g: Array, y: Array, axis: int) -> Any:
        gs, ys = _as_rows(g, axis), _as_rows(y, axis)
        if gs is None or ys is None or not served(y, g):
            return NotImplemented
        dx = np.empty_like(y, order="C")
        grid = (blocks_for_rows(len(ys)),)
        backward(grid, (BLOCK,), (gs, ys, dx, *ys.shape, *steps(gs), *steps(ys)))
        return dx

    return Kernel(call, {"x": pull})


def blocks_for_rows(rows: int) -> int:
    """How many blocks give each row a warp."""
    return -(-rows // WARPS)


def _as_rows(x: Array, axis: int) -> Array | None:
    """The matrix whose rows go along an array's last axis; None for other axes, or without one."""
    if x.ndim == 0 or axis not in (-1, x.ndim - 1):
        return None
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


softmax = _softmax_kernel("softmax", "exp(shifted) / total", "g * ys[k * right]", "y * (g - sum)")
log_softmax = _softmax_kernel("log_softmax", "shifted - log(total)", "g", "g - exp(y) * sum")
