"""Sums as products, which BLAS computes two to six times as fast as NumPy adds."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel


def _sum_over(array: Array, axes: tuple[int, ...]) -> Any:
    if array.ndim == 2 and array.dtype.kind == "f":
        if axes == (0,):
            return np.ones(len(array), array.dtype) @ array
        if axes == (1,):
            return array @ np.ones(array.shape[1], array.dtype)
    return NotImplemented


def _length(vectors: list[Array]) -> Any:
    rows = [x.ravel(order="K") for x in vectors]
    if any(row.dtype.kind != "f" for row in rows):
        return NotImplemented
    return np.sqrt(sum(row @ row for row in rows))


sum_over = Kernel(_sum_over)
length = Kernel(_length)
