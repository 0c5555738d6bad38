"""Every operation over its samples, against PyTorch; and the checks against wrong operations."""

import sys

import checks
import numpy as np
import pytest
from samples import SAMPLES, Sample, ids
from torch_checks import check_operation, torch

import minigrad as mg
from minigrad.backends import Kernel
from minigrad.ops import activation

over_samples = pytest.mark.parametrize("sample", SAMPLES, ids=ids)
over_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@over_dtypes
@over_samples
def test_operation_matches_torch(sample, dtype, device):
    check_operation(sample.with_dtype(dtype), device)


@over_samples
def test_second_gradient_matches_torch(sample, device):
    check_operation(sample, device, second=True)


# --- the checks themselves: an operation that is wrong by one percent must not pass ----------


SQUASHED = {
    "forward": (lambda x, w: (np.tanh(x) * w, np.tanh(x))),
    "backward": lambda g, needs, y, t, x, w: [
        g * w * (1 - t * t) if needs[0] else None,
        g * t if needs[1] else None,
    ],
}


def wrong(rule):
    """The sample of tanh with another rule."""
    [right] = [s for s in SAMPLES if s.function is activation.tanh and s.inputs[0].shape == (3, 4)]
    definition = mg.primitive(x=rule)(lambda x: np.tanh(x))
    return Sample(definition, right.inputs, right.torch)


def failure(check, *args, **options):
    """The first word of what a check says, or nothing where it passes."""
    try:
        check(*args, **options)
    except AssertionError as error:
        return str(error)
    return ""


def test_checks_catch_a_rule_wrong_by_one_percent():
    sample = wrong(lambda g, y: 1.01 * g * (1 - y * y))
    for dtype in (np.float32, np.float64):
        assert "\ngradient\n" in failure(check_operation, sample.with_dtype(dtype))
    assert "finite difference" in failure(checks.check_against_differences, sample)


def test_checks_catch_a_second_derivative_wrong_by_one_percent():
    doubled = mg.primitive(x=lambda g: 1.01 * g)(lambda x: 1.0 * x)
    sample = wrong(lambda g, y: g * doubled(1 - y * y))
    assert not failure(check_operation, sample)
    assert "\nsecond gradient\n" in failure(check_operation, sample, second=True)
    assert "second difference" in failure(checks.check_second_against_differences, sample)


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
    against_torch = failure(check_operation, sample)
    against_differences = failure(checks.check_against_differences, sample)
    if part in ("nothing", "no backward"):
        assert not against_torch and not against_differences
        assert checks.check_kernel(kernel, sample)
        check_operation(sample, second=True)  # by replay
        with mg.no_grad():
            assert not squashed(*checks.tensors(inputs)).requires_grad
    else:
        assert f"\n{'forward' if part == 'forward' else 'gradient'}\n" in against_torch
        assert "finite difference" in against_differences
        with pytest.raises(AssertionError, match=f"kernel {part}"):
            checks.check_kernel(kernel, sample)
