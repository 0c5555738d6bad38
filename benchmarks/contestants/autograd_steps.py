"""HIPS autograd."""

from __future__ import annotations

import types

import numpy as np

from benchmarks.contestants import functional
from benchmarks.contestants.task import Run, Task, batch, gan_weights, textbook_weights

PACKAGE = "autograd"


def make(task: Task, form: str) -> Run:
    """One step."""
    import autograd.numpy as anp
    from autograd import value_and_grad

    names = ("exp", "tanh", "log", "sqrt", "sum", "maximum", "concatenate")
    ops = types.SimpleNamespace(
        **{name: getattr(anp, name) for name in names},
        sigmoid=lambda x: 1 / (1 + anp.exp(-x)),
        zeros=lambda shape: np.zeros(shape, np.float32),
        clip=lambda x: min(x, 1.0),
        take=lambda x, i: x[np.arange(len(i)), i],
    )
    plain = types.SimpleNamespace(**vars(ops) | {name: getattr(np, name) for name in names})
    first, second = batch(task)
    if task.kind == "lstm":
        w = textbook_weights(task)
        q = {name: np.zeros_like(value) for name, value in w.items()}
        lstm = value_and_grad(lambda w: functional.lstm_loss(ops, w, first, second))

        def lstm_step() -> float:
            nonlocal w, q
            loss, g = lstm(w)
            w, q = functional.rmsprop(plain, w, g, q)
            return float(loss)

        return lstm_step

    nets = [gan_weights("generator"), gan_weights("discriminator")]
    states = [(0, *[{k: np.zeros_like(v) for k, v in w.items()} for _ in "mv"]) for w in nets]
    of_generator = value_and_grad(lambda w, judge: functional.generator_loss(ops, w, judge, first))
    of_discriminator = value_and_grad(
        lambda w, fake: functional.discriminator_loss(ops, w, second, fake)
    )

    def gan_step() -> float:
        fake = functional.forward(plain, "generator", nets[0], first)
        _, g = of_generator(*nets)
        nets[0], states[0] = functional.adam(plain, nets[0], g, states[0])
        loss, g = of_discriminator(nets[1], fake)
        nets[1], states[1] = functional.adam(plain, nets[1], g, states[1])
        return float(loss)

    return gan_step
