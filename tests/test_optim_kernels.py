"""Each optimizer's kernels against its definition, where gradients are not what one hopes for."""

import needs
import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.backends import to_numpy

STEPS = 12
OPTIONS = [
    (optim.SGD, {"lr": 0.1}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    (optim.RMSprop, {"lr": 0.01}),
    (optim.RMSprop, {"lr": 0.01, "eps": 0.0, "momentum": 0.5, "weight_decay": 0.1}),
    (optim.Adam, {"lr": 0.01}),
    (optim.Adam, {"lr": 0.01, "eps": 0.0}),
    (optim.Adam, {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    (optim.Adam, {"lr": 0.01, "amsgrad": True, "betas": (0.0, 0.0)}),
    (optim.AdamW, {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
]
CENTERED = [
    {"lr": 0.01},
    {"lr": 0.01, "alpha": 0.5, "momentum": 0.5, "weight_decay": 0.1},
    {"lr": 0.01, "alpha": 0.0},
    {"lr": 0.01, "alpha": 0.5, "eps": 0.0, "maximize": True},
    {"lr": 0.01, "alpha": 1.0, "eps": 0.1},
]


def schedules(dtype):
    """A gradient for each step, by what it is: the same one, or another at the fifth step."""
    info = np.finfo(dtype)
    steady = [0.0, -0.0, 1.0, -0.3, 7e4, info.max, info.max / 3, -np.sqrt(info.max) / 2]
    steady += [np.sqrt(info.max) * 3, info.tiny, -np.sqrt(info.tiny), info.smallest_subnormal]
    columns = [[g] * STEPS for g in steady]
    for odd in (np.inf, -np.inf, np.nan, 0.0, 0.9, info.max / 9):
        columns += [[0.5] * 4 + [odd] + [0.5] * (STEPS - 5), [odd] + [0.5] * (STEPS - 1)]
        columns += [[odd] * STEPS]
    return np.array(columns, dtype).T  # (steps, gradients)


def history(kind, options, device, dtype, repeats=30):
    """After each step the parameter, then its state: [step][number], each (repeats, gradients)."""
    gradients = schedules(dtype)
    shape = (repeats, gradients.shape[1])  # many of each, so that vectorized loops have a middle
    start = np.random.RandomState(0).uniform(-1, 1, shape).astype(dtype)
    p = nn.Parameter(mg.tensor(start, device=device))
    optimizer = kind([p], **options)
    found = []
    with np.errstate(all="ignore"):
        for g in gradients:
            p.grad = mg.tensor(np.broadcast_to(g, shape).copy(), device=device)
            optimizer.step()
            entry = optimizer.state.get(p, {})
            arrays = [p.data, *[v.data for name, v in entry.items() if name != "step"]]
            found.append([to_numpy(x).copy() for x in arrays])
    return found


def defined(kind):
    class WithoutKernel(kind):
        """A class of one's own with an `update`: no kernel of ours stands for it."""

        def update(self, *args):
            super().update(*args)

    return WithoutKernel


def check_close(kind, options, device, dtype):
    found = history(kind, options, device, dtype)
    expected = history(defined(kind), options, "cpu", dtype)
    largest = [1.0] + [0.0] * len(expected[0][1:])  # parameters start between -1 and 1
    for step, (mine, theirs) in enumerate(zip(found, expected, strict=True), start=1):
        for number, (x, y) in enumerate(zip(mine, theirs, strict=True)):
            for special in (np.isnan, np.isposinf, np.isneginf):
                np.testing.assert_array_equal(special(x), special(y))
            finite = np.isfinite(y)
            # a step is a dozen roundings of numbers not larger than any so far; underflow adds one
            # unit at the bottom for each of them
            largest[number] = np.fmax(largest[number], np.where(finite, np.abs(y), 0))
            within = 12 * step * np.finfo(dtype).eps * largest[number]
            within += 12 * step * np.finfo(dtype).smallest_subnormal
            off = np.abs(np.where(finite, x, 0) - np.where(finite, y, 0))
            assert (off <= within).all(), (step, number, np.argwhere(off > within)[:3])


def check_bits(options, device, dtype):
    """What is left of q - a^2 is rounding: other roundings would leave something else."""
    options = {"centered": True, **options}
    found = history(optim.RMSprop, options, device, dtype)
    expected = history(defined(optim.RMSprop), options, "cpu", dtype)
    for mine, theirs in zip(found, expected, strict=True):
        for x, y in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_a_kernel_gives_what_the_definition_gives_for_any_gradient(kind, options):
    check_close(kind, options, "cpu", np.float32)


@needs.COMPILER
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_a_kernel_of_the_gpu_does_so_too(kind, options, dtype, quick_gpu):
    check_close(kind, options, "gpu", dtype)


@pytest.mark.parametrize("options", CENTERED, ids=str)
def test_the_centered_kernel_gives_the_definitions_bits(options):
    check_bits(options, "cpu", np.float32)


@needs.COMPILER
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", CENTERED, ids=str)
def test_the_centered_kernel_of_the_gpu_does_so_too(options, dtype, quick_gpu):
    check_bits(options, "gpu", dtype)


@pytest.mark.parametrize("kind", [optim.RMSprop, defined(optim.RMSprop)], ids=["kernel", "update"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9])
def test_a_constant_gradient_has_no_variance_and_no_nan(kind, dtype, alpha):
    g = np.random.RandomState(1).uniform(-2, 2, 700).astype(dtype)
    p = nn.Parameter(mg.zeros(700, dtype=dtype))
    optimizer = kind([p], lr=0.01, alpha=alpha, centered=True, eps=1e-3)
    for _ in range(400):  # 0.9^400 is below the rounding of either dtype
        p.grad = mg.tensor(g)
        before = p.data.copy()
        optimizer.step()
        assert np.isfinite(p.data).all()
    # the variance is now rounding: some units in the last place of g^2, or 0
    size = (before - p.data) / (0.01 * g)
    noise = np.sqrt(12 / (1 - alpha) * np.finfo(dtype).eps) * np.abs(g)
    slack = 4 * np.finfo(dtype).eps * np.abs(before / (0.01 * g))  # of the difference of p
    assert (size <= 1e3 + slack).all()
    assert (size >= 1 / (1e-3 + noise) - slack).all()


@needs.COMPILER
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_largest_square_that_is_nan_stays_so(device, quick_gpu):
    p = nn.Parameter(mg.ones(700, device=device))
    optimizer = optim.Adam([p], amsgrad=True)
    p.grad = mg.ones(700, device=device)
    optimizer.step()
    state = optimizer.state_dict()
    state["state"][0]["max_exp_avg_sq"] = mg.full((700,), np.nan)
    optimizer.load_state_dict(state)
    optimizer.step()
    assert np.isnan(to_numpy(optimizer.state[p]["max_exp_avg_sq"].data)).all()
    assert np.isnan(to_numpy(p.data)).all()
