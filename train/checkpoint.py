"""Checkpoints: all that a run needs to go on, each with a checksum; the one before is kept too."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import Tensor, nn
from minigrad.files import read_member, replacing, to_disk
from minigrad.serialization import from_bytes, to_bytes

from .files import in_one_line, quoted, shortened

FORMAT = 2
NAMES = CHECKPOINT, BEFORE = "checkpoint.safetensors", "checkpoint-before.safetensors"
GROWING = ("metrics.jsonl", "timing.jsonl")  # a resumed run cuts them back to its checkpoint
STRUCTURE = "structure"  # the array in the file that holds, as JSON, all that is no array
MOST = 2**31  # bytes of a file
# what reading a file may raise that holds something else than it should
DAMAGE = (
    *(ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError),
    nn.StateDictError,
)


@dataclass(frozen=True)
class Ground:
    """What a run stands on: if it goes on elsewhere, its results are others."""

    settings: dict[str, Any] = field(default_factory=dict)
    """The content of config.json."""

    data: dict[str, dict[str, str]] = field(default_factory=dict)
    """What is learnt from, by name: its `source`, in words, and its `sha256`."""

    arithmetic: dict[str, str] = field(default_factory=dict)
    """What the last bits of its results depend on, see `minigrad.info.arithmetic`."""

    cwd: str = ""
    """The folder in which it was started, where its relative paths begin."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds."""

    state: dict[str, Any]
    """The training's state: weights, optimizers, counts, random numbers."""

    ground: Ground
    """What the run stands on."""

    sizes: dict[str, int]
    """How many bytes the `GROWING` files had."""

    metrics: str
    """The SHA-256 of that many bytes of metrics.jsonl."""


def why(error: Exception) -> str:
    """Return what is wrong with a file, in a few words of one line; of a missing name the name."""
    text = in_one_line(error) or type(error).__name__
    return shortened(f"no {text}" if isinstance(error, KeyError) else text, 500)


class Damaged(ValueError):
    """A checkpoint that cannot be used; the message names the file and says why."""


def write(content: Checkpoint, folder: Path) -> None:
    """Write a checkpoint that survives a loss of power, and keep the one before.

    At any moment one of the two files is whole.

    Args:
        content: What it holds.
        folder: The run's folder.

    Raises:
        OSError: If it cannot be written; the last checkpoint is still there.
        ValueError: If it is larger than what would be read.
    """
    with replacing(folder / CHECKPOINT) as path:
        write_state(vars(content) | {"ground": vars(content.ground)}, path)
        to_disk(path)
        if (folder / CHECKPOINT).exists():
            os.replace(folder / CHECKPOINT, folder / BEFORE)


def newest(folder: Path, problems: dict[str, str] | None = None) -> tuple[str, Checkpoint] | None:
    """Read a run's newest checkpoint that is whole.

    Args:
        folder: The run's folder.
        problems: The files that cannot be used: what is wrong, by name. Others are added.

    Returns:
        The name of the file and its content; None if the run has not written any.

    Raises:
        Damaged: If there are checkpoints, and none of them can be used.
    """
    problems = {} if problems is None else problems
    for name in NAMES:
        if name in problems:
            continue
        try:
            return name, read(folder / name)
        except FileNotFoundError:
            continue
        except (OSError, Damaged) as error:
            problems[name] = str(error)
    if problems:
        raise Damaged("; ".join(problems.values()))
    return None


def set_aside(folder: Path, name: str) -> str:
    """Give a damaged checkpoint another name, under which no run reads it; return that name."""
    number = 1
    while os.path.lexists(folder / (other := f"checkpoint-damaged-{number}.safetensors")):
        number += 1
    os.replace(folder / name, folder / other)
    return other


def read(path: Path) -> Checkpoint:
    """Read one checkpoint.

    Raises:
        OSError: If it cannot be read.
        Damaged: If it is damaged, or of another format.
    """
    content = read_state(path)
    found = content.pop("format", 1)
    if found != FORMAT:
        raise Damaged(
            f"{path.name} has format {quoted(found)}, and this version of minigrad reads format "
            f"{FORMAT}; go on with the version that wrote it"
        )
    names = {f.name for f in fields(Checkpoint)}
    try:
        if content.keys() != names:
            raise ValueError(f"it holds {', '.join(content)}, expected {', '.join(sorted(names))}")
        checkpoint = Checkpoint(**content | {"ground": Ground(**content["ground"])})
        _check(checkpoint)
    except DAMAGE as error:
        raise Damaged(f"{path.name} is damaged ({why(error)})") from None
    return checkpoint


def _check(found: Checkpoint) -> None:
    """Refuse other types than the fields of a checkpoint have.

    Raises:
        ValueError: If there are any.
    """
    ground = found.ground
    for name in ("settings", "data", "arithmetic"):
        if not isinstance(getattr(ground, name), dict):
            raise ValueError(f"{name} is no dictionary")
        if next(arrays_in(getattr(ground, name)), None) is not None:
            raise ValueError(f"{name} hold an array")
    texts = {"cwd": ground.cwd, "metrics": found.metrics} | ground.arithmetic
    for name, source in ground.data.items():
        texts |= {f"{name}/{key}": source[key] for key in ("source", "sha256")}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise ValueError(f"{name} is {text!r}, expected a text")
    if found.sizes.keys() != set(GROWING) or not all(
        type(size) is int and size >= 0 for size in found.sizes.values()
    ):
        raise ValueError(f"sizes are {found.sizes}, expected those of {' and '.join(GROWING)}")
    if not isinstance(found.state, dict):
        raise ValueError("state is no dictionary")


def first_not_finite(state: Any, path: str = "") -> str | None:
    """Return the path to the first array of a state that holds a NaN or an infinity, if any does.

    >>> first_not_finite({"weights": [np.ones(2), np.array([1.0, np.nan])]})
    'weights/1'
    """
    for place, array in arrays_in(state, path):
        values = array.to("cpu").numpy() if isinstance(array, Tensor) else array
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            return place
    return None


def arrays_in(state: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every array of a state, with the path that leads to it."""
    if isinstance(state, Tensor | np.ndarray):
        yield path, state
    elif isinstance(state, Mapping | list | tuple):
        pairs = state.items() if isinstance(state, Mapping) else enumerate(state)
        for key, value in pairs:  # the name of an only network is ""
            yield from arrays_in(value, "/".join(filter(None, (path, str(key)))))


# --- the file -------------------------------------------------------------------------------------


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Write a state, with the number of its format, as a safetensors file, which holds no code.

    Args:
        state: Dictionaries, lists and tuples of Tensors, arrays, numbers, strings and None.
        path: The file to write.

    Raises:
        OSError: If it cannot be written.
        ValueError: If it is larger than what would be read.
    """
    arrays: dict[str, Any] = {}
    structure = json.dumps(_packed({"format": FORMAT} | dict(state), "", arrays))
    content = to_bytes(arrays | {STRUCTURE: np.frombuffer(structure.encode(), np.uint8)})
    if len(content) > MOST:
        raise ValueError(
            f"a checkpoint of this run has {len(content):,} bytes; allowed: at most {MOST:,}, so "
            "smaller networks"
        )
    path.write_bytes(content)


def read_state(path: Path) -> dict[str, Any]:
    """Read a state that `write_state` has written.

    Raises:
        OSError: If it cannot be read.
        Damaged: If it holds something else.
    """
    try:
        arrays = from_bytes(read_member(path, MOST), path.name)
    except DAMAGE as error:
        raise Damaged(f"{path.name} is damaged ({why(error)})") from None
    if STRUCTURE not in arrays:
        raise Damaged(f"{path.name} holds weights, not a training state")
    try:
        state = _unpacked(json.loads(arrays.pop(STRUCTURE).numpy().tobytes()), arrays)
    except DAMAGE as error:
        raise Damaged(f"{path.name} is damaged ({why(error)})") from None
    if not isinstance(state, dict):
        raise Damaged(f"{path.name} holds {type(state).__name__}, not a training state")
    return state


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
