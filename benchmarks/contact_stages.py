"""The stages of a first contact with a GPU: each tries one thing and says whether it is right.

`first_contact.py` runs each in a process of its own, as `python -m benchmarks.contact_stages STAGE
DEVICE END`, so that a stage that crashes or hangs takes no other with it.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from benchmarks import kernels
from benchmarks.contact_checks import Check, Findings, calls_of, distance, longest_sum, tolerance
from benchmarks.contestants import minigrad_steps, torch_steps
from benchmarks.contestants.task import LATENT, Array, Task, Unable, batch
from benchmarks.measuring import CHECKED, Asked, installed
from benchmarks.workers import reserved_stdout, tell
from minigrad.backends.cupy import one_line
from models.gan import Discriminator, Generator

PACKAGES = "torch safetensors tyro docstring_parser typeguard tqdm matplotlib PIL pytest".split()
FIGURES = "name,clocks.sm,clocks.max.sm,power.draw,power.limit,temperature.gpu,memory.used"
SIDE = 64  # of the matrices of the first product
SHAPES = ((8, 5), (128, 5), (200, 3), (4, 100))  # (N, T) of the LSTM; 200 rows are two for a block
HIDDEN = 128
STEPS = 8
UNRECORDED = 3  # of these, which may warm up before the step is recorded
TASKS = ("lstm 5", "gan", "lstm 20", "lstm 100")
ROUNDS = 3
TRAINERS = {  # few steps, but with replays of every batch size
    "lstm": (28, ("--epochs", "4", "--data-size", "2000")),
    "gan": (16, ("--epochs", "1", "--limit", "1024", "--judge-interval", "9")),
}
# kernels that are made for a hidden size and a number of rows: whole sequences in one launch
PERSISTENT = re.compile(r"_\d+_\d+$")


def device(where: str) -> Findings:
    """What there is: the GPU and its clock, the driver, the libraries and what is missing."""
    found = importlib.import_module("minigrad.info").report()
    gpu, torch = found["gpu"], installed("torch")
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    facts = found | {"torch": torch, "missing": missing, "nvidia-smi": nvidia_smi()}
    told = [f"{d['name']} ({d['memory'] / 2**30:.0f} GiB)" for d in gpu.get("devices", ())]
    told += [f"driver {gpu.get('driver')}, CUDA {gpu.get('cuda')}, CuPy {gpu.get('cupy')}"]
    told += [f"NumPy {found['numpy']['version']}, PyTorch {torch}", facts["nvidia-smi"]]
    told += [f"not installed: {', '.join(missing)}"] if missing else []
    checks = []
    if where == "gpu":
        cublas = gpu.get("cublas") or {}
        checks.append(Check(gpu.get("problem") or "device 'gpu' fails", not gpu["works"]))
        checks.append(Check(cublas.get("problem") or "cuBLAS is missing", not cublas.get("works")))
    return Findings("; ".join(told), checks, facts)


def nvidia_smi() -> str:
    """Clock, power and memory as the driver's own program tells them, or why it does not."""
    command = ["nvidia-smi", f"--query-gpu={FIGURES}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nvidia-smi does not answer ({type(error).__name__})"
    return f"{FIGURES} = {' '.join((done.stdout or done.stderr).split())}"


def product(where: str) -> Findings:
    """A product by cuBLAS and a sum, recorded as a graph, and replayed on other values."""
    cupy = importlib.import_module("cupy")
    gemm = importlib.import_module("minigrad.backends.cupy.cublas").gemm
    graph = importlib.import_module("minigrad.backends.cupy.graph").StepGraph()
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((SIDE, SIDE)).astype(np.float32) for _ in range(2))
    x, y = cupy.asarray(a), cupy.asarray(b)

    def step() -> Any:
        z = gemm(x, y.T)
        z += 1
        return z

    with graph.memory():
        step()
    with graph.recorded():
        z = step()
    checks = []
    for number in range(3):
        x.set(a + number)
        graph.launch()
        expected = (a + number).astype(np.float64) @ b.T + 1
        off = distance(z.get(), expected)
        checks.append(Check(f"replay {number + 1} is off by", off, tolerance(SIDE)))
    return Findings(f"a captured {SIDE} x {SIDE} product, replayed on three inputs", checks)


def lstm_layer(where: str) -> Findings:
    """nn.LSTM's outputs and gradients, against the CPU in float64."""
    launches = importlib.import_module("minigrad.backends.cupy.source").CudaKernel
    checks, facts = [], {}
    for n, steps in SHAPES:
        with calls_of(launches, "__call__") as launched:
            found = outputs_and_gradients(n, steps, "float32", where)
        expected = outputs_and_gradients(n, steps, "float64", "cpu")
        off = float(np.max([*map(distance, found, expected)]))  # NaN is the largest
        allowed = tolerance(max(n * steps, HIDDEN))
        checks.append(Check(f"N = {n}, T = {steps} is off by", off, allowed))
        names = {kernel.name for kernel in launched if PERSISTENT.search(kernel.name)}
        facts[f"N = {n}, T = {steps}"] = sorted(names)
        if where == "gpu":
            what = f"kernels of a whole sequence missing, N = {n}, T = {steps}"
            checks.append(Check(what, 2 - len(names)))
    ran = sorted({name for names in facts.values() for name in names})
    shapes = ", ".join(f"({n}, {steps})" for n, steps in SHAPES)
    return Findings(f"(N, T) = {shapes}; kernels: {', '.join(ran) or 'none'}", checks, facts)


def outputs_and_gradients(n: int, steps: int, dtype: str, where: str) -> list[Array]:
    """What an LSTM's forward and backward pass give: outputs, and the gradients of its weights."""
    mg.manual_seed(1)
    layer = mg.nn.LSTM(1, HIDDEN, batch_first=True).astype(dtype).to(where)
    digits = np.random.default_rng(2).integers(0, 10, (n, steps, 1)).astype(dtype)
    y, _ = layer(mg.tensor(digits, device=where))
    (y * y).mean().backward()
    gradients = [p.grad for p in layer.parameters() if p.grad is not None]
    return [np.asarray(x.detach().to("cpu").numpy()) for x in (y, *gradients)]


def gan_networks(where: str) -> Findings:
    """The GAN's losses and the gradients of its two networks, against the CPU in float64.

    Its training steps do not tell a gradient that is wrong by a factor: Adam does not mind.
    """
    found = losses_and_gradients("float32", where)
    expected = losses_and_gradients("float64", "cpu")
    allowed = tolerance(longest_sum(Task.named("gan")))
    checks = [
        Check(f"{name} is off by", distance(found[name], value), allowed)
        for name, value in expected.items()
    ]
    return Findings(f"a loss, a gradient penalty, and {len(checks) - 2} layers' gradients", checks)


def losses_and_gradients(dtype: str, where: str) -> dict[str, Array]:
    """What both networks give for a batch, and each layer's gradients, by their names.

    A layer's are in a row: that of a bias in front of a batch normalization is 0 but for rounding.
    """
    mg.manual_seed(1)
    networks = {"generator": Generator(LATENT), "discriminator": Discriminator()}
    for network in networks.values():
        network.astype(dtype).to(where)
    latent, real = (mg.tensor(x.astype(dtype), device=where) for x in batch(Task.named("gan")))
    real.requires_grad_()
    on_fake, on_real = map(networks["discriminator"], (networks["generator"](latent), real))
    criterion = mg.nn.BCELoss()
    loss = criterion(on_fake, mg.zeros_like(on_fake)) + criterion(on_real, mg.ones_like(on_real))
    [slope] = mg.grad(on_real.sum(), [real], create_graph=True)
    assert slope is not None
    penalty = (slope * slope).sum()
    (loss + penalty).backward()
    parts = {"the loss": [loss], "the penalty": [penalty]}
    for kind, network in networks.items():
        for name, p in network.named_parameters():
            assert p.grad is not None
            parts.setdefault(f"{kind}.{name.rpartition('.')[0]}", []).append(p.grad)
    return {
        name: np.concatenate([x.detach().to("cpu").numpy().ravel() for x in found])
        for name, found in parts.items()
    }


def training_steps(name: str, where: str) -> Findings:
    """A benchmark's training steps, eager and captured, against the CPU's eager ones."""
    task = Task.named(name)
    graphs = importlib.import_module("minigrad.backends.cupy.graph").StepGraph

    def losses(mode: str, place: str) -> tuple[list[float], str | None]:
        queue = minigrad_steps.queue(task, "layer", mode, place)
        found = [float(queue.step().item()) for _ in range(STEPS)]
        with suppress(Unable):  # nothing was recorded, which a check below finds too
            return found, queue.graph()
        return found, None

    expected, _ = losses("eager", "cpu")
    eager, _ = losses("eager", where)
    with warnings.catch_warnings(record=True) as said, calls_of(graphs, "launch") as launched:
        warnings.simplefilter("always")
        captured, dot = losses("captured", where)
    refused = [str(w.message) for w in said if str(w.message).startswith("capture(")]
    allowed = tolerance(longest_sum(task), STEPS)
    checks = [
        Check("eager losses are off by", distance(eager, expected), allowed),
        Check("captured losses are off by", distance(captured, expected), allowed),
        *(Check(" ".join(message.split()), 1) for message in refused),
    ]
    if where == "gpu":
        missing = max(0, STEPS - UNRECORDED - len(launched))
        checks.append(Check(f"replays too few, of {STEPS} steps", missing))
    count = kernels.of_graph(dot).kernels if dot else 0
    checks += [Check("no kernel is found in the graph", not count)] if dot else []
    nodes = f", {count:.0f} kernels in the graph" if dot else ""
    told = f"loss {captured[0]:.6f} to {captured[-1]:.6f}, {len(launched)} launches of a graph"
    return Findings(
        f"{told}{nodes}", checks, {"cpu": expected, "eager": eager, "captured": captured}
    )


def times(where: str) -> Findings:
    """A first look at the times: minigrad captured, and PyTorch captured by hand, in turn."""
    contestants = {"minigrad": (minigrad_steps, "captured"), "PyTorch": (torch_steps, "graph")}
    checks, told, facts = [], [], dict[str, Any]()
    for name in TASKS:
        asked = {
            who: Asked(partial(module.queue, form="layer", mode=mode, device=where))
            for who, (module, mode) in contestants.items()
        }
        ready = {who: each.reply("prepare", name) for who, each in asked.items()}
        able = [who for who in asked if "loss" in ready[who]]
        rounds = [{who: asked[who].time(name)["queued"] for who in able} for _ in range(ROUNDS)]
        found = {who: 1e6 * statistics.median(each[who] for each in rounds) for who in able}
        shown = [f"{who} {time:.1f} µs" for who, time in found.items()]
        shown += [f"no {who}: {ready[who]['reason']}" for who in asked if who not in able]
        told.append(f"{name}: {', '.join(shown)}")
        facts[name] = found
        if "minigrad" not in able:
            checks.append(Check(f"{name} is not measured: {ready['minigrad']['reason']}", 1))
        elif "PyTorch" in able:
            off = distance(ready["minigrad"]["loss"], ready["PyTorch"]["loss"])
            allowed = tolerance(longest_sum(Task.named(name)), CHECKED)
            checks.append(Check(f"{name}: off PyTorch's loss by", off, allowed))
    return Findings("\n".join(told), checks, facts)


def trainer(name: str, where: str) -> Findings:
    """A trainer as a program, on the device and on the CPU at the same time."""
    steps, words = TRAINERS[name]
    digits, source = os.environ.get("MINIGRAD_MNIST"), ""
    if name == "gan":
        source = f", digits of {digits or 'the trainer, as MINIGRAD_MNIST is not set'}"
        if digits and not Path(digits, "MNIST", "raw").is_dir():
            return Findings("", [Check(f"MINIGRAD_MNIST is {digits}: no MNIST/raw/ there", 1)])
        words = (*words, "--data-dir", digits) if digits else words
    # a warning that a step is not captured ends the program as an error
    command = [sys.executable, "-W", "error:capture(:RuntimeWarning", "-m", f"train.{name}"]
    with tempfile.TemporaryDirectory() as folder:
        started = {}
        for place in dict.fromkeys((where, "cpu")):
            options = ["--device", place, "--quiet", "--out", str(Path(folder, place)), *words]
            with open(Path(folder, f"{place}.log"), "wb") as log:
                started[place] = subprocess.Popen([*command, *options], stderr=log)
        codes = {place: process.wait() for place, process in started.items()}
        checks = []
        for place, code in codes.items():
            said = Path(folder, f"{place}.log").read_text(encoding="utf-8", errors="replace")
            reason = [line for line in said.splitlines() if line.startswith("error")][-1:]
            checks.append(Check(": ".join([f"exit code of --device {place}", *reason]), abs(code)))
            if code:
                print(said, file=sys.stderr)
        if any(codes.values()):
            return Findings(f"train.{name} has failed", checks)
        found, expected = (last_metrics(Path(folder, place)) for place in (where, "cpu"))
    terms = longest_sum(Task.named("gan" if name == "gan" else "lstm 5"))
    checks.append(Check("steps more or fewer than expected", abs(found["step"] - steps)))
    losses = {key: value for key, value in found.items() if key.endswith("loss")}
    for key, value in losses.items():
        allowed = tolerance(terms, steps)
        checks.append(Check(f"{key} is off by", distance(value, expected[key]), allowed))
    shown = ", ".join(f"{key} {value:.6f}" for key, value in losses.items())
    return Findings(f"{steps} steps, {shown}{source}", checks, found)


def last_metrics(folder: Path) -> dict[str, float]:
    """The last line of a run's metrics."""
    [path] = folder.glob("*/*/metrics.jsonl")
    found: dict[str, float] = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    return found


def compilation(where: str) -> Findings:
    """Every kernel through CuPy's compiler; those of whole sequences keep to their registers."""
    sources = kernel_sources()
    raw_kernel = importlib.import_module("cupy").RawKernel
    checks, facts = [], {}
    for name, kind in sorted(sources, key=lambda key: not PERSISTENT.search(key[0])):
        text, options = sources[name, kind]
        try:
            used = raw_kernel(text, name, options).attributes
        except Exception as error:
            print(f"{name} for {kind}: {error}", file=sys.stderr, flush=True)
            checks.append(Check(f"{name} for {kind} does not compile: {one_line(error)}", 1))
            continue
        if PERSISTENT.search(name):
            checks.append(Check(f"bytes that {name} spills", used["local_size_bytes"]))
            facts[name] = used["num_regs"]
            print(f"{name}: {used}", file=sys.stderr, flush=True)
    registers = ", ".join(f"{name} {count}" for name, count in facts.items())
    return Findings(f"{len(sources)} kernels; registers: {registers}", checks, facts)


def kernel_sources() -> dict[tuple[str, str], tuple[str, tuple[str, ...]]]:
    """Text and compiler options of every kernel, by name and type: all modules register theirs."""
    for path in Path(mg.__file__).parent.glob("backends/cupy/[a-z]*.py"):
        importlib.import_module(f"minigrad.backends.cupy.{path.stem}")
    sources: Any = importlib.import_module("minigrad.backends.cupy.source").SOURCES
    return dict(sources)


class Stage(NamedTuple):
    """What is tried.

    Attributes:
        run: Tries it on a device.
        limit: The seconds that it may take on a GPU.
        needs_gpu: Whether there is nothing to try on the CPU.
    """

    run: Callable[[str], Findings]
    limit: float
    needs_gpu: bool = False


STAGES = {  # the cheapest and most telling first
    "device": Stage(device, 25),
    "product": Stage(product, 15, needs_gpu=True),
    "lstm layer": Stage(lstm_layer, 20),
    "gan networks": Stage(gan_networks, 20),
    "lstm steps": Stage(partial(training_steps, "lstm 5"), 20),
    "gan steps": Stage(partial(training_steps, "gan"), 20),
    "times": Stage(times, 40),
    "train.lstm": Stage(partial(trainer, "lstm"), 30),
    "train.gan": Stage(partial(trainer, "gan"), 40),
    "compilation": Stage(compilation, 60, needs_gpu=True),
}


def main(name: str, where: str, end: float) -> None:
    """Run a stage, and print what it found as a line of JSON.

    Args:
        name: The stage's.
        where: The device.
        end: The time, as `time.time`, by which it should be done; then stderr says where it is.
    """
    answer = reserved_stdout()
    faulthandler.dump_traceback_later(max(0.1, end - time.time()))
    try:
        found = STAGES[name].run(where)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # on a lost GPU each of CuPy's destructors would say so once more
    checks = [{**check._asdict(), "passed": check.passed} for check in found.checks]
    tell(answer, **{**found._asdict(), "checks": checks})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
