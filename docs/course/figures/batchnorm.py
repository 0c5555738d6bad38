"""The pictures of chapter 5: what batch norm removes, and what an example's neighbours do to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle

from figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LOOKS,
    PALE_BLUE,
    VERMILION,
    Drawing,
    label,
    panels,
)

Array = np.ndarray[Any, Any]


def learning_curves(losses: Mapping[str, Sequence[float]], window: int = 10) -> Drawing:
    """The loss of several networks during training, named at the ends of the lines.

    Args:
        losses: For each name the loss at each step.
        window: Each point is the mean of so many steps, since single steps jump.
    """
    figure, [axes] = panels(height=2.8)
    for look, (name, values) in zip(LOOKS, losses.items(), strict=False):
        means = np.reshape(values[: len(values) // window * window], (-1, window)).mean(axis=1)
        steps = (np.arange(len(means)) + 0.5) * window
        color, dashes = look.color, look.linestyle
        axes.plot(steps, means, color=color, linestyle=dashes, marker=look.marker, markevery=3)
        text: dict[str, Any] = {"color": look.color, "fontsize": 10, "va": "center"}
        axes.annotate(name, (1.01, means[-1]), xycoords=("axes fraction", "data"), **text)
    axes.set(xlabel="step", ylabel="loss", ylim=(0, None))
    axes.grid(axis="y")
    return figure


def two_removals(x_hat: Array, g: Array) -> Drawing:
    """How batch norm's way back removes two parts of the gradient of three numbers.

    On the left the plane of all triples with mean 0 is seen from the side, and on the right from
    above, with the circle of those triples whose variance is 1.

    Args:
        x_hat: Three numbers with mean 0 and variance 1.
        g: The gradient with respect to them.
    """
    shadow = g - g.mean()
    length, height = float(np.linalg.norm(shadow)), float(g.mean() * np.sqrt(3))
    radius = float(np.linalg.norm(x_hat))
    outward = float(shadow @ x_hat) / radius
    along = float(np.sqrt(length**2 - outward**2))  # the picture is turned so that this is upward
    down, up = -radius - 0.2, max(height, along) + 0.6
    wide = [length + 2.6, max(radius + outward, radius) + radius + 1.2]
    size = 6 * (up - down) / sum(wide) + 0.5
    figure, [side, above] = panels(1, 2, height=size, width_ratios=wide)

    side.axhline(0, color=GREY, linewidth=1)
    _arrow(side, (0, 0), (length, height), BLACK)
    _arrow(side, (length, height), (length, 0), VERMILION, "--")
    _arrow(side, (0, 0), (length, 0), BLUE)
    label(side, length / 2, height / 2 + 0.2, "$g$", ha="right", fontsize=11)
    label(side, length + 0.15, height / 2, "removed:\nacross the plane", VERMILION, va="center")
    label(side, length / 2, -0.15, r"$g - \overline{g}$", BLUE, va="top", ha="center", fontsize=11)
    label(side, length + 0.15, -0.15, "the plane of\nmean 0", GREY, va="top")
    side.set(title="1. from the side", xlim=(-0.4, wide[0] - 0.4))

    place, tip, end = (radius, 0.0), (radius + outward, along), (radius, along)
    edge = {"facecolor": "none", "edgecolor": GREY, "linewidth": 1}
    above.add_patch(Circle((0, 0), radius, **edge))
    above.plot(0, 0, "+", color=GREY)
    _arrow(above, place, tip, BLUE)
    _arrow(above, tip, end, VERMILION, "--")
    _arrow(above, place, end, GREEN)
    above.plot(*place, "o", color=BLACK)
    label(above, radius - 0.2, 0, r"$\hat x$", ha="right", va="center", fontsize=11)
    label(above, 0, -0.6, "circle of\nvariance 1", GREY, ha="center", va="top")
    middle = radius + outward / 2
    label(above, middle + 0.2, along / 2, r"$g - \overline{g}$", BLUE, va="top", fontsize=11)
    label(above, middle, along + 0.15, "removed: outward", VERMILION, ha="center")
    label(above, radius - 0.3, along * 0.3, "what is left", GREEN, ha="right", va="center")
    above.set(title="2. from above", xlim=(-radius - 0.2, wide[1] - radius - 0.2))
    for axes in (side, above):
        axes.set(ylim=(down, up), aspect="equal")
        axes.axis("off")
    return figure


def _arrow(axes: Axes, start: Any, end: Any, color: str, dashes: str = "-") -> None:
    """An arrow from start to end."""
    arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 12}
    look = {"color": color, "linewidth": 1.8, "linestyle": dashes}
    axes.annotate("", end, start, arrowprops=arrow | look)


def neighbours(outputs: Mapping[int, Array], alone: float) -> Drawing:
    """The outputs of one and the same example among different neighbours, by batch size.

    Args:
        outputs: For each batch size the outputs in several batches.
        alone: The output in evaluation, which has no neighbours.
    """
    figure, [axes] = panels(height=2.8)
    random = np.random.default_rng(0)
    for place, values in enumerate(outputs.values()):
        across = place + random.uniform(-0.18, 0.18, len(values))
        axes.plot(across, values, "o", color=BLUE, markersize=3, alpha=0.6, markeredgewidth=0)
    axes.axhline(alone, color=VERMILION, linestyle="--", linewidth=1.5)
    label(axes, -0.45, alone + 0.02, "after eval()", VERMILION, va="bottom")
    axes.set_xticks(range(len(outputs)), [str(size) for size in outputs])
    axes.set(xlabel="examples in the batch", ylabel="output of the same image", xlim=(-0.5, None))
    return figure


def shared_statistics(x: Array, example: int, feature: int) -> Drawing:
    """Which numbers of a batch share a mean: a column in batch norm, a row in layer norm.

    Args:
        x: The batch, (N, D).
        example: The row to mark on the right.
        feature: The column to mark on the left.
    """
    figure, [left, right] = panels(1, 2, height=2.6)
    count, features = x.shape
    _numbers(left, x, lambda i, j: j == feature)
    mean = f"mean {x[:, feature].mean():g}"
    left.text(feature + 0.5, count + 0.45, mean, color=BLUE, ha="center", va="center")
    left.set(title="batch norm: over the batch", ylabel="examples")
    _numbers(right, x, lambda i, j: i == example)
    mean = f"mean {x[example].mean():g}"
    right.text(features + 0.15, example + 0.5, mean, color=BLUE, va="center")
    right.set(title="layer norm: over the features")
    for axes in (left, right):
        axes.set(xlim=(-0.1, features + 1.5), ylim=(count + 0.8, -0.25), aspect="equal")
        axes.axis("off")
    return figure


def _numbers(axes: Axes, x: Array, is_marked: Any) -> None:
    """A table of numbers with some cells marked."""
    for (i, j), number in np.ndenumerate(x):
        marked = is_marked(i, j)
        face = PALE_BLUE if marked else "white"
        axes.add_patch(Rectangle((j, i), 1, 1, facecolor=face, edgecolor=GREY, linewidth=0.6))
        weight = "bold" if marked else "normal"
        place = (j + 0.5, i + 0.5)
        axes.text(*place, f"{number:g}", ha="center", va="center", fontweight=weight)
