"""The recurrent cells of chapters 8 and 9: the simple network, and the LSTM equation by equation.

A cell is data: nodes, and wires that carry values from node to node. An equation's part of the
LSTM's cell is not listed a second time: its nodes bear its number, and its wires begin or end
there, so they are what the equation reads and writes.

The cell of the LSTM follows the idea of Olah 2015, "Understanding LSTM networks".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path

from figures.style import BLACK, BLUE, GREY, PALE_BLUE, PALE_VERMILION, Drawing, panels

Array = np.ndarray[Any, Any]
Point: TypeAlias = tuple[float, float]

PALE, FAINT = "#DDDDDD", "#999999"  # what an equation does not touch: lines, letters


# how far a node of each kind reaches from its middle, across and up
REACH = {"layer": (0.39, 0.26), "box": (0.23, 0.2), "circle": (0.19, 0.19), "ellipse": (0.38, 0.19)}


class Node(NamedTuple):
    """A place where wires meet.

    Attributes:
        kind: A layer or box has weights, a circle or ellipse has none; at a port the cell ends.
        place: Its middle.
        text: What stands in it, in one line or two.
        equation: The number of the equation that it computes, 0 for none.
    """

    kind: Literal["layer", "box", "circle", "ellipse", "port"]
    place: Point
    text: str = ""
    equation: int = 0

    @property
    def reach(self) -> Point:
        """How far it reaches from its middle, across and up."""
        return REACH.get(self.kind, (0.0, 0.0))


class Wire(NamedTuple):
    """A way from one node to another, with corners, and the value that it carries."""

    value: str
    start: str
    end: str
    corners: tuple[Point, ...] = ()


class Label(NamedTuple):
    """Where the name of a value stands, and whether a small picture can do without the name."""

    text: str
    place: Point
    side: Literal["right", "above", "on"] = "right"
    minor: bool = False


class Cell(NamedTuple):
    """Nodes by name, wires between them, and labels of the values on the wires."""

    nodes: Mapping[str, Node]
    wires: Sequence[Wire]
    labels: Mapping[str, Label]


class Equation(NamedTuple):
    """One of the six, as mathtext, and in words."""

    formula: str
    words: str


LEVEL, TOP = 0.45, 3.05  # of z and h; of the memory

LSTM = Cell(
    nodes={
        "C_before": Node("port", (-0.1, TOP)),
        "h_before": Node("port", (-0.1, LEVEL)),
        "x": Node("port", (0.98, -0.25)),
        "z": Node("circle", (0.98, LEVEL)),
        "forget": Node("layer", (1.55, 1.0), "forget\n$\\sigma$", 1),
        "input": Node("layer", (2.43, 1.0), "input\n$\\sigma$", 2),
        "candidate": Node("layer", (3.31, 1.0), "candidate\ntanh", 3),
        "output": Node("layer", (4.19, 1.0), "output\n$\\sigma$", 5),
        "keep": Node("circle", (1.55, TOP), "×", 4),
        "write": Node("circle", (3.31, 2.15), "×", 4),
        "add": Node("circle", (3.31, TOP), "+", 4),
        "squash": Node("ellipse", (4.8, 2.55), "tanh", 6),
        "show": Node("circle", (4.8, 1.62), "×", 6),
        "C": Node("port", (6.25, TOP)),
        "h": Node("port", (6.25, LEVEL)),
    },
    wires=[
        Wire("C_before", "C_before", "keep"),
        Wire("h_before", "h_before", "z"),
        Wire("x", "x", "z"),
        Wire("z", "z", "forget", ((1.55, LEVEL),)),
        Wire("z", "z", "input", ((2.43, LEVEL),)),
        Wire("z", "z", "candidate", ((3.31, LEVEL),)),
        Wire("z", "z", "output", ((4.19, LEVEL),)),
        Wire("f", "forget", "keep"),
        Wire("f * C_before", "keep", "add"),
        Wire("i", "input", "write", ((2.43, 2.15),)),
        Wire("candidate", "candidate", "write"),
        Wire("i * candidate", "write", "add"),
        Wire("C", "add", "C"),
        Wire("C", "add", "squash", ((4.8, TOP),)),
        Wire("o", "output", "show", ((4.19, 1.62),)),
        Wire("tanh(C)", "squash", "show"),
        Wire("h", "show", "h", ((4.8, LEVEL),)),
    ],
    labels={
        "C_before": Label("$C_{t-1}$", (0.25, TOP), "above"),
        "h_before": Label("$h_{t-1}$", (0.25, LEVEL), "above"),
        "x": Label("$x_t$", (0.98, -0.25)),
        "z": Label("$z_t$", (0.98, LEVEL), "on"),
        "f": Label("$f_t$", (1.55, 1.6)),
        "i": Label("$i_t$", (2.43, 1.6)),
        "candidate": Label(r"$\tilde{C}_t$", (3.31, 1.6)),
        "o": Label("$o_t$", (4.4, 1.62), "above"),
        "f * C_before": Label(r"$f_t \odot C_{t-1}$", (2.43, TOP), "above", minor=True),
        "i * candidate": Label(r"$i_t \odot \tilde{C}_t$", (3.31, 2.6), minor=True),
        "tanh(C)": Label(r"$\tanh C_t$", (4.8, 2.1), minor=True),
        "C": Label("$C_t$", (5.88, TOP), "above"),
        "h": Label("$h_t$", (5.88, LEVEL), "above"),
    },
)
TAGS = {
    1: (1.4, 1.6),
    2: (2.28, 1.6),
    3: (3.16, 1.6),
    4: (3.6, 3.25),
    5: (4.04, 1.6),
    6: (5.15, 1.45),
}

EQUATIONS = {
    1: Equation(r"$f_t = \sigma(W_f z_t + b_f)$", "how much of the old memory stays"),
    2: Equation(r"$i_t = \sigma(W_i z_t + b_i)$", "how much of the new goes in"),
    3: Equation(r"$\tilde{C}_t = \tanh(W_C z_t + b_C)$", "what could be written"),
    4: Equation(r"$C_t = f_t \odot C_{t-1} + i_t \odot \tilde{C}_t$", "the new memory"),
    5: Equation(r"$o_t = \sigma(W_o z_t + b_o)$", "how much of the memory shows"),
    6: Equation(r"$h_t = o_t \odot \tanh(C_t)$", "the new hidden state"),
}


def part(equation: int) -> tuple[set[str], list[Wire]]:
    """The nodes that compute an equation of the LSTM, and the wires that begin or end at them.

    Raises:
        ValueError: There is no such equation.
    """
    if equation not in EQUATIONS:
        raise ValueError(f"the equations of the LSTM are numbered 1 to 6, got lit={equation}")
    nodes = {name for name, node in LSTM.nodes.items() if node.equation == equation}
    return nodes, [wire for wire in LSTM.wires if nodes & {wire.start, wire.end}]


def route(cell: Cell, wire: Wire) -> list[Point]:
    """A wire's points, from the border of its first node to the border of its last."""
    start, end = cell.nodes[wire.start], cell.nodes[wire.end]
    points = [start.place, *wire.corners, end.place]
    return [_border(start, points[1]), *wire.corners, _border(end, points[-2])]


def _border(node: Node, towards: Point) -> Point:
    """Where a wire, level or upright, leaves a node."""
    (x, y), (across, up) = node.place, node.reach
    dx, dy = np.sign(towards[0] - x), np.sign(towards[1] - y)
    return float(x + dx * across), float(y + dy * up)


def lstm_cell(lit: int | None = None, values: Mapping[str, float] | None = None) -> Drawing:
    """The cell of the LSTM above its six equations.

    Args:
        lit: The equation whose part is drawn bold, all else being pale; None draws all alike.
        values: Numbers of one memory cell at one step, written at the wires. The names are those
            of models/lstm.py: `x`, `h_before`, `C_before`, `f`, `i`, `candidate`, `o`, `C`, `h`,
            and for what lies between `f * C_before`, `i * candidate`, `tanh(C)`.

    Raises:
        ValueError: `lit` is not 1 to 6, or a value has another name.
    """
    figure, [axes] = panels(height=5.9)
    _lstm(axes, lit, values or {})
    color = BLACK if lit is None else FAINT
    axes.text(1.35, 0.17, r"$z_t = [x_t; h_{t-1}]$", fontsize=10, color=color, va="center")
    for number, (formula, words) in EQUATIONS.items():
        y = -0.75 - 0.28 * (number - 1)
        color = BLACK if lit is None else BLUE if lit == number else FAINT
        look: dict[str, Any] = {"color": color, "fontsize": 11, "va": "center"}
        if lit == number:
            axes.add_patch(Rectangle((0.1, y - 0.14), 5.8, 0.28, facecolor=PALE_BLUE))
            look["fontweight"] = "bold"
        axes.text(0.2, y, f"({number})", **look)
        axes.text(0.6, y, formula, **look)
        axes.text(3.15, y, words, **look)
    _frame(axes, (-0.15, 6.3), (-2.45, 3.75))
    return figure


def lstm_frames(values: Mapping[str, float] | None = None) -> Drawing:
    """The six equations, each with its part of the cell lit.

    Args:
        values: As in `lstm_cell`.
    """
    figure, axes = panels(3, 2, height=6.7)
    for panel, (number, equation) in zip(axes, EQUATIONS.items(), strict=True):
        _lstm(panel, number, values or {}, small=True)
        panel.set_title(f"({number})  {equation.formula}", fontsize=11)
        _frame(panel, (-0.15, 6.3), (-0.3, 3.7))
    return figure


def _lstm(axes: Axes, lit: int | None, values: Mapping[str, float], small: bool = False) -> None:
    """Draw the cell; a small one has the names of what is lit, and no others."""
    known = [name for name, label in LSTM.labels.items() if label.side != "on"]
    for name in values:
        if name not in known:
            raise ValueError(f"no value of the cell is {name!r}; known are {', '.join(known)}")
    nodes, wires = (set(LSTM.nodes), list(LSTM.wires)) if lit is None else part(lit)
    shown = {wire.value for wire in wires}
    dim, color = (GREY, BLACK) if lit is None else (PALE, BLUE)
    body = "round,pad=0,rounding_size=0.15"
    axes.add_patch(
        FancyBboxPatch((0.7, 0), 4.75, 3.5, boxstyle=body, facecolor="none", edgecolor=dim)
    )
    for wire in sorted(LSTM.wires, key=wires.__contains__):  # the bold ones above the pale
        is_lit = wire in wires
        width = 3.2 if _is_memory(wire) else 1.4
        _wire(axes, LSTM, wire, color if is_lit else PALE, width + (is_lit and lit is not None))
    for name, node in LSTM.nodes.items():
        _node(axes, node, None if lit is None else name in nodes, small)
    for name, label in LSTM.labels.items():
        if name in shown or not small or label.side == "on":
            lines = [] if small and label.minor else [label.text]
            lines += [_number(values[name])] if name in values else []
            _label(axes, label, "\n".join(lines), color if name in shown else FAINT, 10 - small)
    for number, place in TAGS.items():
        if not small:
            tag = {None: GREY, number: BLUE}.get(lit, FAINT)
            axes.text(*place, f"({number})", fontsize=9, color=tag, ha="center", va="center")


def _is_memory(wire: Wire) -> bool:
    """Whether a wire is a piece of the straight line on which the memory goes."""
    return not wire.corners and wire.value in ("C_before", "f * C_before", "C")


def _number(value: float) -> str:
    """A number with two digits after its point, an integer with none, and a real minus sign."""
    text = str(value) if isinstance(value, Integral) else f"{value:.2f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _wire(axes: Axes, cell: Cell, wire: Wire, color: str, width: float = 1.4) -> None:
    """Draw a wire with round corners and an arrow's head, and a dot where it leaves another."""
    points = route(cell, wire)
    places, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        places += [_near(corner, before), corner, _near(corner, after)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    path = Path([*places, points[-1]], [*codes, Path.LINETO])
    arrow: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9 + width, "color": color}
    axes.add_patch(
        FancyArrowPatch(path=path, linewidth=width, joinstyle="miter", capstyle="butt", **arrow)
    )
    for other in cell.wires:
        for (x0, y0), (x1, y1) in pairwise(route(cell, other) if other != wire else []):
            for x, y in wire.corners:
                if other.start == wire.start and min(x0, x1) < x < max(x0, x1) and y == y0 == y1:
                    axes.add_patch(Circle((x, y), 0.05, color=color, linewidth=0))


def _near(corner: Point, other: Point, radius: float = 0.1) -> Point:
    """A point close to a corner on the way to another."""
    way = np.subtract(other, corner)
    x, y = corner + way * (radius / np.hypot(*way))
    return float(x), float(y)


def _node(axes: Axes, node: Node, lit: bool | None = None, small: bool = False) -> None:
    """Draw a node: as it is, lit, or pale."""
    (x, y), (across, up) = node.place, node.reach
    fill = "white"
    if node.kind in ("layer", "box") and lit is not False:
        fill = PALE_VERMILION if "tanh" in node.text and lit is None else PALE_BLUE
    edge = {None: BLACK, True: BLUE, False: PALE}[lit]
    look: dict[str, Any] = {"facecolor": fill, "edgecolor": edge, "zorder": 3}
    look["linewidth"] = 2.4 if lit else 1.2
    if node.kind in ("layer", "box"):
        corner = (x - across, y - up)
        style = "round,pad=0,rounding_size=0.06"
        axes.add_patch(FancyBboxPatch(corner, 2 * across, 2 * up, boxstyle=style, **look))
    elif node.kind != "port":
        axes.add_patch(Ellipse(node.place, 2 * across, 2 * up, **look))
    color = {None: BLACK, True: BLUE, False: FAINT}[lit]
    lines = node.text.splitlines()[-1:] if small else node.text.splitlines()
    for line, height in zip(lines, [0.11, -0.1] if len(lines) > 1 else [0], strict=True):
        size = 9 if small or height > 0 else 11
        align = {"ha": "center", "va": "center"}
        axes.text(x, y + height, line, color=color, fontsize=size, zorder=4, **align)


def _label(axes: Axes, label: Label, text: str, color: str = BLACK, size: float = 10) -> None:
    """Write a value's name, or its number, beside its wire."""
    (x, y), aligned = label.place, {"ha": "center", "va": "center"}
    if label.side == "above":
        y, aligned["va"] = y + 0.12, "bottom"
    elif label.side == "right":
        x, aligned["ha"] = x + 0.1, "left"
    look: dict[str, Any] = {"color": color, "fontsize": size, "zorder": 5, "linespacing": 1.1}
    axes.text(x, y, text, **look, **aligned)


def _frame(axes: Axes, across: Point, up: Point) -> None:
    """Leave nothing but what was drawn, with one scale for both directions."""
    axes.set(xlim=across, ylim=up, aspect="equal")
    axes.axis("off")


# the simple network

RNN = Cell(
    nodes={
        "x": Node("port", (2.6, 0.1)),
        "tanh": Node("layer", (2.6, 1.0), "tanh"),
        "h": Node("port", (4.6, 1.0)),
    },
    wires=[
        Wire("x", "x", "tanh"),
        Wire("h", "tanh", "h"),
        Wire("h", "tanh", "tanh", ((3.7, 1.0), (3.7, 1.8), (1.5, 1.8), (1.5, 1.0))),
    ],
    labels={
        "x": Label("digit $x_t$", (2.6, 0.2)),
        "W_x": Label("$W_x$", (2.6, 0.5)),
        "h_before": Label("$h_{t-1}$", (1.25, 1.3), "on"),
        "W_h": Label("$W_h$", (1.85, 1.0), "above"),
        "wait": Label("waits for the next step", (2.6, 1.8), "above"),
        "h": Label("$h_t$", (4.35, 1.0), "above"),
    },
)


def rnn_cell() -> Drawing:
    """The cell of the simple network, whose state comes back to it at the next step."""
    figure, [axes] = panels(height=2.5)
    _draw(axes, RNN)
    axes.text(3.3, 0.35, r"$h_t = \tanh(W_x x_t + W_h h_{t-1} + b)$", va="center")
    _frame(axes, (0, 6), (0, 2.4))
    return figure


def rnn_unrolled(digits: Sequence[int], states: Array | None = None) -> Drawing:
    """The simple network over the digits that it reads, and the first digit's way to the end.

    Args:
        digits: The digits that are read, two to ten; the first is what is asked for at the end.
        states: What some units of the state are after each digit, (T, units), within -1 to 1. Each
            number is a square: its area is the size, a filled one is positive, an empty one
            negative.

    Raises:
        ValueError: There are more digits or fewer, or not one row of states for each.
    """
    count = _counted(digits, 2, 10)
    table = np.zeros((count, 0)) if states is None else np.asarray(states)
    if table.ndim != 2 or len(table) != count:
        raise ValueError(
            f"states must be ({count}, units), a row for each digit, got {table.shape}"
        )
    pitch = 4.3 / count
    xs = [0.75 + pitch * (t + 0.5) for t in range(count)]
    nodes = {f"x{t}": Node("port", (x, 0.45)) for t, x in enumerate(xs)}
    nodes |= {f"h{t}": Node("box", (x, 1.2)) for t, x in enumerate(xs)}
    nodes |= {"h-1": Node("port", (0.45, 1.2)), f"h{count}": Node("port", (5.3, 1.2))}
    up = [Wire("x", f"x{t}", f"h{t}") for t in range(count)]
    on = [Wire("h", f"h{t - 1}", f"h{t}") for t in range(count + 1)]
    cell = Cell(nodes, up + on, {})
    way = [up[0], *on[1:]]
    _ = way
    height = 2.3 + 0.24 * table.shape[1]
    figure, [axes] = panels(height=height)
    for wire in cell.wires:
        _wire(axes, cell, wire, BLUE if wire in way else GREY, 2.6 if wire in way else 1.4)
    for node in nodes.values():
        _node(axes, node)
    for t, (x, digit) in enumerate(zip(xs, digits, strict=True)):
        axes.text(
            x, 0.28, str(digit), ha="center", va="center", fontweight="bold" if t == 0 else "normal"
        )
    _frame(axes, (0, 6), (0, height))
    return figure


def _counted(digits: Sequence[int], least: int, most: int) -> int:
    """The number of digits, if they fit into a picture."""
    if not least <= len(digits) <= most:
        raise ValueError(f"the picture has room for {least} to {most} digits, got {len(digits)}")
    return len(digits)


def _draw(axes: Axes, cell: Cell) -> None:
    """Draw a cell with its labels."""
    for wire in cell.wires:
        _wire(axes, cell, wire, BLACK)
    for node in cell.nodes.values():
        _node(axes, node)
    for label in cell.labels.values():
        _label(axes, label, label.text)


def lstm_unrolled(
    digits: Sequence[int],
    memory: Array | None = None,
    gates: Mapping[str, Array] | None = None,
) -> Drawing:
    """Cells of the LSTM side by side, and the memory that runs straight through them.

    Args:
        digits: The digits that are read, three to six.
        memory: One memory cell after each digit, (T,).
        gates: Its gates at each digit: "f", "i" and "o", each (T,), within 0 to 1. A valve's plate
            stands out of its pipe as far as the gate is open.

    Raises:
        ValueError: There are more digits or fewer, or not one number for each.
    """
    _counted(digits, 3, 6)
    figure, [axes] = panels(height=3.5)
    return figure
