"""The benchmark of the GPU: what it counts and prints; how fast anything is, no test decides."""

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import time
import types
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import floor, gpu_table, kernels
from benchmarks import gpu as program
from benchmarks import gpu_worker as worker
from benchmarks.contestants import minigrad_steps, torch_steps
from benchmarks.contestants.task import GAN_BATCH, WIDTHS, Clock, Queue, Task, Unable
from benchmarks.floor import Ceilings
from benchmarks.workers import Contestant, Worker

ROOT = Path(__file__).parent.parent
NO_GPU = os.environ | {"CUDA_VISIBLE_DEVICES": ""}


def run(*words, **options):
    return subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, timeout=300, env=NO_GPU, **options
    )


# --- counting ---------------------------------------------------------------------------------

VERBOSE = r"""digraph dot {
subgraph cluster_1 {
label="graph_1" graph[style="dashed"];
"graph_1_node_0"[style="bold" shape="record" label="{KERNEL
| {ID | 0 (topoId: 3) | lstm_cell\<\<\<1,128,0\>\>\>}
| {{node handle | func handle} | {0x0001 | 0x0002}}
}"];
"graph_1_node_1"[style="solid" shape="record" label="{MEMCPY
| {ID | 1 (topoId: 2) | cudaMemcpyDeviceToDevice}
}"];
"graph_1_node_2"[style="solid" shape="record" label="{MEMSET
| {ID | 2 (topoId: 1)}
}"];
"graph_1_node_3"[style="bold" shape="record" label="{KERNEL
| {ID | 3 (topoId: 0) | MEMSET_in_a_name\<\<\<4,32,0\>\>\>}
}"];
"graph_1_node_0" -> "graph_1_node_1";
}
}"""
TERSE = """digraph dot {
subgraph cluster_1 {
label="graph_1" graph[style="dashed"];
"graph_1_node_0"[style="bold" shape="octagon" label="0
_Z5saxpyifPfS_
"];
"graph_1_node_1"[style="solid" shape="trapezium" label="1
MEMSET
"];
"graph_1_node_0" -> "graph_1_node_1";
}
}"""


def test_nodes_of_a_graph_are_counted_by_what_they_are():
    assert kernels.of_graph(VERBOSE)[:2] == (2, 2)
    assert kernels.of_graph(TERSE)[:2] == (1, 1)
    assert kernels.of_graph("digraph dot {\n}")[:2] == (0, 0)


def event(cat, start, duration):
    return {"ph": "X", "cat": cat, "ts": start, "dur": duration}


def test_what_runs_side_by_side_is_busy_once():
    events = [
        event("kernel", 100, 10),
        event("kernel", 105, 10),  # until 115
        event("gpu_memcpy", 112, 2),
        event("kernel", 200, 5),
        event("cpu_op", 0, 1000),
        event("gpu_user_annotation", 0, 1000),
        {"ph": "M", "name": "process_name"},
        event("kernel", 300, 1),
    ]
    found = kernels.of_trace({"traceEvents": events}, steps=2)
    assert found == (2, 0.5, pytest.approx((15 + 5 + 1) / 2 * 1e-6))


def test_a_trace_without_kernels_counts_nothing():
    with pytest.raises(Unable, match="saw no kernel"):
        kernels.of_trace({"traceEvents": [event("cpu_op", 0, 1)]}, steps=1)


def test_a_recorded_step_is_counted_by_its_graph():
    queue = Queue(lambda: None, graph=lambda: VERBOSE)
    assert kernels.count(queue)[:2] == (2, 2)


# --- the floor --------------------------------------------------------------------------------


def test_work_of_the_lstm_is_what_its_formulas_say():
    found = floor.work(Task.named("lstm 3 4 8"))
    assert found.operations == 3 * 3 * 2 * (4 * 8) * 8 * 4  # three products of each time step
    weights = (4 * 8) * (1 + 8 + 2) + 10 * (8 + 1)
    outputs = 4 * (3 * 5 * 8 + 10)
    batch = 4 * 3 * 4 + 4 * 8
    assert found.bytes == 4 * (4 * weights + 2 * outputs) + batch


def test_work_of_the_gan_is_what_its_widths_say():
    found = floor.work(Task.named("gan"))
    sizes = {k: [n * m for n, m in itertools.pairwise(w)] for k, w in WIDTHS.items()}
    forward = sum(sizes["generator"]) + 2 * sum(sizes["discriminator"])
    weights = sum(sizes["generator"]) + 2 * sum(sizes["discriminator"])
    # the generator's inputs want no gradient; the discriminator's first layer one, of its fakes
    inputs = sum(sizes["generator"][1:]) + sizes["discriminator"][0]
    inputs += 3 * sum(sizes["discriminator"][1:])
    assert found.operations == 2 * GAN_BATCH * (forward + weights + inputs)


def test_the_floor_is_the_slower_of_memory_and_arithmetic():
    work = floor.Work(operations=6e9, bytes=2e6)
    assert floor.seconds(work, Ceilings(1e9, 1e12)) == pytest.approx(6e-3)
    assert floor.seconds(work, Ceilings(1e8, 1e12)) == pytest.approx(2e-2)
    both = floor.best([Ceilings(1.0, 4.0), Ceilings(2.0, 3.0, 5.0)])
    assert both == (2.0, 4.0, 5.0)


def test_ceilings_are_measured(monkeypatch):
    monkeypatch.setattr(floor, "LEAST", 0.01)
    monkeypatch.setattr(floor, "SIZES", {"cpu": (1 << 16, 64)})
    for library in ("numpy", "torch"):
        found = floor.measure(library, "cpu")
        assert found.bandwidth > 0 and found.operations > 0 and math.isnan(found.node)


# --- the clock --------------------------------------------------------------------------------


def test_many_steps_are_queued_between_two_waits(monkeypatch):
    """Of a device that takes a millisecond for a step, by its own clock half of it."""
    done, now = [], 0.0

    def step():
        nonlocal now
        now += 1e-3
        done.append("step")

    def mark():
        done.append("mark")
        return now / 2

    monkeypatch.setattr(worker, "time", types.SimpleNamespace(perf_counter=lambda: now))
    queue = Queue(step, Clock(lambda: done.append("wait"), mark))
    found = worker.timed(queue, 1)
    count, singles = found.pop("steps"), ["step", "wait"] * worker.SINGLES
    assert worker.LEAST <= count * 1e-3 < 2 * worker.LEAST
    last = ["wait", "mark", *["step"] * count, "mark", "wait", *singles]
    assert done[-len(last) :] == last
    assert found == pytest.approx({"queued": 1e-3, "device": 5e-4, "latency": 1e-3})
    done.clear()
    assert worker.timed(queue, count)["steps"] == count  # as many as before, at once
    assert done == last


# --- contestants ------------------------------------------------------------------------------

FORMS = [("gan", "layer"), ("lstm 3 4 8", "layer"), ("lstm 3 4 8", "textbook")]


@pytest.mark.parametrize(("step", "form"), FORMS)
def test_all_compute_the_same_losses_step_by_step(step, form):
    task = Task.named(step)
    runs = [
        torch_steps.queue(task, form, "eager", "cpu"),
        minigrad_steps.queue(task, form, "eager", "cpu"),
        minigrad_steps.queue(task, form, "captured", "cpu"),
    ]
    losses = [[run.step().item() for run in runs] for _ in range(worker.CHECKED)]
    for first, *others in losses:
        assert others == pytest.approx([first] * len(others), rel=program.CLOSE)
    assert losses[0][0] != losses[-1][0], "nothing is learnt"


@pytest.mark.parametrize("mode", ["eager", "captured"])
@pytest.mark.parametrize(("step", "form"), FORMS)
def test_on_a_gpu_the_steps_are_those_of_the_cpu(step, form, mode, gpu):
    task = Task.named(step)
    here = minigrad_steps.queue(task, form, "eager", "cpu")
    there = minigrad_steps.queue(task, form, mode, "gpu")
    losses = [(here.step().item(), there.step().item()) for _ in range(worker.CHECKED)]
    wanted = [x for x, _ in losses]
    assert [y for _, y in losses] == pytest.approx(wanted, rel=program.CLOSE)
    if mode == "eager":
        assert there.graph() is None
    else:
        assert there.graph().startswith("digraph")
    there.clock.mark()
    there.clock.wait()


def test_what_needs_a_gpu_says_so():
    task = Task.named("lstm 3 4 8")
    for mode in ("graph", "reduce-overhead"):
        with pytest.raises(Unable, match="CUDA graphs need a GPU"):
            torch_steps.queue(task, "layer", mode, "cpu")
    with pytest.raises(Unable, match="compiling 100 unrolled time steps takes several minutes"):
        torch_steps.queue(Task.named("lstm 100"), "textbook", "compile", "cpu")


def test_a_step_recorded_by_hand_is_replayed_and_its_warm_up_counted(monkeypatch):
    """With stand-ins for PyTorch's streams and graphs, which need a GPU."""
    import torch

    weight, events = [0], []

    class Stream:
        def wait_stream(self, other):
            events.append("wait")

    class Graph:
        def replay(self):
            weight[0] += 1

    @contextmanager
    def recording(graph):
        before = weight[0]
        yield events.append("record")
        weight[0] = before  # while it is recorded nothing is done

    def step():
        weight[0] += 1
        return weight

    everything = {"Stream": Stream, "CUDAGraph": Graph, "graph": recording}
    everything |= {"current_stream": Stream, "stream": lambda stream: nullcontext()}
    for name, value in everything.items():
        monkeypatch.setattr(torch.cuda, name, value)
    replay = torch_steps._recorded(step)
    assert events == ["wait", "wait", "record"] and weight == [torch_steps.WARM_UP]
    assert replay() is weight and weight == [torch_steps.WARM_UP + 1]


def test_optimizers_are_given_only_options_that_they_know(monkeypatch):
    import torch

    weights = [torch.zeros(2, requires_grad=True)]
    monkeypatch.setitem(torch_steps.OPTIONS, "graph", {"unknown": True, "maximize": True})
    made = torch_steps._optimizer("RMSprop", weights, "graph", "cuda", 0.5)
    assert made.defaults["maximize"] and made.defaults["lr"] == 0.5
    assert not torch_steps._optimizer("RMSprop", weights, "graph", "cpu", 0.5).defaults["maximize"]
    monkeypatch.setattr(torch.optim, "RMSprop", lambda params, lr: None)
    monkeypatch.setitem(torch_steps.OPTIONS, "graph", {"capturable": True})
    with pytest.raises(Unable, match=r"RMSprop of PyTorch .* is not capturable"):
        torch_steps._optimizer("RMSprop", weights, "graph", "cuda", 0.5)


# --- a worker and who asks it -----------------------------------------------------------------


class Loss(float):
    item = float.__float__


def later():
    return time.time() + 60


def test_a_worker_gives_reasons_instead_of_numbers(monkeypatch):
    monkeypatch.setattr(worker, "LEAST", 0.001)

    def make(task):
        if task.steps == 1:
            raise Unable("it is the first")
        if task.steps == 2:
            raise ValueError("two\nlines")
        if task.steps == 3:
            time.sleep(30)
        return Queue(lambda: Loss(0.5))

    reply = worker.answering(make)
    assert reply(f"prepare {later()} lstm 1") == {"reason": "it is the first"}
    assert reply(f"prepare {later()} lstm 2") == {"reason": "ValueError: two lines"}
    started = time.time()
    assert reply(f"prepare {started + 0.1} lstm 3") == {"reason": "it was not ready in time"}
    assert time.time() - started < 10
    assert reply(f"prepare {started} lstm 4") == {"reason": "no time was left"}
    assert reply(f"prepare {later()} lstm 5") == {"loss": 0.5, "notes": []}
    assert reply("time lstm 5")["queued"] > 0
    assert reply(f"count {started} lstm 5") == {"reason": "no time was left"}


def test_a_step_that_is_not_recorded_is_not_called_captured():
    def make(_):
        import warnings

        def step():
            warnings.warn("capture(step) runs it as it stands: why", RuntimeWarning, stacklevel=1)
            return Loss(1)

        return Queue(step)

    reason = worker.answering(make)(f"prepare {later()} gan")["reason"]
    assert reason == "capture(step) runs it as it stands: why"


SLOW = """
import json, sys, time
print("1.0", flush=True)
for line in sys.stdin:
    if sys.argv[1] == "slow":
        time.sleep(60)
    if sys.argv[1] == "dies":
        sys.exit()
    print(json.dumps({"loss": 1.0, "asked": line.strip()}), flush=True)
"""


def test_who_is_late_or_dies_is_left_out_and_nobody_waits(tmp_path, monkeypatch):
    (tmp_path / "slow_worker.py").write_text(SLOW, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(program, "GRACE", 0.5)
    names = ("quick", "slow", "dies")
    workers = [Worker("slow_worker", Contestant(name, (name,)), 1) for name in names]
    started = time.time()
    found = program.get_ready(workers, ["gan", "lstm 5"], started + 1)
    assert time.time() - started < 30
    for each in workers:
        each.close()
    assert found["quick"]["lstm 5"]["asked"] == f"prepare {started + 1} lstm 5"
    for name in ("slow", "dies"):
        assert found[name] == {step: {"reason": "its process ended"} for step in ("gan", "lstm 5")}


def test_kernels_are_counted_of_what_was_measured_textbook_last():
    asked = []

    class Peer:
        def __init__(self, name):
            self.name = name
            self.process = self

        def kill(self):
            raise AssertionError("it answers")

        def say(self, question):
            asked.append((self.name, question))
            return json.dumps({"kernels": 3})

    workers = [Peer("a, textbook"), Peer("b"), Peer("c")]
    times = {"a, textbook": {"gan": []}, "b": {"gan": [], "lstm 5": []}, "c": {}}
    found = program.count(workers, times, 7.0)
    assert found == {
        "a, textbook": {"gan": {"kernels": 3}},
        "b": {"gan": {"kernels": 3}, "lstm 5": {"kernels": 3}},
        "c": {},
    }
    first, last = ("b", "count 7.0 gan"), ("a, textbook", "count 7.0 gan")
    assert asked == [first, ("b", "count 7.0 lstm 5"), last]


def test_losses_are_compared_within_a_form():
    first, textbook, ours = "PyTorch, eager", "PyTorch, textbook, eager", "minigrad, captured"
    ready = {first: 1.0, textbook: 2.0, ours: 1.00005}
    answers = {name: {"gan": {"loss": loss}} for name, loss in ready.items()}
    assert program.differing(answers, ["gan"]) == {}
    answers[ours]["gan"]["loss"] = 1.001
    answers["minigrad, eager"] = {"gan": {"reason": "none"}}
    found = program.differing(answers, ["gan"])
    assert found == {(ours, "gan"): "its loss is 1.001000, not 1.000000"}


# --- tables -----------------------------------------------------------------------------------


def row(**times):
    every = {}
    for name, microseconds in times.items():
        one = {"queued": microseconds, "device": microseconds - 1, "latency": microseconds + 9}
        every[name.replace("__", ", ").replace("_", " ")] = one
    return every


def result():
    gan = row(PyTorch__eager=600.0, PyTorch__captured_by_hand=150.0, minigrad__captured=100.0)
    lstm = row(
        PyTorch__eager=500.0,
        PyTorch__textbook__eager=900.0,
        PyTorch__textbook__captured_by_hand=300.0,
        minigrad__captured=250.0,
    )
    names = dict.fromkeys([*gan, *lstm])
    return {
        "date": "2030-01-02",
        "device": "gpu",
        "rounds": 7,
        "environment": {
            "minigrad": "0.1.0",
            "python": "3.12.1",
            "numpy": {"version": "2.5"},
            "gpu": {
                "driver": "580.65",
                "cuda": "13.0",
                "cupy": "14.9",
                "devices": [{"name": "Abacus", "memory": 96 << 30}],
            },
        },
        "versions": dict.fromkeys(names, "2.13.0"),
        "times": {"gan": gan, "lstm 5": lstm},
        "counts": {
            gpu_table.OURS: {"gan": {"kernels": 20}, "lstm 5": {"kernels": 30.0}},
            "PyTorch, eager": {
                "gan": {"kernels": 170.4, "busy": 4.2e-4},
                "lstm 5": {"reason": "x"},
            },
        },
        "losses": {gpu_table.OURS: {"gan": {"notes": ["be careful"]}, "lstm 5": {"notes": []}}},
        "missing": {"PyTorch, reduce-overhead": {"gan": "no Triton", "lstm 5": "no Triton"}},
        "work": {s: floor.work(Task.named(s))._asdict() for s in ("gan", "lstm 5")},
        "ceilings": {"best": Ceilings(4e12, 5e13, 1e-6)._asdict()},
    }


def test_tables_hold_ratios_to_the_fastest_of_each_way_and_name_the_misses():
    text = gpu_table.markdown(result())
    assert "7 rounds on 2030-01-02, Abacus, 96 GiB. PyTorch 2.13.0" in text
    assert "| **minigrad, captured** | 100, 6.00, 1.50; 20 | 250, 2.00, 1.20; 30 |" in text
    assert "| PyTorch, eager | 600, 1.00, 0.25; 170 | 500, 1.00, 0.60 |" in text
    assert "| PyTorch, captured by hand | 150, 4.00, 1.00 |  |" in text
    assert "| PyTorch, eager | 5.0 | 6.00 | 2.00 missed |" in text
    assert "| PyTorch, reduce-overhead | 2.0 |  |  |" in text
    assert "| PyTorch, captured by hand | 1.0 | 1.50 | 1.20 |" in text
    assert "| PyTorch, eager | 609 / 599 / 420 | 509 / 499 / - |" in text
    assert "| kernels of minigrad, captured x the time from node to node, µs | 20 | 30 |" in text
    assert "- PyTorch, reduce-overhead: left out of GAN, LSTM, T = 5, as no Triton" in text
    assert "- minigrad, captured: be careful" in text
    assert "- PyTorch, eager: not all its kernels are counted, as x" in text
    # the GAN's 51.4 MB take 12.9 µs, its 0.95 GFLOP 19.0
    assert "| **the floor, µs** | 19.0 | 5.0 |" in text


def test_a_picture_is_drawn_and_none_of_nothing(tmp_path):
    gpu_table.draw_times(result(), tmp_path / "gpu.png")
    with Image.open(tmp_path / "gpu.png") as picture:
        assert min(picture.size) > 300
    gpu_table.draw_times(result() | {"times": {"gan": {}}}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


# --- the whole program ------------------------------------------------------------------------


def test_the_program_runs_on_the_cpu(tmp_path):
    words = ["gpu", "--device", "cpu", "--steps", "lstm 2 4 8", "gan", "--rounds", "1"]
    names = {"PyTorch, eager", "minigrad, captured"}
    options = ["--threads", "1", "--only", *sorted(names), "--out", str(tmp_path)]
    done = run(sys.executable, "-m", "benchmarks", *words, *options)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    for row in found["times"].values():
        assert set(row) == names
        assert all(value > 0 for entry in row.values() for value in entry.values())
    assert found["ceilings"]["best"]["bandwidth"] > 0
    text = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert text in done.stdout and "| **minigrad, captured** |" in text
    assert (tmp_path / "gpu.png").stat().st_size > 1000


@pytest.mark.parametrize("words", [["--device", "gpu"], ["gpu"]])
def test_without_a_gpu_the_program_says_what_is_missing(words):
    done = run(sys.executable, "-m", "benchmarks", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("--device gpu: device 'gpu' cannot be used: ")
    assert "Traceback" not in done.stderr and done.stdout == ""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_script_ends_where_there_is_no_gpu_and_keeps_what_it_knows(tmp_path):
    script = str(ROOT / "benchmarks" / "gpu.sh")
    done = run("env", f"OUT={tmp_path}", f"PYTHON={sys.executable}", "bash", script)
    assert done.returncode == 2, done.stderr
    assert done.stdout.endswith("no GPU can be used\n")
    assert "GPU           missing" in (tmp_path / "info.txt").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "info.json").read_text(encoding="utf-8"))["cpu"]["works"]
