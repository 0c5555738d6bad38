"""Where arrays on the CPU come from: the C library's own pool, told to keep what is freed.

By default glibc gives a freed array of more than 128 KiB back to the system at once, and the next
one comes in pages of zeros that fault one by one on first use: 2,000 times in an LSTM step, a fifth
of its time. Kept in the process, a freed block serves the next array, also those that NumPy makes
inside an expression, which no pool above NumPy would see. A block is free when nothing refers
to it any more, as ever: no Tensor, record, `.data`, `.numpy()`, slice, transpose or detach.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

__all__ = ["KEPT", "keep_freed_memory"]

KEPT = 512 << 20  # bytes that may lie free at the end of the heap; more goes back to the system
_LARGEST = 32 << 20  # the largest block that glibc takes from its heap; larger ones are mapped
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, in malloc.h


@cache
def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory, once; the first operation on the CPU does it.

    Nothing is told where MINIGRAD_POOL=0, where the environment already sets glibc's thresholds, or
    where the C library has none. glibc keeps a heap for each thread.

    Returns:
        Whether it was told and understood.

    Source:
        mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.

    Example:
        >>> keep_freed_memory() in (True, False)
        True
    """
    told = any(name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"))
    if told or os.environ.get("MINIGRAD_POOL") == "0":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, KEPT))
