"""The two training steps on a GPU: minigrad's beside PyTorch's, eager, compiled and recorded.

Steps are put into the GPU's queue, and the clock is read when the queue is empty again: the time
of many steps is work that was done. One step that is waited for is measured besides. Contestants
come in waves, those first that matter most, and each wave is measured, and written down, before
the next one gets ready.
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
from typing import Any, Literal, NamedTuple

from benchmarks import floor
from benchmarks.contestants.task import Task
from benchmarks.gpu_table import EAGER, OURS, Table, draw_times, markdown
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
    Contestant(OURS, ("minigrad", "layer", "captured")),
)


class Wave(NamedTuple):
    """Contestants that get ready side by side.

    Attributes:
        names: Theirs, or the last words of them; who is in several waves comes with the first.
        ready: How much of all the time may have passed when they are ready.
        measured: When all who are ready by then have been measured.
        counted: When their kernels have been counted.
    """

    names: tuple[str, ...]
    ready: float
    measured: float
    counted: float


WAVES = (
    Wave((OURS, "PyTorch, captured by hand", EAGER), 0.25, 0.38, 0.42),
    Wave(("PyTorch, reduce-overhead",), 0.60, 0.70, 0.73),
    Wave(("eager", "captured", "captured by hand"), 0.78, 0.82, 0.84),
    Wave(("torch.compile", "reduce-overhead"), 0.87, 0.89, 0.90),
)
LAST = WAVES[-1].counted  # what follows, the ceilings and the picture, needs the rest
WORKER = "benchmarks.gpu_worker"
STEPS = ("gan", "lstm 5", "lstm 20", "lstm 100")
CLOSE = 1e-4  # of two losses, relatively
OUT = Path("runs/benchmarks")
PATIENCE = 30  # seconds for one measurement
GRACE = 5.0  # seconds for those who have to break off

Answers = dict[str, dict[str, Answer]]  # by contestant and step
Times = dict[str, dict[str, dict[int, Answer]]]  # by contestant, step, and number of the round


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
        rounds: How often a wave, and all before it, is measured; medians are compared.
        minutes: Time for all of it. Who is not ready in time is left out.
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
    found: list[Worker] = []
    left_out: dict[str, str] = {}
    ready: Answers = {}
    times: Times = {c.name: {} for c in chosen}
    wrong: dict[tuple[str, str], str] = {}
    made = 0
    result: dict[str, Any] = {
        "date": date.today().isoformat(),
        "device": device,
        "machine": machine(),
        "environment": here,
        "counts": {},
        "work": {step: floor.work(Task.named(step))._asdict() for step in steps},
        "ceilings": {},
    }

    def save() -> str:
        result["rounds"] = made
        result["versions"] = {worker.name: worker.version for worker in found}
        result["times"] = table_of(steps, times)
        result["losses"] = ready
        result["missing"] = missing(steps, ready, times) | left_out
        return write(result, out)

    for wave, contestants in waves(chosen):
        if time.time() > until(wave.ready):
            left_out |= {c.name: "no time was left" for c in contestants}
            continue
        workers = [Worker(WORKER, with_device(c, device), threads) for c in contestants]
        left_out |= {w.name: "its library is not installed" for w in workers if not w.version}
        new = [worker for worker in workers if worker.version]
        if not new:
            continue
        print(f"Getting ready: {'; '.join(worker.name for worker in new)}.", flush=True)
        found += new
        ready |= get_ready(new, steps, until(wave.ready))
        for (name, step), reason in differing(ready, steps).items():
            wrong[name, step] = reason
            ready[name][step] = {"reason": reason}
        warm_up(new, ready, until(LAST))
        for number in range(made, made + rounds):
            began_round = time.time()
            measure(found, ready, times, number, until(LAST))
            made = number + 1
            save()  # each time, as what follows could take longer than there is time
            if 2 * time.time() - began_round > until(wave.measured):
                break
        if device == "gpu":
            result["counts"] |= count(new, times, until(wave.counted))
            save()
    for worker in found:
        worker.close()
    result["ceilings"] = ceilings(device, until(1.0))
    print(f"\n{save()}")
    if importlib.util.find_spec("matplotlib"):  # a GPU machine may be without
        draw_times(result, out / "gpu.png")
    print(*sorted(out.glob("gpu.*")), sep="\n")
    if wrong:
        print(f"losses differ: {', '.join(f'{n} ({s})' for n, s in wrong)}", file=sys.stderr)
        raise SystemExit(1)


def waves(chosen: Sequence[Contestant]) -> list[tuple[Wave, list[Contestant]]]:
    """Which contestants each wave brings, as far as it brings any."""
    left, found = [*chosen], []
    for wave in WAVES:
        mine = [c for c in left if c.name.endswith(wave.names)]
        left = [c for c in left if c not in mine]
        found.append((wave, mine))
    return [(wave, mine) for wave, mine in found if mine]


def write(result: dict[str, Any], out: Path) -> str:
    """Write all that was measured; the tables are returned too."""
    text = markdown(result)
    out.mkdir(parents=True, exist_ok=True)
    (out / "gpu.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (out / "gpu.md").write_text(text, encoding="utf-8")
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


def warm_up(workers: Sequence[Worker], ready: Answers, end: float) -> None:
    """Time every step once, so that each knows how many of its steps make a measurement."""
    measure(workers, ready, {}, 0, end)


def measure(
    workers: Sequence[Worker], ready: Answers, times: Times, number: int, end: float
) -> None:
    """Time every step of every contestant, in turn: ratios are of times from the same round.

    Args:
        workers: The contestants.
        ready: What they are ready for; who fails is so no more.
        times: Where the answers go.
        number: Of the round.
        end: The time, as `time.time`, after which nobody is asked any more.
    """
    steps = list(dict.fromkeys(step for answers in ready.values() for step in answers))
    for step in steps:
        for worker in workers:
            if "loss" in ready[worker.name][step] and time.time() < end:
                answer = asked(worker, f"time {step}", PATIENCE)
                if "reason" in answer:
                    ready[worker.name][step] = answer
                else:
                    times.setdefault(worker.name, {}).setdefault(step, {})[number] = answer


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


def table_of(steps: Sequence[str], times: Times) -> Table:
    """Medians in microseconds, by step and contestant, and what was queued in each round."""

    def entry(answers: dict[int, Answer]) -> dict[str, Any]:
        what = ("queued", "device", "latency")
        medians = {w: 1e6 * statistics.median(a[w] for a in answers.values()) for w in what}
        return medians | {"rounds": {str(n): 1e6 * a["queued"] for n, a in answers.items()}}

    return {
        step: {name: entry(rows[step]) for name, rows in times.items() if step in rows}
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


def ceilings(device: str, end: float) -> dict[str, Any]:
    """The device's, by every library that can measure them by a time, and the best of them."""
    found: dict[str, floor.Ceilings] = {}
    for library in ("torch", "cupy") if device == "gpu" else ("numpy",):
        command = [sys.executable, "-m", "benchmarks.floor", library, device]
        try:
            left = max(1.0, end - time.time())
            done = subprocess.run(command, capture_output=True, text=True, timeout=left)
            found[library] = floor.Ceilings(*json.loads(done.stdout.splitlines()[-1]))
        except (subprocess.TimeoutExpired, IndexError):  # it hangs, or has failed before it printed
            print(f"{library} does not measure the device", file=sys.stderr)
    by = {name: each._asdict() for name, each in found.items()}
    return {"best": floor.best(list(found.values()))._asdict(), "by": by} if found else {}
