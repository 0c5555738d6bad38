"""`python -m minigrad.info` says what works and what is missing, whatever may be broken."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import needs
import numpy as np
import pytest

import minigrad as mg
from minigrad import info

ROOT = Path(__file__).parent.parent
cupy_backend = importlib.import_module("minigrad.backends.cupy")
cublas = importlib.import_module("minigrad.backends.cupy.cublas")


def run(*words, **variables):
    return subprocess.run(
        [sys.executable, "-m", "minigrad.info", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | variables,
    )


@pytest.fixture
def fresh(monkeypatch):
    """The check for a GPU, which remembers its answer, as if it had never been asked."""
    check = cupy_backend._problem
    check.cache_clear()
    yield monkeypatch
    check.cache_clear()


def only(*names):
    """Stands in for find_spec where only these packages are installed."""
    return lambda name, *_: object() if name in names else None


def shown():
    """The report as text, whose lines may have been wrapped anywhere."""
    return " ".join(info.text(info.report()).split())


def test_the_command_prints_versions_and_variables():
    done = run(MINIGRAD_POOL="0")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert f"NumPy {np.__version__}" in done.stdout and "BLAS: " in done.stdout
    assert "MINIGRAD_POOL          0" in done.stdout
    for name in ("MINIGRAD_FAST", "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS"):
        assert name in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110


def test_json_holds_the_report():
    done = run("--json", MINIGRAD_FAST="0")
    found = json.loads(done.stdout)
    assert found["cpu"] == {"works": True}
    assert found["numba"]["works"] is False
    assert found["variables"]["MINIGRAD_FAST"] == "0"
    assert found["minigrad"] == info.report()["minigrad"] != "of an unknown version"


def test_broken_installations_give_lines_and_no_traceback(tmp_path):
    for name in ("numba", "cupy", "cuda"):
        (tmp_path / name).mkdir()
        text = f"raise ValueError('{name} is\\nbroken')\n"
        (tmp_path / name / "__init__.py").write_text(text, encoding="utf-8")
    done = run(PYTHONPATH=str(tmp_path))
    assert done.returncode == 0 and done.stderr == ""
    told = " ".join(done.stdout.split())
    assert "missing Numba does not import (ValueError: numba is broken)" in told
    assert "CuPy does not import (ValueError: cupy is broken)" in told
    assert "Traceback" not in done.stdout


def test_an_encoding_without_the_letters_gets_their_numbers():
    done = run(MINIGRAD_FAST="ä\udcff", PYTHONIOENCODING="ascii:strict")
    assert done.returncode == 0 and done.stderr == ""
    assert "MINIGRAD_FAST          \\xe4\\udcff" in done.stdout


@pytest.mark.parametrize(
    ("to", "code", "words"),
    [
        pytest.param(
            ">/dev/full",
            1,
            "error: the report cannot be written: No space left on device\n",
            marks=needs.DEV_FULL,
        ),
        ("| true", 1, "error: the report cannot be written: Broken pipe\n"),
        (">&-", 0, ""),
        ("2>&- >/dev/null", 0, ""),
    ],
)
def test_a_report_that_nobody_can_read_is_one_message(to, code, words):
    script = f"{sys.executable} -m minigrad.info {to}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (code, words)


def test_without_numba_and_cupy_the_commands_to_install_them(fresh):
    fresh.setattr(importlib.util, "find_spec", only())
    found = info.report()
    assert found["numba"]["remedy"] == "pip install numba"
    assert not found["gpu"]["works"] and "cupy" not in found["gpu"]
    assert "pip install 'cupy-cuda13x[ctk]'" in shown()


def test_numba_switched_off_is_said(fresh):
    pytest.importorskip("numba")
    fresh.setenv("MINIGRAD_FAST", "0")
    assert "switched off by MINIGRAD_FAST=0" in shown()
    fresh.delenv("MINIGRAD_FAST")
    assert info.report()["numba"]["works"]


class CUDARuntimeError(RuntimeError):
    """As cupy.cuda.runtime's."""


def fake_cupy(count, failure=None):
    """A cupy module with so many GPUs."""

    def get_device_count():
        if failure:
            raise failure
        return count

    def properties(number):
        return {
            "name": b"Abacus %d" % number,
            "totalGlobalMem": 96 << 30,
            "major": 9,
            "minor": 0,
            "multiProcessorCount": 132,
        }

    runtime = types.SimpleNamespace(
        getDeviceCount=get_device_count,
        getDeviceProperties=properties,
        driverGetVersion=lambda: 13020,
        CUDARuntimeError=CUDARuntimeError,
    )
    return types.SimpleNamespace(
        __version__="14.9",
        cuda=types.SimpleNamespace(runtime=runtime),
        ones=lambda shape, dtype: np.ones(shape, dtype),
    )


def test_cupy_without_a_driver_says_so(fresh):
    fresh.setattr(importlib.util, "find_spec", only("cupy"))
    fresh.setitem(sys.modules, "cupy", fake_cupy(0, CUDARuntimeError("cudaErrorNoDevice")))
    gpu = info.report()["gpu"]
    assert not gpu["works"] and gpu["devices"] == []
    assert "cudaErrorNoDevice" in gpu["problem"]
    assert "GPU missing device 'gpu' cannot be used" in shown()


def test_a_gpu_is_described(fresh):
    fresh.setattr(importlib.util, "find_spec", only("cupy"))
    fresh.setattr(cupy_backend, "_problem", lambda: None)
    fresh.setitem(sys.modules, "cupy", fake_cupy(2))
    found = types.SimpleNamespace(_name="/lib/libcublas.so.13")
    fresh.setattr(cublas, "library", lambda: found)
    told = shown()
    assert "GPU works CuPy 14.9" in told and "CUDA up to 13.2" in told
    for number in range(2):
        assert f"Abacus {number}: 96.0 GiB, 132 multiprocessors, compute capability 9.0" in told
    assert "cuBLAS works /lib/libcublas.so.13" in told


def test_without_cublas_it_says_where_it_looked_and_how_to_install_it(fresh):
    def load_nvidia_dynamic_lib(name):
        raise RuntimeError("Failure finding libcublas.so.13")

    fresh.setattr(importlib.util, "find_spec", only("cupy"))
    fresh.setattr(cupy_backend, "_problem", lambda: None)
    fresh.setitem(sys.modules, "cupy", fake_cupy(1))
    finder = types.ModuleType("cuda.pathfinder")
    finder.load_nvidia_dynamic_lib = load_nvidia_dynamic_lib
    fresh.setitem(sys.modules, "cuda", types.ModuleType("cuda"))
    fresh.setitem(sys.modules, "cuda.pathfinder", finder)
    cublas.library.cache_clear()
    found = info.report()["gpu"]["cublas"]
    assert not found["works"]
    for told in (found["problem"], shown()):
        assert "cuBLAS cannot be loaded (RuntimeError: Failure finding libcublas.so.13)" in told
        assert "pip install 'cupy-cuda13x[ctk]'" in told


def test_a_check_that_fails_in_a_new_way_is_a_line_too(fresh):
    def problem():
        raise AttributeError("no such thing")

    fresh.setattr(cupy_backend, "_problem", problem)
    fresh.setattr(importlib.util, "find_spec", only())
    assert "CuPy fails (AttributeError: no such thing)" in shown()


def test_the_gpu_works_where_tensors_can_live_there():
    found = info.report()["gpu"]["works"]
    try:
        mg.zeros(1, device="gpu")
    except mg.DeviceError:
        assert not found
    else:
        assert found
