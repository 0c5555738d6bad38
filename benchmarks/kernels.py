"""How many kernels a step launches, and how long the GPU is busy with them."""

from __future__ import annotations

import importlib.util
import json
import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.contestants.task import Queue, Unable

PROFILED = 5  # steps
NODE = re.compile(r'"graph_\d+_node_\d+"\s*\[(.*?)\];', re.DOTALL)


class Count(NamedTuple):
    """What the GPU does in a step.

    Attributes:
        kernels: How many kernels run.
        copies: How many copies and fills there are besides.
        busy: Seconds in which a kernel, a copy or a fill runs; NaN where nobody measured it.
    """

    kernels: float
    copies: float
    busy: float = float("nan")


def of_graph(dot: str) -> Count:
    """Count the nodes of a CUDA graph.

    Args:
        dot: The graph as `cudaGraphDebugDotPrint` writes it, verbose or not: a verbose node says
            what it is, and otherwise only kernels are octagons.
    """
    nodes = [match[1] for match in NODE.finditer(dot)]
    kernels = [node for node in nodes if 'label="{KERNEL' in node or 'shape="octagon"' in node]
    copies = [node for node in nodes if re.search(r'label="\{?(\d+\s+)?MEM(CPY|SET)', node)]
    return Count(len(kernels), len(copies))


def of_trace(trace: dict[str, Any], steps: int) -> Count:
    """Count what a trace of PyTorch's profiler holds, for one of its steps.

    Args:
        trace: As Chrome reads it; times are in microseconds.
        steps: How many were traced.

    Raises:
        Unable: There is no kernel in it.
    """
    spans: dict[str, list[tuple[float, float]]] = {"kernel": [], "gpu_memcpy": [], "gpu_memset": []}
    for event in trace["traceEvents"]:
        if event.get("ph") == "X" and event.get("cat") in spans:
            spans[event["cat"]].append((event["ts"], event["ts"] + event["dur"]))
    kernels = len(spans["kernel"])
    if not kernels:
        raise Unable("the profiler saw no kernel (CUPTI may need permission)")
    every = sorted(span for found in spans.values() for span in found)
    busy, end = 0.0, float("-inf")
    for start, stop in every:  # what runs side by side counts once
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return Count(kernels / steps, (len(every) - kernels) / steps, busy / steps / 1e6)


def profiled(queue: Queue) -> Count:
    """Count by PyTorch's profiler, which sees the kernels of every library in the process.

    Raises:
        Unable: There is no PyTorch, or its profiler sees nothing.
    """
    if importlib.util.find_spec("torch") is None:
        raise Unable("only PyTorch's profiler could count, and it is not installed")
    from torch import profiler

    kinds = [profiler.ProfilerActivity.CPU, profiler.ProfilerActivity.CUDA]
    with profiler.profile(activities=kinds) as profile:
        for _ in range(PROFILED):
            queue.step()
        queue.clock.wait()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profile.export_chrome_trace(str(path))
        return of_trace(json.loads(path.read_text(encoding="utf-8")), PROFILED)


def count(queue: Queue) -> Count:
    """Count the nodes of the recorded step where there is one, else what a profiler sees."""
    dot = queue.graph()
    return profiled(queue) if dot is None else of_graph(dot)
