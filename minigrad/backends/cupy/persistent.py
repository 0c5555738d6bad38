"""Recurrent networks in one launch each way: a block takes rows of the batch through all T steps.

Rows are independent, so blocks never wait for each other. The recurrent weights stay on the
multiprocessor from the first step to the last, most of them in registers; only h goes round.

Who does what. The pre-activations of P = H (rounded up to 16) cells are products of a matrix of
G P rows (G = 4 for the LSTM, 1 for Elman's network) and P columns with h; on the way back it is its
transpose, with dz. A block has 2 P threads, so each holds G P / 2 weights: a tile of 2 G rows, cut
into lanes: neighbouring threads (4, or 4 G on the way back) hold the same rows and other columns.
A tile that is two-dimensional needs few numbers of the vector: at H = 128 a step of the LSTM costs
a thread 256 multiply-adds, and 8 loads of four numbers; a row for each thread would need 32. The
lanes' sums are added and dealt out by shuffles, so that two threads end up with a cell: one has its
gates i and g, the other f and o, and one shuffle brings i g across. Nothing but h (or dz) goes
through shared memory, in two buffers that take turns, so that a step has one barrier.

Where weights are. At H = 128 they are 256 KiB, all the registers that a multiprocessor has. So
every fifth quad lies in shared memory; spread evenly, as it delivers 32 numbers a cycle while 128
are multiplied: 48 KiB take 384 of the 512 cycles that the multiply-adds take at least. With two
rows in a block (for batches of more rows than there are multiprocessors) sums need twice the
registers, but each weight is used twice, so there it is every third.

Registers per thread of the LSTM at H = 128, forward and backward, for sm_80, sm_90 and sm_100: 255,
of 255; none is spilled (bytes: 0). A test has them compiled and looks.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import numpy as np

from minigrad.backends import Array
from minigrad.backends.cupy.persistent_text import COMMON, KERNELS
from minigrad.backends.cupy.source import BLOCK, COLUMNS, CudaKernel, blocks_for, kernel

__all__ = ["LARGEST", "fold", "launch", "pack", "rows_each", "serves", "sums"]

LARGEST = 128  # hidden size: beyond it a multiprocessor cannot hold the weights
_HELD = {1: 52, 2: 43}  # quads of weights that a thread has registers for, by rows in its block
_NOT_SHARED = 1 << 20
_INT = 1 << 31  # indices are ints: 64 bits would take registers that weights need

_pack = kernel(
    "recurrent_pack",
    r"""
// The weights (gates H, H) in the order in which the threads of a block take them: four of a row
// for each thread in turn, then the next four of each; for the product, and for the transpose.
extern "C" __global__ void recurrent_pack(
    const T* weight, T* forward, T* backward, Int size, Int padded, Int gates) {
    Int tile = 2 * gates, lanes = 4 * gates;
    for EACH(i, gates * padded * padded) {
        Int four = i % 4, thread = i / 4 % (2 * padded), e = i / (8 * padded);
        Int m = e / tile, v = e % tile;
        Int column = 16 * m + thread % 4 * 4 + four, cell = thread / 4 * 2 + v / gates;
        Int gate = gates == 4 ? v % 2 * 2 + v / 2 % 2 : 0;  // i, g of a cell, then f, o
        bool there = cell < size && column < size;
        forward[i] = there ? weight[(gate * size + cell) * size + column] : 0;
        Int place = lanes * (4 * m) + thread % lanes * 4 + four;  // in dz
        gate = place / padded, cell = place % padded, column = thread / lanes * tile + v;
        there = cell < size && column < size;
        backward[i] = there ? weight[(gate * size + cell) * size + column] : 0;
    }
}
""",
    types=("float",),
)


def _padded(size: int) -> int:
    return -(-size // 16) * 16


@cache
def _instance(role: str, size: int, rows: int) -> tuple[CudaKernel, int]:
    """A kernel for a hidden size and a number of rows in a block; the bytes that a block shares."""
    gates, text = KERNELS[role]
    quads = gates * _padded(size) // 8
    every = _NOT_SHARED  # the sparest sharing with which the registers suffice
    if quads > _HELD[rows]:
        every = max(k for k in range(2, quads) if quads - quads // k <= _HELD[rows])
    name = f"{role}_{size}_{rows}"
    values = {"HIDDEN": size, "GATES": gates, "ROWS_EACH": rows, "EVERY": every}
    head = "".join(f"#define {key} {value}\n" for key, value in values.items())
    made = kernel(name, head + COMMON + text.replace("NAME", name), types=("float",))
    length = _padded(size) * (gates if role.endswith("backward") else 1)
    return made, quads // every * 32 * _padded(size) + 2 * rows * length * 4


for _role in KERNELS:  # the trainers' are there for tests to compile
    for _rows in _HELD:
        _instance(_role, LARGEST, _rows)


@cache
def _limits(cupy: Any, device: int) -> tuple[int, int]:
    """The multiprocessors of a device, and the shared memory that a block may have there."""
    found = cupy.cuda.runtime.getDeviceProperties(device)
    return int(found["multiProcessorCount"]), int(found["sharedMemPerBlockOptin"])


def _here() -> tuple[int, int]:
    cupy = importlib.import_module("cupy")
    return _limits(cupy, cupy.cuda.runtime.getDevice())


def serves(x: Array, size: int, gates: int) -> bool:
    """Whether these kernels take an input: float32, and neither too wide nor too large.

    Args:
        x: (T, N, D).
        size: H.
        gates: 4 for the LSTM, 1 for Elman's network.
    """
    steps, n, _ = x.shape
    reach = sum(abs(s) // x.itemsize * m for s, m in zip(x.strides, x.shape, strict=True))
    return (
        x.dtype.char == "f"
        and size <= LARGEST
        and max((steps + 1) * n * size * gates, reach) < _INT
        and _here()[1] >= 96 << 10  # no instance asks for more
    )


def launch(role: str, size: int, n: int, args: tuple[Any, ...]) -> None:
    """Launch a kernel.

    Args:
        role: "lstm_forward" and so on.
        size: H.
        n: N.
        args: As in its text; None is a null pointer.
    """
    rows = rows_each(n)
    made, shared = _instance(role, size, rows)
    made((-(-n // rows),), (2 * _padded(size),), args, shared)


_fold = kernel(
    "recurrent_fold",
    r"""
// the sums over the blocks of sums (blocks, 2, width): of db, which goes to two places, and dw
extern "C" __global__ void recurrent_fold(
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


def sums(like: Array, n: int, width: int) -> Array:
    """Room for what each block adds up over its rows and all steps: db and dW_ih (blocks, 2, G).

    Args:
        like: An array of the dtype.
        n: N.
        width: G H, the number of pre-activations.
    """
    return np.empty_like(like, shape=(-(-n // rows_each(n)), 2, width), order="C")


def fold(sums: Array, db_ih: Array | None, db_hh: Array | None, dw: Array | None) -> None:
    """Add up what the blocks have added up.

    Args:
        sums: (blocks, 2, G H).
        db_ih: Where the gradient of the biases goes (G H,), in C order.
        db_hh: Where it goes, too.
        dw: Where that of W_ih goes (G H, 1), where D is 1.
    """
    count, _, width = sums.shape
    grid = -(-width * (1 if dw is None else 2) // COLUMNS)
    _fold((grid,), (BLOCK,), (sums, db_ih, db_hh, dw, count, width))


def rows_each(n: int) -> int:
    """How many of N rows a block takes: two as soon as there are more than multiprocessors."""
    return 1 if n <= _here()[0] else 2


def pack(weight: Array, gates: int) -> Array:
    """Weights in the order in which the kernels read them: forward, and backward (2, ...).

    Args:
        weight: W_hh (G H, H), in C order.
        gates: G.
    """
    size = weight.shape[1]
    padded = _padded(size)
    count = gates * padded * padded
    packed = np.empty_like(weight, shape=(2, count))
    args = (weight, packed[0], packed[1], size, padded, gates)
    _pack((blocks_for(count),), (BLOCK,), args)
    return packed
