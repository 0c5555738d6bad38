"""A training step recorded as a CUDA graph, and its replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from minigrad.backends import Array, on_host
from minigrad.backends.cupy.graph import Feed, Results, StepGraph
from minigrad.backends.memory import Place, kept_memory
from minigrad.capture.trace import Trace
from minigrad.capture.values import detached, mapped, stand_in
from minigrad.ops.random import generator
from minigrad.tensor import Tensor, new_leaf, wrap
from minigrad.versions import note_again

__all__ = ["Recording"]


class _Position(int):
    """Stands for a Tensor in a recorded result: its position among the results."""


class _Gradient(NamedTuple):
    """The `.grad` of a leaf after a recorded step."""

    leaf: ref[Tensor]

    place: Place | None
    """The memory of the gradient; None if the step leaves no gradient."""

    needs_none: bool
    """Whether `.grad` was None when the step was recorded, so that it must be None again."""


class Recording(Trace):
    """A step that is recorded as a CUDA graph, and replayed.

    Args:
        graph: Where to record the step.
        before: The trace of the same step in the previous call.
        inputs: The caller's Tensor arguments.

    Attributes:
        is_recording: Whether CUDA is recording the step, and has run none of it yet.
        inputs: The Tensors that the recorded step gets as arguments.
    """

    def __init__(self, graph: StepGraph, before: Trace, inputs: Sequence[Tensor]) -> None:
        super().__init__(graph, before)
        self.is_recording = True
        self._expected = before.values
        self._recorded_graph = graph
        uploaded = [(x.shape, x.dtype) for x in inputs if on_host(x._data)]
        self._feed = Feed([*uploaded, *before.values], graph.stream)
        self._uploads = len(uploaded)
        places = iter(self._feed.arrays)
        self._given, self.inputs = inputs, list[Tensor]()
        self._inputs = [
            next(places) if on_host(x._data) else np.empty_like(x._data, order="C") for x in inputs
        ]
        self._actions: list[Callable[[list[Any]], object]] = []
        self._gradients: list[_Gradient] = []
        self._needs_none: set[int] = set()  # ids of leaves
        self._undo: dict[Any, Callable[[], object]] = {}
        self._kept_memory: list[Any] = []
        for contents in before.changed():
            self.changes(contents)

    def record(self, step: Callable[[list[Tensor]], Any], inputs: Sequence[Tensor]) -> Any:
        """Run a step's Python code while CUDA records its work; then launch that work.

        If the step cannot be replayed, `trouble` says why; it has been executed all the same.

        Args:
            step: A function of its Tensor arguments.
            inputs: The caller's Tensors, whose values they get.

        Returns:
            What the step returns.

        Raises:
            Exception: The step's own error, or CUDA's. If `is_recording` is still True, the GPU has
                done nothing, and the step's changes to minigrad's objects have been undone.
        """
        self._hosts = self._feed.begin()
        self._take_over(inputs, self._hosts)
        result = self._recorded(step)
        if not self.is_recording:
            return mapped(result, detached)
        self._result, self.is_recording = result, False
        self._feed.send()
        if self.trouble is not None:
            self._recorded_graph.launch_once()
        else:
            self._recorded_graph.launch()
        self._kept_memory.clear()
        if self.trouble is None:
            self._log.clear()
            self._gradients = [*map(self._gradient_of, self.with_own_gradients())]
        return self._filled()

    def _recorded(self, step: Callable[[list[Tensor]], Any]) -> Any:
        """What the step returns; while it is recorded, positions stand for its Tensors."""
        arrays = list[Array]()
        bits = generator().bit_generator
        state = bits.state
        self._undo[None] = lambda: setattr(bits, "state", state)
        try:
            with self.watching(), self._recorded_graph.recorded():
                self.inputs = [*map(stand_in, self._given, self._inputs)]
                result = step(self.inputs)
                self.returned(result)
                if self.is_recording:
                    result = mapped(result, lambda x: _collected(x, arrays))
                    self._results = Results(arrays)
            self._undo.clear()  # it refers to Tensors of the step
            if self.is_recording:
                self.finish([*arrays, *self._results.flats])
        except BaseException:
            if self.is_recording:
                for put_back in self._undo.values():
                    put_back()
            self._undo.clear()
            self._kept_memory.clear()
            raise
        return result

    def _take_over(self, inputs: Sequence[Tensor], hosts: Sequence[Any]) -> None:
        """Copy the arguments' values to the memory that the graph reads, or will be sent to it."""
        uploads = iter(hosts)
        for x, place in zip(inputs, self._inputs, strict=True):
            if on_host(x._data):
                np.copyto(next(uploads), x._data)
            else:
                place[...] = x._data

    def _gradient_of(self, leaf: Tensor) -> _Gradient:
        """The leaf's `.grad` after the step; if it lies in the graph's memory, lend that memory."""
        place, gradient = None, leaf._grad
        if gradient is not None:
            slot = leaf._slot
            if slot is not None and slot.holds(gradient._data):
                place = slot.place()
            else:
                place = Place(gradient._data)
                leaf._grad = new_leaf(place.lend())
        return _Gradient(ref(leaf), place, id(leaf) in self._needs_none)

    def _filled(self) -> Any:
        """What the step returns, with copies of its Tensors."""
        tensors = list(map(wrap, self._results.copies()))
        return mapped(self._result, lambda x: tensors[x] if type(x) is _Position else x)

    def replay(self, inputs: Sequence[Tensor]) -> Any:
        """Replay the step.

        Args:
            inputs: The caller's Tensor arguments, of the same shapes and dtypes as when recorded.

        Returns:
            What the step returns, with copies of its Tensors; NotImplemented if a replay would not
            do the same as the step.
        """
        if not self.is_current() or not self._gradients_are_free():
            return NotImplemented
        hosts = self._feed.begin()
        self._take_over(inputs, hosts)
        for action in self._actions:
            action(hosts)
        self._feed.send()
        self._recorded_graph.launch()
        note_again(self.written)
        for gradient in self._gradients:
            if (leaf := gradient.leaf()) is not None:
                place = gradient.place
                leaf._grad = None if place is None else new_leaf(place.lend())
        return self._filled()

    def _gradients_are_free(self) -> bool:
        """Take the last replay's gradients from the leaves, as the next replay overwrites them.

        If anything else refers to one of them, all leaves keep theirs, and the answer is False.
        """
        gone: list[tuple[Tensor, Place, ref[Tensor]]] = []
        is_free = True
        for known, place, needs_none in self._gradients:
            leaf = known()
            if leaf is None or place is None:
                continue
            gradient = leaf._grad
            is_free = is_free and not (needs_none and gradient is not None)
            if gradient is not None and place.has_lent(gradient._data):
                gone.append((leaf, place, ref(gradient)))
                leaf._grad = gradient = None
            is_free = is_free and place.is_free()
        if not is_free:
            for leaf, place, lent in gone:
                gradient = lent()
                leaf._grad = new_leaf(place.lend()) if gradient is None else gradient
        return is_free

    def arguments(self) -> set[int]:
        """The ids of the Tensors that the step gets as arguments."""
        return {*map(id, self.inputs)}

    # an observer, see observers.py

    def place(self, values: Any, draw: Callable[[], Any]) -> Array:
        """The array of replay values on the GPU; before each replay they are computed again."""
        index = len(self.values) - 1
        if self.values[index:] != self._expected[index : index + 1]:
            self.refuse(
                "it needs more random numbers, or of another shape, than in the call before"
            )
        if not self.is_recording:
            return super().place(values, draw)
        position = self._uploads + index
        np.copyto(self._hosts[position], values)
        self._actions.append(lambda hosts: np.copyto(hosts[position], draw()))
        return self._feed.arrays[position]

    def repeat(self, action: Callable[[], object]) -> None:
        """Do something now, and again before each replay."""
        super().repeat(action)
        self._actions.append(lambda _: action())

    def sets_gradient(self, leaf: Any) -> None:
        """Remember the gradient before."""
        if id(leaf) not in self._own_gradients:
            gradient, slot = leaf._grad, leaf._slot
            if gradient is None:
                self._needs_none.add(id(leaf))
                self._undo["gradient", id(leaf)] = lambda: setattr(leaf, "_grad", None)
            elif slot is not None and slot.holds(gradient._data):  # the step needs its place free
                self._undo["gradient", id(leaf)] = lambda: setattr(
                    leaf, "_grad", new_leaf(slot.place().lend())
                )
            else:
                self._undo["gradient", id(leaf)] = lambda: setattr(leaf, "_grad", gradient)
        super().sets_gradient(leaf)

    def sets_requires_grad(self, tensor: Any) -> None:
        """Remember the switch before."""
        key, before = ("requires_grad", id(tensor)), tensor._requires_grad
        self._undo.setdefault(key, lambda: setattr(tensor, "_requires_grad", before))

    def uses(self, tensor: Tensor) -> None:
        """Keep the Tensor's memory until the launch: the step may drop the Tensor before."""
        super().uses(tensor)
        if not on_host(tensor._data) and not self._is_own(tensor):
            self._kept_memory.append(kept_memory(tensor._data))

    def assigns(self, tensor: Any) -> None:
        """Remember the memory before."""
        super().assigns(tensor)
        if (assignment := self._assignments.get(id(tensor))) is not None:
            self._undo.setdefault(("data", id(tensor)), assignment.put_back)

    def changes(self, contents: dict[Any, Any] | list[Any]) -> None:
        """Remember the contents before."""
        super().changes(contents)
        if id(contents) not in self._undo:
            before = contents.copy()

            def put_back() -> None:
                contents.clear()
                contents.update(before) if isinstance(contents, dict) else contents.extend(before)

            self._undo[id(contents)] = put_back

    def refuse(self, reason: str, tensor: Tensor | None = None) -> None:
        """End the recording and launch its work; the rest of the step runs as ordinary Python."""
        super().refuse(reason, tensor)
        if self.trouble is not None and self.is_recording:
            self._recorded_graph.end()
            self.is_recording = False
            self._feed.send()
            self._recorded_graph.launch_once()
            self._kept_memory.clear()


def _collected(value: Any, arrays: list[Array]) -> Any:
    """Collect a Tensor of a result in `arrays`, and return its position there instead."""
    if not isinstance(value, Tensor):
        return value
    arrays.append(value._data)
    return _Position(len(arrays) - 1)
