"""Recurrent networks over a whole sequence, with few matrix products per step.

Arrays are feature-major: each column of `S_t = [h_(t-1); x_t; 1]` is one sequence of the batch. So
one product with `W = [W_hh, W_ih, b]` gives all pre-activations of a step, and one product with
the transpose of W gives the gradients of h and x together. The elementwise arithmetic between the
products is a function of its own, so that Numba's kernels can replace it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from minigrad.backends import Array, Kernel, Needs

Inputs: TypeAlias = Sequence[Any]  # x, h, weight_ih, weight_hh, bias_ih, bias_hh


def _stack(inputs: Inputs, reverse: bool) -> tuple[Array, Array] | None:
    """W, and an array for all S_t that holds x and the first h; None where dtypes are mixed."""
    x, h, weight_ih, weight_hh, bias_ih, bias_hh = inputs
    bias = [] if bias_ih is None or bias_hh is None else [(bias_ih + bias_hh)[:, None]]
    given = [x, h, weight_ih, weight_hh, *bias]
    if x.dtype.kind != "f" or any(a.dtype != x.dtype for a in given):
        return None
    steps, n, width = x.shape
    size = h.shape[1]
    weight = np.concatenate([weight_hh, weight_ih, *bias], axis=1)
    stacked = np.empty((steps + 1, weight.shape[1], n), x.dtype)
    stacked[:-1, size : size + width] = (x[::-1] if reverse else x).swapaxes(1, 2)
    stacked[:, size + width :] = 1
    stacked[0, :size] = h.T
    return weight, stacked


def _outputs(stacked: Array, size: int, reverse: bool) -> tuple[Array, Array]:
    """All h_t (T, N, H) in the order of time, and the h after the last step that was read."""
    outputs = stacked[1:, :size].swapaxes(1, 2)
    return outputs[::-1] if reverse else outputs, outputs[-1]


class _BackwardPass:
    """Gradients of the products' operands: `dW = sum_t dz_t S_t^T` and `dS_t = W^T dz_t`."""

    def __init__(
        self, weight: Array, stacked: Array, needs: Sequence[bool], inputs: Inputs, reverse: bool
    ) -> None:
        x, h, *_, bias = inputs
        self.stacked, self.needs, self.reverse = stacked, needs, reverse
        self.biased = bias is not None
        self.size, self.width = h.shape[1], x.shape[2]
        self.needs_weights = any(needs[2:])
        self.dweight, self.part = np.zeros_like(weight), np.empty_like(weight)
        self.dx = np.empty(x.shape, x.dtype) if needs[0] else None
        self.back = (weight if needs[0] else weight[:, : self.size]).T
        self.dstacked = np.empty((len(self.back), x.shape[1]), x.dtype)

    def place(self, t: int) -> int:
        """The position in time of the step that was read as number t."""
        return len(self.stacked) - 2 - t if self.reverse else t

    def step(self, t: int, dz: Array) -> Array:
        """Take the gradient of one step's pre-activations; return the gradient of the h before."""
        if self.needs_weights:
            self.dweight += np.matmul(dz, self.stacked[t].T, out=self.part)
        if t or self.needs[0] or self.needs[1]:  # the first h seldom needs a gradient
            np.matmul(self.back, dz, out=self.dstacked)
        if self.dx is not None:
            self.dx[self.place(t)] = self.dstacked[self.size : self.size + self.width].T
        return self.dstacked[: self.size]

    def gradients(self, dh: Array) -> list[Array | None]:
        """The gradients of all `Inputs`, given dh (H, N), the gradient of the first h."""
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


# the LSTM


def _lstm_forward(cell_step: Callable[..., object], *inputs: Any, reverse: bool) -> Any:
    x, h, c, *weights, weight_hr = inputs
    found = _stack((x, h, *weights), reverse)
    if found is None or weight_hr is not None or c.dtype != x.dtype:
        return NotImplemented
    weight, stacked = found
    size = h.shape[1]
    halved_weight = weight * np.array(0.5, x.dtype)
    halved_weight[2 * size : 3 * size] = weight[2 * size : 3 * size]
    # one array per step: glibc would not keep a single array of more than 32 MiB when it is freed
    cells = [np.ascontiguousarray(c.T)]
    gates, tanh_cells = [], []
    for t in range(len(x)):
        gates.append(np.matmul(halved_weight, stacked[t]))
        cells.append(np.empty_like(cells[0]))
        tanh_cells.append(np.empty_like(cells[0]))
        cell_step(gates[t], cells[t], cells[t + 1], tanh_cells[t], stacked[t + 1, :size])
    y, last = _outputs(stacked, size, reverse)
    return (y, last, cells[-1].T), (weight, stacked, gates, cells, tanh_cells)


def _lstm_backward(
    cell_back: Callable[..., object],
    g: Sequence[Array | None],
    needs: Needs,
    y: Sequence[Array],
    residuals: tuple[Any, ...],
    *inputs: Any,
    reverse: bool,
) -> list[Array | None]:
    weight, stacked, gates, cells, tanh_cells = residuals
    x, h, _, *weights, _ = inputs
    g_outputs, g_h, g_c = g
    n, size = x.shape[1], h.shape[1]
    needed = [*needs[:2], *needs[3:7]]
    backward = _BackwardPass(weight, stacked, needed, (x, h, *weights), reverse)
    dh = np.zeros((size, n), x.dtype) if g_h is None else g_h.T.copy()
    dc = np.zeros((size, n), x.dtype) if g_c is None else g_c.T.copy()
    dz = np.empty((4 * size, n), x.dtype)
    for t in range(len(x) - 1, -1, -1):
        if g_outputs is not None:
            dh += g_outputs[backward.place(t)].T
        cell_back(gates[t], cells[t], tanh_cells[t], dh, dc, dz)
        dh = backward.step(t, dz)
    dx, first_h, *rest = backward.gradients(dh)
    return [dx, first_h, dc.T if needs[2] else None, *rest, None]


def lstm_kernel(cell_step: Callable[..., object], cell_back: Callable[..., object]) -> Kernel:
    """The LSTM's kernel, given the two functions that compute a step between the products.

    Args:
        cell_step: `(gates, before, cell, tanh_cell, h)`, all feature-major. On entry `gates`
            (4H, N) holds the pre-activations, halved for the sigmoid gates, and `before`
            (H, N) the cell state before the step. The function overwrites `gates` with the gates'
            values, and fills `cell`, `tanh_cell` (tanh of `cell`) and `h`, each (H, N).
        cell_back: `(gates, before, tanh_cell, dh, dc, dz)`. The function fills `dz` (4H, N), the
            gradient of the pre-activations. It turns `dc` in place from the gradient of the cell
            state after the step into the gradient of the cell state before it.
    """
    return Kernel(partial(_lstm_forward, cell_step), partial(_lstm_backward, cell_back))


def _cell_step(gates: Array, before: Array, cell: Array, tanh_cell: Array, h: Array) -> None:
    """With sigmoid(z) = (1 + tanh(z / 2)) / 2, one call of tanh does all four gates."""
    half = np.array(0.5, gates.dtype)
    size = len(cell)
    np.tanh(gates, out=gates)
    for sigmoids in (gates[: 2 * size], gates[3 * size :]):
        sigmoids *= half
        sigmoids += half
    i, f, g, o = gates.reshape(4, *cell.shape)
    np.multiply(f, before, out=cell)
    cell += np.multiply(i, g, out=tanh_cell)
    np.multiply(o, np.tanh(cell, out=tanh_cell), out=h)


def _cell_back(
    gates: Array, before: Array, tanh_cell: Array, dh: Array, dc: Array, dz: Array
) -> None:
    size = len(before)
    i, f, g, o = gates.reshape(4, *before.shape)
    work = tanh_cell * tanh_cell  # dc += dh o (1 - tanh(c)^2)
    np.subtract(1, work, out=work)
    work *= o
    work *= dh
    dc += work
    np.multiply(gates, gates, out=dz)  # the derivatives: 1 - g^2 for tanh, s - s^2 for sigmoids
    di, df, dg, do = dz.reshape(4, *before.shape)
    np.subtract(gates[: 2 * size], dz[: 2 * size], out=dz[: 2 * size])
    np.subtract(1, dg, out=dg)
    np.subtract(o, do, out=do)
    for slope, other, upstream in ((di, g, dc), (df, before, dc), (dg, i, dc), (do, tanh_cell, dh)):
        slope *= other
        slope *= upstream
    dc *= f


lstm = lstm_kernel(_cell_step, _cell_back)

# the vanilla network


def _rnn_forward(*inputs: Any, nonlinearity: str, reverse: bool) -> Any:
    found = _stack(inputs, reverse)
    if found is None:
        return NotImplemented
    weight, stacked = found
    x, h, *_ = inputs
    size = h.shape[1]
    for t in range(len(x)):
        state = np.matmul(weight, stacked[t], out=stacked[t + 1, :size])
        if nonlinearity == "tanh":
            np.tanh(state, out=state)
        else:
            np.maximum(state, 0, out=state)
    return _outputs(stacked, size, reverse), found


def _rnn_backward(
    g: Sequence[Array | None],
    needs: Needs,
    y: Sequence[Array],
    residuals: tuple[Array, Array],
    *inputs: Any,
    nonlinearity: str,
    reverse: bool,
) -> list[Array | None]:
    weight, stacked = residuals
    x, h, *_ = inputs
    g_outputs, g_h = g
    n, size = x.shape[1], h.shape[1]
    backward = _BackwardPass(weight, stacked, needs, inputs, reverse)
    dh = np.zeros((size, n), x.dtype) if g_h is None else g_h.T.copy()
    dz = np.empty((size, n), x.dtype)
    for t in range(len(x) - 1, -1, -1):
        if g_outputs is not None:
            dh += g_outputs[backward.place(t)].T
        state = stacked[t + 1, :size]
        if nonlinearity == "tanh":
            np.subtract(1, np.multiply(state, state, out=dz), out=dz)
            dz *= dh
        else:
            np.multiply(dh, state > 0, out=dz)
        dh = backward.step(t, dz)
    return backward.gradients(dh)


rnn = Kernel(_rnn_forward, _rnn_backward)
