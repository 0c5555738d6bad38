"""A trace of what a training step did, to decide whether a replay would do the same.

A replay repeats kernels, not Python. It is right as long as Python would start the same kernels
with the same memory and the same numbers. Four parts of a trace tell whether it would:

- the *log*: every operation of the step with its shapes and Python numbers. If two calls differ in
  it, some number changes from call to call, and a replay would repeat the old one;
- the *leaves*: Tensors that the step used and that still exist after it. Before each replay, each
  leaf must still have the same memory and the same `requires_grad`;
- the *settings*: attributes of the Modules that were called, and options of the optimizers;
- *kept* memory: memory allocated by the step that is still in use after it, besides its results and
  gradients. It is a state that a replay would not renew.

A step is refused if two calls differ, if it changes leaves or settings itself, or if it keeps
memory.
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
from minigrad.capture.leaves import Assignment, Leaf, memory_of
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
    """What one call of a step did; the step runs as ordinary Python meanwhile.

    Args:
        graph: The graph whose memory pool the step allocates from.
        before: The trace of the previous call; None in the first call, which may do more than the
            others, such as make an optimizer's state.

    Attributes:
        trouble: Why the step cannot be replayed; None if no reason is known.
        values: The shapes and dtypes of its replay values, see `observers.py`.
        leaves: The Tensors that it used and that still exist.
        written: The memory that it wrote to, besides results of operations.
    """

    def __init__(self, graph: StepGraph, before: Trace | None = None) -> None:
        self.trouble: str | None = None
        self.values: list[tuple[tuple[int, ...], Any]] = []
        self.leaves: list[Leaf] = []
        self.written: list[Memory] = []
        self._log: list[tuple[str, tuple[Any, ...]]] = []
        self._graph, self._before = graph, before
        self._used: dict[int, ref[Tensor]] = {}  # the Tensors that it has used, by their ids
        self._own_gradients: dict[int, ref[Tensor]] = {}  # the leaves whose `.grad` it has set
        self._old_gradients: dict[int, ref[Tensor]] = {}
        self._assignments: dict[int, Assignment] = {}  # Tensors whose `.data` it has assigned
        self._shapes: dict[int, tuple[Any, tuple[int, ...]]] = {}  # (loan, shape) by address
        self._modules: dict[int, Any] = {}
        self._changed: dict[int, dict[Any, Any] | list[Any]] = {}
        self._attributes: list[tuple[Any, list[object]]] = []
        self._settings: list[tuple[Settings, list[object]]] = []  # with their values when used
        self._lookups: list[tuple[Settings, list[object]]] = []  # with their expected values
        if before is not None:
            self._lookups = [(settings, [*settings()]) for settings, _ in before._lookups]
            for leaf in before.leaves:
                if (tensor := leaf.tensor()) is not None and tensor._grad is not None:
                    self._old_gradients[id(tensor._grad)] = ref(tensor._grad)
        self._earlier_lookups = len(self._lookups)
        self._is_steady = True  # whether the lookups have changed through `repeat` only

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Observe the step, which runs inside the `with` block."""
        with observed_by(self), journal() as self.written:
            yield

    def returned(self, result: Any) -> None:
        """Note the step's results, and refuse those that a replay cannot fill."""

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
        """Find out what the step relies on; call it when the step's own variables are gone.

        Args:
            results: The step's memory that may stay in use, besides that of gradients.
        """
        own = {id(leaf._grad) for leaf in self.with_own_gradients()} | self.arguments()
        alive = [tensor for known in self._used.values() if (tensor := known()) is not None]
        self.leaves = [
            Leaf(ref(tensor), memory_of(tensor._data), tensor._requires_grad)
            for tensor in alive
            if id(tensor) not in own and not self._graph.has_lent(tensor._data)
        ]
        del alive
        self._used = {}
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
        """The ids of the Tensors that the step got as arguments and that still exist."""
        return set()

    def has_its_memory(self) -> bool:
        """Whether the values of all leaves still lie in the same memory."""
        return all(leaf.has_its_memory() for leaf in self.leaves)

    def is_current(self) -> bool:
        """Whether leaves and settings are unchanged."""
        return self.change() is None

    def change(self) -> str | None:
        """What has changed among leaves and settings, in words; None if nothing has."""
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
        """How the step differs from the previous call, in words; None if it does not."""
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
        """The dictionaries and lists that the step has changed."""
        return [*self._changed.values()]

    def with_own_gradients(self) -> list[Tensor]:
        """The leaves whose `.grad` the step has set."""
        leaves = (known() for known in self._own_gradients.values())
        return [leaf for leaf in leaves if leaf is not None]

    def _kept(self, results: Iterable[Array]) -> str | None:
        """The memory that the step keeps besides its results and gradients, in words."""

        def look() -> dict[int, int]:
            gradients = [leaf._grad for leaf in self.with_own_gradients()]
            own = [gradient._data for gradient in gradients if gradient is not None]
            return self._graph.in_use(but=[*results, *own])

        kept = look()
        if kept:
            gc.collect()  # a cycle of references may only be waiting for the collector
            kept = look()
        for address, size in kept.items():
            loan, shape = self._shapes.get(address, (None, ()))
            what = f"shape {shape}" if loan is self._graph.loan_at(address) else f"{size} bytes"
            return KEEPS.format(f"an array of {what}")
        return None

    # operations, and backward passes through them

    def operation(
        self,
        name: str,
        args: Iterable[Any],
        options: Mapping[str, Any],
        y: Any,
        record: Record | None,
    ) -> None:
        """Log an operation."""
        for arg in args:
            for value in arg if isinstance(arg, list | tuple) else (arg,):
                if isinstance(value, Tensor):
                    self.uses(value)
        for array in y if isinstance(y, tuple) else (y,):
            if on_host(array):
                self.refuse(f"{name} computes on the CPU, where nothing is recorded")
            else:
                address = array.data.mem.ptr
                self._shapes[address] = self._graph.loan_at(address), array.shape
        self.note(name, *args, *options.values())

    def backward(self, record: Record) -> None:
        """Log that a backward pass reaches a record."""
        self.note(f"the derivative of {record.plan.name}")

    def note(self, name: str, *values: object) -> None:
        """Log a name with the descriptions of these values."""
        self._log.append((name, tuple(map(description, values))))

    def uses(self, tensor: Tensor) -> None:
        """Remember a Tensor that the step uses."""
        key = id(tensor)
        if key in self._old_gradients and self._old_gradients[key]() is tensor:
            self._refuse_old_gradient(tensor)
        elif key not in self._used or self._used[key]() is not tensor:
            self._used.pop(key, None)  # an older Tensor had the same id
            self._used[key] = ref(tensor)

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
        """Compute the values now; see `Observer`."""
        if device != "gpu":
            self.refuse("it draws numbers on the CPU; pass device='gpu', or draw them outside")
            return super().replay_values(draw, shape, dtype, device, *described)
        values = np.asarray(draw(), dtype=dtype)
        self.values.append((values.shape, values.dtype))
        self.note("replay values", *described)
        return self.place(values, draw)

    def place(self, values: Any, draw: Callable[[], Any]) -> Array:
        """The array of replay values on the GPU."""
        return to_device(values, "gpu")

    def repeat(self, action: Callable[[], object]) -> None:
        """Make a change on the host now; it may change settings that a replay looks up."""
        self.note("action")
        self._look()
        action()
        self._lookups = [(settings, [*settings()]) for settings, _ in self._lookups]

    def _look(self) -> None:
        """Notice a change of looked-up settings that was not made through `repeat`."""
        if not all(same([*settings()], known) for settings, known in self._lookups):
            self._is_steady = False

    # what a step relies on, and what it changes: see `Observer`

    def called(self, module: Any) -> None:
        """Remember a module and its parts, whose Tensors it may use without calling them."""
        for part in () if id(module) in self._modules else module.modules():
            self._modules[id(part)] = part
            self.changes(vars(part))
            for value in vars(part).values():
                if isinstance(value, Tensor):
                    self.uses(value)

    def depends(self, settings: Settings) -> None:
        """Remember the settings' values."""
        self._settings.append((settings, [*settings()]))

    def looks_up(self, settings: Settings) -> None:
        """Remember the settings' values."""
        self._lookups.append((settings, [*settings()]))

    def uses_gradient(self, leaf: Any) -> None:
        """Refuse the use of a gradient that the step has not set itself."""
        known = self._own_gradients.get(id(leaf))
        if leaf._grad is not None and (known is None or known() is not leaf):
            self._refuse_old_gradient(leaf)

    def sets_gradient(self, leaf: Any) -> None:
        """Remember that the leaf's gradient is the step's own from here on."""
        self._own_gradients[id(leaf)] = ref(leaf)

    def changes(self, contents: dict[Any, Any] | list[Any]) -> None:
        """Remember the dictionary or list; a recording also remembers its contents."""
        self._changed[id(contents)] = contents

    def assigns(self, tensor: Any) -> None:
        """Remember the Tensor's memory: its values must be there again when the step ends."""
        if id(tensor) not in self._assignments and not self._is_own(tensor):
            self._assignments[id(tensor)] = Assignment.of(tensor)

    def _bring_back(self) -> None:
        """Copy values assigned to `.data` to the Tensor's old memory, if nobody can notice it."""
        assignments, self._assignments = self._assignments, {}
        for each in assignments.values():
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
        """Keep the first reason; a step may do anything with a Tensor that it has made itself."""
        if self.trouble is None and (tensor is None or not self._is_own(tensor)):
            self.trouble = reason

    def _is_own(self, tensor: Tensor) -> bool:
        """Whether the step has made a Tensor, or set it as a gradient."""
        gradients = (leaf._grad for leaf in self.with_own_gradients())
        return self._graph.has_lent(tensor._data) or any(g is tensor for g in gradients)


def _attributes(module: Any) -> list[object]:
    """A module's attributes, its `training` switch first, for a comparison by `same`.

    Tensors are not kept alive: weak references stand for them; those to one Tensor are one object.
    """
    values = (value for name, value in vars(module).items() if name != "training")
    return [module.training, *(ref(v) if isinstance(v, Tensor) else v for v in values)]


def _size(memory: Memory) -> int | None:
    """The number of bytes written to; None if a whole NumPy array was written."""
    return memory[1] - memory[0] if isinstance(memory, tuple) else None
