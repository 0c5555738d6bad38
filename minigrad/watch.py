"""Level 3: what a training step did, to see whether the next call would do the same.

A replay repeats kernels, not Python. It is right as long as Python would give the same kernels the
same memory and the same numbers. Three lists say whether it would:

- the *log*: every operation of the step with its shapes and Python numbers. Where it differs
  between a step that was only watched and the next, which was recorded, some number changes from
  call to call, and a replay would repeat that of the recording. Such a step is refused;
- the *leaves*: Tensors that were there before the step. Before each replay each must still have
  the array, and the switch `requires_grad`, that it had;
- the *settings*: attributes of the Modules that were called, and options of the optimizers.
"""

from __future__ import annotations

import gc
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import is_
from threading import get_ident
from typing import Any

import numpy as np

from minigrad.backends import Array, cheap_to_read, to_device
from minigrad.engine import Record, inspectors
from minigrad.live import recorders
from minigrad.tensor import Tensor, array_of

__all__ = ["PLAIN", "Watch", "difference", "mapped"]

PLAIN = (bool, int, float, complex, str, bytes, type(None))  # what counts by its value

Settings = Callable[[], Sequence[object]]


class Watch:
    """What a step did, and whether it would do the same now; the step runs as it stands."""

    recording = False

    def __init__(self) -> None:
        self.log: list[tuple[str, tuple[Any, ...]]] = []
        self.live: list[tuple[tuple[int, ...], Any]] = []  # shapes and dtypes of live values
        self.trouble: str | None = None
        self.leaves: list[tuple[Tensor, Array, bool]] = []
        self._there: dict[int, Tensor] = {}  # all Tensors that were there before, by their ids
        self._met: dict[int, Tensor] = {}
        self._settings: list[Settings] = []
        self._values: list[Sequence[object]] = []
        self._modules: dict[int, Any] = {}
        self._attributes: list[tuple[Mapping[str, object], list[object]]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """The step runs inside."""
        thread = get_ident()
        self._there = _all_tensors()
        if gc.get_freeze_count():
            self.trouble = "gc.freeze() hides Tensors from it; call gc.unfreeze() before"
        recorders[thread] = inspectors[thread] = self
        try:
            yield
        finally:
            del recorders[thread], inspectors[thread]
            self._there = {}

    def finish(self, inputs: Iterable[Tensor]) -> None:
        """The step is over: keep what it relies on.

        Args:
            inputs: Its arguments, which may be others next time.
        """
        own = set(map(id, inputs))
        for leaf in self._met.values():
            if id(leaf) not in own:
                self.leaves.append((leaf, leaf._data, leaf._requires_grad))
        self._met = {}
        self._values = [settings() for settings in self._settings]
        self._attributes = [(vars(part), [*vars(part).values()]) for part in self._modules.values()]

    def has_its_memory(self) -> bool:
        """Whether the leaves still have the arrays that they had."""
        return all(leaf._data is array for leaf, array, _ in self.leaves)

    def holds(self) -> bool:
        """Whether leaves and settings are what they were."""
        for leaf, array, requires_grad in self.leaves:
            if leaf._data is not array or leaf._requires_grad is not requires_grad:
                return False
        for own, values in self._attributes:
            if not all(map(is_, own.values(), values)) or len(own) != len(values):
                if not _same(list(own.values()), values):
                    return False
        return all(
            _same(settings(), old)
            for settings, old in zip(self._settings, self._values, strict=True)
        )

    # a Recorder, see live.py

    def array(
        self,
        draw: Callable[[], Any],
        shape: tuple[int, ...] | None,
        dtype: Any,
        described: tuple[object, ...],
    ) -> Array:
        """A live value, now."""
        values = np.asarray(draw(), dtype=dtype)
        self.live.append((values.shape, values.dtype))
        self.note("live values", *described)
        return to_device(values, "gpu")

    def repeat(self, action: Callable[[], object]) -> None:
        """Something to be done, now."""
        action()

    def depends(self, settings: Settings) -> None:
        """See `Recorder`."""
        self._settings.append(settings)

    def called(self, module: Any) -> None:
        """See `Recorder`; a module may work with what is in its parts without calling them."""
        for part in () if id(module) in self._modules else module.modules():
            self._modules[id(part)] = part
            part.training = part.training  # its own, so that eval() changes one, and adds none
            for value in vars(part).values():
                if isinstance(value, Tensor):
                    self._meet(value)

    def uses_gradient(self, leaf: Any) -> None:
        """See `Recorder`."""

    # an Inspector, see engine.py

    def forward(
        self,
        name: str,
        args: Iterable[Any],
        options: Mapping[str, Any],
        y: Any,
        record: Record | None,
    ) -> None:
        """Write an operation down."""
        for arg in args:
            for value in arg if isinstance(arg, list | tuple) else (arg,):
                if isinstance(value, Tensor):
                    self._meet(value)
        parts = y if isinstance(y, tuple) else (y,)
        if any(map(cheap_to_read, parts)) and self.trouble is None:
            self.trouble = f"{name} computes on the CPU, where nothing is recorded"
        self.note(name, *args, *options.values())

    def backward(self, record: Record) -> None:
        """Write down that the way back passes a record."""
        self.note(f"the derivative of {record.plan.name}")

    def pulled(self, record: Record, g: Any, gradients: Iterable[Any]) -> None:
        """Nothing more."""

    def note(self, name: str, *values: object) -> None:
        """Write something down."""
        self.log.append((name, tuple(map(_described, values))))

    def _meet(self, tensor: Tensor) -> None:
        if id(tensor) in self._there:
            self._met[id(tensor)] = tensor


def _all_tensors() -> dict[int, Tensor]:
    """All Tensors that there are, by their ids; without gradients, which nobody else may hold."""
    tensors = [x for x in gc.get_objects() if issubclass(type(x), Tensor)]
    gradients = {id(getattr(x, "_grad", None)) for x in tensors}  # one may be half made
    return {id(x): x for x in tensors if id(x) not in gradients}


def _same(new: Collection[object], old: Collection[object]) -> bool:
    """Whether the same objects are in both; plain values count by their value."""
    if len(new) != len(old):
        return False
    if all(map(is_, new, old)):
        return True
    return all(
        a is b or (type(a) is type(b) and type(a) in PLAIN and a == b)
        for a, b in zip(new, old, strict=True)
    )


def _described(value: object) -> Any:
    """What of a value a recording keeps: an array's shape and dtype, a Python number itself."""
    if isinstance(value, tuple | list):
        return tuple(map(_described, value))
    if isinstance(value, dict):
        return tuple((key, _described(part)) for key, part in value.items())
    array = array_of(value)
    if isinstance(array, (np.generic, slice, type(...), *PLAIN)):
        return repr(array)
    if not hasattr(array, "strides"):
        return type(array).__name__
    text = f"{array.dtype}{list(array.shape)}"
    if cheap_to_read(array):
        text += f" with checksum {zlib.crc32(np.ascontiguousarray(array).tobytes()):x}"
    return text


def difference(before: Watch, after: Watch) -> str | None:
    """What a step did differently in two calls; None where it did the same."""
    for (name, values), (other, new) in zip(before.log, after.log, strict=False):
        if (name, values) != (other, new):
            return (
                f"it is not the same from call to call: {_call(name, values)} in one became "
                f"{_call(other, new)} in the next. What changes must be an argument, or belong to "
                "an optimizer"
            )
    if len(before.log) != len(after.log):
        return (
            f"it is not the same from call to call: {len(before.log)} operations in one, "
            f"{len(after.log)} in the next"
        )
    if {id(leaf) for leaf, _, _ in before.leaves} != {id(leaf) for leaf, _, _ in after.leaves}:
        return (
            "it works with other Tensors in one call than in the next; what changes must be an "
            "argument"
        )
    return None


def _call(name: str, values: Iterable[Any]) -> str:
    def text(value: Any) -> str:
        return f"({', '.join(map(text, value))})" if isinstance(value, tuple) else str(value)

    return f"{name}({', '.join(map(text, values))})"


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """Nested tuples, lists and dictionaries with `function` of whatever else is in them."""
    kind = type(value)
    if kind is dict:
        return {key: mapped(part, function) for key, part in value.items()}
    if kind is list:
        return [mapped(part, function) for part in value]
    if isinstance(value, tuple):
        parts = [mapped(part, function) for part in value]
        return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
    return function(value)
