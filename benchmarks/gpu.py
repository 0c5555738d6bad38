"""The two training steps on a GPU: minigrad's beside PyTorch's, eager, compiled and recorded.

Steps are put into the GPU's queue, and the clock is read when the queue is empty again: the time
of many steps is work that was done. One step that is waited for is measured besides.
"""

from __future__ import annotations

import importlib.util
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import date
from pathlib import Path
from threading import Timer
from typing import Any, Literal

from benchmarks import floor
from benchmarks.contestants.task import Task
from benchmarks.gpu_table import EAGER, Table, draw_times, markdown
from benchmarks.gpu_worker import Answer
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
COMPILED = ("torch.compile", "reduce-overhead")
WORKER = "benchmarks.gpu_worker"
STEPS = ("gan", "lstm 5", "lstm 20", "lstm 100")
CLOSE = 1e-4  # of two losses, relatively
OUT = Path("runs/benchmarks")
PATIENCE = 30  # seconds for one measurement
GRACE = 5.0  # seconds for those who have to break off
# of the time that there is, how much may have passed when all are ready, measured, and counted
READY, MEASURED, COUNTED = 0.45, 0.72, 0.92

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
    workers = [Worker(WORKER, with_device(c, device), threads) for c in chosen]
    found = [worker for worker in workers if worker.version]
    left_out = {w.name: "its library is not installed" for w in workers if not w.version}
    print(f"{len(found)} contestants get ready.", flush=True)
    slow = [worker for worker in found if worker.name.endswith(COMPILED)]
    ready = get_ready([w for w in found if w not in slow], steps, until(READY))
    ready |= get_ready(slow, steps, until(READY))  # these would take the processor from the others
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
        result["counts"] = count(found, times, until(COUNTED))
        write(result, out)
    for worker in workers:
        worker.close()
    result["ceilings"] = ceilings(device)
    print(f"\n{write(result, out)}")
    print(*sorted(out.glob("gpu.*")), sep="\n")
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


def get_ready(workers: Sequence[Worker], steps: Sequence[str], end: float) -> Answers:
    """Have all contestants make their first steps at the same time; whoever is late is ended.

    Args:
        workers: Whom to ask.
        steps: What they are to get ready for.
        end: The time, as `time.time`, by which they have to be.
    """
    answers: Answers = {worker.name: {} for worker in workers}

    def interview(worker: Worker) -> None:
        for step in steps:
            answers[worker.name][step] = asked(worker, f"prepare {end} {step}")

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
                if not math.isclose(wanted, loss, rel_tol=CLOSE):
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


def count(workers: Sequence[Worker], times: Any, end: float) -> Answers:
    """Count the kernels of what was measured, one after the other: side by side they take longer.

    Those that matter most come first, while there is time.
    """
    answers: Answers = {worker.name: {} for worker in workers}
    last = [worker for worker in workers if "textbook" in worker.name]
    for worker in [*(w for w in workers if w not in last), *last]:
        for step in times[worker.name]:
            answers[worker.name][step] = asked(worker, f"count {end} {step}", PATIENCE)
    return answers


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
