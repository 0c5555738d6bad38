"""The pictures of chapter 0: slopes, how small a change may be, a valley, sums and products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

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

Curve = Callable[[Any], Any]


def tangent(f: Curve, x: float, slope: float, widths: Sequence[float]) -> Drawing:
    """A curve and its tangent, ever closer.

    Args:
        f: The function; it also takes an array of numbers.
        x: Where the tangent touches.
        slope: The slope of the tangent.
        widths: For each panel, how far it reaches to both sides of x.
    """
    figure, axes = panels(1, len(widths), height=2.6)
    for panel, width in zip(axes, widths, strict=True):
        near = np.linspace(x - width, x + width, 101)
        panel.plot(near, f(near), color=BLUE)
        panel.plot(near, f(x) + slope * (near - x), color=VERMILION, linestyle="--")
        panel.plot([x], [f(x)], "o", color=BLACK)
        panel.set_xlim(x - width, x + width)
        panel.set_xticks([x - width, x, x + width])
        panel.locator_params(axis="y", nbins=4)
        panel.set_title(f"{2 * width:g} wide")
        panel.set_xlabel("w")
    axes[0].set_ylabel("misfit")
    low = x - widths[0]
    label(axes[0], low + 0.32 * widths[0], f(low), "curve", BLUE)
    label(axes[0], x - 0.1 * widths[0], f(x) - 0.75 * slope * widths[0], "tangent", VERMILION)
    return figure


def difference_errors(steps: Sequence[float], errors: Mapping[str, Sequence[float]]) -> Drawing:
    """How far slopes computed by small changes are off, against the size of the change.

    Args:
        steps: The changes h.
        errors: The errors of three ways of computing, one for each h, by their names. The first
            name stands inside its V, the second below, the third under its left end. Errors of
            exactly 0 are left out, since a logarithmic axis has no place for them.
    """
    figure, [axes] = panels(height=3.4)
    for place, (name, error) in enumerate(errors.items()):
        look = LOOKS[place]
        known = [(h, e) for h, e in zip(steps, error, strict=True) if e > 0]
        axes.plot(*zip(*known, strict=True), markersize=3.5, **look._asdict())
        h, e = min(known, key=lambda pair: pair[1])
        if place < 2:
            label(axes, h, e / 4 if place else 800 * e, name, look.color, ha="center", va="top")
        else:
            h, e = min(known)
            label(axes, 30 * h, e / 2, name, look.color, va="top")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("change h (logarithmic)")
    axes.set_ylabel("error of the slope (logarithmic)")
    axes.grid(visible=True)
    low, high = axes.get_ylim()
    axes.set_ylim(low / 20, high)
    return figure


def valley(
    f: Callable[[Any, Any], Any],
    point: Sequence[float],
    gradient: Sequence[float],
    lowest: Sequence[float],
    length: float = 0.3,
) -> Drawing:
    """Lines of equal height of a function of two variables, and its gradient at a point.

    Args:
        f: The function of w and b; it also takes arrays.
        point: Where the gradient was computed.
        gradient: The two partial derivatives there.
        lowest: The lowest point.
        length: The length of the arrow for a gradient of length 1.
    """
    figure, [axes] = panels(height=4.6)
    w, b = np.meshgrid(np.linspace(-0.6, 3.9, 181), np.linspace(0.0, 3.6, 145))
    heights = np.arange(0.5, 6)  # equal distances, so that close lines mean steep land
    lines = axes.contour(w, b, f(w, b), levels=heights, colors=GREY, linewidths=1)
    low, side = f(*lowest), f(lowest[0] + 1, lowest[1] + 0.6)
    shares = np.sqrt((heights - low) / (side - low))  # where the land is that high, nearly
    places = [(lowest[0] + share, lowest[1] + 0.6 * share) for share in shares]
    axes.clabel(lines, fontsize=9, fmt="%g", manual=places)
    axes.plot(*lowest, "+", color=BLACK, markersize=9)
    label(axes, lowest[0] + 0.08, lowest[1], "lowest", va="center")
    axes.plot(*point, "o", color=BLACK)
    ways = [(1, VERMILION, "gradient: steepest up"), (-1, BLUE, "steepest down")]
    for sign, color, name in ways:
        end = (point[0] + sign * length * gradient[0], point[1] + sign * length * gradient[1])
        style = {"arrowstyle": "-|>", "color": color, "linewidth": 2.2, "shrinkA": 3, "shrinkB": 0}
        if sign < 0:
            style["linestyle"] = "--"
        axes.annotate("", end, (point[0], point[1]), arrowprops=style)
        label(axes, end[0] + sign * 0.08, end[1] + sign * 0.02, name, color, va="center")
    axes.texts[-1].set_horizontalalignment("right")
    axes.set_aspect("equal")
    axes.set_xlabel("w: growth for 10 degrees (mm)")
    axes.set_ylabel("b: excess at 0 degrees (mm)")
    return figure


def sums(array: np.ndarray) -> Drawing:
    """A matrix, and its sums over axis 0 (downwards) and axis 1 (to the right)."""
    rows, columns = array.shape
    figure, [axes] = panels(width=5.0, height=3.1)
    right = columns + 2.2
    _cells(axes, array, 0, 0, PALE_BLUE)
    _cells(axes, array.sum(axis=0, keepdims=True), 0, rows + 1, PALE_VERMILION)
    _cells(axes, array.sum(axis=1, keepdims=True), right, 0, PALE_VERMILION)
    arrow = {"arrowstyle": "-|>", "color": VERMILION, "linewidth": 1.8}
    axes.annotate("", (0.5, rows + 0.95), (0.5, rows + 0.05), arrowprops=arrow)
    axes.annotate("", (right - 0.05, 0.5), (columns + 0.05, 0.5), arrowprops=arrow)
    label(axes, 0.7, rows + 0.5, "sum over axis 0", VERMILION, va="center")
    label(axes, columns + 1.1, 0.65, "sum over axis 1", VERMILION, va="top", ha="center")
    label(axes, columns / 2, -0.1, "axis 1", va="bottom", ha="center")
    label(axes, -0.1, rows / 2, "axis 0", rotation=90, va="center", ha="right")
    label(axes, columns / 2, -0.6, f"shape ({rows}, {columns})", va="bottom", ha="center")
    label(axes, columns + 0.15, rows + 1.5, f"shape ({columns},)", va="center")
    label(axes, right + 0.5, -0.1, f"shape ({rows},)", va="bottom", ha="center")
    _only_cells(axes, (-0.6, right + 1.4), (-1.1, rows + 2.1))
    return figure


def product(a: np.ndarray, b: np.ndarray, row: int, column: int) -> Drawing:
    """The product of two matrices, with one row, one column and the number that they give."""
    c = a @ b
    figure, [axes] = panels(width=5.0, height=3.6)
    top, left = b.shape[0] + 0.8, a.shape[1] + 0.8
    for matrix, x, y, name in [(a, 0, top, "A"), (b, left, 0, "B"), (c, left, top, "A B")]:
        _cells(axes, matrix, x, y, "white")
        shape = f"{name}, shape {matrix.shape}"
        if matrix is b:
            label(axes, x + matrix.shape[1] / 2, y - 0.15, shape, va="bottom", ha="center")
        else:
            below = y + matrix.shape[0] + 0.15
            label(axes, x + matrix.shape[1] / 2, below, shape, va="top", ha="center")
    _cells(axes, a[row : row + 1], 0, top + row, PALE_BLUE)
    _cells(axes, b[:, column : column + 1], left + column, 0, PALE_BLUE)
    result = c[row : row + 1, column : column + 1]
    _cells(axes, result, left + column, top + row, PALE_VERMILION, edge=BLACK, width=2.0)
    _only_cells(axes, (-0.4, left + b.shape[1] + 0.4), (-0.7, top + a.shape[0] + 0.8))
    return figure


def _cells(
    axes: Axes,
    array: np.ndarray,
    left: float,
    top: float,
    color: str,
    edge: str = GREY,
    width: float = 0.8,
) -> None:
    """Draw a matrix as boxes with its numbers."""
    for (i, j), number in np.ndenumerate(array):
        place = left + j, top + i
        box = Rectangle(place, 1, 1, facecolor=color, edgecolor=edge, linewidth=width)
        axes.add_patch(box)
        axes.text(left + j + 0.5, top + i + 0.5, f"{number:g}", ha="center", va="center")


def _only_cells(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Leave nothing but the boxes, of equal width and height, with rows that count downwards."""
    axes.set_xlim(*x)
    axes.set_ylim(y[1], y[0])
    axes.set_aspect("equal")
    axes.axis("off")
