"""What every trainer's command does around its training: options, messages, exit codes."""

import json
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import minigrad as mg
from minigrad.backends import gpu_is_lost
from minigrad.data import DataError

from .config import BadInput, Config, parse
from .console import BAD_INPUT, DONE, FAILED, INTERRUPTED, answer, forgiving, tell, warn
from .loop import Diverged, Loop
from .run import RunFolder, environment, new_folder, summary_writer


def command(
    program: str,
    cls: type[Config],
    train: Callable[[Config, Callable[..., RunFolder]], int],
    args: Sequence[str] | None,
) -> int:
    """Run a trainer from its command line; a mistake of the user is one message, no traceback.

    Args:
        program: The module that is run, as "train.lstm".
        cls: The trainer's config class.
        train: Trains and returns an exit code; it is given the config and a function that makes
            the run folder, to be called once everything that the user gave is known to be good;
            its keywords are notes for environment.json.
        args: The words of the command line, None for the process's own.

    Returns:
        The exit code: 0 done, 1 failed, 2 bad input, 130 interrupted by Ctrl-C, 143 by SIGTERM.
    """
    runs: list[Path] = []

    def make_run(config: Config, **notes: str) -> RunFolder:
        path = config.resume or new_folder(config.out, program.split(".")[-1])
        runs.append(path)
        run = RunFolder(path, config.resume is not None)
        run.write_json("config.json", {"program": program} | config.settings())
        here = environment(program, sys.argv[1:] if args is None else args)
        run.write_environment(here | notes)
        return run

    def run() -> int:
        config = parse(cls, args, prog=f"python -m {program}")
        if config.dry_run:
            return answer(json.dumps(config.settings(), indent=2))
        _check_device(config.device)
        if config.tensorboard:
            summary_writer()
        return train(config, partial(make_run, config))

    def resuming() -> str:
        return "".join(
            f"; go on from the last checkpoint: python -m {program} --resume "
            f"{shlex.quote(str(path))}"
            for path in runs
        )

    return guarded(run, resuming)


def guarded(run: Callable[[], int], advice: Callable[[], str] = str) -> int:
    """Run a command; what goes wrong becomes one message on standard error.

    Args:
        run: The command, which returns its exit code.
        advice: What to say besides if the GPU fails.

    Returns:
        The exit code: 0 done, 1 failed, 2 bad input, 130 interrupted by Ctrl-C.
    """
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
        code, message = FAILED, f"cannot go on: {error}"
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


def ending(program: str, run: RunFolder, loop: Loop) -> int:
    """Return the exit code of a training that has ended; if by a signal, say how to go on."""
    if loop.stopped_by is None:
        return DONE
    name = signal.Signals(loop.stopped_by).name
    tell(
        f"Stopped by {'Ctrl-C' if name == 'SIGINT' else name} after step {loop.state.step}; all is "
        f"saved. Go on with: python -m {program} --resume {shlex.quote(str(run.path))}"
    )
    return 128 + loop.stopped_by


def _check_device(device: str) -> None:
    try:
        mg.zeros(1, device=device)
    except mg.DeviceError as error:
        raise BadInput(f"--device {device}: {error}") from None
