"""A training step as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from minigrad.backends import Array, on_host
from minigrad.backends.cupy.graph import Feed, Results, StepGraph
from minigrad.backends.memory import Place, kept_memory
from minigrad.capture.trace import Trace
from minigrad.capture.values import mapped, outside_the_graph, stand_in
from minigrad.ops.random import generator
from minigrad.tensor import Tensor, new_leaf, wrap
from minigrad.versions import note_again

__all__ = ["Recording"]


class _Number(int):
    """The place of a Tensor in nested values."""


class _Gradient(NamedTuple):
    """What a recorded step leaves in the `.grad` of a leaf."""

    leaf: ref[Tensor]

    place: Place | None
    """Where it is; None where the step leaves no gradient."""

    needs_none: bool
    """Whether the step adds to what is there, and nothing was there when it was recorded."""


class Recording(Trace):
    """A step that is recorded as a CUDA graph, and replayed.

    Args:
        graph: Where to record it.
        before: The same step in the call before.
        inputs: The arguments of both.

    Attributes:
        is_recording: Whether a recording goes on, of which nothing has been done yet.
        inputs: The arguments as the recorded step had them.
    """

    def __init__(self, graph: StepGraph, before: Trace, inputs: Sequence[Tensor]) -> None:
        super().__init__(graph, before)
        self.is_recording = True
        self._planned = before.values
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
        self._read: list[Any] = []
        for contents in before.changed():
            self.changes(contents)

    def record(self, step: Callable[[list[Tensor]], Any], inputs: Sequence[Tensor]) -> Any:
        """Run a step on the host, while CUDA writes down what it is told, and do that then.

        If it cannot be replayed, `trouble` says why; it has run as it stands all the same.

        Args:
            step: Takes the Tensors that it computes with.
            inputs: Their values.

        Returns:
            What the step returns.

        Raises:
            Exception: The step's own, or CUDA's. Where `is_recording` is still True nothing has
                been done, and all of minigrad's that the step has changed has been put back.
        """
        self._hosts = self._feed.begin()
        self._take_over(inputs, self._hosts)
        result = self._recorded(step)
        if not self.is_recording:
            return mapped(result, outside_the_graph)
        self._result, self.is_recording = result, False
        self._feed.send()
        if self.trouble is not None:
            self._recorded_graph.launch_once()
        else:
            self._recorded_graph.launch()
        self._read.clear()
        if self.trouble is None:
            self._log.clear()
            self._gradients = [*map(self._gradient_of, self.with_own_gradients())]
        return self._filled()

    def _recorded(self, step: Callable[[list[Tensor]], Any]) -> Any:
        """What the step returns; numbers stand for Tensors if nothing has been done yet."""
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
                    result = mapped(result, lambda x: _numbered(x, arrays))
                    self._results = Results(arrays)
            self._undo.clear()  # which refers to Tensors of the step
            if self.is_recording:
                self.finish([*arrays, *self._results.flats])
        except BaseException:
            if self.is_recording:
                for put_back in self._undo.values():
                    put_back()
            self._undo.clear()
            self._read.clear()
            raise
        return result

    def _take_over(self, inputs: Sequence[Tensor], hosts: Sequence[Any]) -> None:
        """Copy arguments to where the graph reads them, or to what is sent there."""
        uploads = iter(hosts)
        for x, place in zip(inputs, self._inputs, strict=True):
            if on_host(x._data):
                np.copyto(next(uploads), x._data)
            else:
                place[...] = x._data

    def _gradient_of(self, leaf: Tensor) -> _Gradient:
        """What the step leaves in a leaf's `.grad`; memory of the graph's becomes a place."""
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
        """What the step returns, in memory of its own."""
        tensors = list(map(wrap, self._results.copies()))
        return mapped(self._result, lambda x: tensors[x] if type(x) is _Number else x)

    def replay(self, inputs: Sequence[Tensor]) -> Any:
        """Do the step.

        Args:
            inputs: Arguments like those it was recorded with.

        Returns:
            What the step returns, in memory of its own; NotImplemented where a replay would not do
            what the step would.
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
        """Have leaves let go of the gradients of the last replay, which the next overwrites.

        Where somebody else refers to one, all is left as it was.
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
        """The ids of the Tensors that the step got as arguments."""
        return {*map(id, self.inputs)}

    # an observer, see observers.py

    def place(self, values: Any, draw: Callable[[], Any]) -> Array:
        """Where replay values are, which are drawn anew before each replay."""
        index = len(self.values) - 1
        if self.values[index:] != self._planned[index : index + 1]:
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
        """Something to be done now, and before each replay."""
        super().repeat(action)
        self._actions.append(lambda _: action())

    def sets_gradient(self, leaf: Any) -> None:
        """Remember what it was."""
        if id(leaf) not in self._own_gradients:
            gradient, slot = leaf._grad, leaf._slot
            if gradient is None:
                self._needs_none.add(id(leaf))
                self._undo["gradient", id(leaf)] = lambda: setattr(leaf, "_grad", None)
            elif slot is not None and slot.holds(gradient._data):  # it must be free for the step
                self._undo["gradient", id(leaf)] = lambda: setattr(
                    leaf, "_grad", new_leaf(slot.place().lend())
                )
            else:
                self._undo["gradient", id(leaf)] = lambda: setattr(leaf, "_grad", gradient)
        super().sets_gradient(leaf)

    def sets_requires_grad(self, tensor: Any) -> None:
        """Remember what it was."""
        key, before = ("requires_grad", id(tensor)), tensor._requires_grad
        self._undo.setdefault(key, lambda: setattr(tensor, "_requires_grad", before))

    def meet(self, tensor: Tensor) -> None:
        """Keep its memory until the work is launched: the step may let go of the Tensor before."""
        super().meet(tensor)
        if not on_host(tensor._data) and not self._is_own(tensor):
            self._read.append(kept_memory(tensor._data))

    def assigns(self, tensor: Any) -> None:
        """Remember what it was."""
        super().assigns(tensor)
        if (exchanged := self._exchanged.get(id(tensor))) is not None:
            self._undo.setdefault(("data", id(tensor)), exchanged.put_back)

    def changes(self, contents: dict[Any, Any] | list[Any]) -> None:
        """Remember what is in it."""
        super().changes(contents)
        if id(contents) not in self._undo:
            before = contents.copy()

            def put_back() -> None:
                contents.clear()
                contents.update(before) if isinstance(contents, dict) else contents.extend(before)

            self._undo[id(contents)] = put_back

    def refuse(self, reason: str, tensor: Tensor | None = None) -> None:
        """Have the GPU do what it was told so far; the rest of the step runs as it stands."""
        super().refuse(reason, tensor)
        if self.trouble is not None and self.is_recording:
            self._recorded_graph.end()
            self.is_recording = False
            self._feed.send()
            self._recorded_graph.launch_once()
            self._read.clear()


def _numbered(value: Any, arrays: list[Array]) -> Any:
    """A Tensor of a result goes to `arrays`, and its place there stands for it."""
    if not isinstance(value, Tensor):
        return value
    arrays.append(value._data)
    return _Number(len(arrays) - 1)
