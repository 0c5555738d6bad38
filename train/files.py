"""Files that are read with care and written whole: text, JSON, the state of a training."""

import codecs
import json
import os
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np

import minigrad as mg
from minigrad import Tensor

from .console import BadInput

LONG = 100  # letters of a value that a message quotes
MOST_DOTS = 2000  # `tomllib` takes a minute for a name of 30,000 parts
STRUCTURE = "structure"  # the array in a state's file that holds, as JSON, all that is no array


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path to write to, and put the file written there in the place of `target` at once.

    The temporary file stands beside it, and its name has the same ending.
    """
    temporary = target.with_name(f".unfinished-{target.name}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Wait until a file's content would survive a loss of power."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def text_of(content: bytes) -> str:
    """Decode a text file: UTF-8, or UTF-16 with a byte order mark, as Windows writes them.

    Raises:
        ValueError: If it is neither.
    """
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf16 else "utf-8-sig")


def read_json(text: str) -> Any:
    """Read a JSON text, and refuse a name that is given twice, as TOML does.

    Raises:
        ValueError: If it is no JSON, or gives a name twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            raise ValueError(f"{quoted(counts.most_common(1)[0][0])} is given twice")
        return values

    return json.loads(text, object_pairs_hook=once)


def read_toml(text: str) -> Any:
    """Read a TOML text; an option has no dots in its name, so many of them are refused.

    Raises:
        ValueError: If it is no TOML.
    """
    if text.count(".") > MOST_DOTS:
        raise ValueError(f"it has more than {MOST_DOTS:,} dots")
    return tomllib.loads(text)


def named_values(content: bytes, loads: Callable[[str], Any] = json.loads) -> dict[str, Any]:
    """Read the named values in a file.

    Args:
        content: The file's bytes.
        loads: Reads its format.

    Raises:
        ValueError: If it holds anything else.
    """
    try:
        values = loads(text_of(content))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError(f"it holds {type(values).__name__}, expected named values")
    return values


def shortened(text: str, most: int = 2 * LONG) -> str:
    """Return a text, or its first half of `most` letters if it has more."""
    return text if len(text) <= most else f"{text[: most // 2]}... ({len(text):,} letters)"


def in_one_line(error: Exception) -> str:
    """Return an error's message without its ends of lines, and not longer than 2,000 letters."""
    return shortened(" ".join(str(error).split()), 2000)


def quoted(value: Any) -> str:
    """Return a value of a file as a message shows it."""
    try:
        return shortened(repr(value))
    except (ValueError, RecursionError):  # a number of thousands of digits, a list of lists of ...
        return f"{type(value).__name__} that is too long to show"


TYPES: dict[Any, tuple[type | tuple[type, ...], str]] = {
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    bool: (bool, "true or false"),
    str: (str, "a word"),
    Path: ((str, Path), "a path"),
}


def typed(where: str, value: Any, hint: Any) -> Any:
    """Return a value, as TOML, JSON or Python give it, as the type of its option.

    Args:
        where: The value's name, for the message.
        value: The value.
        hint: The type: int, float, bool, str, Path, a Literal, a tuple of these, or one or None.

    Raises:
        BadInput: If the value is of another type.
    """
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    if get_origin(hint) is Literal:
        if value in kinds:
            return value
        expected = " or ".join(kinds)
    elif get_origin(hint) is tuple:
        many = kinds[-1] is ...
        if isinstance(value, list | tuple) and (many or len(value) == len(kinds)):
            each = kinds[:1] * len(value) if many else kinds
            return tuple(typed(where, v, kind) for v, kind in zip(value, each, strict=True))
        expected = "a list" if many else f"a list of {len(kinds)} numbers"
    elif kinds:  # one type, or None
        return typed(where, value, kinds[0])
    else:
        types, expected = TYPES[hint]
        if isinstance(value, types) and isinstance(value, bool) == (hint is bool):
            with suppress(OverflowError):
                found = hint(value)
                if hint is not int or abs(found) < 2**63:
                    return found
                expected = "a whole number of at most 63 bits"
    raise BadInput(f"{where} is {quoted(value)}; allowed: {expected}")


# --- the state of a training ----------------------------------------------------------------------


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Write a training's state as a safetensors file, which holds no code.

    Args:
        state: Dictionaries, lists and tuples of Tensors, arrays, numbers, strings and None.
        path: The file to write.
    """
    arrays: dict[str, Any] = {}
    structure = json.dumps(_packed(state, "", arrays))
    mg.save(arrays | {STRUCTURE: np.frombuffer(structure.encode(), np.uint8)}, path)


def read_state(path: Path) -> dict[str, Any]:
    """Read a state that `write_state` has written.

    Raises:
        OSError: The file does not exist or cannot be read.
        ValueError: It holds something else.
    """
    arrays = mg.load(path)
    if STRUCTURE not in arrays:
        raise ValueError(f"{path} holds weights, not a training state")
    try:
        state = _unpacked(json.loads(arrays.pop(STRUCTURE).numpy().tobytes()), arrays)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error!r})") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds {type(state).__name__}, not a training state")
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
