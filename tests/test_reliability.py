"""A little of what the long commands of tests/reliability try, and that they find what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from needs import FORKS
from reliability import power_cuts

ROOT = Path(__file__).parent.parent
FEW = {
    "kills": "--kinds lstm sweep --signals 4 --fresh 0 --points 24 --again 8",
    "failing_writes": "--kinds lstm --points 16",
    "bit_flips": "--kinds lstm --flips 40",
}
# what is made wrong, and the command that must find it
WRONG = {
    "kills": (
        "from minigrad import optim; optim.Adam.load_state_dict = lambda *args: None",
        "signals=0, fresh=0, points=8, again=0",
    ),
    "failing_writes": (
        "from train.trainer import Trainer; Trainer.go_on = lambda self, folder: 'again'",
        "points=4",
    ),
    "bit_flips": (
        "import minigrad.serialization as s; from train.run import RunFolder as r; "
        "s._check_sum = r._check_metrics = r._bring_back = lambda *args: None",
        "flips=60",
    ),
}


def done(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=600
    )


@FORKS
@pytest.mark.parametrize("name", FEW)
def test_runs_end_right_whatever_happens(name: str) -> None:
    ended = done("-m", f"tests.reliability.{name}", *FEW[name].split())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    [all_of_them] = [line for line in ended.stdout.splitlines() if line.startswith("all:")]
    assert all_of_them.endswith("wrong 0")


@FORKS
@pytest.mark.parametrize("name", WRONG)
def test_the_commands_find_what_is_wrong(name: str) -> None:
    wrong, words = WRONG[name]
    program = (
        f"{wrong}; from tests.reliability import {name}; "
        f"raise SystemExit({name}.main({words}, kinds=('lstm',)))"
    )
    ended = done("-c", program)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "WRONG" in ended.stdout and not ended.stderr


@pytest.fixture
def can_cut() -> None:
    try:
        power_cuts.check()
    except power_cuts.Impossible as error:
        pytest.skip(f"the power of a file system cannot be cut here: {error}")


def cuts(*words: str) -> subprocess.CompletedProcess[str]:
    ended = done("-m", "tests.reliability.power_cuts", *words)
    if ended.returncode == power_cuts.CANNOT:
        pytest.skip(ended.stderr.strip())
    return ended


@pytest.mark.usefixtures("can_cut")
def test_runs_end_right_after_power_cuts() -> None:
    ended = cuts("--cuts", "10")
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.usefixtures("can_cut")
def test_power_cuts_harm_what_is_not_synchronized() -> None:
    ended = cuts("--cuts", "4", "--no-sync", "--systems", "xfs", "--kinds", "lstm")
    assert ended.returncode == 1, ended.stdout + ended.stderr


def test_without_root_no_power_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_cuts.sys, "platform", "linux")
    monkeypatch.setattr(power_cuts.os, "geteuid", lambda: 1000, raising=False)
    with pytest.raises(power_cuts.Impossible, match="only root may mount"):
        power_cuts.check()
