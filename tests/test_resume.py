"""A run that was broken off, in any way and anywhere, ends like one that was not."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reliability import runs
from reliability.runs import NEVER, results
from trainings import TRAINERS, before_step, damaged, only_run, over_trainers, stop_before_step

import minigrad as mg
from train import checkpoint, gan, lstm
from train.checkpoint import BEFORE, CHECKPOINT
from train.run import RunFolder

ROOT = Path(__file__).parent.parent
SMALL = {module: runs.SMALL[module.__name__.split(".")[-1]] for module in TRAINERS}

pytestmark = pytest.mark.usefixtures("no_figures")


class Crash(BaseException):
    """Stands for the end of the process, as by kill -9: nothing handles it."""


def crash() -> None:
    raise Crash


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Path]:
    """By trainer, a run that nothing has disturbed."""
    done: dict[Any, Path] = {}

    def run(module: Any) -> Path:
        if module not in done:
            out = tmp_path_factory.mktemp("unbroken")
            assert module.main([*SMALL[module], "--quiet", "--out", str(out)]) == 0
            done[module] = only_run(out)
        return done[module]

    return run


@pytest.fixture
def run(unbroken: Any, tmp_path: Path) -> Path:
    """A copy of the LSTM's finished run."""
    copy: Path = shutil.copytree(unbroken(lstm), tmp_path / "run")
    return copy


@over_trainers
@pytest.mark.parametrize("at", [1, 2, 4, 5, 7, 9, 12])
@pytest.mark.parametrize("every", [1, 3])
def test_a_crashed_run_goes_on_as_if_nothing_had_happened(
    module: Any,
    at: int,
    every: int,
    tmp_path: Path,
    unbroken: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [*SMALL[module], *NEVER, "--checkpoint-steps", str(every), "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        before_step(patch, module, at, crash)
        with pytest.raises(Crash):
            module.main(words)
    run = only_run(tmp_path)
    assert module.main(["--resume", str(run), "--quiet"]) == 0
    assert results(run) == results(unbroken(module))


@over_trainers
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_how_to_go_on_and_does(
    module: Any,
    number: signal.Signals,
    tmp_path: Path,
    unbroken: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        stop_before_step(patch, module, 6, number)
        assert module.main([*SMALL[module], "--out", str(tmp_path)]) == 128 + number
    run = only_run(tmp_path)
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == (
        f"Stopped by {name} after step 6; all is saved. Go on with: python -m {module.__name__} "
        f"--resume {run}"
    )
    assert module.main(["--resume", str(run), "--quiet"]) == 0
    assert results(run) == results(unbroken(module))


@over_trainers
def test_a_killed_process_loses_nothing(module: Any, tmp_path: Path, unbroken: Any) -> None:
    words = [*SMALL[module], *NEVER, "--checkpoint-steps", "2", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", module.__name__, *words], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not [*tmp_path.glob("*/*/timing.jsonl")]:
        time.sleep(0.002)  # it is touched by the first checkpoint
    process.kill()
    process.wait()
    run = only_run(tmp_path)
    assert module.main(["--resume", str(run), "--quiet"]) == 0
    assert results(run) == results(unbroken(module))


@over_trainers
def test_a_finished_run_can_be_given_more_epochs(
    module: Any, tmp_path: Path, unbroken: Any
) -> None:
    run = shutil.copytree(unbroken(module), tmp_path / "run")
    first = (run / "metrics.jsonl").read_bytes()
    assert module.main(["--resume", str(run), "--quiet"]) == 0  # there is nothing to do
    assert (run / "metrics.jsonl").read_bytes() == first
    assert module.main(["--resume", str(run), "--epochs", "4", "--quiet"]) == 0
    assert (run / "metrics.jsonl").read_bytes().startswith(first)
    folder = RunFolder(run)
    assert folder.read_lines("metrics.jsonl")[-1]["epoch"] == 4
    assert folder.read_json("config.json")["epochs"] == 4
    commands = [each["command"] for each in folder.read_json("environment.json")["resumed"]]
    assert len(commands) == 2 and commands[1].endswith("--epochs 4 --quiet")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("--lr 0.5", "--learning-rate is 0.5, but the run {run} has 0.003; with --resume only"),
        ("--epochs 2", "--epochs is 2, but the run {run} has 3; allowed: more"),
        ("--epochs 0", "--epochs is 0; allowed: a whole number of at least 1"),
        ("--config x.toml", "--config is x.toml, but the run {run} has None"),
    ],
)
def test_what_may_not_change_is_refused_by_name(
    args: str, words: str, unbroken: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = unbroken(lstm)
    before = results(run)
    assert lstm.main(["--resume", str(run), *args.split()]) == 2
    assert words.format(run=run) in capsys.readouterr().err
    assert results(run) == before


def test_another_trainers_run_is_refused(unbroken: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert gan.main(["--resume", str(unbroken(lstm))]) == 2
    assert "this is a run of train.lstm, not of train.gan" in capsys.readouterr().err


def both(content: bytes | None) -> Callable[[Path], None]:
    """What damages both checkpoints."""

    def damage(run: Path) -> None:
        damaged(CHECKPOINT, content)(run)
        damaged(BEFORE, content)(run)

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damaged("config.json", None), r"config.json cannot be read: No such file"),
        (damaged("config.json", b"{"), r"config.json is neither TOML nor"),
        (both(None), r"there is no checkpoint, but metrics.jsonl has \d+ bytes"),
        (
            both(b"half"),
            rf"{CHECKPOINT} is damaged .*no safetensors file.*; {BEFORE} is damaged .*no safet",
        ),
        (damaged("metrics.jsonl", b""), r"metrics.jsonl has 0 bytes, fewer than the \d+ that"),
    ],
)
def test_a_damaged_run_is_bad_input(
    damage: Any, words: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(run)
    assert lstm.main(["--resume", str(run)]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and re.search(words, error), error


def test_weights_in_the_place_of_a_checkpoint_are_refused(tmp_path: Path) -> None:
    mg.save({"x": mg.ones(2)}, tmp_path / CHECKPOINT)
    with pytest.raises(ValueError, match="holds weights, not a training state"):
        checkpoint.read_state(tmp_path / CHECKPOINT)


def test_two_processes_do_not_train_in_one_folder(
    unbroken: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = unbroken(lstm)
    with RunFolder(run).in_use(tensorboard=False):
        assert lstm.main(["--resume", str(run)]) == 2
    assert "another process is training in it" in capsys.readouterr().err


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    tree = {
        "arrays": [np.arange(3, dtype="i8"), np.asfortranarray(np.ones((2, 3), "f4"))],
        "by number": {0: {"lr": 0.1, "betas": (0.5, 0.999)}, 7: None},
        "random": np.random.default_rng(3).bit_generator.state,
        "empty": {"list": [], "tuple": (), "dict": {}},
        "yes": True,
        "words": "é",
    }
    checkpoint.write_state(tree, tmp_path / "x.safetensors")
    found = checkpoint.read_state(tmp_path / "x.safetensors")
    for a, b in zip(found.pop("arrays"), tree.pop("arrays"), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.numpy(), b)
    assert found == tree | {"format": checkpoint.FORMAT}
    with pytest.raises(TypeError, match="a training state holds set at /x"):
        checkpoint.write_state({"x": {1}}, tmp_path / "y.safetensors")


def test_tensorboard_gets_the_measurements(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    assert lstm.main([*SMALL[lstm], "--quiet", "--tensorboard", "--out", str(tmp_path)]) == 0
    [file] = (only_run(tmp_path) / "tensorboard").iterdir()
    content = file.read_bytes()
    assert all(name in content for name in (b"val_accuracy", b"loss"))


def test_checkpoints_take_a_small_share_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = RunFolder.write_checkpoint

    def slow(self: RunFolder, state: Any) -> None:
        written.append(state["step"])
        time.sleep(0.05)
        write(self, state)

    monkeypatch.setattr(RunFolder, "write_checkpoint", slow)
    words = [*SMALL[lstm], "--quiet", "--checkpoint-minutes", "1e-9", "--out", str(tmp_path)]
    assert lstm.main(words) == 0
    assert written == [0, 12]  # for more the run, of less than 5 seconds, is too short


def test_metrics_are_a_table_too(unbroken: Any) -> None:
    run = unbroken(gan)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    head, *rows = (run / "metrics.csv").read_text().splitlines()
    assert head.split(",")[:2] == ["epoch", "step"]
    assert len(rows) == len(lines)
    first = dict(zip(head.split(","), rows[0].split(","), strict=True))
    assert {k: float(v) for k, v in first.items() if v} == lines[0]


# --- damaged files --------------------------------------------------------------------------------

NO_JSON = [b"", b"{", b'{"command": "x', b"[1, 2]", b"null", b"\xff\xfe{", b"\x80\x81", b"[" * 9999]


@pytest.mark.parametrize("content", NO_JSON)
def test_a_damaged_environment_ends_no_run(
    content: bytes, run: Path, unbroken: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "environment.json").write_bytes(content)
    assert lstm.main(["--resume", str(run), "--quiet"]) == 0
    said = capsys.readouterr().err
    assert f"{run}: environment.json is damaged: " in said and "; it is written anew" in said
    assert results(run) == results(unbroken(lstm))
    written = RunFolder(run).read_json("environment.json")
    assert written["platform"] and [each["command"] for each in written["resumed"]]


@pytest.mark.parametrize("resumed", [None, 3, "x", {"a": 1}])
def test_an_environment_of_other_values_ends_no_run(resumed: Any, run: Path) -> None:
    (run / "environment.json").write_text("\ufeff" + json.dumps({"a": 1, "resumed": resumed}))
    assert lstm.main(["--resume", str(run), "--quiet"]) == 0
    written = RunFolder(run).read_json("environment.json")
    assert written["a"] == 1 and len(written["resumed"]) == 1


def test_an_environment_that_cannot_be_written_ends_no_run(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "environment.json").unlink()
    (run / "environment.json").mkdir()
    assert lstm.main(["--resume", str(run), "--quiet"]) == 0
    assert "environment.json cannot be written" in capsys.readouterr().err


def state_of(content: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = content["state"]
    return state


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("sizes"),
        lambda content: content.pop("state"),
        lambda content: content.update(sizes=3),
        lambda content: content.update(sizes={"metrics.jsonl": "x", "timing.jsonl": 0}),
        lambda content: content.update(state=[1]),
        lambda content: state_of(content).pop("networks"),
        lambda content: state_of(content)["networks"][""].popitem(),
        lambda content: state_of(content)["optimizers"].clear(),
        lambda content: state_of(content).pop("meter"),
        lambda content: state_of(content).update(meter=3),
        lambda content: state_of(content).update(shuffle={"state": 1}),
        lambda content: state_of(content).pop("random"),
    ],
)
def test_a_checkpoint_of_other_content_is_bad_input_and_nothing_is_lost(
    change: Any, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in checkpoint.NAMES:
        content = checkpoint.read_state(run / name)
        change(content)
        checkpoint.write_state(content, run / name)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 9, "step": 99}\n')  # measured since
    before = (run / "metrics.jsonl").read_bytes()
    assert lstm.main(["--resume", str(run)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: --resume {run}: {CHECKPOINT} is damaged"), error
    assert (run / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "structure", [b"", b"[1]", b"{}", b'{"array": "nowhere"}', b'{"pairs": 3}', b"\xff", b"7"]
)
def test_a_checkpoint_of_another_structure_is_refused(structure: bytes, tmp_path: Path) -> None:
    arrays = {checkpoint.STRUCTURE: np.frombuffer(structure, np.uint8), "x": np.ones(1)}
    mg.save(arrays, tmp_path / CHECKPOINT)
    with pytest.raises(ValueError, match=CHECKPOINT):
        checkpoint.read_state(tmp_path / CHECKPOINT)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n").replace(b'"epoch"', b'"epoch', 1),
        lambda content: b"\0" * len(content),
        lambda content: b"[" + content[1:],
        lambda content: content.replace(b'"loss": ', b'"loss":"', 1),
    ],
)
def test_metrics_that_were_changed_are_bad_input(
    change: Any, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = change((run / "metrics.jsonl").read_bytes())
    (run / "metrics.jsonl").write_bytes(changed)
    assert lstm.main(["--resume", str(run)]) == 2
    assert re.search(r"error: .*metrics\.jsonl is damaged after \d good", capsys.readouterr().err)
    assert (run / "metrics.jsonl").read_bytes() == changed


def test_metrics_whose_lines_end_elsewhere_are_bad_input(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # an editor on Windows has saved it: what was its end lies within a line's end now
    changed = (run / "metrics.jsonl").read_bytes().replace(b"\n", b"\r\n", 1)
    (run / "metrics.jsonl").write_bytes(changed)
    assert lstm.main(["--resume", str(run), "--epochs", "9"]) == 2
    assert "are no whole lines; it was changed since" in capsys.readouterr().err
    assert (run / "metrics.jsonl").read_bytes() == changed


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff" * 9999])
def test_times_that_are_gone_end_no_run(content: bytes | None, run: Path) -> None:
    damaged("timing.jsonl", content)(run)
    assert lstm.main(["--resume", str(run), "--epochs", "4", "--quiet"]) == 0
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 4


def test_metrics_that_somebody_changes_meanwhile_end_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def change() -> None:
        (only_run(tmp_path) / "metrics.jsonl").write_text("my notes\n")

    before_step(monkeypatch, lstm, 2, change)
    assert lstm.main([*SMALL[lstm], "--out", str(tmp_path)]) == 0
    error = capsys.readouterr().err
    assert "There is no new metrics.csv" in error and "There are no curves" in error
    assert (only_run(tmp_path) / "last.safetensors").exists()


def test_a_picture_that_was_damaged_meanwhile_ends_no_run(
    tmp_path: Path, unbroken: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(unbroken(gan), tmp_path / "run")
    first = run / "samples" / "step-0000000.png"
    first.write_bytes(first.read_bytes()[:300])
    shutil.copy(run / "samples" / "step-0000005.png", run / "samples" / "step-best.png")
    (run / "interpolation.png").unlink()
    assert gan.main(["--resume", str(run), "--quiet"]) == 0
    assert "Left out: " in (said := capsys.readouterr().err) and "step-0000000.png is no" in said
    assert (run / "progress.gif").exists()
    assert (run / "interpolation.png").exists()


def test_a_folder_whose_name_is_not_utf8_holds_a_run(
    tmp_path: Path, unbroken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / os.fsdecode(b"runs-\xff")
    try:
        out.mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    assert lstm.main([*SMALL[lstm], "--quiet", "--out", str(out)]) == 0
    run = only_run(out)
    assert RunFolder(run).read_json("config.json")["out"] == str(out)
    assert b"\\udcff" in (run / "config.json").read_bytes()
    assert results(run) == results(unbroken(lstm))
    assert lstm.main(["--resume", str(run), "--epochs", "4"]) == 0
    assert lstm.main(["--config", str(run / "config.json"), "--dry-run"]) == 0
