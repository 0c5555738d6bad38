"""All that a training is made of at a moment, and that a checkpoint has to hold."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.ops.random import generator
from minigrad.serialization import to_bytes

from .checkpoint import first_not_finite
from .files import quoted

MOST_WAITING = 1000  # batches whose measurements a meter leaves on the GPU
Step = Callable[..., dict[str, Tensor]]  # a training step, which returns what it measured
COUNTS = ("epoch", "step", "batch", "skipped")
PARTS = ("networks", "optimizers", "schedulers")  # of what is trained; each has a state


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
        """Continue from a state.

        Raises:
            ValueError: If it is not what `state_dict` gives.
        """
        count, sums = state["count"], dict(state["sums"])
        if type(count) is not int or count < 0:
            raise ValueError(f"a meter's count is {count!r}, expected a whole number")
        for name, total in sums.items():
            if not isinstance(total, Tensor) or total.shape != ():
                raise ValueError(f"a meter's sum {name!r} is {total!r}, expected a number")
        self._count, self._sums, self._waiting = count, sums, []


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

    best_file: bytes | None = None
    """The file that holds them; None if there is none yet."""

    skipped: int = 0
    """Number of steps that were left out, as their results were not finite."""

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

    def parts(self) -> dict[str, Any]:
        """Return what a step changes: the states of networks, optimizers and schedules."""
        return {
            kind: {name: part.state_dict() for name, part in getattr(self, kind).items()}
            for kind in PARTS
        }

    def load_parts(self, state: Mapping[str, Any]) -> None:
        """Go back to the states that `parts` returned."""
        for kind in PARTS:
            for name, part in getattr(self, kind).items():
                part.load_state_dict(state[kind][name])

    def files(self) -> dict[str, bytes | None]:
        """Return the content of the files of weights; None where there is none yet."""
        last = to_bytes(self.weights()) if self.step else None
        return {"last.safetensors": last, "best.safetensors": self.best_file}

    def state_dict(self) -> dict[str, Any]:
        """Return everything: weights, optimizers, schedules, counts, random numbers."""
        file = self.best_file
        return self.parts() | {
            "epoch": self.epoch,
            "step": self.step,
            "batch": self.batch,
            "best": self.best,
            "best_file": None if file is None else np.frombuffer(file, np.uint8),
            "skipped": self.skipped,
            "meter": self.meter.state_dict(),
            "shuffle": self.before_epoch if self.batch else self.shuffle.bit_generator.state,
            "random": generator().bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state; the order of the current epoch is to be drawn again.

        Raises:
            ValueError: If a count, the quality of the best weights or an array is none that a
                training can have; networks, optimizers and schedules raise errors of their own.
        """
        for name in COUNTS:
            if type(state[name]) is not int or state[name] < 0:
                raise ValueError(f"{name} is {state[name]!r}, expected a whole number")
        if not isinstance(state["best"], tuple) or not all(
            type(x) is float and math.isfinite(x) for x in state["best"]
        ):
            raise ValueError(f"best is {state['best']!r}, expected numbers")
        file = state["best_file"]
        if file is not None and (file.dtype != np.uint8 or file.ndim != 1):
            raise ValueError(f"best_file has shape {file.shape}, {file.dtype}, expected bytes")
        bad = first_not_finite(state)
        if bad is not None:
            raise ValueError(f"{bad} is not finite")
        for name, schedule in self.schedulers.items():
            _check_schedule(schedule.state_dict(), state["schedulers"][name])
        self.load_parts(state)
        for name in COUNTS:
            setattr(self, name, state[name])
        self.best = state["best"]
        self.best_file = None if file is None else file.numpy().tobytes()
        self.meter.load_state_dict(state["meter"])
        self.shuffle.bit_generator.state = state["shuffle"]
        self.before_epoch = dict(state["shuffle"])
        generator().bit_generator.state = state["random"]


def _check_schedule(own: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Refuse the state of a schedule that no schedule of this kind can have.

    Raises:
        ValueError: If a number is of another type, or out of its range.
    """
    for name, value in own.items():
        found = saved[name]
        if type(found) is not type(value) or (
            not min(value, 1) <= found < 2**63
            if isinstance(value, int)
            else isinstance(value, float) and not math.isfinite(found)
        ):
            raise ValueError(f"{name} of a schedule is {quoted(found)}")
