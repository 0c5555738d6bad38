"""Whether operations are recorded for backward: the switch, `no_grad` and `enable_grad`."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Generator
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, Self, TypeVar, overload

__all__ = ["Mode", "enable_grad", "grad_switch", "is_grad_enabled", "no_grad"]

F = TypeVar("F", bound=Callable[..., Any])


class _Switch(threading.local):
    """Per thread: whether operations are recorded."""

    on = True


grad_switch = _Switch()


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread.

    Example:
        >>> is_grad_enabled()
        True
    """
    return grad_switch.on


class Mode:
    """A context manager that also decorates functions, with parentheses or without."""

    @overload
    def __new__(cls) -> Self: ...
    @overload
    def __new__(cls, function: F) -> F: ...  # type: ignore[misc]  # `@mg.no_grad`
    def __new__(cls, function: Any = None) -> Any:
        """Make a mode to enter; given a function (`@mg.no_grad`), decorate it with the mode."""
        mode = super().__new__(cls)
        if function is None:
            return mode
        mode.__init__()  # type: ignore[misc]  # Python calls it only if we return a mode
        return mode(function)

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError

    def __call__(self, function: F) -> F:
        """Wrap a function so that its body runs in this mode, also a generator's or coroutine's."""
        mode = type(self)  # each call enters a new one, as a function may call itself
        if isinstance(function, type | staticmethod) or not callable(function):
            wrapper = type(function).__name__
            is_wrapper = isinstance(function, classmethod | staticmethod | property)
            raise TypeError(
                f"{mode.__name__}: decorates functions and methods, got {function!r}; for a block "
                f"write `with mg.{mode.__name__}():`"
                + (f", and @{wrapper} above this decorator" if is_wrapper else "")
            )
        bodies = function, type(function).__call__  # a callable object runs its __call__
        if any(map(isasyncgenfunction, bodies)):
            raise TypeError(
                f"{mode.__name__}: cannot decorate {function!r}, an asynchronous generator; write "
                f"`with mg.{mode.__name__}():` around what it computes between two yields"
            )

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with mode():
                return function(*args, **kwargs)

        @wraps(function)
        def generate(*args: Any, **kwargs: Any) -> Any:
            return (yield from _stepped(function(*args, **kwargs), mode))

        @wraps(function)
        async def run(*args: Any, **kwargs: Any) -> Any:
            return await _stepped(function(*args, **kwargs), mode)

        if any(map(isgeneratorfunction, bodies)):
            return generate  # type: ignore[return-value]
        return run if any(map(iscoroutinefunction, bodies)) else call  # type: ignore[return-value]


@types.coroutine
def _stepped(inner: Any, mode: type[Mode]) -> Generator[Any, Any, Any]:
    """Run a generator or a coroutine in a mode, and leave the mode while it waits."""
    resume, sent = inner.send, None
    try:
        while True:
            with mode():
                yielded = resume(sent)
            try:
                sent = yield yielded
                resume = inner.send
            except GeneratorExit:
                with mode():
                    inner.close()
                raise
            except BaseException as error:  # an exception thrown in is passed on to the body
                resume, sent = inner.throw, error
    except StopIteration as end:
        return end.value


class _GradMode(Mode):
    """Turns recording on or off."""

    on: bool

    def __init__(self) -> None:
        self._before: list[bool] = []  # a stack, so that one object may be entered twice

    def __enter__(self) -> None:
        self._before.append(grad_switch.on)
        grad_switch.on = self.on

    def __exit__(self, *_: object) -> None:
        grad_switch.on = self._before.pop()


class no_grad(_GradMode):
    """Nothing inside is recorded: `with mg.no_grad():`, or `@mg.no_grad()` on a function.

    A decorated generator or coroutine function is in this mode only while its own body runs; the
    code that asks for its next value is not.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor(2.0, requires_grad=True)
        >>> with mg.no_grad():
        ...     y = x * x
        >>> y.requires_grad
        False
    """

    on = False


class enable_grad(_GradMode):
    """Operations inside are recorded, also within `no_grad`.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor(2.0, requires_grad=True)
        >>> with mg.no_grad(), mg.enable_grad():
        ...     y = x * x
        >>> y.requires_grad
        True
    """

    on = True
