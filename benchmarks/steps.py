"""The two training steps, whole, in minigrad and PyTorch, and what they cost besides.

`contestants/task.py` says what a step is. All start from the same weights, and have to compute the
same losses before anything is measured.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.contestants.task import CHAINS, Task
from benchmarks.measuring import COST_STEPS
from benchmarks.tables import OUT, draw, markdown, number, title, write
from benchmarks.workers import (
    TUNED,
    Answers,
    Contestant,
    Measuring,
    chosen,
    differing,
    started,
    warn_of_openblas,
)

PLAIN, FAST = {"MINIGRAD_FAST": "0"}, {"MINIGRAD_FAST": "1"}
GAN, LSTM = ("gan",), ("lstm",)
CONTESTANTS = (
    Contestant("PyTorch, eager", "torch", "textbook"),
    Contestant("PyTorch, nn.LSTM", "torch", kinds=LSTM),
    Contestant("PyTorch, nn.LSTM, malloc tuned", "torch", kinds=LSTM, environment=TUNED),
    Contestant("PyTorch, fused Adam", "torch", "textbook", "fused", GAN),
    Contestant("PyTorch, torch.compile", "torch", "textbook", "compile"),
    Contestant("minigrad, textbook", "minigrad", "textbook", kinds=LSTM, environment=PLAIN),
    Contestant("minigrad, textbook, fast", "minigrad", "textbook", kinds=LSTM, environment=FAST),
    Contestant("minigrad", "minigrad", environment=PLAIN),
    Contestant("minigrad, fast", "minigrad", environment=FAST),
    Contestant("matrix products alone", "numpy"),
)
IN_CHAINS = (
    Contestant("PyTorch, eager", "torch", kinds=CHAINS),
    Contestant("minigrad", "minigrad", kinds=CHAINS),
    Contestant("NumPy", "numpy", kinds=CHAINS),
    Contestant("NumPy, forward alone", "numpy", mode="forward", kinds=CHAINS),
)
REFERENCE = CONTESTANTS[0].name
STEPS = ("gan", "lstm 5", "lstm 20", "lstm 100")

Table = dict[str, dict[str, float]]  # milliseconds by step and contestant


def main(
    rounds: int | None = None,
    threads: int | None = None,
    steps: tuple[str, ...] = STEPS,
    only: tuple[str, ...] = (),
    against: Path | None = None,
    out: Path = OUT,
) -> None:
    """Measure whole training steps, beside PyTorch's and beside the matrix products alone.

    Args:
        rounds: How often everything is measured; 9, and 31 with --against. Medians are compared.
        threads: For linear algebra; 2, and 1 with --against.
        steps: Which: gan, or "lstm T" over T time steps, "lstm T N H" with batch and hidden size.
        only: Words, one of which a contestant's name must contain; none for all.
        against: The folder of another checkout of minigrad. Measures minigrad alone, with the code
            of both, and ends with code 1 if this one is slower; docs/benchmarks.md says when it is.
        out: Where steps.json and steps.png go, or against.json.
    """
    for option, count in (("rounds", rounds), ("threads", threads)):
        if count is not None and count < 1:
            refuse(f"--{option} {count}: must be 1 or more")
    try:
        tasks = [Task.named(step) for step in steps]
    except ValueError as error:
        refuse(f"--steps: {error}")
    if not tasks:
        refuse("--steps: needs at least one, such as gan")
    if against is not None:
        from benchmarks.against import ROUNDS, THREADS, compare, rows_of  # builds on this module

        rows = rows_of(steps, only)
        if not compare(against, rows, rounds or ROUNDS, threads or THREADS, out):
            raise SystemExit(1)
        return
    measure("steps", chosen(CONTESTANTS, only), steps, rounds or 9, threads or 2, out)


def overhead(rounds: int = 9, only: tuple[str, ...] = (), out: Path = OUT) -> None:
    """Measure the overhead of one small operation, beside PyTorch and NumPy.

    Milliseconds of a thousand operations are microseconds of one.

    Args:
        rounds: How often everything is measured; medians are compared.
        only: Words, one of which a contestant's name must contain; none for all.
        out: Where overhead.json and overhead.png go.
    """
    table = measure("overhead", chosen(IN_CHAINS, only), CHAINS, rounds, 1, out)
    print("\nThe mean of the operations in microseconds:")
    for name in table[CHAINS[0]]:
        mean = statistics.mean(row[name] for row in table.values())
        print(f"{name:<22}{mean:6.2f}")


def refuse(message: str) -> NoReturn:
    """End the program because of what it was given, with code 2."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def measure(
    what: str,
    contestants: Sequence[Contestant],
    steps: Sequence[str],
    rounds: int,
    threads: int,
    out: Path,
) -> Table:
    """Measure steps, print a table, and write and draw it.

    Args:
        what: The name of the two files.
        contestants: Those whose library is not installed are left out.
        steps: Their names.
        rounds: How often.
        threads: For linear algebra, in every process.
        out: Where the files go.

    Returns:
        Medians over the rounds.
    """
    workers = [Measuring(contestant, threads) for contestant in contestants]
    found, _ = started(workers)
    if not found:
        refuse("--only: nobody of this name can be measured here")
    ready: Answers = {
        w.name: {s: w.ask("prepare", s) for s in steps if w.contestant.makes(s)} for w in found
    }
    for (name, step), why in differing(contestants, ready).items():
        raise SystemExit(f"{step}: the losses differ: {name}: {why}")
    times: dict[str, dict[str, list[float]]] = {s: {w.name: [] for w in found} for s in steps}
    for number_ in range(rounds + 1):
        for step in steps:
            for worker in found:
                if "loss" in ready[worker.name].get(step, {}):
                    seconds = worker.ask("wait", step).get("latency", math.nan)
                    times[step][worker.name] += [1e3 * seconds] if number_ else []  # warms up first
    for worker in workers:
        worker.close()
    table = {
        step: {name: statistics.median(row[name] or [math.nan]) for name in row}
        for step, row in times.items()
    }
    reference = REFERENCE if REFERENCE in ready else found[0].name
    print(f"Milliseconds of a step, medians of {rounds} rounds, threads: {threads}.")
    print(f"Behind them the ratio to {reference}.\n")
    print(shown(table, {w.name: f"{w.name} {w.version}" for w in found}, reference))
    for name, answers in ready.items():
        for step, answer in answers.items():
            if "reason" in answer:
                print(f"{name} is left out of {title(step)}: {answer['reason']}")
    warn_of_openblas()
    versions = {worker.name: worker.version for worker in found}
    write(out / f"{what}.json", threads=threads, versions=versions, milliseconds=times)
    if not any(math.isnan(row[reference]) for row in table.values()):
        ratios = {s: {n: t / row[reference] for n, t in row.items()} for s, row in table.items()}
        draw(ratios, reference, out / f"{what}.png")
    print(*sorted(out.glob(f"{what}.*")), sep="\n")
    return table


def shown(table: Table, names: dict[str, str], reference: str) -> str:
    """The times and their ratios to the reference, a row for each contestant."""

    def cell(name: str, row: dict[str, float]) -> str:
        time, ratio = number(row[name], ".2f"), number(row[name] / row[reference], ".2f")
        return f"{time} = **{ratio}**" if time and ratio else time

    rows = [[full, *(cell(name, row) for row in table.values())] for name, full in names.items()]
    return markdown(["", *map(title, table)], rows)


def costs(
    threads: int = 2,
    steps: tuple[str, ...] = (*STEPS, "lstm 1000"),
    only: tuple[str, ...] = ("PyTorch, eager", "nn.LSTM", "minigrad"),
    out: Path = OUT,
) -> None:
    """Measure memory, import, installed size and the time to the first step, each run afresh.

    Args:
        threads: For linear algebra.
        steps: Which.
        only: Words, one of which a contestant's name must contain.
        out: Where costs.json goes.
    """
    found: dict[str, dict[str, Any]] = {}
    for contestant in chosen(CONTESTANTS, only):
        for step in filter(contestant.makes, steps):
            worker = Measuring(contestant, threads)
            if not worker.greet():
                answer = worker.ask("cost", step)
                if "reason" not in answer:
                    found.setdefault(contestant.name, {})[step] = answer
            worker.close()
    print(f"Of each step the peak memory in MB of a process that makes {COST_STEPS}, and seconds")
    print("from the import to the end of the first.\n")
    rows = []
    for name, row in found.items():
        one, *_ = row.values()
        cells = [f"{one['import_s']:.2f} s", f"{one['installed_mb']:.0f} MB"]
        for step in steps:
            entry = row.get(step)
            cells += [f"{entry['peak_mb']:.0f}, {entry['first_step_s']:.1f} s" if entry else ""]
        rows.append([name, *cells])
    print(markdown(["", "import", "installed", *map(title, steps)], rows))
    write(out / "costs.json", threads=threads, costs=found)
    print(out / "costs.json")
