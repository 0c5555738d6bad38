"""Marks for what not every machine has: what is missing, and what is tested without it."""

import sys
from pathlib import Path

import pytest
import strict_device

COMPILER = pytest.mark.skipif(
    strict_device.COMPILER is None,
    reason="no C++ compiler (g++) for Linux was found, which runs CUDA kernels without a GPU",
)
DEV_FULL = pytest.mark.skipif(
    not Path("/dev/full").exists(),
    reason="no /dev/full, Linux's file that is always full; other broken streams are tried anyway",
)
LINKS = pytest.mark.skipif(
    sys.platform == "win32",
    reason="Windows lets only administrators make links; saving to a plain path is tried anyway",
)
