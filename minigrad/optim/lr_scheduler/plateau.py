"""The schedule that depends on a measurement, such as a validation loss."""

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
    """The learning rate times a factor when a measurement has stopped improving.

    Args:
        optimizer: The optimizer whose learning rates change.
        mode: "min" if a smaller measurement is better, "max" if a larger one is.
        factor: The factor, from 0 to less than 1.
        patience: How many epochs in a row may bring no improvement; one more reduces the rate.
        threshold: How much better than the best a measurement must be to count as an improvement.
        threshold_mode: Whether `threshold` is a fraction of the best ("rel") or a difference
            ("abs").
        cooldown: The number of epochs after a change in which no epoch counts against `patience`.
        min_lr: The smallest learning rate: a number, or a list with one for each group.
        eps: A learning rate that would change by at most eps is not changed.

    Raises:
        ValueError: An argument is out of its range.
        TypeError: `optimizer` is not an Optimizer, or an argument is not a number.

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
        """Use the measurement of an epoch.

        Args:
            metrics: A number, or an array or Tensor of one element. NaN is never an improvement.

        Raises:
            ValueError: The number of groups has changed since the schedule was made; nothing has
                been changed.
            TypeError: `metrics` is not a number; nothing has been changed.
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
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            limit = self.best * (1 + sign * self.threshold)
        else:
            limit = self.best + sign * self.threshold
        return sign * current > sign * limit
