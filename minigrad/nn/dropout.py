"""Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.messages.arguments import floating_input, probability
from minigrad.nn.module import Module
from minigrad.observers import thread
from minigrad.ops.random import generator
from minigrad.tensor import Tensor, as_tensor, wrap

__all__ = ["Dropout", "dropout"]


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set each element to zero with probability p, and divide the others by 1 - p.

    Args:
        input: Any shape.
        p: A probability, from 0 to 1.
        training: False returns the input unchanged.
        inplace: Accepted as in PyTorch, without effect: the input keeps its values.

    Raises:
        TypeError: p is no number.
        ValueError: p is outside [0, 1].
        DTypeError: The input holds integers.

    Source:
        Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".

    Example:
        >>> import minigrad as mg
        >>> dropout(mg.ones(3), p=1.0)
        tensor([0., 0., 0.])
    """
    p = probability("dropout: p", p)
    input = as_tensor(input, "dropout: input")
    if not training or p == 0:
        return input
    input = floating_input("dropout", input)
    shape, dtype = input.shape, input.dtype
    scale = 0.0 if p == 1 else 1 / (1 - p)

    def draw() -> Any:
        kept = generator().random(shape, dtype=np.float32) >= p
        return np.asarray(kept * scale, dtype=dtype)

    mask = thread.observer.replay_values(draw, shape, dtype, input.device, "dropout", p)
    return input * wrap(mask)


class Dropout(Module):
    """In training, set each element to zero with probability p, and divide the others by 1 - p.

    Args:
        p: A probability, from 0 to 1.
        inplace: Accepted as in PyTorch, without effect: the input keeps its values.

    Raises:
        TypeError: p is no number.
        ValueError: p is outside [0, 1].

    Source:
        Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".

    Example:
        >>> import minigrad as mg
        >>> Dropout(0.5).eval()(mg.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p, self.inplace = probability("Dropout: p", p), inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input with elements set to zero; after `eval()` the input itself."""
        return dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """The options."""
        return f"p={self.p}, inplace={self.inplace}"
