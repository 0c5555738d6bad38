"""Why a training diverged: the steps since its last checkpoint once more, closely watched."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad import AnomalyError, Tensor

from .checkpoint import NAMES, first_not_finite
from .run import METRICS, RunFolder
from .state import State, Step


class _Found(Exception):
    """Ends a repetition: a step gave a number that is not finite, or the last one is done."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(what)
        self.step = step


@dataclass
class Watch:
    """Looks at every step of a repetition; `Loop.guarded` calls it.

    Attributes:
        last: The last step to repeat.
        closely: The step whose operations are watched one by one, None for none.
    """

    last: int
    closely: int | None = None

    def __call__(self, step: Step, state: State) -> Step:
        """Return the training step, which raises `_Found` where a number is not finite."""

        def watched(*args: Any) -> dict[str, Tensor]:
            if state.step > self.last:
                raise _Found(self.last, "")
            if state.step != self.closely:
                found = step(*args)
            else:
                try:
                    with mg.detect_anomaly():
                        found = step(*args)
                except AnomalyError as error:
                    raise _Found(state.step, str(error)) from None
            place = first_not_finite(state.parts() | {"measurements": found})
            if place is not None:
                raise _Found(state.step, f"the step makes {place} infinite or NaN")
            return found

        return watched


def first_operation(train: Callable[[RunFolder], Any], run: RunFolder, last: int) -> str:
    """Say which operation of which step first gave a number that is not finite.

    The run goes on from its checkpoint in a copy of its folder, at first to find the step, and then
    to find the operation in it.

    Args:
        train: Trains in the folder it is given.
        run: The run that diverged.
        last: The step after which this was seen.

    Returns:
        The step and the operation in words; nothing if all is finite in the repetition.
    """
    found = _repeat(train, run, Watch(last))
    if found is None or not str(found):
        return ""
    closer = _repeat(train, run, Watch(found.step, closely=found.step)) or found
    return f"first in step {found.step}: {closer}"


def _repeat(train: Callable[[RunFolder], Any], run: RunFolder, watch: Watch) -> _Found | None:
    with tempfile.TemporaryDirectory() as folder:
        for name in (*NAMES, METRICS):
            if (run.path / name).exists():
                shutil.copy(run.path / name, folder)
        copy = RunFolder(Path(folder), resumed=True, program=run.program)
        copy.watch = watch
        try:
            train(copy)
        except _Found as found:
            return found
    return None
