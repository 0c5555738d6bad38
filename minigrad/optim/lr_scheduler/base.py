"""The base class of all schedules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from minigrad.messages.arguments import array_in, number
from minigrad.observers import thread
from minigrad.optim.optimizer import Optimizer
from minigrad.tensor import described

__all__ = ["LRScheduler"]


class LRScheduler:
    """The base class of schedules that depend on the epoch; a subclass defines `get_lr`.

    Args:
        optimizer: The optimizer whose learning rates change.
        last_epoch: The number of the last epoch done; -1 to start.

    Attributes:
        base_lrs: The initial learning rate of each group.
        last_epoch: The number of the epoch that the learning rates are for.

    Raises:
        TypeError: `optimizer` is not an Optimizer, or a learning rate is not a number.
        ValueError: A learning rate is not finite.
        KeyError: `last_epoch` is not -1, and a group has no "initial_lr" from an earlier schedule.

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

    _for_groups: ClassVar[tuple[str, ...]] = ()  # attributes that are lists, one value per group
    _not_saved: ClassVar[tuple[str, ...]] = ("optimizer", "_initial")  # left out by state_dict
    _how_to_go_on: ClassVar[str] = (
        " (to go on where this one is: give the added group an 'initial_lr', and the new schedule "
        "last_epoch=schedule.last_epoch - 1)"
    )

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self._attach(optimizer)
        last_epoch = int(number("last_epoch", last_epoch, -1))
        groups = optimizer.param_groups
        new = [i for i, group in enumerate(groups) if "initial_lr" not in group]
        if new and last_epoch != -1:
            raise KeyError(
                f"param_groups[{new[0]}] has no 'initial_lr', which is needed to go "
                f"on after last_epoch={last_epoch}; load the optimizer's state first"
            )
        self.base_lrs: list[float] = [
            number(f"param_groups[{i}]: initial_lr", group.get("initial_lr", lr))
            for i, (group, lr) in enumerate(zip(groups, self._lrs(), strict=True))
        ]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._initial = True
        thread.observer.refuse("it makes a learning-rate schedule; make it outside")
        for group, lr in zip(groups, self.base_lrs, strict=True):
            group.setdefault("initial_lr", lr)
        try:
            self.step()
        except BaseException:
            for i in new:
                del groups[i]["initial_lr"]
            raise
        self._initial = False

    def _attach(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer: expected an Optimizer, got {described(optimizer)}")
        self.optimizer = optimizer

    def _for_each_group(self, value: Any, name: str) -> list[Any]:
        """A list with a value for each group, from one value for all or a sequence of values."""
        groups = len(self.optimizer.param_groups)
        array = array_in(value)
        if array is not None and array.ndim == 1:
            value = array.tolist()
        values = list(value) if isinstance(value, list | tuple) else [value] * groups
        if len(values) != groups:
            raise ValueError(f"{name}: {len(values)} values for {groups} parameter groups")
        return values

    def _require_groups(self, made_for: int) -> None:
        """Raise ValueError where the optimizer's number of groups is no longer `made_for`."""
        now = len(self.optimizer.param_groups)
        if made_for != now:
            raise ValueError(
                f"{type(self).__name__}: made for {made_for} parameter group(s), but the optimizer "
                f"now has {now}; nothing has been changed. Add all groups before you make the "
                f"schedule, or make a new one{self._how_to_go_on}"
            )

    def get_lr(self) -> list[float]:
        """The learning rate of each group in epoch `last_epoch`, from its rate one epoch before."""
        raise NotImplementedError(f"{type(self).__name__} defines no `get_lr`")

    def step(self) -> None:
        """Go to the next epoch; call it after the optimizer's steps.

        Raises:
            ValueError: The number of groups has changed since the schedule was made, or a rate is
                not finite; nothing has been changed.
            TypeError: A rate is not a number; nothing has been changed.
        """
        thread.observer.repeat(self._advance)

    def _advance(self) -> None:
        for name in self._for_groups:
            self._require_groups(len(getattr(self, name)))
        before = vars(self).copy()
        thread.observer.changes(vars(self))
        try:
            self._step_count += 1
            self.last_epoch += 1
            rates = self._checked(self.get_lr())
        except BaseException:
            vars(self).update(before)
            raise
        self._assign(rates)

    def _checked(self, rates: Any) -> list[float]:
        """The learning rates from `get_lr`, checked and as plain numbers."""
        name = type(self).__name__
        several = isinstance(rates, Iterable) and getattr(rates, "ndim", 1) == 1
        if not several or isinstance(rates, str):
            raise TypeError(
                f"{name}.get_lr: expected a list with the learning rate of each parameter group, "
                f"got {described(rates)}"
            )
        listed, groups = list(rates), len(self.optimizer.param_groups)
        if len(listed) != groups:
            self._require_groups(len(self.base_lrs))
            raise ValueError(
                f"{name}.get_lr: {len(listed)} learning rates for {groups} parameter group(s)"
            )
        place = f"{name}, epoch {self.last_epoch}, param_groups"
        return [number(f"{place}[{i}]: lr", rate) for i, rate in enumerate(listed)]

    def _assign(self, rates: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            thread.observer.changes(group)
            group["lr"] = lr
        self._last_lr = rates

    def _lrs(self) -> list[float]:
        groups = self.optimizer.param_groups
        return [number(f"param_groups[{i}]: lr", g.get("lr")) for i, g in enumerate(groups)]

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group after the last `step()`."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """The attributes of the schedule, without the optimizer and without functions."""
        return {key: value for key, value in vars(self).items() if key not in self._not_saved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state. The optimizer's learning rates are saved in the optimizer's own state.

        Args:
            state_dict: What `state_dict()` returned.

        Raises:
            ValueError: The state is of another kind of schedule or for another number of parameter
                groups, or a number in it is not finite; nothing has been changed.
            TypeError: `state_dict` is not a dictionary, or an entry that should be a number is
                not; nothing has been changed.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                "load_state_dict: expected a dictionary, as of state_dict(), got "
                f"{described(state_dict)}"
            )
        lacks = [key for key in self.state_dict() if key[0] != "_" and key not in state_dict]
        if lacks:
            raise ValueError(
                f"load_state_dict: the state has no {', '.join(lacks)}; pass what state_dict() of "
                f"a {type(self).__name__} gave"
            )
        state = {key: value for key, value in state_dict.items() if key not in self._not_saved}
        groups = len(self.optimizer.param_groups)
        for name in {*self._for_groups, "_last_lr"} & state.keys():
            if not isinstance(state[name], list | tuple) or len(state[name]) != groups:
                raise ValueError(
                    f"load_state_dict: {name}: expected a list with one number for each of the "
                    f"optimizer's {groups} parameter groups, got {described(state[name])}"
                )
            place = f"load_state_dict: {name}"
            state[name] = [number(f"{place}[{i}]", lr) for i, lr in enumerate(state[name])]
        state["last_epoch"] = int(number("load_state_dict: last_epoch", state["last_epoch"]))
        vars(self).update(state)
