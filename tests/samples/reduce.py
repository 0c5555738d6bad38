"""Samples of minigrad/ops/reduce.py."""

from typing import Any

import numpy as np

from minigrad.ops import reduce as ops
from samples.base import integers, mask, normal, sample, torch


def reduction(name: str) -> Any:
    """The torch function over axes given as NumPy's: None for all."""

    def compute(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        dims = tuple(range(x.ndim)) if axis is None else axis
        return getattr(torch, name)(x, dims, keepdim=keepdims)

    return compute


def spread(name: str) -> Any:
    def compute(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
        return getattr(torch, name)(x, axis, correction=ddof, keepdim=keepdims)

    return compute


def product(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    dims = range(x.ndim) if axis is None else np.atleast_1d(axis) % x.ndim
    for dim in sorted(dims, reverse=True):
        x = torch.prod(x, int(dim), keepdim=keepdims)
    return x


def length(x: Any, axis: Any = None, keepdims: bool = False, **order: Any) -> Any:
    given = order.get("ord")
    return torch.linalg.vector_norm(x, 2 if given is None else given, axis, keepdim=keepdims)


def index(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return torch.argmax(x, axis, keepdim=keepdims)


AXES = [((3, 4), None), ((3, 4), 0), ((3, 4), -1), ((2, 3, 4), (0, -1)), ((2, 3, 4), (1,))]
REDUCTIONS = [
    (ops.sum, reduction("sum")),
    (ops.mean, reduction("mean")),
    (ops.max, reduction("amax")),
    (ops.min, reduction("amin")),
    (ops.logsumexp, reduction("logsumexp")),
    (ops.norm, length),
    (ops.var, spread("var")),
    (ops.std, spread("std")),
    (ops.prod, product),
]

SAMPLES = [
    sample(function, normal(*size), torch=compute, axis=axis, keepdims=keepdims)
    for function, compute in REDUCTIONS
    for size, axis in AXES
    for keepdims in (False, True)
]
for function, compute in REDUCTIONS:
    if function not in (ops.var, ops.std):  # those of one number or none are nan
        SAMPLES += [
            sample(function, normal(), torch=compute),
            sample(function, normal(0, 3), torch=compute, axis=1),
            sample(function, normal(3, 2), torch=compute, axis=np.int64(1), name="axis-int64"),
        ]
SAMPLES.append(sample(ops.sum, normal(0, 3), torch=reduction("sum"), axis=0))

ties = np.array([[1.0, 2.0, 2.0], [3.0, 3.0, 3.0], [-1.0, -1.0, 0.0]])
SAMPLES += [
    sample(function, ties, torch=compute, axis=axis, kink=True, name=f"ties-{axis}")
    for function, compute in REDUCTIONS[2:4]
    for axis in (None, 0, 1)
]

SAMPLES += [
    sample(function, normal(*size), torch=compute, axis=axis, ddof=1)
    for function, compute in [(ops.var, spread("var")), (ops.std, spread("std"))]
    for size, axis in AXES
]
SAMPLES.append(
    sample(
        ops.std,
        np.ones((2, 3)),
        torch=spread("std"),
        axis=1,
        kink=True,
        second=False,  # infinite
        name="zero",
    )
)

zeros = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0], [1.0, 2.0, 3.0]])
SAMPLES += [
    sample(ops.prod, x, torch=product, axis=0)
    for x in (normal(7, 2), normal(1, 2), normal(0, 3), zeros)
]

SAMPLES += [
    sample(ops.argmax, normal(3, 4), torch=index, axis=axis, keepdims=keepdims)
    for axis, keepdims in [(None, False), (0, False), (-1, True)]
]

ALL_OR_ANY = [
    (ops.all, lambda x, axis=None, keepdims=False: torch.all(x, axis, keepdim=keepdims)),
    (ops.any, lambda x, axis=None, keepdims=False: torch.any(x, axis, keepdim=keepdims)),
]
SAMPLES += [
    sample(function, values, torch=compute, axis=axis, keepdims=keepdims, name=name)
    for function, compute in ALL_OR_ANY
    for values, axis, keepdims, name in [
        (mask(3, 4), None, False, "all-axes"),
        (mask(3, 4), 0, False, "axis"),
        (mask(2, 3, 4), (0, -1), True, "axes-kept"),
        (mask(0, 3), 0, False, "nothing"),
        (integers(2, 3, 4), 1, True, "integers"),
        (np.array([0.0, np.nan, -0.0]), None, False, "floats"),
    ]
]

SAMPLES += [
    sample(ops.cumsum, normal(*size), torch=lambda x, axis: torch.cumsum(x, axis), axis=axis)
    for size, axis in [((3, 4), 0), ((3, 4), -1), ((2, 3, 2), 1), ((0, 3), 0)]
]
SAMPLES += [
    sample(ops.cumsum, normal(3, 4), torch=lambda x: torch.cumsum(x.reshape(-1), 0)),
    sample(ops.running_sum, normal(3, 4), 1, torch=lambda x, axis: torch.cumsum(x, axis)),
]

rows = np.array([[1000.0, 999.0], [0.0, -np.inf], [1.0, 2.0]])
SAMPLES.append(
    sample(ops.logsumexp, rows, torch=reduction("logsumexp"), axis=1, kink=True, name="large")
)

SAMPLES += [
    sample(ops.norm, normal(3, 4), torch=length, ord=order, axis=axis)
    for order in (None, 0, 1, 2, 3, 1.5, np.inf, -np.inf, -1)
    for axis in (None, 0, (0, 1))
]
SAMPLES += [
    sample(
        ops.norm,
        np.zeros(3),
        torch=length,
        ord=order,
        kink=True,
        second=order == 1,  # infinite, and nan in PyTorch
        name=f"zero-{order}",
    )
    for order in (1, 2, 3)
]
