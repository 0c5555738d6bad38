"""Recurrent networks over a whole sequence, feature-major, with one product per step each way.

The columns of `S_t = [h_(t-1); x_t; 1]` are the sequences of the batch, so that one product with
`W = [W_hh, W_ih, b]` gives all pre-activations, and its transpose the gradients of h, x at once.
What happens between the products is a function of its own, which Numba's kernels replace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs

Inputs = tuple[Array, Array, Array, Array, Array | None, Array | None]  # x, h, weights, biases


def _stacked(inputs: Inputs, reverse: bool) -> tuple[Array, Array] | None:
    """W, and room for all S_t with x and the first h in place; None for dtypes that are mixed."""
    x, h, weight_ih, weight_hh, bias_ih, bias_hh = inputs
    bias = [] if bias_ih is None or bias_hh is None else [(bias_ih + bias_hh)[:, None]]
    given = [x, h, weight_ih, weight_hh, *bias]
    if x.dtype.kind != "f" or any(a.dtype != x.dtype for a in given):
        return None
    steps, n, width = x.shape
    size = h.shape[1]
    weight = np.concatenate([weight_hh, weight_ih, *bias], axis=1)
    seen = np.empty((steps + 1, weight.shape[1], n), x.dtype)
    seen[:-1, size : size + width] = (x[::-1] if reverse else x).swapaxes(1, 2)
    seen[:, size + width :] = 1
    seen[0, :size] = h.T
    return weight, seen


def _outputs(seen: Array, size: int, reverse: bool) -> tuple[Array, Array]:
    """All h_t (T, N, H) in the order of time, and the one after the last step read."""
    outputs = seen[1:, :size].swapaxes(1, 2)
    return outputs[::-1] if reverse else outputs, outputs[-1]


class _WayBack:
    """Gradients of what goes into the products: `dW = sum_t dz_t S_t^T` and `dS_t = W^T dz_t`."""

    def __init__(
        self, weight: Array, seen: Array, needs: Sequence[bool], inputs: Inputs, reverse: bool
    ) -> None:
        x, h, *_, bias = inputs
        self.seen, self.needs, self.reverse, self.biased = seen, needs, reverse, bias is not None
        self.size, self.width = h.shape[1], x.shape[2]
        self.learnt = any(needs[2:])
        self.dweight, self.part = np.zeros_like(weight), np.empty_like(weight)
        self.dx = np.empty(x.shape, x.dtype) if needs[0] else None
        self.back = (weight if needs[0] else weight[:, : self.size]).T
        self.dseen = np.empty((len(self.back), x.shape[1]), x.dtype)

    def place(self, t: int) -> int:
        """Where in time the step stands that was the t-th to be read."""
        return len(self.seen) - 2 - t if self.reverse else t

    def step(self, t: int, dz: Array) -> Array:
        """Take the gradient of the pre-activations of one step; give that of the h before it."""
        if self.learnt:
            self.dweight += np.matmul(dz, self.seen[t].T, out=self.part)
        if t or self.needs[0] or self.needs[1]:  # what is before the first step is seldom learnt
            np.matmul(self.back, dz, out=self.dseen)
        if self.dx is not None:
            self.dx[self.place(t)] = self.dseen[self.size : self.size + self.width].T
        return self.dseen[: self.size]

    def gradients(self, dh: Array) -> list[Array | None]:
        """What `inputs` lists, given the gradient of the first h."""
        dbias = self.dweight[:, -1] if self.biased else None
        found = [
            self.dx,
            dh.T,
            self.dweight[:, self.size : self.size + self.width],
            self.dweight[:, : self.size],
            dbias,
            dbias,
        ]
        return [g if need else None for g, need in zip(found, self.needs, strict=True)]


# --- the LSTM ---------------------------------------------------------------------------------


def _lstm_forward(
    cell_step: Callable[..., object],
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
    stacked = _stacked((x, h, weight_ih, weight_hh, bias_ih, bias_hh), reverse)
    if stacked is None or weight_hr is not None or c.dtype != x.dtype:
        return NotImplemented
    weight, seen = stacked
    size = h.shape[1]
    halved = weight * np.array(0.5, x.dtype)
    halved[2 * size : 3 * size] = weight[2 * size : 3 * size]
    # an array for each step: one of more than 32 MiB would not stay in glibc's pool
    cells = [np.ascontiguousarray(c.T)]
    gates, squashed = [], []  # squashed is tanh(c)
    for t in range(len(x)):
        gates.append(np.matmul(halved, seen[t]))
        cells.append(np.empty_like(cells[0]))
        squashed.append(np.empty_like(cells[0]))
        cell_step(gates[t], cells[t], cells[t + 1], squashed[t], seen[t + 1, :size])
    y, last = _outputs(seen, size, reverse)
    return (y, last, cells[-1].T), (weight, seen, gates, cells, squashed)


def _lstm_backward(
    cell_back: Callable[..., object],
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
) -> list[Array | None]:
    weight, seen, gates, cells, squashed = residuals
    g_outputs, g_h, g_c = g
    n, size = x.shape[1], h.shape[1]
    inputs = (x, h, weight_ih, weight_hh, bias_ih, bias_hh)
    way = _WayBack(weight, seen, [*needs[:2], *needs[3:7]], inputs, reverse)
    dh = np.zeros((size, n), x.dtype) if g_h is None else g_h.T.copy()
    dc = np.zeros((size, n), x.dtype) if g_c is None else g_c.T.copy()
    dz = np.empty((4 * size, n), x.dtype)
    for t in range(len(x) - 1, -1, -1):
        if g_outputs is not None:
            dh += g_outputs[way.place(t)].T
        cell_back(gates[t], cells[t], squashed[t], dh, dc, dz)
        dh = way.step(t, dz)
    dx, first_h, *rest = way.gradients(dh)
    return [dx, first_h, dc.T if needs[2] else None, *rest, None]


def lstm_kernel(cell_step: Callable[..., object], cell_back: Callable[..., object]) -> Kernel:
    """The LSTM with a given arithmetic between the products.

    Args:
        cell_step: `(gates, before, cell, squashed, h)`, feature-major: turns pre-activations
            (4H, N), those of the sigmoids halved, into the values of the gates, in place, and
            with the cell's state `before` (H, N) fills `cell`, its tanh `squashed`, and `h`.
        cell_back: `(gates, before, squashed, dh, dc, dz)`: turns dc, the gradient of the cell's
            state, into that of the state before, in place, and fills that of the pre-activations.
    """
    return Kernel(partial(_lstm_forward, cell_step), partial(_lstm_backward, cell_back))


def _cell_step(gates: Array, before: Array, cell: Array, squashed: Array, h: Array) -> None:
    """With sigmoid(z) = (1 + tanh(z / 2)) / 2 one tanh serves all gates: twice as fast as exp."""
    half = np.array(0.5, gates.dtype)
    size = len(cell)
    np.tanh(gates, out=gates)
    for sigmoids in (gates[: 2 * size], gates[3 * size :]):
        sigmoids *= half
        sigmoids += half
    i, f, g, o = gates.reshape(4, *cell.shape)
    np.multiply(f, before, out=cell)
    cell += np.multiply(i, g, out=squashed)
    np.multiply(o, np.tanh(cell, out=squashed), out=h)


def _cell_back(
    gates: Array, before: Array, squashed: Array, dh: Array, dc: Array, dz: Array
) -> None:
    size = len(before)
    i, f, g, o = gates.reshape(4, *before.shape)
    work = squashed * squashed  # dc += dh o (1 - tanh(c)^2)
    np.subtract(1, work, out=work)
    work *= o
    work *= dh
    dc += work
    np.multiply(gates, gates, out=dz)  # the derivatives: 1 - g^2 for tanh, s - s^2 for sigmoids
    di, df, dg, do = dz.reshape(4, *before.shape)
    np.subtract(gates[: 2 * size], dz[: 2 * size], out=dz[: 2 * size])
    np.subtract(1, dg, out=dg)
    np.subtract(o, do, out=do)
    for slope, other, arrived in ((di, g, dc), (df, before, dc), (dg, i, dc), (do, squashed, dh)):
        slope *= other
        slope *= arrived
    dc *= f


lstm = lstm_kernel(_cell_step, _cell_back)

# --- the vanilla network ----------------------------------------------------------------------


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
    stacked = _stacked((x, h, weight_ih, weight_hh, bias_ih, bias_hh), reverse)
    if stacked is None:
        return NotImplemented
    weight, seen = stacked
    size = h.shape[1]
    for t in range(len(x)):
        state = np.matmul(weight, seen[t], out=seen[t + 1, :size])
        if nonlinearity == "tanh":
            np.tanh(state, out=state)
        else:
            np.maximum(state, 0, out=state)
    return _outputs(seen, size, reverse), stacked


def _rnn_backward(
    g: Sequence[Array | None],
    needs: Needs,
    y: Sequence[Array],
    residuals: tuple[Array, Array],
    x: Array,
    h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    nonlinearity: str,
    reverse: bool,
) -> list[Array | None]:
    weight, seen = residuals
    g_outputs, g_h = g
    n, size = x.shape[1], h.shape[1]
    way = _WayBack(weight, seen, needs, (x, h, weight_ih, weight_hh, bias_ih, bias_hh), reverse)
    dh = np.zeros((size, n), x.dtype) if g_h is None else g_h.T.copy()
    dz = np.empty((size, n), x.dtype)
    for t in range(len(x) - 1, -1, -1):
        if g_outputs is not None:
            dh += g_outputs[way.place(t)].T
        state = seen[t + 1, :size]
        if nonlinearity == "tanh":
            np.subtract(1, np.multiply(state, state, out=dz), out=dz)
            dz *= dh
        else:
            np.multiply(dh, state > 0, out=dz)
        dh = way.step(t, dz)
    return way.gradients(dh)


rnn = Kernel(_rnn_forward, _rnn_backward)
