"""Fused operations: a definition in other operations, and kernels that compute it in one go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, ParamSpec, TypeVar, cast

from minigrad.backends import Array, Kernel, Needs, as_array
from minigrad.engine import Gradients, Node, Plan, Record, grad, node_of
from minigrad.grad_mode import enable_grad, grad_switch
from minigrad.observers import NOBODY, thread
from minigrad.operation import (
    Operation,
    checked_outputs,
    documented,
    is_floating,
    kernels_of,
    raise_explained,
    wrap_outputs,
)
from minigrad.primitive import primitive
from minigrad.tensor import Tensor, array_of, wrap

__all__ = ["FusedRecord", "fused"]

P = ParamSpec("P")
R = TypeVar("R")


def fused(definition: Callable[P, R]) -> Callable[P, R]:
    """Declare an operation that is defined by other operations and may have kernels of its own.

    Without a kernel for the arrays at hand the definition simply runs. With one, the forward
    kernel computes the same values in one record, and the backward kernel the same gradients;
    under `create_graph` (or without a backward kernel) the definition is replayed and
    differentiated, so nobody derives a second derivative. A definition is pure: masks and noise
    are inputs, and it changes nothing.

    Args:
        definition: A function of Tensors, written with operators and operations. Parameters
            without a default are its inputs; None may be passed for one that is absent.

    Returns:
        The operation.

    Example:
        >>> import minigrad as mg
        >>> @mg.fused
        ... def softplus(x):
        ...     return mg.log1p(mg.exp(x))
        >>> x = mg.tensor(0.0, requires_grad=True)
        >>> softplus(x).backward()
        >>> x.grad.item()
        0.5
    """
    operation = Operation(definition, {})
    origins = [None] * len(FusedRecord.saves)
    plan = Plan(operation.name, (), (), FusedRecord.saves, origins, operation.inputs)
    found: dict[Any, list[Kernel]] = {None: []}  # by the type of array
    count = len(operation.inputs)

    def call(*args: Any, **options: Any) -> Any:
        if len(args) != count:
            args, options = operation.bind(args, options)
        arrays = [arg._data if isinstance(arg, Tensor) else arg for arg in args]
        kind: Any = next((type(arg._data) for arg in args if isinstance(arg, Tensor)), None)
        if kind not in found:
            found[kind] = kernels_of(operation, kind)
        full = operation.defaults | options
        for kernel in found[kind]:
            try:
                result = kernel.forward(*arrays, **full)
            except Exception as error:
                raise_explained(operation, args, error)
                raise
            if result is not NotImplemented:
                break
        else:
            return operation.definition(*args, **options)
        y, residuals = result
        is_usual = type(y) is kind and y.dtype.kind == "f"
        if not is_usual:
            y = checked_outputs(y, operation, args)
        parents = [node_of(arg) for arg in args]
        record = None
        wanted = any(parent is not None for parent in parents)
        if wanted and grad_switch.on and (is_usual or is_floating(y)):
            saved = args, full, y, residuals
            record = FusedRecord(plan, parents, saved, y)
            record.definition, record.kernel = operation.definition, kernel.backward
        if thread.observer is not NOBODY:
            thread.observer.operation(operation.name, args, full, y, record)
        return wrap(y, record) if is_usual else wrap_outputs(y, record)

    return cast("Callable[P, R]", documented(call, operation))


class FusedRecord(Record):
    """The record of a fused operation whose forward kernel ran; a kernel or a replay goes back."""

    __slots__ = ("definition", "kernel")
    saves: ClassVar[Sequence[str]] = ("args", "options", "y", "residuals")
    definition: Callable[..., Any]
    kernel: Callable[..., Any] | None

    def pull(self, g: Any, wanted: AbstractSet[Node] | None, create_graph: bool) -> Gradients:
        """Turn the gradient of the output into gradients of the inputs; see `Record`."""
        assert self.saved is not None
        needs = _LeafNeeds(
            [p is not None and (wanted is None or p in wanted) for p in self.parents]
        )
        needs.parents = self.parents
        args, options, y, residuals = self.saved
        if create_graph or self.kernel is None:
            gradients = _replay(self.definition, args, options, g, needs, create_graph)
        else:
            arrays = [array_of(arg) for arg in args]
            gradients = self.kernel(g, needs, y, residuals, *arrays, **options)
        return [
            (cast(Node, parent), gradient)
            for parent, gradient, needed in zip(self.parents, gradients, needs, strict=True)
            if needed and gradient is not None
        ]


class _LeafNeeds(Needs):
    """Which inputs need a gradient, and where an optimizer wants the gradient of a leaf."""

    parents: Sequence[Node | None]

    def place(self, position: int) -> Array | None:
        leaf = self.parents[position]
        if not isinstance(leaf, Tensor) or leaf._slot is None:
            return None
        return leaf._slot.take(leaf)


def _replay(
    definition: Callable[..., Any],
    args: Sequence[Any],
    options: Mapping[str, Any],
    g: Any,
    needs: Sequence[bool],
    create_graph: bool,
) -> list[Any]:
    """Run a definition again, on new Tensors instead of its inputs, and differentiate it."""
    inputs = list(args)
    wanted = [i for i, needed in enumerate(needs) if needed]
    with enable_grad():
        for i in wanted:
            # under create_graph the new Tensor stays in the graph, so gradients reach the input
            leaf = wrap(args[i]._data).requires_grad_()
            inputs[i] = same(args[i]) if create_graph else leaf
        y = definition(*inputs, **options)
    pairs = [(y, g)] if isinstance(y, Tensor) else list(zip(y, g, strict=True))
    pairs = [(y, g) for y, g in pairs if g is not None and y.requires_grad]
    if not pairs:
        return [None] * len(args)
    found = grad(
        [output for output, _ in pairs],
        [inputs[i] for i in wanted],
        [g if create_graph else wrap(as_array(g)) for _, g in pairs],
        create_graph=create_graph,
    )
    gradients: list[Any] = [None] * len(args)
    for i, gradient in zip(wanted, found, strict=True):
        gradients[i] = gradient if create_graph else array_of(gradient)
    return gradients


@primitive(x=lambda g: g)
def same(x: Array) -> Array:
    """The same values in the same memory, as the result of an operation."""
    return x[...]
