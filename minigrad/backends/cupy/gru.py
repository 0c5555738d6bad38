"""The gated recurrent unit: a product and a launch for each step."""

from __future__ import annotations

from collections.abc import Sequence as Several
from typing import Any

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.cupy import cells
from minigrad.backends.cupy.cublas import gemm
from minigrad.backends.cupy.sequence import (
    Gradients,
    Sequence,
    at,
    empty,
    in_order,
    learnt,
    of_inputs,
    run,
    takes,
)
from minigrad.backends.cupy.source import served

__all__ = ["gru", "gru_cell"]


def _forward(
    x: Array,
    h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    reverse: bool,
) -> Any:
    if not takes(3, x, [h], weight_ih, weight_hh, bias_ih, bias_hh):
        return NotImplemented
    sequence = Sequence(x, reverse)
    (steps, n, _), size = x.shape, h.shape[1]
    bias_ih, bias_hh = in_order(bias_ih, bias_hh)
    rows, states = sequence.rows(), empty(x, steps + 1, n, size)
    a, gates = gemm(rows, weight_ih.T), empty(x, steps, n, 4 * size)
    a, b = a.reshape(steps, n, 3 * size), empty(x, n, 3 * size)
    sequence.start(states, h)
    before, after = sequence.before(states), sequence.after(states)
    for t in sequence.order():
        gemm(before[t], weight_hh.T, b)
        args = (a[t], b, bias_ih, bias_hh, before[t], gates[t], after[t], size, n)
        run(cells.gru_forward, n * size, *args)
    return (after, sequence.last(states)), (gates, states, rows)


def _backward(
    g: Several[Array | None],
    needs: Needs,
    y: Several[Array],
    residuals: tuple[Array, Array, Array],
    x: Array,
    h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    reverse: bool,
) -> Gradients:
    gates, states, rows = residuals
    sequence = Sequence(x, reverse)
    (steps, n, _), size = x.shape, h.shape[1]
    g_outputs, dh = in_order(*g)
    da, db = empty(x, steps, n, 3 * size), empty(x, steps, n, 3 * size)
    dh_before, before = empty(x, n, size), sequence.before(states)
    for t in reversed(sequence.order()):
        args = (gates[t], before[t], dh, at(g_outputs, t), da[t], db[t], dh_before, size, n)
        run(cells.gru_backward, n * size, *args)
        dh = gemm(db[t], weight_hh, dh_before, accumulate=True)
    return [
        of_inputs(needs, da, x, weight_ih),
        dh_before if needs[1] else None,
        *learnt(needs, 2, da, db, rows, before),
    ]


gru = Kernel(_forward, _backward)


def _cell_forward(a: Array, b: Array, h: Array) -> Any:
    wide = (*h.shape[:-1], 3 * h.shape[-1]) if h.ndim else ()
    if not served(a, b, h) or not a.shape == b.shape == wide:
        return NotImplemented
    size = h.shape[-1]
    gates, y = empty(a, *h.shape[:-1], 4 * size), empty(h, *h.shape)
    a, b, h = in_order(a, b, h)
    run(cells.gru_forward, h.size, a, b, None, None, h, gates, y, size, h.size // size)
    return y, gates


def _cell_backward(
    g: Array, needs: Needs, y: Array, gates: Array, a: Array, b: Array, h: Array
) -> Gradients:
    size = h.shape[-1]
    da, db, dh = empty(a, *a.shape), empty(b, *b.shape), empty(h, *h.shape)
    h, g = in_order(h, g)
    run(cells.gru_backward, h.size, gates, h, g, None, da, db, dh, size, h.size // size)
    return [part if need else None for part, need in zip((da, db, dh), needs, strict=True)]


gru_cell = Kernel(_cell_forward, _cell_backward)
