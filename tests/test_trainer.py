"""What every trainer gives: `run` for Python and notebooks, and the options that all share."""

import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from models.gan import Generator
from models.lstm_layer import LayerLSTM
from train import classifier, gan, lstm
from train.console import BadInput, Diverged
from train.run import Run, read_lines

LSTM: dict[str, Any] = {"data_size": 50, "epochs": 2, "hidden": 4}
GAN: dict[str, Any] = {"limit": 30, "epochs": 2, "batch_size": 10}
CLASSIFIER: dict[str, Any] = {"limit": 30, "epochs": 2, "batch_size": 10}
TRAINERS = [(lstm, LSTM), (gan, GAN), (classifier, CLASSIFIER)]
over_trainers = pytest.mark.parametrize(
    ("module", "options"), TRAINERS, ids=["lstm", "gan", "classifier"]
)


def words_of(options: dict[str, Any]) -> list[str]:
    """The same options as words of a command line."""
    return [w for name, v in options.items() for w in (f"--{name.replace('_', '-')}", str(v))]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- in Python ------------------------------------------------------------------------------------


@over_trainers
def test_run_does_what_the_command_does_and_returns_the_run(
    module: Any, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main([*words_of(options), "--out", "command", "--quiet"]) == 0
    [other] = Path("command").glob("*/*")
    run = module.run(**options, out="python", quiet=True)
    assert (run.folder.parent.parent, run.stopped_by, run.exit_code) == (Path("python"), None, 0)
    for name in ("metrics.jsonl", "last.safetensors"):
        assert (run.folder / name).read_bytes() == (other / name).read_bytes()
    assert run.metrics == read_lines(run.folder / "metrics.jsonl") and len(run.metrics) == 2
    saved = mg.load(run.folder / "last.safetensors")
    for prefix, network in run.networks.items():
        for name, value in network.state_dict().items():
            own = f"{prefix}.{name}".lstrip(".")
            np.testing.assert_array_equal(value.numpy(), saved[own].numpy())
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["command"].startswith(f"{module.__name__}.run({next(iter(options))}=")
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"Results: {run.folder}")


def test_the_model_of_a_run_is_what_was_trained() -> None:
    model = lstm.run(**LSTM, quiet=True, no_plots=True).model
    assert isinstance(model, LayerLSTM) and model.output.weight.shape == (10, 4)
    run = gan.run(**GAN, quiet=True, no_plots=True)
    assert isinstance(run.model, Generator) and run.model is run.networks["average"]
    assert list(run.networks) == ["generator", "discriminator", "average"]
    run = gan.run(**GAN, average=0, quiet=True, no_plots=True)
    assert run.model is run.networks["generator"]


def test_a_sweep_has_no_single_model() -> None:
    run = lstm.run(**LSTM, sweep=[1], models=["lstm"], seeds=1, quiet=True, no_plots=True)
    with pytest.raises(AttributeError, match=re.escape(str(run.folder))):
        assert run.model
    assert (run.folder / "sweep.md").exists() and run.pictures == []


def test_a_notebook_shows_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    run = lstm.run(**LSTM, quiet=True)
    html = run._repr_html_()
    assert html.count("<img") == len(run.pictures) == 3
    assert "&lt;Run of 2 steps in runs/lstm/" in html
    shown: list[Any] = []
    python, display = ModuleType("IPython"), ModuleType("IPython.display")
    python.get_ipython = lambda: SimpleNamespace(config={"IPKernelApp": {}})  # type: ignore[attr-defined]
    display.display = shown.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", python)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    run.show()
    assert shown == [run]


def test_without_a_notebook_the_systems_viewer_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    run, shown = lstm.run(**LSTM, quiet=True), []
    monkeypatch.setattr("PIL.Image.Image.show", lambda self, title: shown.append(title))
    run.show()
    assert shown == ["curves.png", "gates.png", "gradients.png"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epoch": 3}, "unknown option 'epoch'; did you mean epochs?"),
        ({"epochs": "3"}, "epochs is '3'; allowed: a whole number"),
        ({"epochs": 2.5}, "epochs is 2.5; allowed: a whole number"),
        ({"epochs": None, "lr": "x"}, "lr is 'x'; allowed: a number"),
        ({"epochs": 0}, "--epochs is 0; allowed: a whole number of at least 1"),
        ({"lr": 0.1, "learning_rate": 0.1}, "'learning_rate' is given twice"),
        ({"model": "gru"}, "model is 'gru'; allowed: lstm or textbook or rnn"),
        ({"sweep": [3, "x"]}, "sweep is 'x'; allowed: a whole number"),
        ({"quiet": 1}, "quiet is 1; allowed: true or false"),
        ({"out": 3}, "out is 3; allowed: a path"),
        ({"dry_run": True}, "unknown option 'dry_run'"),
        ({"resume": "nowhere"}, "--resume nowhere/config.json cannot be read"),
        ({"model": "rnn", "init": "chrono"}, "--init is chrono, which is about gates"),
    ],
)
def test_bad_input_raises_a_value_error_and_makes_nothing(
    options: dict[str, Any], words: str, elsewhere: Path
) -> None:
    with pytest.raises(BadInput, match=re.escape(words)) as caught:
        lstm.run(**options)
    assert isinstance(caught.value, ValueError)
    assert list(elsewhere.iterdir()) == []


def test_a_training_that_diverges_raises() -> None:
    with np.errstate(all="ignore"), pytest.raises(Diverged, match="smaller --learning-rate"):
        lstm.run(**LSTM, lr=1e38, max_norm=1e30, quiet=True)


def test_python_values_of_other_types_will_do() -> None:
    config = lstm.LSTMConfig(out=Path("x"), epochs=2, hidden=4, learning_rate=1.0, no_plots=True)
    run = lstm.run(
        out=Path("x"), epochs=np.int64(2), hidden=np.uint8(4), lr=1, quiet=True, no_plots=True
    )
    found = json.loads((run.folder / "config.json").read_text())
    assert found == {"program": "train.lstm"} | json.loads(json.dumps(config.decided().settings()))


def test_none_is_a_value_where_it_is_one() -> None:
    options = {**LSTM, "quiet": True, "no_plots": True, "recipe": "report"}
    for given, expected in (({}, 100), ({"decay_epochs": None}, None)):
        run = lstm.run(**options, **given)
        assert json.loads((run.folder / "config.json").read_text())["decay_epochs"] == expected


def test_a_stopped_run_is_returned_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step, seen = lstm.step, []

    def stopping(*args: Any) -> Any:
        seen.append(1)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*args)

    with monkeypatch.context() as patch:
        patch.setattr(lstm, "step", stopping)
        run = lstm.run(**LSTM, batch_size=20, no_plots=True)
    assert (run.step, run.stopped_by, run.exit_code) == (3, signal.SIGINT, 130)
    assert "stopped early" in repr(run)
    capsys.readouterr()
    again = lstm.run(resume=run.folder)
    assert (again.folder, again.step, again.stopped_by) == (run.folder, 4, None)
    assert "Continuing in epoch 2 of 2, after step 3.\n" in capsys.readouterr().out
    lstm.run(resume=str(run.folder))
    said = "All 2 epochs are done (4 steps); more --epochs would continue.\n"
    assert said in capsys.readouterr().out


# --- options that all trainers have ---------------------------------------------------------------


@over_trainers
def test_no_plots_draws_nothing_and_changes_nothing(module: Any, options: dict[str, Any]) -> None:
    plain = module.run(**options, name="plain", quiet=True, no_plots=True)
    drawn = module.run(**options, name="drawn", quiet=True)
    assert not [*plain.folder.rglob("*.png"), *plain.folder.rglob("*.gif")]
    assert [*drawn.folder.rglob("*.png")]
    for name in ("metrics.jsonl", "last.safetensors"):
        assert (plain.folder / name).read_bytes() == (drawn.folder / name).read_bytes()


def test_a_run_may_have_a_name_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*words_of(LSTM), "--quiet", "--no-plots", "--name", "été 1"]
    assert lstm.main(words) == 0
    before = (Path("runs/lstm/été 1") / "metrics.jsonl").read_bytes()
    assert lstm.main(words) == 2
    error = capsys.readouterr().err
    assert error == "error: --name is été 1, but runs/lstm/été 1 exists; allowed: a new name\n"
    assert (Path("runs/lstm/été 1") / "metrics.jsonl").read_bytes() == before
    # the name is the folder's, so its config.json gives another run the same settings
    config = ["--config", "runs/lstm/été 1/config.json", "--quiet", "--name", "2"]
    assert lstm.main(config) == 0
    assert (Path("runs/lstm/2") / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/tmp", "a\\b", "a\nb", "\udcff"])
def test_a_name_that_is_none_of_a_folder_is_refused(
    name: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lstm.main([*words_of(LSTM), f"--name={name}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --name is ") and "allowed: a name for a folder" in error
    assert list(elsewhere.iterdir()) == []


def test_a_name_that_is_too_long_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert lstm.main([*words_of(LSTM), "--name", "x" * 999]) == 2
    assert "File name too long" in capsys.readouterr().err


def test_the_gan_logs_as_often_as_it_is_told() -> None:
    def lines(interval: int) -> list[dict[str, float]]:
        return gan.run(**GAN, log_interval=interval, quiet=True, no_plots=True).metrics

    usual, often = lines(20), lines(1)
    assert [line["step"] for line in usual] == [3, 6]
    assert [line["step"] for line in often if "d_loss" in line] == [1, 2, 3, 4, 5, 6]
    for name in ("d_loss", "g_loss"):
        mean = np.mean([line[name] for line in often[:3]])
        assert usual[0][name] == pytest.approx(mean, rel=1e-6)


@over_trainers
def test_help_lists_the_options_in_groups(
    module: Any, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main(["--help"]) == 0
    text = capsys.readouterr().out
    marks = [" training options ", "--epochs N", " model options ", " data options "]
    marks += ["--data-size N" if module is lstm else "--data-dir DIR"]
    marks += [" output options ", "--name NAME"]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert "(default None)" not in text and "{None" not in text


def test_help_says_what_the_recipes_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert lstm.main(["--help"]) == 0
    text = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    quick = lstm.LSTMConfig.QUICK["epochs"]
    assert f"Number of passes over the training examples. (default 40, quick {quick}," in text
    assert "--seed N Seed of all random numbers; the same seed repeats" in text
    assert "machine. (default 0)" in text and "(report normal)" in text


@over_trainers
def test_the_last_lines_are_short_and_end_with_the_folder(
    module: Any, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run = module.run(**options, no_plots=True)
    *_, first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("After ") and third == f"Results: {run.folder}"
    assert max(len(first), len(second)) < 110


def test_a_sweep_names_each_run_before_it_trains_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def learn(config: Any, run: Any) -> Any:
        said.append(capsys.readouterr().out.splitlines()[-1])
        return whole(config, run)

    whole, said = lstm.learn, list[str]()
    monkeypatch.setattr(lstm, "learn", learn)
    lstm.run(**LSTM, sweep=[1, 2], models=["rnn"], seeds=1, no_plots=True)
    assert said == ["Run 1 of 2: rnn, 1 digits, seed 0", "Run 2 of 2: rnn, 2 digits, seed 0"]


@over_trainers
def test_a_run_from_before_these_options_goes_on(module: Any, options: dict[str, Any]) -> None:
    run = module.run(**options, quiet=True)
    config = json.loads((run.folder / "config.json").read_text())
    for name in ("no_plots", "log_interval"):
        config.pop(name, None)
    config = dict(sorted(config.items()))  # older runs wrote them in another order
    (run.folder / "config.json").write_text(json.dumps(config))
    assert module.main(["--resume", str(run.folder), "--epochs", "3", "--quiet"]) == 0
    assert read_lines(run.folder / "metrics.jsonl")[-1]["step"] == run.step * 3 / 2


def test_a_run_folder_can_be_copied_and_goes_on(tmp_path: Path) -> None:
    run: Run = lstm.run(**LSTM, quiet=True, no_plots=True)
    shutil.copytree(run.folder, tmp_path / "copy")
    assert lstm.run(resume="copy", epochs=3, quiet=True).metrics[:2] == run.metrics
