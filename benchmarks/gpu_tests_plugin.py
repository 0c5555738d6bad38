"""A pytest plugin of `gpu_tests.py`: it runs a share of the tests, and tells of each as it ends.

It writes lines of JSON to a pipe: {"collected": N}, {"began": TEST}, {"test": TEST, "outcome": ...,
"seconds": ..., "text": ...}, {"ended": true}.
"""

from __future__ import annotations

import importlib
import json
import os
from typing import Any

import pytest

LOST = 3  # exit code where the GPU answers no more in this process


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that only `gpu_tests.py` gives."""
    parser.addoption("--tell", type=int, help="the pipe's file descriptor")
    parser.addoption("--share", default="0/1", help="K/N: every Nth test, from number K on")
    parser.addoption("--skip-first", type=int, default=0, help="so many tests of the share")


def pytest_configure(config: pytest.Config) -> None:
    """Start to listen."""
    config.pluginmanager.register(_Teller(config))


class _Teller:
    """Writes what happens to the pipe."""

    def __init__(self, config: pytest.Config) -> None:
        self._pipe = os.fdopen(config.getoption("--tell"), "w", encoding="utf-8")
        self._number, self._of = map(int, config.getoption("--share").split("/"))
        self._skipped = config.getoption("--skip-first")
        self._reports: list[pytest.TestReport] = []

    def _tell(self, **what: Any) -> None:
        print(json.dumps(what), file=self._pipe, flush=True)

    @pytest.hookimpl(trylast=True)  # when other tests have been taken out
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = items[self._number :: self._of]
        self._tell(collected=len(items))
        del items[: self._skipped]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._tell(test=report.nodeid, outcome="error", seconds=0.0, text=report.longreprtext)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._reports = []
        self._tell(began=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports.append(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        failed = [report for report in self._reports if report.failed]
        outcome = "skipped" if any(r.skipped for r in self._reports) else "passed"
        if failed:
            outcome = "failed" if failed[0].when == "call" else "error"
        text = "\n".join(report.longreprtext for report in failed)
        seconds = sum(report.duration for report in self._reports)
        self._tell(test=nodeid, outcome=outcome, seconds=seconds, text=text)
        # imported late: tests/conftest.py sets what NumPy reads when it is imported
        if failed and importlib.import_module("minigrad.backends.cupy").is_lost():
            os._exit(LOST)  # all that follows would fail: a new process goes on

    def pytest_sessionfinish(self) -> None:
        self._tell(ended=True)
