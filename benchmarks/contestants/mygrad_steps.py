"""MyGrad."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from benchmarks.contestants import functional
from benchmarks.contestants.task import Run, Task, batch, gan_weights, textbook_weights

PACKAGE = "mygrad"


def make(task: Task, form: str) -> Run:
    """One step."""
    import mygrad as my
    from mygrad.nnet.activations import sigmoid

    names = ("exp", "tanh", "log", "sqrt", "sum", "maximum", "concatenate")
    ops = types.SimpleNamespace(
        **{name: getattr(my, name) for name in names},
        sigmoid=sigmoid,
        zeros=lambda shape: np.zeros(shape, np.float32),
        take=lambda x, i: x[np.arange(len(i)), i],
    )
    plain = types.SimpleNamespace(
        **{name: getattr(np, name) for name in names},
        sigmoid=lambda x: 1 / (1 + np.exp(-x)),
        clip=lambda x: min(x, 1.0),
    )

    def leaves(w: dict[str, Any]) -> dict[str, Any]:
        return {name: my.tensor(value) for name, value in w.items()}

    def gradients(loss: Any, w: dict[str, Any]) -> dict[str, Any]:
        loss.backward()
        return {name: value.grad for name, value in w.items()}

    first, second = batch(task)
    if task.kind == "lstm":
        w = textbook_weights(task)
        q = {name: np.zeros_like(value) for name, value in w.items()}

        def lstm_step() -> float:
            nonlocal w, q
            given = leaves(w)
            loss = functional.lstm_loss(ops, given, first, second)
            w, q = functional.rmsprop(plain, w, gradients(loss, given), q)
            return float(loss)

        return lstm_step

    nets = [gan_weights("generator"), gan_weights("discriminator")]
    states = [(0, *[{k: np.zeros_like(v) for k, v in w.items()} for _ in "mv"]) for w in nets]

    def gan_step() -> float:
        given = leaves(nets[0])
        fake = functional.forward(ops, "generator", given, first)
        judged = functional.forward(ops, "discriminator", nets[1], fake)
        pixels = fake.data
        g = gradients(functional.cross_entropy(ops, judged, True), given)
        nets[0], states[0] = functional.adam(plain, nets[0], g, states[0])
        given = leaves(nets[1])
        loss = functional.discriminator_loss(ops, given, second, pixels)
        nets[1], states[1] = functional.adam(plain, nets[1], gradients(loss, given), states[1])
        return float(loss)

    return gan_step
