"""What the optimizers' updates share: the checks of their options, and the direction of descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigrad.backends import Array

__all__ = ["at_least_zero", "check_implementation", "descent_direction"]


def check_implementation(options: Mapping[str, bool | None]) -> None:
    """Let pass what PyTorch has users say about how to compute, and nothing else."""
    for name, value in options.items():
        if name not in ("foreach", "fused", "capturable", "differentiable"):
            raise TypeError(f"an optimizer has no option {name!r}")
        if name == "differentiable" and value:
            raise ValueError("differentiable=True: steps are not recorded, and have no gradient")


def at_least_zero(group: Mapping[str, Any], *names: str) -> None:
    """Raise ValueError where one of these options is negative or not a number."""
    for name in names:
        if not group[name] >= 0:
            raise ValueError(f"{name}: must be at least 0, got {group[name]}")


def descent_direction(
    p: Array, g: Array, weight_decay: float, maximize: bool, scratch: Array
) -> Array:
    """The gradient of what is minimized, with that of `weight_decay p^2 / 2`.

    Where it differs from g it is in scratch[0]; scratch[1] is overwritten.
    """
    if maximize:
        g = np.negative(g, out=scratch[0])
    if weight_decay:
        np.multiply(p, weight_decay, out=scratch[1])
        g = np.add(g, scratch[1], out=scratch[0])
    return g
