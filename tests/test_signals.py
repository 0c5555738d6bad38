"""Signals and streams that end: a run saves first, and no message comes before that."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import needs
import pytest
from test_resume import SMALL
from trainings import only_run

from train import checkpoint, lstm
from train.checkpoint import CHECKPOINT

ROOT = Path(__file__).parent.parent
pytestmark = needs.SIGNALS
LONG = [*SMALL[lstm], "--epochs", "100000", "--checkpoint-minutes", "1000", "--no-plots"]


STARTED: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """No process outlives its test."""
    yield
    for process in STARTED:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    STARTED.clear()


def start(out: Path, ignored: signal.Signals | None = None) -> subprocess.Popen[bytes]:
    """Start a long training whose standard output and error are pipes, and wait for some steps."""
    program = [sys.executable, "-m", "train.lstm", *LONG, "--out", str(out)]

    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN if number == ignored else signal.SIG_DFL)

    pipe = subprocess.PIPE
    process = subprocess.Popen(program, cwd=ROOT, stdout=pipe, stderr=pipe, preexec_fn=ignore)
    STARTED.append(process)
    wait_for(lambda: any(path.stat().st_size > 500 for path in out.glob("*/*/metrics.jsonl")))
    return process


def wait_for(happened: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def saved_step(out: Path) -> int:
    step: int = checkpoint.read(only_run(out) / CHECKPOINT).state["step"]
    return step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_though_nobody_reads_the_messages(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = start(tmp_path)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    process.stderr.close()  # as where the tee behind a pipe was ended by the same Ctrl-C
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert saved_step(tmp_path) > 0
    assert lstm.main(["--resume", str(only_run(tmp_path)), "--dry-run"]) == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_was_ignored_on_purpose_stays_so(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = start(tmp_path, ignored=number)  # nohup does this to SIGHUP, & in a script to SIGINT
    size = (only_run(tmp_path) / "metrics.jsonl").stat().st_size
    process.send_signal(number)
    wait_for(lambda: (only_run(tmp_path) / "metrics.jsonl").stat().st_size > size + 2000)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143 and b"Stopped by SIGTERM" in output


@pytest.mark.parametrize("program", ["lstm", "gan", "classifier", "plot", "interpolate"])
@pytest.mark.parametrize("seconds", [0.1, 0.5])
def test_ctrl_c_during_the_imports_ends_in_one_line(program: str, seconds: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", f"train.{program}", "--help"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    first = next(line for line in process.stderr if b"train" in line or b"numpy" in line)
    assert first
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    said = [line for line in error.splitlines() if not line.startswith(b"import time")]
    assert (process.returncode, said) in [(130, [b"Interrupted."]), (0, [])], error
