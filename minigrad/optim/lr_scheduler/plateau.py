"""The schedule that follows a measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from minigrad.live import refuse
from minigrad.optim.groups import Group
from minigrad.optim.lr_scheduler.base import LRScheduler
from minigrad.optim.optimizer import Optimizer

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(LRScheduler):
    """The learning rate times a factor when a measurement has stopped getting better.

    Args:
        optimizer: Whose learning rates change.
        mode: Whether "min" or "max" is better.
        factor: The factor, below 1.
        patience: How many epochs without getting better are borne.
        threshold: By how much a measurement must be better to count.
        threshold_mode: Whether that is a fraction ("rel") or a difference ("abs").
        cooldown: How many epochs to wait after a change.
        min_lr: Where to stop: a number, or a list with one for each group.
        eps: Smaller changes are not made.

    Raises:
        ValueError: An argument is out of its range.
        TypeError: `optimizer` is none.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.nn.Parameter([1.0])], lr=1.0)
        >>> schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        >>> for loss in [3.0, 3.0, 3.0]:
        ...     schedule.step(loss)
        >>> schedule.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self._attach(optimizer)
        if factor >= 1:
            raise ValueError(f"factor: must be below 1, got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode: {mode!r}; expected 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode: {threshold_mode!r}; expected 'rel' or 'abs'")
        self.min_lrs: list[float] = self._for_each_group(min_lr, "min_lr")
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = self.last_epoch = 0
        self._last_lr = self._lrs()

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Take in the measurement of an epoch.

        Args:
            metrics: A number, or a Tensor of one element.
        """
        refuse("a schedule's step() changes learning rates on the host; call it outside")
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                self._reduce(group, least)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._lrs()

    def _reduce(self, group: Group, least: float) -> None:
        lr = max(group["lr"] * self.factor, least)
        if group["lr"] - lr > self.eps:
            group["lr"] = lr

    def _is_better(self, current: float) -> bool:
        better = 1 if self.mode == "max" else -1  # the direction
        if self.threshold_mode == "rel":
            limit = self.best * (1 + better * self.threshold)
        else:
            limit = self.best + better * self.threshold
        return better * current > better * limit
