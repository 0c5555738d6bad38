"""Schedules that follow the number of the epoch."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from minigrad.messages.arguments import number, plain
from minigrad.optim.lr_scheduler.base import LRScheduler
from minigrad.optim.optimizer import Optimizer
from minigrad.tensor import described

__all__ = ["CosineAnnealingLR", "ExponentialLR", "LambdaLR", "LinearLR", "MultiStepLR", "StepLR"]

Factor: TypeAlias = Callable[[int], float]


class LambdaLR(LRScheduler):
    """The initial learning rate times a function of the epoch.

    Args:
        optimizer: The optimizer whose learning rates change.
        lr_lambda: The function from the epoch to a factor, or a list with one for each group.
        last_epoch: The number of the last epoch done; -1 to start.

    Raises:
        ValueError: The number of functions is not the number of groups.
        TypeError: `lr_lambda` is not a function.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.nn.Parameter([1.0])], lr=1.0)
        >>> schedule = LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.5]
    """

    _for_groups = ("base_lrs", "lr_lambdas")
    _not_saved = (*LRScheduler._not_saved, "lr_lambdas")

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1
    ) -> None:
        self._attach(optimizer)
        self.lr_lambdas: list[Factor] = self._for_each_group(lr_lambda, "lr_lambda")
        for factor in self.lr_lambdas:
            if not callable(factor):
                raise TypeError(
                    "lr_lambda: expected a function of the epoch, or a list with one for each "
                    f"parameter group, got {described(factor)}"
                )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The initial learning rate of each group times its function's value."""
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * self._value(i, factor) for i, (base, factor) in enumerate(pairs)]

    def _value(self, i: int, factor: Factor) -> float:
        value = plain(factor(self.last_epoch))
        value = int(value) if isinstance(value, bool) else value  # such as `epoch < 5`
        return number(f"lr_lambda of param_groups[{i}] in epoch {self.last_epoch}", value)


class StepLR(LRScheduler):
    """The learning rate times gamma after every `step_size` epochs.

    Args:
        optimizer: The optimizer whose learning rates change.
        step_size: The number of epochs between two changes, at least 1.
        gamma: The factor, at least 0.
        last_epoch: The number of the last epoch done; -1 to start.

    Raises:
        ValueError: `step_size` is less than 1.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.nn.Parameter([1.0])], lr=1.0)
        >>> schedule = StepLR(optimizer, step_size=2, gamma=0.5)
        >>> for _ in range(4):
        ...     schedule.step()
        >>> schedule.get_last_lr()
        [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = number("step_size", step_size, 1), number("gamma", gamma, 0)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rates, times gamma at every multiple of `step_size`."""
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return self._lrs()
        return [lr * self.gamma for lr in self._lrs()]


class MultiStepLR(LRScheduler):
    """The learning rate times gamma at each of the given epochs.

    Args:
        optimizer: The optimizer whose learning rates change.
        milestones: The epochs; an epoch that is given twice counts twice.
        gamma: The factor, at least 0.
        last_epoch: The number of the last epoch done; -1 to start.

    Raises:
        TypeError: `milestones` is not a list of numbers.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.nn.Parameter([1.0])], lr=1.0)
        >>> schedule = MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
        >>> for _ in range(4):
        ...     schedule.step()
        >>> schedule.get_last_lr()
        [0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(milestones, Iterable):
            raise TypeError(f"milestones: expected a list of epochs, got {described(milestones)}")
        self.milestones = Counter(number("milestones", epoch) for epoch in milestones)
        self.gamma = number("gamma", gamma, 0)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rates, times gamma where the epoch is a milestone."""
        if self.last_epoch not in self.milestones:
            return self._lrs()
        return [lr * self.gamma ** self.milestones[self.last_epoch] for lr in self._lrs()]

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """See `LRScheduler.load_state_dict`; keys that JSON made strings become numbers again."""
        super().load_state_dict(state_dict)
        self.milestones = Counter({float(k): n for k, n in self.milestones.items()})


class ExponentialLR(LRScheduler):
    """The learning rate times gamma after every epoch.

    Args:
        optimizer: The optimizer whose learning rates change.
        gamma: The factor, at least 0.
        last_epoch: The number of the last epoch done; -1 to start.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.nn.Parameter([1.0])], lr=1.0)
        >>> schedule = ExponentialLR(optimizer, gamma=0.5)
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.5]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = number("gamma", gamma, 0)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rates times gamma."""
        return self._lrs() if self._initial else [lr * self.gamma for lr in self._lrs()]


class LinearLR(LRScheduler):
    """The initial learning rate times a factor that changes linearly, then stays the same.

    Args:
        optimizer: The optimizer whose learning rates change.
        start_factor: The factor in the first epoch, above 0 and at most 1.
        end_factor: The factor after `total_iters` epochs, from 0 to 1.
        total_iters: The number of epochs from `start_factor` to `end_factor`.
        last_epoch: The number of the last epoch done; -1 to start.

    Raises:
        ValueError: A factor is out of its range.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.nn.Parameter([1.0])], lr=1.0)
        >>> schedule = LinearLR(optimizer, start_factor=0.5, total_iters=2)
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        start_factor = number("start_factor", start_factor)
        end_factor = number("end_factor", end_factor)
        if not 0 < start_factor <= 1:
            raise ValueError(f"start_factor: must be above 0 and at most 1, got {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"end_factor: must be from 0 to 1, got {end_factor}")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = number("total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rates, times this epoch's factor divided by the last one's."""
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self._lrs()]
        if self._initial or self.last_epoch > self.total_iters:
            return self._lrs()
        change = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * change
        ratio = max(1 + change / before, 0.0)  # rounding may make it negative near a factor of 0
        return [lr * ratio for lr in self._lrs()]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine wave from the initial learning rate down to `eta_min`, in T_max epochs.

    `lr = eta_min + (base_lr - eta_min) (1 + cos(pi epoch / T_max)) / 2`. After T_max epochs the
    learning rate rises again.

    Args:
        optimizer: The optimizer whose learning rates change.
        T_max: The number of epochs from the initial learning rate to `eta_min`, at least 1.
        eta_min: The smallest learning rate, at least 0.
        last_epoch: The number of the last epoch done; -1 to start.

    Raises:
        ValueError: `T_max` is less than 1, or `eta_min` is negative.

    Source:
        Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", eq. 5,
        without the restarts.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.nn.Parameter([1.0])], lr=1.0)
        >>> schedule = CosineAnnealingLR(optimizer, T_max=2)
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.5]
    """

    _for_groups = ("base_lrs",)

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = number("T_max", T_max, 1), number("eta_min", eta_min, 0)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rates of the epoch before, changed by the ratio of two cosine values."""
        if self._initial:
            return self._lrs()
        pairs = list(zip(self.base_lrs, self._lrs(), strict=True))
        # in the epoch before, lr was eta_min and the wave was 0: there is no ratio
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [lr + (base - self.eta_min) * rise for base, lr in pairs]
        ratio = self._height(self.last_epoch) / self._height(self.last_epoch - 1)
        rates = [ratio * (lr - self.eta_min) + self.eta_min for _, lr in pairs]
        # back at an initial rate of 0: each rise multiplies the rounding errors by up to T_max^2
        rounding = sys.float_info.epsilon * self.eta_min * self.T_max * self.last_epoch
        return [0.0 if -rounding <= lr < 0 else lr for lr in rates]

    def _height(self, epoch: int) -> float:
        return 1 + math.cos(math.pi * epoch / self.T_max)
