"""Products of matrices, vectors and batches, all through one handle of cuBLAS."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel
from minigrad.backends.arrays import zeros
from minigrad.backends.cupy.cublas import gemm, gemm_batched


def _matmul(a: Array, b: Array) -> Any:
    if type(a) is not type(b) or min(a.ndim, b.ndim) == 0:
        return NotImplemented
    if a.dtype.char not in "fd" or a.dtype.char != b.dtype.char:
        return NotImplemented
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        return NotImplemented  # which the definition complains about
    row, column = a.ndim == 1, b.ndim == 1
    y = _product(a[None] if row else a, b[:, None] if column else b)
    if column:
        y = y[..., 0]
    return y if not row else y[..., 0] if column else y[..., 0, :]


def _product(a: Array, b: Array) -> Array:
    """The product of matrices (n, k) and (k, m), or of batches of them."""
    if a.size == 0 or b.size == 0:
        front = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        return zeros(a, (*front, a.shape[-2], b.shape[-1]))
    if a.ndim == b.ndim == 2:
        return gemm(a, b)
    if b.ndim == 2:  # one product for the whole batch
        return gemm(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    return _batches(a, b)


def _batches(a: Array, b: Array) -> Array:
    """The products of batches, whose axes in front broadcast against one another."""
    front = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if front != a.shape[:-2]:
        a = np.broadcast_to(a, (*front, *a.shape[-2:]))
    if front != b.shape[:-2]:
        b = np.broadcast_to(b, (*front, *b.shape[-2:]))
    y = gemm_batched(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]))
    return y.reshape(*front, *y.shape[-2:])


matmul = Kernel(_matmul)
