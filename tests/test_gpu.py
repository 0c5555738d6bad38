"""Every operation over its samples, as Python calls it and recorded, on a GPU or a stand-in for it.

What a real GPU computes when it is called is compared with PyTorch, in both dtypes, by
test_ops_torch.py; here it is for the stand-in, which refuses what CuPy does.
"""

import importlib
import importlib.util
import re
from dataclasses import replace

import checks
import numpy as np
import pytest
from samples import SAMPLES, ids, is_float

import minigrad as mg
from minigrad.backends import to_device, to_numpy
from minigrad.errors import DeviceError
from minigrad.tensor import wrap

PROBLEM = importlib.import_module("minigrad.backends.cupy")._problem()


@pytest.mark.gpu
@pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))
def test_operations_ran_on_a_real_gpu():
    assert mg.zeros(1, device="gpu").device == "gpu"


@pytest.mark.usefixtures("gpu")
def test_arrays_of_numpy_may_not_meet_those_of_the_gpu():
    there = mg.ones(2, device="gpu").data
    for mix in (lambda: there + np.ones(2), lambda: np.concatenate([there, np.ones(2)])):
        with pytest.raises(TypeError):
            mix()


class Mover:
    """Moves arrays to a device; `again` lets the next run have the same ones there."""

    def __init__(self, device):
        self.device, self.moved, self.given = device, [], None

    def again(self):
        self.given = iter(self.moved)

    def __call__(self, x):
        if not isinstance(x, np.ndarray):
            return x
        if self.given is not None:
            return next(self.given)
        self.moved.append(to_device(x, self.device))
        return self.moved[-1]


def outcome(sample, move):
    """Outputs, gradients and second gradients."""

    def seeds(like):
        return [move(s) for s in checks.seeds_for(like)]

    args = [
        wrap(move(x)).requires_grad_(is_float(x)) if isinstance(x, np.ndarray) else x
        for x in sample.inputs
    ]
    options = {name: move(value) for name, value in sample.options.items()}
    outputs = checks.listed(replace(sample, options=options)(*args))
    assert all(y.device == move.device for y in outputs)
    found = [y.data for y in outputs]
    rooted = [y for y in outputs if y.requires_grad]
    if rooted:
        leaves = [x for x in args if isinstance(x, mg.Tensor) and x.requires_grad]
        first = [wrap(s) for s in seeds(rooted)]
        found += [
            g.data for g in mg.grad(rooted, leaves, first, retain_graph=True) if g is not None
        ]
        for seed in first:
            seed.requires_grad_()
        slopes = mg.grad(rooted, leaves, first, create_graph=True)
        slopes = [g for g in slopes if checks.connected(g)]
        second = mg.grad(slopes, [*leaves, *first], [wrap(s) for s in seeds(slopes)])
        found += [g.data for g in second if g is not None]
    return found


def assert_same(actual, expected, sample):
    expected = [to_numpy(x) for x in expected]
    within = checks.tolerance(np.float64, *expected, *filter(is_float, sample.inputs))
    assert len(actual) == len(expected)
    for x, like in zip(actual, expected, strict=True):
        assert x.dtype == like.dtype
        checks.assert_close(to_numpy(x), like, within, "gpu")


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("sample", SAMPLES, ids=ids)
def test_gpu_gives_what_the_cpu_gives(sample):
    assert_same(outcome(sample, Mover("gpu")), outcome(sample, Mover("cpu")), sample)


# indices that come from the host, results whose shape depends on values, and CuPy's own einsum
NOT_RECORDED = re.compile(r"getitem-(mask|pairs|grid|column|apart)|scatter-mask|contract|einsum")
REASONS = r"cudaErrorStreamCapture|transfers are disallowed|calling cuBLAS API"


def recorded(sample, stream):
    """The outcome of a sample that is recorded on a stream, and then done."""
    move = Mover("gpu")
    outcome(sample, move)
    move.again()
    stream.begin_capture()
    try:
        found = outcome(sample, move)
    finally:
        graph = stream.end_capture()
    graph.launch()
    return found


@pytest.mark.skipif(
    importlib.util.find_spec("minigrad.backends.cupy.cublas") is None,
    reason="the backend has no products of its own",
)
@pytest.mark.parametrize(("sample", "name"), list(zip(SAMPLES, ids, strict=True)), ids=ids)
def test_recorded_operation_gives_what_the_cpu_gives(sample, name, quick_gpu, request):
    cuda = importlib.import_module("cupy").cuda
    pool = cuda.MemoryPool()
    request.addfinalizer(pool.free_all_blocks)  # a dropped pool leaks them
    with cuda.Stream(non_blocking=True) as stream, cuda.using_allocator(pool.malloc):
        if not NOT_RECORDED.match(name):
            assert_same(recorded(sample, stream), outcome(sample, Mover("cpu")), sample)
        elif quick_gpu is not None:  # a real one may know a way for some of them
            with pytest.raises((NotImplementedError, RuntimeError), match=REASONS):
                recorded(sample, stream)


@pytest.mark.usefixtures("gpu")
def test_gradients_flow_between_devices():
    x = mg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    there = (x * x).to("gpu")
    assert there.device == "gpu"
    (there * there).to("cpu").sum().backward()
    np.testing.assert_allclose(x.grad.data, 4 * x.data**3)
    [slope] = mg.grad(((x * x).to("gpu") * 3).sum(), x, create_graph=True)
    [curvature] = mg.grad(slope.sum(), x)
    np.testing.assert_allclose(curvature.data, [6, 6])


@pytest.mark.usefixtures("gpu")
def test_mixed_devices_are_refused_with_the_remedy():
    here, there = mg.ones(2), mg.ones(2, device="gpu")
    for mix in (lambda: here + there, lambda: mg.concatenate([here, there])):
        with pytest.raises(DeviceError, match=r"(add|concatenate): .*cpu, gpu.*\.to\(device\)"):
            mix()
    with pytest.raises(TypeError, match=r"\.to\('cpu'\)"):
        np.asarray(there)
    assert there.numpy().tolist() == [1, 1]
    assert "device='gpu'" in repr(there)


def numbers_and_nothing(device):
    """What comes of arrays of shape () and of none, which CuPy's `*_like` functions overlook."""
    mg.manual_seed(0)
    parameters = [mg.nn.Parameter(mg.tensor(x, device=device)) for x in (3.0, [1.0, 2.0], [])]
    optimizer = mg.optim.Adam(parameters, lr=0.5)
    backup = parameters[0].data
    parameters[0].data = parameters[0].data + 1  # has an array of its own from now on
    for _ in range(3):
        loss = (
            sum((p * p).sum() for p in parameters) + parameters[0][()] + parameters[0][None].sum()
        )
        optimizer.zero_grad()
        loss.backward()
        length = mg.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    alone = mg.nn.Parameter(mg.tensor([], device=device))
    alone.grad = mg.zeros_like(alone)
    nothing = mg.optim.SGD([alone], lr=1.0)
    nothing.step()
    found = [*parameters, length, mg.nn.utils.clip_grad_norm_(alone, 1.0), loss]
    found += [p.grad for p in parameters] + [mg.tensor(backup), mg.logsumexp(parameters[1])]
    return [x.detach().numpy() for x in found]


@pytest.mark.usefixtures("gpu")
def test_numbers_and_nothing_keep_their_shape_on_the_gpu():
    for there, here in zip(numbers_and_nothing("gpu"), numbers_and_nothing("cpu"), strict=True):
        assert there.shape == here.shape and there.dtype == here.dtype
        # three steps of sums of three terms
        np.testing.assert_allclose(there, here, rtol=32 * np.finfo(np.float32).eps)


@pytest.mark.usefixtures("gpu")
def test_a_captured_step_may_return_empty_arrays_and_numbers(replays):
    call = mg.capture(lambda x: (x[:0], x[1:1] * 2, x.sum(), x), "gpu")
    for number in range(5):
        found = call(mg.ones(3) * number)
        assert [y.shape for y in found] == [(0,), (0,), (), (3,)] and found[2].item() == 3 * number
    nothing = mg.capture(lambda x: (x[:0], x[1:1]), "gpu")
    for _ in range(5):
        assert [y.shape for y in nothing(mg.ones(3))] == [(0,), (0,)]
    assert len(replays) == 6
