"""no_grad and enable_grad as decorators: of whatever has a body, all of it and nothing else."""

import asyncio
import functools

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

both_spellings = pytest.mark.parametrize("decorate", [mg.no_grad, mg.no_grad()], ids=["bare", "()"])


@pytest.fixture
def x():
    return mg.tensor([1.0, 2.0], requires_grad=True)


@both_spellings
def test_no_grad_decorates_functions_with_and_without_parentheses(decorate, x):
    @decorate
    def double(x):
        """Twice as much."""
        return x * 2

    assert not double(x).requires_grad and mg.is_grad_enabled()
    assert double.__name__ == "double" and double.__doc__ == "Twice as much."


@both_spellings
def test_no_grad_covers_the_body_of_a_generator_and_not_its_caller(decorate, x):
    seen = []

    @decorate
    def steps(x):
        sent = yield x * 2
        seen.append(sent)
        try:
            yield x * 3
        except KeyError:
            seen.append(mg.is_grad_enabled())
            yield x * 4
        return mg.is_grad_enabled()

    running = steps(x)
    assert not next(running).requires_grad and mg.is_grad_enabled()
    assert not running.send("sent").requires_grad and (x * 2).requires_grad
    assert not running.throw(KeyError).requires_grad and mg.is_grad_enabled()
    with pytest.raises(StopIteration) as end:
        next(running)
    assert seen == ["sent", False] and end.value.value is False and mg.is_grad_enabled()


def test_a_generator_under_enable_grad_records_for_a_caller_that_does_not(x):
    @mg.enable_grad()
    def steps():
        while True:
            yield x * 2

    running = steps()
    with mg.no_grad():
        assert next(running).requires_grad and not mg.is_grad_enabled()


def test_a_generator_that_is_closed_or_fails_leaves_the_switch_as_it_was(x):
    seen = []

    @mg.no_grad()
    def steps():
        try:
            yield 1
            raise ZeroDivisionError
        finally:
            seen.append(mg.is_grad_enabled())

    closed, failing = steps(), steps()
    next(closed)
    closed.close()
    next(failing)
    with pytest.raises(ZeroDivisionError):
        next(failing)
    assert seen == [False, False] and mg.is_grad_enabled()


def test_no_grad_covers_a_coroutine_and_not_what_runs_while_it_waits(x):
    @mg.no_grad()
    async def compute():
        before = mg.is_grad_enabled()
        await asyncio.sleep(0)
        return before, (x * 2).requires_grad

    async def main():
        task = asyncio.create_task(compute())
        await asyncio.sleep(0)  # the task has begun, and waits
        between = mg.is_grad_enabled()
        return between, await task

    assert asyncio.run(main()) == (True, (False, False))


def test_no_grad_decorates_methods_objects_and_partial_functions(x):
    class Model(nn.Module):
        @mg.no_grad
        def forward(self, x):
            return x * 2

        @mg.no_grad()
        def parts(self, x):
            yield x * 2

    assert not Model()(x).requires_grad
    assert [part.requires_grad for part in Model().parts(x)] == [False]
    assert not mg.no_grad(nn.Linear(2, 1))(x).requires_grad

    def power(n, x):
        yield x**n

    assert [y.requires_grad for y in mg.no_grad(functools.partial(power, 2))(x)] == [False]


def test_detect_anomaly_decorates_functions_and_generators_too(x):
    zero = x * 0

    @mg.detect_anomaly
    def divided():
        return 1 / zero

    @mg.detect_anomaly()
    def steps():
        yield 1
        yield 1 / zero

    running = steps()
    assert next(running) == 1
    with np.errstate(divide="ignore"):
        assert np.isinf((1 / zero).detach().data[0])  # out here nobody looks
    for start in (divided, lambda: next(running)):
        with pytest.raises(mg.AnomalyError, match="divide: the result contains an infinity"):
            start()


def test_no_grad_refuses_what_it_cannot_cover():
    async def endless():
        yield 1

    with pytest.raises(TypeError, match=r"no_grad: cannot decorate .*asynchronous generator"):
        mg.no_grad(endless)
    for thing in (3, int, staticmethod(print), classmethod(print)):
        with pytest.raises(TypeError, match=r"no_grad: decorates functions.*`with mg.no_grad\(\)"):
            mg.no_grad(thing)
    with pytest.raises(TypeError, match="enable_grad: decorates functions"):
        mg.enable_grad(False)


@pytest.mark.parametrize("wrapper", [classmethod, staticmethod, property])
def test_what_wraps_a_method_belongs_above(wrapper):
    with pytest.raises(TypeError, match=rf"@{wrapper.__name__} above this decorator"):
        mg.no_grad()(wrapper(print))

    class Holder:
        @wrapper
        @mg.no_grad()
        def works(*owner):
            return mg.is_grad_enabled()

    assert (Holder().works if wrapper is property else Holder().works()) is False
