"""A sequence that an LSTM reads: the order of its steps, and the gradients of the weights.

The states of all steps are one array (T + 1, N, H), in the order of time. The initial state is at
index 0, or at index T where the sequence is read backwards. So the states before all steps are a
slice, and so are the states after all steps, both in C order. W_ih x is one product for all steps,
and so is the gradient of each weight matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from minigrad.backends import Array, Needs
from minigrad.backends.arrays import empty
from minigrad.backends.cupy import persistent
from minigrad.backends.cupy.cublas import gemm
from minigrad.backends.cupy.reduce import column_sums
from minigrad.backends.cupy.source import BLOCK, CudaKernel, blocks_for, is_supported

Gradients: TypeAlias = list[Array | None]


def in_order(*arrays: Array | None) -> Iterator[Array | None]:
    """The arrays in C order, copied where they are not; None stays None."""
    return (x if x is None or x.flags.c_contiguous else x.copy() for x in arrays)


def run(cuda: CudaKernel, n: int, *args: Any) -> None:
    """Launch a kernel over n elements."""
    cuda((blocks_for(n),), (BLOCK,), args)


def takes(
    x: Array,
    h: Array,
    c: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
) -> bool:
    """Whether the kernels support these inputs: all of one dtype, and of the shapes below.

    Args:
        x: (T, N, D).
        h: (N, H).
        c: (N, H).
        weight_ih: (4H, D).
        weight_hh: (4H, H).
        bias_ih: (4H,), or None.
        bias_hh: (4H,), or None like bias_ih.
    """
    if (bias_ih is None) != (bias_hh is None) or x.ndim != 3 or h.ndim != 2:
        return False
    (_, n, width), size = x.shape, h.shape[1]
    expected: list[tuple[tuple[int, ...], Array]] = [((n, size), h), ((n, size), c)]
    expected += [((4 * size, width), weight_ih), ((4 * size, size), weight_hh)]
    expected += [((4 * size,), bias) for bias in (bias_ih, bias_hh) if bias is not None]
    return all(a.shape == shape for shape, a in expected) and is_supported(
        x, *[a for _, a in expected]
    )


def flat(x: Array) -> Array:
    """An array (T, N, K) reshaped to (T N, K)."""
    return x.reshape(-1, x.shape[2])


def at(parts: Array | None, t: int) -> Array | None:
    """`parts[t]`, or None where there are no parts."""
    return None if parts is None else parts[t]


class Sequence(NamedTuple):
    """A sequence, and the direction in which it is read.

    Attributes:
        x: (T, N, D), in any memory order.
        reverse: Whether it is read from the last step to the first.
    """

    x: Array
    reverse: bool

    def order(self) -> range:
        """The steps in the order in which they are read."""
        steps = range(len(self.x))
        return steps[::-1] if self.reverse else steps

    def before(self, states: Array) -> Array:
        """The states before each step (T, N, H)."""
        return states[1:] if self.reverse else states[:-1]

    def after(self, states: Array) -> Array:
        """The states after each step (T, N, H)."""
        return states[:-1] if self.reverse else states[1:]

    def start(self, states: Array, first: Array) -> None:
        """Write the initial state to its index in `states`."""
        states[len(self.x) if self.reverse else 0] = first

    def last(self, states: Array) -> Array:
        """The state after the last step that is read (N, H)."""
        return states[0 if self.reverse else len(self.x)]

    def rows(self) -> Array:
        """All x_t as a matrix (T N, D), in C order."""
        [x] = in_order(self.x)
        return flat(x)

    def narrow(self) -> tuple[Array, int, int] | tuple[None, int, int]:
        """x where D is 1, else None; and its strides in elements to the next step and row."""
        down, right, _ = self.x.strides
        steps = down // self.x.itemsize, right // self.x.itemsize
        return (self.x if self.x.shape[2] == 1 else None), *steps


class Inputs(NamedTuple):
    """What a persistent kernel adds to W_hh h at each step: its first four arguments.

    Attributes:
        values: x itself where D is 1, else W_ih x for all steps (T, N, 4H).
        step: Elements from one step to the next.
        row: Elements from one row to the next.
        weight: W_ih (4H, 1) where D is 1, else None.
    """

    values: Array
    step: int
    row: int
    weight: Array | None


def inputs_of(sequence: Sequence, weight_ih: Array) -> tuple[Inputs, Array | None]:
    """The kernel's inputs, and all x_t as a matrix (T N, D); None for the matrix where D is 1."""
    x, step, row = sequence.narrow()
    if x is not None:
        return Inputs(x, step, row, weight_ih), None
    rows, size = sequence.rows(), len(weight_ih)
    values = gemm(rows, weight_ih.T)
    return Inputs(values, sequence.x.shape[1] * size, size, None), rows


def learnt(
    needs: Needs, dz: Array, rows: Array | None, before: Array, sums: Array | None
) -> Gradients:
    """The gradients of W_ih, W_hh, b_ih and b_hh, written to reserved places where there are any.

    Args:
        needs: Which inputs of the operation need a gradient; these four are inputs 3 to 6.
        dz: The gradient of the pre-activations (T, N, 4H).
        rows: All x_t (T N, D); None where `sums` hold the gradient of W_ih, as D is 1.
        before: h before each step (T, N, H).
        sums: The sums of the persistent kernel's blocks (blocks, 2, 4H); None if it did not run.
    """
    wanted = needs[3:7]
    places = [needs.place(3 + k) if wanted[k] else None for k in range(4)]
    found: Gradients = [None] * 4
    if wanted[0] and rows is not None:
        found[0] = gemm(flat(dz).T, rows, places[0])
    if wanted[1]:
        found[1] = gemm(flat(dz).T, flat(before), places[1])
    if sums is None:
        for k in (2, 3):
            if wanted[k]:
                found[k] = column_sums(flat(dz), out=places[k])
        return found
    width = dz.shape[2]
    by_fold = (wanted[0] and rows is None, False, *wanted[2:])
    for k, shape in ((0, (width, 1)), (2, (width,)), (3, (width,))):
        if by_fold[k]:
            place = places[k]
            found[k] = empty(dz, shape) if place is None else place
    if any(by_fold):
        outputs = [part if folded else None for part, folded in zip(found, by_fold, strict=True)]
        persistent.fold(sums, outputs[2], outputs[3], outputs[0])
    return found


def of_inputs(needs: Needs, dz: Array, x: Array, weight_ih: Array) -> Array | None:
    """The gradient of x (T, N, D)."""
    return gemm(flat(dz), weight_ih).reshape(x.shape) if needs[0] else None
