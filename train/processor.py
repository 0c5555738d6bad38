"""Which of OpenBLAS's kernels suit the processor, where it does not find out by itself."""

import os
import sys
from pathlib import Path

NEEDED = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}


def wide_kernels(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Return the setting that makes OpenBLAS use AVX-512 on AMD's processors, or nothing.

    OpenBLAS 0.3.31, in NumPy 2.4, takes a Zen 5 for a Haswell: its products are half as fast as
    with the kernels of Skylake-X, which run on every processor with these instructions.

    Args:
        cpuinfo: Where Linux describes the processor.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return {}
    fields = [line.partition(":")[::2] for line in lines]
    told = {name.strip(): value.strip() for name, value in reversed(fields)}
    capable = set(told.get("flags", "").split()) >= NEEDED
    amd = told.get("vendor_id") == "AuthenticAMD"
    return {"OPENBLAS_CORETYPE": "SkylakeX"} if amd and capable else {}


def prefer_wide_kernels() -> None:
    """Put that setting into the environment, unless it is there; OpenBLAS reads it as it loads."""
    if "numpy" not in sys.modules:
        for name, value in wide_kernels().items():
            os.environ.setdefault(name, value)
