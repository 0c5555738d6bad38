"""Files that are read with care: text, JSON, and the values in them."""

import codecs
import json
import tomllib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from minigrad.files import read_member, read_within

from .console import BadInput, cause

MOST = 2**16  # bytes of a file of options
LONG = 100  # letters of a value that a message quotes
MOST_DOTS = 2000  # `tomllib` takes a minute for a name of 30,000 parts


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


def named_values(text: str, loads: Callable[[str], Any] = json.loads) -> dict[str, Any]:
    """Read the named values in a text.

    Args:
        text: The text.
        loads: Reads its format.

    Raises:
        ValueError: If it holds anything else.
    """
    try:
        values = loads(text)
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


def load_values(path: Path, flag: str, of_a_run: bool) -> dict[str, Any]:
    """Read the options in a TOML file or in a config.json.

    Args:
        path: The file.
        flag: The option by which the user named it.
        of_a_run: Whether it is a member of a run's folder, and not named by the user.

    Raises:
        BadInput: If it cannot be read, or is of neither format.
    """
    read = read_member if of_a_run else read_within  # a run's folder may come from a stranger
    try:
        content = read(path, MOST)
    except (OSError, ValueError) as error:  # ValueError: also a path that no file can have
        raise BadInput(f"{flag} {path} cannot be read: {cause(error)}") from None
    try:
        return named_values(text_of(content), read_json if path.suffix == ".json" else read_toml)
    except ValueError as error:
        why = shortened(str(error))
        raise BadInput(f"{flag} {path} is neither TOML nor a run's config.json: {why}") from None
