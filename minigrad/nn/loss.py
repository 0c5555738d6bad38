"""Squared error, and cross-entropy of two classes, as functions and as layers.

minigrad.ops computes the loss of each element; here losses are weighted and reduced to one number.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal, TypeAlias

import numpy as np

from minigrad.backends import on_host
from minigrad.errors import ShapeError
from minigrad.messages.arguments import floating_input
from minigrad.nn.module import Buffer, Module
from minigrad.ops import loss as elementwise_loss
from minigrad.ops.precision import narrowed, widened
from minigrad.ops.reduce import mean, sum
from minigrad.tensor import Tensor, as_tensor

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "Loss",
    "MSELoss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "mse_loss",
]

Reduction: TypeAlias = Literal["none", "mean", "sum"]


def reduced(loss: Tensor, reduction: Reduction, count: Any = None) -> Tensor:
    """All losses, their sum, or their mean (sum / `count` if given): nan if there are none."""
    if reduction == "none":
        return loss
    if reduction == "mean" and count is None and loss.size:
        return mean(loss)
    total = sum(loss)
    if reduction == "sum":
        return total
    return total / (math.nan if count is None else np.where(count == 0, math.nan, count))


def check_reduction(reduction: str) -> None:
    """Raise ValueError for an unknown reduction."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction: {reduction!r}; expected 'none', 'mean' or 'sum'")


def as_floating(name: str, value: Tensor, like: Tensor) -> Tensor:
    """Targets or weights as a Tensor of floats: integers, which may wrap, get `like`'s dtype."""
    value = as_tensor(value, name)
    return value if value.dtype.kind == "f" else value.astype(like.dtype)


def mse_loss(
    input: Tensor,
    target: Tensor,
    *,
    reduction: Reduction = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Squared error `w (input - target)^2`; the mean divides by the sum of the weights w.

    Args:
        input: Predictions.
        target: The right values, of the same shape. Either input or target may hold integers,
            which are converted to the other's dtype.
        reduction: "none" (one loss per element), "mean" or "sum".
        weight: w, of the input's shape; None for 1.

    Raises:
        ValueError: `reduction` is unknown.
        DTypeError: Input and target both hold integers.
        ShapeError: The shapes do not broadcast (if they differ but broadcast, there is a warning),
            or the weight does not have the input's shape.

    Example:
        >>> import minigrad as mg
        >>> mse_loss(mg.tensor([1.0, 2.0]), mg.tensor([1.0, 4.0])).item()
        2.0
    """
    check_reduction(reduction)
    target = as_tensor(target, "mse_loss: target")
    if target.dtype.kind == "f":
        input = as_floating("mse_loss: input", input, target)
    else:
        input = floating_input("mse_loss", input)
        target = target.astype(input.dtype)
    if input.shape != target.shape:
        warnings.warn(
            f"mse_loss: the input has shape {input.shape} and the target {target.shape}; they "
            "broadcast, which is seldom meant; reshape one of them",
            stacklevel=2,
        )
    difference = widened(input) - target
    loss = difference * difference
    if weight is not None:
        weight = as_floating("mse_loss: weight", weight, input)
        _check_same_shape("mse_loss", input, weight, "weight")
        loss = loss * weight
    if weight is None or reduction != "mean":
        return narrowed(reduced(loss, reduction), input, target, weight)
    return narrowed(sum(loss) / sum(widened(weight)), input, target, weight)


def _check_same_shape(name: str, input: Tensor, other: Tensor, what: str = "target") -> None:
    if input.shape != other.shape:
        raise ShapeError(
            f"{name}: the input has shape {input.shape}, the {what} {other.shape}; both must be "
            f"the same, for instance {what}.reshape(input.shape)"
        )


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: Reduction = "mean",
) -> Tensor:
    """Minus the log-likelihood of two classes: `-w (t log p + (1 - t) log(1 - p))`.

    Logarithms are at least -100, so that probabilities of exactly 0 and 1 give finite losses.

    Args:
        input: Probabilities p in [0, 1].
        target: t in [0, 1], of the same shape; integers are converted to the input's dtype.
        weight: w, of a shape that broadcasts to the input's; converted too.
        reduction: "none" (one loss per element), "mean" or "sum".

    Raises:
        ShapeError: The shapes differ.
        DTypeError: The input holds integers.
        ValueError: A probability is outside [0, 1], or `reduction` is unknown.

    Example:
        >>> import minigrad as mg
        >>> loss = binary_cross_entropy(mg.tensor([0.5, 0.5]), mg.tensor([0.0, 1.0]))
        >>> round(loss.item(), 4)
        0.6931
    """
    check_reduction(reduction)
    input = floating_input("binary_cross_entropy", input)
    target = as_floating("binary_cross_entropy: target", target, input)
    _check_same_shape("binary_cross_entropy", input, target)
    p = input._data
    if on_host(p) and p.size and (p.min() < 0 or p.max() > 1):
        raise ValueError(
            f"binary_cross_entropy: the input goes from {p.min():.4g} to {p.max():.4g}, but "
            "probabilities are in [0, 1]; apply a sigmoid, or use the loss with logits"
        )
    loss = widened(elementwise_loss.binary_cross_entropy(input, target))
    loss = _weighted("binary_cross_entropy", loss, weight)
    return narrowed(reduced(loss, reduction), input, target)


def _weighted(name: str, loss: Tensor, weight: Tensor | None) -> Tensor:
    """The losses times their weights, which are converted to the dtype of the losses."""
    if weight is None:
        return loss
    return loss * as_tensor(weight, f"{name}: weight").astype(loss.dtype)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: Reduction = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """The binary cross-entropy of sigmoid(z), computed without the sigmoid: stable for any z.

    Args:
        input: Logits z.
        target: t in [0, 1], of the same shape; integers are converted to the input's dtype.
        weight: A factor for each loss, of a shape that broadcasts to the input's; converted too.
        reduction: "none" (one loss per element), "mean" or "sum".
        pos_weight: A factor for the term with t, of a shape that broadcasts to the input's;
            converted too.

    Raises:
        ShapeError: The shapes differ.
        DTypeError: The input holds integers.
        ValueError: `reduction` is unknown.

    Example:
        >>> import minigrad as mg
        >>> binary_cross_entropy_with_logits(mg.tensor([1e4]), mg.tensor([0.0])).item()
        10000.0
    """
    check_reduction(reduction)
    name = "binary_cross_entropy_with_logits"
    input = floating_input(name, input)
    target = as_floating(f"{name}: target", target, input)
    _check_same_shape(name, input, target)
    if pos_weight is not None:
        pos_weight = as_tensor(pos_weight, f"{name}: pos_weight").astype(input.dtype)
    loss = elementwise_loss.binary_cross_entropy_with_logits(
        widened(input), target, pos_weight=pos_weight
    )
    loss = _weighted(name, loss, weight)
    return narrowed(reduced(loss, reduction), input, target)


# Layers


class Loss(Module):
    """A loss as a layer, with optional weights."""

    weight: Buffer | None

    def __init__(self, weight: Tensor | None, reduction: Reduction) -> None:
        super().__init__()
        check_reduction(reduction)
        self.weight = None if weight is None else Buffer(weight)
        self.reduction: Reduction = reduction


class MSELoss(Loss):
    """Squared error, see `mse_loss`.

    Args:
        reduction: "none" (one loss per element), "mean" or "sum".

    Example:
        >>> import minigrad as mg
        >>> MSELoss()(mg.zeros(2), mg.ones(2)).item()
        1.0
    """

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__(None, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of predictions against targets of the same shape."""
        return mse_loss(input, target, reduction=self.reduction)


class BCELoss(Loss):
    """Binary cross-entropy of probabilities, see `binary_cross_entropy`.

    Args:
        weight: A factor for each loss, of a shape that broadcasts to the input's.
        reduction: "none" (one loss per element), "mean" or "sum".

    Example:
        >>> import minigrad as mg
        >>> BCELoss()(mg.zeros(1), mg.ones(1)).item()
        100.0
    """

    def __init__(self, weight: Tensor | None = None, *, reduction: Reduction = "mean") -> None:
        super().__init__(weight, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of probabilities against targets of the same shape."""
        return binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of logits, see `binary_cross_entropy_with_logits`.

    Args:
        weight: A factor for each loss, of a shape that broadcasts to the input's.
        reduction: "none" (one loss per element), "mean" or "sum".
        pos_weight: A factor for the term with t, of a shape that broadcasts to the input's.

    Example:
        >>> import minigrad as mg
        >>> BCEWithLogitsLoss()(mg.tensor([100.0]), mg.zeros(1)).item()
        100.0
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        reduction: Reduction = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, reduction)
        self.pos_weight = None if pos_weight is None else Buffer(pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits against targets of the same shape."""
        return binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )
