"""The pictures of chapter 11: sheets of digits, galleries, pairings, FID, circles, neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.ticker import NullFormatter

from figures.style import (
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
Images = npt.NDArray[np.uint8]

SMOOTH = 25  # a loss is drawn as its mean over this many steps


def sheets(sets: Mapping[str, Images], columns: int = 10) -> Drawing:
    """Sheets of digits, one below the other.

    Args:
        sets: By title: images (N, 28, 28), 0 is paper and 255 is ink.
        columns: The number of digits in a row.
    """
    rows = [-(-len(images) // columns) for images in sets.values()]
    height = sum(6.0 / columns * row + 0.35 for row in rows)
    figure, grid = panels(len(sets), 1, height=height, height_ratios=rows)
    for axes, (title, images) in zip(grid, sets.items(), strict=True):
        _sheet(axes, images, columns)
        axes.set_title(title, loc="left")
    return figure


def gallery_of_points(
    games: Mapping[str, tuple[Numbers, Numbers]], centres: Numbers, reach: float
) -> Drawing:
    """Games in the plane: what each generator draws, and below it the losses of both players.

    Args:
        games: By title: points (N, 2), and the losses of G and D after each step (steps, 2).
        centres: Of the real points' groups (K, 2), drawn as circles.
        reach: The radius of a circle.
    """
    figure, grid = panels(2, len(games), height=4.1, height_ratios=(1.15, 1))
    above, below = grid[: len(games)], grid[len(games) :]
    for axes, (title, (points, _)) in zip(above, games.items(), strict=True):
        for centre in centres:
            axes.add_patch(Circle((centre[0], centre[1]), reach, color=PALE_BLUE, linewidth=0))
        axes.plot(*points.T, "o", color=VERMILION, markersize=1.5)
        axes.set_title(title)
        axes.set_xlim(-1.5, 1.5)
        axes.set_ylim(-1.5, 1.5)
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
    for axes, (_, losses) in zip(below, games.values(), strict=True):
        _losses(axes, losses, top=2.3)
        axes.set_xlabel("step")
    for axes in below[1:]:
        axes.set_yticklabels([])
    below[0].set_ylabel("loss")
    return figure


def gallery_of_digits(games: Mapping[str, tuple[Images, Numbers]]) -> Drawing:
    """Games with digits: a sheet of each generator, and beside it the losses of both players.

    Args:
        games: By title: images (N, 28, 28), and the losses of G and D after each step (steps, 2).
    """
    figure, grid = panels(len(games), 2, height=1.5 * len(games), width_ratios=(2, 1))
    top = 1.15 * max(float(_smooth(losses).max()) for _, losses in games.values())
    for row, (title, (images, losses)) in enumerate(games.items()):
        left, right = grid[2 * row : 2 * row + 2]
        _sheet(left, images, 10)
        left.set_title(title, loc="left")
        _losses(right, losses, top)
        if row < len(games) - 1:
            right.set_xticklabels([])
    grid[1].set_title("loss")
    grid[-1].set_xlabel("step")
    return figure


def pairings(sets: Mapping[str, tuple[Numbers, Numbers]]) -> Drawing:
    """Two sets of numbers on two lines, each number joined with its partner.

    Args:
        sets: By title: the numbers of both sets, in the order in which they are paired.
    """
    figure, grid = panels(1, len(sets), height=1.9, sharey=True)
    for axes, (title, (first, second)) in zip(grid, sets.items(), strict=True):
        for a, b in zip(first, second, strict=True):
            axes.plot([a, b], [1, 0], color=GREY, linewidth=1)
        axes.plot(first, np.ones(len(first)), "o", color=BLUE)
        axes.plot(second, np.zeros(len(second)), "s", color=VERMILION)
        axes.set_title(title)
        axes.set_xlabel("value")
        axes.set_ylim(-0.3, 1.3)
    grid[0].set_yticks([0, 1], ["second set", "first set"])
    return figure


def clouds(samples: Mapping[str, Numbers]) -> Drawing:
    """Clouds of points, a panel for each.

    Args:
        samples: By title: points (N, 2).
    """
    figure, grid = panels(1, len(samples), height=2.3, sharex=True, sharey=True)
    for axes, (title, points) in zip(grid, samples.items(), strict=True):
        axes.axhline(0, color="#DDDDDD", linewidth=1)
        axes.axvline(0, color="#DDDDDD", linewidth=1)
        axes.plot(*points.T, "o", color=BLUE, markersize=1.8)
        axes.set_title(title)
        axes.set_aspect("equal")
    grid[len(grid) // 2].set_xlabel("first coordinate")
    grid[0].set_ylabel("second coordinate")
    return figure


def pairing_by_turning(
    first: Numbers, partners: Mapping[str, Numbers], angles: Numbers, costs: Numbers
) -> Drawing:
    """Two clouds whose points are paired in two ways, and what every way costs.

    Args:
        first: Points (N, 2).
        partners: By title: their partners (N, 2) in the other cloud.
        angles: In degrees, by which the second cloud's numbers are turned before they are paired.
        costs: The mean squared distance between partners, for each angle.
    """
    figure, grid = panels(1, len(partners) + 1, height=2.6)
    for axes, (title, second) in zip(grid, partners.items(), strict=False):
        for a, b in zip(first, second, strict=True):
            axes.plot([a[0], b[0]], [a[1], b[1]], color=GREY, linewidth=0.7)
        axes.plot(*first.T, "o", color=BLUE, markersize=4)
        axes.plot(*second.T, "s", color=VERMILION, markersize=3.5)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
    grid[-1].plot(angles, costs, color=BLUE)
    grid[-1].set_title("all angles")
    grid[-1].set_xlabel("angle (degrees)")
    grid[-1].set_ylabel("mean squared distance")
    grid[-1].set_xticks([-180, 0, 180])
    grid[-1].set_ylim(bottom=0)
    return figure


def fid_by_number(sizes: Sequence[int], distances: Numbers) -> Drawing:
    """The distance of real digits from other real digits, against their number.

    Args:
        sizes: The numbers of images in each of the two sets.
        distances: The FID for each of them.
    """
    figure, [axes] = panels(height=2.7)
    axes.loglog(sizes, distances, "o-", color=BLUE)
    for size, distance in zip(sizes, distances, strict=True):
        label(axes, size * 1.04, distance * 1.07, f"{distance:.0f}", BLUE)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.25)
    axes.set_ylim(1, 2 * float(distances.max()))
    axes.set_xlabel("number of images in each of the two sets")
    axes.set_ylabel("FID of real digits")
    return figure


def covered(real: Numbers, fake: Numbers, real_radii: Numbers, fake_radii: Numbers) -> Drawing:
    """What precision and recall count: points inside the circles of the other set.

    Args:
        real: Real points (N, 2).
        fake: Drawn points (M, 2).
        real_radii: The radius of each real point's circle (N,).
        fake_radii: The radius of each drawn point's circle (M,).
    """
    figure, grid = panels(1, 2, height=3.4, sharex=True, sharey=True)
    cases = (
        ("precision", real, real_radii, "s", fake, "o"),
        ("recall", fake, fake_radii, "o", real, "s"),
    )
    for axes, (title, centres, radii, marker, points, other) in zip(grid, cases, strict=True):
        inner = PALE_BLUE if marker == "s" else PALE_VERMILION
        for centre, radius in zip(centres, radii, strict=True):
            axes.add_patch(
                Circle((centre[0], centre[1]), radius, facecolor=inner, edgecolor=GREY, lw=0.4)
            )
        distances = np.sqrt(((points[:, None] - centres) ** 2).sum(axis=2))
        inside = (distances <= radii).any(axis=1)
        color = VERMILION if marker == "s" else BLUE
        axes.plot(*centres.T, marker, color=GREY, markersize=3)
        axes.plot(*points[inside].T, other, color=color, markersize=5)
        axes.plot(*points[~inside].T, other, color=color, markersize=5, markerfacecolor="white")
        axes.set_title(f"{title}: {inside.sum()} of {len(points)}")
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def neighbours(rows: Sequence[tuple[str, Images]]) -> Drawing:
    """Rows of digits with their names at the left.

    Args:
        rows: Names and images (N, 28, 28); all rows have the same number of images.
    """
    figure, grid = panels(len(rows), 1, height=0.62 * len(rows))
    for axes, (name, images) in zip(grid, rows, strict=True):
        _sheet(axes, images, len(images))
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def histograms(sets: Mapping[str, Numbers], places: Sequence[tuple[float, float]]) -> Drawing:
    """How often each distance comes, a line for each set.

    Args:
        sets: By name: distances.
        places: Where each name begins, as (distance, share in percent).
    """
    figure, [axes] = panels(height=2.6)
    edges = np.linspace(0, max(float(np.quantile(found, 0.99)) for found in sets.values()), 41)
    for (name, found), place, look in zip(sets.items(), places, LOOKS, strict=False):
        counts, _ = np.histogram(found, edges)
        axes.stairs(
            100 * counts / len(found),
            edges,
            edgecolor=look.color,
            linestyle=look.linestyle,
            linewidth=1.8,
        )
        label(axes, *place, name, look.color)
    axes.set_xlabel("distance to the nearest training digit")
    axes.set_ylabel("share (%)")
    return figure


def _sheet(axes: Axes, images: Images, columns: int) -> None:
    """Draw images (N, 28, 28) in rows, with a line of paper around each."""
    rows = -(-len(images) // columns)
    tiles = np.zeros((rows * columns, 30, 30))
    tiles[: len(images), 1:-1, 1:-1] = images
    page = tiles.reshape(rows, columns, 30, 30).transpose(0, 2, 1, 3).reshape(30 * rows, -1)
    axes.imshow(page, cmap="gray_r", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def _smooth(losses: Numbers) -> Numbers:
    """Means over `SMOOTH` steps."""
    count = len(losses) // SMOOTH
    return np.stack([part.mean(axis=0) for part in np.split(losses[: count * SMOOTH], count)])


def _losses(axes: Axes, losses: Numbers, top: float) -> None:
    """Draw the losses of G and D (steps, 2), and those of a D that cannot tell (dotted)."""
    smooth = _smooth(losses)
    steps = SMOOTH * (np.arange(len(smooth)) + 0.5)
    places = smooth[-3:].mean(axis=0)
    gap = 0.13 * top - abs(places[1] - places[0])
    if gap > 0:  # the letters would overlap
        places += np.array([-gap, gap]) / 2 * (1 if places[1] > places[0] else -1)
    for column, name, value in ((0, "G", np.log(2)), (1, "D", np.log(4))):
        look = LOOKS[1 - column]
        axes.axhline(value, color=GREY, linestyle=":", linewidth=1)
        axes.plot(steps, smooth[:, column], color=look.color, linestyle=look.linestyle)
        label(axes, 1.03 * len(losses), places[column], name, look.color, va="center")
    axes.set_xlim(0, 1.15 * len(losses))
    axes.set_xticks([0, len(losses) // 2, len(losses)])
    axes.set_ylim(0, top)
