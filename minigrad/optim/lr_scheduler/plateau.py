"""The schedule that follows a measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from minigrad.messages.arguments import number
from minigrad.observers import thread
from minigrad.optim.lr_scheduler.base import LRScheduler
from minigrad.optim.optimizer import Optimizer

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(LRScheduler):
    """The learning rate times a factor when a measurement has stopped getting better.

    Args:
        optimizer: Whose learning rates change.
        mode: Whether "min" or "max" is better.
        factor: The factor, from 0 to less than 1.
        patience: How many epochs without getting better are borne.
        threshold: By how much a measurement must be better to count.
        threshold_mode: Whether that is a fraction ("rel") or a difference ("abs").
        cooldown: How many epochs to wait after a change.
        min_lr: Where to stop: a number, or a list with one for each group.
        eps: Smaller changes are not made.

    Raises:
        ValueError: An argument is out of its range.
        TypeError: `optimizer` is none, or an argument is no number.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.nn.Parameter([1.0])], lr=1.0)
        >>> schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        >>> for loss in [3.0, 3.0, 3.0]:
        ...     schedule.step(loss)
        >>> schedule.get_last_lr()
        [0.5]
    """

    _for_groups = ("min_lrs",)
    _how_to_go_on = ""

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
        self.factor = number("factor", factor, 0, 1)
        if mode not in ("min", "max"):
            raise ValueError(f"mode: {mode!r}; expected 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode: {threshold_mode!r}; expected 'rel' or 'abs'")
        self.min_lrs: list[float] = [
            number("min_lr", least) for least in self._for_each_group(min_lr, "min_lr")
        ]
        self.mode, self.patience = mode, number("patience", patience)
        self.threshold, self.threshold_mode = number("threshold", threshold), threshold_mode
        self.cooldown, self.eps = number("cooldown", cooldown), number("eps", eps)
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter: float = 0
        self.num_bad_epochs = self.last_epoch = 0
        self._last_lr = self._lrs()

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Take in the measurement of an epoch.

        Args:
            metrics: A number, or an array or Tensor of one element. NaN is no better than any.

        Raises:
            ValueError: The optimizer has other groups than the schedule was made for; nothing has
                been changed.
            TypeError: `metrics` is no number; nothing has been changed.
        """
        thread.observer.refuse("ReduceLROnPlateau.step() reads a measurement; call it outside")
        self._require_groups(len(self.min_lrs))
        current, rates = number("metrics", metrics, finite=False), self._lrs()
        is_better = self._is_better(current)
        bad, wait = 0 if is_better else self.num_bad_epochs + 1, self.cooldown_counter
        if wait > 0:
            bad, wait = 0, wait - 1
        if bad > self.patience:
            rates = [self._reduced(*pair) for pair in zip(rates, self.min_lrs, strict=True)]
            bad, wait = 0, self.cooldown
        self.last_epoch += 1
        self.num_bad_epochs, self.cooldown_counter = bad, wait
        self.best = current if is_better else self.best
        self._assign(rates)

    def _reduced(self, before: float, least: float) -> float:
        lr = max(before * self.factor, least)
        return lr if before - lr > self.eps else before

    def _is_better(self, current: float) -> bool:
        better = 1 if self.mode == "max" else -1  # the direction
        if self.threshold_mode == "rel":
            limit = self.best * (1 + better * self.threshold)
        else:
            limit = self.best + better * self.threshold
        return better * current > better * limit
