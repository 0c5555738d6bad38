"""Samples of minigrad/ops/linear.py."""

from typing import Any

from minigrad.ops import linear as ops
from samples.base import F, normal, sample, torch


def torch_linear(
    x: Any, weight: Any, bias: Any, activation: Any = None, negative_slope: float = 0.01
) -> Any:
    if weight.ndim == 1 and bias is not None:  # allowed, and fails for most x
        y = F.linear(x, weight, None) + bias
    else:
        y = F.linear(x, weight, bias)
    if activation == "leaky_relu":
        return F.leaky_relu(y, negative_slope)
    return y if activation is None else getattr(torch, activation)(y)


SAMPLES = [
    sample(
        ops.linear,
        normal(*size, 4),
        normal(*out, 4),
        normal(*out) if bias else None,
        torch=torch_linear,
    )
    for size in [(3,), (), (2, 3), (0,)]
    for out in [(2,), ()]
    for bias in (True, False)
]
SAMPLES += [
    sample(
        ops.linear,
        normal(*size, 4),
        normal(5, 4),
        normal(5) if bias else None,
        torch=torch_linear,
        activation=activation,
        **({"negative_slope": 0.2} if activation == "leaky_relu" else {}),
    )
    for activation in ("leaky_relu", "relu", "sigmoid", "tanh")
    for size in [(7,), (3,), (2, 3)]  # more samples than features, fewer, and a batch of batches
    for bias in (True, False)
]
SAMPLES += [  # slopes that a kernel cannot tell the sign of the input by
    sample(
        ops.linear,
        normal(3, 4),
        normal(5, 4),
        normal(5),
        torch=torch_linear,
        activation="leaky_relu",
        negative_slope=slope,
    )
    for slope in (0.0, -0.5, 2.0)
]
