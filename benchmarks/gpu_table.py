"""What was measured on a GPU, as tables for docs/benchmarks.md and as a picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import floor
from benchmarks.tables import draw, number, title
from benchmarks.tables import markdown as table

EAGER = "PyTorch, eager"
BY_HAND = "captured by hand"
OURS = "minigrad, captured"
# the ways in which PyTorch makes a step, and how many times their speed we want
TARGETS = {"eager": 5.0, "reduce-overhead": 2.0, BY_HAND: 1.0}
COLUMNS = ("", "queued", "x eager", f"x {BY_HAND}", "waited for", "device", "busy", "kernels")
LEGEND = """\
Of each step microseconds when many are queued; its speed as a multiple of PyTorch eager's and of \
PyTorch's whole step captured
by hand (the faster of nn.LSTM and textbook); microseconds when it is waited for, by the device's \
clock from the first to the last
of many, and in which a kernel runs (by the profiler); the kernels that it launches.
"""

Entry = Mapping[str, Mapping[str, float]]  # by round: queued, device and latency, in seconds
Row = Mapping[str, Entry]  # by contestant
Result = Mapping[str, Any]


def ratio(first: Entry, second: Entry) -> float:
    """The ratio of two times: the median over the rounds in which both were measured, or NaN."""
    both = [first[n]["queued"] / second[n]["queued"] for n in first if n in second]
    return float(statistics.median(both or [math.nan]))


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


def median(entry: Entry, what: str) -> float:
    """Microseconds, over all rounds; NaN without any."""
    return 1e6 * statistics.median([answer[what] for answer in entry.values()] or [math.nan])


def markdown(result: Result) -> str:
    """All tables, with what they were measured on."""
    steps = [f"**{title(step)}**\n\n{of_step(result, step)}" for step in result["times"]]
    return "\n".join([setting(result), LEGEND, *steps, targets(result), floors(result)]) + remarks(
        result
    )


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
    return f"Medians of {result['rounds']} rounds on {date.today()}, {what}. {with_what}.\n"


def of_step(result: Result, step: str) -> str:
    """Times, speed and kernels of every contestant that made a step."""
    rows = []
    for name, entry in result["times"][step].items():
        counted = result["counts"].get(name, {}).get(step, {})
        ratios = [against(result["times"][step], way, name) for way in ("eager", BY_HAND)]
        cells = [
            number(median(entry, "queued"), ".0f"),
            *(number(x, ".2f") for x in ratios),
            *(number(median(entry, what), ".0f") for what in ("latency", "device")),
            number(1e6 * counted.get("busy", math.nan), ".0f"),
            number(counted.get("kernels", math.nan), ".0f"),
        ]
        rows.append([f"**{name}**" if name == OURS else name, *cells])
    return table(COLUMNS, rows)


def targets(result: Result) -> str:
    """How far the captured step is ahead, and whether that is what was wanted."""
    rows = []
    for way, wanted in TARGETS.items():
        ratios = [against(row, way) for row in result["times"].values()]
        cells = [number(r, ".2f") + (" missed" if r < wanted else "") for r in ratios]
        rows.append([f"PyTorch, {way}", f"{wanted:.1f}", *cells])
    return table([f"{OURS}, as a multiple of", "wanted", *map(title, result["times"])], rows)


def floors(result: Result) -> str:
    """What no program can be faster than."""
    if not result["ceilings"]:
        return "The device's ceilings could not be measured.\n"
    most = floor.Ceilings(**result["ceilings"])
    rows: dict[str, list[str]] = {}
    for step, needed in result["work"].items():
        work = floor.Work(**needed)
        least = 1e6 * floor.seconds(work, most)
        kernels = result["counts"].get(OURS, {}).get(step, {}).get("kernels", math.nan)
        reached = median(result["times"][step].get(OURS, {}), "queued") / least
        for name, value, form in (
            ("operations of the products, millions", work.operations / 1e6, ".0f"),
            ("bytes, MB", work.bytes / 1e6, ".1f"),
            ("**the floor, µs**", least, ".1f"),
            (f"{OURS}, as a multiple of the floor", reached, ".1f"),
            (
                f"kernels of {OURS} x the time from node to node, µs",
                1e6 * most.node * kernels,
                ".0f",
            ),
        ):
            rows.setdefault(name, []).append(number(value, form))
    legend = (
        f"Ceilings, measured: a copy moves {most.bandwidth / 1e9:,.0f} GB/s, a large float32 "
        f"product makes {most.operations / 1e12:.2f} TFLOP/s"
    )
    if not math.isnan(most.node):
        legend += f", a node of a graph takes {1e6 * most.node:.2f} µs"
    head = ["", *map(title, result["work"])]
    return f"{legend}.\n\n{table(head, [[name, *cells] for name, cells in rows.items()])}"


def remarks(result: Result) -> str:
    """Who is missing and why, and what was said while they got ready."""
    said: dict[str, list[str]] = {}

    def say(text: str, name: str) -> None:
        said.setdefault(text, []).append(name)

    for name, reason in result["left_out"].items():
        say(f"left out, as {reason}", name)
    for name, answers in result["ready"].items():
        absent = {
            step: answer.get("reason", "no time was left")
            for step, answer in answers.items()
            if name not in result["times"][step]
        }
        for reason in dict.fromkeys(absent.values()):
            where = ", ".join(title(step) for step, each in absent.items() if each == reason)
            say(f"left out of {where}, as {reason[:200]}", name)
        for note in dict.fromkeys(n for a in answers.values() for n in a.get("notes", ())):
            say(note, name)
    for name, answers in result["counts"].items():
        for reason in dict.fromkeys(a["reason"] for a in answers.values() if a.get("reason")):
            say(f"not all its kernels are counted, as {reason[:200]}", name)
    return "\n" * bool(said) + "".join(f"- {'; '.join(n)}: {text}\n" for text, n in said.items())


def draw_times(result: Result, path: Path) -> None:
    """Bars: for each step the time of everybody, PyTorch's eager step = 1."""
    rows = {step: row for step, row in result["times"].items() if row}
    first: Row = next(iter(rows.values()), {})
    everywhere = [name for name in first if all(name in row for row in rows.values())]
    reference = EAGER if EAGER in everywhere else next(iter(everywhere), "")
    if reference:
        ratios = {
            step: {name: ratio(entry, row[reference]) for name, entry in row.items()}
            for step, row in rows.items()
        }
        draw(ratios, reference, path)
