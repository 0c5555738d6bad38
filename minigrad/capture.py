"""Level 3: a training step as one function."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["capture"]

P = ParamSpec("P")
R = TypeVar("R")


def capture(step: Callable[P, R]) -> Callable[P, R]:
    """Mark a training step, which a backend may then record once and replay.

    The decorated function does what `step` does. On the CPU, and for now on the GPU too, it is
    `step`, run as it stands; nothing is recorded.

    Args:
        step: A function of a batch that computes the loss, its gradients, and the update.

    Returns:
        A function with the same arguments and results.

    Raises:
        TypeError: `step` is no function.

    Example:
        >>> import minigrad as mg
        >>> w = mg.nn.Parameter([1.0])
        >>> optimizer = mg.optim.SGD([w], lr=0.25)
        >>> @capture
        ... def step(x):
        ...     loss = (w * x).sum()
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     optimizer.step()
        ...     return loss.detach()
        >>> step(mg.tensor([2.0])), w.detach()
        (tensor(2.), tensor([0.5]))
    """
    if not callable(step):
        raise TypeError(f"capture: expected a function, got {type(step).__name__}")

    @wraps(step)
    def captured(*args: P.args, **kwargs: P.kwargs) -> R:
        return step(*args, **kwargs)

    return captured
