"""The short runs that the harnesses disturb, and what must be equal in the end."""

from __future__ import annotations

import functools
import hashlib
import importlib
import io
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

# before NumPy is imported, and reads it: the sums of two threads are others
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from tqdm import tqdm  # noqa: E402

from minigrad.data import sample_digits  # noqa: E402
from train import checkpoint, config, drawing, trainer  # noqa: E402

# tqdm's own lock is shared with forks: one that is killed while it holds it would block all others
tqdm.set_lock(threading.RLock())

ROOT = Path(__file__).resolve().parents[2]
SMALL = {  # 4 steps an epoch
    "lstm": "--data-size 200 --epochs 3 --hidden 8 --batch-size 40".split(),
    "gan": "--limit 100 --epochs 3 --batch-size 25 --save-interval 5"
    " --generator-hidden 16 32 --discriminator-hidden 16".split(),
    "classifier": "--limit 100 --epochs 3 --batch-size 25".split(),
}
SWEEP = "--sweep 2 3 --models lstm --seeds 1 --data-size 40 --epochs 2 --hidden 4 --batch-size 20"
KINDS = SMALL | {"sweep": SWEEP.split()}  # of runs; a sweep is many runs of the LSTM
NEVER = ["--checkpoint-minutes", "1000"]
RESULTS = {"metrics.jsonl", "metrics.csv", "last.safetensors", "best.safetensors", "sweep.csv"}
ENDING = [s for s in signal.Signals if s.name in ("SIGINT", "SIGTERM", "SIGHUP")]
PATIENCE = 120.0  # seconds after which a run of less than two hangs


# --- what must be equal ---------------------------------------------------------------------------


def results(run: Path, place: bool = True) -> dict[str, bytes]:
    """What must not depend on where a run was broken off.

    Args:
        run: Its folder.
        place: Whether the folder counts in which the run was started.
    """
    found = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.name == checkpoint.CHECKPOINT:
            found[name] = timeless(path, place)
        elif path.name in RESULTS or path.parent.name == "samples":
            found[name] = path.read_bytes()
    return found


def timeless(path: Path, place: bool) -> bytes:
    """The content of a checkpoint, but for seconds and settings, which hold the run's folder."""
    content = checkpoint.read_state(path)
    content["sizes"].pop("timing.jsonl")
    settings = content["ground"].pop("settings")
    assert settings["program"].startswith("train.")
    if not place:
        content["ground"].pop("cwd")
    arrays: dict[str, Any] = {}
    structure = checkpoint._packed(content, "", arrays)
    return repr((structure, [(name, x.numpy().tobytes()) for name, x in arrays.items()])).encode()


def contents(run: Path) -> dict[str, bytes]:
    """All files of a run, by their names."""
    found = (path for path in sorted(run.rglob("*")) if path.is_file())
    return {str(path.relative_to(run)): path.read_bytes() for path in found}


def names(run: Path) -> set[str]:
    """The names of all files of a run, but those of which there need not be one."""
    return {name for name in contents(run) if Path(name).name != checkpoint.BEFORE}


class Content(NamedTuple):
    """What a run left."""

    results: Mapping[str, bytes]
    names: set[str]

    @classmethod
    def of(cls, run: Path) -> Content:
        settings = {"config.json": (run / "config.json").read_bytes()}
        return cls(settings | results(run, place=False), names(run))

    def promised(self, run: Path) -> list[str]:
        """In which of the results another run differs, in words; pictures may be drawn anew."""
        try:
            found = Content.of(run).results
        except (OSError, ValueError, KeyError) as error:
            return [f"cannot be read: {error!r}"]
        return [f"{name} differs" for name, each in self.results.items() if found.get(name) != each]

    def differences(self, run: Path) -> list[str]:
        """In what another run differs, in words: results, and the files that there are."""
        try:
            found = Content.of(run)
        except (OSError, ValueError, KeyError) as error:
            return [f"cannot be read: {error!r}"]
        both = self.results.keys() | found.results.keys()
        return [
            *(f"{name} is missing" for name in sorted(self.names - found.names)),
            *(f"{name} is left over" for name in sorted(found.names - self.names)),
            *(
                f"{name} differs"
                for name in sorted(both)
                if name in self.names & found.names
                and self.results.get(name) != found.results.get(name)
            ),
        ]


# --- how a run is started -------------------------------------------------------------------------


class Ended(NamedTuple):
    """How a process ended."""

    code: int
    """The exit code, or less a signal's number; None stands for a process that hung."""

    out: str

    err: str

    @property
    def last(self) -> str:
        """The last line on standard error, or else on standard output."""
        return ((self.out + self.err).strip().splitlines() or [""])[-1]

    def __str__(self) -> str:
        return f"exit code {self.code}: {self.last}"


class Process:
    """A child of this process that has its outputs in files; it is forked, which saves seconds.

    Args:
        do: What the child does; it gives the exit code.
        where: The child's working folder.
    """

    def __init__(self, do: Callable[[], int], where: Path) -> None:
        self._out, self._err = (tempfile.TemporaryFile("w+", errors="replace") for _ in range(2))
        self._status: int | None = None
        # until the child has its own handlers, so that none is met by this process's
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        self.pid = os.fork()
        if self.pid == 0:
            _become(do, where, self._out, self._err)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def send(self, number: int) -> None:
        """Send a signal, if the process has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Return the exit code if the process has ended."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == 0:
                return None
            self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def ends(self, seconds: float) -> bool:
        """Wait for the end at most so long."""
        until = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > until:
                return False
            time.sleep(0.002)
        return True

    def wait(self) -> Ended:
        """Wait for the end; a process that hangs is killed, which its code -9 shows."""
        if not self.ends(PATIENCE):
            os.kill(self.pid, signal.SIGKILL)
            self.ends(PATIENCE)
        return Ended(self.poll() or 0, *(_read(file) for file in (self._out, self._err)))


def _read(file: IO[str]) -> str:
    with file:
        file.seek(0)
        return file.read()


def _become(do: Callable[[], int], where: Path, out: IO[str], err: IO[str]) -> None:
    """In the child: do it, and end."""
    code = 1
    try:
        for number in ENDING:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        os.chdir(where)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
        code = do()
    except KeyboardInterrupt:  # before the run has begun
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def nothing() -> None:
    pass


@dataclass
class Trial:
    """One run, in a folder of its own.

    Args:
        kind: Which, in `KINDS`.
        where: The working folder; the run's words are the same in each.
        options: More words of the command line.
    """

    kind: str
    where: Path
    options: Sequence[str]

    @property
    def module(self) -> str:
        return "train.lstm" if self.kind == "sweep" else f"train.{self.kind}"

    @property
    def relative(self) -> Path:
        """The run's folder, as a word of the command line in the working folder."""
        return Path("runs") / self.module.split(".")[-1] / "run"

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.where / self.relative

    @property
    def words(self) -> list[str]:
        """The command line that begins the run."""
        return [*KINDS[self.kind], *NEVER, *self.options, "--out", "runs", "--name", "run"]

    @property
    def resuming(self) -> list[str]:
        """The command line that goes on with the run."""
        return ["--resume", str(self.relative)]

    def here(self, words: Sequence[str]) -> None:
        """Run the trainer in this process; it must end well."""
        self.where.mkdir(parents=True, exist_ok=True)
        before = os.getcwd()
        os.chdir(self.where)
        said = io.StringIO()
        try:
            with redirect_stdout(said), redirect_stderr(said):
                code = importlib.import_module(self.module).main(words)
        finally:
            os.chdir(before)
        if code != 0:
            raise RuntimeError(f"a run that nothing disturbs fails:\n{said.getvalue()}")

    def begin(self, prepare: Callable[[], None] = nothing, fresh: bool = False) -> Process:
        """Start the run.

        Args:
            prepare: What the child does before.
            fresh: Whether it is a new process of Python rather than a fork of this one.
        """
        return self.start(self.words, prepare, fresh)

    def resume(self, prepare: Callable[[], None] = nothing, fresh: bool = False) -> Process:
        """Go on with the run."""
        return self.start(self.resuming, prepare, fresh)

    def start(
        self, words: Sequence[str], prepare: Callable[[], None], fresh: bool = False
    ) -> Process:
        self.where.mkdir(parents=True, exist_ok=True)

        def do() -> int:
            prepare()
            if fresh:
                command = [sys.executable, "-m", self.module, *words]
                os.execve(sys.executable, command, os.environ | {"PYTHONPATH": str(ROOT)})
            code: int = importlib.import_module(self.module).main(words)
            return code

        return Process(do, self.where)


@dataclass
class Laboratory:
    """Where trials are made, and what runs that nothing disturbed have left.

    Args:
        work: A folder on a file system of this machine.
        random: Draws what is left to chance.
    """

    work: Path
    random: random.Random
    until: float = math.inf
    """When to try no more, by `time.monotonic`."""

    _unbroken: dict[tuple[str, int], Content] = field(default_factory=dict)
    _durations: dict[tuple[str, bool], float] = field(default_factory=dict)
    _trials: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the time is over in which to try something."""
        return time.monotonic() > self.until

    def warm_up(self, kinds: Iterable[str]) -> None:
        """Do each run once in this process, whose forks then need not import and compile."""
        for kind in kinds:
            self.unbroken(kind, 2)

    def trial(self, kind: str, every: int, where: Path | None = None) -> Trial:
        """Return a new trial.

        Args:
            kind: Which run, in `KINDS`.
            every: A checkpoint is written after so many steps.
            where: A folder for the working folder; else one in `work`.
        """
        self._trials += 1
        options = ["--checkpoint-steps", str(every)]
        if kind in ("gan", "classifier"):
            options += ["--data-dir", str(self.work / "digits")]
        return Trial(kind, (where or self.work) / f"trial-{self._trials}", options)

    def duration(self, kind: str, fresh: bool = False) -> float:
        """How many seconds a run takes that nothing disturbs."""
        key = kind, fresh
        if key not in self._durations:
            taken = []
            for _ in range(1 if fresh else 3):
                trial, started = self.trial(kind, 2), time.monotonic()
                trial.begin(fresh=fresh).wait()
                taken.append(time.monotonic() - started)
                shutil.rmtree(trial.where)
            self._durations[key] = min(taken)
        return self._durations[key]

    def shorten(self, kind: str, fresh: bool, seconds: float) -> None:
        """Note that a run has taken so long: the machine may have become quicker."""
        self._durations[kind, fresh] = min(seconds, self.duration(kind, fresh))

    def unbroken(self, kind: str, every: int) -> Content:
        """What a run leaves that nothing disturbs."""
        key = kind, every
        if key not in self._unbroken:
            trial = self.trial(kind, every)
            trial.here(trial.words)
            self._unbroken[key] = Content.of(trial.run)
            trial.here(trial.resuming)  # it has nothing to do, but forks know the way then
        return self._unbroken[key]


@contextmanager
def laboratory(
    kinds: Iterable[str], seed: int, minutes: float = math.inf, within: Path | None = None
) -> Iterator[Laboratory]:
    """Make a laboratory, and take it away in the end, also where a signal ends the process.

    Args:
        kinds: Of the runs that are done there.
        seed: Of all that is left to chance.
        minutes: For how long to try.
        within: A folder for it; else the system's for temporary files.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    quick_pictures()
    quick_start()
    with tempfile.TemporaryDirectory(prefix="reliability-", dir=within) as folder:
        work = Path(folder)
        write_digits(work / "digits")
        found = Laboratory(work, random.Random(seed))
        found.warm_up(kinds)
        found.until = time.monotonic() + 60 * minutes
        yield found


def _leave(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def write_digits(folder: Path) -> None:
    """Write 300 of the bundled digits, and 100 to test on, as MNIST's files."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images, labels = sample_digits()
    for prefix, chosen in (("train", slice(300)), ("t10k", slice(300, 400))):
        for name, array in (("images-idx3", images[chosen]), ("labels-idx1", labels[chosen])):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (raw / f"{prefix}-{name}-ubyte").write_bytes(head + array.tobytes())


def quick_pictures(replace: Callable[[Any, str, Any], object] = setattr) -> None:
    """Write only what figures show: to draw them takes most of the time of a short run.

    Args:
        replace: Puts a function in the place of another; pytest's `setattr` puts it back.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    def digest(array: Any) -> str:
        return hashlib.sha256(array.tobytes()).hexdigest()

    @dataclass
    class Blank:
        shown: tuple[Any, ...]

        def savefig(self: Any, path: Any) -> None:
            with np.printoptions(override_repr=digest):
                words = repr(getattr(self, "shown", None))
            text = PngInfo()
            text.add_text("Description", hashlib.sha256(words.encode()).hexdigest())
            Image.new("L", (1, 1)).save(path, pnginfo=text)

    def blank(name: str) -> Callable[..., Blank]:
        return lambda *args, **options: Blank((name, args, options))

    replace(Figure, "savefig", Blank.savefig)  # of figures that are drawn all the same
    for name, each in list(vars(drawing).items()):
        if getattr(each, "__annotations__", {}).get("return") is Figure:
            replace(drawing, name, blank(name))


def quick_start() -> None:
    """Look up installed packages and read each command line once, which takes most of a start."""
    trainer._versions = functools.cache(trainer._versions)
    once = functools.cache(config._command_line)
    config._command_line = lambda default, args, program: once(default, tuple(args), program)


# --- what came of it ------------------------------------------------------------------------------


@dataclass
class Tally:
    """Counts what was tried, and keeps what was wrong."""

    tried: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    """How trials ended that were right, in words."""

    def add(self, group: str, how: str, problems: Sequence[str] = ()) -> None:
        """Count a trial.

        Args:
            group: Of which kind it was.
            how: How it ended if nothing was wrong, or what was done, to repeat it.
            problems: What was wrong.
        """
        self.tried[group] += 1
        if problems:
            self.wrong[group] += 1
            print(f"WRONG: {group}: {how}: {'; '.join(problems)}", flush=True)
        else:
            self.ends[f"{group}: {how}"] += 1

    def conclude(self) -> int:
        """Print the numbers; return the exit code."""
        for how, count in sorted(self.ends.items()):
            print(f"  {count:6,}  {how}")
        for group, count in self.tried.items():
            right = count - self.wrong[group]
            print(f"{group}: tried {count:,}, right {right:,}, wrong {self.wrong[group]:,}")
        total, wrong = self.tried.total(), self.wrong.total()
        print(f"all: tried {total:,}, right {total - wrong:,}, wrong {wrong:,}", flush=True)
        return 1 if wrong or not total else 0
