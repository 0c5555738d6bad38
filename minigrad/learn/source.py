"""Look into a learner's code, without running it: its file, its numbers, its ways to the end."""

from __future__ import annotations

import dis
import inspect
import linecache
import traceback
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

UNUSABLE = "The check stopped with {}: it could not use what the function returned."


def codes(function: Any) -> list[CodeType]:
    """The code of a function, or of each method of a class."""
    inner = inspect.unwrap(function)
    members = [inner, *getattr(inner, "__dict__", {}).values()]
    return [code for member in members if isinstance(code := _code(member), CodeType)]


def _code(member: Any) -> Any:
    return getattr(getattr(member, "__func__", member), "__code__", None)


def file_of(function: Any) -> str:
    """The name of the learner's file, or of the notebook's cell; "" for a library's function."""
    library = str(getattr(function, "__module__", "")).partition(".")[0] in ("numpy", "minigrad")
    found = [] if library else codes(function)
    return found[0].co_filename if found else ""


def is_empty(function: Any) -> bool:
    """Whether a function, or each method of a class, does nothing."""
    found = codes(function)
    done = {(i.opname, i.argval) for code in found for i in dis.get_instructions(code)}
    nothing = {"RESUME", "NOP", "POP_TOP", "RETURN_VALUE"}
    idle = {"LOAD_CONST", "RETURN_CONST"}
    return bool(found) and all(
        name in nothing or (name in idle and value in (None, ...)) for name, value in done
    )


def ends_without_return(function: Any) -> bool:
    """Whether a way through a function ends with no value: `return` is missing, or is bare."""
    for code in codes(function):
        if code.co_name == "__init__":  # which returns nothing in any class
            continue
        steps = list(dis.get_instructions(code))
        for before, step in zip([None, *steps], steps, strict=False):
            constant = before if step.opname == "RETURN_VALUE" else step
            names = ("LOAD_CONST", "RETURN_CONST")
            if "RETURN" in step.opname and constant and constant.opname in names:
                if constant.argval is None:
                    return True
    return False


def numbers_in(function: Any) -> frozenset[Any]:
    """The numbers that are written in a function."""
    return frozenset(
        x for code in codes(function) for x in _constants(code) if type(x) in (int, float)
    )


def _constants(code: CodeType) -> Iterator[Any]:
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _constants(value)
        elif isinstance(value, tuple):
            yield from value
        else:
            yield value


def with_number(function: FunctionType, old: Any, new: Any) -> FunctionType:
    """The function with one number in place of another, everywhere in its code."""
    copied = FunctionType(
        _with_constant(function.__code__, old, new),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copied.__kwdefaults__ = function.__kwdefaults__
    return copied


def _with_constant(value: Any, old: Any, new: Any) -> Any:
    if isinstance(value, CodeType):
        return value.replace(co_consts=_with_constant(value.co_consts, old, new))
    if isinstance(value, tuple):
        return tuple(_with_constant(each, old, new) for each in value)
    return new if type(value) is type(old) and value == old else value


def raised(error: BaseException, file: str, elsewhere: str = UNUSABLE) -> str:
    """Say which line of the learner's file raised an error.

    Args:
        error: The error.
        file: The name of the file, as tracebacks have it.
        elsewhere: What to say where no line of this file took part.
    """
    message = " ".join(str(error).split())
    said = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename == file:
        text = f", `{error.text.strip()}`" if error.text else ""
        return f"Python cannot read line {error.lineno}{text}: {error.msg}."
    lines = [place for place in traceback.extract_tb(error.__traceback__) if place.filename == file]
    if not lines:
        return elsewhere.format(said.rstrip("."))
    text = linecache.getline(file, lines[-1].lineno or 0).strip()
    shown = f", `{text}`" if text else ""
    return f"Line {lines[-1].lineno}{shown}, raised {said.rstrip('.')}."
