"""Schedules: how learning rates change from epoch to epoch.

At each `step()` a schedule computes the `lr` of its optimizer's groups from their current `lr`. So
the factors of several schedules of one optimizer multiply, as in PyTorch.
"""

from minigrad.messages import hints
from minigrad.optim.lr_scheduler.base import LRScheduler
from minigrad.optim.lr_scheduler.epochs import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    StepLR,
)
from minigrad.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "ReduceLROnPlateau",
    "StepLR",
]

hints.explain(__name__, __all__)
