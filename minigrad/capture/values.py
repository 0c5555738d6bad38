"""The nested values that a step takes and returns: how to change, compare and describe them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable
from operator import is_
from typing import Any

import numpy as np

from minigrad.backends import Array, on_host
from minigrad.tensor import Tensor, array_of, new_leaf, wrap

__all__ = [
    "PLAIN",
    "call_text",
    "copied",
    "description",
    "detached",
    "mapped",
    "same",
    "stand_in",
]

PLAIN = (bool, int, float, complex, str, bytes, type(None))  # types compared by value


def same(new: Collection[object], old: Collection[object]) -> bool:
    """Whether both hold the same objects in the same order; plain values are compared by value."""
    if len(new) != len(old):
        return False
    if all(map(is_, new, old)):
        return True
    return all(
        a is b or (type(a) is type(b) and type(a) in PLAIN and a == b)
        for a, b in zip(new, old, strict=True)
    )


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to all values in nested tuples, lists and dictionaries."""
    kind = type(value)
    if kind is dict:
        return {key: mapped(part, function) for key, part in value.items()}
    if kind is list:
        return [mapped(part, function) for part in value]
    if isinstance(value, tuple):
        parts = [mapped(part, function) for part in value]
        return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
    return function(value)


def detached(value: Any) -> Any:
    """A Tensor of a result without its graph; any other value unchanged."""
    return value.detach() if isinstance(value, Tensor) and value._record is not None else value


def stand_in(x: Tensor, array: Array) -> Tensor:
    """A Tensor for an argument in other memory; `+=` writes into it if it does so in `x`."""
    return new_leaf(array) if hasattr(x, "_writable") else wrap(array)


def copied(value: Any) -> Any:
    """A Tensor of a result as a copy, as a replay returns it; any other value unchanged."""
    return wrap(value._data.copy()) if isinstance(value, Tensor) else value


def description(value: object) -> Any:
    """What a recording fixes of a value: an array's shape and dtype, a Python number's value."""
    if isinstance(value, tuple | list):
        return tuple(map(description, value))
    if isinstance(value, dict):
        return tuple((key, description(part)) for key, part in value.items())
    array = array_of(value)
    if isinstance(array, (np.generic, slice, type(...), *PLAIN)):
        return repr(array)
    if not hasattr(array, "strides"):
        return type(array).__name__
    text = f"{array.dtype}{list(array.shape)}"
    if on_host(array):
        text += f" with checksum {zlib.crc32(np.ascontiguousarray(array).tobytes()):x}"
    return text


def call_text(name: str, values: Iterable[Any]) -> str:
    """A call as text for a message, from the descriptions of its arguments."""

    def text(value: Any) -> str:
        return f"({', '.join(map(text, value))})" if isinstance(value, tuple) else str(value)

    return f"{name}({', '.join(map(text, values))})"
