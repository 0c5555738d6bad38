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
REACH = {"layer": (0.39, 0.26), "box": (0.21, 0.2), "circle": (0.19, 0.19), "ellipse": (0.38, 0.19)}


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
        "keep": Node("circle", (1.55, TOP), r"$\times$", 4),
        "write": Node("circle", (3.31, 2.15), r"$\times$", 4),
        "add": Node("circle", (3.31, TOP), "+", 4),
        "squash": Node("ellipse", (4.8, 2.55), "tanh", 6),
        "show": Node("circle", (4.8, 1.62), r"$\times$", 6),
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
    align: dict[str, Any] = {"ha": "center", "va": "center", "color": color, "zorder": 4}
    name, _, function = node.text.rpartition("\n")
    if name and not small:
        axes.text(x, y + 0.11, name, fontsize=9, **align)
        y -= 0.1
    size = 9 if small or node.kind == "box" else 11
    axes.text(x, y, function, fontsize=size, **align)


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
        digits: The digits that are read, two to eight; the first is what is asked for at the end.
        states: What some units of the state are after each digit, (T, units), within -1 to 1. Each
            number is a square: its area is the size, a filled one is positive, an empty one
            negative.

    Raises:
        ValueError: There are more digits or fewer, or not one row of states for each.
    """
    count = _counted(digits, 2, 8)
    units = np.zeros((count, 0)) if states is None else _checked("states", states, (count, -1))
    pitch, level = 4.7 / count, 1.55
    xs = [0.65 + pitch * (t + 0.5) for t in range(count)]
    nodes = {f"x{t}": Node("port", (x, 0.85)) for t, x in enumerate(xs)}
    nodes |= {f"h{t}": Node("box", (x, level), "tanh") for t, x in enumerate(xs)}
    nodes |= {"h-1": Node("port", (0.5, level)), f"h{count}": Node("port", (5.4, level))}
    up = [Wire("x", f"x{t}", f"h{t}") for t in range(count)]
    along = [Wire("h", f"h{t - 1}", f"h{t}") for t in range(count + 1)]

    height = level + 0.4 + (0.26 * units.shape[1] + 0.1 if units.size else 0)
    figure, [axes] = panels(height=height)
    _draw(axes, Cell(nodes, up + along, {}), lit=[up[0], *along[1:]])
    look: dict[str, Any] = {"va": "center"}
    bold: dict[str, Any] = look | {"color": BLUE, "fontweight": "bold"}
    for t, (x, digit) in enumerate(zip(xs, digits, strict=True)):
        axes.text(x, 0.7, str(digit), ha="center", **(look if t else bold))
        for unit, number in enumerate(units[t]):
            _signed_square(axes, (x, level + 0.42 + 0.26 * unit), float(number))
    for unit in range(units.shape[1]):
        axes.text(0.0, level + 0.42 + 0.26 * unit, f"unit {unit + 1}", fontsize=9, **look)
    if units.size:
        for y, sign, word in [(0.68, 1, "positive"), (0.42, -1, "negative")]:
            _signed_square(axes, (5.3, level + y), 0.6 * sign)
            axes.text(5.42, level + y, word, fontsize=9, **look)
    axes.text(0.4, level, "0", ha="center", **look)
    axes.text(5.45, level, f"asked: {digits[0]}", fontsize=10, **bold)
    axes.text(0.0, 0.7, "digit", fontsize=9, **look)
    way = f"The first digit reaches the end only through all {count} boxes."
    axes.text(0.0, 0.38, way, fontsize=10, **bold)
    axes.text(0.0, 0.13, "Every box has the same $W_x$, $W_h$ and $b$.", fontsize=10, **look)
    _frame(axes, (0, 6), (0, height))
    return figure


def _counted(digits: Sequence[int], least: int, most: int) -> int:
    """The number of digits, if they fit into a picture."""
    if not least <= len(digits) <= most:
        raise ValueError(f"the picture has room for {least} to {most} digits, got {len(digits)}")
    return len(digits)


def _checked(name: str, numbers: Array, shape: tuple[int, ...]) -> Array:
    """Numbers for each digit, if they have the right shape; -1 stands for any size."""
    array = np.asarray(numbers)
    fits = array.ndim == len(shape) and all(
        size in (-1, n) for size, n in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = str(shape).replace("-1", "units")
        raise ValueError(f"{name} must have the shape {wanted}, got {array.shape}")
    return array


def _signed_square(axes: Axes, place: Point, number: float) -> None:
    """A number within -1 to 1 as a square: filled if positive, empty if negative."""
    (x, y), side = place, 0.23 * abs(number) ** 0.5
    look = {"facecolor": BLACK if number > 0 else "white", "edgecolor": BLACK, "linewidth": 1}
    axes.add_patch(Rectangle((x - side / 2, y - side / 2), side, side, **look))


def _draw(axes: Axes, cell: Cell, lit: Sequence[Wire] = ()) -> None:
    """Draw a cell with its labels; wires that are lit are blue and thick."""
    for wire in cell.wires:
        _wire(axes, cell, wire, *((BLUE, 3.0) if wire in lit else (BLACK, 1.4)))
    for node in cell.nodes.values():
        _node(axes, node)
    for label in cell.labels.values():
        _label(axes, label, label.text)


# the LSTM through time


def lstm_unrolled(
    digits: Sequence[int],
    memory: Array | None = None,
    gates: Mapping[str, Array] | None = None,
) -> Drawing:
    """The LSTM over some digits: the memory is a straight canal, and each gate a valve.

    A valve's plate is out of its pipe as far as the gate is open.

    Args:
        digits: The digits that are read, three to six.
        memory: One memory cell after each digit, (T,).
        gates: Its gates at each digit, "f", "i" and "o", each (T,), within 0 to 1. Without them
            all valves are half open.

    Raises:
        ValueError: There are more digits or fewer, or not one number for each, or another gate.
    """
    count = _counted(digits, 3, 6)
    gates = {name: _checked(f"gates[{name!r}]", x, (count,)) for name, x in (gates or {}).items()}
    if gates and set(gates) != set(VALVES):
        raise ValueError(f"gates must be 'f', 'i' and 'o', got {', '.join(map(repr, gates))}")
    pitch, level, canal = 4.85 / count, 1.0, (2.5, 2.8)
    starts = [0.9 + pitch * t for t in range(count)]
    inward, outward = [x + 0.38 * pitch for x in starts], [x + 0.82 * pitch for x in starts]
    nodes = {f"x{t}": Node("port", (x, 0.45)) for t, x in enumerate(inward)}
    nodes |= {f"g{t}": Node("box", (x, level), "gates") for t, x in enumerate(inward)}
    nodes |= {f"in{t}": Node("port", (x, canal[0])) for t, x in enumerate(inward)}
    nodes |= {f"out{t}": Node("port", (x, canal[0])) for t, x in enumerate(outward)}
    nodes[f"g{count}"] = Node("port", (5.95, level))
    wires = [Wire("x", f"x{t}", f"g{t}") for t in range(count)]
    wires += [Wire("i * candidate", f"g{t}", f"in{t}") for t in range(count)]
    wires += [Wire("h", f"out{t}", f"g{t + 1}", ((x, level),)) for t, x in enumerate(outward)]

    figure, [axes] = panels(height=3.4)
    axes.add_patch(Rectangle((0.85, canal[0]), 5.1, canal[1] - canal[0], facecolor=PALE_BLUE))
    for y in canal:
        axes.plot([0.85, 5.95], [y, y], color=BLACK, linewidth=1.4)
    _draw(axes, Cell(nodes, wires, {}))
    small: dict[str, Any] = {"va": "center", "fontsize": 9}
    middle = sum(canal) / 2
    for t, (start, x, out) in enumerate(zip(starts, inward, outward, strict=True)):
        axes.text(x, 0.3, str(digits[t]), ha="center", va="center")
        places = {"f": (start + 0.1, middle), "i": (x, 2.0), "o": (out, 1.55)}
        for name, place in places.items():
            opening = float(gates[name][t]) if gates else 0.5
            _valve(axes, place, opening, name, f"{opening:.2f}" if gates else f"${name}$")
        if memory is not None:
            number = _number(float(_checked("memory", memory, (count,))[t]))
            axes.text(
                start + 0.65 * pitch, middle, number, ha="center", va="center", fontweight="bold"
            )
    for y, name in [
        (3.2, "forget gate"),
        (middle, "memory"),
        (2.0, "input gate"),
        (1.55, "output gate"),
        (level, "state $h$"),
        (0.3, "digit"),
    ]:
        axes.text(0.0, y, name, **small)
    _frame(axes, (0, 6), (0.15, 3.35))
    return figure


VALVES = {"f": (0, 1), "i": (1, 0), "o": (-1, 0)}  # the way in which the plate is drawn out


def _valve(axes: Axes, place: Point, opening: float, name: str, text: str) -> None:
    """A pipe with a plate that is drawn out as far as the gate is open, and a number beside it."""
    (x, y), (dx, dy) = place, VALVES[name]
    width = 0.3 if name == "f" else 0.16
    if name != "f":
        axes.add_patch(
            Rectangle(
                (x - 0.08, y - 0.15),
                0.16,
                0.3,
                facecolor=PALE_BLUE,
                edgecolor=BLACK,
                linewidth=1.2,
                zorder=3,
            )
        )
    across, up = (0.07, width) if name == "f" else (width, 0.07)
    corner = x - across / 2 + dx * opening * width, y - up / 2 + dy * opening * width
    axes.add_patch(Rectangle(corner, across, up, facecolor=BLACK, zorder=4))
    if name == "f":
        axes.text(x, 3.2, text, ha="center", va="center", fontsize=9)
    else:
        axes.text(x - 0.12 * dx, y, text, ha="right" if dx > 0 else "left", va="center", fontsize=9)
