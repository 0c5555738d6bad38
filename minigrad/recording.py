"""Level 3: a training step as a CUDA graph."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Array, cheap_to_read
from minigrad.backends.cupy.graph import Feed, Results, StepGraph
from minigrad.live import NotRecordable
from minigrad.optim.flat import FlatVector, owner_of
from minigrad.tensor import GradientHome, Tensor, made
from minigrad.watch import PLAIN, Watch, difference, mapped

__all__ = ["Recording"]


class _Number(int):
    """The place of a Tensor in nested values."""


class _Gradient(NamedTuple):
    """What a recorded step leaves in the `.grad` of a leaf."""

    leaf: Tensor
    home: GradientHome | None
    """The optimizer's place for it. Nobody may hold what is there, so neither does a recording."""

    grad: Tensor | None
    """What it is where it is not at home."""

    was_none: bool
    """Whether there was none when the step was recorded."""


class Recording(Watch):
    """A step that is recorded as a CUDA graph, and replayed.

    Args:
        graph: Where to record it.
        before: The same step, watched.
        inputs: The arguments of both.
    """

    recording = True

    def __init__(self, graph: StepGraph, before: Watch, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self._graph, self._before = graph, before
        uploaded = [(x.shape, x.dtype) for x in inputs if cheap_to_read(x._data)]
        self._feed = Feed([*uploaded, *before.live], graph.stream)
        self._uploads = len(uploaded)
        places = iter(self._feed.arrays)
        self.inputs = [
            made(next(places) if cheap_to_read(x._data) else np.empty_like(x._data, order="C"))
            for x in inputs
        ]
        self._actions: list[Callable[[list[Any]], object]] = []
        self._gradients: list[tuple[_Gradient, int]] = []
        self._watched: list[tuple[_Gradient, int]] = []  # those that are looked at each time
        self._vectors: list[tuple[FlatVector, object]] = []
        self._is_quiet = False
        self._entry = {
            id(leaf): _Gradient(leaf, *_grad_of(leaf), leaf._grad is None)
            for leaf, _, _ in before.leaves
        }
        self._old = {
            id(leaf): weakref.ref(leaf._grad)
            for leaf, _, _ in before.leaves
            if leaf._grad is not None
        }

    def record(self, step: Callable[[], Any]) -> None:
        """Record a step.

        Args:
            step: Computes with `inputs`.

        Raises:
            NotRecordable: It cannot be replayed. Nothing has been done, and nothing has changed.
        """
        try:
            self._record(step)
        except BaseException:
            for gradient in self._entry.values():
                _put_back(gradient)
            raise
        del self._before, self._entry, self._old
        self.log.clear()
        vectors = {owner_of(gradient.leaf) for gradient, _ in self._gradients}
        self._vectors = [(v, v.references()) for v in vectors if v is not None]

    def _record(self, step: Callable[[], Any]) -> None:
        with self.watching(), self._graph.recorded():
            result = step()
            self.note("return", result)
            arrays: list[Array] = []
            self._result = mapped(result, lambda x: _numbered(x, arrays))
            self._results = Results(arrays)
        del result
        self.finish(self.inputs)
        trouble = self.trouble or difference(self._before, self)
        if trouble is not None:
            raise NotRecordable(trouble)
        for leaf, _, requires_grad in self.leaves:
            if requires_grad and self._is_new(leaf):
                gradient = _Gradient(leaf, *_grad_of(leaf), id(leaf) not in self._old)
                self._gradients.append((gradient, _holders(gradient)))
                if gradient.home is None or gradient.was_none:
                    self._watched.append(self._gradients[-1])

    def _is_new(self, leaf: Tensor) -> bool:
        """Whether the step has changed a leaf's `.grad`."""
        old = self._old.get(id(leaf))
        if leaf._grad is None:
            return old is not None
        return old is None or old() is not leaf._grad

    def holds(self) -> bool:
        """Whether a replay would do what the step would."""
        # a look at all references, which tells in most cases that all is as the last replay left it
        self._is_quiet = all(vector.references() == known for vector, known in self._vectors)
        for gradient, holders in self._watched if self._is_quiet else self._gradients:
            if gradient.was_none and gradient.leaf._grad is not None:
                return False
            if _holders(gradient) != holders:
                return False  # the next replay would overwrite what somebody keeps
        return super().holds()

    def replay(self, inputs: Sequence[Tensor]) -> Any:
        """Do the step.

        Args:
            inputs: Arguments like those it was recorded with.

        Returns:
            What the step returns, in memory of its own.
        """
        hosts = self._feed.begin()
        uploads = iter(hosts)
        copies = []
        for x, place in zip(inputs, self.inputs, strict=True):
            if cheap_to_read(x._data):
                np.copyto(next(uploads), x._data)
            else:
                copies.append((place._data, x._data))
        for action in self._actions:
            action(hosts)
        with self._graph.stream:
            self._feed.send()
            for place, array in copies:
                place[...] = array
            self._graph.launch()
            tensors = list(map(made, self._results.copies()))
        for gradient, _ in self._watched if self._is_quiet else self._gradients:
            _put_back(gradient)
        return mapped(self._result, lambda x: tensors[x] if type(x) is _Number else x)

    # a Recorder, see live.py

    def array(
        self,
        draw: Callable[[], Any],
        shape: tuple[int, ...] | None,
        dtype: Any,
        described: tuple[object, ...],
    ) -> Array:
        """The place of a live value, which is drawn before each replay."""
        index, known = len(self.live), self._before.live
        if index == len(known):
            raise NotRecordable("it needs more live values than in the call before")
        spec = known[index][0] if shape is None else tuple(shape), np.dtype(dtype)
        if spec != known[index]:
            raise NotRecordable(
                f"it needs live values of shape {spec[0]}, and in the call before of "
                f"{known[index][0]}"
            )
        self.live.append(spec)
        self.note("live values", *described)
        position = self._uploads + index
        self._actions.append(lambda hosts: np.copyto(hosts[position], draw()))
        return self._feed.arrays[position]

    def repeat(self, action: Callable[[], object]) -> None:
        """Something to be done before each replay."""
        self._actions.append(lambda _: action())

    def uses_gradient(self, leaf: Any) -> None:
        """See `Recorder`."""
        if leaf._grad is not None and not self._is_new(leaf):
            raise NotRecordable(
                f"it uses the gradient that an earlier call has left in a leaf of shape "
                f"{leaf.shape}; call zero_grad() in the step, before backward()"
            )


def _grad_of(leaf: Tensor) -> tuple[GradientHome | None, Tensor | None]:
    """Where a leaf's gradient is: the place at home, or the Tensor itself."""
    grad, home = leaf._grad, leaf._home
    at_home = grad is not None and home is not None and home.holds(grad._data)
    return (home, None) if at_home else (None, grad)


def _put_back(gradient: _Gradient) -> None:
    """Make a leaf's `.grad` what is described."""
    leaf, home, grad, _ = gradient
    if home is None:
        leaf._grad = grad
    elif leaf._grad is None or not home.holds(leaf._grad._data):
        leaf._grad = made(home.place())


def _holders(gradient: _Gradient) -> int:
    """How many refer to a gradient, besides its leaf and its home; each more keeps it."""
    if gradient.home is not None:
        return gradient.home.is_held(gradient.leaf)
    grad = gradient.grad
    if grad is None:
        return 0
    return sys.getrefcount(grad) + sys.getrefcount(grad._data) - (gradient.leaf._grad is grad)


def _numbered(value: Any, arrays: list[Array]) -> Any:
    """A Tensor of a result goes to `arrays`, and its place there stands for it."""
    if type(value) in PLAIN:
        return value
    if not isinstance(value, Tensor) or cheap_to_read(value._data):
        raise NotRecordable(
            f"it returns a {type(value).__name__}, where only Tensors on the GPU and plain numbers "
            "in tuples, lists and dictionaries can be filled by a replay"
        )
    arrays.append(value._data)
    return _Number(len(arrays) - 1)
