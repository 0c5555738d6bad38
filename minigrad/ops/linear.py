"""The linear layer."""

from __future__ import annotations

from typing import Any

from minigrad.fused import fused
from minigrad.ops.shape import swapaxes
from minigrad.tensor import Tensor


@fused
def linear(x: Any, weight: Any, bias: Any) -> Tensor:
    """The linear layer `y = x W^T + b`.

    Args:
        x: (..., in_features).
        weight: W (out_features, in_features), or (in_features,) for a single output.
        bias: b (out_features,), or None.

    Returns:
        (..., out_features), without the last axis for a single output.
    """
    y: Tensor = x @ weight if weight.ndim == 1 else x @ swapaxes(weight, 0, 1)
    return y if bias is None else y + bias
