"""Samples of minigrad/ops/norm.py."""

from typing import Any

import numpy as np

from minigrad.ops import norm as ops
from samples.base import F, normal, positive, sample, torch


def torch_batch_norm(
    x: Any,
    weight: Any,
    bias: Any,
    eps: float = 1e-5,
) -> Any:
    axes = (0, *range(2, x.ndim))
    if weight is None:  # PyTorch's second derivative fails without one
        weight = torch.ones(x.shape[1], dtype=x.dtype)
    y = F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)
    return y, x.mean(axes), x.var(axes, correction=0)


def torch_layer_norm(x: Any, weight: Any, bias: Any, axes: int = 1, eps: float = 1e-5) -> Any:
    shape = x.shape[x.ndim - axes :]
    if weight is None:
        weight = torch.ones(shape, dtype=x.dtype)
    return F.layer_norm(x, shape, weight, bias, eps)


def torch_normalize(x: Any, mean: Any, var: Any, weight: Any, bias: Any) -> Any:
    """As F.batch_norm in evaluation, which has no gradients of the statistics."""
    size = (1, -1) + (1,) * (x.ndim - 2)
    y = (x - mean.reshape(size)) / torch.sqrt(var.reshape(size) + 1e-5)
    y = y if weight is None else y * weight.reshape(size)
    return y if bias is None else y + bias.reshape(size)


def spread(*size: int) -> np.ndarray:
    """Numbers apart by one and more along every axis: dividing by their std magnifies no error."""
    places = np.indices(size).sum(axis=0)
    return np.asarray(places + 0.3 * normal(*size))


SAMPLES = [
    sample(
        ops.batch_norm,
        spread(*size),
        positive(size[1]) if weight else None,
        normal(size[1]) if bias else None,
        torch=torch_batch_norm,
        **options,
    )
    for size, weight, bias, options in [
        *[
            (size, weight, bias, {})
            for size in [(5, 3), (4, 3, 2), (2, 1)]
            for weight in (True, False)
            for bias in (True, False)
        ],
        ((5, 3), True, True, {"eps": 0.1}),
    ]
]
SAMPLES += [
    sample(
        ops.normalize_channels,
        normal(*size),
        normal(3),
        positive(3),
        positive(3) if affine else None,
        normal(3) if affine else None,
        torch=torch_normalize,
    )
    for size in [(5, 3), (4, 3, 2)]
    for affine in (True, False)
]
SAMPLES += [
    sample(
        ops.layer_norm,
        spread(*size),
        positive(*size[-options.get("axes", 1) :]) if weight else None,
        normal(*size[-options.get("axes", 1) :]) if bias else None,
        torch=torch_layer_norm,
        **options,
    )
    for size, weight, bias, options in [
        ((5, 3), True, True, {}),
        ((5, 3), False, False, {}),
        ((5, 3), True, False, {}),
        ((5, 3), False, True, {"eps": 0.1}),
        ((4,), True, True, {}),
        ((2, 3, 4), True, True, {}),
        ((2, 3, 4), True, True, {"axes": 2}),
        ((0, 3), True, True, {}),
    ]
]
