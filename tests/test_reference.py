"""Operations, layers and optimizers against committed values of PyTorch, which need not be here."""

import json
from dataclasses import replace
from pathlib import Path

import checks
import numpy as np
import pytest
from samples import SAMPLES, is_float

from minigrad import nn, optim
from minigrad.tensor import wrap

FILE = Path(__file__).parent / "reference" / "reference.npz"


def loaded():
    """The tree of values; reference/make_reference.py wrote it."""
    with np.load(FILE) as file:
        numbers, text = file["numbers"], file["tree"].tobytes()

    def array(node):
        if "at" not in node:
            return node
        size = int(np.prod(node["shape"]))
        part = numbers[node["at"] : node["at"] + size]
        return part.reshape(node["shape"]).astype(node["dtype"])

    return json.loads(text, object_hook=array)


REFERENCE = loaded()
BY_NAME = {sample.name: sample for sample in SAMPLES}


def numbered(cases):
    return [f"{i}-{case['name']}" for i, case in enumerate(cases)]


def test_reference_is_small_and_has_a_sample_of_every_function():
    named = {name.partition("-")[0] for name in REFERENCE["operations"]}
    missing = {sample.function.__name__ for sample in SAMPLES} - named
    assert not missing, "run tests/reference/make_reference.py"
    assert FILE.stat().st_size < 200_000


@pytest.mark.parametrize("name", REFERENCE["operations"])
def test_operation_gives_the_values_of_pytorch(name):
    case, sample = REFERENCE["operations"][name], BY_NAME[name]
    arrays = iter(case["inputs"])
    inputs = tuple(next(arrays) if isinstance(x, np.ndarray) else x for x in sample.inputs)
    sample = replace(sample, inputs=inputs, options={**sample.options, **case["options"]})
    outputs = checks.listed(sample(*checks.tensors(inputs)))
    floats = [x for x in inputs if is_float(x)]
    for y, expected in zip(outputs, case["outputs"], strict=True):
        within = checks.tolerance(np.float64, expected, *floats)
        if y.dtype == np.float32:  # the cast to it
            within = checks.tolerance(np.float32, expected, *floats)
        assert y.dtype == expected.dtype
        checks.assert_close(y.data, expected, within, "forward")
    slopes = checks.gradients(sample) or []
    for g, expected in zip(slopes, case["gradients"], strict=True):
        within = checks.tolerance(np.float64, expected, *floats, *case["outputs"])
        checks.assert_close(g, expected, within, "gradient")


@pytest.mark.parametrize("case", REFERENCE["layers"], ids=numbered(REFERENCE["layers"]))
def test_layer_gives_the_values_of_pytorch(case):
    layer = getattr(nn, case["name"])(*case["arguments"], **case["options"]).astype("float64")
    layer.load_state_dict(case["state"])
    inputs = [wrap(x) for x in case["inputs"]]
    inputs[0].requires_grad_()
    y = layer(*inputs)
    y.backward(wrap(case["seed"]))
    within = checks.tolerance(np.float64, case["output"], case["seed"], *case["inputs"])
    checks.assert_close(y.data, case["output"], within, "output")
    checks.assert_close(inputs[0].grad.data, case["gradient"], within, "gradient of the input")
    for name, parameter in layer.named_parameters():
        checks.assert_close(parameter.grad.data, case["gradients"].pop(name), within, name)
    assert not case["gradients"]
    after = layer.state_dict()
    assert set(after) == set(case["state_after"])
    for name, expected in case["state_after"].items():
        assert after[name].dtype == expected.dtype
        checks.assert_close(after[name].data, expected, within, name)


@pytest.mark.parametrize("case", REFERENCE["optimizers"], ids=numbered(REFERENCE["optimizers"]))
def test_optimizer_takes_the_steps_of_pytorch(case):
    a, b = parameters = [nn.Parameter(wrap(x.copy())) for x in case["start"]]
    optimizer = getattr(optim, case["name"])(parameters, **case["options"])
    for step in case["steps"]:
        optimizer.zero_grad()
        (((a - 1) ** 4).sum() + (a * b).sum()).backward()
        optimizer.step()
        for parameter, expected in zip(parameters, step, strict=True):
            # a step divides by the root of a gradient's mean square: four digits at the worst
            within = 1e4 * checks.tolerance(np.float64, expected)
            checks.assert_close(parameter.data, expected, within, "parameter")
