"""Recurrent networks over a whole sequence.

In float32 and with at most 128 cells an LSTM or Elman's network is one launch each way
(persistent.py); else each step is a product and a launch. Either way the inputs of all steps are
one product, and so is each gradient of the weights, over all steps and rows.

States lie at their place in time, in (T + 1, N, H) with the first one before them, or after them
where the sequence is read backwards: states before and after each step are slices, in C order.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.cupy import cells, persistent
from minigrad.backends.cupy.cublas import gemm
from minigrad.backends.cupy.reduce import column_sums
from minigrad.backends.cupy.source import BLOCK, CudaKernel, blocks_for, served

Gradients = list[Array | None]


def _in_order(x: Array) -> Array:
    """The array in C order."""
    return x if x.flags.c_contiguous else x.copy()


def _empty(like: Array, *shape: int) -> Array:
    return importlib.import_module("cupy").empty(shape, like.dtype)


def _run(made: CudaKernel, n: int, *args: Any) -> None:
    """Launch a kernel over n elements; None is a null pointer."""
    made((blocks_for(n),), (BLOCK,), tuple(0 if arg is None else arg for arg in args))


def _takes(*arrays: Array | None) -> bool:
    """Whether kernels take the inputs of an operation, of which two biases are the last."""
    return (arrays[-1] is None) == (arrays[-2] is None) and served(*arrays)


def _flat(x: Array) -> Array:
    """Steps (T, N, G) one below the other (T N, G)."""
    return x.reshape(-1, x.shape[2])


def _at(parts: Array | None, t: int) -> Array | None:
    return None if parts is None else parts[t]


class _Sequence(NamedTuple):
    """A sequence, and in which direction it is read.

    Attributes:
        x: (T, N, D), of any memory order.
        reverse: Whether from the last step to the first.
    """

    x: Array
    reverse: bool

    def order(self) -> range:
        """The steps, as they are read."""
        steps = range(len(self.x))
        return steps[::-1] if self.reverse else steps

    def before(self, states: Array) -> Array:
        """The states before each step (T, N, H)."""
        return states[1:] if self.reverse else states[:-1]

    def after(self, states: Array) -> Array:
        """The states after each step (T, N, H)."""
        return states[:-1] if self.reverse else states[1:]

    def start(self, states: Array, first: Array) -> None:
        """Put the first state in its place."""
        states[len(self.x) if self.reverse else 0] = first

    def last(self, states: Array) -> Array:
        """The state after the last step that is read (N, H)."""
        return states[0 if self.reverse else len(self.x)]

    def rows(self) -> Array:
        """All x_t, one below the other (T N, D), in C order."""
        return _flat(_in_order(self.x))

    def narrow(self) -> tuple[Array, int, int] | tuple[None, int, int]:
        """Where D is 1: x, and how many elements it is to the next step, and to the next row."""
        down, right, _ = self.x.strides
        steps = down // self.x.itemsize, right // self.x.itemsize
        return (self.x if self.x.shape[2] == 1 else None), *steps


class _Inputs(NamedTuple):
    """What a persistent kernel adds to W_hh h at each step, as its first four arguments.

    Attributes:
        values: x itself where D is 1, else W_ih x for all steps (T, N, G).
        step: Elements from one step to the next.
        row: Elements from one row to the next.
        weight: W_ih (G, 1) where D is 1.
    """

    values: Array
    step: int
    row: int
    weight: Array | None


def _inputs(sequence: _Sequence, weight_ih: Array) -> tuple[_Inputs, Array | None]:
    """The inputs, and all x_t as a matrix where they are more than one column."""
    x, step, row = sequence.narrow()
    if x is not None:
        return _Inputs(x, step, row, weight_ih), None
    rows, size = sequence.rows(), len(weight_ih)
    values = gemm(rows, weight_ih.T)
    return _Inputs(values, sequence.x.shape[1] * size, size, None), rows


def _learnt(
    needs: Needs,
    first: int,
    dz: Array,
    db: Array,
    rows: Array | None,
    before: Array,
    sums: Array | None = None,
) -> Gradients:
    """Gradients of W_ih, W_hh, b_ih and b_hh, written where an optimizer wants them.

    Args:
        needs: Of the operation.
        first: The position of W_ih among its inputs; the others follow.
        dz: Of what W_ih gives (T, N, G).
        db: Of what W_hh gives (T, N, G); the same array where both are added.
        rows: All x_t (T N, D); None where D is 1 and `sums` hold that gradient.
        before: h before each step (T, N, H).
        sums: What the blocks of a persistent kernel have added up.
    """
    wanted = needs[first : first + 4]
    places = [needs.place(first + k) if wanted[k] else None for k in range(4)]
    found: Gradients = [None] * 4
    if wanted[0] and rows is not None:
        found[0] = gemm(_flat(dz).T, rows, places[0])
    if wanted[1]:
        found[1] = gemm(_flat(db).T, _flat(before), places[1])
    if sums is None:
        for k, part in ((2, dz), (3, db)):
            if wanted[k]:
                found[k] = column_sums(_flat(part), out=places[k])
        return found
    width = dz.shape[2]
    by_fold = (wanted[0] and rows is None, False, *wanted[2:])
    for k, shape in ((0, (width, 1)), (2, (width,)), (3, (width,))):
        if by_fold[k]:
            place = places[k]
            found[k] = _empty(dz, *shape) if place is None else place
    if any(by_fold):
        outputs = [part if folded else None for part, folded in zip(found, by_fold, strict=True)]
        persistent.fold(sums, outputs[2], outputs[3], outputs[0])
    return found


def _of_inputs(needs: Needs, dz: Array, x: Array, weight_ih: Array) -> Array | None:
    """The gradient of x (T, N, D)."""
    return gemm(_flat(dz), weight_ih).reshape(x.shape) if needs[0] else None


# --- the LSTM ---------------------------------------------------------------------------------


def _lstm_forward(
    x: Array,
    h: Array,
    c: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    weight_hr: Array | None,
    reverse: bool,
) -> Any:
    if weight_hr is not None or not _takes(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
        return NotImplemented
    sequence = _Sequence(x, reverse)
    (steps, n, _), size = x.shape, h.shape[1]
    h, c, weight_ih, weight_hh = map(_in_order, (h, c, weight_ih, weight_hh))
    states, memory = _empty(x, steps + 1, n, size), _empty(x, steps + 1, n, size)
    gates = _empty(x, steps, n, 4 * size)
    packed = None
    if persistent.serves(x, size, 4):
        inputs, rows = _inputs(sequence, weight_ih)
        packed = persistent.pack(weight_hh, 4)
        args = (*inputs, bias_ih, bias_hh, packed[0], h, c, states, memory, gates)
        persistent.launch("lstm_forward", size, n, (*args, steps, n, int(reverse)))
    else:
        rows = sequence.rows()
        sequence.start(states, h)
        sequence.start(memory, c)
        gemm(rows, weight_ih.T, _flat(gates))
        before, after = sequence.before(states), sequence.after(states)
        c_before, c_after = sequence.before(memory), sequence.after(memory)
        for t in sequence.order():
            z = gemm(before[t], weight_hh.T, gates[t], accumulate=True)
            args = (z, bias_ih, bias_hh, c_before[t], z, c_after[t], after[t])
            _run(cells.lstm_forward, n * size, *args, size, n)
    y = sequence.after(states), sequence.last(states), sequence.last(memory)
    return y, (gates, states, memory, packed, rows)


def _lstm_backward(
    g: Sequence[Array | None],
    needs: Needs,
    y: Sequence[Array],
    residuals: tuple[Any, ...],
    x: Array,
    h: Array,
    c: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    weight_hr: Array | None,
    reverse: bool,
) -> Gradients:
    gates, states, memory, packed, rows = residuals
    sequence = _Sequence(x, reverse)
    (steps, n, _), size = x.shape, h.shape[1]
    g_outputs, dh, dc = (None if part is None else _in_order(part) for part in g)
    dz, dh_before, dc_before = _empty(x, *gates.shape), _empty(x, n, size), _empty(x, n, size)
    sums = None
    if packed is not None:
        sums = persistent.sums(x, n, 4 * size)
        args = (gates, memory, *sequence.narrow(), packed[1], g_outputs, dh, dc)
        args = (*args, dz, dh_before, dc_before, sums, steps, n, int(reverse))
        persistent.launch("lstm_backward", size, n, args)
    else:
        c_before, c_after = sequence.before(memory), sequence.after(memory)
        for t in reversed(sequence.order()):
            args = (gates[t], c_before[t], c_after[t], dh, _at(g_outputs, t), dc, dz[t], dc_before)
            _run(cells.lstm_backward, n * size, *args, size, n)
            dh, dc = gemm(dz[t], weight_hh, dh_before), dc_before
    return [
        _of_inputs(needs, dz, x, weight_ih),
        dh_before if needs[1] else None,
        dc_before if needs[2] else None,
        *_learnt(needs, 3, dz, dz, rows, sequence.before(states), sums),
        None,
    ]


lstm = Kernel(_lstm_forward, _lstm_backward)


def _cell_forward(z: Array, c: Array) -> Any:
    if not served(z, c) or z.shape != (*c.shape[:-1], 4 * c.shape[-1]):
        return NotImplemented
    z, c = _in_order(z), _in_order(c)
    gates, h, after = _empty(z, *z.shape), _empty(c, *c.shape), _empty(c, *c.shape)
    size = c.shape[-1]
    _run(cells.lstm_forward, c.size, z, None, None, c, gates, after, h, size, c.size // size)
    return (h, after), gates


def _cell_backward(
    g: Sequence[Array | None],
    needs: Needs,
    y: Sequence[Array],
    gates: Array,
    z: Array,
    c: Array,
) -> Gradients:
    dh, dc = (None if part is None else _in_order(part) for part in g)
    dz, dc_before, size = _empty(z, *z.shape), _empty(c, *c.shape), c.shape[-1]
    args = (gates, _in_order(c), y[1], dh, None, dc, dz, dc_before)
    _run(cells.lstm_backward, c.size, *args, size, c.size // size)
    return [dz if needs[0] else None, dc_before if needs[1] else None]


lstm_cell = Kernel(_cell_forward, _cell_backward)


# --- Elman's network --------------------------------------------------------------------------


def _rnn_forward(
    x: Array,
    h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    nonlinearity: str,
    reverse: bool,
) -> Any:
    if not _takes(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
        return NotImplemented
    sequence, relu = _Sequence(x, reverse), int(nonlinearity == "relu")
    (steps, n, _), size = x.shape, h.shape[1]
    h, weight_ih, weight_hh = map(_in_order, (h, weight_ih, weight_hh))
    states = _empty(x, steps + 1, n, size)
    packed = None
    if persistent.serves(x, size, 1):
        inputs, rows = _inputs(sequence, weight_ih)
        packed = persistent.pack(weight_hh, 1)
        args = (*inputs, bias_ih, bias_hh, packed[0], h, states, relu, steps, n, int(reverse))
        persistent.launch("rnn_forward", size, n, args)
    else:
        rows = sequence.rows()
        sequence.start(states, h)
        before, after = sequence.before(states), sequence.after(states)
        gemm(rows, weight_ih.T, _flat(after))
        for t in sequence.order():
            z = gemm(before[t], weight_hh.T, after[t], accumulate=True)
            _run(cells.rnn_forward, n * size, z, bias_ih, bias_hh, relu, size, n)
    return (sequence.after(states), sequence.last(states)), (states, packed, rows)


def _rnn_backward(
    g: Sequence[Array | None],
    needs: Needs,
    y: Sequence[Array],
    residuals: tuple[Any, ...],
    x: Array,
    h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    nonlinearity: str,
    reverse: bool,
) -> Gradients:
    states, packed, rows = residuals
    sequence, relu = _Sequence(x, reverse), int(nonlinearity == "relu")
    (steps, n, _), size = x.shape, h.shape[1]
    g_outputs, dh = (None if part is None else _in_order(part) for part in g)
    dz, dh_before = _empty(x, steps, n, size), _empty(x, n, size)
    sums = None
    if packed is not None:
        sums = persistent.sums(x, n, size)
        args = (states, *sequence.narrow(), packed[1], g_outputs, dh, dz, dh_before, sums)
        persistent.launch("rnn_backward", size, n, (*args, relu, steps, n, int(reverse)))
    else:
        after = sequence.after(states)
        for t in reversed(sequence.order()):
            args = (after[t], dh, _at(g_outputs, t), dz[t], relu, n * size)
            _run(cells.rnn_backward, n * size, *args)
            dh = gemm(dz[t], weight_hh, dh_before)
    return [
        _of_inputs(needs, dz, x, weight_ih),
        dh_before if needs[1] else None,
        *_learnt(needs, 2, dz, dz, rows, sequence.before(states), sums),
    ]


rnn = Kernel(_rnn_forward, _rnn_backward)
