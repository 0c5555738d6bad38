"""Normalization of activations."""

from __future__ import annotations

from typing import Any

from minigrad.fused import fused
from minigrad.ops.elementwise import sqrt
from minigrad.ops.precision import narrowed, widened
from minigrad.ops.reduce import mean
from minigrad.ops.shape import reshape
from minigrad.tensor import Tensor


def _per_channel(x: Any, like: Any) -> Tensor:
    """A vector (C,) in a shape that broadcasts against (N, C) or (N, C, L)."""
    return reshape(x, (1, -1) + (1,) * (like.ndim - 2))


@fused
def batch_norm(
    x: Any, weight: Any, bias: Any, *, eps: float = 1e-5
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize each channel by the mean and variance of the batch, then scale and shift.

    `y = (x - mean) / sqrt(var + eps) * weight + bias`, with mean and (biased) variance over the
    batch and, for (N, C, L), the positions. The layer keeps the running statistics.

    Args:
        x: (N, C) or (N, C, L).
        weight: (C,), or None for 1.
        bias: (C,), or None for 0.
        eps: Added to the variance.

    Returns:
        y of x's shape; the batch's mean (C,) and variance (C,), in float32 for float16.

    Source:
        Ioffe and Szegedy 2015, "Batch normalization", algorithm 1.
    """
    axes = (0, *range(2, x.ndim))
    given, x = (x, weight, bias), widened(x)
    mu = mean(x, axis=axes)
    centred = x - _per_channel(mu, x)
    var = mean(centred * centred, axis=axes)
    y = centred / _per_channel(sqrt(var + eps), x)
    if weight is not None:
        y = y * _per_channel(weight, x)
    if bias is not None:
        y = y + _per_channel(bias, x)
    return narrowed(y, *given), mu, var


def normalize_channels(
    x: Tensor, mean: Any, var: Any, weight: Any, bias: Any, eps: float = 1e-5
) -> Tensor:
    """Batch normalization with given statistics, as in the evaluation of a trained network.

    Args:
        x: (N, C) or (N, C, L).
        mean: (C,).
        var: (C,).
        weight: (C,), or None for 1.
        bias: (C,), or None for 0.
        eps: Added to the variance.
    """
    scale = 1 / sqrt(widened(var) + eps)
    if weight is not None:
        scale = scale * weight
    y = (widened(x) - _per_channel(mean, x)) * _per_channel(scale, x)
    if bias is not None:
        y = y + _per_channel(bias, x)
    return narrowed(y, x, mean, var, weight, bias)


@fused
def layer_norm(x: Any, weight: Any, bias: Any, *, axes: int = 1, eps: float = 1e-5) -> Tensor:
    """Normalize over the last axes, each example separately, then scale and shift.

    `y = (x - mean) / sqrt(var + eps) * weight + bias`, with the biased variance.

    Args:
        x: Any shape.
        weight: The shape of x's last axes, or None for 1.
        bias: The shape of x's last axes, or None for 0.
        axes: The number of axes to normalize over.
        eps: Added to the variance.

    Source:
        Ba, Kiros and Hinton 2016, "Layer normalization", eq. 4.
    """
    over = tuple(range(-axes, 0))
    given, x = (x, weight, bias), widened(x)
    centred = x - mean(x, axis=over, keepdims=True)
    y: Tensor = centred / sqrt(mean(centred * centred, axis=over, keepdims=True) + eps)
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return narrowed(y, *given)
