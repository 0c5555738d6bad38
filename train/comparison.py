"""Several runs in one picture: the measurements of each, or the mean and the range of many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .pictures import curve, dress, log_scale, new_figure, style_of
from .windows import Lines, averages, thinned


@dataclass(frozen=True)
class Panel:
    """One measurement, to be compared among runs."""

    name: str
    """In the lines of metrics."""

    title: str

    unit: str
    """Of the axis; measurements in % are logged from 0 to 1."""

    log: bool = False

    guide: tuple[float, str] | None = None
    """A line to compare with, and what it means."""

    moment: bool = False
    """Measured at a moment, now and then; else averaged over all that is between two lines."""


def comparison(
    groups: Mapping[str, Sequence[Lines]], panels: Sequence[Panel], x: str, title: str, path: Path
) -> None:
    """Draw measurements of several runs, a panel for each: the mean of every group, and its range.

    Args:
        groups: By label the measurements of one run or more.
        panels: What to draw.
        x: What stands on the horizontal axis: "epoch" or "step".
        title: What is compared.
        path: The PNG file to write.
    """
    columns = 2 if len(panels) < 5 else 3
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(4.6 * columns, 3.4 * rows + 0.3 * len(groups) + 0.4, rows, columns)
    for axis, panel in zip(axes.flat, panels, strict=False):
        for number, (label, runs) in enumerate(groups.items()):
            style = style_of(number)
            places, values = aligned(runs, x, panel.name, panel.moment)
            if panel.unit == "%":
                values = 100 * values
            means = [{x: a, "y": b} for a, b in zip(places, values.mean(axis=0), strict=True)]
            curve(axis, x, "y", means, label, style)
            if len(runs) > 1:
                low, high = values.min(axis=0), values.max(axis=0)
                axis.fill_between(places, low, high, color=style["color"], alpha=0.2, linewidth=0)
                if len(places) == 1:  # a band of one point is invisible
                    axis.vlines(places, low, high, colors=style["color"])
        if panel.guide is not None:
            place, label = panel.guide
            axis.axhline(place, color="black", linestyle=(0, (1, 3)), linewidth=1, label=label)
        dress(axis, panel.title, x.replace("step", "training step"), panel.unit, legend=False)
        if panel.log:
            log_scale(axis)
        else:
            axis.set_ylim(*(-3, 103) if panel.unit == "%" else (0, None))  # a line at 0 % shows
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    named: dict[str, Any] = {}
    for axis in axes.flat:
        handles, labels = axis.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    figure.legend([*named.values()], [*named], loc="outside lower center", handlelength=4)
    figure.suptitle(title)
    figure.savefig(path)


def aligned(
    runs: Sequence[Lines], x: str, y: str, moment: bool = False
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Where all runs have been measured (P,), and what each was there (R, P), few enough to see.

    Args:
        runs: The measurements of each.
        x: What tells where: "epoch" or "step".
        y: What was measured.
        moment: Whether at moments; else a line averages over all since the line before, and what
            is returned over all since the place before.
    """
    series = [{line[x]: line[y] for line in lines if y in line} for lines in runs]
    common = set(series[0]).intersection(*series)
    found = []
    for each in series:
        lines = [{x: place, y: each[place]} for place in sorted(each)]
        ends = [number for number, line in enumerate(lines, start=1) if line[x] in common]
        means = [lines[end - 1] for end in ends] if moment else averages(lines, x, ends)
        at = [{x: lines[end - 1][x], y: mean[y]} for end, mean in zip(ends, means, strict=True)]
        found.append(thinned(at, None if moment else x))
    places = np.array([line[x] for line in found[0]])
    return places, np.array([[line[y] for line in each] for each in found]).reshape(len(runs), -1)
