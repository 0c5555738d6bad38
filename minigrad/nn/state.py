"""What a module accepts as its state, and the errors for values that do not fit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Array, is_array, to_device
from minigrad.tensor import Tensor, described

__all__ = ["IncompatibleKeys", "array_for", "replacement_error"]


class IncompatibleKeys(NamedTuple):
    """The names that `load_state_dict` found on one side only.

    Attributes:
        missing_keys: Names that the module has and the state lacks.
        unexpected_keys: Names that the state has and the module lacks.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


def array_for(value: Any, entry: Tensor) -> Array:
    """The raw array of a value from a state, on the device of the module's entry.

    Args:
        value: A Tensor, an array, or anything else with `__array__`.
        entry: The Parameter or Buffer that the values are for.

    Raises:
        TypeError: The value is no array of numbers.
        ValueError: The value has another shape than the entry.
    """
    array = raw_array(value)
    if array.dtype.kind not in "biuf":
        remedy = "; pass x.astype('float32')" if "float" in array.dtype.name else ""
        raise TypeError(f"expected numbers, got an array of dtype {array.dtype}{remedy}")
    if array.shape != entry.shape:
        raise ValueError(f"shape {array.shape}, expected {entry.shape}")
    return to_device(array, entry.device)


def raw_array(value: Any) -> Array:
    """The array of a Tensor, or of what NumPy can convert, such as a Tensor of PyTorch's.

    Args:
        value: A Tensor, an array, or anything else with `__array__`.

    Raises:
        TypeError: The value is something else, or NumPy lacks its dtype.
    """
    if isinstance(value, Tensor):
        return value._data
    if not hasattr(value, "__array__"):
        raise TypeError(f"expected a Tensor or an array, got {described(value)}")
    try:
        array = value if is_array(value) else np.asarray(value)
    except TypeError as error:
        dtype = str(getattr(value, "dtype", None)).rpartition(".")[2]
        if dtype == "None" or hasattr(np, dtype):  # another cause: the device, for instance
            raise
        raise TypeError(f"NumPy has no dtype {dtype}; pass x.float(), which is float32") from error
    return array


def replacement_error(kind: str, module: str, name: str, value: object) -> TypeError:
    """The error for a value that would replace a module's parameter, buffer or part."""
    remedy = f"assign nn.{kind}(x) for a new one, or use .{name}.data = x for new values"
    if kind == "Module":
        remedy = f"assign an nn.Module, or `del` {name!r} before"
    return TypeError(
        f"cannot assign a {type(value).__name__} as {name!r} of {module}, which holds a {kind} "
        "there (nn.Parameter, nn.Buffer, nn.Module or None expected): it would leave the module's "
        f"state unseen; {remedy}"
    )
