"""Level 0: numbers of the host that a recorded step needs anew at each replay.

A CUDA graph repeats what it recorded: the same kernels on the same memory, with the same Python
numbers. What changes from step to step (a learning rate, a count, random numbers) must therefore
lie in memory of the device, and somebody must refill that memory before each replay. A piece of
code says so by asking for such values through a function that computes them:

- `numbers(values)` gives a vector of float64 on the GPU that holds what `values()` returns;
- `array(draw, shape, dtype, device)` gives an array that holds what `draw()` returns;
- `repeat(action)` has something done on the host, such as a count that goes up.

They act at once. If the step is recorded, all of these functions are called again before each
later replay, in the order in which they were recorded.

What cannot be said so, because Python changes something that a replay would not, is refused:
`refuse(reason)` says it before the change, and the step runs as it stands from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import get_ident
from typing import Any, Protocol, TypeAlias

import numpy as np

from minigrad.backends import Array, to_device

__all__ = [
    "Recorder",
    "array",
    "depends",
    "is_recording",
    "numbers",
    "recorders",
    "refuse",
    "repeat",
    "uses_gradient",
]


Settings: TypeAlias = Callable[[], Iterable[object]]


class Recorder(Protocol):
    """What `capture` puts in the way of a step; watch.py and recording.py have them."""

    recording: bool
    """Whether the GPU only writes down what it is told, and does nothing yet."""

    def array(
        self,
        draw: Callable[[], Any],
        shape: tuple[int, ...] | None,
        dtype: Any,
        described: tuple[object, ...],
    ) -> Array:
        """An array on the GPU that holds what `draw` gives."""

    def repeat(self, action: Callable[[], object]) -> None:
        """Have something done on the host."""

    def refuse(self, reason: str, tensor: Any = None) -> None:
        """What comes now cannot be replayed."""

    def depends(self, settings: Settings, between_calls: bool = False) -> None:
        """A replay is right only as long as `settings` gives the same objects."""

    def called(self, module: Any) -> None:
        """A replay is right only as long as a module has the same attributes."""

    def uses_gradient(self, leaf: Any) -> None:
        """The step reads the `.grad` of a leaf, which must be of its own making."""


recorders: dict[int, Recorder] = {}  # that of each thread whose step is watched or recorded


def is_recording() -> bool:
    """Whether this thread's work on the GPU is being recorded, and not executed."""
    if not recorders:
        return False
    recorder = recorders.get(get_ident())
    return recorder is not None and recorder.recording


def refuse(reason: str, tensor: Any = None) -> None:
    """Say that a step which does what comes next cannot be replayed; nothing has changed yet.

    A step that is only watched is not recorded then. If it is being recorded, the GPU does what it
    was told so far, and the rest of the step runs as it stands. Elsewhere nothing happens.

    Args:
        reason: What the step does and what to do instead, for the warning.
        tensor: The Tensor that changes, where that matters only if it was there before the step.
    """
    recorder = recorders.get(get_ident()) if recorders else None
    if recorder is not None:
        recorder.refuse(reason, tensor)


def depends(settings: Settings, between_calls: bool = False) -> None:
    """Say what the step of this thread relies on.

    Args:
        settings: Gives it. Where it gives other objects than before, the step is recorded anew.
        between_calls: It may be others from call to call, as a replay looks at it; it must only
            not change within a call.
    """
    recorder = recorders.get(get_ident())
    if recorder is not None:
        recorder.depends(settings, between_calls)


def uses_gradient(leaf: Any) -> None:
    """Say that the step of this thread reads the `.grad` of a leaf."""
    recorder = recorders.get(get_ident())
    if recorder is not None:
        recorder.uses_gradient(leaf)


def numbers(values: Callable[[], Sequence[float]]) -> Array:
    """Python numbers in a vector on the GPU, float64, in a recording as they are at each replay.

    Args:
        values: Computes them, always as many, and changes nothing. In a recording it is called
            again later: whatever it looks at must still be there, and up to date.

    Returns:
        The vector, not to be changed. In a recording its address is fixed; no two calls share it.
    """
    return array(lambda: np.array(values(), dtype=np.float64), None, np.float64)


def array(
    draw: Callable[[], Any],
    shape: tuple[int, ...] | None,
    dtype: Any,
    device: str = "gpu",
    *described: object,
) -> Array:
    """An array that the host computes, in a recording anew at each replay.

    Args:
        draw: Computes it as a NumPy array; it may advance a random generator.
        shape: Its shape, which must be known without calling `draw`; None for a vector of a length
            that never changes.
        dtype: Its dtype.
        device: Where it goes. What is drawn for the CPU cannot be replayed.
        described: The name, and the numbers that `draw` keeps from the call that made it: a step
            in which they change from call to call is not recorded.
    """
    recorder = recorders.get(get_ident()) if recorders else None
    if recorder is not None:
        if device == "gpu":
            return recorder.array(draw, shape, dtype, described)
        recorder.refuse("it draws numbers on the CPU; pass device='gpu', or draw them outside")
    return to_device(np.asarray(draw(), dtype=dtype), device)


def repeat(action: Callable[[], object]) -> None:
    """Do something on the host now, and in a recording also at each later replay.

    Args:
        action: What changes the host's state, such as a count.
    """
    recorder = recorders.get(get_ident()) if recorders else None
    if recorder is None:
        action()
    else:
        recorder.repeat(action)
