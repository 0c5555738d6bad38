"""An LSTM in one launch each way: a block takes rows of the batch through all T steps.

Rows are independent, so blocks never wait for each other. The recurrent weights stay on the
multiprocessor from the first step to the last, most of them in registers; only h goes round.

Who does what. The pre-activations of P = H (rounded up to 16) cells are products of a matrix of
4 P rows and P columns with h; on the way back it is its transpose, with dz. A block has 2 P
threads, so each holds 2 P weights: a tile of 8 rows, cut into lanes: neighbouring threads (4, or 16
on the way back) hold the same rows and other columns. A tile that is two-dimensional needs few
numbers of the vector: at H = 128 a step costs a thread 256 multiply-adds, and 8 loads of four
numbers; a row for each thread would need 32. The lanes' sums are added and dealt out by shuffles,
so that two threads end up with a cell: one has its gates i and g, the other f and o, and one
shuffle brings i g across. Nothing but h (or dz) goes through shared memory, in two buffers that
take turns, so that a step has one barrier.

Where weights are. At H = 128 they are 256 KiB, all the registers that a multiprocessor has. So 12
of a thread's 64 quads lie in shared memory, spread evenly, as it delivers 32 numbers a cycle while
128 are multiplied: 48 KiB take 384 of the 512 cycles that the multiply-adds take at least. With two
rows in a block (for batches of more rows than there are multiprocessors) sums need more registers,
but each weight is used twice, so there it is 21.

Registers per thread at H = 128, forward and backward, one row or two, for sm_80, sm_90 and sm_100:
255, all that a thread can have; 0 bytes are spilled. A test compiles them and looks.
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

_REGISTERS, _MOST = 1 << 14, 255  # of a quarter of a multiprocessor, and of a thread
_LARGEST = 128  # H: beyond it weights leave their registers
_BESIDES = {1: 47, 2: 83}  # registers that are not for weights, by the rows in a block
_INT = 1 << 31  # indices are ints: 64 bits would take registers that weights need

_pack = kernel(
    "lstm_pack",
    r"""
// The weights (4 H, H) in the order in which the threads of a block take them: four of a row for
// each thread in turn, then the next four of each; for the product, and for the transpose.
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
    """Where the weights of a kernel are.

    Attributes:
        threads: In a block.
        quads: Weights of a thread, in fours.
        shared: How many of these are in shared memory.
        bytes: Shared memory of a block.
    """

    threads: int
    quads: int
    shared: int
    bytes: int


@cache
def _layout(size: int, rows: int) -> _Layout:
    """The layout for a hidden size and a number of rows in a block; it need not fit."""
    padded = _padded(size)
    threads, quads = 2 * padded, padded // 2
    warps = -(-threads // 128)  # in a quarter of the multiprocessor
    registers = min(_REGISTERS // (32 * warps) // 8 * 8, _MOST)  # they are dealt out in eights
    shared = max(quads - max(registers - _BESIDES[rows], 0) // 4, 0)
    buffers = 2 * rows * 4 * padded  # floats; forward needs less
    return _Layout(threads, quads, shared, 16 * threads * shared + 4 * buffers)


@cache
def _instance(role: str, size: int, rows: int) -> CudaKernel:
    """A kernel for a hidden size and a number of rows in a block."""
    text, name = KERNELS[role], f"{role}_{size}_{rows}"
    values = {"HIDDEN": size, "ROWS_EACH": rows, "SHARED": _layout(size, rows).shared}
    head = "".join(f"#define {key} {value}\n" for key, value in values.items())
    return kernel(name, head + COMMON + text.replace("NAME", name), types=("float",))


for _role in KERNELS:  # the largest are there for tests to compile
    for _rows in _BESIDES:
        _instance(_role, _LARGEST, _rows)


@cache
def _limits(cupy: Any, device: int) -> tuple[int, int]:
    """The multiprocessors of a device, and the shared memory that a block may have there."""
    found = cupy.cuda.runtime.getDeviceProperties(device)
    return int(found["multiProcessorCount"]), int(found["sharedMemPerBlockOptin"])


def _here() -> tuple[int, int]:
    cupy = importlib.import_module("cupy")
    return _limits(cupy, cupy.cuda.runtime.getDevice())


def rows_each(size: int, n: int) -> int | None:
    """How many rows of a batch a block takes; None where the weights are too many for one.

    It is one, or two where there are more rows than multiprocessors, and shared memory allows it.

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
    """Whether these kernels take an input: float32, and neither too wide nor too large.

    Args:
        x: (T, N, D).
        size: H.
    """
    steps, n, _ = x.shape
    strides = [abs(stride) // x.itemsize for stride in x.strides]
    reach = sum(s * (m + 3) for s, m in zip(strides, x.shape, strict=True))  # a few steps more
    return (
        x.dtype.char == "f"
        and max((steps + 3) * n * size * 4, reach) < _INT
        and rows_each(size, n) is not None
    )


def launch(role: str, size: int, n: int, args: tuple[Any, ...]) -> None:
    """Launch a kernel, for an input that is served.

    Args:
        role: "lstm_forward" or "lstm_backward".
        size: H.
        n: N.
        args: As in its text; None is a null pointer.
    """
    rows = rows_each(size, n)
    assert rows is not None
    layout = _layout(size, rows)
    _instance(role, size, rows)((-(-n // rows),), (layout.threads,), args, layout.bytes)


_fold = kernel(
    "lstm_fold",
    r"""
// the sums over the blocks of sums (blocks, 2, width): of db, which goes to two places, and dw
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
    """Room for what each block adds up over its rows and all steps: db and dW_ih (blocks, 2, 4H).

    Args:
        like: An array of the dtype.
        size: H.
        n: N.
    """
    rows = rows_each(size, n)
    assert rows is not None
    return empty(like, (-(-n // rows), 2, 4 * size))


def fold(sums: Array, db_ih: Array | None, db_hh: Array | None, dw: Array | None) -> None:
    """Add up what the blocks have added up.

    Args:
        sums: (blocks, 2, 4H).
        db_ih: Where the gradient of the biases goes (4H,), in C order.
        db_hh: Where it goes, too.
        dw: Where that of W_ih goes (4H, 1), where D is 1.
    """
    count, _, width = sums.shape
    grid = -(-width * (1 if dw is None else 2) // COLUMNS)
    _fold((grid,), (BLOCK,), (sums, db_ih, db_hh, dw, count, width))


def pack(weight: Array) -> Array:
    """Weights in the order in which the kernels read them: forward, and backward (2, ...).

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
