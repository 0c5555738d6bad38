"""Matrix products by cuBLAS, called through ctypes on handles of our own.

CuPy refuses every matrix product while a stream is captured, and copies transposed operands of
batched products. With a handle of our own a product can be captured, because cuBLAS by default
reads its scalars on the host at the call; and a transpose is a flag. A float32 product is computed
in float32. TF32, which is faster but keeps 10 of the 23 mantissa bits, is a math mode that has to
be switched on.
"""

from __future__ import annotations

import ctypes
import importlib
import weakref
from functools import cache
from threading import get_ident
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Array
from minigrad.backends.arrays import empty
from minigrad.backends.cupy import INSTALL, one_line
from minigrad.backends.cupy.source import in_c_order
from minigrad.errors import DeviceError

__all__ = ["gemm", "gemm_batched", "library"]

# 32 MiB is cuBLAS's own default from Hopper on (4 MiB before). If it is given no workspace, cuBLAS
# allocates one, and a capture would record that allocation.
_WORKSPACE = 32 << 20
_KEEP, _TRANSPOSE = 0, 1  # cublasOperation_t
_SCALARS = {char: np.array([0, 1], char) for char in "fd"}  # alpha and beta, on the host
_POINTERS = {
    char: (pair.ctypes.data, pair.ctypes.data + pair.itemsize) for char, pair in _SCALARS.items()
}
# the functions with 64-bit sizes: for 32-bit ones ctypes would silently truncate a larger size
_GEMM = {"f": "cublasSgemm_v2_64", "d": "cublasDgemm_v2_64"}
_GEMM_BATCHED = {"f": "cublasSgemmStridedBatched_64", "d": "cublasDgemmStridedBatched_64"}


@cache
def library() -> Any:
    """The shared library, with the types of its functions declared as in NVIDIA's cublas_api.h.

    Raises:
        DeviceError: The library is not found, with the places searched, or it lacks a function.
    """
    p, i, n = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    types: dict[str, list[Any]] = {
        "cublasCreate_v2": [ctypes.POINTER(p)],
        "cublasSetStream_v2": [p, p],
        "cublasSetWorkspace_v2": [p, p, ctypes.c_size_t],
        "cublasGetStatusName": [i],
    }
    for char in "fd":
        types[_GEMM[char]] = [p, i, i, n, n, n, p, p, n, p, n, p, p, n]
        types[_GEMM_BATCHED[char]] = [p, i, i, n, n, n, p, p, n, n, p, n, n, p, p, n, n, n]
    try:
        finder = importlib.import_module("cuda.pathfinder")  # a part of CuPy's installation
        found = ctypes.CDLL(finder.load_nvidia_dynamic_lib("cublas").abs_path)
        for name, given in types.items():
            getattr(found, name).argtypes = given
        found.cublasGetStatusName.restype = ctypes.c_char_p
    except Exception as error:  # a package, the file or a function is missing, or broken
        raise DeviceError(f"cuBLAS cannot be loaded ({one_line(error)}); {INSTALL}") from error
    return found


def _call(name: str, *args: Any) -> None:
    """Call a cuBLAS function; raise RuntimeError where its status is not success."""
    status = getattr(library(), name)(*args)
    if status:
        raise RuntimeError(f"{name}: {library().cublasGetStatusName(status).decode()}")


class _Handle:
    """A thread's cuBLAS handle, and the thread's workspace for each stream.

    Streams run concurrently, and two threads may alternate calls on one stream: so each pair of
    thread and stream has a workspace of its own. The workspace lives as long as the stream, which
    a recorded step (graph.py) keeps alive. It is not allocated from the recorded step's pool.
    """

    def __init__(self) -> None:
        value = ctypes.c_void_p()
        _call("cublasCreate_v2", ctypes.byref(value))
        self.value = value.value
        self.stream: Any = None
        self.workspaces: dict[int, Any] = {}  # by the stream's id

    def use(self, stream: Any) -> None:
        """Make the next products run on a stream."""
        if stream is self.stream:
            return
        key = id(stream)
        if key not in self.workspaces:
            pool = importlib.import_module("cupy").get_default_memory_pool()
            self.workspaces[key] = pool.malloc(_WORKSPACE)
            weakref.finalize(stream, self.workspaces.pop, key, None).atexit = False
        self.stream = None  # until both calls have succeeded
        _call("cublasSetStream_v2", self.value, stream.ptr)  # this resets the workspace
        _call("cublasSetWorkspace_v2", self.value, self.workspaces[key].ptr, _WORKSPACE)
        self.stream = stream


# by thread id. A handle is never destroyed, as that would wait for the whole GPU, which a capture
# elsewhere forbids; when a thread has ended, a new thread with its id uses the handle again.
_handles: dict[int, _Handle] = {}


def _handle() -> int | None:
    """This thread's handle, set to the current stream."""
    thread = get_ident()
    if thread not in _handles:
        _handles[thread] = _Handle()
    handle = _handles[thread]
    handle.use(importlib.import_module("cupy").cuda.get_current_stream())
    return handle.value


class _Operand(NamedTuple):
    """A matrix as cuBLAS needs it described; cuBLAS reads a row-major matrix as its transpose.

    Attributes:
        array: The array that holds the matrix.
        by_rows: Whether the matrix is row-major; else it is column-major.
        step: The leading dimension: elements from one row (column-major: column) to the next.
    """

    array: Array
    by_rows: bool
    step: int


def _operand(x: Array) -> _Operand | None:
    """The memory layout of an array's last two axes; None where cuBLAS cannot read it."""
    rows, columns = x.shape[-2:]
    down, right = (stride // x.itemsize for stride in x.strides[-2:])
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return _Operand(x, True, max(down, columns) if rows > 1 else columns)
    if (down == 1 or rows == 1) and (right >= rows or columns == 1):
        return _Operand(x, False, max(right, rows) if columns > 1 else rows)
    return None


def _readable(x: Array) -> _Operand:
    return _operand(x) or _Operand(in_c_order(x), True, x.shape[-1])


def gemm(a: Array, b: Array, out: Array | None = None, accumulate: bool = False) -> Array:
    """The product of two matrices of any memory order.

    Args:
        a: (n, k), float32 or float64, not empty.
        b: (k, m), of the same dtype, not empty.
        out: The array (n, m) to write to, with contiguous rows or columns; by default a new array
            in C order.
        accumulate: Whether to add the product to `out` instead of overwriting it.

    Returns:
        `out`.
    """
    if out is None:
        out = empty(a, (a.shape[0], b.shape[1]))
    written = _operand(out)
    if written is None:
        raise ValueError(
            f"gemm: out has strides {out.strides}; expected rows or columns in a piece"
        )
    if written.by_rows:  # cuBLAS sees out^T, so it computes out^T = b^T a^T
        first, second = _readable(b), _readable(a)
        m, n = b.shape[1], a.shape[0]
    else:
        first, second = _readable(a), _readable(b)
        m, n = a.shape[0], b.shape[1]
    zero, one = _POINTERS[out.dtype.char]
    _call(
        _GEMM[out.dtype.char],
        _handle(),
        _KEEP if first.by_rows == written.by_rows else _TRANSPOSE,
        _KEEP if second.by_rows == written.by_rows else _TRANSPOSE,
        m,
        n,
        a.shape[1],
        one,
        first.array.data.ptr,
        first.step,
        second.array.data.ptr,
        second.step,
        one if accumulate else zero,
        out.data.ptr,
        written.step,
    )
    return out


def gemm_batched(a: Array, b: Array) -> Array:
    """The products of B pairs of matrices, in one call.

    Args:
        a: (B, n, k), float32 or float64, not empty.
        b: (B, k, m), of the same dtype, not empty; a or b may be broadcast with a stride of 0.

    Returns:
        (B, n, m), in C order.
    """
    count, n = a.shape[:2]
    m = b.shape[2]
    out = empty(a, (count, n, m))
    first, second = _readable(b), _readable(a)  # out^T = b^T a^T, as in gemm
    zero, one = _POINTERS[out.dtype.char]
    _call(
        _GEMM_BATCHED[out.dtype.char],
        _handle(),
        _KEEP if first.by_rows else _TRANSPOSE,
        _KEEP if second.by_rows else _TRANSPOSE,
        m,
        n,
        a.shape[2],
        one,
        first.array.data.ptr,
        first.step,
        first.array.strides[0] // out.itemsize,
        second.array.data.ptr,
        second.step,
        second.array.strides[0] // out.itemsize,
        zero,
        out.data.ptr,
        m,
        n * m,
        count,
    )
    return out
