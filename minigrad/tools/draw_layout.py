"""The layout of a drawn graph: where its boxes are.

Boxes are in layers; what is computed first is at the top. A box's layer is the length of the
longest path to it. The order within a layer follows the neighbours' mean place, which leaves few
crossings. Then each box moves towards its neighbours, as far as the boxes beside it leave room.

Source: Sugiyama, Tagawa and Toda 1981, "Methods for visual understanding of hierarchical system
structures".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["CHARACTER", "LINE", "Box", "arrange"]

CHARACTER, LINE = 0.082, 0.17  # inches: the width of a character, and from line to line
GAP, ROW = 0.22, 0.42  # inches: between boxes of a layer, and between layers
STIFFNESS = 8.0  # an operation's pull, a leaf's being 1: chains of operations stay straight


@dataclass(eq=False)
class Box:
    """A node of a picture, or (without lines) a bend of an edge that passes a layer.

    Attributes:
        lines: The text in it.
        colour: The colour behind the text.
        gradient: The line below that says the gradient; "" for none.
        parents: The boxes from which edges come; `arrange` inserts bends.
        layer: The number of layers above it.
        x: The middle, in inches from the left edge of the picture.
        y: The middle, in inches from its top.
    """

    lines: list[str]
    colour: str
    parents: list[Box] = field(default_factory=list)
    gradient: str = ""
    layer: int = 0
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        """The width of the box, in inches."""
        return max(map(len, [*self.lines, self.gradient])) * CHARACTER + 0.18

    @property
    def height(self) -> float:
        """The height of the box, in inches."""
        return (len(self.lines) + bool(self.gradient)) * LINE + 0.12

    @property
    def weight(self) -> float:
        """How strongly it pulls at its neighbours."""
        return STIFFNESS if self.parents else 1.0


Neighbours: TypeAlias = Mapping[Box, Sequence[Box]]


def arrange(boxes: Sequence[Box]) -> None:
    """Give every box its layer and its place, and every long edge its bends.

    Args:
        boxes: All boxes, each after its parents; the last is the result, to which all others lead.
    """
    children: dict[Box, list[Box]] = {box: [] for box in boxes}
    for box in boxes:
        box.layer = 1 + max((parent.layer for parent in box.parents), default=-1)
        for parent in box.parents:
            children[parent].append(box)
    for box in boxes:  # a leaf is right above the first box that uses it
        if not box.parents and children[box]:
            box.layer = min(child.layer for child in children[box]) - 1
    for box in boxes:
        box.parents = [_bent(parent, box.layer) for parent in box.parents]
    layers = _layers(boxes[-1])
    above: Neighbours = {box: box.parents for layer in layers for box in layer}
    below: dict[Box, list[Box]] = {box: [] for box in above}
    for box, parents in above.items():
        for parent in parents:
            below[parent].append(box)
    _order(layers, above, below)
    _spread(layers, above, below)
    y = 0.0
    for layer in layers:
        height = max(box.height for box in layer)
        for box in layer:
            box.y = y + height / 2
        y += height + ROW


def _bent(parent: Box, layer: int) -> Box:
    """The last node of an edge above a child: its parent, or the last of a chain of bends."""
    while parent.layer < layer - 1:
        parent = Box([], "", [parent], layer=parent.layer + 1)
    return parent


def _layers(last: Box) -> list[list[Box]]:
    """All boxes and bends by layer, found from the result upwards."""
    found: dict[Box, None] = {}
    stack = [last]
    while stack:
        box = stack.pop()
        if box not in found:
            found[box] = None
            stack += reversed(box.parents)
    layers: list[list[Box]] = [[] for _ in range(last.layer + 1)]
    for box in found:
        layers[box.layer].append(box)
    return layers


def _sweeps(layers: Sequence[list[Box]], times: int) -> Iterator[tuple[list[Box], bool]]:
    """The layers from the top down and back up, `times` times; each with True on the way down."""
    for _ in range(times):
        yield from ((layer, True) for layer in layers[1:])
        yield from ((layer, False) for layer in layers[-2::-1])


def _order(layers: list[list[Box]], above: Neighbours, below: Neighbours) -> None:
    """Sort each layer by its neighbours' mean place; keep the order with the fewest crossings."""
    for layer in layers:
        _number(layer)
    fewest, best = math.inf, [list(layer) for layer in layers]
    for layer, down in _sweeps(layers, 8):
        near = above if down else below
        wanted = {box: _mean(near[box], box.x) for box in layer}
        layer.sort(key=wanted.__getitem__)
        _number(layer)
        if layer is layers[0] or layer is layers[-1]:
            crossings = _crossings(layers, above)
            if crossings < fewest:
                fewest, best = crossings, [list(layer) for layer in layers]
    layers[:] = best


def _number(layer: Sequence[Box]) -> None:
    for place, box in enumerate(layer):
        box.x = place


def _mean(boxes: Sequence[Box], otherwise: float) -> float:
    weight = sum(box.weight for box in boxes)
    return sum(box.weight * box.x for box in boxes) / weight if boxes else otherwise


def _crossings(layers: Sequence[Sequence[Box]], above: Neighbours) -> int:
    """How often edges cross: pairs of edges between two layers whose ends are in other orders."""
    count = 0
    for upper, lower in itertools.pairwise(layers):
        place = {box: i for i, box in enumerate(upper)}
        seen: list[int] = []
        for box in lower:
            ends = [place[parent] for parent in above[box]]
            count += sum(end < other for end in ends for other in seen)
            seen += ends
    return count


def _spread(layers: Sequence[list[Box]], above: Neighbours, below: Neighbours) -> None:
    """Move boxes towards the mean of their neighbours, in their order and without overlap."""
    for layer in layers:
        _settle(layer, [0.0] * len(layer))
    for layer, down in _sweeps(layers, 12):
        near = above if down else below
        _settle(layer, [_mean(near[box], box.x) for box in layer])
    left = min(box.x - box.width / 2 for layer in layers for box in layer)
    for layer in layers:
        for box in layer:
            box.x -= left


def _settle(layer: Sequence[Box], wanted: Sequence[float]) -> None:
    """Move boxes to the places nearest to `wanted` (weighted least squares) without overlap.

    Relative to where the boxes would be side by side, places must not decrease. That is isotonic
    regression, solved by pooling adjacent violators (Barlow et al. 1972).
    """
    offsets, end = [], 0.0
    for box in layer:
        offsets.append(end + box.width / 2)
        end += box.width + GAP
    pools: list[tuple[float, float, int]] = []  # a run's weighted sum, its weight, its length
    for box, place, offset in zip(layer, wanted, offsets, strict=True):
        total, weight, count = box.weight * (place - offset), box.weight, 1
        while pools and pools[-1][0] / pools[-1][1] > total / weight:
            before = pools.pop()
            total, weight, count = before[0] + total, before[1] + weight, before[2] + count
        pools.append((total, weight, count))
    places = [total / weight for total, weight, count in pools for _ in range(count)]
    for box, place, offset in zip(layer, places, offsets, strict=True):
        box.x = place + offset
