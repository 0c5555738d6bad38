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
            has several outputs, `residuals` are the values that `forward` saves for `backward`.
            A kernel that does not support a dtype or shape returns NotImplemented: then the next
            kernel is tried, and after the last one the definition runs.
        backward: For a primitive a dictionary from an input's name to a function with the same
            arguments as that input's rule; where it returns NotImplemented, the rule runs. For a
            fused operation a function `(g, needs, y, residuals, *arrays, **options)` -> one
            gradient per input, None where `needs` (a `Needs`) is False. Without a backward kernel,
            the rule or the definition is used.
    """

    forward: Callable[..., Any]
    backward: Any = None


class Needs(tuple[bool, ...]):
    """Which inputs of a fused operation need a gradient: one bool per input."""

    def place(self, position: int) -> Array | None:
        """An array to write this input's gradient to, or None where no array is reserved for it.

        Args:
            position: The input's position among the inputs.
        """
        return None


def _kernel_folders(array_type: type) -> tuple[str, ...]:
    """The backend folders that may hold a kernel for this type of array, fastest first."""
    if issubclass(array_type, np.ndarray):
        from minigrad.backends.numpy.memory import keep_freed_memory

        keep_freed_memory()
        return ("numba", "numpy") if _can_compile() else ("numpy",)
    if _is_cupy(array_type):
        return ("cupy",)
    return ()


@cache
def _can_compile() -> bool:
    """Whether Numba is installed, can be imported, and is not switched off."""
    if os.environ.get("MINIGRAD_FAST") == "0" or importlib.util.find_spec("numba") is None:
        return False
    try:
        importlib.import_module("numba")
    except ImportError as error:  # Numba raises it for a NumPy that is too new for it
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
        The kernels, to be tried in this order. If none of them supports a call, the caller runs
        the definition.
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
    """Check that arrays can be put on `device` on this machine, and return its name.

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
    """Whether the GPU was used and has failed, so that every later call to it fails too.

    The type of an error does not tell: a CUDA error may concern a single call only, and libraries
    raise errors of their own on a lost GPU.
    """
    if "cupy" not in sys.modules:  # no GPU was used
        return False
    from minigrad.backends import cupy as cupy_backend

    return cupy_backend.is_lost()


def array_module(device: str) -> ModuleType:
    """The module whose arrays are on `device`: `numpy` for "cpu", `cupy` for "gpu"."""
    return np if require_device(device) == "cpu" else importlib.import_module("cupy")


def device_of(array: Array) -> str:
    """The device that holds `array`: "cpu" or "gpu"."""
    return "cpu" if isinstance(array, (np.ndarray, np.generic)) else "gpu"


def is_array(value: object) -> bool:
    """Whether a value is a NumPy array, a CuPy array or a NumPy scalar."""
    return is_array_type(type(value))


def is_array_type(kind: type) -> bool:
    """Whether a type is a NumPy array, a CuPy array or a NumPy scalar.

    `np.matrix` does not count, as its `*` is the matrix product; nor does a masked array, as it
    hides some of its values.
    """
    if kind is np.ndarray or issubclass(kind, np.generic):
        return True
    if issubclass(kind, np.ndarray):
        return _OTHER_ARRAYS.isdisjoint(base.__name__ for base in kind.__mro__)
    return _is_cupy(kind)


_OTHER_ARRAYS = {"matrix", "MaskedArray"}  # by name, as NumPy imports np.ma only on first use


def _is_cupy(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "cupy"


def on_host(array: Array) -> bool:
    """Whether the values are in host memory; reading them from a GPU would wait for its stream."""
    return device_of(array) == "cpu"


def cache_block(array: Array) -> int:
    """How many elements to process at a time in a chain of elementwise operations.

    On the CPU a block of 128 KiB, so that a few such arrays fit into the cache; on the GPU all
    elements, as each operation costs a kernel launch.
    """
    return 131_072 // array.itemsize if device_of(array) == "cpu" else sys.maxsize


def as_array(value: Array) -> Array:
    """Turn a NumPy scalar, as reductions return it, into an array of shape (); keep an array."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def to_numpy(array: Array) -> np.ndarray[Any, Any]:
    """The values as a NumPy array: the same memory for a CPU array, a copy for a GPU array."""
    if isinstance(array, np.ndarray):
        return array
    return np.asarray(array if isinstance(array, np.generic) else array.get())


def to_device(array: Array, device: str) -> Array:
    """The same values on `device`; the same array where it is on `device` already.

    Raises:
        DeviceError: `device` is unknown or not usable.
    """
    if device_of(array) == require_device(device):
        return array
    return to_numpy(array) if device == "cpu" else array_module(device).asarray(array)
