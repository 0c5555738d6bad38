"""Matrix products in the memory order that suits OpenBLAS's threads.

OpenBLAS splits the longer side of the result between its threads. If that side is the outer axis
in memory, each thread writes to memory of its own. If it is the inner axis, all threads write to
every row, and cores that write to the same cache lines wait for each other: up to twice the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel

dot: Any = np.ndarray.dot  # as fast as matmul with BLAS, and half a microsecond less for a call
_WORTH_CUTTING = 1 << 20  # multiplications; OpenBLAS computes smaller products in one thread


def product(a: Array, b: Array) -> Array:
    """The product of two matrices; the longer side of the result is the outer axis in memory."""
    wide = b.shape[1] > a.shape[0]
    if a.shape[1] == 1:  # for a column times a row, BLAS's overhead outweighs the work
        return (b.T * a.T).T if wide else a * b
    return dot(b.T, a.T).T if wide else dot(a, b)


def product_by_rows(a: Array, b: Array, y: Array | None = None) -> Array:
    """The product of two matrices in C order, computed in pieces that are taller than wide.

    Args:
        a: (n, k).
        b: (k, m).
        y: The array (n, m) to write to; by default a new one.
    """
    height, width = a.shape[0], b.shape[1]
    if width < height or a.size * width < _WORTH_CUTTING:
        return np.matmul(a, b, out=y)
    if y is None:
        y = np.empty((height, width), a.dtype)
    step = -(-width // (width // height + 1))
    for start in range(0, width, step):
        np.matmul(a, b[:, start : start + step], out=y[:, start : start + step])
    return y


def _matmul(a: Array, b: Array) -> Any:
    if type(a) is type(b) is np.ndarray and a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0]:
        return product(a, b)
    return NotImplemented


def _left(g: Array, a_shape: tuple[int, ...], b: Array) -> Any:
    return product(g, b.T) if g.ndim == b.ndim == len(a_shape) == 2 else NotImplemented


def _right(g: Array, a: Array, b_shape: tuple[int, ...]) -> Any:
    return product(a.T, g) if g.ndim == a.ndim == len(b_shape) == 2 else NotImplemented


matmul = Kernel(_matmul, {"a": _left, "b": _right})
