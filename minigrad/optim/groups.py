"""What a user gives an optimizer, checked: groups of parameters, and saved state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from minigrad.backends import Array
from minigrad.tensor import Tensor

__all__ = ["Group", "OwnState", "listed_parameters", "own_state", "with_numbers"]

Group: TypeAlias = dict[str, Any]
OwnState: TypeAlias = tuple[int, dict[str, Array]]  # a parameter's updates so far, and its arrays


def with_numbers(group: Group) -> Group:
    """The group with plain numbers for options that are Tensors of one element."""
    options = {name: value for name, value in group.items() if name != "params"}
    return group | {k: v.item() for k, v in options.items() if isinstance(v, Tensor)}


def listed_parameters(params: Any, group: Group) -> list[Tensor]:
    """A group's parameters in order; their names, where there are any, go into the group."""
    if isinstance(params, set):
        raise TypeError("params: a set has no order; pass a list")
    listed: list[Any] = [params] if isinstance(params, Tensor) else list(params)
    if listed and all(isinstance(p, tuple) for p in listed):
        group["param_names"] = [name for name, _ in listed]
        listed = [p for _, p in listed]
    for p in listed:
        if not isinstance(p, Tensor):
            raise TypeError(f"params: an optimizer changes Tensors, got {type(p).__name__}")
        if p._record is not None:
            raise ValueError("params: an optimizer changes leaves; one of these is a result")
    return listed


def own_state(entry: Mapping[str, Any], parameter: Tensor, number: int) -> OwnState:
    """A parameter's state out of a saved entry; "step" is 1 where a state comes without it."""
    arrays = {}
    for name, value in entry.items():
        if name == "step" or value is None:
            continue
        array = value._data if isinstance(value, Tensor) else np.asarray(value)
        if array.shape != parameter.shape:
            raise ValueError(
                f"load_state_dict: {name} of parameter {number} has shape {array.shape}, the "
                f"parameter has {parameter.shape}"
            )
        arrays[name] = array
    return int(entry.get("step", 1 if arrays else 0)), arrays
