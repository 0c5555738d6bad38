"""Where arrays live, how they move, and which kernels a backend has.

A backend is an array module (NumPy or CuPy) plus the few kernels that it speeds up. A kernel for
the operation `ops/<family>.py:<name>` is the object `<name>` in `backends/<backend>/<family>.py`;
an operation without one runs its definition.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minigrad.errors import DeviceError

Array: TypeAlias = Any  # a NumPy or CuPy array: the two share no base class

__all__ = [
    "Array",
    "Kernel",
    "Needs",
    "array_module",
    "as_array",
    "cache_block",
    "device_of",
    "find_kernels",
    "gpu_is_lost",
    "is_array",
    "is_array_type",
    "on_host",
    "require_device",
    "to_device",
    "to_numpy",
]


class Kernel(NamedTuple):
    """A faster way to compute an operation on one backend, with the same values.

    Attributes:
        forward: For a primitive `(*arrays, **options) -> y`, as its definition. For a fused
            operation `(*arrays, **options) -> (y, residuals)`; `y` is a tuple where the operation
            has several outputs, `residuals` is whatever `backward` wants to find again.
            NotImplemented leaves a dtype or shape to the next kernel, and then to the definition.
        backward: For a primitive a dictionary: for an input a function that takes what its rule
            takes; NotImplemented leaves a case to the rule. For a fused operation a function
            `(g, needs, y, residuals, *arrays, **options)` -> one gradient per input, None where
            `needs`, which is a `Needs`, is False. What is not there, rules and definition do.
    """

    forward: Callable[..., Any]
    backward: Any = None


class Needs(tuple[bool, ...]):
    """Which inputs of a fused operation want a gradient, as its backward kernel is told."""

    def place(self, position: int) -> Array | None:
        """An array that this input's gradient may be written to, or None where there is none.

        Args:
            position: The input's.
        """
        return None


def _kernel_folders(array_type: type) -> tuple[str, ...]:
    """The backends that may hold a kernel for this type of array, fastest first."""
    if issubclass(array_type, np.ndarray):
        from minigrad.backends.numpy.memory import keep_freed_memory

        keep_freed_memory()
        return ("numba", "numpy") if _can_compile() else ("numpy",)
    if _is_cupy(array_type):
        return ("cupy",)
    return ()


@cache
def _can_compile() -> bool:
    """Whether Numba is there and wanted."""
    if os.environ.get("MINIGRAD_FAST") == "0" or importlib.util.find_spec("numba") is None:
        return False
    try:
        importlib.import_module("numba")
    except ImportError as error:  # as it says itself, for a NumPy newer than it knows
        warnings.warn(
            f"Numba does not import ({error}), so NumPy's kernels are used; update Numba, or set "
            "MINIGRAD_FAST=0 to go without",
            stacklevel=2,
        )
        return False
    return True


def find_kernels(array_type: type, family: str, name: str) -> list[Kernel]:
    """Look up the kernels of `ops/<family>.py:<name>` for arrays of this type, fastest first.

    Args:
        array_type: `numpy.ndarray`, `cupy.ndarray`, or a Python scalar's type (never a kernel).
        family: The file's name in `ops/`, such as "activation".
        name: The operation's name.

    Returns:
        The kernels to be tried in turn; after them the definition is to run.
    """
    kernels = []
    for folder in _kernel_folders(array_type):
        module_name = f"{__name__}.{folder}.{family}"
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as missing:
            if missing.name is None or not module_name.startswith(missing.name):
                raise
            continue
        kernel = getattr(module, name, None)
        if isinstance(kernel, Kernel):
            kernels.append(kernel)
    return kernels


def require_device(device: str) -> str:
    """Check that arrays can live on `device` here, and return its name.

    Args:
        device: "cpu" or "gpu".

    Raises:
        DeviceError: The name is unknown, or there is no usable GPU; the message says what is
            missing and how to install it.
    """
    if device == "cpu":
        return device
    if device == "gpu":
        from minigrad.backends import cupy as cupy_backend

        cupy_backend.require_gpu()
        return device
    raise DeviceError(f"unknown device {device!r}: expected 'cpu' or 'gpu'")


def gpu_is_lost() -> bool:
    """Whether a GPU that was used has failed, so that nothing works on it any more.

    An error does not tell: one of CUDA's may be about a single call, and a library that meets a
    lost GPU has errors of its own.
    """
    if "cupy" not in sys.modules:  # no GPU was used
        return False
    from minigrad.backends import cupy as cupy_backend

    return cupy_backend.is_lost()


def array_module(device: str) -> ModuleType:
    """The module that makes arrays on `device`: `numpy` for "cpu", `cupy` for "gpu"."""
    return np if require_device(device) == "cpu" else importlib.import_module("cupy")


def device_of(array: Array) -> str:
    """The device that holds `array`: "cpu" or "gpu"."""
    return "cpu" if isinstance(array, (np.ndarray, np.generic)) else "gpu"


def is_array(value: object) -> bool:
    """Whether a value is an array of a backend's, or one of NumPy's scalars."""
    return is_array_type(type(value))


def is_array_type(kind: type) -> bool:
    """Whether a type is that of a backend's arrays, or of NumPy's scalars.

    Not `np.matrix`, whose `*` is another product, nor a masked array, which holds back values.
    """
    if kind is np.ndarray or issubclass(kind, np.generic):
        return True
    if issubclass(kind, np.ndarray):
        return _OTHER_ARRAYS.isdisjoint(base.__name__ for base in kind.__mro__)
    return _is_cupy(kind)


_OTHER_ARRAYS = {"matrix", "MaskedArray"}  # by name: NumPy imports the latter when it is asked for


def _is_cupy(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "cupy"


def on_host(array: Array) -> bool:
    """Whether the values are in the host's memory: to read them from a GPU would stop its queue."""
    return device_of(array) == "cpu"


def cache_block(array: Array) -> int:
    """How many elements to take through a chain of elementwise steps at a time.

    On the CPU 128 KiB, so that a handful of arrays stays in the cache; on the GPU all, as each step
    costs a launch.
    """
    return 131_072 // array.itemsize if device_of(array) == "cpu" else sys.maxsize


def as_array(value: Array) -> Array:
    """Give NumPy's scalars (what its reductions return) back their array form; arrays pass."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def to_numpy(array: Array) -> np.ndarray[Any, Any]:
    """The values as a NumPy array: the same memory on the CPU, a copy from the GPU."""
    if isinstance(array, np.ndarray):
        return array
    return np.asarray(array if isinstance(array, np.generic) else array.get())


def to_device(array: Array, device: str) -> Array:
    """The same values on `device`; the same array where it is there already.

    Raises:
        DeviceError: `device` is unknown or not usable.
    """
    if device_of(array) == require_device(device):
        return array
    return to_numpy(array) if device == "cpu" else array_module(device).asarray(array)
