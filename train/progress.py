"""How far a run is: a bar on a terminal and in a notebook, plain lines in a file or pipe."""

import importlib.util
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tqdm import tqdm  # type: ignore[import-untyped]

from .console import Forgiving, warn

SHOW_EVERY = 0.25  # seconds between two looks at the losses
MEMORY = 30.0  # seconds after which a measurement of speed counts for a third
FIRST_LINE, OTHER_LINES = 60.0, 600.0  # seconds after which a line is due if no tenth is done
NOTEBOOK_COLUMNS = 100
LEAST_BAR = 10  # columns


Cost = Callable[[int], float]


def _always_one(epoch: int) -> float:
    return 1.0


@dataclass(frozen=True)
class Plan:
    """What a training consists of: steps, and what follows the last step of each epoch.

    The two are measured apart, each in a unit of its own: a step that costs twice as much as
    another will take twice as long, and so will a check.
    """

    epochs: int

    steps: int
    """In each epoch."""

    step_cost: Cost = _always_one
    """What a step of an epoch, counted from 1, costs."""

    check_cost: Cost = _always_one
    """What the checks and pictures after an epoch cost."""


class Pace:
    """How long pieces of work take of late: the line a + b cost through what was measured.

    A step over 20 digits takes more than a fiftieth of one over 1,000. As long as all pieces have
    cost the same, or the line would lead below zero, it is taken for one through the origin.
    """

    def __init__(self) -> None:
        self._count = self._seconds = 0.0
        self._cost = self._cost_squared = self._cost_seconds = 0.0

    def add(self, cost: float, seconds: float) -> None:
        """Take in how long a piece took; what lies back fades."""
        fade = math.exp(-seconds / MEMORY)
        self._count = fade * self._count + 1
        self._seconds = fade * self._seconds + seconds
        self._cost = fade * self._cost + cost
        self._cost_squared = fade * self._cost_squared + cost * cost
        self._cost_seconds = fade * self._cost_seconds + cost * seconds

    @property
    def per_second(self) -> float | None:
        """How many pieces are done in a second; None if nothing has been measured."""
        return self._count / self._seconds if self._seconds > 0 else None

    def forecast(self, count: float, cost: float) -> float | None:
        """Return how long so many pieces take, that cost so much together; None if not known."""
        if self._count == 0:
            return None
        spread = self._count * self._cost_squared - self._cost**2
        if spread > 1e-6 * self._count * self._cost_squared:
            slope = self._count * self._cost_seconds - self._cost * self._seconds
            slope /= spread
            start = (self._seconds - slope * self._cost) / self._count
            if slope >= 0 and start >= 0:
                return count * start + cost * slope
        if self._cost == 0:
            return count * self._seconds / self._count
        return cost * self._seconds / self._cost


class Progress:
    """Shows the steps done, their speed, the time left and measurements, on standard error.

    Args:
        plan: All that there is to do.
        epoch: How many epochs are done already.
        batch: How many steps of the next one are.
        quiet: Whether to show nothing at all.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        plan: Plan,
        epoch: int,
        batch: int,
        quiet: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._quiet, self._clock = plan, quiet, clock
        every = [plan.step_cost(number) * plan.steps for number in range(1, plan.epochs + 1)]
        self._total = sum(every)
        self._ahead = sum(every[epoch:])
        if batch:
            self._ahead -= batch * plan.step_cost(epoch + 1)
        self._steps_ahead = (plan.epochs - epoch) * plan.steps - batch
        self._checks = sum(plan.check_cost(n) for n in range(epoch + 1, plan.epochs + 1))
        self._checks_ahead = plan.epochs - epoch
        self._stepping, self._checking = Pace(), Pace()
        self._warm = False
        self._number = epoch
        self._values: dict[str, float] = {}
        self._started = self._mark = self._last_line = clock()
        self._patience = FIRST_LINE
        self._next_look = 0.0
        self._tenths = self._tenths_done()
        self._kind = where() if not quiet else "quiet"
        self._bar: Any = make_bar(self._kind, self._total)

    def epoch(self, number: int) -> None:
        """Name the epoch that begins."""
        self._number, self._mark = number, self._clock()

    def advance(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Count one step; `read` is called only if its measurements are shown now."""
        cost, seconds = self._plan.step_cost(self._number), self._since_mark()
        self._ahead -= cost
        self._steps_ahead -= 1
        if self._warm:  # the first step compiles and fills caches
            self._stepping.add(cost, seconds)
        self._warm = True
        if self._quiet:
            return
        if self._bar is not None and self._mark >= self._next_look:
            self._next_look = self._mark + SHOW_EVERY
            self.show(read())
            self._refresh()
        elif self._bar is None and self._line_is_due():
            self.show(read())
            warn(self._line())

    def check(self) -> None:
        """Count what followed the last step of an epoch."""
        cost = self._plan.check_cost(self._number)
        self._checks -= cost
        self._checks_ahead -= 1
        self._checking.add(cost, self._since_mark())

    def show(self, values: Mapping[str, float]) -> None:
        """Show new measurements; those with other names stay."""
        self._values.update(values)

    def note(self, text: str) -> None:
        """Print a message of its own, above the bar if there is one."""
        if not self._quiet:
            self._draw(lambda: self._bar.clear())
            warn(text)

    def close(self) -> None:
        """Leave the last state standing and end the line."""
        self._refresh()
        self._draw(lambda: self._bar.close())

    def seconds_left(self) -> float | None:
        """How long it will go on; None if nothing is known yet."""
        steps = self._stepping.forecast(self._steps_ahead, self._ahead)
        if steps is None:
            return None if self._steps_ahead else 0.0
        return steps + (self._checking.forecast(self._checks_ahead, self._checks) or 0.0)

    def _since_mark(self) -> float:
        before, self._mark = self._mark, self._clock()
        return self._mark - before

    def _tenths_done(self) -> int:
        return int(10 * (self._total - self._ahead) / self._total)

    def _line_is_due(self) -> bool:
        tenths = self._tenths_done()
        if tenths == self._tenths and self._mark - self._last_line < self._patience:
            return False
        self._tenths, self._last_line, self._patience = tenths, self._mark, OTHER_LINES
        return True

    def _head(self) -> str:
        return f"epoch {self._number}/{self._plan.epochs}"

    def _left(self) -> str:
        left = self.seconds_left()
        return "? left" if left is None else f"{tqdm.format_interval(left)} left"

    def _steps_per_second(self, unit: str) -> list[str]:
        speed = self._stepping.per_second
        return [f"{speed:.{0 if speed >= 100 else 1}f}{unit}"] if speed else []

    def _measured(self) -> list[str]:
        return [f"{name} {value:.3f}" for name, value in self._values.items()]

    def _line(self) -> str:
        percent = 100 * (self._total - self._ahead) / self._total
        so_far = tqdm.format_interval(self._mark - self._started)
        start = f"{self._head()} {percent:3.0f}%, {so_far} so far"
        return _joined(start, self._left(), *self._steps_per_second(" steps/s"), self._measured())

    def _bar_format(self, columns: int) -> str:
        """The line for tqdm: what does not fit is said more briefly, or left out."""
        measured = self._measured()
        for unit in (" steps/s", "/s"):
            after = _joined(self._left(), *self._steps_per_second(unit), measured)
            if len(f"{self._head()} || {after}") + LEAST_BAR <= columns:
                return f"{self._head()} |{{bar}}| {after}"
        while True:  # without a bar, and with the last of the measurements only
            line = _joined(self._head(), self._left(), *self._steps_per_second("/s"), measured)
            if len(line) <= columns or not measured:
                return line
            measured = measured[1:]

    def _refresh(self) -> None:
        self._draw(self._refreshed)

    def _refreshed(self) -> None:
        columns = NOTEBOOK_COLUMNS if self._kind != "terminal" else terminal_columns()
        if self._kind != "widget":
            self._bar.ncols = columns
        self._bar.n = self._total - self._ahead
        self._bar.bar_format = self._bar_format(columns)
        self._bar.refresh()

    def _draw(self, change: Callable[[], object]) -> None:
        """Change the bar, if there is one; where that fails, plain lines take its place."""
        if self._bar is not None and not self._bar.disable:
            try:
                change()
            except Exception:  # a notebook's display may raise anything
                self._bar = None


def _joined(*parts: str | list[str]) -> str:
    words = (" ".join(part) if isinstance(part, list) else part for part in parts)
    return ", ".join(word for word in words if word)


Place = Literal["widget", "text", "terminal", "lines", "quiet"]


def where() -> Place:
    """Find out where standard error is read: a notebook's kernel, a terminal, or a file or pipe."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    if "IPKernelApp" in getattr(get_shell(), "config", ()):
        return "widget" if _has_widgets() else "text"
    return "terminal" if Forgiving(sys.stderr).isatty() else "lines"


def _has_widgets() -> bool:
    try:
        return importlib.util.find_spec("ipywidgets") is not None
    except (ImportError, ValueError):  # a broken installation
        return False


def make_bar(place: Place, total: float) -> Any:
    """Return tqdm's bar for a place, with nothing done; None where there is, or can be, no bar."""
    if place in ("lines", "quiet"):
        return None
    options = {"total": total, "bar_format": "{bar}", "leave": True}
    try:
        if place == "widget":
            from tqdm.notebook import tqdm as widget  # type: ignore[import-untyped]

            return widget(**options)
        columns = NOTEBOOK_COLUMNS if place == "text" else terminal_columns()
        return tqdm(**options, file=Forgiving(sys.stderr), ncols=columns)
    except Exception:  # widgets that cannot be displayed; no bar is worth a run
        return None


def terminal_columns() -> int:
    """Return how many columns a line may fill on the terminal behind standard error.

    The last one stays empty, as some terminals wrap there; one that gives no width has 80.
    """
    try:
        columns = os.get_terminal_size(Forgiving(sys.stderr).fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return (columns or 80) - 1
