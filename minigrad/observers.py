"""The observer of a thread's computation: none, `detect_anomaly`, or the capture of a step.

A CUDA graph replays what it recorded: the same kernels on the same memory, with the same Python
numbers. What else a step does is not in the kernels, so a capture must be told. The code that does
it tells the thread's observer, `thread.observer`, which is `NOBODY` most of the time:

- values that differ from step to step (a learning rate, random numbers) are asked for through
  `replay_values`, with a function that computes them; it is called again before each replay;
- a change on the host at each step, such as a count, is made through `repeat`;
- what a step relies on is reported, and so is what it changes, to be undone if recording fails;
- what cannot be replayed is refused before it is done; from there on the step runs uncaptured.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minigrad.backends import Array, to_device

if TYPE_CHECKING:
    from minigrad.engine import Gradients, Record

__all__ = ["NOBODY", "Observer", "Settings", "observed_by", "thread"]

Settings: TypeAlias = Callable[[], Iterable[object]]


class Observer:
    """Is told what its thread computes; this base class allows everything and stores nothing.

    Attributes:
        is_recording: Whether the GPU's work is only being recorded, and not run yet.
    """

    is_recording = False

    # operations, and backward passes through them

    def operation(
        self,
        name: str,
        args: Iterable[Any],
        options: Mapping[str, Any],
        y: Any,
        record: Record | None,
    ) -> None:
        """An operation has computed `y`."""

    def backward(self, record: Record) -> None:
        """A backward pass reaches a record and is about to use its saved values."""

    def gradients(self, record: Record, g: Any, gradients: Gradients) -> None:
        """A record has turned the gradient `g` of its output into gradients of its inputs.

        Args:
            record: The record.
            g: The gradient of its output, complete.
            gradients: The inputs' nodes, with the gradients as the rules have returned them:
                broadcasting is not undone yet.
        """

    # what differs from step to step

    def replay_values(
        self,
        draw: Callable[[], Any],
        shape: tuple[int, ...] | None,
        dtype: Any,
        device: str,
        *described: object,
    ) -> Array:
        """An array that the host computes; in a captured step, again before each replay.

        Args:
            draw: Computes it as a NumPy array; it may advance a random generator.
            shape: Its shape, which must be known without calling `draw`; None for a vector of a
                length that never changes.
            dtype: Its dtype.
            device: The device to copy it to. Values for the CPU cannot be replayed.
            described: The name, and the numbers that `draw` uses from the call that made it: a
                step is not captured if they change from call to call.
        """
        return to_device(np.asarray(draw(), dtype=dtype), device)

    def repeat(self, action: Callable[[], object]) -> None:
        """Change something on the host now, and in a captured step also before each replay.

        Args:
            action: The function that makes the change, such as adding 1 to a count.
        """
        action()

    # what a step relies on

    def called(self, module: Any) -> None:
        """The step calls a module, and so relies on its attributes."""

    def depends(self, settings: Settings) -> None:
        """The step relies on settings: when they change, it must be recorded again."""

    def looks_up(self, settings: Settings) -> None:
        """A replay reads these settings itself; they must not change within a step."""

    def uses_gradient(self, leaf: Any) -> None:
        """The step reads the `.grad` of a leaf; the same step must have computed it."""

    # what a step changes on the host

    def sets_gradient(self, leaf: Any) -> None:
        """The step is about to set the `.grad` of a leaf."""

    def sets_requires_grad(self, tensor: Any) -> None:
        """The step is about to set the `requires_grad` of a Tensor."""

    def changes(self, contents: dict[Any, Any] | list[Any]) -> None:
        """The step is about to change a dictionary or a list, such as a module's attributes."""

    def assigns(self, tensor: Any) -> None:
        """The step is about to replace a Tensor's array, by an assignment to `.data`."""

    def refuse(self, reason: str, tensor: Any = None) -> None:
        """The step is about to do something that cannot be replayed.

        Args:
            reason: What the step does and what to do instead, for the warning.
            tensor: The Tensor that changes, if the step may change Tensors that it has made itself.
        """


NOBODY = Observer()


class _Thread(threading.local):
    """Per thread: its observer."""

    observer = NOBODY


thread = _Thread()


@contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Make `observer` the thread's observer inside the `with` block."""
    before, thread.observer = thread.observer, observer
    try:
        yield
    finally:
        thread.observer = before
