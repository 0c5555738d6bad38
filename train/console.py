"""Messages to the user, and how a command ends; no message can end a run, wherever it goes.

Standard output or error may be missing (None, in a program without a console), closed, a logger
with nothing but `write`, a pipe that nobody reads, a file on a full disk, or of an encoding that
lacks a letter of a folder's name.
"""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from minigrad.backends import gpu_is_lost
from minigrad.data import DataError

from . import interrupted

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130  # exit codes


class BadInput(ValueError):
    """Something the user gave cannot be used; the message says what is allowed."""


class Diverged(ArithmeticError):
    """A number of a training is no longer finite.

    Args:
        message: What is not finite, and what may help.
        step: The step after which this was seen.

    Attributes:
        run: The folder of the run, None outside a run.
        config: Its config.
    """

    def __init__(self, message: str, step: int = 0) -> None:
        super().__init__(message)
        self.step = step
        self.run: Any = None
        self.config: Any = None


def guarded(run: Callable[[], int], advice: Callable[[], str] = str) -> int:
    """Run a command; an error that a user may meet becomes one message on standard error.

    Args:
        run: The command, which returns its exit code.
        advice: What to add to the message if the GPU or a file system fails.

    Returns:
        The exit code: 0 done, 1 failed, 2 bad input, 130 interrupted by Ctrl-C.
    """
    if signal.getsignal(signal.SIGINT) is interrupted:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with forgiving():
            return run()
    except SystemExit as tyro_exit:
        return tyro_exit.code if isinstance(tyro_exit.code, int) else FAILED
    except KeyboardInterrupt:
        warn("Interrupted.")
        return INTERRUPTED
    except (BadInput, DataError) as error:
        code, message = BAD_INPUT, str(error)
    except Diverged as error:
        code, message = FAILED, str(error)
    except MemoryError:
        code, message = FAILED, "not enough memory; a smaller --batch-size or network needs less"
    except OSError as error:
        code, message = FAILED, f"cannot go on: {error}{advice()}"
    except Exception as error:
        if not gpu_is_lost():
            raise
        sys.unraisablehook = sys.excepthook = _say_nothing  # CuPy's destructors fail as well
        words = " ".join(str(error).split())
        code, message = FAILED, f"the GPU has failed: {words}{advice()}"
    warn(f"error: {message}")
    return code


def _say_nothing(*_: object) -> None:
    pass


def cause(error: Exception) -> str:
    """Return why a file cannot be used, without its name and the number of the error."""
    return getattr(error, "strerror", None) or str(error)


def leave(code: int) -> NoReturn:
    """End the process with an exit code, whatever its streams still hold and cannot write.

    On a lost GPU it ends at once: each of CuPy's destructors would complain.
    """
    for stream in map(Forgiving, (sys.stdout, sys.stderr)):
        stream.flush()
        if stream.failed:  # Python would try again, complain, and end with code 120
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if "cupy" in sys.modules and gpu_is_lost():
        os._exit(code)
    sys.exit(code)


def tell(text: str) -> bool:
    """Print a message on standard output; return whether all of it was written."""
    return _printed(text, sys.stdout)


def warn(text: str) -> bool:
    """Print a message on standard error; return whether all of it was written."""
    return _printed(text, sys.stderr)


def _printed(text: str, stream: Any) -> bool:
    file = Forgiving(stream)
    print(text, file=file, flush=True)
    return not file.failed


def talker(quiet: bool) -> Callable[[str], None]:
    """Return a function that prints a message, or does nothing if the run is to be quiet."""

    def say(text: str) -> None:
        if not quiet:
            tell(text)

    return say


def conclude(quiet: bool, *lines: str) -> None:
    """Print the last lines of a run; a quiet run has one."""
    tell((" " if quiet else "\n").join(lines))


def answer(text: str) -> int:
    """Print what a command was called for; return its exit code, 1 if that cannot be written."""
    if tell(text):
        return DONE
    warn("error: standard output cannot be written to")
    return FAILED


@contextlib.contextmanager
def forgiving() -> Iterator[None]:
    """Let others print safely too: warnings, the parser of options, the loader of the digits."""
    out: Any = Forgiving(sys.stdout)
    err: Any = Forgiving(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


class Forgiving:
    r"""A stream that takes any text and never raises; what cannot be written is left out.

    A letter that the stream's encoding lacks is written as its number: `\xe9`, `\u6570`.

    Args:
        stream: Where text goes: anything with `write`, or None for nowhere.

    Attributes:
        failed: Whether something was left out.
    """

    def __init__(self, stream: Any) -> None:
        self.failed = False
        self._stream: Any = stream._stream if isinstance(stream, Forgiving) else stream

    def write(self, text: str) -> int:
        """Write as much of a text as the stream takes; return the text's length."""
        if self._stream is not None:
            try:
                self._write(text)
            except Exception:  # a stream of the user's may raise anything
                self.failed = True
        return len(text)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            try:
                self._stream.write(_spelt(text, self.encoding or "ascii"))
            except (LookupError, ValueError):  # its encoding is another than it says
                self._stream.write(_spelt(text, "ascii"))

    def flush(self) -> None:
        """Let what was written go out, if the stream keeps anything back."""
        try:
            getattr(self._stream, "flush", bool)()
        except Exception:
            self.failed = True

    @property
    def encoding(self) -> str | None:
        """The stream's encoding; None if it tells none."""
        try:
            found = self._stream.encoding
        except Exception:
            return None
        return found if isinstance(found, str) else None

    def isatty(self) -> bool:
        """Tell whether a terminal is behind it, as far as the stream says so."""
        try:
            return bool(self._stream.isatty())
        except Exception:
            return False

    def fileno(self) -> int:
        """Return the number of the file behind it.

        Raises:
            OSError: If there is none.
        """
        try:
            return int(self._stream.fileno())
        except Exception:
            raise io.UnsupportedOperation("no file is behind this stream") from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _spelt(text: str, encoding: str) -> str:
    """The text with a number for each letter that an encoding lacks."""
    return text.encode(encoding, "backslashreplace").decode(encoding)
