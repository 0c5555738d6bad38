"""Messages go anywhere, or nowhere; none can end a run, and bad input never ends in a traceback."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import needs
import pytest

from train import console, interpolate, lstm, plot, progress
from train.config import RunConfig
from train.progress import Progress, terminal_columns, where
from train.run import Run
from train.trainer import Trainer

ROOT = Path(__file__).parent.parent
SMALL = "--data-size 50 --epochs 2 --hidden 4".split()
FOREIGN = "Zahlen-é-数"


class OnlyWrite:
    """A logger in the place of a stream, as programs without a console have one."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


class Raising:
    """A stream whose every method and attribute is an error."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name} here")


def failing(error: BaseException, terminal: bool = False) -> Any:
    class Failing(io.StringIO):
        def write(self, text: str) -> int:
            raise error

        def isatty(self) -> bool:
            return terminal

    return Failing()


def encoded(encoding: str, terminal: bool = False) -> Any:
    """A strict stream with an encoding that lacks most letters."""

    class Encoded(io.TextIOWrapper):
        def isatty(self) -> bool:
            return terminal

    return Encoded(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


STREAMS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "only write": OnlyWrite,
    "closed": closed,
    "closed terminal": lambda: failing(OSError(5, "Input/output error"), terminal=True),
    "broken pipe": lambda: failing(BrokenPipeError(32, "Broken pipe")),
    "full disk": lambda: failing(OSError(28, "No space left on device")),
    "no write": object,
    "raises": Raising,
    "bytes": io.BytesIO,
    "ascii": lambda: encoded("ascii"),
    "ascii terminal": lambda: encoded("ascii", terminal=True),
    "latin-1": lambda: encoded("latin-1"),
}
over_streams = pytest.mark.parametrize("kind", STREAMS)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], tuple[Any, Any]]:
    """Replaces standard output and error."""

    def replace(make: Callable[[], Any]) -> tuple[Any, Any]:
        out, err = make(), make()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        return out, err

    return replace


# --- a whole command ------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_pictures")
@pytest.mark.parametrize("kind", ["none", "only write", "closed terminal", "raises", "ascii"])
def test_a_training_ends_well_wherever_its_messages_go(
    kind: str, tmp_path: Path, streams: Any
) -> None:
    replaced = streams(STREAMS[kind])
    assert lstm.main([*SMALL, "--out", str(tmp_path / FOREIGN)]) == 0
    assert (sys.stdout, sys.stderr) == replaced
    [run] = (tmp_path / FOREIGN / "lstm").iterdir()
    assert (run / "gradients.png").exists()  # the last that it makes
    assert plot.main([str(run)]) == 0


@over_streams
@pytest.mark.parametrize(("words", "code"), [("--epochs 0", 2), ("--epocs 1", 2), ("--help", 0)])
def test_bad_input_is_code_2_wherever_the_message_goes(
    kind: str, words: str, code: int, streams: Any
) -> None:
    streams(STREAMS[kind])
    assert lstm.main(words.split()) == code


@pytest.mark.parametrize("kind", ["none", "raises"])
def test_every_command_is_guarded(kind: str, streams: Any) -> None:
    streams(STREAMS[kind])
    assert lstm.main(["--resume", "nowhere"]) == 2
    assert plot.main(["nowhere"]) == interpolate.main(["nowhere"]) == 2


@pytest.mark.usefixtures("quick_pictures")
def test_a_logger_gets_every_message(tmp_path: Path, streams: Any) -> None:
    out, err = streams(OnlyWrite)
    assert lstm.main([*SMALL, "--out", str(tmp_path)]) == 0
    assert out.text.startswith("Learning from") and out.text.endswith("\n")
    assert f"Results: {tmp_path}" in out.text
    assert "100%" in err.text
    assert lstm.main(["--resume", "nowhere"]) == 2
    assert "error: --resume nowhere" in err.text


@pytest.mark.usefixtures("quick_pictures")
def test_letters_that_an_encoding_lacks_are_written_as_numbers(
    tmp_path: Path, streams: Any
) -> None:
    out, _ = streams(lambda: encoded("latin-1"))
    assert lstm.main([*SMALL, "--quiet", "--out", str(tmp_path / FOREIGN)]) == 0
    assert b"Zahlen-\xe9-\\u6570" in out.buffer.getvalue()
    console.tell("a\udcffb")
    assert out.buffer.getvalue().endswith(b"a\\udcffb\n")


@pytest.mark.parametrize("said", ["no such encoding", "utf-8", 7])
def test_a_stream_may_take_other_letters_than_it_says(said: Any) -> None:
    class Liar(OnlyWrite):
        encoding = said

        def write(self, text: str) -> None:
            text.encode("ascii")
            super().write(text)

    stream = Liar()
    file = console.Forgiving(stream)
    print("é!", file=file)
    assert (stream.text, file.failed) == ("\\xe9!\n", False)


@over_streams
def test_what_others_print_during_a_command_cannot_end_it(kind: str, streams: Any) -> None:
    def train(config: RunConfig, make_run: object) -> Run:
        print(FOREIGN, flush=True)
        sys.stdout.write("\udcff")
        print("to the other", file=sys.stderr)
        return Run(Path(), {})

    streams(STREAMS[kind])
    assert Trainer("train.toy", RunConfig, train).main([]) == 0


def test_settings_that_cannot_be_written_are_a_failure(
    streams: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", failing(OSError(28, "No space left on device")))
    assert lstm.main(["--dry-run"]) == 1
    assert capsys.readouterr().err == "error: standard output cannot be written to\n"
    monkeypatch.setattr(sys, "stdout", None)
    assert lstm.main(["--dry-run"]) == 0


@pytest.mark.parametrize(
    "redirections",
    [
        ">&- 2>&-",
        "| true",
        pytest.param(">/dev/full 2>&1", marks=needs.DEV_FULL),
        pytest.param("2>/dev/full", marks=needs.DEV_FULL),
    ],
)
def test_a_process_ends_with_its_own_code_whatever_its_streams_are(
    redirections: str, tmp_path: Path
) -> None:
    words = " ".join([*SMALL, "--out", f"{tmp_path}/{FOREIGN}"])
    script = f"{sys.executable} -m train.lstm {words} {redirections}; exit ${{PIPESTATUS[0]}}"
    environment = os.environ | {"PYTHONIOENCODING": "ascii:strict", "MINIGRAD_FAST": "0"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    [run] = (tmp_path / FOREIGN / "lstm").iterdir()
    assert (run / "gradients.png").exists()


@pytest.mark.parametrize(
    ("words", "redirections", "code"),
    [
        ("", ">&- 2>&-", 0),
        ("lstm --epochs 2", "2>&-", 2),
        pytest.param("", ">/dev/full", 1, marks=needs.DEV_FULL),
        pytest.param("lstm --epochs 2", "2>/dev/full", 2, marks=needs.DEV_FULL),
    ],
)
def test_the_list_of_commands_ends_with_its_own_code(
    words: str, redirections: str, code: int
) -> None:
    script = f"{sys.executable} -m train {words} {redirections}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code
    assert done.stderr in ("", "error: standard output cannot be written to\n")


# --- the progress ---------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the progress be shown after every step."""
    monkeypatch.setattr(progress, "SHOW_EVERY", 0.0)


def walk(shown: Progress, steps: int) -> None:
    shown.epoch(1)
    for _ in range(steps):
        shown.advance(lambda: {"loss": 0.5})
    shown.note(FOREIGN)
    shown.close()


@over_streams
@pytest.mark.parametrize("steps", [3, 20])
def test_the_progress_is_shown_or_not_but_never_raises(kind: str, steps: int, streams: Any) -> None:
    streams(STREAMS[kind])
    assert where() == ("terminal" if "terminal" in kind else "lines")
    assert terminal_columns() == 79
    walk(Progress(1, steps, 0, False), steps)


def test_a_bar_on_an_ascii_terminal_is_of_ascii(streams: Any) -> None:
    _, err = streams(lambda: encoded("ascii", terminal=True))
    walk(Progress(1, 5, 0, False), 5)
    written = err.buffer.getvalue()
    assert b"epoch 1/1 |##########" in written and b"\\u" not in written.replace(b"\\u6570", b"")


def test_a_bar_that_breaks_gives_way_to_lines(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        disable = False

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("the notebook has gone")

    shown = Progress(1, 10, 0, False)
    shown._bar = Broken()
    walk(shown, 10)
    assert "epoch 1/1 100%" in capsys.readouterr().err


@pytest.mark.parametrize("problem", [ImportError("IProgress not found"), ValueError("no spec")])
def test_widgets_that_cannot_be_shown_give_way_to_lines(
    problem: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise problem

    monkeypatch.setitem(sys.modules, "tqdm.notebook", None)
    with monkeypatch.context() as patch:
        patch.setattr(progress, "where", lambda: "widget")
        walk(Progress(1, 10, 0, False), 10)
    assert "epoch 1/1 100%" in capsys.readouterr().err
    monkeypatch.setattr(progress.importlib.util, "find_spec", broken)
    assert not progress._has_widgets()
