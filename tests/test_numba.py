"""Numba's kernels in use: large arrays of every memory order, extreme values, every option."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import checks
import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.backends.numba import activation, compiled, norm
from minigrad.tensor import wrap

RANDOM = np.random.RandomState(0)
WIDE = RANDOM.standard_normal((48, 32))
ORDERS = ["C", *checks.ORDERS]


def batch_norm():
    """One whose scales and shifts do something."""
    module = nn.BatchNorm1d(32)
    module.weight.data[...] = RANDOM.uniform(0.5, 2, 32)
    module.bias.data[...] = RANDOM.standard_normal(32)
    return module


FUNCTIONS = {
    "sigmoid": mg.sigmoid,
    "tanh": mg.tanh,
    "leaky_relu": lambda x: nn.functional.leaky_relu(x, 0.2),
    "batch_norm": batch_norm(),
    "batch_norm and leaky_relu": nn.Sequential(batch_norm(), nn.LeakyReLU(0.2)),
}


def laid_out(order, values):
    return values if order == "C" else checks.layouts(values)[order]


@pytest.mark.parametrize("of_gradient", ORDERS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_memory_order_gives_the_definitions_numbers(name, order, of_gradient):
    """In float64 no kernel of Numba's serves, so that is what float32 is compared with."""
    results = []
    for dtype in (np.float32, np.float64):
        x = wrap(laid_out(order, WIDE.astype(dtype))).requires_grad_()
        seed = wrap(laid_out(of_gradient, np.cos(3 * WIDE).astype(dtype)))
        module = FUNCTIONS[name]
        function = module.astype(dtype) if isinstance(module, nn.Module) else module
        y = function(x)
        [g] = mg.grad(y, x, seed)
        results.append((y.data, g.data))
    for found, expected in zip(*results, strict=True):
        assert found.dtype == np.float32
        within = checks.tolerance(np.float32, expected, WIDE, np.ones(len(WIDE)))
        checks.assert_close(found, expected, within, name)


def test_batch_norm_measures_what_the_definition_measures():
    results = []
    for dtype in (np.float32, np.float64):
        module = nn.BatchNorm1d(32).astype(dtype)
        module(wrap(WIDE.astype(dtype)))
        results.append((module.running_mean.data, module.running_var.data))
    for found, expected in zip(*results, strict=True):
        within = checks.tolerance(np.float32, expected, WIDE, np.ones(len(WIDE)))
        checks.assert_close(found, expected, within, "running statistics")


def test_an_lstm_gives_the_definitions_numbers():
    steps, n, width, size = 7, 16, 3, 32
    values = [RANDOM.standard_normal((steps, n, width)), *RANDOM.uniform(-1, 1, (2, 1, n, size))]
    seeds = [np.cos(np.arange(k)) for k in (steps * n * size, n * size, n * size)]
    model = nn.LSTM(width, size)
    results = []
    for dtype in (np.float32, np.float64):
        x, h, c = (mg.tensor(value.astype(dtype), requires_grad=True) for value in values)
        y, states = model.astype(dtype)(x, (h, c))
        outputs = [y, *states]
        seeded = [
            (a * seed.reshape(a.shape).astype(dtype)).sum()
            for a, seed in zip(outputs, seeds, strict=True)
        ]
        gradients = mg.grad(sum(seeded), [x, h, c, *model.parameters()])
        results.append([a.data for a in (*outputs, *gradients)])
    terms = np.ones(steps * (size + width + 1))  # one sum for each step, each of the one before
    for found, expected in zip(*results, strict=True):
        assert found.dtype == np.float32
        checks.assert_close(
            found, expected, checks.tolerance(np.float32, expected.max(), terms), ""
        )


def test_functions_of_float32_are_accurate_everywhere():
    x = np.concatenate([np.linspace(-88.3, 88.3, 400_001), np.geomspace(1e-30, 1, 999)]).astype(
        "f4"
    )
    exact = {
        activation._sigmoid: 1 / (1 + np.exp(-x.astype("f8"))),
        activation._tanh: np.tanh(x.astype("f8")),
    }
    for function, expected in exact.items():
        y = np.empty_like(x)
        function(x, y)
        error = np.abs(y - expected) / np.spacing(np.abs(expected).astype("f4"))
        assert error.max() < 6  # units in the last place


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "leaky_relu"])
def test_extremes_are_as_in_numpy(name):
    values = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-38, 3e38, -3e38, 88.7, -88.7, 1.0]
    x = np.tile(np.array(values, np.float32), 50)  # long enough to be served
    with np.errstate(over="ignore"):
        small = FUNCTIONS[name](wrap(x[: len(values)])).data
        large = FUNCTIONS[name](wrap(x)).data.reshape(50, -1)
    assert len(values) < compiled.SMALL <= x.size
    for row in large:
        np.testing.assert_allclose(row, small, rtol=1e-6, atol=1e-37)


# --- what the kernels take, and what they leave to NumPy's ----------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [compiled.SMALL - 1, compiled.SMALL])
def test_activations_are_served_for_large_arrays_of_float32(size, dtype):
    x = np.linspace(-1, 1, size).astype(dtype)
    sigmoid, tanh, leaky_relu = activation.sigmoid, activation.tanh, activation.leaky_relu
    found = [sigmoid.forward(x), tanh.forward(x), leaky_relu.forward(x, 0.2)]
    found += [sigmoid.backward["x"](x, x), tanh.backward["x"](x, x)]
    is_served = dtype == np.float32 and size == compiled.SMALL
    assert [y is not NotImplemented for y in found] == [is_served] * 5


def test_batch_norm_is_served_for_a_matrix_and_its_usual_gradient(monkeypatch):
    x = WIDE.astype(np.float32)
    y, residuals = norm.batch_norm.forward(x, None, None, 0.1)
    assert norm.batch_norm.forward(x.ravel(), None, None, 0.1) is NotImplemented
    assert norm.batch_norm.forward(x[None], None, None, 0.1) is NotImplemented
    by_numpy = []
    plain = norm.plain.batch_norm._replace(backward=lambda *args: by_numpy.append(args))
    monkeypatch.setattr(norm.plain, "batch_norm", plain)
    g, of_channels = np.ones_like(x), np.ones(32, np.float32)
    for number, given in enumerate([(g, None, None), (g, of_channels, None), (g, None, g)]):
        norm.batch_norm.backward(given, [True] * 3, y, residuals, x, None, None, 0.1)
        assert len(by_numpy) == number


def test_arrays_in_one_order_are_vectors_whatever_the_stride_of_an_axis_of_one():
    c = np.zeros((2, 20, 30))[::2]
    assert c.shape[0] == 1 and compiled.as_vectors(c, np.zeros((1, 20, 30))) is not None
    assert compiled.as_vectors(c.T, np.zeros((30, 20, 1), order="F")) is not None
    assert compiled.as_vectors(c, np.zeros((1, 20, 30), order="F")) is None


PROGRAM = """
import sys, numpy as np, minigrad as mg
from minigrad import nn, optim
mg.manual_seed(0)
model, x = nn.LSTM(3, 32), mg.randn(7, 16, 3)
optimizer = optim.Adam(model.parameters())
for _ in range(5):
    optimizer.zero_grad()
    (model(x)[0] ** 2).mean().backward()
    optimizer.step()
print("numba" in sys.modules, *model.weight_hh_l0.data[0, :4])
"""


def test_the_switch_and_the_same_result_without():
    results = []
    for fast in ("1", "0"):
        environment = os.environ | {"MINIGRAD_FAST": fast}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        used, *numbers = done.stdout.split()
        assert used == str(fast == "1")
        results.append(np.array(numbers, float))
    np.testing.assert_allclose(*results, atol=1e-5)


# --- the cache of compiled code -------------------------------------------------------------------

ONE = """
import numpy as np, minigrad as mg
print(mg.sigmoid(mg.tensor(np.linspace(-3, 3, 1000, dtype=np.float32))).numpy()[500:502])
"""
DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "half zeros": lambda content: content[: len(content) // 2] + bytes(-(-len(content) // 2)),
    "a bit": lambda content: (
        content[: len(content) // 2]
        + bytes([content[len(content) // 2] ^ 1])
        + content[len(content) // 2 + 1 :]
    ),
}


def computed(program, cwd=None, **environment):
    """What a program prints, and what it says on standard error."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env=os.environ | {"MINIGRAD_FAST": "1"} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory):
    """A whole cache, and what the program prints with it."""
    folder = tmp_path_factory.mktemp("numba")
    return folder, computed(ONE, NUMBA_CACHE_DIR=str(folder))[0]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_written_anew_with_one_warning(tmp_path, damage, compiled_once):
    folder, good = compiled_once
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".nbi", ".nbc"}
    for path in files:
        if path.suffix == ".nbc" or damage == "empty":
            path.write_bytes(DAMAGE[damage](path.read_bytes()))
    found, said = computed(ONE, NUMBA_CACHE_DIR=str(tmp_path))
    assert found == good
    assert said.count("RuntimeWarning") == 1
    assert f"minigrad: compiled kernels in {tmp_path}" in said
    assert "are damaged" in said and "delete the .nbi and .nbc files" in said
    assert computed(ONE, NUMBA_CACHE_DIR=str(tmp_path)) == (good, "")


def test_without_a_folder_for_the_cache_kernels_are_compiled_with_one_warning(
    tmp_path, compiled_once
):
    package = tmp_path / "minigrad"
    shutil.copytree(
        Path(mg.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "digits")
    )
    (package / "backends" / "numba" / "__pycache__").touch()  # a file, so no folder can be there
    found, said = computed(
        ONE,
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path),
        PYTHONDONTWRITEBYTECODE="1",
        NUMBA_CACHE_DIR="/dev/null/cache",
        XDG_CACHE_HOME="/dev/null/cache",
        HOME="/dev/null",
    )
    assert found == compiled_once[1]
    assert said.count("RuntimeWarning") == 1
    assert "cannot be kept" in said and "set NUMBA_CACHE_DIR to a folder" in said


def test_a_cache_that_cannot_be_written_is_done_without_with_one_warning(tmp_path, compiled_once):
    lost = f"""
import shutil
from pathlib import Path
import minigrad.backends.numba.activation
[folder] = Path({str(tmp_path)!r}).iterdir()
shutil.rmtree(folder)
folder.touch()
"""
    found, said = computed(lost + ONE, NUMBA_CACHE_DIR=str(tmp_path))
    assert found == compiled_once[1]
    assert said.count("RuntimeWarning") == 1
    assert "cannot be kept" in said and "set NUMBA_CACHE_DIR to a folder" in said
