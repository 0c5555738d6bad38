"""End runs at any moment, go on with them, and compare: `python -m tests.reliability.kills`."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import tyro

from .operations import Operation, Watch, recorded
from .runs import KINDS, Ended, Laboratory, Tally, Trial, laboratory

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MOST = 5  # signals to one run
EVERY = (1, 2, 3, 5)  # steps between two checkpoints
STEPS = 2  # the same, where the moments are not random


def main(
    signals: int = 400,
    fresh: int = 40,
    points: int | None = None,
    again: int | None = None,
    kinds: tuple[Literal["lstm", "gan", "classifier", "sweep"], ...] = tuple(KINDS),  # type: ignore[assignment]
    minutes: float = math.inf,
    seed: int = 0,
    work: Path | None = None,
) -> int:
    """End runs by signals at random moments, and by SIGKILL before each operation on a file.

    Each run goes on with --resume until it ends. Then everything must be, byte for byte, as in a
    run that nothing has disturbed.

    Args:
        signals: How many runs get signals at random moments.
        fresh: How many more such runs are new processes, which are hit while they import, too.
        points: Before how many operations runs are killed; None: before each one.
        again: The same for runs that go on after a kill.
        kinds: The runs.
        minutes: For how long to try; what was not tried by then is left out.
        seed: Of the random moments.
        work: A folder for the runs; else the system's for temporary files.
    """
    tally = Tally()
    with laboratory(kinds, seed, minutes, work) as lab:
        for number in range(signals + fresh):
            if lab.is_over:
                break
            by = SIGNALS[number // len(kinds) % len(SIGNALS)]
            by_signals(lab, tally, kinds[number % len(kinds)], by, number >= signals)
        before_operations(lab, tally, kinds, points)
        before_operations_again(lab, tally, kinds, again)
    return tally.conclude()


# --- signals at random moments --------------------------------------------------------------------


def by_signals(lab: Laboratory, tally: Tally, kind: str, by: signal.Signals, fresh: bool) -> None:
    """Send a signal to a run, and go on with it, again and again until it ends."""
    every = lab.random.choice(EVERY)
    expected, trial = lab.unbroken(kind, every), lab.trial(kind, every)
    group = f"{by.name} at random moments{' of new processes' if fresh else ''}"
    moments: list[float] = []
    problems: list[str] = []
    sent, started = 0, time.monotonic()
    while not problems:
        process = trial.resume(fresh=fresh) if begun(trial) else trial.begin(fresh=fresh)
        if sent < MOST:
            moments.append(lab.random.uniform(0, lab.duration(kind, fresh)))
            process.ends(moments[-1])
            sent += process.poll() is None
            process.send(by)
        ended = process.wait()
        problems = faults(ended, by)
        if ended.code == 0:
            break
    if not sent:  # the moment was too late
        lab.shorten(kind, fresh, time.monotonic() - started)
    problems = problems or expected.differences(trial.run)
    words = f"{kind} every {every}, after {', '.join(f'{m:.3f}' for m in moments)} s"
    tally.add(group, words if problems else f"{sent} signals", problems)
    shutil.rmtree(trial.where)


def begun(trial: Trial) -> bool:
    """Whether there is a run to go on with; what was ended even before is taken away."""
    if (trial.run / "config.json").exists():
        return True
    shutil.rmtree(trial.run, ignore_errors=True)
    return False


def faults(ended: Ended, by: signal.Signals) -> list[str]:
    """What is wrong with the end of a process to which a signal was sent, if it was in time."""
    # before the run has begun, a signal does what it does to any program
    good = {0, -by, 128 + by}
    wrong = []
    if ended.code not in good:
        wrong.append(str(ended))
    if "Traceback" in ended.err:
        wrong.append(f"a traceback: {ended.last}")
    return wrong


# --- before each operation on a file --------------------------------------------------------------


def before_operations(
    lab: Laboratory, tally: Tally, kinds: Sequence[str], points: int | None
) -> None:
    """Kill runs before an operation, for each or for some of their operations."""
    chosen: list[tuple[str, Operation]] = []
    for kind in kinds if points != 0 else ():
        whole = lab.trial(kind, STEPS)
        chosen += [(kind, operation) for operation in recorded(whole.begin, whole.where)]
    lab.random.shuffle(chosen)
    for kind, operation in chosen[:points]:
        if lab.is_over:
            break
        trial = lab.trial(kind, STEPS)
        killed = trial.begin(kill_before(operation.number, trial.where)).wait()
        goes_on(lab, tally, trial, killed, str(operation), "SIGKILL before an operation")


def before_operations_again(
    lab: Laboratory, tally: Tally, kinds: Sequence[str], points: int | None
) -> None:
    """Kill runs that go on after a kill, for each or for some of their operations."""
    group = "SIGKILL before an operation of a run that goes on"
    left = points
    for kind in kinds if points != 0 else ():
        whole = lab.trial(kind, STEPS)
        operations = recorded(whole.begin, whole.where)
        first = lab.random.choice(operations[len(operations) // 10 :])
        trial = lab.trial(kind, STEPS)
        trial.begin(kill_before(first.number, trial.where)).wait()
        copy = kept(trial)
        chosen = recorded(trial.resume, trial.where)
        lab.random.shuffle(chosen)
        share = None if left is None else -(-left // (len(kinds) - kinds.index(kind)))
        left = None if left is None or share is None else left - share
        for operation in chosen[:share]:
            if lab.is_over:
                return
            trial = lab.trial(kind, STEPS)
            shutil.copytree(copy, trial.where)
            killed = trial.resume(kill_before(operation.number, trial.where)).wait()
            goes_on(lab, tally, trial, killed, f"{operation} after {first}", group)
        shutil.rmtree(copy)


def kept(trial: Trial) -> Path:
    """A copy of a trial's working folder."""
    copy = trial.where.with_suffix(".kept")
    trial.where.mkdir(exist_ok=True)
    shutil.copytree(trial.where, copy)
    return copy


def kill_before(number: int, folder: Path) -> Callable[[], None]:
    """What a child does to be killed before its operation of this number."""

    def before(operation: Operation) -> None:
        if operation.number == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: Watch(folder, before).start()


def goes_on(
    lab: Laboratory, tally: Tally, trial: Trial, killed: Ended, point: str, group: str
) -> None:
    """Go on with a run that was killed, and compare."""
    trial.where.mkdir(exist_ok=True)
    config = (trial.run / "config.json").exists()
    ended = trial.resume().wait()
    problems, how = [str(ended)], ""
    if ended.code == 0:
        problems, how = lab.unbroken(trial.kind, STEPS).differences(trial.run), "ended right"
    elif ended.code == 2 and not config and not [*trial.run.glob("**/*.safetensors")]:
        problems, how = ["a traceback"] * ("Traceback" in ended.err), "there was no run yet"
    if killed.code != -signal.SIGKILL:
        how = "had ended before"
    tally.add(group, f"{trial.kind} {point}" if problems else how, problems)
    shutil.rmtree(trial.where)


if __name__ == "__main__":
    started = time.monotonic()
    code = tyro.cli(main, prog="python -m tests.reliability.kills")
    print(f"{time.monotonic() - started:.0f} seconds")
    sys.exit(code)
