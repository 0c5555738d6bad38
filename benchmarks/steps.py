"""The two training steps, whole, in minigrad and PyTorch, and what they cost besides.

`contestants/task.py` says what a step is. All start from the same weights, and have to compute the
same losses before anything is measured.
"""

from __future__ import annotations

import importlib
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.contestants.task import Queue, Task, Unable
from benchmarks.workers import (
    TUNED,
    Contestant,
    interleaved,
    machine,
    reserved_stdout,
    serve,
    summary,
    warn_of_openblas,
)

PLAIN, FAST = {"MINIGRAD_FAST": "0"}, {"MINIGRAD_FAST": "1"}
BOTH = "gan lstm"  # the steps that a contestant makes
CONTESTANTS = (
    Contestant("PyTorch, eager", ("torch", "textbook", "eager", BOTH)),
    Contestant("PyTorch, nn.LSTM", ("torch", "layer", "eager", "lstm")),
    Contestant("PyTorch, nn.LSTM, malloc tuned", ("torch", "layer", "eager", "lstm"), TUNED),
    Contestant("PyTorch, fused Adam", ("torch", "textbook", "fused", "gan")),
    Contestant("PyTorch, torch.compile", ("torch", "textbook", "compile", BOTH)),
    Contestant("minigrad, textbook", ("minigrad", "textbook", "eager", "lstm"), PLAIN),
    Contestant("minigrad, textbook, fast", ("minigrad", "textbook", "eager", "lstm"), FAST),
    Contestant("minigrad", ("minigrad", "layer", "eager", BOTH), PLAIN),
    Contestant("minigrad, fast", ("minigrad", "layer", "eager", BOTH), FAST),
    Contestant("matrix products alone", ("products", "", "", BOTH)),
)
REFERENCE, PRODUCTS = CONTESTANTS[0].name, CONTESTANTS[-1].name
STEPS = ("gan", "lstm 5", "lstm 20", "lstm 100")
LEAST = 0.3  # seconds of a measurement
CHECKED = 3  # steps before losses are compared
COST_STEPS = 200
OUT = Path("runs/benchmarks")

Table = dict[str, dict[str, Any]]


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
    rounds, threads = rounds or 9, threads or 2
    chosen = [c for c in CONTESTANTS if not only or any(word in c.name for word in only)]
    questions = [*[f"loss {step}" for step in steps], *steps]
    versions, times = interleaved(__name__, chosen, questions, rounds, threads)
    check_losses(steps, times)
    table = {
        step: {name: summary([1e3 * s for s in rows[step]]) for name, rows in times.items()}
        for step in steps
    }
    print(f"Milliseconds of a step, medians of {rounds} rounds with {threads} threads.")
    reference = REFERENCE if REFERENCE in versions else next(iter(versions))
    print(f"In brackets the ratio to {reference}.\n")
    print_table(table, versions, reference)
    result = {
        "unit": "milliseconds",
        "date": date.today().isoformat(),
        "threads": threads,
        "machine": machine(),
        "versions": versions,
        "times": table,
    }
    write(result, out / "steps.json")
    if not math.isnan(table[steps[0]][reference]["median"]):
        draw(table, reference, out / "steps.png")
        print(out / "steps.png")


def refuse(message: str) -> NoReturn:
    """End the program because of what it was given, with code 2."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def check_losses(steps: Sequence[str], times: dict[str, dict[str, list[float]]]) -> None:
    """End the program where two contestants of one form compute different losses."""
    forms = {c.name: c.words[1] for c in CONTESTANTS}
    for step in steps:
        losses: dict[str, dict[str, float]] = {}
        for name, rows in times.items():
            form = "" if step == "gan" else forms[name]
            losses.setdefault(form, {})[name] = rows[f"loss {step}"][0]
        for found in losses.values():
            known = [loss for loss in found.values() if not math.isnan(loss)]
            if known and not all(math.isclose(known[0], x, rel_tol=1e-4) for x in known):
                raise SystemExit(f"{step}: the losses differ: {found}")


def print_table(table: Table, versions: dict[str, str], reference: str) -> None:
    """A line for each contestant, a column for each step."""
    print(f"{'':<44}" + "".join(f"{step:>18}" for step in table))
    for name, number in versions.items():
        cells = ""
        for row in table.values():
            value, base = row[name]["median"], row[reference]["median"]
            cell = "" if math.isnan(value) else f"{value:.2f}"
            if cell and not math.isnan(base):
                cell += f" ({value / base:.2f})"
            cells += f"{cell:>18}"
        print(f"{name + ' ' + number:<44}{cells}")
    print()
    warn_of_openblas()


def draw(table: Table, reference: str, path: Path) -> None:
    """Bars: for each step the ratio of everybody to the reference, ours in another colour."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 5), layout="constrained")
    every = figure.subplots(1, len(table), squeeze=False)[0]
    for axes, (step, row) in zip(every, table.items(), strict=True):
        base = row[reference]["median"]
        ratios = {n: entry["median"] / base for n, entry in row.items()}
        shown = sorted([(r, n) for n, r in ratios.items() if not math.isnan(r)], reverse=True)
        colours = [
            "tab:grey" if "products" in n else "tab:blue" if "minigrad" in n else "tab:orange"
            for _, n in shown
        ]
        longest = min(2.2, 1.25 * max(r for r, _ in shown))  # a bar that is cut says its number
        lengths = [min(r, longest) for r, _ in shown]
        bars = axes.barh([n for _, n in shown], lengths, color=colours)
        axes.bar_label(bars, [f"{r:.2f}" for r, _ in shown], fontsize=7, padding=2)
        axes.set_xlim(0, longest)
        axes.tick_params(axis="y", labelsize=7)
        title = step.replace("lstm", "LSTM, T =").replace("gan", "GAN")
        axes.set_title(title, fontsize=10, loc="right")
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(f"time of a training step, {reference} = 1", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


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
    chosen = [c for c in CONTESTANTS if any(word in c.name for word in only)]
    print(
        f"Of each step the peak memory in MB of a process that makes {COST_STEPS} of them, and the"
    )
    print("seconds from the import to the end of the first. Import in seconds, size in MB.\n")
    print(f"{'':<34}{'import':>8}{'size':>7}" + "".join(f"{step:>18}" for step in steps))
    found: Table = {}
    for contestant in chosen:
        row: dict[str, Any] = {}
        for step in steps:
            done = subprocess.run(
                [*contestant.command(__name__), "cost", step],
                env=contestant.variables(threads),
                capture_output=True,
                text=True,
            )
            if done.returncode == 0 and done.stdout.strip():
                row[step] = json.loads(done.stdout.splitlines()[-1])
        if not row:
            continue
        found[contestant.name] = row
        one = next(iter(row.values()))
        cells = f"{one['import_s']:>8.2f}{one['installed_mb']:>7.0f}"
        for step in steps:
            entry = row.get(step)
            cell = f"{entry['peak_mb']:.0f}, {entry['first_step_s']:.2f} s" if entry else ""
            cells += f"{cell:>18}"
        print(f"{contestant.name:<34}{cells}", flush=True)
    write(
        {"date": date.today().isoformat(), "machine": machine(), "costs": found}, out / "costs.json"
    )


def write(result: dict[str, Any], path: Path) -> None:
    """Write measurements as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(path)


# --- the worker's side ------------------------------------------------------------------------


def measured(queue: Queue) -> float:
    """Seconds of a step, the median of as many as fill the time of a measurement."""
    times: list[float] = []
    end = time.perf_counter() + LEAST
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        queue.run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measuring(make: Callable[[str], Queue], who: str) -> Callable[[str], float]:
    """What answers questions about a contestant."""
    queues: dict[str, Queue | None] = {}
    losses: dict[str, float] = {}

    def measure(question: str) -> float:
        name = question.removeprefix("loss ")
        if name not in queues:
            queues[name] = None  # what fails once is not tried again
            try:
                queue = make(name)
                losses[name] = [queue.run() for _ in range(CHECKED)][-1]
                queues[name] = queue
            except Unable:
                pass
            except Exception as error:
                print(f"{who}, {name}: {error!r}"[:300], file=sys.stderr)
        if question != name:
            return losses.get(name, math.nan)
        made = queues[name]
        return measured(made) if made else math.nan

    return measure


def cost(make: Callable[[str], Queue], package: str, name: str) -> dict[str, float]:
    """What a process of its own costs that makes 200 steps."""
    program = f"import time; t = time.perf_counter(); import {package}; "
    program += "print(time.perf_counter() - t)"
    imported = float(subprocess.check_output([sys.executable, "-c", program]))
    importlib.import_module(package)
    start = time.perf_counter()
    queue = make(name)
    queue.run()
    first = time.perf_counter() - start + imported
    for _ in range(COST_STEPS - 1):
        queue.run()
    return {
        "import_s": imported,
        "first_step_s": first,
        "peak_mb": peak_memory() / 1e6,
        "installed_mb": installed(package, set()) / 1e6,
    }


def peak_memory() -> int:
    """The largest resident size of this process so far, in bytes.

    `getrusage` would do on macOS only: on Linux it also counts the process that started this one.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def installed(name: str, seen: set[str]) -> float:
    """The bytes of a package and of all that it requires."""
    name = name.lower().replace("_", "-")
    if name in seen:
        return 0
    seen.add(name)
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return 0
    files = [Path(str(file.locate())) for file in found.files or ()]
    size = float(sum(file.stat().st_size for file in files if file.is_file()))
    for requirement in found.requires or ():
        if "extra ==" not in requirement:
            word = requirement
            for separator in " ;<>=!~[(":
                word = word.partition(separator)[0]
            size += installed(word, seen)
    return size


def answer(library: str, form: str, mode: str, kinds: str, *cost_of: str) -> None:
    """Answer questions about a contestant, or say what one of its steps costs.

    Args:
        library: Its file in `contestants/`.
        form: As the file's `queue` takes it, and so is the mode.
        mode: See form.
        kinds: The kinds of steps that it makes.
        cost_of: "cost" and a step, or nothing.
    """
    answers = reserved_stdout()
    module = importlib.import_module(f"benchmarks.contestants.{library}_steps")

    def make(step: str) -> Queue:
        task = Task.named(step)
        if task.kind not in kinds.split():
            raise Unable("another contestant makes it")
        queue: Queue = module.queue(task, form, mode, "cpu")
        return queue

    with suppress(Unable, PackageNotFoundError):  # who cannot, or is not installed, says nothing
        if cost_of:
            print(json.dumps(cost(make, module.PACKAGE, cost_of[1])), file=answers, flush=True)
        else:
            who = f"{module.PACKAGE}, {form}"
            serve(answers, version(module.PACKAGE), measuring(make, who))


if __name__ == "__main__":
    answer(*sys.argv[1:])
