"""A backward pass that is watched: its steps, and a picture for each. draw.py draws the graph."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import numpy as np

from minigrad.backends import is_array, to_numpy
from minigrad.engine import Gradients, Node, Output, Record, Slots, fit, node_of, repeated_axes, run
from minigrad.fused import FusedRecord
from minigrad.nn.module import Module
from minigrad.observers import Observer, observed_by
from minigrad.primitive import SequenceRecord
from minigrad.tensor import Tensor, array_of
from minigrad.tools.backward_steps import Array, Contribution, LeafGradient, Step
from minigrad.tools.draw import Diagram, call_of, gradient_line, is_one
from minigrad.tools.draw_layout import Box, arrange
from minigrad.tools.draw_picture import Frame, Picture, drawn
from minigrad.tools.rule_source import filled_in, text_of

__all__ = ["BackwardPass", "watch"]

IN_NOTEBOOK = 20  # longer passes are shown there as text


class BackwardPass:
    """A backward pass that was looked at: its steps, and what the leaves get.

    `print` shows it as text. A notebook shows a picture for each step.

    Attributes:
        name: The name of the result where the pass started.
        steps: The operations in the order in which the pass reached them; the outputs of one call
            are one step.
        leaves: The leaves, with their gradients.
        frames: A picture before the first step and one after each, made when asked for.
    """

    def __init__(
        self, name: str, steps: Sequence[Step], leaves: Sequence[LeafGradient], frames: _Frames
    ) -> None:
        self.name = name
        self.steps = tuple(steps)
        self.leaves = tuple(leaves)
        self.frames: Sequence[Picture] = frames
        self._frames = frames

    def __repr__(self) -> str:
        return "\n\n".join([self._title(), *map(str, self.steps), self._end()])

    def _title(self) -> str:
        count = f"{len(self.steps)} step{'' if len(self.steps) == 1 else 's'}"
        return (
            f"The way back from {self.name}, {count}; the youngest operation comes first.\n"
            "g is the gradient that has arrived. Each line 'a -> d:  rule = gradient' tells what\n"
            "the operation hands on to d, which was its input a."
        )

    def _end(self) -> str:
        return "\n   ".join(["Leaves, with their gradients:", *map(str, self.leaves)])

    def _repr_html_(self) -> str:
        """The frames with the text of each step; of a long pass the text alone."""
        if len(self.steps) > IN_NOTEBOOK:
            return f"<pre>{html.escape(repr(self))}</pre>"
        texts = [self._title(), *map(str, self.steps)]
        texts[-1] += f"\n\n{self._end()}"
        return "".join(
            f'<figure style="margin: 0 0 2em"><img style="max-width: 100%" alt="" src="data:'
            f'image/svg+xml;base64,{base64.b64encode(frame.svg.encode()).decode()}">'
            f"<figcaption><pre>{html.escape(text)}</pre></figcaption></figure>"
            for frame, text in zip(self.frames, texts, strict=True)
        )

    def save(self, path: str | Path) -> None:
        """Write the pictures.

        Args:
            path: A file's name that ends in .svg or .png, for one picture with all frames; or the
                name of a folder, for an .svg and a .png file of each frame.

        Raises:
            ValueError: The name has another ending.
        """
        path = Path(path)
        if path.suffix:
            self._frames.strip().save(path)
            return
        path.mkdir(parents=True, exist_ok=True)
        digits = len(str(len(self.steps)))
        for k, frame in enumerate(self.frames):
            for ending in (".svg", ".png"):
                frame.save(path / f"{k:0{digits}}{ending}")


def watch(
    tensor: Tensor, gradient: Tensor | None, named: Mapping[str, Tensor | Module]
) -> BackwardPass:
    """Run a backward pass that changes nothing, and describe it: see `mg.show_backward`."""
    diagram = Diagram("show_backward", tensor, named)
    watched = _Watched()
    seeds = [] if gradient is None else [gradient]
    try:
        with observed_by(watched):
            found, _ = run("show_backward", [tensor], seeds, None, True, False)
    finally:
        watched.restore()
    return _told(diagram, tensor, watched.steps, found)


@dataclass(frozen=True)
class _Move:
    """A gradient that a record has handed on: the input's position, its node, and the gradient."""

    position: int
    node: Node
    gradient: Array
    summed_axes: tuple[int, ...]


class _Watched(Observer):
    """Keeps what a backward pass does: for each record the gradient, and what it hands on."""

    def __init__(self) -> None:
        self.steps: list[tuple[Record, Any, list[_Move]]] = []
        self._within: list[Record] = []  # a fused operation's replay is a pass within the pass
        self._before: list[tuple[Record, Any]] = []

    def backward(self, record: Record) -> None:
        """Note that a record is at work, and what an earlier pass has left in it."""
        self._within.append(record)
        self._before.append((record, record.gradient))

    def gradients(self, record: Record, g: Any, gradients: Gradients) -> None:
        """Keep what a record was given and what it hands on, but not of a replay's records."""
        self._within.pop()
        if self._within or isinstance(record, Output):
            return
        moves = []
        places = _places(record)
        for node, returned in gradients:
            position = next(place for place in places if record.parents[place] is node)
            returned = array_of(returned)
            if is_array(returned):  # else it is None, or the engine is about to refuse it
                fitted = _kept(fit(returned, node, record))
                axes = repeated_axes(node.shape, returned.shape)
                moves.append(_Move(position, node, fitted, axes))
        g = tuple(map(_kept, g)) if isinstance(g, Slots) else _kept(g)
        self.steps.append((record, g, moves))

    def restore(self) -> None:
        """Put back into the records what earlier passes have left there."""
        for record, gradient in self._before:
            record.gradient = gradient


def _places(record: Record) -> Iterator[int]:
    """The positions of the inputs for which a record returns gradients, in the order it does."""
    if type(record) is Record:
        return iter([position for position, _, _ in record.plan.numeric])
    return iter(range(len(record.parents)))


def _kept(value: Any) -> Any:
    """A copy of an array for the CPU; anything else as it is."""
    return np.array(to_numpy(value)) if is_array(value) else value


# from records to steps


def _told(
    diagram: Diagram,
    tensor: Tensor,
    passed: Sequence[tuple[Record, Any, Sequence[_Move]]],
    found: Mapping[Node, Any],
) -> BackwardPass:
    """Describe the steps of a pass, with names."""
    numbers = {record: number for number, (record, _, _) in enumerate(passed, 1)}
    root = cast(Node, node_of(tensor))
    uses = Counter([call_of(root)])
    steps = []
    for number, (record, g, moves) in enumerate(passed, 1):
        uses.update(call_of(move.node) for move in moves)
        inputs = [diagram.input_name(record, place) for place in range(len(record.parents))]
        value = diagram.values.get(record)
        contributions = [_contribution(diagram, record, g, move, numbers) for move in moves]
        step = Step(
            number=number,
            name=diagram.name_of(record),
            operation=record.plan.name,
            inputs=tuple(inputs),
            shape=record.shape,
            value=_kept(value),
            gradient=g,
            uses=uses[record],
            contributions=tuple(contributions),
        )
        steps.append(step)
    leaves = [
        LeafGradient(name, _kept(found[leaf]), uses[leaf])
        for leaf, name in diagram.leaves.items()
        if leaf in found
    ]
    seed = passed[0][1] if passed else found[root]
    frames = _Frames(diagram, root, seed, passed)
    return BackwardPass(diagram.name_of(root), steps, leaves, frames)


def _contribution(
    diagram: Diagram, record: Record, g: Any, move: _Move, numbers: Mapping[Record, int]
) -> Contribution:
    """Describe a gradient that was handed on, with names."""
    position, to = move.position, call_of(move.node)
    in_sequence = isinstance(record, SequenceRecord)
    argument = record.plan.arguments[0 if in_sequence else position]
    rule, values, numeric = _rule(record, 0 if in_sequence else position, g)
    return Contribution(
        input=f"{argument}[{position}]" if in_sequence else argument,
        to=diagram.name_of(move.node),
        step=numbers[to] if isinstance(to, Record) else None,
        rule=rule,
        values=values,
        gradient=move.gradient,
        summed_axes=move.summed_axes,
        filled_in=numeric,
    )


def _rule(record: Record, position: int, g: Any) -> tuple[str, Mapping[str, Any], str]:
    """The text of the rule of an input, the values it needs beside g, and the text with numbers."""
    plan = record.plan
    if isinstance(record, FusedRecord):
        kernel = f"the kernel of {plan.name}"
        return kernel if record.kernel else f"the definition of {plan.name}, differentiated", {}, ""
    [(rule, needs)] = [(rule, needs) for place, rule, needs in plan.rules if place == position]
    saved = (record.saved or ())[needs]
    values = dict(zip(plan.saves[needs], map(_kept, saved), strict=True))
    text = text_of(rule)
    numbers = {"g": g, **values}
    in_numbers = text != "g" and all(map(is_one, numbers.values()))
    return text, values, filled_in(text, numbers) if in_numbers else ""


# pictures


class _Frames(Sequence[Picture]):
    """The pictures of a pass, made when asked for; all have the same layout."""

    def __init__(
        self,
        diagram: Diagram,
        root: Node,
        seed: Any,
        passed: Sequence[tuple[Record, Any, Sequence[_Move]]],
    ) -> None:
        self._boxes = diagram.boxes
        self._made: dict[int, Picture] = {}
        # the box at work, the edges that are used then, and the caption
        self._moments: list[tuple[Box | None, set[tuple[Box, int]], str]] = [
            (None, set(), f"start: {diagram.name_of(root)}")
        ]
        arrived: dict[Node, list[tuple[int, Array]]] = {root: [(0, seed)]}
        for number, (record, _, moves) in enumerate(passed, 1):
            [box] = diagram.boxes_of[record]
            edges = set()
            for move in moves:
                before = record.parents[: move.position]
                edges.add((box, sum(parent is not None for parent in before)))
                arrived.setdefault(move.node, []).append((number, move.gradient))
            self._moments.append((box, edges, f"step {number}: {diagram.name_of(record)}"))
        self._arrived = [
            (diagram.boxes_of[node], parts)
            for node, parts in arrived.items()
            if node.shape is not None and not isinstance(node, Output)
        ]

    def __len__(self) -> int:
        return len(self._moments)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number = range(len(self))[index]
        if number not in self._made:
            self._made[number] = drawn(self._boxes, self._frame(number))
        return self._made[number]

    def strip(self) -> Picture:
        """All frames in one picture."""
        return drawn(self._boxes, *map(self._frame, range(len(self))))

    def _frame(self, number: int) -> Frame:
        """What the picture after a step shows."""
        known = {
            box: next((line for since, line in reversed(lines) if since <= number), "")
            for box, lines in self._lines.items()
        }
        return Frame(known, *self._moments[number])

    @cached_property
    def _lines(self) -> dict[Box, list[tuple[int, str]]]:
        """The lines that say a box's gradient, each with the step after which it does.

        They are known before the first picture is made, so that every box has room for its lines.
        """
        found: dict[Box, list[tuple[int, str]]] = {}
        for boxes, parts in self._arrived:
            totals = accumulate(part for _, part in parts)
            for count, ((number, _), total) in enumerate(zip(parts, totals, strict=True), 1):
                line = gradient_line(total) + ("" if count == len(parts) else " so far")
                for box in boxes:
                    found.setdefault(box, []).append((number, line))
        for box in self._boxes:
            box.gradient = max((line for _, line in found.get(box, ())), key=len, default="")
        arrange(self._boxes)
        return found
