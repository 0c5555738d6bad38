"""The pictures of chapter 6: what softmax does, how a loss pulls, and where formulas break."""

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
    PALE_BLUE,
    PALE_VERMILION,
    VERMILION,
    Drawing,
    label,
    panels,
)

Numbers = npt.NDArray[np.floating[Any]]


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
    figure, grid = panels(len(rows), 2, height=0.4 + 1.15 * len(rows), sharex="col", sharey=True)
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
            text.format(value).replace("-", "\N{MINUS SIGN}"),
            (value, place),
            (shift, 0),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=9,
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
        axes.set_xlabel(f"its logit, now {here:g}".replace("-", "\N{MINUS SIGN}"))
        x, side = (0.95, "right") if k == right else (0.05, "left")
        axes.text(
            x,
            0.95,
            f"slope {slope:+.2f}".replace("-", "\N{MINUS SIGN}"),
            color=VERMILION,
            ha=side,
            va="top",
            transform=axes.transAxes,
        )
    grid[0].set_ylabel("loss")
    return figure


def two_losses(z: Numbers, cross_entropy: Numbers, squared: Numbers) -> Drawing:
    """Two losses of one logit with the target 1, and their slopes, which tell how each pulls.

    Args:
        z: The logits, in rising order.
        cross_entropy: The cross-entropy of sigmoid(z) and its derivative, of shape (2, len(z)).
        squared: The squared error of sigmoid(z) and its derivative, of shape (2, len(z)).
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
    label(left, z[0] + 0.3, 2.2, "sure, and\nwrong", GREY)
    label(right, -0.2, -0.75, "cross-entropy", BLUE)
    label(right, z[0] + 0.3, -0.11, "squared error", VERMILION)
    label(right, z[0] + 0.3, -0.6, "sure, and\nwrong", GREY)
    return figure


def two_routes(z: Numbers, by_probability: Numbers, by_logit: Numbers, breaks: float) -> Drawing:
    """A loss and its slope against the logit, computed in two ways that are equal on paper.

    Args:
        z: The logits, in rising order.
        by_probability: Loss and slope by way of a rounded probability, of shape (2, len(z)).
        by_logit: Loss and slope straight from the logit, of shape (2, len(z)).
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
    label(
        left,
        breaks - 0.3,
        z[-1] + 4.5,
        f"to {by_probability[0].max():.0f}",
        VERMILION,
        ha="right",
        va="top",
    )
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
    label(right, breaks + 0.4, 0.07, "through the\nprobability", VERMILION)
    label(right, breaks + 0.4, 1.08, "from the logit", BLACK)
    label(right, breaks - 0.3, 0.5, "p is rounded\nto 1 from here", GREY, ha="right", va="center")
    return figure
