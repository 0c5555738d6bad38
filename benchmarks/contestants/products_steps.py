"""The matrix products of a step and nothing else, in the order of memory that is fastest."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from benchmarks.contestants.task import GAN_BATCH, WIDTHS, Array, Queue, Task

PACKAGE = "numpy"
# how often each linear layer goes forward, gives a gradient of its input, and of its weights
COUNTS = {"generator": (1, 1, 1), "discriminator": (2, 3, 2)}
FIRST = {"generator": 0, "discriminator": 1}  # gradients of what the first layer is given


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


def queue(task: Task, form: str, mode: str, device: str) -> Queue:
    """The products; there is one form and one mode of them, and no loss."""
    pairs = pairs_of(task)
    outs = {(a.shape[0], b.shape[1]): np.empty((a.shape[0], b.shape[1]), "f4") for a, b in pairs}

    def step() -> Any:
        for a, b in pairs:
            np.matmul(a, b, out=outs[a.shape[0], b.shape[1]])
        return np.float32("nan")

    return Queue(step)
