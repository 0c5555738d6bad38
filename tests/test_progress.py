"""The progress of a run: time left and speed, on a terminal, in a pipe, in a notebook."""

import fcntl
import io
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from trainings import Terminal

from train.progress import Progress, make_bar, terminal_columns, where

ROOT = Path(__file__).parent.parent


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which tqdm measures the speed."""
    made = Clock()
    monkeypatch.setattr("tqdm.std.time", made)
    return made


def simulate(
    clock: Clock, epochs: int, steps: int, seconds: float, done: int = 0, quiet: bool = False
) -> Iterator[tuple[int, Progress]]:
    """Train by a clock: after each step the number of steps done, and the progress."""
    progress = Progress(epochs, steps, done, quiet)
    for number in range(done, epochs * steps):
        progress.epoch(1 + number // steps)
        clock.now += seconds
        progress.advance(lambda: {"loss": 0.5})
        yield number + 1, progress
    progress.close()


# --- in a file or pipe ----------------------------------------------------------------------------


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_in_a_pipe_there_is_a_line_for_each_tenth(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in simulate(clock, 4, 50, 0.125):
        pass
    lines = lines_of(capsys)
    assert len(lines) == 10
    assert lines[4] == "epoch 2/4  50%, 00:12 so far, 00:12 left,  8.00 steps/s, loss 0.500"
    assert not any("\r" in line or "\x1b" in line for line in lines)


def test_in_a_pipe_a_long_run_speaks_after_a_minute_and_every_ten(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in simulate(clock, 10, 1000, 2.0):
        pass
    lines = lines_of(capsys)
    assert lines[0] == "epoch 1/10   0%, 01:00 so far, 5:32:20 left,  0.50 steps/s, loss 0.500"
    assert lines[1].startswith("epoch 1/10   3%, 11:00 so far, 5:22:20 left")
    assert len(lines) == 1 + 10 * 4  # after 10, 20, 30 minutes, and at each tenth


def test_the_first_step_which_compiles_does_not_count(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(1, 100, 0, False)
    for seconds in (30.0, *[0.11] * 19):
        clock.now += seconds
        progress.advance(lambda: {"loss": 0.5})
    progress.close()
    said = "epoch 1/1  20%, 00:32 so far, 00:08 left,  9.09 steps/s, loss 0.500"
    assert lines_of(capsys)[-1] == said


def test_a_resumed_run_counts_its_own_steps_only(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    for done, _ in simulate(clock, 10, 100, 2.0, done=550):
        if done == 600:
            break
    [line] = lines_of(capsys)[1:]  # the first comes after a minute
    assert line == "epoch 6/10  60%, 01:40 so far, 13:20 left,  0.50 steps/s, loss 0.500"


def test_a_run_of_which_nothing_is_left_shows_nothing(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(simulate(clock, 3, 4, 1.0, done=12)) == []
    assert capsys.readouterr() == ("", "")


def test_quiet_is_quiet(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for _, progress in simulate(clock, 2, 5, 0.1, quiet=True):
        progress.note("a note")
    assert capsys.readouterr() == ("", "")


# --- on a terminal --------------------------------------------------------------------------------


def screens(text: str) -> list[str]:
    """What stood in the line of the bar, one after the other."""
    return [each.split("\x1b")[0].rstrip() for each in re.split(r"[\r\n]", text) if each.strip()]


def test_a_bar_shows_speed_time_and_measurements(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for done, progress in simulate(clock, 4, 50, 0.1):
        if done == 150:
            progress.note("half")
    shown = screens(terminal.getvalue())
    assert re.fullmatch(r"epoch 4/4 \|[█#]+\| 00:00 left, 10\.00 steps/s, loss 0\.500", shown[-1])
    assert shown.count("half") == 1
    assert all(len(line) < 80 for line in shown)
    assert terminal.getvalue().endswith("\n")


def test_what_does_not_fit_is_left_out(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(200, 2, 398, False)
    progress.epoch(200)
    names = ("g_loss", "d_loss", "d_real", "d_fake", "fid")
    for _ in range(2):
        clock.now += 1.0
        progress.advance(lambda: dict.fromkeys(names[:4], 0.5))
    shown = screens(terminal.getvalue())[-1]
    assert shown == "epoch 200/200, 00:00 left,  1.00/s, d_loss 0.500 d_real 0.500 d_fake 0.500"
    progress.show(dict.fromkeys(names, 123.456))
    progress.close()
    shown = screens(terminal.getvalue())[-1]
    assert shown == "epoch 200/200, 00:00 left,  1.00/s, d_real 123.456 d_fake 123.456 fid 123.456"


def run_in_terminal(words: list[str], columns: int) -> str:
    """Run a command whose output goes to a terminal; return all that it wrote."""
    own, other = os.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = os.environ | {"MINIGRAD_FAST": "0"}  # nothing to compile
    with subprocess.Popen(
        words, cwd=ROOT, env=environment, stdout=other, stderr=other, stdin=other
    ) as process:
        os.close(other)
        written = b""
        while True:
            try:
                piece = os.read(own, 4096)
            except OSError:  # on Linux, when nobody has the other end any more
                break
            if not piece:
                break
            written += piece
    os.close(own)
    assert process.returncode == 0, written.decode()
    return written.decode()


def rendered(text: str, columns: int) -> list[str]:
    """The lines that a terminal shows in the end; \\x1b[A goes up, \\x1b[K clears."""
    rows, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[\d*[A-Z]|.|\n|\r", text):
        if token == "\r":
            column = 0
        elif token == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif token == "\x1b[A":
            row -= 1
        elif token == "\x1b[K":
            rows[row] = rows[row][:column]
        else:
            assert not token.startswith("\x1b"), token
            if column == columns:  # it wraps
                row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
            rows[row] = rows[row][:column].ljust(column) + token + rows[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in rows]


@pytest.mark.parametrize("columns", [120, 80, 0])
def test_a_real_terminal_shows_one_line_that_never_wraps(columns: int, tmp_path: Path) -> None:
    words = "--epochs 15 --hidden 8 --data-size 2000 --batch-size 50 --no-plots".split()
    command = [sys.executable, "-m", "train.lstm", *words, "--out", str(tmp_path)]
    text = run_in_terminal(command, columns)
    frames = [each for each in screens(text) if each.startswith("epoch")]
    assert len(frames) >= 2
    assert all(len(frame) < (columns or 80) for frame in frames)
    shown = [row for row in rendered(text, columns or 80) if row.startswith("epoch")]
    [last] = shown
    assert re.search(r"epoch 15/15.* 00:00 left, [\d.]+( steps)?/s, ", last), last
    assert ("|" in last and "steps/s" in last) is (columns == 120)
    assert re.search(r"val_accuracy 0\.\d{3}$", last)


def test_terminal_columns_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert terminal_columns() == 79


# --- in a notebook --------------------------------------------------------------------------------


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this look like the process behind a notebook."""
    python = ModuleType("IPython")
    python.get_ipython = lambda: SimpleNamespace(config={"IPKernelApp": {}})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", python)


@pytest.fixture
def widgets(monkeypatch: pytest.MonkeyPatch, kernel: None) -> list[Any]:
    """Let there be widgets; returns what a notebook is asked to display."""
    shown: list[Any] = []

    class Widget:
        def __init__(self, children: Any = (), min: float = 0, max: float = 0) -> None:  # noqa: A002
            self.children, self.max, self.value, self.bar_style = children, max, None, ""
            self.layout, self.style = SimpleNamespace(), SimpleNamespace()

    package = ModuleType("ipywidgets")
    package.__version__ = "8.1.0"  # type: ignore[attr-defined]
    package.__spec__ = SimpleNamespace()  # type: ignore[assignment]
    for name in ("HTML", "HBox", "FloatProgress"):
        setattr(package, name, Widget)
    display = ModuleType("IPython.display")
    display.display = shown.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ipywidgets", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.delitem(sys.modules, "tqdm.notebook", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: package)
    yield shown  # type: ignore[misc]
    sys.modules.pop("tqdm.notebook", None)


def test_a_notebook_without_widgets_gets_a_line_that_changes_in_place(
    kernel: None, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = io.StringIO()
    monkeypatch.setattr(sys, "stderr", cell)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert where() == "text"
    for _ in simulate(clock, 4, 50, 0.25):
        pass
    [line] = [each for each in rendered(cell.getvalue(), 1000) if each]
    assert re.fullmatch(r"epoch 4/4 \|[█#]+\| 00:00 left,  4\.00 steps/s, loss 0\.500", line)
    assert len(line) <= 100
    assert cell.getvalue().count("\r") > 50


def test_a_notebook_with_widgets_gets_one(
    widgets: list[Any], clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert where() == "widget"
    for _ in simulate(clock, 4, 50, 0.1):
        pass
    [box] = widgets
    left, bar, right = box.children
    assert left.value.replace("\u2007", " ").strip() == "epoch 4/4"
    assert right.value.replace("\u2007", " ").strip() == "00:00 left, 10.00 steps/s, loss 0.500"
    assert (bar.value, bar.max, bar.bar_style) == (200, 200, "success")
    assert capsys.readouterr() == ("", "")


def test_a_shell_that_is_no_notebook_is_a_terminal_or_a_pipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    python = ModuleType("IPython")
    python.get_ipython = lambda: SimpleNamespace(config={})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", python)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert where() == "lines"
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert where() == "terminal"
    python.get_ipython = lambda: None  # type: ignore[attr-defined]
    assert where() == "terminal"
    assert make_bar("quiet", 1, 0).disable and not make_bar("lines", 1, 0).disable
