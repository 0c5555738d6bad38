"""CUDA C in Python: from one source a kernel for each dtype, compiled at its first launch.

A source is written for a type T, which is float or double, and may use the definitions of
`PREAMBLE`. CuPy passes a Python int as `Int` (64 bits) and a float as `double`; None becomes a null
pointer. All sums are in a fixed order, so that a step gives the same bits each time.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backends import Array

__all__ = [
    "BLOCK",
    "COLUMNS",
    "PREAMBLE",
    "SOURCES",
    "CudaKernel",
    "blocks_for",
    "is_supported",
    "kernel",
]

PREAMBLE = r"""
typedef long long Int;

// for EACH(i, n) { ... }: the threads of all blocks share n elements
#define EACH(i, n) (Int i = blockIdx.x * (Int)blockDim.x + threadIdx.x; i < (n); \
                    i += gridDim.x * (Int)blockDim.x)

#define INFINITE ((T)1 / (T)0)

__device__ __forceinline__ T sigmoid(T x) { return 1 / (1 + exp(-x)); }  // e^-x = inf gives 0

// log(1 + e^x); the larger of x and 0 is written so that nan stays nan
__device__ __forceinline__ T softplus(T x) { return (x < 0 ? 0 : x) + log1p(exp(-fabs(x))); }

__device__ __forceinline__ T larger(T a, T b) { return a > b || a != a ? a : b; }  // nan wins

// the sum, or the maximum, of the values of the 32 threads of a warp, returned to every thread
__device__ __forceinline__ T warp_sum(T x) {
    for (int apart = 16; apart > 0; apart /= 2) x += __shfl_xor_sync(0xffffffff, x, apart);
    return x;
}
__device__ __forceinline__ T warp_max(T x) {
    for (int apart = 16; apart > 0; apart /= 2)
        x = larger(x, __shfl_xor_sync(0xffffffff, x, apart));
    return x;
}

// the sum of the values of a block of 256 threads, returned to every thread
__device__ __forceinline__ T block_sum(T x) {
    __shared__ T part[8];
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    T total = 0;
    for (int warp = 0; warp < 8; warp++) total += part[warp];
    __syncthreads();  // before the next call overwrites part
    return total;
}

// A block of 256 threads computes 8 columns of a matrix (32 or 64 bytes of each row): thread k
// has column k % 8 and loops over rows k / 8, k / 8 + 32, ...
#define COLUMNS 8
#define ROWS 32
#define COLUMN (blockIdx.x * (Int)COLUMNS + threadIdx.x % COLUMNS)
#define FIRST_ROW (threadIdx.x / COLUMNS)

// the sum of the values of a column's 32 threads, returned to each of them
__device__ __forceinline__ T column_sum(T x) {
    __shared__ T part[8][COLUMNS];
    x += __shfl_xor_sync(0xffffffff, x, 8);
    x += __shfl_xor_sync(0xffffffff, x, 16);
    if (threadIdx.x % 32 < COLUMNS) part[threadIdx.x / 32][threadIdx.x % COLUMNS] = x;
    __syncthreads();
    T total = 0;
    for (int warp = 0; warp < 8; warp++) total += part[warp][threadIdx.x % COLUMNS];
    __syncthreads();
    return total;
}
"""

BLOCK, COLUMNS = 256, 8  # threads per block, and columns per block of the column kernels above
_MOST_BLOCKS = 4096  # for more elements, each thread loops over several
_MOST_PARTS = 65_535  # CUDA's limit for blocks along a grid's second axis
_TYPES = {"float": "f", "double": "d"}  # NumPy's character of the dtype
_PLAIN_SHARED = 48 << 10  # bytes of dynamic shared memory that need no permission

SOURCES: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}
"""The full source of every kernel and its compiler options, by name and type."""


class CudaKernel:
    """A CUDA kernel, compiled for a dtype at its first launch on arrays of that dtype.

    Args:
        name: The name of the `__global__` function.
        source: Its source, written for a type T.
        types: The types that T may be.
        options: Compiler options.
    """

    def __init__(
        self, name: str, source: str, types: Sequence[str], options: tuple[str, ...]
    ) -> None:
        self.name = name
        self.options = options
        self.texts = {_TYPES[t]: f"typedef {t} T;\n{PREAMBLE}\n{source}" for t in types}
        for t in types:
            assert (name, t) not in SOURCES, f"two kernels are called {name}"
            SOURCES[name, t] = self.texts[_TYPES[t]], options
        self._cupy: Any = None  # the CuPy module that made the instances
        self._instances: dict[str, Any] = {}
        self._shared: dict[str, int] = {}  # the most shared memory that each instance may use

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared: int = 0
    ) -> None:
        """Launch the kernel on CuPy's current stream.

        Args:
            grid: The number of blocks along each axis.
            block: The number of threads per block along each axis.
            args: Arrays, numbers and None, in the order of the CUDA function's parameters; the
                first is an array of T. None is a null pointer.
            shared: Bytes of dynamic shared memory for each block.
        """
        char = args[0].dtype.char
        instance = self.instance(char)
        if shared > self._shared.get(char, _PLAIN_SHARED):
            instance.max_dynamic_shared_size_bytes = self._shared[char] = shared
        args = tuple([0 if arg is None else arg for arg in args])  # CuPy does not accept None
        instance(grid, block, args, shared_mem=shared)

    def instance(self, char: str) -> Any:
        """CuPy's RawKernel for a dtype, given as NumPy's character, such as "f"."""
        cupy = sys.modules.get("cupy") or importlib.import_module("cupy")
        if self._cupy is not cupy:
            self._cupy, self._instances, self._shared = cupy, {}, {}
        if char not in self._instances:
            self._instances[char] = cupy.RawKernel(self.texts[char], self.name, self.options)
        return self._instances[char]


def kernel(
    name: str,
    source: str,
    *,
    types: Sequence[str] = ("float", "double"),
    options: tuple[str, ...] = (),
) -> CudaKernel:
    """Declare a kernel; nothing is compiled before its first launch.

    Args:
        name: The name of the `extern "C" __global__` function; no other kernel may have it.
        source: Its source in CUDA C, written for a type T.
        types: The types that T may be: "float", "double".
        options: Compiler options, such as "-DHIDDEN=128".
    """
    return CudaKernel(name, source, types, options)


def blocks_for(n: int, each: int = BLOCK) -> int:
    """How many blocks to launch for n elements, `each` per block; at most 4096."""
    return min(-(-n // each), _MOST_BLOCKS)


def parts_for(n: int, each: int) -> tuple[int, int]:
    """How many blocks along a grid's second axis share n elements, and how many elements each gets.

    Args:
        n: At least 1.
        each: The elements per block, as long as this needs no more blocks than CUDA allows.
    """
    share = max(each, -(-n // _MOST_PARTS))
    return -(-n // share), share


def in_one_order(*arrays: Array) -> bool:
    """Whether all arrays are C-contiguous or all F-contiguous, so that they are read as vectors."""
    return all(a.flags.c_contiguous for a in arrays) or all(a.flags.f_contiguous for a in arrays)


def aligned(g: Array, x: Array) -> tuple[Array, int]:
    """The gradient g in the memory order of x, which is contiguous, and g's step in elements.

    The step is 0 where g is one number broadcast, as the gradient of a sum is: then no copy is
    made. Else it is 1.
    """
    if all(n == 1 or stride == 0 for n, stride in zip(g.shape, g.strides, strict=True)):
        return g, 0
    if in_one_order(g, x):
        return g, 1
    y = np.empty_like(x)
    y[...] = g
    return y, 1


def in_c_order(x: Array) -> Array:
    """The same values in C order; x itself where it is C-contiguous."""
    if x.flags.c_contiguous:
        return x
    y = np.empty_like(x, order="C")
    y[...] = x
    return y


def is_supported(*arrays: Array | None) -> bool:
    """Whether all arrays have one dtype, float32 or float64, and none is empty; None is allowed."""
    given = [array for array in arrays if array is not None]
    char = given[0].dtype.char
    return char in "fd" and all(a.dtype.char == char and a.size > 0 for a in given)
