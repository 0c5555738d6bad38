"""Steps of each trainer's own step function: 50 against PyTorch, 200 on the GPU against the CPU.

Tolerances in float64: losses to 1e-11 of their value, weights to 1e-9 of their tensor's largest
entry (elementwise would fail correct code: biases before BatchNorm get pure round-off). In float32
round-off is 2^29 times larger and training amplifies it, so only the first steps are comparable.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trajectories import ON_EACH_DEVICE, PROGRAMS, STEPS, Trajectory, digest

REFERENCE = Path(__file__).parent / "reference" / "trajectories.npz"
ON_A_GPU, ON_THE_STAND_IN, WARM_UP = 200, 3, 2  # steps; those before a step is recorded
COMPARABLE, LONGEST_SUM = 5, 1024  # steps in float32, and the terms of a sum in a step
# after ON_A_GPU steps in float64, of losses and of weights: see the test
SPREAD = {"lstm": (1e-11, 1e-9), "layer": (1e-11, 1e-9), "gan": (3e-8, 2e-7)}


@pytest.fixture(scope="module")
def ours() -> dict[str, Trajectory]:
    return {task: in_minigrad(np.float64) for task, (in_minigrad, _) in PROGRAMS.items()}


def assert_close_to_largest(
    actual: np.ndarray, expected: np.ndarray, name: str, within: float = 1e-9
) -> None:
    scale = np.abs(expected).max()
    assert actual.shape == expected.shape, name
    assert np.abs(actual - expected).max() <= within * scale, name


@pytest.mark.parametrize("task", PROGRAMS)
def test_trajectory_equals_the_same_program_in_torch(
    task: str, ours: dict[str, Trajectory]
) -> None:
    pytest.importorskip("torch")
    expected = PROGRAMS[task][1](np.float64)
    np.testing.assert_allclose(ours[task].losses, expected.losses, rtol=1e-11)
    assert ours[task].weights.keys() == expected.weights.keys()
    for name, weights in expected.weights.items():
        assert_close_to_largest(ours[task].weights[name], weights, name)


@pytest.mark.parametrize("task", PROGRAMS)
def test_trajectory_equals_the_committed_values(task: str, ours: dict[str, Trajectory]) -> None:
    reference = np.load(REFERENCE)
    np.testing.assert_allclose(ours[task].losses, reference[f"{task}/losses"], rtol=1e-11)
    for name, numbers in digest(ours[task].weights).items():
        expected = reference[f"{task}/weights/{name}"]
        assert np.abs(numbers - expected).max() <= 1e-9 * expected[0], name


@pytest.mark.parametrize("task", PROGRAMS)
def test_trajectory_in_float32_starts_as_in_torch_and_stays_float32(task: str) -> None:
    pytest.importorskip("torch")
    actual, expected = (program(np.float32) for program in PROGRAMS[task])
    assert_same_start(actual, expected)


def assert_same_start(actual: Trajectory, expected: Trajectory) -> None:
    """The first steps in float32: an error per step that grows as a sum's on average does."""
    rtol = COMPARABLE * np.sqrt(LONGEST_SUM) * np.finfo(np.float32).eps
    np.testing.assert_allclose(actual.losses[:COMPARABLE], expected.losses[:COMPARABLE], rtol=rtol)
    assert all(w.dtype == np.float32 for w in actual.weights.values() if w.dtype.kind == "f")


@pytest.mark.parametrize("task", ON_EACH_DEVICE)
def test_captured_trajectory_on_the_gpu_is_that_of_the_cpu(
    task: str, quick_gpu: Any, replays: list[int]
) -> None:
    """In float64, as close as two correct programs can be expected to stay.

    On the CPU alone, weights that begin off by one rounding, or batches whose rows are reversed,
    move the losses of 50 steps by at most 2e-15, and those of an LSTM's 200 steps too (its weights
    by 3e-14 of the largest): the tolerances against PyTorch hold. A GAN amplifies what it is given,
    to 3e-10 and 2e-9 after 200 steps; a GPU, which rounds otherwise at each, is allowed 100 times
    that.
    """
    steps = ON_A_GPU if quick_gpu is None else ON_THE_STAND_IN
    actual, expected = (ON_EACH_DEVICE[task](np.float64, where, steps) for where in ("gpu", "cpu"))
    assert len(replays) == steps - WARM_UP, "not captured"
    for_losses, for_weights = SPREAD[task]
    np.testing.assert_allclose(actual.losses[:STEPS], expected.losses[:STEPS], rtol=1e-11)
    np.testing.assert_allclose(actual.losses, expected.losses, rtol=for_losses)
    assert actual.weights.keys() == expected.weights.keys()
    for name, weights in expected.weights.items():
        assert_close_to_largest(actual.weights[name], weights, name, for_weights)


@pytest.mark.parametrize("task", ON_EACH_DEVICE)
def test_trajectory_in_float32_starts_on_the_gpu_as_on_the_cpu(
    task: str, quick_gpu: Any, replays: list[int]
) -> None:
    steps = COMPARABLE if quick_gpu is None else ON_THE_STAND_IN
    actual, expected = (ON_EACH_DEVICE[task](np.float32, where, steps) for where in ("gpu", "cpu"))
    assert len(replays) == steps - WARM_UP, "not captured"
    assert_same_start(actual, expected)
