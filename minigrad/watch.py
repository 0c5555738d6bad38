"""Level 3: what a training step did, to see whether the next call would do the same.

A replay repeats kernels, not Python. It is right as long as Python would give the same kernels the
same memory and the same numbers. Four things say whether it would:

- the *log*: every operation of the step with its shapes and Python numbers. Where it differs
  between a step that was only watched and the next, some number changes from call to call, and a
  replay would repeat that of the recording;
- the *leaves*: Tensors that were there before the step. Before each replay each must still have
  the array, and the switch `requires_grad`, that it had;
- the *settings*: attributes of the Modules that were called, and options of the optimizers;
- what is *kept*: memory of the step that somebody holds when it is over, besides its results and
  gradients. It is a state that goes from call to call, which a replay would not renew.

A step that differs, that changes leaves or settings itself, or that keeps something is refused.
"""

from __future__ import annotations

import gc
import weakref
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import is_
from threading import get_ident
from typing import Any

import numpy as np

from minigrad.backends import Array, cheap_to_read, to_device
from minigrad.backends.cupy.graph import StepGraph
from minigrad.engine import Record, inspectors
from minigrad.live import Settings, recorders
from minigrad.tensor import Tensor, array_of, made, new_leaf

__all__ = ["PLAIN", "Watch", "copied", "mapped", "outside_the_graph", "twin"]

PLAIN = (bool, int, float, complex, str, bytes, type(None))  # what counts by its value


CHANGES = "it changes {}, which a replay would not; do it outside"


class Watch:
    """What a step did, and whether it would do the same now; the step runs as it stands.

    Args:
        before: The same step in the call before; None in the first, which may make what the others
            find.

    Attributes:
        trouble: Why the step cannot be replayed; None as far as nothing is known.
    """

    recording = False

    def __init__(self, before: Watch | None = None) -> None:
        self.log: list[tuple[str, tuple[Any, ...]]] = []
        self.live: list[tuple[tuple[int, ...], Any]] = []  # shapes and dtypes of live values
        self.trouble: str | None = None
        self.leaves: list[tuple[Tensor, Array, bool]] = []
        self._before = before
        self._rates_before = before.rates_now() if before is not None else []
        self._there: dict[int, Tensor] = {}  # all Tensors that were there before, by their ids
        self._old: dict[int, weakref.ref[Tensor]] = {}  # and their gradients
        self._met: dict[int, Tensor] = {}
        self._settings: list[tuple[Settings, list[object]]] = []  # and what they were when used
        self._rates: list[tuple[Settings, list[object]]] = []  # which may change between calls
        self._modules: dict[int, Any] = {}
        self._attributes: list[tuple[Mapping[str, object], list[object]]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """The step runs inside."""
        thread = get_ident()
        self._there, self._old = _all_tensors()
        if gc.get_freeze_count():
            self.trouble = "gc.freeze() hides Tensors from it; call gc.unfreeze() before"
        recorders[thread] = inspectors[thread] = self
        try:
            yield
        finally:
            del recorders[thread], inspectors[thread]
            self._there, self._old = {}, {}

    def returned(self, result: Any) -> None:
        """The step is over: see whether its results can be filled by a replay."""

        def check(value: Any) -> None:
            if type(value) in PLAIN:
                return
            if not isinstance(value, Tensor) or cheap_to_read(value._data):
                self.refuse(
                    f"it returns a {type(value).__name__}, where only Tensors on the GPU and plain "
                    "numbers in tuples, lists and dictionaries can be filled by a replay"
                )

        self.note("return", result)
        mapped(result, check)

    def finish(self, graph: StepGraph, results: Iterable[Array] = ()) -> None:
        """Nothing of the step is held any more but by others: see what it relies on.

        Args:
            graph: Whose memory it has used.
            results: What of that memory may be held, besides gradients.
        """
        self.leaves = [(leaf, leaf._data, leaf._requires_grad) for leaf in self._met.values()]
        self._met = {}
        self._attributes = [(vars(part), [*vars(part).values()]) for part in self._modules.values()]
        when_used = self._settings
        self._settings = [(settings, [*settings()]) for settings, _ in when_used]
        before, self._before = self._before, None
        if self.trouble is not None:
            return
        if not all(
            _same(new, old) for (_, new), (_, old) in zip(self._settings, when_used, strict=True)
        ):
            self.trouble = CHANGES.format("an option or the memory of an optimizer")
        elif before is not None:
            self.trouble = self._difference(before) or _kept(graph, results)

    def has_its_memory(self) -> bool:
        """Whether the leaves still have the arrays that they had."""
        return all(leaf._data is array for leaf, array, _ in self.leaves)

    def holds(self) -> bool:
        """Whether leaves and settings are what they were."""
        return self.change() is None

    def change(self) -> str | None:
        """What of leaves and settings is no more what it was."""
        for leaf, array, requires_grad in self.leaves:
            if leaf._data is not array or leaf._requires_grad is not requires_grad:
                name = "requires_grad" if leaf._data is array else "the memory"
                return f"{name} of a Tensor of shape {leaf.shape}"
        for own, values in self._attributes:
            if not all(map(is_, own.values(), values)) or len(own) != len(values):
                if not _same(list(own.values()), values):
                    return "an attribute of a module"
        for settings, known in self._settings:
            if not _same([*settings()], known):
                return "an option or the memory of an optimizer"
        return None

    def rates_now(self) -> list[list[object]]:
        """What may change between calls, but not in one, as a replay looks at it only once."""
        return [[*rates()] for rates, _ in self._rates]

    def _difference(self, before: Watch) -> str | None:
        """What the step did differently in the call before; None where it did the same."""
        for (name, values), (other, new) in zip(before.log, self.log, strict=False):
            if (name, values) != (other, new):
                return (
                    f"it is not the same from call to call: {_call(name, values)} in one became "
                    f"{_call(other, new)} in the next. What changes must be an argument, or belong "
                    "to an optimizer"
                )
        if len(before.log) != len(self.log):
            return (
                f"it is not the same from call to call: {len(before.log)} operations in one, "
                f"{len(self.log)} in the next"
            )
        if [id(leaf) for leaf, _, _ in before.leaves] != [id(leaf) for leaf, _, _ in self.leaves]:
            return (
                "it works with other Tensors in one call than in the next; what changes must be an "
                "argument"
            )
        changed = before.change()
        when_used = [values for _, values in self._rates]
        if changed is None and not (
            all(map(_same, before.rates_now(), self._rates_before))
            and all(map(_same, self.rates_now(), when_used))
        ):
            changed = "the learning rate, or another option, of an optimizer"
        return changed and CHANGES.format(changed)

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
        return self.place(values, draw)

    def place(self, values: Any, draw: Callable[[], Any]) -> Array:
        """Where live values are on the GPU."""
        return to_device(values, "gpu")

    def repeat(self, action: Callable[[], object]) -> None:
        """Something to be done, now."""
        self.note("write")
        action()

    def refuse(self, reason: str, tensor: Tensor | None = None) -> None:
        """Keep the first reason; what the step does to a Tensor of its own is its own business."""
        if self.trouble is None and (tensor is None or id(tensor) in self._there):
            self.trouble = reason

    def depends(self, settings: Settings, between_calls: bool = False) -> None:
        """See `Recorder`."""
        (self._rates if between_calls else self._settings).append((settings, [*settings()]))

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
        if leaf._grad is not None:
            self._meet(leaf._grad)

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
        if any(map(cheap_to_read, y if isinstance(y, tuple) else (y,))):
            self.refuse(f"{name} computes on the CPU, where nothing is recorded")
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
        elif id(tensor) in self._old and self._old[id(tensor)]() is tensor:
            self.refuse(
                f"it uses the gradient that an earlier call has left in a leaf of shape "
                f"{tensor.shape}; call zero_grad() in the step, before backward()"
            )


def _all_tensors() -> tuple[dict[int, Tensor], dict[int, weakref.ref[Tensor]]]:
    """All Tensors that there are, and their gradients, which nobody else may hold; by their ids."""
    tensors = [x for x in gc.get_objects() if issubclass(type(x), Tensor)]
    found = [getattr(x, "_grad", None) for x in tensors]  # one may be half made
    gradients = {id(g): weakref.ref(g) for g in found if g is not None}
    return {id(x): x for x in tensors if id(x) not in gradients}, gradients


def _kept(graph: StepGraph, results: Iterable[Array]) -> str | None:
    """What is held of a step's memory besides its results and gradients."""

    def look() -> Array | None:
        gradients = [g._data for ref in _all_tensors()[1].values() if (g := ref()) is not None]
        known = [*results, *gradients]
        return graph.kept({*map(id, known), *(id(x.base) for x in known)})

    kept = look()
    if kept is not None:
        gc.collect()  # it may be only waiting to be found
        kept = look()
    if kept is None:
        return None
    return (
        f"it keeps an array of shape {kept.shape} that it has made (in a variable, a list, an "
        "attribute), which a replay would not renew; return it, and keep what the call returns"
    )


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


def outside_the_graph(value: Any) -> Any:
    """A Tensor of a result without what a gradient would go back to; anything else as it is."""
    return value.detach() if isinstance(value, Tensor) and value._record is not None else value


def twin(x: Tensor, array: Array) -> Tensor:
    """An argument in other memory, where `+=` does what it does to the argument."""
    return new_leaf(array) if hasattr(x, "_writable") else made(array)


def copied(value: Any) -> Any:
    """A Tensor of a result in memory of its own, as a replay gives it; anything else as it is."""
    return made(value._data.copy()) if isinstance(value, Tensor) else value
