"""Let each write fail, and go on with the run: `python -m tests.reliability.failing_writes`."""

from __future__ import annotations

import errno
import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import tyro

from .operations import Operation, Watch, recorded
from .runs import KINDS, Ended, Laboratory, Tally, Trial, laboratory

EVERY = 2  # steps between two checkpoints
# what fails, and whether all that follows fails too: a full disk stays full
FAILURES = {
    "ENOSPC": (errno.ENOSPC, True),
    "EDQUOT": (errno.EDQUOT, True),
    "EROFS": (errno.EROFS, True),
    "EIO": (errno.EIO, False),
    "half": (errno.ENOSPC, True),  # a few bytes of a write are written, and the rest fails
    "short": (0, False),  # the same, which is no error: the rest can be written
}
SOME = 7  # bytes of a write that stops short
ROOM = ("unlink", "truncate", "fsync")  # these work on a full disk
Failure = Literal["ENOSPC", "EDQUOT", "EROFS", "EIO", "half", "short"]


def main(
    points: int | None = None,
    failures: tuple[Failure, ...] = tuple(FAILURES),  # type: ignore[assignment]
    kinds: tuple[Literal["lstm", "gan", "classifier", "sweep"], ...] = tuple(KINDS),  # type: ignore[assignment]
    minutes: float = math.inf,
    seed: int = 0,
    work: Path | None = None,
) -> int:
    """Let the operations of runs on files fail, one after the other; go on with --resume, compare.

    A run ends by one message that names the run and how to go on, and exit code 1; what was
    measured is not lost: with --resume, once nothing fails any more, everything comes to be, byte
    for byte, as in a run that nothing has disturbed. Where what fails is information (a picture,
    the times, environment.json) the run goes on to its end by itself.

    Args:
        points: How many operations fail, each in one way; None: each one, in every way.
        failures: The ways to fail.
        kinds: The runs.
        minutes: For how long to try; what was not tried by then is left out.
        seed: Of the choice.
        work: A folder for the runs; else the system's for temporary files.
    """
    tally = Tally()
    with laboratory(kinds, seed, minutes, work) as lab:
        chosen: list[tuple[str, Operation, Failure]] = []
        for kind in kinds:
            whole = lab.trial(kind, EVERY)
            chosen += [
                (kind, operation, failure)
                for operation in recorded(whole.begin, whole.where)
                for failure in failures
                if operation.kind == "write" or failure not in ("half", "short")
            ]
        lab.random.shuffle(chosen)
        for each in chosen[:points]:
            if lab.is_over:
                break
            fail_and_go_on(lab, tally, *each)
    return tally.conclude()


def fail_and_go_on(
    lab: Laboratory, tally: Tally, kind: str, operation: Operation, failure: str
) -> None:
    """Let an operation of a run fail, go on with the run, and compare."""
    expected, trial = lab.unbroken(kind, EVERY), lab.trial(kind, EVERY)
    ended = trial.begin(fail_at(operation.number, failure, trial.where)).wait()
    problems = faults(ended, trial)
    how = "the run went on to its end" if ended.code == 0 else "one message"
    if ended.code == 0 and failure == "short":
        problems += expected.differences(trial.run)  # that was no failure
    if (trial.run / "config.json").exists():
        again = trial.resume().wait()
        problems += [str(again)] if again.code != 0 else expected.differences(trial.run)
    else:
        how += ", before there was a run"
        problems += [f"{name} is there" for name in trial.run.glob("**/*.safetensors")]
    words = f"{kind} {operation} fails by {failure}"
    tally.add(failure, f"{words}: {ended}" if problems else how, problems)
    shutil.rmtree(trial.where, ignore_errors=True)


def faults(ended: Ended, trial: Trial) -> list[str]:
    """What is wrong with the end of a run in which something failed."""
    wrong = []
    if "Traceback" in ended.err:
        wrong.append("a traceback")
    if ended.code == 0:
        return wrong
    begun = (trial.run / "config.json").exists()
    if ended.code not in ((1,) if begun else (1, 2)):
        wrong.append(f"exit code {ended.code}")
    messages = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    if len(messages) != 1:
        wrong.append(f"{len(messages)} messages")
    if begun and f"--resume {trial.relative}" not in "".join(messages):
        wrong.append("the message does not say how to go on")
    return wrong


def fail_at(number: int, failure: str, folder: Path) -> Callable[[], None]:
    """What a child does so that its operation of this number fails."""
    code, stays = FAILURES[failure]

    def before(operation: Operation) -> int | None:
        if operation.number < number:
            return None
        if failure in ("half", "short") and operation.number == number:
            return SOME
        if operation.number > number and (not stays or operation.kind in ROOM):
            return None
        raise OSError(code, os.strerror(code), str(folder / operation.name))

    return lambda: Watch(folder, before).start()


if __name__ == "__main__":
    sys.exit(tyro.cli(main, prog="python -m tests.reliability.failing_writes"))
