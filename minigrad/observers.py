"""Who looks on while a thread computes: nobody, `detect_anomaly`, or a capture of its step.

A CUDA graph repeats what it recorded: the same kernels on the same memory, with the same Python
numbers. So a capture must be told what it cannot see in the kernels. The code that does such things
tells the thread's observer, `thread.observer`, which is `NOBODY` most of the time:

- values that differ from step to step (a learning rate, random numbers) are asked for through
  `replay_values`, with a function that computes them: it is called again before each replay;
- what changes on the host at each step, such as a count, is done through `repeat`;
- what a step relies on, or changes and would have to change back if its recording failed, is named;
- what cannot be replayed is refused, before it is done: the step runs as it stands from there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minigrad.backends import Array, to_device

if TYPE_CHECKING:
    from minigrad.engine import Record

__all__ = ["NOBODY", "Observer", "Settings", "observed_by", "thread"]

Settings: TypeAlias = Callable[[], Iterable[object]]


class Observer:
    """Looks on while its thread computes; this one lets everything happen, and remembers nothing.

    Attributes:
        is_recording: Whether the GPU only writes down what it is told, and does nothing yet.
    """

    is_recording = False

    # operations, and the way back through them

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
        """The way back reaches a record, whose saved values are used next."""

    def gradients(self, record: Record, g: Any, gradients: Iterable[Any]) -> None:
        """A record has turned the gradient `g` of its output into gradients of its inputs."""

    # what differs from step to step

    def replay_values(
        self,
        draw: Callable[[], Any],
        shape: tuple[int, ...] | None,
        dtype: Any,
        device: str,
        *described: object,
    ) -> Array:
        """An array that the host computes, in a recorded step anew before each replay.

        Args:
            draw: Computes it as a NumPy array; it may advance a random generator.
            shape: Its shape, which must be known without calling `draw`; None for a vector of a
                length that never changes.
            dtype: Its dtype.
            device: Where it goes. What is drawn for the CPU cannot be replayed.
            described: The name, and the numbers that `draw` keeps from the call that made it: a
                step in which they change from call to call is not recorded.
        """
        return to_device(np.asarray(draw(), dtype=dtype), device)

    def repeat(self, action: Callable[[], object]) -> None:
        """Change something on the host now, and in a recorded step before each replay.

        Args:
            action: What changes it, such as a count.
        """
        action()

    # what a step relies on

    def called(self, module: Any) -> None:
        """The step calls a module, and so relies on its attributes."""

    def depends(self, settings: Settings) -> None:
        """The step relies on settings: where they change, it has to be recorded anew."""

    def looks_up(self, settings: Settings) -> None:
        """A replay looks these settings up itself; they must not change within a step."""

    def uses_gradient(self, leaf: Any) -> None:
        """The step reads the `.grad` of a leaf, which must be of its own making."""

    # what a step changes on the host

    def sets_gradient(self, leaf: Any) -> None:
        """The step is about to set the `.grad` of a leaf."""

    def sets_requires_grad(self, tensor: Any) -> None:
        """The step is about to set the `requires_grad` of a Tensor."""

    def changes(self, contents: dict[Any, Any] | list[Any]) -> None:
        """The step is about to change a dictionary or a list, such as a module's attributes."""

    def assigns(self, tensor: Any) -> None:
        """The step is about to give a Tensor another array, by an assignment to `.data`."""

    def refuse(self, reason: str, tensor: Any = None) -> None:
        """What comes next cannot be replayed; nothing of it has been done yet.

        Args:
            reason: What the step does and what to do instead, for the warning.
            tensor: The Tensor that changes, where that matters only if the step has not made it.
        """


NOBODY = Observer()


class _Thread(threading.local):
    """Per thread: its observer."""

    observer = NOBODY


thread = _Thread()


@contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Let an observer look on inside, in the place of the one before."""
    before, thread.observer = thread.observer, observer
    try:
        yield
    finally:
        thread.observer = before
