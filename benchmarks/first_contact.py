"""A first contact with a GPU, in two minutes: what works, what does not, what it looks like.

    python -m benchmarks.first_contact [--device gpu|cpu] [--seconds 120] [--out DIR] [STAGE ...]

Each stage of `contact_stages.py` has a process of its own and a limit in seconds. One that fails,
crashes or hangs stops no other. Each gives a line to read, and one of JSON in DIR/contact.jsonl.
The exit code is 0 if all have passed, 2 if there is no GPU that can be used, else 1.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contact_stages import STAGES
from benchmarks.workers import Worker, gpu_options

MODULE = "benchmarks.contact_stages"  # what a stage's process runs
LEAST = 4.0  # seconds: with fewer left a stage is not begun
KEPT, LAST_LINES = 3000, 8  # of what a stage has printed: letters in the file, lines on the screen
STACK = "Timeout ("  # with which faulthandler begins, when a stage is late
QUIET = ("passed", "not tried", "left out")  # states in which nobody reads it

Outcome = dict[str, Any]  # stage, state, seconds, told, checks, facts, stderr


def run_stage(name: str, where: str, limit: float) -> Outcome:
    """Run a stage, at most for some seconds.

    Returns:
        Its state is "passed", "wrong" where a check has failed, "failed" where it has ended with
        an error, or "late".
    """
    began = time.monotonic()
    worker = Worker([MODULE, name, where, str(time.time() + limit)])
    try:
        found = worker.answer(limit + 1)  # by then it has said where it was
    except KeyboardInterrupt:
        worker.end()
        raise
    code = worker.close(max(0, began + limit + 1 - time.monotonic()))
    seconds, said = time.monotonic() - began, worker.said
    if "checks" in found:
        state = "passed" if all(check["passed"] for check in found["checks"]) else "wrong"
    else:
        found, state = {}, "late" if seconds > limit else "failed"
    stack = said.rfind(STACK)  # which begins with where it was
    said = said[stack:][:KEPT] if state == "late" and stack >= 0 else said[-KEPT:]
    return {"stage": name, "state": state, "code": code, "seconds": round(seconds, 1)} | {
        "stderr": said,
        **found,
    }


def shown(outcome: Outcome) -> str:
    """A stage's line, and below it what is wrong."""
    checks, seconds = outcome.get("checks", ()), outcome.get("seconds")
    head = f"{outcome['stage']:<12} {outcome['state']:<9} "
    head += "" if seconds is None else f"{seconds:5.1f} s  "
    lines = outcome.get("told", "").splitlines()
    used = [check["found"] / check["allowed"] for check in checks if check["allowed"]]
    if used:
        lines.append(f"differences: at most {max(used):.1%} of what is allowed")
    for check in checks:
        if not check["passed"]:
            numbers = f"{check['found']:.3g}, at most {check['allowed']:.3g} is right"
            lines.append(f"WRONG: {check['what']}: {numbers}")
    if outcome["state"] not in QUIET:
        said = outcome["stderr"].splitlines()
        lines += said[:LAST_LINES] if said[:1] and said[0].startswith(STACK) else said[-LAST_LINES:]
    return head + "\n    ".join(lines)


def first_contact(names: Sequence[str], where: str, seconds: float, out: Path) -> int:
    """Run stages one after the other, as far as the time goes.

    Args:
        names: Of the stages.
        where: "gpu", or "cpu" to try the program.
        seconds: For all of them.
        out: Where contact.jsonl goes.

    Returns:
        The exit code.
    """
    end = time.monotonic() + seconds
    states: dict[str, str] = {}
    usable = True
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "contact.jsonl", "w", encoding="utf-8") as file:
        for name in names:
            stage, outcome = STAGES[name], Outcome(stage=name, state="left out")
            limit = min(stage.limit, end - time.monotonic() - 1)
            if where == "cpu" and stage.needs_gpu:
                outcome |= {"state": "not tried", "told": "it needs a GPU"}
            elif not usable:
                outcome["told"] = "there is no GPU to try it on"
            elif limit < LEAST:
                outcome["told"] = "no time is left"
            else:
                outcome = run_stage(name, where, limit)
            states[name] = outcome["state"]
            if name == "device" and where == "gpu" and outcome.get("facts"):
                usable = outcome["facts"]["gpu"]["works"]
            print(shown(outcome), flush=True)
            print(json.dumps(outcome), file=file, flush=True)
    if not usable:
        print("no GPU can be used")
        return 2
    wrong = [f"{n} ({s})" for n, s in states.items() if s not in ("passed", "not tried")]
    print(f"not passed: {', '.join(wrong)}" if wrong else "all passed")
    return 1 if wrong else 0


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    parser = gpu_options("benchmarks.first_contact", seconds=120)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}")
    given = parser.parse_args(words)
    unknown = [name for name in given.stages if name not in STAGES]
    if unknown:
        parser.error(f"no stage is called {unknown[0]!r}; there are {', '.join(STAGES)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the stage that is running
    return first_contact(given.stages or [*STAGES], given.device, given.seconds, given.out)


if __name__ == "__main__":
    sys.exit(main())
