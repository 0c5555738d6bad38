"""Products of matrices by 128-bit instructions, where NumPy has no BLAS: in the browser.

products.ts is the loop, built as a library; here NumPy's `matmul`, which is also `@`, learns to use
it. On one machine a float32 product of (512, 129) by (129, 128) went from 0.2 to 14 billion
operations a second.
"""

from __future__ import annotations

import ctypes
import importlib
from typing import Any

import numpy as np

LIBRARY = "/lib/products.so"
REPLACE_LOOP = 30  # the place of PyUFunc_ReplaceLoopBySignature in NumPy's table for ufuncs

_strip: Any = None  # the memory that the loop packs into; it lives as long as the process


def install() -> None:
    """Replace the inner loops of `np.matmul` for float32 and float64.

    Raises:
        OSError: The library is not there.
        RuntimeError: This NumPy keeps its loops elsewhere.
    """
    global _strip
    library = ctypes.CDLL(LIBRARY)
    _strip = ctypes.create_string_buffer(library.stripBytes())
    library.useStrip(ctypes.c_void_p(ctypes.addressof(_strip)))
    loops = {np.float32: library.productsFloat32, np.float64: library.productsFloat64}
    replace = _replace_loop()
    for dtype, loop in loops.items():
        before = ctypes.c_void_p()
        types = (ctypes.c_int * 3)(*[np.dtype(dtype).num] * 3)
        address = ctypes.cast(loop, ctypes.c_void_p)
        if replace(np.matmul, address, types, ctypes.byref(before)) != 0 or not before.value:
            raise RuntimeError(f"matmul of NumPy {np.__version__} has no loop for {dtype.__name__}")


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
