"""The setting for OpenBLAS: for the processors that need it, and never over the user's own."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from train.processor import NEEDED, prefer_wide_kernels, wide_kernels

ROOT = Path(__file__).parent.parent
WIDE = {"OPENBLAS_CORETYPE": "SkylakeX"}
CPUINFO = "processor\t: {}\nvendor_id\t: {}\nmodel name\t: a: b\nflags\t\t: fpu {}\n\n"
ALL = " ".join(sorted(NEEDED))


@pytest.mark.parametrize(
    ("vendor", "flags", "expected"),
    [
        ("AuthenticAMD", ALL, WIDE),
        ("AuthenticAMD", ALL.replace("avx512vl", ""), {}),
        ("AuthenticAMD", "avx2", {}),
        ("GenuineIntel", ALL, {}),
    ],
)
def test_who_gets_it(tmp_path, vendor, flags, expected):
    path = tmp_path / "cpuinfo"
    path.write_text("".join(CPUINFO.format(n, vendor, flags) for n in range(2)), encoding="utf-8")
    assert wide_kernels(path) == expected


def test_where_linux_describes_no_processor(tmp_path):
    assert wide_kernels(tmp_path / "absent") == {}
    (tmp_path / "empty").touch()
    assert wide_kernels(tmp_path / "empty") == {}


def test_nothing_is_set_once_numpy_has_read_it(monkeypatch):
    importlib.import_module("numpy")
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    prefer_wide_kernels()  # NumPy is loaded here
    assert "OPENBLAS_CORETYPE" not in os.environ


@pytest.mark.parametrize("own", [None, "Haswell"])
def test_trainers_set_it_before_numpy_loads_and_keep_the_users_own(own):
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    if own is not None:
        environment["OPENBLAS_CORETYPE"] = own
    program = "import train.lstm, os; print(os.environ.get('OPENBLAS_CORETYPE'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(own or wide_kernels().get("OPENBLAS_CORETYPE"))
