"""NumPy alone: a step's matrix products, in the fastest order of memory; a chain's arithmetic."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from benchmarks.contestants.task import (
    FACTOR,
    GAN_BATCH,
    LENGTH,
    START,
    WIDTHS,
    Array,
    Queue,
    Step,
    Task,
    chained,
    operations,
)

PACKAGE = "numpy"
# how often each linear layer goes forward, gives a gradient of its input, and of its weights
COUNTS = {"generator": (1, 1, 1), "discriminator": (2, 3, 2)}
FIRST = {"generator": 0, "discriminator": 1}  # gradients of what the first layer is given


def queue(task: Task, form: str, mode: str, device: str) -> Queue:
    """The products, or a chain with its gradient; products, and mode "forward", have no loss."""
    if task.kind in ("gan", "lstm"):
        return Queue(_products(task))
    return Queue(_chain(task.kind, mode == "forward"))


def pairs_of(task: Task) -> list[tuple[Array, Array]]:
    """The two factors of each product."""
    random = np.random.RandomState(0)

    def matrix(*shape: int) -> Array:
        return random.standard_normal(shape).astype("f4")

    pairs: list[tuple[Array, Array]] = []
    if task.kind == "gan":
        for name, (forward, back, learn) in COUNTS.items():
            for number, (n, m) in enumerate(itertools.pairwise(WIDTHS[name])):
                x, w, g = matrix(n, GAN_BATCH), matrix(m, n), matrix(m, GAN_BATCH)
                count = back if number else FIRST[name]
                pairs += [(w, x)] * forward + [(w.T, g)] * count + [(g, x.T)] * learn
    else:
        size = task.hidden
        h, w = matrix(size, task.batch), matrix(4 * size, size)
        g = matrix(4 * size, task.batch)
        pairs = [(w, h), (w.T, g), (g, h.T)] * task.steps
    return pairs


def _products(task: Task) -> Step:
    pairs = pairs_of(task)
    outs = {(a.shape[0], b.shape[1]): np.empty((a.shape[0], b.shape[1]), "f4") for a, b in pairs}

    def step() -> Any:
        for a, b in pairs:
            np.matmul(a, b, out=outs[a.shape[0], b.shape[1]])
        return np.float32("nan")

    return step


def _chain(kind: str, is_forward: bool) -> Step:
    operation = operations(np.tanh, FACTOR, FACTOR)[kind]

    def step() -> Any:
        if is_forward:
            chained(operation, START)
            return np.float32("nan")
        ys = [START]
        for _ in range(LENGTH):
            ys.append(operation(ys[-1]))
        g, w_gradient = START, np.zeros_like(START)
        for y in reversed(ys[1:]):
            if kind == "y * w":
                w_gradient += g * y
            if "*" in kind:
                g = g * FACTOR
            if kind == "tanh(y)":
                g = g * (1 - y * y)
        return g[0]

    return step
