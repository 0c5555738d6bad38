"""The recurrent cells of chapters 8 and 9: the simple network, and the LSTM equation by equation.

A cell is data: nodes, and wires that carry values from node to node. An equation's part of the
LSTM is not listed a second time: its nodes bear its number, and the wires that begin or end at
these nodes carry what the equation reads and writes.

The LSTM's cell follows the idea of Olah 2015, "Understanding LSTM networks".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.path import Path

from figures.style import (
    BLACK,
    BLUE,
    GREY,
    PALE_BLUE,
    PALE_VERMILION,
    Drawing,
    label,
    panels,
)

Array = np.ndarray[Any, Any]
Point: TypeAlias = tuple[float, float]
Kind: TypeAlias = Literal["layer", "box", "circle", "ellipse", "port"]

# how far a node reaches from its middle, across and up
REACH: dict[Kind, Point] = {
    "layer": (0.39, 0.26),
    "box": (0.21, 0.2),
    "circle": (0.19, 0.19),
    "ellipse": (0.44, 0.2),
    "port": (0.0, 0.0),
}


class Node(NamedTuple):
    """A place where wires meet.

    Attributes:
        kind: A layer or box has weights, a circle or ellipse has none; at a port the cell ends.
        place: Its middle.
        text: What stands in it, in one line or two.
        equation: The number of the equation that it computes, 0 for none.
    """

    kind: Kind
    place: Point
    text: str = ""
    equation: int = 0


class Wire(NamedTuple):
    """A way from one node to another, with corners, and the value that it carries."""

    value: str
    start: str
    end: str
    corners: tuple[Point, ...] = ()


class Label(NamedTuple):
    """The name of a value, beside a place on its wire."""

    text: str
    place: Point
    side: Literal["right", "above", "on"] = "right"


class Cell(NamedTuple):
    """Nodes by name, wires between them, and labels by the value that they name."""

    nodes: Mapping[str, Node]
    wires: Sequence[Wire]
    labels: Mapping[str, Label]


class Ink(NamedTuple):
    """How something is drawn: the colour of its lines and letters, and how thick its lines are."""

    line: str
    letters: str
    thick: float = 0.0


PLAIN, LIT, DIM = Ink(BLACK, BLACK), Ink(BLUE, BLUE, thick=1.0), Ink("#DDDDDD", "#999999")

# the LSTM

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
        "squash": Node("ellipse", (4.75, 2.5), "tanh", 6),
        "show": Node("circle", (4.75, 1.55), r"$\times$", 6),
        "C": Node("port", (6.28, TOP)),
        "h": Node("port", (6.28, LEVEL)),
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
        Wire("C", "add", "squash", ((4.75, TOP),)),
        Wire("o", "output", "show", ((4.19, 1.55),)),
        Wire("tanh(C)", "squash", "show"),
        Wire("h", "show", "h", ((4.75, LEVEL),)),
    ],
    labels={
        "C_before": Label("$C_{t-1}$", (0.25, TOP), "above"),
        "h_before": Label("$h_{t-1}$", (0.25, LEVEL), "above"),
        "x": Label("$x_t$", (0.98, -0.25)),
        "z": Label("$z_t$", (0.98, LEVEL), "on"),
        "f": Label("$f_t$", (1.55, 1.6)),
        "i": Label("$i_t$", (2.43, 1.6)),
        "candidate": Label(r"$\tilde{C}_t$", (3.31, 1.6)),
        "o": Label("$o_t$", (4.3, 1.55), "above"),
        "f * C_before": Label(r"$f_t \odot C_{t-1}$", (2.43, TOP), "above"),
        "i * candidate": Label(r"$i_t \odot \tilde{C}_t$", (3.31, 2.6)),
        "tanh(C)": Label(r"$\tanh C_t$", (4.75, 2.03)),
        "C": Label("$C_t$", (5.91, TOP), "above"),
        "h": Label("$h_t$", (5.91, LEVEL), "above"),
    },
)


class Equation(NamedTuple):
    """One of the six, as mathtext, in words, and where its number stands in the cell."""

    formula: str
    words: str
    place: Point


EQUATIONS = {
    1: Equation(r"$f_t = \sigma(W_f z_t + b_f)$", "how much of the old memory stays", (1.4, 1.6)),
    2: Equation(r"$i_t = \sigma(W_i z_t + b_i)$", "how much of the new goes in", (2.28, 1.6)),
    3: Equation(r"$\tilde{C}_t = \tanh(W_C z_t + b_C)$", "what could be written", (3.16, 1.6)),
    4: Equation(
        r"$C_t = f_t \odot C_{t-1} + i_t \odot \tilde{C}_t$", "the new memory", (3.62, TOP + 0.2)
    ),
    5: Equation(r"$o_t = \sigma(W_o z_t + b_o)$", "how much of the memory shows", (4.36, 1.39)),
    6: Equation(r"$h_t = o_t \odot \tanh(C_t)$", "the new hidden state", (5.12, 1.37)),
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


def lstm_cell(lit: int | None = None, values: Mapping[str, float] | None = None) -> Drawing:
    """The cell of the LSTM above its six equations.

    Boxes are the layers, with weights: three gates, and the candidate in another shade. Circles
    work number by number. The thick line is the memory.

    Args:
        lit: The equation whose part is drawn bold, all else being pale; None draws all alike.
        values: Numbers of one memory cell at one step, written at the wires. The names are those
            of models/lstm.py: `x`, `h_before`, `C_before`, `f`, `i`, `candidate`, `o`, `C`, `h`,
            and for what lies between `f * C_before`, `i * candidate`, `tanh(C)`.

    Raises:
        ValueError: `lit` is not 1 to 6, or a value has another name.
    """
    figure, [axes] = panels(height=5.6)
    _lstm(axes, lit, values or {})
    other = PLAIN if lit is None else DIM
    axes.text(1.35, 0.12, r"$z_t = [x_t; h_{t-1}]$", fontsize=10, color=other.letters)
    for number, (formula, words, place) in EQUATIONS.items():
        ink = LIT if number == lit else other
        look: dict[str, Any] = {"color": ink.letters, "fontsize": 11}
        y = -0.5 - 0.28 * number
        if number == lit:
            axes.add_patch(Rectangle((0, y - 0.09), 6.15, 0.28, facecolor=PALE_BLUE))
            look["fontweight"] = "bold"
        for x, text in [(0.15, f"({number})"), (0.6, formula), (3.15, words)]:
            axes.text(x, y, text, **look)
        color = GREY if lit is None else ink.letters
        axes.text(*place, f"({number})", color=color, fontsize=9, ha="center", va="center")
    _frame(axes, (-0.15, 6.33), (-2.35, 3.7))
    return figure


def lstm_frames(values: Mapping[str, float] | None = None) -> Drawing:
    """The six equations, each with its part of the cell lit.

    Args:
        values: As in `lstm_cell`.

    Raises:
        ValueError: A value has another name.
    """
    figure, axes = panels(3, 2, height=6.6)
    for panel, (number, equation) in zip(axes, EQUATIONS.items(), strict=True):
        _lstm(panel, number, values or {}, small=True)
        panel.set_title(f"({number})  {equation.formula}", fontsize=11)
        _frame(panel, (-0.2, 6.36), (-0.3, 3.85))
    return figure


def _lstm(axes: Axes, lit: int | None, values: Mapping[str, float], small: bool = False) -> None:
    """Draw the cell; a small one names only what is lit, and leaves products unnamed."""
    known = [name for name in LSTM.labels if name != "z"]  # z is no single number
    for name in values:
        if name not in known:
            raise ValueError(f"no value of the cell is {name!r}; known are {', '.join(known)}")
    nodes, wires = (set(LSTM.nodes), LSTM.wires) if lit is None else part(lit)
    ink, other = (PLAIN, PLAIN) if lit is None else (LIT, DIM)
    style = "round,pad=0,rounding_size=0.15"
    edge = GREY if lit is None else DIM.line
    axes.add_patch(
        FancyBboxPatch((0.7, 0), 4.78, 3.6, boxstyle=style, facecolor="none", edgecolor=edge)
    )
    for wire in sorted(LSTM.wires, key=wires.__contains__):  # what is lit above what is not
        straight = wire.start in ("C_before", "keep", "add") and not wire.corners
        width = (3.2 if straight else 1.4) * (0.8 if small else 1)
        _wire(axes, LSTM, wire, ink if wire in wires else other, width)
    for name, node in LSTM.nodes.items():
        _node(axes, node, ink if name in nodes else other, small)
    named = {wire.value for wire in wires}
    for name, mark in LSTM.labels.items():
        if name in named or name == "z" or not small:
            lines = [mark.text] if name.isidentifier() or not small else []
            lines += [_number(values[name])] if name in values else []
            letters = (ink if name in named else other).letters
            _label(axes, mark._replace(text="\n".join(lines)), letters, 9 if small else 10)


# the simple network

RNN = Cell(
    nodes={
        "x": Node("port", (2.0, 0.3)),
        "b": Node("port", (2.0, 1.45)),
        "add": Node("circle", (2.0, 1.0), "+"),
        "tanh": Node("layer", (3.0, 1.0), "tanh"),
        "h": Node("port", (5.0, 1.0)),
    },
    wires=[
        Wire("x", "x", "add"),
        Wire("b", "b", "add"),
        Wire("sum", "add", "tanh"),
        Wire("h", "tanh", "h"),
        Wire("h", "tanh", "add", ((4.1, 1.0), (4.1, 1.85), (0.9, 1.85), (0.9, 1.0))),
    ],
    labels={
        "x": Label("digit $x_t$", (2.0, 0.15), "on"),
        "W_x": Label("$W_x$", (2.0, 0.52)),
        "b": Label("$b$", (2.0, 1.58), "on"),
        "h_before": Label("$h_{t-1}$", (0.62, 1.3), "on"),
        "W_h": Label("$W_h$", (1.3, 1.0), "above"),
        "wait": Label("$h_t$ waits for the next step", (2.5, 1.85), "above"),
        "h": Label("$h_t$", (4.75, 1.0), "above"),
    },
)


def rnn_cell() -> Drawing:
    """The cell of the simple network, whose state comes back to it at the next step."""
    figure, [axes] = panels(height=2.35)
    _draw(axes, RNN)
    axes.text(3.0, 0.4, r"$h_t = \tanh(W_x x_t + W_h h_{t-1} + b)$", va="center")
    _frame(axes, (0, 6), (0, 2.3))
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
    cell = rnn_steps(digits)
    units = np.zeros((len(digits), 0))
    if states is not None:
        units = _per_digit("states", states, digits, dimensions=2, least=-1)
    rows = units.shape[1]
    top, bottom = LEVEL + 0.4 + (0.26 * rows + 0.1 if rows else 0), -0.85 - (0.25 if rows else 0)
    figure, [axes] = panels(height=top - bottom)
    way = [wire for wire in cell.wires if wire.start != "before" and wire.value in ("h", "first")]
    _draw(axes, cell, lit=way)
    for unit in range(rows):
        y = LEVEL + 0.42 + 0.26 * (rows - 1 - unit)
        axes.text(0.0, y, f"unit {unit + 1}", fontsize=10, va="center")
        for t, number in enumerate(units[:, unit]):
            _signed_square(axes, (cell.nodes[f"box {t}"].place[0], y), float(number))
    bold: dict[str, Any] = {"color": BLUE, "fontweight": "bold", "fontsize": 10}
    axes.text(5.29, LEVEL, f"asked: {digits[0]}", va="center", **bold)
    way_out = f"The first digit reaches the end only through all {len(digits)} boxes."
    axes.text(0.0, -0.73, way_out, **bold)
    if rows:
        key = "Above each box is its state: ■ positive, □ negative; the area is the size."
        axes.text(0.0, -1.0, key, fontsize=10)
    _frame(axes, (0, 6), (bottom, top))
    return figure


def rnn_steps(digits: Sequence[int]) -> Cell:
    """The simple network as a row of boxes, one for each digit."""
    count = _counted(digits, 2, 8)
    pitch = 4.55 / count
    nodes = {"before": Node("port", (0.5, LEVEL))}
    wires, last = [], "before"
    labels = {
        "before": Label("0", (0.4, LEVEL), "on"),
        "digit": Label("digit", (-0.13, LEVEL - 0.85)),
    }
    for t, digit in enumerate(digits):
        x = 0.65 + pitch * (t + 0.5)
        nodes[f"digit {t}"] = Node("port", (x, LEVEL - 0.7))
        nodes[f"box {t}"] = Node("box", (x, LEVEL), "tanh")
        wires.append(Wire("x" if t else "first", f"digit {t}", f"box {t}"))
        wires.append(Wire("h", last, f"box {t}"))
        labels[f"x {t}"] = Label(str(digit), (x, LEVEL - 0.85), "on")
        labels[f"W_x {t}"] = Label("$W_x$", (x, LEVEL - 0.47))
        if t and pitch > 0.7:  # between the boxes is room
            labels[f"W_h {t}"] = Label("$W_h$", (x - pitch / 2, LEVEL), "above")
        last = f"box {t}"
    nodes["after"] = Node("port", (5.25, LEVEL))
    return Cell(nodes, [*wires, Wire("h", last, "after")], labels)


def _signed_square(axes: Axes, place: Point, number: float) -> None:
    """A number within -1 to 1 as a square: filled if positive, empty if negative."""
    (x, y), side = place, 0.23 * abs(number) ** 0.5
    look: dict[str, Any] = {"facecolor": BLACK if number > 0 else "white", "edgecolor": BLACK}
    axes.add_patch(Rectangle((x - side / 2, y - side / 2), side, side, **look))


# the LSTM through time

LEFT, RIGHT, BANK = 0.95, 5.75, (2.5, 2.8)  # the memory's canal
VALVES = {"f": (0, 1), "i": (1, 0), "o": (-1, 0)}  # where the plate goes as the gate opens


def lstm_unrolled(
    digits: Sequence[int],
    memory: Array | None = None,
    gates: Mapping[str, Array] | None = None,
) -> Drawing:
    """The LSTM over some digits: the memory is a straight canal, and each gate a valve.

    Args:
        digits: The digits that are read, three to six.
        memory: One memory cell after each digit, (T,).
        gates: Its gates at each digit, "f", "i" and "o", each (T,), within 0 to 1. Without them
            all valves are half open.

    Raises:
        ValueError: There are more digits or fewer, or not one number for each, or another gate.
    """
    cell = lstm_steps(digits)
    if gates is not None:
        if set(gates) != set(VALVES):
            raise ValueError(f"gates must be 'f', 'i' and 'o', got {', '.join(map(repr, gates))}")
        gates = {name: _per_digit(f"gate {name!r}", gates[name], digits, least=0) for name in gates}
    if memory is not None:
        memory = _per_digit("memory", memory, digits)
    figure, [axes] = panels(height=3.6)
    (bottom, top), middle = BANK, sum(BANK) / 2
    head = [(RIGHT, top), (RIGHT, top + 0.1), (RIGHT + 0.23, middle), (RIGHT, bottom - 0.1)]
    canal = [(LEFT, bottom), (LEFT, top), *head, (RIGHT, bottom)]
    axes.add_patch(Polygon(canal, facecolor=PALE_BLUE, edgecolor=BLACK, linewidth=1.4))
    _draw(axes, cell)
    for t in range(len(digits)):
        x, out = (cell.nodes[f"{name} {t}"].place[0] for name in ("in", "out"))
        start = x - (out - x) * 0.64
        for name, place in [("f", (start, middle)), ("i", (x, 2.0)), ("o", (out, 1.55))]:
            opening = float(gates[name][t]) if gates else 0.5
            _valve(axes, name, place, opening, _number(opening) if gates else f"${name}_{t + 1}$")
        text = f"$C_{t + 1}$" if memory is None else _number(float(memory[t]))
        axes.text((x + out) / 2, middle, text, fontweight="bold", ha="center", va="center")
    caption = "A gate is open as far as its plate is out of the pipe."
    axes.text(0.0, -0.05, caption, fontsize=10)
    _frame(axes, (0, 6), (-0.15, 3.35))
    return figure


def lstm_steps(digits: Sequence[int]) -> Cell:
    """The LSTM's layers, one box for each digit, with the ways into the memory and out of it."""
    count = _counted(digits, 3, 6)
    pitch, level, bank = (RIGHT - LEFT - 0.1) / count, 1.0, BANK[0]
    nodes = {"before": Node("port", (LEFT, level))}
    wires = [Wire("h", "before", "layers 0")]
    rows = {"forget gate": 3.2, "memory": sum(BANK) / 2, "input gate": 2.0, "output gate": 1.55}
    rows |= {"state $h$": level, "digit": 0.3}
    labels = {name: Label(name, (-0.13, y)) for name, y in rows.items()}
    for t, digit in enumerate(digits):
        x, out = (LEFT + 0.05 + pitch * (t + share) for share in (0.38, 0.82))
        nodes[f"digit {t}"] = Node("port", (x, 0.45))
        nodes[f"layers {t}"] = Node("box", (x, level), "layers")
        nodes[f"in {t}"], nodes[f"out {t}"] = Node("port", (x, bank)), Node("port", (out, bank))
        wires.append(Wire("x", f"digit {t}", f"layers {t}"))
        wires.append(Wire("i * candidate", f"layers {t}", f"in {t}"))
        wires.append(Wire("h", f"out {t}", f"layers {t + 1}", ((out, level),)))
        labels[f"digit {t}"] = Label(str(digit), (x, 0.3), "on")
        labels[f"candidate {t}"] = Label(r"$\tilde{C}$", (x - 0.04, 1.3))
    nodes[f"layers {count}"] = Node("port", (5.95, level))
    return Cell(nodes, wires, labels)


def _valve(axes: Axes, name: str, place: Point, opening: float, text: str) -> None:
    """A piece of pipe whose plate is drawn out as far as the gate is open; text stands beside."""
    (x, y), (dx, dy) = place, VALVES[name]
    look: dict[str, Any] = {"va": "center", "fontsize": 9}
    if name == "f":  # the canal is its pipe
        across, up = 0.07, BANK[1] - BANK[0]
        axes.text(x, 3.2, text, ha="center", **look)
    else:
        across, up = 0.16, 0.07
        pipe: dict[str, Any] = {
            "facecolor": PALE_BLUE,
            "edgecolor": BLACK,
            "linewidth": 1.2,
            "zorder": 3,
        }
        axes.add_patch(Rectangle((x - 0.08, y - 0.15), 0.16, 0.3, **pipe))
        axes.text(x - 0.12 * dx, y, text, ha="right" if dx > 0 else "left", **look)
    corner = x - across / 2 + dx * opening * across, y - up / 2 + dy * opening * up
    axes.add_patch(Rectangle(corner, across, up, facecolor=BLACK, linewidth=0, zorder=4))


# checking and drawing


def _counted(digits: Sequence[int], least: int, most: int) -> int:
    """The number of digits, if they fit into a picture."""
    if not least <= len(digits) <= most:
        raise ValueError(f"the picture has room for {least} to {most} digits, got {len(digits)}")
    return len(digits)


def _per_digit(
    name: str,
    numbers: Array,
    digits: Sequence[int],
    dimensions: int = 1,
    least: float | None = None,
) -> Array:
    """Numbers as an array, if there is one for each digit, or a row, within `least` to 1."""
    array = np.asarray(numbers)
    if array.ndim != dimensions or len(array) != len(digits):
        what = "number" if dimensions == 1 else "row"
        raise ValueError(
            f"{name} must have a {what} for each of the {len(digits)} digits, "
            f"got the shape {array.shape}"
        )
    if least is not None and not ((array >= least) & (array <= 1)).all():
        raise ValueError(f"{name} must lie within {least} to 1, got {array.min()} to {array.max()}")
    return array


def _number(value: float) -> str:
    """A number with two digits after its point, an integer with none, and a real minus sign."""
    text = str(value) if isinstance(value, Integral) else f"{value:.2f}"
    return text.replace("-", "\N{MINUS SIGN}")


def route(cell: Cell, wire: Wire) -> list[Point]:
    """A wire's points, from the border of its first node to the border of its last."""
    start, end = cell.nodes[wire.start], cell.nodes[wire.end]
    points = [start.place, *wire.corners, end.place]
    return [_border(start, points[1]), *wire.corners, _border(end, points[-2])]


def _border(node: Node, towards: Point) -> Point:
    """Where a wire, level or upright, leaves a node."""
    (x, y), (across, up) = node.place, REACH[node.kind]
    dx, dy = np.sign(towards[0] - x), np.sign(towards[1] - y)
    return float(x + dx * across), float(y + dy * up)


def _draw(axes: Axes, cell: Cell, lit: Collection[Wire] = ()) -> None:
    """Draw a cell with its labels."""
    for wire in cell.wires:
        _wire(axes, cell, wire, *((LIT, 2.0) if wire in lit else (PLAIN, 1.4)))
    for node in cell.nodes.values():
        _node(axes, node)
    for mark in cell.labels.values():
        _label(axes, mark)


def _wire(axes: Axes, cell: Cell, wire: Wire, ink: Ink, width: float) -> None:
    """Draw a wire with round corners and an arrow's head, and a dot where it leaves another."""
    points = route(cell, wire)
    places, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        places += [_near(corner, before), corner, _near(corner, after)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    path = Path([*places, points[-1]], [*codes, Path.LINETO])
    width += ink.thick
    look: dict[str, Any] = {"color": ink.line, "linewidth": width, "snap": True}
    look |= {"joinstyle": "miter", "capstyle": "butt", "mutation_scale": 6 + 2 * width}
    axes.add_patch(FancyArrowPatch(path=path, arrowstyle="-|>", **look))
    for other in cell.wires:
        if other.start == wire.start and other != wire:
            for (x0, y0), (x1, y1) in pairwise(route(cell, other)):
                for x, y in wire.corners:
                    if x0 < x < x1 and y0 == y == y1:
                        axes.add_patch(Circle((x, y), 0.05, color=ink.line, linewidth=0))


def _near(corner: Point, other: Point, radius: float = 0.1) -> Point:
    """A point close to a corner on the way to another."""
    way = np.subtract(other, corner)
    x, y = corner + way * (radius / np.hypot(*way))
    return float(x), float(y)


def _node(axes: Axes, node: Node, ink: Ink = PLAIN, small: bool = False) -> None:
    """Draw a node; a small one has no room for its first line."""
    (x, y), (across, up) = node.place, REACH[node.kind]
    fill = "white"
    if node.kind in ("layer", "box") and ink != DIM:
        fill = PALE_VERMILION if "tanh" in node.text and ink == PLAIN else PALE_BLUE
    look: dict[str, Any] = {"facecolor": fill, "edgecolor": ink.line, "zorder": 3}
    look["linewidth"] = 1.2 + ink.thick
    if node.kind in ("layer", "box"):
        style, corner = "round,pad=0,rounding_size=0.06", (x - across, y - up)
        axes.add_patch(FancyBboxPatch(corner, 2 * across, 2 * up, boxstyle=style, **look))
    elif node.kind != "port":
        axes.add_patch(Ellipse(node.place, 2 * across, 2 * up, **look))
    name, _, function = node.text.rpartition("\n")
    text: dict[str, Any] = {"ha": "center", "va": "center", "color": ink.letters, "zorder": 4}
    if name and not small:
        axes.text(x, y + 0.11, name, fontsize=9, **text)
        y -= 0.1
    axes.text(x, y, function, fontsize=9 if small or node.kind == "box" else 11, **text)


def _label(axes: Axes, mark: Label, color: str = BLACK, size: float = 10) -> None:
    """Write the name of a value beside its wire."""
    (x, y), aligned = mark.place, {"ha": "center", "va": "center"}
    if mark.side == "above":
        y, aligned["va"] = y + 0.12, "bottom"
    elif mark.side == "right":
        x, aligned["ha"] = x + 0.13, "left"
    label(axes, x, y, mark.text, color, fontsize=size, linespacing=1.1, zorder=5, **aligned)


def _frame(axes: Axes, across: Point, up: Point) -> None:
    """Leave nothing but what was drawn, with one scale for both directions."""
    axes.set(xlim=across, ylim=up, aspect="equal")
    axes.axis("off")
