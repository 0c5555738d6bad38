"""What a first contact with a GPU has found, and whether it is near enough to be right."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from benchmarks.contestants.task import WIDTHS, Task


class Check(NamedTuple):
    """A number that must not be large.

    Attributes:
        what: What it says, for the reader of a failure.
        found: What was found.
        allowed: The largest value that is right.
    """

    what: str
    found: float
    allowed: float = 0

    @property
    def passed(self) -> bool:
        """Whether it is right; NaN is not."""
        return bool(self.found <= self.allowed)


class Findings(NamedTuple):
    """What a stage has found.

    Attributes:
        told: It in a line or a few, for the person who watches.
        checks: What decides whether the stage has passed.
        facts: What else there is to know, for the file.
    """

    told: str
    checks: Sequence[Check] = ()
    facts: Any = None


def tolerance(terms: int, steps: int = 1) -> float:
    """How far two float32 results may be apart, relative to the largest: 16 eps (8 + sqrt n) s.

    The rounding errors of a sum of n terms add up to sqrt(n) eps on average (Higham and Mary 2019,
    "A new approach to probabilistic rounding error analysis"); 8 is for the elementwise operations
    around it; 16 gives both sides their error, and lets what follows amplify it eightfold.

    Args:
        terms: n, of the longest sum.
        steps: s, training steps, each of which adds its own error.
    """
    return 16 * float(np.finfo(np.float32).eps) * (8 + math.sqrt(terms)) * steps


def longest_sum(task: Task) -> int:
    """The terms of the longest sum in a task's step: a weight's gradient, or a layer's product."""
    if task.kind == "gan":
        return max(map(max, WIDTHS.values()))
    return max(task.batch * task.steps, task.hidden)


def distance(actual: Any, expected: Any) -> float:
    """The largest difference, relative to the largest expected value; NaN for NaN.

    Raises:
        ValueError: The shapes differ.
    """
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.shape != expected.shape:
        raise ValueError(f"the shape is {actual.shape}, not {expected.shape}")
    return float(np.max(np.abs(actual - expected)) / np.max(np.abs(expected)))


@contextmanager
def calls_of(kind: type, method: str) -> Iterator[list[Any]]:
    """The objects of a class whose method is called inside, in order."""
    plain, called = getattr(kind, method), list[Any]()

    def noted(self: Any, *args: Any, **options: Any) -> Any:
        called.append(self)
        return plain(self, *args, **options)

    setattr(kind, method, noted)
    try:
        yield called
    finally:
        setattr(kind, method, plain)
