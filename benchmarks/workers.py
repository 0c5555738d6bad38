"""Measurements that can be compared: each contestant in a process of its own, asked in turn.

Times on a busy machine drift by more than libraries differ. So nobody is measured to the end
before the next one starts: every round asks each of them once, and what is compared are medians
over rounds and ratios within them.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

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


def reserved_stdout() -> IO[str]:
    """This process's stdout, for answers only: whatever else is printed goes to stderr now."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def serve(answers: IO[str], greeting: str, reply: Callable[[str], object]) -> None:
    """The worker's side: greet, then answer a question a line until there are no more.

    Args:
        answers: What `reserved_stdout` gave.
        greeting: The library's version.
        reply: The answer to a question, which is printed as one line.
    """
    print(greeting, file=answers, flush=True)
    for line in sys.stdin:
        print(reply(line.strip()), file=answers, flush=True)


def end_group(process: subprocess.Popen[Any]) -> None:
    """End a process that began a session, and all that it has started."""
    with suppress(ProcessLookupError):  # it has ended by itself
        os.killpg(process.pid, signal.SIGKILL)


def gpu_options(program: str, seconds: float) -> argparse.ArgumentParser:
    """The options of what runs on a GPU machine as it is, which may lack tyro.

    Args:
        program: The module.
        seconds: How long it may take, unless it is told.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--seconds", type=float, default=seconds, help="for all of it")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), metavar="DIR")
    return parser


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
