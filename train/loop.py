"""What surrounds a training step: epochs, averages, metrics, checkpoints, stopping."""

import itertools
import math
import signal
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.data import DataError, Indices
from minigrad.info import arithmetic

from .checkpoint import Ground, first_not_finite
from .config import RunConfig
from .console import Diverged, talker, warn
from .progress import Progress
from .run import METRICS, Run, RunFolder
from .state import Meter, State, Step

MOST_OF_TIME = 0.01  # the share of a run's time that its checkpoints may take
LONGEST = 60.0  # seconds for which that share may put a checkpoint off
STOPPING = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
Source = dict[str, str]  # of data: its `source` in words, and its `sha256`
SHOWN_STEPS = 20  # the progress shows averages over so many steps, or over an epoch if it has fewer


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
        self._steps_per_epoch = steps_per_epoch
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
            skipped = state.skipped
            state.before_epoch = dict(state.shuffle.bit_generator.state)
            self._progress.epoch(number)
            if state.step == 0:
                self.checkpoint()
            yield number
            if state.skipped - skipped == self._steps_per_epoch:
                raise Diverged(f"no step of epoch {number} had finite results", state.step)
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

    def guarded(self, step: Step) -> Step:
        """Return the training step, with a look at its results where the user asked for one.

        With `--on-nan skip` a step after which a number is not finite is taken back and counted,
        and returns nothing.
        """
        if self._run.watch is not None:
            watched: Step = self._run.watch(step, self.state)
            return watched
        return partial(self._take, step) if self._config.on_nan == "skip" else step

    def _take(self, step: Step, *args: Any) -> dict[str, Tensor]:
        before = self.state.parts()
        found = step(*args)
        if first_not_finite([found, self.state.parts()]) is None:
            return found
        self.state.load_parts(before)
        self.state.skipped += 1
        return {}

    def _pause(self) -> None:
        """Between two steps or epochs: stop after a signal, write a checkpoint if it is time."""
        if self.stopped_by is not None:
            raise _Stop
        waited, steps = time.monotonic() - self._saved_at, self._config.checkpoint_steps
        put_off = min(self._saving_took / MOST_OF_TIME, LONGEST)
        if waited > max(60 * self._config.checkpoint_minutes, put_off) or (
            steps is not None and self.state.step % steps == 0
        ):
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write a checkpoint, from which the run can be resumed.

        Raises:
            Diverged: If the state holds a number that is not finite; the last one stays.
        """
        started, state = time.monotonic(), self.state.state_dict()
        bad = first_not_finite(state)
        if bad is not None:
            raise self._diverged(f"{bad} is not finite")
        self._run.write_checkpoint(state)
        self._saved_at = time.monotonic()
        self._saving_took = self._saved_at - started

    def save_all(self) -> None:
        """Write all that the run leaves: weights, the table of its measurements, a checkpoint."""
        if self.state.step:
            self._run.save("last.safetensors", self.state.weights())
            try:
                self._run.write_csv("metrics.csv", self._run.read_lines(METRICS))
            except (OSError, DataError) as error:  # no computation reads it
                self._progress.note(f"There is no new metrics.csv: {error}")
        self.checkpoint()

    def _diverged(self, what: str) -> Diverged:
        step = self.state.step
        return Diverged(
            f"{what} at step {step}: the training diverged; try a smaller --learning-rate, or "
            "--on-nan skip",
            step,
        )

    def log(self, show: Collection[str] | None = None, **values: float) -> None:
        """Write a line of metrics: the meter's averages, which begin anew, and the caller's values.

        Args:
            show: Which of the caller's values the progress shows; all if not given.
            values: What the caller measured.

        Raises:
            Diverged: If a measurement is not a finite number, and the user wants to stop then.
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
        if self._config.on_nan == "skip":
            values |= {"skipped": self.state.skipped}
        self._run.log(epoch=self.state.epoch + 1, step=self.state.step, **values)
        for name, value in values.items():
            if not math.isfinite(value) and self._config.on_nan == "stop":
                raise self._diverged(f"{name} is {value}")

    def _smoothed(self, means: Mapping[str, float]) -> dict[str, float]:
        """The meter's averages as the progress shows them, over about `SHOWN_STEPS` steps.

        If the meter has fewer, the average shown at the last line of metrics counts for the rest.
        """
        share = min(1.0, (self.state.step - self._last_line) / self._window)
        before = self._shown
        return {name: x + (1 - share) * (before.get(name, x) - x) for name, x in means.items()}

    def keep_best(self, *quality: float) -> None:
        """Save the weights as the best if `quality`, some finite numbers, is larger than ever."""
        if quality > self.state.best and all(map(math.isfinite, quality)):
            self.state.best = quality
            self.state.best_file = self._run.save("best.safetensors", self.state.weights())


@contextmanager
def training(
    state: State,
    run: RunFolder,
    config: RunConfig,
    steps_per_epoch: int,
    data: Mapping[str, Source] | None = None,
) -> Iterator[Loop]:
    """Run a training loop, which continues from the run folder's checkpoint if it is resumed.

    Inside the block the first SIGINT (Ctrl-C), SIGTERM or SIGHUP ends the block after the current
    step, and all is saved; a second one interrupts at once. A signal that is ignored, as nohup
    does, stays so. Whatever ends the program, the run can be resumed, and ends as if nothing had
    happened.

    Args:
        state: What is trained; its epoch and step are counted here.
        run: Where metrics, weights and checkpoints go.
        config: How many epochs there are in all, when to write checkpoints, whether to be quiet.
        steps_per_epoch: Number of steps in an epoch.
        data: What is learnt from, by name; a run that goes on refuses other data.

    Yields:
        The loop; afterwards its `stopped_by` is the number of the signal, or None.

    Raises:
        BadInput: If a run that is to be resumed is damaged, or its settings or data are others;
            nothing in its folder has been changed.
        Diverged: If a number is no longer finite.
    """
    with run.locked(), ExitStack() as stack:
        _begin(state, run, config, steps_per_epoch, data or {})
        stack.enter_context(run.in_use(config.tensorboard))
        done = state.epoch * steps_per_epoch + state.batch
        progress = Progress(config.epochs, steps_per_epoch, done, config.quiet)
        stack.callback(progress.close)
        stack.enter_context(np.errstate(all="ignore"))  # what is not finite is reported by name
        loop = Loop(state, run, config, progress, steps_per_epoch)

        def on_signal(number: int, frame: FrameType | None) -> None:
            if loop.stopped_by is not None:
                raise KeyboardInterrupt
            loop.stopped_by = number

        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if signal.getsignal(number) != signal.SIG_IGN:
                    stack.callback(signal.signal, number, signal.signal(number, on_signal))
        try:
            yield loop
        except _Stop:
            pass
        except Diverged as error:
            error.run, error.config = run, config
            raise
        loop.save_all()
        if state.skipped:
            warn(f"{state.skipped} of {state.step} steps were left out: they were not finite.")


def _begin(
    state: State,
    run: RunFolder,
    config: RunConfig,
    steps_per_epoch: int,
    data: Mapping[str, Source],
) -> None:
    """Write the settings of a new run, or load the checkpoint of one that goes on."""

    def load(saved: dict[str, Any]) -> None:
        state.load_state_dict(saved)
        if state.step != state.epoch * steps_per_epoch + state.batch:
            raise ValueError(
                f"step {state.step} is not batch {state.batch} after {state.epoch} epochs of "
                f"{steps_per_epoch} steps"
            )

    settings = {"program": run.program} | config.settings()
    ground = Ground(settings, dict(data), arithmetic(config.device), run.cwd)
    if not run.resumed:
        run.begin(ground)
        return
    before = run.go_on(ground, load)
    if before is None:
        run.begin(ground)
    else:
        run.begin(replace(ground, cwd=before.cwd), state.state_dict(), state.files())
        names = [n for n, now in ground.arithmetic.items() if before.arithmetic.get(n) != now]
        other = (f"{n} {ground.arithmetic[n]} instead of {before.arithmetic.get(n)}" for n in names)
        if names:
            warn(f"From here on the results are not the same to the last bit: {', '.join(other)}.")
    talker(config.quiet)(_where_it_goes_on(state, config.epochs))


def _where_it_goes_on(state: State, epochs: int) -> str:
    if state.step == 0:
        return "There is no checkpoint yet, so the run begins anew."
    if state.epoch >= epochs:
        return f"All {epochs} epochs are done ({state.step} steps); more --epochs would continue."
    return f"Continuing in epoch {state.epoch + 1} of {epochs}, after step {state.step}."
