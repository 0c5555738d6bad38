"""Level 0: numbers of the host that a recorded step needs anew at each replay.

A CUDA graph repeats what it recorded: the same kernels on the same memory, with the same Python
numbers. What changes from step to step (a learning rate, a count, random numbers) must therefore
lie in memory of the device, and somebody must refill that memory before each replay. A piece of
code says so by asking for such values through a function that computes them:

- `numbers(values)` gives a vector of float64 on the GPU that holds what `values()` returns;
- `array(draw, shape, dtype, device)` gives an array that holds what `draw()` returns;
- `repeat(action)` has something done on the host, such as a count that goes up.

Outside a recording they act at once. In a recording none of the functions is called: nothing is
executed then, so nothing on the host may advance. Before each replay, the first one included, all
of them are called in the order in which they were recorded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from minigrad.backends import Array, to_device

__all__ = ["NotRecordable", "Recorder", "array", "is_recording", "numbers", "recorder", "repeat"]


class NotRecordable(RuntimeError):
    """What a step does cannot be replayed; the message says what, and `capture` falls back."""


class Recorder(Protocol):
    """What `capture` puts in the way of live values; `minigrad/recording.py` has both kinds."""

    recording: bool
    """Whether nothing is executed now; False in the step before, which is watched only."""

    def array(self, draw: Callable[[], Any], shape: tuple[int, ...] | None, dtype: Any) -> Array:
        """An array on the GPU that holds what `draw` gives; the shape None is any vector's."""

    def repeat(self, action: Callable[[], object]) -> None:
        """Have something done on the host."""


class _Local(threading.local):
    recorder: Recorder | None = None


_local = _Local()


def recorder() -> Recorder | None:
    """What records this thread's step; None outside `capture`."""
    return _local.recorder


def set_recorder(new: Recorder | None) -> None:
    """Begin, or with None end, to send this thread's live values through a recorder."""
    _local.recorder = new


def is_recording() -> bool:
    """Whether this thread's work on the GPU is being recorded, and not executed."""
    return _local.recorder is not None and _local.recorder.recording


def numbers(values: Callable[[], Sequence[float]]) -> Array:
    """Python numbers in a vector on the GPU, float64, in a recording as they are at each replay.

    Args:
        values: Computes them, always as many, and changes nothing. In a recording it is called
            later: whatever it looks at must still be there, and up to date.

    Returns:
        The vector, not to be changed. In a recording its address is fixed; no two calls share it.
    """
    return array(lambda: np.array(values(), dtype=np.float64), None, np.float64)


def array(
    draw: Callable[[], Any],
    shape: tuple[int, ...] | None,
    dtype: Any,
    device: str = "gpu",
) -> Array:
    """An array that the host computes, in a recording anew at each replay.

    Args:
        draw: Computes it as a NumPy array; it may advance a random generator.
        shape: Its shape, which must be known without calling `draw`; None for a vector of a length
            that never changes.
        dtype: Its dtype.
        device: Where it goes. On the CPU, and outside a recording, `draw` is called at once.
    """
    if _local.recorder is not None and device == "gpu":
        return _local.recorder.array(draw, shape, dtype)
    return to_device(np.asarray(draw(), dtype=dtype), device)


def repeat(action: Callable[[], object]) -> None:
    """Do something on the host now, or in a recording at each replay.

    Args:
        action: What changes the host's state, such as a count.
    """
    if _local.recorder is None:
        action()
    else:
        _local.recorder.repeat(action)
