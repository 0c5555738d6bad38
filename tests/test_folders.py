"""The folder of a run: moved, full, locked, or a link to nowhere."""

import errno
import multiprocessing
import os
import re
import shutil
from pathlib import Path
from typing import Any

import needs
import pytest
from test_resume import SMALL, results, unbroken
from trainings import before_step, contents, only_run

from minigrad.data import DataError
from minigrad.files import TEMPORARY
from train import folder, lock, lstm
from train.checkpoint import NAMES
from train.console import BadInput
from train.folder import lines_of, new_folder
from train.run import RunFolder

__all__ = ["unbroken"]
pytestmark = pytest.mark.usefixtures("no_figures")
SWEEP = "--sweep 3 4 --models rnn --seeds 1 --data-size 50 --epochs 2 --hidden 4".split()


@pytest.mark.parametrize("below", ["", "lstm"])
def test_an_out_that_is_a_link_to_nowhere_is_refused(
    below: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "out" / below
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "nowhere")
    assert lstm.main([*SMALL[lstm], "--out", str(tmp_path / "out")]) == 2
    assert "is in the way; allowed: a folder in which you may write" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()


def test_a_name_that_a_link_to_nowhere_has_is_taken(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "mine").symlink_to("nowhere")
    with pytest.raises(BadInput, match=r"--name is mine, but .* exists"):
        new_folder(tmp_path, "toy", "mine")


def test_a_folder_that_is_moved_during_a_run_is_not_made_anew(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    unbroken: Any,
) -> None:
    moved = tmp_path / "moved"
    with monkeypatch.context() as patch:
        before_step(patch, lstm, 6, lambda: only_run(tmp_path).rename(moved))
        words = [*SMALL[lstm], "--quiet", "--checkpoint-steps", "2", "--out", str(tmp_path)]
        assert lstm.main(words) == 1
    assert re.search(r"the run's folder .* is gone; if it was moved", capsys.readouterr().err)
    assert not list((tmp_path / "lstm").iterdir())
    assert lstm.main(["--resume", str(moved), "--quiet"]) == 0
    assert results(moved) == results(unbroken(lstm))


def test_a_full_disk_is_said_with_the_way_to_go_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    unbroken: Any,
) -> None:
    append = folder.append_to

    def full(path: Path, content: bytes) -> None:
        append(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        before_step(patch, lstm, 6, lambda: patch.setattr(folder, "append_to", full))
        assert lstm.main([*SMALL[lstm], "--quiet", "--out", str(tmp_path)]) == 1
    run = only_run(tmp_path)
    assert capsys.readouterr().err == (
        f"error: cannot go on: [Errno 28] No space left on device: '{run / 'metrics.jsonl'}'; go "
        f"on from the last checkpoint: python -m train.lstm --resume {run}\n"
    )
    assert lstm.main(["--resume", str(run), "--quiet"]) == 0
    assert results(run) == results(unbroken(lstm))


def hold(path: Path, held: Any, done: Any) -> None:
    with RunFolder(path).locked():
        held.set()
        done.wait()


def test_the_lock_is_taken_before_anything_is_read_and_held_to_the_end(
    unbroken: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = shutil.copytree(unbroken(lstm), tmp_path / "run")
    tried: list[int] = []

    def while_drawing(*args: Any) -> None:
        tried.append(lstm.main(["--resume", str(run), "--quiet"]))

    monkeypatch.setattr(lstm, "look_inside", while_drawing)
    assert lstm.main(["--resume", str(run), "--epochs", "4", "--quiet"]) == 0
    assert tried == [2]
    assert "another process is training in it" in capsys.readouterr().err


@needs.LOCKS
def test_another_process_is_kept_out_and_changes_nothing(
    unbroken: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(unbroken(lstm), tmp_path / "run")
    before = contents(run)
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(run, held, done))
    other.start()
    try:
        assert held.wait(60)
        assert lstm.main(["--resume", str(run), "--epochs", "1000"]) == 2
    finally:
        done.set()
        other.join()
    assert "another process is training in it" in capsys.readouterr().err
    assert contents(run) == before


@pytest.mark.parametrize("system", ["without locks", "Windows"])
def test_a_folder_that_cannot_be_locked_is_said(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class NoLocks:
        LOCK_EX, LOCK_NB = 2, 4

        @staticmethod
        def flock(file: int, operation: int) -> None:
            raise OSError(errno.ENOTSUP, "no locks")

    monkeypatch.setattr(lock, "fcntl", NoLocks if system == "without locks" else None)
    assert lstm.main([*SMALL[lstm], "--quiet", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    where = only_run(tmp_path)
    assert said == f"{where} cannot be locked here: take care that no other process trains in it\n"


def test_a_sweep_is_locked_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[int] = []

    def try_it() -> None:
        tried.append(lstm.main(["--resume", str(only_run(tmp_path))]))

    before_step(monkeypatch, lstm, 3, try_it)
    assert lstm.main([*SWEEP, "--quiet", "--out", str(tmp_path)]) == 0
    assert tried == [2]
    assert "another process is training in it" in capsys.readouterr().err


def test_a_sweep_with_a_damaged_training_is_refused_and_left_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lstm.main([*SWEEP, "--quiet", "--out", str(tmp_path)]) == 0
    run = only_run(tmp_path)
    for part in ("rnn-3-seed0", "rnn-4-seed0"):
        assert (run / part / "environment.json").exists()
    for name in NAMES:
        (run / "rnn-4-seed0" / name).write_bytes(b"damaged")
    before = contents(run)
    capsys.readouterr()
    assert lstm.main(["--resume", str(run), "--epochs", "3"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --resume {run / 'rnn-4-seed0'}: {NAMES[0]} is damaged"), error
    assert contents(run) == before


def test_what_a_killed_process_leaves_is_removed_even_before_the_first_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lstm.main([*SWEEP, "--quiet", "--out", str(tmp_path)]) == 0
    run = only_run(tmp_path)
    part = run / "rnn-4-seed0"
    for path in part.iterdir():
        if path.name != "config.json":
            path.unlink()
    for folder_ in (run, part):
        (folder_ / ".unfinished-0123456789abcdef.json").write_text("{")
    assert lstm.main(["--resume", str(run), "--quiet"]) == 0
    assert not list(run.rglob(".unfinished-*"))
    assert (part / "last.safetensors").exists()


@needs.LINKS
def test_nothing_is_written_through_a_link_that_comes_during_a_run(tmp_path: Path) -> None:
    run = RunFolder(new_folder(tmp_path, "toy", "run"))
    (tmp_path / "elsewhere").mkdir()
    (run.path / "samples").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="samples is a link, expected a folder"):
        run.write("samples/step-1.png", b"x")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_with_a_temporary_files_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY}1").mkdir()
    (tmp_path / f"{TEMPORARY}2").touch()
    RunFolder(tmp_path).remove_unfinished()
    assert [path.name for path in tmp_path.iterdir()] == [f"{TEMPORARY}1"]


def test_no_more_lines_are_read_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MOST_COUNTED", 2)
    assert len(lines_of(b'{"a": 1}\n' * 2, Path("x"))) == 2
    with pytest.raises(DataError, match="x has 3 lines; at most 2 are read"):
        lines_of(b'{"a": 1}\n' * 3, Path("x"))
