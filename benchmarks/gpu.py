"""The two training steps on a GPU: minigrad's beside PyTorch's, eager, compiled and recorded.

Steps are put into the GPU's queue, and the clock is read when the queue is empty again: the time
of many steps is work that was done. One step that is waited for is measured besides. Contestants
come in waves, those first that matter most, and each wave is measured, and written down, before
the next one gets ready.
"""

from __future__ import annotations

import importlib.util
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks import floor
from benchmarks.contestants.task import Task
from benchmarks.gpu_table import EAGER, OURS, draw_times, markdown
from benchmarks.tables import OUT, write
from benchmarks.workers import (
    Answers,
    Contestant,
    Measuring,
    Worker,
    chosen,
    differing,
    environment,
    gpu_options,
    started,
)


def textbook(name: str, library: str, mode: str) -> Contestant:
    """A contestant with the textbook form of the LSTM."""
    return Contestant(name, library, "textbook", mode, ("lstm",))


CONTESTANTS = (
    Contestant(EAGER, "torch"),
    textbook("PyTorch, textbook, eager", "torch", "eager"),
    Contestant("PyTorch, torch.compile", "torch", mode="compile"),
    textbook("PyTorch, textbook, torch.compile", "torch", "compile"),
    Contestant("PyTorch, reduce-overhead", "torch", mode="reduce-overhead"),
    textbook("PyTorch, textbook, reduce-overhead", "torch", "reduce-overhead"),
    Contestant("PyTorch, captured by hand", "torch", mode="graph"),
    textbook("PyTorch, textbook, captured by hand", "torch", "graph"),
    Contestant("minigrad, eager", "minigrad"),
    textbook("minigrad, textbook, eager", "minigrad", "eager"),
    textbook("minigrad, textbook, captured", "minigrad", "captured"),
    Contestant(OURS, "minigrad", mode="captured"),
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
STEPS = ("gan", "lstm 5", "lstm 20", "lstm 100")
PATIENCE = 30.0  # seconds for one measurement
GRACE = 5.0  # seconds for those who have to break off


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
    left = chosen(CONTESTANTS, only)
    workers: list[Measuring] = []  # all that have begun, and those of them that can
    found: list[Measuring] = []
    ready: Answers = {}
    wrong: dict[tuple[str, str], str] = {}
    result: dict[str, Any] = {
        "device": device,
        "environment": here,
        "rounds": 0,
        "versions": {},
        "ready": ready,
        "times": {step: {} for step in steps},
        "counts": {},
        "left_out": {},
        "work": {step: floor.work(Task.named(step))._asdict() for step in steps},
        "ceilings": {},
    }

    def save() -> str:
        text = markdown(result)
        write(out / "gpu.json", **result)
        (out / "gpu.md").write_text(text, encoding="utf-8")
        return text

    try:
        for wave in WAVES:
            mine = [c for c in left if c.name.endswith(wave.names)]
            left = [c for c in left if c not in mine]
            if time.time() > until(wave.ready):
                result["left_out"] |= {c.name: "no time was left" for c in mine}
                continue
            begun = [Measuring(contestant, threads, device) for contestant in mine]
            workers += begun
            new, reasons = started(begun, max(1.0, until(wave.ready) - time.time()))
            result["left_out"] |= reasons
            if not new:
                continue
            print(f"Getting ready: {'; '.join(worker.name for worker in new)}.", flush=True)
            found += new
            result["versions"] |= {worker.name: worker.version for worker in new}
            ready |= get_ready(new, steps, until(wave.ready))
            for (name, step), reason in differing(CONTESTANTS, ready).items():
                wrong[name, step] = reason
                ready[name][step] = {"reason": reason}
            measure(
                new, ready, {step: {} for step in steps}, 0, until(LAST)
            )  # how many fill a time
            for _ in range(rounds):
                began_round = time.time()
                measure(found, ready, result["times"], result["rounds"], until(LAST))
                result["rounds"] += 1
                save()  # each time, as what follows could take longer than there is time
                if 2 * time.time() - began_round > until(wave.measured):
                    break
            if device == "gpu":
                result["counts"] |= count(new, ready, until(wave.counted))
                save()
    finally:
        for worker in workers:
            worker.close(1.0)
    result["ceilings"] = ceilings(device, max(1.0, until(1.0) - time.time()))
    print(f"\n{save()}")
    if importlib.util.find_spec("matplotlib"):  # a GPU machine may be without
        draw_times(result, out / "gpu.png")
    print(*sorted(out.glob("gpu.*")), sep="\n")
    if wrong:
        print(f"losses differ: {', '.join(f'{n} ({s})' for n, s in wrong)}", file=sys.stderr)
        raise SystemExit(1)


def get_ready(workers: Sequence[Measuring], steps: Sequence[str], end: float) -> Answers:
    """Have all contestants make their first steps at the same time; whoever is late is ended.

    Args:
        workers: Whom to ask.
        steps: What they are to get ready for.
        end: The time, as `time.time`, by which they have to be.
    """

    def interview(worker: Measuring) -> dict[str, Any]:
        return {
            step: worker.ask("prepare", step, end, patience=max(0, end - time.time()) + GRACE)
            for step in filter(worker.contestant.makes, steps)
        }

    with ThreadPoolExecutor(max(1, len(workers))) as pool:
        found = pool.map(interview, workers)
        return {worker.name: answers for worker, answers in zip(workers, found, strict=True)}


def measure(
    workers: Sequence[Measuring],
    ready: Answers,
    times: dict[str, Any],
    number: int,
    end: float,
) -> None:
    """Time every step of every contestant, in turn: ratios are of times from the same round.

    Args:
        workers: The contestants.
        ready: What they are ready for; who fails is so no more.
        times: Where the answers go: by step, contestant, and number of the round.
        number: Of the round.
        end: The time, as `time.time`, after which nobody is asked any more.
    """
    for step, row in times.items():
        for worker in workers:
            if "loss" in ready[worker.name].get(step, {}) and time.time() < end:
                answer = worker.ask("time", step, patience=PATIENCE)
                if "reason" in answer:
                    ready[worker.name][step] = answer
                else:
                    row.setdefault(worker.name, {})[str(number)] = answer


def count(workers: Sequence[Measuring], ready: Answers, end: float) -> Answers:
    """Count the kernels of what was measured, one after the other: side by side they take longer.

    Those that matter most come first, while there is time.
    """
    return {
        worker.name: {
            step: worker.ask("count", step, end, patience=PATIENCE)
            for step, answer in ready[worker.name].items()
            if "loss" in answer
        }
        for worker in sorted(workers, key=lambda worker: "textbook" in worker.name)
    }


def ceilings(device: str, left: float) -> dict[str, Any]:
    """The device's, where they can be measured in so many seconds."""
    worker = Worker(["benchmarks.floor", device])
    found = worker.answer(left)
    worker.close()
    if "reason" in found:
        print(f"the device's ceilings are not measured: {found['reason']}", file=sys.stderr)
    return {} if "reason" in found else found


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the contestants, too
    given = gpu_options("benchmarks.gpu", seconds=240).parse_args()
    main(given.device, minutes=given.seconds / 60, out=given.out)
