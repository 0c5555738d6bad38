"""Save and load weights as safetensors files, a format without code, also used with PyTorch."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from minigrad.backends import to_device, to_numpy
from minigrad.nn.state import raw_array
from minigrad.tensor import Tensor, described, new_leaf

__all__ = ["load", "save"]

# NumPy's dtype for each dtype name in a safetensors file; bfloat16, which NumPy lacks, as its bits
_DTYPES = {
    "BOOL": "?",
    "I8": "<i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "U8": "<u1",
    "U16": "<u2",
    "U32": "<u4",
    "U64": "<u8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "BF16": "<u2",
}


def save(state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write named Tensors to a file; if this fails, an existing file stays unchanged.

    Args:
        state: A dictionary from names to Tensors or arrays, such as `model.state_dict()`.
        path: The file, usually with the ending ".safetensors".

    Raises:
        TypeError: A value is not a Tensor or numeric array, a name is not a string, or `path` is
            not a path.
        ValueError: The file format does not allow a name.
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

    if not isinstance(state, Mapping):
        raise TypeError(
            f"save: expected names with Tensors, such as model.state_dict(), got {described(state)}"
        )
    path = _checked_path("save", path)
    content = to_bytes({name: _in_order(name, value) for name, value in state.items()})
    # for a symbolic link, replace the file that it points to
    target = os.path.realpath(path) if os.path.islink(path) else path
    folder, name = os.path.split(target)
    unfinished = os.path.join(folder, f".{name}.{os.getpid()}")
    try:
        with open(unfinished, "wb") as file:
            file.write(content)
        os.replace(unfinished, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise type(error)(
            error.errno, f"cannot write weights: {error.strerror}; choose a writable file", path
        ) from None


def _checked_path(function: str, path: Any) -> str:
    if not isinstance(path, str | bytes | os.PathLike):
        raise TypeError(f"{function}: expected the path of a file, got {described(path)}")
    return os.fsdecode(path)


def _in_order(name: Any, value: Any) -> np.ndarray[Any, Any]:
    """The values as a NumPy array in C order, which safetensors assumes for every array."""
    if not isinstance(name, str) or not hasattr(value, "__array__"):
        raise TypeError(
            f"save: expected names (strings) with Tensors or arrays, got {type(name).__name__} "
            f"{name!r} with {type(value).__name__}"
        )
    if name == "__metadata__" or name.encode(errors="ignore").decode() != name:
        raise ValueError(f"save: {name!r} cannot be a name in a safetensors file; use another")
    try:
        array = to_numpy(raw_array(value))
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"save: {name!r}: {error}") from error
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(
            f"save: {name!r} has dtype {array.dtype}; expected booleans, integers or floats of at "
            "most 64 bits; convert it with .astype"
        )
    return np.asarray(array, order="C")


def load(path: str | os.PathLike[str], device: str = "cpu") -> dict[str, Tensor]:
    """Read named Tensors from a safetensors file, written by `save` or from PyTorch.

    NumPy has no bfloat16: such values become float32, which is exact, and a warning says so.

    Args:
        path: The file.
        device: The device of the Tensors: "cpu" or "gpu".

    Returns:
        A dictionary from names to Tensors, for instance for `model.load_state_dict`.

    Raises:
        TypeError: `path` is not a path.
        OSError: The file does not exist or cannot be read.
        ValueError: It is not a safetensors file, or is damaged, or holds a dtype that Tensors
            cannot have, such as float8.
        DeviceError: `device` is unknown or not usable.

    Example:
        >>> import minigrad as mg
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     mg.save({"weight": mg.ones(2)}, f"{folder}/state.safetensors")
        ...     mg.load(f"{folder}/state.safetensors")
        {'weight': tensor([1., 1.])}
    """
    from safetensors import SafetensorError, deserialize

    path = _checked_path("load", path)
    try:
        with open(path, "rb") as file:
            entries = sorted(deserialize(file.read()))  # type: ignore[no-untyped-call]
    except OSError as error:
        raise type(error)(f"cannot read weights: {error}; check the path {path!r}") from None
    except SafetensorError as error:
        raise ValueError(
            f"cannot read weights: {path!r} is damaged or no safetensors file ({error}); save it "
            "again, by mg.save or safetensors.torch.save_file"
        ) from error
    for name, entry in entries:
        if (kind := entry["dtype"]) not in _DTYPES:
            raise ValueError(
                f"cannot read weights: {path!r} is whole, but {name!r} has dtype {kind} "
                f"({kind.replace('F', 'float', 1).lower()}), which Tensors cannot have; save it as "
                "float32, in PyTorch by x.float()"
            )
    widened = [name for name, entry in entries if entry["dtype"] == "BF16"]
    if widened:
        warnings.warn(
            f"load: {path!r} holds bfloat16 ({widened[0]!r}, {len(widened)} in all), which NumPy "
            "does not have; they become float32, with the same values",
            stacklevel=2,
        )
    return {name: new_leaf(to_device(_array(entry), device)) for name, entry in entries}


def _array(entry: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """The array of an entry of a safetensors file."""
    flat = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]])
    if entry["dtype"] == "BF16":  # its bits are the upper half of a float32's
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return flat.reshape(entry["shape"])
