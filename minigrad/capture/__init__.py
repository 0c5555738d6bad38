"""A training step that the GPU repeats as a whole: `mg.capture`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from minigrad.backends import on_host, require_device, to_device, to_numpy
from minigrad.backends.cupy.graph import StepGraph, own_stream
from minigrad.capture.recording import Recording
from minigrad.capture.trace import Trace
from minigrad.capture.values import PLAIN, copied, detached, mapped, stand_in
from minigrad.grad_mode import is_grad_enabled
from minigrad.observers import NOBODY, thread
from minigrad.tensor import Tensor, new_leaf, wrap
from minigrad.versions import write

__all__ = ["capture"]

P = ParamSpec("P")
R = TypeVar("R")

MOST = 32  # variants of a function: more would mean that something changes at each call
WARM_UP = 2  # calls before the recording; the last two must do the same
MOST_WARM_UP = 3  # the first call may do more than the others, such as make an optimizer's state

CHANGES_AN_ARGUMENT = (
    "it changes an argument, and a replay would change only a copy; change a Tensor that is not an "
    "argument (a Buffer), or return the new values"
)


def capture(step: Callable[P, R], device: str | None = None) -> Callable[P, R]:
    """Let the GPU repeat a training step as a whole, instead of starting each kernel from Python.

    The step of a small network is hundreds of kernels of a few microseconds each. Python takes
    longer to start a kernel than the GPU to run it, so the GPU waits. A *CUDA graph* is the list
    of a step's kernels, with the memory that each kernel reads and writes. It is recorded once, by
    running `step` while CUDA only writes the kernels down; then one call starts all of them again.

    So `step` itself runs in the first three calls only: twice to warm up (kernels are compiled, an
    optimizer makes its state), once to record. All three count as steps. If the two warm-up calls
    did not do the same, there is a third. Each later call is a *replay*: it copies its arguments to
    the memory that the graph reads, and starts the graph. So these rules hold for `step`:

    - Tensors that change from call to call are arguments. Each value of any other argument has a
      graph of its own, and so has each set of shapes, dtypes and `training` switches.
    - Weights, learning rates, step counts and random numbers may change between calls. Layers,
      options of layers and options of optimizers may change too, and gradients may be kept: these
      changes cause a new recording.
    - State that goes from call to call is not an argument. Change it in place
      (`average.data[...] = ...`), or assign an array that the step has just computed to `.data`.
      A schedule's `step()` may be called. A step is not recorded if it changes an argument, assigns
      an array that something else refers to, or keeps a Tensor that it has made (a hidden state, a
      list of losses).
    - Everything else that Python does (printing, counting, `if`) happens in the first calls only.
      Reading a value would make Python wait for the GPU and cannot be recorded: return the value,
      and read it outside, not in every step.
    - Computations with raw arrays (`x.data`) are not checked: they must be the same in each call,
      with the same Python numbers.

    A step that cannot be recorded, or that differs from call to call, always runs as ordinary
    Python, and one warning says why. If a step raises an error while it is recorded, its changes to
    Tensors, modules and optimizers are undone, and it runs again as ordinary Python. On the CPU
    nothing is recorded: the function does what `step` does.

    Args:
        step: A function of a batch that computes the loss, its gradients, and the update. It must
            reset the gradients itself: a replay cannot add to them.
        device: "cpu" or "gpu"; "gpu" also copies Tensor arguments there, while the previous step is
            still running. Default: the device of the Tensor arguments.

    Returns:
        A function with the same arguments and results. On the GPU it returns Tensors without a
        graph, and no later call changes them.

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
        self.objects = objects  # kept alive: the key has their ids, which must stay theirs
        self.calls = 0
        self.is_warm = self.is_refused = False
        self.trace: Trace | None = None


class _Captured:
    """A step and its variants, by the key of their arguments."""

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
            # a parameter that was given other memory never gets its old memory back
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
        """Run the step as ordinary Python, in the graph's memory, and trace what it does."""
        trace = Trace(variant.graph, variant.trace)
        with variant.graph.memory(), trace.watching():
            inputs = call.on_gpu(copies=True)
            result = call.run(inputs)
            trace.returned(result)
        result = mapped(result, copied)
        if call.copy_changes_back(inputs):
            trace.refuse(CHANGES_AN_ARGUMENT)
        del inputs  # so that only what the step has kept is still in use
        trace.finish()
        variant.trace, variant.calls = trace, variant.calls + 1
        variant.is_warm = variant.calls >= WARM_UP and trace.trouble is None
        if trace.trouble is not None and variant.calls == MOST_WARM_UP:
            self._refuse(variant, trace.trouble)
        return result

    def _record(self, variant: _Variant, call: _Call) -> Any:
        """Record the step and launch the recording; if that fails, run it as ordinary Python."""
        assert variant.trace is not None
        recording = None
        try:
            recording = Recording(variant.graph, variant.trace, call.inputs)
            result = recording.record(call.run, call.inputs)
            if call.copy_changes_back(recording.inputs):
                recording.refuse(CHANGES_AN_ARGUMENT)
        except Exception as error:
            if recording is not None and not recording.is_recording:
                call.copy_changes_back(recording.inputs)
                self._refuse(variant, recording.trouble or "it failed")
                raise
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            result = call.eagerly()  # if the step itself is wrong, it raises its error here
            self._refuse(variant, reason)
        else:
            if recording.trouble is None:
                variant.trace = recording
            else:
                self._refuse(variant, recording.trouble)
        return result

    def _refuse(self, variant: _Variant, reason: str) -> None:
        variant.is_refused = True
        del variant.graph  # its memory is free for others
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
    """A step with its arguments, whose Tensors can be replaced by others."""

    def __init__(
        self,
        step: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        inputs: list[Tensor],
    ) -> None:
        self._step, self._args, self._kwargs, self.inputs = step, args, kwargs, inputs

    def run(self, inputs: Sequence[Tensor]) -> Any:
        """Run the step with these Tensors instead of `self.inputs`."""
        others = iter(inputs)

        def replaced(value: Any) -> Any:
            return next(others) if _is_input(value) else value

        args, kwargs = mapped((self._args, self._kwargs), replaced)
        return self._step(*args, **kwargs)

    def on_gpu(self, copies: bool = False) -> list[Tensor]:
        """The input Tensors on the GPU; with `copies` each in C order and in memory of its own."""
        arrays = [to_device(x._data, "gpu") for x in self.inputs]
        if not copies:  # if the step changes an argument, it changes the caller's Tensor
            return [
                x if x._data is y else wrap(y) for x, y in zip(self.inputs, arrays, strict=True)
            ]
        return [
            stand_in(x, y.copy() if x._data is y or not y.flags.c_contiguous else y)
            for x, y in zip(self.inputs, arrays, strict=True)
        ]

    def copy_changes_back(self, own: Sequence[Tensor]) -> bool:
        """Copy changes of the arguments to the caller's Tensors; return whether there are any."""
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
        """Run the step as ordinary Python."""
        return mapped(self.run(self.on_gpu()), detached)


def _is_as_given(given: Tensor, own: Tensor) -> bool:
    """Whether a step has left its copy of an argument unchanged."""
    if own._requires_grad or own._grad is not None or own.dtype != given.dtype:
        return False
    return to_numpy(own._data).tobytes() == to_numpy(given._data).tobytes()


def _is_input(value: Any) -> bool:
    """Whether an argument is a Tensor whose values may differ from call to call."""
    return isinstance(value, Tensor) and not value._requires_grad


def _key(value: Any, inputs: list[Tensor], objects: list[Any]) -> Any:
    """The part of arguments that a recording fixes; other values have another recording.

    Args:
        value: The arguments, nested.
        inputs: Gets their Tensors, whose values may change from call to call.
        objects: Gets other objects, which the key knows by their ids.
    """
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
