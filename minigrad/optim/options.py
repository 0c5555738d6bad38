"""Checks of an optimizer's options, which are stored in its parameter groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigrad.messages.arguments import flag, number

__all__ = ["at_least_zero", "check_implementation", "true_or_false"]


def at_least_zero(group: dict[str, Any], *names: str) -> None:
    """Make these options plain numbers; raise where one is negative or not a finite number."""
    for name in names:
        group[name] = number(name, group[name], 0)


def true_or_false(group: dict[str, Any], *names: str) -> None:
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
