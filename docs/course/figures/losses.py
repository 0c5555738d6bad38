"""The pictures of chapter 6: where losses come from, how they pull, and where formulas break."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

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
MINUS = "\N{MINUS SIGN}"


def bell_and_parabola(
    measured: Numbers, height: Callable[[Numbers], Numbers], y: float, s: float
) -> Drawing:
    """A bell curve over values drawn from it, and minus its logarithm, which is a parabola.

    Args:
        measured: Many values that scatter around y.
        height: The height of the curve at each value.
        y: The middle.
        s: The standard deviation.
    """
    figure, (left, right) = panels(1, 2, height=2.9)
    values = np.linspace(y - 4 * s, y + 4 * s, 161)
    edges = np.linspace(y - 4 * s, y + 4 * s, 33)
    left.hist(
        measured, edges.tolist(), density=True, color=PALE_BLUE, edgecolor=BLUE, linewidth=0.6
    )
    left.plot(values, height(values), color=BLACK)
    top = float(height(np.array(y)))
    left.set_ylim(0, 1.3 * top)
    left.set_yticks([])
    left.spines["left"].set_visible(False)
    label(left, y, 1.2 * top, "height of the curve", ha="center", va="center")
    right.plot(values, -np.log(height(values)), color=BLACK)
    lowest = -np.log(top)
    right.set_ylim(lowest - 1.5, lowest + 9)
    right.set_yticks([])
    right.spines["left"].set_visible(False)
    label(right, y, lowest + 8.2, f"{MINUS}log of the height", ha="center", va="center")
    label(right, y, lowest - 0.9, "lowest at y", ha="center", va="center")
    ticks = [y - 2 * s, y, y + 2 * s]
    names = [f"y {MINUS} 2s", "y", "y + 2s"]
    for axes in (left, right):
        axes.set_xticks(ticks, names)
        axes.set_xlabel("measured value t")
    return figure


def scores_and_probabilities(
    rows: Sequence[Numbers],
    softmax: Callable[[Numbers], Numbers],
    names: Sequence[str],
) -> Drawing:
    """Scores on the left, and on the right the probabilities that softmax makes of them.

    Args:
        rows: The scores of each row of bars, each of shape (K,).
        softmax: Turns a row of scores into probabilities.
        names: The K classes.
    """
    figure, grid = panels(len(rows), 2, height=0.4 + 1.2 * len(rows), sharex="col", sharey=True)
    low, high = min(0.0, float(np.min(rows))), float(np.max(rows))
    margin = 0.2 * (high - low)
    for row, scores in enumerate(rows):
        left, right = grid[2 * row : 2 * row + 2]
        _bars(left, scores, names, PALE_VERMILION, VERMILION, "{:+.1f}")
        left.set_xlim(low - margin if low < 0 else 0, high + margin)
        _bars(right, softmax(scores), names, PALE_BLUE, BLUE, "{:.3f}")
        right.set_xlim(0, 1.2)
    for axes, title in zip(grid, ("score (logit)", "probability"), strict=False):
        axes.set_title(title, loc="left")
    return figure


def _bars(
    axes: Axes, values: Numbers, names: Sequence[str], fill: str, edge: str, text: str
) -> None:
    places = np.arange(len(values))[::-1]
    axes.barh(places, values, height=0.6, color=fill, edgecolor=edge)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_yticks(places, names)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    for place, value in zip(places, values, strict=True):
        shift, side = (4, "left") if value >= 0 else (-4, "right")
        axes.annotate(
            text.format(value).replace("-", MINUS),
            (value, place),
            (shift, 0),
            textcoords="offset points",
            ha=side,
            va="center",
        )


def slopes_by_logit(
    loss: Callable[[Numbers], float], logits: Numbers, right: int, names: Sequence[str]
) -> Drawing:
    """The loss against each logit while the others stay, with its tangent at the present value.

    Args:
        loss: The loss of a vector of logits.
        logits: The present logits (K,).
        right: The number of the right class.
        names: The K classes.
    """
    figure, grid = panels(1, len(logits), height=2.5, sharey=True)
    for k, axes in enumerate(grid):

        def along(value: float, k: int = k) -> float:
            changed = logits.copy()
            changed[k] = value
            return loss(changed)

        here, step = float(logits[k]), 1e-5
        slope = (along(here + step) - along(here - step)) / (2 * step)
        values = np.linspace(here - 4, here + 4, 81)
        axes.plot(values, [along(value) for value in values], color=BLUE)
        near = np.array([here - 1.8, here + 1.8])
        axes.plot(near, loss(logits) + slope * (near - here), "--", color=VERMILION)
        axes.plot([here], [loss(logits)], "o", color=BLACK)
        which = "right" if k == right else "wrong"
        axes.set_title(f"{names[k]} ({which})")
        axes.set_xticks([here - 4, here, here + 4])
        axes.set_xlabel(f"its logit, now {here:g}".replace("-", MINUS), fontsize=10)
        x, side = (0.95, "right") if k == right else (0.05, "left")
        axes.text(
            x,
            0.95,
            f"slope {slope:+.2f}".replace("-", MINUS),
            color=VERMILION,
            ha=side,
            va="top",
            transform=axes.transAxes,
        )
    grid[0].set_ylabel("loss")
    return figure


def two_losses(z: Numbers, cross_entropy: Sequence[Numbers], squared: Sequence[Numbers]) -> Drawing:
    """Two losses of one logit with the target 1, and their slopes, which tell how each pulls.

    Args:
        z: The logits, in rising order.
        cross_entropy: The cross-entropy of sigmoid(z) and its derivative.
        squared: The squared error of sigmoid(z) and its derivative.
    """
    figure, grid = panels(1, 2, height=2.8)
    titles = ("loss", "slope of the loss")
    for axes, title, sure, square in zip(grid, titles, cross_entropy, squared, strict=True):
        axes.axvspan(z[0], -4, color=PALE_VERMILION, linewidth=0)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.plot(z, sure, color=BLUE)
        axes.plot(z, square, "--", color=VERMILION)
        axes.set_title(title, loc="left")
        axes.set_xlabel("logit z; the target is 1")
        axes.set_xlim(z[0], z[-1])
    left, right = grid
    label(left, -3.3, 3.6, "cross-entropy", BLUE)
    label(left, z[0] + 0.3, 0.3, "squared error", VERMILION)
    label(left, z[0] + 0.3, 1.9, "sure, and\nwrong", GREY)
    label(right, -0.2, -0.75, "cross-entropy", BLUE)
    label(right, z[0] + 0.3, -0.2, "squared error", VERMILION)
    label(right, z[0] + 0.3, -0.6, "sure, and\nwrong", GREY)
    return figure


def two_routes(
    z: Numbers, by_probability: Sequence[Numbers], by_logit: Sequence[Numbers], breaks: float
) -> Drawing:
    """A loss and its slope against the logit, computed in two ways that are equal on paper.

    Args:
        z: The logits, in rising order.
        by_probability: Loss and slope by way of a rounded probability.
        by_logit: Loss and slope straight from the logit.
        breaks: From which logit on the probability is rounded to 1.
    """
    figure, grid = panels(1, 2, height=2.8)
    titles = ("loss", "slope of the loss")
    for axes, title, first, second in zip(grid, titles, by_probability, by_logit, strict=True):
        axes.axvspan(breaks, z[-1], color=PALE_VERMILION, linewidth=0)
        axes.plot(z, first, color=VERMILION, linewidth=3.2, alpha=0.75)
        axes.plot(z, second, "--", color=BLACK)
        axes.set_title(title, loc="left")
        axes.set_xlabel("logit z; the target is 0")
        axes.set_xlim(z[0], z[-1])
    left, right = grid
    left.set_ylim(z[0] - 1, z[-1] + 5)
    right.set_ylim(-0.15, 1.3)
    to = f"to {by_probability[0].max():.0f}"
    label(left, breaks - 0.3, z[-1] + 4.5, to, VERMILION, ha="right", va="top")
    left.annotate(
        "",
        (breaks, z[-1] + 5),
        (breaks, z[-1] + 2),
        arrowprops={"arrowstyle": "-|>", "color": VERMILION, "linewidth": 2},
    )
    label(
        left, breaks - 0.3, z[-1] - 0.5, "through the\nprobability", VERMILION, ha="right", va="top"
    )
    label(left, breaks + 0.8, breaks - 1.4, "from the logit", BLACK)
    label(right, breaks + 0.3, 0.07, "through the\nprobability", VERMILION)
    label(right, breaks + 0.3, 1.08, "from the logit", BLACK)
    label(right, breaks + 0.3, 0.66, "p is rounded\nto 1 from here", GREY, va="center")
    return figure


def spiral_arms(
    points: Numbers, labels: npt.NDArray[np.integer[Any]], answer: Callable[[Numbers], Any]
) -> Drawing:
    """Points of three classes, and behind them the class that a network gives to each place.

    Args:
        points: Of shape (N, 2).
        labels: The class of each point, 0, 1 or 2.
        answer: The class (M,) for each of M points (M, 2).
    """
    figure, [axes] = panels(width=4.2, height=3.9)
    line = np.linspace(-1.4, 1.4, 201)
    x, y = np.meshgrid(line, line)
    areas = answer(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    colours = [PALE_BLUE, PALE_VERMILION, "white"]
    axes.contourf(x, y, areas, levels=[-0.5, 0.5, 1.5, 2.5], colors=colours)
    axes.contour(x, y, areas, levels=[0.5, 1.5], colors=GREY, linewidths=0.8)
    for arm, look in enumerate(LOOKS[:3]):
        own = points[labels == arm]
        axes.plot(*own.T, look.marker, color=look.color, markersize=3.5, linestyle="")
        end = own[np.argmax(np.sum(own**2, axis=1))]
        x_name, y_name = 1.2 * end
        label(axes, x_name, y_name, f"arm {arm}", look.color, ha="center", va="center")
    axes.set_aspect("equal")
    axes.set_xlabel("first coordinate")
    axes.set_ylabel("second coordinate")
    return figure
