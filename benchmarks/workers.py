"""Worker processes of the benchmarks: start them, ask them for measurements, end them in time.

Each contestant has a process of its own. On a busy machine times drift by more than libraries
differ, so the contestants take turns: every round measures each of them once. Medians over rounds,
and ratios within a round, are compared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import IO, Any, NamedTuple

ROOT = Path(__file__).parent.parent
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
TUNED = {  # what minigrad tells glibc by itself, for those who do not
    "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}
PATIENCE = 600.0  # seconds for an answer
CLOSE = 1e-4  # of two losses, relatively

Answer = dict[str, Any]  # what a process tells; "reason" says why it cannot
Answers = dict[str, dict[str, Answer]]  # by contestant and step


class Worker:
    """A process that answers in lines of JSON on its stdout; all other output is kept in `said`.

    Args:
        words: The module and its arguments, `python -m ...`.
        environment: Variables besides this process's own.
        folder: Where it runs.

    Attributes:
        said: Its other output, once it is closed.
    """

    said = ""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str] = {}, folder: Path = ROOT
    ) -> None:
        self._printed = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            env=os.environ | dict(environment),
            cwd=folder,
            start_new_session=True,  # so that `end` also ends the processes that it has started
        )

    def lines(self) -> Iterator[Answer]:
        """Yield its answers, one for each line."""
        assert self._process.stdout is not None
        return map(json.loads, self._process.stdout)

    def answer(self, patience: float = PATIENCE) -> Answer:
        """Return the next answer or a reason; end a process that takes longer than `patience`."""
        watch = Timer(patience, self.end)
        watch.start()
        found = next(self.lines(), {"reason": "its process ended"})
        watch.cancel()
        return found

    def ask(self, *question: Any, patience: float = PATIENCE) -> Answer:
        """Ask a question, which begins with a method of `measuring.Asked`; return the answer."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        return self.answer(patience)

    def end(self) -> None:
        """End the process at once, and all that it has started."""
        with suppress(ProcessLookupError):  # it has ended by itself
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def close(self, patience: float = PATIENCE) -> int:
        """Ask nothing more, wait at most `patience` seconds for its end, return its exit code."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self.end()
        self._process.stdout.close()
        with self._printed:
            self._printed.seek(0)
            self.said = self._printed.read().decode(errors="replace")
        return self._process.wait()


class Contestant(NamedTuple):
    """A library, and the way it is used, that is measured.

    Attributes:
        name: Its name in the table.
        library: Its file in `contestants/`.
        form: The model's form, an argument of `queue` in that file: "layer" or "textbook".
        mode: How steps run, an argument of `queue` too: "eager", "compile", "captured" and others.
        kinds: The kinds of steps that it makes.
        environment: Variables of its process.
    """

    name: str
    library: str
    form: str = "layer"
    mode: str = "eager"
    kinds: tuple[str, ...] = ("gan", "lstm")
    environment: Mapping[str, str] = {}

    def makes(self, step: str) -> bool:
        """Whether it makes a step of this name."""
        return step in self.kinds or step.split()[0] in self.kinds


class Measuring(Worker):
    """A contestant's process, which runs `measuring.py`; its docstring lists the questions.

    Args:
        contestant: Who is measured.
        threads: For linear algebra.
        device: "cpu" or "gpu".
        checkout: The checkout whose code is measured; this folder if it is empty.
        environment: Variables besides the contestant's.
    """

    def __init__(
        self,
        contestant: Contestant,
        threads: int,
        device: str = "cpu",
        checkout: str = "",
        environment: Mapping[str, str] = {},
    ) -> None:
        self.contestant, self.name = contestant, contestant.name
        words = contestant.library, contestant.form, contestant.mode, device, checkout
        variables = dict.fromkeys(THREADS, str(threads)) | dict(contestant.environment)
        super().__init__(["benchmarks.measuring", *words], variables | dict(environment))
        self.version: str = ""

    def greet(self, patience: float = PATIENCE) -> str:
        """Read the library's version; return the reason if there is none, else an empty text."""
        greeting = self.answer(patience)
        self.version = greeting.get("version", "")
        return str(greeting.get("reason", ""))


def started(
    workers: Sequence[Measuring], patience: float = PATIENCE
) -> tuple[list[Measuring], dict[str, str]]:
    """Return the workers that started within `patience` seconds each, and the others' reasons."""
    reasons = {worker.name: worker.greet(patience) for worker in workers}
    return [w for w in workers if w.version], {n: why for n, why in reasons.items() if why}


def differing(contestants: Sequence[Contestant], ready: Answers) -> dict[tuple[str, str], str]:
    """Return whose loss, in which step, differs from the first contestant's of the same form."""
    first: dict[tuple[str, str], float] = {}
    found = {}
    for contestant in contestants:
        for step, answer in ready.get(contestant.name, {}).items():
            loss = answer.get("loss", math.nan)
            if not math.isnan(loss):
                form = contestant.form if step.startswith("lstm") else ""
                wanted = first.setdefault((step, form), loss)
                if not math.isclose(wanted, loss, rel_tol=CLOSE):
                    found[contestant.name, step] = f"its loss is {loss:.6f}, not {wanted:.6f}"
    return found


def chosen(contestants: Sequence[Contestant], only: Sequence[str]) -> list[Contestant]:
    """Return the contestants whose names contain one of the words; all if there are no words."""
    return [c for c in contestants if not only or any(word in c.name for word in only)]


def machine() -> dict[str, Any]:
    """Describe the machine, with the environment variables that OpenBLAS reads."""
    told = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
    return {"python": platform.python_version(), "system": platform.platform()} | told


def warn_of_openblas() -> None:
    """Warn if the environment names another processor to OpenBLAS."""
    if taken_for := os.environ.get("OPENBLAS_CORETYPE"):
        print(
            f"OPENBLAS_CORETYPE={taken_for} is set, so NumPy's products are computed as for that "
            "processor, perhaps\nat half of this one's speed. Unset it to measure what OpenBLAS "
            "does by itself.\n"
        )


# --- programs for a GPU machine ---------------------------------------------------------------


def gpu_options(program: str, seconds: float) -> argparse.ArgumentParser:
    """Return the options of the programs for a GPU machine, where tyro may be missing.

    Args:
        program: The module.
        seconds: The time limit if the user names none.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--seconds", type=float, default=seconds, help="for all of it")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), metavar="DIR")
    return parser


def environment() -> dict[str, Any]:
    """Run `minigrad.info` in a process of its own, so that this one does not use the GPU."""
    command = [sys.executable, "-m", "minigrad.info", "--json"]
    found: dict[str, Any] = json.loads(subprocess.check_output(command, text=True))
    return found


# --- the worker's side ------------------------------------------------------------------------


def reserved_stdout() -> IO[str]:
    """Return this process's stdout for answers; all other output goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return answers


def tell(answers: IO[str], **what: Any) -> None:
    """Write an answer as a line of JSON."""
    print(json.dumps(what), file=answers, flush=True)
