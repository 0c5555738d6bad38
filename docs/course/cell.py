"""Run the code of one cell as a notebook does: here, and in the reader's browser."""

from __future__ import annotations

import ast
import linecache
import traceback
from typing import Any


def evaluate(code: str, name: str, namespace: dict[str, Any], line: int = 1) -> Any:
    """Run the code of a cell, and return the value of its last line.

    Args:
        code: The source. After a last expression that ends with a semicolon the value is None.
        name: What tracebacks call the source.
        namespace: The names of the cells before; those that the cell defines are added.
        line: The line of the file `name` in which the source starts, from 1.

    Raises:
        Exception: Whatever the code raises, and SyntaxError if it is no Python.
    """
    tree = ast.parse("\n" * (line - 1) + code, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec", dont_inherit=True), namespace)
    if not isinstance(last, ast.Expr):
        return None
    value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
    return None if code.rstrip().endswith(";") else value


def remember(code: str, name: str) -> None:
    """Let tracebacks and messages quote the lines of a source that is no file."""
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)


def text_of(error: BaseException) -> str:
    """What an error says: its class, its message, its notes."""
    notes = "".join(f"{note}\n" for note in getattr(error, "__notes__", []))
    return f"{type(error).__name__}: {error}\n{notes}"


def line_of(error: BaseException, name: str) -> int | None:
    """The line of the source `name` in which an error arose; None if it did so elsewhere."""
    if isinstance(error, SyntaxError) and error.filename == name:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno for f in reversed(frames) if f.filename == name), None)
