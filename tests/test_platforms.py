"""A run on a system that lacks what Linux has: Windows, or one without file locks."""

import subprocess
import sys
from pathlib import Path

import pytest
from trainings import only_run

from minigrad.files import TEMPORARY
from train import lstm

ROOT = Path(__file__).parent.parent
SMALL = "--data-size 200 --epochs 2 --hidden 8 --batch-size 40".split()  # 4 steps an epoch
FLAGS = ["O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "O_CLOEXEC"]


# Take away names (of a module alone, the whole module), then train, press Ctrl-C in step 6, go on.
PROGRAM = """
import importlib, os, signal, sys
for name in sys.argv.pop(1).split():
    module, _, attribute = name.partition(".")
    if attribute:
        vars(importlib.import_module(module)).pop(attribute, None)
    else:
        sys.modules[module] = None
if not hasattr(os, "O_DIRECTORY") and sys.modules.get("fcntl", os) is None:  # Windows
    opened = os.open
    def open_file(path, *rest, **keywords):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *rest, **keywords)
    os.open = open_file
from pathlib import Path
from matplotlib.figure import Figure
from train import lstm
Figure.savefig = lambda figure, path: Path(path).touch()  # which would take most of the time
step, seen = lstm.step, []
def stopping(*parts):
    seen.append(1)
    if len(seen) == 6:
        signal.raise_signal(signal.SIGINT)
    return step(*parts)
lstm.step = stopping
assert lstm.main() == 130
[run] = Path(sys.argv[-1]).glob("*/*")
sys.exit(lstm.main(["--resume", str(run), "--quiet"]))
"""
SYSTEMS = {
    **{name: f"os.{name}" for name in FLAGS},
    "SIGHUP": "signal.SIGHUP",
    "locks": "fcntl",
    "Windows": " ".join(["signal.SIGHUP", "fcntl", *(f"os.{name}" for name in FLAGS)]),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of a run that nothing has disturbed, on a system that lacks nothing."""
    out = tmp_path_factory.mktemp("unbroken")
    assert lstm.main([*SMALL, "--quiet", "--out", str(out)]) == 0
    return of_run(only_run(out))


def of_run(run: Path) -> dict[str, bytes]:
    """The files that hold a run's results."""
    names = ["metrics.jsonl", "metrics.csv", "last.safetensors", "best.safetensors"]
    return {name: (run / name).read_bytes() for name in names}


@pytest.mark.parametrize("missing", SYSTEMS.values(), ids=SYSTEMS)
def test_a_run_is_saved_and_resumed_on_a_system_that_lacks(
    missing: str, results: dict[str, bytes], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", PROGRAM, missing, *SMALL, "--quiet", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path)
    assert of_run(run) == results
    assert not list(run.glob(f"{TEMPORARY}*"))
    # it says so where nothing keeps two from training in one folder
    assert ("cannot be locked" in done.stderr) == ("fcntl" in missing)
