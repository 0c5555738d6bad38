"""Check an answer, and show a task, its hints and its answer; needs NumPy and minigrad alone."""

from __future__ import annotations

import copy
import functools
import inspect
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeVar, overload

import numpy as np

from minigrad.learn.exercise import LEVELS, Exercise, exercises, find
from minigrad.learn.faults import NOT_FINITE, Known, explain, is_close, listed, sentences
from minigrad.learn.judges import DIGITS, Result, Rule, Values
from minigrad.learn.relations import features, is_numeric
from minigrad.learn.running import Run, run
from minigrad.learn.source import (
    UNUSABLE,
    ends_without_return,
    numbers_in,
    with_number,
)

REMEMBERS = (
    "A first call is right, but not a second one with the same arguments: something is kept from "
    "one call to the next, in a name outside the function or in a default value."
)
NAN = "NaN"
NOTHING: Any = object()  # no function given: None may be what a learner's name holds by mistake
Function = TypeVar("Function", bound=Callable[..., Any])


class Text(str):
    """Markdown that a notebook shows as such, and the prompt without quotes."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return str(self)


@dataclass(frozen=True, repr=False)
class Report:
    """What the check of an answer found; it shows itself as its message, and is true if right.

    Args:
        number: Of the exercise.
        right: Whether the answer is right.
        message: What was compared; or what is wrong, and why.
    """

    number: str
    right: bool
    message: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return f"{self.number} {'Right.' if self.right else 'Not yet.'} {self.message}"


@overload
def check(number: str) -> Callable[[Function], Function]: ...
@overload
def check(number: str, function: Any) -> Report: ...
def check(number: str, function: Any = NOTHING) -> Any:
    """Check an answer: say that it is right, or what is wrong and why.

    Args:
        number: Of the exercise, as "2.3".
        function: The answer; without it, `check` is a decorator that prints the report.

    Returns:
        A `Report`, which a notebook shows as its message; the decorator returns the function.

    Raises:
        NoExerciseError: There is no such exercise; the message names the nearest.

    Example:
        >>> from minigrad.learn import check
        >>> check("2.3", lambda g, A, B: (g @ B, A.T @ g)).right
        False
    """
    exercise = find(number)
    if function is not NOTHING:
        return judged(exercise, function)

    def decorate(function: Function) -> Function:
        print(judged(exercise, function))
        return function

    return decorate


def judged(exercise: Exercise, function: Any) -> Report:
    """Judge a function; mistakes that are known are looked for before the general ones."""
    mine = run(exercise, function)
    if not mine.fault and not explain(mine.results):
        if _remembers(exercise, function):
            return Report(exercise.number, False, REMEMBERS)
        return Report(exercise.number, True, _praise(exercise, mine.results))
    for mistake in exercise.mistakes:
        if mine.is_like(run(exercise, mistake.wrong)):
            if mine.is_telling():
                return Report(exercise.number, False, mistake.message)
            seen = _explained(exercise, function, mine)
            return Report(exercise.number, False, f"{seen} Perhaps: {mistake.message}")
    return Report(exercise.number, False, _explained(exercise, function, mine))


def _remembers(exercise: Exercise, function: Any) -> bool:
    """Whether a function that was right is wrong when it is called a second time."""
    if not isinstance(exercise.judge, Rule | Values):
        return False

    @functools.wraps(function)
    def twice(*arguments: Any) -> Any:
        function(*copy.deepcopy(arguments))
        return function(*arguments)

    again = run(exercise, twice)
    return bool(again.fault or explain(again.results))


def _explained(exercise: Exercise, function: Any, mine: Run) -> str:
    """What is known to be wrong with the results; then what the function raised, if it did."""
    judge = exercise.judge
    known = Known(
        functools.partial(judge.remark, function) if isinstance(judge, Rule) else lambda _: "",
        mine.is_raised,
        functools.partial(_is_written, exercise, function),
        ends_without_return(function),
    )
    wrong = explain(mine.results, known)
    if wrong and mine.had_nan and NAN not in wrong and _makes_nan(exercise, function):
        wrong += f" On the way {NAN} arose: {NOT_FINITE[NAN]}."
    is_said = mine.is_raised and not mine.fault.startswith(UNUSABLE.partition("{")[0])
    return " ".join(filter(None, [wrong, mine.fault if is_said or not wrong else ""]))


def _makes_nan(exercise: Exercise, function: Any) -> bool:
    """Whether a function meets NaN on its way, and the answer and the judge do not."""
    return run(exercise, function).had_nan and not run(exercise, exercise.answer).had_nan


def _is_written(exercise: Exercise, function: Any, what: str, number: Any) -> bool:
    """Whether a function is right once a number in its code is taken from its arguments.

    Args:
        exercise: Whose function it is.
        function: The learner's.
        what: A length or an argument, as `features` calls it.
        number: Its value where the function is right, perhaps written there.
    """
    if not isinstance(function, FunctionType) or number not in numbers_in(function):
        return False
    names = inspect.signature(exercise.answer).parameters

    @functools.wraps(function)
    def mended(*arguments: Any) -> Any:
        given = Result("", None, None, inputs=dict(zip(names, arguments, strict=False)))
        value = features(given).get(what, number)
        if not value > 1:  # a step of 0 would end no loop
            return function(*arguments)
        return with_number(function, number, type(number)(value))(*arguments)

    before, after = run(exercise, function).results, run(exercise, mended).results
    if len(after) < len(before):
        return False
    pairs = [(old, new) for old, new in zip(before, after, strict=False) if what in features(new)]
    wrong = [new for old, new in pairs if not is_close(old.got, old.expected)]
    larger = [new for new in wrong if features(new)[what] > 1]
    return bool(larger) and all(is_close(new.got, new.expected) for new in larger)


def _praise(exercise: Exercise, results: list[Result]) -> str:
    """What was compared, and what comes next."""
    names = list(dict.fromkeys(result.name for result in results))
    results_are = listed(names) if len(names) < 4 else f"All {len(names)} results"
    verb = "agree" if len(names) > 1 else "agrees"
    inputs = Counter(result.name for result in results if result.where)
    count = max(inputs.values(), default=0)
    against = [exercise.against or getattr(exercise.judge, "against", "")]
    against += ["with PyTorch's values"] * bool(exercise.torch)
    joined = (", and " if "," in against[0] else " and ").join(against)
    on = f", on {count} inputs" if count > 1 else ""
    digits = f", to {DIGITS} digits" if any(map(_is_rounded, results)) else ""
    what = f"{results_are} {verb} with {joined}{on}{digits}."
    return f"{sentences(what)} {exercise.after}"


def _is_rounded(result: Result) -> bool:
    """Whether a result has other numbers than whole ones."""
    right = result.expected
    return is_numeric(right) and bool(np.any(right != np.round(right)))


def show(number: str) -> Text:
    """Return the task of an exercise, and the template to fill in.

    Args:
        number: Of the exercise, as "2.3".

    Raises:
        NoExerciseError: There is no such exercise; the message names the nearest.

    Example:
        >>> from minigrad.learn import show
        >>> print(show("2.3").splitlines()[0])
        ## 2.3 The rule of the matrix product (easy, 5 minutes)
    """
    exercise = find(number)
    return Text(f"## {exercise}\n\n{exercise.task.strip()}\n\n```python\n{exercise.template}```\n")


def hint(number: str, step: int = 1) -> Text:
    """Return a hint: the first says where to look, the second nearly how.

    Args:
        number: Of the exercise, as "2.3".
        step: 1 or 2.

    Raises:
        NoExerciseError: There is no such exercise; the message names the nearest.
        ValueError: The step is neither 1 nor 2.

    Example:
        >>> from minigrad.learn import hint
        >>> hint("2.3").startswith("Write")
        True
    """
    exercise = find(number)
    if step not in (1, 2):
        raise ValueError(f"an exercise has hints 1 and 2, not {step!r}")
    return Text(exercise.hints[step - 1].strip())


def answer(number: str) -> Text:
    """Return the source of a right answer; a class may switch this off by MINIGRAD_ANSWERS=off.

    Args:
        number: Of the exercise, as "2.3".

    Raises:
        NoExerciseError: There is no such exercise; the message names the nearest.

    Example:
        >>> from minigrad.learn import answer
        >>> "return" in answer("2.3")
        True
    """
    exercise = find(number)
    if os.environ.get("MINIGRAD_ANSWERS", "").lower() == "off":
        return Text("Answers are switched off here, by MINIGRAD_ANSWERS=off in the environment.")
    return Text(f"```python\n{exercise.solution}```\n")


def listing(chapter: int | None = None) -> Text:
    """Return a table of the exercises: number, title, difficulty, minutes.

    Args:
        chapter: Of this chapter alone.

    Example:
        >>> from minigrad.learn import listing
        >>> "The rule of the matrix product" in listing(2)
        True
    """
    chosen = [e for e in exercises() if chapter in (None, e.chapter)]
    width = max((len(e.title) for e in chosen), default=0)
    lines, last = [], None
    for e in chosen:
        if e.chapter != last:
            lines += ["", f"Chapter {e.chapter}"]
            last = e.chapter
        lines.append(f"  {e.number:5} {e.title:{width}}  {LEVELS[e.level]:6}  {e.minutes:3} min")
    return Text("\n".join(lines).lstrip("\n") + "\n")
