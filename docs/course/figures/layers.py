"""The pictures of chapter 4: a layer's shapes, boundaries, and the spread of values by layer."""

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
    panels,
)

Array = np.ndarray[Any, Any]


def linear_shapes(
    x: Array, weight: Array, bias: Array, example: int = 0, neuron: int = 0
) -> Drawing:
    """The arrays of a linear layer, placed so that y's rows follow x's and its columns W^T's.

    Args:
        x: The batch, (N, D).
        weight: W, (H, D); the picture shows it transposed.
        bias: b, (H,).
        example: The row of x and y to mark.
        neuron: The row of W, and column of y, to mark.
    """
    count, inputs, outputs = len(x), len(weight[0]), len(bias)
    figure, [axes] = panels(width=6.0, height=4.2)
    right, down = inputs + 1.2, inputs + 0.6  # where y's columns begin, and the bias's row
    rows = down + 1.6
    _table(axes, weight.T, right, 0, marked=(None, neuron), color=PALE_VERMILION)
    _table(axes, bias[None], right, down, marked=(None, neuron), color=PALE_VERMILION)
    _table(axes, x, 0, rows, marked=(example, None), color=PALE_BLUE)
    _table(axes, x @ weight.T + bias, right, rows, marked=(example, neuron), color="#FFE9A8")
    middle, end = rows + count / 2, right + outputs + 0.3
    text: dict[str, Any] = {"va": "center", "fontsize": 10}
    axes.text(end, inputs / 2, f"$W^T$  {inputs, outputs}\na column is a neuron", **text)
    axes.text(end, down + 0.5, f"$b$  ({outputs},)", **text)
    axes.text(end, middle, f"$y = x W^T + b$\n{count, outputs}", **text)
    axes.text(inputs / 2, rows - 0.75, f"$x$  {count, inputs}", ha="center", **text)
    axes.text(inputs / 2, rows - 0.3, "a row is an example", ha="center", **text)
    axes.set(xlim=(-0.2, end + 3.4), ylim=(rows + count + 0.2, -0.2), aspect="equal")
    axes.axis("off")
    return figure


def _table(
    axes: Axes,
    values: Array,
    left: float,
    top: float,
    marked: tuple[int | None, int | None],
    color: str,
) -> None:
    """A table of numbers; the cells of the marked row and column (None: of all) are coloured."""
    row, column = marked
    for i, numbers in enumerate(values):
        for j, number in enumerate(numbers):
            is_marked = row in (None, i) and column in (None, j)
            face, weight = (color, "bold") if is_marked else ("white", "normal")
            place = (left + j, top + i)
            axes.add_patch(Rectangle(place, 1, 1, facecolor=face, edgecolor=GREY, linewidth=0.6))
            text: dict[str, Any] = {"fontsize": 11, "fontweight": weight}
            text |= {"ha": "center", "va": "center"}
            axes.text(place[0] + 0.5, place[1] + 0.5, f"{number:g}", **text)


def boundaries(
    models: Mapping[str, Callable[[Array], Array]],
    points: Array,
    classes: Array,
) -> Drawing:
    """The areas in which models answer with a number below and above 0, a panel for each model.

    A minus and a plus stand in the areas, where there is most room between the points.

    Args:
        models: For each title a function from points (n, 2) to answers (n,).
        points: The examples, (N, 2).
        classes: Their classes, 0 or 1, (N,).
    """
    figure, grid = panels(1, len(models), height=2.45, sharey=True)
    low, high = points.min(axis=0) - 0.3, points.max(axis=0) + 0.3
    across, up = np.meshgrid(np.linspace(low[0], high[0], 150), np.linspace(low[1], high[1], 150))
    places = np.stack([across.ravel(), up.ravel()], axis=1)
    for axes, (title, model) in zip(grid, models.items(), strict=True):
        answers = model(places).reshape(across.shape)
        axes.contourf(across, up, answers, [-1e9, 0, 1e9], colors=[PALE_BLUE, PALE_VERMILION])
        axes.contour(across, up, answers, [0], colors=BLACK, linewidths=1.5)
        for sign, inside in ("$-$", answers < 0), ("$+$", answers > 0):
            outside = places[~inside.ravel()][::37]
            x, y = _roomiest(places[inside.ravel()][::7], np.vstack([points, outside]), low, high)
            axes.text(x, y, sign, fontsize=18, ha="center", va="center")
        for kind, (color, marker) in enumerate([(BLUE, "o"), (VERMILION, "^")]):
            chosen = points[classes == kind]
            axes.plot(*chosen.T, marker, color=color, markersize=3, markeredgewidth=0)
        axes.set(title=title, xlabel="first input", aspect="equal")
    grid[0].set_ylabel("second input")
    return figure


def _roomiest(places: Array, others: Array, low: Array, high: Array) -> Array:
    """The place that is farthest from all others and from the edges of the picture."""
    to_others = np.linalg.norm(places[:, None] - others, axis=2).min(axis=1)
    to_edges = np.minimum(places - low, high - places).min(axis=1)
    place: Array = places[np.argmax(np.minimum(to_others, to_edges))]
    return place


def spreads_by_layer(
    forward: Mapping[str, Sequence[float]], backward: Mapping[str, Sequence[float]]
) -> Drawing:
    """The spread of the values and of the gradients at each layer, on a logarithmic axis.

    The names stand between the panels, beside the ends of both panels' lines.

    Args:
        forward: For each way of drawing weights the spread of each layer's values, the first first.
        backward: The spread of the gradients at the same places.
    """
    figure, grid = panels(1, 2, height=3.6, sharey=True)
    titles = ["values, going forward", "gradients, going back"]
    for axes, title, curves in zip(grid, titles, (forward, backward), strict=True):
        for look, values in zip(LOOKS, curves.values(), strict=False):
            layers = np.arange(1, len(values) + 1)
            axes.plot(layers, values, color=look.color, linestyle=look.linestyle)
            axes.plot(layers[::6], values[::6], look.marker, color=look.color)
        axes.set(yscale="log", title=title, xlabel="layer", xticks=layers[::6])
        axes.grid(axis="y")
    grid[0].set_ylabel("spread (standard deviation)")
    low, high = np.log(grid[0].get_ylim())
    places = {name: (np.log(values[-1]) - low) / (high - low) for name, values in forward.items()}
    last = np.inf
    for name in sorted(places, key=lambda name: -places[name]):
        last = min(places[name], last - 0.07)  # names of lines that end close together
        color = LOOKS[list(places).index(name)].color
        text: dict[str, Any] = {"fontsize": 10, "va": "center", "annotation_clip": False}
        grid[0].annotate(name, (1.03, last), xycoords="axes fraction", color=color, **text)
    return figure


def value_strips(networks: Mapping[str, Sequence[Array]], bins: int = 41) -> Drawing:
    """How the values of each layer are distributed: a column is a layer's histogram from above.

    Args:
        networks: For each title the values of each layer, between -1 and 1, in any shape.
        bins: The number of intervals between -1 and 1.
    """
    figure, grid = panels(1, len(networks), height=2.6, sharey=True)
    edges = np.linspace(-1, 1, bins + 1)
    for axes, (title, layers) in zip(grid, networks.items(), strict=True):
        shares = np.stack([np.histogram(values, edges)[0] / values.size for values in layers])
        shade = np.sqrt(shares / shares.max(axis=1, keepdims=True))  # the root shows rare values
        extent = (0.5, len(layers) + 0.5, -1, 1)
        axes.imshow(shade.T, origin="lower", extent=extent, aspect="auto", cmap="Blues", vmin=0)
        axes.set(title=title, xlabel="layer", xticks=[1, len(layers) // 2, len(layers)])
    grid[0].set_ylabel("value after tanh")
    return figure
