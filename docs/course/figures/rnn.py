"""The pictures of chapter 8: stretched circles, gradients against distance, and what is learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import NullFormatter

from figures.style import (
    BLACK,
    BLUE,
    GREY,
    LOOKS,
    PALE_BLUE,
    VERMILION,
    Drawing,
    label,
    panels,
)

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
    places: Sequence[tuple[float, float]],
    bounds: Mapping[str, Numbers] | None = None,
    ylabel: str = "length of the gradient",
) -> Drawing:
    """How long a gradient is after its way back over 0, 1, 2, ... steps, on a logarithmic axis.

    Args:
        groups: By the title of a panel (which may be ""): the lines in it by their names.
        places: Where each name of a line begins, panel by panel, as (steps, length).
        bounds: By the name of a line: what its length cannot exceed, drawn as dots.
        ylabel: What is long.
    """
    figure, grid = panels(1, len(groups), height=3.0 if len(groups) > 1 else 2.8)
    names = iter(places)
    for axes, (title, lines) in zip(grid, groups.items(), strict=True):
        for look, (name, values) in zip(LOOKS, lines.items(), strict=False):
            axes.semilogy(values, color=look.color, linestyle=look.linestyle)
            if bounds and name in bounds:
                axes.semilogy(bounds[name], ":", color=GREY, linewidth=1.4)
            label(axes, *next(names), name, look.color)
        low = min(float(values.min()) for values in lines.values())
        high = max(float(values.max()) for values in lines.values())
        room = (high / low) ** 0.12
        axes.set_ylim(low / room, high * room)
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(title=title, xlabel="steps back in time")
    grid[0].set_ylabel(ylabel)
    return figure


def accuracies(lines: Mapping[str, Numbers], steps: Numbers, guessing: float) -> Drawing:
    """The share of right answers in the course of several trainings.

    Args:
        lines: By the name of a training: a share for each of `steps`, 0 to 1.
        steps: After how many steps the shares were taken.
        guessing: The share of somebody who guesses.
    """
    figure, [axes] = panels(height=2.9)
    ends = {name: float(line[-1]) for name, line in lines.items()}
    last = np.inf
    for name in sorted(ends, key=lambda name: -ends[name]):
        look = LOOKS[list(ends).index(name)]
        axes.plot(steps, 100 * lines[name], color=look.color, linestyle=look.linestyle)
        axes.plot(steps[::4], 100 * lines[name][::4], look.marker, color=look.color)
        last = min(100 * ends[name], last - 9)  # names of lines that end close together
        label(axes, 1.02 * steps[-1], last, name, look.color, va="center", clip_on=False)
    axes.plot(steps[[0, -1]], [100 * guessing] * 2, ":", color=GREY, linewidth=1.4)
    label(axes, steps[1] / 2, 100 * guessing - 3, "guessing", GREY, va="top")
    axes.set(xlim=(0, 1.24 * steps[-1]), ylim=(-4, 104))
    axes.set_xticks(np.linspace(0, steps[-1], 5))
    axes.spines["bottom"].set_bounds(0, float(steps[-1]))
    axes.set_xlabel("steps of training")
    axes.set_ylabel("right answers, percent")
    return figure


def answers(probabilities: Mapping[str, Numbers], right: int) -> Drawing:
    """What networks answer: a probability for each digit, a panel for each network.

    Args:
        probabilities: By the title of the panel: the probabilities of the digits 0 to 9, (10,).
        right: The right digit, whose bar is marked.
    """
    figure, grid = panels(1, len(probabilities), height=2.4, sharey=True)
    for axes, (title, values) in zip(grid, probabilities.items(), strict=True):
        colors = [VERMILION if digit == right else BLUE for digit in range(10)]
        bars = axes.bar(np.arange(10), values, color=colors, width=0.75)
        bars[right].set_hatch("//")
        bars[right].set_edgecolor(BLACK)
        label(axes, right, values[right] + 0.05, "right", BLACK, ha="center")
        axes.set(title=title, xticks=np.arange(10), ylim=(0, 1.18), xlabel="digit")
        axes.set_yticks([0, 0.5, 1])
    grid[0].set_ylabel("probability")
    return figure
