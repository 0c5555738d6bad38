"""Sums as products with a vector of ones: BLAS is two to six times as fast as NumPy's sum."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel

_LONGEST = 4096  # elements; longer vectors of ones are not cached, so the 64 cached take <= 2 MiB


def _ones(n: int, dtype: np.dtype[Any]) -> Array:
    return _cached_ones(n, dtype) if n <= _LONGEST else np.ones(n, dtype)


@lru_cache(64)
def _cached_ones(n: int, dtype: np.dtype[Any]) -> Array:
    return np.ones(n, dtype)


def _sum_over(array: Array, axes: tuple[int, ...]) -> Any:
    if array.ndim == 2 and array.dtype.kind == "f":
        if axes == (0,):
            return _ones(array.shape[0], array.dtype) @ array
        if axes == (1,):
            return array @ _ones(array.shape[1], array.dtype)
    return NotImplemented


def _euclidean_norm(vectors: list[Array]) -> Any:
    rows = [x.ravel(order="K") for x in vectors]
    if any(row.dtype.kind != "f" for row in rows):
        return NotImplemented
    return np.sqrt(sum(row @ row for row in rows))


sum_over = Kernel(_sum_over)
euclidean_norm = Kernel(_euclidean_norm)
