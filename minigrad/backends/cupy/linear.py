"""The linear layer: a cuBLAS product, and a kernel that adds the bias."""

from __future__ import annotations

from typing import Any

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.cupy.cublas import gemm
from minigrad.backends.cupy.reduce import column_sums
from minigrad.backends.cupy.source import (
    BLOCK,
    blocks_for,
    in_c_order,
    is_supported,
    kernel,
)

_add_bias = kernel(
    "linear_bias",
    r"""
extern "C" __global__ void linear_bias(T* y, const T* bias, Int columns, Int n) {
    for EACH(i, n) y[i] += bias[i % columns];
}
""",
)


def _forward(x: Array, weight: Array, bias: Array | None) -> Any:
    if not is_supported(x, weight, bias) or weight.ndim != 2 or x.ndim < 2:
        return NotImplemented
    if x.shape[-1] != weight.shape[1] or (bias is not None and bias.shape != weight.shape[:1]):
        return NotImplemented
    y = gemm(_rows(x), weight.T)
    if bias is not None:
        _add_bias((blocks_for(y.size),), (BLOCK,), (y, in_c_order(bias), len(weight), y.size))
    return y.reshape(*x.shape[:-1], len(weight)), None


def _backward(
    g: Array,
    needs: Needs,
    y: Array,
    residuals: None,
    x: Array,
    weight: Array,
    bias: Array | None,
) -> list[Array | None]:
    dz = _rows(g)
    dbias = column_sums(dz, out=needs.place(2)) if needs[2] else None
    dx = gemm(dz, weight).reshape(x.shape) if needs[0] else None
    dweight = gemm(dz.T, _rows(x), needs.place(1)) if needs[1] else None
    return [dx, dweight, dbias]


def _rows(x: Array) -> Array:
    """An array (..., features) as a matrix (samples, features)."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


linear = Kernel(_forward, _backward)
