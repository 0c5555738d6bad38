"""What all optimizers share: groups of parameters, the sweep over them, and the state."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import is_
from typing import Any, ClassVar, TypeAlias

import numpy as np

from minigrad.backends import Array
from minigrad.grad_mode import enable_grad
from minigrad.observers import NOBODY, thread
from minigrad.optim.flat import FlatVector, Run, is_laid_out, lay_out, release
from minigrad.optim.groups import (
    Group,
    OwnState,
    StateView,
    checked_options,
    listed_parameters,
    loaded,
    refuse_foreign,
    refuse_repeated,
)
from minigrad.optim.update import in_float32, update_kernels
from minigrad.tensor import Tensor, described, new_leaf, wrap
from minigrad.versions import note_write

__all__ = ["Optimizer"]

Parameters: TypeAlias = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


class Optimizer:
    """The base class of all optimizers; a subclass defines in `update` how parameters change.

    The constructor moves the parameters of each group into one flat vector, and a step is one sweep
    over it. An array taken from a parameter before that, or what its `detach()` gave, still has
    the old memory.

    Args:
        params: Parameters, pairs (name, parameter), or groups. A group is a dictionary with
            "params" and the options in which it differs from `defaults`.
        defaults: The value of each option, for groups that do not set it.

    Attributes:
        param_groups: A dictionary for each group: "params", and all options. Options may be changed
            between steps.

    Raises:
        TypeError: `params` is not an ordered collection of Tensors or dictionaries.
        ValueError: `params` is empty, a parameter occurs twice or is not a leaf, or an option is
            out of its range.

    Example:
        >>> import minigrad as mg
        >>> class SignDescent(Optimizer):
        ...     def __init__(self, params, lr):
        ...         super().__init__(params, {"lr": lr})
        ...     def update(self, p, g, state, step, group, scratch):
        ...         p -= group["lr"] * np.sign(g)
        >>> p = mg.nn.Parameter([1.0, -1.0])
        >>> (p * p).sum().backward()
        >>> SignDescent([p], lr=0.5).step()
        >>> p.detach()
        tensor([ 0.5, -0.5])
    """

    counts_steps: ClassVar[bool] = True  # whether a parameter's state has an entry "step"

    def __init__(self, params: Parameters, defaults: Group) -> None:
        if isinstance(params, Tensor | set) or not isinstance(params, Iterable):
            raise TypeError(
                f"params: expected a list of Tensors or dictionaries, got {described(params)}"
            )
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self._vectors: list[list[FlatVector]] = []  # the vectors of each group
        self._last_checked: dict[int, list[object]] = {}  # by group number: the values in it
        given: list[Any] = list(params)
        if not given:
            raise ValueError("params: an optimizer needs at least one parameter, got none")
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)

    # what a subclass defines

    def state_names(self, group: Group) -> tuple[str, ...]:
        """The names of the state arrays that a group's options need; none by default."""
        return ()

    def update(
        self, p: Array, g: Array, state: dict[str, Array], step: int, group: Group, scratch: Array
    ) -> None:
        """Change parameters in place.

        Args:
            p: A part of the flat vector of parameters (n,), to be changed in place; float16
                parameters are passed as float32.
            g: The gradients (n,), not to be changed.
            state: The state arrays (n,) by name, to be changed in place; they start at zero.
            step: The number of this update, from 1.
            group: The options.
            scratch: Memory for intermediate results (2, n).
        """
        raise NotImplementedError(f"{type(self).__name__} defines no `update`")

    def numbers(self, step: int, group: Group) -> tuple[float, ...]:
        """The numbers that an update kernel needs, from the update's number and the options."""
        raise NotImplementedError(f"{type(self).__name__} defines no `numbers` for its kernel")

    def check(self, group: Group) -> None:
        """Raise where an option of a group is not allowed.

        Args:
            group: A copy of the group; an option in it may be replaced by its plain form.
        """

    # groups

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with options of their own.

        Args:
            param_group: "params", and the options that differ from the defaults.

        Raises:
            TypeError: `param_group` is not a dictionary, or its "params" are not Tensors in order.
            ValueError: A parameter occurs twice or is not a leaf, or an option is out of its range.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group: expected a dictionary, got {described(param_group)}")
        group = self.defaults | param_group
        group["params"] = listed_parameters(param_group.get("params"), group)
        group = self._checked(group, f"param_groups[{len(self.param_groups)}]")
        refuse_repeated([*self.param_groups, group])
        self.param_groups.append(group)
        self._vectors.append(lay_out(group["params"]))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients of all parameters.

        Args:
            set_to_none: True sets `.grad` to None, so the next step skips a parameter that gets no
                new gradient. False fills it with zeros: then the next step may still change the
                parameter, by momentum or weight decay.
        """
        for group in self.param_groups:
            for p in group["params"]:
                thread.observer.sets_gradient(p)
                if set_to_none:
                    p._grad = None
                elif p._grad is not None:
                    p.grad = new_leaf(np.zeros_like(p._grad._data))

    def _checked(self, group: Group, place: str) -> Group:
        return checked_options(group, self.defaults, self.check, place)

    def _check_changes(self, number: int) -> None:
        """Check a group's options if a value in it is another object than at the last check."""
        group, seen = self.param_groups[number], self._last_checked.get(number, ())
        if len(seen) != len(group) or not all(map(is_, group.values(), seen)):
            if number >= len(self._vectors):
                raise ValueError(f"param_groups[{number}]: add groups by add_param_group")
            found = self._checked(group, f"param_groups[{number}]")
            if not isinstance(found["params"], list):  # a generator can be read only once
                found["params"] = listed_parameters(found["params"], found)
            group.update(found)
            self._last_checked[number] = list(group.values())

    # the step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient and is not frozen.

        Args:
            closure: A function that computes the loss and its gradients again; it is called first.

        Returns:
            What `closure` returned, or None.

        Raises:
            TypeError: An option was set to a value of a wrong type; nothing has been changed.
            ValueError: An option is out of its range; nothing has been changed.
        """
        loss = None
        if closure is not None:
            if not callable(closure):
                raise TypeError(
                    "step: closure: expected a function that computes the loss, got "
                    f"{described(closure)}; of a loss call .backward(), then step()"
                )
            with enable_grad():
                loss = closure()
        for number in range(len(self.param_groups)):  # check all, before any parameter changes
            self._check_changes(number)
        self._restore_layout()
        for number, group in enumerate(self.param_groups):
            for vector in self._vectors[number]:
                for run in vector.runs():
                    self._sweep(vector, run, group)
            thread.observer.changes(group)
            thread.observer.depends(partial(self._settings, number))
            thread.observer.looks_up(group.values)
        return loss

    def _settings(self, number: int) -> list[object]:
        """What a recorded step depends on: all options but the learning rate, and the arrays."""
        self._check_changes(number)  # a replay does not call `step`, but it reads the learning rate
        group = self.param_groups[number]
        found: list[object] = [len(self.param_groups), group, self._vectors[number]]
        for name, value in group.items():
            if name == "params":
                found.append(len(value))
            elif name != "lr":
                found.append(value)
        for vector in self._vectors[number]:
            found += [vector.data, *vector.state.values()]
        return found

    def _restore_layout(self) -> None:
        """Move replaced parameter arrays back into the vectors; make new vectors where needed."""
        groups = self.param_groups
        changed = [n for n, group in enumerate(groups) if not is_laid_out(group, self._vectors[n])]
        if changed or len(groups) < len(self._vectors):
            for number in changed:
                groups[number]["params"] = listed_parameters(groups[number]["params"], {})
            refuse_repeated(groups)
            states = self._own_states()  # of all groups: a parameter may have moved to another
            numbers = [*changed, *range(len(groups), len(self._vectors))]
            release([vector for number in numbers for vector in self._vectors[number]])
            for number in changed:
                self._vectors[number] = lay_out(groups[number]["params"])
                self._set_own_states(number, states)
            del self._vectors[len(groups) :]
        for vector in (vector for vectors in self._vectors for vector in vectors):
            # copy all values before writing any: two parameters may have been swapped
            found = [(i, vector.parameters[i]._data.copy()) for i in vector.rebound()]
            for i, values in found:
                vector.parameters[i]._data = values
            for i, values in found:
                vector.adopt(i, values)

    def _sweep(self, vector: FlatVector, run: Run, group: Group) -> None:
        """Update a run by a backend's kernel, or by `update` in blocks that fit into the cache."""
        names = self.state_names(group)
        for name in names:
            if name not in vector.state:
                thread.observer.refuse(f"{type(self).__name__} makes its state {name!r}")
                vector.state[name] = vector.zeros()
        first, last = run.first, run.last  # a recording keeps these, but must not keep `run`
        start, stop = vector.bounds[first], vector.bounds[last]
        if thread.observer is not NOBODY:
            for parameter in vector.parameters[first:last]:
                thread.observer.uses_gradient(parameter)
            thread.observer.depends(lambda: [len(set(vector.steps[first:last])) == 1])

        def step() -> int:
            return vector.steps[first] + 1

        state = {name: vector.state[name][start:stop] for name in names}
        for kernel in update_kernels(type(self), type(vector.data)):
            numbers = thread.observer.replay_values(
                lambda: self.numbers(step(), group), None, np.float64, vector.device, "update"
            )
            if kernel.forward(run.data, run.gradient, state, numbers) is not NotImplemented:
                break
        else:
            thread.observer.refuse(
                f"{type(self).__name__} has no kernel for a {vector.dtype} vector on this device, "
                "so its learning rate would stay what it is now"
            )
            self._update_in_blocks(run, state, step(), group, vector.scratch)

        def count() -> None:
            thread.observer.changes(vector.steps)
            vector.steps[first:last] = [step()] * (last - first)

        note_write(run.data, *vector.state.values())
        if names:
            thread.observer.repeat(count)

    def _update_in_blocks(
        self, run: Run, state: dict[str, Array], step: int, group: Group, scratch: Array
    ) -> None:
        update = in_float32(self.update, run.data.dtype)
        size, longest = run.data.size, scratch.shape[1]
        for begin in range(0, size, longest or 1):
            end = min(begin + longest, size)
            p, g = run.data[begin:end], run.gradient[begin:end]
            part = {name: array[begin:end] for name, array in state.items()}
            update(p, g, part, step, group, scratch[:, : end - begin])

    # the state

    def _own_states(self) -> dict[Tensor, OwnState]:
        every = [vector.own_states() for vectors in self._vectors for vector in vectors]
        return {p: own for states in every for p, own in states.items()}

    def _set_own_states(self, number: int, states: Mapping[Tensor, OwnState]) -> None:
        for vector in self._vectors[number]:
            vector.set_own_states(states)

    def _entry(self, own: OwnState) -> dict[str, Tensor]:
        steps, arrays = own
        count = {"step": wrap(np.array(steps, dtype=np.float32))} if self.counts_steps else {}
        return count | {name: new_leaf(array) for name, array in arrays.items()}

    @property
    def state(self) -> dict[Tensor, dict[str, Tensor]]:
        """For each parameter that was updated: "step", and views of its state arrays by name.

        Write into the arrays to change the state; its entries cannot be replaced or removed. To
        reset the state, make a new optimizer.
        """
        states = self._own_states()
        return StateView(
            (p, StateView(self._entry(states[p])))
            for group in self.param_groups
            for p in group["params"]
            if p in states
        )

    def state_dict(self) -> dict[str, Any]:
        """A snapshot in PyTorch's form: copies of the state by parameter number, and the options.

        Returns:
            `{"state": {number: {"step": ..., name: Tensor, ...}}, "param_groups": [...]}`. In the
            groups, "params" are the parameters' numbers, counted over all groups.

        Example:
            >>> import minigrad as mg
            >>> optimizer = mg.optim.SGD([mg.nn.Parameter([1.0])], lr=0.1)
            >>> optimizer.state_dict()["param_groups"][0]["lr"]
            0.1
        """
        parameters = [p for group in self.param_groups for p in group["params"]]
        numbers = {p: number for number, p in enumerate(parameters)}
        return {
            "state": {
                numbers[p]: {name: new_leaf(value._data.copy()) for name, value in entry.items()}
                for p, entry in self.state.items()
            },
            "param_groups": [
                copy.deepcopy({key: value for key, value in group.items() if key != "params"})
                | {"params": [numbers[p] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state, and the options that are saved with it.

        Args:
            state_dict: What `state_dict()` returned, here or in PyTorch.

        Raises:
            ValueError: The groups, their sizes or the shapes differ, or an option is out of its
                range; nothing has been changed.
            TypeError: An entry has a wrong type; nothing has been changed.
        """
        found = loaded(self.param_groups, state_dict)
        groups = [
            self._checked(group, f"load_state_dict: param_groups[{number}]")
            for number, (group, _) in enumerate(found)
        ]
        for group, (_, states) in zip(groups, found, strict=True):
            refuse_foreign(states, self.state_names(group))
        self._restore_layout()
        for number, (own, new) in enumerate(zip(self.param_groups, groups, strict=True)):
            own.update(copy.deepcopy({k: v for k, v in new.items() if k != "params"}))
            self._set_own_states(number, found[number][1])

    def __getstate__(self) -> dict[str, Any]:  # a copy makes its own vectors from these states
        return vars(self) | {"_vectors": self._own_states(), "_last_checked": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        states = state.pop("_vectors")
        vars(self).update(state)
        self._vectors = [lay_out(group["params"]) for group in self.param_groups]
        for number in range(len(self._vectors)):
            self._set_own_states(number, states)

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])
