"""The price of remembering: one small recorded operation, forward and backward.

A chain `y = f(y)` of a thousand operations on ten float32 numbers, and back through it: at this
size a framework does nothing but keep its books. `numpy` is the same arithmetic without any: the
operation, and by hand what its derivative computes.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workers import Contestant, interleaved, reserved_stdout, serve, summary

LENGTH, SIZE = 1000, 10
OPERATIONS = {
    "add": "y + c",
    "mul": "y * c",
    "mul 2": "y * w, w with a gradient",
    "tanh": "tanh(y)",
}


def main(
    rounds: int = 15,
    peers: tuple[str, ...] = ("torch",),
    out: Path = Path("runs/benchmarks"),
) -> None:
    """Measure the overhead of one small operation, beside NumPy and PyTorch.

    Args:
        rounds: How often every library is asked; medians are compared.
        peers: What else to measure: torch, where it is installed.
        out: Where overhead.json and overhead.png go.
    """
    questions = [*OPERATIONS, *[f"forward {name}" for name in OPERATIONS]]
    contestants = [Contestant(name, (name,)) for name in ("numpy", "minigrad", *peers)]
    versions, times = interleaved(__name__, contestants, questions, rounds, threads=1)
    table = {
        library: {
            question: summary([s / LENGTH * 1e6 for s in seconds])
            for question, seconds in rows.items()
            if library == "numpy" or question in OPERATIONS
        }
        for library, rows in times.items()
    }
    print(f"Microseconds for one operation, forward and backward: medians of {rounds} rounds")
    print(f"(numpy {versions['numpy']}, Python {platform.python_version()}, one thread).\n")
    head = "".join(f"{name:>10}" for name in OPERATIONS)
    print(f"{'':<22}{head}{'mean':>10}{'/ torch':>10}{'> numpy':>10}{'> call':>10}")
    means = {
        name: statistics.mean(rows[op]["median"] for op in OPERATIONS)
        for name, rows in table.items()
    }
    call = statistics.mean(table["numpy"][f"forward {op}"]["median"] for op in OPERATIONS)
    for library, rows in table.items():
        cells = "".join(f"{rows[op]['median']:>10.2f}" for op in OPERATIONS)
        ratio = f"{means[library] / means['torch']:>10.2f}" if "torch" in means else f"{'':>10}"
        above = f"{means[library] - means['numpy']:>10.2f}{means[library] - call:>10.2f}"
        name = f"{library} {versions[library]}"
        print(f"{name:<22}{cells}{means[library]:>10.2f}{ratio}{above}")
    print("\n> numpy: above the same arithmetic, forward and backward; > call: above the forward")
    print("NumPy call alone.")
    out.mkdir(parents=True, exist_ok=True)
    result = {"unit": "microseconds", "versions": versions, "times": table}
    (out / "overhead.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    draw(table, out / "overhead.png")
    print(f"\n{out / 'overhead.json'}, {out / 'overhead.png'}")


def draw(table: dict[str, dict[str, Any]], path: Path) -> None:
    """Bars: for each operation the time in each library."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(table)
    for number, (library, rows) in enumerate(table.items()):
        places = np.arange(len(OPERATIONS)) + (number - (len(table) - 1) / 2) * width
        heights = [rows[op]["median"] for op in OPERATIONS]
        bars = axes.bar(places, heights, width, label=library)
        axes.bar_label(bars, fmt="%.1f", fontsize=7)
    axes.set_xticks(range(len(OPERATIONS)), [f"{k}\n{v}" for k, v in OPERATIONS.items()])
    axes.set_ylabel("µs, forward and backward")
    axes.set_title(f"One operation on {SIZE} numbers")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


# --- the worker's side ------------------------------------------------------------------------

START = np.full(SIZE, 0.5, np.float32)
FACTOR = np.full(SIZE, 0.999, np.float32)
Step = Callable[[Any], Any]
Library = tuple[str, Callable[[str], object]]  # its version, and a run of an operation by name


def steps(tanh: Step, c: Any, w: Any) -> dict[str, Step]:
    """One operation of each kind, for libraries with operators."""
    return {"add": lambda y: y + c, "mul": lambda y: y * c, "mul 2": lambda y: y * w, "tanh": tanh}


def chain(step: Step, x: Any) -> Any:
    """The operation, a thousand times."""
    for _ in range(LENGTH):
        x = step(x)
    return x


def timed(run: Callable[[], Any]) -> float:
    """The seconds of the shortest of five runs: a pause of the machine does not lengthen it."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def numpy_times() -> Library:
    """The same arithmetic without any books."""
    forward = steps(np.tanh, FACTOR, FACTOR)

    def by_hand(name: str) -> object:
        ys = [START]
        for _ in range(LENGTH):
            ys.append(forward[name](ys[-1]))
        g, w_gradient = START, np.zeros_like(START)
        for y in reversed(ys[1:]):
            if name == "mul 2":
                w_gradient += g * y
            if name.startswith("mul"):
                g = g * FACTOR
            if name == "tanh":
                g = g * (1 - y * y)
        return g

    return np.__version__, by_hand


def minigrad_times() -> Library:
    """The library at hand."""
    from importlib.metadata import version

    import minigrad as mg

    x, w = (mg.tensor(v, requires_grad=True) for v in (START, FACTOR))
    step, seed = steps(mg.tanh, mg.tensor(FACTOR), w), mg.tensor(START)
    return version("minigrad"), lambda name: chain(step[name], x).backward(seed)


def torch_times() -> Library:
    """PyTorch, eager."""
    import torch

    torch.set_num_threads(1)
    x, w = (torch.tensor(v, requires_grad=True) for v in (START, FACTOR))
    step, seed = steps(torch.tanh, torch.tensor(FACTOR), w), torch.tensor(START)
    return torch.__version__, lambda name: chain(step[name], x).backward(seed)


if __name__ == "__main__":
    library = sys.argv[1]
    try:
        version, run = globals()[f"{library}_times"]()
    except ImportError:
        sys.exit()
    forward = steps(np.tanh, FACTOR, FACTOR)

    def measure(question: str) -> float:
        """The seconds of a chain, there and back; of the way there for NumPy alone."""
        name = question.removeprefix("forward ")
        if name == question:
            return timed(lambda: run(name))
        return timed(lambda: chain(forward[name], START)) if library == "numpy" else float("nan")

    serve(reserved_stdout(), version, measure)
