"""Looking into a recurrent network: its gates, and how far back its gradient reaches."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad import Tensor, nn
from models.lstm import LSTM
from models.lstm_layer import LayerLSTM
from models.rnn import RNN

Recurrent = LayerLSTM | LSTM | RNN
Array = npt.NDArray[Any]


class Unrolled(NamedTuple):
    """A forward pass with all that it goes through, time step by time step."""

    logits: Tensor
    """(N, classes)."""

    hidden: list[Tensor]
    """h_1 ... h_T (H, N)."""

    gates: dict[str, Array]
    """By name "input", "forget" and "output": (T, H, N), 0 is closed and 1 open; the memory's
    content as "memory". Empty for a plain network, which has none."""


def unrolled(model: Recurrent, x: Tensor) -> Unrolled:
    """Run the equations of models/lstm.py or models/rnn.py, and keep what they go through.

    Args:
        model: Any of the three networks.
        x: Sequences (N, T, 1).
    """
    n, steps, _ = x.shape
    h = C = mg.zeros(_hidden(model), n, device=x.device)
    hidden: list[Tensor] = []
    kept: dict[str, list[Tensor]] = {"input": [], "forget": [], "output": [], "memory": []}
    if isinstance(model, RNN):
        for t in range(steps):
            h = mg.tanh(model.W @ mg.concatenate([x[:, t].T, h]) + model.b)
            hidden.append(h)
        return Unrolled(model.output(h.T), hidden, {})
    W, b = _stacked(model)
    for t in range(steps):
        i, f, candidate, o = mg.split(W @ mg.concatenate([x[:, t].T, h]) + b, 4)
        i, f, o = mg.sigmoid(i), mg.sigmoid(f), mg.sigmoid(o)
        C = f * C + i * mg.tanh(candidate)
        h = o * mg.tanh(C)
        hidden.append(h)
        for name, gate in (("input", i), ("forget", f), ("output", o), ("memory", C)):
            kept[name].append(gate.detach())
    gates = {name: mg.stack(values).to("cpu").numpy() for name, values in kept.items()}
    return Unrolled(model.output(h.T), hidden, gates)


def _hidden(model: Recurrent) -> int:
    return int(model.output.weight.shape[1])


def _stacked(model: LayerLSTM | LSTM) -> tuple[Tensor, Tensor]:
    """The four matrices on [x; h] and their biases, one below the other: i, f, candidate, o."""
    if isinstance(model, LSTM):
        W = mg.concatenate([model.W_i, model.W_f, model.W_C, model.W_o])
        return W, mg.concatenate([model.b_i, model.b_f, model.b_C, model.b_o])
    own = model.lstm.state_dict()
    W = mg.concatenate([own["weight_ih_l0"], own["weight_hh_l0"]], axis=1)
    return W, (own["bias_ih_l0"] + own["bias_hh_l0"]).reshape(-1, 1)


def gradient_norms(model: Recurrent, x: Tensor, labels: Tensor) -> Array:
    """How strongly the loss depends on each hidden state: |dL/dh_t|, the mean over sequences.

    On its way from h_T to h_t the gradient is multiplied by T - t Jacobians.

    Args:
        model: Any of the three networks.
        x: Sequences (N, T, 1).
        labels: The digits that follow (N,).

    Returns:
        (T,), the norm for t = 1 ... T.

    Source: Bengio, Simard and Frasconi 1994, "Learning long-term dependencies with gradient descent
    is difficult".
    """
    # the first state stands outside the graph of parameters that are frozen; x is what reaches it
    run = unrolled(model, x.detach().requires_grad_())
    loss = nn.functional.cross_entropy(run.logits, labels, reduction="sum")
    found = mg.grad(loss, run.hidden)
    norms = [0.0 if g is None else float(g.norm(axis=0).mean().item()) for g in found]
    return np.array(norms)
