"""Palindromes, and the LSTM's trainer."""

import csv
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainings import only_run, stop_before_step

import minigrad as mg
from minigrad import optim
from models.lstm import LSTM
from models.lstm_layer import LayerLSTM
from models.rnn import RNN
from models.weights import biases
from train import evaluation, lstm, palindromes
from train.console import BadInput
from train.insight import gradient_norms, steps

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.usefixtures("quick_pictures")


def rows(examples: palindromes.Examples) -> set[bytes]:
    """Each palindrome whole."""
    whole = np.concatenate([examples.digits, examples.labels[:, None].astype(np.uint8)], axis=1)
    return set(map(bytes, whole))


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6, 9, 20, 41, 2000])
@pytest.mark.parametrize("count", [2, 90, 1500])
def test_palindromes_are_distinct_and_read_the_same_backwards(length: int, count: int) -> None:
    exist = palindromes.possible(length)
    drawn = palindromes.draw(length, count, np.random.default_rng(length))
    expected = count if exist is None else min(count, exist)
    assert drawn.digits.shape == (expected, length)
    assert drawn.digits.dtype == np.uint8
    assert drawn.labels.dtype == np.int64
    whole = rows(drawn)
    assert len(whole) == expected
    assert all(row == row[::-1] and max(row) <= 9 for row in whole)


@pytest.mark.parametrize(("length", "exist"), [(1, 10), (2, 100), (3, 100), (4, 1000), (5, 1000)])
def test_all_palindromes_are_found_if_so_many_are_wanted(length: int, exist: int) -> None:
    assert palindromes.possible(length) == exist
    every = {
        bytes(int(c) for c in text)
        for text in (str(n).zfill(length + 1) for n in range(10 ** (length + 1)))
        if text == text[::-1]
    }
    for count in (exist, 10_000):
        assert rows(palindromes.draw(length, count, np.random.default_rng(0))) == every


def test_almost_all_palindromes_are_drawn_without_a_repetition() -> None:
    assert len(rows(palindromes.draw(5, 999, np.random.default_rng(0)))) == 999


@pytest.mark.parametrize("length", [5, 30])
def test_palindromes_follow_the_seed_and_use_every_digit(length: int) -> None:
    def drawn(seed: int) -> palindromes.Examples:
        return palindromes.draw(length, 900, np.random.default_rng(seed))

    np.testing.assert_array_equal(drawn(1).digits, drawn(1).digits)
    assert (drawn(1).digits != drawn(2).digits).any()
    # Each digit comes about 90 times at each place: 6 standard deviations are 54.
    for place in drawn(1).digits.T:
        assert abs(np.bincount(place, minlength=10) - 90).max() < 54


@pytest.mark.parametrize("portion", [0.8, 0.5, 0.001, 0.999])
def test_split_shares_none_and_loses_none(portion: float) -> None:
    drawn = palindromes.draw(5, 10_000, np.random.default_rng(0))
    learnt, unseen = palindromes.split(drawn, portion)
    assert len(learnt) == round(1000 * portion)
    assert len(learnt) + len(unseen) == 1000
    assert rows(learnt).isdisjoint(rows(unseen))
    assert rows(learnt) | rows(unseen) == rows(drawn)


@pytest.mark.parametrize(("portion", "words"), [(0.01, "training"), (0.99, "validation")])
def test_split_refuses_to_leave_one_side_empty(portion: float, words: str) -> None:
    drawn = palindromes.draw(1, 10, np.random.default_rng(0))
    with pytest.raises(
        BadInput, match=f"--portion-train is {portion}.*none for {words}.*0.1 to 0.9"
    ):
        palindromes.split(drawn, portion)


def test_tensors_are_the_raw_digits() -> None:
    drawn = palindromes.draw(5, 10, np.random.default_rng(0))
    x, labels = lstm.to_tensors(drawn, np.array([3, 1]), "cpu")
    assert x.shape == (2, 5, 1)
    assert (x.dtype.name, labels.dtype.name) == ("float32", "int64")
    np.testing.assert_array_equal(x.numpy()[:, :, 0], drawn.digits[[3, 1]])
    np.testing.assert_array_equal(labels.numpy(), drawn.digits[[3, 1], 0])


def test_accuracy_is_the_share_of_right_rows() -> None:
    logits = mg.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    assert evaluation.accuracy(logits, mg.tensor(np.array([1, 0, 0, 0]))).item() == 0.75


def evaluated(model: Any, drawn: palindromes.Examples) -> dict[str, float]:
    return evaluation.evaluate(model, len(drawn), lambda part: lstm.to_tensors(drawn, part))


def test_step_returns_the_loss_before_it_and_lowers_it() -> None:
    mg.manual_seed(0)
    model = LSTM(1, 16, 10)
    optimizer = optim.RMSprop(model.parameters(), lr=1e-2)
    drawn = palindromes.draw(3, 64, np.random.default_rng(0))
    x, labels = lstm.to_tensors(drawn, np.arange(64), "cpu")
    before = evaluated(model, drawn)
    losses = []
    for _ in range(20):
        measured = lstm.step(model, optimizer, x, labels, max_norm=10.0)
        losses.append(measured["loss"].item())
    assert losses[0] == pytest.approx(before["val_loss"], rel=1e-5)
    assert losses[-1] < 0.9 * losses[0]
    assert not measured["loss"].requires_grad


def test_step_cuts_a_long_gradient() -> None:
    drawn = palindromes.draw(3, 64, np.random.default_rng(0))
    x, labels = lstm.to_tensors(drawn, np.arange(64), "cpu")
    moved = []
    for max_norm in (1e-3, 1e6):
        mg.manual_seed(0)
        model = LSTM(1, 16, 10)
        before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
        lstm.step(model, optim.SGD(model.parameters(), lr=1.0), x, labels, max_norm)
        after = model.state_dict()
        moved.append(
            sum(float(((after[n].numpy() - b) ** 2).sum()) for n, b in before.items()) ** 0.5
        )
    assert moved[0] == pytest.approx(1e-3, rel=1e-2)
    assert moved[1] > 10 * moved[0]


def train_small(out: Path, *options: str) -> int:
    """A training of a second or two."""
    small = ["--input-length", "3", "--epochs", "3", "--hidden", "16", "--out", str(out)]
    return lstm.main([*small, *options])


@pytest.mark.parametrize("model", ["lstm", "textbook", "rnn"])
def test_a_run_leaves_everything_behind(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_small(tmp_path, "--model", model) == 0
    run = only_run(tmp_path)
    names = {path.name for path in run.iterdir()}
    assert names == {
        *("config.json", "environment.json", "metrics.jsonl", "metrics.csv", "timing.jsonl"),
        *(
            "checkpoint.safetensors",
            "checkpoint-before.safetensors",
            "last.safetensors",
            "best.safetensors",
        ),
        *("curves.png", "gradients.png", "memory.png" if model == "rnn" else "gates.png"),
    }
    config = json.loads((run / "config.json").read_text())
    assert (config["model"], config["hidden"], config["init"]) == (
        *(model, 16),
        "uniform" if model == "rnn" else "chrono",
    )
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    keys = ["epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy", "digits_read"]
    assert {tuple(sorted(line)) for line in lines} == {tuple(sorted(keys))}
    network = lstm.make_model(lstm.LSTMConfig(model=model, hidden=16, input_length=3).decided())  # type: ignore[arg-type]
    network.load_state_dict(mg.load(run / "last.safetensors"))
    text = capsys.readouterr().out
    assert "Only 100 palindromes of 4 digits exist" in text
    assert f"{lines[-1]['val_accuracy']:.1%} of the palindromes that it has never seen" in text
    assert str(run) in text


@pytest.mark.parametrize("recipe", ["best", "report"])
def test_recipes_lower_the_learning_rate_when_they_say(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def step(model: Any, optimizer: optim.Optimizer, *rest: Any) -> dict[str, mg.Tensor]:
        assert type(optimizer) is {"best": optim.Adam, "report": optim.RMSprop}[recipe]
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        return {"loss": mg.tensor(1.0), "accuracy": mg.tensor(0.0)}

    monkeypatch.setattr(lstm, "step", step)
    small = ["--input-length", "1", "--epochs", "101", "--hidden", "2", "--quiet"]
    assert lstm.main([*small, "--recipe", recipe, "--out", str(tmp_path)]) == 0
    cosine = [3e-3 * (1 + math.cos(math.pi * epoch / 101)) / 2 for epoch in range(101)]
    expected = {"best": cosine, "report": [1e-3] * 100 + [1e-4]}
    assert rates == pytest.approx(expected[recipe])
    # what happens from step to step cannot be drawn of a single one
    assert [path.name for path in only_run(tmp_path).glob("*.png")] == ["curves.png"]


@pytest.mark.parametrize("model", ["lstm", "textbook"])
def test_chrono_gates_remember_for_as_long_as_the_sequence(model: str, tmp_path: Path) -> None:
    options = ["--input-length", "50", "--lr", "1e-30", "--epochs", "1", "--model", model]
    assert lstm.main([*options, "--data-size", "20", "--out", str(tmp_path), "--quiet"]) == 0
    state = mg.load(only_run(tmp_path) / "last.safetensors")
    if model == "lstm":
        write, forget, candidate, *others = state["lstm.bias_ih_l0"].numpy().reshape(4, 128)
        others.append(state["lstm.bias_hh_l0"].numpy())
    else:
        write, forget, candidate, *others = (state[f"b_{gate}"].numpy()[:, 0] for gate in "ifCo")
    assert -1 <= candidate.min() < -0.9 and 0.9 < candidate.max() <= 1
    np.testing.assert_allclose(write, -forget, atol=1e-20)
    assert all(np.abs(other).max() < 1e-20 for other in others)
    times = np.exp(forget)  # uniform from 1 to 49: mean 25, standard deviation 13.9
    assert 1 <= times.min() < 4 and 46 < times.max() <= 49 * (1 + 1e-6)
    assert times.mean() == pytest.approx(25, abs=4 * 13.9 / math.sqrt(128))


def test_gates_of_init_forget_begin_open() -> None:
    assert [b.data.tolist() for b in biases(2, "forget", None)] == [[0, 0], [1, 1], [0, 0], [0, 0]]
    with pytest.raises(ValueError, match="memory="):
        biases(3, "chrono", None)
    with pytest.raises(ValueError, match="init: 'xavier'; expected"):
        biases(3, "xavier", None)  # type: ignore[arg-type]


@pytest.mark.parametrize("init", ["forget", "chrono", "xavier"])
def test_a_plain_network_refuses_what_is_about_gates(init: Any) -> None:
    with pytest.raises(ValueError, match=f"init: {init!r}; expected 'uniform' or 'normal'"):
        RNN(1, 4, 10, init=init)


@pytest.mark.parametrize(
    ("length", "epochs", "expected"),
    [
        (20, 8, [20] * 8),
        (100, 8, [20, 20, 40, 40, 80, 80, 100, 100]),
        (30, 4, [20, 30, 30, 30]),
        (1000, 12, [20, 20, 20, 40, 40, 80, 160, 320, 640, 1000, 1000, 1000]),
        (50, 1, [20]),
    ],
)
def test_the_curriculum_ends_with_all_digits(length: int, epochs: int, expected: list[int]) -> None:
    config = lstm.LSTMConfig(input_length=length, epochs=epochs)
    assert [lstm.digits_read(config, epoch) for epoch in range(1, epochs + 1)] == expected
    plain = lstm.LSTMConfig(input_length=length, curriculum=0)
    assert lstm.digits_read(plain, 1) == length


@pytest.mark.parametrize("model", ["lstm", "textbook", "rnn"])
def test_the_unrolled_network_is_the_network(model: str) -> None:
    mg.manual_seed(0)
    config = lstm.LSTMConfig(model=model, hidden=8, input_length=6).decided()  # type: ignore[arg-type]
    network = lstm.make_model(config).astype("float64")
    x = mg.tensor(np.random.default_rng(0).integers(0, 10, (5, 6, 1)).astype(float))
    found = list(steps(network, x))
    logits = network.output(found[-1].h.T).detach().numpy()
    np.testing.assert_allclose(logits, network(x).detach().numpy(), rtol=1e-12)
    shapes = {each.shape for step in found for each in (step.C, *step.gates) if each is not None}
    assert shapes == (set() if model == "rnn" else {(8, 5)})
    assert len(found) == 6 and [len(step.gates) for step in found] == [3 * (model != "rnn")] * 6
    labels = mg.tensor([1, 2, 3, 4, 5])
    norms = gradient_norms(network, x, labels)
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    share[np.arange(5), labels.numpy()] -= 1  # dL/dlogits
    last = np.linalg.norm(share @ network.output.weight.detach().numpy(), axis=1).mean()
    assert norms.shape == (6,)
    assert norms[-1] == pytest.approx(last, rel=1e-12)
    assert (norms > 0).all()


SWEEP = "--sweep 1 2 --models rnn lstm --seeds 2 --epochs 2 --hidden 4 --data-size 50".split()


def test_a_sweep_compares_models_over_lengths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lstm.main([*SWEEP, "--quiet", "--out", str(tmp_path)]) == 0
    run = only_run(tmp_path)
    rows = list(csv.DictReader((run / "sweep.csv").read_text().splitlines()))
    names = [f"{model}-{length}-seed{seed}" for length in (1, 2) for model in ("rnn", "lstm")
             for seed in (0, 1)]  # fmt: skip
    assert [f"{row['model']}-{row['length']}-seed{row['seed']}" for row in rows] == names
    for name, row in zip(names, rows, strict=True):
        last = json.loads((run / name / "metrics.jsonl").read_text().splitlines()[-1])
        assert float(row["final_accuracy"]) == last["val_accuracy"]
    out = capsys.readouterr().out
    assert (run / "sweep.md").read_text() in out
    assert "| accuracy | T = 1 | T = 2 |" in out
    assert (run / "accuracy.png").exists()
    assert lstm.main(["--resume", str(run / names[0]), "--epochs", "3", "--quiet"]) == 0


def test_a_sweep_goes_on_where_it_was_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lstm.main([*SWEEP, "--quiet", "--out", str(tmp_path / "whole")]) == 0
    with monkeypatch.context() as patch:
        stop_before_step(patch, lstm, 5)
        assert lstm.main([*SWEEP, "--quiet", "--out", str(tmp_path / "part")]) == 130
    whole, part = only_run(tmp_path / "whole"), only_run(tmp_path / "part")
    assert f"--resume {part}\n" in capsys.readouterr().out
    assert len(list(part.glob("*-seed*"))) < 8
    assert lstm.main(["--resume", str(part), "--quiet"]) == 0
    for path in [*whole.glob("*/metrics.jsonl"), *whole.glob("*/last.safetensors")]:
        assert path.read_bytes() == (part / path.relative_to(whole)).read_bytes()
    assert (whole / "sweep.csv").read_text() == (part / "sweep.csv").read_text()


@pytest.mark.parametrize(
    ("model", "weight", "bias"),
    [("textbook", "W_f", "b_f"), ("lstm", "lstm.weight_hh_l0", "lstm.bias_ih_l0")],
)
def test_the_reports_initial_weights_are_standard_normal_with_zero_biases(
    model: str, weight: str, bias: str, tmp_path: Path
) -> None:
    options = ["--recipe", "report", "--lr", "1e-30", "--epochs", "1", "--model", model]
    assert lstm.main([*options, "--out", str(tmp_path), "--quiet"]) == 0
    weights = mg.load(only_run(tmp_path) / "last.safetensors")
    assert np.abs(weights[bias].numpy()).max() < 1e-20
    assert weights[weight].numpy().std() == pytest.approx(1, abs=0.05)


def test_the_layer_and_the_textbook_learn_the_same() -> None:
    book, layer = LSTM(1, 16, 10).astype("float64"), LayerLSTM(1, 16, 10).astype("float64")
    state = {name: value.numpy() for name, value in book.state_dict().items()}
    stacked = np.concatenate([state[f"W_{gate}"] for gate in "ifCo"])
    biases = np.concatenate([state[f"b_{gate}"] for gate in "ifCo"])[:, 0]
    layer.load_state_dict(
        {
            "lstm.weight_ih_l0": stacked[:, :1],
            "lstm.weight_hh_l0": stacked[:, 1:],
            "lstm.bias_ih_l0": biases,
            "lstm.bias_hh_l0": np.zeros_like(biases),
            "output.weight": state["output.weight"],
            "output.bias": state["output.bias"],
        }
    )
    layer.lstm.bias_hh_l0.requires_grad = False  # the textbook has one bias
    random = np.random.RandomState(0)
    optimizers = [mg.optim.RMSprop(model.parameters(), lr=1e-3) for model in (book, layer)]
    for _ in range(20):
        x = mg.tensor(random.randint(0, 10, (32, 6, 1)).astype(np.float64))
        labels = x[:, 0, 0].astype(np.int64)
        losses = [
            lstm.step(model, optimizer, x, labels, 1.0)["loss"].item()
            for model, optimizer in zip((book, layer), optimizers, strict=True)
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_the_lstm_learns_palindromes(tmp_path: Path) -> None:
    options = ["--epochs", "25", "--batch-size", "32", "--lr", "3e-3", "--out", str(tmp_path)]
    assert lstm.main([*options, "--quiet"]) == 0
    last = json.loads((only_run(tmp_path) / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["val_accuracy"] > 0.9


def test_a_missing_gpu_is_bad_input_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_gpu(*shape: int, device: str) -> Any:
        raise mg.DeviceError(f"{device} is not here")

    monkeypatch.setattr(mg, "zeros", no_gpu)
    assert lstm.main(["--device", "gpu", "--out", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err == "error: --device gpu: gpu is not here\n"
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_saves_what_was_learnt(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "train.lstm", "--epochs", "10000", "--hidden", "16"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while not list(tmp_path.glob("lstm/*/best.safetensors")) and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "After epoch" in out and "Stopped by Ctrl-C after step" in out
    run = only_run(tmp_path)
    assert mg.load(run / "last.safetensors")
    assert (run / "curves.png").stat().st_size > 10_000
