"""A run folder, a file or an option of a stranger's: refused by name, before it costs anything."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
from PIL import Image
from reliability.readers import config_of, generator_files, lines_of
from trainings import contents

import minigrad as mg
from train import classifier, drawing, gan, interpolate, lstm, plot
from train.console import BadInput
from train.run import RunFolder

MEMORY = 2**31  # bytes that a command may take; the modules alone take a tenth


@contextmanager
def within(most: int) -> Iterator[None]:
    """Fail where more memory is taken meanwhile."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def make_run(folder: Path, program: str = "train.gan") -> Path:
    """A small run with every file that the tools read."""
    (folder / "samples").mkdir(parents=True)
    (folder / "config.json").write_bytes(config_of(program))
    (folder / "metrics.jsonl").write_bytes(lines_of(program))
    (folder / "environment.json").write_bytes(b'{"digits": "100 digits of x"}')
    (folder / "last.safetensors").write_bytes(generator_files()[0])
    for step in (0, 7):
        drawing.write_grey(np.zeros((60, 60), np.uint8), folder / f"samples/step-{step:07d}.png")
    return folder


def command(program: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a command with little memory, and no patience."""
    limited = (
        f"import resource, runpy, sys\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))\n"
        f"sys.argv = {['x', *map(str, words)]!r}\n"
        f"runpy.run_module({program!r}, run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-c", limited], capture_output=True, text=True, timeout=120
    )


# --- members that are no plain files --------------------------------------------------------------


def a_link(path: Path) -> None:
    other = path.with_name("elsewhere")
    path.rename(other)
    path.symlink_to(other.name)


def a_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    path.unlink()
    before = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


KINDS: list[Callable[[Path], None]] = [a_link, a_dangling_link, a_pipe, a_socket, a_folder]
MEMBERS = {
    "config.json": [plot, interpolate],
    "metrics.jsonl": [plot],
    "environment.json": [plot],
    "last.safetensors": [interpolate],
    "sweep.csv": [plot],
}


@needs.LINKS
@needs.PIPES
@pytest.mark.filterwarnings("ignore:unclosed <socket")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_that_is_no_plain_file_is_refused(
    name: str, kind: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run")
    if name == "sweep.csv":
        settings = {"program": "train.lstm", "sweep": [5]}
        (run / "config.json").write_text(json.dumps(settings))
        (run / name).write_text("model,length,final_accuracy\nrnn,5,0.5\n")
    kind(run / name)
    before = contents(run)
    for module in MEMBERS[name]:
        assert module.main([str(run)]) == 2
        out, err = capsys.readouterr()
        assert err.startswith(f"error: RUN {run}") and len(err.splitlines()) == 1
        assert f"is {kind.__name__.replace('_', ' ').replace('dangling ', '')}" in err
        assert out == ""
    assert contents(run) == before


@needs.LINKS
@needs.PIPES
@pytest.mark.usefixtures("quick_pictures")
@pytest.mark.parametrize("kind", KINDS[:3] + KINDS[4:], ids=lambda kind: kind.__name__)
def test_a_picture_that_is_no_plain_file_is_left_out(
    kind: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run")
    kind(run / "samples" / "step-0000000.png")
    assert plot.main([str(run)]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("Left out: ") and "step-0000000.png is" in err
    assert len(err.splitlines()) == 1 and "Left out" not in out
    assert (run / "progress.gif").exists()


@needs.LINKS
@pytest.mark.usefixtures("quick_pictures")
def test_samples_elsewhere_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run")
    (run / "samples").rename(tmp_path / "elsewhere")
    (run / "samples").symlink_to(tmp_path / "elsewhere")
    assert plot.main([str(run)]) == 0
    assert f"{run / 'samples'} is a link, and left out" in capsys.readouterr().err
    assert not (run / "progress.gif").exists()


# --- writing --------------------------------------------------------------------------------------


@needs.LINKS
@pytest.mark.usefixtures("quick_pictures")
def test_pictures_replace_links_and_are_not_written_through_them(tmp_path: Path) -> None:
    run, mine = make_run(tmp_path / "run"), tmp_path / ".bashrc"
    mine.write_text("mine")
    names = ["curves.png", "progress.png", "progress.gif", "interpolation-3-4.png"]
    for name in names:
        (run / name).symlink_to(mine)
    assert plot.main([str(run)]) == 0
    assert interpolate.main([str(run), "--tries", "100", "--confidence", "0"]) == 0
    assert mine.read_text() == "mine"
    assert not any((run / name).is_symlink() for name in names)


@needs.LINKS
@pytest.mark.usefixtures("quick_pictures")
def test_a_run_that_a_link_leads_to_is_not_drawn_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_run(tmp_path / "mine")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "run").symlink_to(other)
    before = contents(other)
    assert plot.main([str(tmp_path / "strange")]) == 2
    assert "config.json cannot be read" in capsys.readouterr().err
    assert contents(other) == before
    assert plot.main([str(tmp_path / "strange" / "run")]) == 0  # the user has named it


# --- sizes ----------------------------------------------------------------------------------------


def test_weights_of_another_size_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    """A generator of this config takes 6 GB."""
    run = make_run(tmp_path / "run")
    config = {"program": "train.gan", "latent_dim": 16384, "generator_hidden": [16384] * 5}
    (run / "config.json").write_text(json.dumps(config))
    with within(2**24), pytest.raises(BadInput, match=r"layers of shapes .* but config\.json says"):
        interpolate.load_generator(run)
    config["latent_dim"] = 5_000_000
    (run / "config.json").write_text(json.dumps(config))
    with within(2**24), pytest.raises(BadInput, match="--latent-dim is 5000000; allowed: "):
        interpolate.load_generator(run)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (plot, "config.json"),
        (plot, "environment.json"),
        (plot, "metrics.jsonl"),
        (interpolate, "last.safetensors"),
        (interpolate, "config.json"),
    ],
)
def test_a_member_full_of_holes_is_refused_before_it_is_read(
    module: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run")
    os.truncate(run / name, 2**40)
    with within(2**24):
        assert module.main([str(run)]) == 2
    assert f"{name} has 1,099,511,627,776 bytes" in (err := capsys.readouterr().err)
    assert "at most" in err


def png(size: tuple[int, int], path: Path) -> None:
    Image.new("1", size).save(path, "PNG")


@pytest.mark.usefixtures("quick_pictures")
def test_pictures_that_unpack_to_gigabytes_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run")
    png((9000, 9000), run / "samples" / "step-0000001.png")
    png((12000, 12000), run / "samples" / "step-0000002.png")  # PIL warns of such
    with (run / "samples" / "step-0000003.png").open("wb") as file:
        file.truncate(2**40)
    with within(2**26):
        assert plot.main([str(run)]) == 0
    out, err = capsys.readouterr()
    assert err.count("Left out") == len(err.splitlines()) == 3 and "Left out" not in out
    assert (run / "progress.gif").exists()


def test_no_more_pictures_are_read_than_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    grid = np.zeros((2, 2), np.uint8)
    monkeypatch.setattr(drawing, "read_grey", lambda path: (read.append(path), grid)[1])
    for step in range(1000):
        (tmp_path / f"step-{step:07d}.png").touch()
    grids = drawing.read_grids(tmp_path, pytest.fail)
    assert len(read) == len(grids) <= drawing.MOST_FRAMES + 4
    assert {0, 10, 100, 999} <= grids.keys()


@pytest.mark.parametrize("name", ["step-" + "9" * 200, "step-1²", "step-", "step--1", "step-1.5"])
def test_names_that_are_no_steps_are_no_pictures(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.png").touch()
    assert drawing.read_grids(tmp_path, pytest.fail) == {}


@pytest.mark.parametrize("kind", ["EPS", "GIF", "PPM", "BMP", "TIFF"])
def test_a_picture_of_another_format_is_not_read(kind: str, tmp_path: Path) -> None:
    """Pillow would start ghostscript for one of them."""
    drawing.write_grey(np.zeros((4, 4), np.uint8), tmp_path / "good.png")
    assert drawing.read_grey(tmp_path / "good.png").shape == (4, 4)
    Image.new("L", (4, 4)).save(tmp_path / "x.png", kind)
    with pytest.raises(mg.data.DataError, match=r"x\.png is no picture, or damaged: cannot ident"):
        drawing.read_grey(tmp_path / "x.png")


def test_every_flipped_bit_of_a_picture_is_found(tmp_path: Path) -> None:
    drawing.write_grey(np.arange(16, dtype=np.uint8).reshape(4, 4), tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    assert content[-12:-4] == b"\0\0\0\0IEND"
    for place in range(len(content) - 12):  # the last chunk is empty
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        (tmp_path / "x.png").write_bytes(flipped)
        with pytest.raises(mg.data.DataError, match=r"x\.png is no picture, or damaged"):
            drawing.read_grey(tmp_path / "x.png")


def test_a_picture_of_another_size_than_the_others_is_left_out(tmp_path: Path) -> None:
    said: list[str] = []
    for step, side in ((0, 8), (1, 8), (2, 9)):
        drawing.write_grey(np.zeros((side, side), np.uint8), tmp_path / f"step-{step}.png")
    assert drawing.read_grids(tmp_path, said.append).keys() == {0, 1}
    assert len(said) == 1 and "step-2.png is of another size" in said[0]


# --- tables and measurements ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("gru,5,0.5", "'gru'"),
        ("rnn,0,0.5", "'length': '0'"),
        ("rnn,99999999999,0.5", "'length': '99999999999'"),
        ("rnn,5,nan", "nan"),
        ("rnn,5,-1e300", "-1e300"),
        (
            "rnn,5",
            "is damaged: row 1 is {'model': 'rnn', 'length': '5', 'final_accuracy': N",
        ),
        ("rnn,x,1", "row 1 is {'model': 'rnn', 'length': 'x'"),
        ('"' + "a" * 200_000 + '",5,1', "field larger than field limit"),
    ],
)
def test_a_table_with_an_impossible_row_is_refused(
    row: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text('{"program": "train.lstm", "sweep": [5]}')
    (tmp_path / "sweep.csv").write_text(f"model,length,final_accuracy\n{row}\n")
    assert plot.main([str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert words in err and len(err) < 1000 and "Traceback" not in err


def test_a_table_of_many_lengths_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"rnn,{length},0.5\n" for length in range(1, 102))
    (tmp_path / "sweep.csv").write_text(f"model,length,final_accuracy\n{rows}")
    with pytest.raises(mg.data.DataError, match="holds more than 100 lengths"):
        lstm.draw_sweep(RunFolder(tmp_path), RunFolder(tmp_path))


@pytest.mark.parametrize("program", ["train.lstm", "train.gan"])
@pytest.mark.parametrize("value", ["-1", "1e300", "1" + "0" * 200])
def test_impossible_measurements_are_refused(
    program: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", program)
    (run / "metrics.jsonl").write_bytes(lines_of(program).replace(b"0.5", value.encode()))
    assert plot.main([str(run)]) == 2
    err = capsys.readouterr().err
    assert "its measurements are damaged: " in err and "; allowed: 0 to " in err


@pytest.mark.parametrize("program", ["train.lstm", "train.gan", "train.classifier"])
@pytest.mark.parametrize("value", ["0", "1e-320", "null", "1e99"])
def test_possible_measurements_are_drawn_however_strange(
    program: str, value: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", program)
    shares = ("acc", "d_real", "d_fake", "recall", "precision")
    lines = [json.loads(line) for line in lines_of(program).splitlines()]
    for line in lines:
        for name in line.keys() - {"epoch", "step"}:
            share = any(part in name for part in shares)
            line[name] = json.loads("0.5" if share and value == "1e99" else value)
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert plot.main([str(run), "--quiet"]) == 0
    other = shutil.copytree(run, tmp_path / "other")
    (other / "environment.json").write_text("{}")
    assert plot.main([str(run), str(other), "--quiet", "--out", str(tmp_path)]) == 0


@needs.PIPES
def test_a_pipe_in_the_place_of_a_judge_keeps_nobody_waiting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, pipe = make_run(tmp_path / "run"), tmp_path / "judge"
    os.mkfifo(pipe)
    (run / "config.json").write_text(json.dumps({"program": "train.gan", "judge": str(pipe)}))
    assert plot.main([str(run), "--quiet"]) == 0  # without the FID of real digits
    assert interpolate.main([str(make_run(tmp_path / "other")), "--judge", str(pipe)]) == 2
    assert f"--judge {pipe}: {pipe} is a pipe, expected a plain file" in capsys.readouterr().err


@pytest.mark.parametrize("digits", ["x" * 10_000, "5\n6", "many of x", "²"])
def test_an_environment_with_an_impossible_number_of_digits_is_refused(
    digits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run")
    (run / "environment.json").write_text(json.dumps({"digits": digits}))
    assert plot.main([str(run)]) == 2
    err = capsys.readouterr().err
    assert "environment.json is damaged: it says" in err and len(err) < 600


# --- options and their files ----------------------------------------------------------------------

HUGE = "9" * 30


@pytest.mark.parametrize(
    ("module", "words", "message"),
    [
        (lstm, "--seeds 1000000000 --sweep 5", "--seeds is 1000000000; allowed: "),
        (lstm, "--data-size 10000000000", "--data-size is 10000000000; allowed: "),
        (lstm, "--input-length 100000000", "--input-length is 100000000; allowed: "),
        (lstm, "--data-size 1000000 --input-length 9999", "allowed: at most 1,073,741,824 digits"),
        (lstm, f"--sweep {' '.join(map(str, range(1, 200)))}", "--sweep has 199 values; allowed"),
        (lstm, f"--hidden {HUGE}", f"--hidden is {HUGE}; allowed: "),
        (lstm, f"--batch-size {HUGE}", f"--batch-size is {HUGE}; allowed: "),
        (lstm, f"--curriculum {HUGE}", f"--curriculum is {HUGE}; allowed: "),
        (lstm, f"--checkpoint-steps {HUGE}", f"--checkpoint-steps is {HUGE}; allowed: "),
        (lstm, f"--decay-epochs {HUGE}", f"--decay-epochs is {HUGE}; allowed: "),
        (lstm, f"--hidden {'9' * 4000}", "... (4,000 letters); allowed: "),
        (lstm, f"--seed {2**63 - 1} --seeds 2 --sweep 5", "--seeds is 2, from --seed 9223"),
        (gan, "--latent-dim 5000000", "--latent-dim is 5000000; allowed: "),
        (gan, f"--generator-hidden 5 {HUGE}", f"--generator-hidden is 5 {HUGE}; allowed: "),
        (gan, f"--generator-hidden {'4 ' * 30}", "--generator-hidden has 30 values; allowed: 20"),
        (gan, f"--discriminator-hidden {'4 ' * 30}", "--discriminator-hidden has 30 values"),
        (gan, f"--limit {HUGE}", f"--limit is {HUGE}; allowed: "),
        (classifier, f"--batch-size {HUGE}", f"--batch-size is {HUGE}; allowed: "),
        (interpolate, f"run --tries {HUGE}", f"--tries is {HUGE}; allowed: "),
    ],
)
def test_a_number_that_would_take_for_ever_is_refused_by_name(
    module: Any, words: str, message: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = time.monotonic()
    with within(2**26):
        assert module.main(words.split()) == 2
    assert time.monotonic() - start < 20
    err = capsys.readouterr().err
    assert message in err and len(err) < 2000 and "Traceback" not in err
    assert list(elsewhere.iterdir()) == []


def test_a_long_sweep_tries_each_length_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def make_examples(config: Any) -> None:
        tried.append(config.input_length)
        if len(tried) == 3:
            raise BadInput("enough")

    monkeypatch.setattr(lstm, "make_examples", make_examples)
    with pytest.raises(BadInput, match="enough"):
        lstm.run(sweep=(5, 6, 7), seeds=100)
    assert tried == [5, 6, 7]


BOMBS = {
    "x.toml": {
        "many keys": "\n".join(f"k{number} = 1" for number in range(20_000)),
        "one name of many parts": "a" + ".a" * 30_000 + " = 1",
        "a table of many parts": "[a" + ".a" * 30_000 + "]",
        "deep": "hidden = " + "[" * 30_000 + "]" * 30_000,
        "a number of many digits": "hidden = 0x" + "f" * 60_000,
        "a list of such numbers": "hidden = [0x" + "f" * 60_000 + "]",
        "a float of many digits": "max_norm = 0x" + "f" * 60_000,
        "a long word": 'init = "' + "x" * 60_000 + '"',
        "a long name": "x" * 60_000 + " = 1",
        "a date": "hidden = 1979-05-27T07:32:00Z",
        "a megabyte": "#" * 2**20,
    },
    "x.json": {
        "many keys": json.dumps(dict.fromkeys(map(str, range(200_000)), 1)),
        "keys that differ": json.dumps(dict.fromkeys(map(str, range(5_000)), 1)),
        "deep": '{"hidden": ' + "[" * 30_000 + "]" * 30_000 + "}",
        "rather deep": '{"hidden": ' + "[" * 900 + "]" * 900 + "}",
        "a name twice": '{"hidden": 1,' + '"a": 1,' * 5_000 + '"hidden": 2}',
        "a number of many digits": '{"hidden": ' + "9" * 60_000 + "}",
        "a large number": '{"hidden": ' + "9" * 4_000 + "}",
        "no number": '{"max_norm": NaN}',
        "infinite": '{"max_norm": Infinity}',
        "not UTF-8": '{"init": "\udcff"}',
        "half a letter": '{"init": "\\ud800"}',
        "no names": "[1, 2]",
    },
}


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kinds in BOMBS.items() for kind in kinds]
)
def test_a_file_of_options_costs_little_and_is_refused(
    name: str, kind: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / name).write_bytes(BOMBS[name][kind].encode("utf-8", "surrogateescape"))
    start = time.monotonic()
    with within(2**26):
        assert lstm.main(["--config", name]) == 2
    assert time.monotonic() - start < 20
    err = capsys.readouterr().err
    assert (err.startswith("error: ") and name in err) or "--max-norm is " in err
    assert len(err) < 3000 and "Traceback" not in err
    assert [path.name for path in elsewhere.iterdir()] == [name]


# --- whole commands, with little memory -----------------------------------------------------------


@needs.MEMORY_LIMITS
def test_a_folder_of_bombs_takes_a_command_no_memory(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for step in range(1, 40):
        shutil.copy(run / "samples" / "step-0000000.png", run / f"samples/step-{step}000.png")
    png((30_000, 30_000), run / "samples" / "step-0000001.png")
    done = command("train.plot", run)
    assert done.returncode == 0, done.stderr
    assert "step-0000001.png is no picture" in done.stderr
    (run / "config.json").write_text('{"program": "train.gan", "latent_dim": 16384}')
    done = command("train.interpolate", run)
    assert done.returncode == 2 and "but config.json says" in done.stderr
    assert "Traceback" not in done.stderr
