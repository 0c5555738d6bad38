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
    """Wrap an `Optimizer.update`, so that float16 parameters are updated in float32.

    In float16 the square of a gradient above 255 is infinite, so its parameter would never move
    again; and an eps of 1e-8 is 0, so a gradient of 0 would give NaN. The state of float16
    parameters is in float32, too.
    """

    def update_in_float32(p: Array, g: Array, *others: Any) -> None:
        wide = widened(p)
        update(wide, widened(g), *others)
        p[...] = wide

    return update_in_float32 if dtype == np.float16 else update


def direction(group: Mapping[str, Any]) -> tuple[float, float]:
    """The sign of the gradient and the weight decay, from a group's options."""
    return -1.0 if group["maximize"] else 1.0, float(group["weight_decay"])


def descent_direction(
    p: Array, g: Array, weight_decay: float, sign: float, scratch: Array
) -> Array:
    """The gradient of the minimized loss plus `weight_decay p^2 / 2`: `sign g + weight_decay p`.

    The result is g itself or scratch[0]; scratch[1] is overwritten.
    """
    if sign < 0:
        g = np.negative(g, out=scratch[0])
    if weight_decay:
        np.multiply(p, weight_decay, out=scratch[1])
        g = np.add(g, scratch[1], out=scratch[0])
    return g


_found: dict[tuple[type, type], list[Kernel]] = {}


def update_kernels(optimizer: type, array_type: type) -> list[Kernel]:
    """The backend's kernels for an optimizer's `update`.

    The list is empty unless a class in `optim/` defines that `update`: a user's optimizer may have
    the same name as one of minigrad's.
    """
    key = optimizer, array_type
    if key not in _found:
        definer = next(owner for owner in optimizer.__mro__ if "update" in vars(owner))
        module = sys.modules.get(f"{__package__}.{definer.__module__.rpartition('.')[2]}")
        ours = getattr(module, definer.__name__, None) is definer
        _found[key] = find_kernels(array_type, "optim", definer.__name__) if ours else []
    return _found[key]
