"""What an exercise is, and how a chapter adds its own.

A chapter's exercises stand in `minigrad/learn/chapterN.py`, the rule puzzles in `puzzlesN.py`, the
planted bugs in `bugsN.py`. Such a file is found by its name; it ends with a tuple `EXERCISES`.
`chapter2.py` shows the form. For each exercise a file has, in this order:

1. The *answer*: a public function (or class) with a docstring of one to three lines that says what
   each argument is. `answer 2.3` prints its source. The template that a learner fills in is the
   same with `...` for a body; type hints are left out in both. So the docstring must not give the
   solution away, and the function uses nothing of its file but imports.
2. The *truth*, which is not the answer: a forward function for a `Rule`, another way to compute the
   same for `Values`, or a judge of its own (see judges.py): a function that runs the learner's
   function and yields a `Result(name, got, expected)` for each number or array.
3. *Mistakes*: wrong functions, mostly lambdas, each with the message that a learner who wrote it
   should read: what is wrong and why, in one or two sentences, without the right line itself.
   No two may give the same results on all cases, and none may be right. Mistakes are looked for
   first; what matches none gets a general message (raised, None, shape, NaN, sign, a factor,
   transposed, shifted, right for some inputs only). Where a mistake gives no numbers that tell (an
   error, NaN, 0, a judge's `Wrong`), this general message comes first, and then "Perhaps:".
4. The `Exercise`. A planted bug gives the faulty function as `planted`; it is the template, and its
   own first mistake.

PyTorch's values for the first case of each `Rule` (and `Values` with `torch=`) are stored in
`values/chapterN.json`: `python tests/reference/make_learn.py chapterN` writes it.
`tests/test_learn.py -k 2.3` tests all that is said here.
"""

from __future__ import annotations

import ast
import copy
import difflib
import functools
import importlib
import inspect
import itertools
import json
import pkgutil
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigrad.learn.judges import Array, Judge, Result, Rule, Values, Wrong, call, draw

__all__ = [
    "Array",
    "Exercise",
    "Judge",
    "Mistake",
    "NoExerciseError",
    "Result",
    "Rule",
    "Values",
    "Wrong",
    "call",
    "draw",
    "exercises",
    "find",
]


LEVELS = {1: "easy", 2: "medium", 3: "hard"}
HERE = Path(__file__).parent
FILES = re.compile(r"(chapter|puzzles|bugs)\d*")


class NoExerciseError(ValueError):
    """No exercise has this number; the message names the nearest."""


@dataclass(frozen=True, eq=False)
class Mistake:
    """A wrong answer that learners give, and what a learner who gave it should read.

    Args:
        wrong: A function that makes the mistake.
        message: What is wrong and why, in one or two sentences.
    """

    wrong: Any
    message: str


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise: its task, and all that is needed to judge a learner's answer.

    Args:
        number: "2.3" is the third exercise of chapter 2; "P.4" a rule puzzle, "B.2" a planted bug.
        chapter: The chapter it belongs to, for puzzles and bugs too.
        title: A few words.
        level: 1 easy, 2 medium, 3 hard.
        minutes: How long it takes a reader of the chapter.
        task: What to do, in Markdown.
        hints: Two: the direction; then nearly the way.
        answer: The right function or class.
        judge: A `Rule`, `Values`, or a function that yields each `Result`.
        mistakes: At least three.
        after: What to read or try next, one sentence, printed after success.
        planted: The function with a bug that is to be found, if the exercise is a bug.
        against: What a judge of its own compares with, as "minigrad's gradients".
    """

    number: str
    chapter: int
    title: str
    level: int
    minutes: int
    task: str
    hints: tuple[str, str]
    answer: Any
    judge: Judge
    mistakes: tuple[Mistake, ...]
    after: str
    planted: Callable[..., Any] | None = None
    against: str = ""

    @property
    def name(self) -> str:
        """What the learner's function is called."""
        return str(self.answer.__name__)

    @property
    def template(self) -> str:
        """The source that a learner begins with."""
        if self.planted is None:
            return _source(self.answer, with_body=False)
        return re.sub(rf"\b{self.planted.__name__}\b", self.name, _source(self.planted))

    @property
    def solution(self) -> str:
        """The source of the answer."""
        return _source(self.answer)

    @property
    def torch(self) -> list[Any]:
        """PyTorch's values for the first results; none where none are stored."""
        return _stored().get(self.number, [])

    def __str__(self) -> str:
        where = "" if self.number[0].isdigit() else f"chapter {self.chapter}, "
        return f"{self.number} {self.title} ({where}{LEVELS[self.level]}, {self.minutes} minutes)"


@functools.cache
def files() -> dict[str, tuple[Exercise, ...]]:
    """Return the exercises of each file, by its name, as "chapter2"."""
    names = [module.name for module in pkgutil.iter_modules([str(HERE)])]
    return {
        name: importlib.import_module(f"minigrad.learn.{name}").EXERCISES
        for name in names
        if FILES.fullmatch(name)
    }


@functools.cache
def exercises() -> tuple[Exercise, ...]:
    """Return all exercises: by chapter, and within a chapter its own before puzzles and bugs.

    Example:
        >>> from minigrad.learn import exercises
        >>> [exercise.number for exercise in exercises() if exercise.chapter == 6][-1]
        'B.4'
    """
    return tuple(sorted(itertools.chain(*files().values()), key=_order))


def _order(exercise: Exercise) -> tuple[int, int, int]:
    series, _, count = exercise.number.partition(".")
    return exercise.chapter, {"P": 1, "B": 2}.get(series, 0), int(count)


def find(number: str) -> Exercise:
    """Return the exercise of a number.

    Raises:
        NoExerciseError: There is none; the message names the nearest.
    """
    wanted = str(number).strip().upper()
    known = {exercise.number: exercise for exercise in exercises()}
    if wanted in known:
        return known[wanted]
    raise NoExerciseError(
        f"there is no exercise {number!r}{_nearest(wanted, [*known])} "
        "(`python -m minigrad.learn` lists all)"
    )


def _nearest(wanted: str, known: list[str]) -> str:
    """The exercises of the series that is meant, or of the last chapter; "" if nothing is near."""
    series = wanted.partition(".")[0]
    chapters = [n.partition(".")[0] for n in known if n[0].isdigit()]
    if series.isdecimal() and series not in chapters:
        series = chapters[-1]
    near = [n for n in known if n.partition(".")[0] == series]
    if not near:
        near = difflib.get_close_matches(wanted, known, 3, cutoff=0.6)
        return f"; the nearest: {', '.join(near)}" if near else ""
    return f"; the nearest: {near[0]} to {near[-1]}"


@functools.cache
def _stored() -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for path in (HERE / "values").glob("*.json"):
        found |= json.loads(path.read_text(encoding="utf-8"))
    return found


def _source(thing: Any, with_body: bool = True) -> str:
    """The source of a function or class without type hints, below the imports that it uses."""
    source = textwrap.dedent(inspect.getsource(thing))
    lines = source.splitlines()
    [top] = ast.parse(source).body
    functions = [node for node in ast.walk(top) if isinstance(node, ast.FunctionDef)]
    outer = [top, *getattr(top, "body", [])] if isinstance(top, ast.ClassDef) else [top]
    kept = functions if with_body else [node for node in functions if node in outer]
    for node in sorted(kept, key=lambda node: -node.lineno):
        first, last = node.body[0], node.end_lineno
        indent = " " * node.col_offset
        header = [f"{indent}def {node.name}({ast.unparse(_bare(node.args))}):"]
        if not with_body:
            if ast.get_docstring(node):
                header += lines[first.lineno - 1 : first.end_lineno]
            lines[node.lineno - 1 : last] = [*header, f"{indent}    ..."]
        else:
            lines[node.lineno - 1 : first.lineno - 1] = header
    imports = "".join(f"{line}\n" for line in _imports(thing, source))
    return "\n\n".join([imports, "\n".join(lines)]).lstrip("\n") + "\n"


def _imports(thing: Any, source: str) -> list[str]:
    """The lines of its file that import what a function or class uses, type hints aside."""
    tree = ast.parse(source)
    hints = [
        hint
        for node in ast.walk(tree)
        for hint in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if hint
    ]
    unused = {id(node) for hint in hints for node in ast.walk(hint)}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    used = {node.id for node in names if id(node) not in unused}
    found = []
    for node in ast.parse(inspect.getsource(inspect.getmodule(thing) or thing)).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [alias for alias in node.names if (alias.asname or alias.name) in used]
            found += [ast.unparse(node)] if node.names else []
    return found


def _bare(arguments: ast.arguments) -> ast.arguments:
    """Arguments without type hints."""
    bare = copy.deepcopy(arguments)
    for node in ast.walk(bare):
        if isinstance(node, ast.arg):
            node.annotation = None
    return bare
