"""PyTorch's own test samples: its database of operations, modules and optimizers, run on ours.

What a sample asks for that minigrad does not offer is counted by its reason in `NOT_OFFERED`; a
sample that fails for any other reason fails here.
"""

import inspect
import warnings
from collections import Counter
from functools import partial

import checks
import numpy as np
import pytest
from test_optim_torch import STEPS, check_same, check_same_state, parameters, set_gradients
from torch_checks import away_from_0_and_1, compare, same_values, torch
from torch_samples import (
    MODULE_REFERENCES,
    MODULES,
    OPERATIONS,
    OPTIMIZER_REFERENCES,
    OPTIMIZERS,
    REFERENCES,
    ModuleErrorEnum,
    NotOfferedError,
    dtype_of,
    ours,
)

from minigrad import nn, optim
from minigrad.backends import to_device

DTYPES = [torch.float64, torch.float32, torch.int64, torch.int32, torch.bool]

SCALAR_AXIS = "an axis of a scalar, which NumPy refuses"
NEGATIVE_POWER = "negative integer powers, which NumPy refuses"
NEGATIVE_PADDING = "negative padding, which NumPy refuses"
MATRIX_NORM = "norms of matrices as operators"
NOT_OFFERED = {
    "__rpow__": {NEGATIVE_POWER: 196},
    "__rsub__": {"PyTorch has no answer either": 6},
    "add": {"numbers only": 8},
    "all": {SCALAR_AXIS: 18},
    "amax": {SCALAR_AXIS: 18},
    "amin": {SCALAR_AXIS: 18},
    "any": {SCALAR_AXIS: 18},
    "argmax": {SCALAR_AXIS: 14},
    "cat": {"joining an empty vector with anything": 13},
    "constant_pad_nd": {NEGATIVE_PADDING: 36},
    "cumsum": {SCALAR_AXIS: 7},
    "div.no_rounding_mode": {"numbers only": 8},
    "linalg.norm": {MATRIX_NORM: 170},
    "linalg.vector_norm": {SCALAR_AXIS: 54},
    "logsumexp": {SCALAR_AXIS: 19},
    "mean": {SCALAR_AXIS: 6},
    "mul": {"numbers only": 8},
    "nn.functional.batch_norm": {"batches without an axis for the features": 6},
    "nn.functional.dropout": {"the same random numbers": 12},
    "nn.functional.pad.constant": {NEGATIVE_PADDING: 36},
    "norm": {SCALAR_AXIS: 24},
    "pow": {NEGATIVE_POWER: 8},
    "prod": {SCALAR_AXIS: 36, "a reduction in a smaller integer dtype": 12},
    "sigmoid": {"minus a boolean, which NumPy refuses": 46},
    "sum": {SCALAR_AXIS: 18},
    "transpose": {SCALAR_AXIS: 9},
    "sub": {"numbers only": 6},
    "true_divide": {"numbers only": 8},
    "where": {"complex numbers": 8},
}


# --- operations -------------------------------------------------------------------------------


def amplified_by(name, eps):
    """How much an operation enlarges rounding errors beyond the eightfold that is allowed."""
    if name.endswith(("layer_norm", "batch_norm", "LayerNorm", "BatchNorm1d")):
        return 1 / np.sqrt(abs(eps))  # the factor 1 / sqrt(var + eps)
    if name in ("nn.functional.binary_cross_entropy", "BCELoss"):
        # PyTorch adds this to the probabilities in its second derivative
        return 1e-12 / np.finfo(np.float64).eps
    return 1.0


def samples_of(reference, dtype):
    """PyTorch's samples with gradients, then those for its reference implementation without."""
    needs_grad = dtype.is_floating_point and reference.supports_autograd
    yield from reference.sample_inputs("cpu", dtype, requires_grad=needs_grad)
    if dtype != torch.float32:
        yield from reference.reference_inputs("cpu", dtype, requires_grad=False)


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name):
    if not name.startswith("nn.") and "softmax" not in name:
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's; layers and losses have none
    reference = REFERENCES[name]
    not_offered = Counter()
    ran = 0
    for dtype in DTYPES:
        if dtype not in reference.dtypes:
            continue
        for sample in samples_of(reference, dtype):
            pairs = []
            try:
                args = ours((sample.input, *sample.args), pairs)
                if not pairs:
                    raise NotOfferedError("numbers only")
                mine = OPERATIONS[name](*args, **ours(sample.kwargs, pairs))
            except NotOfferedError as reason:
                not_offered[str(reason)] += 1
                continue
            theirs = reference(sample.input, *sample.args, **sample.kwargs)
            if theirs is NotImplemented:
                not_offered["PyTorch has no answer either"] += 1
                continue
            second = dtype == torch.float64 and reference.supports_gradgrad and pairs[0][0].size > 0
            try:
                amplified = amplified_by(name, sample.kwargs.get("eps", 1e-5))
                compare(mine, theirs, pairs, second=second, amplified=amplified, same_dtype=False)
            except AssertionError as error:
                error.add_note(f"sample: {sample.summary()}")
                raise
            ran += 1
    assert ran
    assert dict(not_offered) == NOT_OFFERED.get(name, {})


# --- modules ----------------------------------------------------------------------------------


def module_samples(name, dtype, training):
    reference = MODULE_REFERENCES[name]
    return reference.module_inputs_func(
        reference, device="cpu", dtype=dtype, requires_grad=True, training=training
    )


@pytest.mark.filterwarnings("ignore::UserWarning")  # no dim given, dropout in one layer
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", MODULES)
def test_module(name, training, device):
    there = partial(to_device, device=device)
    for dtype in (torch.float64, torch.float32):
        for sample in module_samples(name, dtype, training):
            made_with, called_with = sample.constructor_input, sample.forward_input
            theirs = MODULE_REFERENCES[name].module_cls(*made_with.args, **made_with.kwargs)
            theirs = theirs.to(dtype).train(training)
            if "Norm" in name:
                away_from_0_and_1(theirs)
            args, options = ours((made_with.args, made_with.kwargs), [], there)
            mine = getattr(nn, name)(*args, **options).astype(dtype_of(dtype)).train(training)
            assert repr(mine) == repr(theirs)
            mine.to(device).load_state_dict(theirs.state_dict())
            pairs = [*zip(mine.parameters(), theirs.parameters(), strict=True)]
            inputs, options = ours((called_with.args, called_with.kwargs), pairs, there)
            try:
                y = mine(*inputs, **options)
                expected = theirs(*called_with.args, **called_with.kwargs)
                second = dtype == torch.float64 and bool(inputs) and inputs[0].size > 0
                amplified = amplified_by(name, getattr(mine, "eps", 1))
                compare(y, expected, pairs, second=second, amplified=amplified)
            except AssertionError as error:
                error.add_note(f"sample: {made_with}, {called_with}")
                raise
            states = zip(mine.state_dict().items(), theirs.state_dict().items(), strict=True)
            for (key, value), (other_key, other) in states:
                assert key == other_key
                same_values(value, other, key, [])


# --- memory order is invisible ----------------------------------------------------------------

ORDERS = [lambda array, order=order: checks.layouts(array)[order] for order in checks.ORDERS]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [n for n in OPERATIONS if n.startswith("nn.") or "softmax" in n])
def test_functions_take_any_memory_order(name):
    reference = REFERENCES[name]
    for sample in reference.sample_inputs("cpu", torch.float64, requires_grad=True):
        for order in ORDERS:
            pairs = []
            try:
                args = ours((sample.input, *sample.args), pairs, order)
                mine = OPERATIONS[name](*args, **ours(sample.kwargs, pairs, order))
            except NotOfferedError:
                continue
            theirs = reference(sample.input, *sample.args, **sample.kwargs)
            amplified = amplified_by(name, sample.kwargs.get("eps", 1e-5))
            compare(mine, theirs, pairs, amplified=amplified)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", MODULES)
def test_modules_take_any_memory_order(name):
    for sample in module_samples(name, torch.float64, True):
        made_with, called_with = sample.constructor_input, sample.forward_input
        for order in ORDERS:
            theirs = MODULE_REFERENCES[name].module_cls(*made_with.args, **made_with.kwargs)
            theirs = theirs.to(torch.float64)
            args, options = ours((made_with.args, made_with.kwargs), [], order)
            mine = getattr(nn, name)(*args, **options).astype("float64")
            mine.load_state_dict({k: order(v.numpy()) for k, v in theirs.state_dict().items()})
            pairs = [*zip(mine.parameters(), theirs.parameters(), strict=True)]
            inputs, options = ours((called_with.args, called_with.kwargs), pairs, order)
            expected = theirs(*called_with.args, **called_with.kwargs)
            amplified = amplified_by(name, getattr(mine, "eps", 1))
            compare(mine(*inputs, **options), expected, pairs, amplified=amplified)


# --- optimizers -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name, dtype, device):
    reference = OPTIMIZER_REFERENCES[name]
    for sample in reference.optim_inputs_func("cpu"):
        own, other = parameters(dtype, device)
        mine = getattr(optim, name)(own, **ours(sample.kwargs, []))
        theirs = reference.optim_cls(other, **sample.kwargs)
        for step in range(STEPS):
            set_gradients(own, other, step)
            mine.step(), theirs.step()
            mine.zero_grad()
        check_same(own, other)
        check_same_state(mine, theirs)


# --- defaults ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (nn, torch.nn),
        (optim, torch.optim),
        (optim.lr_scheduler, torch.optim.lr_scheduler),
    ],
)
def test_defaults_are_those_of_torch(here, there):
    """Of numbers, words and switches; for what is None or empty here PyTorch may have another."""
    for name in {n for n in here.__all__ if callable(getattr(here, n))} & set(vars(there)):
        own, other = (inspect.signature(getattr(m, name)).parameters for m in (here, there))
        for option in own.keys() & other.keys():
            if own[option].default not in (inspect.Parameter.empty, None, ()):
                assert own[option].default == other[option].default, (name, option)


# --- what PyTorch refuses ---------------------------------------------------------------------

ACCEPTED = {
    "GRU": ["RNN input dtype"],  # NumPy's promotion: a float32 layer takes float64
    "LSTM": ["RNN input dtype"],
    "NLLLoss": ["expected scalar type"],  # weights of another dtype
    "RNN": ["RNN input dtype"],
}
REFUSAL = (ValueError, TypeError, IndexError, RuntimeError)
refusing_functions = [
    name
    for name in OPERATIONS
    if name.startswith("nn.functional") and REFERENCES[name].error_inputs_func
]
refusing_modules = [name for name in MODULES if MODULE_REFERENCES[name].module_error_inputs_func]


@pytest.mark.parametrize("name", refusing_functions)
def test_function_refuses(name):
    for sample in REFERENCES[name].error_inputs("cpu"):
        call = sample.sample_input
        args, options = ours(((call.input, *call.args), call.kwargs), [])
        with pytest.raises(REFUSAL, match=name.rpartition(".")[2]):
            OPERATIONS[name](*args, **options)


@pytest.mark.parametrize("name", refusing_modules)
def test_module_refuses(name):
    reference = MODULE_REFERENCES[name]
    accepted = []
    for sample in reference.module_error_inputs_func(
        reference, device="cpu", dtype=torch.float64, requires_grad=True, training=True
    ):
        made_with = sample.module_error_input.constructor_input
        called_with = sample.module_error_input.forward_input
        try:
            args, options = ours((made_with.args, made_with.kwargs), [])
            layer = getattr(nn, name)(*args, **options)
            if sample.error_on is ModuleErrorEnum.FORWARD_ERROR:
                args, options = ours((called_with.args, called_with.kwargs), [])
                layer.astype("float64")(*args, **options)
            accepted.append(sample.error_regex)
        except REFUSAL as error:
            assert len(str(error)) > 30, "says too little"
    expected = ACCEPTED.get(name, [])
    assert len(accepted) == len(expected)
    assert all(regex.startswith(text) for regex, text in zip(accepted, expected, strict=True))
