"""Ten power cuts, where root and xfsprogs are at hand; else a skip by name."""

import subprocess

import pytest
from reliability import power_cuts
from trainings import done


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
