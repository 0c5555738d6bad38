"""Recurrent networks: one layer, in one direction, over a whole sequence.

Shapes: T time, N batch, D input, H hidden; P is the size of h, which is H unless an LSTM projects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.fused import fused
from minigrad.ops.activation import relu, sigmoid, tanh
from minigrad.ops.linear import linear
from minigrad.ops.shape import split, squeeze, stack
from minigrad.tensor import Tensor


def _steps(x: Any, reverse: bool) -> list[Any]:
    """The T parts (N, ...) of a sequence (T, N, ...), in the order in which they are read."""
    steps = [squeeze(step, axis=0) for step in split(x, len(x), axis=0)]
    return steps[::-1] if reverse else steps


def _sequence(outputs: Sequence[Any], reverse: bool) -> Tensor:
    """The inverse of `_steps`: the outputs, in the order of time, as one sequence."""
    return stack(outputs[::-1] if reverse else outputs, axis=0)


def _sum(a: Any, b: Any) -> Any:
    """The sum of two biases, or None where both are None."""
    return None if a is None else a + b


@fused
def rnn(
    x: Any,
    h: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any,
    bias_hh: Any,
    *,
    nonlinearity: str = "tanh",
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Elman's network: `h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)`.

    Args:
        x: (T, N, D), T at least 1.
        h: The initial state (N, H).
        weight_ih: (H, D).
        weight_hh: (H, H).
        bias_ih: (H,), or None like bias_hh.
        bias_hh: (H,), or None.
        nonlinearity: "tanh" or "relu".
        reverse: Whether to read from the last step to the first.

    Returns:
        The states (T, N, H), and the one after the last step read (N, H).

    Source:
        Elman 1990, "Finding structure in time".
    """
    activate = tanh if nonlinearity == "tanh" else relu
    outputs = []
    for z in _steps(linear(x, weight_ih, _sum(bias_ih, bias_hh)), reverse):
        h = activate(z + linear(h, weight_hh, None))  # (N, H)
        outputs.append(h)
    return _sequence(outputs, reverse), h


@fused
def lstm_cell(z: Any, c: Any) -> tuple[Tensor, Tensor]:
    """One step of an LSTM, from its pre-activations.

    With `i, f, o = sigmoid(z_i, z_f, z_o)` and `g = tanh(z_g)`:
    `c' = f * c + i * g` and `h' = o * tanh(c')`.

    Args:
        z: (N, 4H), side by side for input gate, forget gate, candidate and output gate.
        c: The cell's state (N, H).

    Returns:
        h' and c', both (N, H).

    Source:
        Hochreiter and Schmidhuber 1997, "Long short-term memory", with the forget gate of Gers,
        Schmidhuber and Cummins 2000, "Learning to forget".
    """
    i, f, g, o = split(z, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


@fused
def lstm(
    x: Any,
    h: Any,
    c: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any,
    bias_hh: Any,
    weight_hr: Any,
    *,
    reverse: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """A long short-term memory: `lstm_cell` of `z_t = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh`.

    Args:
        x: (T, N, D), T at least 1.
        h: The initial output (N, P).
        c: The initial state of the cell (N, H).
        weight_ih: (4H, D), rows in the order i, f, g, o.
        weight_hh: (4H, P).
        bias_ih: (4H,), or None like bias_hh.
        bias_hh: (4H,), or None.
        weight_hr: (P, H), which projects each output; None for no projection, where P is H.
        reverse: Whether to read from the last step to the first.

    Returns:
        The outputs (T, N, P); h (N, P) and c (N, H) after the last step read.

    Source:
        As `lstm_cell`; the projection is by Sak, Senior and Beaufays 2014, arXiv 1402.1128, eq. 12.
    """
    outputs = []
    for z in _steps(linear(x, weight_ih, _sum(bias_ih, bias_hh)), reverse):
        h, c = lstm_cell(z + linear(h, weight_hh, None), c)
        if weight_hr is not None:
            h = linear(h, weight_hr, None)
        outputs.append(h)
    return _sequence(outputs, reverse), h, c


@fused
def gru_cell(a: Any, b: Any, h: Any) -> Tensor:
    """One step of a gated recurrent unit, from the pre-activations by input and by state.

    With `r, u = sigmoid(a_r + b_r, a_u + b_u)` and `n = tanh(a_n + r * b_n)`:
    `h' = (1 - u) * n + u * h`. PyTorch calls the update gate u z.

    Args:
        a: `W_ih x + b_ih` (N, 3H), side by side for reset gate, update gate and candidate.
        b: `W_hh h + b_hh` (N, 3H).
        h: The state (N, H).

    Returns:
        h' (N, H).

    Source:
        Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder", with r applied
        after the product, as implementations do.
    """
    a_r, a_u, a_n = split(a, 3, axis=-1)
    b_r, b_u, b_n = split(b, 3, axis=-1)
    u = sigmoid(a_u + b_u)
    n = tanh(a_n + sigmoid(a_r + b_r) * b_n)
    y: Tensor = (1 - u) * n + u * h
    return y


@fused
def gru(
    x: Any,
    h: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any,
    bias_hh: Any,
    *,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """A gated recurrent unit: `gru_cell` of `W_ih x_t + b_ih` and `W_hh h_(t-1) + b_hh`.

    Args:
        x: (T, N, D), T at least 1.
        h: The initial state (N, H).
        weight_ih: (3H, D), rows in the order reset, update, candidate.
        weight_hh: (3H, H).
        bias_ih: (3H,), or None like bias_hh.
        bias_hh: (3H,), or None.
        reverse: Whether to read from the last step to the first.

    Returns:
        The states (T, N, H), and the one after the last step read (N, H).

    Source:
        As `gru_cell`.
    """
    outputs = []
    for a in _steps(linear(x, weight_ih, bias_ih), reverse):
        h = gru_cell(a, linear(h, weight_hh, bias_hh), h)
        outputs.append(h)
    return _sequence(outputs, reverse), h
