"""The progress of a run: time left and speed, on a terminal, in a pipe, in a notebook."""

import fcntl
import io
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from train.lstm import LSTMConfig, digits_read
from train.progress import MEMORY, Pace, Plan, Progress, make_bar, terminal_columns, where

ROOT = Path(__file__).parent.parent
NOTHING: Callable[[], dict[str, float]] = dict


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def simulate(
    plan: Plan,
    step_seconds: Callable[[int], float],
    check_seconds: Callable[[int], float],
    epoch: int = 0,
    batch: int = 0,
    quiet: bool = True,
) -> Iterator[tuple[float, float, Progress]]:
    """Train by a clock: after each step the seconds done and left, and the progress."""
    every = [plan.steps * step_seconds(n) + check_seconds(n) for n in range(1, plan.epochs + 1)]
    clock = Clock()
    end = clock.now + sum(every[epoch:]) - batch * step_seconds(min(epoch + 1, plan.epochs))
    started = clock.now
    progress = Progress(plan, epoch, batch, quiet, clock)
    for number in range(epoch + 1, plan.epochs + 1):
        progress.epoch(number)
        for _ in range(batch, plan.steps):
            clock.now += step_seconds(number)
            progress.advance(lambda: {"loss": 0.5})
            yield clock.now - started, end - clock.now, progress
        batch = 0
        clock.now += check_seconds(number)
        progress.check()
    progress.close()
    assert clock.now == pytest.approx(end)


CONFIG = LSTMConfig(input_length=1000, epochs=40)


def read(epoch: int) -> int:
    return digits_read(CONFIG, epoch)


# --- time left and speed --------------------------------------------------------------------------


@pytest.mark.parametrize(("epoch", "batch"), [(0, 0), (7, 30), (25, 0), (38, 62)])
def test_the_time_left_is_right_where_later_epochs_cost_more(epoch: int, batch: int) -> None:
    assert (read(1), read(40)) == (20, 1000)
    plan = Plan(40, 63, step_cost=read)
    known = 0
    for done, left, progress in simulate(
        plan, lambda n: 1e-3 * read(n), lambda n: 4.0, epoch, batch
    ):
        if done > 60:
            known += 1
            assert progress.seconds_left() == pytest.approx(left, rel=1e-6, abs=1e-6)
    assert known > 4


@pytest.mark.parametrize("overhead", [0.004, 0.05])
def test_the_time_left_is_right_where_short_sequences_cost_more_for_each_digit(
    overhead: float,
) -> None:
    plan = Plan(40, 63, step_cost=read)
    known = 0
    for done, left, progress in simulate(
        plan, lambda n: 0.65e-3 * read(n) + overhead, lambda n: 4.0
    ):
        if done > 60 and progress._number > 11:  # it has read 40 digits too
            known += 1
            assert progress.seconds_left() == pytest.approx(left, rel=0.02, abs=1)
    assert known > 1000


def test_checks_that_come_now_and_then_count_when_they_come() -> None:
    plan = Plan(20, 100, check_cost=lambda n: n % 5 == 0)
    for done, left, progress in simulate(plan, lambda n: 0.05, lambda n: 20.0 * (n % 5 == 0)):
        if done > 60:
            assert progress.seconds_left() == pytest.approx(left, rel=1e-6, abs=1e-6)


def test_the_first_step_which_compiles_does_not_count() -> None:
    first = [30.0]
    plan = Plan(1, 1000)
    steps = simulate(plan, lambda n: 0.1, lambda n: 0.0)
    clock = Clock()
    progress = Progress(plan, 0, 0, True, clock)
    progress.epoch(1)
    assert progress.seconds_left() is None
    for _ in range(11):
        clock.now += first.pop() if first else 0.1
        progress.advance(NOTHING)
    assert progress.seconds_left() == pytest.approx(98.9)
    assert len(list(steps)) == 1000


def test_a_machine_that_slows_down_is_noticed() -> None:
    pace = Pace()
    assert (pace.per_second, pace.forecast(1, 1)) == (None, None)
    for _ in range(600):
        pace.add(1, 0.1)
    assert pace.forecast(7, 7) == pytest.approx(0.7)
    for _ in range(int(3 * MEMORY / 0.3)):
        pace.add(1, 0.3)
    assert pace.per_second == pytest.approx(1 / 0.3, rel=0.1)


def test_pieces_lie_on_a_line_that_never_leads_below_zero() -> None:
    pace = Pace()
    for cost in (1, 3, 1, 5):
        pace.add(cost, 0.2 + 0.1 * cost)
    assert pace.forecast(10, 20) == pytest.approx(10 * 0.2 + 20 * 0.1)
    for first, second in (((1, 9.0), (3, 1.0)), ((1, 0.1), (3, 9.0))):  # falls; starts below zero
        pace = Pace()
        pace.add(*first)
        pace.add(*second)
        found = pace.forecast(4, 8)
        assert found == pytest.approx(8 * (first[1] + second[1]) / 4, rel=0.3) and found > 0
    pace = Pace()
    pace.add(0, 0.5)
    assert pace.forecast(4, 3) == pytest.approx(2.0)


def test_a_resumed_run_counts_its_own_steps_only() -> None:
    clock = Clock()
    progress = Progress(Plan(10, 100), 5, 50, True, clock)
    progress.epoch(6)
    for _ in range(3):
        clock.now += 2.0
        progress.advance(NOTHING)
    assert progress.seconds_left() == pytest.approx(2.0 * (450 - 3))
    assert "0.5 steps/s" in progress._line()
    assert progress._line().startswith("epoch 6/10  55%, 00:06 so far, 14:54 left")


def test_a_finished_run_has_nothing_left() -> None:
    assert Progress(Plan(3, 4), 3, 0, True, Clock()).seconds_left() == 0
    assert Progress(Plan(3, 4), 2, 4, True, Clock()).seconds_left() == 0


# --- in a file or pipe ----------------------------------------------------------------------------


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_in_a_pipe_there_is_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in simulate(Plan(4, 50), lambda n: 0.125, lambda n: 0.0, quiet=False):
        pass
    lines = lines_of(capsys)
    assert len(lines) == 10
    assert lines[4] == "epoch 2/4  50%, 00:12 so far, 00:12 left, 8.0 steps/s, loss 0.500"
    assert not any("\r" in line or "\x1b" in line for line in lines)


def test_in_a_pipe_a_long_run_speaks_after_a_minute_and_every_ten(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in simulate(Plan(10, 1000), lambda n: 2.0, lambda n: 0.0, quiet=False):
        pass
    lines = lines_of(capsys)
    assert lines[0] == "epoch 1/10   0%, 01:00 so far, 5:32:20 left, 0.5 steps/s, loss 0.500"
    assert lines[1].startswith("epoch 1/10   3%, 11:00 so far, 5:22:20 left")
    assert len(lines) == 1 + 10 * 4  # after 10, 20, 30 minutes, and at each tenth


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    for _, _, progress in simulate(Plan(2, 5), lambda n: 0.1, lambda n: 0.0, quiet=True):
        progress.note("a note")
    assert capsys.readouterr() == ("", "")


# --- on a terminal --------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """Takes itself for a terminal, of unknown width."""

    def isatty(self) -> bool:
        return True


def screens(text: str) -> list[str]:
    """What stood in the line of the bar, one after the other."""
    return [each.split("\x1b")[0].rstrip() for each in re.split(r"[\r\n]", text) if each.strip()]


def test_a_bar_shows_speed_time_and_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for _, _, progress in simulate(Plan(4, 50), lambda n: 0.1, lambda n: 0.0, quiet=False):
        if progress.seconds_left() == pytest.approx(5.0):
            progress.note("half")
    shown = screens(terminal.getvalue())
    assert re.fullmatch(r"epoch 4/4 \|[█#]+\| 00:00 left, 10\.0 steps/s, loss 0\.500", shown[-1])
    assert shown.count("half") == 1
    assert all(len(line) < 80 for line in shown)
    assert terminal.getvalue().endswith("\n")


def test_what_does_not_fit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(Plan(200, 2), 0, 0, False, Clock())
    progress.epoch(200)
    names = ("g_loss", "d_loss", "d_real", "d_fake", "fid")
    progress.advance(lambda: dict.fromkeys(names[:4], 0.5))
    shown = screens(terminal.getvalue())[-1]
    assert shown == "epoch 200/200, ? left, g_loss 0.500 d_loss 0.500 d_real 0.500 d_fake 0.500"
    progress.show(dict.fromkeys(names, 123.456))
    progress.close()
    shown = screens(terminal.getvalue())[-1]
    assert (
        shown == "epoch 200/200, ? left, d_loss 123.456 d_real 123.456 d_fake 123.456 fid 123.456"
    )


def run_in_terminal(words: list[str], columns: int) -> str:
    """Run a command whose output goes to a terminal; return all that it wrote."""
    own, other = os.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(words, cwd=ROOT, stdout=other, stderr=other, stdin=other) as process:
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
    words = "--epochs 15 --hidden 8 --data-size 2000 --batch-size 50".split()
    command = [sys.executable, "-m", "train.lstm", *words, "--out", str(tmp_path)]
    text = run_in_terminal(command, columns)
    frames = [each for each in screens(text) if each.startswith("epoch")]
    assert len(frames) >= 2
    assert all(len(frame) < (columns or 80) for frame in frames)
    shown = [row for row in rendered(text, columns or 80) if row.startswith("epoch")]
    [last] = shown
    assert re.search(r"epoch 15/15.* 00:00 left, \d+( steps)?/s, ", last), last
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
    kernel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = io.StringIO()
    monkeypatch.setattr(sys, "stderr", cell)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert where() == "text"
    for _ in simulate(Plan(4, 50), lambda n: 0.1, lambda n: 0.0, quiet=False):
        pass
    [line] = [each for each in rendered(cell.getvalue(), 1000) if each]
    assert re.fullmatch(r"epoch 4/4 \|[█#]+\| 00:00 left, 10\.0 steps/s, loss 0\.500", line)
    assert len(line) <= 100
    assert cell.getvalue().count("\r") > 50


def test_a_notebook_with_widgets_gets_one(
    widgets: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert where() == "widget"
    for _ in simulate(Plan(4, 50), lambda n: 0.1, lambda n: 0.0, quiet=False):
        pass
    [box] = widgets
    left, bar, right = box.children
    assert left.value.replace("\u2007", " ").strip() == "epoch 4/4"
    assert right.value.replace("\u2007", " ").strip() == "00:00 left, 10.0 steps/s, loss 0.500"
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
    assert make_bar("lines", 1) is None
