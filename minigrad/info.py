"""`python -m minigrad` says which backends work here, and what is missing.

>>> from minigrad import info
>>> info.report()["cpu"]["works"]
True
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import importlib.util
import json
import os
import platform
import re
import sys
import textwrap
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import __version__
from minigrad.backends.cupy import one_line

__all__ = ["report", "text"]

VARIABLES = {
    "MINIGRAD_FAST": "0 does without Numba",
    "MINIGRAD_POOL": "0 gives freed memory back to the system",
    "OPENBLAS_CORETYPE": "the processor that OpenBLAS takes this one for",
    "OPENBLAS_NUM_THREADS": "threads of a matrix product",
}
WIDTH, INDENT = 110, 23
Found = dict[str, Any]


def _tried(what: Callable[[], Any]) -> tuple[Any, str]:
    """A value and no problem, or none and the problem: a broken installation may raise anything."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return what(), ""
    except Exception as error:
        return None, one_line(error)


def _installed(name: str) -> bool:
    return bool(_tried(lambda: importlib.util.find_spec(name) is not None)[0])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of an unknown version"


def _blas() -> Found:
    """NumPy's BLAS: from its own record of how it was built, and asked itself where it is known."""
    config = np.show_config(mode="dicts") or {}
    blas = config.get("Build Dependencies", {}).get("blas", {})
    found: Found = {"name": blas.get("name", "unknown"), "version": blas.get("version", "")}
    folder = Path(np.__file__).parent
    for path in sorted([*folder.parent.glob("numpy.libs/*"), *folder.glob(".dylibs/*")]):
        if "openblas" in path.name:
            library = ctypes.CDLL(str(path))  # it is loaded already: this is the same one
            for prefix, suffix in (("scipy_", "64_"), ("scipy_", ""), ("", "64_"), ("", "")):
                threads = getattr(library, f"{prefix}openblas_get_num_threads{suffix}", None)
                core = getattr(library, f"{prefix}openblas_get_corename{suffix}", None)
                if threads and core:
                    core.restype = ctypes.c_char_p
                    found |= {"threads": threads(), "kernels": core().decode()}
                    return found
    return found


def _numba() -> Found:
    """Whether compiled kernels can be used on the CPU."""
    install = "pip install numba"
    if not _installed("numba"):
        return {"works": False, "problem": "Numba is not installed", "remedy": install}
    module, problem = _tried(lambda: importlib.import_module("numba"))
    if problem:
        told = f"Numba does not import ({problem})"
        return {"works": False, "problem": told, "remedy": f"{install} --upgrade"}
    found: Found = {"works": True, "version": getattr(module, "__version__", "unknown")}
    if os.environ.get("MINIGRAD_FAST") == "0":
        found |= {"works": False, "problem": "switched off by MINIGRAD_FAST=0"}
        found["remedy"] = "unset MINIGRAD_FAST"
    return found


def _devices(runtime: Any) -> list[Found]:
    found = []
    for number in range(runtime.getDeviceCount()):
        told = runtime.getDeviceProperties(number)
        name = told["name"]
        found.append(
            {
                "name": name.decode() if isinstance(name, bytes) else str(name),
                "memory": int(told["totalGlobalMem"]),
                "compute_capability": f"{told['major']}.{told['minor']}",
                "multiprocessors": int(told["multiProcessorCount"]),
            }
        )
    return found


def _cublas() -> Found:
    """Where cuBLAS is, which multiplies matrices on the GPU."""
    from minigrad.backends.cupy import cublas
    from minigrad.errors import DeviceError

    try:
        return {"works": True, "path": str(cublas.library()._name)}
    except DeviceError as error:
        return {"works": False, "problem": str(error)}


def _driver() -> str | None:
    """The version of NVIDIA's kernel module, as Linux tells it."""
    path = Path("/proc/driver/nvidia/version")
    match = re.search(r"(\d+\.\d+(\.\d+)?)  ", path.read_text()) if path.exists() else None
    return match[1] if match else None


def _gpu() -> Found:
    """Whether device "gpu" works, with all that it needs."""
    from minigrad.backends import require_device
    from minigrad.errors import DeviceError

    found: Found = {"works": True, "driver": _tried(_driver)[0]}
    try:
        require_device("gpu")
    except DeviceError as error:
        found |= {"works": False, "problem": str(error)}
    except Exception as error:  # what no check has foreseen
        found |= {"works": False, "problem": f"CuPy fails ({one_line(error)})"}
    cupy = _tried(lambda: importlib.import_module("cupy"))[0] if _installed("cupy") else None
    if cupy is None:
        return found
    found["cupy"] = getattr(cupy, "__version__", None)
    number, _ = _tried(lambda: cupy.cuda.runtime.driverGetVersion())
    if number:
        found["cuda"] = f"{number // 1000}.{number % 1000 // 10}"
    found["devices"] = _tried(lambda: _devices(cupy.cuda.runtime))[0] or []
    found["cublas"] = _cublas()
    return found


def report() -> Found:
    """What there is, as a dictionary that JSON can hold.

    Returns:
        "minigrad", "python" and "system"; "numpy" with its version and BLAS; "cpu", "numba" and
        "gpu", each with whether it works and, where it does not, the problem; "variables", the
        environment's.

    Example:
        >>> report()["cpu"]
        {'works': True}
    """
    blas, problem = _tried(_blas)
    return {
        "minigrad": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "numpy": {"version": np.__version__, "blas": blas or {"name": f"unknown ({problem})"}},
        "cpu": {"works": True},
        "numba": _numba(),
        "gpu": _gpu(),
        "variables": {name: os.environ.get(name) for name in VARIABLES},
    }


def text(found: Found) -> str:
    """A report as lines for people.

    Args:
        found: What `report` returned.

    Example:
        >>> print(text(report()))
        minigrad ...
    """
    numpy, numba, gpu = found["numpy"], found["numba"], found["gpu"]
    blas, cublas = numpy["blas"], gpu.get("cublas")
    lines = [f"minigrad {found['minigrad']}, Python {found['python']}, {found['system']}", ""]

    def say(name: str, works: bool | None, *what: str) -> None:
        state = "" if works is None else "works" if works else "missing"
        for number, each in enumerate(filter(None, what)):
            start = f"{name:<14}{state:<{INDENT - 14}}" if number == 0 else ""
            lines.extend(_wrapped(each, start))

    parts = [f"{blas['name']} {blas.get('version', '')}".strip()]
    parts += [f"threads: {blas['threads']}"] if "threads" in blas else []
    parts += [f"kernels for {blas['kernels']}"] if "kernels" in blas else []
    say("CPU", True, f"NumPy {numpy['version']}", f"BLAS: {', '.join(parts)}")
    say(
        "CPU, compiled",
        numba["works"],
        f"Numba {numba['version']}" if numba["works"] else f"{numba['problem']}: {numba['remedy']}",
    )
    seen = {"CuPy": gpu.get("cupy"), "driver": gpu.get("driver"), "CUDA up to": gpu.get("cuda")}
    told = ", ".join(f"{name} {value}" for name, value in seen.items() if value)
    devices = [
        f"{device['name']}: {device['memory'] / 2**30:.1f} GiB, {device['multiprocessors']} "
        f"multiprocessors, compute capability {device['compute_capability']}"
        for device in gpu.get("devices", ())
    ]
    say("GPU", gpu["works"], gpu.get("problem", ""), told, *devices)
    if cublas:
        say("cuBLAS", cublas["works"], cublas["path" if cublas["works"] else "problem"])
    lines.append("")
    for name, value in found["variables"].items():
        lines.append(
            f"{name:<{INDENT}}{'not set' if value is None else value}  ({VARIABLES[name]})"
        )
    return "\n".join(lines)


def _wrapped(what: str, start: str) -> list[str]:
    """Lines that begin below each other, the first behind `start`."""
    return textwrap.wrap(
        what,
        WIDTH,
        initial_indent=start.ljust(INDENT),
        subsequent_indent=" " * INDENT,
        break_long_words=False,
    )


def main() -> None:
    """Run the command, also as `python -m minigrad.info`."""
    parser = argparse.ArgumentParser(
        prog="python -m minigrad",
        description="Say which backends work here, and what is missing.",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    wanted = parser.parse_args()
    found = report()
    _print(json.dumps(found) if wanted.json else text(found))


def _print(told: str) -> None:
    """Print to any standard output; letters that its encoding lacks as numbers."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(told.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError as error:  # a full disk, or a pipe that nobody reads
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # no second try at the end
        sys.exit(f"error: the report cannot be written: {error.strerror}")


if __name__ == "__main__":
    main()
