"""A process of `gpu_tests.py`: pytest on a share of a file's tests, which tells of each at its end.

`python -m benchmarks.gpu_tests_plugin PATH MARK K N SKIPPED` runs every Nth test, from number K on,
without the first ones of these that are to be skipped. Lines of JSON: {"collected": N},
{"began": TEST}, {"test": TEST, "outcome": ..., "seconds": ..., "text": ...}, {"ended": true}.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import IO

import pytest

from benchmarks.workers import reserved_stdout, tell

LOST = 3  # exit code where the GPU answers no more in this process
OPTIONS = [
    *("-p", "no:cacheprovider", "-q", "--tb=short", "--strict-markers"),
    *("-o", "addopts=", "-o", "filterwarnings=default"),
]


class Teller:
    """Chooses the share, and tells what happens."""

    def __init__(self, answers: IO[str], number: int, of: int, skipped: int) -> None:
        self._answers, self._number, self._of, self._skipped = answers, number, of, skipped
        self._reports: list[pytest.TestReport] = []

    @pytest.hookimpl(trylast=True)  # when other tests have been taken out
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave the share, behind what is skipped of it."""
        items[:] = items[self._number :: self._of]
        tell(self._answers, collected=len(items))
        del items[: self._skipped]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell what cannot be read."""
        if report.failed:
            text = report.longreprtext
            tell(self._answers, test=report.nodeid, outcome="error", seconds=0.0, text=text)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Tell that a test begins."""
        self._reports = []
        tell(self._answers, began=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what is known of a test: its beginning, itself, its end."""
        self._reports.append(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Tell how a test has ended; end the process if the GPU has failed."""
        failed = [report for report in self._reports if report.failed]
        outcome = "skipped" if any(r.skipped for r in self._reports) else "passed"
        if failed:
            outcome = "failed" if failed[0].when == "call" else "error"
        text = "\n".join(report.longreprtext for report in failed)
        seconds = sum(report.duration for report in self._reports)
        tell(self._answers, test=nodeid, outcome=outcome, seconds=seconds, text=text)
        # imported late: tests/conftest.py sets what NumPy reads when it is imported
        if failed and importlib.import_module("minigrad.backends.cupy").is_lost():
            os._exit(LOST)  # all that follows would fail: a new process goes on

    def pytest_sessionfinish(self) -> None:
        """Tell that all is done."""
        tell(self._answers, ended=True)


if __name__ == "__main__":
    path, mark, *numbers = sys.argv[1:]
    teller = Teller(reserved_stdout(), *map(int, numbers))
    sys.exit(pytest.main([*OPTIONS, "-m", mark, path], plugins=[teller]))
