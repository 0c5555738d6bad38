"""Recurrent networks over a whole sequence, and one step of the gated ones.

In float32 and with at most 128 cells an LSTM or Elman's network is one launch each way
(persistent.py); else each step is a product and a launch. Both roads keep the same for the way
back, which the other could take.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from typing import Any

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.cupy import cells, persistent
from minigrad.backends.cupy.cublas import gemm
from minigrad.backends.cupy.gru import gru, gru_cell
from minigrad.backends.cupy.sequence import (
    Gradients,
    Sequence,
    at,
    empty,
    flat,
    in_order,
    inputs_of,
    learnt,
    of_inputs,
    run,
    takes,
)
from minigrad.backends.cupy.source import served

__all__ = ["gru", "gru_cell", "lstm", "lstm_cell", "rnn"]

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
    if weight_hr is not None or not takes(4, x, [h, c], weight_ih, weight_hh, bias_ih, bias_hh):
        return NotImplemented
    sequence = Sequence(x, reverse)
    (steps, n, _), size = x.shape, h.shape[1]
    h, c, weight_ih, weight_hh = in_order(h, c, weight_ih, weight_hh)
    bias_ih, bias_hh = in_order(bias_ih, bias_hh)
    states, memory = empty(x, steps + 1, n, size), empty(x, steps + 1, n, size)
    gates = empty(x, steps, n, 4 * size)
    packed = None
    if persistent.serves(x, size, 4):
        inputs, rows = inputs_of(sequence, weight_ih)
        packed = persistent.pack(weight_hh, 4)
        given = (*inputs, bias_ih, bias_hh, packed[0], h, c, states, memory, gates)
        persistent.launch("lstm_forward", size, n, (*given, steps, n, int(reverse)))
    else:
        rows = sequence.rows()
        sequence.start(states, h)
        sequence.start(memory, c)
        gemm(rows, weight_ih.T, flat(gates))
        before, after = sequence.before(states), sequence.after(states)
        c_before, c_after = sequence.before(memory), sequence.after(memory)
        for t in sequence.order():
            z = gemm(before[t], weight_hh.T, gates[t], accumulate=True)
            args = (z, bias_ih, bias_hh, c_before[t], z, c_after[t], after[t])
            run(cells.lstm_forward, n * size, *args, size, n)
    y = sequence.after(states), sequence.last(states), sequence.last(memory)
    return y, (gates, states, memory, packed, rows)


def _lstm_backward(
    g: Several[Array | None],
    needs: Needs,
    y: Several[Array],
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
    sequence = Sequence(x, reverse)
    (steps, n, _), size = x.shape, h.shape[1]
    g_outputs, dh, dc = in_order(*g)
    dz, dh_before, dc_before = empty(x, *gates.shape), empty(x, n, size), empty(x, n, size)
    sums = None
    if packed is not None:
        sums = persistent.sums(x, size, 4, n)
        args = (gates, memory, *sequence.narrow(), packed[1], g_outputs, dh, dc)
        args = (*args, dz, dh_before, dc_before, sums, steps, n, int(reverse))
        persistent.launch("lstm_backward", size, n, args)
    else:
        c_before, c_after = sequence.before(memory), sequence.after(memory)
        for t in reversed(sequence.order()):
            args = (gates[t], c_before[t], c_after[t], dh, at(g_outputs, t), dc, dz[t], dc_before)
            run(cells.lstm_backward, n * size, *args, size, n)
            dh, dc = gemm(dz[t], weight_hh, dh_before), dc_before
    return [
        of_inputs(needs, dz, x, weight_ih),
        dh_before if needs[1] else None,
        dc_before if needs[2] else None,
        *learnt(needs, 3, dz, dz, rows, sequence.before(states), sums),
        None,
    ]


lstm = Kernel(_lstm_forward, _lstm_backward)


def _cell_forward(z: Array, c: Array) -> Any:
    if not served(z, c) or z.shape != (*c.shape[:-1], 4 * c.shape[-1]):
        return NotImplemented
    z, c = in_order(z, c)
    gates, h, after = empty(z, *z.shape), empty(c, *c.shape), empty(c, *c.shape)
    size = c.shape[-1]
    run(cells.lstm_forward, c.size, z, None, None, c, gates, after, h, size, c.size // size)
    return (h, after), gates


def _cell_backward(
    g: Several[Array | None],
    needs: Needs,
    y: Several[Array],
    gates: Array,
    z: Array,
    c: Array,
) -> Gradients:
    c, dh, dc = in_order(c, *g)
    dz, dc_before, size = empty(z, *z.shape), empty(c, *c.shape), c.shape[-1]
    args = (gates, c, y[1], dh, None, dc, dz, dc_before)
    run(cells.lstm_backward, c.size, *args, size, c.size // size)
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
    if not takes(1, x, [h], weight_ih, weight_hh, bias_ih, bias_hh):
        return NotImplemented
    sequence, relu = Sequence(x, reverse), int(nonlinearity == "relu")
    (steps, n, _), size = x.shape, h.shape[1]
    h, weight_ih, weight_hh = in_order(h, weight_ih, weight_hh)
    bias_ih, bias_hh = in_order(bias_ih, bias_hh)
    states = empty(x, steps + 1, n, size)
    packed = None
    if persistent.serves(x, size, 1):
        inputs, rows = inputs_of(sequence, weight_ih)
        packed = persistent.pack(weight_hh, 1)
        args = (*inputs, bias_ih, bias_hh, packed[0], h, states, relu, steps, n, int(reverse))
        persistent.launch("rnn_forward", size, n, args)
    else:
        rows = sequence.rows()
        sequence.start(states, h)
        before, after = sequence.before(states), sequence.after(states)
        gemm(rows, weight_ih.T, flat(after))
        for t in sequence.order():
            z = gemm(before[t], weight_hh.T, after[t], accumulate=True)
            run(cells.rnn_forward, n * size, z, bias_ih, bias_hh, relu, size, n)
    return (sequence.after(states), sequence.last(states)), (states, packed, rows)


def _rnn_backward(
    g: Several[Array | None],
    needs: Needs,
    y: Several[Array],
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
    sequence, relu = Sequence(x, reverse), int(nonlinearity == "relu")
    (steps, n, _), size = x.shape, h.shape[1]
    g_outputs, dh = in_order(*g)
    dz, dh_before = empty(x, steps, n, size), empty(x, n, size)
    sums = None
    if packed is not None:
        sums = persistent.sums(x, size, 1, n)
        args = (states, *sequence.narrow(), packed[1], g_outputs, dh, dz, dh_before, sums)
        persistent.launch("rnn_backward", size, n, (*args, relu, steps, n, int(reverse)))
    else:
        after = sequence.after(states)
        for t in reversed(sequence.order()):
            args = (after[t], dh, at(g_outputs, t), dz[t], relu, n * size)
            run(cells.rnn_backward, n * size, *args)
            dh = gemm(dz[t], weight_hh, dh_before)
    return [
        of_inputs(needs, dz, x, weight_ih),
        dh_before if needs[1] else None,
        *learnt(needs, 2, dz, dz, rows, sequence.before(states), sums),
    ]


rnn = Kernel(_rnn_forward, _rnn_backward)
