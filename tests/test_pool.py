"""Memory on the CPU: freed blocks serve again, and never while anything refers to them."""

import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.backends.numpy.memory import KEPT, keep_freed_memory

ROOT = Path(__file__).parent.parent
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")

REFERENCES = {
    "a Tensor": lambda y: y,
    "a record": lambda y: (y * y).sum(),
    ".data": lambda y: y.data,
    ".numpy()": lambda y: y.detach().numpy(),
    "a slice": lambda y: y[3:5],
    "a slice of .data": lambda y: y.data[::7],
    "a transpose": lambda y: y.T,
    "detach": lambda y: y.detach(),
}


def values_of(kept, w):
    """The bytes that a reference shows; those of a record by going back through it."""
    if isinstance(kept, mg.Tensor) and kept.shape == ():
        return mg.grad(kept, w, retain_graph=True)[0].numpy().tobytes()
    return np.asarray(kept if isinstance(kept, np.ndarray) else kept.detach().numpy()).tobytes()


def test_no_reference_sees_its_memory_used_again():
    w = mg.randn(300, 400, requires_grad=True)  # large enough for the pool
    kept = {
        (kind, i): refer(mg.tanh(w * float(i)))
        for kind, refer in REFERENCES.items()
        for i in range(3)
    }
    before = {name: values_of(k, w) for name, k in kept.items()}
    for step in range(100):
        loss = (mg.exp(mg.tanh(w * 0.01 * step)) @ w.T).mean()
        loss.backward()
        w.grad = None
    assert [name for name, k in kept.items() if values_of(k, w) != before[name]] == []


def test_threads_do_not_see_each_others_memory():
    wrong = []

    def work(number):
        x = mg.full((200, 300), float(number))
        for _ in range(100):
            y = x + 1.0
            if not (y.numpy() == number + 1).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


FAULTS = """
import resource
import minigrad as mg
from minigrad import nn
layer, x = nn.LSTM(1, 128), mg.randn(20, 128, 1)
def step():
    layer(x)[0].sum().backward()
    layer.zero_grad()
for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 10)
"""

SIZE = """
import minigrad as mg
def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * 4096
x = mg.ones(10) + 1.0
before = resident()
kept = [mg.ones(1000, 1000) + float(i) for i in range(250)]
assert resident() - before > 900e6
del kept
print(resident() - before)
"""


def run(program, **environment):
    command = [sys.executable, "-c", program]
    settings = os.environ | {"OPENBLAS_NUM_THREADS": "1"} | environment
    done = subprocess.run(
        command, env=settings, capture_output=True, text=True, timeout=600, check=True, cwd=ROOT
    )
    return float(done.stdout)


@glibc
def test_a_step_faults_no_pages_and_the_pool_can_be_switched_off():
    assert run(FAULTS) < 50
    # without Numba, whose own large blocks make glibc raise its thresholds
    assert run(FAULTS, MINIGRAD_POOL="0", MINIGRAD_FAST="0") > 500


@glibc
def test_what_is_kept_is_bounded():
    assert run(SIZE) < KEPT + 50e6


GROWTH = """
import resource
import minigrad as mg
from minigrad import nn, optim
from models.gan import Discriminator
from models.lstm_layer import LayerLSTM
from train import gan, lstm

mg.manual_seed(0)
model = LayerLSTM(1, 8, 10)
optimizer = optim.RMSprop(model.parameters(), lr=1e-3)
x, labels = mg.rand(4, 5, 1), mg.tensor([1, 2, 3, 4])
generator, discriminator = (
    nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.LeakyReLU(), nn.Linear(8, 6), nn.Tanh()),
    Discriminator(),
)
discriminator.layers = nn.Sequential(
    nn.Linear(6, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1), nn.Sigmoid()
)
optimizers = [optim.Adam(net.parameters(), 1e-4) for net in (generator, discriminator)]
game = gan.Game(generator, discriminator, *optimizers)
real, latent = mg.rand(4, 6), mg.randn(4, 3)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


for number in range(3_001):
    lstm.step(model, optimizer, x, labels, 10.0)
    gan.step(game, real, latent, r1=0.1)
    if number == 2_000:  # by then CPython's free lists, of at most 2,000 tuples a size, are full
        before = resident()
print(resident() - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="the resident size is read from /proc, which only Linux has"
)
@pytest.mark.parametrize("fast", ["0", "1"])
def test_memory_does_not_grow_over_1_000_steps(fast):
    """Not by 100 bytes a step; after two thousand the size stays as it is, to the page."""
    assert run(GROWTH, MINIGRAD_FAST=fast) < 100 * 1_000


def test_the_environments_own_settings_are_left_alone(monkeypatch):
    for name in ("MALLOC_TRIM_THRESHOLD_", "MINIGRAD_POOL"):
        keep_freed_memory.cache_clear()
        with monkeypatch.context() as patch:
            patch.setenv(name, "0")
            assert not keep_freed_memory()
    keep_freed_memory.cache_clear()


def test_the_first_operation_sets_it_up_and_importing_does_not():
    program = """
import minigrad as mg, sys
name = "minigrad.backends.numpy.memory"
assert name not in sys.modules
mg.ones(2) + 1.0
assert sys.modules[name].keep_freed_memory.cache_info().currsize == 1
print(0)
"""
    assert run(program) == 0


def test_the_lstm_in_the_pool_gives_the_same_numbers_over_100_steps():
    layer, x = nn.LSTM(3, 64), mg.randn(20, 32, 3)
    first = layer(x)[0].data.copy()
    for _ in range(100):
        layer(x)[0].sum().backward()
    assert np.array_equal(layer(x)[0].data, first)
