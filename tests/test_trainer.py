"""What every trainer gives: `run` for Python and notebooks, and the options that all share."""

import json
import re
import shutil
import signal
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from trainings import only_run, over_trainers, stop_before_step, words_of

import minigrad as mg
from models.gan import Generator
from models.lstm_layer import LayerLSTM
from train import classifier, gan, lstm
from train.console import BadInput, Diverged
from train.folder import read_lines
from train.run import Run

LSTM: dict[str, Any] = {"data_size": 50, "epochs": 2, "hidden": 4}
DIGITS: dict[str, Any] = {"limit": 30, "epochs": 2, "batch_size": 10}
GAN: dict[str, Any] = {**DIGITS, "generator_hidden": (16, 32), "discriminator_hidden": (16,)}
SMALL: dict[Any, dict[str, Any]] = {lstm: LSTM, gan: GAN, classifier: DIGITS}
quick_pictures = pytest.mark.usefixtures("quick_pictures")
pytestmark = pytest.mark.usefixtures("elsewhere")


# --- in Python ------------------------------------------------------------------------------------


def results(run: Path) -> dict[str, bytes]:
    """What does not depend on the clock: measurements, weights, samples."""
    names = ("*.jsonl", "last.safetensors", "best.safetensors", "samples/*")
    found = {path for name in names for path in run.glob(name)} - {run / "timing.jsonl"}
    return {str(path.relative_to(run)): path.read_bytes() for path in found}


@quick_pictures
@over_trainers
def test_run_does_what_the_command_does_and_returns_the_run(
    module: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    options = SMALL[module]
    assert module.main([*words_of(options), "--out", "command", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 and err == ""
    other = only_run(Path("command"))
    run = module.run(**options, out="python", quiet=True)
    assert (run.folder.parent.parent, run.stopped_by, run.exit_code) == (Path("python"), None, 0)
    assert results(run.folder) == results(other) and len(results(other)) >= 2
    assert run.metrics == read_lines(run.folder / "metrics.jsonl") and len(run.metrics) == 2
    saved = mg.load(run.folder / "last.safetensors")
    for prefix, network in run.networks.items():
        for name, value in network.state_dict().items():
            own = f"{prefix}.{name}".lstrip(".")
            np.testing.assert_array_equal(value.numpy(), saved[own].numpy())
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["command"].startswith(f"{module.__name__}.run({next(iter(options))}=")
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"Results: {run.folder}")
    another = module.run(**options, seed=1, quiet=True, no_plots=True)
    assert another.metrics != run.metrics


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


@quick_pictures
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


@quick_pictures
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


@pytest.mark.parametrize(
    ("module", "options", "words"),
    [
        (lstm, "--input-length 0", "--input-length is 0; allowed: a whole number of at least 1"),
        (lstm, "--input-length abc", "--input-length"),
        (lstm, "--learning-rate -1", "--learning-rate is -1.0"),
        (lstm, "--device tpu", "tpu"),
        (lstm, "--model gru", "gru"),
        (lstm, "--portion-train 0.9999", "--portion-train is 0.9999"),
        (lstm, "--portion-train 1", "--portion-train is 1.0"),
        (lstm, "--data-size 1", "--data-size is 1"),
        (lstm, "--max-norm 0", "--max-norm is 0.0"),
        (lstm, "--hidden 0", "--hidden is 0"),
        (lstm, "--model rnn --init chrono", "--init is chrono, which is about gates"),
        (lstm, "--curriculum -1", "--curriculum is -1; allowed: a whole number of at least 0"),
        (lstm, "--sweep 5 0", "--sweep is 5 0; allowed: a whole number of at least 1"),
        (lstm, "--sweep 5 --portion-train 0.9999", "--portion-train is 0.9999"),
        (lstm, "--sweep 3 3", "--sweep is 3 3; allowed in a sweep: at least one, each once"),
        (lstm, "--sweep 3 --models", "--models is empty; allowed in a sweep: at least one, each"),
        (lstm, "--sweep 3 --models rnn rnn", "--models is rnn rnn; allowed"),
        (lstm, "--config nowhere.toml", "nowhere.toml cannot be read"),
        (gan, "--batch-size 1", "--batch-size is 1; allowed: a whole number of at least 2"),
        (gan, "--limit 0", "--limit is 0"),
        (gan, "--betas 0.5 1", "--betas is 0.5 1.0"),
        (gan, "--save-interval 0", "--save-interval is 0"),
        (gan, "--latent-dim -1", "--latent-dim is -1"),
        (gan, "--data-dir nowhere", "--data-dir nowhere"),
        (classifier, "--limit 0", "--limit is 0; allowed: a whole number of at least 1"),
        (classifier, "--dropout 1", "--dropout is 1.0"),
        (classifier, "--shift 28", "--shift is 28; allowed: a whole number from 0 to 27"),
        (classifier, "--shift -1", "--shift is -1"),
        (classifier, "--lr 0", "--learning-rate is 0.0"),
        (classifier, "--epochs none", "--epochs"),
        (classifier, "--data-dir nowhere", "--data-dir nowhere"),
    ],
)
@pytest.mark.usefixtures("no_torchvision")
def test_bad_input_is_one_message_and_makes_nothing(
    module: Any,
    options: str,
    words: str,
    elsewhere: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert module.main(options.split()) == 2
    out, err = capsys.readouterr()
    by_tyro = "For full helptext" in err  # in a box
    assert words in re.sub(r"[\n│ ]+", " ", err) and (by_tyro or len(err.splitlines()) == 1)
    assert out == "" and list(elsewhere.iterdir()) == []


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
    with monkeypatch.context() as patch:
        stop_before_step(patch, lstm, 3)
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
def test_no_plots_draws_nothing_and_changes_nothing(module: Any) -> None:
    plain = module.run(**SMALL[module], name="plain", quiet=True, no_plots=True)
    drawn = module.run(**SMALL[module], name="drawn", quiet=True)
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
def test_help_lists_the_options_in_groups(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
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
    module: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = module.run(**SMALL[module], no_plots=True)
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
@quick_pictures
def test_a_run_from_before_these_options_goes_on(module: Any) -> None:
    run = module.run(**SMALL[module], quiet=True)
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
