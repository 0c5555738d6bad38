"""Losses of several classes, as functions and as layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends import Array, on_host
from minigrad.errors import DTypeError, ShapeError
from minigrad.messages.arguments import floating_input, integer, probability
from minigrad.nn.loss import Loss, Reduction, as_floating, check_reduction, reduced
from minigrad.ops.activation import log_softmax
from minigrad.ops.elementwise import where
from minigrad.ops.loss import cross_entropy_of_classes, mean_cross_entropy
from minigrad.ops.precision import narrowed, widened
from minigrad.ops.reduce import sum
from minigrad.ops.shape import reshape, take_along_axis
from minigrad.tensor import Tensor, as_tensor

__all__ = ["CrossEntropyLoss", "NLLLoss", "cross_entropy", "nll_loss"]


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Minus the log-probability of the right class, `-w_c log p_c`.

    The mean is weighted: it divides by the sum of the weights of the targets.

    Args:
        input: Log-probabilities (C,), (N, C) or (N, C, d1, ...).
        target: Classes from 0 to C - 1, integers (), (N,) or (N, d1, ...).
        weight: A weight w for each class (C,).
        ignore_index: Targets of this value do not count.
        reduction: "none" (one loss per target), "mean" or "sum".

    Raises:
        ShapeError: The shapes do not fit.
        DTypeError: The target does not hold integers, or the input does.
        IndexError: A target is not a class from 0 to C - 1.
        ValueError: `reduction` is unknown.

    Example:
        >>> import minigrad as mg
        >>> nll_loss(mg.tensor([[-1.0, -2.0]]), mg.tensor([1])).item()
        2.0
    """
    check_reduction(reduction)
    ignore_index = integer("nll_loss: ignore_index", ignore_index)
    input = floating_input("nll_loss", input)
    wide = widened(input)
    loss, weights = _of_classes("nll_loss", _picked, wide, target, weight, ignore_index)
    return narrowed(reduced(loss, reduction, weights.sum()), input)


def _picked(log_p: Tensor, classes: Array, *, axis: int) -> Tensor:
    """Minus the log-probability of each target class."""
    return -take_along_axis(log_p, np.expand_dims(classes, axis), axis).squeeze(axis)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Minus the log-likelihood of classes under softmax(z): `-sum_c w_c t_c log_softmax(z)_c`.

    Where targets are classes, t is 1 for the right one and 0 for the others, and the mean is
    weighted: it divides by the sum of the weights of the targets. Smoothing replaces t by
    `(1 - label_smoothing) t + label_smoothing / C`.

    Args:
        input: Logits z (C,), (N, C) or (N, C, d1, ...).
        target: Classes from 0 to C - 1, integers (), (N,) or (N, d1, ...); or probabilities t of
            the input's shape.
        weight: A weight w for each class (C,).
        ignore_index: Targets of this value do not count; only where targets are classes.
        reduction: "none" (one loss per target), "mean" or "sum".
        label_smoothing: From 0 to 1.

    Raises:
        ShapeError: The shapes do not fit.
        DTypeError: Classes are not integers, or the input or the probabilities are not floats.
        IndexError: A target is not a class from 0 to C - 1.
        ValueError: `reduction` is unknown, `label_smoothing` is outside [0, 1], or `ignore_index`
            is a class where targets are probabilities.

    Source:
        Szegedy et al. 2016, "Rethinking the Inception architecture", section 7, for the smoothing.

    Example:
        >>> import minigrad as mg
        >>> cross_entropy(mg.tensor([[200.0, 0.0]]), mg.tensor([1])).item()
        200.0
    """
    check_reduction(reduction)
    label_smoothing = probability("cross_entropy: label_smoothing", label_smoothing)
    ignore_index = integer("cross_entropy: ignore_index", ignore_index)
    input = floating_input("cross_entropy", input)
    target = as_tensor(target, "cross_entropy: target")
    if input.ndim == 0:
        raise ShapeError("cross_entropy: expected logits (C,), (N, C) or (N, C, ...), got shape ()")
    if target.shape != input.shape:
        if weight is None and label_smoothing == 0 and reduction == "mean":
            classes = _checked_classes("cross_entropy", input, target, ignore_index)
            axis = _class_axis(input)
            return mean_cross_entropy(input, classes, axis=axis, ignore_index=ignore_index)
        loss, weights = _of_classes(
            "cross_entropy",
            cross_entropy_of_classes,
            widened(input),
            target,
            weight,
            ignore_index,
            label_smoothing,
        )
        return narrowed(reduced(loss, reduction, weights.sum()), input)
    if target.dtype.kind != "f":
        raise DTypeError(
            f"cross_entropy: a target of the input's shape {input.shape} holds probabilities and "
            f"must be floating-point, got {target.dtype}; classes have no axis for the classes"
        )
    if ignore_index >= 0:
        raise ValueError(
            f"cross_entropy: ignore_index={ignore_index} leaves out targets that are classes; this "
            "target holds probabilities"
        )
    smoothed = widened(target)
    if label_smoothing:
        count = input.shape[_class_axis(input)]
        smoothed = smoothed * (1 - label_smoothing) + label_smoothing / count
    if weight is not None:
        weight = as_floating("cross_entropy: weight", weight, input)
        _check_weight("cross_entropy", input, weight)
    loss = _expected(widened(input), smoothed, weight)
    return narrowed(reduced(loss, reduction), input, target, weight)


def _class_axis(log_p: Tensor) -> int:
    return 0 if log_p.ndim == 1 else 1


def _expected(z: Tensor, p: Any, weight: Tensor | None) -> Tensor:
    """-sum_c w_c p_c log softmax(z)_c, for each target."""
    axis = _class_axis(z)
    terms = log_softmax(z, axis=axis) * p
    if weight is not None:
        terms = terms * reshape(weight, (-1,) + (1,) * (z.ndim - axis - 1))
    return -sum(terms, axis=axis)


def _of_classes(
    name: str,
    loss_of: Callable[..., Tensor],
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Array]:
    """The loss of each target class, and its weight: 0 where it is ignored."""
    axis = _class_axis(input)
    classes = _checked_classes(name, input, as_tensor(target, f"{name}: target"), ignore_index)
    if weight is not None:
        weight = as_tensor(weight, f"{name}: weight").astype(input.dtype)
        _check_weight(name, input, weight)
    ignored = classes == ignore_index
    classes = np.where(ignored, 0, classes)
    weights = (~ignored).astype(input.dtype)
    loss = loss_of(input, classes, axis=axis)
    if weight is not None:
        weights = weights * weight._data[classes]
        loss = loss * weights
    if label_smoothing:
        smooth = _expected(input, label_smoothing / input.shape[axis], weight)
        loss = loss * (1 - label_smoothing) + smooth
    return where(ignored, 0.0, loss), weights


def _checked_classes(name: str, input: Tensor, target: Tensor, ignore_index: int) -> Array:
    """The targets as int64; raise for a target that is no class (not checked on the GPU)."""
    axis = _class_axis(input)
    expected = input.shape[:axis] + input.shape[axis + 1 :]
    if input.ndim == 0 or target.shape != expected:
        raise ShapeError(
            f"{name}: the input has shape {input.shape}, the target {target.shape}; expected an "
            f"input (C,), (N, C) or (N, C, ...) and here a target of shape {expected}"
        )
    classes, count = target._data, input.shape[axis]
    if classes.dtype.kind not in "iu":
        raise DTypeError(
            f"{name}: a target of shape {target.shape} holds classes and must be integers, got "
            f"{target.dtype}; use .astype('int64')"
        )
    if on_host(classes) and classes.size and not 0 <= classes.min() <= classes.max() < count:
        if ignore_index >= 2**63:  # only a uint64 target can equal it, and classes become int64
            raise ValueError(f"{name}: ignore_index={ignore_index} does not fit int64")
        counted = np.where(classes == ignore_index, 0, classes)
        if not 0 <= counted.min() <= counted.max() < count:
            raise IndexError(
                f"{name}: targets go from {counted.min()} to {counted.max()}, but the input has "
                f"{count} classes, 0 to {count - 1}"
            )
    return classes.astype(np.int64, copy=False)


def _check_weight(name: str, input: Tensor, weight: Tensor) -> None:
    count = input.shape[_class_axis(input)]
    if weight.shape != (count,):
        raise ShapeError(f"{name}: weight has shape {weight.shape}, but there are {count} classes")


class NLLLoss(Loss):
    """Minus the log-probability of the right class, see `nll_loss`.

    Args:
        weight: A weight for each class (C,).
        ignore_index: Targets of this value do not count.
        reduction: "none" (one loss per target), "mean" or "sum".

    Example:
        >>> import minigrad as mg
        >>> NLLLoss()(mg.tensor([[-1.0, -2.0]]), mg.tensor([0])).item()
        1.0
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = integer("NLLLoss: ignore_index", ignore_index)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of log-probabilities (N, C, ...) against classes (N, ...)."""
        return nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class CrossEntropyLoss(Loss):
    """Minus the log-likelihood of classes under the softmax of logits, see `cross_entropy`.

    Args:
        weight: A weight for each class (C,).
        ignore_index: Targets of this value do not count.
        reduction: "none" (one loss per target), "mean" or "sum".
        label_smoothing: From 0 to 1.

    Example:
        >>> import minigrad as mg
        >>> loss = CrossEntropyLoss()(mg.zeros(3, 10), mg.tensor([1, 4, 9]))
        >>> round(loss.item(), 4)
        2.3026
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = integer("CrossEntropyLoss: ignore_index", ignore_index)
        self.label_smoothing = probability("CrossEntropyLoss: label_smoothing", label_smoothing)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (N, C, ...) against classes (N, ...) or probabilities (N, C, ...)."""
        return cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
