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
        for reserved in {"g", "y"}.intersection(self.inputs):
            raise TypeError(
                f"{self.name}: an input cannot be called {reserved!r}; in rules g is the gradient "
                "of the output, and y the output"
            )
        sequences = [name for name in self.inputs if _takes_sequence(definition, name)]
        alone = len(self.inputs) == 1
        self.takes_sequence = alone and bool(sequences)
        if not self.inputs or not (alone or rules.keys().isdisjoint(sequences)):
            raise TypeError(
                f"{self.name}: its inputs, the parameters without a default, are {self.inputs}; an "
                "operation has at least one, and a sequence of arrays with a rule must be the only "
                "one: give the others a default"
            )
        known = ["y", *self.inputs, *[f"{name}_shape" for name in self.inputs], *self.defaults]
        self.rules: dict[str, Rule] = {}
        for name, function in rules.items():
            (g, *needs), _ = _signature(function)
            if name not in self.inputs or g != "g" or not set(known).issuperset(needs):
                raise TypeError(
                    f"{self.name}: the rule of {name!r} takes ({', '.join([g, *needs])}); a rule "
                    f"of one of {self.inputs} takes g first, then any of {known}"
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


def _takes_sequence(definition: Callable[..., Any], name: str) -> bool:
    """Whether an input is annotated as a sequence of arrays, however that is spelt."""
    annotation = definition.__annotations__.get(name)
    if isinstance(annotation, str):
        # what is imported for type checkers only is looked for where annotations come from
        known = [_closure_of(definition), definition.__globals__, vars(builtins)]
        names = ChainMap(*known, vars(collections.abc), vars(typing), defaultdict(lambda: Any))
        try:
            annotation = eval(annotation, {}, names)
        except Exception:
            return False  # a call with a list of Tensors says so
    return _is_sequence(annotation)


def _closure_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The variables of the functions around one, as far as it uses them and they have a value."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = {}
    for name, cell in cells:
        with suppress(ValueError):  # an empty cell
            found[name] = cell.cell_contents
    return found


def _is_sequence(annotation: Any) -> bool:
    """Whether a type is a sequence, or has one among its members."""
    for inner in ("__value__", "__supertype__", "__bound__"):  # `type X = ...`, NewType, TypeVar
        if (meant := getattr(annotation, inner, None)) is not None:
            return _is_sequence(meant)
    origin = typing.get_origin(annotation) or annotation
    if origin in (Annotated, typing.Union, UnionType):
        members = typing.get_args(annotation)
        return any(map(_is_sequence, members[:1] if origin is Annotated else members))
    if origin in (Iterable, Collection, Reversible):
        origin = Sequence
    if not isinstance(origin, type) or origin in (str, bytes) or not issubclass(origin, Sequence):
        return False
    members = typing.get_args(annotation)
    return not members or not _NUMBERS.issuperset(members)


_NUMBERS = {int, float, complex, bool, str, slice, ...}  # of these a sequence holds no arrays


def kernels_of(operation: Operation, kind: type) -> list[Kernel]:
    """The kernels of an operation for a type of array, fastest first.

    A kernel belongs to the operation that stands under its name in the file of its family in
    `ops/`: to that object, so an operation of a user's never meets it, whatever it is called.
    """
    file = sys.modules.get(f"{_OPERATIONS}.{operation.family}")
    if getattr(getattr(file, operation.name, None), "operation", None) is not operation:
        return []
    return find_kernels(kind, operation.family, operation.name)


_OPERATIONS = f"{__name__.rpartition('.')[0]}.ops"
