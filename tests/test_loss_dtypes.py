"""Losses of integer targets and weights: labels as they come, such as MNIST's uint8."""

import itertools

import numpy as np
import pytest
from torch_checks import compare, torch

import minigrad as mg
from minigrad import nn
from minigrad.backends import to_device, to_numpy
from minigrad.errors import DTypeError
from minigrad.tensor import wrap

F, reference = nn.functional, torch.nn.functional

INTEGERS = [np.dtype(c) for c in "?bhilBHIL"]
FLOATS = [np.dtype(c) for c in "efd"]
each_integer = pytest.mark.parametrize("dtype", INTEGERS, ids=str)
each_float = pytest.mark.parametrize("floating", FLOATS, ids=str)

P = np.array([[0.2, 0.8, 0.5], [0.9, 0.1, 0.3]])
ONES = np.array([[0, 1, 1], [1, 0, 1]])  # as a target, or a weight
CLASSES = np.array([1, 0])
WEIGHTS = np.array([1, 0, 1])  # of the classes

# a loss of an input x and integers t (targets or weights), here and in PyTorch
CASES = {
    "mse target": lambda f, x, t: f.mse_loss(x, t),
    "mse weight": lambda f, x, t: f.mse_loss(x, x * 0.5, weight=t),
    "bce target": lambda f, x, t: f.binary_cross_entropy(x, t),
    "bce weight": lambda f, x, t: f.binary_cross_entropy(x, x * 0.5, t),
    "logits target": lambda f, x, t: f.binary_cross_entropy_with_logits(x, t),
    "logits target, pos_weight": lambda f, x, t: f.binary_cross_entropy_with_logits(
        x, t, pos_weight=t
    ),
    "logits weight": lambda f, x, t: f.binary_cross_entropy_with_logits(x, x * 0.5, t),
    "class weights of probabilities": lambda f, x, t: f.cross_entropy(x, x * 0.5, t[0]),
    "class weights of smoothed probabilities": lambda f, x, t: f.cross_entropy(
        x, x * 0.5, t[0], label_smoothing=0.1
    ),
}


def ours(values, device, dtype=None):
    return wrap(to_device(np.asarray(values, dtype), device))


def pulled(loss, leaf):
    """A loss, its gradient, and the gradient of that gradient's squares."""
    [slope] = mg.grad(loss, leaf, create_graph=True)
    [curvature] = mg.grad((slope * slope).sum(), leaf)
    return loss, slope, curvature


def check_as_floats(floating, loss_of, values, device):
    """The loss of integers is that of floats, with two derivatives; and PyTorch's, with one."""
    x = ours(P, device, floating).requires_grad_()
    z = torch.tensor(P.astype(floating), requires_grad=True)
    found = pulled(loss_of(F, x, ours(values, device)), x)
    as_floats = pulled(loss_of(F, x, ours(values, device, floating)), x)
    for actual, expected in zip(found, as_floats, strict=True):
        assert actual.dtype == floating
        np.testing.assert_array_equal(to_numpy(actual.data), to_numpy(expected.data))
    expected = loss_of(reference, z, torch.tensor(values.astype(floating)))
    # a derivative of at most 1 / (p q) = 12
    compare(loss_of(F, x, ours(values, device)), expected, [(x, z)], amplified=12)


@pytest.mark.parametrize(
    ("floating", "dtype"),  # every integer dtype beside float32, two of them beside the others
    [*itertools.product("f", INTEGERS), *itertools.product("ed", [np.bool_, np.uint8])],
)
@pytest.mark.parametrize("case", CASES)
def test_integer_targets_and_weights_count_as_floats(case, floating, dtype, device):
    check_as_floats(np.dtype(floating), CASES[case], ONES.astype(dtype), device)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.int64, np.bool_])
@pytest.mark.parametrize("case", CASES)
def test_integer_targets_and_weights_count_as_floats_on_a_gpu(case, dtype):
    check_as_floats(np.dtype(np.float32), CASES[case], ONES.astype(dtype), "gpu")


CLASS_CASES = {
    "cross entropy": lambda f, x, t, w: f.cross_entropy(x, t),
    "weighted": lambda f, x, t, w: f.cross_entropy(x, t, w),
    "smoothed": lambda f, x, t, w: f.cross_entropy(x, t, w, label_smoothing=0.1),
    "each": lambda f, x, t, w: f.cross_entropy(x, t, reduction="none").sum(),
    "ignored": lambda f, x, t, w: f.cross_entropy(x, t, ignore_index=1),
    "weighted ignored": lambda f, x, t, w: f.cross_entropy(x, t, w, ignore_index=1),
    "nll": lambda f, x, t, w: f.nll_loss(x, t),
    "nll weighted": lambda f, x, t, w: f.nll_loss(x, t, w, ignore_index=1),
}


def check_classes(case, dtype, weights, device):
    x = ours(P, device, np.float32).requires_grad_()
    z = torch.tensor(P.astype(np.float32), requires_grad=True)
    target = CLASSES.astype(dtype)
    loss = CLASS_CASES[case](F, x, ours(target, device), ours(WEIGHTS.astype(weights), device))
    expected = CLASS_CASES[case](
        reference, z, torch.tensor(CLASSES), torch.tensor(WEIGHTS.astype(np.float32))
    )
    compare(loss, expected, [(x, z)])


@pytest.mark.parametrize(
    ("dtype", "weights"),
    [*itertools.product(INTEGERS[1:], [np.uint8]), *itertools.product([np.int64], INTEGERS)],
    ids=str,
)
@pytest.mark.parametrize("case", CLASS_CASES)
def test_classes_and_their_weights_of_every_integer_dtype(case, dtype, weights, device):
    check_classes(case, dtype, weights, device)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int32])
@pytest.mark.parametrize("case", CLASS_CASES)
def test_classes_of_every_integer_dtype_on_a_gpu(case, dtype):
    check_classes(case, dtype, np.uint8, "gpu")


@pytest.mark.parametrize("dtype", INTEGERS[1:], ids=str)
def test_largest_value_of_a_dtype_may_be_ignored(dtype):
    x, last = mg.tensor(P), min(int(np.iinfo(dtype).max), 2**63 - 1)
    target = mg.tensor(np.array([last, 2], dtype))
    alone = F.cross_entropy(x[1:], mg.tensor([2])).item()
    assert F.cross_entropy(x, target, ignore_index=last).item() == pytest.approx(alone)
    assert F.nll_loss(x, target, ignore_index=last).item() == -P[1, 2]
    for loss in (F.cross_entropy, F.nll_loss):  # it is not -100 in unsigned clothes
        with pytest.raises(IndexError, match=f"{loss.__name__}: targets go from 2 to {last}"):
            loss(x, target)
        with pytest.raises(IndexError):
            loss(x, mg.tensor(np.array([np.array(-100).astype(dtype), 2], dtype)), ignore_index=-7)


def test_a_target_that_is_ignored_is_no_class_also_where_there_is_one_class():
    x, target = mg.tensor([[2.0], [3.0]]), mg.tensor([0, 255])
    assert F.cross_entropy(x, target, ignore_index=255).item() == 0
    assert F.nll_loss(x, target, ignore_index=255).item() == -2


def test_ignored_value_beyond_int64_is_refused():
    target = mg.tensor(np.array([2**64 - 1, 2], np.uint64))
    for loss in (F.cross_entropy, F.nll_loss):
        with pytest.raises(ValueError, match=f"{loss.__name__}: ignore_index={2**64 - 1}"):
            loss(mg.tensor(P), target, ignore_index=2**64 - 1)


def test_layers_take_integer_targets_and_weights():
    target, w = np.array([0, 1], np.uint8), np.array([1, 3], np.uint8)
    x = mg.tensor([0.2, 0.8])
    assert nn.BCELoss()(x, mg.tensor(target)).item() == pytest.approx(-np.log(0.8), rel=1e-6)
    twice = nn.BCELoss(w, reduction="sum")(x, target)
    assert twice.item() == pytest.approx(-4 * np.log(0.8), rel=1e-6)
    for layer in (nn.BCEWithLogitsLoss(w, pos_weight=w), nn.MSELoss(), nn.CrossEntropyLoss(w)):
        loss = layer(x, np.uint8(1) if isinstance(layer, nn.CrossEntropyLoss) else target)
        assert loss.dtype == np.float32
        assert loss.item() > 0


@each_float
@pytest.mark.parametrize("other", FLOATS, ids=str)
@pytest.mark.parametrize("case", ["mse target", "mse weight", "bce weight", "logits weight"])
def test_result_has_the_dtype_that_torch_gives_it(case, floating, other):
    found = CASES[case](F, mg.tensor(P.astype(floating)), mg.tensor(ONES.astype(other)))
    there = torch.tensor(P.astype(floating)), torch.tensor(ONES.astype(other))
    assert str(found.dtype) == str(CASES[case](reference, *there).dtype).removeprefix("torch.")


@each_integer
def test_integer_inputs_are_refused_by_name(dtype):
    x, t = mg.tensor(ONES.astype(dtype)), mg.tensor(P)
    for loss in (F.binary_cross_entropy, F.binary_cross_entropy_with_logits, F.cross_entropy):
        with pytest.raises(DTypeError, match=rf"{loss.__name__}: the input.*{dtype}.*astype"):
            loss(x, t)
    with pytest.raises(DTypeError, match=f"nll_loss: the input must be floating-point.*{dtype}"):
        F.nll_loss(x, mg.tensor(CLASSES))
    with pytest.raises(DTypeError, match=f"mse_loss: the input must be floating-point.*{dtype}"):
        F.mse_loss(x, x)
    swapped = F.mse_loss(x, t)  # as in PyTorch
    assert swapped.item() == F.mse_loss(t, x).item() == pytest.approx(np.mean((ONES - P) ** 2))


@each_integer
@pytest.mark.parametrize("function", ["sigmoid", "tanh", "softmax", "log_softmax"])
def test_activations_of_integers_are_those_of_floats(function, dtype):
    values = np.array([[3, 0, 12], [100, 1, 127]]).astype(dtype)
    options = {"dim": 1} if "softmax" in function else {}
    found = getattr(F, function)(mg.tensor(values), **options)
    expected = getattr(F, function)(mg.tensor(values.astype(np.float64)), **options)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


@each_integer
@pytest.mark.parametrize("name", ["exp", "log", "log1p", "sqrt", "sin", "cos", "logsumexp", "norm"])
def test_functions_of_integers_are_those_of_floats(name, dtype):
    values = np.array([[3, 1, 12], [100, 1, 127]]).astype(dtype)
    found = getattr(mg, name)(mg.tensor(values))
    expected = getattr(mg, name)(mg.tensor(values.astype(np.float64)))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.parametrize("order", [None, 0, 1, 3, np.inf, -np.inf])
def test_norm_of_the_smallest_integer_does_not_wrap(order):
    values = np.array([-128, 100], np.int8)
    expected = np.linalg.norm(values.astype(float), order)
    assert mg.norm(mg.tensor(values), order).item() == pytest.approx(expected)


def test_dropout_of_integers_is_refused():
    x = mg.tensor([1, 2])
    with pytest.raises(DTypeError, match=r"dropout.*int64.*astype"):
        F.dropout(x, 0.3)
    assert nn.Dropout(0.3).eval()(x) is x
