"""Devices and what is missing of them, kernels and how they are found, what an import loads."""

import importlib
import importlib.util
import os
import subprocess
import sys
import types

import numpy as np
import pytest

import minigrad as mg
from minigrad import backends
from minigrad.backends import Kernel
from minigrad.backends.numpy import activation, linalg, linear, loss, recurrent, reduce, shape
from minigrad.backends.numpy import arrays as numpy_arrays
from minigrad.errors import DeviceError
from minigrad.ops import norm

cupy_backend = importlib.import_module("minigrad.backends.cupy")


@pytest.fixture
def fresh(monkeypatch):
    """The check for a GPU, which remembers its answer, as if it had never been asked."""
    cupy_backend._problem.cache_clear()
    yield monkeypatch
    cupy_backend._problem.cache_clear()


class CUDARuntimeError(RuntimeError):
    """As cupy.cuda.runtime's."""


def fake_cupy(count=1, driver=13000, failure=None):
    """A cupy module that finds so many GPUs, or fails to start, or fails at its first product."""

    def get_device_count():
        if isinstance(failure, CUDARuntimeError):
            raise failure
        return count

    def ones(*_, **__):
        raise failure or AssertionError("not reached")

    runtime = types.SimpleNamespace(
        getDeviceCount=get_device_count,
        driverGetVersion=lambda: driver,
        CUDARuntimeError=CUDARuntimeError,
    )
    return types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime), ones=ones)


LACKS = {
    "no driver": (
        fake_cupy(driver=0, failure=CUDARuntimeError("cudaErrorNoDevice")),
        r"no NVIDIA driver was found.*driver >= 580",
    ),
    "old driver": (
        fake_cupy(driver=12040, failure=CUDARuntimeError("cudaErrorInsufficientDriver")),
        r"cudaErrorInsufficientDriver.*supports CUDA 12\.4.*driver >= 580",
    ),
    "no GPU": (fake_cupy(count=0), "lists no GPU.*CUDA_VISIBLE_DEVICES"),
    "no compiler": (
        fake_cupy(failure=RuntimeError("libnvrtc.so not found")),
        r"RuntimeError: libnvrtc\.so not found.*pip install 'cupy-cuda13x\[ctk\]'",
    ),
}
ASKING = [
    lambda: mg.zeros(2, device="gpu"),
    lambda: mg.tensor([1.0], device="gpu"),
    lambda: mg.ones(2).to("gpu"),
    lambda: mg.randn(2, device="gpu"),
    lambda: mg.arange(2, device="gpu"),
]


@pytest.mark.parametrize("lack", LACKS)
def test_gpu_that_does_not_work_gives_one_clear_message(lack, fresh):
    module, message = LACKS[lack]
    fresh.setattr(importlib.util, "find_spec", lambda name, *_: name == "cupy" or None)
    fresh.setitem(sys.modules, "cupy", module)
    for ask in ASKING:
        with pytest.raises(DeviceError, match=f"device 'gpu' cannot be used: .*{message}") as error:
            ask()
        assert str(error.value).endswith("Or use device 'cpu'")
        assert "\n" not in str(error.value)


def test_gpu_without_cupy_gives_the_command_to_install_it(fresh):
    fresh.setattr(importlib.util, "find_spec", lambda *_: None)
    for ask in ASKING:
        with pytest.raises(
            DeviceError, match=r"CuPy is not installed; .*pip install 'cupy-cuda13x\[ctk\]'"
        ):
            ask()


def test_cupy_that_does_not_import_gives_its_reason(fresh):
    fresh.setattr(importlib.util, "find_spec", lambda name, *_: name == "cupy" or None)
    fresh.setitem(sys.modules, "cupy", None)  # import raises ModuleNotFoundError
    with pytest.raises(DeviceError, match=r"CuPy does not import.*pip install"):
        mg.zeros(2, device="gpu")


def test_gpu_here_works_or_says_what_is_missing(fresh):
    try:
        x = mg.ones(2, device="gpu")
    except DeviceError as error:
        assert "device 'gpu' cannot be used" in str(error)
    else:
        assert (x + x).to("cpu").data.tolist() == [2, 2]


def test_unknown_devices_are_refused():
    for ask in (
        lambda: mg.zeros(2, device="cuda"),
        lambda: mg.tensor(1.0, device="cuda"),
        lambda: mg.ones(2).to("cuda"),
    ):
        with pytest.raises(DeviceError, match="unknown device 'cuda': expected 'cpu' or 'gpu'"):
            ask()


def test_arrays_on_the_cpu_stay_where_they_are():
    array = np.ones(2)
    assert backends.to_device(array, "cpu") is array and backends.to_numpy(array) is array
    assert backends.device_of(array) == backends.device_of(np.float32(1)) == "cpu"
    assert backends.array_module("cpu") is np
    x = mg.ones(2)
    assert x.to("cpu") is x


# --- kernels ----------------------------------------------------------------------------------


def with_kernels(monkeypatch, **families):
    """Stand-in kernel modules: family name to the module's names."""
    found = {
        f"minigrad.backends.numpy.{k}": types.SimpleNamespace(**v) for k, v in families.items()
    }

    def import_module(name):
        if name in found:
            return found[name]
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(backends, "_can_compile", lambda: False)
    monkeypatch.setattr(importlib, "import_module", import_module)


def test_kernel_is_found_by_family_and_name(monkeypatch):
    kernel = Kernel(forward=lambda x: x)
    with_kernels(monkeypatch, shape={"flip": kernel, "helper": print})
    assert backends.find_kernels(np.ndarray, "shape", "flip") == [kernel]
    assert backends.find_kernels(np.ndarray, "shape", "helper") == []
    assert backends.find_kernels(np.ndarray, "shape", "absent") == []
    assert backends.find_kernels(np.ndarray, "absent", "flip") == []
    assert backends.find_kernels(float, "shape", "flip") == []


def test_kernel_file_that_fails_to_import_is_not_passed_over(monkeypatch):
    def import_module(name):
        raise ModuleNotFoundError("No module named 'sciipy'", name="sciipy")

    monkeypatch.setattr(backends, "_can_compile", lambda: False)
    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(ModuleNotFoundError, match="sciipy"):
        backends.find_kernels(np.ndarray, "shape", "flip")


def test_compiled_kernels_come_first_where_numba_is_and_is_wanted(monkeypatch):
    backends._can_compile.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "numba" or None)
    monkeypatch.setitem(sys.modules, "numba", types.ModuleType("numba"))
    monkeypatch.delenv("MINIGRAD_FAST", raising=False)
    assert backends._kernel_folders(np.ndarray) == ("numba", "numpy")
    backends._can_compile.cache_clear()
    monkeypatch.setenv("MINIGRAD_FAST", "0")
    assert backends._kernel_folders(np.ndarray) == ("numpy",)
    backends._can_compile.cache_clear()
    array = type("ndarray", (), {"__module__": "cupy"})
    assert backends._kernel_folders(array) == ("cupy",)


def test_numba_that_does_not_import_is_said_once_and_done_without(monkeypatch):
    backends._can_compile.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "numba" or None)
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delenv("MINIGRAD_FAST", raising=False)
    with pytest.warns(UserWarning, match="Numba does not import.*MINIGRAD_FAST=0"):
        assert backends._kernel_folders(np.ndarray) == ("numpy",)
    assert backends._kernel_folders(np.ndarray) == ("numpy",)
    backends._can_compile.cache_clear()


# --- what an import loads ---------------------------------------------------------------------


@pytest.mark.parametrize("fast", ["0", "1"])
def test_importing_minigrad_loads_numpy_and_the_standard_library_only(fast):
    """Numba comes with the first operation, where it is installed and wanted."""
    program = (
        "import sys, numpy.random; before = set(sys.modules); import minigrad as mg;"
        "loaded = lambda: print(*{name.partition('.')[0] for name in set(sys.modules) - before});"
        f"{fast} and loaded();"
        "x = mg.randn(3, 3, requires_grad=True); (mg.tanh(x @ x).sum()).backward();"
        f"{fast} or loaded()"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"MINIGRAD_FAST": fast},
    )
    loaded = set(run.stdout.split()) - set(sys.stdlib_module_names)
    assert "minigrad" in loaded and loaded <= {"minigrad", "numpy"}


# --- what NumPy's kernels take, and what they leave to the definition ---------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
def test_sums_by_a_product_are_taken_of_floats_only(dtype):
    table = np.ones((2, 3), dtype)
    sums = [numpy_arrays.sum_over.forward(table, (axis,)) for axis in (0, 1)]
    norm = numpy_arrays.euclidean_norm.forward([table, table[0]])
    if np.dtype(dtype).kind == "f":
        assert [y.tolist() for y in sums] == [[2, 2, 2], [3, 3]] and norm == 3
    else:
        assert [*sums, norm] == [NotImplemented] * 3


@pytest.mark.parametrize(("height", "width"), [(3, 10), (4, 12), (5, 6), (5, 5)])
def test_a_wide_product_is_computed_in_pieces_no_wider_than_tall(height, width, monkeypatch):
    pieces = []

    def matmul(a, b, out):
        pieces.append(b.shape[1])
        return np.matmul(a, b, out=out)

    monkeypatch.setattr(linalg, "np", types.SimpleNamespace(matmul=matmul, empty=np.empty))
    a, b = np.arange(height * 2.0).reshape(height, 2), np.arange(width * 2.0).reshape(2, width)
    for smallest, widest in ((1, height), (linalg._WORTH_CUTTING, width)):
        monkeypatch.setattr(linalg, "_WORTH_CUTTING", smallest)
        pieces.clear()
        assert (linalg.product_by_rows(a, b) == np.matmul(a, b)).all()  # integers: exact
        assert sum(pieces) == width and max(pieces) <= widest
    assert pieces == [width]  # a small product stays whole


def test_products_are_served_for_two_matrices():
    a, b, g = np.ones((2, 3)), np.ones((3, 4)), np.ones((2, 4))
    forward, rules = linalg.matmul
    assert (forward(a, b) == a @ b).all()
    assert forward(a[0], b) is forward(a, b[:, 0]) is forward(a, a) is NotImplemented
    assert (rules["a"](g, a.shape, b) == g @ b.T).all()
    assert (rules["b"](g, a, b.shape) == a.T @ g).all()
    assert rules["a"](g[0], (3,), b) is rules["b"](g[:, 0], a, (3,)) is NotImplemented


def test_linear_layers_are_served_for_one_dtype():
    x, weight, bias = np.ones((2, 3)), np.ones((4, 3)), np.ones(4)
    for given in ((x, weight, bias), (x, weight, None)):
        assert (linear.linear.forward(*given)[0] == 3 + (given[2] is not None)).all()
    for number in range(3):
        mixed = [a.astype("f4") if i == number else a for i, a in enumerate((x, weight, bias))]
        assert linear.linear.forward(*mixed) is NotImplemented


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_sums_and_means_are_served_where_they_need_no_wider_dtype(dtype):
    x = np.ones(3, dtype)
    found = [reduce.sum.forward(x), reduce.mean.forward(x)]
    is_served = [dtype != np.float16, dtype in (np.float32, np.float64)]
    assert [y is not NotImplemented for y in found] == is_served
    assert reduce.mean.forward(x[:0]) is NotImplemented


@pytest.mark.parametrize("slope", [-0.5, 0.0, 0.2, 1.0, 1.5])
def test_leaky_relu_is_the_larger_of_two_for_slopes_up_to_one(slope):
    x = np.array([-2.0, 0.0, 3.0])
    found = activation.leaky_relu.forward(x, slope)
    assert (found is NotImplemented) == (not 0 < slope <= 1)
    x = mg.tensor(x, requires_grad=True)
    y = mg.nn.functional.leaky_relu(x, slope)
    y.sum().backward()
    assert y.tolist() == [-2 * slope, 0, 3] and x.grad.tolist() == [slope, slope, 1]


@pytest.mark.parametrize("output", range(3))
def test_batch_norm_has_the_gradient_of_each_output_alone(output):
    x = mg.tensor(np.random.RandomState(0).standard_normal((4, 3)), requires_grad=True)
    assert mg.check.gradcheck(lambda x: norm.batch_norm(x, None, None, eps=0.1)[output], x)


def test_split_is_served_along_every_axis():
    x = np.arange(24).reshape(2, 3, 4)
    for axis in range(3):
        first, rest = shape.split.forward(x, [1], axis=axis)
        assert np.concatenate([first, rest], axis).tolist() == x.tolist()
        assert first.shape[axis] == 1
    assert shape.split.forward(x, [1], axis=-1) is shape.split.forward(x, 2) is NotImplemented


def test_the_loss_of_logits_is_served_for_one_shape_and_one_wide_dtype():
    z, target = np.ones((2, 3)), np.zeros((2, 3))
    forward = loss.binary_cross_entropy_with_logits.forward
    assert forward(z, target, None) is not NotImplemented
    half = z.astype(np.float16)
    others = [(z, target[0]), (z[:1], target), (z, target.astype("f4")), (half, half)]
    assert [forward(*pair, None) for pair in others] == [NotImplemented] * 4
    assert forward(z, target, target) is NotImplemented


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_recurrent_networks_are_served_for_floats_of_one_dtype(dtype):
    shapes = [(4, 2, 3), (2, 5), (5, 3), (5, 5), (5,), (5,)]
    given = [np.ones(size, dtype) for size in shapes]
    forward = recurrent.rnn.forward
    served = forward(*given, nonlinearity="tanh", reverse=False) is not NotImplemented
    assert served == (np.dtype(dtype).kind == "f")
    mixed = [given[0].astype(np.float16), *given[1:]]
    assert forward(*mixed, nonlinearity="tanh", reverse=False) is NotImplemented
