"""The graph of a Tensor as a picture: what stands in its boxes. draw_picture.py draws them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backends import is_array, to_numpy
from minigrad.engine import Node, Output, Record, node_of
from minigrad.fused import FusedRecord
from minigrad.nn.module import Module, Parameter, modules_alive
from minigrad.observers import thread
from minigrad.primitive import SequenceRecord
from minigrad.tensor import Tensor, array_of, described
from minigrad.tools.draw_layout import Box, arrange
from minigrad.tools.draw_picture import Frame, Picture, drawn

__all__ = ["Diagram", "Picture", "call_of", "draw", "gradient_line", "is_one", "number"]

PARAMETER, INPUT, OPERATION, RESULT = "#F7DCC4", "#CFE3F3", "#FFFFFF", "#D3EBD9"


def draw(tensor: Tensor, path: str | Path | None = None, /, **named: Tensor | Module) -> Picture:
    """Draw how a Tensor was computed: operations with the shapes of their results, and leaves.

    A leaf is drawn at each operation that uses it, so a weight that is used at every time step is
    drawn at every step. A parameter is named by its path in the outermost module that holds it.

    Boxes with one element show its value where it is known: in leaves, in results that you name,
    and in those that some rule has kept for `backward`. A backward pass frees what rules have
    kept, unless it has `retain_graph=True`; so afterwards fewer values are known, and data outside
    the graph no longer. What it leaves are gradients: of a leaf its `.grad`, where it has several
    elements the norm, and of a result without axes what the last pass has brought.

    Args:
        tensor: The result, such as a loss, before `backward` or after it.
        path: A file to write, .svg or .png.
        named: Names for Tensors and for modules; a module's name precedes the names of its
            parameters: `draw(loss, x=x, critic=critic)`.

    Returns:
        The picture, as SVG and as PNG.

    Raises:
        TypeError: `tensor` is no Tensor, or a named value is neither a Tensor nor a Module.
        ValueError: `path` ends neither in .svg nor in .png.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> picture = draw((x * x).sum(), x=x)
        >>> "multiply" in picture.svg, picture.png[1:4]
        (True, b'PNG')
    """
    boxes = Diagram("draw", tensor, named).boxes
    arrange(boxes)
    picture = drawn(boxes, Frame({box: box.gradient for box in boxes}))
    if path is not None:
        picture.save(path)
    return picture


class Diagram:
    """The boxes of a Tensor's graph, and the names and values that are known.

    Args:
        caller: The function that messages name.
        tensor: The result.
        named: Names for Tensors and for modules.

    Attributes:
        records: What leads to the result, oldest first; outputs of a call count as that call.
        leaves: The names of the leaves.
        results: The names that were given to results.
        values: The results whose value is known.
        boxes: The boxes, each after its parents.
        boxes_of: The box of each record, and the boxes of each leaf.

    Raises:
        TypeError: `tensor` is no Tensor, or a named value is neither a Tensor nor a Module.
    """

    def __init__(self, caller: str, tensor: Tensor, named: Mapping[str, Tensor | Module]) -> None:
        for name, part in named.items():
            if not isinstance(part, Tensor | Module):
                raise TypeError(
                    f"{caller}: {name}: expected a Tensor or a Module, got {described(part)}"
                )
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"{caller}: expected a Tensor, whose graph to show, got {described(tensor)}"
            )
        thread.observer.refuse(f"{caller} reads values; use it without capture")
        self.records = _records(tensor)
        self._names = _names(self.records, named)
        self.leaves = self._leaves(tensor)
        tensors = {name: part for name, part in named.items() if isinstance(part, Tensor)}
        self.results = {x._record: name for name, x in tensors.items() if x._record is not None}
        self.values: dict[Record, Any] = {}
        self._find_values([tensor, *tensors.values()])
        self.boxes: list[Box] = []
        self.boxes_of: dict[Node, list[Box]] = {}
        for record in self.records:
            self._add(record)
        if self.records:
            self.boxes[-1].colour = RESULT
        else:
            self._add_leaf(tensor)

    def _leaves(self, tensor: Tensor) -> dict[Tensor, str]:
        """Name the leaves that want a gradient; where several have no name, number them."""
        nodes = [node for record in self.records for node in record.parents] or [node_of(tensor)]
        leaves = dict.fromkeys(node for node in nodes if isinstance(node, Tensor))
        nameless = [leaf for leaf in leaves if id(leaf) not in self._names]
        numbers = {leaf: f"leaf {i}" for i, leaf in enumerate(nameless, 1)}
        return {
            leaf: self._names.get(id(leaf)) or (numbers[leaf] if len(nameless) > 1 else "leaf")
            for leaf in leaves
        }

    def _find_values(self, tensors: list[Tensor]) -> None:
        """Collect the values of results: those of given Tensors, and those that records save."""
        for tensor in tensors:
            if tensor._record is not None:
                self.values[tensor._record] = tensor._data
        for record in self.records:
            for position, value in saved_values(record):
                node = record if position < 0 else record.parents[position]
                if isinstance(node, Record) and not isinstance(value, tuple):
                    self.values.setdefault(node, value)

    def _add(self, record: Record) -> None:
        """Add the box of a record, after the boxes of its leaves and of data outside the graph."""
        parents = []
        for node in record.parents:
            if isinstance(node, Record):
                parents.append(self.boxes_of[call_of(node)][0])
            elif node is not None:
                parents.append(self._add_leaf(node))
        parents += [self._add_leaf(array) for array in self._outside(record)]
        name = self.name_of(record)
        title = _title(record) if name == record.plan.name else f"{name} = {_title(record)}"
        box = Box([title], OPERATION, parents)
        if record.shape is not None:
            box.lines.append(_described(record.shape, record.dtype))
        box.lines += _value_line(self.values.get(record))
        if record.gradient is not None:
            box.gradient = gradient_line(record.gradient)
        self.boxes_of[record] = [box]
        self.boxes.append(box)

    def _outside(self, record: Record) -> list[Any]:
        """The saved arrays that are not in the graph: data, targets, and constants with a name."""
        arrays = {
            id(value): value
            for position, value in saved_values(record)
            if position >= 0 and record.parents[position] is None and is_array(value)
        }
        return [array for key, array in arrays.items() if array.ndim or key in self._names]

    def _add_leaf(self, value: Any) -> Box:
        """Add a box for a leaf Tensor, or for an array that is not in the graph."""
        learnt = isinstance(value, Tensor) and value.requires_grad
        name = self.leaves[value] if learnt else self._names.get(id(value), "input")
        lines = [name, _described(value.shape, value.dtype), *_value_line(array_of(value))]
        box = Box(lines, PARAMETER if learnt else INPUT)
        if isinstance(value, Tensor):
            self.boxes_of.setdefault(value, []).append(box)
            if value._grad is not None:
                box.gradient = gradient_line(value._grad._data)
        self.boxes.append(box)
        return box

    def name_of(self, node: Node) -> str:
        """The name of a leaf or a result; of a result without one, the name of its operation."""
        if isinstance(node, Tensor):
            return self.leaves[node]
        names = [name for result, name in self.results.items() if node in (result, call_of(result))]
        if isinstance(node, Output) and not names:
            return f"output {node.index} of {node.plan.name}"
        return ", ".join(names) or node.plan.name

    def input_name(self, record: Record, position: int) -> str:
        """The name of an input; of one that is not in the graph the number, or what it is."""
        node = record.parents[position]
        if node is not None:
            return self.name_of(node)
        value = dict(saved_values(record)).get(position)
        if id(value) in self._names:
            return self._names[id(value)]
        return number(value) if is_one(value) else "input" if is_array(value) else "constant"


# what is known


def _records(tensor: Tensor) -> list[Record]:
    """The records that lead to a Tensor, oldest first; outputs of one call count as that call."""
    stack: list[Any] = [tensor._record]
    found: set[Record] = set()
    while stack:
        node = call_of(stack.pop())
        if isinstance(node, Record) and node not in found:
            found.add(node)
            stack += node.parents
    return sorted(found, key=lambda record: record.age)


def call_of(node: Any) -> Any:
    """The node itself; for one of several outputs of a call, the record of that call."""
    return node.parents[0] if isinstance(node, Output) else node


def saved_values(record: Record) -> Iterator[tuple[int, Any]]:
    """The inputs that a record has saved, with their positions, and its output, at -1."""
    if record.saved is None:
        return
    if isinstance(record, FusedRecord):
        args, _, y, _ = record.saved
        yield from ((place, array_of(arg)) for place, arg in enumerate(args) if arg is not None)
        yield -1, y
        return
    for value, position in zip(record.saved, record.plan.inputs, strict=True):
        if isinstance(record, SequenceRecord) and position == 0:
            yield from enumerate(value)
        elif position is not None:
            yield position, value


def _names(records: Iterable[Record], named: Mapping[str, Tensor | Module]) -> dict[int, str]:
    """Names by identity, of leaves and of the arrays of Tensors that are not in the graph."""
    names: dict[int, str] = {}
    for name, value in named.items():
        if isinstance(value, Module):
            for path, parameter in value.named_parameters():
                names.setdefault(id(parameter), f"{name}.{path}")
        else:
            names[id(value)] = names[id(value._data)] = name
    nodes = (node for record in records for node in record.parents)
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


# how it is written


def _title(record: Record) -> str:
    """The operation's name, and the values of its options that are text: "rnn, tanh"."""
    is_fused = isinstance(record, FusedRecord) and record.saved is not None
    options = record.saved[1].values() if is_fused else ()  # type: ignore[index]
    return ", ".join([record.plan.name, *[word for word in options if isinstance(word, str)]])


def _described(shape: Any, dtype: Any) -> str:
    return f"{shape}" if dtype == np.float32 else f"{shape} {dtype}"


def is_one(value: Any) -> bool:
    """Whether a value is one number: a Python number, or an array with one element."""
    return isinstance(value, int | float) or (is_array(value) and value.size == 1)


def number(value: Any) -> str:
    """A value with one element, with four digits."""
    return f"{float(value.item() if is_array(value) else value):.4g}"


def _value_line(value: Any) -> list[str]:
    return [f"= {number(value)}"] if is_one(value) else []


def gradient_line(gradient: Any) -> str:
    """The line of a box that says a gradient: the number, or the norm of several."""
    if is_one(gradient):
        return f"grad {number(gradient)}"
    return f"|grad| {float(np.linalg.norm(to_numpy(gradient))):.3g}"
