"""How a Tensor records how it was made, and how backward follows these records.

Three sentences explain it all.

1. *Calling an operation* (primitive.py) computes on raw arrays and, where a gradient may be asked
   for, attaches a `Record` to the result: its parents, its rules, and the values those rules name.
2. *Going back* (`backpropagate`) takes the youngest record whose gradient has arrived, turns the
   gradient of its output into gradients of its inputs by the rules, and adds these up at the
   parents. Whatever used a result is younger than the result, whose gradient is then complete.
3. *A rule is written once and used twice*: on raw arrays it gives numbers; on Tensors
   (`create_graph=True`) it records itself, so that a derivative can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from minigrad.backends import as_array, is_array
from minigrad.backends.arrays import sum_over
from minigrad.errors import ChangedValueError, DTypeError, GraphFreedError, ShapeError
from minigrad.grad_mode import enable_grad, no_grad
from minigrad.observers import NOBODY, thread
from minigrad.tensor import Tensor, described, listed, new_leaf, tensor, wrap
from minigrad.versions import ages, last_write, was_changed

__all__ = ["Plan", "Record", "backpropagate", "grad"]


class Plan(NamedTuple):
    """What the calls of an operation share in which the same inputs want a gradient.

    Attributes:
        name: The operation's name, for messages and pictures.
        rules: For each of these inputs: its position, its rule (a vector-Jacobian product
            `function(g, *needs)`), and the slice of the saved values that the rule needs.
        numeric: The same for raw arrays, with a backend's kernel for a rule where it has one.
        saves: The names of the saved values.
        inputs: For each saved value: its position among the inputs, -1 for the output `y`, or None
            for a value that is neither.
        arguments: The names of the inputs, for messages.
    """

    name: str
    rules: Sequence[tuple[int, Callable[..., Any], slice]] = ()
    numeric: Sequence[tuple[int, Callable[..., Any], slice]] = ()
    saves: Sequence[str] = ()
    inputs: Sequence[int | None] = ()
    arguments: Sequence[str] = ()


class Record:
    """How one Tensor was made. It points at its parents only, so the graph has no cycles.

    Attributes:
        plan: The operation's name, the rules that are needed, and what they need.
        parents: One entry per input: the record that made it, or the Tensor itself where it is a
            leaf, or None where no gradient is wanted.
        saved: The values that the rules name, and nothing else, as raw arrays: a Tensor would
            keep its own record's output alive, or point back at this record. None once a backward
            pass has freed them.
        shape: The output's shape, which its gradient will have.
        dtype: The output's dtype, which its gradient will have.
        age: Creation order. Inputs exist before outputs, so it is a topological order.
        gradient: What the last pass brought to an output without axes, a raw array, for pictures.
    """

    __slots__ = ("age", "dtype", "gradient", "parents", "plan", "saved", "shape")

    def __init__(
        self, plan: Plan, parents: Sequence[Node | None], saved: Sequence[Any], y: Any
    ) -> None:
        self.plan = plan
        self.parents = parents
        self.saved: Sequence[Any] | None = saved
        self.shape = y.shape
        self.dtype = y.dtype
        self.age = next(ages)
        self.gradient: Any = None

    def pull(self, g: Any, wanted: AbstractSet[Node] | None, create_graph: bool) -> Gradients:
        """Turn the gradient `g` of the output into gradients of the inputs, by the rules."""
        values = self.connected() if create_graph else self.saved
        gradients = []
        for position, rule, needs in self.plan.rules if create_graph else self.plan.numeric:
            parent = self.parents[position]
            if parent is not None and (wanted is None or parent in wanted):
                try:
                    gradients.append((parent, rule(g, *values[needs])))  # type: ignore[index]
                except Exception as error:
                    error.add_note(f"in {_rule_of(self, parent)}")
                    raise
        return gradients

    def connected(self) -> tuple[Any, ...]:
        """The saved values as Tensors in the graph, so that rules on them can be differentiated."""
        values = []
        for value, position in zip(self.saved or (), self.plan.inputs, strict=True):
            node = None if position is None else self if position < 0 else self.parents[position]
            values.append(in_graph(node, value))
        return tuple(values)


class Output(Record):
    """One of several outputs of a call; its one parent is the record of that call."""

    __slots__ = ("count", "index")

    def __init__(self, whole: Record, index: int, count: int, y: Any) -> None:
        super().__init__(Plan(whole.plan.name), (whole,), (), y)
        self.index, self.count = index, count

    def pull(self, g: Any, wanted: AbstractSet[Node] | None, create_graph: bool) -> Gradients:
        slots = [None] * self.count
        slots[self.index] = g
        return [(cast(Record, self.parents[0]), Slots(slots))]


class Slots(tuple[Any, ...]):
    """The several outputs of a call, or their gradients (None where none has arrived)."""

    shape = None
    dtype = None

    def __add__(self, other: tuple[Any, ...]) -> Slots:
        return Slots(
            b if a is None else a if b is None else a + b for a, b in zip(self, other, strict=True)
        )


Node: TypeAlias = Record | Tensor  # what a gradient can arrive at: a result's record, or a leaf
Gradients: TypeAlias = Sequence[tuple[Node, Any]]


def in_graph(node: Node | None, value: Any) -> Any:
    """A value as the Tensor of a node of the graph; the value itself where there is no node."""
    return value if node is None else node if isinstance(node, Tensor) else wrap(value, node)


def node_of(value: Any) -> Node | None:
    """The node at which a gradient for `value` arrives, or None where no gradient is wanted."""
    if isinstance(value, Tensor) and value._requires_grad:
        return value._record or value
    return None


# The backward pass


def backpropagate(
    roots: Iterable[tuple[Node, Any]],
    targets: AbstractSet[Node] | None,
    create_graph: bool,
    retain_graph: bool,
) -> tuple[dict[Node, Any], set[Node]]:
    """Carry gradients back from `roots` through the graph, each record once, youngest first.

    Args:
        roots: Nodes with the gradients that start the pass.
        targets: The nodes asked for, or None for every leaf that is reached.
        create_graph: Whether gradients are Tensors that remember how they were made.
        retain_graph: Whether the graph may be passed through again.

    Returns:
        The gradient of each node asked for that was reached; and the nodes whose gradient is an
        array that nothing else uses (a rule may return the same array for several inputs).

    Raises:
        GraphFreedError: An earlier pass has freed a part of the graph.
        ChangedValueError: A saved value was changed since the forward pass.
    """
    gradients: Gradients = list(roots)
    wanted = None if targets is None else _leading_to(targets, [node for node, _ in gradients])
    if wanted is not None:
        gradients = [(node, g) for node, g in gradients if node in wanted]
    arrived: dict[Node, Any] = {}  # the sum of the gradients that have reached a node so far
    found: dict[Node, Any] = {}
    summed: set[Node] = set()  # nodes whose sum is an array of our own, so it may grow in place
    queue: list[tuple[int, Record]] = []  # a heap, the youngest record first
    written, observer = last_write(), thread.observer
    record = None  # where the gradients come from
    usual = type(gradients[0][1]) if gradients else None
    while True:
        for node, gradient in gradients:
            if type(gradient) is not usual:
                gradient = _checked(gradient, node, record, create_graph)
                if gradient is None:
                    continue
            if gradient.shape != node.shape or gradient.dtype != node.dtype:
                gradient = fit(gradient, node, record)
            if node not in arrived:
                arrived[node] = gradient
                if isinstance(node, Record):
                    heappush(queue, (-node.age, node))
            elif node in summed or _is_in_slot(node, arrived[node]):
                arrived[node] += gradient
            else:
                arrived[node] = arrived[node] + gradient
                if not create_graph and node.shape is not None:
                    summed.add(node)
        if not queue:
            break
        _, record = heappop(queue)
        g = arrived.pop(record)
        if targets is not None and record in targets:
            found[record] = g
            summed.discard(record)  # from here on others may see its gradient
        if record.saved is None:
            raise _freed_error(record)
        if record.age < written:
            _check_unchanged(record)
        if observer is not NOBODY:
            observer.backward(record)
        gradients = record.pull(g, wanted, create_graph)
        if observer is not NOBODY:
            observer.gradients(record, g, gradients)
        if record.shape == ():
            record.gradient = g._data if create_graph else g
        if not retain_graph:
            record.saved = None
    found.update(arrived if targets is None else {k: arrived[k] for k in targets & arrived.keys()})
    return found, summed


def _leading_to(targets: AbstractSet[Node], roots: Iterable[Node]) -> set[Node]:
    """The nodes between `roots` and `targets`: only their gradients need computing."""
    reached: set[Record] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if isinstance(node, Record) and node not in reached:
            reached.add(node)
            stack += [parent for parent in node.parents if parent is not None]
    leading = set(targets)
    for record in sorted(reached, key=attrgetter("age")):
        if not leading.isdisjoint(cast("Sequence[Node]", record.parents)):
            leading.add(record)
    return leading


def _check_unchanged(record: Record) -> None:
    """Raise ChangedValueError if minigrad has changed a value since the record saved it."""
    saved = record.saved or ()
    for name, value, position in zip(record.plan.saves, saved, record.plan.inputs, strict=True):
        items = value if isinstance(value, (tuple, list)) else [value]
        holders: Sequence[Any] = items
        if position is not None and position >= 0:
            holders = [record.parents[position]] if items is not value else record.parents
        for holder, item in zip(holders, items, strict=True):
            array = item._data if isinstance(item, Tensor) else item
            if was_changed(holder, array, record.age):
                raise ChangedValueError(
                    f"backward reached {record.plan.name!r}, which needs a value of shape "
                    f"{array.shape} ({name}) that was changed after the forward pass used it, for "
                    "instance by an optimizer's step, x -= y, load_state_dict or an assignment to "
                    ".data; run backward before the change, or the forward pass again after it"
                )


def _freed_error(record: Record) -> GraphFreedError:
    return GraphFreedError(
        f"backward reached {record.plan.name!r}, whose saved values an earlier pass has freed; "
        "give that earlier pass retain_graph=True"
    )


def _checked(g: Any, node: Node, record: Record | None, create_graph: bool) -> Any:
    """Check and convert what a rule returned; None stands for no gradient."""
    if g is None or isinstance(g, Slots):
        return g
    if isinstance(g, Tensor):
        return g if create_graph else g._data
    if is_array(g):
        return wrap(as_array(g)) if create_graph else as_array(g)
    raise TypeError(
        f"{_rule_of(record, node)} returned {described(g)}; it must return the gradient, an array "
        f"of shape {node.shape}, or None for no gradient"
    )


def fit(g: Any, node: Node, record: Record | None) -> Any:
    """Give a gradient the shape and dtype of its node: here broadcasting is undone."""
    if g.shape != node.shape:
        try:
            g = _unbroadcast(g, node.shape)
        except ShapeError as error:
            raise ShapeError(f"{_rule_of(record, node)} returned {error}") from None
    if g.dtype != node.dtype:
        if g.dtype.kind not in "biuf":
            raise DTypeError(
                f"{_rule_of(record, node)} returned {described(g)}; a gradient holds real numbers"
            )
        g = g.astype(node.dtype)
    return g


def _rule_of(record: Record | None, node: Node) -> str:
    """The name of the rule that a gradient comes from, for a message."""
    assert record is not None  # what backward starts from was checked before
    names = record.plan.arguments or ["x"]
    places = [i for i, parent in enumerate(record.parents) if parent is node]
    several = dict.fromkeys(repr(names[min(i, len(names) - 1)]) for i in places)
    return f"{record.plan.name}: the rule of {' or '.join(several)}"


def _unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum a gradient over the axes along which `shape` was repeated; for arrays and Tensors."""
    return sum_over(g, repeated_axes(shape, g.shape)).reshape(shape)


@lru_cache(1024)
def repeated_axes(shape: tuple[int, ...], longer: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of the shape `longer` along which broadcasting has repeated `shape`."""
    added = len(longer) - len(shape)
    repeated = list(range(added))
    for axis, (n, m) in enumerate(zip(shape, longer[max(added, 0) :], strict=False), start=added):
        if n == 1 != m:
            repeated.append(axis)
        elif n != m:
            added = -1
    if added < 0:
        raise ShapeError(f"a gradient of shape {longer} for an input of shape {shape}")
    return tuple(repeated)


# Gradients on request


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> list[Tensor | None]:
    """Compute the gradients of `outputs` with respect to `inputs`; no `.grad` changes.

    For outputs y_k with gradients g_k: `sum_k g_k^T dy_k/dx` for each input x.

    Args:
        outputs: One Tensor or several.
        inputs: One Tensor or several, leaves or results.
        grad_outputs: A Tensor of each output's shape; may be left out for one-element outputs.
        retain_graph: Keep the graph for another pass. Default: the value of `create_graph`.
        create_graph: Make the gradients differentiable themselves.

    Returns:
        A list with a Tensor of each input's shape and dtype, or None for an input that the
        outputs do not depend on.

    Raises:
        ShapeError: An output of several elements has no grad_output, or one of another shape.
        GraphFreedError: An earlier pass has freed the graph.
        ChangedValueError: A value that backward needs was changed after the forward pass.
        RuntimeError: An output or an input does not require a gradient.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor(3.0, requires_grad=True)
        >>> [slope] = mg.grad(x * x, x, create_graph=True)
        >>> [curvature] = mg.grad(slope, x)
        >>> slope.item(), curvature.item()
        (6.0, 2.0)
    """
    outputs, inputs = listed(outputs, "grad: outputs"), listed(inputs, "grad: inputs")
    if isinstance(grad_outputs, list | tuple):
        seeds = list(grad_outputs)
    else:
        seeds = [] if grad_outputs is None else [grad_outputs]
    targets = [cast(Node, node_of(x)) for x in inputs]
    for position, node in enumerate(targets):
        if node is None:
            raise RuntimeError(f"grad: input {position} does not require a gradient")
    found, own = run("grad", outputs, seeds, targets, retain_graph, create_graph)
    gradients: list[Tensor | None] = []
    for node in targets:
        g = found.get(node)
        if g is None or isinstance(g, Tensor):
            gradients.append(g)
        else:
            gradients.append(new_leaf(as_array(g if node in own else g.copy())))
    return gradients


def backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """The body of `Tensor.backward`, which tensor.py documents."""
    leaves = None if inputs is None else listed(inputs, "backward: inputs")
    if leaves is not None and not all(x._requires_grad and x._record is None for x in leaves):
        raise RuntimeError("backward: inputs must be leaves with requires_grad=True")
    seeds = [] if gradient is None else [gradient]
    found, own = run("backward", [self], seeds, leaves, retain_graph, create_graph)
    for leaf, g in found.items():
        _accumulate(cast(Tensor, leaf), g, leaf in own)


backward.__doc__ = Tensor.backward.__doc__


def _accumulate(leaf: Tensor, g: Any, own: bool) -> None:
    """Add a gradient to a leaf's `.grad`, in memory that nothing else uses.

    Args:
        leaf: The leaf.
        g: An array, or a Tensor under create_graph.
        own: Whether nothing else uses the array.
    """
    if leaf._grad is not None:
        thread.observer.uses_gradient(leaf)
    thread.observer.sets_gradient(leaf)
    if isinstance(g, Tensor):
        leaf._grad = g * 1 if leaf._grad is None else leaf._grad + g
    elif leaf._grad is not None:  # a new Tensor: whoever holds the old one keeps its values
        leaf._grad = new_leaf(as_array(leaf._grad._data + g))
    else:
        if _is_in_slot(leaf, g):
            place = g
        elif leaf._slot is not None and (place := leaf._slot.take(leaf)) is not None:
            place[...] = g
        else:
            place = as_array(g if own else g.copy())
        leaf._grad = new_leaf(place)


def _is_in_slot(node: Node, gradient: Any) -> bool:
    """Whether a kernel has already written a leaf's gradient into its optimizer's slot."""
    return isinstance(node, Tensor) and node._slot is not None and node._slot.holds(gradient)


def run(
    name: str,
    outputs: Sequence[Tensor],
    seeds: Sequence[Tensor | None],
    targets: Iterable[Node] | None,
    retain_graph: bool | None,
    create_graph: bool,
) -> tuple[dict[Node, Any], set[Node]]:
    """Check what a backward pass starts from, and run it."""
    if seeds and len(seeds) != len(outputs):
        raise ShapeError(f"{name}: {len(outputs)} outputs but {len(seeds)} output gradients")
    roots: list[tuple[Node, Any]] = []
    for output, seed in zip(outputs, seeds or [None] * len(outputs), strict=True):
        node = node_of(output)
        if node is None:
            raise RuntimeError(
                f"{name}: the output does not require a gradient; none of its inputs has "
                "requires_grad=True, or it was computed under no_grad or detached"
            )
        if seed is None:
            if output.size != 1:
                raise ShapeError(
                    f"{name}: the output has shape {output.shape}; only a one-element output can "
                    "do without an output gradient. Reduce it (.sum(), .mean()), or pass gradient="
                )
            seed = wrap(np.ones_like(output._data))
        elif not isinstance(seed, Tensor):
            try:
                seed = tensor(seed, output.dtype, output.device)
            except (TypeError, ValueError) as error:
                raise type(error)(f"{name}: a gradient of an output: {error}") from None
        if seed.shape != output.shape:
            raise ShapeError(
                f"{name}: gradient of shape {seed.shape} for an output of shape {output.shape}"
            )
        roots.append((node, seed if create_graph else seed._data))
    retain = create_graph if retain_graph is None else retain_graph
    with enable_grad() if create_graph else no_grad():
        return backpropagate(roots, None if targets is None else set(targets), create_graph, retain)
