"""A stand-in for CuPy on machines without a GPU: strict where a GPU is, and it counts.

Its arrays compute with NumPy on memory of their own and refuse to meet NumPy's. Work given to a
stream that is being captured is recorded, not done, and a graph's launch does it on the same
memory; what a capture refuses is refused. RawKernels are compiled by the C++ compiler and run
thread by thread. `log` holds what was launched, copied and waited for.

What a test uses: `module` and `extras`, which stand for `cupy` and `cupyx`; `blas`, which stands
for cuBLAS; `log`; `settings.late`, for work that is done late; `orders`, in which the threads of
a kernel are run; `finish_all` and `check_guards`, for the end of a test.
"""

import types

import numpy as np

from strict_device import memory, streams
from strict_device.arrays import ndarray
from strict_device.blas import CublasError, blas
from strict_device.calls import empty_like, inside, wrap, write
from strict_device.host import empty_pinned, send, upload
from strict_device.kernels import (
    COMPILER,
    CompileException,
    CUDADriverError,
    RawKernel,
    orders,
)
from strict_device.memory import (
    DeviceFault,
    MemoryPointer,
    MemoryPool,
    OutOfMemoryError,
    UnownedMemory,
    allocate_like,
    check_guards,
    using_allocator,
)
from strict_device.real import check_arguments, real
from strict_device.streams import (
    CUDARuntimeError,
    Event,
    Graph,
    Stream,
    end_captures,
    finish_all,
    forget_streams,
    get_current_stream,
    log,
    refuse_in_capture,
    settings,
    work,
)

__all__ = [
    "COMPILER",
    "CUDADriverError",
    "CUDARuntimeError",
    "CompileException",
    "CublasError",
    "DeviceFault",
    "blas",
    "check_guards",
    "end_captures",
    "extras",
    "finish_all",
    "forget_streams",
    "log",
    "module",
    "ndarray",
    "orders",
    "settings",
]


def created(name):
    """A function of CuPy's that makes an array on the device, from numbers."""

    def create(*args, **kwargs):
        check_arguments(name, None if real is None else getattr(real, name), args, kwargs)
        values = getattr(np, name)(*[number(a) for a in args], **kwargs)
        y = new_like(values)
        if name != "empty":
            target = y.array

            def run():
                target[...] = values

            work(name, run, [y.allocation])
        return y

    create.__name__ = name
    return create


def new_like(values):
    array, pointer = allocate_like(values)
    return wrap(array, pointer.mem)


def number(value):
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, ndarray):
        raise NotImplementedError("the stand-in fills with numbers")
    return value


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    """A copy of the host's values on the device; the device's own arrays as they are."""
    if isinstance(a, ndarray):
        y = a if dtype is None or a.dtype == dtype else a.astype(dtype)
        return y.copy() if copy and y is a else y
    upload("asarray")
    if blocking:
        log.syncs.append("asarray")
    values = np.asarray(a, dtype, order)
    y = new_like(values)
    send(np.array(values), y.array, get_current_stream())
    return y


class Ufunc:
    """A function of CuPy's on its arrays, and its `at`."""

    def __init__(self, numpys):
        self.numpys = numpys

    def __call__(self, *args, **kwargs):
        return inside(self.numpys, args, kwargs)

    def at(self, y, index, x):
        if y.dtype.char not in "iIefdLQ":  # what CUDA's atomicAdd takes
            raise TypeError(f"{self.numpys.__name__}.at: CuPy takes no {y.dtype}")
        write(f"{self.numpys.__name__}.at", self.numpys.at, y, index, x)


def function(numpys):
    def call(*args, **kwargs):
        return inside(numpys, args, kwargs)

    call.__name__ = numpys.__name__
    return call


class Device:
    """As cupy.cuda.Device: there is one."""

    compute_capability = "90"

    def __init__(self, device=None):
        self.id = int(device or 0)
        if self.id:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def synchronize(self):
        for stream in list(streams._streams.values()):
            refuse_in_capture(stream)
        log.syncs.append("device.synchronize")
        streams.finish_all()


def get_device_properties(device):
    return {
        "name": b"strict stand-in",
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 132,
        "sharedMemPerBlock": 48 << 10,
        "sharedMemPerBlockOptin": 227 << 10,
        "totalGlobalMem": 80 << 30,
    }


runtime = types.SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDevice=lambda: 0,
    getDeviceCount=lambda: 1,
    getDeviceProperties=get_device_properties,
    deviceSynchronize=lambda: Device().synchronize(),
    driverGetVersion=lambda: 13000,
)
cuda = types.SimpleNamespace(
    Device=Device,
    Event=Event,
    Graph=Graph,
    MemoryPointer=MemoryPointer,
    MemoryPool=MemoryPool,
    Stream=Stream,
    UnownedMemory=UnownedMemory,
    compiler=types.SimpleNamespace(CompileException=CompileException),
    driver=types.SimpleNamespace(CUDADriverError=CUDADriverError),
    get_current_stream=get_current_stream,
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    runtime=runtime,
    using_allocator=using_allocator,
)
FUNCTIONS = "concatenate stack where matmul dot copyto broadcast_to zeros_like ones_like full_like"
UFUNCS = "add subtract multiply maximum minimum exp log tanh sqrt negative"
module = types.ModuleType("cupy")
for _name in "arange empty eye full ones zeros".split():
    setattr(module, _name, created(_name))
for _name in FUNCTIONS.split():
    setattr(module, _name, function(getattr(np, _name)))
for _name in UFUNCS.split():
    setattr(module, _name, Ufunc(getattr(np, _name)))
for _name in "bool_ int8 uint8 int32 uint32 int64 uint64 float32 float64 dtype inf nan pi".split():
    setattr(module, _name, getattr(np, _name))
for _value in (RawKernel, asarray, empty_like, ndarray):
    setattr(module, _value.__name__, _value)
module.__version__ = "14.2.0"
module.cuda = cuda
module.get_default_memory_pool = lambda: memory.default_pool
extras = types.ModuleType("cupyx")
extras.empty_pinned = empty_pinned
