"""contourpy in NumPy: lines of equal height, and the areas between two heights.

The compiled package has no build for the browser. Here is what matplotlib's `contour` and
`contourf` ask for: one generator for a grid without gaps, with the same points as contourpy's
"serial". Along each side of a cell the height is linear; where a line could cross a cell in two
ways, the mean of the four corners decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Node = tuple[str, int, int, float]  # a point on a side of a cell, or a corner of the grid
Lines = tuple[list[Array], list[Array]]
__version__ = "1.3"

# Sides of a cell, by the corner left below: below, right, above, left. For each pattern of corners
# that are higher than the level (1: left below, 2: right below, 4: right above, 8: left above) the
# lines from side to side, with the higher ground on their left. 5 and 10 are saddles.
BELOW, RIGHT, ABOVE, LEFT = range(4)
WAYS = {
    1: [(BELOW, LEFT)],
    2: [(RIGHT, BELOW)],
    3: [(RIGHT, LEFT)],
    4: [(ABOVE, RIGHT)],
    6: [(ABOVE, BELOW)],
    7: [(ABOVE, LEFT)],
    8: [(LEFT, ABOVE)],
    9: [(BELOW, ABOVE)],
    11: [(RIGHT, ABOVE)],
    12: [(LEFT, RIGHT)],
    13: [(BELOW, RIGHT)],
    14: [(LEFT, BELOW)],
}
SADDLES = {  # (pattern, whether the middle is higher)
    (5, True): [(BELOW, RIGHT), (ABOVE, LEFT)],
    (5, False): [(BELOW, LEFT), (ABOVE, RIGHT)],
    (10, True): [(RIGHT, ABOVE), (LEFT, BELOW)],
    (10, False): [(RIGHT, BELOW), (LEFT, ABOVE)],
}


class LineType(Enum):
    """How lines are given: points and codes of each."""

    SeparateCode = 102


class FillType(Enum):
    """How areas are given: points and codes of outer edges with their holes."""

    OuterCode = 201


def contour_generator(
    x: Any = None,
    y: Any = None,
    z: Any = None,
    *,
    name: str = "serial",
    corner_mask: bool | None = None,
    line_type: LineType = LineType.SeparateCode,
    fill_type: FillType = FillType.OuterCode,
    chunk_size: Any = 0,
) -> ContourGenerator:
    """A generator for heights z (rows, columns) at places x and y of the same shape.

    Raises:
        NotImplementedError: The grid has gaps (masked values, NaN), or is to be cut into chunks.
    """
    if np.any(chunk_size) or line_type is not LineType.SeparateCode:
        raise NotImplementedError("contours in chunks are not in the browser: leave out nchunk")
    if np.ma.is_masked(z) or not np.isfinite(np.asarray(z)).all():
        raise NotImplementedError("contours of a grid with gaps are not in the browser")
    x, y, z = (np.asarray(each, dtype=float) for each in (x, y, z))
    if x.ndim == 1 and y.ndim == 1:
        x, y = np.meshgrid(x, y)
    if not x.shape == y.shape == z.shape or min(z.shape) < 2:
        raise ValueError(f"expected a grid of at least 2 by 2, got {x.shape}, {y.shape}, {z.shape}")
    return ContourGenerator(x, y, z)


class ContourGenerator:
    """Contours of one grid."""

    def __init__(self, x: Array, y: Array, z: Array) -> None:
        self._places = np.stack([x, y], axis=-1)
        self._z = z

    def create_contour(self, level: float) -> Lines:
        """The lines at a height: for each its points (N, 2), and codes of a path."""
        after = dict(self._segments(float(level)))
        ends = set(after.values())
        starts = [node for node in after if node not in ends]  # at the edge of the grid
        ways = [_way(after, start) for start in starts]
        while after:
            ways.append(_way(after, next(iter(after))))
        return self._drawn(ways)

    def create_filled_contour(self, lower_level: float, upper_level: float) -> Lines:
        """The area between two heights: points and codes of one path, or nothing.

        Outer edges run counterclockwise, holes clockwise, if the grid does not mirror them.
        """
        if not lower_level < upper_level:
            raise ValueError(f"expected lower < upper, got {lower_level}, {upper_level}")
        after = dict(self._segments(float(lower_level)))
        after |= {end: start for start, end in self._segments(float(upper_level))}
        after |= dict(self._edge(float(lower_level), float(upper_level)))
        ways = []
        while after:
            ways.append(_way(after, next(iter(after))))
        points, codes = self._drawn(ways)
        return ([np.concatenate(points)], [np.concatenate(codes)]) if points else ([], [])

    def _segments(self, level: float) -> Iterator[tuple[Node, Node]]:
        """The pieces of lines in all cells that a line crosses."""
        high = self._z > level
        pattern = high[:-1, :-1] + 2 * high[:-1, 1:] + 4 * high[1:, 1:] + 8 * high[1:, :-1]
        for i, j in np.argwhere((pattern > 0) & (pattern < 15)).tolist():
            own = int(pattern[i, j])
            if own in (5, 10):
                z = self._z
                middle = 0.25 * (z[i, j] + z[i, j + 1] + z[i + 1, j] + z[i + 1, j + 1])
                ways = SADDLES[own, bool(middle > level)]
            else:
                ways = WAYS[own]
            sides = (
                ("-", i, j, level),
                ("|", i, j + 1, level),
                ("-", i + 1, j, level),
                ("|", i, j, level),
            )
            for start, end in ways:
                yield sides[start], sides[end]

    def _edge(self, lower: float, upper: float) -> Iterator[tuple[Node, Node]]:
        """The pieces of the grid's edge where the height is between, counterclockwise."""
        rows, columns = self._z.shape
        corners = [(0, j) for j in range(columns - 1)]
        corners += [(i, columns - 1) for i in range(rows - 1)]
        corners += [(rows - 1, j) for j in range(columns - 1, 0, -1)]
        corners += [(i, 0) for i in range(rows - 1, 0, -1)]
        for (i, j), (k, m) in zip(corners, [*corners[1:], corners[0]], strict=True):
            side = ("-", i, min(j, m)) if i == k else ("|", min(i, k), j)
            a, b = self._z[i, j], self._z[k, m]
            crossed = [level for level in (lower, upper) if (a > level) != (b > level)]
            nodes: list[Node] = [(*side, level) for level in (crossed if a <= b else crossed[::-1])]
            nodes = [(".", i, j, 0.0)] * bool(lower < a <= upper) + nodes
            nodes += [(".", k, m, 0.0)] * bool(lower < b <= upper)
            yield from zip(nodes[::2], nodes[1::2], strict=True)

    def _drawn(self, ways: list[list[Node]]) -> Lines:
        """Points and codes of paths; a way that ends where it began is closed."""
        points, codes = [], []
        for way in ways:
            own = np.ones(len(way), dtype=np.uint8) * 2
            own[0] = 1
            if way[0] == way[-1]:
                own[-1] = 79
            points.append(self._at(way))
            codes.append(own)
        return points, codes

    def _at(self, way: list[Node]) -> Array:
        kinds = np.array([node[0] for node in way])
        i, j = np.array([node[1:3] for node in way]).T
        level = np.array([node[3] for node in way])
        k, m = i + (kinds == "|"), j + (kinds == "-")
        low, high = self._z[i, j], self._z[k, m]
        share = np.where(kinds == ".", 0.0, (level - low) / np.where(high == low, 1.0, high - low))
        start, end = self._places[i, j], self._places[k, m]
        return np.asarray(start + share[:, None] * (end - start))


def _way(after: dict[Node, Node], start: Node) -> list[Node]:
    """Follow pieces from a node to the end, or around, and take them out."""
    way = [start]
    while way[-1] in after:
        way.append(after.pop(way[-1]))
    return way
