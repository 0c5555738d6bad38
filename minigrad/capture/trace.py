"""What a training step did, to see whether the next call would do the same.

A replay repeats kernels, not Python. It is right as long as Python would give the same kernels the
same memory and the same numbers. Four things say whether it would:

- the *log*: every operation of the step with its shapes and Python numbers. Where it differs
  between two calls, some number changes from call to call, and a replay would repeat the old one;
- the *leaves*: Tensors that the step worked with and that live on when it is over. Before each
  replay each must still have the array, and the switch `requires_grad`, that it had;
- the *settings*: attributes of the Modules that were called, and options of the optimizers;
- what is *kept*: memory that the step got and that somebody still refers to when it is over,
  besides its results and gradients. It is a state that a replay would not renew.

A step that differs, that changes leaves or settings itself, or that keeps something is refused.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import ref

import numpy as np

from minigrad.backends import Array, on_host, to_device
from minigrad.backends.cupy.graph import StepGraph
from minigrad.capture.leaves import Exchanged, Leaf, memory_of
from minigrad.capture.values import PLAIN, call_text, description, mapped, same
from minigrad.engine import Record
from minigrad.observers import Observer, Settings, observed_by
from minigrad.tensor import Tensor
from minigrad.versions import Memory, journal

__all__ = ["Trace"]

CHANGES = "it changes {}, which a replay would not; do it outside"
KEEPS = (
    "it keeps {} that it has made (in a variable, a list, an attribute), which a replay would not "
    "renew; return it, and keep what the call returns"
)


class Trace(Observer):
    """What a step did, and whether it would do the same now; the step runs as it stands.

    Args:
        graph: Whose memory the step gets.
        before: The same step in the call before; None in the first, which may make what the others
            find.

    Attributes:
        trouble: Why the step cannot be replayed; None as far as nothing is known.
        values: The shapes and dtypes of what the host computed for it.
        leaves: What it worked with.
        written: The memory that it wrote to, besides results of operations.
    """

    def __init__(self, graph: StepGraph, before: Trace | None = None) -> None:
        self.trouble: str | None = None
        self.values: list[tuple[tuple[int, ...], Any]] = []
        self.leaves: list[Leaf] = []
        self.written: list[Memory] = []
        self._log: list[tuple[str, tuple[Any, ...]]] = []
        self._graph, self._before = graph, before
        self._met: dict[int, ref[Tensor]] = {}  # Tensors, by their ids
        self._own_gradients: dict[int, ref[Tensor]] = {}  # leaves whose gradient it has set
        self._old_gradients: dict[int, ref[Tensor]] = {}
        self._exchanged: dict[int, Exchanged] = {}  # Tensors with another array, by their ids
        self._shapes: dict[int, tuple[Any, tuple[int, ...]]] = {}  # loans by address, and shapes
        self._modules: dict[int, Any] = {}
        self._changed: dict[int, dict[Any, Any] | list[Any]] = {}
        self._attributes: list[tuple[Any, list[object]]] = []
        self._settings: list[tuple[Settings, list[object]]] = []  # and what they were when used
        self._lookups: list[tuple[Settings, list[object]]] = []  # and what they should be now
        if before is not None:
            self._lookups = [(settings, [*settings()]) for settings, _ in before._lookups]
            for leaf in before.leaves:
                if (tensor := leaf.tensor()) is not None and tensor._grad is not None:
                    self._old_gradients[id(tensor._grad)] = ref(tensor._grad)
        self._earlier_lookups = len(self._lookups)
        self._is_steady = True  # whether these have changed by actions only

    @contextmanager
    def watching(self) -> Iterator[None]:
        """The step runs inside."""
        with observed_by(self), journal() as self.written:
            yield

    def returned(self, result: Any) -> None:
        """The step is over: see whether its results can be filled by a replay."""

        def check(value: Any) -> None:
            if type(value) in PLAIN:
                return
            if not isinstance(value, Tensor) or on_host(value._data):
                self.refuse(
                    f"it returns a {type(value).__name__}, where only Tensors on the GPU and plain "
                    "numbers in tuples, lists and dictionaries can be filled by a replay"
                )

        self.note("return", result)
        mapped(result, check)
        self._bring_back()

    def finish(self, results: Iterable[Array] = ()) -> None:
        """Nothing of the step is referred to any more but by others: see what it relies on.

        Args:
            results: What of the step's memory may be kept, besides gradients.
        """
        own = {id(leaf._grad) for leaf in self.with_own_gradients()} | self.arguments()
        met = [tensor for known in self._met.values() if (tensor := known()) is not None]
        self.leaves = [
            Leaf(ref(tensor), memory_of(tensor._data), tensor._requires_grad)
            for tensor in met
            if id(tensor) not in own and not self._graph.has_lent(tensor._data)
        ]
        del met
        self._met = {}
        self._attributes = [(part, _attributes(part)) for part in self._modules.values()]
        when_used = self._settings
        self._settings = [(settings, [*settings()]) for settings, _ in when_used]
        before, self._before = self._before, None
        if self.trouble is None and not all(
            same(new, old) for (_, new), (_, old) in zip(self._settings, when_used, strict=True)
        ):
            self.trouble = CHANGES.format("an option or the memory of an optimizer")
        self._look()
        del self._lookups[: self._earlier_lookups]
        if self.trouble is None and before is not None:
            self.trouble = self._difference(before) or self._kept(results)
        del self._graph  # a step that is refused gives its memory back

    def arguments(self) -> set[int]:
        """The ids of the Tensors that the step got as arguments, as far as they are there still."""
        return set()

    def has_its_memory(self) -> bool:
        """Whether the leaves still have the arrays that they had."""
        return all(leaf.has_its_memory() for leaf in self.leaves)

    def is_current(self) -> bool:
        """Whether leaves and settings are what they were."""
        return self.change() is None

    def change(self) -> str | None:
        """What of leaves and settings is no more what it was."""
        for leaf in self.leaves:
            tensor = leaf.tensor()
            if tensor is None:
                return "which Tensors there are"
            if not leaf.has_its_memory():
                return f"the memory of a Tensor of shape {tensor.shape}"
            if tensor._requires_grad is not leaf.requires_grad:
                return f"requires_grad of a Tensor of shape {tensor.shape}"
        for module, known in self._attributes:
            if not same(_attributes(module), known):
                return "an attribute of a module"
        for settings, known in self._settings:
            if not same([*settings()], known):
                return "an option or the memory of an optimizer"
        return None

    def _difference(self, before: Trace) -> str | None:
        """What the step did differently in the call before; None where it did the same."""
        for (name, values), (other, new) in zip(before._log, self._log, strict=False):
            if (name, values) != (other, new):
                return (
                    f"it is not the same from call to call: {call_text(name, values)} in one "
                    f"became {call_text(other, new)} in the next. What changes must be an "
                    "argument, or belong to an optimizer"
                )
        if len(before._log) != len(self._log):
            return (
                f"it is not the same from call to call: {len(before._log)} operations in one, "
                f"{len(self._log)} in the next"
            )
        if [*map(_size, before.written)] != [*map(_size, self.written)]:
            return (
                f"it is not the same from call to call: {len(before.written)} writes to memory in "
                f"one, {len(self.written)}, or to other parts, in the next"
            )
        if [id(leaf.tensor()) for leaf in before.leaves] != [
            id(leaf.tensor()) for leaf in self.leaves
        ]:
            return (
                "it works with other Tensors in one call than in the next; what changes must be an "
                "argument"
            )
        changed = before.change()
        if changed is None and not self._is_steady:
            changed = "the learning rate, or another option, of an optimizer"
        return changed and CHANGES.format(changed)

    def changed(self) -> list[dict[Any, Any] | list[Any]]:
        """What the step has changed on the host."""
        return [*self._changed.values()]

    def with_own_gradients(self) -> list[Tensor]:
        """The leaves whose `.grad` the step has set."""
        leaves = (known() for known in self._own_gradients.values())
        return [leaf for leaf in leaves if leaf is not None]

    def _kept(self, results: Iterable[Array]) -> str | None:
        """What is kept of the step's memory besides its results and gradients."""

        def look() -> dict[int, int]:
            gradients = [leaf._grad for leaf in self.with_own_gradients()]
            own = [gradient._data for gradient in gradients if gradient is not None]
            return self._graph.in_use(but=[*results, *own])

        kept = look()
        if kept:
            gc.collect()  # it may be only waiting to be found
            kept = look()
        for address, size in kept.items():
            loan, shape = self._shapes.get(address, (None, ()))
            what = f"shape {shape}" if loan is self._graph.loan_at(address) else f"{size} bytes"
            return KEEPS.format(f"an array of {what}")
        return None

    # operations, and the way back through them

    def operation(
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
                    self.meet(value)
        for array in y if isinstance(y, tuple) else (y,):
            if on_host(array):
                self.refuse(f"{name} computes on the CPU, where nothing is recorded")
            else:
                address = array.data.mem.ptr
                self._shapes[address] = self._graph.loan_at(address), array.shape
        self.note(name, *args, *options.values())

    def backward(self, record: Record) -> None:
        """Write down that the way back passes a record."""
        self.note(f"the derivative of {record.plan.name}")

    def note(self, name: str, *values: object) -> None:
        """Write something down."""
        self._log.append((name, tuple(map(description, values))))

    def meet(self, tensor: Tensor) -> None:
        """Remember a Tensor that the step works with."""
        key = id(tensor)
        if key in self._old_gradients and self._old_gradients[key]() is tensor:
            self._refuse_old_gradient(tensor)
        elif key not in self._met or self._met[key]() is not tensor:
            self._met.pop(key, None)  # another Tensor that was here before
            self._met[key] = ref(tensor)

    def _refuse_old_gradient(self, tensor: Tensor) -> None:
        self.refuse(
            "it uses the gradient that an earlier call has left in a leaf of shape "
            f"{tensor.shape}; call zero_grad() in the step, before backward()"
        )

    # what differs from step to step

    def replay_values(
        self,
        draw: Callable[[], Any],
        shape: tuple[int, ...] | None,
        dtype: Any,
        device: str,
        *described: object,
    ) -> Array:
        """The values as they are now; see `Observer`."""
        if device != "gpu":
            self.refuse("it draws numbers on the CPU; pass device='gpu', or draw them outside")
            return super().replay_values(draw, shape, dtype, device, *described)
        values = np.asarray(draw(), dtype=dtype)
        self.values.append((values.shape, values.dtype))
        self.note("replay values", *described)
        return self.place(values, draw)

    def place(self, values: Any, draw: Callable[[], Any]) -> Array:
        """Where replay values are on the GPU."""
        return to_device(values, "gpu")

    def repeat(self, action: Callable[[], object]) -> None:
        """Do it now; what it changes of the settings that are looked up is no trouble."""
        self.note("action")
        self._look()
        action()
        self._lookups = [(settings, [*settings()]) for settings, _ in self._lookups]

    def _look(self) -> None:
        """See whether the settings that are looked up are what they should be."""
        if not all(same([*settings()], known) for settings, known in self._lookups):
            self._is_steady = False

    # what a step relies on, and what it changes: see `Observer`

    def called(self, module: Any) -> None:
        """A module may work with what is in its parts without calling them."""
        for part in () if id(module) in self._modules else module.modules():
            self._modules[id(part)] = part
            self.changes(vars(part))
            for value in vars(part).values():
                if isinstance(value, Tensor):
                    self.meet(value)

    def depends(self, settings: Settings) -> None:
        """Remember what they are now."""
        self._settings.append((settings, [*settings()]))

    def looks_up(self, settings: Settings) -> None:
        """Remember what they are now."""
        self._lookups.append((settings, [*settings()]))

    def uses_gradient(self, leaf: Any) -> None:
        """Refuse it where the step has not set it before."""
        known = self._own_gradients.get(id(leaf))
        if leaf._grad is not None and (known is None or known() is not leaf):
            self._refuse_old_gradient(leaf)

    def sets_gradient(self, leaf: Any) -> None:
        """From here on the gradient is the step's own."""
        self._own_gradients[id(leaf)] = ref(leaf)

    def changes(self, contents: dict[Any, Any] | list[Any]) -> None:
        """Remember what it is, so that a recording can put back what is in it."""
        self._changed[id(contents)] = contents

    def assigns(self, tensor: Any) -> None:
        """Remember the memory that it has now, where its values have to be when the step ends."""
        if id(tensor) not in self._exchanged and not self._is_own(tensor):
            self._exchanged[id(tensor)] = Exchanged.of(tensor)

    def _bring_back(self) -> None:
        """Copy what was assigned to where it will be looked for, if that is the same to all."""
        exchanged, self._exchanged = self._exchanged, {}
        for each in exchanged.values():
            array = each.tensor._data
            is_computed = each.is_back() or self._graph.has_lent(array)
            del array
            if not is_computed or not each.bring_back():
                self.refuse(
                    f"it assigns .data of a Tensor of shape {each.tensor.shape}, and a replay goes "
                    "on with the memory that it was recorded with; write there instead: x.data[...]"
                    " = values. (An array that the step has computed is copied there, if it has the"
                    " same dtype and nothing else refers to it or to the old one.)"
                )

    def refuse(self, reason: str, tensor: Tensor | None = None) -> None:
        """Keep the first reason; what the step does to a Tensor of its own is its own business."""
        if self.trouble is None and (tensor is None or not self._is_own(tensor)):
            self.trouble = reason

    def _is_own(self, tensor: Tensor) -> bool:
        """Whether the step itself has made a Tensor, or set it as a gradient."""
        gradients = (leaf._grad for leaf in self.with_own_gradients())
        return self._graph.has_lent(tensor._data) or any(g is tensor for g in gradients)


def _attributes(module: Any) -> list[object]:
    """What a module has; `training` comes first, whether the class has it or the module.

    Tensors are not kept: for one that lives there is one weak reference, however often it is made.
    """
    values = (value for name, value in vars(module).items() if name != "training")
    return [module.training, *(ref(v) if isinstance(v, Tensor) else v for v in values)]


def _size(memory: Memory) -> int | None:
    """How many bytes were written to; None where it was all of an array of NumPy's."""
    return memory[1] - memory[0] if isinstance(memory, tuple) else None
