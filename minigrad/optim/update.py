"""What the optimizers' updates share: the direction of descent."""

from __future__ import annotations

import numpy as np

from minigrad.backends import Array

__all__ = ["descent_direction"]


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
