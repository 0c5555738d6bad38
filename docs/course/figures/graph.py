"""The pictures of chapter 1: a graph of Values, the way back through it, a boundary that learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, TypeAlias

import numpy as np
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
from minigrad.tools.draw_layout import Box, arrange

Value: TypeAlias = Any  # of docs/steps: `data`, `parents` (pairs of a parent and a slope), `age`
Names: TypeAlias = Mapping[str, Value]
Point: TypeAlias = tuple[float, float]


@dataclass
class Frame:
    """What is known after one node was taken.

    Attributes:
        taken: The node; None before the first.
        handed: For each of its parents: the parent, the slope, and whether the parent has handed
            on its gradient before, so that this share comes too late.
        gradients: The sums that have arrived at the nodes.
        complete: The nodes that have been taken, and leaves when no other node waits.
        waiting: The others that a gradient has reached.
    """

    taken: Value | None
    gradients: dict[Value, float]
    waiting: list[Value]
    handed: list[tuple[Value, float, bool]] = field(default_factory=list)
    complete: list[Value] = field(default_factory=list)


def walk(output: Value, youngest_first: bool = True) -> list[Frame]:
    """Go back from a Value as `backward` does, and note every step.

    Args:
        output: Where the way back begins, with the gradient 1.
        youngest_first: Whether the youngest of the waiting nodes is taken, or the one that came
            last, as with a plain stack.
    """
    gradients, waiting, taken = {output: 1.0}, [output], []
    frames = [Frame(None, dict(gradients), list(waiting))]
    while waiting:
        node = max(waiting, key=lambda value: value.age) if youngest_first else waiting[-1]
        waiting.remove(node)
        taken.append(node)
        handed = []
        for parent, slope in node.parents:
            if parent not in gradients:
                waiting.append(parent)
            gradients[parent] = gradients.get(parent, 0.0) + gradients[node] * slope
            handed.append((parent, slope, parent in taken and bool(parent.parents)))
        if node.parents:
            leaves = [] if any(value.parents for value in waiting) else waiting
            frames.append(Frame(node, dict(gradients), list(waiting), handed, [*taken, *leaves]))
    return frames


def expression(output: Value, names: Names) -> Drawing:
    """A graph with the values of its nodes, and on each edge the derivative of its step."""
    places, ways = _arranged(output)
    figure, [axes] = panels(height=2.2)
    for (parent, child), way in ways.items():
        slopes = [slope for other, slope in child.parents if other is parent]
        _edge(axes, way, GREY)
        _on_edge(axes, way, " + ".join(f"{slope:g}" for slope in slopes), BLACK)
    for value, place in places.items():
        _node(axes, place, f"{_name(value, names)} = {value.data:g}", "white", GREY)
    _only_graph(axes, places, ways)
    return figure


def way_back(frames: Sequence[Frame], names: Names) -> Drawing:
    """The frames of a walk, one below the other.

    The node that is taken has a thick edge, and arrows lead from it to its parents. A node that has
    been taken is blue; one that waits is dashed. A share that comes too late is drawn with dots.
    """
    output = frames[0].waiting[0]
    places, ways = _arranged(output)
    figure, axes = panels(len(frames), height=1.65 * len(frames))
    for number, (panel, frame) in enumerate(zip(axes, frames, strict=True)):
        late = {parent for parent, _, is_late in frame.handed if is_late}
        for (parent, child), way in ways.items():
            slopes = [slope for other, slope, _ in frame.handed if other is parent]
            if child is frame.taken and slopes:
                _edge(panel, way[::-1], VERMILION, ":" if parent in late else "-")
                g = frame.gradients[child]
                amount = " + ".join(f"{g:g}·{slope:g}" for slope in slopes)
                _on_edge(panel, way, f"{amount} = {g * sum(slopes):g}", VERMILION)
            else:
                _edge(panel, way, "#DDDDDD")
        for value, place in places.items():
            text = f"{_name(value, names)} = {value.data:g}"
            if value in frame.gradients:
                text += f"\ngrad {frame.gradients[value]:g}"
            fill = PALE_BLUE if value in frame.complete else "white"
            edge = {"edge": VERMILION, "width": 2.2} if value is frame.taken else {"edge": GREY}
            if value is frame.taken:
                fill = PALE_VERMILION
            dashes = "--" if value in frame.waiting and value not in frame.complete else "-"
            _node(panel, place, text, fill, linestyle=dashes, **edge)
        panel.set_title(_title(number, frame, names), loc="left")
        _only_graph(panel, places, ways)
    return figure


def _title(number: int, frame: Frame, names: Names) -> str:
    if frame.taken is None:
        return "The way back begins: the gradient of the result is 1"
    late = [_name(parent, names) for parent, _, is_late in frame.handed if is_late]
    waiting = [_name(value, names) for value in frame.waiting]
    rest = f"{', '.join(waiting)} wait" if len(waiting) > 1 else f"{''.join(waiting)} waits"
    if not any(value.parents for value in frame.waiting):
        rest = "only leaves wait, which send nothing"
    if late:
        rest = f"too late for {', '.join(late)}, which was taken before"
    return f"Step {number}: {_name(frame.taken, names)} is taken; {rest}"


def _name(value: Value, names: Names) -> str:
    found = [name for name, other in names.items() if other is value]
    return found[0] if found else "·"


# placing and drawing


def _arranged(
    output: Value,
) -> tuple[dict[Value, Point], dict[tuple[Value, Value], list[Point]]]:
    """Where each node is, from left to right, and the way of each edge from parent to child."""
    graph: dict[Value, list[Value]] = {}
    stack = [output]
    while stack:
        value = stack.pop()
        if value not in graph:
            graph[value] = list(dict.fromkeys(parent for parent, _ in value.parents))
            stack += graph[value]
    boxes = {value: Box(["node"], "") for value in TopologicalSorter(graph).static_order()}
    values = {box: value for value, box in boxes.items()}
    for value, box in boxes.items():
        box.parents = [boxes[parent] for parent in graph[value]]
    arrange(list(boxes.values()))
    ways = {}
    for value, box in boxes.items():
        for before in box.parents:
            way, bend = [_place(box)], before
            while bend not in values:
                way.append(_place(bend))
                [bend] = bend.parents
            ways[values[bend], value] = [*way, _place(bend)][::-1]
    return {value: _place(box) for value, box in boxes.items()}, ways


def _place(box: Box) -> Point:
    return float(box.layer), -box.x


def _node(
    axes: Axes,
    place: Point,
    text: str,
    fill: str,
    edge: str,
    width: float = 1.0,
    linestyle: str = "-",
) -> None:
    box = {
        "boxstyle": "round,pad=0.35",
        "facecolor": fill,
        "edgecolor": edge,
        "linewidth": width,
        "linestyle": linestyle,
    }
    axes.text(*place, text, ha="center", va="center", bbox=box, zorder=3)


def _edge(axes: Axes, way: Sequence[Point], color: str, linestyle: str = "-") -> None:
    """Draw an edge with its arrow near the end, where the box leaves room."""
    line = [_between(way, share) for share in np.linspace(0, len(way) - 1, 24 * len(way))]
    axes.plot(*zip(*line, strict=True), color=color, linestyle=linestyle, linewidth=1.5, zorder=1)
    tip, start = _between(way, len(way) - 1.27), _between(way, len(way) - 1.4)
    arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", tip, start, arrowprops=arrow, zorder=2)


def _on_edge(axes: Axes, way: Sequence[Point], text: str, color: str) -> None:
    """Write on an edge's first piece, beyond the arrow."""
    place = _between(way, 0.55)
    blank = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    label(axes, *place, text, color, ha="center", va="center", bbox=blank)


def _between(way: Sequence[Point], share: float) -> Point:
    """Where one is on a way after so many pieces: on a line, or on a curve without corners."""
    piece = min(int(share), len(way) - 2)
    (x0, y0), (x1, y1) = way[piece : piece + 2]
    s = share - piece
    bent = s if len(way) == 2 else s * s * (3 - 2 * s)  # level at both ends of each piece
    return x0 + s * (x1 - x0), y0 + bent * (y1 - y0)


def _only_graph(
    axes: Axes, places: Mapping[Value, Point], ways: Mapping[Any, Sequence[Point]]
) -> None:
    """Leave nothing but the graph, with room for the boxes at its border."""
    points = [*places.values(), *(point for way in ways.values() for point in way)]
    xs, ys = zip(*points, strict=True)
    axes.set_xlim(min(xs) - 0.35, max(xs) + 0.35)
    axes.set_ylim(min(ys) - 0.35, max(ys) + 0.35)
    axes.axis("off")


# a network that learns


def boundaries(
    answers: Mapping[str, np.ndarray],
    extent: tuple[float, float, float, float],
    points: Sequence[Sequence[float]],
    targets: Sequence[float],
) -> Drawing:
    """What a network answers everywhere on the plane, at several times.

    Args:
        answers: By the panel's title: the answers on a grid, whose rows go up.
        extent: The grid's borders: left, right, bottom, top.
        points: The points to be told apart.
        targets: 1 or -1 for each of them.
    """
    columns = 3
    rows = -(-len(answers) // columns)
    figure, axes = panels(rows, columns, height=2.1 * rows, sharex=True, sharey=True)
    left, right, bottom, top = extent
    for panel, (title, grid) in zip(axes, answers.items(), strict=False):
        x = np.linspace(left, right, grid.shape[1])
        y = np.linspace(bottom, top, grid.shape[0])
        panel.contourf(x, y, grid, levels=[-9, 0, 9], colors=[PALE_VERMILION, PALE_BLUE])
        panel.contour(x, y, grid, levels=[0], colors=BLACK, linewidths=1.5)
        for target, color, marker in [(1, BLUE, "o"), (-1, VERMILION, "x")]:
            own = [point for point, t in zip(points, targets, strict=True) if t == target]
            xs, ys = zip(*own, strict=True)
            panel.plot(xs, ys, marker, color=color, markersize=3.5)
        inner = grid[2:-2, 2:-2]
        for sign, place in [("+", inner.argmax()), ("\N{MINUS SIGN}", inner.argmin())]:
            row, column = np.unravel_index(place, inner.shape)  # no colour is needed
            label(panel, x[column + 2], y[row + 2], sign, ha="center", va="center", fontsize=13)
        panel.set_title(title, fontsize=11)
        panel.set_xticks([-1, 0, 1, 2])
        panel.set_yticks([-1, 0, 1])
    figure.supxlabel("first input", fontsize=11)
    figure.supylabel("second input", fontsize=11)
    for panel in axes[len(answers) :]:
        panel.axis("off")
    return figure
