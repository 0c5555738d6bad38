"""What primitives and fused operations share: their description, results and errors."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import update_wrapper
from types import FunctionType
from typing import Any, NamedTuple

from minigrad.backends import Kernel, as_array, find_kernels, is_array, is_array_type
from minigrad.engine import Output, Record, Slots
from minigrad.errors import DeviceError, DTypeError, ShapeError
from minigrad.tensor import Tensor, described, wrap

__all__ = [
    "Operation",
    "Rule",
    "checked_outputs",
    "documented",
    "foreign_array_error",
    "is_floating",
    "is_foreign",
    "kernels_of",
    "raise_explained",
    "wrap_outputs",
]


class Rule(NamedTuple):
    """A vector-Jacobian product `function(g, *needs)`, and the names of the arguments after g."""

    function: Callable[..., Any]
    needs: tuple[str, ...]


class Operation:
    """The description of an operation: its definition, its signature, and its rules.

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
        self,
        definition: Callable[..., Any],
        rules: Mapping[str, Callable[..., Any]],
        takes_sequence: bool = False,
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
        self.takes_sequence = takes_sequence
        if not self.inputs or (takes_sequence and len(self.inputs) > 1):
            wanted = "exactly one: a sequence" if takes_sequence else "at least one"
            raise TypeError(
                f"{self.name}: its inputs, the parameters without a default, are {self.inputs}; an "
                f"operation has {wanted}, with a name (not *args): give the others a default"
            )
        if by_name := [name for name in _by_name_only(definition) if name in self.inputs]:
            raise TypeError(
                f"{self.name}: the inputs {by_name} stand behind a *, but inputs are passed by "
                "position; put them before it, or give options a default"
            )
        self.rules = {name: self._checked_rule(name, rule) for name, rule in rules.items()}

    def _checked_rule(self, name: str, function: Callable[..., Any]) -> Rule:
        """A rule and what it needs; raise where the operation has no such thing."""
        if not isinstance(function, FunctionType):
            raise TypeError(
                f"{self.name}: the rule of {name!r} is {function!r}; a rule is a Python "
                "function, such as lambda g: 2 * g, and an input without one gets no gradient"
            )
        known = ["y", *self.inputs, *[f"{each}_shape" for each in self.inputs], *self.defaults]
        takes, _ = _signature(function)
        first, needs = takes[:1], takes[1:]
        is_known = name in self.inputs and first == ["g"] and set(known).issuperset(needs)
        if not is_known or _by_name_only(function):
            raise TypeError(
                f"{self.name}: the rule of {name!r} takes ({', '.join(takes)}); a rule "
                f"of one of {self.inputs} takes g first, then any of {known}, by position"
            )
        return Rule(function, tuple(needs))

    def bind(
        self, args: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Separate a call's inputs and options; as in NumPy, both may come by position or name."""
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
    """The keyword-only parameters, which come after a `*`."""
    code = function.__code__
    return code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]


def kernels_of(operation: Operation, kind: type) -> list[Kernel]:
    """The kernels of an operation for a type of array, fastest first.

    A kernel belongs to one object: the operation that the file of its family in `ops/` defines
    under the kernel's name. So a user's operation never gets this kernel, whatever its name is,
    and even if the user assigns it to the name of ours.
    """
    file = sys.modules.get(f"{_OPERATIONS}.{operation.family}")
    if getattr(getattr(file, operation.name, None), "operation", None) is not operation:
        return []
    if operation.definition.__globals__ is not vars(file):
        return []
    return find_kernels(kind, operation.family, operation.name)


_OPERATIONS = f"{__name__.rpartition('.')[0]}.ops"


def documented(call: Callable[..., Any], operation: Operation) -> Any:
    """Give a call its definition's name, signature and docstring, and the operation itself."""
    decorated: Any = update_wrapper(call, operation.definition)
    decorated.operation = operation
    return decorated


def wrap_outputs(y: Any, record: Record | None) -> Any:
    """Wrap an output as a Tensor, and several outputs as a tuple of Tensors."""
    if not isinstance(y, Slots):
        return wrap(y, record)
    count = len(y)
    return tuple(
        wrap(part, Output(record, k, count, part) if record and is_floating(part) else None)
        for k, part in enumerate(y)
    )


def checked_outputs(y: Any, operation: Operation, args: Sequence[Any]) -> Any:
    """Check a result: NumPy's scalars become arrays, and several outputs become Slots.

    Raises:
        TypeError: The definition has returned something that is not an array.
        DTypeError: An array does not hold real numbers.
    """
    parts = y if isinstance(y, tuple | list) else (y,)
    for part in parts:
        if not is_array_type(type(part)):
            foreign = next(filter(is_foreign, map(type, args)), None)
            if foreign is not None:
                raise foreign_array_error(operation, foreign)
            remedy = "np.asarray(y) makes one of a number"
            if isinstance(part, Tensor):
                remedy = "it computes with arrays, and an option that is a Tensor stays one"
            raise TypeError(
                f"{operation.name}: its definition returned {described(part)}; it must return an "
                f"array, or a tuple of arrays ({remedy})"
            )
        if part.dtype.kind not in "fbiu":
            raise DTypeError(
                f"{_called(operation, args)}: the result is {described(part)}, but Tensors hold "
                "real numbers; convert the inputs first, as by float(x) or x.astype(dtype)"
            )
    return as_array(y) if parts is not y else Slots(map(as_array, parts))


def is_floating(y: Any) -> bool:
    """Whether a result, or one of several, is floating-point and so can have a gradient."""
    return any(map(is_floating, y)) if isinstance(y, Slots) else y.dtype.kind == "f"


def is_foreign(kind: type) -> bool:
    """Whether a type is an array type of another library."""
    return hasattr(kind, "__array__") and not issubclass(kind, Tensor) and not is_array_type(kind)


def foreign_array_error(operation: Operation, kind: type) -> DTypeError:
    """The error for an array of another library."""
    return DTypeError(
        f"{operation.name}: got a {kind.__module__}.{kind.__qualname__}; it takes Tensors, arrays "
        "and numbers: mg.tensor(np.asarray(x)) makes a Tensor of other arrays"
    )


_SHAPE_WORDS = "shape", "dimension", "size", "axis", "axes", "broadcast", "division", "sequence"


def raise_explained(operation: Operation, args: Sequence[Any], error: Exception) -> None:
    """Raise an array library's error again, with the operation, the shapes and the remedy.

    An error that says all this itself is left for the caller to re-raise.
    """
    is_ours = str(error).startswith(f"{operation.name}:")
    if is_ours or isinstance(error, ShapeError | DTypeError | DeviceError):
        return
    for arg in args:
        if is_foreign(type(arg)):
            raise foreign_array_error(operation, type(arg)) from error
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
