"""safetensors._safetensors_rust in plain Python: the file format of weights.

The compiled module (Rust) has no build for the browser. The format is plain: eight bytes with the
size of a JSON header, the header, and the values of all arrays one behind the other. Files are the
same to the byte, and what the compiled module refuses is refused here.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__version__ = "0.5"
MOST_HEADER = 100_000_000
# NumPy's names, the file's names, and the bits of a value; large ones stand first in a file
DTYPES = (
    ("bool", "BOOL", 8),
    ("uint8", "U8", 8),
    ("int8", "I8", 8),
    ("float8_e5m2", "F8_E5M2", 8),
    ("float8_e4m3fn", "F8_E4M3", 8),
    ("int16", "I16", 16),
    ("uint16", "U16", 16),
    ("float16", "F16", 16),
    ("bfloat16", "BF16", 16),
    ("int32", "I32", 32),
    ("uint32", "U32", 32),
    ("float32", "F32", 32),
    ("float64", "F64", 64),
    ("int64", "I64", 64),
    ("uint64", "U64", 64),
)
ORDER = [kind for _, kind, _ in DTYPES]
KINDS = {name: kind for name, kind, _ in DTYPES}
BITS = {kind: bits for _, kind, bits in DTYPES}


class SafetensorError(Exception):
    """A file is damaged, or an array cannot be written."""


class TensorSpec(NamedTuple):
    """An array: its dtype's name, its shape, and where in memory its values are."""

    dtype: str
    shape: Sequence[int]
    data_ptr: int
    data_len: int


def serialize(tensor_dict: Mapping[str, TensorSpec], metadata: Any = None) -> bytes:
    """The content of a file with these arrays.

    Args:
        tensor_dict: Arrays by name.
        metadata: Texts by name, which stand first in the header.

    Raises:
        SafetensorError: An array has a dtype that the format does not know.
    """
    kinds = {}
    for name, spec in tensor_dict.items():
        if spec.dtype not in KINDS:
            raise SafetensorError(f"dtype {spec.dtype} is not covered")
        kinds[name] = KINDS[spec.dtype]
    names = sorted(tensor_dict, key=lambda name: (-ORDER.index(kinds[name]), name.encode()))
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    parts, end = [], 0
    for name in names:
        spec = tensor_dict[name]
        parts.append(ctypes.string_at(spec.data_ptr, spec.data_len))
        header[name] = {
            "dtype": kinds[name],
            "shape": list(spec.shape),
            "data_offsets": [end, end + spec.data_len],
        }
        end += spec.data_len
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def serialize_file(
    tensor_dict: Mapping[str, TensorSpec], filename: str | os.PathLike[str], metadata: Any = None
) -> None:
    """Write a file with these arrays."""
    Path(filename).write_bytes(serialize(tensor_dict, metadata))


def deserialize(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    """The arrays in the content of a file: names with dtype, shape and bytes.

    Raises:
        SafetensorError: The content is damaged, or no such file's.
    """
    if len(data) < 8:
        raise SafetensorError("Error while deserializing: header too small")
    size = int.from_bytes(data[:8], "little")
    if size > MOST_HEADER:
        raise SafetensorError("Error while deserializing: header too large")
    if 8 + size > len(data):
        raise SafetensorError("Error while deserializing: invalid header length")
    entries = _entries(data[8 : 8 + size])
    values, end = memoryview(data)[8 + size :], 0
    for name, entry in sorted(entries.items(), key=lambda pair: pair[1]["data_offsets"]):
        start, stop = entry["data_offsets"]
        if start != end or stop < start:
            raise SafetensorError(f"Error while deserializing: invalid offset for tensor `{name}`")
        bits = math.prod(entry["shape"]) * BITS[entry["dtype"]]
        if (stop - start) * 8 != bits:
            raise SafetensorError("Error while deserializing: shape and offsets do not fit")
        end = stop
    if end != len(values):
        raise SafetensorError("Error while deserializing: file not fully covered")
    return [
        (name, entry | {"data": bytes(values[slice(*entry.pop("data_offsets"))])})
        for name, entry in entries.items()
    ]


def _entries(text: bytes) -> dict[str, dict[str, Any]]:
    """What the header says of each array."""
    wrong = "Error while deserializing: invalid JSON in header"
    if not text.startswith(b"{"):
        raise SafetensorError("Error while deserializing: invalid header start")
    try:
        header = json.loads(text.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise SafetensorError(f"{wrong}: {error}") from None
    metadata = header.pop("__metadata__", None)
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(each, str) for each in metadata.values())
    ):
        raise SafetensorError(f"{wrong}: __metadata__ may hold texts only")
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise SafetensorError(f"{wrong}: {name}")
        counts = [entry["shape"], entry["data_offsets"]]
        are_lists = all(isinstance(each, list) for each in counts)
        if not are_lists or not all(_is_count(number) for each in counts for number in each):
            raise SafetensorError(f"{wrong}: {name}")
        if len(entry["data_offsets"]) != 2 or entry["dtype"] not in BITS:
            raise SafetensorError(f"{wrong}: {name}")
    return dict(header)


def _is_count(number: Any) -> bool:
    return type(number) is int and 0 <= number < 2**64


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a name that comes twice the last stands."""
    return dict(pairs)


class safe_open:
    """The arrays of a file, by name.

    Args:
        filename: The file.
        framework: "np" or "numpy".
        device: Must be "cpu".
        backend: How the compiled module reads; all is read at once here.
    """

    def __init__(
        self, filename: Any, framework: str, device: str = "cpu", *, backend: str = "mmap"
    ) -> None:
        if framework not in ("np", "numpy") or device != "cpu":
            raise NotImplementedError("weights are read as NumPy's arrays only in the browser")
        self._content = Path(filename).read_bytes()
        self._entries = dict(deserialize(self._content))

    def __enter__(self) -> safe_open:
        return self

    def __exit__(self, *error: object) -> None: ...

    def keys(self) -> list[str]:
        """The names of the arrays, in order."""
        return sorted(self._entries)

    def metadata(self) -> dict[str, str] | None:
        """The texts in the header."""
        size = int.from_bytes(self._content[:8], "little")
        header: dict[str, Any] = json.loads(self._content[8 : 8 + size])
        return header.get("__metadata__")

    def get_tensor(self, name: str) -> Any:
        """An array."""
        import numpy as np
        from safetensors.numpy import _getdtype

        if name not in self._entries:
            raise SafetensorError(f"File does not contain tensor {name}")
        entry = self._entries[name]
        values = np.frombuffer(entry["data"], dtype=_getdtype(entry["dtype"]))
        return values.reshape(entry["shape"]).copy()

    def get_tensors(self) -> dict[str, Any]:
        """All arrays, by name."""
        return {name: self.get_tensor(name) for name in self.keys()}


_safe_open_handle = safe_open
