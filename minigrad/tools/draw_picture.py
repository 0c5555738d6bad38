"""A drawn graph as SVG and PNG: how boxes and edges look. draw_layout.py places them."""

from __future__ import annotations

import functools
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from minigrad.tools.draw_layout import CHARACTER, LINE, Box

__all__ = ["Frame", "Picture", "drawn"]

EDGE, BORDER = "#555555", "#333333"
GRADIENT, AT_WORK = "#B34700", "#FFE9A8"  # a dark orange, which the colour-blind tell from black
MARGIN = 0.1  # inches
LARGEST = 30_000  # the most pixels on a side of a PNG


@dataclass(frozen=True)
class Picture:
    """A drawn graph; a notebook shows it by itself.

    Attributes:
        svg: The picture as the text of an SVG file.
    """

    svg: str = field(repr=False)
    _figure: Any = field(repr=False, compare=False)
    _dpi: float = field(repr=False)

    @functools.cached_property
    def png(self) -> bytes:
        """The picture as the bytes of a PNG file, drawn when first asked for."""
        file = io.BytesIO()
        self._figure.savefig(file, format="png", dpi=self._dpi)
        return file.getvalue()

    def save(self, path: str | Path) -> None:
        """Write a file.

        Args:
            path: The file's name, which ends in .svg or .png.

        Raises:
            ValueError: The name ends in something else.
        """
        path = Path(path)
        if path.suffix == ".svg":
            path.write_text(self.svg, encoding="utf-8")
        elif path.suffix == ".png":
            path.write_bytes(self.png)
        else:
            raise ValueError(f"draw: the name must end in .svg or .png, got {str(path)!r}")

    def _repr_svg_(self) -> str:
        return self.svg


class Frame(NamedTuple):
    """What one picture of a graph shows beside the boxes' own lines.

    Attributes:
        gradients: The line that says a box's gradient, where it is known.
        at_work: The box to mark.
        edges: The edges along which gradients have just gone back: a box, and the position of a
            parent of it.
        caption: The line above the picture.
    """

    gradients: Mapping[Box, str]
    at_work: Box | None = None
    edges: AbstractSet[tuple[Box, int]] = frozenset()
    caption: str = ""


def drawn(boxes: Sequence[Box], *frames: Frame) -> Picture:
    """Draw a graph, once for each frame, side by side and in rows.

    Args:
        boxes: The boxes, each in its place.
        frames: One or several.
    """
    import matplotlib  # only here: this import takes longer than all of minigrad's
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    top = 2 * LINE if any(frame.caption for frame in frames) else 0.0
    captions = max(len(frame.caption) for frame in frames) * CHARACTER * 1.1
    width = max(captions, *(box.x + box.width / 2 for box in boxes)) + 2 * MARGIN
    height = max(box.y + box.height / 2 for box in boxes) + 2 * MARGIN + top
    columns = _columns(len(frames), width / height)
    rows = math.ceil(len(frames) / columns)
    figure = Figure(figsize=(columns * width, rows * height))
    FigureCanvasAgg(figure)
    for number, frame in enumerate(frames):
        row, column = divmod(number, columns)
        axes = figure.add_axes(
            (column / columns, 1 - (row + 1) / rows, 1 / columns, 1 / rows),
            xlim=(-MARGIN, width - MARGIN),
            ylim=(height - MARGIN - top, -MARGIN - top),
        )
        axes.set_axis_off()
        axes.text(0.04, LINE / 2 - top, frame.caption, size=10, va="center", parse_math=False)
        _draw_frame(axes, boxes, frame)
    svg = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "minigrad"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    dpi = min(150, LARGEST / max(columns * width, rows * height))
    return Picture(svg.getvalue(), figure, dpi)


def _columns(count: int, aspect: float) -> int:
    """How many frames stand in a row, so that the picture is about 4:3 and has few empty places.

    Args:
        count: The number of frames.
        aspect: The width of one, divided by its height.
    """

    def cost(columns: int) -> float:
        rows = math.ceil(count / columns)
        return abs(math.log(columns * aspect / rows * 3 / 4)) + 2 * math.log(columns * rows / count)

    return min(range(1, count + 1), key=cost)


def _draw_frame(axes: Any, boxes: Sequence[Box], frame: Frame) -> None:
    """Draw the edges, and the boxes over their ends."""
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    for box in boxes:
        for position, parent in enumerate(box.parents):
            back = (box, position) in frame.edges
            axes.add_patch(
                FancyArrowPatch(
                    path=_curve(parent, box),
                    arrowstyle="<|-" if back else "-|>",
                    mutation_scale=10 if back else 7,
                    linewidth=2 if back else 0.8,
                    color=GRADIENT if back else EDGE,
                )
            )
    for box in boxes:
        at_work = box is frame.at_work
        axes.add_patch(
            FancyBboxPatch(
                (box.x - box.width / 2 + 0.04, box.y - box.height / 2 + 0.04),
                box.width - 0.08,
                box.height - 0.08,
                boxstyle="round,pad=0.04",
                facecolor=AT_WORK if at_work else box.colour,
                edgecolor=GRADIENT if at_work else BORDER,
                linewidth=2 if at_work else 0.8,
            )
        )
        lines = [*box.lines, frame.gradients.get(box, "")]
        top = box.y - box.height / 2 + 0.06 + LINE / 2
        for number, line in enumerate(lines):
            axes.text(
                box.x,
                top + number * LINE,
                line,
                ha="center",
                va="center",
                size=9 if number == 0 else 8,
                weight="bold" if number == 0 else "normal",
                color=GRADIENT if number == len(box.lines) else "black",
                family="monospace",
                parse_math=False,
            )


def _curve(parent: Box, child: Box) -> Any:
    """A smooth line from the bottom of a box, through the bends, to the top of another."""
    from matplotlib.path import Path as Curve

    points = [(child.x, child.y - child.height / 2)]
    while not parent.lines:
        points.append((parent.x, parent.y))
        [parent] = parent.parents
    points.append((parent.x, parent.y + parent.height / 2))
    points.reverse()
    vertices, codes = [points[0]], [Curve.MOVETO]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2
        vertices += [(x0, middle), (x1, middle), (x1, y1)]
        codes += [Curve.CURVE4] * 3
    return Curve(vertices, codes)
