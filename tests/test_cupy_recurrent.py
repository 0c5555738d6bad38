"""The LSTM on the GPU: both roads against definition and NumPy, races, replays, spills.

Without a GPU the kernels run on the CPU, each in two orders of its threads, which must agree.
"""

import importlib
import importlib.util
import re
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
from checks import assert_close, tolerance

import minigrad as mg
from minigrad import nn, optim
from minigrad.backends import Needs, to_numpy
from minigrad.backends.cupy import persistent, recurrent, source
from minigrad.backends.cupy.graph import own_stream
from minigrad.backends.numpy import recurrent as on_cpu
from minigrad.engine import Slots
from minigrad.ops import recurrent as ops
from minigrad.tensor import wrap

SHARED = 227 << 10  # bytes that a block may have on an H100 or H200


OPERATION = ops.lstm.operation


class Case(NamedTuple):
    """Inputs of an LSTM as NumPy arrays, and its options."""

    inputs: list[Any]
    options: dict[str, Any]

    def within(self, expected):
        """Each step adds the error of one sum, and hands on those of the steps before it."""
        x = self.inputs[0]
        scale = max(1.0, float(np.abs(expected).max()))
        return len(x) * scale * tolerance(x.dtype, *[a for a in self.inputs if a is not None])


def case(steps, n, width, size, dtype="float32", bias=True, seed=0, **options):
    """Random inputs; weights are as large as those that layers begin with."""
    random = np.random.RandomState(seed)

    def normal(*shape, scale=1.0):
        return (scale * random.standard_normal(shape)).astype(dtype)

    inputs = [normal(steps, n, width), normal(n, size), normal(n, size)]
    inputs += [normal(4 * size, width), normal(4 * size, size, scale=size**-0.5)]
    inputs += [normal(4 * size), normal(4 * size)] if bias else [None, None]
    return Case([*inputs, None], options)


def seeds(case, absent=(), seed=1):
    """Gradients of the outputs, some of which have not arrived."""
    random = np.random.RandomState(seed)
    x, h = case.inputs[:2]
    found = [
        random.standard_normal(shape).astype(x.dtype)
        for shape in ((len(x), *h.shape), h.shape, h.shape)
    ]
    return [None if k in absent else g for k, g in enumerate(found)]


def there(x):
    return None if x is None else importlib.import_module("cupy").asarray(x)


def by_kernel(case, g, needs=None, inputs=None, kernels=recurrent):
    """Outputs and gradients of a backend's kernel, as NumPy arrays."""
    kernel = kernels.lstm
    move = (lambda x: x) if kernels is on_cpu else there
    inputs = [move(x) for x in case.inputs] if inputs is None else inputs
    options = OPERATION.defaults | case.options
    y, residuals = kernel.forward(*inputs, **options)
    needs = Needs(x is not None for x in case.inputs) if needs is None else needs
    found = kernel.backward(
        Slots(move(part) for part in g), needs, Slots(y), residuals, *inputs, **options
    )
    return [None if x is None else to_numpy(x) for x in (*y, *found)]


def by_definition(case, g):
    """Outputs and gradients of the definition, in Tensor operations on the CPU."""
    args = [None if x is None else wrap(x).requires_grad_() for x in case.inputs]
    y = OPERATION.definition(*args, **case.options)
    pairs = [(part, wrap(seed)) for part, seed in zip(y, g, strict=True) if seed is not None]
    leaves = [x for x in args if x is not None]
    found = iter(mg.grad([part for part, _ in pairs], leaves, [seed for _, seed in pairs]))
    return [part.data for part in y] + [None if x is None else next(found).data for x in args]


def assert_same(case, actual, expected):
    assert len(actual) == len(expected)
    for k, (x, like) in enumerate(zip(actual, expected, strict=True)):
        assert (x is None) == (like is None), f"number {k}"
        if x is not None:
            assert x.dtype == like.dtype
            assert_close(x, like, case.within(like), f"number {k}")


@pytest.fixture
def step_by_step(monkeypatch):
    """A function that closes the persistent road."""
    return lambda: monkeypatch.setattr(persistent, "serves", lambda *_: False)


@pytest.fixture
def rows_each(monkeypatch):
    """A function that makes the GPU so small, or so large, that a block takes so many rows."""

    def choose(rows):
        monkeypatch.setattr(persistent, "_limits", lambda *_: (1 if rows == 2 else 999, SHARED))

    return choose


@pytest.fixture
def launched(monkeypatch):
    """The names of our kernels, as they are launched."""
    names: list[str] = []
    launch = source.CudaKernel.__call__

    def noted(self, *args, **options):
        names.append(self.name)
        launch(self, *args, **options)

    monkeypatch.setattr(source.CudaKernel, "__call__", noted)
    return names


# --- values -----------------------------------------------------------------------------------

SIZES = [(1, 3, 5), (2, 5, 32), (7, 3, 64), (2, 3, 100), (3, 3, 128)]  # T, N, H
VARIANTS: list[dict[str, Any]] = [{}, {"reverse": True}, {"bias": False}]


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("sizes", SIZES)
def test_persistent_kernels_equal_definition_and_numpy(sizes, rows, rows_each):
    rows_each(rows)
    steps, n, size = sizes
    for number, options in enumerate(VARIANTS):
        for width in (1, 3):
            one = case(steps, n, width, size, **options)
            assert persistent.serves(there(one.inputs[0]), size)
            assert persistent.rows_each(size, n) == rows
            g = seeds(one, absent=(number,))
            found = by_kernel(one, g)
            assert_same(one, found, by_definition(one, g))
            assert_same(one, found, by_kernel(one, g, kernels=on_cpu))


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [*SIZES, (2, 2, 130)])
def test_step_by_step_equals_the_definition(sizes, dtype, step_by_step):
    step_by_step()
    steps, n, size = sizes
    for number, options in enumerate(VARIANTS):
        one = case(steps, n, 1 + number, size, dtype, **options)
        g = seeds(one, absent=(number,))
        assert_same(one, by_kernel(one, g), by_definition(one, g))


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("absent", [(), (0,), (0, 1), (1, 2), (0, 2)])
def test_both_roads_give_the_same(absent, launched, step_by_step):
    one = case(4, 3, 1, 48, reverse=True)
    g = seeds(one, absent)
    first = by_kernel(one, g)
    assert launched.count("lstm_forward_48_1") == launched.count("lstm_backward_48_1") == 1
    assert "lstm_cell_forward" not in launched
    step_by_step()
    second = by_kernel(one, g)
    assert launched.count("lstm_cell_forward") == launched.count("lstm_cell_backward") == 4
    assert launched.count("lstm_forward_48_1") == 1
    assert_same(one, first, second)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_only_what_is_needed_comes_back(dtype):
    one = case(3, 2, 2, 16, dtype)
    g = seeds(one)
    everything = by_kernel(one, g)
    outputs = len(everything) - len(one.inputs)
    for k, x in enumerate(one.inputs):
        if x is not None:
            found = by_kernel(one, g, Needs(i == k for i in range(len(one.inputs))))[outputs:]
            assert [i for i, part in enumerate(found) if part is not None] == [k]
            np.testing.assert_array_equal(found[k], everything[outputs + k])


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inputs_may_lie_in_any_order_of_memory(dtype):
    one = case(3, 4, 1, 16, dtype)
    wide = case(3, 4, 2, 16, dtype)
    for each in (one, wide):
        g = seeds(each)
        expected = by_kernel(each, g)

        def turned(x):  # F-ordered
            return None if x is None else there(np.ascontiguousarray(x.T)).T

        def strided(x):
            return None if x is None else there(np.repeat(x, 2, axis=0))[::2]

        def backwards(x):
            return None if x is None else there(np.ascontiguousarray(x[::-1]))[::-1]

        def batch_first(x):
            if x is None or x.ndim < 3:
                return there(x)
            return there(np.ascontiguousarray(x.swapaxes(0, 1))).swapaxes(0, 1)

        for order in (turned, strided, backwards, batch_first):
            moved = [order(x) for x in each.inputs]
            assert_same(each, by_kernel(each, g, inputs=moved), expected)


@pytest.mark.usefixtures("gpu")
def test_gradients_of_outputs_may_be_one_number_repeated():
    for dtype in ("float32", "float64"):
        one = case(3, 2, 1, 16, dtype)
        args = [None if x is None else wrap(there(x)).requires_grad_() for x in one.inputs]
        y, _, _ = ops.lstm(*args)
        y.sum().backward()
        expected = by_definition(one, [np.ones_like(to_numpy(y.data)), None, None])[3:]
        found = [None if x is None else to_numpy(x.grad.data) for x in args]
        assert_same(one, found, expected)


@pytest.mark.usefixtures("gpu")
def test_a_second_way_back_finds_what_the_first_one_found():
    for dtype in ("float32", "float64"):
        one = case(3, 2, 1, 16, dtype)
        args = [None if x is None else wrap(there(x)).requires_grad_() for x in one.inputs]
        outputs = list(ops.lstm(*args))
        leaves, first = [x for x in args if x is not None], [wrap(there(g)) for g in seeds(one)]
        found = [
            [to_numpy(g.data) for g in mg.grad(outputs, leaves, first, retain_graph=True)]
            for _ in range(2)
        ]
        for x, like in zip(*found, strict=True):
            np.testing.assert_array_equal(x, like)


# --- which road -------------------------------------------------------------------------------


@pytest.mark.usefixtures("gpu")
def test_what_the_kernels_do_not_take_is_left_to_the_definition():
    options = {"reverse": False}
    good = [there(x) for x in case(2, 3, 1, 16).inputs]

    def answer(position, x):
        inputs = [*good[:position], x, *good[position + 1 :]]
        return recurrent.lstm.forward(*inputs, **options)

    assert answer(0, good[0]) is not NotImplemented
    assert answer(1, there(np.zeros((3, 16)))) is NotImplemented  # float64
    assert answer(7, there(np.zeros((16, 16), "f"))) is NotImplemented  # a projection
    assert answer(5, None) is NotImplemented  # one bias without the other
    half = [x if x is None else x.astype("float16") for x in good]
    assert recurrent.lstm.forward(*half, **options) is NotImplemented
    empty = [there(x) for x in case(2, 0, 1, 16).inputs]
    assert recurrent.lstm.forward(*empty, **options) is NotImplemented


@pytest.mark.usefixtures("gpu")
def test_shapes_that_do_not_fit_are_not_read_as_if_they_did():
    one = case(2, 3, 1, 16)
    wrong = [(0, (2, 3, 2)), (1, (4, 16)), (1, (3, 15)), (2, (4, 16)), (3, (48, 1)), (4, (15, 16))]
    wrong += [(4, (64, 15)), (5, (15,)), (6, (63,))]
    for position, shape in wrong:
        inputs = list(one.inputs)
        inputs[position] = np.ones(shape, "f")
        with pytest.raises(mg.ShapeError):
            ops.lstm(*[None if x is None else wrap(there(x)) for x in inputs])
    broadcast = one._replace(inputs=[one.inputs[0], one.inputs[1][:1], *one.inputs[2:]])
    found = ops.lstm(*[None if x is None else wrap(there(x)) for x in broadcast.inputs])
    expected = by_definition(broadcast, seeds(one))
    for y, like in zip(found, expected, strict=False):
        assert_close(to_numpy(y.data), like, one.within(like), "a state for all rows")


@pytest.mark.usefixtures("gpu")
def test_the_persistent_road_is_for_what_fits():
    def x(*shape, dtype="f", step=0):
        return np.lib.stride_tricks.as_strided(np.zeros(1, dtype), shape, (step, 0, 0))

    assert persistent.serves(x(5, 128, 1), 128)
    assert not persistent.serves(x(5, 128, 1), 129)
    assert not persistent.serves(x(5, 128, 1, dtype="d"), 128)
    assert persistent.serves(x(1000, 4000, 1), 128)
    assert not persistent.serves(x(1000, 5000, 1), 128)  # 2^31 gates and more: not in an int
    assert persistent.serves(x(1000, 5000, 1), 64)
    assert not persistent.serves(x(1000, 1, 1, step=1 << 24), 64)


@pytest.mark.usefixtures("gpu")
def test_a_gpu_with_little_shared_memory_goes_step_by_step(launched, monkeypatch):
    monkeypatch.setattr(persistent, "_limits", lambda *_: (46, 64 << 10))
    assert [persistent.rows_each(128, n) for n in (46, 47)] == [1, 1]  # two rows do not fit
    assert [persistent.rows_each(16, n) for n in (46, 47)] == [1, 2]
    monkeypatch.setattr(persistent, "_limits", lambda *_: (46, 48 << 10))
    one = case(2, 3, 1, 128)
    by_kernel(one, seeds(one))
    assert launched.count("lstm_cell_forward") == 2


@pytest.mark.usefixtures("gpu")
def test_blocks_take_two_rows_where_there_are_more_than_multiprocessors(launched, monkeypatch):
    monkeypatch.setattr(persistent, "_limits", lambda *_: (132, SHARED))
    batches = (1, 128, 132, 133, 1000)
    assert [persistent.rows_each(128, n) for n in batches] == [1, 1, 1, 2, 2]
    one = case(1, 133, 1, 16)
    g = seeds(one)
    assert_same(one, by_kernel(one, g), by_definition(one, g))
    assert "lstm_forward_16_2" in launched and "lstm_backward_16_2" in launched


# --- launches, waits, replays -----------------------------------------------------------------


def test_a_sequence_takes_the_same_few_launches_however_long_it_is(gpu, launched):
    for steps in (2, 6):
        one = case(steps, 2, 1, 32)
        g, inputs = [there(x) for x in seeds(one)], [there(x) for x in one.inputs]
        needs = Needs(k > 2 and x is not None for k, x in enumerate(inputs))

        launched.clear()
        if gpu is not None:
            gpu.log.reset()
        y, residuals = recurrent.lstm.forward(*inputs, reverse=False)
        recurrent.lstm.backward(g, needs, Slots(y), residuals, *inputs, reverse=False)
        names = ["lstm_pack", "lstm_forward_32_1", "lstm_backward_32_1", "lstm_fold"]
        assert launched == names
        if gpu is not None:  # with the one product, for W_hh
            assert len(gpu.log.launches) == len(names) + 1
            assert not gpu.log.syncs and not gpu.log.uploads and not gpu.log.downloads


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_recorded_sequence_replays_on_new_numbers(dtype, late_gpu, request):
    cupy = importlib.import_module("cupy")
    stream, pool = own_stream(), cupy.cuda.MemoryPool()  # all that follows is on that stream
    request.addfinalizer(pool.free_all_blocks)
    old, new = case(3, 8, 2, 16, dtype), case(3, 8, 2, 16, dtype, seed=5)
    g = [there(x) for x in seeds(new)]
    inputs = [there(x) for x in old.inputs]
    kernel, needs = recurrent.lstm, Needs(x is not None for x in inputs)
    options = OPERATION.defaults

    def step():
        y, residuals = kernel.forward(*inputs, **options)
        return [*y, *kernel.backward(Slots(g), needs, Slots(y), residuals, *inputs, **options)]

    with cupy.cuda.using_allocator(pool.malloc):
        step()  # compiles, and fills the pool
        stream.begin_capture()
        found = step()
        graph = stream.end_capture()
    for x, values in zip(inputs, new.inputs, strict=True):
        if x is not None:
            x.set(values)
    graph.launch()
    expected = by_kernel(new, seeds(new))
    for x, like in zip(found, expected, strict=True):
        assert (x is None) == (like is None)
        if x is not None:
            np.testing.assert_array_equal(to_numpy(x), like)


class Placed(Needs):
    """Needs with a place for each gradient."""

    places: list[Any]

    def place(self, position):
        return self.places[position]


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [1, 2])
def test_gradients_of_weights_go_where_the_optimizer_wants_them(width, dtype):
    one = case(3, 2, width, 16, dtype)
    g, inputs = seeds(one), [there(x) for x in one.inputs]
    needs = Placed(x is not None for x in inputs)
    needs.places = [None if x is None else there(np.full_like(x, 7)) for x in one.inputs]
    kernel, options = recurrent.lstm, OPERATION.defaults
    y, residuals = kernel.forward(*inputs, **options)
    seeded = Slots(there(x) for x in g)
    found = kernel.backward(seeded, needs, Slots(y), residuals, *inputs, **options)
    expected = by_kernel(one, g)[len(y) :]
    for k in range(3, 7):
        assert found[k] is needs.places[k]
        np.testing.assert_array_equal(to_numpy(found[k]), expected[k])


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("kind", ["LSTM", "RNN", "GRU"])
def test_a_layer_learns_on_the_gpu_as_on_the_cpu(kind):
    def trained(device):
        mg.manual_seed(3)
        layer = getattr(nn, kind)(1, 16, batch_first=True, bidirectional=True).to(device)
        optimizer = optim.SGD(layer.parameters(), lr=0.1)
        random = np.random.RandomState(0)
        for _ in range(3):
            x = mg.tensor(random.standard_normal((3, 5, 1)).astype("f"), device=device)
            output, _ = layer(x)
            optimizer.zero_grad()
            (output * output).mean().backward()
            optimizer.step()
        return [to_numpy(p.data) for p in layer.parameters()]

    for x, like in zip(trained("gpu"), trained("cpu"), strict=True):
        assert_close(x, like, 3 * 5 * tolerance(np.float32, like, np.zeros((3, 5, 16))), kind)


# --- the text of the kernels ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lstm_forward", "lstm_backward"])
def test_a_missing_barrier_is_found(name, gpu, monkeypatch):
    """The kernels are right in both orders of their threads because of their barriers."""
    if gpu is None:
        pytest.skip("a GPU does not tell of races")
    planted = dict(persistent.KERNELS)
    at = planted[name].rindex("__syncthreads();")
    planted[name] = planted[name][:at] + planted[name][at:].replace("__syncthreads();", "", 1)
    monkeypatch.setattr(persistent, "KERNELS", planted)
    monkeypatch.setattr(source, "SOURCES", {})
    monkeypatch.setattr(persistent, "_instance", persistent._instance.__wrapped__)
    one = case(3, 2, 1, 64)
    with pytest.raises(sys.modules["strict_device"].DeviceFault, match="order of threads"):
        by_kernel(one, seeds(one))


@pytest.mark.skipif(
    importlib.util.find_spec("cupy_backends") is None, reason="CuPy, which calls NVRTC, is missing"
)
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("size", [112, 128])  # the smallest with weights in shared memory
@pytest.mark.parametrize("role", persistent.KERNELS)
def test_no_weight_leaves_its_register(role, size, rows, architecture):
    """What is spilled would go through memory at each step."""
    nvrtc = importlib.import_module("cupy_backends.cuda.libs.nvrtc")
    name = persistent._instance(role, size, rows).name
    code, options = source.SOURCES[name, "float"]
    program = nvrtc.createProgram(code, f"{name}.cu", (), ())
    nvrtc.compileProgram(program, (f"-arch={architecture}", "--ptxas-options=-v", *options))
    log = nvrtc.getProgramLog(program)
    assert re.findall(r"(\d+) bytes spill (?:stores|loads)", log) == ["0", "0"]
    assert re.findall(r"(\d+) bytes stack frame", log) == ["0"]
    layout = persistent._layout(size, rows)
    held = 4 * (layout.quads - layout.shared)
    [registers] = map(int, re.findall(r"Used (\d+) registers", log))
    assert held < registers <= 255 and registers * layout.threads <= 1 << 16
