"""The recurrent cells as pictures: their wires, what an equation lights, and what can be read."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from test_course import COURSE, ROOT, faults_of

sys.path.append(str(COURSE))
from figures import cells

VALUES = {
    "x": 3,
    "h_before": -0.55,
    "C_before": -0.71,
    "f": 0.98,
    "i": 0.03,
    "candidate": -0.42,
    "f * C_before": -0.7,
    "i * candidate": -0.01,
    "C": -0.72,
    "o": 0.88,
    "tanh(C)": -0.62,
    "h": -0.54,
}
GATES = {"f": [0.5, 1.0, 0.0], "i": [1.0, 0.1, 0.2], "o": [0.3, 0.0, 1.0]}
SIX = {name: np.array(opening * 2) for name, opening in GATES.items()}
STATES = np.linspace(-1, 1, 40).reshape(8, 5)
MEMORY = np.array([-0.71, -0.72, -0.73, 0.74, 0.75, 0.76])
CELLS = {
    "LSTM": cells.LSTM,
    "RNN": cells.RNN,
    **{f"RNN over {count}": cells.rnn_steps(range(count)) for count in (2, 6, 8)},
    **{f"LSTM over {count}": cells.lstm_steps(range(count)) for count in (3, 6)},
}
PICTURES = {
    "cell": lambda: cells.lstm_cell(4, VALUES),
    "frames": lambda: cells.lstm_frames(VALUES),
    "RNN": lambda: cells.rnn_cell(),
    "RNN over 2": lambda: cells.rnn_unrolled([3, 1]),
    "RNN over 6 with states": lambda: cells.rnn_unrolled(range(6), STATES[:6, :1]),
    "RNN over 8 with states": lambda: cells.rnn_unrolled(range(8), STATES),
    "LSTM over 3": lambda: cells.lstm_unrolled([3, 1, 4]),
    "LSTM over 6 with values": lambda: cells.lstm_unrolled(range(6), MEMORY, SIX),
}


@cache
def picture(name: str) -> Figure:
    return PICTURES[name]()


# the geometry


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_wires_lead_from_border_to_border(cell: cells.Cell) -> None:
    for wire in cell.wires:
        points = cells.route(cell, wire)
        for name, point in [(wire.start, points[0]), (wire.end, points[-1])]:
            node = cell.nodes[name]
            distance = np.abs(np.subtract(point, node.place))
            reach = np.array(cells.REACH[node.kind])
            on_border = np.isclose(distance, reach) & np.isclose(distance[::-1], 0)
            assert on_border.any(), f"{wire} does not meet {name}"
        for (x0, y0), (x1, y1) in pairwise(points):
            assert (x0 == x1) != (y0 == y1), f"{wire} has a piece that is aslant, or of no length"


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_every_node_is_reached_and_left(cell: cells.Cell) -> None:
    starts, ends = ({getattr(wire, at) for wire in cell.wires} for at in ("start", "end"))
    for name, node in cell.nodes.items():
        if node.kind == "port":
            assert (name in starts) != (name in ends), f"{name} is no end"
        else:
            assert name in starts & ends, f"{name} has no way in, or no way out"


# the six equations


def equations_of_the_model() -> Iterator[tuple[int, str, ast.expr]]:
    """From models/lstm.py: number, what is written, and the expression, in the figure's names."""
    source = (ROOT / "models" / "lstm.py").read_text(encoding="utf-8")
    written = set()
    for name, text, number in re.findall(r"^ +(\w+) = (.*\S) +# \((\d)\)$", source, re.M):
        expression = ast.parse(text.replace("mg.", ""), mode="eval").body
        for node in ast.walk(expression):
            if isinstance(node, ast.Name) and node.id in ("C", "h") and node.id not in written:
                node.id += "_before"
        written.add(name)
        yield int(number), name, expression


def test_equation_has_the_nodes_and_values_of_the_model() -> None:
    found = {}
    for number, name, expression in equations_of_the_model():
        functions = {node.func for node in ast.walk(expression) if isinstance(node, ast.Call)}
        inner = [
            node
            for node in ast.walk(expression)
            if isinstance(node, ast.Name | ast.BinOp | ast.Call)
            and node is not expression
            and node not in functions
            and "self" not in ast.unparse(node)  # the weights are inside the layer
        ]
        nodes, wires = cells.part(number)
        assert {wire.value for wire in wires} == {name, *map(ast.unparse, inner)}
        operations = [node for node in inner if not isinstance(node, ast.Name)]
        assert len(nodes) == 1 + len(operations)
        found[number] = nodes
    assert list(found) == list(cells.EQUATIONS) == [1, 2, 3, 4, 5, 6]
    inside = {name for name, node in cells.LSTM.nodes.items() if node.kind != "port"}
    assert set().union(*found.values()) == inside - {"z"}


def paths(figure: Figure, color: str) -> set[tuple[tuple[float, ...], ...]]:
    """Beginning and end of the wires that have a colour."""
    arrows = figure.findobj(FancyArrowPatch)
    ways = [a._path_original for a in arrows if to_hex(a.get_edgecolor()) == color.lower()]
    return {(tuple(way.vertices[0]), tuple(way.vertices[-1])) for way in ways}


def of_wires(wires: list[cells.Wire]) -> set[tuple[tuple[float, ...], ...]]:
    routes = [cells.route(cells.LSTM, wire) for wire in wires]
    return {(route[0], route[-1]) for route in routes}


@pytest.mark.parametrize("number", cells.EQUATIONS)
def test_lit_equation_is_bold_and_all_else_is_pale(number: int) -> None:
    figure = cells.lstm_cell(number)
    nodes, wires = cells.part(number)
    others = [wire for wire in cells.LSTM.wires if wire not in wires]
    assert paths(figure, cells.LIT.line) == of_wires(wires)
    assert paths(figure, cells.DIM.line) == of_wires(others)
    shapes = [p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch | Ellipse)]
    shapes = [shape for shape in shapes if not isinstance(shape, Circle)]
    edges = [to_hex(shape.get_edgecolor()) for shape in shapes]
    assert edges.count(cells.LIT.line.lower()) == len(nodes)
    assert set(edges) == {cells.LIT.line.lower(), cells.DIM.line.lower()}
    blue = {t.get_text() for t in figure.findobj(Text) if t.get_color() == cells.LIT.letters}
    own = {line for name in nodes for line in cells.LSTM.nodes[name].text.splitlines()}
    own |= {cells.LSTM.labels[wire.value].text for wire in wires}
    assert blue == own | {f"({number})", *cells.EQUATIONS[number][:2]}
    bold = {t.get_text() for t in figure.findobj(Text) if t.get_fontweight() == "bold"}
    assert bold == {f"({number})", *cells.EQUATIONS[number][:2]}


def test_frames_light_one_equation_each() -> None:
    panels = picture("frames").axes
    assert len(panels) == 6
    for (number, equation), panel in zip(cells.EQUATIONS.items(), panels, strict=True):
        assert panel.get_title() == f"({number})  {equation.formula}"
        assert paths(panel, cells.LIT.line) == of_wires(cells.part(number)[1])


def test_dots_are_where_a_value_goes_two_ways() -> None:
    dots = {dot.center for dot in cells.lstm_cell().findobj(Circle)}
    layers = [cells.LSTM.nodes[name].place[0] for name in ("forget", "input", "candidate")]
    above_tanh = (cells.LSTM.nodes["squash"].place[0], cells.TOP)
    assert dots == {(x, cells.LEVEL) for x in layers} | {above_tanh}


@pytest.mark.parametrize("lit", [0, 7])
def test_unknown_equation_is_refused(lit: int) -> None:
    with pytest.raises(ValueError, match=f"numbered 1 to 6, got lit={lit}"):
        cells.lstm_cell(lit)


# what is shown is what was given


def texts(figure: Figure) -> list[Text]:
    return [text for axes in figure.axes for text in (*axes.texts, axes.title) if text.get_text()]


def numbers(figure: Figure) -> list[str]:
    found = "\n".join(text.get_text() for text in texts(figure))
    return sorted(re.findall(r"(?m)^\N{MINUS SIGN}?\d+(?:\.\d\d)?$", found))


def test_given_values_stand_at_their_wires() -> None:
    shown = sorted(f"{x:.2f}".replace("-", "\N{MINUS SIGN}") for x in VALUES.values() if x != 3)
    figure = picture("cell")
    assert numbers(figure) == sorted(["3", *shown])
    assert "$f_t$\n0.98" in [text.get_text() for text in texts(figure)]
    assert numbers(cells.lstm_cell(values={"i": 1.0})) == ["1.00"]
    panels = picture("frames").axes
    shown = [any("0.98" in text.get_text() for text in panel.texts) for panel in panels]
    assert shown == [True, False, False, True, False, False]  # (1) writes it, (4) reads it


def test_value_of_another_name_is_refused() -> None:
    for name in ("g", "z"):  # z is a vector, no number of one memory cell
        with pytest.raises(ValueError, match=f"no value of the cell is '{name}'; known are C_bef"):
            cells.lstm_cell(1, {name: 0.5})


def black(figure: Figure) -> list[Rectangle]:
    rectangles = figure.findobj(Rectangle)
    return [r for r in rectangles if to_hex(r.get_facecolor()) == "#000000" and r.get_width() < 1]


def test_valves_are_as_open_as_their_gates() -> None:
    gates = {name: np.array(opening) for name, opening in GATES.items()}
    figure = cells.lstm_unrolled([3, 1, 4], MEMORY[:3], gates)
    given = [*GATES["f"], *GATES["i"], *GATES["o"], *MEMORY[:3]]
    shown = [f"{x:.2f}".replace("-", "\N{MINUS SIGN}") for x in given]
    assert numbers(figure) == sorted([*shown, "1", "3", "4"])
    plates = [Bbox.from_bounds(*r.get_xy(), r.get_width(), r.get_height()) for r in black(figure)]
    assert len(plates) == 9
    [canal] = [p for p in figure.findobj(Polygon) if type(p) is Polygon]
    bottom, top = cells.BANK
    assert {bottom, top} < set(canal.get_xy()[:, 1])
    for plate, f in zip((p for p in plates if p.height > p.width), GATES["f"], strict=True):
        assert np.isclose(top - plate.y0, (1 - f) * (top - bottom))
    pipes = sorted((p for p in plates if p.height < p.width), key=lambda p: (-p.y0, p.x0))
    cell = cells.lstm_steps([3, 1, 4])
    wanted = [(f"{port} {t}", name) for port, name in [("in", "i"), ("out", "o")] for t in range(3)]
    for plate, (port, name) in zip(pipes, wanted, strict=True):
        moved = (plate.x0 + plate.x1) / 2 - cell.nodes[port].place[0]
        opening = GATES[name][int(port[-1])]
        assert np.isclose(moved, opening * plate.width * cells.VALVES[name][0])


def test_states_are_squares_with_their_area_and_sign() -> None:
    states = np.array([[1.0, -0.25], [0.09, 0.64], [-1.0, -0.04]])
    figure = cells.rnn_unrolled([3, 1, 4], states)
    squares = [r for r in figure.findobj(Rectangle) if 0 < r.get_width() < 0.3]
    squares.sort(key=lambda r: (r.get_x() + r.get_width() / 2, -r.get_y()))
    signs = [1 if to_hex(r.get_facecolor()) == "#000000" else -1 for r in squares]
    areas = np.array([r.get_width() * r.get_height() for r in squares])
    assert np.allclose(signs * areas / areas.max(), states.ravel())


def test_way_of_the_first_digit_is_lit_to_the_end() -> None:
    cell = cells.rnn_steps([3, 1, 4, 1])
    ways = {(wire.start, wire.end): cells.route(cell, wire) for wire in cell.wires}
    names = ["digit 0", "box 0", "box 1", "box 2", "box 3", "after"]
    wanted = {(ways[pair][0], ways[pair][-1]) for pair in pairwise(names)}
    assert paths(cells.rnn_unrolled([3, 1, 4, 1]), cells.LIT.line) == wanted


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: cells.rnn_unrolled([3]), "room for 2 to 8 digits, got 1"),
        (lambda: cells.rnn_unrolled(range(9)), "room for 2 to 8 digits, got 9"),
        (lambda: cells.lstm_unrolled([3, 1]), "room for 3 to 6 digits, got 2"),
        (
            lambda: cells.rnn_unrolled([3, 1], np.zeros((3, 2))),
            r"states must have a row for each of the 2 digits, got the shape \(3, 2\)",
        ),
        (lambda: cells.rnn_unrolled([3, 1], STATES[:2] * 2), r"states must lie within -1 to 1"),
        (
            lambda: cells.lstm_unrolled([3, 1, 4], MEMORY),
            r"memory must have a number for each of the 3 digits, got the shape \(6,\)",
        ),
        (
            lambda: cells.lstm_unrolled([3, 1, 4], gates={"f": MEMORY[:3]}),
            "gates must be 'f', 'i' and 'o', got 'f'$",
        ),
        (
            lambda: cells.lstm_unrolled([3, 1, 4], gates={n: MEMORY[:3] for n in "fio"}),
            "gate 'f' must lie within 0 to 1, got -0.73 to -0.71",
        ),
    ],
)
def test_numbers_that_do_not_fit_are_refused(draw, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


# what can be read


def clashes(figure: Figure) -> list[str]:
    """Texts that overlap, and what leaves its panel, for which the layout would shrink it."""
    figure.draw_without_rendering()
    shown = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    found = []
    for (text, box), (other, second) in combinations(shown, 2):
        if box.overlaps(second):
            found.append(f"{text!r} overlaps {other!r}")
    for axes in figure.axes:
        border = axes.bbox
        for artist in (*axes.texts, *axes.patches):
            box = artist.get_window_extent()
            if box.x0 < border.x0 or box.x1 > border.x1:
                found.append(f"{artist} leaves its panel at a side")
            if box.y0 < border.y0 or box.y1 > border.y1:
                found.append(f"{artist} leaves its panel above or below")
    return found


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_overlaps_or_leaves_the_figure(name: str) -> None:
    assert not clashes(picture(name))
    assert not faults_of(picture(name))


def test_clashes_are_found() -> None:
    figure = cells.rnn_cell()
    [axes] = figure.axes
    axes.text(2.6, 1.0, "on the word tanh")
    axes.text(5.5, 1.5, "a text that is far too long")
    overlap, leaving = clashes(figure)
    assert overlap == "'tanh' overlaps 'on the word tanh'"
    assert "far too long" in leaving and leaving.endswith("leaves its panel at a side")
