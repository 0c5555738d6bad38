"""A run: its folder with settings, metrics, weights, checkpoints and pictures, and its networks."""

import base64
import hashlib
import html
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from minigrad import nn
from minigrad.data import DataError
from minigrad.files import append_to, read_member, to_disk

from . import checkpoint
from .checkpoint import DAMAGE, GROWING, Checkpoint, Damaged, Ground, arrays_in
from .config import RunConfig
from .console import DONE, BadInput, warn
from .files import quoted, shortened
from .folder import Folder, lines_of, most_metrics, read_lines, refuse_strange_members
from .lock import locked
from .progress import in_notebook

METRICS, TIMING = GROWING


class RunFolder(Folder):
    """The folder of one run; every file in it is whole at any moment.

    Args:
        path: An existing folder; `new_folder` makes one.
        resumed: Whether the run continues from its checkpoint.
        program: The trainer's module, as "train.lstm".
        environment: What environment.json shall hold: where the run started, or was resumed.
    """

    def __init__(
        self,
        path: Path,
        resumed: bool = False,
        program: str = "",
        environment: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(path)
        self.resumed, self.program = resumed, program
        self.environment = dict(environment or {})
        self.saved_step: int | None = None
        """The number of steps done at the last checkpoint."""
        self.watch: Callable[..., Any] | None = None
        """Looks at each step where a diverged training is repeated, see `diverged.Watch`."""
        self._found: Checkpoint | None = None
        self._name = ""  # of the checkpoint that was found
        self._damaged: dict[str, str] = {}
        self._begun = self._is_locked = False
        self._board: Any = None
        self._ground = Ground()
        self.cwd = str(Path.cwd())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in the folder.

        Raises:
            BadInput: If another process trains in it.
        """
        with nullcontext() if self._is_locked else locked(self.path):
            before, self._is_locked = self._is_locked, True
            try:
                yield
            finally:
                self._is_locked = before

    @contextmanager
    def in_use(self, tensorboard: bool) -> Iterator[None]:
        """Keep other processes from training in the folder; open and close TensorBoard's file.

        Raises:
            BadInput: If another process trains in it.
        """
        with self.locked():
            if tensorboard:
                self._board = summary_writer()(str(self.path / "tensorboard"), flush_secs=10)
            try:
                yield
            finally:
                if self._board is not None:
                    self._board.close()
                    self._board = None

    # --- going on ---------------------------------------------------------------------------------

    def look(self, least_weights: int = 0) -> Checkpoint | None:
        """Find the checkpoint from which the run goes on, and change nothing.

        Args:
            least_weights: How many numbers its networks have at least: those of a checkpoint that
                holds fewer shall not take memory.

        Returns:
            The newest one that is whole; None of a run that ended before its first.

        Raises:
            BadInput: If the folder holds a link, a pipe or a device, or the checkpoints or the
                metrics are damaged, or there are metrics and no checkpoint.
        """
        try:
            refuse_strange_members(self.path)
            newest = checkpoint.newest(self.path, self._damaged)
            self._name, self._found = newest or ("", None)
            if self._found is not None:
                self.cwd = self._found.ground.cwd
                self._check_metrics(self._found.sizes[METRICS], self._found.metrics)
                arrays = arrays_in(self._found.state.get("networks"))
                held = sum(math.prod(array.shape) for _, array in arrays)
                if held < least_weights:
                    raise Damaged(
                        f"{self._name} is damaged: it holds {held:,} weights, and such networks "
                        f"have {least_weights:,} or more"
                    )
            elif metrics := self._written(METRICS):
                raise Damaged(f"there is no checkpoint, but {METRICS} has {len(metrics)} bytes")
        except (OSError, ValueError) as error:
            raise BadInput(f"--resume {self.path}: {error}") from None
        return self._found

    def check(self) -> None:
        """Compare the metrics with what the newest checkpoint knows of them, if one is whole.

        Raises:
            Damaged: If they are others.
        """
        try:
            newest = checkpoint.newest(self.path)
        except Damaged:  # so nothing is known of them
            return
        if newest is not None:
            _, found = newest
            self._check_metrics(found.sizes[METRICS], found.metrics)

    def _check_metrics(self, size: int, checksum: str) -> None:
        """Refuse metrics other than those which the checkpoint knows of; more may follow them."""
        written = self._written(METRICS, most_metrics(size))[:size]
        if len(written) < size:
            raise Damaged(
                f"{METRICS} has {len(written)} bytes, fewer than the {size} that the checkpoint "
                "knows of; it was changed or cut since"
            )
        if hashlib.sha256(written).hexdigest() == checksum:
            return
        lines_of(written, self.path / METRICS)
        if written and not written.endswith(b"\n"):
            raise Damaged(
                f"the first {size} bytes of {METRICS}, which the checkpoint knows of, are no whole "
                "lines; it was changed since"
            )
        raise Damaged(
            f"the first {size} bytes of {METRICS} are not those that the run has written; it was "
            "changed since"
        )

    def go_on(self, ground: Ground, load: Callable[[dict[str, Any]], None]) -> Ground | None:
        """Load the checkpoint that `look` finds, if there is one; change nothing in the folder.

        If its content cannot be loaded, the one before is taken.

        Args:
            ground: What the run stands on from now on.
            load: Takes the state.

        Returns:
            What the run stood on before; None if there is no checkpoint.

        Raises:
            BadInput: If the checkpoint is damaged, or the settings or the data are not the run's.
        """
        while (found := self._found or self.look()) is not None:
            self._compare(found.ground, ground)
            try:
                load(found.state)
                self.saved_step = found.state["step"]
                return found.ground
            except DAMAGE as error:
                self._damaged[self._name] = f"{self._name} is damaged ({checkpoint.why(error)})"
                self._found = None
        return None

    def _compare(self, before: Ground, now: Ground) -> None:
        """Refuse other settings and other data than the run's."""
        where = f"--resume {self.path}"
        for name, own in before.data.items():
            here = now.data.get(name, {})
            if here.get("sha256") != own["sha256"]:
                was, now_is = shortened(own["source"]), here.get("source", "none")
                raise BadInput(
                    f"{where}: the {shortened(name)} are not those that the run has learnt from, "
                    f"which were {was}; here are {now_is}, with other content"
                )
        for name in before.settings.keys() - RunConfig.FREE_ON_RESUME:
            old, new = before.settings[name], now.settings.get(name)
            if old != new:
                raise BadInput(
                    f"{where}: {quoted(name)} is {quoted(new)}, but the checkpoint was written "
                    f"with {quoted(old)}"
                )

    def begin(
        self,
        ground: Ground,
        state: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes | None] | None = None,
    ) -> None:
        """Write the settings, and bring the folder of a run that goes on to its checkpoint.

        Nothing in the folder has been changed before. What was measured after the checkpoint is
        dropped, and damaged checkpoints get another name.

        Args:
            ground: What the run stands on.
            state: That of the checkpoint, to be written again if the settings are others now.
            files: The files of weights as of the checkpoint; None where there is none.

        Raises:
            OSError: If it cannot be written.
        """
        self._ground = ground
        if self.resumed:
            self.remove_unfinished()
        if self._found is not None:
            self._bring_back(self._found, files or {})
            if self._found.ground.settings != ground.settings:
                self.write_checkpoint(state or {})  # first: it counts more than config.json
        if not self._begun:
            self._begun = True
            self.write_json("config.json", ground.settings)
            self._write_environment()
            self.sync()
            for folder in self.path.absolute().parents[:3]:  # the last three may be new as well
                with suppress(OSError):
                    to_disk(folder)

    def _bring_back(self, found: Checkpoint, files: Mapping[str, bytes | None]) -> None:
        for name, problem in self._damaged.items():
            other = checkpoint.set_aside(self.path, name)
            warn(f"{problem}; going on from the checkpoint before, and {name} is now {other}")
        for name in GROWING:
            size = found.sizes[name]
            content = self._written(name, most_metrics(size))[:size]
            self.write(name, content, durable=True)  # not cut in place: it may have two names
            self._grown[name] = len(content), hashlib.sha256(content)
        for name, wanted in files.items():
            path = self.path / name
            if wanted is None:
                path.unlink(missing_ok=True)
            elif not path.exists() or path.stat().st_size != len(wanted):
                self.write(name, wanted)
            elif read_member(path, len(wanted)) != wanted:
                self.write(name, wanted)
        self.sync()

    # --- writing ----------------------------------------------------------------------------------

    def _write_environment(self) -> None:
        """Write environment.json: where the run started, and where it was resumed.

        No computation reads that file, so a damaged one ends no run.
        """
        name, before = "environment.json", self.environment
        try:
            before = self.read_json(name) or before
        except (OSError, ValueError) as error:
            warn(f"{self.path}: {error}; it is written anew")
        if self.resumed:
            resumed = before.get("resumed")
            earlier = resumed if isinstance(resumed, list) else []
            before = before | {"resumed": [*earlier, self.environment]}
        try:
            self.write_json(name, before)
        except OSError as error:
            warn(f"{self.path / name} cannot be written: {error}")

    def log(self, **values: float) -> None:
        """Append a line to the metrics, which hold nothing that depends on the clock."""
        self.append(METRICS, **values)
        if self._board is not None:
            for name in values.keys() - {"epoch", "step"}:
                self._board.add_scalar(name, values[name], values["step"])

    def measured(self) -> list[dict[str, float]]:
        """Read the metrics at the end of a training; none, with a warning, if they are damaged."""
        try:
            return self.read_lines(METRICS)
        except DataError as error:
            warn(f"There are no curves: {error}")
            return []

    def write_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write a training's state, after all on which it relies has reached the disk.

        Args:
            state: What `go_on` shall load.

        Raises:
            OSError: If it cannot be written; the checkpoint before is still there.
        """
        for name in GROWING:
            self._growth(name)
            append_to(self.path / name, b"")
            self._not_on_disk[self.path / name] = None
        self.sync()
        content = Checkpoint(
            state=dict(state),
            ground=self._ground,
            sizes={name: self._growth(name)[0] for name in GROWING},
            metrics=self._growth(METRICS)[1].hexdigest(),
        )
        checkpoint.write(content, self.path)
        self.saved_step = state.get("step")


def summary_writer() -> Any:
    """Return TensorBoard's writer of measurements.

    Raises:
        BadInput: If the package is missing.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise BadInput('--tensorboard needs a package: pip install "tensorboardX"') from None
    return SummaryWriter


@dataclass(frozen=True, repr=False)
class Run:
    """What a training has left; a notebook shows its pictures.

    Attributes:
        folder: Where everything is.
        networks: The networks after the last step, by name; the only one is named "".
        step: How many steps were trained.
        stopped_by: The number of the signal that ended the training early, or None.
    """

    folder: Path
    networks: Mapping[str, nn.Module]
    step: int = 0
    stopped_by: int | None = None

    @property
    def model(self) -> nn.Module:
        """The network that was trained; of a GAN, the generator that draws.

        Raises:
            AttributeError: If this is a sweep, which has trained many networks.
        """
        for name in ("", "average", "generator"):
            if name in self.networks:
                return self.networks[name]
        raise AttributeError(f"a sweep has no single model; its runs are in {self.folder}")

    @property
    def metrics(self) -> list[dict[str, float]]:
        """The lines of metrics.jsonl."""
        return read_lines(self.folder / "metrics.jsonl")

    @property
    def pictures(self) -> list[Path]:
        """The pictures in the folder."""
        return sorted(path for path in self.folder.glob("*.png") if not path.is_symlink())

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 0, or 128 and the number of the signal."""
        return DONE if self.stopped_by is None else 128 + self.stopped_by

    def show(self) -> None:
        """Show the pictures: in the notebook, or with the system's viewer."""
        if in_notebook():
            from IPython.display import display

            display(self)
        else:
            for path in self.pictures:
                with Image.open(path, formats=["PNG"]) as image:
                    image.show(path.name)

    def __repr__(self) -> str:
        ended = "" if self.stopped_by is None else ", stopped early"
        return f"<Run of {self.step} steps in {self.folder}{ended}>"

    def _repr_html_(self) -> str:
        """The pictures, as a notebook shows them."""
        images = (base64.b64encode(path.read_bytes()).decode() for path in self.pictures)
        style = "max-width: 100%; width: 800px"
        shown = [f'<img style="{style}" src="data:image/png;base64,{image}">' for image in images]
        return "<br>".join([html.escape(repr(self)), *shown])
