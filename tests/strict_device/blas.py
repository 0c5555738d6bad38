"""cuBLAS for the stand-in: the shared library's functions, on addresses, with NumPy's products.

A call that the library would refuse, or that would write where it must not, raises and says why.
"""

import ctypes
import itertools
import weakref

import numpy as np

from strict_device import memory
from strict_device.memory import GUARD, owner_of
from strict_device.streams import CUDARuntimeError, stream_at, work

_handles = itertools.count(1)
SUCCESS = 0


class CublasError(RuntimeError):
    """What is wrong with a call."""


class Handle:
    def __init__(self):
        self.stream, self.workspace = 0, 0


class Blas:
    """The functions that minigrad.backends.cupy.cublas calls, under their names in C."""

    def __init__(self):
        self.handles = {}
        self.workspaces = weakref.WeakKeyDictionary()  # for which handle and stream each is

    def cublasCreate_v2(self, place):
        handle = next(_handles) << 20
        self.handles[handle] = Handle()
        place._obj.value = handle  # of ctypes.byref
        return SUCCESS

    def cublasSetStream_v2(self, handle, stream):
        stream_at(stream)
        self._of(handle).stream, self._of(handle).workspace = stream, 0
        return SUCCESS

    def cublasSetWorkspace_v2(self, handle, workspace, size):
        memory_of_it = owner_of(workspace, size)
        if memory_of_it is None or workspace % 256:
            raise CublasError("CUBLAS_STATUS_INVALID_VALUE: the workspace is no memory of ours")
        own = handle, self._of(handle).stream
        if self.workspaces.setdefault(memory_of_it, own) != own:
            raise CublasError("two streams or threads would write to one workspace")
        self._of(handle).workspace = workspace
        return SUCCESS

    def cublasSgemm_v2_64(self, *args):
        return self._single(np.float32, *args)

    def cublasDgemm_v2_64(self, *args):
        return self._single(np.float64, *args)

    def cublasSgemmStridedBatched_64(self, *args):
        return self._batched(np.float32, *args)

    def cublasDgemmStridedBatched_64(self, *args):
        return self._batched(np.float64, *args)

    def _of(self, handle):
        if handle not in self.handles:
            raise CublasError(f"CUBLAS_STATUS_NOT_INITIALIZED: no handle {handle}")
        return self.handles[handle]

    def _gemm(self, dtype, handle, shape, alpha, a, b, beta, c, batches=1, strides=(0, 0, 0)):
        """C = alpha op(A) op(B) + beta C, all by columns; each a (trans, address, leading)."""
        state = self._of(handle)
        stream = stream_at(state.stream)
        workspace = memory.live.get(state.workspace)
        if state.workspace and workspace is None:
            raise CublasError("the workspace has been freed")
        if stream.recording is not None and workspace is None:
            raise CUDARuntimeError(
                "cudaErrorStreamCaptureUnsupported: cuBLAS without a workspace allocates in a "
                "capture; call cublasSetWorkspace after cublasSetStream"
            )
        m, n, k = shape
        alpha, beta = number(alpha, dtype), number(beta, dtype)
        left, own_left = operand(a, m, k, dtype, batches, strides[0])
        right, own_right = operand(b, k, n, dtype, batches, strides[1])
        target, own = operand(c, m, n, dtype, batches, strides[2])

        def run():
            product = alpha * np.matmul(left, right)
            target[...] = product + beta * target if beta else product

        uses = [one for one in (own_left, own_right, own, workspace) if one]
        work("gemm", run, uses, stream)
        return SUCCESS

    def _single(self, dtype, handle, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        return self._gemm(
            dtype, handle, (m, n, k), alpha, (transa, a, lda), (transb, b, ldb), beta, (0, c, ldc)
        )

    def _batched(
        self, dtype, handle, transa, transb, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b,
        beta, c, ldc, stride_c, batches,
    ):  # fmt: skip
        return self._gemm(
            dtype, handle, (m, n, k), alpha, (transa, a, lda), (transb, b, ldb), beta, (0, c, ldc),
            batches, (stride_a, stride_b, stride_c),
        )  # fmt: skip


def number(value, dtype):
    """A factor, which lies at an address of the host."""
    kind = ctypes.c_float if dtype is np.float32 else ctypes.c_double
    return dtype(kind.from_address(int(value)).value)


def operand(given, rows, columns, dtype, batches, stride):
    """op(X), rows x columns, as NumPy sees it where it lies, and the allocation that holds it."""
    transposed, address, leading = given
    address, transposed = int(address), int(transposed)
    if transposed not in (0, 1, 2):
        raise CublasError(f"CUBLAS_STATUS_INVALID_VALUE: no operation {transposed}")
    height, width = (columns, rows) if transposed else (rows, columns)
    if min(rows, columns) < 0 or leading < max(1, height):
        raise CublasError(
            f"CUBLAS_STATUS_INVALID_VALUE: a leading dimension of {leading} for {height} rows"
        )
    size = np.dtype(dtype).itemsize
    if address % size:
        raise CublasError("CUBLAS_STATUS_EXECUTION_FAILED: an address off its alignment")
    if not height or not width or not batches:
        return np.zeros((batches, rows, columns), dtype), None
    reach = ((batches - 1) * stride + (width - 1) * leading + height) * size
    owner = owner_of(address, reach)
    if owner is None:
        raise CublasError(
            f"CUBLAS_STATUS_EXECUTION_FAILED: {reach} bytes from {address:#x} are no array's"
        )
    flat = np.ndarray(
        (batches, width, height),
        dtype,
        owner.block.all,
        address - owner.ptr + GUARD,
        (stride * size, leading * size, size),
    )
    return (flat if transposed else flat.swapaxes(1, 2)), owner


blas = Blas()
