"""Measurements that can be compared: each contestant in a process of its own, asked in turn.

Times on a busy machine drift by more than libraries differ. So nobody is measured to the end
before the next one starts: every round asks each of them once, and what is compared are medians
over rounds and ratios within them.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
TUNED = {  # what minigrad tells glibc by itself, for those who do not
    "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}


class Contestant(NamedTuple):
    """Who is measured.

    Attributes:
        name: As it stands in the table.
        words: What the worker is told about it.
        environment: Variables of its process.
    """

    name: str
    words: Sequence[str] = ()
    environment: Mapping[str, str] = {}

    def command(self, module: str) -> list[str]:
        """The command of its process."""
        return [sys.executable, "-m", module, *self.words]

    def variables(self, threads: int) -> dict[str, str]:
        """The environment of its process."""
        return os.environ | dict.fromkeys(THREADS, str(threads)) | dict(self.environment)


class Worker:
    """A process that measures one contestant; it does nothing between questions."""

    def __init__(self, module: str, contestant: Contestant, threads: int) -> None:
        self.name = contestant.name
        self.process = subprocess.Popen(
            contestant.command(module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=contestant.variables(threads),
        )
        self.version = self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, what: str) -> str:
        """Put a question; the answer's line, empty where the process has ended."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(what + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._line()

    def ask(self, what: str) -> float:
        """Have something measured; NaN where the contestant cannot do it."""
        return float(self.say(what) or "nan")

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def answer(version: str, measure: Callable[[str], float]) -> None:
    """The worker's side: say the version, then measure what is asked for until the end.

    Args:
        version: The library's version.
        measure: Gives the number that a line names.
    """
    print(version, flush=True)
    for line in sys.stdin:
        print(measure(line.strip()), flush=True)


def interleaved(
    module: str,
    contestants: Sequence[Contestant],
    questions: Sequence[str],
    rounds: int,
    threads: int,
) -> tuple[dict[str, str], dict[str, dict[str, list[float]]]]:
    """Ask every contestant every question, once in each round.

    Args:
        module: The module whose workers these are: `python -m module *words`.
        contestants: Those whose library is not installed are left out.
        questions: What to measure.
        rounds: How often.
        threads: For linear algebra, in every process.

    Returns:
        The version of each, and for each and each question the answers of all rounds.
    """
    workers = [Worker(module, contestant, threads) for contestant in contestants]
    found = [worker for worker in workers if worker.version]
    times: dict[str, dict[str, list[float]]] = {
        worker.name: {question: [] for question in questions} for worker in found
    }
    for number in range(rounds + 1):
        for question in questions:
            for worker in found:
                seconds = worker.ask(question)
                if number:  # the first round warms up
                    times[worker.name][question].append(seconds)
    for worker in workers:
        worker.close()
    return {worker.name: worker.version for worker in found}, times


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median and lower quartile."""
    quartile = statistics.quantiles(values, n=4)[0] if len(values) > 1 else values[0]
    return {"median": statistics.median(values), "quartile": quartile}


def machine() -> dict[str, Any]:
    """What the measurements were made on, and what the environment tells OpenBLAS of it."""
    told = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
    return {"python": platform.python_version(), "system": platform.platform()} | told


def warn_of_openblas() -> None:
    """Say so where the environment keeps OpenBLAS from looking at the processor itself."""
    if taken_for := os.environ.get("OPENBLAS_CORETYPE"):
        print(
            f"OPENBLAS_CORETYPE={taken_for} is set, so NumPy's products are computed as for that "
            "processor, perhaps\nat half of this one's speed. Unset it to measure what OpenBLAS "
            "does by itself.\n"
        )
