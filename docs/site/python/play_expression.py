"""An expression that a reader types: read safely, and computed by minigrad into a graph."""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.nn.functional import relu

LONGEST, MOST_LETTERS, LONGEST_NAME = 200, 8, 12
LARGEST = float(np.finfo(np.float64).max)

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "tanh": mg.tanh,
    "sigmoid": mg.sigmoid,
    "relu": relu,
    "exp": mg.exp,
    "log": mg.log,
    "sin": mg.sin,
    "cos": mg.cos,
}
OPERATORS: Mapping[type[ast.AST], tuple[str, Callable[..., Any]]] = {
    ast.Add: ("+", lambda a, b: a + b),
    ast.Sub: ("-", lambda a, b: a - b),
    ast.Mult: ("*", lambda a, b: a * b),
    ast.Div: ("/", lambda a, b: a / b),
    ast.Pow: ("**", lambda a, b: a**b),
}
ALLOWED = f"numbers, letters, + - * / **, brackets, and {', '.join(FUNCTIONS)}"
INSTEAD = {  # what readers type, and what they mean
    "^": "a power is written **",
    ",": "write 0.5 with a point",
    "\u00d7": "write *",
    "\u00b7": "write *",
    "\u00f7": "write /",
    "\u2212": "write the plain minus of the keyboard",
}

Place: TypeAlias = tuple[int, int]  # a part of the expression: its first character, and its end


class Unusable(Exception):
    """An expression that cannot be shown.

    Args:
        message: One sentence that says why, and what to do.
        place: The part of the expression that it is about.
    """

    def __init__(self, message: str, place: Place = (0, 0)) -> None:
        super().__init__(message)
        self.place = place


def written(value: Any, digits: int = 4) -> str:
    """A number as text: a Python number, or a Tensor or an array with one element."""
    plain = float(value.item() if hasattr(value, "item") else value)
    return f"{plain + 0.0:.{digits}g}"  # 0.0 makes 0 of -0


def bracketed(text: str) -> str:
    """A number's text as it stands behind a sign."""
    return f"({text})" if text.startswith("-") else text


# From text to a tree


class Program(NamedTuple):
    """An expression, after results that it uses by name: `d = a * b; d * (d + a)`."""

    results: Sequence[tuple[str, ast.expr]]
    """Names with their expressions; the last is the whole's, and may have the name ""."""

    letters: Sequence[str]
    """The letters that want a value, in the order in which they first come."""


def parsed(text: str) -> Program:
    """Read an expression; nothing in it is called.

    Args:
        text: What the reader has typed.

    Raises:
        Unusable: It holds anything but names, finite numbers, the operators and the functions.
    """
    if not text.strip():
        raise Unusable("Type an expression, such as (a + b) * b.")
    if len(text) > LONGEST:
        message = f"The expression has {len(text)} characters; at most {LONGEST} are read."
        raise Unusable(message, (LONGEST, len(text)))
    for place, character in enumerate(text):
        if character in INSTEAD or not character.isascii() or not character.isprintable():
            remedy = INSTEAD.get(character, f"allowed are {ALLOWED}")
            raise Unusable(f"{character} cannot be read; {remedy}.", (place, place + 1))
    plain = text.lstrip()
    indent = len(text) - len(plain)
    try:
        with warnings.catch_warnings(action="ignore"):  # such as: 2(a) calls a number
            tree = ast.parse(plain)
    except SyntaxError as error:
        place = min(indent + max((error.offset or 1) - 1, 0), len(text) - 1)
        raise Unusable(_why(text, place), (place, place + 1)) from None
    except (RecursionError, MemoryError):
        raise Unusable("Too many brackets stand inside each other.", (0, len(text))) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.expr | ast.stmt):
            node.col_offset += indent
            node.end_col_offset = (node.end_col_offset or 0) + indent
    return _program(tree.body)


def _program(statements: Sequence[ast.stmt]) -> Program:
    results: dict[str, ast.expr] = {}
    letters: dict[str, None] = {}
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name) as target], value=value):
                place = place_of(target)
            case ast.Expr(value=value) if statement is statements[-1]:
                name = ""
            case _:
                place = statement.col_offset, statement.end_col_offset or statement.col_offset
                raise Unusable("A name for a result is given like this: d = a * b; d * a.", place)
        letters |= dict.fromkeys(each for each in _letters(value) if each not in results)
        if name in letters or name in results or name in FUNCTIONS:
            raise Unusable(f"{name} is taken: give this result another name.", place)
        results[name] = value
    for name in [*letters, *results]:
        if len(name) > LONGEST_NAME:
            raise Unusable(f"The name {name} is too long: {LONGEST_NAME} characters at most.")
    if len(letters) > MOST_LETTERS:
        raise Unusable(f"It has {len(letters)} letters; there is room for {MOST_LETTERS}.")
    return Program(list(results.items()), list(letters))


def place_of(tree: ast.expr) -> Place:
    """Where a part of an expression stands."""
    return tree.col_offset, tree.end_col_offset or tree.col_offset


def _why(text: str, place: int) -> str:
    """What may be wrong with a text that is no expression."""
    opened, closed = text.count("("), text.count(")")
    if opened > closed:
        return "A bracket is not closed."
    if opened < closed:
        return "A bracket is closed that was not opened."
    if text.rstrip()[-1] in "+-*/=":
        return "The expression ends too early."
    return "It cannot be read here; between two factors write *, as in 2 * a."


def _letters(tree: ast.expr) -> Iterator[str]:
    """The letters of a tree; raises Unusable for what Python knows and this page does not."""
    match tree:
        case ast.Constant(value=bool() | str() | bytes() | complex() | None):
            raise Unusable(f"This is no number; allowed are {ALLOWED}.", place_of(tree))
        case ast.Constant(value=int() | float() as value):
            if not abs(value) <= LARGEST:
                raise Unusable(f"A float64 ends at {written(LARGEST)}.", place_of(tree))
        case ast.Name(id=name) if name in FUNCTIONS:
            raise Unusable(f"{name} is a function: write {name}(a).", place_of(tree))
        case ast.Name(id=name):
            yield name
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
            yield from _letters(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            yield from _letters(left)
            yield from _letters(right)
        case ast.Call(func=ast.Name(id=name), args=[operand], keywords=[]) if name in FUNCTIONS:
            yield from _letters(operand)
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            raise Unusable(f"{name} takes one number, as in {name}(a).", place_of(tree))
        case ast.Call(func=ast.Name(id=name) as function):
            known = ", ".join(FUNCTIONS)
            message = f"{name} is no function here. A product needs *; the functions are {known}."
            raise Unusable(message, place_of(function))
        case ast.Call():
            raise Unusable("A product needs *, also before a bracket.", place_of(tree))
        case _:
            raise Unusable(f"This is not known here; allowed are {ALLOWED}.", place_of(tree))


# From the tree to a graph


@dataclass(eq=False)
class Node:
    """A number of the graph.

    Attributes:
        tensor: Its value, which knows how it was made.
        place: Where the expression says it.
        name: What it is called: a letter, or a name for a result.
        apply: The operation that made it; None for a letter.
        operands: What the operation takes, a node twice if it takes it twice.
        form: How that is written, with {} for each of them.
    """

    tensor: Tensor
    place: Place
    name: str = ""
    apply: Callable[..., Any] | None = None
    operands: Sequence[Operand] = ()
    form: str = ""

    @property
    def parents(self) -> list[Node]:
        """The operands that are nodes."""
        return [each for each in self.operands if isinstance(each, Node)]

    @property
    def title(self) -> str:
        """The name, and for a result how it is made: "v2 = tanh(v1)"."""
        names = [each.name if isinstance(each, Node) else written(each) for each in self.operands]
        return f"{self.name} = {_filled(self.form, names)}" if self.operands else self.name

    @property
    def in_numbers(self) -> str:
        """What a result is made of, with numbers: "3 * (-2) = -6"."""
        texts = [written(each.tensor if isinstance(each, Node) else each) for each in self.operands]
        return f"{_filled(self.form, texts)} = {written(self.tensor)}"

    @cached_property
    def slopes(self) -> list[float]:
        """The derivative of this one operation with respect to each of the parents."""
        if self.apply is None:
            return []
        fresh = [
            _variable(each.tensor.item()) if isinstance(each, Node) else each
            for each in self.operands
        ]
        found = mg.grad(self.apply(*fresh), [each for each in fresh if isinstance(each, Tensor)])
        slopes = [g.item() for g in found if g is not None]
        if not all(map(math.isfinite, slopes)):
            raise Unusable("At these values it has no finite slope here.", self.place)
        return slopes


def _filled(form: str, texts: Sequence[str]) -> str:
    return form.format(*(texts if "(" in form else map(bracketed, texts)))


Operand: TypeAlias = Node | float  # of a plain number nobody wants the gradient


def _variable(value: float) -> Tensor:
    return mg.tensor(value, dtype="float64", requires_grad=True)


class Evaluation:
    """An expression at given values of its letters.

    Attributes:
        nodes: The letters and the results, in the order in which they are met or computed.
        letters: The nodes of the letters.
        result: The last node; a number, if there is no letter.

    Raises:
        Unusable: An operation has no finite value, or a result is not used.
    """

    def __init__(self, program: Program, values: Mapping[str, float]) -> None:
        self.nodes: list[Node] = []
        self.letters: dict[str, Node] = {}
        self._values = values
        self._results: dict[str, Operand] = {}
        for name, tree in program.results:
            found = self._operand(tree)
            self._results[name] = self.result = found
            if isinstance(found, Node) and not found.name:
                found.name = name
        used = {self.result, *(parent for node in self.nodes for parent in node.parents)}
        for node in self.nodes:
            if node not in used:
                message = f"{node.name} is not used in the last expression: leave it out."
                raise Unusable(message, node.place)

    def _operand(self, tree: ast.expr) -> Operand:
        match tree:
            case ast.Constant(value=int() | float() as value):
                return float(value)
            case ast.Name(id=name):
                return self._results[name] if name in self._results else self._letter(tree)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._operand(operand)
            case ast.UnaryOp(operand=operand):
                return self._call(tree, lambda x: -x, "-{}", operand)
            case ast.BinOp(left=left, op=op, right=right):
                sign, apply = OPERATORS[type(op)]
                return self._call(tree, apply, f"{{}} {sign} {{}}", left, right)
            case ast.Call(func=ast.Name(id=name), args=[operand]):
                return self._call(tree, FUNCTIONS[name], f"{name}({{}})", operand)
        raise AssertionError("the tree was not parsed by `parsed`")

    def _letter(self, tree: ast.Name) -> Node:
        if tree.id not in self.letters:
            letter = Node(_variable(self._values[tree.id]), place_of(tree), tree.id)
            self.letters[tree.id] = letter
            self.nodes.append(letter)
        return self.letters[tree.id]

    def _call(
        self, tree: ast.expr, apply: Callable[..., Any], form: str, *parts: ast.expr
    ) -> Operand:
        operands = [self._operand(part) for part in parts]
        if any(isinstance(each, Node) for each in operands):
            y = apply(*(each.tensor if isinstance(each, Node) else each for each in operands))
            node = Node(y, place_of(tree), apply=apply, operands=operands, form=form)
            self.nodes.append(node)
        else:
            y = apply(*(mg.tensor(each, dtype="float64") for each in operands))
        if not math.isfinite(y.item()):
            numbers = [each.tensor.item() if isinstance(each, Node) else each for each in operands]
            raise Unusable(f"At these values {_no_value(form, numbers)}.", place_of(tree))
        return node if y.requires_grad else y.item()


def _no_value(form: str, numbers: Sequence[float]) -> str:
    """Why an operation has no finite value."""
    first, last = numbers[0], numbers[-1]
    if form == "log({})" and first <= 0:
        return f"log gets {written(first)}, and wants a number above 0"
    if form == "{} / {}" and last == 0:
        return "this divides by 0"
    if form == "{} ** {}" and first == 0:
        return f"0 has no power {written(last)}"
    if form == "{} ** {}" and first < 0 and last != round(last):
        return f"this has no value: {written(first)} has powers with whole exponents only"
    return f"this becomes too large: a float64 ends at {written(LARGEST)}"
