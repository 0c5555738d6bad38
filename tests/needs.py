"""Marks for what not every machine has: what is missing, and what is tested without it."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import strict_device

COMPILER = pytest.mark.skipif(
    strict_device.COMPILER is None,
    reason="no C++ compiler (g++) for Linux was found, which runs CUDA kernels without a GPU",
)
CUPY = pytest.mark.skipif(
    importlib.util.find_spec("cupy") is None,
    reason="CuPy is not installed, beside which the stand-in is held; it is tested alone anyway",
)
DEV_FULL = pytest.mark.skipif(
    not Path("/dev/full").exists(),
    reason="no /dev/full, Linux's file that is always full; other broken streams are tried anyway",
)
LINKS = pytest.mark.skipif(
    sys.platform == "win32",
    reason="Windows lets only administrators make links; saving to a plain path is tried anyway",
)
PROCESS_GROUPS = pytest.mark.skipif(
    not hasattr(os, "killpg"),
    reason="no os.killpg, which ends a process with all that it has started; stages and tests are "
    "run on a machine with a GPU, which has Linux",
)
PIPES = pytest.mark.skipif(
    not hasattr(os, "mkfifo"),
    reason="no os.mkfifo: Windows has no pipes among its files",
)
