"""Sums as products, which BLAS computes two to six times as fast as NumPy adds; joined arrays."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel

_KEPT = 4096  # ones; more of them are made anew, so that 64 vectors are at most 2 MiB


def _ones(n: int, dtype: np.dtype[Any]) -> Array:
    return _kept_ones(n, dtype) if n <= _KEPT else np.ones(n, dtype)


@lru_cache(64)
def _kept_ones(n: int, dtype: np.dtype[Any]) -> Array:
    return np.ones(n, dtype)


def _sum_over(array: Array, axes: tuple[int, ...]) -> Any:
    if array.ndim == 2 and array.dtype.kind == "f":
        if axes == (0,):
            return _ones(array.shape[0], array.dtype) @ array
        if axes == (1,):
            return array @ _ones(array.shape[1], array.dtype)
    return NotImplemented


def _length(vectors: list[Array]) -> Any:
    rows = [x.ravel(order="K") for x in vectors]
    if any(row.dtype.kind != "f" for row in rows):
        return NotImplemented
    return np.sqrt(sum(row @ row for row in rows))


def _is_part(array: Array, vector: Any) -> bool:
    """Whether an array is some of a vector's elements in a row."""
    return (
        isinstance(vector, np.ndarray)
        and vector.ndim == 1
        and vector.flags.c_contiguous
        and array.flags.c_contiguous
        and array.dtype == vector.dtype
        and array.size > 0
    )


def _side_by_side(arrays: list[Array]) -> list[Array]:
    """Parts of a vector that lie one after the other, as one part of it."""
    found: list[Array] = []
    owner: Array = None  # the vector whose part was found last, from first to last
    address = first = last = 0
    for array in arrays:
        vector = array.base
        if not _is_part(array, vector):
            found.append(array)
            owner = None
            continue
        if vector is not owner:
            address = _address(vector)
        start = (_address(array) - address) // array.itemsize
        if vector is owner and start == last:
            last += array.size
            found[-1] = vector[first:last]
        else:
            owner, first, last = vector, start, start + array.size
            found.append(array)
    return found


def _address(array: Array) -> int:
    return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


sum_over = Kernel(_sum_over)
length = Kernel(_length)
side_by_side = Kernel(_side_by_side)
