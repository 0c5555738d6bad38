"""What the optimizers' updates share: the direction of descent, and float32 for float16."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from minigrad.backends import Array, Kernel, find_kernels
from minigrad.ops.precision import widened

__all__ = ["descent_direction", "direction", "in_float32", "update_kernels"]

Update: TypeAlias = Callable[..., None]


def in_float32(update: Update, dtype: Any) -> Update:
    """An `Optimizer.update` of parameters of a dtype; float16 is computed in float32.

    In float16 the square of a gradient above 255 is infinite, which would stop its parameter for
    ever, and an eps of 1e-8 is 0, which would make NaN of a gradient of 0. So the state of float16
    parameters is in float32.
    """

    def widely(p: Array, g: Array, *others: Any) -> None:
        wide = widened(p)
        update(wide, widened(g), *others)
        p[...] = wide

    return widely if dtype == np.float16 else update


def direction(group: Mapping[str, Any]) -> tuple[float, float]:
    """The sign of the gradient, and how much of p is added to it, under a group's options."""
    return -1.0 if group["maximize"] else 1.0, float(group["weight_decay"])


def descent_direction(
    p: Array, g: Array, weight_decay: float, sign: float, scratch: Array
) -> Array:
    """The gradient of what is minimized, with that of `weight_decay p^2 / 2`.

    Where it differs from g it is in scratch[0]; scratch[1] is overwritten.
    """
    if sign < 0:
        g = np.negative(g, out=scratch[0])
    if weight_decay:
        np.multiply(p, weight_decay, out=scratch[1])
        g = np.add(g, scratch[1], out=scratch[0])
    return g


_found: dict[tuple[type, type], list[Kernel]] = {}


def update_kernels(optimizer: type, array_type: type) -> list[Kernel]:
    """What a backend has in place of an `update` of ours: of a class in `optim/`, by identity."""
    key = optimizer, array_type
    if key not in _found:
        author = next(owner for owner in optimizer.__mro__ if "update" in vars(owner))
        file = sys.modules.get(f"{__package__}.{author.__module__.rpartition('.')[2]}")
        ours = getattr(file, author.__name__, None) is author
        _found[key] = find_kernels(array_type, "optim", author.__name__) if ours else []
    return _found[key]
