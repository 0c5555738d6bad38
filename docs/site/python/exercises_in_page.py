"""The checks of the exercises, which are minigrad.learn's own, for an answer written in a page."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import cell
from live import Printed, new_names

from minigrad.learn.checking import Report, judged
from minigrad.learn.exercise import Exercise, find
from minigrad.learn.source import file_of, raised

NAME = "your answer"  # what tracebacks call it


def check(number: str, code: str) -> dict[str, Any]:
    """Check the answer to an exercise, in names of its own. What it prints is reported.

    Args:
        number: Of the exercise.
        code: The reader's source, which should define the function of the starting code.

    Returns:
        `right`, and the `message`.
    """
    printed = Printed()
    with redirect_stdout(printed), redirect_stderr(printed):
        report = _checked(find(number), code)
    printed.flush()
    return {"right": report.right, "message": str(report)}


def _checked(exercise: Exercise, code: str) -> Report:
    cell.remember(code, NAME)
    names = new_names()
    try:
        exec(compile(code, NAME, "exec", dont_inherit=True), names)
    except (Exception, SystemExit) as error:
        return Report(exercise.number, False, raised(error, NAME))
    if exercise.name in names:
        return judged(exercise, names[exercise.name])
    found = [name for name, value in names.items() if file_of(value) == NAME]
    rename = f" It defines {found[0]}: rename it?" if len(found) == 1 else ""
    wanted = f"The check calls {exercise.name}, which your answer does not define.{rename}"
    return Report(exercise.number, False, wanted)
