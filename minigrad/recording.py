"""Level 3: a training step as a CUDA graph."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Array, cheap_to_read
from minigrad.backends.cupy.graph import Feed, Results, StepGraph
from minigrad.nn.module import Module
from minigrad.ops.random import generator
from minigrad.optim.flat import FlatVector, owner_of
from minigrad.optim.optimizer import Optimizer
from minigrad.tensor import GradientHome, Tensor, made
from minigrad.watch import Watch, mapped, outside_the_graph, twin

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


class _State:
    """What a step may change on the host before its recording fails, so that it can run again.

    Args:
        tensors: All that there are.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._switches = [(x, x._requires_grad) for x in tensors]
        self._gradients = [_Gradient(x, *_grad_of(x), x._grad is None) for x in tensors]
        self._generator = generator().bit_generator
        self._random = self._generator.state
        self._dictionaries: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._steps: list[tuple[FlatVector, list[int]]] = []
        for x in gc.get_objects():
            if issubclass(type(x), Module):
                self._dictionaries.append((vars(x), {**vars(x)}))
            elif issubclass(type(x), Optimizer):
                self._dictionaries += [(group, {**group}) for group in x.param_groups]
            elif type(x) is FlatVector:
                self._steps.append((x, [*x.steps]))

    def put_back(self) -> None:
        """Make all of it what it was."""
        for tensor, requires_grad in self._switches:
            tensor._requires_grad = requires_grad
        for gradient in self._gradients:
            _put_back(gradient)
        self._generator.state = self._random
        for dictionary, contents in self._dictionaries:
            dictionary.clear()
            dictionary.update(contents)
        for vector, steps in self._steps:
            vector.steps = steps


class Recording(Watch):
    """A step that is recorded as a CUDA graph, and replayed.

    Args:
        graph: Where to record it.
        before: The same step, watched.
        inputs: The arguments of both.

    Attributes:
        recording: Whether a recording goes on, of which nothing has been done yet.
        inputs: The arguments as the recorded step had them.
    """

    def __init__(self, graph: StepGraph, before: Watch, inputs: Sequence[Tensor]) -> None:
        super().__init__(before)
        self.recording = True
        self._graph, self._planned = graph, before.live
        uploaded = [(x.shape, x.dtype) for x in inputs if cheap_to_read(x._data)]
        self._feed = Feed([*uploaded, *before.live], graph.stream)
        self._uploads = len(uploaded)
        places = iter(self._feed.arrays)
        self._given, self.inputs = inputs, list[Tensor]()
        self._inputs = [
            next(places) if cheap_to_read(x._data) else np.empty_like(x._data, order="C")
            for x in inputs
        ]
        self._actions: list[Callable[[list[Any]], object]] = []
        self._gradients: list[tuple[_Gradient, int]] = []
        self._watched: list[tuple[_Gradient, int]] = []  # those that are looked at each time
        self._vectors: list[tuple[FlatVector, object]] = []
        self._is_quiet = False

    def record(self, step: Callable[[list[Tensor]], Any], inputs: Sequence[Tensor]) -> Any:
        """Run a step on the host, while CUDA writes down what it is told, and do that then.

        If it cannot be replayed, `trouble` says why; it has run as it stands all the same.

        Args:
            step: Takes the Tensors that it computes with.
            inputs: Their values.

        Returns:
            What the step returns.

        Raises:
            Exception: The step's own, or CUDA's. Where `recording` is still True nothing has been
                done, and all of minigrad's that the step has changed has been put back.
        """
        self._hosts = self._feed.begin()
        self._take_over(inputs, self._hosts)
        leaves = [leaf for leaf, _, _ in self._before.leaves] if self._before is not None else []
        old = {id(x): weakref.ref(x._grad) for x in leaves if x._grad is not None}
        result = self._recorded(step)
        if not self.recording:
            return mapped(result, outside_the_graph)
        self._result, self.recording = result, False
        self._feed.send()
        if self.trouble is not None:
            self._graph.launch_once()
        else:
            self._graph.launch()
            self.log.clear()
            self._look_at_gradients(old)
        return self._filled()

    def _recorded(self, step: Callable[[list[Tensor]], Any]) -> Any:
        """What the step returns; numbers stand for Tensors if nothing has been done yet."""
        state, arrays = None, list[Array]()
        try:
            with self.watching():
                state = _State([*self._there.values()])
                with self._graph.recorded():
                    self.inputs = [*map(twin, self._given, self._inputs)]
                    result = step(self.inputs)
                    self.returned(result)
                    if self.recording:
                        result = mapped(result, lambda x: _numbered(x, arrays))
                        self._results = Results(arrays)
            if self.recording:
                self.finish(self._graph, [*arrays, *self._results.flats])
        except BaseException:
            if self.recording and state is not None:
                state.put_back()
            raise
        return result

    def _take_over(self, inputs: Sequence[Tensor], hosts: Sequence[Any]) -> None:
        """Copy arguments to where the graph reads them, or to what is sent there."""
        uploads = iter(hosts)
        for x, place in zip(inputs, self._inputs, strict=True):
            if cheap_to_read(x._data):
                np.copyto(next(uploads), x._data)
            else:
                place[...] = x._data

    def _look_at_gradients(self, old: Mapping[int, weakref.ref[Tensor]]) -> None:
        """Remember what the step leaves in the `.grad` of each leaf, and who else holds it."""
        for leaf, _, requires_grad in self.leaves:
            before = old.get(id(leaf))
            if leaf._grad is None:
                is_new = before is not None
            else:
                is_new = before is None or before() is not leaf._grad
            if requires_grad and is_new:
                gradient = _Gradient(leaf, *_grad_of(leaf), before is None)
                self._gradients.append((gradient, _holders(gradient)))
                if gradient.home is None or gradient.was_none:
                    self._watched.append(self._gradients[-1])
        vectors = {owner_of(gradient.leaf) for gradient, _ in self._gradients}
        self._vectors = [(v, v.references()) for v in vectors if v is not None]

    def _filled(self) -> Any:
        """What the step returns, in memory of its own."""
        tensors = list(map(made, self._results.copies()))
        return mapped(self._result, lambda x: tensors[x] if type(x) is _Number else x)

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
        self._take_over(inputs, hosts)
        for action in self._actions:
            action(hosts)
        self._feed.send()
        self._graph.launch()
        result = self._filled()
        for gradient, _ in self._watched if self._is_quiet else self._gradients:
            _put_back(gradient)
        return result

    # a Recorder, see live.py

    def place(self, values: Any, draw: Callable[[], Any]) -> Array:
        """Where live values are, which are drawn anew before each replay."""
        index = len(self.live) - 1
        if self.live[index:] != self._planned[index : index + 1]:
            self.refuse(
                "it needs more random numbers, or of another shape, than in the call before"
            )
        if not self.recording:
            return super().place(values, draw)
        position = self._uploads + index
        np.copyto(self._hosts[position], values)
        self._actions.append(lambda hosts: np.copyto(hosts[position], draw()))
        return self._feed.arrays[position]

    def repeat(self, action: Callable[[], object]) -> None:
        """Something to be done now, and before each replay."""
        super().repeat(action)
        self._actions.append(lambda _: action())

    def refuse(self, reason: str, tensor: Tensor | None = None) -> None:
        """Have the GPU do what it was told so far; the rest of the step runs as it stands."""
        super().refuse(reason, tensor)
        if self.trouble is not None and self.recording:
            self._graph.end()
            self.recording = False
            self._feed.send()
            self._graph.launch_once()


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
    if not isinstance(value, Tensor):
        return value
    arrays.append(value._data)
    return _Number(len(arrays) - 1)
