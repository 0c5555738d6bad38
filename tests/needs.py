"""Marks for what not every machine has: what is missing, and what is tested without it."""

import importlib.util
import os
import socket
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
FORKS = pytest.mark.skipif(
    sys.platform != "linux",
    reason="the commands that try to break runs fork, and look into /proc; that is for Linux, and "
    "what they try has tests of its own, some of each",
)
PIPES = pytest.mark.skipif(
    not hasattr(os, "mkfifo"),
    reason="no os.mkfifo: Windows has no pipes among its files; links and folders in the place of "
    "a file are refused by the same function, and tried anyway",
)
SOCKETS = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"),
    reason="no sockets among the files of this system; a folder in the place of a file is refused "
    "by the same function, and tried anyway",
)
LOCKS = pytest.mark.skipif(
    importlib.util.find_spec("fcntl") is None,
    reason="no fcntl: Windows has no such locks; that a run says so there is tried anyway",
)
SIGNALS = pytest.mark.skipif(
    os.name == "nt",
    reason="Windows cannot send a process SIGINT or SIGHUP alone; Ctrl-C within a process is tried "
    "in test_run.py and test_resume.py anyway",
)
MEMORY_LIMITS = pytest.mark.skipif(
    sys.platform != "linux",
    reason="a limit of a process's memory is Linux's; the same files are refused, and the memory "
    "that Python takes for them is measured, anyway",
)
