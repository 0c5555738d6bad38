"""cuBLAS for the stand-in: matrix products on addresses, as nvmath.bindings.cublas names them."""

import ctypes
import itertools

import numpy as np

from strict_device.memory import GUARD, owner_of
from strict_device.streams import CUDARuntimeError, stream_at, work

_handles = itertools.count(1)
FLOAT = {"s": np.float32, "d": np.float64}


class CublasError(RuntimeError):
    """As nvmath's cuBLASError."""


class Handle:
    def __init__(self):
        self.stream, self.workspace, self.pointer_mode, self.math_mode = 0, 0, 0, 0


class Blas:
    """The calls that minigrad.backends.cupy.cublas makes, computed with NumPy."""

    def __init__(self):
        self.handles = {}

    def create(self):
        handle = next(_handles) << 20
        self.handles[handle] = Handle()
        return handle

    def destroy(self, handle):
        del self.handles[handle]

    def set_stream(self, handle, stream):
        stream_at(stream)
        self._of(handle).stream, self._of(handle).workspace = stream, 0

    def get_stream(self, handle):
        return self._of(handle).stream

    def set_workspace(self, handle, workspace, size):
        if owner_of(workspace, size) is None or workspace % 256:
            raise CublasError("CUBLAS_STATUS_INVALID_VALUE: the workspace is no memory of ours")
        self._of(handle).workspace = workspace

    def set_pointer_mode(self, handle, mode):
        self._of(handle).pointer_mode = mode

    def set_math_mode(self, handle, mode):
        self._of(handle).math_mode = mode

    def get_math_mode(self, handle):
        return self._of(handle).math_mode

    def get_version(self, handle):
        return 130000

    def _of(self, handle):
        if handle not in self.handles:
            raise CublasError(f"CUBLAS_STATUS_NOT_INITIALIZED: no handle {handle}")
        return self.handles[handle]

    def gemm(self, kind, handle, shape, alpha, a, b, beta, c, batches=1, strides=(0, 0, 0)):
        """C = alpha op(A) op(B) + beta C, all by columns; each a (trans, address, leading)."""
        state = self._of(handle)
        dtype = FLOAT[kind]
        stream = stream_at(state.stream)
        if state.pointer_mode != 0:
            raise NotImplementedError("the stand-in reads alpha and beta on the host")
        if stream.recording is not None and not state.workspace:
            raise CUDARuntimeError(
                "cudaErrorStreamCaptureUnsupported: cuBLAS without a workspace allocates in a "
                "capture; call set_workspace after set_stream"
            )
        m, n, k = shape
        alpha, beta = number(alpha, dtype), number(beta, dtype)
        left, own_left = operand(a, m, k, dtype, batches, strides[0])
        right, own_right = operand(b, k, n, dtype, batches, strides[1])
        target, own = operand(c, m, n, dtype, batches, strides[2])

        def run():
            product = alpha * np.matmul(left, right)
            target[...] = product + beta * target if beta else product

        work("gemm", run, [one for one in (own_left, own_right, own) if one], stream)

    def sgemm(self, *args):
        self._single("s", *args)

    def dgemm(self, *args):
        self._single("d", *args)

    def sgemm_strided_batched(self, *args):
        self._batched("s", *args)

    def dgemm_strided_batched(self, *args):
        self._batched("d", *args)

    def _single(self, kind, handle, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        self.gemm(
            kind, handle, (m, n, k), alpha, (transa, a, lda), (transb, b, ldb), beta, (0, c, ldc)
        )

    def _batched(
        self, kind, handle, transa, transb, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b,
        beta, c, ldc, stride_c, batches,
    ):  # fmt: skip
        self.gemm(
            kind, handle, (m, n, k), alpha, (transa, a, lda), (transb, b, ldb), beta, (0, c, ldc),
            batches, (stride_a, stride_b, stride_c),
        )  # fmt: skip


def number(value, dtype):
    """A factor: a number, or where on the host it lies."""
    if isinstance(value, float):
        return dtype(value)
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
