"""`python -m minigrad` reports which backends work on this machine, and what is missing.

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
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import __version__
from minigrad.backends.cupy import one_line

__all__ = ["arithmetic", "report", "text"]

VARIABLES = {
    "MINIGRAD_FAST": "0 switches Numba off",
    "MINIGRAD_POOL": "0 gives freed memory back to the system",
    "OPENBLAS_CORETYPE": "the processor type whose kernels OpenBLAS uses",
    "OPENBLAS_NUM_THREADS": "threads of a matrix product",
}
WIDTH, INDENT = 110, 23
Found = dict[str, Any]


def _try_call(what: Callable[[], Any]) -> tuple[Any, str]:
    """Call a function; return (its value, "") or (None, the problem), whatever error it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return what(), ""
    except Exception as error:
        return None, one_line(error)


def _installed(name: str) -> bool:
    return bool(_try_call(lambda: importlib.util.find_spec(name) is not None)[0])


def _blas() -> Found:
    """NumPy's BLAS, from NumPy's build configuration; OpenBLAS is also asked for its settings."""
    config = np.show_config(mode="dicts") or {}
    blas = config.get("Build Dependencies", {}).get("blas", {})
    found: Found = {"name": blas.get("name", "unknown"), "version": blas.get("version", "")}
    folder = Path(np.__file__).parent
    for path in sorted([*folder.parent.glob("numpy.libs/*"), *folder.glob(".dylibs/*")]):
        if "openblas" in path.name:
            library = ctypes.CDLL(str(path))  # the library that NumPy has loaded already
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
    module, problem = _try_call(lambda: importlib.import_module("numba"))
    if problem:
        problem = f"Numba does not import ({problem})"
        return {"works": False, "problem": problem, "remedy": f"{install} --upgrade"}
    found: Found = {"works": True, "version": getattr(module, "__version__", "unknown")}
    if os.environ.get("MINIGRAD_FAST") == "0":
        found |= {"works": False, "problem": "switched off by MINIGRAD_FAST=0"}
        found["remedy"] = "unset MINIGRAD_FAST"
    return found


def _devices(runtime: Any) -> list[Found]:
    found = []
    for number in range(runtime.getDeviceCount()):
        properties = runtime.getDeviceProperties(number)
        name = properties["name"]
        found.append(
            {
                "name": name.decode() if isinstance(name, bytes) else str(name),
                "memory": int(properties["totalGlobalMem"]),
                "compute_capability": f"{properties['major']}.{properties['minor']}",
                "multiprocessors": int(properties["multiProcessorCount"]),
            }
        )
    return found


def _cublas() -> Found:
    """Whether cuBLAS, which multiplies matrices on the GPU, can be loaded, and from where."""
    from minigrad.backends.cupy import cublas
    from minigrad.errors import DeviceError

    try:
        return {"works": True, "path": str(cublas.library()._name)}
    except DeviceError as error:
        return {"works": False, "problem": str(error)}


def _driver() -> str | None:
    """The version of NVIDIA's driver as Linux reports it; None if it reports none."""
    path = Path("/proc/driver/nvidia/version")
    match = re.search(r"(\d+\.\d+(\.\d+)?)  ", path.read_text()) if path.exists() else None
    return match[1] if match else None


def _gpu() -> Found:
    """Whether device "gpu" works, and what is known of its driver, CuPy, GPUs and cuBLAS."""
    from minigrad.backends import require_device
    from minigrad.errors import DeviceError

    found: Found = {"works": True, "driver": _try_call(_driver)[0]}
    try:
        require_device("gpu")
    except DeviceError as error:
        found |= {"works": False, "problem": str(error)}
    except Exception as error:  # an error that `require_device` does not expect
        found |= {"works": False, "problem": f"CuPy fails ({one_line(error)})"}
    cupy = _try_call(lambda: importlib.import_module("cupy"))[0] if _installed("cupy") else None
    if cupy is None:
        return found
    found["cupy"] = getattr(cupy, "__version__", None)
    number, _ = _try_call(lambda: cupy.cuda.runtime.driverGetVersion())
    if number:
        found["cuda"] = f"{number // 1000}.{number % 1000 // 10}"
    found["devices"] = _try_call(lambda: _devices(cupy.cuda.runtime))[0] or []
    found["cublas"] = _cublas()
    return found


def report() -> Found:
    """The versions and backends found on this machine, as a dictionary that JSON can hold.

    Returns:
        "minigrad", "python" and "system", as texts; "numpy" with its version and BLAS; "cpu",
        "numba" and "gpu", each with "works" and, if it does not work, "problem"; "variables", the
        environment variables that minigrad or OpenBLAS reads.

    Example:
        >>> report()["cpu"]
        {'works': True}
    """
    blas, problem = _try_call(_blas)
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


def arithmetic(device: str = "cpu") -> dict[str, str]:
    """What the last bits of a result depend on: versions, processor, BLAS, its kernels and threads.

    Args:
        device: Where is computed, "cpu" or "gpu".

    Example:
        >>> arithmetic()["NumPy"] == np.__version__
        True
    """
    blas, numba = _try_call(_blas)[0] or {}, _numba()
    found = {
        "minigrad": __version__,
        "NumPy": np.__version__,
        "BLAS": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "kernels of BLAS": str(blas.get("kernels", "unknown")),
        "threads of BLAS": str(blas.get("threads", "unknown")),
        "Numba": numba["version"] if numba["works"] else "none",
        "processor": platform.machine(),
        "device": device,
    }
    if device == "gpu":
        gpu = _gpu()
        names = {each["name"] for each in gpu.get("devices", ())}
        found |= {"CuPy": str(gpu.get("cupy")), "GPU": ", ".join(sorted(names))}
    return found


def text(found: Found) -> str:
    """A report as text for people.

    Args:
        found: What `report` returned.

    Example:
        >>> print(text(report()))
        minigrad ...
    """
    numpy, numba, gpu = found["numpy"], found["numba"], found["gpu"]
    blas, cublas = numpy["blas"], gpu.get("cublas")
    lines = [f"minigrad {found['minigrad']}, Python {found['python']}, {found['system']}", ""]

    def add_row(name: str, works: bool | None, *what: str) -> None:
        state = "" if works is None else "works" if works else "missing"
        for number, each in enumerate(filter(None, what)):
            start = f"{name:<14}{state:<{INDENT - 14}}" if number == 0 else ""
            lines.extend(_wrapped(each, start))

    parts = [f"{blas['name']} {blas.get('version', '')}".strip()]
    parts += [f"threads: {blas['threads']}"] if "threads" in blas else []
    parts += [f"kernels for {blas['kernels']}"] if "kernels" in blas else []
    add_row("CPU", True, f"NumPy {numpy['version']}", f"BLAS: {', '.join(parts)}")
    add_row(
        "CPU, compiled",
        numba["works"],
        f"Numba {numba['version']}" if numba["works"] else f"{numba['problem']}: {numba['remedy']}",
    )
    seen = {"CuPy": gpu.get("cupy"), "driver": gpu.get("driver"), "CUDA up to": gpu.get("cuda")}
    versions = ", ".join(f"{name} {value}" for name, value in seen.items() if value)
    devices = [
        f"{device['name']}: {device['memory'] / 2**30:.1f} GiB, {device['multiprocessors']} "
        f"multiprocessors, compute capability {device['compute_capability']}"
        for device in gpu.get("devices", ())
    ]
    add_row("GPU", gpu["works"], gpu.get("problem", ""), versions, *devices)
    if cublas:
        add_row("cuBLAS", cublas["works"], cublas["path" if cublas["works"] else "problem"])
    lines.append("")
    for name, value in found["variables"].items():
        lines.append(
            f"{name:<{INDENT}}{'not set' if value is None else value}  ({VARIABLES[name]})"
        )
    return "\n".join(lines)


def _wrapped(what: str, start: str) -> list[str]:
    """A text wrapped into lines of one indentation; the first line begins with `start`."""
    return textwrap.wrap(
        what,
        WIDTH,
        initial_indent=start.ljust(INDENT),
        subsequent_indent=" " * INDENT,
        break_long_words=False,
    )


def main() -> None:
    """Run the command `python -m minigrad` or `python -m minigrad.info`."""
    parser = argparse.ArgumentParser(
        prog="python -m minigrad",
        description="Report which backends work on this machine, and what is missing.",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    args = parser.parse_args()
    found = report()
    _print(json.dumps(found) if args.json else text(found))


def _print(lines: str) -> None:
    """Print a text; characters that the output's encoding lacks become backslash escapes."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(lines.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError as error:  # a full disk, or a pipe whose reader is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else exit flushes again
        sys.exit(f"error: the report cannot be written: {error.strerror}")


if __name__ == "__main__":
    main()
