"""Files that are read with care: text, JSON, and the values in them."""

import codecs
import json
from collections.abc import Callable
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from .console import BadInput


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
        for name in values:
            if sum(name == other for other, _ in pairs) > 1:
                raise ValueError(f"{name!r} is given twice")
        return values

    return json.loads(text, object_pairs_hook=once)


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
                return hint(value)
    raise BadInput(f"{where} is {value!r}; allowed: {expected}")
