"""The classifier of digits, and its trainer."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from trainings import only_run, write_random_digits

import minigrad as mg
from minigrad import optim
from minigrad.data import DataError, MissingDataError, sample_digits
from models.classifier import Classifier
from train import classifier, digits, evaluation
from train.console import BadInput

pytestmark = pytest.mark.usefixtures("quick_pictures")


def find(folder: Path | None, limit: int | None = None) -> tuple[digits.Digits, digits.Digits]:
    config = classifier.ClassifierConfig(data_dir=folder, limit=limit)
    return classifier.find(config, lambda text: None)


def test_the_logits_follow_from_the_features() -> None:
    mg.manual_seed(0)
    model = Classifier().eval()
    x = mg.rand(3, 784)
    with mg.no_grad():
        features = model.features(x)
        assert features.shape == (3, 128)
        np.testing.assert_array_equal(model.output(features).numpy(), model(x).numpy())


def test_the_weights_fit_into_a_megabyte() -> None:
    assert sum(p.size * p.dtype.itemsize for p in Classifier().parameters()) < 1.1e6


def test_digits_move_by_every_step_and_keep_their_ink() -> None:
    mg.manual_seed(0)
    images = np.zeros((2000, 28, 28), np.uint8)
    images[:, 10:15, 12:14] = np.arange(1, 11, dtype=np.uint8).reshape(5, 2)
    found = classifier.moved(images, 2)
    assert (found.dtype, found.shape) == (images.dtype, images.shape)
    steps = [
        np.flatnonzero([(np.roll(images[0], (down, right), (0, 1)) == one).all() for one in found])
        for down in range(-2, 3)
        for right in range(-2, 3)
    ]
    # Each of the 25 steps comes about 80 times: 5 standard deviations are 44.
    assert sum(map(len, steps)) == 2000
    assert max(abs(len(step) - 80) for step in steps) < 44


def test_what_moves_off_the_edge_is_gone() -> None:
    mg.manual_seed(0)
    images = np.full((100, 28, 28), 7, np.uint8)
    found = classifier.moved(images, 1)
    inks = {int((one > 0).sum()) for one in found}
    assert inks == {28 * 28, 27 * 28, 27 * 27}


def test_no_move_is_none() -> None:
    images = sample_digits()[0][:5]
    np.testing.assert_array_equal(classifier.moved(images, 0), images)


def test_tensors_are_scaled_to_ink() -> None:
    images = np.zeros((2, 28, 28), np.uint8)
    images[1, 0, :2] = 255, 51
    x, labels = classifier.to_tensors(images, np.array([3, 9], np.uint8), "cpu")
    assert (x.shape, x.dtype.name, labels.dtype.name) == ((2, 784), "float32", "int64")
    np.testing.assert_allclose(x.numpy()[1, :3], [1, 0.2, 0], rtol=1e-6)
    np.testing.assert_array_equal(labels.numpy(), [3, 9])


def evaluated(model: Classifier, some: digits.Digits) -> dict[str, float]:
    return evaluation.evaluate(
        model,
        len(some),
        lambda part: classifier.to_tensors(some.images[part], some.labels[part]),
    )


def test_step_returns_the_loss_before_it_and_lowers_it() -> None:
    mg.manual_seed(0)
    model = Classifier(dropout=0.0)
    optimizer = optim.Adam(model.parameters())
    some = digits.Digits(*sample_digits(), digits.BUNDLE)[:64]
    x, labels = classifier.to_tensors(some.images, some.labels, "cpu")
    before = evaluated(model, some)
    measured = [classifier.step(model, optimizer, x, labels) for _ in range(20)]
    assert measured[0]["loss"].item() == pytest.approx(before["val_loss"], rel=1e-5)
    assert measured[0]["accuracy"].item() == pytest.approx(before["val_accuracy"])
    assert measured[-1]["loss"].item() < 0.5 * before["val_loss"]
    assert not measured[0]["loss"].requires_grad


def test_evaluation_in_parts_hides_nothing_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mg.manual_seed(0)
    model = Classifier(dropout=0.5)
    some = digits.Digits(*sample_digits(), digits.BUNDLE)[:100]
    whole = evaluated(model, some)
    monkeypatch.setattr(evaluation, "BATCH", 33)
    assert evaluated(model, some) == pytest.approx(whole, rel=1e-5)
    assert model.training


def test_the_test_digits_check_it_if_they_are_there(tmp_path: Path) -> None:
    images = write_random_digits(tmp_path)
    others = write_random_digits(tmp_path, 30, "t10k")
    learnt, unseen = find(tmp_path)
    np.testing.assert_array_equal(learnt.images, images)
    np.testing.assert_array_equal(unseen.images, others)
    assert unseen.source == f"30 test digits of {tmp_path / 'MNIST' / 'raw'}"
    assert len(find(tmp_path, limit=7)[0]) == 7


@pytest.mark.usefixtures("no_torchvision", "elsewhere")
def test_else_the_last_bundled_digits_do_and_are_not_trained_on() -> None:
    images, labels = sample_digits()
    for limit, count in ((None, 8000), (10, 10), (9999, 8000)):
        learnt, unseen = find(None, limit)
        np.testing.assert_array_equal(learnt.images, images[:count])
        np.testing.assert_array_equal(learnt.labels, labels[:count])
        np.testing.assert_array_equal(unseen.images, images[8000:])
        np.testing.assert_array_equal(unseen.labels, labels[8000:])
        words = "the last 2,000 digits of the bundled sample, which are not trained on"
        assert unseen.source == words


def test_a_folder_without_test_digits_gives_some_of_its_own(tmp_path: Path) -> None:
    images = write_random_digits(tmp_path)
    learnt, unseen = find(tmp_path)
    np.testing.assert_array_equal(np.concatenate([learnt.images, unseen.images]), images)
    assert len(unseen) == 14


def test_a_folder_with_too_few_digits_is_bad_input(tmp_path: Path) -> None:
    write_random_digits(tmp_path, 4)
    with pytest.raises(BadInput, match=r"--data-dir .* 4 digits; allowed: at least 5"):
        find(tmp_path)


def test_damaged_test_digits_are_never_passed_over(tmp_path: Path) -> None:
    write_random_digits(tmp_path)
    write_random_digits(tmp_path, 30, "t10k")
    path = tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte is truncated"):
        find(tmp_path)
    path.unlink()
    with pytest.raises(MissingDataError):
        digits.unseen_digits(tmp_path)


def train_small(out: Path, *options: str) -> int:
    """A training of a second."""
    small = ["--limit", "50", "--epochs", "2", "--batch-size", "16", "--out", str(out)]
    return classifier.main([*small, *options])


def metrics(run: Path) -> list[dict[str, float]]:
    """The run's measurements."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_everything_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_random_digits(tmp_path)
    assert train_small(tmp_path / "runs", "--data-dir", str(tmp_path)) == 0
    run = only_run(tmp_path / "runs")
    names = {path.name for path in run.iterdir()}
    assert names >= {
        *("config.json", "environment.json", "metrics.jsonl", "timing.jsonl"),
        *("last.safetensors", "best.safetensors", "curves.png"),
        *("confusion.png", "worst-read.png"),
    }
    config = json.loads((run / "config.json").read_text())
    assert (config["dropout"], config["shift"], config["limit"]) == (0.1, 2, 50)
    environment = json.loads((run / "environment.json").read_text())
    raw = tmp_path / "MNIST" / "raw"
    assert environment["digits"] == f"50 digits of {raw}"
    assert environment["validation"].startswith(f"the last 14 digits of {raw}")
    lines = metrics(run)
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 4), (2, 8)]
    keys = ["accuracy", "epoch", "loss", "step", "val_accuracy", "val_loss"]
    assert all(sorted(line) == keys for line in lines)
    Classifier().load_state_dict(mg.load(run / "last.safetensors"))
    text = capsys.readouterr().out
    assert f"Learning from 50 digits of {raw}. Validation: the last 14 digits" in text
    best = max(line["val_accuracy"] for line in lines)
    assert f"After epoch 2 it reads {lines[-1]['val_accuracy']:.2%} of the 14 digits" in text
    assert f"read {best:.2%}.\nResults: {run}\n" in text


def test_the_best_weights_are_those_that_read_most(tmp_path: Path) -> None:
    write_random_digits(tmp_path)
    options = ["--data-dir", str(tmp_path), "--epochs", "6", "--quiet"]
    assert train_small(tmp_path / "runs", *options) == 0
    run = only_run(tmp_path / "runs")
    model = Classifier()
    model.load_state_dict(mg.load(run / "best.safetensors"))
    best = max(metrics(run), key=lambda line: (line["val_accuracy"], -line["val_loss"]))
    check = evaluated(model, find(tmp_path)[1])
    assert check["val_accuracy"] == pytest.approx(best["val_accuracy"])
    assert check["val_loss"] == pytest.approx(best["val_loss"], rel=1e-5)


def test_the_learning_rate_falls_evenly_to_a_hundredth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def step(
        model: Classifier, optimizer: optim.Optimizer, *batch: mg.Tensor
    ) -> dict[str, mg.Tensor]:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        return {"loss": mg.tensor(1.0), "accuracy": mg.tensor(0.0)}

    monkeypatch.setattr(classifier, "step", step)
    write_random_digits(tmp_path)
    options = ["--data-dir", str(tmp_path), "--batch-size", "64", "--epochs", "10", "--lr", "1"]
    assert train_small(tmp_path, *options, "--quiet") == 0
    assert rates == pytest.approx([1 - 0.099 * epoch for epoch in range(10)])


@pytest.mark.usefixtures("no_torchvision", "elsewhere")
def test_it_learns_the_bundled_digits(tmp_path: Path) -> None:
    assert classifier.main(["--epochs", "8", "--out", str(tmp_path), "--quiet"]) == 0
    assert metrics(only_run(tmp_path))[-1]["val_accuracy"] > 0.93


@pytest.mark.skipif(
    "MINIGRAD_MNIST" not in os.environ, reason="MINIGRAD_MNIST (holds MNIST/raw/) is not set"
)
def test_it_learns_all_of_mnist(tmp_path: Path) -> None:
    options = ["--data-dir", os.environ["MINIGRAD_MNIST"], "--epochs", "3", "--quiet"]
    assert classifier.main([*options, "--out", str(tmp_path)]) == 0
    assert metrics(only_run(tmp_path))[-1]["val_accuracy"] > 0.96
