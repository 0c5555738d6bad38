"""What all schedules share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigrad.live import refuse
from minigrad.optim.optimizer import Optimizer

__all__ = ["LRScheduler"]


class LRScheduler:
    """The base of schedules that depend on the epoch; a subclass says in `get_lr` how.

    Args:
        optimizer: Whose learning rates change.
        last_epoch: The number of the last epoch done; -1 to start.

    Attributes:
        base_lrs: The learning rate that each group started with.
        last_epoch: The number of the epoch that the learning rates are for.

    Raises:
        TypeError: `optimizer` is none.
        KeyError: `last_epoch` is not -1 and no schedule has been in the optimizer before.

    Example:
        >>> import minigrad as mg
        >>> class Harmonic(LRScheduler):
        ...     def get_lr(self):
        ...         return [lr / (1 + self.last_epoch) for lr in self.base_lrs]
        >>> optimizer = mg.optim.SGD([mg.nn.Parameter([1.0])], lr=1.0)
        >>> scheduler = Harmonic(optimizer)
        >>> optimizer.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self._attach(optimizer)
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param_groups[{number}] has no 'initial_lr', which is needed to go on after "
                    f"last_epoch={last_epoch}; load the optimizer's state first"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._initial = True
        self.step()
        self._initial = False

    def _attach(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer: expected an Optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer

    def _for_each_group(self, value: Any, name: str) -> list[Any]:
        """One value for all groups, or a sequence with one for each, as a list."""
        groups = len(self.optimizer.param_groups)
        values = list(value) if isinstance(value, list | tuple) else [value] * groups
        if len(values) != groups:
            raise ValueError(f"{name}: {len(values)} values for {groups} parameter groups")
        return values

    def get_lr(self) -> list[float]:
        """The learning rate of each group in epoch `last_epoch`, from that of the epoch before."""
        raise NotImplementedError

    def step(self) -> None:
        """Go to the next epoch; call it after the optimizer's steps."""
        refuse("a schedule's step() changes learning rates on the host; call it outside")
        self._step_count += 1
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._last_lr: list[float] = self._lrs()

    def _lrs(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group after the last `step()`."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, or that a constructor was given."""
        hidden = ("optimizer", "_initial")
        return {key: value for key, value in vars(self).items() if key not in hidden}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state. The optimizer's learning rates are in the optimizer's own state.

        Args:
            state_dict: What `state_dict()` gave.
        """
        vars(self).update(state_dict)
