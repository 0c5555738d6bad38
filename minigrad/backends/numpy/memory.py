"""Keep freed CPU memory in the process: glibc's allocator is told to reuse it.

By default glibc returns a freed array of more than 128 KiB to the operating system at once. The
next array then gets new pages, and the first write to each page causes a page fault: 2,000 faults
in an LSTM step, a fifth of its time. If glibc keeps a freed block, the next array reuses it. That
includes the temporary arrays that NumPy makes inside an expression, which a memory pool written
in Python could not serve. When a block is freed does not change: when no Tensor, record or view
(`.data`, `.numpy()`, slice, transpose, detach) refers to it any more.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

__all__ = ["KEPT", "keep_freed_memory"]

KEPT = 512 << 20  # bytes: glibc returns what is free at the end of its heap beyond this
_LARGEST = 32 << 20  # bytes: a larger block is not taken from the heap, but mapped (mmap)
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's parameters, from malloc.h


@cache
def keep_freed_memory() -> bool:
    """Tell the C library, once, to keep freed memory; the first operation on the CPU calls this.

    Nothing happens if MINIGRAD_POOL=0, if the environment already sets glibc's thresholds, or if
    the C library is not glibc. glibc has a heap for each thread.

    Returns:
        Whether the C library has accepted both settings.

    Source:
        mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.

    Example:
        >>> keep_freed_memory() in (True, False)
        True
    """
    thresholds = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
    if any(name in os.environ for name in thresholds) or os.environ.get("MINIGRAD_POOL") == "0":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # the C library is not glibc
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, KEPT))
