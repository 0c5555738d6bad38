"""The LSTM's arithmetic between the products, row by row, so that a row stays in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends.numba.compiled import half_sigmoid, loop, only_float32, tanh
from minigrad.backends.numpy.recurrent import lstm_kernel

_one = np.float32(1)


@loop
def _cell_step(gates: Any, before: Any, cell: Any, tanh_cell: Any, h: Any) -> None:
    size, n = cell.shape
    for row in range(
        4 * size
    ):  # one inner loop per kind of gate: with an `if` it is not vectorized
        gate = gates[row]
        if 2 * size <= row < 3 * size:
            for k in range(n):
                gate[k] = tanh(gate[k])
        else:
            for k in range(n):
                gate[k] = half_sigmoid(gate[k])
    for row in range(size):
        i, f, g, o = gates[row], gates[size + row], gates[2 * size + row], gates[3 * size + row]
        c, c_before, s, y = cell[row], before[row], tanh_cell[row], h[row]
        for k in range(n):
            c[k] = f[k] * c_before[k] + i[k] * g[k]
        for k in range(n):
            s[k] = tanh(c[k])
        for k in range(n):
            y[k] = o[k] * s[k]


@loop
def _cell_back(gates: Any, before: Any, tanh_cell: Any, dh: Any, dc: Any, dz: Any) -> None:
    size, n = before.shape
    for row in range(size):
        i, f, g, o = gates[row], gates[size + row], gates[2 * size + row], gates[3 * size + row]
        di, df, dg, do = dz[row], dz[size + row], dz[2 * size + row], dz[3 * size + row]
        c_before, s, dh_row, dc_row = before[row], tanh_cell[row], dh[row], dc[row]
        for k in range(n):
            do[k] = dh_row[k] * s[k] * (o[k] - o[k] * o[k])
            total = dc_row[k] + dh_row[k] * o[k] * (_one - s[k] * s[k])
            di[k] = total * g[k] * (i[k] - i[k] * i[k])
            df[k] = total * c_before[k] * (f[k] - f[k] * f[k])
            dg[k] = total * i[k] * (_one - g[k] * g[k])
            dc_row[k] = total * f[k]


lstm = lstm_kernel(_cell_step, _cell_back)
lstm = lstm._replace(forward=only_float32(lstm.forward))
