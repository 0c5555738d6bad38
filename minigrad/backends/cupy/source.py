"""CUDA C in Python: how the text of a kernel becomes one for each dtype, and how it is launched.

A text is written in a type T, which is float or double, and may use what `PREAMBLE` offers.
Python's numbers arrive as CuPy passes them: an int as `Int` (64 bits), a float as `double`; None is
a null pointer. All sums are in a fixed order, so that a step gives the same bits each time.
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
    "kernel",
    "served",
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

// the sum, or the largest, of the values that the 32 threads of a warp hold; each gets it
__device__ __forceinline__ T warp_sum(T x) {
    for (int apart = 16; apart > 0; apart /= 2) x += __shfl_xor_sync(0xffffffff, x, apart);
    return x;
}
__device__ __forceinline__ T warp_max(T x) {
    for (int apart = 16; apart > 0; apart /= 2)
        x = larger(x, __shfl_xor_sync(0xffffffff, x, apart));
    return x;
}

// the sum over a block of 256 threads; each gets it
__device__ __forceinline__ T block_sum(T x) {
    __shared__ T part[8];
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    T total = 0;
    for (int warp = 0; warp < 8; warp++) total += part[warp];
    __syncthreads();  // before part is used again
    return total;
}

// A block of 256 threads takes 8 columns of a matrix, which are 32 bytes of a row or more: thread
// k stands in column k % 8 and goes through rows k / 8, k / 8 + 32, ...
#define COLUMNS 8
#define ROWS 32
#define COLUMN (blockIdx.x * (Int)COLUMNS + threadIdx.x % COLUMNS)
#define FIRST_ROW (threadIdx.x / COLUMNS)

// the sum over the 32 threads of a column; each gets it
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

BLOCK, COLUMNS = 256, 8  # threads, and columns for those that are shared so; as in the text above
_MOST_BLOCKS = 4096  # beyond it a thread takes several elements
_MOST_PARTS = 65_535  # blocks along a grid's second axis, where CUDA ends
_TYPES = {"float": "f", "double": "d"}  # NumPy's character of the dtype
_PLAIN_SHARED = 48 << 10  # bytes of shared memory that a block has without being asked

SOURCES: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}
"""The full text of every kernel and its compiler options, by name and type."""


class CudaKernel:
    """A kernel, compiled for a dtype when it is first launched on arrays of it.

    Args:
        name: That of the `__global__` function.
        source: Its text, in T.
        types: What T may be.
        options: For the compiler.
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
        self._cupy: Any = None  # the module that has made the instances
        self._instances: dict[str, Any] = {}
        self._shared: dict[str, int] = {}  # the most shared memory that each was given

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared: int = 0
    ) -> None:
        """Launch it on CuPy's current stream.

        Args:
            grid: The numbers of blocks.
            block: The numbers of threads in a block.
            args: Arrays, numbers and None, in the order of the text; the first is an array of T.
                None is a null pointer.
            shared: Bytes of dynamic shared memory for each block.
        """
        char = args[0].dtype.char
        instance = self.instance(char)
        if shared > self._shared.get(char, _PLAIN_SHARED):
            instance.max_dynamic_shared_size_bytes = self._shared[char] = shared
        args = tuple([0 if arg is None else arg for arg in args])  # CuPy does not know None
        instance(grid, block, args, shared_mem=shared)

    def instance(self, char: str) -> Any:
        """CuPy's RawKernel for a dtype, given by NumPy's character."""
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
        name: That of the `extern "C" __global__` function, which no other kernel may have.
        source: Its text in CUDA C, in a type T.
        types: What T may be: "float", "double".
        options: For the compiler, such as "-DHIDDEN=128".
    """
    return CudaKernel(name, source, types, options)


def blocks_for(n: int, each: int = BLOCK) -> int:
    """How many blocks share n elements, `each` to a block."""
    return min(-(-n // each), _MOST_BLOCKS)


def parts_for(n: int, each: int) -> tuple[int, int]:
    """How many blocks along a grid's second axis share n elements, and how many each takes.

    Args:
        n: At least 1.
        each: How many a block takes, where there are not too many blocks.
    """
    share = max(each, -(-n // _MOST_PARTS))
    return -(-n // share), share


def in_a_row(*arrays: Array) -> bool:
    """Whether arrays fill their memory in C order, or all in Fortran's: then they are vectors."""
    return all(a.flags.c_contiguous for a in arrays) or all(a.flags.f_contiguous for a in arrays)


def aligned(g: Array, x: Array) -> tuple[Array, int]:
    """A gradient in the order of memory of x, which lies in a row; 0 for one number, else 1.

    The gradient of a sum is one number repeated: no reason to write it out.
    """
    if all(n == 1 or stride == 0 for n, stride in zip(g.shape, g.strides, strict=True)):
        return g, 0
    if in_a_row(g, x):
        return g, 1
    y = np.empty_like(x)
    y[...] = g
    return y, 1


def in_c_order(x: Array) -> Array:
    """The same values in C order; the same array where they are."""
    if x.flags.c_contiguous:
        return x
    y = np.empty_like(x, order="C")
    y[...] = x
    return y


def served(*arrays: Array | None) -> bool:
    """Whether arrays are of one dtype that kernels are made for, and not empty; None passes."""
    given = [array for array in arrays if array is not None]
    char = given[0].dtype.char
    return char in "fd" and all(a.dtype.char == char and a.size > 0 for a in given)
