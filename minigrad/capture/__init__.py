"""A training step that the GPU repeats as a whole."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from minigrad.backends import on_host, require_device, to_device, to_numpy
from minigrad.backends.cupy.graph import StepGraph, own_stream
from minigrad.capture.recording import Recording
from minigrad.capture.trace import Trace
from minigrad.capture.values import PLAIN, copied, mapped, outside_the_graph, stand_in
from minigrad.grad_mode import is_grad_enabled
from minigrad.observers import NOBODY, thread
from minigrad.tensor import Tensor, new_leaf, wrap
from minigrad.versions import write

__all__ = ["capture"]

P = ParamSpec("P")
R = TypeVar("R")

MOST = 32  # recordings of a function: more would mean that something changes at each call
WARM_UP = 2  # calls before the recording, the last two of which must have done the same
MOST_WARM_UP = 3  # as the first may have made what the others find

CHANGES_AN_ARGUMENT = (
    "it changes an argument, of which a replay has a copy; change a Tensor that it does not get as "
    "an argument (a Buffer), or return the new values"
)


def capture(step: Callable[P, R], device: str | None = None) -> Callable[P, R]:
    """Let the GPU repeat a training step as a whole, instead of being told each kernel by Python.

    A small network's step is hundreds of kernels of a few microseconds each, and Python needs
    longer to start one than the GPU to run it: the GPU waits. A *CUDA graph* is the list of a
    step's kernels, with the memory that each reads and writes. It is recorded once, by running
    `step` while CUDA only writes down what it is told; then one call starts all of it again.

    So Python runs in the first three calls only: twice to warm up (kernels are compiled, an
    optimizer makes its state), once to record; all three count as steps. Where the first made what
    the second found, so that the two differ, there is one call more to warm up. Each later call
    copies its arguments to where the graph reads them and replays it. Therefore, in `step`:

    - Tensors that change from call to call are arguments. Of other arguments each value has a
      graph of its own, and so has each set of shapes, dtypes and `training` switches.
    - What belongs to minigrad may change between calls: weights, learning rates, step counts,
      random numbers. So may layers, their options and those of optimizers, and gradients may be
      kept: these cause a new recording.
    - What goes from call to call is changed in place (`average.data[...] = ...`), or assigned to
      `.data` right after the step has computed it, and is no argument. A schedule's `step()` may
      be called. A step is not recorded that changes an argument, assigns an array that something
      else refers to, or keeps what it has made (a hidden state, a list of losses).
    - Everything else that Python does (printing, counting, `if`) is done in those first calls,
      and not again. Reading a value would make Python wait for the GPU, and cannot be recorded:
      return it, and read it outside, and seldom.
    - What is computed with raw arrays (`x.data`) is not seen: it must be the same in each call,
      down to the Python numbers in it.

    A step that cannot be recorded, or goes on doing something else in each call, runs as it stands,
    and one warning says why. If it raises an error while it is recorded, what it has changed in
    Tensors, modules and optimizers is put back, and it runs again. On the CPU nothing is recorded:
    the function does what `step` does.

    Args:
        step: A function of a batch that computes the loss, its gradients, and the update. It must
            reset the gradients itself, as a replay cannot add to them.
        device: "cpu" or "gpu"; "gpu" also moves Tensor arguments there, while the previous step is
            still running. Default: where the Tensor arguments are.

    Returns:
        A function with the same arguments and results. On the GPU its Tensors are outside the
        graph of derivatives, and keep their values.

    Raises:
        TypeError: `step` is no function.
        DeviceError: `device` is unknown or not usable.

    Example:
        >>> import minigrad as mg
        >>> w = mg.nn.Parameter([1.0])
        >>> optimizer = mg.optim.SGD([w], lr=0.25)
        >>> @capture
        ... def step(x):
        ...     loss = (w * x).sum()
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     optimizer.step()
        ...     return loss.detach()
        >>> step(mg.tensor([2.0])), w.detach()
        (tensor(2.), tensor([0.5]))
    """
    if not callable(step):
        raise TypeError(f"capture: expected a function, got {type(step).__name__}")
    if device is not None and require_device(device) == "cpu":
        steps: Callable[..., Any] = step
    else:
        steps = _Captured(step, moves=device is not None)

    @wraps(step)
    def captured(*args: P.args, **kwargs: P.kwargs) -> R:
        return steps(*args, **kwargs)  # type: ignore[no-any-return]

    return captured


class _Variant:
    """The calls with one set of arguments and settings: warm-ups, a recording, replays."""

    def __init__(self, objects: list[Any]) -> None:
        self.graph = StepGraph()
        self.objects = objects  # which the key knows by their ids, so that these stay theirs
        self.calls = 0
        self.is_warm = self.is_refused = False
        self.trace: Trace | None = None


class _Captured:
    """A step, and all its variants by the key of their arguments."""

    def __init__(self, step: Callable[..., Any], moves: bool) -> None:
        self._step, self._moves = step, moves
        self._variants: dict[Any, list[_Variant]] = {}
        self._count = 0
        self._has_warned = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs: list[Tensor] = []
        objects: list[Any] = []
        key = _key((args, kwargs), inputs, objects)
        if not self._moves and (not inputs or any(on_host(x._data) for x in inputs)):
            return self._step(*args, **kwargs)
        call = _Call(self._step, args, kwargs, inputs)
        if thread.observer is not NOBODY:
            return call.eagerly()
        if any(isinstance(x, Tensor) and x._record is not None for x in objects):
            self._warn("an argument is the result of operations that a gradient would go back to")
            return call.eagerly()
        variants = self._variants.setdefault((own_stream(), is_grad_enabled(), key), [])
        for variant in variants:
            if isinstance(variant.trace, Recording):
                result = variant.trace.replay(inputs)
                if result is not NotImplemented:
                    return result
            elif variant.trace is None or variant.trace.is_current():
                break
        else:
            # memory that is no longer a parameter's never becomes one again
            variants[:] = [v for v in variants if v.trace is None or v.trace.has_its_memory()]
            if self._count == MOST:
                self._warn(
                    f"it has met {MOST} different sets of arguments and settings, and records no "
                    "more; what changes at each call must be a Tensor argument, and gradients "
                    "must not be kept"
                )
                return call.eagerly()
            variant = _Variant(objects)
            variants.append(variant)
            self._count += 1
        if variant.is_refused:
            return call.eagerly()
        return self._record(variant, call) if variant.is_warm else self._warm_up(variant, call)

    def _warm_up(self, variant: _Variant, call: _Call) -> Any:
        """Run the step as it stands, in the memory of the graph to come, and trace it."""
        trace = Trace(variant.graph, variant.trace)
        with variant.graph.memory(), trace.watching():
            inputs = call.on_gpu(copies=True)
            result = call.run(inputs)
            trace.returned(result)
        result = mapped(result, copied)
        if call.take_back(inputs):
            trace.refuse(CHANGES_AN_ARGUMENT)
        del inputs  # what nobody else refers to then is free again
        trace.finish()
        variant.trace, variant.calls = trace, variant.calls + 1
        variant.is_warm = variant.calls >= WARM_UP and trace.trouble is None
        if trace.trouble is not None and variant.calls == MOST_WARM_UP:
            self._refuse(variant, trace.trouble)
        return result

    def _record(self, variant: _Variant, call: _Call) -> Any:
        """Record the step, which also runs it; or run it, where that fails."""
        assert variant.trace is not None
        recording = None
        try:
            recording = Recording(variant.graph, variant.trace, call.inputs)
            result = recording.record(call.run, call.inputs)
            if call.take_back(recording.inputs):
                recording.refuse(CHANGES_AN_ARGUMENT)
        except Exception as error:
            if recording is not None and not recording.is_recording:
                call.take_back(recording.inputs)
                self._refuse(variant, recording.trouble or "it failed")
                raise
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            result = call.eagerly()  # which also raises the step's own errors
            self._refuse(variant, reason)
        else:
            if recording.trouble is None:
                variant.trace = recording
            else:
                self._refuse(variant, recording.trouble)
        return result

    def _refuse(self, variant: _Variant, reason: str) -> None:
        variant.is_refused = True
        del variant.graph  # whose memory others may use again
        self._warn(reason, stacklevel=6)

    def _warn(self, reason: str, stacklevel: int = 4) -> None:
        if not self._has_warned:
            self._has_warned = True
            name = getattr(self._step, "__name__", type(self._step).__name__)
            warnings.warn(
                f"capture({name}) runs it as it stands, without a CUDA graph: {reason}",
                RuntimeWarning,
                stacklevel,
            )


class _Call:
    """A step with arguments, among them Tensors that may be exchanged."""

    def __init__(
        self,
        step: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        inputs: list[Tensor],
    ) -> None:
        self._step, self._args, self._kwargs, self.inputs = step, args, kwargs, inputs

    def run(self, inputs: Sequence[Tensor]) -> Any:
        """The step with other Tensors in the place of `self.inputs`."""
        others = iter(inputs)

        def exchanged(value: Any) -> Any:
            return next(others) if _is_input(value) else value

        args, kwargs = mapped((self._args, self._kwargs), exchanged)
        return self._step(*args, **kwargs)

    def on_gpu(self, copies: bool = False) -> list[Tensor]:
        """The Tensors on the GPU; if so wanted copies, in C order, as a graph has them."""
        arrays = [to_device(x._data, "gpu") for x in self.inputs]
        if not copies:  # a step that changes an argument changes the caller's
            return [
                x if x._data is y else wrap(y) for x, y in zip(self.inputs, arrays, strict=True)
            ]
        return [
            stand_in(x, y.copy() if x._data is y or not y.flags.c_contiguous else y)
            for x, y in zip(self.inputs, arrays, strict=True)
        ]

    def take_back(self, own: Sequence[Tensor]) -> bool:
        """Change the caller's Tensors as the step has changed its own; whether it has."""
        changed = [
            (x, y)
            for x, y in zip(self.inputs, own, strict=True)
            if not on_host(x._data) and not _is_as_given(x, y)
        ]
        for x, y in changed:
            if x._data.dtype == y.dtype:
                write(x._data, y._data)
            else:
                x.data = y._data.copy()
            x._requires_grad = y._requires_grad
            x._grad = None if y._grad is None else new_leaf(y._grad._data.copy())
        return bool(changed)

    def eagerly(self) -> Any:
        """The step as it stands."""
        return mapped(self.run(self.on_gpu()), outside_the_graph)


def _is_as_given(given: Tensor, own: Tensor) -> bool:
    """Whether a step has left the copy of an argument as it was."""
    if own._requires_grad or own._grad is not None or own.dtype != given.dtype:
        return False
    return to_numpy(own._data).tobytes() == to_numpy(given._data).tobytes()


def _is_input(value: Any) -> bool:
    """Whether an argument is a Tensor whose values may differ from call to call."""
    return isinstance(value, Tensor) and not value._requires_grad


def _key(value: Any, inputs: list[Tensor], objects: list[Any]) -> Any:
    """What of arguments decides over a recording; collects their Tensors, and other objects."""
    kind = type(value)
    if kind is tuple or kind is list:
        return kind, *[_key(part, inputs, objects) for part in value]
    if kind is dict:
        return kind, *[(name, _key(part, inputs, objects)) for name, part in value.items()]
    if kind is float:
        return value.hex()  # tells 0.0 from -0.0, and is equal for nan
    if kind in PLAIN:
        return kind, value
    if _is_input(value):
        inputs.append(value)
        array = value._data
        return array.shape, array.dtype, on_host(array)
    objects.append(value)
    return id(value)
