"""A whole training state in one file: nested dictionaries of arrays, numbers and words."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor

STRUCTURE = "structure"  # the array that holds, as JSON, all that is no array


def write(tree: Mapping[str, Any], path: Path) -> None:
    """Write a state as a safetensors file, which holds no code.

    Args:
        tree: Dictionaries, lists and tuples of Tensors, arrays, numbers, words and None.
        path: The file to write.
    """
    arrays: dict[str, Any] = {}
    structure = json.dumps(_packed(tree, "", arrays))
    mg.save(arrays | {STRUCTURE: np.frombuffer(structure.encode(), np.uint8)}, path)


def read(path: Path) -> dict[str, Any]:
    """Read what `write` has written.

    Raises:
        OSError: The file does not exist or cannot be read.
        ValueError: It holds something else.
    """
    arrays = mg.load(path)
    if STRUCTURE not in arrays:
        raise ValueError(f"{path} holds weights, not a training state")
    try:
        tree = _unpacked(json.loads(arrays.pop(STRUCTURE).numpy().tobytes()), arrays)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error!r})") from None
    if not isinstance(tree, dict):
        raise ValueError(f"{path} holds {type(tree).__name__}, not a training state")
    return tree


def _packed(value: Any, path: str, arrays: dict[str, Any]) -> Any:
    """The value in JSON's types; its arrays go to `arrays`, under the path that leads to them."""
    if isinstance(value, Tensor | np.ndarray):
        arrays[path] = value
        return {"array": path}
    if isinstance(value, Mapping):  # as pairs, since keys may be numbers
        return {"pairs": [[k, _packed(v, f"{path}/{k}", arrays)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        items = [_packed(item, f"{path}/{i}", arrays) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a training state holds {type(value).__name__} at {path}")


def _unpacked(value: Any, arrays: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    [(kind, content)] = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "tuple":
        return tuple(_unpacked(item, arrays) for item in content)
    return {key: _unpacked(item, arrays) for key, item in content}
