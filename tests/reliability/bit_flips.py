"""Damage files of runs, and use the runs: `python -m tests.reliability.bit_flips`."""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from train.checkpoint import CHECKPOINT

from .kills import kill_before
from .operations import recorded
from .runs import KINDS, Content, Ended, Laboratory, Tally, contents, laboratory

EVERY = 2  # steps between two checkpoints
MORE = ["--epochs", "4"]  # than the runs have
SECONDS = 60  # after which a command hangs
MEMORY = 4 * 2**30  # bytes of address space, of which NumPy and Numba take a good part


@dataclass(frozen=True)
class Damage:
    """What happened to a file."""

    words: str
    files: frozenset[str]
    """The names of the files that are other than they were."""


def main(
    flips: int = 2000,
    kinds: tuple[Literal["lstm", "gan", "classifier", "sweep"], ...] = tuple(KINDS),  # type: ignore[assignment]
    minutes: float = math.inf,
    seed: int = 0,
    work: Path | None = None,
) -> int:
    """Damage a file of a run that has ended or was killed, and go on with the run, or draw it.

    Either all is, byte for byte, as without the damage: then the file was healed or was not needed,
    and a picture of samples that was damaged is left out. Or there is one message and exit code 2,
    and nothing in the folder has changed. There is never a traceback, and never another result.

    Args:
        flips: How many damages: bits that are flipped, files that are cut, emptied, exchanged or
            gone, and blocks of zeros.
        kinds: The runs.
        minutes: For how long to try; what was not tried by then is left out.
        seed: Of the damages.
        work: A folder for the runs, best one in memory; else the system's for temporary files.
    """
    tally = Tally()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with laboratory(kinds, seed, minutes, work) as lab:
        subjects = [subject for kind in kinds for subject in make_subjects(lab, kind)]
        for number in range(flips):
            if lab.is_over:
                break
            try_damage(lab, tally, subjects[number % len(subjects)])
    return tally.conclude()


# --- what is done with a run ----------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """A run, what is done with it, and what comes of that without a damage.

    Attributes:
        words: Which.
        where: The working folder; a command works on a copy of it, under the same name.
        run: The run's folder.
        module: The program.
        args: Its words.
        expected: The results of the run afterwards.
        pictures: The pictures in it afterwards.
    """

    words: str
    where: Path
    run: Path
    module: str
    args: Sequence[str]
    expected: Content
    pictures: Mapping[str, bytes]

    @property
    def copy(self) -> Path:
        """Where commands work."""
        return self.where.with_suffix(".copy")

    def use(self) -> Ended:
        """Run the command on the copy."""
        out, err = io.StringIO(), io.StringIO()
        before = os.getcwd()
        os.chdir(self.copy)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), alarm():
                code = importlib.import_module(self.module).main(self.args)
        except BaseException:
            traceback.print_exc(file=err)
            code = 1
        finally:
            os.chdir(before)
        return Ended(code, out.getvalue(), err.getvalue())


def make_subjects(lab: Laboratory, kind: str) -> Iterator[Subject]:
    """Give a run that has ended and one that was killed, with all that may be done with each."""
    ended, killed = lab.trial(kind, EVERY), lab.trial(kind, EVERY)
    operations = recorded(ended.begin, ended.where)
    written = [each.number for each in operations if each.name.endswith(CHECKPOINT)]
    killed.begin(kill_before(written[len(written) * 2 // 3], killed.where)).wait()
    resume = ["--resume", str(ended.relative), "--quiet"]
    drawn = [str(ended.relative)]
    uses = [
        ("killed, resumed", killed, killed.module, resume),
        ("ended, resumed", ended, ended.module, resume),
        ("ended, drawn", ended, "train.plot", drawn),
    ]
    if kind != "sweep":
        uses.append(("ended, resumed for more", ended, ended.module, [*resume, *MORE]))
    if kind == "gan":
        any_digits = ["--confidence", "0", "--tries", "200"]
        uses.append(("ended, interpolated", ended, "train.interpolate", [*drawn, *any_digits]))
    for words, trial, module, args in uses:
        path = trial.where.with_name(f"{trial.where.name}-{len(words)}")
        shutil.copytree(trial.where, path)
        run = path.with_suffix(".copy") / trial.relative
        subject = Subject(f"{kind} {words}", path, run, module, args, Content({}, set()), {})
        shutil.copytree(path, subject.copy)
        done = subject.use()
        if done.code != 0:
            raise RuntimeError(f"{subject.words}: {done}\n{done.err}")
        yield Subject(f"{kind} {words}", path, run, module, args, Content.of(run), pictures(run))
        shutil.rmtree(subject.copy)


def pictures(run: Path) -> dict[str, bytes]:
    """The pictures of a run, which stand for what is drawn in them."""
    return {name: each for name, each in contents(run).items() if name.endswith((".png", ".gif"))}


@contextlib.contextmanager
def alarm() -> Iterator[None]:
    """Interrupt what hangs."""

    def hangs(number: int, frame: object) -> None:
        raise TimeoutError(f"it took more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# --- damages --------------------------------------------------------------------------------------


def try_damage(lab: Laboratory, tally: Tally, subject: Subject) -> None:
    """Damage a copy of a run, use it, and compare."""
    shutil.copytree(subject.where, subject.copy)
    damage = do_damage(lab, subject.run)
    before = contents(subject.run)
    ended = subject.use()
    problems = []
    if "Traceback" in ended.err:
        problems.append(f"a traceback: {ended.last}")
    elif ended.code == 2:
        how = "refused by name, nothing changed"
        after = contents(subject.run)
        changed = [name for name in before | after if before.get(name) != after.get(name)]
        problems += [f"refused, but {name} has changed" for name in changed]
        errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
        if len(errors) != 1:
            problems.append(f"{len(errors)} messages")
    elif ended.code == 0:
        how = "right"
        problems += wrong_results(subject, damage, ended)
    else:
        problems.append(str(ended))
    tally.add(subject.words, damage.words if problems else how, problems)
    shutil.rmtree(subject.copy)


def wrong_results(subject: Subject, damage: Damage, ended: Ended) -> list[str]:
    """What is other than without the damage, though the command has ended as if all were right."""
    grids = {name for name in damage.files if "samples/" in name}  # which nothing can make anew
    if subject.module != "train.plot" and subject.module != "train.interpolate":
        promised = subject.expected.promised(subject.run)
        return [each for each in promised if each.removesuffix(" differs") not in grids]
    if any(not (subject.run / name).exists() for name in grids):
        return []  # whoever deletes grids has an animation of the others, each with its step
    said = ended.out + ended.err
    found = pictures(subject.run)
    if any(Path(name).name in said for name in damage.files) or "left out" in said.lower():
        return []  # it says what it could not read
    return [
        f"{name} is another picture, and nothing is said"
        for name, each in subject.pictures.items()
        if found.get(name) != each and name not in damage.files
    ]


def do_damage(lab: Laboratory, run: Path) -> Damage:
    """Damage a file of a run."""
    random = lab.random
    path = random.choice(sorted(each for each in run.rglob("*") if each.is_file()))
    content = path.read_bytes()
    name = str(path.relative_to(run))
    do = random.choices(list(DAMAGES), [12, 2, 2, 1, 1, 1, 1])[0]
    touched = {name}
    if do == "exchanged with":
        other = random.choice(sorted(each for each in run.rglob("*") if each.is_file()))
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
        touched.add(str(other.relative_to(run)))
        words = f"{name} exchanged with {other.relative_to(run)}"
    elif do == "gone":
        path.unlink()
        words = f"{name} gone"
    else:
        at = random.randrange(max(1, len(content)))
        bit = random.randrange(8)
        path.write_bytes(DAMAGES[do](content, at, bit))
        words = f"{name} {do} at byte {at}, bit {bit}"
    return Damage(words, frozenset(touched))


def flipped(content: bytes, at: int, bit: int) -> bytes:
    changed = bytearray(content)
    if changed:
        changed[at] ^= 1 << bit
    return bytes(changed)


def zeroed(content: bytes, at: int, bit: int) -> bytes:
    return content[:at] + bytes(len(content[at : at + 512])) + content[at + 512 :]


DAMAGES: dict[str, Callable[[bytes, int, int], bytes]] = {
    "flipped": flipped,
    "cut": lambda content, at, bit: content[:at],
    "zeroed": zeroed,
    "emptied": lambda content, at, bit: b"",
    "longer": lambda content, at, bit: content + content[at : at + 512],
    "exchanged with": lambda content, at, bit: content,
    "gone": lambda content, at, bit: content,
}


if __name__ == "__main__":
    sys.exit(tyro.cli(main, prog="python -m tests.reliability.bit_flips"))
