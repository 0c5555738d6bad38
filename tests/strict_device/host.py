"""Copies from the host to the stand-in's memory, and pinned memory."""

import functools
import weakref

import numpy as np

from strict_device.memory import DeviceFault
from strict_device.streams import get_current_stream, log, refuse_copy


def upload(what):
    refuse_copy(get_current_stream(), "H2D")
    log.uploads.append(what)


def pinned_under(array):
    """The pinned memory that a NumPy array lies in, or None."""
    while isinstance(array, np.ndarray | memoryview):
        array = array.obj if isinstance(array, memoryview) else array.base
    return array if isinstance(array, PinnedMemoryPointer) else None


class PinnedMemoryPointer(bytearray):
    """As cupy.cuda.PinnedMemoryPointer: memory of the host that the device copies by itself."""

    @property
    def ptr(self):
        return np.frombuffer(self, np.uint8).ctypes.data

    def size(self):
        return len(self)


def send(values, target, stream):
    """Copy from the host: pinned memory is read when the copy's turn comes, any other now."""
    pinned = pinned_under(values)
    if pinned is None:
        stream.submit(functools.partial(np.copyto, target, values.copy(order="K")))
        return
    owner = weakref.ref(pinned)
    layout = values.shape, values.dtype, values.ctypes.data - pinned.ptr, values.strides

    def copy():
        if owner() is None:
            raise DeviceFault("pinned memory was freed before the copy from it had ended")
        shape, dtype, start, strides = layout
        target[...] = np.ndarray(shape, dtype, owner(), start, strides)

    stream.submit(copy)


def empty_pinned(shape, dtype=float, order="C"):
    like = np.empty(shape, dtype)
    return np.ndarray(shape, dtype, PinnedMemoryPointer(max(like.nbytes, 1)), order=order)
