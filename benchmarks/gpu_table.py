"""What was measured on a GPU, as tables for docs/benchmarks.md and as a picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import floor
from benchmarks.steps import draw

EAGER = "PyTorch, eager"
OURS = "minigrad, captured"
# the ways in which PyTorch makes a step, and how many times their speed we want
TARGETS = {"eager": 5.0, "reduce-overhead": 2.0, "captured by hand": 1.0}

Entry = Mapping[str, Any]  # queued, device and latency; rounds: what was queued, by round
Row = Mapping[str, Entry]  # by contestant
Table = Mapping[str, Row]  # by step
Result = Mapping[str, Any]


def ratio(first: Entry, second: Entry) -> float:
    """The ratio of two times: the median over the rounds in which both were measured, or NaN."""
    one, other = first["rounds"], second["rounds"]
    return float(statistics.median([one[n] / other[n] for n in one if n in other] or [math.nan]))


def against(row: Row, way: str, name: str = OURS) -> float:
    """A contestant's speed as a multiple of PyTorch's in one of its ways; NaN if one is absent.

    Of PyTorch's forms, nn.LSTM and textbook, the faster one counts.
    """
    found = [
        ratio(entry, row[name])
        for other, entry in row.items()
        if name in row and other.startswith("PyTorch") and other.endswith(f", {way}")
    ]
    return min((x for x in found if not math.isnan(x)), default=math.nan)


def title(step: str) -> str:
    """A step, as it stands above its column."""
    return step.replace("lstm", "LSTM, T =").replace("gan", "GAN")


def lines(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    every = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in every) + "\n"


def number(value: float, form: str) -> str:
    """A number, nothing for NaN."""
    return "" if math.isnan(value) else format(value, form)


def markdown(result: Result) -> str:
    """All tables, with what they were measured on."""
    parts = [setting(result), times(result), targets(result), clocks(result)]
    return "\n".join([*parts, floors(result), remarks(result)])


def setting(result: Result) -> str:
    """Date, device and versions, in a sentence."""
    here = result["environment"]
    gpu, versions = here["gpu"], result["versions"].items()
    packages = [f"PyTorch {v}" for name, v in versions if name.startswith("PyTorch")]
    names = [f"{d['name']}, {d['memory'] / 2**30:.0f} GiB" for d in gpu.get("devices", ())]
    what = "; ".join(names) if result["device"] == "gpu" else "the CPU (a trial of the program)"
    told = {"minigrad": here["minigrad"], "CuPy": gpu.get("cupy"), "driver": gpu.get("driver")}
    told |= {"CUDA": gpu.get("cuda"), "Python": here["python"], "NumPy": here["numpy"]["version"]}
    packages += [f"{name} {value}" for name, value in told.items() if value]
    with_what = ", ".join(dict.fromkeys(packages))
    return f"Medians of {result['rounds']} rounds on {result['date']}, {what}. {with_what}.\n"


def times(result: Result) -> str:
    """Time, speed and kernels of every contestant."""
    table, counts = result["times"], result["counts"]
    rows = []
    for name in result["versions"]:
        cells = []
        for step, row in table.items():
            kernels = counts.get(name, {}).get(step, {}).get("kernels", math.nan)
            cell = ""
            if name in row:
                ratios = [against(row, way, name) for way in ("eager", "captured by hand")]
                told = [number(row[name]["queued"], ".0f"), *(number(r, ".2f") for r in ratios)]
                cell = ", ".join(text or "-" for text in told)
                cell += f"; {kernels:.0f}" if not math.isnan(kernels) else ""
            cells.append(cell)
        rows.append([f"**{name}**" if name == OURS else name, *cells])
    legend = (
        "Microseconds of a step when many are queued, its speed as a multiple of PyTorch eager's "
        "and of PyTorch's\nwhole step captured by hand (the faster of nn.LSTM and textbook), and "
        "after the semicolon the kernels it launches.\n"
    )
    return f"{legend}\n{lines(['', *map(title, table)], rows)}"


def targets(result: Result) -> str:
    """How far the captured step is ahead, and whether that is what was wanted."""
    rows = []
    for way, wanted in TARGETS.items():
        ratios = [against(row, way) for row in result["times"].values()]
        cells = [
            "" if math.isnan(r) else f"{r:.2f}" if r >= wanted else f"{r:.2f} missed"
            for r in ratios
        ]
        rows.append([f"PyTorch, {way}", f"{wanted:.1f}", *cells])
    head = [f"{OURS}, as a multiple of", "wanted", *map(title, result["times"])]
    return lines(head, rows)


def clocks(result: Result) -> str:
    """One step that is waited for, the device's own clock, and how long it is busy."""
    rows = []
    for name in result["versions"]:
        cells = []
        for step, row in result["times"].items():
            busy = 1e6 * result["counts"].get(name, {}).get(step, {}).get("busy", math.nan)
            told = [row[name]["latency"], row[name]["device"], busy] if name in row else []
            cells.append(" / ".join(number(x, ".0f") or "-" for x in told))
        rows.append([name, *cells])
    legend = (
        "Microseconds of one step that is waited for / of a step by the device's clock, from the "
        "first to the last of many /\nin which a kernel runs (by the profiler).\n"
    )
    return f"{legend}\n{lines(['', *map(title, result['times'])], rows)}"


def floors(result: Result) -> str:
    """What no program can be faster than."""
    if not result["ceilings"]:
        return "The device's ceilings could not be measured.\n"
    best = floor.Ceilings(**result["ceilings"]["best"])
    work = {step: floor.Work(**needed) for step, needed in result["work"].items()}

    def row(name: str, value: Callable[[str], float], form: str) -> list[str]:
        return [name, *(number(value(step), form) for step in work)]

    def least(step: str) -> float:
        return 1e6 * floor.seconds(work[step], best)

    def launches(step: str) -> float:
        answer = result["counts"].get(OURS, {}).get(step, {})
        return 1e6 * best.node * float(answer.get("kernels", math.nan))

    def reached(step: str) -> float:
        entry = result["times"][step].get(OURS, {})
        return float(entry.get("queued", math.nan)) / least(step)

    rows = [
        row("operations of the products, millions", lambda s: work[s].operations / 1e6, ".0f"),
        row("bytes, MB", lambda s: work[s].bytes / 1e6, ".1f"),
        row("**the floor, µs**", least, ".1f"),
        row(f"{OURS}, as a multiple of the floor", reached, ".1f"),
        row(f"kernels of {OURS} x the time from node to node, µs", launches, ".0f"),
    ]
    legend = (
        f"Ceilings, measured: a copy moves {best.bandwidth / 1e9:,.0f} GB/s, a large float32 "
        f"product makes {best.operations / 1e12:.2f} TFLOP/s"
    )
    if not math.isnan(best.node):
        legend += f", a node of a graph takes {1e6 * best.node:.2f} µs"
    return f"{legend}.\n\n{lines(['', *map(title, work)], rows)}"


def remarks(result: Result) -> str:
    """Who is missing and why, and what was said while they got ready."""
    said: dict[str, list[str]] = {}

    def say(text: str, name: str) -> None:
        said.setdefault(text, []).append(name)

    for name, why in result["missing"].items():
        reasons = {"": why} if isinstance(why, str) else why
        for reason in dict.fromkeys(reasons.values()):
            where = ", ".join(title(step) for step, each in reasons.items() if each == reason)
            say(f"left out{f' of {where}' if where else ''}, as {reason}", name)
    for name, answers in result["losses"].items():
        for note in dict.fromkeys(n for a in answers.values() for n in a.get("notes", ())):
            say(note, name)
    for name, answers in result["counts"].items():
        for reason in dict.fromkeys(a["reason"] for a in answers.values() if a.get("reason")):
            say(f"not all its kernels are counted, as {reason}", name)
    return "".join(f"- {'; '.join(names)}: {text}\n" for text, names in said.items())


def draw_times(result: Result, path: Path) -> None:
    """Bars: for each step the time of everybody, PyTorch's eager step = 1."""
    rows = {step: row for step, row in result["times"].items() if row}
    first: Row = next(iter(rows.values()), {})
    everywhere = [name for name in first if all(name in row for row in rows.values())]
    reference = EAGER if EAGER in everywhere else next(iter(everywhere), "")
    if reference:
        table = {
            step: {name: {"median": ratio(entry, row[reference])} for name, entry in row.items()}
            for step, row in rows.items()
        }
        draw(table, reference, path)
