"""Looking into a recurrent network: who knows the first digit, and how far the gradient reaches."""

from collections.abc import Iterator, Sequence
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

MOST_MOMENTS = 50  # time steps at which a probe is trained
CHOSEN = 4  # memory cells that are shown
RIDGE = 1e-3  # of the states' variance, so that cells that move together can be told apart


class Step(NamedTuple):
    """What a network holds after one more digit, all (H, N)."""

    h: Tensor
    """The hidden state h_t."""

    C: Tensor | None = None
    """The memory C_t; a plain network has none."""

    gates: Sequence[Tensor] = ()
    """Input, forget and output gate: 0 is closed and 1 open."""


def steps(model: Recurrent, x: Tensor) -> Iterator[Step]:
    """Run the equations of models/lstm.py or models/rnn.py, and yield what they go through.

    Args:
        model: Any of the three networks.
        x: Sequences (N, T, 1).
    """
    n, length, _ = x.shape
    h = C = mg.zeros(int(model.output.weight.shape[1]), n, dtype=x.dtype, device=x.device)
    if isinstance(model, RNN):
        for t in range(length):
            h = mg.tanh(model.W @ mg.concatenate([x[:, t].T, h]) + model.b)
            yield Step(h)
        return
    W, b = _stacked(model)
    for t in range(length):
        i, f, candidate, o = mg.split(W @ mg.concatenate([x[:, t].T, h]) + b, 4)
        i, f, o = mg.sigmoid(i), mg.sigmoid(f), mg.sigmoid(o)
        C = f * C + i * mg.tanh(candidate)
        h = o * mg.tanh(C)
        yield Step(h, C, (i, f, o))


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
    hidden = [step.h for step in steps(model, x.detach().requires_grad_())]
    logits = model.output(hidden[-1].T)
    found = mg.grad(nn.functional.cross_entropy(logits, labels, reduction="sum"), hidden)
    norms = [0.0 if g is None else float(g.norm(axis=0).mean().item()) for g in found]
    return np.array(norms)


class Memory(NamedTuple):
    """What a network knows of the first digit that it read."""

    moments: Array
    """(P,), after how many digits its knowledge was tested, from 1 to T."""

    known: dict[str, Array]
    """By who tells the first digit, of how many sequences it is right, 0 to 1, (P,): the network
    itself, by its output layer; linear classifiers, from the state and from the memory."""

    tested: int
    """How many sequences were read."""

    digits: Sequence[int]
    """The T digits of one of them."""

    chosen: Sequence[int]
    """Memory cells, those first whose content at the end tells most of the first digit."""

    cells: dict[str, Array]
    """What their gates and their memory do while those digits are read, (T, cells); empty for a
    plain network."""


def look_inside(model: Recurrent, x: Tensor, first: Array, taught: int) -> Memory:
    """Find out when, and where, a network knows the first digit.

    Args:
        model: Any of the three networks.
        x: Sequences (N, T, 1).
        first: The first digit of each (N,).
        taught: How many of the sequences teach the linear classifiers, 1 to N - 1; the others
            test them.

    Source: Alain and Bengio 2017, "Understanding intermediate layers using linear classifier
    probes".
    """
    length = x.shape[1]
    moments = np.unique(np.linspace(1, length, min(length, MOST_MOMENTS)).astype(int))
    kept: dict[str, list[Tensor]] = {"h": [], "C": []}
    shown: dict[str, list[Tensor]] = {}
    with mg.no_grad():
        for t, step in enumerate(steps(model, x), start=1):
            if step.C is not None:
                names = ("input\ngate", "forget\ngate", "output\ngate", "memory\nC")
                for name, each in zip(names, (*step.gates, step.C), strict=True):
                    shown.setdefault(name, []).append(each[:, taught])
            if t in moments:
                kept["h"].append(step.h)
                kept["C"] += [step.C] if step.C is not None else []
        answers = _numbers([model.output(h[:, taught:].T) for h in kept["h"]]).argmax(axis=2)
        found = {name: _numbers(each).swapaxes(1, 2) for name, each in kept.items() if each}
        cells = {name: _numbers(each) for name, each in shown.items()}
    known = {"the network's own answer": (answers == first[taught:]).mean(axis=1)}
    for name, states in found.items():
        what = {"h": "the hidden state h", "C": "the memory C"}[name]
        known[f"a linear classifier of {what}"] = probe(states, first, taught)
    chosen = []
    if cells:
        chosen = np.argsort(-explained(found["C"][-1], first))[:CHOSEN].tolist()
    digits = x[taught, :, 0].to("cpu").numpy().astype(int).tolist()
    some = {name: each[:, chosen] for name, each in cells.items()}
    return Memory(moments, known, len(first) - taught, digits, chosen, some)


def _numbers(tensors: list[Tensor]) -> Array:
    return mg.stack(tensors).to("cpu").numpy().astype(np.float64)


def probe(states: Array, labels: Array, taught: int) -> Array:
    """Return how often a linear classifier reads a label from a state, 0 to 1, (P,).

    It takes a state for the class whose mean is nearest, in units of the spread within classes:
    linear discriminant analysis, which needs no training loop.

    Args:
        states: (P, N, H); each of the P has a classifier of its own.
        labels: (N,).
        taught: How many of the N teach it; the others test it.

    Source: Hastie, Tibshirani and Friedman 2009, "The elements of statistical learning", section
    4.3.

    >>> states = np.array([[[0.0], [0.1], [1.0], [1.1], [0.2], [0.9]]])
    >>> probe(states, np.array([5, 5, 7, 7, 5, 7]), taught=4)
    array([1.])
    """
    known, new = states[:, :taught], states[:, taught:]
    classes, number = np.unique(labels[:taught], return_inverse=True)
    member = np.eye(len(classes))[number]  # (taught, K)
    means = member.T @ known / member.sum(axis=0)[:, None]  # (P, K, H)
    within = known - member @ means
    ridge = RIDGE * states.var(axis=1).mean(axis=1) + 1e-12
    spread = within.swapaxes(1, 2) @ within / taught + ridge[:, None, None] * np.eye(new.shape[2])
    weights = np.linalg.solve(spread, means.swapaxes(1, 2))  # (P, H, K)
    biases = (means.swapaxes(1, 2) * weights).sum(axis=1) / 2
    scores = new @ weights - biases[:, None]
    right = classes[scores.argmax(axis=2)] == labels[taught:]
    shares: Array = right.mean(axis=1)
    return shares


def explained(values: Array, labels: Array) -> Array:
    """Return how much of the variance of each column (N, H) the labels (N,) explain, 0 to 1, (H,).

    >>> values = np.array([[0.0, 1.0], [0.0, 3.0], [1.0, 1.0], [1.0, 3.0]])
    >>> explained(values, np.array([0, 0, 1, 1]))
    array([1., 0.])
    """
    _, number = np.unique(labels, return_inverse=True)
    member = np.eye(number.max() + 1)[number]
    means = member @ (member.T @ values / member.sum(axis=0)[:, None])
    between, total = means.var(axis=0), values.var(axis=0)
    shares: Array = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
    return shares
