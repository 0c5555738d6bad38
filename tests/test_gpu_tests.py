"""What runs the tests on a GPU machine: nothing that one test does is another one's failure."""

import ast
import json
import time
from functools import cache
from pathlib import Path

import needs
import pytest

from benchmarks import gpu_tests
from benchmarks.gpu_tests import FILES, Part

TESTS = Path(__file__).parent
pytestmark = needs.PROCESS_GROUPS

# --- which files ------------------------------------------------------------------------------


@cache
def functions(path):
    """The functions of a file, and those in its classes."""
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node for node in tree if isinstance(node, ast.FunctionDef)]


def asked_for(function):
    """The fixtures that a function names, and its marks."""
    names = {arg.arg for arg in function.args.args}
    for node in ast.walk(ast.Module(function.decorator_list, [])):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)  # of usefixtures
        if isinstance(node, ast.Attribute):
            names.add(f"mark {node.attr}")
    return names


def is_fixture(function):
    return any("fixture" in ast.unparse(decorator) for decorator in function.decorator_list)


def with_a_gpu(path, fixtures):
    """Those of `fixtures` and of a file's own that may be a real GPU."""
    found = set(fixtures)
    for function in filter(is_fixture, functions(path)):
        parameters = " ".join(map(ast.unparse, function.decorator_list))
        if asked_for(function) & found or "real_gpus()" in parameters:
            found.add(function.name)
    return found


def test_the_files_with_tests_for_a_gpu_are_named():
    common = with_a_gpu(TESTS / "conftest.py", set())
    assert {"gpu", "device", "quick_gpu", "replays"} <= common and "stand_in" not in common
    found = set()
    for path in TESTS.glob("test_*.py"):
        wanted = with_a_gpu(path, common) | {"mark gpu"}
        tests = [f for f in functions(path) if f.name.startswith("test_")]
        if any(asked_for(test) & wanted for test in tests):
            found.add(path.stem)
    assert found == set(FILES)


# --- what comes of them -----------------------------------------------------------------------

SETTINGS = """
[pytest]
markers =
    gpu: needs a GPU
    slow: takes minutes
"""
ALL_KINDS = """
import pytest
def test_passes(): pass
def test_fails(): assert 1 == 2, "two\\x1b lines\\nof it"
@pytest.fixture
def broken(): raise ValueError("no fixture")
def test_has_no_fixture(broken): pass
@pytest.mark.skip(reason="why")
def test_is_skipped(): pass
@pytest.mark.gpu
def test_needs_a_gpu(): assert False
"""
CRASHES = """
import os, pytest, signal
@pytest.mark.parametrize("number", range(4))
def test_number(number):
    if number == 1: os.kill(os.getpid(), signal.SIGKILL)
    if number == 3: os._exit(0)
"""
LOSES_THE_GPU = """
import importlib, pytest
@pytest.mark.parametrize("number", range(3))
def test_number(number):
    if number == 1:
        importlib.import_module("minigrad.backends.cupy").is_lost = lambda: True
        raise RuntimeError("cudaErrorIllegalAddress")
    assert not importlib.import_module("minigrad.backends.cupy").is_lost(), "it would fail too"
"""
HANGS = """
import time
def test_passes(): pass
def test_hangs(): time.sleep(600)
def test_follows(): pass
"""
MANY = """
import pytest
@pytest.mark.parametrize("number", range(7))
def test_number(number): pass
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a file of tests, whole or in shares."""
    for folder in ("tests", "minigrad"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pytest.ini").write_text(SETTINGS, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(TESTS.parent))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # a second for each process
    monkeypatch.setattr(gpu_tests, "ROOT", tmp_path)

    def run(text, of=1, seconds=100.0, more=()):
        (tmp_path / "tests" / "test_it.py").write_text(text, encoding="utf-8")
        parts = [Part("test_it", k, of) for k in range(of)] + [Part(name, 0, 1) for name in more]
        return gpu_tests.run_tests(parts, "cpu", seconds, 1, tmp_path)

    return run


def outcomes(tmp_path):
    """The tests in tests.jsonl, with the outcome of each."""
    lines = (tmp_path / "tests.jsonl").read_text(encoding="utf-8").splitlines()
    return [(each["test"].rpartition("::")[2], each["outcome"]) for each in map(json.loads, lines)]


def test_each_outcome_is_told(run, tmp_path, capsys):
    assert run(ALL_KINDS) == 1
    assert outcomes(tmp_path) == [
        ("test_passes", "passed"),
        ("test_fails", "failed"),
        ("test_has_no_fixture", "error"),
        ("test_is_skipped", "skipped"),
    ]
    told = capsys.readouterr().out
    assert "FAILED tests/test_it.py::test_fails\n    E   AssertionError: two" in told
    assert "ERROR tests/test_it.py::test_has_no_fixture\n    E   ValueError: no fixture" in told
    assert told.endswith("1 passed, 1 failed, 1 error, 1 skipped\n")


def test_shares_are_all_tests_once(run, tmp_path):
    assert run(MANY, of=3) == 0
    assert sorted(outcomes(tmp_path)) == [(f"test_number[{k}]", "passed") for k in range(7)]


def test_behind_a_crash_another_process_goes_on(run, tmp_path, capsys):
    assert run(CRASHES) == 1
    kinds = ["passed", "error", "passed", "error"]
    assert outcomes(tmp_path) == [(f"test_number[{k}]", kind) for k, kind in enumerate(kinds)]
    assert "ERROR tests/test_it.py::test_number[1]\n    exit code -9" in capsys.readouterr().out


def test_behind_a_lost_gpu_another_process_goes_on(run, tmp_path):
    assert run(LOSES_THE_GPU) == 1
    kinds = ["passed", "failed", "passed"]
    assert outcomes(tmp_path) == [(f"test_number[{k}]", kind) for k, kind in enumerate(kinds)]


def test_when_the_time_is_up_what_is_done_stays(run, tmp_path, capsys):
    began = time.monotonic()
    assert run(HANGS, seconds=8, more=["test_never"]) == 1
    assert time.monotonic() - began < 30
    assert outcomes(tmp_path) == [("test_passes", "passed")]
    told = capsys.readouterr().out
    assert "test_it.py, 1 of 1: 2 of 3 tests; was in tests/test_it.py::test_hangs\n" in told
    assert "not done: tests/test_never.py, 1 of 1: not begun\n" in told


def test_a_file_that_needs_what_is_not_installed_is_left_out(run, tmp_path, capsys):
    assert run("import no_such_package\ndef test_it(): pass", of=2) == 1  # nothing has passed
    told = capsys.readouterr().out
    left_out = "left out, as no_such_package is not installed: tests/test_it.py\n"
    assert told == left_out + "no test has run\n" and outcomes(tmp_path) == []


@pytest.mark.parametrize(
    "text", ["import minigrad.no_such_module", "1 / 0", "import test_nothing."]
)
def test_a_file_that_cannot_be_read_fails(text, run, tmp_path):
    assert run(text) == 1
    assert outcomes(tmp_path) == [("tests/test_it.py", "error")]


def test_a_file_without_tests_is_named(run, tmp_path, capsys):
    assert run("") == 1
    assert "not done: tests/test_it.py, 1 of 1: no tests\n" in capsys.readouterr().out
    (tmp_path / "tests" / "conftest.py").write_text("1 / 0", encoding="utf-8")
    assert run("def test_it(): pass") == 1
    assert outcomes(tmp_path) == [("tests/test_it.py", "error")]
