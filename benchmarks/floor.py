"""What a step cannot be faster than: its bytes and operations against what the device can do."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.contestants.numpy_steps import pairs_of
from benchmarks.contestants.task import CLASSES, GAN_BATCH, WIDTHS, Task, batch, layers
from benchmarks.workers import reserved_stdout, tell

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


# --- the worker's side: python -m benchmarks.floor gpu ------------------------------------------


def fastest(run: Callable[[], Any], wait: Callable[[], Any], calls: int = 5) -> float:
    """Seconds of a call, the best of as many measurements as fill `LEAST`."""
    run()
    wait()
    found = math.inf
    end = time.perf_counter() + LEAST
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(calls):
            run()
        wait()
        found = min(found, (time.perf_counter() - start) / calls)
    return found


def measure(device: str) -> Ceilings:
    """Measure a device by PyTorch's copies, products and graphs."""
    import torch

    is_gpu = device == "gpu"
    wait = torch.cuda.synchronize if is_gpu else lambda: None
    torch.backends.cuda.matmul.allow_tf32 = False

    def ones(*shape: int) -> Any:
        return torch.ones(shape, device="cuda" if is_gpu else "cpu")

    numbers, rows = SIZES[device]
    there, back = ones(numbers), ones(numbers)
    copied = fastest(lambda: there.copy_(back), wait)
    a, b, to = (ones(rows, rows) for _ in "abc")
    multiplied = fastest(lambda: torch.mm(a, b, out=to), wait)
    node = math.nan
    if is_gpu:
        x, graph = ones(1), torch.cuda.CUDAGraph()
        x.add_(1)
        wait()
        with torch.cuda.graph(graph):
            for _ in range(NODES):
                x.add_(1)
        node = fastest(graph.replay, wait) / NODES
    return Ceilings(2 * FLOAT * numbers / copied, 2 * rows**3 / multiplied, node)


if __name__ == "__main__":
    answers = reserved_stdout()
    tell(answers, **measure(sys.argv[1])._asdict())
