"""CuPy: arrays on an NVIDIA GPU. Definitions run on them through NumPy's dispatch protocols."""

from __future__ import annotations

import functools
import importlib
import importlib.util

from minigrad.errors import DeviceError

INSTALL = "install CuPy with: pip install 'cupy-cuda13x[ctk]'  (driver >= 580; older: cupy-cuda12x)"


@functools.cache
def _problem() -> str | None:
    """Why the GPU cannot be used, and the remedy; None where it works."""
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed; {INSTALL}"
    try:
        cupy = importlib.import_module("cupy")
    except Exception as error:
        return f"CuPy does not import ({one_line(error)}); {INSTALL}"
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        driver = runtime.driverGetVersion()
        seen = (
            f"the driver supports CUDA {driver // 1000}.{driver % 1000 // 10}"
            if driver
            else ("no NVIDIA driver was found")
        )
        return (
            f"CUDA does not start ({error}); {seen}. It needs an NVIDIA GPU and a driver >= 580 "
            "for cupy-cuda13x (>= 525 for cupy-cuda12x)"
        )
    if count == 0:
        return "the NVIDIA driver lists no GPU (look at nvidia-smi and CUDA_VISIBLE_DEVICES)"
    try:  # a present GPU is not enough: the compiler and cuBLAS may be missing
        products = importlib.import_module("minigrad.backends.cupy.cublas")
        one = cupy.ones((2, 2), dtype="float32")
        float(products.gemm(one, one + one).sum())
    except DeviceError as error:
        return str(error)
    except Exception as error:
        return f"a first 2x2 product failed ({one_line(error)}); {INSTALL}"
    return None


def one_line(error: Exception) -> str:
    """An error's type and message in one line, cut after 300 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def is_lost() -> bool:
    """Whether the GPU worked before and now fails: then every CUDA call returns an error."""
    if _problem() is not None:
        return False
    runtime = importlib.import_module("cupy").cuda.runtime
    try:
        runtime.deviceSynchronize()
    except runtime.CUDARuntimeError:
        return True
    return False


def require_gpu() -> None:
    """Check once that CuPy, the driver, a GPU, the kernel compiler and cuBLAS all work.

    Raises:
        DeviceError: One of them does not work; the message names it and the remedy.
    """
    problem = _problem()
    if problem is not None:
        raise DeviceError(f"device 'gpu' cannot be used: {problem}. Or use device 'cpu'")
