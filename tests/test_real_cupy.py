"""The stand-in beside CuPy itself, which needs no GPU for what launches nothing.

Without a GPU CuPy's arrays lie in the host's memory here: all that is known without looking at
values is CuPy's own, and what would launch a kernel or copy ends in CUDA's error.
"""

import needs
import numpy as np
import pytest
import strict_device
from strict_device.real import real

from minigrad.backends import cupy as backend

pytestmark = needs.CUPY

HAS_GPU = backend._problem() is None
WORK = "something to do for the GPU"


def on_host(size):
    """An allocator that gives CuPy memory of the host."""
    block = np.zeros(size + 512, np.uint8)
    start = block.ctypes.data + -block.ctypes.data % 512
    return real.cuda.MemoryPointer(real.cuda.UnownedMemory(start, size, block, 0), 0)


@pytest.fixture
def memory(stand_in):
    with real.cuda.using_allocator(None if HAS_GPU else on_host):
        yield


def layouts(y):
    """Shape, strides in elements, dtype and order of all arrays in a result."""
    if isinstance(y, tuple | list):
        return [layouts(part) for part in y]
    if y.size == 0:  # whose strides nobody follows
        return y.shape, y.dtype
    # an axis of one element is never gone along
    strides = [s // y.itemsize if n > 1 else 0 for n, s in zip(y.shape, y.strides, strict=True)]
    return y.shape, strides, y.dtype, y.flags.c_contiguous, y.flags.f_contiguous


def outcome(call, cupy, x):
    """What a call gives, what is wrong with it, or that it is work for the GPU."""
    try:
        return layouts(call(cupy, x))
    except real.cuda.runtime.CUDARuntimeError as error:
        assert "Driver" in str(error) or "NoDevice" in str(error)
        return WORK
    except ValueError:  # among them NumPy's AxisError, which is an IndexError too
        return ValueError
    except (TypeError, IndexError) as error:
        return type(error)


BASES = {
    "C": lambda cupy: cupy.empty((3, 4), np.float32),
    "F": lambda cupy: cupy.empty((3, 4), np.float64, order="F"),
    "transposed": lambda cupy: cupy.empty((2, 3, 4), np.float32).transpose(2, 0, 1),
    "strided": lambda cupy: cupy.empty((4, 6), np.int64)[:, ::2],
    "backwards": lambda cupy: cupy.empty((3, 4), np.float32)[::-1],
    "vector": lambda cupy: cupy.empty(6, np.float32),
    "number": lambda cupy: cupy.empty((), np.float64),
    "one column": lambda cupy: cupy.empty((4, 1), np.bool_),
    "empty": lambda cupy: cupy.empty((0, 3), np.float32),
    "repeated": lambda cupy: np.broadcast_to(cupy.empty(3, np.float32), (2, 4, 3)),
}

CALLS = {
    **{
        f"reshape {shape}": lambda cupy, x, shape=shape: x.reshape(shape)
        for shape in [
            -1,
            (),
            (1, -1),
            (-1, 1),
            (2, -1),
            (2, 2, 3),
            (12,),
            (3, 2, 2),
            (4, 3),
            (5, 5),
        ]
    },
    "np.reshape": lambda cupy, x: np.reshape(x, (-1,)),
    "ravel": lambda cupy, x: x.ravel(),
    "flatten": lambda cupy, x: x.flatten(),
    "T": lambda cupy, x: x.T,
    "mT": lambda cupy, x: x.mT,
    "transpose": lambda cupy, x: x.transpose(*range(x.ndim)[::-1]),
    "np.transpose": lambda cupy, x: np.transpose(x, (1, 0)),
    "swapaxes": lambda cupy, x: np.swapaxes(x, 0, -1),
    "moveaxis": lambda cupy, x: np.moveaxis(x, 0, -1),
    "expand_dims": lambda cupy, x: np.expand_dims(x, 1),
    "squeeze": lambda cupy, x: np.squeeze(x),
    "squeeze an axis": lambda cupy, x: np.squeeze(x, axis=-1),
    "broadcast_to": lambda cupy, x: np.broadcast_to(x, (5, *x.shape)),
    "broadcast_to another": lambda cupy, x: np.broadcast_to(x, (4, 4)),
    "broadcast_arrays": lambda cupy, x: np.broadcast_arrays(x, x[None]),
    "split": lambda cupy, x: np.split(x, 2, axis=-1),
    "split at": lambda cupy, x: np.split(x, [1, 1, 9]),
    "view": lambda cupy, x: x.view(),
    "view of another dtype": lambda cupy, x: x.view(
        np.int8 if x.dtype == bool else f"i{x.itemsize}"
    ),
    "view of bytes": lambda cupy, x: x.view(np.uint8),
    "astype of the same": lambda cupy, x: x.astype(x.dtype, copy=False),
    "diagonal": lambda cupy, x: x.diagonal(),
    "flip": lambda cupy, x: np.flip(x, 0),
    "real": lambda cupy, x: x.real,
    "an index": lambda cupy, x: x[1],
    "the last": lambda cupy, x: x[-1],
    "out of range": lambda cupy, x: x[9],
    "all": lambda cupy, x: x[...],
    "nothing": lambda cupy, x: x[()],
    "slices": lambda cupy, x: x[1:, ::-2],
    "an empty slice": lambda cupy, x: x[5:],
    "new axes": lambda cupy, x: x[None, ..., None],
    "a column": lambda cupy, x: x[..., 0],
    "too many": lambda cupy, x: x[0, 0, 0, 0],
    "rows": lambda cupy, x: list(x),
    "ndarray over its memory": lambda cupy, x: cupy.ndarray((x.size,), x.dtype, x.data),
    # work, whose shapes only a GPU tells
    "copy": lambda cupy, x: x.copy(),
    "astype": lambda cupy, x: x.astype(np.float16),
    "add": lambda cupy, x: x + x,
    "sum": lambda cupy, x: x.sum(axis=0),
    "by indices": lambda cupy, x: x[np.array([0, 1])],
    "from numbers": lambda cupy, x: cupy.asarray([1.0, 2.0]),
}


def differing(call):
    """Where CuPy and the stand-in answer differently, by the array that the call is about."""
    found = {}
    for name, base in BASES.items():
        ours, theirs = base(strict_device.module), base(real)
        assert layouts(ours) == layouts(theirs)
        log = strict_device.log
        log.reset()
        expected = outcome(call, real, theirs)
        actual = outcome(call, strict_device.module, ours)
        is_work = bool(log.launches or log.uploads or log.downloads)
        if expected == WORK:
            if not is_work and ours.size:
                found[name] = "no work", WORK
        elif actual != expected or (is_work and not HAS_GPU):
            found[name] = actual, expected
    return found


@pytest.mark.parametrize("call", CALLS)
def test_the_stand_in_answers_as_cupy_does(call, memory):
    assert not differing(CALLS[call])


SHAPES = [None, (), 0, 5, (1,), (2, 3), (2, 3, 4), (0, 2)]


@pytest.mark.parametrize("dtype", [None, np.int8])
@pytest.mark.parametrize("order", "CFAK")
@pytest.mark.parametrize("shape", SHAPES)
def test_empty_arrays_like_others_have_cupys_layout(shape, order, dtype, memory):
    assert not differing(lambda cupy, x: np.empty_like(x, dtype, order, shape=shape))


class Quiet(real.cuda.MemoryPointer if real else object):
    """As CuPy's, and no work is done there: as the memory is the host's, no kernel could."""

    def memset_async(self, value, size):
        pass


class Silent(real.ndarray if real else object):
    """CuPy's array, which is not filled."""

    def fill(self, value):
        pass

    @property
    def data(self):
        pointer = super().data
        return Quiet(pointer.mem, pointer.ptr - pointer.mem.ptr)


@pytest.mark.parametrize("order", "CFAK")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["zeros_like", "ones_like", "full_like"])
def test_filled_arrays_like_others_have_cupys_layout(name, shape, order, memory, monkeypatch):
    value = [7] if name == "full_like" else []

    def call(cupy, x):
        return getattr(cupy, name)(x, *value, order=order, shape=shape)

    for base in BASES.values():
        found = outcome(call, strict_device.module, base(strict_device.module))
        x = base(real)
        with monkeypatch.context() as patch:
            if not HAS_GPU:
                patch.setattr(real, "ndarray", Silent)
                patch.setattr(real, "copyto", lambda *_, **__: None)
            assert found == outcome(call, real, x)
