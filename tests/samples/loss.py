"""Samples of minigrad/ops/loss.py."""

from typing import Any

import numpy as np

from minigrad.ops import loss as ops
from samples.base import F, integers, normal, positive, sample, torch, unit


def cross_entropy(p: Any, target: Any) -> Any:
    target = torch.as_tensor(target, dtype=p.dtype)
    return F.binary_cross_entropy(p, target, reduction="none")


def with_logits(z: Any, target: Any, pos_weight: Any = None) -> Any:
    weight = None if pos_weight is None else torch.tensor(pos_weight)
    return F.binary_cross_entropy_with_logits(z, target, reduction="none", pos_weight=weight)


def of_classes(z: Any, classes: Any, axis: int = 1) -> Any:
    z, classes = torch.as_tensor(z).movedim(axis, 1), torch.as_tensor(classes)
    return F.cross_entropy(z, classes.long(), reduction="none")


def mean_of_classes(z: Any, classes: Any, axis: int = 1, ignore_index: int = -100) -> Any:
    z, classes = torch.as_tensor(z).movedim(axis, 1), torch.as_tensor(classes)
    return F.cross_entropy(z, classes.long(), ignore_index=ignore_index)


SAMPLES = [
    # second: PyTorch's adds 1e-12 to p and to 1 - p, so that only ten digits are right
    sample(ops.binary_cross_entropy, unit(3, 4), unit(3, 4), torch=cross_entropy, second=False),
    sample(ops.binary_cross_entropy, unit(), unit(), torch=cross_entropy, second=False),
    sample(
        ops.binary_cross_entropy,
        np.array([0.0, 1.0, 0.0, 1.0]),
        np.array([0, 1, 1, 0], dtype=np.int8),
        torch=cross_entropy,
        kink=True,
        second=False,
        name="edges",
    ),
    sample(ops.binary_cross_entropy_with_logits, normal(3, 4), unit(3, 4), torch=with_logits),
    sample(
        ops.binary_cross_entropy_with_logits,
        np.array([-80.0, 80.0, 0.0]),
        np.array([1.0, 0.0, 1.0]),
        torch=with_logits,
        name="large",
    ),
    sample(
        ops.binary_cross_entropy_with_logits,
        normal(3, 4),
        unit(3, 4),
        torch=with_logits,
        pos_weight=positive(4),
    ),
    sample(ops.cross_entropy_of_classes, normal(3, 4), np.array([3, 0, 1]), torch=of_classes),
    sample(
        ops.cross_entropy_of_classes,
        np.array([[200.0, -200.0, 0.0], [0.0, 100.0, 100.0]]),
        np.array([1, 2]),
        torch=of_classes,
        name="large",
    ),
    sample(
        ops.cross_entropy_of_classes,
        normal(2, 3, 4),
        np.array([[0, 1, 2], [3, 0, 0]]),
        torch=of_classes,
        axis=2,
    ),
]
SAMPLES += [
    sample(ops.mean_cross_entropy, z, classes, torch=mean_of_classes, **options)
    for z, classes, options in [
        (normal(3, 4), np.array([3, 0, 1]), {}),
        (normal(3, 4), np.array([3, 0, 1]), {"ignore_index": 0}),
        (normal(2, 3, 4), integers(4, 2, 3), {"axis": 2}),
    ]
]
