"""Drawing runs anew from their files, and beside each other."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import write_digits
from matplotlib.figure import Figure
from PIL import Image
from trainings import contents, damaged

from minigrad.data import sample_digits
from train import classifier, drawing, gan, lstm, plot
from train.classifier import ClassifierConfig
from train.config import RunConfig
from train.drawing import MOST_POINTS, aligned
from train.gan import GANConfig
from train.lstm import LSTMConfig
from train.run import RunFolder

PROGRAMS: dict[str, Callable[..., RunConfig]] = {
    "train.lstm": LSTMConfig,
    "train.gan": GANConfig,
    "train.classifier": ClassifierConfig,
}


def learning_lines(epochs: int, level: float) -> list[dict[str, float]]:
    return [
        {"epoch": n, "step": 10 * n, "loss": level / n, "accuracy": level, "val_loss": level,
         "val_accuracy": level}
        for n in range(1, epochs + 1)
    ]  # fmt: skip


def gan_lines(steps: int, level: float) -> list[dict[str, float]]:
    names = ("g_loss", "d_loss", "d_real", "d_fake")
    lines: list[dict[str, float]] = [
        {"epoch": 1, "step": n, **dict.fromkeys(names, level)} for n in range(20, steps + 1, 20)
    ]
    return [*lines, {"epoch": 1, "step": steps, "fid": 100 * level, "recall": level}]


def make_run(
    folder: Path,
    program: str = "train.lstm",
    level: float = 0.5,
    count: int = 5,
    digits: str = "",
    **settings: Any,
) -> Path:
    """A run folder as a trainer leaves it, with made-up measurements."""
    if settings.get("recipe") == "report":
        settings = {**PROGRAMS[program].REPORT, **settings}  # type: ignore[attr-defined]
    config = PROGRAMS[program](**settings).decided()
    folder.mkdir(parents=True)
    run = RunFolder(folder)
    run.write_json("config.json", {"program": program} | config.settings())
    run.write_json("environment.json", {"digits": digits} if digits else {})
    make = gan_lines if program == "train.gan" else learning_lines
    for line in make(100 if program == "train.gan" else count, level):
        run.log(**line)
    return folder


def labels(*runs: Path) -> list[str]:
    """Under what a comparison shows runs, in order."""
    return list(plot.grouped([plot.read(run) for run in runs]))


# --- one run --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "module", "words"),
    [
        ("lstm", lstm, "--data-size 50 --epochs 2 --hidden 4"),
        ("gan", gan, "--limit 30 --epochs 2 --batch-size 10 --save-interval 2"),
    ],
)
def test_a_run_is_drawn_as_its_trainer_draws_it(
    program: str, module: Any, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "runs"), "--quiet"]
    if program == "gan":
        write_digits(tmp_path, *(each[:30] for each in sample_digits()))
        out += ["--data-dir", str(tmp_path)]
    assert module.main([*words.split(), *out]) == 0
    [run] = (tmp_path / "runs" / program).iterdir()
    before = contents(run)
    drawn = ["curves.png"] + ["progress.png", "progress.gif"] * (program == "gan")
    for name in drawn:
        (run / name).write_bytes(b"")
    capsys.readouterr()
    assert plot.main([str(run)]) == 0
    assert contents(run) == before
    out_line = f"Results: {', '.join(str(run / name) for name in drawn)}\n"
    assert capsys.readouterr().out == out_line
    assert plot.main([str(run), "--out", str(tmp_path / "new" / "one"), "--quiet"]) == 0
    assert contents(tmp_path / "new" / "one") == {
        tmp_path / "new" / "one" / name: before[run / name] for name in drawn
    }
    assert contents(run) == before


def test_a_sweep_is_drawn_as_its_trainer_draws_it(tmp_path: Path) -> None:
    words = "--sweep 1 2 --models lstm --seeds 1 --epochs 1 --hidden 4 --data-size 50 --quiet"
    assert lstm.main([*words.split(), "--out", str(tmp_path)]) == 0
    [run] = (tmp_path / "lstm").iterdir()
    before = contents(run)
    (run / "accuracy.png").unlink()
    assert plot.main([str(run)]) == 0
    assert contents(run) == before


@pytest.mark.usefixtures("quick_pictures")
def test_where_the_real_digits_are_gone_their_line_is_left_out_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", "train.gan")
    floors: list[Any] = []
    monkeypatch.setattr(drawing, "gan_curves", lambda lines, floor: (
        floors.append(floor), Figure())[1])  # fmt: skip
    assert plot.main([str(run)]) == 0
    assert "The FID of real digits is left out" in capsys.readouterr().out
    source = {"judged_against": "the last 2,000 bundled digits"}
    RunFolder(run).write_json("environment.json", source)
    monkeypatch.chdir(tmp_path)  # where there is no data
    assert plot.main([str(run)]) == 0
    assert "left out" not in capsys.readouterr().out
    assert floors == [None, pytest.approx(12.76, abs=0.01)]


# --- several runs ---------------------------------------------------------------------------------


def test_seeds_of_equal_settings_are_one_group(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(seed), seed=seed) for seed in range(3)]
    assert labels(*runs) == ["recipe best (3 seeds)"]
    again = make_run(tmp_path / "again", seed=2, out=Path("elsewhere"), checkpoint_minutes=3.0)
    assert labels(*runs, again) == ["recipe best (4 runs)"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, {"recipe": "report"}, ["recipe best", "recipe report"]),
        ({}, {"recipe": "report", "seed": 1}, ["recipe best, seed 0", "recipe report, seed 1"]),
        ({}, {"hidden": 64}, ["hidden 128", "hidden 64"]),
        (
            {"recipe": "report"},
            {"recipe": "report", "learning_rate": 0.01, "seed": 1},
            ["learning rate 0.001, seed 0", "learning rate 0.01, seed 1"],
        ),
        (
            {"recipe": "report", "learning_rate": 0.01},
            {},
            ["recipe report, learning rate 0.01", "recipe best"],
        ),
        ({"model": "rnn"}, {"model": "lstm"}, ["model rnn", "model lstm"]),
        ({"decay_epochs": 10}, {}, ["decay epochs 10", "decay epochs none"]),
        ({"input_length": 5}, {"input_length": 10}, ["input length 5", "input length 10"]),
    ],
)
def test_runs_are_called_by_what_differs(
    first: dict[str, Any], second: dict[str, Any], expected: list[str], tmp_path: Path
) -> None:
    found = labels(make_run(tmp_path / "1", **first), make_run(tmp_path / "2", **second))
    assert found == expected


def test_of_a_folder_with_digits_their_number_counts(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "a", "train.gan", digits="60000 digits of /x", data_dir=Path("/x")),
        make_run(tmp_path / "b", "train.gan", digits="60000 digits of y", data_dir=Path("y")),
        make_run(tmp_path / "c", "train.gan", digits="10000 digits of the bundled sample"),
    ]
    assert labels(*runs) == ["60000 digits (2 runs)", "10000 digits"]
    ours = make_run(tmp_path / "d", "train.gan", betas=(0.9, 0.99), digits="60000 digits")
    assert labels(runs[0], ours) == ["betas 0.5 0.999", "betas 0.9 0.99"]


def test_the_mean_and_the_range_are_over_what_all_seeds_have(tmp_path: Path) -> None:
    short, long = learning_lines(3, 0.2), learning_lines(5, 0.6)
    places, values = aligned([short, long], "epoch", "accuracy")
    assert places.tolist() == [1, 2, 3]
    np.testing.assert_allclose(values, [[0.2] * 3, [0.6] * 3])
    judged = gan_lines(40_000, 0.5), gan_lines(20_000, 0.7)
    places, values = aligned(judged, "step", "d_real")
    assert 70 < values.shape[1] <= MOST_POINTS and places[-1] > 19_700
    np.testing.assert_allclose(values.mean(axis=0), 0.6)
    assert aligned(judged[:1], "step", "fid")[1].tolist() == [[50.0]]
    assert aligned(judged, "step", "fid")[1].shape == (2, 0)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_comparison_is_drawn(
    program: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    runs = [make_run(tmp_path / "a", program, 0.3), make_run(tmp_path / "b", program, 0.5, seed=1)]
    runs += [make_run(tmp_path / str(n), program, epochs=n + 1) for n in range(9)]
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert plot.main([str(run) for run in runs]) == 0
    picture = tmp_path / "comparison.png"
    assert contents(tmp_path) == before | {picture: picture.read_bytes()}
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 11 and said[0].endswith(f"(2 seeds): {runs[0]}, {runs[1]}")
    assert said[-1] == "Results: comparison.png"
    with Image.open(picture) as image:
        assert image.width > 1000
        colours = image.convert("RGB").getcolors(2**24)
    shown = {f"#{r:02X}{g:02X}{b:02X}" for _, (r, g, b) in colours}
    assert {drawing.numbered(number).color for number in range(7)} <= shown
    first = picture.read_bytes()
    assert plot.main([*map(str, runs), "--out", str(tmp_path / "there"), "--quiet"]) == 0
    assert (tmp_path / "there" / "comparison.png").read_bytes() == first
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.usefixtures("quick_pictures")
def test_runs_that_were_not_judged_yet_are_compared(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(n), "train.gan", r1=float(n)) for n in range(2)]
    for run in runs:
        lines = (run / "metrics.jsonl").read_text().splitlines()
        (run / "metrics.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    assert plot.main([*map(str, runs), "--out", str(tmp_path), "--quiet"]) == 0
    assert (tmp_path / "comparison.png").exists()


def make_sweep(folder: Path, rows: Sequence[tuple[str, int, float]], **settings: Any) -> Path:
    make_run(folder, count=0, sweep=(5, 10), **settings)
    lines = ["model,length,seed,final_accuracy", *(f"{m},{n},0,{a}" for m, n, a in rows)]
    (folder / "sweep.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_sweeps_are_compared_by_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(drawing, "accuracy_by_length", lambda results: (
        drawn.append(results), Figure())[1])  # fmt: skip
    one = make_sweep(tmp_path / "1", [("lstm", 5, 1.0), ("lstm", 10, 0.9)])
    other = make_sweep(tmp_path / "2", [("lstm", 5, 0.8)], seed=1)
    third = make_sweep(tmp_path / "3", [("rnn", 5, 0.3)], recipe="report")
    assert plot.main([*map(str, (one, other, third)), "--out", str(tmp_path)]) == 0
    assert drawn == [
        {
            "lstm, recipe best (2 seeds)": {5: [1.0, 0.8], 10: [0.9]},
            "rnn, recipe report": {5: [0.3]},
        }
    ]


# --- what cannot be drawn -------------------------------------------------------------------------


def with_a_foreign_line(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"loss": 1}\n')


def to_a_sweep(run: Path) -> None:
    shutil.rmtree(run)
    make_sweep(run, [])


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damaged("config.json", None), "config.json cannot be read: No such file or directory"),
        (damaged("config.json", b"{"), "config.json is neither TOML nor"),
        (damaged("config.json", b"{}"), "this is not a run: its config.json names no program"),
        (damaged("config.json", b'{"program": "train.poet"}'), "this is a run of train.poet; allo"),
        (damaged("config.json", b'{"program": "train.lstm", "x": 1}'), "unknown option 'x'"),
        (damaged("metrics.jsonl", None), "nothing has been measured yet"),
        (damaged("metrics.jsonl", b""), "nothing has been measured yet"),
        (damaged("metrics.jsonl", b'{"epoch": 1'), "after 0 good lines: Expecting ','"),
        (damaged("metrics.jsonl", b"[1]"), "good lines: it holds list, expected named values"),
        (damaged("metrics.jsonl", b'{"epoch": "a"}'), "after 0 good lines: 'a' is no number"),
        (damaged("metrics.jsonl", b'{"epoch": 1, "loss": 2}'), "metrics.jsonl lacks accuracy, val"),
        (damaged("metrics.jsonl", b'{"epoch": null}'), "damaged: a line has no epoch"),
        (damaged("metrics.jsonl", b'{"epoch": 1' + b"0" * 400 + b"}"), "letters) is no number"),
        (damaged("metrics.jsonl", b'{"epoch": true}'), "True is no number"),
        (damaged("metrics.jsonl", b"[" * 9999), "it is nested too deeply"),
        (damaged("metrics.jsonl", b"\0" * 99), "good lines: Expecting value"),
        (with_a_foreign_line, "metrics.jsonl lacks accuracy, epoch, val_accuracy, val_loss"),
        (damaged("environment.json", b"{"), "environment.json is damaged: Expecting"),
        (damaged("environment.json", b"[1]"), "environment.json is damaged: it holds list"),
        (damaged("environment.json", b'{"digits": 3}'), "damaged: it says 3 of the digits"),
        (to_a_sweep, "nothing has been measured yet"),
    ],
)
def test_a_folder_without_a_run_to_draw_is_refused(
    damage: Any, words: str, others: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [make_run(tmp_path / name) for name in ("run", "other")][: 1 + others]
    damage(tmp_path / "run")
    before = contents(tmp_path)
    assert plot.main([*map(str, runs), "--out", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and str(tmp_path / "run") in err and words in err
    assert len(err.splitlines()) == 1
    assert out == ""
    assert contents(tmp_path) == before and not (tmp_path / "out").exists()


def test_a_message_does_not_hold_a_whole_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run")
    (run / "metrics.jsonl").write_bytes(b"\xff\xfe\x00\xd8" * 10_000)  # half a pair in UTF-16
    assert plot.main([str(run)]) == 2
    error = capsys.readouterr().err
    assert "damaged after 0 good lines: 'utf-16-le' codec can't" in error and len(error) < 500


@pytest.mark.usefixtures("quick_pictures")
def test_each_kind_of_run_has_a_picture_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [make_run(tmp_path / str(n), seed=n) for n in range(2)]
    runs += [make_run(tmp_path / "g", "train.gan"), make_sweep(tmp_path / "s", [("lstm", 5, 1.0)])]
    out = tmp_path / "out"
    assert plot.main([*map(str, runs), "--out", str(out)]) == 0
    names = [f"comparison-{kind}.png" for kind in ("lstm", "gan", "lstm-sweeps")]
    said = capsys.readouterr().out.splitlines()
    assert said == [
        *("train.lstm:", f"recipe best (2 seeds): {runs[0]}, {runs[1]}"),
        *("train.gan:", f"recipe best: {runs[2]}", "train.lstm sweeps:", f"recipe best: {runs[3]}"),
        f"Results: {', '.join(str(out / name) for name in names)}",
    ]
    assert all((out / name).exists() for name in names)


@pytest.mark.usefixtures("quick_pictures")
def test_a_folder_of_runs_is_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    runs = [make_run(tmp_path / "runs" / "lstm" / str(n), hidden=n) for n in (8, 9)]
    sweep = make_sweep(tmp_path / "runs" / "lstm" / "sweep", [("lstm", 5, 1.0)])
    make_run(sweep / "lstm-5-seed0")
    empty = make_run(tmp_path / "runs" / "lstm" / "empty", count=0)
    (tmp_path / "runs" / "notes").mkdir()
    monkeypatch.chdir(tmp_path)
    for folder in (Path("runs"), Path("runs", "lstm")):
        assert plot.main([str(folder)]) == 0
        out, err = capsys.readouterr()
        assert out.splitlines() == [
            f"Left out: RUN {empty.relative_to(tmp_path)}: nothing has been measured yet",
            *("train.lstm:", f"hidden 8: {runs[0].relative_to(tmp_path)}"),
            f"hidden 9: {runs[1].relative_to(tmp_path)}",
            *("train.lstm sweeps:", f"recipe best: {sweep.relative_to(tmp_path)}"),
            "Results: comparison-lstm.png, comparison-lstm-sweeps.png",
        ]
        assert err == ""
    assert plot.main([str(empty), str(tmp_path / "runs" / "notes")]) == 2


@pytest.mark.usefixtures("quick_pictures")
def test_a_folder_with_one_run_is_that_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "lstm" / "today")
    assert plot.main([str(tmp_path / "runs"), "--quiet"]) == 0
    assert (run / "curves.png").exists()


def test_a_folder_without_a_run_that_was_measured_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "runs" / "a", count=0)
    assert plot.main([str(tmp_path / "runs")]) == 2
    assert "no run in this folder can be drawn" in capsys.readouterr().err


def test_models_that_are_compared_have_their_own_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(drawing, "comparison", lambda groups, looks, *rest: (
        drawn.append(list(looks)), Figure())[1])  # fmt: skip
    runs = [make_run(tmp_path / model, model=model) for model in ("rnn", "textbook", "lstm")]
    again = make_run(tmp_path / "more", model="rnn", hidden=8)
    assert plot.main([*map(str, runs), "--out", str(tmp_path)]) == 0
    assert plot.main([*map(str, [*runs, again]), "--out", str(tmp_path)]) == 0
    assert drawn[0] == [drawing.LOOKS[model] for model in ("rnn", "textbook", "lstm")]
    assert drawn[1] == [drawing.numbered(number) for number in range(4)]


def test_a_damaged_sweep_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = make_sweep(tmp_path / "s", [("lstm", 5, 1.0)])
    (sweep / "sweep.csv").write_text("model,length\nlstm,5\n")
    assert plot.main([str(sweep)]) == 2
    assert "sweep.csv is damaged: row 1 is {'model': 'lstm', 'l" in capsys.readouterr().err


@pytest.mark.usefixtures("quick_pictures")
def test_a_damaged_grid_is_left_out_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "g", "train.gan")
    (run / "samples").mkdir()
    (run / "samples" / "step-0000000.png").write_bytes(b"no picture")
    assert plot.main([str(run), "--quiet"]) == 0  # a damaged file is named in any case
    said, err = capsys.readouterr()
    assert err.startswith("Left out: ") and len(err.splitlines()) == 1
    assert "step-0000000.png is no picture, or damaged" in err
    assert "progress" not in said


@pytest.mark.parametrize("text", ["length,model\n", "\0", "model,length,final_accuracy\n,,\n"])
def test_a_table_of_anything_else_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = make_sweep(tmp_path / "s", [("lstm", 5, 1.0)])
    (sweep / "sweep.csv").write_text(text)
    assert plot.main([str(sweep)]) == 2
    assert capsys.readouterr().err.startswith(f"error: RUN {sweep}: ")


@pytest.mark.usefixtures("quick_pictures")
def test_files_that_windows_has_saved_anew_are_drawn(tmp_path: Path) -> None:
    run, sweep = make_run(tmp_path / "run"), make_sweep(tmp_path / "s", [("lstm", 5, 1.0)])
    for file in (run / "metrics.jsonl", run / "config.json", sweep / "sweep.csv"):
        content = file.read_bytes().replace(b"\n", b"\r\n")
        file.write_bytes(b"\xef\xbb\xbf" + content)
    assert plot.main([str(run), "--quiet"]) == 0
    assert plot.main([str(sweep), "--quiet"]) == 0
    (run / "metrics.jsonl").write_text((run / "metrics.jsonl").read_text("utf-8-sig"), "utf-16")
    assert plot.main([str(run), "--quiet"]) == 0


@pytest.mark.usefixtures("quick_pictures")
def test_a_config_that_leaves_defaults_out_is_drawn(tmp_path: Path) -> None:
    for program in PROGRAMS:
        run = make_run(tmp_path / program, program)
        (run / "config.json").write_text(json.dumps({"program": program, "epochs": None}))
        assert plot.main([str(run), "--quiet"]) == 0


@pytest.mark.usefixtures("quick_pictures")
def test_a_picture_that_is_no_step_is_left_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "train.gan")
    (run / "samples").mkdir()
    (run / "samples" / "step-best.png").write_bytes(b"mine")
    assert plot.main([str(run), "--quiet"]) == 0


def test_settings_are_drawn_as_they_stand(tmp_path: Path) -> None:
    names = ["$x_$", "a$b", "\\frac{", "_x", "n-\udcff"]
    judges = [Path(name * times) for name in names for times in (1, 2)]
    runs = [make_run(tmp_path / str(n), "train.gan", judge=judge) for n, judge in enumerate(judges)]
    out = tmp_path / names[-1]
    assert plot.main([*map(str, runs), "--out", str(out)]) == 0
    assert (out / "comparison.png").stat().st_size > 10_000


@pytest.mark.parametrize("path", ["a\0b", "\ud800"])
def test_a_path_that_cannot_be_is_refused(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run")
    assert plot.main([path]) == 2
    assert plot.main([str(run), "--out", path]) == 2
    assert capsys.readouterr().err.count("error: ") == 2


@pytest.mark.parametrize("below", ["", "deeper"])
def test_an_out_that_cannot_be_a_folder_is_refused(
    below: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = make_run(tmp_path / "run"), tmp_path / "file"
    file.write_text("precious")
    assert plot.main([str(run), "--out", str(file / below)]) == 2
    assert f"--out {file / below}: cannot make this folder" in capsys.readouterr().err
    assert file.read_text() == "precious"


def test_no_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert plot.main([]) == 2
    assert "RUN" in capsys.readouterr().err


def test_help_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert plot.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "RUN [RUN ...]" in text and "--out DIR" in text and "--quiet" in text


def test_every_trainer_can_be_drawn() -> None:
    assert (
        set(plot.TRAINERS)
        == set(PROGRAMS)
        == {each.trainer.program for each in (lstm, gan, classifier)}
    )
