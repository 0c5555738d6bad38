"""An LSTM in one launch forward, one backward: a block computes its batch rows for all T steps.

Rows of the batch are independent, so blocks never wait for each other. The recurrent weights stay
on the multiprocessor from the first step to the last, most of them in registers. From step to step
only h is exchanged (dz in backward).

Threads. With P = H rounded up to a multiple of 16, the pre-activations of P cells are the product
of a matrix of 4 P rows and P columns with h; backward multiplies its transpose by dz. A block has
2 P threads, so each thread holds 2 P weights, a tile of 8 rows. Neighbouring threads, called lanes
(4 in forward, 16 in backward), hold the same 8 rows but different columns. A thread with a
two-dimensional tile reads few numbers of the vector: at H = 128 a step costs a thread 256
multiply-adds and 8 loads of four numbers each; with one row per thread it would be 32 loads.
Shuffles add up the sums of the lanes and distribute them, so that two threads share a cell: one
has its gates i and g, the other f and o, and one more shuffle passes i g to the other thread. Only
h (or dz) goes through shared memory, in two buffers used in turn, so a step has one barrier.

Weights. At H = 128 they take 256 KiB, which is all the registers of a multiprocessor. So 12 of a
thread's 64 quads (four weights each) are in shared memory, evenly spread among the others. Shared
memory delivers 32 numbers per cycle while 128 are multiplied: the 48 KiB of a step take 384 cycles,
and the multiply-adds at least 512. With two rows per block (used if the batch has more rows than
the GPU has multiprocessors) the sums need more registers, so 21 quads are in shared memory; but
each weight that is loaded is used twice.

Registers per thread at H = 128, forward and backward, one row or two, on sm_80, sm_90 and sm_100:
255, the most that a thread can have, and 0 bytes are spilled. A test compiles the kernels and
checks this.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, NamedTuple

from minigrad.backends import Array
from minigrad.backends.arrays import empty
from minigrad.backends.cupy.persistent_text import COMMON, KERNELS
from minigrad.backends.cupy.source import BLOCK, COLUMNS, CudaKernel, blocks_for, kernel

__all__ = ["fold", "launch", "pack", "rows_each", "serves", "sums"]

_REGISTERS, _MOST = 1 << 14, 255  # per quarter of a multiprocessor, and at most per thread
_LARGEST = 128  # the largest H: more weights would be spilled from registers
_BESIDES = {1: 47, 2: 83}  # registers for all but the weights, by the number of rows in a block
_INT = 1 << 31  # indices are 32-bit ints: 64 bits would take registers that weights need

_pack = kernel(
    "lstm_pack",
    r"""
// Weights (4 H, H) in the order in which the threads of a block read them: a quad (four weights of
// a row) for each thread, then the next quad for each; for the product, and for the transpose.
extern "C" __global__ void lstm_pack(
    const T* weight, T* forward, T* backward, Int size, Int padded) {
    for EACH(i, 4 * padded * padded) {
        Int four = i % 4, thread = i / 4 % (2 * padded), e = i / (8 * padded);
        Int m = e / 8, v = e % 8;  // which columns, and which row of the thread's 8
        Int column = 16 * m + thread % 4 * 4 + four, cell = thread / 4 * 2 + v / 4;
        Int gate = v % 2 * 2 + v / 2 % 2;  // i, g of a cell, then f, o
        bool there = cell < size && column < size;
        forward[i] = there ? weight[(gate * size + cell) * size + column] : 0;
        Int place = 64 * m + thread % 16 * 4 + four;  // in dz
        gate = place / padded, cell = place % padded, column = thread / 16 * 8 + v;
        there = cell < size && column < size;
        backward[i] = there ? weight[(gate * size + cell) * size + column] : 0;
    }
}
""",
    types=("float",),
)


def _padded(size: int) -> int:
    return -(-size // 16) * 16


class _Layout(NamedTuple):
    """How many threads a block has, and where it keeps the weights.

    Attributes:
        threads: Threads per block.
        quads: Quads (four weights each) per thread.
        shared: How many of a thread's quads are in shared memory.
        bytes: Bytes of shared memory per block.
    """

    threads: int
    quads: int
    shared: int
    bytes: int


@cache
def _layout(size: int, rows: int) -> _Layout:
    """The layout for a hidden size and a number of rows per block; it may need too much memory."""
    padded = _padded(size)
    threads, quads = 2 * padded, padded // 2
    warps = -(-threads // 128)  # in a quarter of the multiprocessor
    registers = min(_REGISTERS // (32 * warps) // 8 * 8, _MOST)  # allocated in multiples of 8
    shared = max(quads - max(registers - _BESIDES[rows], 0) // 4, 0)
    buffers = 2 * rows * 4 * padded  # floats for two dz; forward needs less, two h
    return _Layout(threads, quads, shared, 16 * threads * shared + 4 * buffers)


@cache
def _instance(role: str, size: int, rows: int) -> CudaKernel:
    """The kernel of a role for a hidden size and a number of rows per block."""
    text, name = KERNELS[role], f"{role}_{size}_{rows}"
    values = {"HIDDEN": size, "ROWS_EACH": rows, "SHARED": _layout(size, rows).shared}
    head = "".join(f"#define {key} {value}\n" for key, value in values.items())
    return kernel(name, head + COMMON + text.replace("NAME", name), types=("float",))


for _role in KERNELS:  # declare the largest kernels now, so that the tests compile them
    for _rows in _BESIDES:
        _instance(_role, _LARGEST, _rows)


@cache
def _limits(cupy: Any, device: int) -> tuple[int, int]:
    """The number of multiprocessors of a device, and the most bytes of shared memory per block."""
    found = cupy.cuda.runtime.getDeviceProperties(device)
    return int(found["multiProcessorCount"]), int(found["sharedMemPerBlockOptin"])


def _here() -> tuple[int, int]:
    cupy = importlib.import_module("cupy")
    return _limits(cupy, cupy.cuda.runtime.getDevice())


def rows_each(size: int, n: int) -> int | None:
    """How many rows of the batch a block computes; None where a block cannot hold the weights.

    Two rows if the batch has more rows than the GPU has multiprocessors and shared memory is large
    enough, else one.

    Args:
        size: H.
        n: N.
    """
    multiprocessors, shared = _here()
    for rows in (2, 1) if n > multiprocessors else (1,):
        if size <= _LARGEST and _layout(size, rows).bytes <= shared:
            return rows
    return None


def serves(x: Array, size: int) -> bool:
    """Whether these kernels support an input: float32, and H and all indices small enough.

    Args:
        x: (T, N, D).
        size: H.
    """
    steps, n, _ = x.shape
    strides = [abs(stride) // x.itemsize for stride in x.strides]
    reach = sum(s * (m + 3) for s, m in zip(strides, x.shape, strict=True))  # a few steps beyond x
    return (
        x.dtype.char == "f"
        and max((steps + 3) * n * size * 4, reach) < _INT
        and rows_each(size, n) is not None
    )


def launch(role: str, size: int, n: int, args: tuple[Any, ...]) -> None:
    """Launch a kernel, for an input that `serves` accepts.

    Args:
        role: "lstm_forward" or "lstm_backward".
        size: H.
        n: N.
        args: The arguments of the CUDA function, in order; None is a null pointer.
    """
    rows = rows_each(size, n)
    assert rows is not None
    layout = _layout(size, rows)
    _instance(role, size, rows)((-(-n // rows),), (layout.threads,), args, layout.bytes)


_fold = kernel(
    "lstm_fold",
    r"""
// add up sums (blocks, 2, width) over the blocks: db, written to db_ih and db_hh, and dw
extern "C" __global__ void lstm_fold(
    const T* sums, T* db_ih, T* db_hh, T* dw, Int blocks, Int width) {
    Int column = COLUMN;
    T total = 0;
    if (column < 2 * width)
        for (Int k = FIRST_ROW; k < blocks; k += ROWS) total += sums[k * 2 * width + column];
    total = column_sum(total);
    if (threadIdx.x >= COLUMNS || column >= 2 * width) return;
    if (column < width) {
        if (db_ih) db_ih[column] = total;
        if (db_hh) db_hh[column] = total;
    } else if (dw)
        dw[column - width] = total;
}
""",
    types=("float",),
)


def sums(like: Array, size: int, n: int) -> Array:
    """A new array (blocks, 2, 4H) for each block's sums of db and dW_ih over its rows and steps.

    Args:
        like: An array with the dtype and device of the new one.
        size: H.
        n: N.
    """
    rows = rows_each(size, n)
    assert rows is not None
    return empty(like, (-(-n // rows), 2, 4 * size))


def fold(sums: Array, db_ih: Array | None, db_hh: Array | None, dw: Array | None) -> None:
    """Add up the sums of all blocks, and write them to the gradients.

    Args:
        sums: The sums of each block (blocks, 2, 4H).
        db_ih: The array (4H,) for the gradient of b_ih, in C order, or None.
        db_hh: The array (4H,) for the gradient of b_hh, which is the same, or None.
        dw: The array (4H, 1) for the gradient of W_ih where D is 1, else None.
    """
    count, _, width = sums.shape
    grid = -(-width * (1 if dw is None else 2) // COLUMNS)
    _fold((grid,), (BLOCK,), (sums, db_ih, db_hh, dw, count, width))


def pack(weight: Array) -> Array:
    """W_hh in the order in which the kernels read it: row 0 for forward, row 1 for backward.

    Args:
        weight: W_hh (4H, H), in C order.
    """
    size = weight.shape[1]
    padded = _padded(size)
    count = 4 * padded * padded
    packed = empty(weight, (2, count))
    args = (weight, packed[0], packed[1], size, padded)
    _pack((blocks_for(count),), (BLOCK,), args)
    return packed
