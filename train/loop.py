"""What surrounds a training step: epochs, averages, measurements, checkpoints, stopping."""

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
from .progress import Cost, Plan, Progress
from .run import RunFolder

MOST_OF_TIME = 0.01  # the share of a run's time that its checkpoints may take
MOST_WAITING = 1000  # batches whose measurements a meter leaves on the GPU
SHOWN_STEPS = 20  # that the averages in the progress stand for, or an epoch if it has fewer


class Meter:
    """Averages over examples.

    To read from a GPU is to wait for it. So what comes from there is kept as it is until somebody
    asks, and is then read all at once.
    """

    def __init__(self) -> None:
        self._count = 0
        self._sums: dict[str, Tensor] = {}
        self._waiting: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, count: int, **means: Tensor) -> None:
        """Add what a batch of `count` examples gave, as means over the batch."""
        self._count += count
        self._waiting.append((count, means))
        if len(self._waiting) == MOST_WAITING or all(m.device == "cpu" for m in means.values()):
            self._sum_up()

    def _sum_up(self) -> None:
        """Add what is waiting to the sums, in the order in which it came."""
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
        """Return the averages over all that was added, nothing if nothing was."""
        self._sum_up()
        return {name: total.item() / self._count for name, total in self._sums.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what has been added."""
        self._sum_up()
        return {"count": self._count, "sums": dict(self._sums)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what had been added."""
        self._count, self._sums, self._waiting = state["count"], dict(state["sums"]), []


@dataclass
class State:
    """All that a training run is at one moment."""

    networks: dict[str, nn.Module]
    """By the prefix of their weights' names; "" for none."""

    optimizers: dict[str, optim.Optimizer]

    shuffle: np.random.Generator
    """Draws the order of the training examples, and nothing else."""

    schedulers: dict[str, optim.lr_scheduler.LRScheduler] = field(default_factory=dict)

    epoch: int = 0
    """Epochs done."""

    step: int = 0
    """Steps done, with the one under way."""

    batch: int = 0
    """Steps done in the epoch under way."""

    best: tuple[float, ...] = ()
    """How good the best weights were; what is compared first stands first."""

    meter: Meter = field(default_factory=Meter)
    """Averages since the last line of metrics."""

    before_epoch: dict[str, Any] = field(default_factory=dict)
    """State of `shuffle` before it drew the order of the epoch under way."""

    def weights(self) -> dict[str, Tensor]:
        """Return every network's weights under prefix.name."""
        return {
            f"{prefix}.{name}".lstrip("."): value
            for prefix, network in self.networks.items()
            for name, value in network.state_dict().items()
        }

    def _parts(self) -> dict[str, dict[str, Any]]:
        return {
            "networks": self.networks,
            "optimizers": self.optimizers,
            "schedulers": self.schedulers,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return everything, to go on from: weights, optimizers, schedules, random numbers."""
        parts = {
            kind: {name: part.state_dict() for name, part in parts.items()}
            for kind, parts in self._parts().items()
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
        """Go on from a state; the order of the epoch under way is to be drawn again."""
        for kind, parts in self._parts().items():
            for name, part in parts.items():
                part.load_state_dict(state[kind][name])
        self.epoch, self.step, self.batch = state["epoch"], state["step"], state["batch"]
        self.best = state["best"]
        self.meter.load_state_dict(state["meter"])
        self.shuffle.bit_generator.state = state["shuffle"]
        generator().bit_generator.state = state["random"]


class Diverged(ArithmeticError):
    """A loss that is no longer a number."""


class _Stop(Exception):
    """Ends the loop after a signal; everything is saved."""


class Loop:
    """Walks through epochs and steps; made by `training`, which explains the arguments."""

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
            self._write_table()
            seconds = time.perf_counter() - started
            speed = (state.step - first_step) / seconds
            self._run.append("timing.jsonl", epoch=number, seconds=seconds, steps_per_second=speed)
            self._progress.check()
            self._pause()
        self._progress.close()

    def steps(self, batches: Iterable[Indices]) -> Iterator[Indices]:
        """Yield those batches of an epoch that are not done yet."""
        for batch in itertools.islice(batches, self.state.batch, None):
            self.state.step += 1
            yield batch
            self.state.batch += 1
            self._progress.advance(lambda: self._smoothed(self.meter.read()))
            self._pause()

    def _pause(self) -> None:
        """Between two steps, or epochs: obey a signal, write a checkpoint if it is time."""
        if self.stopped_by is not None:
            raise _Stop
        waited, steps = time.monotonic() - self._saved_at, self._config.checkpoint_steps
        if waited > max(60 * self._config.checkpoint_minutes, self._saving_took / MOST_OF_TIME) or (
            steps is not None and self.state.step % steps == 0
        ):
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write everything that the run can go on from."""
        started = time.monotonic()
        self._run.write_checkpoint(self.state.state_dict())
        self._saved_at = time.monotonic()
        self._saving_took = self._saved_at - started

    def log(self, show: Collection[str] | None = None, **values: float) -> None:
        """Write what the meter and the caller measured as a line of metrics; empty the meter.

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
        """The meter's averages as they are shown: those over few steps count that much less.

        What is missing of `SHOWN_STEPS` is taken from what was shown at the line before.
        """
        share = min(1.0, (self.state.step - self._last_line) / self._window)
        before = self._shown
        return {name: x + (1 - share) * (before.get(name, x) - x) for name, x in means.items()}

    def _write_table(self) -> None:
        try:
            self._run.write_csv("metrics")
        except (OSError, DataError) as error:  # nothing is computed from it
            self._progress.note(f"There is no new metrics.csv: {error}")

    def keep_best(self, *quality: float) -> None:
        """Save the weights as the best if they are better than all before; larger is better."""
        if quality > self.state.best:
            self.state.best = quality
            self._run.save("best.safetensors", self.state.weights())


@contextmanager
def training(
    state: State, run: RunFolder, config: RunConfig, steps_per_epoch: int, **costs: Cost
) -> Iterator[Loop]:
    """Run a training loop, which goes on from the run folder's checkpoint if it is resumed.

    Inside the block the first SIGINT (Ctrl-C) or SIGTERM ends the block after the step under way,
    and writes a checkpoint; a second one interrupts at once. Whatever ends the program, the run can
    be resumed, and ends as if nothing had happened.

    Args:
        state: What is trained; its epoch and step are counted here.
        run: Where measurements, weights and checkpoints go.
        config: How many epochs there are in all, when to write checkpoints, whether to be quiet.
        steps_per_epoch: How many steps make up an epoch.
        costs: `step_cost` and `check_cost` of `Plan`, for the time left, where epochs differ.

    Yields:
        The loop; afterwards its `stopped_by` is the number of the signal, or None.
    """
    with run.in_use(config.tensorboard), ExitStack() as stack:
        if run.resumed:
            run.go_on(state.load_state_dict)
        plan = Plan(config.epochs, steps_per_epoch, **costs)
        progress = Progress(plan, state.epoch, state.batch, config.quiet)
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
