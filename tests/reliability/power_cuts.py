"""Cut the power at any moment, and go on with the run: `python -m tests.reliability.power_cuts`.

A run writes into a file system in a file. At a random moment the file system is shut down, so that
whatever was not synchronized is lost, as by a power cut; it is mounted again, and the run goes on.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from .runs import KINDS, Ended, Laboratory, Process, Tally, laboratory, nothing

TOOLS = ("losetup", "mount", "umount", "xfs_io", "mkfs.ext4", "mkfs.xfs")
SIZES = {"ext4": 64, "xfs": 320}  # MiB, of which only what is written takes room; XFS needs 300
# how a file system is mounted: as a rule, and so that it promises less
OPTIONS = {"ext4": ("defaults", "noauto_da_alloc", "data=writeback"), "xfs": ("defaults",)}
MOST = 3  # cuts of one run
EVERY = (1, 2, 3)  # steps between two checkpoints
CANNOT = 2  # exit code


class Impossible(Exception):
    """This machine cannot cut the power of a file system."""


@dataclass
class Disk:
    """A file system in a file, mounted.

    Args:
        kind: ext4 or xfs.
        image: The file that holds it.
        place: Where it is mounted.
    """

    kind: str
    image: Path
    place: Path
    options: str = "defaults"

    def make(self) -> None:
        """Make the file system, and mount it."""
        with self.image.open("wb") as file:
            file.truncate(SIZES[self.kind] * 2**20)
        quiet = ["-q", "-F"] if self.kind == "ext4" else ["-q", "-f"]
        _do(f"mkfs.{self.kind}", *quiet, self.image)
        self.mount()

    def mount(self) -> None:
        """Mount it; its loop device goes away by itself when it is unmounted."""
        options = f"loop,{self.options}"
        _do("mount", "-t", self.kind, "-o", options, self.image, self.place)

    def cut(self) -> None:
        """Lose everything that was not synchronized, and refuse all that follows."""
        _do("xfs_io", "-x", "-c", "shutdown", self.place)

    def unmount(self) -> None:
        """Unmount it; a process that has just been killed may hold it for a moment."""
        for _ in range(50):
            done = subprocess.run(["umount", self.place], capture_output=True, text=True)
            if done.returncode == 0 or not os.path.ismount(self.place):
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self.place} cannot be unmounted: {done.stderr.strip()}")


def _do(*command: object) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


def check() -> None:
    """Find out whether this machine can do it.

    Raises:
        Impossible: If it cannot; the message says why.
    """
    if not sys.platform.startswith("linux"):
        raise Impossible(f"this needs Linux, and here is {sys.platform}")
    if os.geteuid() != 0:
        raise Impossible("only root may mount a file system; this is another user")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise Impossible(f"{', '.join(missing)}: not installed (apt-get install xfsprogs)")
    if not Path("/dev/loop-control").exists():
        raise Impossible("there are no loop devices, /dev/loop-control")


@contextmanager
def disk(kind: str, work: Path, options: str = "defaults") -> Iterator[Disk]:
    """Make and mount a file system; in the end it is unmounted and gone, whatever happens.

    Raises:
        Impossible: If this machine lets nobody mount one.
    """
    place = work / f"disk-{kind}"
    place.mkdir()
    made = Disk(kind, work / f"{kind}.image", place, options)
    try:
        try:
            made.make()
        except RuntimeError as error:
            raise Impossible(str(error)) from None
        yield made
    finally:
        if os.path.ismount(place):
            made.unmount()
        made.image.unlink(missing_ok=True)
        place.rmdir()


def main(
    cuts: int = 100,
    systems: tuple[Literal["ext4", "xfs"], ...] = ("ext4", "xfs"),
    kinds: tuple[Literal["lstm", "gan", "classifier", "sweep"], ...] = tuple(KINDS),  # type: ignore[assignment]
    sync: bool = True,
    minutes: float = math.inf,
    seed: int = 0,
    work: Path | None = None,
) -> int:
    """Cut the power of runs, on ext4 and XFS; go on with each, and compare.

    In the end everything must be, byte for byte, as in a run that nothing has disturbed. This needs
    root, loop devices and xfsprogs; without them it says so, and ends with exit code 2.

    Args:
        cuts: How many runs, at least; each has up to three cuts, the last maybe after its end.
        systems: The file systems.
        kinds: The runs.
        sync: With --no-sync runs do not wait for the disk: then this command must find faults.
        minutes: For how long to try; what was not tried by then is left out.
        seed: Of the random moments.
        work: A folder for the file systems; else the system's for temporary files.
    """
    tally = Tally()
    places = [(system, option) for system in systems for option in OPTIONS[system]]
    # as many on each system, by turns on each of the ways to mount it
    share = {place: -(-cuts // len(systems) // len(OPTIONS[place[0]])) for place in places}
    try:
        check()
        with laboratory(kinds, seed, minutes, work) as lab:
            for system, options in places:
                with disk(system, lab.work, options) as made:
                    for number in range(share[system, options]):
                        if lab.is_over:
                            break
                        cut_and_go_on(lab, tally, made, kinds[number % len(kinds)], sync)
    except Impossible as error:
        print(f"cannot cut the power: {error}", file=sys.stderr)
        return CANNOT
    return tally.conclude()


def unsynchronized() -> None:
    """In a child: wait for no disk."""
    os.fsync = os.fdatasync = lambda opened: None


def cut_and_go_on(lab: Laboratory, tally: Tally, made: Disk, kind: str, sync: bool) -> None:
    """Cut the power of a run, and go on with it, several times; compare what it leaves."""
    random, every = lab.random, lab.random.choice(EVERY)
    expected, trial = lab.unbroken(kind, every), lab.trial(kind, every, made.place)
    prepare = nothing if sync else unsynchronized
    group = f"{made.kind} ({made.options}){'' if sync else ' without synchronizing'}"
    words = [f"{kind} every {every}"]
    problems: list[str] = []
    how, begun, count = "", False, random.randint(1, MOST)
    for number in range(count):
        process = trial.resume(prepare) if begun else trial.begin(prepare)
        late = random.random() < 0.2  # after the end of the run
        moment = random.uniform(0, lab.duration(kind))
        ended = process.ends(60 if late else moment)
        if ended and late:
            time.sleep(random.uniform(0, 0.5))
        elif not ended and random.random() < 0.3:
            write_back(made.place)  # a part of it, as the system does every few seconds
        words.append(f"cut {'after the end' if ended else f'after {moment:.3f} s'}")
        promised = begun or measured(trial.run)
        state = cut(made, process)
        if ended and state.code == 0:
            problems = [f"after the end, {each}" for each in expected.promised(trial.run)]
        begun = (trial.run / "config.json").exists()
        if problems or (promised and not begun):
            problems = problems or ["the run is gone"]
            break
        if not begun:
            shutil.rmtree(trial.run, ignore_errors=True)
        how = f"{number + 1} cuts"
    if not problems:
        # with nothing measured there may be no run yet, but never a half that is not understood
        end = (trial.resume() if begun else trial.begin()).wait()
        problems = [str(end)] if end.code != 0 else expected.differences(trial.run)
        if end.code == 2 and not promised:
            how, problems = "there was no run yet", ["a traceback"] * ("Traceback" in end.err)
    tally.add(group, ", ".join(words) if problems else how, problems)
    shutil.rmtree(trial.where, ignore_errors=True)


def measured(run: Path) -> bool:
    """Whether a run has written a measurement: it promises to be resumable since long before."""
    return any(path.stat().st_size > 0 for path in run.glob("**/metrics.jsonl"))


def write_back(place: Path) -> None:
    """Let the system write all of a file system, while the run goes on."""
    subprocess.run(["sync", "-f", place], check=True)


def cut(made: Disk, process: Process) -> Ended:
    """Cut the power: what was not synchronized is lost, and the process ends."""
    made.cut()
    process.send(signal.SIGKILL)
    ended = process.wait()
    made.unmount()
    made.mount()
    return ended


if __name__ == "__main__":
    sys.exit(tyro.cli(main, prog="python -m tests.reliability.power_cuts"))
