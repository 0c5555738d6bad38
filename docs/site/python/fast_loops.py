"""Arithmetic by 128-bit instructions for NumPy in the browser, which has no BLAS and no SIMD.

docs/site/loops holds the loops, built as a library; here NumPy's functions learn to use them. On
one machine float32 products of (512, 128) by (128, 512) went from 0.2 to 28 billion operations a
second, and a tanh from 24 to 6 nanoseconds.
"""

from __future__ import annotations

import ctypes
import importlib
from typing import Any

import numpy as np

from minigrad.backends.numpy import linalg

LIBRARY = "/lib/loops.so"
REPLACE_LOOP = 30  # the place of PyUFunc_ReplaceLoopBySignature in NumPy's table for ufuncs

_strip: Any = None  # the memory that the loop packs into; it lives as long as the process


def install() -> None:
    """Replace inner loops: of `np.matmul`, and for float32 of `np.exp`, `np.tanh` and `np.sqrt`.

    Raises:
        OSError: The library is not there.
        RuntimeError: This NumPy keeps its loops elsewhere.
    """
    global _strip
    library = ctypes.CDLL(LIBRARY)
    _strip = ctypes.create_string_buffer(library.stripBytes())
    library.useStrip(ctypes.c_void_p(ctypes.addressof(_strip)))
    replace = _replace_loop()
    for function, dtype, loop in (
        (np.matmul, np.float32, library.productsFloat32),
        (np.matmul, np.float64, library.productsFloat64),
        (np.exp, np.float32, library.expFloat32),
        (np.tanh, np.float32, library.tanhFloat32),
        (np.sqrt, np.float32, library.sqrtFloat32),
    ):
        before = ctypes.c_void_p()
        types = (ctypes.c_int * function.nargs)(*[np.dtype(dtype).num] * function.nargs)
        address = ctypes.cast(loop, ctypes.c_void_p)
        if replace(function, address, types, ctypes.byref(before)) != 0 or not before.value:
            name = f"{function.__name__} of NumPy {np.__version__}"
            raise RuntimeError(f"{name} has no loop for {dtype.__name__}")
    linalg.dot = np.matmul  # the loop of `dot` is not a ufunc's


def _replace_loop() -> Any:
    """NumPy's PyUFunc_ReplaceLoopBySignature(ufunc, new loop, types, old loop)."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    umath = importlib.import_module("numpy._core._multiarray_umath")
    table = pointer(umath._UFUNC_API, None)
    address = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))[REPLACE_LOOP]
    arguments = (
        ctypes.py_object,
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_int),
        ctypes.POINTER(ctypes.c_void_p),
    )
    return ctypes.CFUNCTYPE(ctypes.c_int, *arguments)(address)
