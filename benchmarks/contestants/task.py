"""What every contestant computes: the same two training steps from the same weights, or a chain.

The LSTM's step: digits (N, T, 1), hidden size H, 10 classes; forward over the sequence, a linear
layer on the last h, mean cross-entropy, backward, the gradient clipped to length 10, RMSprop. The
GAN's step: the two networks of `models/gan.py` and the two updates of `train/gan.py`, batch 64.
A chain: the same small operation a thousand times on ten numbers, forward and backward, so that a
framework does nothing but keep its books. Its loss is a number of y's gradient, and milliseconds of
a chain are microseconds of an operation.
"""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
Step = Callable[[], Any]  # one step, not waited for; the loss, which .item() waits for

CLASSES = 10
LATENT = 100
GAN_BATCH = 64
WIDTHS = {"generator": (LATENT, 128, 256, 512, 1024, 784), "discriminator": (784, 512, 256, 1)}
SLOPE = 0.2  # of LeakyReLU
RATES = {"lstm": 1e-3, "gan": 2e-4}
BETAS = (0.5, 0.999)  # Adam's
MAX_NORM = 10.0
CHAINS = ("y + c", "y * c", "y * w", "tanh(y)")  # y and w want a gradient, c is a constant
LENGTH, SIZE = 1000, 10  # of a chain
START, FACTOR = (np.full(SIZE, value, np.float32) for value in (0.5, 0.999))


class Task(NamedTuple):
    """A step: "gan", or "lstm T" with the batch N and the hidden size H after it if not 128.

    A chain's kind is its operation.
    """

    kind: str
    steps: int = 0
    batch: int = 128
    hidden: int = 128

    @classmethod
    def named(cls, name: str) -> Task:
        """The task of a name.

        Raises:
            ValueError: There is none of this name.
        """
        if name in CHAINS:
            return cls(name)
        if not re.fullmatch(r"gan|lstm( [1-9]\d*){1,3}", name):
            raise ValueError(
                f"{name!r} is no step; expected 'gan', or 'lstm T' with the number of time steps, "
                "after which may stand the batch and the hidden size"
            )
        kind, *numbers = name.split()
        return cls(kind, *map(int, numbers))


class Unable(Exception):
    """A contestant cannot do this here, and says why."""


class Clock(NamedTuple):
    """How a device's time is taken; without arguments the CPU's, where what returns is done.

    Attributes:
        wait: Waits until the device has nothing left to do.
        mark: Notes the time at which the device gets to what is asked of it next.
        between: Seconds from one mark to a later one; only after `wait`.
    """

    wait: Callable[[], None] = lambda: None
    mark: Callable[[], Any] = time.perf_counter
    between: Callable[[Any, Any], float] = lambda first, last: float(last - first)


class Queue(NamedTuple):
    """Steps that are put into a device's queue, and done some time later.

    Attributes:
        step: Puts one into the queue.
        clock: The device's.
        made: How many steps were made before the first.
        graph: The recorded step in the DOT language, after some steps; None where none is known.
    """

    step: Step
    clock: Clock = Clock()
    made: int = 0
    graph: Callable[[], str | None] = lambda: None


def values(shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    """The same initial weights in every library, by name."""
    random = np.random.RandomState(0)
    return {
        name: (random.uniform(-1, 1, shape) / math.sqrt(max(shape[-1:], default=1))).astype("f4")
        for name, shape in shapes.items()
    }


def batch(task: Task) -> tuple[Array, Array]:
    """Random digits (N, T, 1) and labels; for the GAN noise and pictures."""
    random = np.random.RandomState(1)
    if task.kind == "gan":
        latent = random.standard_normal((GAN_BATCH, LATENT)).astype("f4")
        return latent, random.uniform(-1, 1, (GAN_BATCH, 784)).astype("f4")
    x = random.randint(0, 10, (task.batch, task.steps, 1)).astype("f4")
    return x, random.randint(0, CLASSES, task.batch)


def layers(network: str) -> Iterator[tuple[int, int, bool, str]]:
    """Of each linear layer its sizes, whether it is normalized, and the activation after it."""
    widths = WIDTHS[network]
    for number, (n, m) in enumerate(itertools.pairwise(widths)):
        last = number == len(widths) - 2
        activation = {"generator": "tanh", "discriminator": "sigmoid"}[network]
        yield (
            n,
            m,
            network == "generator" and 0 < number and not last,
            activation if last else "leaky_relu",
        )


def operations(tanh: Callable[[Any], Any], c: Any, w: Any) -> dict[str, Callable[[Any], Any]]:
    """The operation of each chain, in a library with operators."""
    functions = (lambda y: y + c, lambda y: y * c, lambda y: y * w, tanh)
    return dict(zip(CHAINS, functions, strict=True))


def chained(operation: Callable[[Any], Any], x: Any) -> Any:
    """The operation, again and again."""
    for _ in range(LENGTH):
        x = operation(x)
    return x
