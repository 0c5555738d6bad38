"""The tests that need a GPU, many files at a time, and in a limited time.

    python -m benchmarks.gpu_tests [--device gpu|cpu] [--seconds 200] [--processes 14] [--out DIR]

Each file, or each share of a long one, has a process of its own: a kernel that reads where it must
not makes CUDA useless for its process, but for no other; then another process goes on behind that
test. Failures are printed as they happen. DIR/tests.xml, in JUnit's form, is written every few
seconds, so it is there when the time is up. The exit code is 0 if all tests ran and none failed, 2
if there is no GPU that can be used, else 1.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from benchmarks.gpu import environment
from benchmarks.gpu_tests_plugin import LOST
from benchmarks.workers import end_group, gpu_options

ROOT = Path(__file__).parent.parent
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
}
TRIED = 100  # of the tests that need no GPU, every hundredth tries the program
OPTIONS = [
    *("-p", "benchmarks.gpu_tests_plugin", "-p", "no:cacheprovider", "-q", "--tb=short"),
    *("--strict-markers", "-o", "addopts=", "-o", "filterwarnings=default"),
]
BAD = ("failed", "error")
NOT_IN_XML = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]")
EACH = 5.0  # seconds from one writing of tests.xml to the next
KEPT, SHOWN = 3000, 4  # letters of what a process prints, and lines of a failure

Event = dict[str, Any]


class Part(NamedTuple):
    """The tests of one process: those of a file, or every `of`th of them."""

    file: str
    number: int
    of: int

    @property
    def path(self) -> str:
        """Of the file, from the repository's root."""
        return f"tests/{self.file}.py"


class Run:
    """Runs parts, many at a time, and collects what comes of them.

    Args:
        device: "gpu"; or "cpu" for a few of the tests that need no GPU.
        folder: For what the processes print.

    Attributes:
        results: What has been told of each test that has ended.
        not_done: What has not been done, by part.
    """

    def __init__(self, device: str, folder: Path) -> None:
        self.results: list[Event] = []
        self.not_done: dict[Part, str] = {}
        self._which = "gpu" if device == "gpu" else "not gpu and not slow"
        self._folder = folder
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
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
            elif code != LOST:  # it has failed before its first test, or behind its last
                self._take({"test": part.path, **failure})
                return

    def _process(self, part: Part, begun: int) -> tuple[list[Event], int, str]:
        """What a process tells, its exit code, and the end of what it prints."""
        reading, writing = os.pipe()
        share = ["--share", f"{part.number}/{part.of}", "--skip-first", str(begun)]
        words = [*OPTIONS, "-m", self._which, "--tell", str(writing), *share]
        log = self._folder / f"{part.file}-{part.number}-{begun}.log"
        with open(log, "wb") as file, self._lock:
            process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "pytest", *words, part.path],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                start_new_session=True,
            )
            self._processes.add(process)
        os.close(writing)
        if self._is_over:
            self.stop()  # the one that has just begun, too
        told = []
        with os.fdopen(reading, encoding="utf-8") as lines:
            for line in lines:
                told.append(json.loads(line))
                if "test" in told[-1]:
                    self._take(told[-1])
        code = process.wait()
        with self._lock:
            self._processes.discard(process)
        return told, code, log.read_text(encoding="utf-8", errors="replace")[-KEPT:]

    def _take(self, event: Event) -> None:
        """Keep a test's result; print a failure."""
        test, outcome, lines = event["test"], event["outcome"], event["text"].splitlines()
        package = missing_package(event["text"]) if test.endswith(".py") else None
        with self._lock:
            if package is None:
                self.results.append(event)
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
            for process in self._processes:
                end_group(process)


def missing_package(text: str) -> str | None:
    """The package, none of ours, that a file's failure says is not installed."""
    match = re.search(r"^E +ModuleNotFoundError: No module named '([^'.]+)", text, re.MULTILINE)
    ours = [*ROOT.iterdir(), *(ROOT / "tests").iterdir()]
    return match[1] if match and match[1] not in {path.stem for path in ours} else None


def write_junit(results: Sequence[Event], path: Path) -> None:
    """Write results as one file in JUnit's form."""
    count = Counter(event["outcome"] for event in results)
    seconds = sum(event["seconds"] for event in results)
    suite = ElementTree.Element("testsuite", name="gpu", time=f"{seconds:.3f}")
    named = {"failures": "failed", "errors": "error", "skipped": "skipped"}
    suite.attrib |= {name: str(count[outcome]) for name, outcome in named.items()}
    suite.set("tests", str(len(results)))
    for event in results:
        file, _, name = event["test"].partition("::")
        case = ElementTree.SubElement(suite, "testcase", classname=file, name=name or file)
        case.set("time", f"{event['seconds']:.3f}")
        if event["outcome"] != "passed":
            tag = "failure" if event["outcome"] == "failed" else event["outcome"]
            found = ElementTree.SubElement(case, str(tag), message=str(event["outcome"]))
            found.text = NOT_IN_XML.sub("?", event["text"])
    fresh = path.with_suffix(".new")
    ElementTree.ElementTree(suite).write(fresh, "utf-8", xml_declaration=True)
    fresh.replace(path)


def run_tests(parts: Sequence[Part], device: str, seconds: float, processes: int, out: Path) -> int:
    """Run parts, as far as the time goes.

    Args:
        parts: The slowest first.
        device: "gpu", or "cpu" to try the program.
        seconds: Until the tests that are running are broken off.
        processes: How many at a time.
        out: Where tests.xml goes.

    Returns:
        The exit code.
    """
    end = time.monotonic() + seconds
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(processes) as pool:
        run = Run(device, Path(folder))
        futures = {pool.submit(run.part, part): part for part in parts}
        try:
            while not all(future.done() for future in futures) and time.monotonic() < end:
                wait(futures, timeout=min(EACH, max(0, end - time.monotonic())))
                write_junit([*run.results], out / "tests.xml")
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        run.stop()
        pool.shutdown(cancel_futures=True)
    not_done = {part: "not begun" for future, part in futures.items() if future.cancelled()}
    not_done |= run.not_done
    write_junit(run.results, out / "tests.xml")
    for part, what in not_done.items():
        print(f"not done: {part.path}, {part.number + 1} of {part.of}: {what}")
    count = Counter(event["outcome"] for event in run.results)
    print(", ".join(f"{n} {outcome}" for outcome, n in count.items()) or "no test has run")
    errors = [future.exception() for future in futures if not future.cancelled()]
    for error in filter(None, errors):
        raise error
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
