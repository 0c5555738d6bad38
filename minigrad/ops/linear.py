"""The linear layer, alone or with the activation after it."""

from __future__ import annotations

from typing import Any

from minigrad.fused import fused
from minigrad.ops.activation import Activation, activated
from minigrad.ops.shape import swapaxes
from minigrad.tensor import Tensor


@fused
def linear(
    x: Any,
    weight: Any,
    bias: Any,
    *,
    activation: Activation | None = None,
    negative_slope: float = 0.01,
) -> Tensor:
    """The linear layer `y = x W^T + b`, or an activation of it.

    Args:
        x: (..., in_features).
        weight: W (out_features, in_features), or (in_features,) for a single output.
        bias: b (out_features,), or None.
        activation: What is applied to y, elementwise.
        negative_slope: That of leaky_relu.

    Returns:
        (..., out_features), without the last axis for a single output.
    """
    if activation is not None:
        return activated(linear(x, weight, bias), activation, negative_slope)
    y: Tensor = x @ weight if weight.ndim == 1 else x @ swapaxes(weight, 0, 1)
    return y if bias is None else y + bias
