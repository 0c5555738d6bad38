"""Every operation over its samples, against PyTorch; and the checks against wrong operations."""

import sys

import checks
import numpy as np
import pytest
from samples import SAMPLES, Sample, ids

import minigrad as mg
from minigrad.backends import Kernel
from minigrad.ops import activation

torch = pytest.importorskip("torch")

over_samples = pytest.mark.parametrize("sample", SAMPLES, ids=ids)
over_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@over_dtypes
@over_samples
def test_forward_matches_torch(sample, dtype, device):
    checks.check_forward(sample.with_dtype(dtype), device)


@over_dtypes
@over_samples
def test_gradient_matches_torch(sample, dtype, device):
    checks.check_gradient(sample.with_dtype(dtype), device)


@over_samples
def test_second_gradient_matches_torch(sample, device):
    checks.check_second_gradient(sample, device)


# --- the checks themselves: an operation that is wrong by one percent must not pass ----------


SQUASHED = {
    "forward": (lambda x, w: (np.tanh(x) * w, np.tanh(x))),
    "backward": lambda g, needs, y, t, x, w: [
        g * w * (1 - t * t) if needs[0] else None,
        g * t if needs[1] else None,
    ],
}


def test_checks_catch_a_rule_wrong_by_one_percent():
    @mg.primitive(x=lambda g, y: 1.01 * g * (1 - y * y))
    def tanh(x):
        return np.tanh(x)

    [right] = [s for s in SAMPLES if s.function is activation.tanh and s.inputs[0].shape == (3, 4)]
    wrong = Sample(tanh, right.inputs, right.torch)
    checks.check_forward(wrong)
    for check in (
        checks.check_gradient,
        checks.check_second_gradient,
        checks.check_against_differences,
    ):
        check(right)
        with pytest.raises(AssertionError):
            check(wrong)
    for dtype in (np.float32, np.float64):
        with pytest.raises(AssertionError):
            checks.check_gradient(wrong.with_dtype(dtype))


def test_checks_catch_a_second_derivative_wrong_by_one_percent():
    @mg.primitive(x=lambda g, y: g * doubled(1 - y * y))
    def tanh(x):
        return np.tanh(x)

    @mg.primitive(x=lambda g: 1.01 * g)
    def doubled(x):
        return 1.0 * x

    [right] = [s for s in SAMPLES if s.function is activation.tanh and s.inputs[0].shape == (3, 4)]
    wrong = Sample(tanh, right.inputs, right.torch)
    checks.check_gradient(wrong)
    for check in (checks.check_second_gradient, checks.check_second_against_differences):
        with pytest.raises(AssertionError):
            check(wrong)


@pytest.mark.parametrize("part", ["nothing", "no backward", "forward", "backward"])
def test_checks_catch_a_kernel_wrong_by_one_percent(part, monkeypatch):
    parts = dict(SQUASHED)
    if part == "forward":
        parts["forward"] = lambda x, w: (1.01 * np.tanh(x) * w, np.tanh(x))
    if part == "backward":
        right = SQUASHED["backward"]
        parts["backward"] = lambda g, *rest: right(1.01 * g, *rest)
    kernel = Kernel(**parts)
    if part == "no backward":
        kernel = kernel._replace(backward=None)  # the definition is replayed
    find = sys.modules["minigrad.fused"].kernels_of
    monkeypatch.setattr(
        sys.modules["minigrad.fused"],
        "kernels_of",
        lambda operation, kind: [kernel] if operation.name == "squashed" else find(operation, kind),
    )

    @mg.fused
    def squashed(x, w):
        return activation.tanh(x) * w

    inputs = np.linspace(-1, 1, 12).reshape(3, 4), np.linspace(1, 2, 12).reshape(3, 4)
    sample = Sample(squashed, inputs, lambda x, w: torch.tanh(x) * w)
    failed = []
    for check in (checks.check_forward, checks.check_gradient, checks.check_against_differences):
        try:
            check(sample)
        except AssertionError:
            failed.append(check.__name__)
    assert (
        failed
        == {
            "nothing": [],
            "no backward": [],
            "forward": ["check_forward", "check_against_differences"],
            "backward": ["check_gradient", "check_against_differences"],
        }[part]
    )
    if part in ("nothing", "no backward"):
        assert checks.check_kernel(kernel, sample)
        checks.check_second_gradient(sample)  # by replay
        with mg.no_grad():
            assert not squashed(*checks.tensors(inputs)).requires_grad
    else:
        with pytest.raises(AssertionError, match=f"kernel {part}"):
            checks.check_kernel(kernel, sample)
