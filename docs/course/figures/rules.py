"""Pictures of chapter 3: derivatives of derivatives, Newton's steps, and what a graph keeps."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

import minigrad as mg
from figures.style import GREY, LOOKS, VERMILION, Drawing, label, panels

Array = np.ndarray[Any, Any]


def derivatives(
    function: Callable[[Any], Any], x: Array, point: float, names: Sequence[str]
) -> Drawing:
    """Draw a function and its derivatives, each the gradient of the one before.

    At one point each curve has its tangent; the slope of this tangent is the height of the next
    curve there.

    Args:
        function: An element-wise function of a Tensor.
        x: Where to draw it.
        point: Where to draw the tangents.
        names: A name for the function and for each derivative.
    """
    inputs = mg.tensor(np.append(x, point), requires_grad=True)
    curves = [function(inputs)]
    for _ in names:  # one more than is drawn: the slope of the last tangent
        curves += mg.grad(curves[-1].sum(), inputs, create_graph=True)
    values = [curve.detach().numpy() for curve in curves]
    figure, axes = panels(len(names), 1, height=1.25 * len(names) + 0.3, sharex=True)
    reach = 0.12 * (x[-1] - x[0])
    for order, (each, name) in enumerate(zip(axes, names, strict=True)):
        height, slope = values[order][-1], values[order + 1][-1]
        each.plot(x[[0, -1]], [0, 0], color=GREY, linewidth=0.6)
        each.plot(x, values[order][:-1], color=LOOKS[0].color)
        ends = np.array([point - reach, point + reach])
        each.plot(ends, height + slope * (ends - point), color=VERMILION, linestyle="--")
        each.plot([point], [height], "o", color=VERMILION)
        label(
            each,
            0.99,
            0.96,
            f"{name}\nheight {height:.2f}, slope {slope:.2f}".replace("-", "\N{MINUS SIGN}"),
            transform=each.transAxes,
            ha="right",
            va="top",
        )
        low, high = values[order][:-1].min(), values[order][:-1].max()
        each.set_ylim(low - 0.15 * (high - low), high + 0.15 * (high - low))
    axes[-1].set(xlabel="x", xlim=(x[0], x[-1] + 0.48 * (x[-1] - x[0])))
    for each in axes:
        each.spines.bottom.set_bounds(x[0], x[-1])
    axes[-1].set_xticks(np.arange(np.ceil(x[0]), x[-1] + 0.5))
    return figure


def megabytes_held(
    add: Callable[..., Any], tanh: Callable[..., Any], record: bool = True
) -> list[float]:
    """Measure what Python holds after each of ten layers tanh(x + 1), on arrays of a megabyte.

    Args:
        add: The first operation of a layer.
        tanh: The second.
        record: Whether the operations leave a graph.
    """
    x = mg.tensor(np.zeros(125_000), requires_grad=True)
    one = mg.tensor(np.ones(1), requires_grad=True)
    held = []
    tracemalloc.start()
    with nullcontext() if record else mg.no_grad():
        for _ in range(10):
            x = tanh(add(x, one))
            held.append(tracemalloc.get_traced_memory()[0] / 1e6)
    tracemalloc.stop()
    return held


def kept(megabytes: dict[str, list[float]]) -> Drawing:
    """Draw the memory that a chain of layers holds, layer by layer.

    Args:
        megabytes: The label of each line, and what is held after 1, 2, 3, ... layers.
    """
    figure, [axes] = panels(height=2.9)
    for look, (name, line) in zip(LOOKS, megabytes.items(), strict=False):
        layers = np.arange(1, len(line) + 1)
        axes.plot(layers, line, color=look.color, linestyle=look.linestyle, marker=look.marker)
        label(axes, layers[-1] + 0.3, line[-1], name, look.color, va="center")
    count = max(map(len, megabytes.values()))
    axes.set(xlabel="layers computed", ylabel="megabytes held", ylim=0)
    axes.set(xlim=(0.7, count + 0.2), xticks=range(2, count + 1, 2))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(True, axis="y")
    return figure


def descents(names: Sequence[str], errors: Sequence[Sequence[float]]) -> Drawing:
    """Draw the distance from a minimum, step by step, on a logarithmic axis.

    Args:
        names: A label for each line.
        errors: For each line, the distance before the first step, after it, and so on.
    """
    figure, [axes] = panels(height=2.8)
    for look, name, line in zip(LOOKS, names, errors, strict=False):
        axes.semilogy(line, color=look.color, linestyle=look.linestyle, marker=look.marker)
        label(axes, len(line) - 1 + 0.3, line[-1], name, look.color, va="center")
    longest = max(map(len, errors)) - 1
    axes.set(xlabel="steps", ylabel="distance from the minimum", xlim=(-0.3, longest + 0.2))
    axes.set_xticks(range(0, longest + 1, 2))
    axes.grid(True, axis="y")
    return figure
