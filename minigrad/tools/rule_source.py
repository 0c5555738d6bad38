"""The source text of a rule, as it stands in its file."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from minigrad.tools.draw import number

__all__ = ["filled_in", "text_of"]


def text_of(function: Callable[..., Any]) -> str:
    """What a rule computes: the body of a lambda, or else how the function is called.

    Args:
        function: The rule. A lambda that was typed at Python's prompt has no source to be read.

    Example:
        >>> from minigrad.ops.elementwise import multiply
        >>> text_of(multiply.operation.rules["a"].function)
        'g * b'
    """
    code: Any = function.__code__
    name = function.__name__
    if name == "<lambda>":
        lines = linecache.getlines(code.co_filename, function.__globals__)
        # the body starts where the first of its instructions that has a width does
        places = [
            (line, column)
            for line, _, column, end in code.co_positions()
            if line is not None and column is not None and end
        ]
        found = _lambdas("".join(lines)).get(min(places, default=(0, 0)))
        if found is not None:
            return found
        name = "rule"
    return f"{name}({', '.join(code.co_varnames[: code.co_argcount])})"


@lru_cache(64)
def _lambdas(source: str) -> dict[tuple[int, int], str]:
    """The bodies of all lambdas in a file, by the line and the column where they start."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a notebook's cell with a command to the notebook, say
        return {}
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    lines = source.splitlines(keepends=True)
    found = {}
    for body in bodies:
        text = ast.unparse(body)
        if body.lineno == body.end_lineno:
            line = lines[body.lineno - 1].encode()  # columns count bytes
            text = line[body.col_offset : body.end_col_offset].decode()
        found[body.lineno, body.col_offset] = text
    return found


def filled_in(text: str, values: Mapping[str, Any]) -> str:
    """A formula with numbers in the place of names.

    Args:
        text: The formula, such as "g * b".
        values: A number for each name, in an array or not.

    Example:
        >>> filled_in("g * (1 - y * y)", {"g": 2.0, "y": -0.5})
        '2 * (1 - (-0.5) * (-0.5))'
    """
    tree = ast.parse(text, mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in values:
            digits = number(values[node.id])
            node.id = f"({digits})" if digits.startswith("-") else digits
    return ast.unparse(tree)
