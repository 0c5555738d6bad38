"""A captured step does what the step does: on the stand-in, and where there is one on a GPU."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
import weakref
from functools import partial

import numpy as np
import pytest
from captures import (
    Task,
    assert_same,
    by_adam,
    classification,
    criterion,
    flat,
    on_gpu,
    simple,
    small,
    train,
)

import minigrad as mg
from minigrad import nn, optim
from minigrad.backends import to_numpy
from minigrad.backends.cupy.graph import (
    Feed,
    StepGraph,
    _dropped_pools,
    free_dropped_pools,
    own_stream,
)
from minigrad.capture import MOST
from minigrad.observers import NOBODY, thread
from minigrad.ops.random import generator
from minigrad.tensor import wrap

pytestmark = pytest.mark.usefixtures("quick_gpu")  # their kernels have tests of their own


# --- replays equal eager steps ---------------------------------------------------------------


def with_dropout():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.4), nn.Linear(4, 2))


def with_norm():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LeakyReLU(0.2), nn.Linear(4, 2))


def with_plain_average():
    return nn.Sequential(nn.BatchNorm1d(3, momentum=None), nn.LayerNorm(3), nn.Linear(3, 2))


CASES = {
    "dropout": partial(classification, with_dropout, by_adam),
    "batch norm": partial(classification, with_norm, by_adam),
    "batch norm, plain average": partial(classification, with_plain_average, by_adam),
    "sgd": partial(classification, small, partial(optim.SGD, lr=0.1)),
    "sgd, nesterov": partial(
        classification,
        small,
        partial(optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    ),
    "sgd, dampening": partial(
        classification, small, partial(optim.SGD, lr=0.1, momentum=0.9, dampening=0.5)
    ),
    "rmsprop": partial(classification, small, partial(optim.RMSprop, lr=0.01)),
    "rmsprop, centered": partial(
        classification, small, partial(optim.RMSprop, lr=0.01, centered=True, momentum=0.5)
    ),
    "adam, amsgrad": partial(classification, small, partial(optim.Adam, lr=0.05, amsgrad=True)),
    "adamw": partial(classification, small, partial(optim.AdamW, lr=0.05, maximize=True)),
    "step schedule": partial(
        classification, small, by_adam, partial(optim.lr_scheduler.StepLR, step_size=3, gamma=0.5)
    ),
    "cosine schedule": partial(
        classification, small, by_adam, partial(optim.lr_scheduler.CosineAnnealingLR, T_max=10)
    ),
}


@pytest.fixture
def check(gpu, replays):
    """Whether captured steps train as eager ones do, and all but so many are replays."""

    def check(make, steps, warm_ups=2, between=lambda task, number: None):
        expected = train(make, steps, False, between)
        before = len(replays)
        assert_same(gpu, train(make, steps, True, between), expected, steps)
        assert len(replays) - before == steps - warm_ups, "more, or fewer, eager steps"

    return check


@pytest.mark.parametrize("case", CASES)
def test_replays_train_as_eager_steps_do(case, check):
    check(CASES[case], 12)


class Reader(nn.Module):
    """Reads a sequence (N, T, 2) by a layer, or step by step by a cell; two logits."""

    def __init__(self, layer):
        super().__init__()
        ways = 2 if getattr(layer, "bidirectional", False) else 1
        size = ways * (getattr(layer, "proj_size", 0) or layer.hidden_size)
        self.layer, self.output = layer, nn.Linear(size, 2)

    def forward(self, x):
        if hasattr(self.layer, "num_layers"):
            states, _ = self.layer(x)
            return self.output(states[:, -1])
        state = None
        for t in range(x.shape[1]):
            state = self.layer(x[:, t], state)
        return self.output(state[0] if isinstance(state, tuple) else state)


class Attention(nn.Module):
    """A normalized sequence (N, T, 2) looks at itself; two logits."""

    def __init__(self):
        super().__init__()
        self.norm, self.output = nn.LayerNorm(2), nn.Linear(2, 2)

    def forward(self, x):
        x = self.norm(x)
        weights = nn.functional.softmax(x @ x.swapaxes(1, 2), dim=-1)  # (N, T, T)
        return self.output(mg.log1p(mg.exp(weights @ x)).mean(axis=1))


def by_probabilities():
    """As `simple`, with the loss of a probability."""
    task = classification(small, by_adam)
    model, optimizer = task.modules[0], task.optimizers[0]

    def step(x, labels):
        p = mg.sigmoid(model(x)[:, 0])
        loss = nn.functional.binary_cross_entropy(p, labels.astype(np.float32))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    task.step = step
    return task


def reading(layer, length=3):
    return partial(classification, lambda: Reader(layer()), by_adam, shape=(4, length, 2))


LONG = 9  # more states than CuPy joins in a capture
BY_DEFINITION = {
    "rnn": reading(partial(nn.RNN, 2, 3, batch_first=True), LONG),
    "rnn, relu": reading(partial(nn.RNN, 2, 3, batch_first=True, nonlinearity="relu")),
    "gru": reading(partial(nn.GRU, 2, 3, batch_first=True), LONG),
    "gru, two ways": reading(partial(nn.GRU, 2, 3, 2, batch_first=True, bidirectional=True)),
    "lstm, projected": reading(partial(nn.LSTM, 2, 4, batch_first=True, proj_size=3)),
    "rnn cell": reading(partial(nn.RNNCell, 2, 3)),
    "gru cell": reading(partial(nn.GRUCell, 2, 3)),
    "lstm cell": reading(partial(nn.LSTMCell, 2, 3)),
    "attention": partial(classification, Attention, by_adam, shape=(4, 3, 2)),
    "probabilities": by_probabilities,
}


@pytest.mark.parametrize("case", BY_DEFINITION)
def test_what_has_no_kernel_of_its_own_is_replayed_too(case, check):
    """Its definition is made of operations that can be recorded."""
    check(BY_DEFINITION[case], 7)


def test_a_hundred_replays_with_random_numbers_and_a_schedule(check):
    schedule = partial(optim.lr_scheduler.ExponentialLR, gamma=0.97)
    check(partial(classification, with_dropout, by_adam, schedule), 100)


def test_random_numbers_are_those_of_the_cpu(replays):
    def noise(like):
        return mg.randn(2, 3, device=like.device) + mg.rand_like(like)

    mg.manual_seed(5)
    expected = [noise(mg.zeros(2, 3)).numpy() for _ in range(6)]
    mg.manual_seed(5)
    call = mg.capture(noise, "gpu")
    actual = [call(mg.zeros(2, 3)).numpy() for _ in range(6)]
    assert len(replays) == 4
    np.testing.assert_array_equal(actual, expected)
    mg.manual_seed(5)  # also in a generator that is new since the recording
    np.testing.assert_array_equal(call(mg.zeros(2, 3)).numpy(), expected[0])


def test_where_the_first_call_does_more_there_is_one_more_before_the_recording(replays):
    runs = []

    @partial(mg.capture, device="gpu")
    def step(x):
        runs.append(len(replays))
        if len(runs) == 1:  # as a layer that makes its weights when it first sees an input
            x = x * 1.0
        return x + 1.0

    assert [step(mg.full(2, float(n))).numpy()[0] for n in range(7)] == [n + 1.0 for n in range(7)]
    assert len(runs) == 4 and len(replays) == 4


# --- what may change between calls -----------------------------------------------------------


def sometimes(at, change):
    """Something done before the steps of these numbers, and before no other."""

    def between(task: Task, number: int) -> None:
        if number in at:
            change(task)

    return between


def set_option(task, name, value):
    task.optimizers[0].param_groups[0][name] = value


def set_lr(task):
    group = task.optimizers[0].param_groups[0]
    group["lr"] = group["lr"] / 3 + 0.01


def freeze(task):
    task.modules[0][0].weight.requires_grad_(not task.modules[0][0].weight.requires_grad)


def rebind(task):
    weight = task.modules[0][2].weight
    weight.data = weight.data * 0.5


def reload(task):
    state = {name: value * 0.5 for name, value in task.modules[0].state_dict().items()}
    task.modules[0].load_state_dict(state)


def reload_optimizer(task):
    state = task.optimizers[0].state_dict()
    for entry in state["state"].values():
        entry["exp_avg"] = entry["exp_avg"] * 0.5
    task.optimizers[0].load_state_dict(state)


def reload_counts(task, counts=(40.0,)):
    state = task.optimizers[0].state_dict()
    for number, count in enumerate(counts):
        state["state"][number]["step"] = mg.tensor(count)
    task.optimizers[0].load_state_dict(state)


def exchange_layer(task):
    task.modules[0][1] = nn.ReLU()


def exchange_bias(task):
    task.modules[0][0].bias = None


def add_group(task):
    extra = nn.Linear(3, 2, device="gpu")
    task.optimizers[0].add_param_group({"params": extra.parameters()})


def drop_gradients(task):
    task.optimizers[0].zero_grad()


def fill_gradients(task):
    task.optimizers[0].zero_grad(set_to_none=False)


def switch(task):
    task.modules[0].train(not task.modules[0].training)


CHANGES = {
    "the learning rate": (set_lr, 0),
    "betas": (partial(set_option, name="betas", value=(0.5, 0.9)), 2),
    "eps": (partial(set_option, name="eps", value=0.1), 2),
    "weight decay": (partial(set_option, name="weight_decay", value=0.1), 2),
    "a frozen parameter": (freeze, 4),
    "an assigned array": (rebind, 6),
    "loaded weights": (reload, 0),
    "a loaded optimizer": (reload_optimizer, 4),
    "a loaded count": (reload_counts, 4),
    "loaded counts": (partial(reload_counts, counts=(40.0, 50.0)), 4),
    "a layer": (exchange_layer, 4),
    "a bias": (exchange_bias, 2),
    "a group": (add_group, 4),
    "dropped gradients": (drop_gradients, 0),
    "gradients of zero": (fill_gradients, 0),
    "the seed": (lambda task: mg.manual_seed(7), 0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_between_replays_takes_effect(change, check):
    apply, warm_ups = CHANGES[change]
    check(simple, 16, 2 + warm_ups, sometimes((6, 11), apply))


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (with_dropout, lambda task: setattr(task.modules[0][2], "p", 0.8)),
        (with_norm, lambda task: setattr(task.modules[0][1], "momentum", 0.5)),
    ],
    ids=["dropout", "momentum"],
)
def test_a_layers_option_may_change(model, change, check):
    check(partial(classification, model, by_adam), 9, 4, sometimes((5,), change))


def test_training_and_evaluation_have_a_graph_each(check):
    check(partial(classification, with_norm, by_adam), 24, 4, sometimes(range(3, 40, 3), switch))


def test_other_shapes_have_a_graph_each(check):
    def make():
        task, random = simple(), np.random.default_rng(3)

        def args(number):
            n = 2 if number % 4 == 3 else 4  # the last batch of an epoch is smaller
            x = random.standard_normal((n, 3)).astype(np.float32)
            return mg.tensor(x), mg.tensor(random.integers(0, 2, n))

        task.args = args
        return task

    check(make, 20, 4)


def test_a_rare_argument_has_a_graph_of_its_own(check):
    def make():
        task = simple()
        step, args = task.step, task.args

        def scaled(x, labels, scale=1.0):
            return step(x * scale, labels)

        task.step = scaled
        task.args = lambda number: (*args(number), 2.0 if number % 4 == 0 else 1.0)
        return task

    check(make, 20, 4)


# --- arguments -------------------------------------------------------------------------------


def test_arguments_may_be_nested_named_and_anywhere(replays):
    weight = nn.Parameter(mg.tensor([2.0, 3.0]).to("gpu"))

    def step(pair, *, table, names=("a", "b"), owner=None):
        (x, flag), extra = pair, table["z"][0]
        y = (x * weight + extra if flag else x - extra).sum() + table[names[0]]
        return y, [y * 2, {"plain": 3, "none": None}], "word"

    call = mg.capture(step, "gpu")
    for number in range(8):
        x = mg.tensor([1.0 + number, 2.0])
        extra = mg.tensor([0.5, float(number)], device="gpu" if number % 2 else "cpu")
        y, (twice, plain), word = call(
            (x, number < 4), table={"z": [extra], "a": mg.tensor(1.0)}, owner=step
        )
        wanted = x.numpy() * [2, 3] + extra.numpy() if number < 4 else x.numpy() - extra.numpy()
        assert y.shape == () and y.device == "gpu" and not y.requires_grad
        assert y.item() == pytest.approx(wanted.sum() + 1)
        assert twice.item() == pytest.approx(2 * wanted.sum() + 2)
        assert plain == {"plain": 3, "none": None} and word == "word"


def test_what_the_caller_does_with_its_arrays_afterwards_does_not_matter(late_gpu, replays):
    """The GPU is far behind: what it is to read must have been taken over when the call returns."""
    call = mg.capture(lambda x: x * 2, "gpu")
    array = np.zeros(3, np.float32)
    x, results = mg.Tensor(mg.tensor(array)), []
    for number in range(12):
        x.data[...] = number
        results.append(call(x))
    x.data[...] = -1
    assert [y.numpy().tolist() for y in results] == [[2.0 * n] * 3 for n in range(12)]
    assert len(replays) == 10


def test_any_memory_order_of_an_argument(replays):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    call = mg.capture(lambda x: (x @ x.T).sum(axis=0), "gpu")
    for place in ("cpu", "gpu"):
        for x in (mg.tensor(values), mg.tensor(values.T.copy()).T, mg.tensor(values)[:, ::-1]):
            for _ in range(4):
                y = call(x.to(place))
                np.testing.assert_array_equal(y.numpy(), (x.data @ x.data.T).sum(axis=0))
    assert len(replays) == 2 * 12 - 4


@pytest.mark.usefixtures("late_gpu")
def test_a_gpu_that_is_far_behind_trains_as_one_that_is_not(check):
    check(partial(classification, with_dropout, by_adam), 12)


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint8", "bool"])
def test_any_dtype_of_an_argument(dtype, replays):
    call = mg.capture(lambda x: mg.where(x == x[0], 1.0, 0.0), "gpu")
    for number in range(4):
        x = mg.tensor(np.array([number % 2, 1, 0, 1], dtype))
        assert call(x).numpy().tolist() == (x.data == x.data[0]).tolist()
    assert len(replays) == 2


def test_without_a_device_it_is_where_the_arguments_are(replays):
    call = mg.capture(lambda x, y: x + y)
    here, there = mg.ones(2), mg.ones(2, device="gpu")
    for _ in range(4):
        assert call(here, here).device == "cpu"
    assert not replays
    for _ in range(4):
        assert call(there, there).device == "gpu"
    assert len(replays) == 2
    with pytest.raises(mg.DeviceError, match="different devices"):
        call(here, there)


def test_a_parameter_as_an_argument_is_itself_and_learns(gpu, replays):
    def step(w, x):
        w.grad = None
        loss = (w * x).sum()
        loss.backward()
        return loss.detach()

    w, x = nn.Parameter(mg.ones(2, device="gpu")), mg.tensor([1.0, 2.0])
    call = mg.capture(step, "gpu")
    for number in range(5):
        assert call(w, x * number).item() == 3 * number
        assert w.grad.numpy().tolist() == [number, 2 * number]
    assert len(replays) == 3


def test_too_many_kinds_of_arguments_end_in_one_warning(gpu, replays, monkeypatch):
    assert MOST == 32
    most = 4
    monkeypatch.setattr(sys.modules["minigrad.capture"], "MOST", most)
    call = mg.capture(lambda x, factor: x * factor, "gpu")
    x = mg.ones(1)
    with pytest.warns(RuntimeWarning, match=f"met {most} different sets") as warned:
        for number in range(most + 2):
            for _ in range(3):
                assert call(x, float(number)).item() == number
    assert len(warned) == 1 and len(replays) == most


def test_gradients_are_part_of_the_key(replays):
    w = nn.Parameter(mg.ones(1, device="gpu"))
    seen = []

    def step(x):
        y = w * x
        seen.append(y.requires_grad)
        return y

    call = mg.capture(step, "gpu")
    for _ in range(4):
        call(mg.ones(1))
        with mg.no_grad():
            call(mg.ones(1))
    assert seen == [True, False] * 3 and len(replays) == 4


# --- results ---------------------------------------------------------------------------------


def test_results_and_gradients_that_are_kept_keep_their_values(gpu, replays):
    def observed(captured):
        mg.manual_seed(1)
        task = simple()
        call = mg.capture(task.step, "gpu") if captured else lambda *a: task.step(*on_gpu(a))
        kept = []
        for number in range(14):
            result = call(*task.args(number))
            gradient = task.modules[0][0].weight.grad
            keep = number in (4, 9)
            kept.append((result, gradient if keep else gradient.numpy(), gradient.numpy()))
            del gradient
        for _, held, then in kept:
            now = held.numpy() if isinstance(held, mg.Tensor) else held
            np.testing.assert_array_equal(now, then)
        return dict(flat([(result, mg.tensor(then)) for result, _, then in kept]))

    expected = observed(False)
    assert_same(gpu, observed(True), expected, 14)
    assert len(replays) == 14 - 3 * 2


@pytest.mark.parametrize("part", ["data", "slice"])
def test_the_array_of_a_gradient_may_be_kept_too(part, replays):
    task = simple()
    call = mg.capture(task.step, "gpu")
    weight = task.modules[0][0].weight
    for number in range(5):
        call(*task.args(number))
    held = weight.grad.data if part == "data" else weight.grad.data[1:]
    before = to_numpy(held).copy()
    for number in range(5, 12):
        call(*task.args(number))
    np.testing.assert_array_equal(to_numpy(held), before)
    assert len(replays) == 3 + 5


def test_no_step_waits_for_the_gpu(gpu, replays):
    task = simple()
    call = mg.capture(task.step, "gpu")
    if gpu is None:
        pytest.skip("counted on the stand-in")
    for number in range(3):
        call(*task.args(number))
    for number in range(3, 8):
        gpu.log.reset()
        call(*task.args(number))
        assert set(gpu.log.syncs) <= {"event.synchronize"}  # for the copy of two steps before
        assert gpu.log.downloads == []
        assert gpu.log.uploads == ["set"], "arguments and live values go in one copy"
        assert gpu.log.launches.count("graph") == 1 and len(gpu.log.launches) <= 3


# --- what is refused -------------------------------------------------------------------------


class Counter:
    """Python state that a step changes."""

    def __init__(self):
        self.n = 0

    def number(self, x):
        self.n += 1
        return x * (1.0 / self.n)

    def option(self, x):
        self.n += 1
        return mg.pad(x, 1, constant_values=float(self.n))

    def branch(self, x):
        self.n += 1
        return x * 2 if self.n % 2 else x + x

    def loops(self, x):
        self.n += 1
        for _ in range(self.n):
            x = x + 1
        return x

    def noise(self, x):
        self.n += 1
        return mg.concatenate([mg.randn(1, device="gpu") for _ in range(self.n)])[:1] + x

    def dropout(self, x):
        self.n += 1
        return nn.functional.dropout(x, 1 - 1 / self.n)

    def returned(self, x):
        self.n += 1
        return x * 2, self.n

    def fetched(self, x):
        return mg.tensor(x.numpy() * 2, device="gpu")

    def einsum(self, x):
        return mg.einsum("i,i->", x, x)

    def strange(self, x):
        return {x * 2: 1}.keys()

    def on_cpu(self, x):
        return x * 2, mg.ones(2) + 1


REFUSED = {
    "number": r"multiply\(float32\[2\], 0\.5\) in one became multiply\(float32\[2\], 0\.33",
    "option": r"pad\(float32\[2\], 1, 2\.0\) in one became pad\(float32\[2\], 1, 3\.0\)",
    "branch": r"add\(.*\) in one became multiply\(.*2.*\)",
    "loops": r"in one became add\(float32\[2\], 1\)",
    "noise": r"replay values\('randn'\) in one|in one became replay values\('randn'\)",
    "dropout": r"replay values\('dropout', 0\.5\) in one became replay values\('dropout', 0\.66",
    "returned": r"return\(\(float32\[2\], 2\)\) in one became return\(\(float32\[2\], 3\)\)",
    "fetched": r"copy to the host",
    "einsum": r"cuBLAS",
    "strange": r"returns a dict_keys",
    "on_cpu": r"add computes on the CPU",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_replayed_runs_as_it_stands_with_one_warning(name, gpu, replays):
    def arrays(y):
        return dict(flat(list(y) if name == "strange" else y))

    xs = [mg.tensor([1.0 + number, 2.0]) for number in range(6)]
    mg.manual_seed(3)
    once = Counter()
    expected = [arrays(getattr(once, name)(x.to("gpu"))) for x in xs]
    mg.manual_seed(3)
    call = mg.capture(getattr(Counter(), name), "gpu")
    with pytest.warns(RuntimeWarning, match=REFUSED[name]) as warned:
        actual = [arrays(call(x)) for x in xs]
    assert len(warned) == 1 and warned[0].filename == __file__
    assert str(warned[0].message).startswith(f"capture({name}) runs it as it stands")
    np.testing.assert_equal(actual, expected)
    assert not replays


def accumulating():
    task = simple()
    model, optimizer = task.modules[0], task.optimizers[0]

    def step(x, labels):  # the gradients of all calls so far add up
        loss = criterion(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    task.step = step
    return task


def stepping():
    task = simple()
    whole, optimizer = task.step, task.optimizers[0]

    def step(x, labels):
        optimizer.step()  # along the gradients of the call before
        return whole(x, labels)

    task.step = step
    return task


class Signs(optim.Optimizer):
    """An optimizer that has no kernel."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    def update(self, p, g, state, step, group, scratch):
        p -= group["lr"] / step * np.sign(g)


def rebinding():
    """Each call exchanges the memory of a weight, which the optimizer brings back."""
    task = simple()
    whole, weight = task.step, task.modules[0][0].weight
    other = wrap(weight.data.copy())

    def step(x, labels):
        weight.data, other.data = other.data, weight.data
        return whole(x, labels)

    task.step = step
    return task


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (accumulating, "gradient that an earlier call has left"),
        (stepping, "gradient that an earlier call has left"),
        (partial(classification, small, partial(Signs, lr=0.1)), "Signs has no kernel"),
        (rebinding, r"assigns \.data"),
    ],
    ids=["accumulates", "steps first", "no kernel", "rebinds"],
)
def test_training_that_cannot_be_replayed_goes_on_as_it_stands(make, reason, gpu, replays):
    expected = train(make, 6, captured=False)
    with pytest.warns(RuntimeWarning, match=reason) as warned:
        actual = train(make, 6, captured=True)
    assert len(warned) == 1 and not replays
    assert_same(gpu, actual, expected, 6)


def test_accumulating_over_calls_that_drop_gradients_outside(gpu, replays):
    """With gradients dropped before each call a step need not do it; without, it is refused."""

    def between(task, number):
        if number < 6 or number > 8:
            task.optimizers[0].zero_grad()

    expected = train(accumulating, 12, False, between)
    with pytest.warns(RuntimeWarning, match="gradient that an earlier call has left"):
        actual = train(accumulating, 12, True, between)
    assert_same(gpu, actual, expected, 12)
    assert len(replays) >= 4


def test_an_argument_in_a_graph_is_refused(gpu, replays):
    w = nn.Parameter(mg.ones(2, device="gpu"))
    call = mg.capture(lambda x: x * 3, "gpu")
    with pytest.warns(RuntimeWarning, match="a gradient would go back to"):
        for _ in range(4):
            assert call(w * 2).numpy().tolist() == [6, 6]
    assert not replays


# --- failures --------------------------------------------------------------------------------


def failing(error):
    """A step that trains, and fails at its end while it is recorded."""
    task = classification(with_dropout, by_adam)
    whole = task.step

    def step(x, labels):
        result = whole(x, labels)
        if thread.observer.is_recording:
            raise error
        return result

    task.step = step
    return task


def test_a_failed_recording_leaves_no_trace(gpu, replays):
    expected = train(partial(classification, with_dropout, by_adam), 6, captured=False)
    with pytest.warns(RuntimeWarning, match="OSError: disk full") as warned:
        actual = train(lambda: failing(OSError("disk\nfull")), 6, captured=True)
    assert len(warned) == 1 and not replays
    assert not own_stream().is_capturing() and thread.observer is NOBODY
    assert_same(gpu, actual, expected, 6)


def test_an_interrupt_while_recording_leaves_no_trace(gpu, replays):
    mg.manual_seed(1)
    task = failing(KeyboardInterrupt())
    call = mg.capture(task.step, "gpu")
    for number in range(2):
        call(*task.args(number))
    parameters = list(task.modules[0].parameters())
    before = [(p.detach().numpy(), p.grad.numpy()) for p in parameters]
    state, steps = generator().bit_generator.state, task.optimizers[0].state_dict()
    with pytest.raises(KeyboardInterrupt):
        call(*task.args(2))
    for p, (value, gradient) in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), value)
        np.testing.assert_array_equal(p.grad.numpy(), gradient)
    assert generator().bit_generator.state == state
    np.testing.assert_equal(dict(flat(task.optimizers[0].state_dict())), dict(flat(steps)))
    assert not own_stream().is_capturing() and thread.observer is NOBODY


@pytest.mark.parametrize("at", [0, 2])
def test_the_steps_own_errors_are_raised_as_they_are(at, gpu, replays):
    wrong = []

    def step(x):
        return x + mg.ones(5 if wrong else 2, device="gpu")

    call = mg.capture(step, "gpu")
    for number in range(6):
        wrong[:] = [1] * (number == at)
        if number == at:
            with pytest.raises(mg.ShapeError, match="add"):
                call(mg.ones(2))
        else:
            assert call(mg.ones(2)).numpy().tolist() == [2, 2]
    assert len(replays) == 3


def test_memory_that_runs_out_while_recording(replays, monkeypatch):
    recorded = StepGraph.recorded

    def limited(self):
        self._pool.free_all_blocks()  # or what the warm-ups have left would be enough
        self._pool.set_limit(size=1)
        return recorded(self)

    call = mg.capture(lambda x: x * 2, "gpu")
    for _ in range(2):
        call(mg.ones(2))
    monkeypatch.setattr(StepGraph, "recorded", limited)
    with pytest.warns(RuntimeWarning, match="OutOfMemoryError: Out of memory allocating"):
        assert call(mg.ones(2)).numpy().tolist() == [2, 2]
    assert call(mg.ones(2)).numpy().tolist() == [2, 2]
    assert replays == []


def test_a_lost_gpu_is_an_error_not_a_reason_to_go_on(monkeypatch):
    call = mg.capture(lambda x: x * 2, "gpu")
    for _ in range(3):
        call(mg.ones(2))
    error = importlib.import_module("cupy").cuda.runtime.CUDARuntimeError

    def lost(*_):
        raise error(719)  # cudaErrorLaunchFailure

    monkeypatch.setattr(StepGraph, "launch", lost)
    with pytest.raises(error, match="cudaErrorLaunchFailure"):
        call(mg.ones(2))


# --- around it -------------------------------------------------------------------------------


def between(number):
    """What others do on a GPU between two steps; after each of them CuPy enters a stream again."""
    cuda = importlib.import_module("cupy").cuda
    with cuda.Stream(non_blocking=True):
        mg.ones(2, device="gpu")
    mg.ones(2, 3, device="gpu").T.numpy()  # which CuPy makes contiguous first
    if number % 3 == 0:
        cuda.Stream.null.use()


def test_what_others_do_with_streams_costs_no_replay(check):
    check(simple, 12, between=lambda task, number: between(number))


def test_a_thread_keeps_its_stream(gpu):
    cuda = importlib.import_module("cupy").cuda
    own = own_stream()
    assert own.ptr != cuda.Stream.null.ptr and cuda.get_current_stream() == own
    for _ in range(2):
        with cuda.Stream(non_blocking=True) as other:
            assert own_stream() == other  # a stream that was chosen is kept to
        assert cuda.get_current_stream() == own
        cuda.Stream.null.use()
        assert own_stream() == own == cuda.get_current_stream()
    found = []
    thread = threading.Thread(target=lambda: found.append(own_stream()))
    thread.start()
    thread.join()
    assert found[0] != own and own_stream() == own


def test_the_threads_stream_goes_on_where_the_default_one_has_ended(late_gpu):
    """Also when it had been left for the default stream meanwhile."""
    cuda = importlib.import_module("cupy").cuda
    for _ in range(2):
        x = mg.ones(2, device="gpu")
        cuda.Stream.null.use()
        x.data[...] = 7
        own_stream()
        y = mg.ones(2, device="gpu")
        y.data[...] = x.data
        assert y.numpy().tolist() == [7, 7]


def in_use():
    """The memory of graphs that are gone, and is not given back."""
    free_dropped_pools()
    return sum(pool.total_bytes() for pool, _ in _dropped_pools)


def test_a_dropped_graph_gives_its_memory_back(gpu, replays):
    before = in_use()
    task = simple()
    call = mg.capture(task.step, "gpu")
    for number in range(5):
        result = call(*task.args(number))
    pools = [variant.graph._pool for variants in taken(call) for variant in variants]
    assert len(pools) == 1 and pools[0].total_bytes() > 0
    del call, task
    gc.collect()
    assert in_use() == before and pools[0].total_bytes() == 0
    assert np.isfinite(result["loss"].item())


def taken(call):
    """All variants of a captured function."""
    [steps] = [
        cell.cell_contents for cell in call.__closure__ if hasattr(cell.cell_contents, "_variants")
    ]
    return steps._variants.values()


def test_memory_that_an_array_still_lies_in_is_given_back_later(replays):
    before = in_use()
    w = nn.Parameter(mg.ones(300, device="gpu"))

    def step(x):
        w.grad = None
        (w * x).sum().backward()
        return x + 1

    call = mg.capture(step, "gpu")
    for _ in range(4):
        call(mg.ones(300))
    del call
    gc.collect()
    assert in_use() > before and w.grad.numpy().tolist() == [1] * 300
    w.grad = None
    assert in_use() == before


def test_a_graph_that_is_dropped_in_a_recording_gives_its_memory_back_after_it(replays):
    before = in_use()
    calls = [mg.capture(lambda x: x * 2, "gpu"), mg.capture(lambda x: x * 3, "gpu")]
    for _ in range(4):
        calls[0](mg.ones(300))

    def step(x):
        if thread.observer.is_recording:
            calls[0] = None
            gc.collect()
            assert in_use() > before
        return calls[1](x)

    call = mg.capture(step, "gpu")
    for _ in range(4):
        assert call(mg.ones(2)).numpy().tolist() == [3, 3]
    assert calls[0] is None and in_use() == before and len(replays) == 2 + 2


def test_a_step_that_is_refused_gives_its_memory_back(replays):
    before = in_use()
    counter = Counter()
    call = mg.capture(counter.number, "gpu")
    with pytest.warns(RuntimeWarning):
        for _ in range(4):
            call(mg.ones(2))
    gc.collect()
    assert in_use() == before and not replays
    assert not any(hasattr(variant, "graph") for variants in taken(call) for variant in variants)


def test_a_captured_function_can_be_forgotten(replays):
    task = simple()
    call = mg.capture(task.step, "gpu")
    results = [call(*task.args(number)) for number in range(5)]
    model = weakref.ref(task.modules[0])
    del task, call
    gc.collect()
    assert model() is None
    assert np.isfinite([r["loss"].item() for r in results]).all()  # whose memory is their own


def test_the_looking_at_anomalies_sees_each_operation(replays):
    call = mg.capture(lambda x: mg.log(x), "gpu")
    for _ in range(3):
        call(mg.ones(1))
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match="log"):
        call(mg.zeros(1))
    assert len(replays) == 1


def test_a_captured_step_inside_another_is_part_of_it(gpu, replays):
    def make():
        task = simple()
        task.step = mg.capture(task.step, "gpu")
        return task

    expected = train(simple, 8, captured=False)
    assert_same(gpu, train(make, 8, captured=True), expected, 8)
    assert len(replays) == 6


def test_threads_have_graphs_of_their_own(gpu, replays):
    call, found = mg.capture(lambda x: x * 2, "gpu"), []

    def work(number):
        found.append([call(mg.ones(1) * number).item() for _ in range(5)])

    for number in range(2):
        thread = threading.Thread(target=work, args=(number,))
        thread.start()
        thread.join()
    work(3)
    assert found == [[0.0] * 5, [2.0] * 5, [6.0] * 5] and len(replays) == 9


def test_a_feed_of_nothing_and_of_empty_arrays():
    feed = Feed([], own_stream())
    assert feed.begin() == [] and feed.send() is None
    feed = Feed([((0, 2), np.float32), ((3,), np.int64)], own_stream())
    empty, values = feed.begin()
    assert empty.shape == (0, 2)
    values[:] = [1, 2, 3]
    feed.send()
    assert feed.arrays[1].get().tolist() == [1, 2, 3]
    call = mg.capture(lambda: mg.ones(2, device="gpu") * 2, "gpu")
    assert [call().numpy().tolist() for _ in range(4)] == [[2, 2]] * 4


def test_the_device_is_checked_when_it_is_named():
    with pytest.raises(mg.DeviceError, match="abacus"):
        mg.capture(lambda x: x, "abacus")
