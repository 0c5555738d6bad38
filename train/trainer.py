"""What every trainer has: `main` for a shell, and `run` for Python and notebooks."""

import io
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Generic

import minigrad as mg
from minigrad.info import arithmetic

from .checkpoint import Ground
from .config import Config, from_keywords, parse
from .console import BadInput, Diverged, answer, guarded, tell, warn
from .diverged import first_operation
from .drawing import Panel
from .folder import new_folder
from .run import Run, RunFolder, summary_writer

ROOT = Path(__file__).resolve().parent.parent
# packages that shape results, by how their names begin
SHAPERS = tuple("minigrad numpy numba cupy nvidia-cublas safetensors matplotlib pillow".split())


class Start:
    """How a training begins: where its relative paths start, and the folder of its run.

    Args:
        cwd: The folder in which the run is or was started.
        resumed: Whether it goes on.
        make_run: Makes or takes the folder; its keywords are notes for environment.json.
    """

    def __init__(self, cwd: Path, resumed: bool, make_run: Callable[..., RunFolder]) -> None:
        self.cwd, self.resumed, self.run = cwd, resumed, make_run


@dataclass(frozen=True)
class Trainer(Generic[Config]):
    """A program that trains: `main` for a shell, `run` for Python.

    Attributes:
        program: The module, as "train.lstm".
        config: The class of its options.
        train: Trains, and returns the run. It is given the config and a `Start`, whose `run` is to
            be called once everything the user gave is known to be good.
        draw: Draws all that the files of a run give, and returns the names of the pictures. It is
            given the config, the run's folder, the folder for the pictures, and a function that
            tells the user what is left out.
        x: What stands on the horizontal axis where runs are compared: "epoch" or "step".
        panels: The measurements that are compared.
    """

    program: str
    config: type[Config]
    train: Callable[[Config, Start], Run]
    draw: Callable[[Config, RunFolder, RunFolder, Callable[[str], None]], list[str]] = (
        lambda config, run, into, say: []
    )
    x: str = "epoch"
    panels: Sequence[Panel] = ()

    def main(self, args: Sequence[str] | None = None) -> int:
        """Run the command; a mistake of the user's is one message and no traceback.

        Args:
            args: The words of the command line, None for those of the process.

        Returns:
            The exit code: 0 done, 1 failed, 2 bad input, 130 interrupted by Ctrl-C, 143 by SIGTERM.
        """
        folders: list[Path] = []

        def train() -> int:
            config = parse(self.config, args, self.program)
            if config.dry_run:
                return answer(json.dumps(config.settings(), indent=2))
            words = sys.argv[1:] if args is None else args
            command = shlex.join(["python", "-m", self.program, *words])
            return self._train(config, command, folders).exit_code

        def advice() -> str:
            how = (f"; go on from the last checkpoint: {self.go_on(path)}" for path in folders)
            return "".join(how)

        return guarded(train, advice)

    def run(self, **options: Any) -> Run:
        """Train, in Python or a notebook, and return what the run has left.

        Args:
            options: Those of the command line, which `--help` explains, with _ for -.

        Raises:
            BadInput: If an option is unknown or its value is not usable, a ValueError.
            DataError: If a file of digits is damaged.
            Diverged: If a measurement is no longer a finite number.
        """
        config = from_keywords(self.config, options, self.program)
        shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
        return self._train(config, f"{self.program}.run({shown})", [])

    def go_on(self, folder: Path) -> str:
        """Return the command that resumes a run."""
        return shlex.join(["python", "-m", self.program, "--resume", str(folder)])

    def _train(self, config: Config, command: str, folders: list[Path]) -> Run:
        """Train in a folder, which is added to `folders`; say how a stopped run goes on."""
        with ExitStack() as stack:
            try:
                mg.zeros(1, device=config.device)
            except mg.DeviceError as error:
                raise BadInput(f"--device {config.device}: {error}") from None
            if config.tensorboard:
                summary_writer()
            here = environment(command) | {"arithmetic": arithmetic(config.device)}
            resumed: RunFolder | None = None
            opened: list[RunFolder] = []
            if config.resume is not None:
                resumed = self._folder(config.resume, True, here, stack)
                resumed.look(config.least_weights())

            def make_run(**notes: str) -> RunFolder:
                run = resumed
                if run is None:
                    task = self.program.split(".")[-1]
                    path = new_folder(config.out, task, config.name)
                    run = self._folder(path, False, here, stack)
                folders.append(run.path)
                opened.append(run)
                run.environment |= notes
                if not run.resumed:
                    run.begin(Ground({"program": self.program} | config.settings(), cwd=run.cwd))
                return run

            cwd = Path(resumed.cwd if resumed is not None else "")
            try:
                run = self.train(config, Start(cwd, resumed is not None, make_run))
            except Diverged as error:
                raise self._explained(error) from None
            except OSError:
                for each in opened:
                    if not each.path.is_dir():
                        folders.clear()
                        raise FileNotFoundError(
                            f"the run's folder {each.path} is gone; if it was moved, go on from "
                            "its last checkpoint by --resume and its new path"
                        ) from None
                raise
            for each in opened:
                each.sync()  # the pictures
        if run.stopped_by is not None:
            name = signal.Signals(run.stopped_by).name
            tell(
                f"Stopped by {'Ctrl-C' if name == 'SIGINT' else name} after step {run.step}; all "
                f"is saved. Go on with: {self.go_on(run.folder)}"
            )
        return run

    def _folder(
        self, path: Path, resumed: bool, here: dict[str, Any], stack: ExitStack
    ) -> RunFolder:
        """A run's folder, locked until `stack` ends."""
        run = RunFolder(path, resumed, self.program, here)
        stack.enter_context(run.locked())
        return run

    def _explained(self, error: Diverged) -> Diverged:
        """The error, with the operation that first was not finite, and the last good checkpoint."""
        run, config = error.run, error.config
        if run is None or run.saved_step is None:
            return error
        warn(f"{error}. Looking for the operation, from step {run.saved_step} on ...")
        quiet = replace(config, quiet=True)

        def train(copy: RunFolder) -> Any:
            return self.train(quiet, Start(Path(run.cwd), True, lambda **notes: copy))

        first = ""
        with suppress(Exception), redirect_stderr(io.StringIO()):  # the error is to be seen anyway
            first = first_operation(train, run, error.step)
        words = [str(error), *[first] * bool(first)]
        return Diverged(
            f"{'; '.join(words)}; the last good checkpoint is that of step {run.saved_step}",
            error.step,
        )


def environment(command: str) -> dict[str, Any]:
    """Describe what a run runs on: the command, time, commit, versions and machine.

    The commit is None if the code is not in a git checkout.
    """
    return {
        "command": command,
        "cwd": os.getcwd(),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": _versions(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
    }


def _versions() -> dict[str, str]:
    try:
        heads = [found.metadata for found in metadata.distributions()]  # read once: it takes long
        installed = {head["Name"].lower(): head["Version"] for head in heads if head["Name"]}
    except Exception:  # a broken installation may raise anything
        return {}
    return {name: installed[name] for name in sorted(installed) if name.startswith(SHAPERS)}


def _commit() -> str | None:
    if not (ROOT / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
