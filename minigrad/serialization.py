"""Weights on disk, as safetensors files: a format without code, that PyTorch reads and writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from minigrad.backends import to_device, to_numpy
from minigrad.tensor import Tensor, new_leaf

__all__ = ["load", "save"]


def save(state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write named Tensors to a file, which is replaced as a whole or not at all.

    Args:
        state: Names to Tensors or arrays, such as `model.state_dict()`.
        path: The file, by custom with the ending ".safetensors".

    Raises:
        TypeError: A value is no Tensor or numeric array, or a name is no string.
        OSError: The file cannot be written.

    Example:
        >>> import minigrad as mg
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save({"x": mg.ones(2)}, f"{folder}/x.safetensors")
        ...     load(f"{folder}/x.safetensors")
        {'x': tensor([1., 1.])}
    """
    from safetensors.numpy import save as to_bytes

    content = to_bytes({name: _in_order(name, value) for name, value in state.items()})
    path = os.fspath(path)
    folder, name = os.path.split(path)
    unfinished = os.path.join(folder, f".{name}.{os.getpid()}")
    try:
        with open(unfinished, "wb") as file:
            file.write(content)
        os.replace(unfinished, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise type(error)(
            error.errno, f"cannot write weights: {error.strerror}; choose a writable file", path
        ) from None


def _in_order(name: Any, value: Any) -> np.ndarray[Any, Any]:
    """The values as the row-major array that safetensors takes every array for."""
    if not isinstance(name, str) or not hasattr(value, "__array__"):
        raise TypeError(
            f"save: expected names (strings) with Tensors or arrays, got {type(name).__name__} "
            f"{name!r} with {type(value).__name__}"
        )
    array = to_numpy(value._data) if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(
            f"save: {name!r} has dtype {array.dtype}; expected booleans, integers or floats of at "
            "most 64 bits; convert it with .astype"
        )
    return np.asarray(array, order="C")


def load(path: str | os.PathLike[str], device: str = "cpu") -> dict[str, Tensor]:
    """Read named Tensors from a file that `save`, or PyTorch, has written.

    Args:
        path: The file.
        device: Where the Tensors go: "cpu" or "gpu".

    Returns:
        Names to Tensors, for instance for `model.load_state_dict`.

    Raises:
        OSError: The file does not exist or cannot be read.
        ValueError: It is no safetensors file, or a damaged one.
        DeviceError: `device` is unknown or not usable.

    Example:
        >>> import minigrad as mg
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     mg.save({"weight": mg.ones(2)}, f"{folder}/state.safetensors")
        ...     mg.load(f"{folder}/state.safetensors")
        {'weight': tensor([1., 1.])}
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except OSError as error:
        raise type(error)(
            f"cannot read weights: {error}; check the path {os.fspath(path)!r}"
        ) from None
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"cannot read weights: {os.fspath(path)!r} is damaged or no safetensors file ({error});"
            " save it anew"
        ) from error
    return {name: new_leaf(to_device(array, device)) for name, array in arrays.items()}
