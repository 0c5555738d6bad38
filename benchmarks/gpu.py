"""The two training steps on a GPU: minigrad's beside PyTorch's, eager, compiled and recorded.

Steps are put into the GPU's queue, and the clock is read when the queue is empty again: the time
of many steps is work that was done. One step that is waited for is measured besides.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Timer
from typing import Any, Literal

from benchmarks import floor, kernels
from benchmarks.contestants.task import Queue, Task, Unable
from benchmarks.gpu_table import EAGER, Table, draw_times, markdown
from benchmarks.workers import Contestant, Worker, machine

CONTESTANTS = (
    Contestant(EAGER, ("torch", "layer", "eager")),
    Contestant("PyTorch, textbook, eager", ("torch", "textbook", "eager")),
    Contestant("PyTorch, torch.compile", ("torch", "layer", "compile")),
    Contestant("PyTorch, textbook, torch.compile", ("torch", "textbook", "compile")),
    Contestant("PyTorch, reduce-overhead", ("torch", "layer", "reduce-overhead")),
    Contestant("PyTorch, textbook, reduce-overhead", ("torch", "textbook", "reduce-overhead")),
    Contestant("PyTorch, captured by hand", ("torch", "layer", "graph")),
    Contestant("PyTorch, textbook, captured by hand", ("torch", "textbook", "graph")),
    Contestant("minigrad, eager", ("minigrad", "layer", "eager")),
    Contestant("minigrad, textbook, eager", ("minigrad", "textbook", "eager")),
    Contestant("minigrad, textbook, captured", ("minigrad", "textbook", "captured")),
    Contestant("minigrad, captured", ("minigrad", "layer", "captured")),
)
STEPS = ("gan", "lstm 5", "lstm 20", "lstm 100")
CHECKED = 6  # steps before losses are compared: a recording has been replayed by then
LEAST = 0.2  # seconds of a measurement
SINGLES = 20  # steps that are waited for one by one
OUT = Path("runs/benchmarks")
PATIENCE = 30  # seconds for one measurement
GRACE = 5.0  # seconds for those who have to break off
# of the time that there is, how much may have passed when all are ready, measured, and counted
READY, MEASURED, COUNTED = 0.45, 0.8, 0.92

Answer = dict[str, Any]
Answers = dict[str, dict[str, Answer]]  # by contestant and step


def main(
    device: Literal["gpu", "cpu"] = "gpu",
    rounds: int = 7,
    minutes: float = 4.0,
    steps: tuple[str, ...] = STEPS,
    only: tuple[str, ...] = (),
    threads: int = 2,
    out: Path = OUT,
) -> None:
    """Measure whole training steps on the GPU, beside every way in which PyTorch makes them.

    Args:
        device: gpu; on the cpu those run that can, to try the program.
        rounds: How often everything is measured; medians are compared.
        minutes: Time for all of it. Who is not ready by half of it is left out.
        steps: Which: gan, or "lstm T" over T time steps, "lstm T N H" with batch and hidden size.
        only: Words, one of which a contestant's name must contain; none for all.
        threads: For linear algebra on the CPU.
        out: Where gpu.json, gpu.md and gpu.png go.
    """
    began = time.time()

    def until(share: float) -> float:
        return began + 60 * minutes * share

    here = environment()
    if device != "cpu" and not here["gpu"]["works"]:
        print(f"--device {device}: {here['gpu']['problem']}", file=sys.stderr)
        raise SystemExit(2)
    chosen = [c for c in CONTESTANTS if not only or any(word in c.name for word in only)]
    workers = [Worker(__name__, with_device(c, device), threads) for c in chosen]
    found = [worker for worker in workers if worker.version]
    left_out = {w.name: "its library is not installed" for w in workers if not w.version}
    print(f"{len(found)} contestants get ready.", flush=True)
    ready = ask_all(found, "prepare", steps, until(READY))
    wrong = differing(ready, steps)
    for (name, step), reason in wrong.items():
        ready[name][step] = {"reason": reason}
    times, made = measure(found, ready, rounds, until(MEASURED))
    result = {
        "date": date.today().isoformat(),
        "device": device,
        "machine": machine(),
        "environment": here,
        "rounds": made,
        "versions": {worker.name: worker.version for worker in found},
        "times": table_of(steps, times),
        "counts": {},
        "losses": ready,
        "missing": missing(steps, ready, times) | left_out,
        "work": {step: floor.work(Task.named(step))._asdict() for step in steps},
        "ceilings": {},
    }
    write(result, out)  # already now, as what follows could take longer than there is time
    if device == "gpu":
        print("Kernels are counted.", flush=True)
        able = [worker for worker in found if times[worker.name]]
        result["counts"] = ask_all(able, "count", steps, until(COUNTED))
    for worker in workers:
        worker.close()
    result["ceilings"] = ceilings(device)
    print(f"\n{write(result, out)}")
    print(*(out / f"gpu.{kind}" for kind in ("json", "md", "png")), sep="\n")
    if wrong:
        print(f"losses differ: {', '.join(f'{n} ({s})' for n, s in wrong)}", file=sys.stderr)
        raise SystemExit(1)


def write(result: dict[str, Any], out: Path) -> str:
    """Write all that was measured; the tables are returned too."""
    text = markdown(result)
    out.mkdir(parents=True, exist_ok=True)
    (out / "gpu.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (out / "gpu.md").write_text(text, encoding="utf-8")
    if importlib.util.find_spec("matplotlib"):  # a GPU machine may be without
        draw_times(result, out / "gpu.png")
    return text


def environment() -> dict[str, Any]:
    """What `minigrad.info` says, from a process of its own: this one leaves the GPU alone."""
    command = [sys.executable, "-m", "minigrad.info", "--json"]
    found: dict[str, Any] = json.loads(subprocess.check_output(command, text=True))
    return found


def with_device(contestant: Contestant, device: str) -> Contestant:
    """The contestant, told where to run."""
    return contestant._replace(words=(*contestant.words, device))


def ask_all(workers: Sequence[Worker], what: str, steps: Sequence[str], end: float) -> Answers:
    """Put the same questions to all contestants at once; whoever is late is ended.

    Args:
        workers: Whom to ask.
        what: "prepare" or "count".
        steps: For each of these.
        end: The time, as `time.time`, by which they have to be done.
    """
    answers: Answers = {worker.name: {} for worker in workers}

    def interview(worker: Worker) -> None:
        for step in steps:
            answers[worker.name][step] = asked(worker, f"{what} {end} {step}")

    with ThreadPoolExecutor(max(1, len(workers))) as pool:
        waiting = {pool.submit(interview, worker): worker for worker in workers}
        _, late = wait(waiting, timeout=max(0.0, end - time.time()) + GRACE)
        for future in late:
            waiting[future].process.kill()
    return answers


def asked(worker: Worker, question: str, patience: float = 600) -> Answer:
    """One answer, or the reason why there is none; a process that hangs is ended."""
    watch = Timer(patience, worker.process.kill)
    watch.start()
    line = worker.say(question)
    watch.cancel()
    answer: Answer = json.loads(line) if line else {"reason": "its process ended"}
    return answer


def differing(ready: Answers, steps: Sequence[str]) -> dict[tuple[str, str], str]:
    """Whose loss, in which step, is not that of the first of the same form, with the two losses."""
    forms = {c.name: c.words[1] for c in CONTESTANTS}
    found = {}
    for step in steps:
        like: dict[str, float] = {}
        for name in (c.name for c in CONTESTANTS if c.name in ready):
            loss = ready[name][step].get("loss")
            if loss is not None:
                wanted = like.setdefault(forms[name], loss)
                if not math.isclose(wanted, loss, rel_tol=1e-4):
                    found[name, step] = f"its loss is {loss:.6f}, not {wanted:.6f}"
    return found


def measure(
    workers: Sequence[Worker], ready: Answers, rounds: int, end: float
) -> tuple[dict[str, dict[str, list[Answer]]], int]:
    """Time every step of every contestant, in turn, until the rounds or the time are over.

    Returns:
        By contestant and step the answers of all rounds, and the number of rounds.
    """
    times: dict[str, dict[str, list[Answer]]] = {w.name: {} for w in workers}
    steps = list(dict.fromkeys(step for answers in ready.values() for step in answers))
    for number in range(rounds + 1):
        begin = time.time()
        for step in steps:
            for worker in workers:
                if "loss" in ready[worker.name][step]:
                    answer = asked(worker, f"time {step}", PATIENCE)
                    if "reason" in answer:
                        ready[worker.name][step] = answer
                    elif number:  # the first round warms up
                        times[worker.name].setdefault(step, []).append(answer)
        if number and time.time() + (time.time() - begin) > end:
            return times, number
    return times, rounds


def table_of(steps: Sequence[str], times: dict[str, dict[str, list[Answer]]]) -> Table:
    """Medians in microseconds, by step and contestant."""
    return {
        step: {
            name: {
                what: 1e6 * statistics.median(answer[what] for answer in rows[step])
                for what in ("queued", "device", "latency")
            }
            for name, rows in times.items()
            if step in rows
        }
        for step in steps
    }


def missing(steps: Sequence[str], ready: Answers, times: Any) -> dict[str, Any]:
    """Why a number is not there, by contestant and step."""
    found: dict[str, Any] = {}
    for name, answers in ready.items():
        reasons = {s: answers[s].get("reason", "no time was left") for s in steps}
        reasons = {s: why for s, why in reasons.items() if why and s not in times[name]}
        if reasons:
            found[name] = reasons
    return found


def ceilings(device: str) -> dict[str, Any]:
    """The device's, by every library that can measure them, and the best of them."""
    found: dict[str, floor.Ceilings] = {}
    for library in ("torch", "cupy") if device == "gpu" else ("numpy",):
        command = [sys.executable, "-m", "benchmarks.floor", library, device]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE)
            found[library] = floor.Ceilings(*json.loads(done.stdout.splitlines()[-1]))
        except (subprocess.TimeoutExpired, IndexError):  # it hangs, or has failed before it printed
            print(f"{library} does not measure the device", file=sys.stderr)
    by = {name: each._asdict() for name, each in found.items()}
    return {"best": floor.best(list(found.values()))._asdict(), "by": by} if found else {}


# --- the worker's side ------------------------------------------------------------------------


@contextmanager
def limited(end: float) -> Iterator[None]:
    """Break off what is not done by a time, as far as it is Python."""

    def stop(*_: Any) -> None:
        raise Unable("it was not ready in time")

    left = end - time.time()
    if left <= 0:
        stop()
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
            if step not in queues:
                raise Unable("it was not measured")
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


def serve(library: str, form: str, mode: str, device: str) -> None:
    """Say the version, then answer questions line by line; libraries may print what they like."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module = importlib.import_module(f"benchmarks.contestants.{library}_steps")
    print(installed(module.PACKAGE), file=answers, flush=True)

    def make(task: Task) -> Queue:
        if task.kind == "gan" and form == "textbook":
            raise Unable("")
        queue: Queue = module.queue(task, form, mode, device)
        return queue

    reply = answering(make)
    for line in sys.stdin:
        print(json.dumps(reply(line.strip())), file=answers, flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:5])
