"""Modules that hold other modules in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Self, overload

from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["ModuleList", "Sequential"]


class _Ordered(Module):
    """Modules in order, named "0", "1", ... unless other names are given."""

    def append(self, module: Module) -> Self:
        """Add a module at the end, and return the container."""
        return self.extend([module])

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end, and return the container."""
        for number, module in enumerate(modules, start=len(self)):
            self._put(str(number), module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one at `index`, and renumber all modules."""
        layers = list(self)
        layers.insert(index, module)
        self._renumber(layers)

    def _put(self, name: str, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(
                f"{type(self).__name__}: expected modules, got {type(module).__name__} as {name!r}"
            )
        setattr(self, name, module)

    def _part(self, index: slice) -> Self:
        """A container of the same kind with some of the modules."""
        raise NotImplementedError

    def _renumber(self, modules: Iterable[Module]) -> None:
        for name, _ in self._own(Module):
            delattr(self, name)
        self.extend(modules)

    def _name(self, index: int) -> str:
        names = [name for name, _ in self._own(Module)]
        if not -len(names) <= index < len(names):
            raise IndexError(f"{type(self).__name__}: index {index} of {len(names)} modules")
        return names[index]

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            return self._part(index)
        return dict(self._own(Module))[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self._put(self._name(index), module)

    def __delitem__(self, index: int | slice) -> None:
        layers = list(self)
        del layers[index]
        self._renumber(layers)

    def __len__(self) -> int:
        return len(self._own(Module))

    def __iter__(self) -> Iterator[Module]:
        return (part for _, part in self._own(Module))


class Sequential(_Ordered):
    """Modules one after the other: each gets the output of the one before.

    Args:
        modules: The modules in order, or one mapping of names to modules.

    Raises:
        TypeError: An argument is not a module.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Sequential(mg.nn.Linear(2, 3), mg.nn.Tanh())
        >>> model
        Sequential(
          (0): Linear(in_features=2, out_features=3, bias=True)
          (1): Tanh()
        )
        >>> model(mg.ones(4, 2)).shape
        (4, 3)
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self._put(name, module)
        else:
            self.extend(modules)  # type: ignore[arg-type]  # extend checks

    def _part(self, index: slice) -> Self:
        return type(self)(dict(self._own(Module)[index]))

    def forward(self, input: Tensor) -> Tensor:
        """The last module's output."""
        for module in self:
            input = module(input)
        return input


class ModuleList(_Ordered):
    """A list of modules whose parameters are found; the module that owns it calls them.

    Args:
        modules: The modules in order.

    Raises:
        TypeError: An entry is not a module.

    Example:
        >>> import minigrad as mg
        >>> layers = ModuleList(mg.nn.Linear(2, 2) for _ in range(3))
        >>> len(layers), len(list(layers.parameters()))
        (3, 6)
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def _part(self, index: slice) -> Self:
        return type(self)(list(self)[index])
