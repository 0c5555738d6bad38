"""The helpers of `backends/arrays.py` on the GPU; the host never waits for an array's values."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel
from minigrad.backends.arrays import empty
from minigrad.backends.cupy.reduce import sum_of
from minigrad.backends.cupy.source import BLOCK, blocks_for, is_supported, kernel


def _sum_over(array: Array, axes: tuple[int, ...]) -> Any:
    return sum_of(array, axes)


_PARTS = 256  # the most blocks of sums_of_squares; each block writes one partial sum

_squares = kernel(
    "sums_of_squares",
    r"""
extern "C" __global__ void sums_of_squares(const T* x, T* sums, Int n) {
    T total = 0;
    for EACH(i, n) total += x[i] * x[i];
    total = block_sum(total);
    if (threadIdx.x == 0) sums[blockIdx.x] = total;
}
""",
)

_root = kernel(
    "root_of_sum",
    r"""
extern "C" __global__ void root_of_sum(const T* sums, T* y, Int n) {  // one block
    T total = 0;
    for EACH(i, n) total += sums[i];
    total = block_sum(total);
    if (threadIdx.x == 0) *y = sqrt(total);
}
""",
)


def _euclidean_norm(vectors: list[Array]) -> Any:
    contiguous = all(x.flags.c_contiguous or x.flags.f_contiguous for x in vectors)
    if not contiguous or not is_supported(*vectors):
        return NotImplemented
    counts = [min(blocks_for(x.size, 4 * BLOCK), _PARTS) for x in vectors]
    sums = empty(vectors[0], (sum(counts),))
    start = 0
    for x, count in zip(vectors, counts, strict=True):
        _squares((count,), (BLOCK,), (x, sums[start:], x.size))
        start += count
    y = empty(sums, ())
    _root((1,), (BLOCK,), (sums, y, sums.size))
    return y


_clip = kernel(
    "clip_norm",
    r"""
extern "C" __global__ void clip_norm(T* x, const T* norm, double max_norm, Int n) {
    T factor = (T)max_norm / (*norm + (T)1e-6);
    if (factor >= 1) return;  // false for nan, so that nan spreads to x
    for EACH(i, n) x[i] *= factor;
}
""",
)


def _clip_norm(array: Array, norm: Array, max_norm: float) -> Any:
    contiguous = array.flags.c_contiguous or array.flags.f_contiguous
    if not contiguous or not is_supported(array, norm):
        return NotImplemented
    _clip((blocks_for(array.size),), (BLOCK,), (array, norm, float(max_norm), array.size))
    return None


_update = kernel(
    "update_statistics",
    r"""
extern "C" __global__ void update_statistics(
    const T* mean, const T* var, T* running_mean, T* running_var, Int* batches,
    double momentum, double unbiased, Int n) {
    if (batches && blockIdx.x == 0 && threadIdx.x == 0) *batches += 1;
    for EACH(i, n) {
        if (running_mean) running_mean[i] += (T)momentum * (mean[i] - running_mean[i]);
        if (running_var) running_var[i] += (T)momentum * (var[i] * (T)unbiased - running_var[i]);
    }
}
""",
)


def _update_statistics(
    mean: Array,
    var: Array,
    running_mean: Array | None,
    running_var: Array | None,
    momentum: float | Array,
    count: int,
    batches: Array | None,
) -> Any:
    given = [x for x in (mean, var, running_mean, running_var) if x is not None]
    if not is_supported(*given) or not all(x.flags.c_contiguous for x in given):
        return NotImplemented
    if not isinstance(momentum, int | float):
        return NotImplemented
    unbiased = count / (count - 1)
    args = mean, var, running_mean, running_var, batches, float(momentum), unbiased, mean.size
    _update((blocks_for(mean.size),), (BLOCK,), args)
    return None


_AT_ONCE = 8  # for more arrays CuPy copies a table to the GPU, which a capture refuses


def _concatenate(arrays: list[Array], axis: int | None) -> Any:
    if len(arrays) <= _AT_ONCE or axis is None:
        return NotImplemented
    shape, dtype = list(arrays[0].shape), arrays[0].dtype
    fit = [
        x.dtype == dtype and _without(list(x.shape), axis) == _without(shape, axis) for x in arrays
    ]
    if not -len(shape) <= axis < len(shape) or not all(fit):
        return NotImplemented  # the definition raises an error, or converts the dtypes
    shape[axis] = sum(x.shape[axis] for x in arrays)
    y = empty(arrays[0], tuple(shape))
    along = np.moveaxis(y, axis, 0)
    start = 0
    for x in arrays:
        stop = start + x.shape[axis]
        along[start:stop] = np.moveaxis(x, axis, 0)
        start = stop
    return y


def _without(shape: list[int], axis: int) -> list[int]:
    return [n for i, n in enumerate(shape) if i not in (axis, len(shape) + axis)]


def _stack(arrays: list[Array], axis: int) -> Any:
    if len(arrays) <= _AT_ONCE or len({x.shape for x in arrays}) > 1:
        return NotImplemented
    return _concatenate([np.expand_dims(x, axis) for x in arrays], axis)


def _lender(memory: Array) -> Any:
    kind, shape, dtype, pointer = type(memory), memory.shape, memory.dtype, memory.data
    cuda = importlib.import_module("cupy").cuda

    def lend(loan: Any) -> Array:
        # not through __cuda_array_interface__, which may wait for the GPU
        owned = cuda.UnownedMemory(pointer.ptr, memory.nbytes, loan, pointer.device_id)
        return kind(shape, dtype, cuda.MemoryPointer(owned, 0))

    return lend


concatenate = Kernel(_concatenate)
stack = Kernel(_stack)
sum_over = Kernel(_sum_over)
euclidean_norm = Kernel(_euclidean_norm)
clip_norm = Kernel(_clip_norm)
update_statistics = Kernel(_update_statistics)
lender = Kernel(_lender)
