"""Samples of minigrad/ops/linear.py."""

from typing import Any

from minigrad.ops import linear as ops
from samples.base import F, normal, sample


def torch_linear(x: Any, weight: Any, bias: Any) -> Any:
    if weight.ndim == 1 and bias is not None:  # allowed, and fails for most x
        return F.linear(x, weight, None) + bias
    return F.linear(x, weight, bias)


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
        ops.linear, normal(*size, 4), normal(5, 4), normal(5) if bias else None, torch=torch_linear
    )
    for size in [(7,), (3,), (2, 3)]  # more samples than features, fewer, and a batch of batches
    for bias in (True, False)
]
