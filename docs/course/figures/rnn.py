"""The pictures of chapter 8: stretched circles, gradients against distance, and what is learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    places: Sequence[tuple[float, float]] | None = None,
    bounds: Mapping[str, Numbers] | None = None,
    ylabel: str = "length of the gradient",
) -> Drawing:
    """How long a gradient is after its way back over 0, 1, 2, ... steps, on a logarithmic axis.

    Args:
        groups: By the title of a panel (which may be ""): the lines in it by their names.
        places: Where each name of a line begins, panel by panel, as (steps, length). Without them
            a name stands at the end of its line.
        bounds: By their names: what the lengths in the last panel cannot exceed, drawn as dots.
        ylabel: What is long.
    """
    figure, grid = panels(1, len(groups), height=3.0 if len(groups) > 1 else 2.8)
    names = iter(places or [])
    for axes, (title, lines) in zip(grid, groups.items(), strict=True):
        low = min(float(values.min()) for values in lines.values())
        high = max(float(values.max()) for values in lines.values())
        room = (high / low) ** 0.12
        low, high = low / room, high * room
        axes.set_ylim(low, high)
        last = max(len(values) for values in lines.values()) - 1
        for look, (name, values) in zip(LOOKS, lines.items(), strict=False):
            axes.semilogy(values, color=look.color, linestyle=look.linestyle)
            if places:
                label(axes, *next(names), name, look.color)
            else:
                label(axes, 1.03 * last, float(values[-1]), name, look.color, va="center")
        if axes is grid[-1]:
            _bounds(axes, bounds or {}, high)
        axes.set_xticks(np.linspace(0, last, 5) if last % 4 == 0 else np.arange(0, last + 1, 10))
        if not places:
            left, letters = -0.15 if bounds and axes is grid[-1] else -0.05, max(map(len, lines))
            axes.set_xlim(left * last, (1.08 + 0.027 * len(groups) * letters) * last)
            axes.spines["bottom"].set_bounds(left * last, last)
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(title=title, xlabel="steps back in time")
    grid[0].set_ylabel(ylabel)
    return figure


def _bounds(axes: Axes, bounds: Mapping[str, Numbers], top: float) -> None:
    """Draw bounds as dots, each with its name where it ends, or where it leaves at the top.

    The steepest comes first; its name stands on the left of it, where no other line is.
    """
    for i, (name, values) in enumerate(bounds.items()):
        axes.semilogy(values, ":", color=GREY, linewidth=1.4)
        inside = np.flatnonzero(values < top)
        if len(inside) == len(values):
            label(axes, 1.03 * inside[-1], float(values[-1]), name, GREY, va="top")
        else:
            aligned = {"ha": "left" if i else "right", "va": "top"}
            label(axes, inside[-1] + (4 if i else -2), top, name, GREY, **aligned)


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
    ends = {name: float(line[-1]) for name, line in lines.items()}
    last, side = np.inf, float(steps[-1])
    for name in sorted(ends, key=lambda name: -ends[name]):
        look = LOOKS[list(ends).index(name)]
        axes.plot(steps, 100 * lines[name], color=look.color, linestyle=look.linestyle)
        axes.plot(steps[::4], 100 * lines[name][::4], look.marker, color=look.color)
        last = min(100 * ends[name], last - 9)  # names of lines that end close together
        leader = {"arrowstyle": "-", "color": look.color, "linewidth": 0.8, "shrinkA": 0}
        tip, place = (side, 100 * ends[name]), (1.06 * side, last)
        axes.annotate("", tip, place, arrowprops=leader, annotation_clip=False)
        label(axes, 1.07 * side, last, name, look.color, va="center", clip_on=False)
    axes.fill_between(steps[[0, -1]], 100 * guessing - 4, 100 * guessing + 4, color=PALE_BLUE)
    label(axes, steps[1] / 2, 100 * guessing - 6, "guessing", BLACK, va="top")
    axes.set(xlim=(0, 1.28 * side), ylim=(-8, 104))
    axes.set_xticks(np.linspace(0, side, 5))
    axes.spines["bottom"].set_bounds(0, side)
    axes.set_xlabel("steps of training")
    axes.set_ylabel("right answers, percent")
    return figure
