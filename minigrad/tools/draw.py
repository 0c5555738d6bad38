"""The graph of a Tensor as a picture. draw_layout.py places the boxes."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backends import to_numpy
from minigrad.engine import Output, Record
from minigrad.errors import GraphFreedError
from minigrad.fused import FusedRecord
from minigrad.nn.module import Module, Parameter, modules_alive
from minigrad.tensor import Tensor, described
from minigrad.tools.draw_layout import LINE, Box, arrange

__all__ = ["Picture", "draw"]

PARAMETER, INPUT, OPERATION, RESULT = "#F7DCC4", "#CFE3F3", "#FFFFFF", "#D3EBD9"
LARGEST = 30_000  # the most pixels on a side of a PNG


@dataclass(frozen=True)
class Picture:
    """A drawn graph; a notebook shows it by itself.

    Attributes:
        svg: The picture as the text of an SVG file.
        png: The picture as the bytes of a PNG file.
    """

    svg: str = field(repr=False)
    png: bytes = field(repr=False)

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


def draw(tensor: Tensor, path: str | Path | None = None, /, **named: Tensor | Module) -> Picture:
    """Draw how a Tensor was computed: operations with the shapes of their results, and leaves.

    A leaf is drawn at each operation that uses it, so a weight that is used at every time step is
    drawn at every step. A parameter is named by its path in the outermost module that holds it.
    Leaves that have a gradient show its norm.

    Args:
        tensor: The result, such as a loss. Draw it before `backward`, which frees the graph, or
            after `backward(retain_graph=True)`, which leaves gradients to be shown.
        path: A file to write, .svg or .png.
        named: Names for Tensors and for modules; a module's name precedes the names of its
            parameters: `draw(loss, x=x, critic=critic)`.

    Returns:
        The picture, as SVG and as PNG.

    Raises:
        TypeError: `tensor` is no Tensor, or a named value is neither a Tensor nor a Module.
        GraphFreedError: A backward pass has freed the graph.
        ValueError: `path` ends neither in .svg nor in .png.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> picture = draw((x * x).sum(), x=x)
        >>> "multiply" in picture.svg, picture.png[1:4]
        (True, b'PNG')
    """
    for name, part in named.items():
        if not isinstance(part, Tensor | Module):
            raise TypeError(f"draw: {name}: expected a Tensor or a Module, got {described(part)}")
    if not isinstance(tensor, Tensor):
        raise TypeError(f"draw: expected the Tensor whose graph to draw, got {described(tensor)}")
    boxes = _boxes(tensor, named)
    arrange(boxes)
    picture = _drawn(boxes)
    if path is not None:
        picture.save(path)
    return picture


# what is drawn


def _boxes(tensor: Tensor, named: Mapping[str, Tensor | Module]) -> list[Box]:
    """The boxes of a graph, each after its parents."""
    records = _records(tensor)
    names = _names(records, named)
    boxes: list[Box] = []
    of_record: dict[Record, Box] = {}
    for record in records:
        box = Box([_title(record), _described(record.shape, record.dtype)], OPERATION)
        for node in _inputs(record):
            if isinstance(node, Record):
                box.parents.append(of_record[node])
            else:
                leaf = _leaf(node, names.get(id(node)))
                boxes.append(leaf)
                box.parents.append(leaf)
        if record.shape is None:
            box.lines.pop()
        of_record[record] = box
        boxes.append(box)
    if not records:
        return [_leaf(tensor, names.get(id(tensor)))]
    boxes[-1].colour = RESULT
    if tensor.size == 1:
        boxes[-1].lines.append(f"= {tensor.item():.4g}")
    return boxes


def _title(record: Record) -> str:
    """The operation's name, and the values of its options that are text: "rnn, tanh"."""
    options = record.saved[1].values() if isinstance(record, FusedRecord) else ()
    return ", ".join([record.plan.name, *[word for word in options if isinstance(word, str)]])


def _records(tensor: Tensor) -> list[Record]:
    """The records that lead to a Tensor, oldest first; outputs of one call count as that call."""
    stack: list[Any] = [tensor._record]
    found: set[Record] = set()
    while stack:
        node = _call(stack.pop())
        if isinstance(node, Record) and node not in found:
            if node.parents is None:
                raise GraphFreedError(
                    f"draw: a backward pass has freed the graph at {node.plan.name!r}; draw before "
                    "it, or give it retain_graph=True"
                )
            found.add(node)
            stack += node.parents
    return sorted(found, key=lambda record: record.age)


def _call(node: Any) -> Any:
    """The node itself; for one of several outputs of a call, the record of that call."""
    return node.parents[0] if isinstance(node, Output) and node.parents else node


def _inputs(record: Record) -> Iterator[Any]:
    """A record's inputs in the graph, and saved arrays outside it, such as data and targets."""
    parents = record.parents or ()
    for parent in parents:
        if parent is not None:
            yield _call(parent)
    seen = set()
    for value, position in zip(record.saved, record.plan.inputs, strict=True):
        several = isinstance(value, list | tuple)
        for number, item in enumerate(value if several else [value]):
            place = number if several or position is None else position
            data = item._data if isinstance(item, Tensor) else item
            outside = (position is not None and position >= 0) or isinstance(item, Tensor)
            if outside and place < len(parents) and parents[place] is None and np.ndim(data):
                if id(data) not in seen:
                    seen.add(id(data))
                    yield data


def _leaf(value: Any, name: str | None) -> Box:
    """The box of a leaf Tensor, or of an array that is not in the graph."""
    learnt = isinstance(value, Tensor) and value.requires_grad
    lines = [name or ("leaf" if learnt else "input"), _described(value.shape, value.dtype)]
    if isinstance(value, Tensor) and value._grad is not None:
        length = float(np.linalg.norm(to_numpy(value._grad._data)))
        lines.append(f"|grad| {length:.3g}")
    return Box(lines, PARAMETER if learnt else INPUT)


def _described(shape: Any, dtype: Any) -> str:
    return f"{shape}" if dtype is None or dtype == np.float32 else f"{shape} {dtype}"


def _names(records: Iterable[Record], named: Mapping[str, Tensor | Module]) -> dict[int, str]:
    """Names by identity, of leaves and of the arrays of Tensors that are not in the graph."""
    names: dict[int, str] = {}
    for name, value in named.items():
        if isinstance(value, Module):
            for path, parameter in value.named_parameters():
                names.setdefault(id(parameter), f"{name}.{path}")
        else:
            names[id(value)] = names[id(value._data)] = name
    nodes = (node for record in records for node in record.parents or ())
    nameless = {id(n) for n in nodes if isinstance(n, Parameter) and id(n) not in names}
    owners = [m for m in _outermost_modules() if any(id(p) in nameless for p in m.parameters())]
    for module in owners:
        prefix = f"{type(module).__name__}." if len(owners) > 1 else ""
        for path, parameter in module.named_parameters():
            names.setdefault(id(parameter), prefix + path)
    return names


def _outermost_modules() -> list[Module]:
    """All modules of the program that are not a part of another one."""
    modules = [*modules_alive.values()]
    parts = {part for module in modules for part in module.children()}
    return [module for module in modules if module not in parts]


# how it is drawn


def _drawn(boxes: list[Box]) -> Picture:
    """Draw boxes and edges, as SVG and PNG."""
    import matplotlib  # only here: this import takes longer than all of minigrad's
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    width = max(box.x + box.width / 2 for box in boxes) + 0.2
    height = max(box.y + box.height / 2 for box in boxes) + 0.2
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.1, width - 0.1), ylim=(height - 0.1, -0.1))
    axes.set_axis_off()
    for box in boxes:
        for parent in box.parents:
            axes.add_patch(
                FancyArrowPatch(
                    path=_curve(parent, box),
                    arrowstyle="-|>",
                    mutation_scale=7,
                    linewidth=0.8,
                    color="#555555",
                )
            )
        corner = box.x - box.width / 2 + 0.04, box.y - box.height / 2 + 0.04
        axes.add_patch(
            FancyBboxPatch(
                corner,
                box.width - 0.08,
                box.height - 0.08,
                boxstyle="round,pad=0.04",
                facecolor=box.colour,
                edgecolor="#333333",
                linewidth=0.8,
            )
        )
        top = box.y - (len(box.lines) - 1) * LINE / 2
        for number, line in enumerate(box.lines):
            axes.text(
                box.x,
                top + number * LINE,
                line,
                ha="center",
                va="center",
                size=9 if number == 0 else 8,
                weight="bold" if number == 0 else "normal",
                family="monospace",
                parse_math=False,
            )
    svg, png = io.StringIO(), io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "minigrad"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    figure.savefig(png, format="png", dpi=min(150, LARGEST / max(width, height)))
    return Picture(svg.getvalue(), png.getvalue())


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
