"""Level 1: what is known of an operation: its definition, its signature, its rules, its kernels."""

from __future__ import annotations

import builtins
import collections.abc
import sys
import typing
from collections import ChainMap, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Reversible, Sequence
from contextlib import suppress
from types import FunctionType, UnionType
from typing import Annotated, Any, NamedTuple

from minigrad.backends import Kernel, find_kernels

__all__ = ["Operation", "Rule", "kernels_of"]


class Rule(NamedTuple):
    """A vector-Jacobian product `function(g, *needs)`, and the names of what it needs besides g."""

    function: Callable[..., Any]
    needs: tuple[str, ...]


class Operation:
    """What is known of an operation: its definition, its signature, and its rules.

    Attributes:
        definition: The function, of raw arrays for a primitive, of Tensors for a fused operation.
        name: Its name.
        family: The name of its file; `kernels_of` says whether it has kernels.
        inputs: The parameters without a default.
        defaults: The options, which are the parameters with a default, and their values.
        takes_sequence: Whether the one input is a sequence of arrays.
        rules: The rule of each input that has one.
    """

    def __init__(
        self, definition: Callable[..., Any], rules: Mapping[str, Callable[..., Any]]
    ) -> None:
        self.definition = definition
        if not isinstance(definition, FunctionType):
            raise TypeError(
                f"an operation's definition is a Python function, got {definition!r}; write one "
                "that calls it"
            )
        self.name = definition.__name__
        self.family = (definition.__module__ or "").rpartition(".")[2]
        parameters, self.defaults = _signature(definition)
        self.inputs = [name for name in parameters if name not in self.defaults]
        taken = {"g", "y", *[f"{name}_shape" for name in self.inputs]}
        for reserved in taken.intersection(parameters if rules else self.inputs):
            kind = "input" if reserved in self.inputs else "option"
            raise TypeError(
                f"{self.name}: an {kind} cannot be called {reserved!r}; in rules g is the gradient "
                "of the output, y the output, and <input>_shape an input's shape"
            )
        sequences = [name for name in self.inputs if _takes_sequence(definition, name)]
        alone = len(self.inputs) == 1
        self.takes_sequence = alone and bool(sequences)
        if not self.inputs or not (alone or rules.keys().isdisjoint(sequences)):
            raise TypeError(
                f"{self.name}: its inputs, the parameters without a default, are {self.inputs}; an "
                "operation has at least one, with a name (not *args), and a sequence of arrays "
                "with a rule must be the only one: give the others a default"
            )
        if by_name := [name for name in _by_name_only(definition) if name in self.inputs]:
            raise TypeError(
                f"{self.name}: the inputs {by_name} stand behind a *, but inputs are passed by "
                "position; put them before it, or give options a default"
            )
        known = ["y", *self.inputs, *[f"{name}_shape" for name in self.inputs], *self.defaults]
        self.rules: dict[str, Rule] = {}
        for name, function in rules.items():
            if not isinstance(function, FunctionType):
                raise TypeError(
                    f"{self.name}: the rule of {name!r} is {function!r}; a rule is a Python "
                    "function, such as lambda g: 2 * g, and an input without one gets no gradient"
                )
            takes, _ = _signature(function)
            needs = takes[1:]
            if (
                name not in self.inputs
                or takes[:1] != ["g"]
                or not set(known).issuperset(needs)
                or _by_name_only(function)
            ):
                raise TypeError(
                    f"{self.name}: the rule of {name!r} takes ({', '.join(takes)}); a rule "
                    f"of one of {self.inputs} takes g first, then any of {known}, by position"
                )
            self.rules[name] = Rule(function, tuple(needs))

    def bind(
        self, args: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Sort a call as NumPy allows it, options by position and inputs by name, into our form."""
        count = len(self.inputs)
        options = {**dict(zip(self.defaults, args[count:], strict=False)), **options}
        named = [options.pop(name) for name in self.inputs[len(args) :] if name in options]
        if len(args) + len(named) < count or len(args) > count + len(self.defaults):
            raise TypeError(
                f"{self.name}: takes ({', '.join([*self.inputs, *self.defaults])}); "
                f"got {len(args)} positional arguments"
            )
        return (*args[:count], *named), options


def _signature(function: Callable[..., Any]) -> tuple[list[str], dict[str, Any]]:
    """The names of a function's parameters, and the defaults of those that have one."""
    code = function.__code__  # inspect.signature would double the time of `import minigrad`
    names = list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    positional = names[: code.co_argcount]
    defaults = function.__defaults__ or ()
    first = len(positional) - len(defaults)
    return names, dict(zip(positional[first:], defaults, strict=True)) | (
        function.__kwdefaults__ or {}
    )


def _by_name_only(function: Callable[..., Any]) -> tuple[str, ...]:
    """The parameters that stand behind a `*`."""
    code = function.__code__
    return code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]


def _takes_sequence(definition: Any, name: str) -> bool:
    """Whether an input is annotated as a sequence of arrays, however that is spelt."""
    while hasattr(definition, "__wrapped__"):  # functools.wraps has copied the annotations
        definition = definition.__wrapped__
    annotation = getattr(definition, "__annotations__", {}).get(name)
    own = {
        parameter.__name__: parameter for parameter in getattr(definition, "__type_params__", ())
    }
    known = [own, _closure_of(definition), getattr(definition, "__globals__", {}), vars(builtins)]
    # what is imported for type checkers only is looked for where annotations come from
    return _is_sequence(annotation, ChainMap(*known, _FOR_TYPES, defaultdict(lambda: _UNKNOWN)))


class _Unknown:
    """What is imported for type checkers only: a type, or a module that may have one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _FOR_TYPES.get(name, self)

    def __getitem__(self, item: Any) -> Any:
        return self

    def __call__(self) -> None:
        """Types can be called: by this `typing` takes it for one."""

    def __or__(self, other: Any) -> Any:
        return typing.Union[self, other]  # noqa: UP007

    def __ror__(self, other: Any) -> Any:
        return typing.Union[other, self]  # noqa: UP007


_UNKNOWN: Any = _Unknown()
_FOR_TYPES: ChainMap[str, Any] = ChainMap(vars(collections.abc), vars(typing))


def _closure_of(function: Any) -> dict[str, Any]:
    """The variables of the functions around one, as far as it uses them and they have a value."""
    if not isinstance(function, FunctionType):
        return {}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = {}
    for name, cell in cells:
        with suppress(ValueError):  # an empty cell
            found[name] = cell.cell_contents
    return found


def _is_sequence(annotation: Any, names: Mapping[str, Any]) -> bool:
    """Whether a type is a sequence, or has one among its members.

    Args:
        annotation: The type, or text that says it.
        names: What the names in such a text mean.
    """
    annotation = getattr(annotation, "__forward_arg__", annotation)  # text inside a type
    if isinstance(annotation, str):
        try:
            return _is_sequence(eval(annotation, {}, names), names)
        except Exception:
            return False  # a call with a list of Tensors says so
    for inner in ("__value__", "__supertype__", "__bound__"):  # `type X = ...`, NewType, TypeVar
        if (meant := getattr(annotation, inner, None)) is not None:
            return _is_sequence(meant, names)
    origin = typing.get_origin(annotation) or annotation
    members = typing.get_args(annotation)
    if origin is Annotated:
        members = members[:1]
    if constraints := getattr(annotation, "__constraints__", ()):  # TypeVar("T", list, tuple)
        origin, members = typing.Union, constraints
    if origin in (Annotated, typing.Union, UnionType):
        return any(_is_sequence(member, names) for member in members)
    if origin in (Iterable, Collection, Reversible):
        origin = Sequence
    if not isinstance(origin, type) or origin in (str, bytes) or not issubclass(origin, Sequence):
        return False
    return not members or not _NUMBERS.issuperset(members)


_NUMBERS = {int, float, complex, bool, str, slice, ...}  # of these a sequence holds no arrays


def kernels_of(operation: Operation, kind: type) -> list[Kernel]:
    """The kernels of an operation for a type of array, fastest first.

    A kernel belongs to the operation that stands under its name in the file of its family in
    `ops/`, and is defined there: to that object, so an operation of a user's never meets it,
    whatever it is called, and also where a user puts it in the place of ours.
    """
    file = sys.modules.get(f"{_OPERATIONS}.{operation.family}")
    if getattr(getattr(file, operation.name, None), "operation", None) is not operation:
        return []
    if operation.definition.__globals__ is not vars(file):
        return []
    return find_kernels(kind, operation.family, operation.name)


_OPERATIONS = f"{__name__.rpartition('.')[0]}.ops"
