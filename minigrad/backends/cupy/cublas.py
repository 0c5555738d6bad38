"""Matrix products through a cuBLAS handle of our own.

CuPy refuses every product while a stream is captured, and copies transposed operands of batches. On
a handle of our own cuBLAS can be captured, as its scalars are read on the host when it is called;
transposes are flags. A product of float32 is computed in float32, not in TF32.
"""

from __future__ import annotations

import ctypes
import importlib
import threading
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Array
from minigrad.backends.cupy.source import in_c_order

__all__ = ["gemm", "gemm_batched", "library"]

# 32 MiB, what cuBLAS asks for since Hopper (4 before): without a workspace of ours it would
# allocate one inside a capture
_WORKSPACE = 32 << 20
_KEEP, _TRANSPOSE = 0, 1  # cublasOperation_t
_SCALARS = {char: np.array([0, 1], char) for char in "fd"}  # alpha and beta, on the host
_POINTERS = {
    char: (pair.ctypes.data, pair.ctypes.data + pair.itemsize) for char, pair in _SCALARS.items()
}


class _FromCtypes:
    """cuBLAS's functions under the names that they have in nvmath.bindings.cublas."""

    def __init__(self, path: str) -> None:
        p, i, n = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
        cublas = ctypes.CDLL(path)

        def function(name: str, *types: Any) -> Any:
            found = getattr(cublas, name)
            found.argtypes, found.restype = types, i

            def call(*args: Any) -> None:
                status = found(*args)
                if status:
                    raise RuntimeError(f"{name} failed with status {status}")

            return call

        self._create = function("cublasCreate_v2", ctypes.POINTER(p))
        self.set_stream = function("cublasSetStream_v2", p, p)
        self.set_workspace = function("cublasSetWorkspace_v2", p, p, ctypes.c_size_t)
        plain = (p, i, i, i, i, i, p, p, i, p, i, p, p, i)
        batched = (p, i, i, i, i, i, p, p, i, n, p, i, n, p, p, i, n, i)
        self.sgemm = function("cublasSgemm_v2", *plain)
        self.dgemm = function("cublasDgemm_v2", *plain)
        self.sgemm_strided_batched = function("cublasSgemmStridedBatched", *batched)
        self.dgemm_strided_batched = function("cublasDgemmStridedBatched", *batched)

    def create(self) -> int:
        """A new handle."""
        handle = ctypes.c_void_p()
        self._create(ctypes.byref(handle))
        return int(handle.value or 0)


@cache
def library() -> Any:
    """cuBLAS's functions: NVIDIA's bindings where they are installed, else the shared library's.

    None where neither is found; then `cupy.matmul` computes, which cannot be captured.
    """
    try:
        bindings = importlib.import_module("nvmath.bindings.cublas")
        bindings.get_cudart_version()  # they look for the shared library at their first call
        return bindings
    except Exception:  # not installed, not for this driver, or no library
        pass
    try:
        finder = importlib.import_module("cuda.pathfinder")
        return _FromCtypes(finder.load_nvidia_dynamic_lib("cublas").abs_path)
    except Exception:  # no pathfinder, no library, or another one
        return None


class _Handle(threading.local):
    """The handle of a thread, its workspace, and the stream that it was last used on."""

    def __init__(self) -> None:
        self.library: Any = None
        self.handle = 0
        self.stream: int | None = None
        self.workspace: Array = None

    def on_current_stream(self, cublas: Any) -> int:
        cupy = importlib.import_module("cupy")
        if self.library is not cublas:
            self.library, self.handle, self.stream = cublas, cublas.create(), None
            self.workspace = cupy.empty(_WORKSPACE, np.uint8)
        stream = cupy.cuda.get_current_stream().ptr
        if self.stream != stream:
            cublas.set_stream(self.handle, stream)
            # which takes the workspace away
            cublas.set_workspace(self.handle, self.workspace.data.ptr, _WORKSPACE)
            self.stream = stream
        return self.handle


_handle = _Handle()


class _Operand(NamedTuple):
    """A matrix as cuBLAS reads it, which counts down columns: ours by rows is one transposed.

    Attributes:
        array: Holds the memory.
        by_rows: Whether neighbours in a row are neighbours in memory, and not those in a column.
        step: Elements from one row to the next, or from one column to the next.
    """

    array: Array
    by_rows: bool
    step: int


def _operand(x: Array) -> _Operand | None:
    """How the matrices on an array's last two axes lie in memory; None where cuBLAS cannot say."""
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
        out: Where the product (n, m) goes, rows or columns in a piece; by default a new C array.
        accumulate: Add to `out` what it holds already.

    Returns:
        `out`.
    """
    if out is None:
        out = np.empty_like(a, shape=(a.shape[0], b.shape[1]), order="C")
    cublas = library()
    if cublas is None:
        return _by_cupy(a, b, out, accumulate)
    written = _operand(out)
    if written is None:
        raise ValueError(
            f"gemm: out has strides {out.strides}; expected rows or columns in a piece"
        )
    if written.by_rows:  # to cuBLAS out is its transpose, so it computes out^T = b^T a^T
        first, second = _readable(b), _readable(a)
        m, n = b.shape[1], a.shape[0]
    else:
        first, second = _readable(a), _readable(b)
        m, n = a.shape[0], b.shape[1]
    zero, one = _POINTERS[out.dtype.char]
    (cublas.sgemm if out.dtype.char == "f" else cublas.dgemm)(
        _handle.on_current_stream(cublas),
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
    """The products of matrices, one pair after the other.

    Args:
        a: (B, n, k), float32 or float64, not empty.
        b: (B, k, m), of the same dtype, not empty; either may be repeated with a stride of 0.

    Returns:
        (B, n, m), in C order.
    """
    count, n = a.shape[:2]
    m = b.shape[2]
    out = np.empty_like(a, shape=(count, n, m), order="C")
    cublas = library()
    if cublas is None:
        return _by_cupy(a, b, out, False)
    first, second = _readable(b), _readable(a)  # out^T = b^T a^T, as in gemm
    zero, one = _POINTERS[out.dtype.char]
    batched = (
        cublas.sgemm_strided_batched if out.dtype.char == "f" else cublas.dgemm_strided_batched
    )
    batched(
        _handle.on_current_stream(cublas),
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


def _by_cupy(a: Array, b: Array, out: Array, accumulate: bool) -> Array:
    y = np.matmul(a, b)
    if accumulate:
        out += y
    else:
        out[...] = y
    return out
