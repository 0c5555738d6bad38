"""Measurements that can be compared: each library in a process of its own, asked in turn.

Times on a busy machine drift by more than libraries differ. So no library is measured to the end
before the next one starts: every round asks each of them once, and what is compared are medians
over rounds and ratios within them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Worker:
    """A process that measures one library; it does nothing between questions."""

    def __init__(self, module: str, library: str, threads: int) -> None:
        self.library = library
        environment = os.environ | dict.fromkeys(THREADS, str(threads))
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, library, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.version = self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, what: str) -> float:
        """Have something measured; NaN where the library cannot do it."""
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return float(self._line() or "nan")

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def answer(version: str, measure: Callable[[str], float]) -> None:
    """The worker's side: say the version, then measure what is asked for until the end.

    Args:
        version: The library's version.
        measure: Gives the seconds of what a line names.
    """
    print(version, flush=True)
    for line in sys.stdin:
        print(measure(line.strip()), flush=True)


def interleaved(
    module: str, libraries: Sequence[str], questions: Sequence[str], rounds: int, threads: int
) -> tuple[dict[str, str], dict[str, dict[str, list[float]]]]:
    """Ask every library every question, once in each round.

    Args:
        module: The module whose workers these are: `python -m module library`.
        libraries: Their names; those that are not installed are left out.
        questions: What to measure.
        rounds: How often.
        threads: For linear algebra, in every process.

    Returns:
        The version of each library, and for each library and question the seconds of each round.
    """
    workers = [Worker(module, library, threads) for library in libraries]
    found = [worker for worker in workers if worker.version]
    times: dict[str, dict[str, list[float]]] = {
        worker.library: {question: [] for question in questions} for worker in found
    }
    for number in range(rounds + 1):
        for question in questions:
            for worker in found:
                seconds = worker.ask(question)
                if number:  # the first round warms up
                    times[worker.library][question].append(seconds)
    for worker in workers:
        worker.close()
    return {worker.library: worker.version for worker in found}, times


def summary(seconds: Sequence[float]) -> dict[str, Any]:
    """Median and lower quartile."""
    quartile = statistics.quantiles(seconds, n=4)[0] if len(seconds) > 1 else seconds[0]
    return {"median": statistics.median(seconds), "quartile": quartile}
