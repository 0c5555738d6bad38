"""An expression that a reader types, and the way back through it, step by step.

docs/play/backward.md shows it. All values, slopes and gradients are minigrad's: the forward pass
runs on its Tensors, and the way back is the one that `mg.show_backward` watches.
"""

from __future__ import annotations

import ast
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from play_expression import Evaluation, Node, Program, Unusable, bracketed, parsed, written

import minigrad as mg
from minigrad.tools.backward_steps import Contribution, Step
from minigrad.tools.draw_layout import Box, arrange
from minigrad.tools.rule_source import filled_in

MOST_OPERATIONS = 40
FIRST_VALUES = (0.5, -1.5, 2.0, 1.0, -0.5, 1.5, -1.0, 0.25)  # of letters that are new
POWER = {"a": "g * b * a ** (b - 1)", "b": "g * y * log(a)"}  # minigrad's rules for it are longer


def show(expression: str, values: Mapping[str, float | None]) -> dict[str, Any]:
    """Compute an expression and go back through it.

    Args:
        expression: What the reader has typed.
        values: The values of its letters; those that are missing get one.

    Returns:
        `values` of the letters; the `nodes` of the graph in the order in which they are computed,
        its `edges`, a `layout` for each direction, the `moments` to step through, and `letters`, a
        line of the table for each. If the expression cannot be shown, `error` says why, and
        `start` and `end` where; of a text that is no expression there are no values either.
    """
    shown: dict[str, Any] = {}
    try:
        program = parsed(expression)
        known = {name: values.get(name, FIRST_VALUES[k]) for k, name in enumerate(program.letters)}
        shown["values"] = known
        given = {name: _given(name, value) for name, value in known.items()}
        with np.errstate(all="ignore"):  # what is not finite gets a message
            shown.update(_described(program, given))
    except Unusable as error:
        shown.update(error=str(error), start=error.place[0], end=error.place[1])
    return shown


def _given(name: str, value: float | None) -> float:
    if value is None or not math.isfinite(value):
        raise Unusable(f"{name} has no value: give it a number.")
    return float(value)


def _described(program: Program, values: Mapping[str, float]) -> dict[str, Any]:
    evaluation = Evaluation(program, values)
    nodes, result = evaluation.nodes, evaluation.result
    if not isinstance(result, Node):
        raise Unusable("There is no letter in it, so there is nothing to differentiate by.")
    if not result.operands:
        raise Unusable(f"Only a letter: add an operation, as in {result.name} * {result.name}.")
    operations = len(nodes) - len(evaluation.letters)
    if operations > MOST_OPERATIONS:
        raise Unusable(f"It has {operations} operations; there is room for {MOST_OPERATIONS}.")
    _give_names(nodes)
    edges = [
        {"from": nodes.index(parent), "to": nodes.index(node), "slope": written(slope)}
        for node in nodes
        for parent, slope in zip(node.parents, node.slopes, strict=True)
    ]
    back = WayBack(nodes)
    return {
        "nodes": [{"title": node.title, "value": f"= {written(node.tensor)}"} for node in nodes],
        "edges": edges,
        "layout": {name: _laid_out(nodes, back, name) for name in LAYOUTS},
        "moments": [*_forward(nodes), *back.moments],
        "letters": [
            {
                "name": name,
                "node": nodes.index(letter),
                "value": written(letter.tensor, 6),
                "gradient": written(back.gradients[letter], 6),
                "difference": _difference(program, values, name),
            }
            for name, letter in evaluation.letters.items()
        ],
    }


def _give_names(nodes: Sequence[Node]) -> None:
    """Call the result L, as the course does, and what is between v1, v2, ..."""
    known = [node.name for node in nodes if node.name]
    first = next((x for x in "vwutr" if not any(name[0] == x for name in known)), "result_")
    if not nodes[-1].name and "L" not in known:
        nodes[-1].name = "L"
    for count, node in enumerate((node for node in nodes if not node.name), 1):
        node.name = f"{first}{count}"


def _difference(program: Program, values: Mapping[str, float], name: str) -> str:
    """The central difference with respect to a letter; "" where the expression has no value."""
    # of this order the error of the method and that of rounding are least together
    step = np.cbrt(np.finfo(np.float64).eps) * max(1.0, abs(values[name]))
    ends = []
    for moved in (values[name] + step, values[name] - step):
        try:
            result = Evaluation(program, {**values, name: moved}).result
        except Unusable:
            return ""
        assert isinstance(result, Node)  # there are letters
        ends.append(result.tensor.item())
    return written((ends[0] - ends[1]) / (2 * step), 6)


# The moments


def _forward(nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """The moments of the forward pass: the letters, then one operation after the other."""
    letters = [k for k, node in enumerate(nodes) if not node.operands]
    values = ", ".join(f"{nodes[k].name} = {written(nodes[k].tensor)}" for k in letters)
    moments: list[dict[str, Any]] = [
        {"computed": letters, "words": f"Forward: the letters have their values, {values}."}
    ]
    for k, node in enumerate(nodes):
        if node.operands:
            pairs = zip(node.parents, node.slopes, strict=True)
            slopes = " and ".join(f"{written(slope)} by {parent.name}" for parent, slope in pairs)
            words = f"Forward: {node.title} = {node.in_numbers}. Slope of this step: {slopes}."
            moments.append({"computed": [k], "node": k, "words": words})
    return moments


class WayBack:
    """The way back from the last node, as minigrad goes it.

    Attributes:
        gradients: The whole gradient of each node.
        lines: For each node what the picture says of its gradient, as it grows: sum and total.
        moments: What the page steps through.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        named = {f"node{k}": node for k, node in enumerate(nodes)}
        tensors = {name: node.tensor for name, node in named.items()}
        watched = mg.show_backward(nodes[-1].tensor, **tensors)
        self._named, self._nodes = named, nodes
        self._uses = Counter(parent for node in nodes for parent in node.parents)
        self._arrived: dict[Node, list[float]] = defaultdict(list)
        self.lines: dict[Node, list[tuple[str, str]]] = {node: [] for node in nodes}
        self.lines[nodes[-1]] = [("", "grad 1")]
        last = nodes[-1].name
        words = f"Back: d{last}/d{last} = 1. The way back begins with it."
        self.moments = [{"node": len(nodes) - 1, "moves": [], "words": words}]
        self.moments += [self._moment(step) for step in watched.steps]
        self.gradients: dict[Node, Any] = {
            **{named[leaf.name]: leaf.gradient for leaf in watched.leaves},
            **{named[step.name]: step.gradient for step in watched.steps},
        }

    def _moment(self, step: Step) -> dict[str, Any]:
        node, g = self._named[step.name], step.gradient
        k = self._nodes.index(node)
        arrived = f", the sum of {step.uses}" if step.uses > 1 else ""
        words = [f"Back: {node.title} sends. Its gradient is g = {written(g)}{arrived}."]
        edge = sum(len(other.parents) for other in self._nodes[:k])
        moves = []
        for position, move in enumerate(step.contributions):
            told, said = self._move(node, g, move)
            moves.append({"edge": edge + position, **told})
            words.append(said)
        return {"node": k, "moves": moves, "words": " ".join(words)}

    def _move(self, node: Node, g: Any, move: Contribution) -> tuple[dict[str, Any], str]:
        """What one edge of a step shows, and the same in words."""
        parent, part = self._named[move.to], move.gradient.item()
        if not math.isfinite(part):
            raise Unusable("At these values the gradient becomes too large here.", node.place)
        arrived = self._arrived[parent]
        sums = f"{written(sum(arrived))} + {bracketed(written(part))}" if arrived else ""
        arrived.append(part)
        waits = self._uses[parent] - len(arrived)
        total = written(sum(arrived))
        said = f"To {parent.name} it sends {_rule(node, g, move)}."
        if sums:
            said += f" The sum at {parent.name} is now {sums} = {total}."
        if waits:
            said += f" Still to come at {parent.name}: {waits}."
        line = f"grad {total}{' so far' if waits else ''}"
        self.lines[parent].append((sums, line))
        told = {
            "to": self._nodes.index(parent),
            "g": written(g),
            "part": written(part),
            "sum": sums,
            "gradient": line,
            "waits": waits,
        }
        return told, said


def _rule(node: Node, g: Any, move: Contribution) -> str:
    """What a step hands on: the rule in names, the same in numbers, and the result."""
    rule = POWER[move.input] if move.rule.startswith("_power") else move.rule
    arguments = ("a", "b") if len(node.operands) == 2 else ("x",)  # of minigrad's operations
    names = {"y": node.name}
    for argument, operand in zip(arguments, node.operands, strict=True):
        names[argument] = operand.name if isinstance(operand, Node) else written(operand)
    tree = ast.parse(rule, mode="eval")
    for part in ast.walk(tree):
        if isinstance(part, ast.Name):
            part.id = names.get(part.id, part.id)
    texts = (ast.unparse(tree), filled_in(rule, {"g": g, **move.values}), written(move.gradient))
    return " = ".join(dict.fromkeys(texts))


# The layout, by that of `mg.draw`


class Down(Box):
    """A node with room above and below for what stands at the edges; layers go down."""

    @property
    def height(self) -> float:
        """The extent from layer to layer, in inches."""
        return super().height + 0.2


class Across(Box):
    """A node whose layers go from left to right, with room for what stands at the edges."""

    @property
    def width(self) -> float:
        """The extent within a layer, in inches."""
        return super().height

    @property
    def height(self) -> float:
        """The extent from layer to layer, in inches."""
        return super().width + 0.7


LAYOUTS: Mapping[str, type[Box]] = {"across": Across, "down": Down}


def _laid_out(nodes: Sequence[Node], back: WayBack, layout: str) -> dict[str, Any]:
    """The middle and the size of every node, and points on every edge, from parent to result."""
    plain: list[Box] = []
    boxes: dict[Node, Box] = {}
    for node in nodes:
        sums, totals = zip(*back.lines[node], strict=True)
        lines = [node.title, f"= {written(node.tensor)}", max(sums, key=len)]
        shown = [line for line in lines if line], max(totals, key=len)
        plain.append(Box(shown[0], "", gradient=shown[1]))
        parents = [boxes[parent] for parent in node.parents]
        boxes[node] = LAYOUTS[layout](shown[0], "", parents, shown[1])
    arrange([*boxes.values()])
    return {
        "nodes": [
            {"at": _at(box, layout), "size": [_pixels(size.width), _pixels(size.height)]}
            for box, size in zip(boxes.values(), plain, strict=True)
        ],
        "edges": [
            [_at(each, layout) for each in reversed(_way(parent))]
            for box in boxes.values()
            for parent in box.parents
        ],
    }


def _way(box: Box) -> list[Box]:
    """The bends of an edge, from its lower end up, and the node where it begins."""
    return [box] if box.lines else [box, *_way(box.parents[0])]


def _at(box: Box, layout: str) -> list[int]:
    place = (box.y, box.x) if layout == "across" else (box.x, box.y)
    return [_pixels(each) for each in place]


def _pixels(inches: float) -> int:
    return round(95 * inches)
