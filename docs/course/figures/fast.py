"""The pictures of chapter 12: what calls cost, forecasts, batches, a waiting GPU, and a contest.

Two functions get numbers for its cells: `times_of_steps`, which needs two processes, and
`ratios_to_pytorch`, which reads a table of docs/benchmarks.md.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator, NullFormatter

from figures.style import (
    BLACK,
    BLUE,
    GREY,
    LOOKS,
    PALE_BLUE,
    PALE_VERMILION,
    VERMILION,
    Drawing,
    label,
    panels,
)

Numbers = npt.NDArray[np.floating[Any]]
Span = tuple[float, float]  # when something begins, and when it ends

FILLS = [
    (PALE_BLUE, ""),
    (PALE_VERMILION, "///"),
    ("white", ""),
    (GREY, ""),
]  # of areas: told apart without colour


def times_by_size(sizes: Numbers, times: Mapping[str, Numbers]) -> Drawing:
    """How long a call takes against the number of elements, on logarithmic axes.

    Args:
        sizes: Numbers of elements.
        times: By name: the time of one call in microseconds for each size.
    """
    figure, [axes] = panels(height=2.9)
    for (name, line), look in zip(times.items(), LOOKS, strict=False):
        axes.loglog(sizes, line, color=look.color, linestyle=look.linestyle, marker=look.marker)
        place = 2 * len(sizes) // 3
        above = line[place] == max(other[place] for other in times.values())
        label(
            axes,
            sizes[place],
            line[place] * (2.0 if above else 0.5),
            name,
            look.color,
            ha="right" if above else "left",
            va="bottom" if above else "top",
        )
    lowest = min(line[-1] for line in times.values())
    label(axes, sizes[-1], lowest / 30, "out of the cache", ha="center", va="top")
    axes.annotate(
        "", (sizes[-1], lowest / 1.3), (sizes[-1], lowest / 30), arrowprops={"arrowstyle": "->"}
    )
    axes.set_xticks([1, 100, 10_000, 1_000_000], ["1", "100", "10,000", "1,000,000"])
    _plain_times(axes)
    axes.set_xlabel("elements of an array")
    axes.set_ylabel("microseconds of a call")
    return figure


def forecasts(sizes: Sequence[int], measured: Numbers, parts: Mapping[str, Numbers]) -> Drawing:
    """A time and its forecast, and of what the forecast consists, for several sizes.

    Args:
        sizes: Of the network, and of the batch.
        measured: The times in microseconds.
        parts: By name: a part of the forecast, in microseconds, for each size.
    """
    figure, (left, right) = panels(1, 2, height=3.1)
    forecast = np.sum([*parts.values()], axis=0)
    left.loglog(sizes, forecast, "--", color=VERMILION)
    left.loglog(sizes, measured, "o", color=BLUE, markersize=8, fillstyle="none", mew=1.6)
    left.set_ylim(0.35 * min(forecast.min(), measured.min()), 3 * measured.max())
    label(left, 0.8 * sizes[-2], measured[-2], "measured", BLUE, ha="right", va="center")
    between = (forecast[0] * forecast[1]) ** 0.5  # a point of the line, on these axes
    label(left, sizes[0], between / 1.5, "forecast", VERMILION, ha="left", va="top")
    left.set_xticks(sizes, [str(size) for size in sizes])
    left.xaxis.set_minor_formatter(NullFormatter())
    _plain_times(left)
    left.set_xlabel("size of network and batch")
    left.set_ylabel("microseconds of a step")
    below = np.zeros(len(sizes))
    for (name, part), (color, hatch) in zip(parts.items(), FILLS, strict=False):
        above = below + part / forecast
        right.fill_between(
            sizes, below, above, facecolor=color, hatch=hatch, edgecolor=BLACK, linewidth=0.6
        )
        place = min(max(int(np.argmax(above - below)), 1), len(sizes) - 2)
        if (above - below)[place] < 0.12:
            place = len(sizes) // 2  # away from the edge: there is a word beside it
        middle = (below[place] + above[place]) / 2
        if above[place] - below[place] > 0.12:
            label(right, sizes[place], middle, name, ha="center", va="center")
        else:  # the word stands beside its narrow area
            right.annotate(
                name,
                (sizes[place], middle),
                (1.45 * sizes[place], above[place] + 0.04),
                fontsize=10,
                ha="left",
                va="center",
                arrowprops={"arrowstyle": "-", "linewidth": 0.8},
            )
        below = above
    right.set_xscale("log")
    right.set_xticks(sizes, [str(size) for size in sizes])
    right.xaxis.set_minor_formatter(NullFormatter())
    right.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    right.margins(0)
    right.set_xlabel("size of network and batch")
    right.set_title("shares of the forecast", fontsize=11)
    left.set_title("forecast and measured", fontsize=11)
    return figure


def time_of_an_example(batches: Numbers, times: Numbers) -> Drawing:
    """What one example costs in batches of several sizes.

    Args:
        batches: How many examples a batch has.
        times: Microseconds of a training step, divided by that number.
    """
    figure, [axes] = panels(height=2.6)
    axes.loglog(batches, times, "o-", color=BLUE)
    label(axes, batches[-1], 1.6 * times[-1], "measured", BLUE, ha="right", va="bottom")
    axes.loglog(batches, times[0] / batches * batches[0], "--", color=VERMILION)
    half = len(batches) // 2
    label(
        axes,
        batches[half],
        times[0] / batches[half] / 2,
        "if a step cost the same\nfor any batch",
        VERMILION,
        ha="right",
        va="top",
    )
    axes.set_xticks(batches, [f"{size:,.0f}" for size in batches])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0.2 * times.min(), 2.5 * times.max())
    _plain_times(axes)
    axes.set_xlabel("examples in a batch")
    axes.set_ylabel("microseconds per example")
    return figure


def who_waits(rows: Mapping[str, tuple[Sequence[Span], Sequence[Span]]]) -> Drawing:
    """What Python and a GPU do over time, a panel for each way to run the same kernels.

    Args:
        rows: By title: when Python is busy, and when the GPU is.
    """
    figure, grid = panels(len(rows), 1, height=1.75 * len(rows), sharex=True)
    for axes, (title, (python, gpu)) in zip(grid, rows.items(), strict=True):
        for y, spans, (color, hatch) in ((1, python, FILLS[0]), (0, gpu, FILLS[1])):
            bars = [(start, end - start) for start, end in spans]
            axes.broken_barh(
                bars, (y - 0.35, 0.7), facecolor=color, hatch=hatch, edgecolor=BLACK, linewidth=0.7
            )
        end = max(gpu[-1][1], python[-1][1])
        axes.plot([end, end], [-0.5, 1.5], ":", color=GREY)
        axes.text(end + 0.6, 0.5, f"{end:g} µs", va="center", fontsize=11)
        axes.text(gpu[0][0] / 2, 0, "waits", ha="center", va="center", fontsize=10)
        for (_, earlier), (later, _) in itertools.pairwise(gpu):
            if later - earlier > 1:  # wide enough for a word
                middle = (earlier + later) / 2
                axes.text(middle, 0, "waits", ha="center", va="center", fontsize=9, rotation=90)
        axes.set_yticks([0, 1], ["GPU", "Python"])
        axes.set_ylim(-0.6, 1.6)
        axes.set_title(title, fontsize=11, loc="left")
        axes.tick_params(axis="y", length=0)
    longest = max(gpu[-1][1] for _, gpu in rows.values())
    grid[-1].set_xlim(0, 1.14 * longest)
    grid[-1].set_xlabel("microseconds")
    return figure


def contest(columns: Mapping[str, Mapping[str, float]], ours: str, unit: str) -> Drawing:
    """Ratios of times as horizontal bars, a panel for each task.

    Args:
        columns: By the title of the panel: by name, the ratio.
        ours: The word in the names of those whose bars stand out.
        unit: What the time 1 is.
    """
    longest = sorted(columns.values(), key=len, reverse=True)
    names = list(dict.fromkeys(name for column in longest for name in column))[::-1]
    figure, grid = panels(1, len(columns), height=0.75 + 0.29 * len(names), sharey=True)
    for axes, (title, column) in zip(grid, columns.items(), strict=True):
        for place, name in enumerate(names):
            if name not in column:
                continue
            stands_out = ours in name
            axes.barh(
                place,
                column[name],
                0.68,
                color=PALE_VERMILION if stands_out else PALE_BLUE,
                hatch="///" if stands_out else "",
                edgecolor=BLACK,
                linewidth=0.6,
            )
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # a gap in the line at 1
            number = f"{column[name]:.2f}"
            label(axes, column[name] + 0.04, place, number, va="center", bbox=box)
        axes.plot([1, 1], [-0.6, len(names) - 0.4], ":", color=GREY, linewidth=1, zorder=0)
        axes.set_title(title, fontsize=11)
        axes.set_xlim(0, 1.28 * max(column.values()))
        axes.xaxis.set_major_locator(MultipleLocator(0.5))
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(unit)
    grid[0].set_yticks(range(len(names)), names)
    return figure


PROGRAM = """
import sys
sys.path[:0] = ["../..", "."]
from time import perf_counter
import minigrad as mg
from minigrad import nn, optim
from models.lstm import LSTM
from models.lstm_layer import LayerLSTM

mg.manual_seed(0)
x, labels = mg.randn(128, 20, 1), mg.tensor([k % 10 for k in range(128)])
models = LSTM(1, 128, 10), LayerLSTM(1, 128, 10)
optimizers = [optim.RMSprop(model.parameters()) for model in models]


def times():
    found = []
    for model, optimizer in zip(models, optimizers):
        optimizer.zero_grad()
        start = perf_counter()
        loss = nn.functional.cross_entropy(model(x), labels)
        middle = perf_counter()
        loss.backward()
        found += [1000 * (middle - start), 1000 * (perf_counter() - middle)]
        optimizer.step()
    return found
"""
ANSWERS = """
for line in sys.stdin:
    print(*times(), flush=True)
"""  # each line that is read with the times of a step


def times_of_steps(rounds: int = 16) -> dict[str, Numbers]:
    """Milliseconds of chapter 9's training steps, by NumPy alone and with Numba, in turns.

    The LSTM has 128 units and reads 128 sequences of 20 digits. The variable MINIGRAD_FAST, which
    switches Numba's kernels on or off, is read once, so there are two processes. In a browser,
    which has neither processes nor Numba, all is measured here, in a quarter of the rounds.

    Returns:
        For "NumPy" and "Numba" the medians: a row for the six lines and one for `nn.LSTM`, a column
        for the way there and one for the way back. Without Numba both are NumPy's.
    """
    found: dict[str, list[list[float]]] = {"NumPy": [], "Numba": []}
    if sys.platform == "emscripten":
        program: dict[str, Any] = {}
        exec(PROGRAM, program)
        measured = [program["times"]() for _ in range(rounds // 4)]
        found = {name: measured for name in found}
    else:
        workers = {name: _worker(switch) for name, switch in (("NumPy", "0"), ("Numba", "1"))}
        for _ in range(rounds):
            for name, worker in workers.items():
                assert worker.stdin is not None and worker.stdout is not None
                print("go", file=worker.stdin, flush=True)
                found[name].append([float(word) for word in worker.stdout.readline().split()])
        for worker in workers.values():
            worker.communicate()  # ends its input, and waits
    return {name: np.median(times[1:], axis=0).reshape(2, 2) for name, times in found.items()}


def _worker(fast: str) -> subprocess.Popen[str]:
    """A process that answers each line with the times of a step."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + ANSWERS],
        env=os.environ | {"MINIGRAD_FAST": fast},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )


def ratios_to_pytorch(names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The times of the GAN's and the LSTM's training step, of which PyTorch's is 1.

    They are read from the first table of docs/benchmarks.md with such cells.

    Args:
        names: Of the rows.

    Returns:
        By the title of the column: by the name of the row, the ratio; a row may lack it.
    """
    page = (Path(__file__).parents[2] / "benchmarks.md").read_text(encoding="utf-8")
    columns: dict[str, dict[str, float]] = {"GAN": {}, "LSTM, 20 digits": {}}
    for line in page.partition("### On an older processor")[0].splitlines():
        name, *cells = [cell.strip(" *") for cell in line.split("|")[1:-1]] or [""]
        if name in names and len(cells) == 4:
            for title, cell in zip(columns, (cells[0], cells[2]), strict=True):
                # a cell is "10.93 = **1.00**, 1.00", or "(1.13)" where the ratio alone is known
                if ratio := re.search(r"= \*\*([\d.]+)|^\(([\d.]+)\)", cell):
                    columns[title][name] = float(ratio[1] or ratio[2])
    return {
        title: {n: column[n] for n in names if n in column} for title, column in columns.items()
    }


def _plain_times(axes: Axes) -> None:
    """Write 0.1, 1 and 10 at a logarithmic axis of times instead of powers of ten."""
    axes.yaxis.set_major_formatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
