"""float16 is computed in float32: its sums, and squares of more than 255, overflow at 65504."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from minigrad.ops.elementwise import cast
from minigrad.primitive import as_operand

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_HALF = np.dtype(np.float16)


def _is_half(x: Any) -> bool:
    return getattr(x, "dtype", None) == _HALF


def widened(x: T) -> T:
    """Convert float16 to float32; other values are returned unchanged."""
    return cast(x, "float32") if _is_half(x) else x  # type: ignore[return-value]


def narrowed(y: T, *inputs: Any) -> T:
    """Convert a result to float16 where all inputs are float16 (or None)."""
    return cast(y, "float16") if all(x is None or _is_half(x) for x in inputs) else y  # type: ignore[return-value]


def in_float32(function: F) -> F:
    """Make a function of x (a Tensor, an array or numbers) compute float16 in float32."""

    @wraps(function)
    def call(x: Any, *args: Any, **options: Any) -> Any:
        x = as_operand(x, f"{function.__name__}: x")
        return narrowed(function(widened(x), *args, **options), x)

    return call  # type: ignore[return-value]
