"""A little of what the long commands of tests/reliability try, and that they find what is wrong."""

import pytest
from needs import FORKS
from trainings import done

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
