"""The pictures of chapter 7: steps, noise, valleys, schedules, and learning by heart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

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


def steps_on_a_parabola(paths: Mapping[str, Numbers], curvature: float) -> Drawing:
    """Gradient descent on curvature/2 times the square of theta, a panel for each path.

    Args:
        paths: By the title of the panel: theta after 0, 1, 2, ... steps.
        curvature: The second derivative of the parabola.
    """
    figure, grid = panels(1, len(paths), height=2.4, sharey=True)
    widest = 1.1 * max(float(np.abs(path).max()) for path in paths.values())
    line = np.linspace(-widest, widest, 121)
    for axes, (title, path) in zip(grid, paths.items(), strict=True):
        axes.plot(line, curvature / 2 * line**2, color=GREY, linewidth=1.2)
        axes.plot(path, curvature / 2 * path**2, "o--", color=VERMILION, linewidth=1.2)
        axes.plot(path[:1], curvature / 2 * path[:1] ** 2, "s", color=BLACK, markersize=7)
        axes.set_title(title)
        axes.set_xlabel("parameter")
    grid[0].set_ylabel("loss")
    return figure


def noise_of_batches(
    estimates: Mapping[int, Numbers], full: Numbers, sizes: Numbers, spreads: Numbers
) -> Drawing:
    """Gradients of batches around that of all examples, and their spread against the batch size.

    Args:
        estimates: By batch size: gradients of many batches, of shape (batches, 2).
        full: The gradient of all examples (2,).
        sizes: Batch sizes.
        spreads: The standard deviation of the gradient for each of them.
    """
    figure, (left, right) = panels(1, 2, height=2.9)
    for (size, points), look in zip(estimates.items(), LOOKS[1::-1], strict=False):
        left.plot(
            *points.T, look.marker, color=look.color, markersize=2.5, label=f"batches of {size}"
        )
    left.plot([0, full[0]], [0, full[1]], color=BLACK, label="all examples")
    left.annotate(
        "",
        (full[0], full[1]),
        (0, 0),
        arrowprops={"arrowstyle": "-|>", "color": BLACK, "linewidth": 2.2},
        zorder=5,
    )
    left.legend(loc="lower left", frameon=False, borderaxespad=0, handlelength=1)
    left.plot([0], [0], "o", color=BLACK)
    lowest = min(float(points[:, 1].min()) for points in estimates.values())
    left.set_ylim(bottom=lowest - 4)  # below the points is room for the legend
    left.set_xlabel("derivative by w")
    left.set_ylabel("derivative by b")
    right.loglog(sizes, spreads, "o", color=BLUE)
    right.loglog(sizes, spreads[0] * np.sqrt(sizes[0] / sizes), "--", color=VERMILION)
    middle = len(sizes) // 2
    label(right, sizes[middle], 1.35 * spreads[middle], "measured", BLUE)
    label(
        right,
        sizes[middle] / 1.6,
        spreads[middle] / 1.9,
        "1 / root of N",
        VERMILION,
        ha="right",
    )
    _plain_numbers(right)
    right.set_xlabel("batch size N")
    right.set_ylabel("spread of derivative by w")
    return figure


def paths_in_a_valley(paths: Mapping[str, Numbers], curvatures: Sequence[float]) -> Drawing:
    """What optimizers do in a valley, a panel for each, on lines of equal loss.

    Args:
        paths: By title: the parameters after 0, 1, 2, ... steps, of shape (steps + 1, 2).
        curvatures: Of the loss along the two axes.
    """
    rows = (len(paths) + 1) // 2
    figure, grid = panels(rows, 2, height=2.5 * rows, sharex=True, sharey=True)
    x, y = np.meshgrid(np.linspace(-4.6, 2.2, 137), np.linspace(-2.0, 2.0, 81))
    loss = (curvatures[0] * x**2 + curvatures[1] * y**2) / 2
    levels = 0.3 * 3.0 ** np.arange(6)
    for axes, (title, path), look in zip(grid, paths.items(), LOOKS, strict=False):
        axes.contour(x, y, loss, levels, colors="#DDDDDD", linewidths=1)
        axes.plot(
            path[:, 0],
            path[:, 1],
            color=look.color,
            marker=look.marker,
            linewidth=1.2,
            markersize=3.5,
        )
        axes.plot(*path[0], "s", color=BLACK, markersize=7)
        axes.plot(0, 0, "+", color=BLACK, markersize=8, markeredgewidth=1.2)
        axes.set_title(title)
        axes.set_xlim(x.min(), x.max())
        axes.set_ylim(y.min(), y.max())
    for axes in grid[-2:]:
        axes.set_xlabel("flat direction")
    for axes in grid[::2]:
        axes.set_ylabel("steep direction")
    return figure


def curves(
    lines: Mapping[str, Numbers],
    places: Sequence[tuple[float, float]],
    xlabel: str,
    ylabel: str,
    logarithmic: bool = True,
) -> Drawing:
    """Lines against the step, each with its name beside it.

    Args:
        lines: By name: one number for each step.
        places: Where each name begins, as (step, number).
        xlabel: What the steps are.
        ylabel: What the numbers are.
        logarithmic: Whether the numbers stand on a logarithmic axis.
    """
    figure, [axes] = panels(height=2.7)
    for (name, line), place, look in zip(lines.items(), places, LOOKS, strict=False):
        axes.plot(line, color=look.color, linestyle=look.linestyle)
        label(axes, *place, name, look.color)
    if logarithmic:
        axes.set_yscale("log")
        _plain_numbers(axes)
    else:
        top = max(float(line.max()) for line in lines.values())
        axes.set_ylim(-0.2 * top, 1.2 * top)  # above and below the lines is room for names
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return figure


def learnt_by_heart(
    points: tuple[Numbers, Numbers],
    fits: Mapping[str, tuple[Numbers, Numbers]],
    steps: Numbers,
    training: Numbers,
    validation: Numbers,
) -> Drawing:
    """A network that learns noisy points by heart: its curves, and both losses over time.

    Args:
        points: The x and y of the training examples.
        fits: By name: x and y of a curve that was learnt.
        steps: At which the losses were taken.
        training: The loss on the training examples at these steps.
        validation: The loss on the validation examples at these steps.
    """
    figure, (left, right) = panels(1, 2, height=3.0)
    left.plot(*points, "o", color=GREY, markersize=4)
    for (name, (x, y)), look in zip(fits.items(), LOOKS, strict=False):
        left.plot(x, y, color=look.color, linestyle=look.linestyle, label=name)
    left.legend(loc="upper left", frameon=False, borderaxespad=0)
    low, high = float(np.min(points[1])), float(np.max(points[1]))
    left.set_ylim(low - 0.5, high + 1.1)
    left.set_xlabel("x")
    left.set_ylabel("y")
    best = int(np.argmin(validation))
    right.axvspan(steps[best], steps[-1], color=PALE_VERMILION, linewidth=0)
    right.axvspan(steps[0], steps[best], color=PALE_BLUE, linewidth=0)
    right.loglog(steps, validation, color=VERMILION, linestyle="--")
    right.loglog(steps, training, color=BLUE)
    right.plot(steps[best], validation[best], "s", color=BLACK, markersize=7)
    label(right, steps[best], validation[best] * 1.25, "best", BLACK, ha="center", va="bottom")
    label(right, steps[-1], validation[-1] * 1.35, "validation", VERMILION, ha="right")
    label(right, steps[-1] / 2, training[-1] / 1.1, "training", BLUE, ha="right")
    right.axvline(steps[best], color=GREY, linestyle=":", linewidth=1)
    top = float(np.max(validation))
    right.set_ylim(float(np.min(training)) / 2, 5 * top)
    for word, a, b in (("sine", 0, best), ("noise", best, -1)):
        middle = (steps[a] * steps[b]) ** 0.5
        label(right, middle, 2.6 * top, f"learns\nthe {word}", GREY, ha="center", va="center")
    _plain_numbers(right)
    right.set_xlim(steps[0], steps[-1])
    right.set_xlabel("step")
    right.set_ylabel("mean squared error")
    return figure


def _plain_numbers(axes: Axes) -> None:
    """Write 0.1, 1 and 10 at logarithmic axes instead of powers of ten."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
