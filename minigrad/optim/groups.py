"""Checks of what a user gives an optimizer: options, parameter groups and saved state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np

from minigrad.backends import Array
from minigrad.messages.arguments import flag, number, plain
from minigrad.tensor import Tensor, described

__all__ = [
    "Group",
    "OwnState",
    "StateView",
    "at_least_zero",
    "check_implementation",
    "checked_options",
    "listed_parameters",
    "loaded",
    "refuse_foreign",
    "refuse_repeated",
    "true_or_false",
]

Group: TypeAlias = dict[str, Any]
OwnState: TypeAlias = tuple[int, dict[str, Array]]  # a parameter's update count, and state arrays


class StateView(dict[Any, Any]):
    """An optimizer's state as a read-only dictionary: changing its entries would have no effect."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            "optimizer.state only shows the state: write into a value, as in "
            "state[p]['exp_avg'].data[...] = 0, or use load_state_dict; to start anew, make a new "
            "optimizer"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:  # a copy is a plain dictionary
        return dict, (dict(self),)


def at_least_zero(group: Group, *names: str) -> None:
    """Make these options plain numbers; raise where one is negative or not a finite number."""
    for name in names:
        group[name] = number(name, group[name], 0)


def true_or_false(group: Group, *names: str) -> None:
    """Make these options True or False; raise where one is neither."""
    for name in names:
        group[name] = flag(name, group[name])


def check_implementation(options: Mapping[str, bool | None]) -> None:
    """Accept PyTorch's options about how to compute a step; raise TypeError for any other."""
    for name, value in options.items():
        if name not in ("foreach", "fused", "capturable", "differentiable"):
            raise TypeError(f"an optimizer has no option {name!r}")
        if name == "differentiable" and value:
            raise ValueError("differentiable=True: steps are not recorded, and have no gradient")


def checked_options(
    group: Group, options: Iterable[str], check: Callable[[Group], None], place: str
) -> Group:
    """A copy of a group, with its options checked and turned into plain numbers.

    Args:
        group: All options; it may hold other entries, too.
        options: The names of the optimizer's options.
        check: Raises where an option is not allowed; it may replace an option by its plain form.
        place: What the message calls the group, such as "param_groups[0]".

    Raises:
        KeyError: An option is missing.
    """
    for name in (*options, "params"):
        if name not in group:
            raise KeyError(f"{place} has no option {name!r}")
    group = group | {name: plain(group[name]) for name in options}
    try:
        check(group)
    except Exception as error:
        error.add_note(f"in {place}; nothing has been changed")
        raise
    return group


def listed_parameters(params: Any, group: Group) -> list[Tensor]:
    """A group's parameters as a list; if names are given, they are stored as "param_names"."""
    if isinstance(params, set):
        raise TypeError("params: a set has no order; pass a list")
    if not isinstance(params, Iterable):
        raise TypeError(
            f"params: a group needs a list of Tensors as its 'params', got {described(params)}"
        )
    listed: list[Any] = [params] if isinstance(params, Tensor) else list(params)
    if listed and all(isinstance(p, tuple) for p in listed):
        group["param_names"] = [name for name, _ in listed]
        listed = [p for _, p in listed]
    for p in listed:
        if not isinstance(p, Tensor):
            raise TypeError(f"params: an optimizer changes Tensors, got {described(p)}")
        if p._record is not None:
            raise ValueError("params: an optimizer changes leaves; one of these is a result")
    return listed


def refuse_repeated(groups: Sequence[Group]) -> None:
    """Raise ValueError where a parameter occurs twice, in one group or in two."""
    seen: set[Tensor] = set()
    for p in (p for group in groups for p in group["params"]):
        if p in seen:
            raise ValueError(
                f"params: a parameter of shape {p.shape} occurs twice in this optimizer; "
                "list each once"
            )
        seen.add(p)


def refuse_foreign(states: Mapping[Tensor, OwnState], names: Collection[str]) -> None:
    """Raise ValueError where a parameter's saved state has none of an optimizer's arrays."""
    for _, arrays in states.values():
        if arrays and names and arrays.keys().isdisjoint(names):
            raise ValueError(
                f"load_state_dict: expected a state with {', '.join(names)}, got one with "
                f"{', '.join(arrays)}: the state of another kind of optimizer"
            )


def loaded(
    groups: Sequence[Group], state_dict: Mapping[str, Any]
) -> list[tuple[Group, dict[Tensor, OwnState]]]:
    """The part of a saved state for each of an optimizer's groups.

    Args:
        groups: The optimizer's groups, which are not changed.
        state_dict: The saved state, in PyTorch's form.

    Returns:
        For each group, a copy with the saved options, and the saved states by parameter.

    Raises:
        ValueError: The number of groups, their sizes or the shapes differ.
        TypeError: An entry has a wrong type.
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            "load_state_dict: expected a dictionary, as of state_dict(), got "
            f"{described(state_dict)}"
        )
    for name in ("param_groups", "state"):
        if name not in state_dict:
            raise ValueError(
                f"load_state_dict: the state has no {name!r}; pass what state_dict() gave"
            )
    saved, states = state_dict["param_groups"], state_dict["state"]
    if (
        not isinstance(states, Mapping)
        or not isinstance(saved, list | tuple)
        or not all(
            isinstance(group, Mapping) and isinstance(group.get("params"), list | tuple)
            for group in saved
        )
    ):
        raise TypeError(
            "load_state_dict: expected a dictionary by number as 'state', and a list of groups "
            "with their 'params' as 'param_groups'; pass what state_dict() gave"
        )
    sizes, expected = ([len(group["params"]) for group in each] for each in (saved, groups))
    if sizes != expected:
        raise ValueError(
            f"load_state_dict: the state has groups of {sizes} parameters, this optimizer has "
            f"{expected}"
        )
    unknown = [n for n in states if not any(n in group["params"] for group in saved)]
    if unknown:
        raise ValueError(
            f"load_state_dict: the state has entries for {described(unknown)}, which no group "
            "lists among its 'params'"
        )
    found = []
    for own, options in zip(groups, saved, strict=True):
        group = own | {key: value for key, value in options.items() if key != "params"}
        numbers = zip(options["params"], own["params"], strict=True)
        found.append((group, {p: _own_state(states[n], p, n) for n, p in numbers if states.get(n)}))
    return found


def _own_state(entry: Mapping[str, Any], parameter: Tensor, n: int) -> OwnState:
    """A parameter's state from a saved entry; an entry with arrays but no "step" counts as 1."""
    arrays = {}
    for name, value in entry.items():
        if name == "step" or value is None:
            continue
        array = value._data if isinstance(value, Tensor) else np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise TypeError(
                f"load_state_dict: {name} of parameter {n}: expected numbers, got "
                f"{described(value)}"
            )
        if array.shape != parameter.shape:
            raise ValueError(
                f"load_state_dict: {name} of parameter {n} has shape {array.shape}, the "
                f"parameter has {parameter.shape}"
            )
        arrays[name] = array
    place = f"load_state_dict: step of parameter {n}"
    return int(number(place, entry.get("step", 1 if arrays else 0), 0)), arrays
