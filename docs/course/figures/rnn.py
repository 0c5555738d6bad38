"""The pictures of chapter 8: stretched circles, gradients against distance, and what is learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from figures.style import (
    BLACK,
    GREY,
    LOOKS,
    PALE_BLUE,
    Drawing,
    label,
    names_at_the_end,
    panels,
)
from figures.training import curves

Numbers = npt.NDArray[np.floating[Any]]


def stretched_circle(matrix: Numbers) -> Drawing:
    """All vectors of length 1, and what a matrix makes of them.

    Two arrows are marked: the one that the matrix stretches most, and the one that it stretches
    least.

    Args:
        matrix: Of shape (2, 2).
    """
    figure, grid = panels(1, 2, height=2.75, sharex=True, sharey=True)
    angles = np.linspace(0, 2 * np.pi, 721)
    circle = np.stack([np.cos(angles), np.sin(angles)])  # (2, 721)
    longest = np.linalg.norm(matrix @ circle[:, :360], axis=0)  # of one half of the circle
    chosen = [int(longest.argmax()), int(longest.argmin())]
    titles = ["v, of length 1", "W v"]
    for axes, title, points in zip(grid, titles, (circle, matrix @ circle), strict=True):
        axes.fill(*points, facecolor=PALE_BLUE, edgecolor=GREY, linewidth=1.2)
        for place, look, name in zip(chosen, LOOKS[1::-1], ("most", "least"), strict=False):
            tip = points[:, place]
            arrow = {"arrowstyle": "-|>", "color": look.color, "linewidth": 2.2}
            arrow |= {"linestyle": look.linestyle, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", (tip[0], tip[1]), (0, 0), arrowprops=arrow)
            length = float(np.linalg.norm(tip))
            x, y = tip * (1 + 0.32 / length)
            text = name if axes is grid[0] else f"{length:.2f}"
            label(axes, x, y, text, look.color, ha="center", va="center")
        axes.set(title=title, aspect="equal", xlabel="first number")
    grid[0].set_ylabel("second number")
    return figure


def gradients_by_distance(
    groups: Mapping[str, Mapping[str, Numbers]],
    bounds: Mapping[str, Numbers] | None = None,
    ylabel: str = "length of the gradient",
) -> Drawing:
    """How long a gradient is after its way back over 0, 1, 2, ... steps, on a logarithmic axis.

    Args:
        groups: By the title of a panel (which may be ""): the lines in it by their names.
        bounds: By their names, the steepest first: what the lengths in the last panel cannot
            exceed, drawn as dots.
        ylabel: What is long.
    """
    figure, grid = panels(1, len(groups), height=3.0 if len(groups) > 1 else 2.8)
    for axes, (title, lines) in zip(grid, groups.items(), strict=True):
        low = min(float(values.min()) for values in lines.values())
        high = max(float(values.max()) for values in lines.values())
        room = (high / low) ** 0.12
        last = max(len(values) for values in lines.values()) - 1
        left = -0.15 * last if bounds and axes is grid[-1] else 0  # room for the name of a bound
        axes.set(ylim=(low / room, high * room), xlim=(left, last))
        ends = {}
        for look, (name, values) in zip(LOOKS, lines.items(), strict=False):
            axes.semilogy(values, color=look.color, linestyle=look.linestyle)
            ends[name] = float(values[-1]), look.color
        if axes is grid[-1]:
            ends |= _bounds(axes, bounds or {}, high * room)
        axes.set_xticks(np.linspace(0, last, 5) if last % 4 == 0 else np.arange(0, last + 1, 10))
        axes.spines["bottom"].set_bounds(0, last)
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(title=title, xlabel="steps back in time")
        names_at_the_end(axes, ends)
    grid[0].set_ylabel(ylabel)
    return figure


def _bounds(axes: Axes, bounds: Mapping[str, Numbers], top: float) -> dict[str, tuple[float, str]]:
    """Draw bounds as dots; name those that leave at the top there, and return where others end.

    The steepest comes first; its name stands on the left of it, where no other line is.
    """
    ends = {}
    for i, (name, values) in enumerate(bounds.items()):
        axes.semilogy(values, ":", color=GREY, linewidth=1.4)
        inside = np.flatnonzero(values < top)
        if len(inside) == len(values):
            ends[name] = float(values[-1]), GREY
        else:
            aligned = {"ha": "left" if i else "right", "va": "top"}
            label(axes, inside[-1] + (4 if i else -2), top, name, GREY, **aligned)
    return ends


def losses(lines: Mapping[str, Numbers]) -> Drawing:
    """The losses of some trainings against the step, on a logarithmic axis, with their names.

    Args:
        lines: By the name of a training: a loss for each step.
    """
    places, top = [], max(float(values.max()) for values in lines.values())
    for values in lines.values():
        start = len(values) // 2
        near = values[start : start + len(values) // 4]  # where the name stands
        above = 2 * float(near.max())
        places.append((float(start), above if above < top else float(near.min()) / 3))
    return curves(lines, places, "step", "loss")


def accuracies(lines: Mapping[str, Numbers], steps: Numbers, guessing: float) -> Drawing:
    """The share of right answers in the course of several trainings.

    Args:
        lines: By the name of a training: a share for each of `steps`, 0 to 1.
        steps: After how many steps the shares were taken.
        guessing: The share of somebody who guesses.
    """
    figure, [axes] = panels(height=2.9)
    ends = {}
    for look, (name, line) in zip(LOOKS, lines.items(), strict=False):
        axes.plot(steps, 100 * line, color=look.color, linestyle=look.linestyle)
        axes.plot(steps[::4], 100 * line[::4], look.marker, color=look.color, clip_on=False)
        ends[name] = 100 * float(line[-1]), look.color
    axes.fill_between(steps[[0, -1]], 100 * guessing - 4, 100 * guessing + 4, color=PALE_BLUE)
    label(axes, steps[1] / 2, 100 * guessing - 6, "guessing", BLACK, va="top")
    axes.set(xlim=(0, float(steps[-1])), ylim=(-8, 104), xlabel="steps of training")
    axes.set_xticks(np.linspace(0, float(steps[-1]), 5))
    axes.set_ylabel("right answers, percent")
    names_at_the_end(axes, ends)
    return figure
