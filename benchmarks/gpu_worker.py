"""A contestant's process in the GPU's benchmark: it makes steps and takes their time when asked."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import signal
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks import kernels
from benchmarks.contestants.task import Queue, Task, Unable
from benchmarks.workers import reserved_stdout, serve

CHECKED = 6  # steps before losses are compared: a recording has been replayed by then
LEAST = 0.2  # seconds of a measurement
SINGLES = 10  # steps that are waited for one by one

Answer = dict[str, Any]  # numbers, or the reason why there are none


@contextmanager
def limited(end: float) -> Iterator[None]:
    """Break off what is not done by a time, as far as it is Python."""

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
    """The first steps, up to one that has the loss to be compared."""
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
        if seconds >= LEAST:
            break
        count = min(10 * count, math.ceil(1.2 * count * LEAST / seconds) + 1)
    singles = []
    for _ in range(SINGLES):
        start = time.perf_counter()
        step()
        clock.wait()
        singles.append(time.perf_counter() - start)
    return {
        "queued": seconds / count,
        "device": clock.between(first, last) / count,
        "latency": statistics.median(singles),
        "steps": count,
    }


def answering(make: Callable[[Task], Queue]) -> Callable[[str], Answer]:
    """What answers questions about a contestant."""
    queues: dict[str, Queue] = {}
    counts: dict[str, int] = {}

    def reply(question: str) -> Answer:
        what, _, step = question.partition(" ")
        if what == "time":
            answer = timed(queues[step], counts.get(step, 1))
            counts[step] = answer["steps"]
            return answer
        end, _, step = step.partition(" ")
        with limited(float(end)):
            if what == "prepare":
                queues[step], answer = prepare(make, step)
                return answer
            return kernels.count(queues[step])._asdict()

    def safe(question: str) -> Answer:
        try:
            return reply(question)
        except Unable as error:
            return {"reason": str(error)}
        except Exception as error:
            message = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"{question}: {message}"[:2000], file=sys.stderr)
            return {"reason": message[:200]}

    return safe


def installed(package: str) -> str:
    """A package's version, "here" where it is not installed but can be imported, else nothing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "here" if importlib.util.find_spec(package) else ""


def main(library: str, form: str, mode: str, device: str) -> None:
    """Say the version, then answer questions line by line."""
    answers = reserved_stdout()  # libraries may print what they like, from their import on
    module = importlib.import_module(f"benchmarks.contestants.{library}_steps")

    def make(task: Task) -> Queue:
        if task.kind == "gan" and form == "textbook":
            raise Unable("")
        queue: Queue = module.queue(task, form, mode, device)
        return queue

    reply = answering(make)
    serve(answers, installed(module.PACKAGE), lambda question: json.dumps(reply(question)))


if __name__ == "__main__":
    main(*sys.argv[1:5])
