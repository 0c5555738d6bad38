"""Run an answer under the judge of its exercise, and note its results and what ended them."""

from __future__ import annotations

import functools
import inspect
import re
import sys
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minigrad.grad_mode import enable_grad, is_grad_enabled
from minigrad.learn.exercise import Exercise
from minigrad.learn.faults import is_close
from minigrad.learn.judges import CallFailedError, Result, Wrong
from minigrad.learn.source import UNUSABLE, file_of, is_empty, raised

LEFT_OFF = (
    "After the call gradients are still switched off, for all that is computed later. Write "
    "`with mg.no_grad():`, whose end switches them on again."
)


@dataclass
class Run:
    """What a function did under its judge: the results, and what ended them, if anything did."""

    results: list[Result] = field(default_factory=list)
    fault: str = ""
    kind: str = ""  # the error without addresses, or the judge's own words
    is_raised: bool = False  # by the function, or by what it returned
    had_nan: bool = False  # anywhere on the way

    def is_like(self, other: Run) -> bool:
        """Whether another function gave the same results, and failed likewise if it failed."""
        pairs = zip(self.results, other.results, strict=False)
        if len(self.results) != len(other.results) or self.is_raised != other.is_raised:
            return False
        if not all(is_same(mine.got, its.got) for mine, its in pairs):
            return False
        return self.kind == other.kind or (self.is_raised and self.is_telling())

    def is_telling(self) -> bool:
        """Whether wrong numbers say what was computed; zeros, NaN, None and errors do not."""
        wrong = [r.got for r in self.results if not is_close(r.got, r.expected)]
        return any(_has_content(got) for got in wrong)


def _has_content(got: Any) -> bool:
    if isinstance(got, np.ndarray | np.number | int | float):
        return bool(np.any(np.isfinite(got) & (np.asarray(got) != 0)))
    return got is not None


def is_same(one: Any, other: Any) -> bool:
    """Whether two functions gave the same, be it numbers or anything else."""
    if is_close(one, other):
        return True
    both = (one, other)
    if all(isinstance(x, tuple | list) for x in both) and len(one) == len(other):
        return all(map(is_same, one, other))
    return False


def run(exercise: Exercise, function: Any) -> Run:
    """Run a function under the judge of an exercise, as far as it gets."""
    found = Run()
    if fault := _signature(exercise, function):
        found.fault = found.kind = fault
        return found
    limit = sys.getrecursionlimit()
    with enable_grad():
        try:
            note = functools.partial(setattr, found, "had_nan")
            hidden = np.errstate(all="ignore", invalid="call", call=lambda *_: note(True))
            with hidden, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the message says what NumPy would warn of
                for result in exercise.judge(function):
                    found.results.append(result)
        except Wrong as verdict:
            found.fault = found.kind = str(verdict)
        except BrokenPipeError:  # of a learner's print: the command line prints no more, goes on
            raise
        except (Exception, SystemExit) as error:
            _note(found, error, file_of(function))
        finally:
            sys.setrecursionlimit(limit)  # which a learner's function may have raised
        if not is_grad_enabled():  # so nothing that was computed afterwards counts
            return Run(fault=LEFT_OFF, kind=LEFT_OFF)
    for i, stored in enumerate(exercise.torch[: len(found.results)]):
        result = found.results[i]
        right = np.asarray(stored, np.float64).reshape(np.shape(result.expected))
        found.results[i] = replace(result, expected=right)
    return found


def _note(found: Run, error: BaseException, file: str) -> None:
    """Note what a learner's function, or the judge with what it returned, raised."""
    called = isinstance(error, CallFailedError)
    cause = error.__cause__ or error if called else error
    found.kind = re.sub(r"0x[0-9a-f]+", "", f"{type(cause).__name__}: {cause}")
    found.kind += f" ({error})" * called  # with the same arguments
    found.is_raised = True
    found.fault = raised(cause, file, "The function raised {}." if called else UNUSABLE)
    if called and str(error):
        found.fault += f" It was called with {error}."


def _signature(exercise: Exercise, function: Any) -> str:
    """What is wrong with how a function is called; "" if nothing is."""
    if not callable(function):
        kind = "None" if function is None else type(function).__name__
        article = "" if function is None else "an " if kind[0] in "aeiou" else "a "
        return f"Expected the function {exercise.name}, not {article}{kind}."
    wanted = [*inspect.signature(exercise.answer).parameters]
    calls = f"The check calls {exercise.name}({', '.join(wanted)})"
    try:
        takes = inspect.signature(function)
        takes.bind(*[None] * len(wanted))
    except TypeError:
        return f"{calls}; yours takes {takes}."
    except ValueError:  # a built-in function tells no signature
        pass
    else:
        names = [*takes.parameters]
        if names != wanted and sorted(names) == sorted(wanted):
            return f"{calls}, in this order; yours takes them as ({', '.join(names)})."
    if is_empty(function):
        return "The body is still empty: write your code in the place of the three dots."
    return ""
