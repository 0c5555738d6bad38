"""Check an answer, and show a task, its hints and its answer; needs NumPy and minigrad alone."""

from __future__ import annotations

import dis
import functools
import inspect
import linecache
import os
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, overload

import numpy as np

from minigrad.learn.exercise import LEVELS, Exercise, exercises, find
from minigrad.learn.faults import explain, is_close, listed, sentences
from minigrad.learn.judges import DIGITS, CallFailedError, Result, Rule, Wrong

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


@dataclass
class Run:
    """What a function did under its judge: the results, and what ended them, if anything did."""

    results: list[Result] = field(default_factory=list)
    fault: str = ""
    kind: str = ""  # of the error, or the judge's own words: two runs with one fault are the same

    def is_like(self, other: Run) -> bool:
        """Whether another function gave the same results, and failed likewise if it failed."""
        same_end = self.kind == other.kind and len(self.results) == len(other.results)
        pairs = zip(self.results, other.results, strict=False)
        return same_end and all(is_same(mine.got, its.got) for mine, its in pairs)


def is_same(one: Any, other: Any) -> bool:
    """Whether two functions gave the same, be it numbers or anything else."""
    if is_close(one, other):
        return True
    both = (one, other)
    if all(isinstance(x, tuple | list) for x in both) and len(one) == len(other):
        return all(map(is_same, one, other))
    return False


@overload
def check(number: str, function: None = None) -> Callable[[Function], Function]: ...
@overload
def check(number: str, function: Callable[..., Any]) -> Report: ...
def check(number: str, function: Any = None) -> Any:
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
    if function is not None:
        return judged(exercise, function)

    def decorate(function: Function) -> Function:
        print(judged(exercise, function))
        return function

    return decorate


def judged(exercise: Exercise, function: Any) -> Report:
    """Judge a function; mistakes that are known are looked for before the general ones."""
    mine = run(exercise, function)
    if not mine.fault and not explain(mine.results):
        return Report(exercise.number, True, _praise(exercise, mine.results))
    for mistake in exercise.mistakes:
        if mine.is_like(run(exercise, mistake.wrong)):
            return Report(exercise.number, False, mistake.message)
    judge = exercise.judge
    remarks = [functools.partial(judge.remark, function)] if isinstance(judge, Rule) else []
    return Report(exercise.number, False, explain(mine.results, *remarks) or mine.fault)


def run(exercise: Exercise, function: Any) -> Run:
    """Run a function under the judge of an exercise, as far as it gets."""
    found = Run()
    if fault := _signature(exercise, function):
        found.fault = found.kind = fault
        return found
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the message says what NumPy would warn of
            for result in exercise.judge(function):
                found.results.append(result)
    except Wrong as verdict:
        found.fault = found.kind = str(verdict)
    except CallFailedError as failed:
        cause = failed.__cause__ or failed
        found.kind = type(cause).__name__
        line = raised(cause, file_of(function), "The function raised {}.")
        found.fault = f"{line} It was called with {failed}."
    except (Exception, SystemExit) as error:
        found.kind = type(error).__name__
        found.fault = raised(error, file_of(function))
    for i, stored in enumerate(exercise.torch[: len(found.results)]):
        result = found.results[i]
        right = np.asarray(stored, np.float64).reshape(np.shape(result.expected))
        found.results[i] = replace(result, expected=right)
    return found


def _signature(exercise: Exercise, function: Any) -> str:
    """What is wrong with how a function is called; "" if nothing is."""
    if not callable(function):
        return f"Expected the function {exercise.name}, not a {type(function).__name__}."
    try:
        wanted = inspect.signature(exercise.answer)
        inspect.signature(function).bind(*[None] * len(wanted.parameters))
    except TypeError:
        needs, takes = ", ".join(wanted.parameters), inspect.signature(function)
        return f"The check calls {exercise.name}({needs}); yours takes {takes}."
    except ValueError:  # a built-in function tells no signature
        pass
    if _is_empty(function):
        return "The body is still empty: write your code in the place of the three dots."
    return ""


def _is_empty(function: Any) -> bool:
    """Whether a function, or each method of a class, does nothing."""
    inner = inspect.unwrap(function)
    members = vars(inner).values() if inspect.isclass(inner) else [inner]
    codes = [code for member in members if (code := getattr(member, "__code__", None))]
    done = {(i.opname, i.argval) for code in codes for i in dis.get_instructions(code)}
    nothing = {"RESUME", "NOP", "POP_TOP", "RETURN_VALUE"}
    idle = {"LOAD_CONST", "RETURN_CONST"}
    return bool(codes) and all(
        name in nothing or (name in idle and value in (None, ...)) for name, value in done
    )


def _praise(exercise: Exercise, results: list[Result]) -> str:
    """What was compared, and what comes next."""
    names = list(dict.fromkeys(result.name for result in results))
    results_are = listed(names) if len(names) < 4 else f"All {len(names)} results"
    verb = "agree" if len(names) > 1 else "agrees"
    places = {result.where for result in results if result.where}
    inputs = f" on {len(places)} inputs" if len(places) > 1 else ""
    against = exercise.against or getattr(exercise.judge, "against", "")
    torch = " and with PyTorch's values" if exercise.torch else ""
    what = f"{results_are} {verb} with {against}{torch}{inputs}, to {DIGITS} digits."
    return f"{sentences(what)} {exercise.after}"


def file_of(function: Any) -> str:
    """The name of the file, or of the notebook's cell, in which a function or class stands."""
    inner = inspect.unwrap(function)
    members = [inner, *getattr(inner, "__dict__", {}).values()]
    codes = [code for x in members if (code := getattr(x, "__code__", None))]
    return codes[0].co_filename if codes else ""


UNUSABLE = "The check stopped with {}: it could not use what the function returned."


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
