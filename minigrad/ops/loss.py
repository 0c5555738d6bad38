"""Losses per element, before any reduction; the layers in nn/loss.py reduce and weigh them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.backends import Array
from minigrad.fused import fused
from minigrad.ops.activation import log_softmax, softplus
from minigrad.ops.elementwise import cast, clip, log, log1p, where
from minigrad.ops.precision import narrowed, widened
from minigrad.ops.reduce import sum
from minigrad.ops.shape import expand_dims, squeeze, take_along_axis
from minigrad.primitive import primitive
from minigrad.tensor import Tensor

_SMALLEST = float(np.float32(1e-12))  # PyTorch's constant is a float32


def _probability_rule(g: Any, p: Any, target: Any) -> Any:
    p = widened(p)
    return g * (p - target) / clip(p * (1 - p), min=_SMALLEST)


def _target_rule(g: Any, p: Any) -> Any:
    return g * (clip(log1p(-p), min=-100.0) - clip(log(p), min=-100.0))


@primitive(p=_probability_rule, target=_target_rule)
def binary_cross_entropy(p: Array, target: Array) -> Array:
    """-(t log p + (1 - t) log(1 - p)), elementwise.

    Logarithms are at least -100, and the derivative's denominator p (1 - p) at least 1e-12, as in
    PyTorch, so that probabilities of exactly 0 and 1 give finite values.

    Args:
        p: Probabilities in [0, 1].
        target: Targets in [0, 1], of the same shape.
    """
    with np.errstate(divide="ignore"):
        log_p, log_q = np.log(p), np.log1p(-p)
    return (target - 1) * np.maximum(log_q, -100) - target * np.maximum(log_p, -100)


@fused
def binary_cross_entropy_with_logits(z: Any, target: Any, *, pos_weight: Any = None) -> Tensor:
    """The binary cross-entropy of sigmoid(z), computed without the sigmoid: stable for any z.

    `softplus(z) - t z`; with a weight w for the positive class
    `(1 - t) z + (1 + (w - 1) t) softplus(-z)`.

    Args:
        z: Logits.
        target: Targets in [0, 1], of the same shape.
        pos_weight: Weight of the positive class, broadcasting against z; None for 1.
    """
    given, z = (z, target, pos_weight), widened(z)
    if pos_weight is None:
        y: Tensor = softplus(z) - target * z
    else:
        y = (1 - target) * z + (1 + (pos_weight - 1) * target) * softplus(-z)
    return narrowed(y, *given)


@fused
def cross_entropy_of_classes(z: Any, classes: Any, *, axis: int = 1) -> Tensor:
    """-log softmax(z)_c of the right class c, for each target.

    Args:
        z: Logits, any shape.
        classes: Integers from 0, of z's shape without the axis.
        axis: The axis of the classes in z.
    """
    places = expand_dims(classes, axis)
    y = squeeze(-take_along_axis(log_softmax(widened(z), axis=axis), places, axis), axis=axis)
    return narrowed(y, z)


@fused
def mean_cross_entropy(z: Any, classes: Any, *, axis: int = 1, ignore_index: int = -100) -> Tensor:
    """The mean of `cross_entropy_of_classes` over the targets that count; nan if none counts.

    Args:
        z: Logits, any shape.
        classes: Integers from 0, of z's shape without the axis, or `ignore_index`.
        axis: The axis of the classes in z.
        ignore_index: Targets of this value do not count.
    """
    counted, wide = classes != ignore_index, widened(z)
    losses = cross_entropy_of_classes(wide, where(counted, classes, 0), axis=axis)
    count = sum(cast(counted, wide.dtype))
    y = sum(where(counted, losses, 0.0)) / where(count == 0, math.nan, count)
    return narrowed(y, z)
