"""The first contact with a GPU: each stage passes on the stand-in, and fails on what is wrong."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from needs import COMPILER, PROCESS_GROUPS

import minigrad as mg
from benchmarks import contact_stages as stages
from benchmarks import first_contact, kernels, measuring
from benchmarks.contact_checks import Check, distance, longest_sum, tolerance
from benchmarks.contestants import minigrad_steps, torch_steps
from benchmarks.contestants import task as contestants_task
from benchmarks.contestants.task import Clock, Task

ROOT = Path(__file__).parent.parent
SMALL = "lstm 3 4 8"
cublas = importlib.import_module("minigrad.backends.cupy.cublas")
WRONG = 1.01


def wrong(findings):
    """What a stage says of its failed checks."""
    return [check.what for check in findings.checks if not check.passed]


def off_on_the_gpu(monkeypatch, layer):
    """Have a layer's results on the GPU be off by one per cent."""
    plain = layer.forward

    def forward(self, x, *args):
        y = plain(self, x, *args)
        if x.device == "cpu":
            return y
        return (y[0] * WRONG, y[1]) if isinstance(y, tuple) else y * WRONG

    monkeypatch.setattr(layer, "forward", forward)


# --- what is compared -------------------------------------------------------------------------


def test_a_check_allows_what_is_small_enough_and_no_nan():
    assert Check("x", 1e-6, 1e-5).passed and Check("x", 0).passed and Check("x", False).passed
    assert not Check("x", 1e-4, 1e-5).passed and not Check("x", 1).passed
    assert not Check("x", float("nan"), 1).passed


def test_the_tolerance_lets_no_error_of_a_per_cent_through():
    for name in stages.TASKS:
        terms = longest_sum(Task.named(name))
        assert tolerance(terms, stages.STEPS) < 0.01, name
    for name, (steps, _) in stages.TRAINERS.items():
        assert tolerance(1024 if name == "gan" else 640, steps) < 0.01
    assert longest_sum(Task.named("gan")) == 1024
    assert longest_sum(Task.named("lstm 5")) == 640
    assert longest_sum(Task.named("lstm 1 2 8")) == 8


def test_sums_in_another_order_are_within_the_tolerance():
    x = np.random.default_rng(0).standard_normal((64, 4096)).astype("f4")
    one_by_one = np.cumsum(x, axis=1, dtype="f4")[:, -1]
    off = distance(one_by_one, x.sum(axis=1, dtype="f8"))
    assert 0 < off < tolerance(4096)
    assert distance(WRONG * one_by_one, one_by_one) == pytest.approx(0.01, rel=1e-3)
    assert np.isnan(distance([1, np.nan], [1, 2]))
    with pytest.raises(ValueError, match=r"the shape is \(1,\), not \(2,\)"):
        distance([1], [1, 1])


# --- each stage on the stand-in ---------------------------------------------------------------


@pytest.mark.usefixtures("gpu")
def test_the_device_is_described(monkeypatch):
    info = importlib.import_module("minigrad.info")
    there = info.report()
    # what the stand-in does not tell
    devices = [{"name": "Abacus", "memory": 96 << 30}]
    there["gpu"] |= {"cupy": "14.9", "devices": devices, "cublas": {"works": True}}
    monkeypatch.setattr(info, "report", lambda: there)
    monkeypatch.setattr(stages, "PACKAGES", ["json", "no_such_package"])
    found = stages.device("gpu")
    assert wrong(found) == [] and "Abacus (96 GiB); " in found.told and "CuPy 14.9" in found.told
    assert found.told.endswith("not installed: no_such_package")
    assert json.loads(json.dumps(found.facts))["gpu"]["devices"] == devices
    there["gpu"] |= {"works": False, "problem": "no driver", "cublas": None}
    assert wrong(stages.device("gpu")) == ["no driver", "cuBLAS is missing"]
    assert wrong(stages.device("cpu")) == []


def test_a_program_that_is_not_there_does_not_answer(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert stages.nvidia_smi() == "nvidia-smi does not answer (FileNotFoundError)"


@COMPILER
@pytest.mark.usefixtures("gpu")
def test_a_captured_product_is_replayed(monkeypatch):
    assert wrong(stages.product("gpu")) == []
    plain = cublas.gemm

    def gemm(a, b):
        y = plain(a, b)
        y *= WRONG
        return y

    with monkeypatch.context() as patch:
        patch.setattr(cublas, "gemm", gemm)
        assert len(wrong(stages.product("gpu"))) == 3
    graph = importlib.import_module("minigrad.backends.cupy.graph").StepGraph
    launch, launched = graph.launch, []

    def launch_once(self):
        launched or launch(self)
        launched.append(1)

    monkeypatch.setattr(graph, "launch", launch_once)
    assert wrong(stages.product("gpu")) == ["replay 2 is off by", "replay 3 is off by"]


@COMPILER
@pytest.mark.usefixtures("quick_gpu")
def test_the_lstm_layer_gives_what_the_cpu_gives(monkeypatch):
    monkeypatch.setattr(stages, "SHAPES", ((3, 2),))
    monkeypatch.setattr(stages, "HIDDEN", 16)
    found = stages.lstm_layer("gpu")
    assert wrong(found) == []
    assert found.facts == {"N = 3, T = 2": ["lstm_backward_16_1", "lstm_forward_16_1"]}
    with monkeypatch.context() as patch:
        off_on_the_gpu(patch, mg.nn.LSTM)
        assert wrong(stages.lstm_layer("gpu")) == ["N = 3, T = 2 is off by"]
    monkeypatch.setattr(stages, "HIDDEN", 144)  # too many weights for the registers
    [missing] = wrong(stages.lstm_layer("gpu"))
    assert missing == "kernels of a whole sequence missing, N = 3, T = 2"


@COMPILER
@pytest.mark.usefixtures("quick_gpu")
def test_training_steps_are_those_of_the_cpu_and_replayed(monkeypatch):
    found = stages.training_steps(SMALL, "gpu")
    assert wrong(found) == [] and "6 launches of a graph, " in found.told
    assert found.facts["captured"][0] != found.facts["captured"][-1]
    off_on_the_gpu(monkeypatch, mg.nn.CrossEntropyLoss)
    said = ["eager losses are off by", "captured losses are off by"]
    assert wrong(stages.training_steps(SMALL, "gpu")) == said


@pytest.fixture
def few_digits(monkeypatch):
    """A small batch for the GAN, whose networks are as large as ever."""
    monkeypatch.setattr(contestants_task, "GAN_BATCH", 8)


@COMPILER
@pytest.mark.usefixtures("quick_gpu", "few_digits")
def test_the_gans_steps_are_those_of_the_cpu_and_replayed(monkeypatch):
    monkeypatch.setattr(stages, "STEPS", 4)  # the stand-in takes seconds for each
    found = stages.training_steps("gan", "gpu")
    assert wrong(found) == [] and "2 launches of a graph, " in found.told


@COMPILER
@pytest.mark.usefixtures("quick_gpu", "few_digits")
def test_the_gans_networks_give_what_the_cpu_gives(monkeypatch):
    assert wrong(stages.gan_networks("gpu")) == []
    # a factor that its training steps do not tell
    kernel = importlib.import_module("minigrad.backends.cupy.norm")._batch_norm_back
    found = kernel.texts["f"].replace("= scale * (g", f"= (T){WRONG} * scale * (g")
    assert found != kernel.texts["f"]
    monkeypatch.setattr(kernel, "texts", kernel.texts | {"f": found})
    monkeypatch.setattr(kernel, "_instances", {})
    assert "generator.layers.0 is off by" in wrong(stages.gan_networks("gpu"))


@COMPILER
@pytest.mark.usefixtures("quick_gpu")
def test_a_step_that_is_never_replayed_fails(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(mg, "capture", lambda step, device: step)
        assert wrong(stages.training_steps(SMALL, "gpu")) == ["replays too few, of 8 steps"]
    graph = importlib.import_module("minigrad.backends.cupy.graph").StepGraph

    def refuse(self):
        raise NotImplementedError("no capture here")

    with monkeypatch.context() as patch:
        patch.setattr(stages.kernels, "of_graph", lambda dot: kernels.Count(0, 3))
        assert wrong(stages.training_steps(SMALL, "gpu")) == ["no kernel is found in the graph"]
    monkeypatch.setattr(graph, "recorded", refuse)
    said, few = wrong(stages.training_steps(SMALL, "gpu"))
    assert said.startswith("capture(step) runs it as it stands") and "no capture here" in said
    assert few == "replays too few, of 8 steps"


@COMPILER
@pytest.mark.usefixtures("gpu")
def test_every_kernel_is_compiled(monkeypatch):
    assert ("column_sums", "double") in stages.kernel_sources()
    few_kernels(monkeypatch)
    found = stages.compilation("gpu")
    assert wrong(found) == [] and [*found.facts] == ["lstm_forward_128_1"]
    assert found.told.startswith("2 kernels; registers: lstm_forward_128_1 ")


def few_kernels(monkeypatch):
    names = ["plain", "lstm_forward_128_1"]
    text = 'extern "C" __global__ void NAME(float* x) { x[threadIdx.x] = 1; }'
    sources = {(name, "float"): (text.replace("NAME", name), ()) for name in names}
    monkeypatch.setattr(stages, "kernel_sources", lambda: sources)


@COMPILER
def test_a_kernel_of_a_sequence_that_spills_is_named(stand_in, monkeypatch):
    few_kernels(monkeypatch)
    spilled = {"num_regs": 255, "local_size_bytes": 8}
    monkeypatch.setattr(stand_in.module.RawKernel, "attributes", property(lambda self: spilled))
    found = stages.compilation("gpu")
    assert wrong(found) == ["bytes that lstm_forward_128_1 spills"]
    assert found.facts == {"lstm_forward_128_1": 255}


@COMPILER
@pytest.mark.usefixtures("gpu")
def test_a_kernel_that_does_not_compile_is_named(monkeypatch):
    broken = {("broken", "float"): ('extern "C" __global__ void broken() { nonsense; }', ())}
    monkeypatch.setattr(stages, "kernel_sources", lambda: broken)
    [said] = wrong(stages.compilation("gpu"))
    assert said.startswith("broken for float does not compile: CompileException: ")


@COMPILER
@pytest.mark.usefixtures("quick_gpu")
def test_times_are_taken_of_steps_with_pytorchs_loss(monkeypatch):
    monkeypatch.setattr(stages, "TASKS", (SMALL,))
    monkeypatch.setitem(measuring.LEAST, "time", 0.001)
    monkeypatch.setattr(minigrad_steps, "_clock", Clock)
    plain = torch_steps.queue

    def on_the_cpu(task, form, mode, device):
        return plain(task, form, "eager", "cpu")

    monkeypatch.setattr(torch_steps, "queue", on_the_cpu)
    found = stages.times("gpu")
    assert wrong(found) == []
    assert found.facts[SMALL]["minigrad"] > 0 and found.facts[SMALL]["PyTorch"] > 0
    with monkeypatch.context() as patch:
        off_on_the_gpu(patch, mg.nn.CrossEntropyLoss)
        assert wrong(stages.times("gpu")) == [f"{SMALL}: off PyTorch's loss by"]

    def not_here(*args, **options):
        raise ValueError("not here")

    with monkeypatch.context() as patch:
        patch.setattr(torch_steps, "queue", not_here)
        found = stages.times("gpu")
        assert wrong(found) == [] and "no PyTorch: ValueError: not here" in found.told
    monkeypatch.setattr(minigrad_steps, "queue", not_here)
    assert wrong(stages.times("gpu")) == [f"{SMALL} is not measured: ValueError: not here"]


# --- the trainers, whose processes a stand-in cannot reach -------------------------------------

TRAINER = """
import json, pathlib, sys
place, out = (sys.argv[sys.argv.index(name) + 1] for name in ("--device", "--out"))
folder = pathlib.Path(out, "lstm", "now")
folder.mkdir(parents=True)
loss = 0.5 * ({off} if place == "gpu" else 1)
line = {{"step": {steps}, "loss": loss, "accuracy": 0.5}}
(folder / "metrics.jsonl").write_text("first\\n" + json.dumps(line))
print("error: the", place, "is away" + "\\nand more" * 99, file=sys.stderr)
sys.exit({code})
"""


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ({}, []),
        ({"off": WRONG}, ["loss is off by"]),
        ({"off": "float('nan')"}, ["loss is off by"]),
        ({"steps": 27}, ["steps more or fewer than expected"]),
        ({"code": "place == 'gpu'"}, ["exit code of --device gpu: error: the gpu is away"]),
    ],
)
def test_two_runs_of_a_trainer_are_compared(difference, said, tmp_path, monkeypatch):
    folder = tmp_path / "train"
    folder.mkdir()
    program = TRAINER.format(**{"off": 1, "steps": 28, "code": 0} | difference)
    (folder / "lstm.py").write_text(program, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    assert wrong(stages.trainer("lstm", "gpu")) == said


def test_a_folder_without_mnist_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_MNIST", str(tmp_path))
    assert wrong(stages.trainer("gan", "cpu")) == [
        f"MINIGRAD_MNIST is {tmp_path}: no MNIST/raw/ there"
    ]


def test_a_step_that_is_not_captured_ends_a_trainer():
    """The words for Python that make the warning of `mg.capture` an error, and no other."""
    program = "import warnings; warnings.warn({!r}, RuntimeWarning)"
    words = [sys.executable, "-W", "error:capture(:RuntimeWarning", "-c"]
    for message, code in (("capture(step) runs it as it stands", 1), ("overflow", 0)):
        done = subprocess.run([*words, program.format(message)], capture_output=True)
        assert done.returncode == code


# --- the runner -------------------------------------------------------------------------------

OTHER_STAGES = """
import atexit, ctypes, os, subprocess, sys, time
from benchmarks import contact_stages
from benchmarks.contact_checks import Check, Findings
from benchmarks.contact_stages import Stage

def late(where, calls=20):
    if calls:
        late(where, calls - 1)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    sleep_for_ever()

def sleep_for_ever():
    while True:
        time.sleep(600)

def raises(where):  # and what is cleared up says more than anybody wants to read
    atexit.register(lambda: print("no GPU " * 1000, file=sys.stderr))
    return 1 / 0

def noisy(where):
    print("not JSON")
    os.system("echo neither")
    return Findings("fine", [Check("x", 1, 2)], {"place": where})

STAGES = contact_stages.STAGES = {
    "fine": Stage(noisy, 30),
    "wrong": Stage(lambda where: Findings("so", [Check("a sum", 3, 2)]), 30),
    "raises": Stage(raises, 30),
    "crashes": Stage(lambda where: ctypes.string_at(0), 30),
    "late": Stage(late, 6),
    "no gpu": Stage(noisy, 30, needs_gpu=True),
}
if __name__ == "__main__":
    contact_stages.main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
"""


@pytest.fixture
def other_stages(tmp_path, monkeypatch):
    """Stages of all kinds in the place of the real ones."""
    (tmp_path / "other_stages.py").write_text(OTHER_STAGES, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(stages, "STAGES", stages.STAGES)  # which the module changes
    monkeypatch.delitem(sys.modules, "other_stages", raising=False)
    other = importlib.import_module("other_stages")
    monkeypatch.setattr(first_contact, "STAGES", other.STAGES)
    monkeypatch.setattr(first_contact, "MODULE", "other_stages")


@PROCESS_GROUPS
@pytest.mark.usefixtures("other_stages")
def test_nothing_stops_the_stages_that_follow(tmp_path, capsys):
    names = ["raises", "crashes", "late", "wrong", "no gpu", "fine"]
    began = time.monotonic()
    assert first_contact.first_contact(names, "cpu", 300, tmp_path) == 1
    assert time.monotonic() - began < 120
    lines = (tmp_path / "contact.jsonl").read_text(encoding="utf-8").splitlines()
    found = {outcome["stage"]: outcome for outcome in map(json.loads, lines)}
    states = ["failed", "failed", "late", "wrong", "not tried", "passed"]
    assert [found[name]["state"] for name in names] == states
    assert "ZeroDivisionError" in found["raises"]["stderr"]
    assert "Segmentation fault" in found["crashes"]["stderr"]
    assert "in sleep_for_ever" in found["late"]["stderr"], "where it was is not told"
    assert found["fine"]["facts"] == {"place": "cpu"}
    told = capsys.readouterr().out
    assert "WRONG: a sum: 3, at most 2 is right" in told and "in sleep_for_ever" in told
    assert "ZeroDivisionError" in told and "no GPU" not in told
    assert told.endswith(
        "not passed: raises (failed), crashes (failed), late (late), wrong (wrong)\n"
    )


@PROCESS_GROUPS
@pytest.mark.usefixtures("other_stages")
def test_stages_for_which_no_time_is_left_are_named(tmp_path, capsys):
    assert first_contact.first_contact(["no gpu", "fine", "wrong"], "cpu", 1, tmp_path) == 1
    told = capsys.readouterr().out
    assert told.endswith("not passed: fine (left out), wrong (left out)\n")
    assert first_contact.first_contact(["fine", "no gpu"], "cpu", 60, tmp_path) == 0
    assert capsys.readouterr().out.endswith("all passed\n")


@PROCESS_GROUPS
@pytest.mark.usefixtures("other_stages")
def test_an_interruption_ends_the_stage_that_is_running(tmp_path):
    program = "import other_stages as o, benchmarks.first_contact as f; f.STAGES = o.STAGES; "
    program += "f.MODULE = 'other_stages'; f.main()"
    words = [sys.executable, "-c", program, "--device", "cpu", "--out", str(tmp_path / "out")]
    process = subprocess.Popen([*words, "late"], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    time.sleep(3)
    process.send_signal(signal.SIGTERM)
    assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    assert process.returncode != 0


def test_an_unknown_stage_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        first_contact.main(["dance"])
    assert ended.value.code == 2 and "no stage is called 'dance'" in capsys.readouterr().err


@PROCESS_GROUPS
def test_stages_run_on_the_cpu(tmp_path):
    """Others are tried by gpu.sh's own test, or above."""
    names = ["product", "lstm layer", "train.lstm"]
    words = ["--device", "cpu", "--seconds", "300", "--out", str(tmp_path), *names]
    command = [sys.executable, "-m", "benchmarks.first_contact", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("all passed\n") and "28 steps" in done.stdout
    assert "product      not tried it needs a GPU" in done.stdout
