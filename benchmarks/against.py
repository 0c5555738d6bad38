"""Did speed fall? The same training steps with the code of two checkouts, in turn.

Every row of the table (a contestant and a step) is measured in four processes: "this" runs the code
of this checkout, "other", "again" and "itself" that of the other one. The last two do not differ,
so their ratio shows what chance does on this machine. A round asks the four right after each other
and turns their order, so that both of a pair mostly meet the machine in the same state.

How the spread and the limit follow, and how well they tell, stands in docs/benchmarks.md under
"Whether a change made it slower". Some luck lasts as long as a process, for instance where its
memory lies, so all processes are started afresh every 8 rounds.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measuring import CHECKED, PACKAGES
from benchmarks.steps import CONTESTANTS, STEPS, refuse
from benchmarks.tables import markdown, write
from benchmarks.workers import (
    CLOSE,
    ROOT,
    Answer,
    Contestant,
    Measuring,
    chosen,
    warn_of_openblas,
)

COPIES = ("this", "other", "again", "itself")
ORDERS = ((0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2), (2, 3, 0, 1))  # a pair stays side by side
TEXTBOOK = ("lstm 20",)  # of the default steps, the only one of the textbook form
ROUNDS, THREADS = 31, 1
RENEWED = 8  # rounds of a process
DRAWS, MIDDLE = 2000, 0.95  # of the bootstrap
MARGIN = 0.02
FEW = 12  # fewer rounds make a spread that means little

Times = dict[str, list[float]]  # of each copy, seconds in each round
Rows = Sequence[tuple[Contestant, str]]  # contestants and their steps


class Row(NamedTuple):
    """What the times of a contestant's step come to.

    Attributes:
        quartiles: Of each copy the lower quartile, in seconds.
        ratio: The median of this / other.
        itself: The median of again / itself.
        spread: How far `itself` may lie from 1 by chance.
    """

    quartiles: dict[str, float]
    ratio: float
    itself: float
    spread: float

    @property
    def limit(self) -> float:
        """The largest ratio that does not count as slower."""
        return 1 + self.spread + MARGIN

    @property
    def slower(self) -> bool:
        """Whether the ratio is above the limit."""
        return self.ratio > self.limit


def row_of(times: Times) -> Row:
    """Judge a contestant's step.

    Args:
        times: Of each copy the seconds in each round.
    """
    this, other, again, itself = (np.array(times[copy]) for copy in COPIES)
    return Row(
        quartiles={copy: float(np.quantile(times[copy], 0.25)) for copy in COPIES},
        ratio=float(np.median(this / other)),
        itself=float(np.median(again / itself)),
        spread=spread(again / itself),
    )


def spread(ratios: np.ndarray[Any, Any]) -> float:
    """How far the median of ratios may lie from 1 by chance.

    Args:
        ratios: Of two copies that do not differ, one ratio for each round.
    """
    drawn = np.random.default_rng(0).choice(ratios, (DRAWS, len(ratios)))
    ends = [(1 - MIDDLE) / 2, (1 + MIDDLE) / 2]
    low, high = np.quantile(np.median(drawn, axis=1), ends)
    return float(max(high, 1 / low)) - 1


def rows_of(steps: Sequence[str], only: Sequence[str]) -> Rows:
    """The contestants that run minigrad's code, each with its steps.

    Args:
        steps: Their names.
        only: Words, one of which a contestant's name must contain; none for all.
    """
    is_short = tuple(steps) == STEPS
    return [
        (contestant, step)
        for contestant in chosen(CONTESTANTS, only)
        if contestant.library == "minigrad"
        for step in filter(contestant.makes, steps)
        if not (is_short and contestant.form == "textbook" and step not in TEXTBOOK)
    ]


def compare(
    other: Path, rows: Rows, rounds: int, threads: int, out: Path, this: Path = ROOT
) -> bool:
    """Measure the rows with the code of both checkouts, print a table and write against.json.

    Args:
        other: The checkout to compare with.
        rows: Contestants and their steps.
        rounds: How often every row is measured.
        threads: For linear algebra.
        out: Where against.json goes.
        this: The checkout that shall not be slower.

    Returns:
        Whether no row is slower.

    Raises:
        SystemExit: With code 2 if one of the checkouts cannot be measured.
    """
    if not rows:
        refuse("--only and --steps: none of minigrad's own contestants has such a name and step")
    this, other = (absolute(folder) for folder in (this, other))
    times, losses = measure(this, other, rows, rounds, threads)
    judged = [row_of(each) for each in times]
    names = [f"{contestant.name}: {step}" for contestant, step in rows]
    commits = {"this": commit(this), "other": commit(other)}
    print(f"this  = {this}, commit {commits['this']}\nother = {other}, commit {commits['other']}")
    print(f"\nMilliseconds of a step are lower quartiles of {rounds} rounds, threads: {threads}.")
    print("Ratios are medians of the rounds' ratios, in brackets those of the lower quartiles.\n")
    print(shown(names, judged))
    warn_of_openblas()
    if rounds < FEW:
        print(f"A spread of fewer than {FEW} rounds means little.\n")
    for name, (ours, theirs) in zip(names, losses, strict=True):
        if not math.isclose(ours, theirs, rel_tol=CLOSE):
            print(f"{name}: after {CHECKED} steps the losses are {ours} and")
            print(f"{theirs}, so the two checkouts do not compute the same.\n")
    slower = [name for name, row in zip(names, judged, strict=True) if row.slower]
    print(f"Slower by more than the spread and {MARGIN:.0%}: {', '.join(slower) or 'none'}.")
    found = [
        {"contestant": contestant.name, "step": step, **row._asdict()}
        | {"limit": row.limit, "slower": row.slower, "losses": loss, "seconds": seconds}
        for (contestant, step), row, loss, seconds in zip(rows, judged, losses, times, strict=True)
    ]
    write(out / "against.json", rounds=rounds, threads=threads, commits=commits, rows=found)
    print(out / "against.json")
    return not slower


def shown(names: Sequence[str], rows: Sequence[Row]) -> str:
    """A row for each contestant's step."""
    cells = []
    for name, row in zip(names, rows, strict=True):
        this, other, again, itself = row.quartiles.values()
        cells.append(
            [
                name,
                f"{1e3 * this:.3f}",
                f"{1e3 * other:.3f}",
                f"{row.ratio:.3f} ({this / other:.3f})",
                f"{row.itself:.3f} ({again / itself:.3f})",
                f"{row.spread:.1%}",
                f"{row.limit:.3f}" + (", slower" if row.slower else ""),
            ]
        )
    heads = ("", "this ms", "other ms", "this / other", "other / other", "spread", "limit")
    return markdown(heads, cells)


def absolute(checkout: Path) -> Path:
    """The absolute path of a checkout; ends the program if it is none."""
    path = checkout.expanduser().resolve()
    if not path.is_dir():
        refuse(f"--against {checkout}: not a folder; give the root of a checkout of minigrad")
    for package in PACKAGES:
        if not (path / package / "__init__.py").is_file():
            refuse(
                f"--against {checkout}: has no {package}/__init__.py; give the root of a checkout "
                "of minigrad"
            )
    return path


def commit(checkout: Path) -> str | None:
    """A checkout's commit; None if it is not in a repository of its own."""
    if not (checkout / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def measure(
    this: Path, other: Path, rows: Rows, rounds: int, threads: int
) -> tuple[list[Times], list[tuple[float, float]]]:
    """Ask the four copies of every row once in each round.

    Args:
        this: The folder of the copy "this".
        other: The folder of the others.
        rows: Contestants and their steps.
        rounds: How often.
        threads: For linear algebra, in every process.

    Returns:
        For each row its times, and the losses of "this" and "other".
    """
    contestants = {contestant.name: contestant for contestant, _ in rows}
    times: list[Times] = [{copy: [] for copy in COPIES} for _ in rows]
    losses: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as compiled:
        for first in range(0, rounds, RENEWED):
            with ExitStack() as stack:
                workers = {
                    name: [
                        stack.enter_context(closing(start(contestant, folder, compiled, threads)))
                        for folder in (this, other, other, other)
                    ]
                    for name, contestant in contestants.items()
                }
                losses = []
                for contestant, step in rows:  # every copy makes its first steps, and so warms up
                    answers = [
                        asked(worker, "prepare", step) for worker in workers[contestant.name]
                    ]
                    losses.append((answers[0]["loss"], answers[1]["loss"]))
                for turn in range(first, min(first + RENEWED, rounds)):
                    for (contestant, step), row in zip(rows, times, strict=True):
                        for number in ORDERS[turn % len(ORDERS)]:
                            answer = asked(workers[contestant.name][number], "wait", step)
                            row[COPIES[number]].append(answer["latency"])
            print(f"{len(times[0]['this'])} of {rounds} rounds", file=sys.stderr)
    return times, losses


def start(contestant: Contestant, checkout: Path, compiled: str, threads: int) -> Measuring:
    """A process that measures a contestant with the code of a checkout.

    What Python and Numba compile goes to a temporary folder, where both file it by the path of its
    source: no process uses what was compiled for the other checkout, or for older code.
    """
    caches = {
        "NUMBA_CACHE_DIR": compiled,
        "PYTHONPYCACHEPREFIX": compiled,
        "PYTHONDONTWRITEBYTECODE": "",  # where it is set, every start would compile again
    }
    named = contestant._replace(name=f"{checkout}: {contestant.name}")
    worker = Measuring(named, threads, checkout=str(checkout), environment=caches)
    if why := worker.greet():
        worker.close()
        refuse(f"{worker.name}: {why}")
    return worker


def asked(worker: Measuring, what: str, step: str) -> Answer:
    """A worker's answer; ends the program if it has none."""
    answer = worker.ask(what, step)
    if "reason" in answer:
        refuse(f"{worker.name}, {step}: {answer['reason']}")
    return answer
