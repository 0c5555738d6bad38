"""Level 1: how an operation is declared: `primitive` with its rules, `fused` with its kernels."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import cache, partial, update_wrapper
from operator import itemgetter
from threading import get_ident
from types import NoneType
from typing import Any, ClassVar, NoReturn, ParamSpec, Protocol, TypeVar, cast

import numpy as np

from minigrad.backends import (
    Array,
    DeviceError,
    Kernel,
    Needs,
    as_array,
    is_array,
    is_array_type,
)
from minigrad.declaration import Operation, kernels_of
from minigrad.engine import (
    Gradients,
    Node,
    Output,
    Plan,
    Record,
    Slots,
    grad,
    in_graph,
    inspectors,
    node_of,
)
from minigrad.grad_mode import enable_grad, grad_switch
from minigrad.tensor import DTypeError, ShapeError, Tensor, array_of, as_tensor, described, made

__all__ = ["Operation", "as_operand", "fused", "primitive", "same"]

P = ParamSpec("P")
R = TypeVar("R")


class PrimitiveCall(Protocol[P]):
    """A primitive as a type checker sees it: the definition's parameters, and a Tensor."""

    operation: Operation
    __name__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...


class _Served(dict[type, tuple[Callable[..., Any], Callable[[int], "Saving"]]]):
    """How a primitive computes on each type of array, and what it saves there; found once."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation

    def __missing__(self, kind: type) -> tuple[Callable[..., Any], Callable[[int], Saving]]:
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
        self[kind] = forward, cache(partial(Saving, operation, rules))
        return self[kind]


def as_operand(value: Any, name: str) -> Any:
    """What a user gave where a Tensor or an array is wanted; numbers, also in lists, as an array.

    Args:
        value: A Tensor or an array, which stay as they are, or numbers.
        name: What it is, for the message, such as "var: x".

    Raises:
        TypeError: It is none of these; also a list of Tensors, which would lose their graph.
    """
    if isinstance(value, Tensor):
        return value
    array = value
    if isinstance(value, (list, tuple)) and any(isinstance(x, Tensor) for x in value):
        raise TypeError(
            f"{name} is not annotated as a sequence of arrays, and got a list of Tensors; join "
            "them by mg.stack or mg.concatenate"
        )
    if isinstance(value, (int, float, list, tuple)):  # a union would be built at each call
        with suppress(TypeError, ValueError):  # of what is in the list
            array = np.asarray(value)
    if is_array(array) and array.dtype.kind in "biuf":
        return array
    return as_tensor(value, name)  # which says what came


def _operand_first(operation: Operation, general: Callable[..., Any]) -> Callable[..., Any]:
    """The general form for a first input that is no array: a list, or what is to be refused."""

    def call(first: Any, *others: Any, **options: Any) -> Any:
        first = as_operand(first, f"{operation.name}: {operation.inputs[0]!r}")
        return general(first, *others, **options)

    return call


def _kernel_first(kernel: Callable[..., Any], general: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel, and the general form for what it leaves to that."""

    def call(*args: Any, **options: Any) -> Any:
        y = kernel(*args, **options)
        return general(*args, **options) if y is NotImplemented else y

    return call


class Saving:
    """What calls of an operation save, given which of the inputs want a gradient (a bit each)."""

    def __init__(
        self, operation: Operation, numeric_rules: Mapping[str, Callable[..., Any]], wanted: int
    ) -> None:
        self.operation = operation
        positions = [i for i, name in enumerate(operation.inputs) if name in operation.rules]
        rules: list[tuple[int, Callable[..., Any], slice]] = []
        numeric = []
        saves: list[str] = []
        for position in positions:
            if wanted >> position & 1:
                name = operation.inputs[position]
                rule = operation.rules[name]
                places = slice(len(saves), len(saves) + len(rule.needs))
                saves += rule.needs
                rules.append((position, rule.function, places))
                numeric.append((position, numeric_rules[name], places))
        inputs = {name: i for i, name in enumerate(operation.inputs)} | {"y": -1}
        origins = [inputs.get(name) for name in saves]
        self.plan = Plan(operation.name, rules, numeric, saves, origins, operation.inputs)
        slots = [*operation.inputs, "y"]
        self.shapes = [i for i, name in enumerate(operation.inputs) if f"{name}_shape" in saves]
        self.shape_of = _shapes_of if operation.takes_sequence else _shape_of
        self.options = [item for item in operation.defaults.items() if item[0] in saves]
        slots += [f"{operation.inputs[i]}_shape" for i in self.shapes]
        slots += [name for name, _ in self.options]
        self.few = not self.shapes and not self.options
        chosen = [slots.index(name) for name in saves]
        # itemgetter of one place would give no tuple; of a slice it does
        one = slice(chosen[0], chosen[0] + 1) if chosen else slice(0, 0)
        self.pick = itemgetter(*chosen) if len(chosen) > 1 else itemgetter(one)

    def save(self, values: list[Any], options: Mapping[str, Any]) -> Sequence[Any]:
        """Pick what the rules name out of a call: its inputs and its output, as arrays.

        Args:
            values: The inputs and the output; more is added to the list.
            options: Those that were given.
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


def primitive(
    *definition: NoReturn, **rules: Callable[..., Any]
) -> Callable[[Callable[P, Any]], PrimitiveCall[P]]:
    """Declare an operation: decorate its definition on raw arrays with one rule per input.

    A rule is a function of `g`, the gradient dL/dy of the output, and of whatever it names
    besides: inputs, the output `y`, options, or `<input>_shape` (which keeps no array alive). It
    returns dL/dinput; the engine sums it over axes that were broadcast. It is written with
    operators and operations only, so that it works on arrays and on Tensors alike. Neither rule nor
    definition changes what it is given: others hold the same arrays. The rule of a
    `Sequence` input returns one gradient per element; where an operation returns a tuple, `g` is a
    tuple too, with None where no gradient has arrived.

    Args:
        definition: Nothing: the rules come first.
        rules: `input=lambda g, ...: dL/dinput`. An input without a rule gets no gradient.

    Returns:
        A decorator. The decorated function computes Tensors from Tensors (or from arrays and
        numbers mixed with them), and plain arrays where no Tensor is given.

    Raises:
        TypeError: A rule names something that the definition does not have, or the brackets are
            missing: `@primitive`.

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
        served = _Served(operation)

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
            forward, saving_for = served[type(args[0]) if kind is None else kind]
            try:
                y = forward(*arrays, **options) if options else forward(*arrays)
            except Exception as error:
                _complain(operation, args, error)
                raise
            if kind is None:
                return y
            is_usual = type(y) is kind and y.dtype.kind == "f"
            if not is_usual:
                y = _tidied(y, operation, args)
            record = None
            if wanted & has_rule and grad_switch.on and (is_usual or _is_floating(y)):
                saving = saving_for(wanted)
                arrays.append(y)
                saved = saving.pick(arrays) if saving.few else saving.save(arrays, options)
                record = Record(saving.plan, parents, saved, y)
            if inspectors:
                _inspect(operation, args, options, y, record)
            return made(y, record) if is_usual else _wrapped(y, record)

        def call_on_sequence(*args: Any, **options: Any) -> Any:
            if len(args) != 1:
                args, options = operation.bind(args, options)
            if not isinstance(args[0], Iterable):
                as_tensor(args[0], f"{operation.name}: {operation.inputs[0]}")  # which refuses it
            inputs = tuple(args[0])
            if not inputs:
                raise ShapeError(f"{operation.name}: expected at least one Tensor, got none")
            arrays = [array_of(x) for x in inputs]
            try:
                y = operation.definition(arrays, **options)
            except Exception as error:
                _complain(operation, inputs, error)
                raise
            if not any(isinstance(x, Tensor) for x in inputs):
                return y
            y = _tidied(y, operation, inputs)
            parents = [node_of(x) for x in inputs]
            record = None
            wanted = any(parent is not None for parent in parents)
            if wanted and operation.rules and grad_switch.on and _is_floating(y):
                saving = served[type(None)][1](1)
                saved = saving.save([arrays, y], options)
                record = SequenceRecord(saving.plan, parents, saved, y)
            if inspectors:
                _inspect(operation, inputs, options, y, record)
            return _wrapped(y, record)

        return cast(
            "PrimitiveCall[P]",
            _dressed(call_on_sequence if operation.takes_sequence else call, operation),
        )

    return decorate


class SequenceRecord(Record):
    """A primitive on a sequence of inputs, whose one rule returns a gradient for each."""

    __slots__ = ()

    def pull(self, g: Any, wanted: AbstractSet[Node] | None, create_graph: bool) -> Gradients:
        values = self.connected() if create_graph else self.saved
        [(_, rule, needs)] = self.plan.rules
        parents = self.parents or ()
        try:
            gradients = rule(g, *values[needs])
        except Exception as error:
            error.add_note(f"in {self.plan.name}: the rule of {self.plan.arguments[0]!r}")
            raise
        if gradients is None:
            return []
        if not isinstance(gradients, list | tuple) or len(gradients) != len(parents):
            raise TypeError(
                f"{self.plan.name}: the rule of {self.plan.arguments[0]!r} returned "
                f"{described(gradients)}; for a sequence of {len(parents)} inputs it must return a "
                "list with as many gradients, or None"
            )
        return [
            (parent, gradient)
            for parent, gradient in zip(parents, gradients, strict=True)
            if parent is not None and (wanted is None or parent in wanted)
        ]

    def connected(self) -> tuple[Any, ...]:
        parents = self.parents or ()
        return tuple(
            [in_graph(node, item) for node, item in zip(parents, value, strict=True)]
            if position == 0
            else in_graph(None if position is None else self, value)
            for value, position in zip(self.saved, self.plan.inputs, strict=True)
        )


def fused(definition: Callable[P, R]) -> Callable[P, R]:
    """Declare an operation that is defined by other operations and may have kernels of its own.

    Without a kernel for the arrays at hand the definition simply runs. With one, the forward
    kernel computes the same values in one record, and the backward kernel the same gradients;
    under `create_graph` (or without a backward kernel) the definition is replayed and
    differentiated, so nobody derives a second derivative. A definition is pure: masks and noise
    are inputs, and it changes nothing.

    Args:
        definition: A function of Tensors, written with operators and operations. Parameters
            without a default are its inputs; None may stand for one that is absent.

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
                _complain(operation, args, error)
                raise
            if result is not NotImplemented:
                break
        else:
            return operation.definition(*args, **options)
        y, residuals = result
        is_usual = type(y) is kind and y.dtype.kind == "f"
        if not is_usual:
            y = _tidied(y, operation, args)
        parents = [node_of(arg) for arg in args]
        record = None
        wanted = any(parent is not None for parent in parents)
        if wanted and grad_switch.on and (is_usual or _is_floating(y)):
            saved = args, full, y, residuals
            record = FusedRecord(plan, parents, saved, y)
            record.definition, record.kernel = operation.definition, kernel.backward
        if inspectors:
            _inspect(operation, args, full, y, record)
        return made(y, record) if is_usual else _wrapped(y, record)

    return cast("Callable[P, R]", _dressed(call, operation))


class FusedRecord(Record):
    """A fused operation whose forward kernel ran; its derivative is a kernel's or a replay's."""

    __slots__ = ("definition", "kernel")
    saves: ClassVar[Sequence[str]] = ("args", "options", "y", "residuals")
    definition: Callable[..., Any]
    kernel: Callable[..., Any] | None

    def pull(self, g: Any, wanted: AbstractSet[Node] | None, create_graph: bool) -> Gradients:
        assert self.parents is not None
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
    """The needs of a record; an optimizer may have a place for the gradient of a leaf."""

    parents: Sequence[Node | None]

    def place(self, position: int) -> Array | None:
        leaf = self.parents[position]
        if not isinstance(leaf, Tensor) or leaf._home is None:
            return None
        return leaf._home.claim(leaf)


def _replay(
    definition: Callable[..., Any],
    args: Sequence[Any],
    options: Mapping[str, Any],
    g: Any,
    needs: Sequence[bool],
    create_graph: bool,
) -> list[Any]:
    """Run a definition again, on stand-ins for its inputs, and differentiate that."""
    inputs = list(args)
    wanted = [i for i, needed in enumerate(needs) if needed]
    with enable_grad():
        for i in wanted:
            # under create_graph the stand-in stays connected, so that the way goes on beyond it
            alone = made(args[i]._data).requires_grad_()
            inputs[i] = same(args[i]) if create_graph else alone
        y = definition(*inputs, **options)
    pairs = [(y, g)] if isinstance(y, Tensor) else list(zip(y, g, strict=True))
    pairs = [(y, g) for y, g in pairs if g is not None and y.requires_grad]
    if not pairs:
        return [None] * len(args)
    found = grad(
        [output for output, _ in pairs],
        [inputs[i] for i in wanted],
        [g if create_graph else made(as_array(g)) for _, g in pairs],
        create_graph=create_graph,
    )
    gradients: list[Any] = [None] * len(args)
    for i, gradient in zip(wanted, found, strict=True):
        gradients[i] = gradient if create_graph else array_of(gradient)
    return gradients


def _dressed(call: Callable[..., Any], operation: Operation) -> Any:
    """Give a call its definition's name, signature and docstring, and the operation itself."""
    decorated: Any = update_wrapper(call, operation.definition)
    decorated.operation = operation
    return decorated


def _wrapped(y: Any, record: Record | None) -> Any:
    """The Tensor of one output; the tuple of Tensors of several."""
    if not isinstance(y, Slots):
        return made(y, record)
    count = len(y)
    return tuple(
        made(part, Output(record, k, count, part) if record and _is_floating(part) else None)
        for k, part in enumerate(y)
    )


def _tidied(y: Any, operation: Operation, args: Sequence[Any]) -> Any:
    """NumPy's scalars become arrays again, and several outputs become Slots.

    Raises:
        TypeError: The definition has returned something else than arrays.
        DTypeError: An array does not hold real numbers.
    """
    parts = y if isinstance(y, tuple | list) else (y,)
    for part in parts:
        if not is_array_type(type(part)):
            foreign = next(filter(_is_foreign, map(type, args)), None)
            if foreign is not None:
                raise _foreign(operation, foreign)
            remedy = "np.asarray(y) makes one of a number"
            if isinstance(part, Tensor):
                remedy = "it computes with arrays, and an option that is a Tensor stays one"
            raise TypeError(
                f"{operation.name}: its definition returned {described(part)}; it must return an "
                f"array, or a tuple of arrays ({remedy})"
            )
        if part.dtype.kind not in "fbiu":
            raise _not_real(operation, args, part)
    return as_array(y) if parts is not y else Slots(map(as_array, parts))


def _is_floating(y: Any) -> bool:
    """Whether a result, or one of several, is of a kind that has a gradient."""
    return any(map(_is_floating, y)) if isinstance(y, Slots) else y.dtype.kind == "f"


def _not_real(operation: Operation, args: Sequence[Any], y: Any) -> DTypeError:
    return DTypeError(
        f"{_called(operation, args)}: the result is {described(y)}, but Tensors hold real numbers; "
        "convert the inputs first, as by float(x) or x.astype(dtype)"
    )


_PLAIN = {int, float, bool, NoneType, np.ndarray, np.float32, np.float64, np.int64, np.bool_}


def _plain(operation: Operation, position: int, value: Any) -> Any:
    """An operand that is neither Tensor nor number, as a rule can compute with it: lists as arrays.

    Raises:
        DTypeError: It is an array of another library.
        TypeError: It is a list, but not of numbers.
    """
    name = operation.inputs[position]
    if name not in operation.rules:
        return value  # of any kind: a user's operation may have a use for it
    if _is_foreign(type(value)):
        raise _foreign(operation, type(value))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        value = value if isinstance(value, list) else list(value)
        return as_operand(value, f"{operation.name}: {name!r}")
    return value


def _is_foreign(kind: type) -> bool:
    """Whether a type is that of another library's arrays."""
    return hasattr(kind, "__array__") and not issubclass(kind, Tensor) and not is_array_type(kind)


def _foreign(operation: Operation, kind: type) -> DTypeError:
    return DTypeError(
        f"{operation.name}: got a {kind.__module__}.{kind.__qualname__}; it takes Tensors, arrays "
        "and numbers: mg.tensor(np.asarray(x)) makes a Tensor of other arrays"
    )


_SHAPE_WORDS = "shape", "dimension", "size", "axis", "axes", "broadcast", "division", "sequence"


def _inspect(
    operation: Operation,
    args: Sequence[Any],
    options: Mapping[str, Any],
    y: Any,
    record: Record | None,
) -> None:
    """Show a result to this thread's inspector, where it has one."""
    inspector = inspectors.get(get_ident())
    if inspector is not None:
        inspector.forward(operation.name, args, options, y, record)


def _complain(operation: Operation, args: Sequence[Any], error: Exception) -> None:
    """Say an array library's complaint again, with the operation's name and what it was given."""
    is_said = str(error).startswith(f"{operation.name}:")
    if is_said or isinstance(error, ShapeError | DTypeError | DeviceError):
        return
    for arg in args:
        if _is_foreign(type(arg)):
            raise _foreign(operation, type(arg)) from error
    devices = [arg.device for arg in args if isinstance(arg, Tensor)]
    if len(set(devices)) > 1:
        raise DeviceError(
            f"{operation.name}: the inputs are on different devices ({', '.join(devices)}); "
            "move them with .to(device)"
        ) from error
    called = _called(operation, args)
    if isinstance(error, ValueError):
        of_shapes = any(word in str(error) for word in _SHAPE_WORDS)
        kind = ShapeError if of_shapes else ValueError
        raise kind(f"{called}: {error}") from error
    if isinstance(error, TypeError):
        raise DTypeError(f"{called}: {error}") from error
    error.add_note(f"in {called}")


def _called(operation: Operation, args: Iterable[Any]) -> str:
    """A call for a message, such as `add(float32[2], 'a')`."""
    came = ", ".join(
        f"{arg.dtype}{list(arg.shape)}"
        if is_array(arg) or isinstance(arg, Tensor)
        else reprlib.repr(arg)
        for arg in args
    )
    return f"{operation.name}({came})"


@primitive(x=lambda g: g)
def same(x: Array) -> Array:
    """The same values in the same memory, as the result of an operation."""
    return x[...]
