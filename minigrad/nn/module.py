"""Modules: parts of a network, which own parameters and smaller parts.

A module finds what it owns by looking at its attributes. Parameters are `Parameter`s, other arrays
worth saving are `Buffer`s, parts are modules; nothing is registered and nothing is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import get_ident
from typing import Any, NamedTuple, ParamSpec, Protocol, Self, TypeVar, cast

import numpy as np

from minigrad.backends import Array, require_device, to_device
from minigrad.hints import ModuleHints
from minigrad.live import recorders, refuse
from minigrad.tensor import Tensor, new_leaf
from minigrad.writes import note_replaced, write

__all__ = [
    "Buffer",
    "IncompatibleKeys",
    "Module",
    "Parameter",
    "StateDictError",
]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")


class Parameter(Tensor):
    """A Tensor that a module learns: an attribute of this type is one of its parameters.

    Args:
        data: What `mg.tensor` takes; a Tensor's memory is shared.
        requires_grad: Whether backward passes compute its gradient; False freezes it.

    Example:
        >>> Parameter([1.0, 2.0])
        Parameter containing:
        tensor([1., 2.], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """A Tensor that belongs to a module's state but is not learnt, such as a running mean.

    Args:
        data: What `mg.tensor` takes; a Tensor's memory is shared.

    Example:
        >>> Buffer([0.0]).requires_grad
        False
    """

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(data)


class StateDictError(RuntimeError):
    """A state that does not fit a module; the message lists everything that does not.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.Linear(2, 1).load_state_dict({"weight": mg.ones(1, 3)})
        Traceback (most recent call last):
        minigrad.nn.module.StateDictError: load_state_dict: the state does not fit Linear, and ...
    """


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found besides the entries that it loaded.

    Attributes:
        missing_keys: Names that the module has and the state has not.
        unexpected_keys: Names that the state has and the module has not.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


class _Callable(Protocol[P, R]):
    """A module as a type checker sees it: calling it takes and gives what `forward` does."""

    def forward(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


class Module(ModuleHints):
    """A part of a network: parameters and smaller modules as attributes, and `forward`.

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
    """Whether layers that differ between training and use (Dropout, BatchNorm1d) are training."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output; every module defines its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self: _Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute the module's output: what `forward` returns."""
        if recorders and (recorder := recorders.get(get_ident())) is not None:
            recorder.called(self)
        return self.forward(*args, **kwargs)

    # what it consists of, in the order of definition

    def _own(self, kind: type[T]) -> list[tuple[str, T]]:
        return [item for item in vars(self).items() if isinstance(item[1], kind)]

    def named_modules(
        self, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all inside it, each before its parts, with dotted names.

        Args:
            prefix: The name of this module.
            remove_duplicate: Give a module that occurs twice only under its first name.
        """
        seen: set[Module] = set()
        stack = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if module in seen:
                continue
            if remove_duplicate:
                seen.add(module)
            yield name, module
            inner = [(f"{name}.{key}".lstrip("."), part) for key, part in module._own(Module)]
            stack += reversed(inner)

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
                    yield f"{path}.{key}".lstrip("."), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted names.

        Args:
            prefix: What to put before the names.
            recurse: Whether to include those of the modules inside.
            remove_duplicate: Give a parameter that occurs twice only under its first name.
        """
        named = self._named([Parameter], prefix, recurse, remove_duplicate)
        return cast("Iterator[tuple[str, Parameter]]", named)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once, also where modules share it.

        Args:
            recurse: Whether to include those of the modules inside.
        """
        return (value for _, value in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Buffer]]:
        """The buffers with their dotted names; the arguments are those of `named_parameters`."""
        named = self._named([Buffer], prefix, recurse, remove_duplicate)
        return cast("Iterator[tuple[str, Buffer]]", named)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """The buffers, each once.

        Args:
            recurse: Whether to include those of the modules inside.
        """
        return (value for _, value in self.named_buffers(recurse=recurse))

    # how it is switched and moved

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all inside it to training, and return it.

        Args:
            mode: False for use, as `eval()`.
        """
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and all inside it to use: no dropout, running statistics."""
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
        """
        for part in self.children():
            part.apply(fn)
        fn(self)
        return self

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def _convert(self, convert: Callable[[Array], Array]) -> Self:
        for _, value in self._named([Parameter, Buffer], "", True, True):
            array = convert(value._data)
            if array is not value._data:
                refuse("it converts a module; call .to() or .astype() outside", value)
                value._data = array
                note_replaced(value)
            if value._grad is not None:
                value._grad = new_leaf(convert(value._grad._data))
        return self

    def to(self, device: str) -> Self:
        """Move all parameters and buffers to a device, and return the module.

        The objects stay, so an optimizer made before goes on with them.

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
        dtype = np.dtype(dtype)
        if dtype.kind != "f":
            raise TypeError(f"Module.astype: expected a floating-point dtype, got {dtype}")
        return self._convert(
            lambda array: array.astype(dtype, copy=False) if array.dtype.kind == "f" else array
        )

    # its state

    def _entries(self) -> dict[str, Tensor]:
        return dict(self._named([Parameter, Buffer], "", True, False))

    def state_dict(self) -> dict[str, Tensor]:
        """A snapshot: copies of all parameters and buffers, under every name that they have.

        Example:
            >>> import minigrad as mg
            >>> [(name, value.shape) for name, value in mg.nn.Linear(2, 3).state_dict().items()]
            [('weight', (3, 2)), ('bias', (3,))]
        """
        return {name: new_leaf(value._data.copy()) for name, value in self._entries().items()}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy values into the parameters and buffers, whose dtype and device stay.

        Args:
            state_dict: Names to Tensors, NumPy arrays, or anything else with `__array__`, such as
                the state of the same module in PyTorch.
            strict: Whether the names must be the same on both sides.

        Returns:
            The names that were missing, and those that were unexpected.

        Raises:
            StateDictError: Names (where `strict`) or shapes differ, or a value is no array. The
                message lists all of it, and nothing has been changed.
        """
        entries = self._entries()
        missing = [name for name in entries if name not in state_dict]
        unexpected = [name for name in state_dict if name not in entries]
        arrays: dict[str, Array] = {}
        problems = [f"missing: {', '.join(missing)}"] if strict and missing else []
        if strict and unexpected:
            problems.append(f"unexpected: {', '.join(unexpected)}")
        for name, entry in entries.items():
            if name not in missing:
                try:
                    arrays[name] = _fitting(state_dict[name], entry)
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

    # how it prints

    def extra_repr(self) -> str:
        """What stands in the parentheses of this module's line when it is printed."""
        return ""

    def __repr__(self) -> str:
        lines = [
            f"  ({name}): " + repr(part).replace("\n", "\n  ") for name, part in self._own(Module)
        ]
        own = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({own})"
        return "\n".join([f"{type(self).__name__}({own}", *lines, ")"])


def _fitting(value: Any, entry: Tensor) -> Array:
    """The raw array of a value from a state, on the device of the entry that it is for."""
    if not hasattr(value, "__array__"):
        raise TypeError(f"expected a Tensor or an array, got {type(value).__name__}")
    array = value._data if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"expected numbers, got an array of dtype {array.dtype}")
    if array.shape != entry.shape:
        raise ValueError(f"shape {array.shape}, expected {entry.shape}")
    return to_device(array, entry.device)
