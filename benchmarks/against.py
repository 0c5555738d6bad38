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

import importlib
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.contestants.task import Queue, Task
from benchmarks.steps import CHECKED, CONTESTANTS, STEPS, measured, refuse, write
from benchmarks.workers import (
    Contestant,
    Worker,
    machine,
    reserved_stdout,
    serve,
    warn_of_openblas,
)

HERE = Path(__file__).resolve().parent.parent
PACKAGES = ("minigrad", "models")
COPIES = ("this", "other", "again", "itself")
ORDERS = ((0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2), (2, 3, 0, 1))  # a pair stays side by side
TEXTBOOK = ("lstm 20",)  # of the default steps, the only one of the textbook form
ROUNDS, THREADS = 31, 1
RENEWED = 8  # rounds of a process
DRAWS, MIDDLE = 2000, 0.95  # of the bootstrap
MARGIN = 0.02
FEW = 12  # fewer rounds make a spread that means little

Times = dict[str, list[float]]  # of each copy, seconds in each round


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


def rows_of(steps: Sequence[str], only: Sequence[str]) -> list[tuple[Contestant, str]]:
    """The contestants that run minigrad's code, each with its steps.

    Args:
        steps: Their names.
        only: Words, one of which a contestant's name must contain; none for all.
    """
    rows = []
    for contestant in CONTESTANTS:
        library, form, _, kinds = contestant.words
        if library != "minigrad" or (only and not any(word in contestant.name for word in only)):
            continue
        for step in steps:
            if Task.named(step).kind not in kinds.split():
                continue
            if form == "textbook" and tuple(steps) == STEPS and step not in TEXTBOOK:
                continue
            rows.append((contestant, step))
    return rows


def compare(
    other: Path,
    rows: Sequence[tuple[Contestant, str]],
    rounds: int,
    threads: int,
    out: Path,
    this: Path = HERE,
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
    commits = {"this": commit(this), "other": commit(other)}
    found = [
        {"contestant": contestant.name, "step": step, **row._asdict()}
        | {"limit": row.limit, "slower": row.slower, "losses": loss, "seconds": seconds}
        for (contestant, step), row, loss, seconds in zip(rows, judged, losses, times, strict=True)
    ]
    result = {
        "unit": "seconds",
        "date": date.today().isoformat(),
        "rounds": rounds,
        "threads": threads,
        "machine": machine(),
        "commits": commits,
        "rows": found,
    }
    print(f"this  = {this}, commit {commits['this']}\nother = {other}, commit {commits['other']}")
    print(f"\nMilliseconds of a step are lower quartiles of {rounds} rounds, threads: {threads}.")
    print("Ratios are medians of the rounds' ratios, in brackets those of the lower quartiles.\n")
    print_table(found)
    warn_of_openblas()
    if rounds < FEW:
        print(f"A spread of fewer than {FEW} rounds means little.\n")
    for (contestant, step), (ours, theirs) in zip(rows, losses, strict=True):
        if not math.isclose(ours, theirs, rel_tol=1e-4):
            print(f"{contestant.name}: {step}: after {CHECKED} steps the losses are {ours} and")
            print(f"{theirs}, so the two checkouts do not compute the same.\n")
    slower = [f"{each['contestant']}: {each['step']}" for each in found if each["slower"]]
    print(f"Slower by more than the spread and {MARGIN:.0%}: {', '.join(slower) or 'none'}.")
    write(result, out / "against.json")
    return not slower


def print_table(found: Sequence[dict[str, Any]]) -> None:
    """A line for each contestant's step."""
    heads = ("this ms", "other ms", "this / other", "other / other", "spread", "limit")
    print(f"{'':<34}" + "".join(f"{head:>17}" for head in heads))
    for row in found:
        this, other, again, itself = row["quartiles"].values()
        cells = (
            f"{1e3 * this:.3f}",
            f"{1e3 * other:.3f}",
            f"{row['ratio']:.3f} ({this / other:.3f})",
            f"{row['itself']:.3f} ({again / itself:.3f})",
            f"{row['spread']:.1%}",
            f"{row['limit']:.3f}",
        )
        name = f"{row['contestant']}: {row['step']}"
        line = f"{name:<34}" + "".join(f"{cell:>17}" for cell in cells)
        print(line + ("   slower" if row["slower"] else ""))
    print()


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
    this: Path,
    other: Path,
    rows: Sequence[tuple[Contestant, str]],
    rounds: int,
    threads: int,
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
                    ours, theirs, *_ = (
                        ask(worker, f"loss {step}") for worker in workers[contestant.name]
                    )
                    losses.append((ours, theirs))
                for turn in range(first, min(first + RENEWED, rounds)):
                    for (contestant, step), row in zip(rows, times, strict=True):
                        for number in ORDERS[turn % len(ORDERS)]:
                            seconds = ask(workers[contestant.name][number], step)
                            row[COPIES[number]].append(seconds)
            print(f"{len(times[0]['this'])} of {rounds} rounds", file=sys.stderr)
    return times, losses


def start(contestant: Contestant, checkout: Path, compiled: str, threads: int) -> Worker:
    """A process that measures a contestant with the code of a checkout.

    What Python and Numba compile goes to a temporary folder, where both file it by the path of its
    source: no process uses what was compiled for the other checkout, or for older code.
    """
    caches = {
        "NUMBA_CACHE_DIR": compiled,
        "PYTHONPYCACHEPREFIX": compiled,
        "PYTHONDONTWRITEBYTECODE": "",  # where it is set, every start would compile again
    }
    worker = Worker(
        __name__,
        Contestant(
            f"{checkout}: {contestant.name}",
            (str(checkout), contestant.words[1]),
            {**contestant.environment, **caches},
        ),
        threads,
    )
    if worker.version != str(checkout):
        worker.close()
        refuse(f"{worker.name}: {worker.version or 'its process ended'}")
    return worker


def ask(worker: Worker, question: str) -> float:
    """A number from a worker; ends the program if it has none."""
    answer = worker.say(question)
    try:
        return float(answer)
    except ValueError:
        refuse(f"{worker.name}, {question}: {answer or 'its process ended'}")


# --- the worker's side ------------------------------------------------------------------------


def import_from(checkout: Path) -> None:
    """Import the packages of a checkout, wherever else they are installed.

    Args:
        checkout: Its absolute path.

    Raises:
        ImportError: What was imported lies elsewhere.
    """
    sys.path.insert(0, str(checkout))
    for package in PACKAGES:
        file = importlib.import_module(package).__file__
        if file is None or not Path(file).is_relative_to(checkout):
            raise ImportError(f"{package} was imported from {file}, not from {checkout}")


def answer(checkout: Path, form: str) -> None:
    """Say the checkout once its packages are imported, then answer the driver's questions.

    The question "loss STEP" makes the first steps and is answered with the loss, then STEP with
    the seconds of a step. An error is the last answer.

    Args:
        checkout: Whose code is to be measured.
        form: "textbook" or "layer".
    """
    answers = reserved_stdout()
    queues: dict[str, Queue] = {}

    def reply(question: str) -> float:
        step = question.removeprefix("loss ")
        if step == question:
            return measured(queues[step])
        make = importlib.import_module("benchmarks.contestants.minigrad_steps").queue
        queues[step] = make(Task.named(step), form, "eager", "cpu")
        return [queues[step].run() for _ in range(CHECKED)][-1]

    try:
        import_from(checkout)
        serve(answers, str(checkout), reply)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        print(" ".join(text.split()), file=answers, flush=True)


if __name__ == "__main__":
    answer(Path(sys.argv[1]), sys.argv[2])
