"""The pictures of chapter 10: two players, what they measure, and how they circle each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from PIL import Image

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


def four_pictures(p: Numbers, q: Numbers, best: Numbers) -> Drawing:
    """How often each picture is real and how often drawn, and what the best discriminator says.

    Args:
        p: The share of each picture among the real ones (K,).
        q: Its share among the fakes (K,).
        best: The best discriminator's probability that it is real (K,).
    """
    figure, (left, right) = panels(1, 2, height=2.7)
    places = np.arange(1.0, len(p) + 1)
    left.bar(places - 0.2, p, 0.4, color=PALE_BLUE, edgecolor=BLUE)
    left.bar(places + 0.2, q, 0.4, color=PALE_VERMILION, edgecolor=VERMILION, hatch="///")
    top = max(float(p.max()), float(q.max()))
    left.set_ylim(0, 1.25 * top)
    real, fake = int(np.argmax(p - q)), int(np.argmax(q - p))
    label(left, places[real] - 0.2, p[real] + 0.04 * top, "real", BLUE, ha="center", va="bottom")
    label(
        left, places[fake] + 0.2, q[fake] + 0.04 * top, "fake", VERMILION, ha="center", va="bottom"
    )
    left.set_ylabel("share")
    right.axhline(0.5, color=GREY, linestyle=":")
    right.bar(places, best, 0.5, color="white", edgecolor=BLACK)
    for place, value in zip(places, best, strict=True):
        label(right, place, value + 0.03, f"{value:.2f}", ha="center", va="bottom")
    right.set_ylim(0, 1)
    right.set_ylabel("best D: probability of real")
    for axes in (left, right):
        axes.set_xticks(places)
        axes.set_xlabel("picture")
    return figure


def generator_losses(a: Numbers, first: Sequence[Numbers], second: Sequence[Numbers]) -> Drawing:
    """Two losses of the generator and their slopes, against the logit that D gives to a fake.

    Args:
        a: The logits, in rising order.
        first: log(1 - D) and its derivative.
        second: -log D and its derivative.
    """
    figure, grid = panels(1, 2, height=2.9)
    titles = ("loss", "slope of the loss")
    for axes, title, one, other in zip(grid, titles, first, second, strict=True):
        axes.axvspan(a[0], -3, color=PALE_VERMILION, linewidth=0)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.plot(a, one, "--", color=VERMILION)
        axes.plot(a, other, color=BLUE)
        axes.set_title(title, loc="left")
        axes.set_xlabel("logit a of a fake")
        axes.set_xlim(a[0], a[-1])
    left, right = grid
    label(left, -2.6, 3.6, f"{MINUS}log D", BLUE)
    label(left, -0.4, -2.6, f"log(1 {MINUS} D)", VERMILION, ha="right")
    label(left, a[0] + 0.2, 1.2, "D is sure:\na fake", GREY)
    label(right, 0.1, -0.95, f"{MINUS}log D", BLUE, ha="center")
    label(right, a[0] + 0.2, -0.15, f"log(1 {MINUS} D)", VERMILION, va="center")
    label(right, a[0] + 0.2, -0.62, "D is sure:\na fake", GREY)
    return figure


def four_game(shares: Numbers, p: Numbers, losses: Mapping[str, Numbers]) -> Drawing:
    """The game over four pictures: the fakes' shares and both losses against the step.

    Args:
        shares: Of the fakes, after each step, (steps, 4).
        p: The shares of the real pictures (4,).
        losses: By name: the generator's loss and the discriminator's, and where each should end.
    """
    figure, (left, right) = panels(1, 2, height=2.9)
    steps = len(shares)
    for k, look in zip(range(len(p)), LOOKS, strict=False):
        left.axhline(p[k], color=GREY, linestyle=":", linewidth=1)
        left.plot(shares[:, k], color=look.color, linestyle=look.linestyle)
        label(left, 1.04 * steps, p[k], str(k + 1), look.color, va="center")
    left.set_ylabel("share among the fakes")
    left.set_ylim(bottom=0)
    for (name, loss), look in zip(losses.items(), LOOKS, strict=False):
        right.axhline(loss[-1], color=GREY, linestyle=":", linewidth=1)
        right.plot(loss, color=look.color, linestyle=look.linestyle)
        label(right, steps, loss[-1] + 0.05, f"{name} loss", look.color, ha="right", va="bottom")
    right.set_ylabel("loss")
    right.set_ylim(0, 1.25 * max(float(loss[-1]) for loss in losses.values()))
    for axes in (left, right):
        axes.set_xlabel("step")
    return figure


class Moment(NamedTuple):
    """The game on a line, stopped after some steps.

    Attributes:
        title: When.
        fakes: Many of the generator's numbers (N,).
        judged: What the discriminator says of each place of the line, 0 to 1.
        arrows: What it tells some fakes: their places (M,), and the length of each arrow (M,).
    """

    title: str
    fakes: Numbers
    judged: Numbers
    arrows: tuple[Numbers, Numbers]


def game_on_a_line(moments: Sequence[Moment], real: Numbers, line: Numbers) -> Drawing:
    """Histograms of real numbers and fakes, D's answer, and where D's slope sends the fakes.

    Args:
        moments: A panel for each.
        real: Many real numbers.
        line: The places at which D was asked, in rising order.
    """
    rows = (len(moments) + 1) // 2
    figure, grid = panels(rows, 2, height=2.55 * rows, sharex=True, sharey=True)
    edges = np.linspace(line[0], line[-1], 41).tolist()
    for axes, moment in zip(grid, moments, strict=True):
        weights = (
            np.full(len(real), 2.5 / len(real)),
            np.full(len(moment.fakes), 2.5 / len(moment.fakes)),
        )
        axes.hist(real, edges, weights=weights[0], color=PALE_BLUE, edgecolor=BLUE, linewidth=0.6)
        axes.hist(
            moment.fakes,
            edges,
            weights=weights[1],
            histtype="step",
            hatch="////",
            edgecolor=VERMILION,
            linewidth=1.0,
        )
        axes.plot(line, moment.judged, color=BLACK)
        axes.axhline(0, color=GREY, linewidth=0.8)
        for row, (place, push) in enumerate(zip(*moment.arrows, strict=True)):
            height = -0.1 - 0.09 * row
            axes.plot([place], [height], "o", color=VERMILION, markersize=4)
            axes.arrow(
                place,
                height,
                push,
                0,
                color=VERMILION,
                width=0.012,
                head_width=0.06,
                head_length=min(0.3, 0.5 * abs(push)),
                length_includes_head=True,
            )
        axes.set_title(moment.title, fontsize=11)
        axes.set_xlim(line[0], line[-1])
        axes.set_ylim(-0.4, 1.08)
        axes.set_yticks([0, 0.5, 1])
    first, [before, *_] = grid[0], moments
    label(first, float(real.mean()), 0.5, "real", BLUE, ha="center")
    label(first, float(before.fakes.max()) + 0.1, 0.75, "fakes", VERMILION)
    label(grid[1], line[-1] - 0.1, 0.72, "histograms:\nnot to scale", GREY, ha="right", fontsize=9)
    label(first, line[-1] - 0.2, before.judged[-1] + 0.07, "D", ha="right")
    for axes in grid[-2:]:
        axes.set_xlabel("number")
    for axes in grid[::2]:
        axes.set_ylabel("D's answer")
    return figure


def paths_of_players(paths: Mapping[str, Numbers], size: float = 1.6) -> Drawing:
    """Where two players of V = x y go, a panel for each kind of player.

    Args:
        paths: By title: x and y after 0, 1, 2, ... steps, of shape (steps + 1, 2).
        size: How far each panel reaches from the solution at 0, 0.
    """
    rows = (len(paths) + 2) // 3
    figure, grid = panels(rows, 3, height=2.2 * rows, sharex=True, sharey=True)
    for axes, (title, path) in zip(grid, paths.items(), strict=True):
        axes.plot(*path.T, color=BLUE, linewidth=1.1, clip_on=True)
        axes.plot(*path[0], "s", color=BLACK, markersize=6)
        axes.plot(0, 0, "+", color=BLACK, markersize=9, markeredgewidth=1.4)
        turned = np.unwrap(np.arctan2(path[:, 1], path[:, 0]))
        place = int(np.argmax(turned > np.pi / 3))  # the arrow is after a sixth of a turn
        arrow = {"arrowstyle": "-|>", "color": VERMILION, "linewidth": 2, "shrinkB": 0}
        axes.annotate("", path[place], path[place - 2], arrowprops=arrow)
        axes.set_title(title, fontsize=11)
        axes.set_xlim(-size, size)
        axes.set_ylim(-size, size)
        axes.set_aspect("equal")
        axes.set_xticks([-1, 0, 1])
        axes.set_yticks([-1, 0, 1])
    for axes in grid[-3:]:
        axes.set_xlabel("x")
    for axes in grid[::3]:
        axes.set_ylabel("y")
    return figure


class Map(NamedTuple):
    """Where a generator puts its points in a plane, and what the discriminator says there.

    Attributes:
        fakes: Points (N, 2).
        judged: D's answer on a square grid (M, M), from 0 to 1; row by row, from below.
    """

    fakes: Numbers
    judged: Numbers


def ring(maps: Mapping[str, Map], centres: Numbers, radius: float, reach: float) -> Drawing:
    """Points of generators on the map of what their discriminators say, a panel for each moment.

    Lines join places of equal D, as lines of equal height do on a map: at 0.1, 0.2, ..., 0.9.
    Where D is above 1/2 the ground is white.

    Args:
        maps: By title.
        centres: Where the real points lie (K, 2).
        radius: Of the circles around them.
        reach: The grid goes from minus this to this along both axes.
    """
    rows = len(maps) // 2
    figure, grid = panels(rows, 2, height=2.9 * rows, sharex=True, sharey=True)
    for axes, (title, (fakes, judged)) in zip(grid, maps.items(), strict=True):
        line = np.linspace(-reach, reach, len(judged))
        axes.contourf(line, line, judged, [0, 0.5, 1], colors=["#E4E4E4", "white"])
        heights = np.arange(1, 10) / 10
        axes.contour(line, line, judged, heights, colors=GREY, linewidths=0.6)
        axes.plot(*fakes.T, ".", color=VERMILION, markersize=2.5)
        for centre in centres:
            axes.add_patch(Circle(tuple(centre), radius, fill=False, color=BLACK, linewidth=1.4))
        axes.set_title(title, fontsize=11)
        axes.set_aspect("equal")
    for axes in grid[-2:]:
        axes.set_xlabel("first coordinate")
    for axes in grid[::2]:
        axes.set_ylabel("second coordinate")
    return figure


def drawings(rows: Mapping[str, Numbers]) -> Drawing:
    """Pictures that a generator draws of the same latent points, a row for each moment.

    Args:
        rows: By name: as many pictures in each, (N, height, width), from -1 (paper) to 1 (ink).
    """
    strips = []
    for pictures in rows.values():
        framed = [np.pad(x, ((2, 2), (1, 1)), constant_values=-1) for x in pictures]
        strips.append(np.concatenate(framed, axis=1))
    height, width = strips[0].shape
    figure, [axes] = panels(height=5.1 * len(strips) * height / width)
    figure.set_layout_engine("constrained", w_pad=0.1)  # the names keep away from the edge
    axes.imshow(-np.concatenate(strips), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_yticks([height * (row + 0.5) for row in range(len(rows))], list(rows))
    axes.set_xticks([])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def part_of_picture(
    path: str | Path, left: float, right: float, top: float, bottom: float
) -> Drawing:
    """A part of a picture that stands in a file, in shares of its width and height.

    Args:
        path: The file.
        left: Where the part begins.
        right: Where it ends.
        top: Where it begins, from above.
        bottom: Where it ends.
    """
    pixels = np.asarray(Image.open(path).convert("L"))
    height, width = pixels.shape
    part = pixels[
        round(top * height) : round(bottom * height), round(left * width) : round(right * width)
    ]
    figure, [axes] = panels(height=6 * part.shape[0] / part.shape[1])
    axes.imshow(part, cmap="gray", vmin=0, vmax=255)
    axes.axis("off")
    return figure


def whose_gradient() -> Drawing:
    """Both halves of a step: where numbers go (thin), and where the gradient goes (thick)."""
    figure, grid = panels(2, 1, height=3.9, height_ratios=[1.7, 3])
    _half(grid[0], "The generator's half: its weights move", moves="G", wanted="target 1")
    _half(
        grid[1],
        "The discriminator's half: its weights move",
        moves="D",
        wanted="fake: target 0\nreal: target 1",
    )
    return figure


def _half(axes: Axes, title: str, moves: str, wanted: str) -> None:
    """One half of a step; the player whose weights move has a filled box."""
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 3 if moves == "D" else 1.7)
    axes.axis("off")
    axes.set_title(title, loc="left", fontsize=11)
    middle = 0.8
    _box(axes, 0.5, middle, "z", "white", GREY)
    _box(axes, 2.7, middle, "G", PALE_BLUE if moves == "G" else "white", BLACK)
    _box(axes, 6.2, middle, "D", PALE_BLUE if moves == "D" else "white", BLACK)
    _box(axes, 9.0, middle, "loss", "white", GREY)
    for start, end, word in ((0.5, 2.7, ""), (2.7, 6.2, "fake"), (6.2, 9.0, wanted)):
        _arrow(axes, (start + 0.5, middle + 0.22), (end - 0.5, middle + 0.22), GREY, 1.2)
        label(axes, (start + end) / 2, middle + 0.34, word, GREY, ha="center", va="bottom")
    ways = [(9.0, 6.2), (6.2, 2.7)] if moves == "G" else [(9.0, 6.2)]
    for start, end in ways:
        _arrow(axes, (start - 0.5, middle - 0.22), (end + 0.5, middle - 0.22), VERMILION, 3)
    x = 4.45 if moves == "G" else 7.6
    label(axes, x, middle - 0.42, "gradient", VERMILION, ha="center", va="top")
    if moves == "D":
        label(axes, 4.45, middle - 0.22, "ends here", VERMILION, ha="center", va="top")
        axes.plot([5.55, 5.55], [middle - 0.5, middle + 0.06], color=VERMILION, linewidth=3)
        _box(axes, 2.7, middle + 1.6, "real", "white", GREY)
        _arrow(axes, (3.18, middle + 1.5), (5.68, middle + 0.5), GREY, 1.2)


def _box(axes: Axes, x: float, y: float, word: str, fill: str, edge: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x - 0.42, y - 0.42), 0.84, 0.84, "round,pad=0.06", facecolor=fill, edgecolor=edge
        )
    )
    axes.text(x, y, word, ha="center", va="center")


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str, width: float
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=12,
            color=color,
            linewidth=width,
            shrinkA=0,
            shrinkB=0,
        )
    )
