"""The GPU's kernels: each against its definition and rules, in every dtype, size and memory order.

On a stand-in for CuPy the CUDA C is compiled by the C++ compiler and run thread by thread.
"""

import importlib
import itertools
import pkgutil
from dataclasses import replace

import checks
import needs
import numpy as np
import pytest
from samples import SAMPLES, Sample, operations
from samples.base import integers, normal, positive, unit

import minigrad as mg
from minigrad import nn, optim
from minigrad.backends import Kernel, arrays, to_numpy
from minigrad.backends.cupy import cublas, source
from minigrad.nn.utils import _merged_gradients
from minigrad.ops import activation, linalg, linear, loss, norm, recurrent, reduce


def files_in(package):
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return {info.name for info in found}


# a file that belongs to no family of operations is a part of another
FAMILIES = sorted(files_in("minigrad.backends.cupy") & files_in("minigrad.ops"))
pytestmark = needs.COMPILER


def kernels():
    """The kernels of operations, by family and name."""
    return {
        f"{family}.{name}": value
        for family in FAMILIES
        for name, value in vars(importlib.import_module(f"minigrad.backends.cupy.{family}")).items()
        if isinstance(value, Kernel)
    }


def there(x):
    """NumPy's arrays on the GPU, in the same memory order; the rest as it is."""
    if isinstance(x, tuple | list):
        return type(x)(there(part) for part in x)
    if not isinstance(x, np.ndarray | np.generic):
        return x
    order = "F" if x.flags.f_contiguous and not x.flags.c_contiguous else "C"
    device = importlib.import_module("cupy")
    if x.flags.forc or x.size == 0:
        return device.asarray(np.asarray(x, order=order), order=order)
    wide = device.asarray(np.zeros([2 * n for n in x.shape], x.dtype))
    spread = wide[(Ellipsis, *[slice(None, None, 2)] * x.ndim)]
    spread = spread[tuple(slice(None, None, -1 if s < 0 else 1) for s in x.strides)]
    spread[...] = device.asarray(np.ascontiguousarray(x))
    return spread


def here(y):
    if isinstance(y, tuple | list):
        return type(y)(here(part) for part in y)
    return to_numpy(y) if hasattr(y, "get") else y


def on_gpu(kernel, error=1.0):
    """A kernel of the GPU as one of NumPy's arrays; with an error, each of its results is off."""

    def off(y):
        if isinstance(y, tuple | list):
            return type(y)(off(part) for part in y)
        return y if y is None else (y * error).astype(y.dtype)

    def forward(*inputs, **options):
        result = kernel.forward(*there(inputs), **options)
        if result is NotImplemented or not isinstance(kernel.backward, type(backward)):
            return result if result is NotImplemented else off(here(result))
        return off(here(result[0])), (result[0], result[1])

    def backward(g, needs, y, residuals, *inputs, **options):
        y, own = residuals
        return off(here(kernel.backward(there(g), needs, y, own, *there(inputs), **options)))

    if isinstance(kernel.backward, dict):
        rules = {
            name: lambda *args, rule=rule: off(here(rule(*there(args))))
            for name, rule in kernel.backward.items()
        }
        return Kernel(forward, rules)
    return Kernel(forward, backward if kernel.backward else None)


def sized(function, *inputs, **options):
    name = f"{function.__name__}-{'-'.join(str(np.shape(x)) for x in inputs)}-{options}"
    return Sample(function, inputs, None, options, name=name.replace(" ", ""))


LARGER = [  # than a warp, a block, or what a block adds up; no multiples of them
    *[
        sized(f, x)
        for f in (activation.sigmoid, activation.tanh, activation.relu)
        for x in (normal(37, 9), normal(3, 5, 7))
    ],
    sized(activation.leaky_relu, normal(37, 9), negative_slope=0.2),
    *[
        sized(f, normal(*size), **options)
        for f in (reduce.sum, reduce.mean)
        for size, options in [
            ((9001,), {}),
            ((2, 8200), {"axis": 1}),
            ((1030, 5), {"axis": 0, "keepdims": True}),
            ((33, 70), {"axis": -1}),
            ((300, 40), {"axis": (1,)}),
            ((3, 5, 7), {"axis": (0, 1)}),
            ((3, 5, 7), {"axis": (2,), "keepdims": True}),
            ((3, 5, 7), {}),
        ]
    ],
    *[
        sized(linalg.matmul, normal(*a), normal(*b))
        for a, b in [
            ((33, 17), (17, 5)),
            ((1, 17), (17, 1)),
            ((17,), (17,)),
            ((17,), (17, 5)),
            ((33, 17), (17,)),
            ((2, 3, 7, 5), (5, 4)),
            ((3, 7, 5), (3, 5, 4)),
            ((2, 1, 7, 5), (3, 5, 4)),
            ((5,), (3, 5, 4)),
            ((3, 7, 5), (5,)),
        ]
    ],
    *[
        sized(linear.linear, normal(*size, 11), normal(13, 11), b)
        for size, b in [((70,), normal(13)), ((70,), None), ((2, 35), normal(13))]
    ],
    sized(linear.linear, normal(600, 3), normal(9, 3), normal(9)),
    *[
        sized(norm.batch_norm, normal(*size), weight, bias, eps=0.1)
        for size, weight, bias in [
            ((70, 13), positive(13), normal(13)),
            ((33, 3), None, None),
            ((2, 9), positive(9), None),
        ]
    ],
    sized(loss.binary_cross_entropy, unit(300), unit(300)),
    sized(loss.binary_cross_entropy_with_logits, 5 * normal(300), unit(300)),
    *[
        sized(loss.cross_entropy_of_classes, normal(*size), integers(size[1], size[0]))
        for size in [(37, 10), (5, 300), (1, 2)]
    ],
    *[
        sized(loss.mean_cross_entropy, normal(*size), integers(size[1], size[0]), **options)
        for size, options in [((300, 10), {}), ((37, 10), {"ignore_index": 3}), ((5, 300), {})]
    ],
    sized(  # 3 steps of 9 sequences, 5 numbers each, and 37 cells
        recurrent.lstm,
        *[normal(3, 9, 5), normal(9, 37), normal(9, 37)],
        *[normal(4 * 37, size) / 6 for size in (5, 37)],
        *[normal(4 * 37), normal(4 * 37), None],
    ),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", kernels())
def test_kernel_equals_definition_and_rules(name, dtype, quick_gpu):
    kernel, function = on_gpu(kernels()[name]), operations()[name]
    small = [sample.with_dtype(dtype) for sample in SAMPLES if sample.function is function]
    served = sum(bool(checks.check_kernel(kernel, sample)) for sample in small)
    larger = sum(sample.function is function for sample in LARGER)  # which it serves, see below
    few = f"the kernel {name} serves few of its samples"
    assert served + larger >= (len(small) + larger) / 2, few


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sample", LARGER, ids=lambda sample: sample.name)
def test_kernel_serves_larger_arrays_in_any_order_of_threads(sample, dtype, gpu):
    kernel = on_gpu(kernels_of(sample))
    assert checks.check_kernel(kernel, sample.with_dtype(dtype), in_parts=False)


@pytest.mark.parametrize("order", checks.ORDERS)
@pytest.mark.parametrize("sample", LARGER, ids=lambda sample: sample.name)
def test_memory_order_is_invisible(sample, order, quick_gpu):
    """Also where the first input has it alone, and the gradients come in C order."""
    laid = [checks.layouts(x)[order] if isinstance(x, np.ndarray) else x for x in sample.inputs]
    kernel = on_gpu(kernels_of(sample))
    for inputs in (laid, [laid[0], *sample.inputs[1:]]):
        checks.check_kernel(kernel, replace(sample, inputs=tuple(inputs)), in_parts=False)


def kernels_of(sample):
    operation = sample.function.operation
    return kernels()[f"{operation.family}.{operation.name}"]


LONG = [s for s in LARGER if s.function in (reduce.sum, reduce.mean, linear.linear)]


@pytest.mark.parametrize("sample", LONG, ids=lambda sample: sample.name)
def test_a_grid_has_no_more_parts_than_cuda_allows(sample, gpu, monkeypatch):
    """Were it two, and not 65,535: then each part is larger."""
    monkeypatch.setattr(source, "_MOST_PARTS", 2)
    checks.check_kernel(on_gpu(kernels_of(sample)), sample, in_parts=False)


@pytest.mark.parametrize("n", [1, 2, 511, 512, 513, 512 * 65_535, 512 * 65_535 + 1, 1 << 40])
def test_parts_take_everything(n):
    parts, share = source.parts_for(n, 512)
    assert 1 <= parts <= 65_535 and share >= 512 and (parts - 1) * share < n <= parts * share
    assert share == 512 or n > 512 * 65_535


@pytest.mark.parametrize("name", kernels())
def test_kernel_that_is_one_percent_off_is_caught(name, quick_gpu):
    samples = [s for s in LARGER if s.function is operations()[name]]
    with pytest.raises(AssertionError, match="kernel forward"):
        checks.check_kernel(on_gpu(kernels()[name], error=1.01), samples[0])


def test_text_that_is_one_percent_off_is_caught(gpu, monkeypatch):
    tanh = importlib.import_module("minigrad.backends.cupy.activation")._values["tanh"]
    right = tanh.texts["d"]
    wrong = right.replace("#define FORMULA (tanh(z))", "#define FORMULA (tanh(1.01 * z))")
    assert wrong != right
    monkeypatch.setattr(tanh, "texts", {"d": wrong})
    monkeypatch.setattr(tanh, "_instances", {})
    with pytest.raises(AssertionError, match="kernel forward"):
        checks.check_kernel(on_gpu(kernels()["activation.tanh"]), LARGER[2])


def test_extremes_are_as_in_the_definitions(gpu):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, 100.0, -100.0, 1e-30, -1e30], np.float32)
    for f in (activation.sigmoid, activation.tanh, activation.relu, activation.softplus):
        with np.errstate(all="ignore"):
            expected = f(x)
        np.testing.assert_allclose(here(f(there(x))), expected, rtol=1e-6, atol=1e-37)
    rows = np.stack([x, np.full(8, -np.inf, np.float32), np.arange(8, dtype=np.float32) * 1000])
    for f in (activation.softmax, activation.log_softmax):
        with np.errstate(all="ignore"):
            expected = f(rows)
        np.testing.assert_allclose(here(f(there(rows))), expected, rtol=1e-6)


def test_class_that_does_not_exist_gives_nan_and_reads_nothing(gpu):
    z = mg.tensor(np.zeros((3, 4), np.float32), device="gpu", requires_grad=True)
    for classes in ([0, 4, 1], [0, -1, 1]):
        losses = loss.cross_entropy_of_classes(z, mg.tensor(classes, device="gpu"))
        assert np.isnan(here(losses.data)).tolist() == [False, True, False]
        assert np.isnan(nn.functional.cross_entropy(z, mg.tensor(classes, device="gpu")).item())
    everything = mg.tensor([-100, -100, -100], device="gpu")
    assert np.isnan(nn.functional.cross_entropy(z, everything).item())


# --- products -----------------------------------------------------------------------------------


LAYOUTS = ["C", "F", "strided", "wide", "one row", "one column"]


def matrix(rows, columns, layout, dtype):
    """A random matrix that lies so in memory, on the GPU."""
    values = np.random.RandomState(rows + columns).standard_normal((rows, columns)).astype(dtype)
    if layout == "F":
        return there(values.copy(order="F"))
    if layout == "strided":
        return there(checks.layouts(values)["strided"])
    if layout == "wide":  # rows in a piece, with other memory between them
        whole = there(np.full((rows, columns + 3), np.nan, dtype))
        whole[:, :columns] = there(values)
        return whole[:, :columns]
    return there(values)


RESULTS = [(None, False), *[(out, more) for out in ("C", "F", "wide") for more in (False, True)]]


@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("right", LAYOUTS)
def test_products_of_every_memory_order(left, right, quick_gpu):
    n, k, m = 5, 7, 3
    n, k = (1 if left == "one row" else n), (1 if "one" in right + left[4:] else k)
    m = 1 if right == "one column" else m
    for dtype, (result, accumulate) in itertools.product((np.float32, np.float64), RESULTS):
        a, b = matrix(n, k, left, dtype), matrix(k, m, right, dtype)
        out = None if result is None else matrix(n, m, result, dtype)
        expected = here(a) @ here(b) + (here(out) if accumulate else 0)
        y = cublas.gemm(a, b, out, accumulate)
        assert out is None or y is out
        assert out is not None or y.flags.c_contiguous
        within = checks.tolerance(dtype, here(a), here(b))
        checks.assert_close(here(y), expected, within, f"gemm into {result}, {accumulate}")


def test_product_into_memory_that_no_flag_describes_is_refused(gpu):
    a, out = there(normal(4, 4)), there(checks.layouts(normal(4, 4))["strided"])
    with pytest.raises(ValueError, match="out has strides"):
        cublas.gemm(a, a, out)


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("count", [3, 20])
def test_many_arrays_are_joined_without_a_table_of_addresses(count, axis, gpu):
    """CuPy copies such a table to the GPU for more than eight, which no capture allows."""
    parts = [normal(4, k % 3 + 1) if axis else normal(k % 3 + 1, 4) for k in range(count)]
    for function, operands in (
        (arrays.concatenate, parts),
        (arrays.stack, [normal(2, 3)] * count),
    ):
        y = function([there(x) for x in operands], axis)
        np.testing.assert_array_equal(here(y), function(operands, axis))
    if gpu:
        assert ("concatenate" in gpu.log.launches) == (count <= 8)
    wrong = [there(normal(2, 3))] * 9 + [there(normal(3, 4))]
    for function in (arrays.concatenate, arrays.stack):
        with pytest.raises(ValueError, match=r"must match|same shape"):
            function(wrong, axis)


# --- in place: clipping and statistics; test_optim_kernels.py has the optimizers -----------------


def test_an_optimizers_update_is_one_launch(gpu):
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3)).to("gpu")
    optimizer = optim.Adam(model.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        model(mg.ones(2, 5, device="gpu")).sum().backward()
        if gpu:
            gpu.log.reset()
        optimizer.step()
    assert gpu is None or gpu.log.launches == ["adam"]


@pytest.mark.parametrize("most", [0.1, 1e6])
@pytest.mark.parametrize("flat", [True, False])
def test_clipping_needs_three_launches_and_no_look(flat, most, gpu):
    norms, gradients = {}, {}
    for device in ("cpu", "gpu"):
        mg.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 400), nn.Linear(400, 3)).to(device)
        optimizer = optim.Adam(model.parameters()) if flat else None
        model(mg.ones(2, 5, device=device)).sum().backward()
        if gpu:
            gpu.log.reset()
        total = nn.utils.clip_grad_norm_(model.parameters(), most)
        if gpu and device == "gpu":
            expected = [4, 1, 4] if not flat else [1, 1, 1]
            names = "sums_of_squares", "root_of_sum", "clip_norm"
            assert [gpu.log.launches.count(name) for name in names] == expected
            assert len(gpu.log.launches) == sum(expected)
            assert not gpu.log.syncs + gpu.log.uploads + gpu.log.downloads
        norms[device] = total.item()
        gradients[device] = [here(p.grad.data) for p in model.parameters()]
        del optimizer
    size = sum(g.size for g in gradients["cpu"])
    within = size * np.finfo(np.float32).eps
    np.testing.assert_allclose(norms["gpu"], norms["cpu"], rtol=within)
    for x, like in zip(gradients["gpu"], gradients["cpu"], strict=True):
        np.testing.assert_allclose(x, like, rtol=2 * within, atol=within)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_gradients_merged_gradients_are_one_vector(device, gpu):
    """Where an optimizer has given them their places; others stay as they are."""
    p = [nn.Parameter(mg.ones(n, 2, device=device)) for n in (1, 2, 3, 1, 0, 2)]
    optimizer = optim.SGD(p[:5], lr=0.1)
    for parameter in p:
        (parameter * 2).sum().backward()
    p[2].grad = mg.ones(3, 2, device=device)
    assert [x.size for x in _merged_gradients(p)] == [6, 6, 2, 4]
    assert [x.size for x in _merged_gradients([p[1], p[0], p[3]])] == [4, 2, 2]
    assert [x.size for x in _merged_gradients([p[0], p[1]])] == [6]
    nn.utils.clip_grad_value_(p, 0.5)
    for parameter in p:
        assert (here(parameter.grad.data) == 0.5).all()
    del optimizer
    assert [x.size for x in _merged_gradients(p)] == [2, 4, 6, 2, 4]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_follow_the_batches(momentum, dtype, gpu):
    found = {}
    for device in ("cpu", "gpu"):
        layer = nn.BatchNorm1d(13, momentum=momentum).astype(dtype).to(device)
        for number in range(3):
            x = np.cos(np.arange(70 * 13).reshape(70, 13) * (number + 1)).astype(dtype)
            layer(mg.tensor(x, device=device))
        found[device] = {name: here(x.data) for name, x in layer.state_dict().items()}
    for name, x in found["gpu"].items():
        within = checks.tolerance(dtype, found["cpu"][name], np.ones(70))
        np.testing.assert_allclose(x, found["cpu"][name], rtol=0, atol=within)


# --- what a step costs --------------------------------------------------------------------------


def launches(gpu, function):
    """What a call launches, apart from the seed of a backward pass."""
    gpu.log.reset()
    y = function()
    assert not gpu.log.syncs + gpu.log.uploads + gpu.log.downloads
    return y, [name for name in gpu.log.launches if name != "ones_like"]


def test_layers_and_losses_launch_no_more_than_they_must(gpu):
    if gpu is None:
        pytest.skip("launches are counted by the stand-in")
    layers = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.LeakyReLU(0.2), nn.Linear(4, 1))
    layers.to("gpu")
    optimizer = optim.Adam(layers.parameters())  # gradients are written to its vector
    x = mg.tensor(normal(6, 5).astype(np.float32), device="gpu")
    target = mg.ones(6, 1, device="gpu")
    y, forward = launches(gpu, lambda: layers(x))
    norm_, linear_ = ["batch_norm", "update_statistics"], ["gemm", "linear_bias"]
    assert forward == [*linear_, *norm_, "leaky_relu_forward", *linear_]
    error, mean = launches(gpu, lambda: nn.functional.binary_cross_entropy_with_logits(y, target))
    assert mean == ["binary_cross_entropy_with_logits", "row_sums"]
    _, backward = launches(gpu, error.backward)
    assert backward == [
        *["divide", "binary_cross_entropy_with_logits_back"],
        *["column_sums", "gemm", "gemm", "leaky_relu_back", "batch_norm_back"],
        *["column_sums", "gemm"],
    ]
    del optimizer
    z = mg.tensor(normal(6, 5).astype(np.float32), device="gpu", requires_grad=True)
    classes = mg.tensor(integers(5, 6), device="gpu")
    error, forward = launches(gpu, lambda: nn.functional.cross_entropy(z, classes))
    assert forward == ["cross_entropy_of_classes", "mean_of_counted"]
    assert launches(gpu, lambda: mg.grad(error, z))[1][:1] == ["cross_entropy_of_classes_back"]
