"""Save and load weights as safetensors files, a format without code, also used with PyTorch.

A file that `save` writes carries its own SHA-256, so that no damage goes unseen.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backends import to_device, to_numpy
from minigrad.files import read_up_to, replacing
from minigrad.nn.state import raw_array
from minigrad.tensor import Tensor, described, new_leaf

__all__ = ["from_bytes", "load", "save", "to_bytes"]

MOST_HEADER, MOST_DATA = 2**22, 2**32  # bytes
MOST_ARRAYS = 10_000
# the key and the value both say that there is a checksum, so that damage to one is seen
_KEY, _VALUE = "minigrad", "minigrad-sha256:"
_DIGITS = 64  # of a SHA-256; they count as zeros in what is summed

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
    path = _checked_path("save", path)
    content = to_bytes(state)
    # for a symbolic link, replace the file that it points to
    target = os.path.realpath(path) if os.path.islink(path) else path
    try:
        with replacing(Path(target)) as unfinished, open(unfinished, "wb") as file:
            file.write(content)
    except OSError as error:
        raise type(error)(
            error.errno, f"cannot write weights: {error.strerror}; choose a writable file", path
        ) from None


def to_bytes(state: Mapping[str, Any]) -> bytes:
    """Return the content of the file that `save` writes.

    Its metadata holds the SHA-256 of the whole content, in which the checksum's own 64 digits count
    as zeros.

    Args:
        state: A dictionary from names to Tensors or arrays.

    Raises:
        TypeError: A value is not a Tensor or numeric array, or a name is not a string.
        ValueError: The file format does not allow a name.

    Example:
        >>> import minigrad as mg
        >>> from_bytes(to_bytes({"x": mg.ones(2)}), "x")
        {'x': tensor([1., 1.])}
    """
    from safetensors.numpy import save as serialize

    if not isinstance(state, Mapping):
        raise TypeError(
            f"save: expected names with Tensors, such as model.state_dict(), got {described(state)}"
        )
    arrays = {name: _in_order(name, value) for name, value in state.items()}
    content = serialize(arrays, {_KEY: _VALUE + "0" * _DIGITS})
    start = content.index(_VALUE.encode()) + len(_VALUE)  # metadata comes first in the file
    digits = _checksum(content, start).encode()
    return b"".join((content[:start], digits, content[start + _DIGITS :]))


def _checksum(content: bytes, start: int) -> str:
    """The SHA-256 of a file, with the digits from `start` on as zeros."""
    view = memoryview(content)
    found = hashlib.sha256(view[:start])
    found.update(b"0" * _DIGITS)
    found.update(view[start + _DIGITS :])
    return found.hexdigest()


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
    path = _checked_path("load", path)
    try:
        with open(path, "rb") as file:
            content = file.read(8)
            content += read_up_to(file, _header_size(content, path))
            size = _data_size(_header(content, path), path)
            content += read_up_to(file, size + 1)  # one byte more would be one too many
    except OSError as error:
        raise type(error)(f"cannot read weights: {error}; check the path {path!r}") from None
    return from_bytes(content, path, device)


def from_bytes(content: bytes, name: str, device: str = "cpu") -> dict[str, Tensor]:
    """Read named Tensors from the content of a safetensors file, as `load` does.

    Args:
        content: The whole file.
        name: What messages call it.
        device: The device of the Tensors: "cpu" or "gpu".

    Raises:
        ValueError: It is not a safetensors file, or is damaged, or holds a dtype that Tensors
            cannot have, such as float8.
        DeviceError: `device` is unknown or not usable.
    """
    from safetensors import SafetensorError, deserialize

    header = _header(content, name)
    _data_size(header, name)
    _check_sum(content, header.get("__metadata__"), name)
    try:
        entries = sorted(deserialize(content))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise _damaged(name, str(error)) from error
    for key, entry in entries:
        if (kind := entry["dtype"]) not in _DTYPES:
            raise ValueError(
                f"cannot read weights: {name!r} is whole, but {key!r} has dtype {kind} "
                f"({kind.replace('F', 'float', 1).lower()}), which Tensors cannot have; save it as "
                "float32, in PyTorch by x.float()"
            )
    widened = [key for key, entry in entries if entry["dtype"] == "BF16"]
    if widened:
        warnings.warn(
            f"load: {name!r} holds bfloat16 ({widened[0]!r}, {len(widened)} in all), which NumPy "
            "does not have; they become float32, with the same values",
            stacklevel=3,  # who called `load`
        )
    try:
        return {key: new_leaf(to_device(_array(entry), device)) for key, entry in entries}
    except (ValueError, OverflowError) as error:  # axes that NumPy does not take
        raise _damaged(name, str(error)) from error


def _damaged(name: str, why: str) -> ValueError:
    return ValueError(
        f"cannot read weights: {name!r} is damaged or no safetensors file ({why}); save it again, "
        "by mg.save or safetensors.torch.save_file"
    )


def _header_size(content: bytes, name: str) -> int:
    """The size of the header, which the first eight bytes of a file give."""
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > MOST_HEADER:
        raise _damaged(name, f"a header of {size:,} bytes; at most {MOST_HEADER:,} are read")
    return size


def _header(content: bytes, name: str) -> dict[str, Any]:
    """The header of a file, which may not hold all that it promises."""
    end = 8 + _header_size(content, name)
    try:
        found = json.loads(content[8:end])
    except (ValueError, RecursionError) as error:
        raise _damaged(name, f"its header is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise _damaged(name, "its header names no arrays")
    if len(found) > MOST_ARRAYS:
        raise _damaged(name, f"{len(found):,} arrays; at most {MOST_ARRAYS:,} are read")
    return found


def _data_size(header: Mapping[str, Any], name: str) -> int:
    """How many bytes follow the header, as far as it says so."""
    entries = [entry for key, entry in header.items() if key != "__metadata__"]
    try:
        size = max((entry["data_offsets"][1] for entry in entries), default=0)
        too_large = not 0 <= size <= MOST_DATA
    except (TypeError, KeyError, IndexError):
        raise _damaged(name, "its header does not say where the arrays are") from None
    if too_large:
        raise _damaged(name, f"arrays of {size:,} bytes; at most {MOST_DATA:,} are read")
    return int(size)


def _check_sum(content: bytes, metadata: Any, name: str) -> None:
    """Refuse a file that carries a checksum, but not that of its content."""
    pairs = metadata.items() if isinstance(metadata, dict) else ()
    for key, value in pairs:
        if key == _KEY or str(value).startswith(_VALUE):
            start = content.find(_VALUE.encode()) + len(_VALUE)
            if value != _VALUE + _checksum(content, start):
                raise _damaged(name, "its checksum is not that of its content")


def _array(entry: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """The array of an entry of a safetensors file."""
    flat = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]])
    if entry["dtype"] == "BF16":  # its bits are the upper half of a float32's
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return flat.reshape(entry["shape"])
