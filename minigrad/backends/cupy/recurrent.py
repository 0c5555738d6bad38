"""The LSTM over a whole sequence; other recurrent networks run their definitions.

In float32 and with at most 128 cells it is one launch forward and one backward (persistent.py);
else each step is a matrix product and a launch. Both ways save the same residuals in the same
layout for backward.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from typing import Any

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.arrays import empty
from minigrad.backends.cupy import cells, persistent
from minigrad.backends.cupy.cublas import gemm
from minigrad.backends.cupy.sequence import (
    Gradients,
    Sequence,
    at,
    flat,
    in_order,
    inputs_of,
    learnt,
    of_inputs,
    run,
    takes,
)

__all__ = ["lstm"]


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
    if weight_hr is not None or not takes(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
        return NotImplemented
    sequence = Sequence(x, reverse)
    (steps, n, _), size = x.shape, h.shape[1]
    h, c, weight_ih, weight_hh = in_order(h, c, weight_ih, weight_hh)
    bias_ih, bias_hh = in_order(bias_ih, bias_hh)
    states, memory = empty(x, (steps + 1, n, size)), empty(x, (steps + 1, n, size))
    gates = empty(x, (steps, n, 4 * size))
    packed = None
    if persistent.serves(x, size):
        inputs, rows = inputs_of(sequence, weight_ih)
        packed = persistent.pack(weight_hh)
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
            args = (z, bias_ih, bias_hh, c_before[t], c_after[t], after[t])
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
    dz, dh_before, dc_before = empty(x, gates.shape), empty(x, (n, size)), empty(x, (n, size))
    sums = None
    if packed is not None:
        sums = persistent.sums(x, size, n)
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
        *learnt(needs, dz, rows, sequence.before(states), sums),
        None,
    ]


lstm = Kernel(_lstm_forward, _lstm_backward)
