"""The trainers on a GPU: captured steps, what is read and when, checkpoints, and failures."""

from __future__ import annotations

import importlib
import json
import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from captures import Task, assert_same
from captures import train as run_steps

import minigrad as mg
from minigrad import nn, optim
from minigrad.backends.cupy.graph import StepGraph
from models.lstm import LSTM
from models.lstm_layer import LayerLSTM
from train import average, classifier, console, gan, judge, lstm
from train.state import MOST_WAITING, Meter

EPS = float(np.finfo(np.float32).eps)
LAUNCH_FAILURE = 719  # CUDA's number


# --- the trainers' steps ---------------------------------------------------------------------


def palindromes(model_class, make_optimizer, length=3, hidden=4):
    model = model_class(1, hidden, 10, init="uniform").to("gpu")
    optimizer = make_optimizer(model.parameters())
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
    digits = np.random.default_rng(0).integers(0, 10, (40, length))

    def args(number):
        # an epoch is ten batches, of which the last is smaller; it is longer by and by
        chosen = digits[4 * (number % 10) :][: 2 if number % 10 == 9 else 4, : length - number % 2]
        x = mg.tensor(chosen[:, :, None].astype(np.float32))
        return model, optimizer, x, mg.tensor(chosen[:, 0].copy()), 0.5

    return Task(lstm.step, args, [model], [optimizer], [scheduler])


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        (LayerLSTM, partial(optim.Adam, lr=0.01)),
        (LSTM, partial(optim.RMSprop, lr=0.01, alpha=0.99)),
    ],
    ids=["layer, adam", "textbook, rmsprop"],
)
def test_a_hundred_steps_of_the_lstm(model, optimizer, quick_gpu, replays):
    make = partial(palindromes, model, optimizer)
    expected = run_steps(make, 100, captured=False)
    actual = run_steps(make, 100, captured=True)
    assert len(replays) == 100 - 2 * 3  # two lengths, and one of them with two batch sizes
    assert_same(quick_gpu, actual, expected, 100)


def digits():
    """Two small players, built as the real ones."""
    generator = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LeakyReLU(0.2), nn.Linear(4, 6), nn.Tanh()
    )
    discriminator = nn.Sequential(nn.Linear(6, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1))
    discriminator.logits = discriminator.forward
    game = gan.Game(
        generator.to("gpu"),
        discriminator.to("gpu"),
        optim.Adam(generator.parameters(), 5e-3, (0.5, 0.999)),
        optim.Adam(discriminator.parameters(), 5e-3, (0.5, 0.999)),
    )
    random = np.random.default_rng(0)

    def args(number):
        real = random.uniform(-1, 1, (4, 6)).astype(np.float32)
        return game, mg.tensor(real), mg.randn(4, 3), 0.4 if number % 4 == 0 else 0.0

    optimizers = [game.generator_optimizer, game.discriminator_optimizer]
    schedulers = [optim.lr_scheduler.CosineAnnealingLR(each, 100) for each in optimizers]
    return Task(gan.step, args, [generator, discriminator], optimizers, schedulers)


def test_a_hundred_steps_of_the_gan_with_a_penalty_at_each_fourth(quick_gpu, replays):
    expected = run_steps(digits, 100, captured=False)
    actual = run_steps(digits, 100, captured=True)
    assert len(replays) == 100 - 2 * 2  # with the penalty and without
    assert_same(quick_gpu, actual, expected, 100)


@pytest.mark.parametrize("make", [partial(palindromes, LayerLSTM, optim.Adam), digits])
def test_a_training_step_waits_for_nothing(make, quick_gpu):
    if quick_gpu is None:
        pytest.skip("counted on the stand-in")
    mg.manual_seed(0)
    task, meter = make(), Meter()
    call = mg.capture(task.step, "gpu")
    for number in range(0, 40, 4):  # the same shapes and penalty each time
        quick_gpu.log.reset()
        meter.add(4, **call(*task.args(number)))
        if number >= 12:
            assert quick_gpu.log.downloads == []
            assert set(quick_gpu.log.syncs) <= {"event.synchronize"}
            assert quick_gpu.log.uploads == ["set"]
            assert len(quick_gpu.log.launches) == 3  # the arguments, the graph, the results


# --- what is measured ------------------------------------------------------------------------


def test_a_meter_reads_a_gpu_when_asked_and_sums_as_on_the_cpu(gpu):
    here, there = Meter(), Meter()
    for number in range(30):
        means = {"loss": mg.tensor(np.float32(1 / (number + 1))), "hit": mg.tensor(0.25 * number)}
        here.add(number + 1, **means)
        there.add(number + 1, **{name: mean.to("gpu") for name, mean in means.items()})
    if gpu is not None:
        assert gpu.log.downloads == []
    assert there.read() == here.read()
    if gpu is not None:
        assert len(gpu.log.downloads) == 1
    again = Meter()
    again.load_state_dict(there.state_dict())
    for meter in (here, again):
        meter.add(2, loss=mg.tensor(np.float32(0.1)).to("gpu" if meter is again else "cpu"))
    assert again.read() == here.read()
    assert Meter().read() == {}


def test_a_meter_does_not_wait_for_ever(gpu):
    meter, one = Meter(), mg.ones((), device="gpu")
    for _ in range(MOST_WAITING + 5):
        meter.add(1, loss=one)
    assert meter.state_dict()["sums"]["loss"].item() == MOST_WAITING + 5
    if gpu is not None:
        assert len(gpu.log.downloads) == 2


def test_an_average_of_weights_is_captured_with_its_changing_decay(quick_gpu, replays):
    def averaged(device):
        mg.manual_seed(2)
        network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).to(device)
        mean = average.Average(network, 0.999)
        for step in range(1, 80):
            for p in network.parameters():
                p.data[...] = p.data * 0.9
            network(mg.ones(2, 2, device=device) * step)
            mean.update(step)
        return {name: value.numpy() for name, value in mean.network.to("cpu").state_dict().items()}

    expected, actual = averaged("cpu"), averaged("gpu")
    assert len(replays) == 7 - 2
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=16 * EPS * 80, atol=16 * EPS)


# --- whole trainings -------------------------------------------------------------------------

TINY = {
    lstm: "--data-size 120 --epochs 3 --hidden 8 --batch-size 20 --input-length 4".split(),
    classifier: "--limit 60 --epochs 2 --batch-size 20".split(),
    gan: "--limit 40 --epochs 3 --batch-size 20 --judge-interval 9".split(),
}
PLAIN = [*TINY[lstm], "--quiet", "--no-plots"]  # pictures would take longer than the training
over_trainers = pytest.mark.parametrize("module", TINY, ids=lambda m: m.__name__.split(".")[-1])


def run_of(out: Path) -> Path:
    [path] = out.glob("*/*")
    return path


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    """A run of the LSTM's on the CPU, from beginning to end."""
    out = tmp_path_factory.mktemp("whole")
    assert lstm.main([*PLAIN, "--out", str(out)]) == 0
    return run_of(out)


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_alike(module: ModuleType, actual: Path, expected: Path) -> None:
    """float32 sums in another order, over all steps; a share may differ by an example or two."""
    assert len(metrics(actual)) == len(metrics(expected))
    for line, like in zip(metrics(actual), metrics(expected), strict=True):
        assert line.keys() == like.keys()
        for name, value in like.items():
            if "loss" in name:  # sums of at most 1024 terms, in each of at most 16 steps
                assert line[name] == pytest.approx(value, abs=16 * 16 * EPS * (8 + 1024)), name
            elif name in ("fid", "precision", "recall") or "share" in name:
                assert np.isfinite(line[name])
            else:
                assert line[name] == pytest.approx(value, abs=2 / 20), name


@over_trainers
def test_a_training_on_the_gpu_ends_as_one_on_the_cpu(
    module, quick_gpu, replays, tmp_path, capsys, monkeypatch
):
    # digits that are judged or read at the end: thousands would take the stand-in a minute
    monkeypatch.setattr(judge, "HELD_OUT", 200)
    monkeypatch.setattr(classifier, "HELD_OUT", 200)
    monkeypatch.setattr(gan, "TRIES", 200)
    for device in ("cpu", "gpu"):
        words = [*TINY[module], "--quiet", "--device", device, "--out", str(tmp_path / device)]
        assert module.main(words) == 0
    assert len(replays) >= 2, "the trainer did not capture its step"
    assert "without a CUDA graph" not in capsys.readouterr().err
    here, there = run_of(tmp_path / "cpu"), run_of(tmp_path / "gpu")
    assert_alike(module, there, here)
    assert {path.name for path in there.iterdir()} == {path.name for path in here.iterdir()}


def test_a_run_broken_off_on_one_device_ends_on_the_other_as_if_unbroken(
    quick_gpu, unbroken, tmp_path, monkeypatch
):
    class Crash(BaseException):
        pass

    for first, second in (("cpu", "gpu"), ("gpu", "cpu")):
        out, add, added = tmp_path / first, Meter.add, []

        def crashing(self, count, _add=add, _added=added, **means):
            _added.append(1)
            if len(_added) == 8:
                raise Crash
            _add(self, count, **means)

        with monkeypatch.context() as patch:
            patch.setattr(Meter, "add", crashing)
            with pytest.raises(Crash):
                lstm.main([*PLAIN, "--device", first, "--checkpoint-steps", "2", "--out", str(out)])
        run = run_of(out)
        assert lstm.main(["--resume", str(run), "--quiet", "--device", second]) == 0
        assert_alike(lstm, run, unbroken)
        assert json.loads((run / "config.json").read_text())["device"] == second


def memory_is_out(patch):
    """The fifth step, whose batch is smaller, may allocate nothing on the GPU."""
    begin, begun = StepGraph.__init__, []

    def limited(self):
        begin(self)
        begun.append(1)
        if len(begun) == 2:
            self._pool.set_limit(size=1)

    patch.setattr(StepGraph, "__init__", limited)


def lost(*_):
    raise importlib.import_module("cupy").cuda.runtime.CUDARuntimeError(LAUNCH_FAILURE)


def lose(patch):
    """From now on CUDA answers as for a GPU that has failed."""
    patch.setattr(importlib.import_module("cupy").cuda.runtime, "deviceSynchronize", lost)


def gpu_is_lost(patch):
    """The fifth replay fails as on a lost GPU; none is broken for it."""
    launch, launched = StepGraph.launch, []

    def failing(self):
        launched.append(1)
        if len(launched) == 5:
            lose(patch)
            lost()
        launch(self)

    patch.setattr(StepGraph, "launch", failing)


def library_meets_a_lost_gpu(patch):
    """The fifth step, which is no replay, ends in an error of a library's own."""
    criterion, called = lstm.criterion, []

    class StatusError(Exception):
        """Which is no RuntimeError."""

    def failing(*args):
        called.append(1)
        if len(called) < 4:  # two steps and a recording; others are replays
            return criterion(*args)
        lose(patch)
        raise StatusError("EXECUTION_FAILED (13)")

    patch.setattr(lstm, "criterion", failing)


ENDINGS = {
    memory_is_out: "not enough memory; a smaller --batch-size or network needs less",
    gpu_is_lost: "the GPU has failed: cudaErrorLaunchFailure: unspecified launch failure; {go_on}",
    library_meets_a_lost_gpu: "the GPU has failed: EXECUTION_FAILED (13); {go_on}",
}


@pytest.mark.parametrize("problem", ENDINGS)
@pytest.mark.usefixtures("quick_gpu")
def test_a_gpu_that_fails_ends_in_one_line_and_a_whole_checkpoint(
    problem, unbroken, tmp_path, monkeypatch, capsys
):
    words = [*PLAIN, "--device", "gpu", "--checkpoint-steps", "2"]
    with monkeypatch.context() as patch:
        for name in ("unraisablehook", "excepthook"):
            patch.setattr(sys, name, getattr(sys, name))  # which a lost GPU silences
        problem(patch)
        assert lstm.main([*words, "--out", str(tmp_path / "runs")]) == 1
    run = run_of(tmp_path / "runs")
    said = capsys.readouterr().err.splitlines()
    go_on = f"go on from the last checkpoint: python -m train.lstm --resume {run}"
    assert said == [f"error: {ENDINGS[problem].format(go_on=go_on)}"]
    assert lstm.main(["--resume", str(run), "--quiet", "--device", "cpu"]) == 0
    assert_alike(lstm, run, unbroken)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_other_errors_keep_their_traceback(device, monkeypatch, tmp_path):
    def broken(*_):
        raise RuntimeError("a mistake in the program")

    monkeypatch.setattr(lstm, "learn", broken)
    with pytest.raises(RuntimeError, match="a mistake in the program"):
        lstm.main([*PLAIN, "--device", device, "--out", str(tmp_path)])


@pytest.mark.usefixtures("stand_in")
def test_on_a_lost_gpu_a_program_ends_without_what_destructors_would_say(monkeypatch):
    """CuPy's print a traceback each, as an error that nobody can catch."""
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    with pytest.raises(SystemExit, match="1"):
        console.leave(1)
    assert ended == []
    with monkeypatch.context() as patch:
        lose(patch)
        for name in ("unraisablehook", "excepthook"):
            patch.setattr(sys, name, getattr(sys, name))  # which are put back after it
        assert console.guarded(lost) == 1
        assert sys.unraisablehook(None) is sys.excepthook(None, None, None) is None
        with pytest.raises(SystemExit, match="1"):
            console.leave(1)
    assert ended == [1]


@pytest.mark.usefixtures("gpu")
def test_an_error_of_cudas_about_one_call_is_a_mistake_and_no_lost_gpu(monkeypatch, tmp_path):
    """As of a kernel that asks for more than there is: the GPU works on."""
    errors = importlib.import_module("cupy").cuda.runtime

    def refused(*_):
        raise errors.CUDARuntimeError(1)

    monkeypatch.setattr(lstm, "learn", refused)
    with pytest.raises(errors.CUDARuntimeError, match="cudaErrorInvalidValue"):
        lstm.main([*PLAIN, "--device", "gpu", "--out", str(tmp_path)])
