"""What a module takes as its state, and how it says what does not fit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Array, is_array, to_device
from minigrad.tensor import Tensor

__all__ = ["IncompatibleKeys", "fitting", "not_in_place_of"]


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found besides the entries that it loaded.

    Attributes:
        missing_keys: Names that the module has and the state has not.
        unexpected_keys: Names that the state has and the module has not.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


def fitting(value: Any, entry: Tensor) -> Array:
    """The raw array of a value from a state, on the device of the entry that it is for.

    Args:
        value: A Tensor, an array, or anything else with `__array__`.
        entry: The Parameter or Buffer that is to take its values.

    Raises:
        TypeError: It is no array of numbers.
        ValueError: It has another shape.
    """
    array = raw_array(value)
    if array.dtype.kind not in "biuf":
        remedy = "; pass x.astype('float32')" if "float" in array.dtype.name else ""
        raise TypeError(f"expected numbers, got an array of dtype {array.dtype}{remedy}")
    if array.shape != entry.shape:
        raise ValueError(f"shape {array.shape}, expected {entry.shape}")
    return to_device(array, entry.device)


def raw_array(value: Any) -> Array:
    """The array of a Tensor, an array, or what NumPy makes an array of, such as PyTorch's.

    Args:
        value: What a user gave.

    Raises:
        TypeError: It is none of these, or of a dtype that NumPy has not.
    """
    if isinstance(value, Tensor):
        return value._data
    if not hasattr(value, "__array__"):
        raise TypeError(f"expected a Tensor or an array, got {type(value).__name__}")
    try:
        array = value if is_array(value) else np.asarray(value)
    except TypeError as error:
        dtype = str(getattr(value, "dtype", None)).rpartition(".")[2]
        if dtype == "None" or hasattr(np, dtype):  # it is not the dtype: the device, for instance
            raise
        raise TypeError(f"NumPy has no dtype {dtype}; pass x.float(), which is float32") from error
    return array


def not_in_place_of(kind: str, module: str, name: str, value: object) -> TypeError:
    """The refusal of a value that would take the place of what a module owns."""
    remedy = f"assign nn.{kind}(x) for a new one, or use .{name}.data = x for new values"
    if kind == "Module":
        remedy = f"assign an nn.Module, or `del` {name!r} before"
    return TypeError(
        f"cannot assign a {type(value).__name__} as {name!r} of {module}, which holds a {kind} "
        "there (nn.Parameter, nn.Buffer, nn.Module or None expected): it would leave the module's "
        f"state unseen; {remedy}"
    )
