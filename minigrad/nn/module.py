"""Modules: parts of a network, which own parameters and smaller parts.

A module finds what it owns by looking at its attributes. Parameters are `Parameter`s, other arrays
worth saving are `Buffer`s, parts are modules; nothing is registered and nothing is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from reprlib import recursive_repr
from typing import Any, ParamSpec, Protocol, Self, TypeVar, cast
from weakref import WeakValueDictionary

from minigrad.backends import Array, require_device, to_device
from minigrad.errors import StateDictError
from minigrad.messages.hints import ModuleHints
from minigrad.nn.parameter import Buffer, Parameter
from minigrad.nn.state import IncompatibleKeys, array_for, replacement_error
from minigrad.observers import thread
from minigrad.tensor import Tensor, described, dtype_of, new_leaf
from minigrad.versions import note_replaced, write

__all__ = ["Buffer", "IncompatibleKeys", "Module", "Parameter", "StateDictError"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")


modules_alive = WeakValueDictionary[int, "Module"]()  # by their ids, oldest first


class _Callable(Protocol[P, R]):
    """A module as a type checker sees it: a call has the arguments and result of `forward`."""

    def forward(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


class Module(ModuleHints):
    """A part of a network: parameters and smaller modules as attributes, and `forward`.

    An attribute that holds a Parameter, a Buffer or a Module may be replaced only by one of these
    or by None: otherwise it would vanish from `parameters()` and `state_dict()` without a word.

    A module may be a part of several others, but should not contain itself. If it does, methods
    that visit each module once (`parameters()`, `train()`, `to()`) still work; methods that go by
    names (`state_dict()`, `load_state_dict()`, `remove_duplicate=False`) or from part to part
    (`apply()`) raise ValueError and name the cycle.

    Example:
        >>> import minigrad as mg
        >>> class Scale(Module):
        ...     def __init__(self):
        ...         self.factor = Parameter([2.0])
        ...     def forward(self, x):
        ...         return self.factor * x
        >>> [name for name, _ in Scale().named_parameters()]
        ['factor']
        >>> Scale()(mg.ones(2)).detach()
        tensor([2., 2.])
    """

    training: bool = True
    """Whether Dropout, BatchNorm1d and the like do as in training (True) or evaluation (False)."""

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Make a module that `mg.draw` can find, to name its parameters."""
        module = super().__new__(cls)
        modules_alive[id(module)] = module
        return module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output; every module defines its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self: _Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute the module's output: what `forward` returns."""
        thread.observer.called(self)
        return self.forward(*args, **kwargs)

    def __setattr__(self, name: str, value: object) -> None:
        old = self.__dict__.get(name)
        if isinstance(old, _OWNED) and not isinstance(value, _OWNED) and value is not None:
            kind = next(kind.__name__ for kind in _OWNED if isinstance(old, kind))
            raise replacement_error(kind, type(self).__name__, name, value)
        thread.observer.changes(self.__dict__)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        thread.observer.changes(self.__dict__)
        object.__delattr__(self, name)

    # parts, parameters and buffers, in the order of definition

    def _own(self, kind: type[T]) -> list[tuple[str, T]]:
        return [item for item in vars(self).items() if isinstance(item[1], kind)]

    def named_modules(
        self, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all inside it, each before its parts, with dotted names.

        Args:
            prefix: The name of this module.
            remove_duplicate: Give a module that occurs twice only under its first name.

        Raises:
            ValueError: A module contains itself, and `remove_duplicate` is False.
        """
        if not remove_duplicate:
            yield from self._paths("named_modules", prefix)
            return
        seen: set[Module] = set()
        stack = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if module not in seen:
                seen.add(module)
                yield name, module
                stack += reversed([(_path(name, key), m) for key, m in module._own(Module)])

    def _paths(self, operation: str, prefix: str = "") -> Iterator[tuple[str, Module]]:
        walk = self._walk(operation, prefix, lambda module: module._own(Module))
        return ((name, module) for name, module, is_left in walk if not is_left)

    def _walk(
        self, operation: str, prefix: str, parts: Callable[[Module], Iterable[tuple[str, Module]]]
    ) -> Iterator[tuple[str, Module, bool]]:
        """Each path to this module and those inside it, on entering (False) and leaving (True).

        Args:
            operation: The calling method, for the message.
            prefix: The name of this module.
            parts: Gives a module's parts with their names.

        Raises:
            ValueError: A module contains itself.
        """
        entered: dict[Module, str] = {}  # names of the modules entered and not left yet
        stack: list[tuple[str, Module, bool]] = [(prefix, self, False)]
        while stack:
            name, module, is_left = visit = stack.pop()
            if is_left:
                del entered[module]
            elif module in entered:
                outer = f"{entered[module]!r} again" if entered[module] else "the module itself"
                raise ValueError(
                    f"{operation}: {name!r} is {outer}, and a {type(module).__name__} inside "
                    "itself has no end; keep a reference to what is no part in a list: [module]"
                )
            else:
                entered[module] = name
                inner = [(_path(name, key), part, False) for key, part in parts(module)]
                stack += [(name, module, True), *reversed(inner)]
            yield visit

    def modules(self) -> Iterator[Module]:
        """This module and all inside it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are attributes of this one, each once."""
        first = {part: name for name, part in reversed(self._own(Module))}
        return ((name, part) for name, part in self._own(Module) if first[part] == name)

    def children(self) -> Iterator[Module]:
        """The modules that are attributes of this one, each once."""
        return (part for _, part in self.named_children())

    def _named(
        self, kinds: list[type[Tensor]], prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Tensor]]:
        modules = self.named_modules(prefix, remove_duplicate) if recurse else [(prefix, self)]
        seen: set[int] = set()
        for path, module in modules:
            for kind in kinds:
                for key, value in module._own(kind):
                    if remove_duplicate and id(value) in seen:
                        continue
                    seen.add(id(value))
                    yield _path(path, key), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted names.

        Args:
            prefix: What to put before the names.
            recurse: Whether to include the parameters of the modules inside.
            remove_duplicate: Give a parameter that occurs twice only under its first name.
        """
        named = self._named([Parameter], prefix, recurse, remove_duplicate)
        return cast("Iterator[tuple[str, Parameter]]", named)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once, also where modules share it.

        Args:
            recurse: Whether to include the parameters of the modules inside.
        """
        return (value for _, value in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Buffer]]:
        """The buffers with their dotted names; the arguments are as for `named_parameters`."""
        named = self._named([Buffer], prefix, recurse, remove_duplicate)
        return cast("Iterator[tuple[str, Buffer]]", named)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """The buffers, each once; with `recurse` also the buffers of modules inside."""
        return (value for _, value in self.named_buffers(recurse=recurse))

    # mode, device and dtype

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all inside it to training, and return it.

        Args:
            mode: False for evaluation, as `eval()`.
        """
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and all inside it to evaluation: no dropout, running statistics."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (False) or unfreeze all parameters, and return the module."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call a function with every module inside this one, then with this one, and return it.

        Args:
            fn: The function, for instance one that draws initial values.

        Raises:
            ValueError: A module contains itself.
        """
        for _, module, is_left in self._walk("apply", "", Module.named_children):
            if is_left:
                fn(module)
        return self

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def _convert(self, convert: Callable[[Array], Array]) -> Self:
        for _, value in self._named([Parameter, Buffer], "", True, True):
            array = convert(value._data)
            if array is not value._data:
                thread.observer.refuse(
                    "it converts a module; call .to() or .astype() outside", value
                )
                value._data = array
                note_replaced(value)
            if value._grad is not None:
                value._grad = new_leaf(convert(value._grad._data))
        return self

    def to(self, device: str) -> Self:
        """Move all parameters and buffers to a device, and return the module.

        The Parameter objects stay the same, so an optimizer made before still updates them.

        Args:
            device: "cpu" or "gpu".

        Raises:
            DeviceError: `device` is unknown or not usable.
        """
        require_device(device)
        return self._convert(lambda array: to_device(array, device))

    def astype(self, dtype: Any) -> Self:
        """Change all floating-point parameters and buffers to a dtype, and return the module.

        Args:
            dtype: A floating-point dtype.

        Raises:
            TypeError: `dtype` is not floating-point.

        Example:
            >>> import minigrad as mg
            >>> mg.nn.Linear(2, 1).astype("float64").weight.dtype
            dtype('float64')
        """
        dtype = dtype_of(dtype, "Module.astype")
        if dtype.kind != "f":
            raise TypeError(f"Module.astype: expected a floating-point dtype, got {dtype}")
        return self._convert(
            lambda array: array.astype(dtype, copy=False) if array.dtype.kind == "f" else array
        )

    # state

    def _entries(self, operation: str) -> dict[str, Tensor]:
        return {
            _path(path, key): value
            for path, module in self._paths(operation)
            for key, value in module._own(Parameter) + module._own(Buffer)
        }

    def state_dict(self) -> dict[str, Tensor]:
        """A snapshot: copies of all parameters and buffers, under all their names.

        Raises:
            ValueError: A module contains itself, so that names have no end.

        Example:
            >>> import minigrad as mg
            >>> [(name, value.shape) for name, value in mg.nn.Linear(2, 3).state_dict().items()]
            [('weight', (3, 2)), ('bias', (3,))]
        """
        return {k: new_leaf(x._data.copy()) for k, x in self._entries("state_dict").items()}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy values into the parameters and buffers, which keep their dtype and device.

        Args:
            state_dict: Names to Tensors, NumPy arrays, or anything else with `__array__`, such as
                the state of the same module in PyTorch.
            strict: Whether the names must be the same on both sides.

        Returns:
            The missing and the unexpected names.

        Raises:
            StateDictError: Names (where `strict`) or shapes differ, or a value is no array. The
                message lists every mismatch, and nothing has been changed.
            TypeError: `state_dict` is no mapping.
            ValueError: A module contains itself, so that names have no end.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"load_state_dict: expected names with Tensors, got {described(state_dict)}"
            )
        entries = self._entries("load_state_dict")
        missing = [name for name in entries if name not in state_dict]
        unexpected = [str(name) for name in state_dict if name not in entries]
        arrays: dict[str, Array] = {}
        problems = [f"missing: {', '.join(missing)}"] if strict and missing else []
        if strict and unexpected:
            problems.append(f"unexpected: {', '.join(unexpected)}")
        for name, entry in entries.items():
            if name not in missing:
                try:
                    arrays[name] = array_for(state_dict[name], entry)
                except (TypeError, ValueError, RuntimeError) as error:
                    problems.append(f"{name}: {error}")
        if problems:
            raise StateDictError(
                f"load_state_dict: the state does not fit {type(self).__name__}, and nothing was "
                "changed:\n  " + "\n  ".join(problems)
            )
        for name, array in arrays.items():
            write(entries[name]._data, array)
        return IncompatibleKeys(missing, unexpected)

    # printing

    def extra_repr(self) -> str:
        """The text between the parentheses when this module is printed."""
        return ""

    @recursive_repr()  # "..." for a module inside itself
    def __repr__(self) -> str:
        lines = [
            f"  ({name}): " + repr(part).replace("\n", "\n  ") for name, part in self._own(Module)
        ]
        own = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({own})"
        return "\n".join([f"{type(self).__name__}({own}", *lines, ")"])


_OWNED = (Parameter, Buffer, Module)


def _path(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key
