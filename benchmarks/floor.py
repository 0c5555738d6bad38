"""What a step cannot be faster than: its bytes and operations against what the device can do."""

from __future__ import annotations

import importlib
import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.contestants.products_steps import pairs_of
from benchmarks.contestants.task import CLASSES, GAN_BATCH, WIDTHS, Task, batch, layers

FLOAT = 4  # bytes
NODES = 1000  # of the graph that measures what a node costs
SIZES = {"gpu": (1 << 26, 8192), "cpu": (1 << 22, 512)}  # numbers copied, rows of a matrix
LEAST = 0.5  # seconds for each ceiling


class Work(NamedTuple):
    """What a step has to do, however it is programmed.

    Attributes:
        operations: Multiplications and additions of the matrix products.
        bytes: Each weight and each number that the optimizer keeps for it read once and written
            once, each layer's output written once on the way there and read once on the way back,
            the batch read. Gradients of weights need not leave the chip.
    """

    operations: float
    bytes: float


class Ceilings(NamedTuple):
    """The best that was measured of a device.

    Attributes:
        bandwidth: Bytes a second, read and written, of a copy in its memory.
        operations: Operations a second of a large product in float32.
        node: Seconds from kernel to kernel in a CUDA graph; NaN on the CPU.
    """

    bandwidth: float
    operations: float
    node: float = float("nan")


def work(task: Task) -> Work:
    """What a step has to do.

    The LSTM's outputs are four gates and the cell's state for each time step; the GAN's are its
    linear layers', with the discriminator run twice, on pictures and on fakes.
    """
    products = ((*a.shape, b.shape[1]) for a, b in pairs_of(task))
    operations = sum(2.0 * m * k * n for m, k, n in products)
    if task.kind == "gan":
        sizes = (each for name in WIDTHS for each in layers(name))
        weights = sum(n * m + m + 2 * m * normalized for n, m, normalized, _ in sizes)
        outputs = {name: GAN_BATCH * sum(widths[1:]) for name, widths in WIDTHS.items()}
        outside, states = outputs["generator"] + 2 * outputs["discriminator"], 2
    else:
        hidden = task.hidden
        weights = 4 * hidden * (hidden + 3) + CLASSES * (hidden + 1)
        outside, states = task.batch * (5 * hidden * task.steps + CLASSES), 1
    inputs = sum(x.nbytes for x in batch(task))
    return Work(operations, FLOAT * (2 * (1 + states) * weights + 2 * outside) + inputs)


def seconds(needed: Work, ceilings: Ceilings) -> float:
    """The least time for some work: memory and arithmetic may go on at the same time."""
    return max(needed.operations / ceilings.operations, needed.bytes / ceilings.bandwidth)


def best(ceilings: list[Ceilings]) -> Ceilings:
    """Of several measurements the best of each."""
    nodes = [c.node for c in ceilings if not math.isnan(c.node)]
    return Ceilings(
        max(c.bandwidth for c in ceilings),
        max(c.operations for c in ceilings),
        min(nodes, default=float("nan")),
    )


# --- the worker's side: python -m benchmarks.floor torch gpu ----------------------------------


class Library(NamedTuple):
    """What is needed of an array library to measure a device."""

    empty: Callable[[tuple[int, ...]], Any]
    copy: Callable[[Any, Any], Any]  # into the first
    product: Callable[[Any, Any, Any], Any]  # of the first two, into the third
    wait: Callable[[], Any]
    chain: Callable[[], Callable[[], Any] | None]  # a graph of `NODES` kernels, to be launched


def library(name: str, device: str) -> Library:
    """The functions of NumPy, CuPy or PyTorch."""
    module = importlib.import_module(name)
    if name == "torch":
        place = "cuda" if device == "gpu" else "cpu"
        module.backends.cuda.matmul.allow_tf32 = False
        return Library(
            lambda shape: module.ones(shape, device=place),
            lambda to, x: to.copy_(x),
            lambda a, b, to: module.mm(a, b, out=to),
            module.cuda.synchronize if device == "gpu" else lambda: None,
            (lambda: _torch_chain(module)) if device == "gpu" else lambda: None,
        )
    return Library(
        lambda shape: module.ones(shape, dtype="float32"),
        module.copyto,
        lambda a, b, to: module.matmul(a, b, out=to),
        module.cuda.Device().synchronize if name == "cupy" else lambda: None,
        (lambda: _cupy_chain(module)) if name == "cupy" else lambda: None,
    )


def _torch_chain(torch: Any) -> Callable[[], Any]:
    x = torch.zeros(1, device="cuda")
    x.add_(1)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(NODES):
            x.add_(1)
    return lambda: graph.replay()


def _cupy_chain(cupy: Any) -> Callable[[], Any]:
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        x = cupy.zeros(1, dtype="float32")
        x += 1
        stream.synchronize()
        stream.begin_capture()
        for _ in range(NODES):
            x += 1
        graph = stream.end_capture()
    return lambda: graph.launch(stream) or x  # which lives as long as its graph


def fastest(run: Callable[[], Any], wait: Callable[[], Any], calls: int = 5) -> float:
    """Seconds of a call, the best of as many measurements as fill `LEAST`."""
    run()
    wait()
    found = float("inf")
    end = time.perf_counter() + LEAST
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(calls):
            run()
        wait()
        found = min(found, (time.perf_counter() - start) / calls)
    return found


def measure(name: str, device: str) -> Ceilings:
    """Measure a device by a library."""
    numbers, rows = SIZES[device]
    module = library(name, device)
    there, back = module.empty((numbers,)), module.empty((numbers,))
    copied = fastest(lambda: module.copy(there, back), module.wait)
    a, b, to = (module.empty((rows, rows)) for _ in "abc")
    multiplied = fastest(lambda: module.product(a, b, to), module.wait)
    chain = module.chain()
    node = fastest(chain, module.wait) / NODES if chain else float("nan")
    return Ceilings(2 * FLOAT * numbers / copied, 2 * rows**3 / multiplied, node)


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:3])))
