"""What surrounds a training step: epochs, averages, metrics, checkpoints, stopping."""

import itertools
import math
import signal
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.data import DataError, Indices
from minigrad.ops.random import generator

from .config import RunConfig
from .console import Diverged, talker
from .progress import Progress
from .run import Run, RunFolder

MOST_OF_TIME = 0.01  # the share of a run's time that its checkpoints may take
MOST_WAITING = 1000  # batches whose measurements a meter leaves on the GPU
PARTS = ("networks", "optimizers", "schedulers")  # of what is trained; each has a state
SHOWN_STEPS = 20  # the progress shows averages over so many steps, or over an epoch if it has fewer


class Meter:
    """Averages over examples.

    Reading a value from a GPU waits for the GPU. So values from there are kept until the averages
    are asked for, and are then read all at once.
    """

    def __init__(self) -> None:
        self._count = 0
        self._sums: dict[str, Tensor] = {}
        self._waiting: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, count: int, **means: Tensor) -> None:
        """Add the means over a batch of `count` examples."""
        self._count += count
        self._waiting.append((count, means))
        if len(self._waiting) == MOST_WAITING or all(m.device == "cpu" for m in means.values()):
            self._sum_up()

    def _sum_up(self) -> None:
        """Add the waiting means to the sums, in the order in which they came."""
        means = [mean for _, batch in self._waiting for mean in batch.values()]
        with mg.no_grad():
            if any(mean.device != "cpu" for mean in means):
                read = mg.stack([mean.to(means[-1].device) for mean in means]).to("cpu")
                means = [x.astype(mean.dtype) for x, mean in zip(read, means, strict=True)]
            found = iter(means)
            for count, batch in self._waiting:
                for name in batch:
                    total = next(found) * count
                    self._sums[name] = self._sums[name] + total if name in self._sums else total
        self._waiting = []

    def read(self) -> dict[str, float]:
        """Return the averages over all examples, nothing if there are none."""
        self._sum_up()
        return {name: total.item() / self._count for name, total in self._sums.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the sums and the count."""
        self._sum_up()
        return {"count": self._count, "sums": dict(self._sums)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self._count, self._sums, self._waiting = state["count"], dict(state["sums"]), []


@dataclass
class State:
    """Everything that a checkpoint has to hold."""

    networks: dict[str, nn.Module]
    """By the prefix of their weights' names; "" for no prefix."""

    optimizers: dict[str, optim.Optimizer]

    shuffle: np.random.Generator
    """Draws the order of the training examples, and nothing else."""

    schedulers: dict[str, optim.lr_scheduler.LRScheduler] = field(default_factory=dict)

    epoch: int = 0
    """Number of epochs done."""

    step: int = 0
    """Number of steps done, with the current one."""

    batch: int = 0
    """Number of steps done in the current epoch."""

    best: tuple[float, ...] = ()
    """How good the best weights were; the first number counts most."""

    meter: Meter = field(default_factory=Meter)
    """Averages since the last line of metrics."""

    before_epoch: dict[str, Any] = field(default_factory=dict)
    """State of `shuffle` before it drew the order of the current epoch."""

    def weights(self) -> dict[str, Tensor]:
        """Return every network's weights as prefix.name."""
        return {
            f"{prefix}.{name}".lstrip("."): value
            for prefix, network in self.networks.items()
            for name, value in network.state_dict().items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Return everything: weights, optimizers, schedules, counts, random numbers."""
        parts: dict[str, Any] = {
            kind: {name: part.state_dict() for name, part in getattr(self, kind).items()}
            for kind in PARTS
        }
        return parts | {
            "epoch": self.epoch,
            "step": self.step,
            "batch": self.batch,
            "best": self.best,
            "meter": self.meter.state_dict(),
            "shuffle": self.before_epoch if self.batch else self.shuffle.bit_generator.state,
            "random": generator().bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state; the order of the current epoch is to be drawn again."""
        for kind in PARTS:
            for name, part in getattr(self, kind).items():
                part.load_state_dict(state[kind][name])
        self.epoch, self.step, self.batch = state["epoch"], state["step"], state["batch"]
        self.best = state["best"]
        self.meter.load_state_dict(state["meter"])
        self.shuffle.bit_generator.state = state["shuffle"]
        generator().bit_generator.state = state["random"]


class _Stop(Exception):
    """Ends the loop after a signal; everything is saved."""


class Loop:
    """Counts epochs and steps; `training` makes it, and explains the arguments."""

    def __init__(
        self,
        state: State,
        run: RunFolder,
        config: RunConfig,
        progress: Progress,
        steps_per_epoch: int,
    ) -> None:
        self.state = state
        self.stopped_by: int | None = None
        self._run, self._config, self._progress = run, config, progress
        self._window = min(SHOWN_STEPS, steps_per_epoch)
        self._last_line, self._shown = state.step, dict[str, float]()
        self._saved_at, self._saving_took = -math.inf, 0.0

    def result(self) -> Run:
        """Return the run as it is now."""
        return Run(self._run.path, self.state.networks, self.state.step, self.stopped_by)

    @property
    def meter(self) -> Meter:
        """Averages since the last line of metrics."""
        return self.state.meter

    def epochs(self) -> Iterator[int]:
        """Yield the number of each epoch, from 1; save the weights after each."""
        state = self.state
        while state.epoch < self._config.epochs:
            started, first_step, number = time.perf_counter(), state.step, state.epoch + 1
            state.before_epoch = dict(state.shuffle.bit_generator.state)
            self._progress.epoch(number)
            if state.step == 0:
                self.checkpoint()
            yield number
            self.log()
            state.epoch, state.batch = number, 0
            self._run.save("last.safetensors", state.weights())
            seconds = time.perf_counter() - started
            speed = (state.step - first_step) / seconds
            self._run.append("timing.jsonl", epoch=number, seconds=seconds, steps_per_second=speed)
            self._pause()
        self._progress.close()

    def steps(self, batches: Iterable[Indices]) -> Iterator[Indices]:
        """Yield the batches of an epoch that are not done yet."""
        for batch in itertools.islice(batches, self.state.batch, None):
            self.state.step += 1
            yield batch
            self.state.batch += 1
            self._progress.advance(lambda: self._smoothed(self.meter.read()))
            self._pause()

    def _pause(self) -> None:
        """Between two steps or epochs: stop after a signal, write a checkpoint if it is time."""
        if self.stopped_by is not None:
            raise _Stop
        waited, steps = time.monotonic() - self._saved_at, self._config.checkpoint_steps
        if waited > max(60 * self._config.checkpoint_minutes, self._saving_took / MOST_OF_TIME) or (
            steps is not None and self.state.step % steps == 0
        ):
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write a checkpoint, from which the run can be resumed."""
        started = time.monotonic()
        self._run.write_checkpoint(self.state.state_dict())
        self._saved_at = time.monotonic()
        self._saving_took = self._saved_at - started
        if self.state.step:
            self._write_table()

    def log(self, show: Collection[str] | None = None, **values: float) -> None:
        """Write a line of metrics: the meter's averages, which begin anew, and the caller's values.

        Args:
            show: Which of the caller's values the progress shows; all if not given.
            values: What the caller measured.

        Raises:
            Diverged: If a measurement is not a finite number.
        """
        means = self.meter.read()
        self.state.meter = Meter()
        self._shown |= self._smoothed(means)
        self._last_line = self.state.step
        shown = {name: x for name, x in values.items() if show is None or name in show}
        self._progress.show(self._shown | shown)
        values = means | values
        if not values:
            return
        self._run.log(epoch=self.state.epoch + 1, step=self.state.step, **values)
        for name, value in values.items():
            if not math.isfinite(value):
                raise Diverged(
                    f"{name} is {value} at step {self.state.step}: the training diverged; "
                    "try a smaller --learning-rate"
                )

    def _smoothed(self, means: Mapping[str, float]) -> dict[str, float]:
        """The meter's averages as the progress shows them, over about `SHOWN_STEPS` steps.

        If the meter has fewer, the average shown at the last line of metrics counts for the rest.
        """
        share = min(1.0, (self.state.step - self._last_line) / self._window)
        before = self._shown
        return {name: x + (1 - share) * (before.get(name, x) - x) for name, x in means.items()}

    def _write_table(self) -> None:
        try:
            self._run.write_csv("metrics.csv", self._run.read_lines("metrics.jsonl"))
        except (OSError, DataError) as error:  # no computation reads it
            self._progress.note(f"There is no new metrics.csv: {error}")

    def keep_best(self, *quality: float) -> None:
        """Save the weights as the best if `quality` is larger than ever before."""
        if quality > self.state.best:
            self.state.best = quality
            self._run.save("best.safetensors", self.state.weights())


@contextmanager
def training(
    state: State, run: RunFolder, config: RunConfig, steps_per_epoch: int
) -> Iterator[Loop]:
    """Run a training loop, which continues from the run folder's checkpoint if it is resumed.

    Inside the block the first SIGINT (Ctrl-C) or SIGTERM ends the block after the current step,
    and writes a checkpoint; a second one interrupts at once. Whatever ends the program, the run can
    be resumed, and ends as if nothing had happened.

    Args:
        state: What is trained; its epoch and step are counted here.
        run: Where metrics, weights and checkpoints go.
        config: How many epochs there are in all, when to write checkpoints, whether to be quiet.
        steps_per_epoch: Number of steps in an epoch.

    Yields:
        The loop; afterwards its `stopped_by` is the number of the signal, or None.
    """
    with run.in_use(config.tensorboard), ExitStack() as stack:
        if run.resumed:
            run.go_on(state.load_state_dict)
            talker(config.quiet)(_where_it_goes_on(state, config.epochs))
        done = state.epoch * steps_per_epoch + state.batch
        progress = Progress(config.epochs, steps_per_epoch, done, config.quiet)
        stack.callback(progress.close)
        loop = Loop(state, run, config, progress, steps_per_epoch)

        def on_signal(number: int, frame: FrameType | None) -> None:
            if loop.stopped_by is not None:
                raise KeyboardInterrupt
            loop.stopped_by = number

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                stack.callback(signal.signal, number, signal.signal(number, on_signal))
        try:
            yield loop
            loop.checkpoint()
        except _Stop:
            progress.note("Stopping; writing a checkpoint.")
            loop.checkpoint()
            run.save("last.safetensors", state.weights())


def _where_it_goes_on(state: State, epochs: int) -> str:
    if state.step == 0:
        return "There is no checkpoint yet, so the run begins anew."
    if state.epoch >= epochs:
        return f"All {epochs} epochs are done ({state.step} steps); more --epochs would continue."
    return f"Continuing in epoch {state.epoch + 1} of {epochs}, after step {state.step}."
