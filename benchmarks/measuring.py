"""A contestant's process: it makes training steps, and measures them when it is asked.

`python -m benchmarks.measuring LIBRARY FORM MODE DEVICE CHECKOUT` says the library's version, then
answers questions, each a line of JSON: ["prepare", STEP, END] makes the first steps, ["wait", STEP]
and ["time", STEP] take times, ["count", STEP, END] counts kernels, and ["cost", STEP] tells what
such a process costs.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import signal
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from benchmarks import kernels
from benchmarks.contestants.task import Queue, Task, Unable
from benchmarks.workers import PATIENCE, Answer, reserved_stdout, tell

PACKAGES = ("minigrad", "models")  # what a checkout is measured by
CHECKED = 6  # steps before losses are compared: a recording has been replayed by then
LEAST = {"wait": 0.3, "time": 0.2}  # seconds of a measurement
SINGLES = 10  # steps that are waited for one by one, after those that are not
COST_STEPS = 200


@contextmanager
def limited(end: float) -> Iterator[None]:
    """Raise `Unable` in the block at this time, if Python code is running then."""

    def stop(*_: Any) -> None:
        raise Unable("it was not ready in time")

    left = end - time.time()
    if left <= 0:
        raise Unable("no time was left")
    if not hasattr(signal, "setitimer"):  # Windows, where who is late is ended from outside
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, left)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def prepare(make: Callable[[Task], Queue], step: str) -> tuple[Queue, Answer]:
    """Make the first steps; return the loss of the last one, which is compared."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        queue = make(Task.named(step))
        for _ in range(CHECKED - queue.made - 1):
            queue.step()
        loss = queue.step()
        value = float(loss.item())
        dot = queue.graph()  # now, while the last graph is this step's
    notes = [" ".join(str(w.message).split()) for w in said if w.category is RuntimeWarning]
    for note in notes:
        if note.startswith("capture("):  # mg.capture has given up
            raise Unable(note)
    queue = queue._replace(graph=lambda: dot)
    return queue, {"loss": value, "notes": list(dict.fromkeys(notes))}


def waited(queue: Queue, count: int = 3, least: float = 0) -> float:
    """Return the median seconds of a step that is waited for, of `count` steps or more."""
    times: list[float] = []
    end = time.perf_counter() + least
    while len(times) < count or time.perf_counter() < end:
        start = time.perf_counter()
        queue.step()
        queue.clock.wait()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def timed(queue: Queue, count: int) -> Answer:
    """Seconds of a step: queued with many, the same by the device's clock, and waited for."""
    step, clock = queue.step, queue.clock
    while True:
        clock.wait()
        start, first = time.perf_counter(), clock.mark()
        for _ in range(count):
            step()
        last = clock.mark()
        clock.wait()
        seconds = time.perf_counter() - start
        if seconds >= LEAST["time"]:
            break
        count = min(10 * count, math.ceil(1.2 * count * LEAST["time"] / seconds) + 1)
    return {
        "queued": seconds / count,
        "device": clock.between(first, last) / count,
        "latency": waited(queue, SINGLES),
        "steps": count,
    }


def cost(make: Callable[[Task], Queue], package: str, step: str) -> Answer:
    """Measure import time, first step, memory and installed size of a process with 200 steps."""
    program = f"import time; t = time.perf_counter(); import {package}; "
    program += "print(time.perf_counter() - t)"
    imported = float(subprocess.check_output([sys.executable, "-c", program]))
    importlib.import_module(package)
    start = time.perf_counter()
    queue = make(Task.named(step))
    float(queue.step().item())
    first = time.perf_counter() - start + imported
    for _ in range(COST_STEPS - 1):
        float(queue.step().item())
    return {
        "import_s": imported,
        "first_step_s": first,
        "peak_mb": peak_memory() / 1e6,
        "installed_mb": installed_size(package, set()) / 1e6,
    }


def peak_memory() -> int:
    """The largest resident size of this process so far, in bytes.

    `getrusage` would do on macOS only: on Linux it also counts the process that started this one.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def installed_size(name: str, seen: set[str]) -> float:
    """The bytes of a package and of all that it requires."""
    name = name.lower().replace("_", "-")
    if name in seen:
        return 0
    seen.add(name)
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return 0
    files = [Path(str(file.locate())) for file in found.files or ()]
    size = float(sum(file.stat().st_size for file in files if file.is_file()))
    for requirement in found.requires or ():
        if "extra ==" not in requirement:
            word = requirement
            for separator in " ;<>=!~[(":
                word = word.partition(separator)[0]
            size += installed_size(word, seen)
    return size


def installed(package: str) -> str:
    """Return a package's version; "here" if it can only be imported; an empty text if it cannot."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "here" if importlib.util.find_spec(package) else ""


def import_from(checkout: Path) -> None:
    """Import the packages of a checkout, even if others are installed.

    Args:
        checkout: Its absolute path.

    Raises:
        ImportError: A package was imported from another folder.
    """
    sys.path.insert(0, str(checkout))
    for package in PACKAGES:
        file = importlib.import_module(package).__file__
        if file is None or not Path(file).is_relative_to(checkout):
            raise ImportError(f"{package} was imported from {file}, not from {checkout}")


class Asked:
    """Answers questions about a contestant, with one method for each question.

    Args:
        make: Makes the steps of a task.
        package: The library's package.
    """

    def __init__(self, make: Callable[[Task], Queue], package: str = "") -> None:
        self._make, self._package = make, package
        self._queues: dict[str, Queue] = {}
        self._counts: dict[str, int] = {}

    def prepare(self, step: str, end: float | None = None) -> Answer:
        """The loss after the first steps."""
        with limited(time.time() + PATIENCE if end is None else end):
            self._queues[step], answer = prepare(self._make, step)
        return answer

    def wait(self, step: str) -> Answer:
        """Seconds of a step that is waited for."""
        return {"latency": waited(self._queues[step], least=LEAST["wait"])}

    def time(self, step: str) -> Answer:
        """Seconds of a step, see `timed`."""
        answer = timed(self._queues[step], self._counts.get(step, 1))
        self._counts[step] = answer["steps"]
        return answer

    def count(self, step: str, end: float) -> Answer:
        """Return the number of kernels in a step, by kind."""
        with limited(end):
            return kernels.count(self._queues[step])._asdict()

    def cost(self, step: str) -> Answer:
        """Memory and time of this process."""
        return cost(self._make, self._package, step)

    def reply(self, what: str, *arguments: Any) -> Answer:
        """The answer to a question, or the reason why there is none."""
        try:
            answer: Answer = getattr(self, what)(*arguments)
        except Unable as error:
            return {"reason": str(error)}
        except Exception as error:
            return {"reason": reason(error)}
        return answer


def reason(error: Exception) -> str:
    """An error in a line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def main(library: str, form: str, mode: str, device: str, checkout: str) -> None:
    """Say the version, then answer questions line by line."""
    answers = reserved_stdout()  # libraries may print what they like, from their import on
    try:
        if checkout:
            import_from(Path(checkout))
        module = importlib.import_module(f"benchmarks.contestants.{library}_steps")
        found = installed(module.PACKAGE)
    except Exception as error:
        tell(answers, reason=reason(error))
        return
    if not found:
        tell(answers, reason="its library is not installed")
        return
    tell(answers, version=found)
    asked = Asked(lambda task: module.queue(task, form, mode, device), module.PACKAGE)
    for line in sys.stdin:
        tell(answers, **asked.reply(*json.loads(line)))


if __name__ == "__main__":
    main(*sys.argv[1:6])
