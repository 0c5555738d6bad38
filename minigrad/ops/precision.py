"""float16 is computed in float32: what is added up, and what is squared, overflows at 65504."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from minigrad.ops.elementwise import cast
from minigrad.primitive import as_operand

F = TypeVar("F", bound=Callable[..., Any])

_HALF = np.dtype(np.float16)


def _is_half(x: Any) -> bool:
    """Whether values are float16: at most 65504, so that sums, and squares above 255, overflow."""
    return getattr(x, "dtype", None) == _HALF


def widened(x: Any) -> Any:
    """Values to compute with: float16 as float32, all others as they are."""
    return cast(x, "float32") if _is_half(x) else x


def narrowed(y: Any, *inputs: Any) -> Any:
    """A result of widened inputs in the dtype that the inputs call for."""
    return cast(y, "float16") if all(x is None or _is_half(x) for x in inputs) else y


def in_float32(function: F) -> F:
    """A function of x, a Tensor, an array or numbers, that takes float16 through float32."""

    @wraps(function)
    def call(x: Any, *args: Any, **options: Any) -> Any:
        x = as_operand(x, f"{function.__name__}: x")
        return narrowed(function(widened(x), *args, **options), x)

    return call  # type: ignore[return-value]
