"""Products of matrices, vectors and batches of matrices, all by cuBLAS."""

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
        return NotImplemented  # the definition raises the error
    a_is_vector, b_is_vector = a.ndim == 1, b.ndim == 1
    y = _product(a[None] if a_is_vector else a, b[:, None] if b_is_vector else b)
    if b_is_vector:
        y = y[..., 0]
    return y if not a_is_vector else y[..., 0] if b_is_vector else y[..., 0, :]


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
    """The products of batches of matrices, whose leading axes are broadcast."""
    front = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if front != a.shape[:-2]:
        a = np.broadcast_to(a, (*front, *a.shape[-2:]))
    if front != b.shape[:-2]:
        b = np.broadcast_to(b, (*front, *b.shape[-2:]))
    y = gemm_batched(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]))
    return y.reshape(*front, *y.shape[-2:])


matmul = Kernel(_matmul)
