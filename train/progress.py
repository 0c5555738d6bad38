"""How far a run is, by tqdm: a bar on a terminal or in a notebook, lines in a file or pipe."""

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal

from tqdm import tqdm  # type: ignore[import-untyped]

from .console import Forgiving, warn

SHOW_EVERY = 0.25  # seconds between two looks at the measurements
SMOOTHING = 0.02  # tqdm's: the speed is that of about the last 50 looks, or steps in a file
FIRST_LINE, OTHER_LINES = 60.0, 600.0  # seconds after which a line is due if no tenth is done
NOTEBOOK_COLUMNS = 100
BAR = "{desc} |{bar}| {remaining} left, {rate_noinv_fmt}{postfix}"
WITHOUT_BAR = "{desc}, {remaining} left, {rate_noinv_fmt}{postfix}"
LINE = "{desc} {percentage:3.0f}%, {elapsed} so far, {remaining} left, {rate_noinv_fmt}{postfix}"

Place = Literal["widget", "text", "terminal", "lines", "quiet"]


class Progress:
    """Shows the steps done, their speed, the time left and measurements, on standard error.

    Args:
        epochs: Number of epochs.
        steps: Number of steps in each.
        done: Number of steps that are done already.
        quiet: Whether to show nothing.
    """

    def __init__(self, epochs: int, steps: int, done: int, quiet: bool) -> None:
        self._epochs, self._total = epochs, epochs * steps
        self._start = self._done = done
        self._epoch = min(epochs, done // steps + 1)
        self._values: dict[str, float] = {}
        self._tenths, self._last_line, self._patience = self._tenths_done(), 0.0, FIRST_LINE
        self._place: Place = "quiet" if quiet else where()
        try:
            self._bar = make_bar(self._place, self._total, done, f"epoch {self._epoch}/{epochs}")
        except Exception:  # widgets that cannot be displayed
            self._fall_back()

    def epoch(self, number: int) -> None:
        """Name the epoch that begins."""
        self._epoch = number

    def advance(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Count one step; `read` is called only if its measurements are shown now."""
        if self._place == "quiet":
            return
        self._done += 1
        due = self._on_bar(self._count)
        if self._place == "lines":
            due = self._line_is_due()
        if due:
            self.show(read())
            self._refresh()

    def _count(self) -> bool:
        """Let tqdm count a step; return whether it is time to look at the measurements."""
        bar = self._bar
        if self._done > self._start + 1:
            return bool(bar.update())
        # the first step compiles and fills caches, so it does not count for the speed
        bar.n = bar.last_print_n = self._done
        started = bar.start_t
        bar.unpause()
        bar.start_t = started
        return False

    def show(self, values: Mapping[str, float]) -> None:
        """Show new measurements; those with other names stay."""
        self._values.update(values)

    def note(self, text: str) -> None:
        """Print a message of its own, above the bar if there is one."""
        if self._place != "quiet":
            self._on_bar(lambda: self._bar.clear())
            warn(text)

    def close(self) -> None:
        """Leave the last state standing and end the line."""
        if self._place != "lines":
            self._refresh()
        self._on_bar(lambda: self._bar.close())

    def _refresh(self) -> None:
        if not getattr(self._bar, "disable", False):  # it is quiet, or closed
            self._on_bar(self._draw)

    def _draw(self) -> None:
        """Show all that fits: without the bar if need be, and then the last measurements only."""
        bar, measured = self._bar, [f"{name} {value:.3f}" for name, value in self._values.items()]
        bar.desc, bar.unit, bar.ncols = f"epoch {self._epoch}/{self._epochs}", " steps", None
        bar.bar_format, bar.postfix = BAR, " ".join(measured)
        if self._place == "lines":
            bar.bar_format = LINE
            warn(str(bar))
            return
        columns = terminal_columns() if self._place == "terminal" else NOTEBOOK_COLUMNS
        while len(str(bar)) > columns and (measured or bar.bar_format == BAR):
            if bar.bar_format == WITHOUT_BAR:
                measured = measured[1:]
            bar.bar_format, bar.unit, bar.postfix = WITHOUT_BAR, "", " ".join(measured)
        bar.ncols = columns if self._place != "widget" else None
        bar.refresh()

    def _on_bar(self, change: Callable[[], Any]) -> Any:
        """Change the bar; if that fails, plain lines take its place."""
        try:
            return change()
        except Exception:  # a notebook's display may raise anything
            self._fall_back()

    def _fall_back(self) -> None:
        self._place = "lines"
        self._bar = make_bar("lines", self._total, self._done)

    def _tenths_done(self) -> int:
        return 10 * self._done // self._total

    def _line_is_due(self) -> bool:
        now = self._bar.format_dict["elapsed"]
        if self._tenths_done() == self._tenths and now - self._last_line < self._patience:
            return False
        self._tenths, self._last_line, self._patience = self._tenths_done(), now, OTHER_LINES
        return True


def in_notebook() -> bool:
    """Tell whether this process is the kernel behind a notebook."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    return "IPKernelApp" in getattr(get_shell(), "config", ())


def where() -> Place:
    """Find out where standard error is read: in a notebook, on a terminal, or in a file or pipe."""
    if in_notebook():
        return "widget" if _has_widgets() else "text"
    return "terminal" if Forgiving(sys.stderr).isatty() else "lines"


def _has_widgets() -> bool:
    try:
        return importlib.util.find_spec("ipywidgets") is not None
    except (ImportError, ValueError):  # a broken installation
        return False


def make_bar(place: Place, total: int, done: int, head: str = "") -> Any:
    """Return tqdm's bar for a place; "lines" only reads it, and "quiet" has one that is disabled.

    Args:
        place: Where it is shown.
        total: Number of steps.
        done: Number of steps that are done already.
        head: The first words.
    """
    options = {
        "total": total,
        "initial": done,
        "desc": head,
        "unit": " steps",
        "mininterval": SHOW_EVERY if place != "lines" else 0.0,
        "miniters": 1,
        "smoothing": SMOOTHING,
        "bar_format": BAR,
    }
    if place == "widget":
        from tqdm.notebook import tqdm as widget  # type: ignore[import-untyped]

        return widget(**options)
    columns = terminal_columns() if place == "terminal" else NOTEBOOK_COLUMNS
    options |= {"ncols": columns, "nrows": 20, "disable": place == "quiet"}
    if place == "lines":
        return Unseen(**options, file=Forgiving(None))
    return tqdm(**options, file=Forgiving(sys.stderr))


class Unseen(tqdm):  # type: ignore[misc]
    """A bar that is not shown: it only knows the speed and the time left."""

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """Return a function that prints nothing; tqdm's own looks at the user's streams."""
        return lambda text: None


def terminal_columns() -> int:
    """Return how many columns a line may fill on the terminal behind standard error.

    The last one stays empty, as some terminals wrap there; one that gives no width has 80.
    """
    try:
        columns = os.get_terminal_size(Forgiving(sys.stderr).fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return (columns or 80) - 1
