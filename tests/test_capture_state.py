"""A captured step that changes what a replay would not gives what a plain step gives."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
from captures import by_adam, classification, criterion, flat, on_gpu, small

import minigrad as mg
from minigrad import nn, optim
from minigrad.backends import to_numpy
from minigrad.backends.cupy.graph import own_stream
from minigrad.observers import NOBODY, thread
from minigrad.ops.random import generator
from minigrad.tensor import wrap
from minigrad.versions import write

pytestmark = pytest.mark.usefixtures("quick_gpu")

CALLS = 6


@pytest.fixture(scope="module", autouse=True)
def quick_collection():
    """`capture` lets the garbage collector look through all that was made since."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Training:
    """A network, an optimizer and a step of theirs, which does something besides.

    Args:
        before: Done before the network is called.
        after: Done between backward and the optimizer's step.
        last: Done at the end.
        optimizer: Makes one.

    Attributes:
        n: How often the step has run: Python's own state, which nobody can put back.
        state: Whatever a test keeps.
    """

    def __init__(self, before=None, after=None, last=None, optimizer=by_adam):
        task = classification(lambda: nn.Sequential(*small(), nn.Dropout(0.3)), optimizer)
        self.args, [self.model], [self.optimizer] = task.args, task.modules, task.optimizers
        self.before, self.after, self.last = before, after, last
        self.schedule = optim.lr_scheduler.StepLR(self.optimizer, 1, 0.5)
        self.plateau = optim.lr_scheduler.ReduceLROnPlateau(self.optimizer)
        self.average = nn.Buffer(mg.zeros(4, 3, device="gpu"))
        self.n, self.kept, self.raw = 0, [], None

    @property
    def weight(self):
        return self.model[0].weight

    def step(self, x, labels):
        self.n += 1
        if self.before is not None:
            self.before(self)
        loss = criterion(self.model(x), labels)
        self.optimizer.zero_grad()
        loss.backward()
        extra = self.after(self) if self.after is not None else None
        self.optimizer.step()
        if self.last is not None:
            self.last(self)
        return loss.detach() if extra is None else (loss.detach(), extra)

    def everything(self, results):
        """All that has come of it, as arrays by name."""
        parameters = list(self.model.parameters())
        return dict(
            flat(
                {
                    "results": results,
                    "model": self.model.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "gradients": [p.grad for p in parameters],
                    "switches": [p.requires_grad for p in parameters],
                    "training": [m.training for m in self.model.modules()],
                    "attributes": [vars(m).get("count", 0) for m in self.model.modules()],
                    "schedule": self.schedule.state_dict(),
                    "average": self.average,
                    "kept": self.kept,
                    "raw": 0 if self.raw is None else wrap(self.raw),
                    "random": generator().bit_generator.state,
                    "n": self.n,
                }
            )
        )


def trained(captured, calls=CALLS, between=lambda training: None, **options):
    """Everything after so many calls."""
    mg.manual_seed(1)
    training = Training(**options)
    call = mg.capture(training.step, "gpu") if captured else lambda *a: training.step(*on_gpu(a))
    results = []
    for number in range(calls):
        between(training)
        results.append(call(*training.args(number)))
    return training.everything(results)


def assert_equal(actual, expected, besides=()):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        if name in besides:
            continue
        np.testing.assert_array_equal(actual[name], value, err_msg=name)


# --- what is refused -------------------------------------------------------------------------


def descend(t):
    t.weight.data = t.weight.data - 0.1 * t.weight.grad.data


def clip(t):
    t.weight.data = np.clip(t.weight.data, -0.1, 0.1)


def share(t):
    t.average.data = t.weight.data


def double(t):
    t.weight.data = t.weight.data.astype("float64")
    t.weight.data = t.weight.data.astype("float32")


def half_in_another_name(t):
    before = t.weight.data
    t.weight.data = before * 0.5
    t.average.data[...] = before


def half_as_a_view(t):
    before = t.weight.detach()[1:]
    t.weight.data = t.weight.data * 0.5
    t.average.data[1:] = before.data


def backup(t):
    t.kept[:] = [t.average.detach()]
    t.average.data = t.average.data * 0.5 + 1


def assigned_and_changed(t):
    half = t.average.data * 0.5 + 1
    t.average.data = half
    write(t.average._data, t.average._data + 1)
    t.average.data[...] = half


def shrink(t):
    weight = t.weight
    with mg.no_grad():
        weight *= 1 - 0.1 / t.n


def average(t):
    t.average.data = 0.9 * t.average.data + 0.1 * t.weight.data


def average_of_tensors(t):
    t.average.data = 0.9 * t.average + 0.1 * t.weight.detach()


def new_buffer(t):
    t.average = nn.Buffer(0.9 * t.average + 0.1 * t.weight.detach())


def raw_average(t):
    t.raw = 0.1 * t.weight.data if t.raw is None else 0.9 * t.raw + 0.1 * t.weight.data


def raw_view(t):
    t.raw = (2 * t.weight.data)[1]


def hidden_state(t):
    h = getattr(t.model[0], "hidden", None)
    t.model[0].hidden = t.weight.detach() * 2 if h is None else t.weight.detach() + 0.5 * h


def history(t):
    t.kept.append(t.weight.detach() * 1)


def latest(t):
    t.kept[:] = [{"norm": t.weight.detach().norm()}]


def returned_and_kept(t):
    t.kept[:] = [t.weight.detach() * 2]
    return t.kept[0]


def kept_array(t):
    t.kept[:] = [t.weight.detach().norm().data]


def schedule(t):
    t.schedule.step()


def plateau(t):
    optim.lr_scheduler.ReduceLROnPlateau.step(t.plateau, 1.0)


def new_schedule(t):
    optim.lr_scheduler.StepLR(t.optimizer, 1, 0.5)


def decay_for_this_step(t):
    t.optimizer.param_groups[0]["weight_decay"] = 0.5
    t.last = lambda t: t.optimizer.param_groups[0].update(weight_decay=0.0)


def rate_for_this_step(t):
    rate = t.optimizer.param_groups[0]["lr"]
    t.optimizer.param_groups[0]["lr"] = 2 * rate
    t.last = lambda t: t.optimizer.param_groups[0].update(lr=rate)


def rate(t):
    t.optimizer.param_groups[0]["lr"] *= 0.9


def rate_meanwhile(t):
    rate = t.optimizer.param_groups[0]["lr"]
    t.optimizer.param_groups[0]["lr"] = 2 * rate
    t.optimizer.step()
    t.optimizer.param_groups[0]["lr"] = rate


def decay_meanwhile(t):
    t.optimizer.param_groups[0]["weight_decay"] = 0.5
    t.optimizer.step()
    t.optimizer.param_groups[0]["weight_decay"] = 0.0


def decay(t):
    t.optimizer.param_groups[0]["weight_decay"] += 0.01


def count(t):
    vars(t.model[0])["count"] = vars(t.model[0]).get("count", 0) + 1


def switch(t):
    t.model.train(t.n % 2 == 0)


def freeze(t):
    t.model[0].bias.requires_grad = t.n % 2 == 0


def seed(t):
    mg.manual_seed(t.n)


def convert(t):
    t.model.astype("float64" if t.weight.dtype == np.float32 else "float32")


def draw_on_cpu(t):
    mg.rand(1)


def draw_weights(t):
    nn.init.normal_(t.weight)


def add_group(t):
    t.optimizer.add_param_group({"params": [nn.Parameter(mg.zeros(2, device="gpu"))]})


def reload_optimizer(t):
    t.optimizer.load_state_dict(t.optimizer.state_dict())


def swap(t):
    first, last = t.model[0].bias, t.average
    t.weight.data, t.average.data = t.average.data + 1, t.weight.data
    assert first is not last


def decayed_gradient(t):
    t.weight.grad = t.weight.grad * 0.5 if t.weight.grad is not None else None
    t.kept[:] = [] if t.weight.grad is None else [t.weight.grad]


def read(t):
    t.kept.append(float(t.weight.detach().sum()))


def read_bool(t):
    if t.weight.detach().sum() > 0:
        t.kept.append(1.0)


def clip_now_and_then(t):
    if t.n % 2:
        nn.utils.clip_grad_norm_(t.model.parameters(), 0.01)


def upload(t):
    write(t.weight._data, (t.weight.detach() * mg.tensor([[1.0, 2.0, 0.5]], device="gpu"))._data)


def move(t):
    write(t.weight._data, (t.weight.detach() + mg.ones(1, 3).to("gpu"))._data)


STATEFUL: dict[str, tuple[Callable, str]] = {
    "backup": (backup, r"assigns \.data of a Tensor of shape \(4, 3\)"),
    "shrink": (shrink, r"multiply\(float32\[4, 3\], 0\.9.*\) in one became"),
    "new buffer": (new_buffer, r"keeps an array of shape \(4, 3\)"),
    "raw average": (raw_average, r"keeps an array of 48 bytes"),
    "raw view": (raw_view, r"keeps an array"),
    "hidden state": (hidden_state, r"changes an attribute of a module"),
    "history": (history, r"keeps an array"),
    "latest": (latest, r"keeps an array of shape \(\)"),
    "returned and kept": (returned_and_kept, r"keeps an array"),
    "kept array": (kept_array, r"keeps an array"),
    "plateau": (plateau, r"ReduceLROnPlateau\.step\(\) reads a measurement"),
    "new schedule": (new_schedule, r"makes a learning-rate schedule"),
    "rate": (rate, r"changes the learning rate"),
    "rate meanwhile": (rate_meanwhile, r"changes the learning rate"),
    "decay meanwhile": (decay_meanwhile, r"changes an option or the memory of an optimizer"),
    "rate for this step": (rate_for_this_step, "changes the learning rate"),
    "decay for this step": (decay_for_this_step, "an option or the memory of an optimizer"),
    "decay": (decay, r"changes an option or the memory of an optimizer"),
    "count": (count, r"changes an attribute of a module"),
    "switch": (switch, r"in one|attribute of a module"),
    "freeze": (freeze, r"requires_grad of a Tensor|in one"),
    "seed": (seed, r"calls manual_seed\(\)"),
    "convert": (convert, r"converts a module"),
    "draw on the cpu": (draw_on_cpu, r"draws numbers on the CPU"),
    "draw weights": (draw_weights, r"nn\.init makes values on the host"),
    "add a group": (add_group, r"gets a group"),
    "reload": (reload_optimizer, r"an option or the memory of an optimizer"),
    "swap": (swap, r"assigns \.data"),
    "decayed gradient": (decayed_gradient, r"gradient that an earlier call has left"),
    "read": (read, r"reads a Tensor of shape \(\)"),
    "read bool": (read_bool, r"reads a Tensor of shape \(\)"),
    "clip now and then": (clip_now_and_then, r"not the same from call to call"),
    "upload": (upload, r"copy from the host"),
    "move": (move, r"moves a Tensor of shape \(1, 3\) elsewhere"),
}
MISSING = {
    "before": ("clip now and then", "rate meanwhile", "decay meanwhile"),
    "after": ("decayed gradient",),
}
PLACES = [(n, w) for n in STATEFUL for w in ("before", "after") if n not in MISSING[w]]


@pytest.mark.parametrize(("name", "where"), PLACES)
def test_a_state_that_a_replay_would_not_renew_runs_as_it_stands(name, where, replays):
    change, reason = STATEFUL[name]
    expected = trained(False, **{where: change})
    with pytest.warns(RuntimeWarning, match=reason) as warned:
        actual = trained(True, **{where: change})
    assert len(warned) == 1 and warned[0].filename == __file__ and not replays
    assert_equal(actual, expected)


@pytest.mark.parametrize(("name", "where"), PLACES)
def test_a_change_in_the_recorded_call_only_happens_once(name, where, replays):
    def change(training):
        if training.n == 3:  # that of the call which is recorded
            return STATEFUL[name][0](training)
        return None

    calls = 5  # with a sixth the step would be recorded anew, as it is after the change
    expected = trained(False, calls, **{where: change})
    with pytest.warns(RuntimeWarning, match="runs it as it stands") as warned:
        actual = trained(True, calls, **{where: change})
    assert len(warned) == 1 and not replays
    assert_equal(actual, expected)


# --- what is replayed ------------------------------------------------------------------------


def in_place_arithmetic(t):
    t.weight.data -= 0.1 * t.weight.grad.data
    t.weight.data *= 0.9


def operators_in_place(t):
    weight = t.weight
    with mg.no_grad():
        weight -= 0.1 * weight.grad
        weight *= 0.9
        t.average += 0.1 * (weight - t.average)


def clip_by_index(t):
    t.weight.data[...] = np.clip(t.weight.data, -0.1, 0.1)


def clip_into(t):
    np.clip(t.weight.data, -0.1, 0.1, out=t.weight.data)


def written(t):
    write(t.weight._data, t.weight.data * 0.9)
    write(t.average._data, t.weight.data[0], 1)


def average_in_place(t):
    t.average.data[...] = 0.9 * t.average.data + 0.1 * t.weight.data


def clipped_gradients(t):
    nn.utils.clip_grad_norm_(t.model.parameters(), 0.1)
    nn.utils.clip_grad_value_(t.model.parameters(), 0.02)


def assigned_gradient(t):
    t.weight.grad = t.weight.grad * 0.5


def assigned_data_of_gradient(t):
    t.weight.grad.data = np.clip(t.weight.grad.data, -0.01, 0.01)


def gradient_in_place(t):
    t.weight.grad.data *= 0.5


def own_tensor(t):
    y = t.weight.detach() * 2
    y.data = y.data * 2
    write(y._data, y._data + 1)
    write(t.average._data, y._data)


def frozen_meanwhile(t):
    t.weight.requires_grad = False
    y = t.weight * 2
    t.weight.requires_grad = True
    write(t.average._data, y._data)


def loaded(t):
    t.model.load_state_dict({k: v * 0.9 for k, v in t.model.state_dict().items()})


def from_vector(t):
    vector = nn.utils.parameters_to_vector(t.model.parameters()).detach() * 0.9
    nn.utils.vector_to_parameters(vector, t.model.parameters())


def evaluated_meanwhile(t):
    t.model.eval()
    y = t.model(mg.ones(2, 3, device="gpu"))
    t.model.train()
    return y.detach()


def made_at_first(t):
    if t.raw is None:
        t.raw = mg.tensor([[1.0, 2.0, 3.0]]).to("gpu").data
        t.model[0].scale = mg.tensor(2.0, device="gpu")
        t.schedule.step()
    t.weight.data[...] = t.weight.data + 0.01 * t.raw * t.model[0].scale.data


def gradient_returned(t):
    return t.weight.grad


REPLAYED: dict[str, Callable] = {
    function.__name__: function
    for function in (
        in_place_arithmetic,
        operators_in_place,
        clip_by_index,
        clip_into,
        written,
        average_in_place,
        clipped_gradients,
        assigned_gradient,
        assigned_data_of_gradient,
        gradient_in_place,
        own_tensor,
        frozen_meanwhile,
        loaded,
        from_vector,
        evaluated_meanwhile,
        made_at_first,
        gradient_returned,
    )
}


RENEWED = {"descend": descend, "clip": clip, "average": average, "schedule": schedule}
RENEWED |= {"average of tensors": average_of_tensors, "double": double}
RENEWED |= {"half in another name": half_in_another_name, "half as a view": half_as_a_view}
RENEWED |= {"assigned and changed": assigned_and_changed, "share": share}


@pytest.mark.parametrize("where", ["before", "after", "last"])
@pytest.mark.parametrize("name", RENEWED)
def test_what_a_step_assigns_or_counts_is_renewed_by_each_replay(name, where, replays):
    if (name, where) == ("descend", "before"):
        where = "last"  # before backward there is no gradient to go along
    expected = trained(False, 9, **{where: RENEWED[name]})
    assert_equal(trained(True, 9, **{where: RENEWED[name]}), expected, besides={".n"})
    assert len(replays) >= 5


@pytest.mark.parametrize("name", REPLAYED)
def test_a_change_in_place_is_replayed(name, replays):
    expected = trained(False, 8, after=REPLAYED[name])
    assert_equal(trained(True, 8, after=REPLAYED[name]), expected, besides={".n"})
    assert len(replays) >= 5


def test_gradients_filled_with_zeros_are_replayed(replays):
    def zeros(training):
        training.optimizer.zero_grad(set_to_none=False)

    class Filling(optim.Adam):
        def zero_grad(self, set_to_none=False):
            super().zero_grad(set_to_none)

    make = partial(Filling, lr=0.05)
    expected = trained(False, 10, optimizer=make)
    assert_equal(trained(True, 10, optimizer=make), expected, besides={".n"})
    assert replays


# --- what fails ------------------------------------------------------------------------------


def change_all_and(fail):
    """Change, while the step is recorded, whatever can change unseen, and fail then."""

    def last(t):
        if thread.observer.is_recording:
            t.model.eval()
            t.model[0].count = 7
            t.model[2].bias = None
            del t.model[3].p
            t.model[0].bias.requires_grad = False
            t.weight.grad = None
            t.model[0].bias.grad = mg.ones(4, device="gpu")
            t.average.grad = mg.ones(4, 3, device="gpu")
            group = t.optimizer.param_groups[0]
            group["lr"], group["eps"], group["new"] = 9.0, 9.0, 9.0
            generator().random(3)
            fail(t)

    return last


def read_raw(t):
    float(t.weight.data.sum())


def raise_own(t):
    raise ValueError("the user's own")


def cuda():
    return importlib.import_module("cupy").cuda


def wait_for_device(t):
    cuda().Device().synchronize()


def wait_for_stream(t):
    cuda().get_current_stream().synchronize()


def wait_for_event(t):
    cuda().get_current_stream().record().synchronize()


def wait_and_go_on(t):
    """CUDA has spoilt the recording, and the step does not know."""
    with suppress(Exception):
        wait_for_stream(t)


def wait_and_read(t):
    wait_and_go_on(t)
    float(t.weight.sum())


WAITS = [wait_for_device, wait_for_stream, wait_for_event, wait_and_go_on, wait_and_read]


@pytest.mark.parametrize("fail", [read_raw, raise_own, *WAITS])
def test_a_recording_that_fails_puts_everything_back(fail, replays):
    expected = trained(False)
    reason = "D2H transfers are disallowed|ValueError: the user's own|CapturedEvent|"
    reason += "StreamCapture|STREAM_CAPTURE"  # CUDA's runtime, and its driver
    with pytest.warns(RuntimeWarning, match=reason) as warned:
        actual = trained(True, last=change_all_and(fail))
    assert len(warned) == 1 and not replays
    assert_equal(actual, expected, besides={".n"})  # the step has run once more
    assert not own_stream().is_capturing() and thread.observer is NOBODY


def test_a_raw_read_in_each_call_runs_as_it_stands(replays):
    expected = trained(False, last=read_raw)
    with pytest.warns(RuntimeWarning, match="D2H transfers are disallowed"):
        actual = trained(True, last=read_raw)
    assert_equal(actual, expected, besides={".n"})
    assert not replays


def test_an_error_after_a_change_in_the_recorded_call_is_raised_once(replays):
    def last(t):
        if t.n == 3:
            nn.init.zeros_(t.average)
            raise ValueError("the user's own")

    def train(captured):
        mg.manual_seed(1)
        training = Training(last=last)
        call = mg.capture(training.step, "gpu") if captured else training.step
        results = []
        for number in range(5):
            args = training.args(number)
            try:
                results.append(call(*(args if captured else on_gpu(args))))
            except ValueError:
                results.append(number)
        return training.everything(results)

    expected = train(False)
    with pytest.warns(RuntimeWarning, match=r"nn\.init makes values") as warned:
        actual = train(True)
    assert len(warned) == 1 and warned[0].filename == __file__
    assert_equal(actual, expected)
    assert (
        actual[".results.2"] == 2 and not own_stream().is_capturing() and thread.observer is NOBODY
    )


def test_other_random_numbers_in_the_recorded_call(replays):
    def after(t):
        if t.n == 3:
            return mg.randn(3, device="gpu") + mg.rand(3, device="gpu")
        return mg.randn(2, device="gpu")

    expected = trained(False, 5, after=after)
    with pytest.warns(RuntimeWarning, match="random numbers"):
        actual = trained(True, 5, after=after)
    assert_equal(actual, expected)
    assert not replays


def test_an_argument_that_is_kept_runs_as_it_stands(replays):
    def differences(captured):
        last = [mg.zeros(2, device="gpu")]

        def step(x):
            y = (x - last[0]) * 1
            last[0] = x
            return y

        call = mg.capture(step) if captured else step
        return [call(mg.tensor([1.0 * n, n * n], device="gpu")).numpy() for n in range(6)]

    expected = differences(False)
    with pytest.warns(RuntimeWarning, match="other Tensors|keeps an array"):
        actual = differences(True)
    np.testing.assert_array_equal(actual, expected)
    assert not replays


@pytest.mark.parametrize("slot", ["x", "slice", "raw"])
def test_an_argument_that_is_only_kept_is_seen(slot, replays):
    kept = []

    def step(x):
        kept[:] = [{"x": x, "slice": x[:1], "raw": x.data[1:]}[slot]]
        return x * 2

    call = mg.capture(step)
    with pytest.warns(RuntimeWarning, match="keeps an array"):
        for number in range(6):
            x = mg.ones(2, device="gpu") * number
            assert call(x).numpy().tolist() == [2 * number] * 2
            assert float(to_numpy(kept[0] if slot == "raw" else kept[0].data)[0]) == number
    assert not replays


# --- what happens to arguments ----------------------------------------------------------------


def scaled_in_place(x):
    x *= 2
    return x.sum()


def scaled_data(x):
    x.data *= 2
    return x.sum()


def scaled_raw(x):
    x.data[...] = x.data * 2
    return x.sum()


def scaled_by_assignment(x):
    x.data = x.data * 2
    return x.sum()


def scaled_detached(x):
    y = x.detach()
    y *= 2
    return x.sum()


def made_to_require_a_gradient(x):
    x.requires_grad_()
    y = (x * x).sum()
    y.backward()
    return y.detach()


def given_a_gradient(x):
    x.grad = x * 2
    return x.sum()


def decayed_state(x):
    x *= 0.5
    x += 1
    return x * 1


CHANGED_ARGUMENTS = {
    function.__name__: function
    for function in (
        scaled_in_place,
        scaled_data,
        scaled_raw,
        scaled_by_assignment,
        scaled_detached,
        made_to_require_a_gradient,
        given_a_gradient,
        decayed_state,
    )
}


def of_calls(step, captured, is_same, last=lambda x, number: None):
    """What calls with one Tensor, or with a new one each, give and leave in it."""
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], device="gpu")
    call = mg.capture(step) if captured else step
    found = []
    for number in range(6):
        if not is_same:
            x = mg.tensor([[1.0, 2.0], [3.0, number]], device="gpu")
        y = call(x)
        found += [y.detach(), x.detach().clone(), x.grad, x.requires_grad]
    return dict(flat(found))


@pytest.mark.parametrize("is_same", [True, False])
@pytest.mark.parametrize("name", CHANGED_ARGUMENTS)
def test_a_step_that_changes_an_argument_runs_as_it_stands(name, is_same, replays):
    step = CHANGED_ARGUMENTS[name]
    expected = of_calls(step, False, is_same)
    if is_same and step is made_to_require_a_gradient:  # from then on it is no input of a graph
        actual = of_calls(step, True, is_same)
    else:
        with pytest.warns(RuntimeWarning, match="it changes an argument") as warned:
            actual = of_calls(step, True, is_same)
        assert len(warned) == 1 and warned[0].filename == __file__
    assert not replays
    assert_equal(actual, expected)


@pytest.mark.parametrize("name", ["scaled_in_place", "scaled_raw"])
@pytest.mark.parametrize("fails", [False, True])
def test_an_argument_that_the_recorded_call_changes_is_changed_once(name, fails, replays):
    def steps():
        calls = []

        def step(x):
            calls.append(1)
            y = (x * 3).sum()
            if len(calls) == 3:
                y = CHANGED_ARGUMENTS[name](x)
                x.data[...] = x.data + 1
                if fails:
                    mg.manual_seed(1)  # from here on it runs as it stands
                    x.data[...] = x.data + 1
            return y

        return step

    expected = of_calls(steps(), False, True)
    with pytest.warns(RuntimeWarning, match=r"changes an argument|in one|manual_seed"):
        actual = of_calls(steps(), True, True)
    assert_equal(actual, expected)


def test_an_argument_that_is_moved_to_the_gpu_is_a_copy_of_the_steps_own(replays):
    def step(x):
        x.data[...] = x.data * 2
        return x.sum()

    x, call = mg.ones(3), mg.capture(step, "gpu")
    assert [call(x).item() for _ in range(5)] == [6.0] * 5
    assert x.tolist() == [1.0] * 3 and len(replays) == 3
