"""The benchmark of the GPU: what it counts and prints; how fast anything is, no test decides."""

import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
import types
import zipfile
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import floor, gpu_table, kernels, measuring, workers
from benchmarks import gpu as program
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


def test_ceilings_are_measured(monkeypatch):
    monkeypatch.setattr(floor, "LEAST", 0.01)
    monkeypatch.setattr(floor, "SIZES", {"cpu": (1 << 16, 64)})
    found = floor.measure("cpu")
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

    monkeypatch.setattr(measuring, "time", types.SimpleNamespace(perf_counter=lambda: now))
    queue = Queue(step, Clock(lambda: done.append("wait"), mark))
    found = measuring.timed(queue, 1)
    count, singles = found.pop("steps"), ["step", "wait"] * measuring.SINGLES
    assert 1 <= count * 1e-3 / measuring.LEAST["time"] < 2
    last = ["wait", "mark", *["step"] * count, "mark", "wait", *singles]
    assert done[-len(last) :] == last
    assert found == pytest.approx({"queued": 1e-3, "device": 5e-4, "latency": 1e-3})
    done.clear()
    assert measuring.timed(queue, count)["steps"] == count  # as many as before, at once
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
    losses = [[run.step().item() for run in runs] for _ in range(measuring.CHECKED)]
    for first, *others in losses:
        assert others == pytest.approx([first] * len(others), rel=workers.CLOSE)
    assert losses[0][0] != losses[-1][0], "nothing is learnt"


@pytest.mark.parametrize("mode", ["eager", "captured"])
def test_on_a_gpu_the_steps_are_those_of_the_cpu(mode, quick_gpu):
    """Those of the textbook form; test_first_contact.py has the others."""
    task = Task.named("lstm 3 4 8")
    here = minigrad_steps.queue(task, "textbook", "eager", "cpu")
    there = minigrad_steps.queue(task, "textbook", mode, "gpu")
    losses = [(here.step().item(), there.step().item()) for _ in range(measuring.CHECKED)]
    wanted = [x for x, _ in losses]
    assert [y for _, y in losses] == pytest.approx(wanted, rel=workers.CLOSE)
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


def test_a_worker_gives_reasons_instead_of_numbers(monkeypatch):
    monkeypatch.setitem(measuring.LEAST, "time", 0.001)

    def make(task):
        if task.steps == 1:
            raise Unable("it is the first")
        if task.steps == 2:
            raise ValueError("two\nlines")
        if task.steps == 3:
            time.sleep(30)
        return Queue(lambda: Loss(0.5))

    reply = measuring.Asked(make).reply
    assert reply("prepare", "lstm 1") == {"reason": "it is the first"}
    assert reply("prepare", "lstm 2") == {"reason": "ValueError: two lines"}
    started = time.time()
    assert reply("prepare", "lstm 3", started + 0.1) == {"reason": "it was not ready in time"}
    assert time.time() - started < 10
    assert reply("prepare", "lstm 4", started) == {"reason": "no time was left"}
    assert reply("prepare", "lstm 5") == {"loss": 0.5, "notes": []}
    assert reply("time", "lstm 5")["queued"] > 0
    assert reply("count", "lstm 5", started) == {"reason": "no time was left"}


def test_a_step_that_is_not_recorded_is_not_called_captured():
    def make(_):
        import warnings

        def step():
            warnings.warn("capture(step) runs it as it stands: why", RuntimeWarning, stacklevel=1)
            return Loss(1)

        return Queue(step)

    reason = measuring.Asked(make).reply("prepare", "gan")["reason"]
    assert reason == "capture(step) runs it as it stands: why"


SLOW = """
import json, sys, time
print(json.dumps({"version": "1.0"}), flush=True)
for line in sys.stdin:
    if sys.argv[1] == "slow":
        time.sleep(60)
    if sys.argv[1] == "dies":
        sys.exit()
    print(json.dumps({"loss": 1.0, "asked": json.loads(line)}), flush=True)
"""


def test_who_is_late_or_dies_is_left_out_and_nobody_waits(tmp_path, monkeypatch):
    (tmp_path / "slow_worker.py").write_text(SLOW, encoding="utf-8")
    monkeypatch.setattr(program, "GRACE", 0.5)
    workers_ = [
        Worker(["slow_worker", name], folder=tmp_path) for name in ("quick", "slow", "dies")
    ]
    for each, name in zip(workers_, ("quick", "slow", "dies"), strict=True):
        each.name, each.contestant = name, Contestant(name, "")
        assert each.answer() == {"version": "1.0"}
    started = time.time()
    found = program.get_ready(workers_, ["gan", "lstm 5"], started + 1)
    assert time.time() - started < 30
    for each in workers_:
        each.close()
    assert found["quick"]["lstm 5"]["asked"] == ["prepare", "lstm 5", started + 1]
    for name in ("slow", "dies"):
        assert found[name] == {step: {"reason": "its process ended"} for step in ("gan", "lstm 5")}


class Peer:
    """A worker that answers at once."""

    asked: list = []  # noqa: RUF012 - the test's
    version = "1.0"

    def __init__(self, contestant, threads=1, device="cpu"):
        self.contestant, self.name = contestant, contestant.name

    def greet(self, patience):
        return ""

    def ask(self, what, step, *_, patience=None):
        self.asked.append((self.name, what, step))
        seconds = 1e-6 * (1 + len(self.asked))
        return {
            "prepare": {"loss": 1.0, "notes": []},
            "count": {"kernels": 3},
            "time": {"queued": seconds, "device": seconds, "latency": seconds},
        }[what]

    def close(self, patience):
        self.asked.append((self.name, "close", ""))


@pytest.fixture
def peers(monkeypatch):
    """Contestants that need no processes; the environment is made up."""
    monkeypatch.setattr(Peer, "asked", [])
    monkeypatch.setattr(program, "Measuring", Peer)
    monkeypatch.setattr(program, "environment", lambda: result()["environment"])
    monkeypatch.setattr(program, "ceilings", lambda device, left: {})
    return Peer


def test_kernels_are_counted_of_what_was_measured_textbook_last(peers):
    workers_ = [peers(Contestant(name, "")) for name in ("a, textbook", "b", "c")]
    loss, none = {"loss": 1.0}, {"reason": "none"}
    ready = {"a, textbook": {"gan": loss}, "b": {"gan": loss, "lstm 5": loss}, "c": {"gan": none}}
    found = program.count(workers_, ready, 7.0)
    assert found == {
        "a, textbook": {"gan": {"kernels": 3}},
        "b": {"gan": {"kernels": 3}, "lstm 5": {"kernels": 3}},
        "c": {},
    }
    asked = [("b", "count", "gan"), ("b", "count", "lstm 5"), ("a, textbook", "count", "gan")]
    assert peers.asked == asked


# --- tables -----------------------------------------------------------------------------------


def row(**times):
    every = {}
    for name, microseconds in times.items():
        one = {"queued": microseconds, "device": microseconds - 1, "latency": microseconds + 9}
        answer = {what: 1e-6 * value for what, value in one.items()}
        every[name.replace("__", ", ").replace("_", " ")] = {"3": answer}
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
    late = {"gan": {"reason": "no Triton"}, "lstm 5": {"reason": "no Triton"}}
    return {
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
        "ready": {
            gpu_table.OURS: {"gan": {"notes": ["be careful"]}, "lstm 5": {"notes": []}},
            "PyTorch, reduce-overhead": late,
        },
        "left_out": {"minigrad, eager": "its library is not installed"},
        "work": {s: floor.work(Task.named(s))._asdict() for s in ("gan", "lstm 5")},
        "ceilings": Ceilings(4e12, 5e13, 1e-6)._asdict(),
    }


def test_tables_hold_ratios_to_the_fastest_of_each_way_and_name_the_misses():
    text = re.sub(" +", " ", gpu_table.markdown(result()))
    assert "Medians of 7 rounds on " in text and ", Abacus, 96 GiB. PyTorch 2.13.0" in text
    assert "| **minigrad, captured** | 100 | 6.00 | 1.50 | 109 | 99 | | 20 |" in text
    assert "| **minigrad, captured** | 250 | 2.00 | 1.20 | 259 | 249 | | 30 |" in text
    assert "| PyTorch, eager | 600 | 1.00 | 0.25 | 609 | 599 | 420 | 170 |" in text
    assert "| PyTorch, eager | 500 | 1.00 | 0.60 | 509 | 499 | | |" in text
    assert text.count("| PyTorch, captured by hand | 150 | 4.00 | 1.00 |") == 1
    assert "| PyTorch, eager | 5.0 | 6.00 | 2.00 missed |" in text
    assert "| PyTorch, reduce-overhead | 2.0 | | |" in text
    assert "| PyTorch, captured by hand | 1.0 | 1.50 | 1.20 |" in text
    assert "| kernels of minigrad, captured x the time from node to node, µs | 20 | 30 |" in text
    assert "- PyTorch, reduce-overhead: left out of GAN, LSTM, T = 5, as no Triton" in text
    assert "- minigrad, eager: left out, as its library is not installed" in text
    assert "- minigrad, captured: be careful" in text
    assert "- PyTorch, eager: not all its kernels are counted, as x" in text
    # the GAN's 51.4 MB take 12.9 µs, its 0.95 GFLOP 19.0
    assert "| **the floor, µs** | 19.0 | 5.0 |" in text


def in_rounds(**microseconds):
    return {name.strip("_"): {"queued": 1e-6 * value} for name, value in microseconds.items()}


def test_ratios_are_of_times_from_the_same_round():
    ours = in_rounds(_0=10, _1=10, _2=20, _3=20, _4=20)
    early, late = in_rounds(_0=30, _1=30), in_rounds(_2=40, _3=44, _4=36)
    assert gpu_table.ratio(early, ours) == pytest.approx(3)
    assert gpu_table.ratio(late, ours) == pytest.approx(2)
    assert math.isnan(gpu_table.ratio(early, late))
    row = {gpu_table.OURS: ours, "PyTorch, eager": early, "PyTorch, textbook, eager": late}
    assert gpu_table.against(row, "eager") == pytest.approx(2)
    assert gpu_table.against(row | {"PyTorch, textbook, eager": early}, "eager") == pytest.approx(3)
    only_late = {"PyTorch, eager": early, "PyTorch, textbook, eager": late}
    assert gpu_table.against(only_late, "eager", "PyTorch, textbook, eager") == 1
    assert math.isnan(gpu_table.against(only_late, "eager"))


def test_a_picture_is_drawn_and_none_of_nothing(tmp_path):
    gpu_table.draw_times(result(), tmp_path / "gpu.png")
    with Image.open(tmp_path / "gpu.png") as picture:
        assert min(picture.size) > 300
    gpu_table.draw_times(result() | {"times": {"gan": {}}}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


# --- the whole program ------------------------------------------------------------------------


FIRST = ["PyTorch, eager", "PyTorch, captured by hand", "minigrad, captured"]


def ready(workers, steps, losses=()):
    """What contestants answer to whether they are ready; `losses` has those that differ from 1."""
    losses = dict(losses)
    return {w.name: {step: {"loss": losses.get(w.name, 1.0)} for step in steps} for w in workers}


def written_to(out):
    return json.loads((out / "gpu.json").read_text(encoding="utf-8"))


def test_those_that_matter_most_are_measured_and_written_first(peers, tmp_path, monkeypatch):
    written = []

    def get_ready(workers, steps, end):
        found = written_to(tmp_path) if written else {"rounds": 0, "times": {"lstm 5": ()}}
        written.append((found["rounds"], [*found["times"]["lstm 5"]]))
        return ready(workers, steps)

    monkeypatch.setattr(program, "get_ready", get_ready)
    program.main(device="cpu", rounds=2, steps=("lstm 5",), out=tmp_path)
    every = [c.name for c in program.CONTESTANTS]
    assert written[:2] == [(0, []), (2, FIRST)]
    assert written[2] == (4, [*FIRST, "PyTorch, reduce-overhead"])
    assert [rounds for rounds, _ in written] == [0, 2, 4, 6] and len(written[3][1]) == 9
    found = written_to(tmp_path)
    row = found["times"]["lstm 5"]
    assert set(row) == set(every) and found["rounds"] == 8
    assert [*row["minigrad, captured"]] == [*"01234567"]  # beside all others
    assert [*row["PyTorch, reduce-overhead"]] == [*"234567"]
    assert [*row["PyTorch, textbook, torch.compile"]] == [*"67"]
    assert sorted(name for name, what, _ in peers.asked if what == "close") == sorted(every)


def test_in_a_round_all_that_are_ready_are_measured_in_turn(peers, tmp_path):
    program.main(device="cpu", rounds=2, steps=("gan", "lstm 5"), out=tmp_path)
    names = [name for name, what, _ in peers.asked if what == "time"]
    warm, each = 2 * FIRST, 2 * FIRST
    assert names[: 3 * 6] == [*warm, *each, *each]


def test_a_wave_for_which_no_time_is_left_is_named(peers, tmp_path, monkeypatch):
    now, passing = [1e9], iter([40, 13])  # of 60 seconds

    def get_ready(workers, steps, end):
        now[0] += next(passing)
        return ready(workers, steps)

    monkeypatch.setattr(program, "time", types.SimpleNamespace(time=lambda: now[0]))
    monkeypatch.setattr(program, "get_ready", get_ready)
    program.main(device="cpu", rounds=3, minutes=1, steps=("lstm 5",), out=tmp_path)
    found = written_to(tmp_path)
    late = [name for name, why in found["left_out"].items() if why == "no time was left"]
    assert sorted(late) == sorted(
        c.name for c in program.CONTESTANTS if c.name.endswith(("reduce-overhead", "compile"))
    )
    # who is ready when the time to be measured is over is measured once all the same
    assert len(found["times"]["lstm 5"]) == 8 and found["rounds"] == 2


def test_who_computes_another_loss_is_not_measured(peers, tmp_path, monkeypatch, capsys):
    losses = {"PyTorch, captured by hand": 1.1}
    monkeypatch.setattr(program, "get_ready", lambda *words: ready(*words[:2], losses))
    with pytest.raises(SystemExit) as ended:
        program.main(device="cpu", rounds=1, steps=("lstm 5",), out=tmp_path)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "losses differ: PyTorch, captured by hand (lstm 5)\n"
    assert len(written_to(tmp_path)["times"]["lstm 5"]) == 11
    text = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert "by hand: left out of LSTM, T = 5, as its loss is 1.100000, not 1.000000" in text


def test_the_program_runs_on_the_cpu(tmp_path):
    words = ["gpu", "--device", "cpu", "--steps", "lstm 2 4 8", "--rounds", "1"]
    names = {"PyTorch, eager", "minigrad, captured"}
    options = ["--threads", "1", "--only", *sorted(names), "--out", str(tmp_path)]
    done = run(sys.executable, "-m", "benchmarks", *words, *options)
    assert done.returncode == 0, done.stderr
    found = written_to(tmp_path)
    [row] = found["times"].values()
    assert set(row) == names
    for answers in row.values():
        assert all(value > 0 for answer in answers.values() for value in answer.values())
    assert found["ceilings"]["bandwidth"] > 0
    text = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert text in done.stdout and "| **minigrad, captured** |" in text
    assert (tmp_path / "gpu.png").stat().st_size > 1000


def test_without_a_gpu_the_program_says_what_is_missing():
    done = run(sys.executable, "-m", "benchmarks", "--device", "gpu")
    assert done.returncode == 2
    assert done.stderr.startswith("--device gpu: device 'gpu' cannot be used: ")
    assert "Traceback" not in done.stderr and done.stdout == ""


# --- the script -------------------------------------------------------------------------------

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def script(*words, **variables):
    told = [f"{name}={value}" for name, value in variables.items()]
    path = str(ROOT / "benchmarks" / "gpu.sh")
    return run("env", f"PYTHON={sys.executable}", *told, "bash", path, *words)


@needs_bash
@pytest.mark.parametrize("part", ["contact", "tests", "times"])
def test_each_part_of_the_script_ends_where_there_is_no_gpu(part, tmp_path):
    done = script(part, OUT=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "device 'gpu' cannot be used" in done.stdout
    log = (tmp_path / f"{part}.log").read_text(encoding="utf-8")
    assert log and log in done.stdout
    files = {"contact.jsonl", "contact.log"} if part == "contact" else {f"{part}.log"}
    assert {path.name for path in tmp_path.iterdir()} == files
    if part == "contact":
        assert log.endswith("no GPU can be used\n") and "WRONG: device 'gpu' cannot be used" in log
        lines = (tmp_path / "contact.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["state"] for line in lines[:2]] == ["wrong", "left out"]


@needs_bash
@pytest.mark.parametrize("words", [[], ["dance"], ["contact", "no/such/folder"], ["a", "b", "c"]])
def test_the_script_says_how_it_is_called(words, tmp_path):
    done = script(*words, OUT=tmp_path / "out")
    assert done.returncode == 2 and done.stdout == ""
    assert "usage: benchmarks/gpu.sh contact|tests|times [FOLDER OF WHEELS]" in done.stderr
    assert not (tmp_path / "out").exists()


@needs_bash
def test_the_script_takes_what_is_missing_from_a_folder_of_wheels(tmp_path):
    """What is installed is left as it is; nothing but results comes to OUT."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name, module in (("not_here", "not_here"), ("numpy", "numpy")):
        with zipfile.ZipFile(wheels / f"{name}-99.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{module}/__init__.py", "raise SystemExit('from the wheel')")
            wheel.writestr(f"{name}-99.0.dist-info/METADATA", f"Name: {name}\nVersion: 99.0\n")
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\necho "path $PYTHONPATH"\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    done = script("times", str(wheels), OUT=tmp_path / "out", PYTHON=program)
    assert (
        "from the wheels: not_here\n" in done.stdout and "from the wheels: numpy" not in done.stdout
    )
    assert done.returncode == 2 and "device 'gpu' cannot be used" in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"times.log"}
    unpacked = re.search(r"path \S*:(/\S+)\n", done.stdout)
    assert unpacked and not Path(unpacked[1]).exists(), "it leaves what it has unpacked"


@needs_bash
def test_the_script_is_ended_when_its_time_is_up(tmp_path):
    started = time.time()
    done = script("contact", DEVICE="cpu", CONTACT_SECONDS=14, OUT=tmp_path)
    assert done.returncode == 1 and time.time() - started < 60
    assert "left out" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"contact.jsonl", "contact.log"}
