"""tinygrad: the whole step compiled by its jit; on the CPU it needs clang."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from benchmarks.contestants import functional
from benchmarks.contestants.task import (
    BETAS,
    Run,
    Task,
    batch,
    gan_weights,
    textbook_weights,
)

PACKAGE = "tinygrad"


def make(task: Task, form: str) -> Run | None:
    """One step."""
    if task.steps > 20:
        return None  # unrolled over 100 steps, compilation takes many minutes
    from tinygrad import Tensor, TinyJit

    ops = types.SimpleNamespace(
        exp=Tensor.exp,
        tanh=Tensor.tanh,
        log=Tensor.log,
        sqrt=Tensor.sqrt,
        sigmoid=Tensor.sigmoid,
        maximum=lambda a, b: a.maximum(b),
        sum=lambda x, axis=None: x.sum(axis=axis),
        concatenate=lambda parts: parts[0].cat(*parts[1:]),
        zeros=lambda shape: Tensor.zeros(*shape),
        clip=lambda x: x.minimum(1.0),
        take=lambda x, i: x.gather(1, i.reshape(-1, 1)).reshape(-1),
    )

    def tensors(w: dict[str, Any], zero: bool = False) -> dict[str, Any]:
        made = {k: Tensor(np.zeros_like(v) if zero else v).realize() for k, v in w.items()}
        return made

    def gradients(loss: Any, w: dict[str, Any]) -> dict[str, Any]:
        return dict(zip(w, loss.gradient(*w.values()), strict=True))

    def assign(old: dict[str, Any], new: dict[str, Any]) -> list[Any]:
        return [old[name].assign(new[name]) for name in old]

    first, second = (Tensor(x.astype("i4") if x.dtype == "i8" else x) for x in batch(task))
    if task.kind == "lstm":
        start = textbook_weights(task)
        w, q = tensors(start), tensors(start, zero=True)

        @TinyJit  # type: ignore[untyped-decorator]
        def lstm_step() -> Any:
            loss = functional.lstm_loss(ops, w, first, second)
            new_w, new_q = functional.rmsprop(ops, w, gradients(loss, w), q)
            Tensor.realize(loss, *assign(w, new_w), *assign(q, new_q))
            return loss

        return lambda: float(lstm_step().item())

    nets = [gan_weights("generator"), gan_weights("discriminator")]
    weights = [tensors(w) for w in nets]
    moments = [[tensors(w, zero=True) for _ in "mv"] for w in nets]
    powers = [Tensor([1.0]).realize() for _ in BETAS]

    def updated(number: int, g: dict[str, Any]) -> list[Any]:
        w, (m, v) = weights[number], moments[number]
        new_m = {k: BETAS[0] * m[k] + (1 - BETAS[0]) * g[k] for k in w}
        new_v = {k: BETAS[1] * v[k] + (1 - BETAS[1]) * g[k] * g[k] for k in w}
        first_power, second_power = (1 - p * b for p, b in zip(powers, BETAS, strict=True))
        new_w = {
            k: w[k] - 2e-4 * new_m[k] / first_power / ((new_v[k] / second_power).sqrt() + 1e-8)
            for k in w
        }
        return assign(w, new_w) + assign(m, new_m) + assign(v, new_v)

    @TinyJit  # type: ignore[untyped-decorator]
    def gan_step() -> Any:
        fake = functional.forward(ops, "generator", weights[0], first)
        judged = functional.forward(ops, "discriminator", weights[1], fake)
        g = gradients(functional.cross_entropy(ops, judged, True), weights[0])
        pixels = fake.detach()
        loss = functional.discriminator_loss(ops, weights[1], second, pixels)
        of_judge = gradients(loss, weights[1])
        changed = updated(0, g) + updated(1, of_judge)
        Tensor.realize(loss, *changed)
        Tensor.realize(*[p.assign(p * b) for p, b in zip(powers, BETAS, strict=True)])
        return loss

    return lambda: float(gan_step().item())
