"""Samples of minigrad/ops/recurrent.py; PyTorch's side is its own LSTM, RNN and GRU."""

import warnings
from typing import Any

from minigrad.ops import recurrent as ops
from samples.base import normal, sample, torch


def torch_layer(kind: str) -> Any:
    """One layer in one direction, as PyTorch's modules run it."""

    def run(x: Any, *inputs: Any, reverse: bool = False, nonlinearity: str = "tanh") -> Any:
        count = 2 if kind == "lstm" else 1
        states, weights = inputs[:count], [w for w in inputs[count:] if w is not None]
        name = f"rnn_{nonlinearity}" if kind == "rnn" else kind
        x = x.flip(0) if reverse else x
        hx = [state[None] for state in states]
        biased = inputs[count + 2] is not None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
            y, *after = getattr(torch._VF, name)(
                x, hx if count == 2 else hx[0], weights, biased, 1, 0.0, False, False, False
            )
        return (y.flip(0) if reverse else y, *[state[0] for state in after])

    return run


def torch_lstm_cell(z: Any, c: Any) -> Any:
    i, f, g, o = z.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def torch_gru_cell(a: Any, b: Any, h: Any) -> Any:
    (a_r, a_u, a_n), (b_r, b_u, b_n) = a.chunk(3, -1), b.chunk(3, -1)
    u = torch.sigmoid(a_u + b_u)
    return (1 - u) * torch.tanh(a_n + torch.sigmoid(a_r + b_r) * b_n) + u * h


def layer(function: Any, gates: int, states: int, **settings: Any) -> Any:
    """T = 3, N = 2, D = 4, H = 3, and P = 2 with projection."""
    bias, projected = settings.pop("bias", True), settings.pop("projected", False)
    size = 2 if projected else 3
    inputs = [normal(3, 2, 4), normal(2, size), *[normal(2, 3)] * (states - 1)]
    inputs += [normal(3 * gates, 4), normal(3 * gates, size)]
    inputs += [normal(3 * gates), normal(3 * gates)] if bias else [None, None]
    if states == 2:
        inputs.append(normal(size, 3) if projected else None)
    kind = function.__name__
    return sample(function, *inputs, torch=torch_layer(kind), **settings)


SAMPLES = [
    sample(ops.lstm_cell, normal(2, 12), normal(2, 3), torch=torch_lstm_cell),
    sample(ops.lstm_cell, normal(12), normal(3), torch=torch_lstm_cell),
    sample(ops.gru_cell, normal(2, 9), normal(2, 9), normal(2, 3), torch=torch_gru_cell),
]
SAMPLES += [
    layer(function, gates, states, **options)
    for function, gates, states in [(ops.rnn, 1, 1), (ops.lstm, 4, 2), (ops.gru, 3, 1)]
    for options in [{}, {"bias": False}, {"reverse": True}]
]
SAMPLES += [
    layer(ops.rnn, 1, 1, nonlinearity="relu", kink=True),
    layer(ops.lstm, 4, 2, projected=True),
    layer(ops.lstm, 4, 2, projected=True, reverse=True, bias=False),
]
