"""Primitives: an operation as its definition on raw arrays, with a rule for each input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import cache, partial
from operator import itemgetter
from types import NoneType
from typing import Any, NoReturn, ParamSpec, Protocol, cast

import numpy as np

from minigrad.backends import is_array, is_array_type
from minigrad.engine import Gradients, Node, Plan, Record, in_graph, node_of
from minigrad.errors import ShapeError
from minigrad.grad_mode import grad_switch
from minigrad.observers import NOBODY, thread
from minigrad.operation import (
    Operation,
    checked_outputs,
    documented,
    foreign_array_error,
    is_floating,
    is_foreign,
    kernels_of,
    raise_explained,
    wrap_outputs,
)
from minigrad.tensor import Tensor, array_of, as_tensor, described, wrap

__all__ = ["as_operand", "primitive", "sequence_primitive"]

P = ParamSpec("P")


class PrimitiveCall(Protocol[P]):
    """A primitive as a type checker sees it: the definition's parameters, and a Tensor."""

    operation: Operation
    __name__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...


def primitive(
    *definition: NoReturn, **rules: Callable[..., Any]
) -> Callable[[Callable[P, Any]], PrimitiveCall[P]]:
    """Declare an operation: decorate its definition on raw arrays with one rule per input.

    A rule is a function of `g`, the gradient dL/dy of the output. It may take more by name: inputs,
    the output `y`, options, or `<input>_shape` (which keeps no array alive). It returns dL/dinput;
    the engine sums it over axes that were broadcast. It is written with operators and operations
    only, so that it works on arrays and on Tensors alike. Neither a rule nor a definition changes
    its arguments: other operations use the same arrays. Where an operation returns a tuple, `g` is
    a tuple too, with None where no gradient has arrived.

    Args:
        definition: Left empty; it is there to refuse `@primitive` without parentheses.
        rules: `input=lambda g, ...: dL/dinput`. An input without a rule gets no gradient.

    Returns:
        A decorator. The decorated function computes Tensors from Tensors (or from arrays and
        numbers mixed with them), and plain arrays where no Tensor is given.

    Raises:
        TypeError: A rule names something that the definition does not have, or the parentheses
            are missing: `@primitive`.

    Source:
        The form follows HIPS autograd's `defvjp` (Maclaurin, Duvenaud and Adams 2015).

    Example:
        >>> import minigrad as mg
        >>> @mg.primitive(x=lambda g, x: g * 3 * x * x)
        ... def cube(x):
        ...     return x * x * x
        >>> x = mg.tensor(2.0, requires_grad=True)
        >>> cube(x).backward()
        >>> x.grad.item()
        12.0
    """
    if definition:
        raise TypeError(
            "primitive takes the rules first, by name: @mg.primitive(x=lambda g: ...), or "
            "@mg.primitive() for no gradient"
        )

    def decorate(definition: Callable[P, Any]) -> PrimitiveCall[P]:
        operation = Operation(definition, rules)
        count = len(operation.inputs)
        has_rule = sum(1 << i for i, name in enumerate(operation.inputs) if name in rules)
        implementations = _Implementations(operation)

        def call(*args: Any, **options: Any) -> Any:
            if len(args) != count:
                args, options = operation.bind(args, options)
            arrays: list[Any] = []
            parents: list[Node | None] = []
            kind: Any = None  # the type of the Tensors' arrays
            wanted, bit = 0, 1  # a bit for each input that wants a gradient
            for arg in args:
                parent = None
                if isinstance(arg, Tensor):
                    arg, tensor = arg._data, arg
                    kind = type(arg)
                    if tensor._requires_grad:
                        wanted += bit
                        parent = tensor._record or tensor
                elif type(arg) not in _PLAIN:
                    arg = _plain(operation, len(arrays), arg)
                arrays.append(arg)
                parents.append(parent)
                bit += bit
            forward, saving_for = implementations[type(args[0]) if kind is None else kind]
            try:
                y = forward(*arrays, **options) if options else forward(*arrays)
            except Exception as error:
                raise_explained(operation, args, error)
                raise
            if kind is None:
                return y
            is_usual = type(y) is kind and y.dtype.kind == "f"
            if not is_usual:
                y = checked_outputs(y, operation, args)
            record = None
            if wanted & has_rule and grad_switch.on and (is_usual or is_floating(y)):
                saving = saving_for(wanted)
                arrays.append(y)
                saved = saving.pick(arrays) if saving.only_arrays else saving.save(arrays, options)
                record = Record(saving.plan, parents, saved, y)
            if thread.observer is not NOBODY:
                thread.observer.operation(operation.name, args, options, y, record)
            return wrap(y, record) if is_usual else wrap_outputs(y, record)

        return cast("PrimitiveCall[P]", documented(call, operation))

    return decorate


def sequence_primitive(
    **rules: Callable[..., Any],
) -> Callable[[Callable[P, Any]], PrimitiveCall[P]]:
    """Declare an operation whose one input is a sequence, such as `concatenate`: see `primitive`.

    The definition takes a list of raw arrays, and the rule returns a list with a gradient for each.

    Args:
        rules: `input=lambda g, ...: [dL/dinput[0], ...]`, or nothing for no gradient.

    Returns:
        A decorator, as for `primitive`.

    Raises:
        TypeError: The definition has several inputs, or not what a rule names.

    Example:
        >>> import minigrad as mg
        >>> @mg.sequence_primitive(parts=lambda g, parts: [g for _ in parts])
        ... def total(parts):
        ...     return sum(parts)
        >>> x = mg.tensor(2.0, requires_grad=True)
        >>> total([x, x, 1.0]).backward()
        >>> x.grad.item()
        2.0
    """

    def decorate(definition: Callable[P, Any]) -> PrimitiveCall[P]:
        operation = Operation(definition, rules, takes_sequence=True)
        [name] = operation.inputs
        rule = {name: operation.rules[name].function} if operation.rules else {}
        saving = _Saving(operation, rule, 1)

        def call(*args: Any, **options: Any) -> Any:
            if len(args) != 1:
                args, options = operation.bind(args, options)
            if not isinstance(args[0], Iterable):
                as_tensor(args[0], f"{operation.name}: {name}")  # raises TypeError
            inputs = tuple(args[0])
            if not inputs:
                raise ShapeError(f"{operation.name}: expected at least one Tensor, got none")
            arrays = [array_of(x) for x in inputs]
            try:
                y = operation.definition(arrays, **options)
            except Exception as error:
                raise_explained(operation, inputs, error)
                raise
            if not any(isinstance(x, Tensor) for x in inputs):
                return y
            y = checked_outputs(y, operation, inputs)
            parents = [node_of(x) for x in inputs]
            record = None
            wanted = any(parent is not None for parent in parents)
            if wanted and operation.rules and grad_switch.on and is_floating(y):
                record = SequenceRecord(saving.plan, parents, saving.save([arrays, y], options), y)
            if thread.observer is not NOBODY:
                thread.observer.operation(operation.name, inputs, options, y, record)
            return wrap_outputs(y, record)

        return cast("PrimitiveCall[P]", documented(call, operation))

    return decorate


class SequenceRecord(Record):
    """A primitive on a sequence of inputs, whose one rule returns a gradient for each."""

    __slots__ = ()

    def pull(self, g: Any, wanted: AbstractSet[Node] | None, create_graph: bool) -> Gradients:
        """Turn the gradient of the output into one for each element; see `Record`."""
        values = self.connected() if create_graph else self.saved
        [(_, rule, needs)] = self.plan.rules
        try:
            gradients = rule(g, *values[needs])  # type: ignore[index]
        except Exception as error:
            error.add_note(f"in {self.plan.name}: the rule of {self.plan.arguments[0]!r}")
            raise
        if gradients is None:
            return []
        if not isinstance(gradients, list | tuple) or len(gradients) != len(self.parents):
            raise TypeError(
                f"{self.plan.name}: the rule of {self.plan.arguments[0]!r} returned "
                f"{described(gradients)}; for a sequence of {len(self.parents)} inputs it must "
                "return a list with as many gradients, or None"
            )
        return [
            (parent, gradient)
            for parent, gradient in zip(self.parents, gradients, strict=True)
            if parent is not None and (wanted is None or parent in wanted)
        ]

    def connected(self) -> tuple[Any, ...]:
        """The saved values as Tensors in the graph; see `Record`."""
        return tuple(
            [in_graph(node, item) for node, item in zip(self.parents, value, strict=True)]
            if position == 0
            else in_graph(None if position is None else self, value)
            for value, position in zip(self.saved or (), self.plan.inputs, strict=True)
        )


class _Implementations(dict[type, tuple[Callable[..., Any], Callable[[int], "_Saving"]]]):
    """A primitive's forward function and what it saves, by type of array; looked up once."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation

    def __missing__(self, kind: type) -> tuple[Callable[..., Any], Callable[[int], _Saving]]:
        operation = self.operation
        forward = operation.definition
        rules = {name: rule.function for name, rule in operation.rules.items()}
        for kernel in reversed(kernels_of(operation, kind)):
            forward = _kernel_first(kernel.forward, forward)
            for name, rule in (kernel.backward or {}).items():
                rules[name] = _kernel_first(rule, rules[name])
        if not (issubclass(kind, int | float) or is_array_type(kind)):
            forward = _operand_first(operation, forward)
        # one Saving for each set of inputs that want a gradient
        self[kind] = forward, cache(partial(_Saving, operation, rules))
        return self[kind]


def _operand_first(operation: Operation, general: Callable[..., Any]) -> Callable[..., Any]:
    """Convert a first input that is no array, such as a list, or raise TypeError; then compute."""

    def call(first: Any, *others: Any, **options: Any) -> Any:
        first = as_operand(first, f"{operation.name}: {operation.inputs[0]!r}")
        return general(first, *others, **options)

    return call


def _kernel_first(kernel: Callable[..., Any], general: Callable[..., Any]) -> Callable[..., Any]:
    """Call a kernel, and the general function where the kernel returns NotImplemented."""

    def call(*args: Any, **options: Any) -> Any:
        y = kernel(*args, **options)
        return general(*args, **options) if y is NotImplemented else y

    return call


class _Saving:
    """What calls of an operation save, given which inputs want a gradient (one bit each)."""

    def __init__(
        self, operation: Operation, numeric_rules: Mapping[str, Callable[..., Any]], wanted: int
    ) -> None:
        inputs = operation.inputs
        rules: list[tuple[int, Callable[..., Any], slice]] = []
        numeric = []
        saves: list[str] = []
        for position, name in enumerate(inputs):
            if name in operation.rules and wanted >> position & 1:
                function, needs = operation.rules[name]
                places = slice(len(saves), len(saves) + len(needs))
                saves += needs
                rules.append((position, function, places))
                numeric.append((position, numeric_rules[name], places))
        positions = {name: i for i, name in enumerate(inputs)} | {"y": -1}
        origins = [positions.get(name) for name in saves]
        self.plan = Plan(operation.name, rules, numeric, saves, origins, inputs)
        # what `save` picks from: all inputs, y, and the shapes and options that are needed
        self.shapes = [i for i, name in enumerate(inputs) if f"{name}_shape" in saves]
        self.shape_of = _shapes_of if operation.takes_sequence else _shape_of
        self.options = [item for item in operation.defaults.items() if item[0] in saves]
        self.only_arrays = not self.shapes and not self.options
        available = [*inputs, "y", *[f"{inputs[i]}_shape" for i in self.shapes]]
        available += [name for name, _ in self.options]
        chosen = [available.index(name) for name in saves]
        # itemgetter of one index would give no tuple, but of a slice it does
        one = slice(chosen[0], chosen[0] + 1) if chosen else slice(0, 0)
        self.pick = itemgetter(*chosen) if len(chosen) > 1 else itemgetter(one)

    def save(self, values: list[Any], options: Mapping[str, Any]) -> Sequence[Any]:
        """Pick the values that the rules name from a call's inputs, output, shapes and options.

        Args:
            values: The inputs and the output, as arrays; shapes and options are appended.
            options: The options that the call was given.
        """
        for position in self.shapes:
            values.append(self.shape_of(values[position]))
        for name, default in self.options:
            values.append(options.get(name, default))
        return self.pick(values)  # type: ignore[no-any-return]


def _shape_of(value: Any) -> tuple[int, ...]:
    return value.shape if hasattr(value, "shape") else np.shape(value)


def _shapes_of(values: Sequence[Any]) -> list[tuple[int, ...]]:
    return [_shape_of(value) for value in values]


def as_operand(value: Any, name: str) -> Any:
    """An argument as a Tensor or an array; numbers, also in lists, become an array.

    Args:
        value: A Tensor or an array, which is returned unchanged, or numbers.
        name: The argument's name for the message, such as "var: x".

    Raises:
        TypeError: It is something else; also a list of Tensors, which would lose their graph.
    """
    if isinstance(value, Tensor):
        return value
    array = value
    if isinstance(value, (list, tuple)) and any(isinstance(x, Tensor) for x in value):
        raise TypeError(
            f"{name} takes one Tensor or array, and got a list of Tensors; join them by mg.stack "
            "or mg.concatenate, or declare the operation by mg.sequence_primitive"
        )
    if isinstance(value, (int, float, list, tuple)):  # `int | float` would be built at each call
        with suppress(TypeError, ValueError):  # what the list holds makes no array
            array = np.asarray(value)
    if is_array(array) and array.dtype.kind in "biuf":
        return array
    return as_tensor(value, name)  # raises the error


_PLAIN = {int, float, bool, NoneType, np.ndarray, np.float32, np.float64, np.int64, np.bool_}


def _plain(operation: Operation, position: int, value: Any) -> Any:
    """Check an input that is neither Tensor nor number; a list becomes an array.

    Raises:
        DTypeError: It is an array of another library.
        TypeError: It is a list, but not of numbers.
    """
    name = operation.inputs[position]
    if name not in operation.rules:
        return value  # any object: without a gradient, the definition may use what it likes
    if is_foreign(type(value)):
        raise foreign_array_error(operation, type(value))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        value = value if isinstance(value, list) else list(value)
        return as_operand(value, f"{operation.name}: {name!r}")
    return value
