"""The LSTM over a whole sequence, feature-major, with one matrix product per step each way.

The columns of `S_t = [h_(t-1); x_t; 1]` are the sequences of the batch, so that one product with
`W = [W_hh, W_ih, b]` gives all four gates, and its transpose the gradients of h, x at once. With
`sigmoid(z) = (1 + tanh(z / 2)) / 2` one tanh serves all gates: NumPy's is twice as fast as its exp.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel


def _forward(
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
    given = [x, h, c, weight_ih, weight_hh, *(b for b in (bias_ih, bias_hh) if b is not None)]
    if weight_hr is not None or x.dtype.kind != "f" or any(a.dtype != x.dtype for a in given):
        return NotImplemented
    steps, n, width = x.shape
    size = h.shape[1]
    bias = [] if bias_ih is None else [(bias_ih + bias_hh)[:, None]]
    weight = np.concatenate([weight_hh, weight_ih, *bias], axis=1)  # (4H, H + D + 1)
    half = np.array(0.5, x.dtype)
    halved = weight * half
    halved[2 * size : 3 * size] = weight[2 * size : 3 * size]
    seen = np.empty((steps + 1, weight.shape[1], n), x.dtype)  # S
    seen[:-1, size : size + width] = (x[::-1] if reverse else x).swapaxes(1, 2)
    seen[:, size + width :] = 1
    seen[0, :size] = h.T
    cells = np.empty((steps + 1, size, n), x.dtype)
    cells[0] = c.T
    gates = np.empty((steps, 4 * size, n), x.dtype)
    squashed = np.empty((steps, size, n), x.dtype)  # tanh(c)
    work = np.empty((size, n), x.dtype)
    for t in range(steps):
        gate = np.matmul(halved, seen[t], out=gates[t])
        np.tanh(gate, out=gate)
        for sigmoids in (gate[: 2 * size], gate[3 * size :]):
            sigmoids *= half
            sigmoids += half
        i, f, g, o = gate.reshape(4, size, n)
        cell = np.multiply(f, cells[t], out=cells[t + 1])
        cell += np.multiply(i, g, out=work)
        np.multiply(o, np.tanh(cell, out=squashed[t]), out=seen[t + 1, :size])
    outputs = seen[1:, :size].swapaxes(1, 2)
    y = outputs[::-1] if reverse else outputs
    return (y, outputs[-1], cells[-1].T), (weight, seen, gates, cells, squashed)


def _backward(
    g: Sequence[Array | None],
    needs: Sequence[bool],
    y: Sequence[Array],
    residuals: tuple[Array, ...],
    x: Array,
    h: Array,
    c: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    weight_hr: Array | None,
    reverse: bool,
) -> list[Array | None]:
    """Back through time; with dz the gradient of the pre-activations, dW = sum_t dz_t S_t^T."""
    weight, seen, gates, cells, squashed = residuals
    g_outputs, g_h, g_c = g
    steps, n, width = x.shape
    size = h.shape[1]
    dh = np.zeros((size, n), x.dtype) if g_h is None else g_h.T.copy()
    dc = np.zeros((size, n), x.dtype) if g_c is None else g_c.T.copy()
    dx = np.empty(x.shape, x.dtype) if needs[0] else None
    learnt = any(needs[3:7])
    dweight, part = np.zeros(weight.shape, x.dtype), np.empty(weight.shape, x.dtype)
    dz, slope = np.empty((4 * size, n), x.dtype), np.empty((4 * size, n), x.dtype)
    back = (weight if needs[0] else weight[:, :size]).T
    dseen, work = np.empty((len(back), n), x.dtype), np.empty((size, n), x.dtype)
    for t in range(steps - 1, -1, -1):
        place = steps - 1 - t if reverse else t
        if g_outputs is not None:
            dh += g_outputs[place].T
        gate = gates[t]
        i, f, candidate, o = gate.reshape(4, size, n)
        di, df, dg, do = dz.reshape(4, size, n)
        np.multiply(dh, squashed[t], out=do)
        np.multiply(squashed[t], squashed[t], out=work)  # dc += dh o (1 - tanh(c)^2)
        np.subtract(1, work, out=work)
        work *= o
        work *= dh
        dc += work
        np.multiply(dc, candidate, out=di)
        np.multiply(dc, cells[t], out=df)
        np.multiply(dc, i, out=dg)
        dc *= f
        np.multiply(gate, gate, out=slope)  # 1 - g^2 for tanh, s - s^2 for sigmoids
        bend = slope.reshape(4, size, n)
        np.subtract(gate[: 2 * size], slope[: 2 * size], out=slope[: 2 * size])
        np.subtract(1, bend[2], out=bend[2])
        np.subtract(o, bend[3], out=bend[3])
        dz *= slope
        if learnt:
            dweight += np.matmul(dz, seen[t].T, out=part)
        if t or needs[0] or needs[1]:  # what is before the first step is seldom learnt
            np.matmul(back, dz, out=dseen)
        dh = dseen[:size]
        if dx is not None:
            dx[place] = dseen[size : size + width].T
    dbias = dweight[:, -1] if bias_ih is not None else None
    return [
        dx,
        dh.T if needs[1] else None,
        dc.T if needs[2] else None,
        dweight[:, size : size + width] if needs[3] else None,
        dweight[:, :size] if needs[4] else None,
        dbias if needs[5] else None,
        dbias if needs[6] else None,
        None,
    ]


lstm = Kernel(_forward, _backward)
