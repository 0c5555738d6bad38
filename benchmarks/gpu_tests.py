"""The tests that need a GPU, many files at a time, and in a limited time.

    python -m benchmarks.gpu_tests [--device gpu|cpu] [--seconds 200] [--processes 14] [--out DIR]

Each file, or each share of a long one, has a process of its own: a kernel that reads where it must
not makes CUDA useless for its process, but for no other; then another process goes on behind that
test. Failures are printed as they happen. DIR/tests.jsonl has a line for each test that has ended,
so it is there when the time is up. The exit code is 0 if all tests ran and none failed, 2 if there
is no GPU that can be used, else 1.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import IO, NamedTuple

from benchmarks.gpu_tests_plugin import LOST
from benchmarks.workers import ROOT, Answer, Worker, environment, gpu_options

FILES = {  # those with tests for a GPU, the slowest first, and how many processes share each
    "test_ops_torch": 5,
    "test_gpu": 3,
    "test_cupy_kernels": 3,
    "test_capture_state": 2,
    "test_nn_torch": 2,
    "test_torch_samples": 2,
    "test_trajectories": 1,
    "test_capture": 1,
    "test_loss_dtypes": 2,
    "test_cupy_recurrent": 1,
    "test_recurrent": 1,
    "test_optim_torch": 1,
    "test_capture_training": 1,
    "test_first_contact": 1,
    "test_gpu_benchmark": 1,
    "test_nn": 1,
    "test_optim_kernels": 1,
    "test_optim_options": 1,
    "test_optim": 1,
    "test_cublas": 1,
    "test_embedding": 1,
    "test_init": 1,
    "test_show_backward": 1,
}
TRIED = 100  # of the tests that need no GPU, every hundredth tries the program
BAD = ("failed", "error")
KEPT, SHOWN = 3000, 4  # letters of what a process prints, and lines of a failure


class Part(NamedTuple):
    """The tests of one process: those of a file, or every `of`th of them."""

    file: str
    number: int
    of: int

    @property
    def path(self) -> str:
        """Of the file, from the repository's root."""
        return f"tests/{self.file}.py"

    def __str__(self) -> str:
        return f"{self.path}, {self.number + 1} of {self.of}"


class Run:
    """Runs parts, many at a time, and collects what comes of them.

    Args:
        device: "gpu"; or "cpu" for a few of the tests that need no GPU.
        results: Where a line goes for each test that has ended.

    Attributes:
        outcomes: How many tests have ended how.
        not_done: What has not been done, by part.
    """

    def __init__(self, device: str, results: IO[str]) -> None:
        self.outcomes = Counter[str]()
        self.not_done: dict[Part, str] = {}
        self._which = "gpu" if device == "gpu" else "not gpu and not slow"
        self._results = results
        self._lock = threading.Lock()
        self._workers: set[Worker] = set()
        self._is_over = False
        self._left_out: set[str] = set()

    def part(self, part: Part) -> None:
        """Run a part's tests; where their process dies, another one goes on behind the last."""
        begun = 0
        while not self._is_over:
            told, code, text = self._process(part, begun)
            count = max((event["collected"] for event in told if "collected" in event), default=0)
            began = [event["began"] for event in told if "began" in event]
            ended = [event["test"] for event in told if "test" in event]
            begun += len(began)
            running = began[-1:] if began and began[-1] not in ended else []
            if any("ended" in event for event in told):
                if count < begun or not (count or ended):
                    self.not_done[part] = "no GPU is found any more" if begun else "no tests"
                return
            if self._is_over:
                self.not_done[part] = f"{count - begun + len(running)} of {count} tests"
                self.not_done[part] += "".join(f"; was in {test}" for test in running)
                return
            failure = {"outcome": "error", "seconds": 0.0, "text": f"exit code {code}\n{text}"}
            if running:
                self._take({"test": running[0], **failure})
            elif code != LOST:  # it died before its first test, or after its last
                self._take({"test": part.path, **failure})
                return

    def _process(self, part: Part, begun: int) -> tuple[list[Answer], int, str]:
        """What a process tells, its exit code, and the end of what it prints."""
        words = part.path, self._which, *map(str, (part.number, part.of, begun))
        with self._lock:
            worker = Worker(["benchmarks.gpu_tests_plugin", *words], folder=ROOT)
            self._workers.add(worker)
        if self._is_over:
            worker.end()  # as it has just begun
        told = []
        for event in worker.lines():
            told.append(event)
            if "test" in event:
                self._take(event)
        code = worker.close()
        with self._lock:
            self._workers.discard(worker)
        return told, code, worker.said[-KEPT:]

    def _take(self, event: Answer) -> None:
        """Keep a test's result; print a failure."""
        test, outcome, lines = event["test"], event["outcome"], event["text"].splitlines()
        package = missing_package(event["text"]) if test.endswith(".py") else None
        with self._lock:
            if package is None:
                self.outcomes[outcome] += 1
                print(json.dumps(event), file=self._results, flush=True)
            if package is None and outcome in BAD:
                reasons = [line for line in lines if line.startswith("E ")] or lines
                print("\n    ".join([f"{outcome.upper()} {test}", *reasons[-SHOWN:]]), flush=True)
            elif package is not None and test not in self._left_out:
                self._left_out.add(test)
                print(f"left out, as {package} is not installed: {test}", flush=True)

    def stop(self) -> None:
        """End all processes at once: what they have told is here already."""
        self._is_over = True
        with self._lock:
            for worker in self._workers:
                worker.end()


def missing_package(text: str) -> str | None:
    """The package, none of ours, that a file's failure says is not installed."""
    match = re.search(r"^E +ModuleNotFoundError: No module named '([^'.]+)", text, re.MULTILINE)
    ours = [*ROOT.iterdir(), *(ROOT / "tests").iterdir()]
    return match[1] if match and match[1] not in {path.stem for path in ours} else None


def run_tests(parts: Sequence[Part], device: str, seconds: float, processes: int, out: Path) -> int:
    """Run parts, as far as the time goes.

    Args:
        parts: The slowest first.
        device: "gpu", or "cpu" to try the program.
        seconds: Until the tests that are running are broken off.
        processes: How many at a time.
        out: Where tests.jsonl goes.

    Returns:
        The exit code.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (
        open(out / "tests.jsonl", "w", encoding="utf-8") as results,
        ThreadPoolExecutor(processes) as pool,
    ):
        run = Run(device, results)
        futures = {pool.submit(run.part, part): part for part in parts}
        try:
            wait(futures, timeout=max(0, seconds))
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        run.stop()
        pool.shutdown(cancel_futures=True)
    not_done = {part: "not begun" for future, part in futures.items() if future.cancelled()}
    not_done |= run.not_done
    for part, what in not_done.items():
        print(f"not done: {part}: {what}")
    count = run.outcomes
    print(", ".join(f"{n} {outcome}" for outcome, n in count.items()) or "no test has run")
    for future in futures:
        if not future.cancelled():
            future.result()  # raises what went wrong here
    return 1 if not_done or count["failed"] or count["error"] or not count["passed"] else 0


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    parser = gpu_options("benchmarks.gpu_tests", seconds=200)
    parser.add_argument("--processes", type=int, default=14, help="how many at a time")
    given = parser.parse_args(words)
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if given.device == "cpu":
        parts = [Part(file, 0, TRIED) for file in FILES]
    else:
        found = environment()["gpu"]
        if not found["works"]:
            print(found["problem"])
            return 2
        parts = [Part(file, k, of) for file, of in FILES.items() for k in range(of)]
    left = given.seconds - (time.monotonic() - began)
    return run_tests(parts, given.device, left, given.processes, given.out)


if __name__ == "__main__":
    sys.exit(main())
