"""What both trainers share: options, run folders, averages, the loop, stopping, pictures."""

import inspect
import json
import math
import os
import re
import signal
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataError, batches
from train import drawing, trainer
from train.allowed import BELOW_ONE, COUNT
from train.config import RunConfig, parse
from train.console import BadInput, Diverged
from train.folder import new_folder
from train.latent import to_grey
from train.loop import Loop, training
from train.run import Run, RunFolder, summary_writer
from train.state import Meter, State
from train.trainer import Trainer, environment


@dataclass(frozen=True)
class Toy(RunConfig):
    """A trainer's config with an option of each kind."""

    REPORT: ClassVar[dict[str, Any]] = {"init": "normal", "betas": (0.9, 0.99)}

    init: Literal["uniform", "normal"] = "uniform"
    """Initial weights."""

    betas: Annotated[tuple[float, float], BELOW_ONE] = (0.5, 0.999)
    """Two numbers."""

    limit: Annotated[int | None, COUNT] = None
    """At most."""

    data_dir: Path | None = None
    """A folder."""


def options(*args: str) -> Toy:
    """Parse a command line."""
    return parse(Toy, args, "toy")


def must_not_train(config: Toy, make_run: object) -> Run:
    """Stands for a trainer that must not be reached."""
    raise AssertionError("trained")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A new run folder."""
    return RunFolder(new_folder(tmp_path / "runs", "toy"))


def test_options_default_to_recipe_best() -> None:
    assert options() == Toy()


def test_recipe_report_changes_only_what_it_decides() -> None:
    assert options("--recipe", "report") == Toy(recipe="report", init="normal", betas=(0.9, 0.99))


def test_an_option_is_stronger_than_the_recipe_even_with_the_default_value() -> None:
    config = options("--init", "uniform", "--recipe", "report")
    assert (config.init, config.betas) == ("uniform", (0.9, 0.99))


@pytest.mark.parametrize("name", ["--lr", "--learning-rate"])
def test_learning_rate_has_a_short_name(name: str) -> None:
    assert options(name, "0.5").learning_rate == 0.5


def test_command_line_beats_file_beats_recipe(tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text('epochs = 3\nlr = 1\nbatch-size = 7\nrecipe = "report"\nbetas = [0.1, 0.2]\n')
    config = options("--config", str(file), "--epochs", "9")
    assert (config.epochs, config.learning_rate, config.batch_size) == (9, 1.0, 7)
    assert (config.recipe, config.init, config.betas) == ("report", "normal", (0.1, 0.2))
    assert isinstance(config.learning_rate, float)


@pytest.mark.parametrize("recipe", ["best", "report"])
def test_a_runs_config_json_gives_the_same_config(recipe: str, run: RunFolder) -> None:
    args = ["--recipe", recipe, "--limit", "5", "--data-dir", "some/where", "--seed", "3"]
    config = options(*args)
    run.write_json("config.json", config.settings())
    again = options("--config", str(run.path / "config.json"))
    assert again.settings() == config.settings()
    assert again.data_dir == Path("some/where")


@pytest.mark.parametrize(("first", "second"), [("best", "report"), ("report", "best")])
def test_another_recipe_replaces_what_a_config_json_has_from_its_own(
    first: str, second: str, run: RunFolder
) -> None:
    run.write_json("config.json", options("--recipe", first, "--epochs", "4").settings())
    config = options("--config", str(run.path / "config.json"), "--recipe", second)
    assert config.settings() == options("--recipe", second, "--epochs", "4").settings()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("--epochs 0", "--epochs is 0; allowed: a whole number of at least 1"),
        ("--batch-size -3", "--batch-size is -3; allowed: a whole number of at least 1"),
        ("--learning-rate -0.1", "--learning-rate is -0.1; allowed: a finite number above 0"),
        ("--lr nan", "--learning-rate is nan"),
        ("--lr inf", "--learning-rate is inf"),
        ("--lr 0", "--learning-rate is 0.0"),
        ("--seed -1", "--seed is -1; allowed: a whole number from 0"),
        ("--betas 0.5 1", "--betas is 0.5 1.0; allowed: numbers from 0 to below 1"),
        ("--limit 0", "--limit is 0"),
        ("--config nowhere.toml", "--config nowhere.toml cannot be read: No such file"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(args: str, words: str) -> None:
    with pytest.raises(BadInput, match="^" + re.escape(words)):
        options(*args.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch = 3", "unknown option 'epoch'; did you mean epochs?"),
        ("[lstm]\nepochs = 3", "unknown option 'lstm'; known are batch_size"),
        ("dry_run = true", "unknown option 'dry_run'"),
        ('epochs = "3"', "epochs is '3'; allowed: a whole number"),
        ("epochs = true", "epochs is True; allowed: a whole number"),
        ("epochs = 2.5", "epochs is 2.5; allowed: a whole number"),
        ("lr = 'big'", "lr is 'big'; allowed: a number"),
        ("betas = [0.5]", "betas is [0.5]; allowed: a list of 2 numbers"),
        ("betas = [0.5, 'a']", "betas is 'a'; allowed: a number"),
        ("device = 'tpu'", "device is 'tpu'; allowed: cpu or gpu"),
        ("out = 3", "out is 3; allowed: a path"),
        ("quiet = 1", "quiet is 1; allowed: true or false"),
        ("epochs", "neither TOML nor a run's config.json"),
        ("epochs = -1", "--epochs is -1"),
        (
            "epochs = 1000000000",
            "--epochs is 1000000000; allowed: a whole number of at least 1, at most 1,000,000",
        ),
        ("batch-size = 3\nbatch_size = 4", "'batch_size' is given twice"),
        ("lr = 0.1\nlearning_rate = 0.2", "'learning_rate' is given twice"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_name(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text(text)
    with pytest.raises(BadInput, match=re.escape(words)):
        options("--config", str(file))


def test_a_name_that_a_json_file_gives_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"epochs": 3, "seed": 1, "epochs": 4}')
    with pytest.raises(BadInput, match="'epochs' is given twice"):
        options("--config", str(file))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("options.toml", "epochs = 3\r\nout = 'Zahlen-é'\r\n"),
        ("config.json", '{"program": "train.toy", "epochs": 3, "out": "Zahlen-é"}\r\n'),
    ],
)
def test_a_file_may_have_a_byte_order_mark(
    encoding: str, name: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    config = options("--config", str(tmp_path / name))
    assert (config.epochs, str(config.out)) == (3, "Zahlen-é")


@pytest.mark.parametrize("name", ["options.toml", "config.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\0",
        b"\xef\xbb\xbf\xff",
        b"\x89PNG\r\n\x1a\n\0\0",
        "epochs = '\xe9'".encode("latin-1"),
        b"\0" * 100,
        b"[" * 99_999,
        b'{"a":' * 99_999,
        b'"a',
        b"null",
        b"[1, 2]",
        b"{",
        b'"best"',
        b'{"learning_rate": 1' + b"0" * 400 + b"}",
        b"learning_rate = 1" + b"0" * 400,
        b'{"epochs": ' + b"1" * 5000 + b"}",
        b'{"epochs": NaN}',
        b'{"lr": Infinity}',
        b'{"data_dir": ["x"]}',
        b'{"betas": {"a": 1}}',
        b'{"device": ["cpu"]}',
    ],
)
def test_a_file_of_anything_else_is_one_message(
    content: bytes, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    assert Trainer("train.toy", Toy, must_not_train).main(["--config", str(file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert str(file) in error or "--learning-rate is inf" in error
    assert len(error.splitlines()) == 1


def test_an_empty_options_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "options.toml").write_bytes(b"\xef\xbb\xbf")
    assert options("--config", str(tmp_path / "options.toml")).epochs == Toy().epochs


@pytest.mark.parametrize("name", ["--config", "--resume"])
@pytest.mark.parametrize("path", ["a\0b", "nowhere-\udcff", "\ud800", "x" * 5000, "/dev/null/x"])
def test_a_path_that_cannot_be_is_one_message(
    path: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Trainer("train.toy", Toy, must_not_train).main([name, path]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {name} ") and len(error.splitlines()) == 1


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "x" * 5000, "/dev/null/x"])
def test_an_out_that_cannot_be_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match=r"--out .*: cannot make the run folder"):
        new_folder(Path(path), "toy")


def test_run_folders_of_one_second_do_not_meet(tmp_path: Path) -> None:
    folders = {new_folder(tmp_path, "toy") for _ in range(5)}
    assert len(folders) == 5
    assert all(folder.parent == tmp_path / "toy" and folder.is_dir() for folder in folders)


@pytest.mark.parametrize("below", ["", "deeper"])
def test_an_out_that_is_a_file_is_refused_and_left_alone(below: str, tmp_path: Path) -> None:
    out = tmp_path / "file"
    out.write_text("precious")
    with pytest.raises(BadInput, match=r"--out .*file.*: cannot make the run folder"):
        new_folder(out / below, "toy")
    assert out.read_text() == "precious"


def test_a_write_that_fails_leaves_the_file_before(run: RunFolder) -> None:
    run.write_json("a.json", {"x": 1})
    with pytest.raises(RuntimeError), run.replacing("a.json") as path:
        path.write_text("half")
        raise RuntimeError
    assert json.loads((run.path / "a.json").read_text()) == {"x": 1}
    assert [path.name for path in run.path.iterdir()] == ["a.json"]


def test_lines_are_valid_json_and_come_back(run: RunFolder) -> None:
    assert run.read_lines("m.jsonl") == []
    run.append("m.jsonl", step=1, loss=0.25)
    run.append("m.jsonl", step=2, loss=math.nan)
    text = (run.path / "m.jsonl").read_text()
    assert text == '{"step": 1, "loss": 0.25}\n{"step": 2, "loss": null}\n'
    first, second = run.read_lines("m.jsonl")
    assert first == {"step": 1, "loss": 0.25}
    assert math.isnan(second["loss"])


def test_environment_names_command_and_versions() -> None:
    found = environment("python -m train.toy --out 'a b'")
    assert found["command"] == "python -m train.toy --out 'a b'"
    assert found["packages"]["numpy"] == np.__version__
    json.dumps(found)


def broken(*args: object, **options: object) -> Any:
    raise OSError("no such program")


def test_an_environment_is_described_whatever_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.metadata, "distributions", broken)
    monkeypatch.setattr(trainer, "_versions", inspect.unwrap(trainer._versions))
    monkeypatch.setattr(trainer, "ROOT", tmp_path)
    monkeypatch.setattr(trainer.subprocess, "run", broken)
    for _ in ("no checkout", "no git"):
        found = environment("x")
        assert found["packages"] == {} and found["commit"] is None
        (tmp_path / ".git").mkdir(exist_ok=True)


def test_a_checkout_names_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = types.SimpleNamespace(stdout="1234-dirty\n")
    monkeypatch.setattr(trainer, "ROOT", tmp_path)
    monkeypatch.setattr(trainer.subprocess, "run", lambda *args, **options: said)
    (tmp_path / ".git").mkdir()
    assert environment("x")["commit"] == "1234-dirty"


def test_tensorboard_that_is_missing_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(BadInput, match='--tensorboard needs a package: pip install "tensorboardX"'):
        summary_writer()


def test_meter_averages_over_examples() -> None:
    meter = Meter()
    assert meter.read() == {}
    meter.add(3, loss=mg.tensor(1.0), accuracy=mg.tensor(0.0))
    meter.add(1, loss=mg.tensor(5.0), accuracy=mg.tensor(1.0))
    assert meter.read() == {"loss": 2.0, "accuracy": 0.25}


@pytest.fixture
def state() -> State:
    """A network of one layer before its first step."""
    mg.manual_seed(0)
    layer = nn.Linear(2, 1)
    return State({"": layer}, {"": optim.SGD(layer.parameters(), lr=0.1)}, np.random.default_rng(0))


def walk(loop: Loop, count: int = 10) -> Iterator[int]:
    """Run an empty training with batches of 4 and yield each step's number."""
    for _ in loop.epochs():
        for chosen in loop.steps(batches(count, 4, loop.state.shuffle)):
            loop.meter.add(len(chosen), loss=mg.tensor(float(loop.state.step)))
            yield loop.state.step


def test_loop_counts_logs_and_saves(state: State, run: RunFolder) -> None:
    with training(state, run, Toy(epochs=2, quiet=True), 3) as loop:
        assert list(walk(loop)) == [1, 2, 3, 4, 5, 6]
    assert (state.epoch, state.step, loop.stopped_by) == (2, 6, None)
    lines = run.read_lines("metrics.jsonl")
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 3), (2, 6)]
    assert lines[0]["loss"] == pytest.approx((4 * 1 + 4 * 2 + 2 * 3) / 10)
    timing = run.read_lines("timing.jsonl")
    assert [line["epoch"] for line in timing] == [1, 2]
    assert all(line["seconds"] > 0 and line["steps_per_second"] > 0 for line in timing)
    saved = mg.load(run.path / "last.safetensors")
    assert set(saved) == {"weight", "bias"}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"step": -1}, "step is -1, expected a whole number"),
        ({"best": (math.nan,)}, r"best is \(nan,\), expected numbers"),
        ({"best_file": np.zeros((1, 2), np.uint8)}, r"best_file has shape \(1, 2\), uint8"),
        ({"best_file": np.zeros(2)}, r"best_file has shape \(2,\), float64, expected bytes"),
        ({"networks": {"": {"weight": np.full((1, 2), np.nan)}}}, "weight is not finite"),
    ],
)
def test_a_state_that_no_training_can_have_is_refused(
    damage: dict[str, Any], words: str, state: State
) -> None:
    before = mg.serialization.to_bytes(state.networks[""].state_dict())
    with pytest.raises(ValueError, match=words):
        state.load_state_dict(state.state_dict() | damage)
    assert mg.serialization.to_bytes(state.networks[""].state_dict()) == before


def test_loop_goes_on_from_its_state(state: State, run: RunFolder) -> None:
    state.epoch, state.step = 1, 3
    with training(state, run, Toy(epochs=2, quiet=True), 3) as loop:
        assert list(walk(loop)) == [4, 5, 6]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("at", "epochs_done"), [(2, 0), (3, 0), (5, 1), (6, 1)])
def test_a_signal_ends_after_the_step_and_saves(
    at: int, epochs_done: int, number: signal.Signals, state: State, run: RunFolder
) -> None:
    before = signal.getsignal(number)
    seen = []
    with training(state, run, Toy(epochs=2, quiet=True), 3) as loop:
        for step in walk(loop):
            seen.append(step)
            if step == at:
                os.kill(os.getpid(), number)
    assert seen == list(range(1, at + 1))
    assert loop.stopped_by == number
    assert (state.epoch, state.step) == (epochs_done, at)
    assert [line["epoch"] for line in run.read_lines("metrics.jsonl")] == [1] * epochs_done
    assert (run.path / "last.safetensors").exists()
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_interrupts_at_once(state: State, run: RunFolder) -> None:
    before = signal.getsignal(signal.SIGINT)
    with (
        pytest.raises(KeyboardInterrupt),
        training(state, run, Toy(epochs=2, quiet=True), 3) as loop,
    ):
        for _ in walk(loop):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_loss_that_is_not_finite_ends_the_training(state: State, run: RunFolder) -> None:
    with (
        pytest.raises(Diverged, match=r"loss is nan at step 3.*--learning-rate"),
        training(state, run, Toy(epochs=2, quiet=True), 3) as loop,
    ):
        for step in walk(loop):
            loop.meter.add(1, loss=mg.tensor(math.nan if step == 3 else 1.0))
    assert len(run.read_lines("metrics.jsonl")) == 1


def test_the_best_weights_are_kept(state: State, run: RunFolder) -> None:
    layer = state.networks[""]
    with training(state, run, Toy(epochs=1, quiet=True), 1) as loop:
        for number, quality in enumerate([(0.5, -2.0), (0.9, -3.0), (0.9, -1.0), (0.8, -0.1)]):
            layer.load_state_dict(
                {"weight": np.full((1, 2), number, "f4"), "bias": np.zeros(1, "f4")}
            )
            loop.keep_best(*quality)
    saved = mg.load(run.path / "best.safetensors")
    np.testing.assert_array_equal(saved["weight"].numpy(), [[2, 2]])


def test_weights_of_several_networks_have_prefixes() -> None:
    networks: dict[str, nn.Module] = {"one": nn.Linear(1, 1), "two": nn.Linear(1, 1)}
    names = set(State(networks, {}, np.random.default_rng(0)).weights())
    assert names == {"one.weight", "one.bias", "two.weight", "two.bias"}


def test_progress_in_a_file_is_ten_plain_lines(
    state: State, run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with training(state, run, Toy(epochs=40, quiet=False), 3) as loop:
        list(walk(loop))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert re.fullmatch(
        r"epoch 20/40  50%, 00:0\d so far, 00:0\d left, [\d.]+ steps/s, loss 58\.800", lines[4]
    ), lines[4]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (BadInput("--x is 3"), 2, "error: --x is 3\n"),
        (DataError("file is corrupted"), 2, "error: file is corrupted\n"),
        (Diverged("loss is nan"), 1, "error: loss is nan\n"),
        (OSError(28, "No space left on device"), 1, "No space left on device\n"),
        (MemoryError(), 1, "error: not enough memory"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_command_turns_an_error_into_a_message_and_a_code(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(config: Toy, make_run: object) -> Run:
        raise error

    assert Trainer("train.toy", Toy, train).main([]) == code
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


def test_command_lets_a_bug_show_itself() -> None:
    def train(config: Toy, make_run: object) -> Run:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Trainer("train.toy", Toy, train).main([])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("--epochs abc", "--epochs"),
        ("--device tpu", "'tpu'"),
        ("--epoch 3", "--epoch"),
        ("stray", "stray"),
    ],
)
def test_tyro_refuses_what_it_does_not_know(
    args: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Trainer("train.toy", Toy, must_not_train).main(args.split()) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert Trainer("train.toy", Toy, must_not_train).main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in ("python -m train.toy", "--recipe", "--out DIR", "--lr", "Two numbers"):
        assert name in text


def test_dry_run_prints_a_config_that_can_be_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    args = ["--recipe", "report", "--epochs", "5", "--dry-run"]
    assert Trainer("train.toy", Toy, must_not_train).main(args) == 0
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "config.json").write_text(capsys.readouterr().out)
    assert options("--config", "config.json").settings() == options(*args).settings()


def test_pictures_have_the_right_pixels(tmp_path: Path) -> None:
    images = np.zeros((3, 784), np.float32)
    images[0], images[1], images[2] = -1, 1, 0
    grey = to_grey(images)
    assert [int(image[0, 0]) for image in grey] == [0, 255, 128]
    sheet = drawing.grid(grey, columns=2, scale=2)
    assert sheet.shape == (120, 120)
    middles = sheet[30::60, 30::60]
    np.testing.assert_array_equal(middles, [[255, 0], [127, 255]])
    drawing.write_grey(sheet, tmp_path / "sheet.png")
    np.testing.assert_array_equal(drawing.read_grey(tmp_path / "sheet.png"), sheet)


@pytest.mark.parametrize("count", [1, 1000])
def test_curves_are_drawn_from_few_and_many_lines(count: int, tmp_path: Path) -> None:
    numbers = [float(i) for i in range(count)]
    learning = ("loss", "accuracy", "val_loss", "val_accuracy")
    gan = ("g_loss", "d_loss", "d_real", "d_fake")
    lines = [{"epoch": i, **dict.fromkeys(learning, 0.5)} for i in numbers]
    drawing.learning_curves(lines, "t").savefig(tmp_path / "l.png")
    losses = [{"step": i, **dict.fromkeys(gan, 0.5)} for i in numbers]
    drawing.gan_curves(losses, 3.2).savefig(tmp_path / "g.png")
    report = {"precision": 0.5, "recall": 0.5}
    judged = [*losses, *({"step": i, "fid": 10.0 + i, **report} for i in numbers)]
    drawing.gan_curves(judged, 3.2).savefig(tmp_path / "judged.png")
    for name in ("l.png", "g.png", "judged.png"):
        with Image.open(tmp_path / name) as image:
            assert image.width > 1000
            assert np.unique(np.asarray(image.convert("L"))).size > 20


def test_noisy_curves_are_averaged_to_few_points() -> None:
    thinned = drawing.thinned([{"step": float(i), "x": float(i % 4)} for i in range(320)])
    assert len(thinned) == 80
    assert thinned[0] == {"step": 1.5, "x": 1.5}
    few = [{"step": 1.0}, {"step": 2.0}]
    assert drawing.thinned(few) == few
