"""Activation functions: the nonlinear steps of a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends import Array
from minigrad.fused import fused
from minigrad.ops.elementwise import exp, floating, where
from minigrad.ops.precision import narrowed, widened
from minigrad.ops.reduce import largest, sum
from minigrad.primitive import primitive
from minigrad.tensor import Tensor


@primitive(x=lambda g, y: g * (1 - y * y))
def tanh(x: Array) -> Array:
    """Hyperbolic tangent, elementwise: (e^x - e^-x) / (e^x + e^-x).

    Args:
        x: Any shape; integers are computed in float64.

    Example:
        >>> import minigrad as mg
        >>> mg.tanh(mg.tensor([0.0]))
        tensor([0.])
    """
    return np.tanh(floating(x))


@primitive(x=lambda g, y: g * (y * (1 - y)))
def sigmoid(x: Array) -> Array:
    """Logistic function 1 / (1 + e^-x), elementwise; accurate relative to its size.

    Below the dtype's smallest normal number (x < -87 for float32) it may become 0.

    Args:
        x: Any shape; integers are computed in float64.

    Example:
        >>> import minigrad as mg
        >>> mg.sigmoid(mg.tensor([0.0]))
        tensor([0.5])
    """
    with np.errstate(over="ignore"):  # e^-x = inf gives 0, as it should
        return 1 / (1 + np.exp(-floating(x)))


@primitive(x=lambda g, y: where(y > 0, g, 0.0))
def relu(x: Array) -> Array:
    """Rectified linear unit max(x, 0), elementwise; the derivative at 0 is taken as 0.

    Args:
        x: Any shape.

    Source:
        Nair and Hinton 2010, "Rectified linear units improve restricted Boltzmann machines".

    Example:
        >>> import minigrad as mg
        >>> relu(mg.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    return np.maximum(x, 0)


@fused
def leaky_relu(x: Any, *, negative_slope: float = 0.01) -> Tensor:
    """Leaky rectified linear unit, elementwise: x where x > 0, else `negative_slope * x`.

    Args:
        x: Any shape.
        negative_slope: The derivative below 0, and at 0.

    Source:
        Maas, Hannun and Ng 2013, "Rectifier nonlinearities improve neural network acoustic models".

    Example:
        >>> import minigrad as mg
        >>> leaky_relu(mg.tensor([-1.0, 2.0]), negative_slope=0.2)
        tensor([-0.2,  2. ])
    """
    return where(x > 0, x, negative_slope * x)


@primitive(x=lambda g, x: g * sigmoid(x))
def softplus(x: Array) -> Array:
    """log(1 + e^x), elementwise, without overflow; its derivative is the sigmoid.

    Args:
        x: Any shape; integers are computed in float64.

    Example:
        >>> import minigrad as mg
        >>> softplus(mg.tensor([1000.0]))
        tensor([1000.])
    """
    x = floating(x)
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _softmax_rule(g: Any, y: Any, axis: int) -> Any:
    y = widened(y)
    return y * (g - sum(g * y, axis=axis, keepdims=True))


@primitive(x=_softmax_rule)
def softmax(x: Array, *, axis: int = -1) -> Array:
    """e^x divided by its sum along an axis: positive values that add up to 1.

    Args:
        x: Any shape, logits; integers are computed in float64.
        axis: Along which the results add up to 1.

    Example:
        >>> import minigrad as mg
        >>> softmax(mg.tensor([1.0, 1.0]))
        tensor([0.5, 0.5])
    """
    wide = widened(floating(x))
    y = np.exp(wide - largest(wide, axis))
    return narrowed(y / np.sum(y, axis=axis, keepdims=True), x)


@primitive(x=lambda g, y, axis: g - exp(widened(y)) * sum(g, axis=axis, keepdims=True))
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    """log(softmax(x)) along an axis, without overflow: x - logsumexp(x).

    Args:
        x: Any shape, logits; integers are computed in float64.
        axis: Along which the probabilities add up to 1.

    Example:
        >>> import minigrad as mg
        >>> log_softmax(mg.tensor([1000.0, 0.0]))
        tensor([    0., -1000.])
    """
    wide = widened(floating(x))
    shifted = wide - largest(wide, axis)
    return narrowed(shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True)), x)
