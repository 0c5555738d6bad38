"""Layers and losses against PyTorch, where its own samples do not reach; clipping and states.

Its own samples, in test_torch_samples.py, drive most options of every layer and loss.
"""

import numpy as np
import pytest
from checks import assert_close, tolerance
from torch_checks import as_torch, away_from_0_and_1, compare, same_values, torch

import minigrad as mg
from minigrad import nn
from minigrad.backends import to_device
from minigrad.tensor import wrap

pytestmark = pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
F = torch.nn.functional

both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])


def normal(*size, seed=0):
    return np.random.RandomState(seed).standard_normal(size)


def ours(values, device="cpu"):
    return wrap(to_device(np.array(values), device)).requires_grad_(values.dtype.kind == "f")


def theirs(values):
    return torch.tensor(values, requires_grad=values.dtype.kind == "f")


def check_close(actual, expected, what, *inputs):
    """Within the tolerance of the inputs' dtype, size and magnitude; of the same dtype."""
    assert actual.dtype == expected.numpy(force=True).dtype, what
    same_values(actual, expected, what, inputs)


def check_same_state(ours, theirs, *inputs):
    own, other = ours.state_dict(), theirs.state_dict()
    assert list(own) == list(other)
    for name, value in own.items():
        same_values(value, other[name], name, inputs)


def check_layer(device, layer, reference, *inputs, second=True):
    """The same state, outputs, gradients and second gradients."""
    layer.to(device).load_state_dict(reference.state_dict())
    check_same_state(layer, reference)
    x, t = [ours(value, device) for value in inputs], [theirs(value) for value in inputs]
    parameters = zip(layer.parameters(), reference.parameters(), strict=True)
    pairs = [*zip(x, t, strict=True), *parameters]
    compare(layer(*x), reference(*t), pairs, second=second)
    check_same_state(layer, reference, *inputs)


# --- layers -----------------------------------------------------------------------------------

LAYERS = [
    ("Linear", (4, 3), {}, (0, 4)),
    ("Linear", (4, 3, False), {}, (2, 5, 4)),
    ("BatchNorm1d", (3,), {}, (1, 3, 5)),
    ("BatchNorm1d", (3,), {"bias": False}, (4, 3, 5)),
    ("BatchNorm1d", (3,), {}, (0, 3)),
    ("BatchNorm1d", (3,), {}, (2, 3, 0)),
    ("LayerNorm", (4,), {}, (4,)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Flatten", (0,), {}, (2, 3, 4)),
    ("Flatten", (-3, -2), {}, (2, 3, 4, 5)),
    ("Flatten", (0,), {}, ()),
    ("Identity", (54,), {"unused": 1}, (2, 3)),
    ("ReLU", (True,), {}, (3, 4)),
    ("LeakyReLU", (0.2,), {"inplace": True}, (3, 4)),
    ("Dropout", (0.0,), {}, (3, 4)),
]
layer_ids = [f"{name}{args}{options or ''}-{size}" for name, args, options, size in LAYERS]


def pair(name, args, options, dtype):
    """The layer, and PyTorch's with parameters and running statistics away from 0 and 1."""
    reference = as_torch(getattr(torch.nn, name), *args, **options)
    away_from_0_and_1(reference)
    layer = getattr(nn, name)(*args, **options).astype(dtype)
    return layer, reference.to(getattr(torch, np.dtype(dtype).name))


@both_dtypes
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("name", "args", "options", "size"), LAYERS, ids=layer_ids)
def test_layer_matches_torch(name, args, options, size, training, dtype, device):
    layer, reference = pair(name, args, options, dtype)
    assert repr(layer) == repr(reference)
    reference.inplace = False  # PyTorch refuses a leaf as input of a layer that would change it
    x = normal(*size).astype(dtype)
    check_layer(device, layer.train(training), reference.train(training), x, second=x.size > 0)


@both_dtypes
@pytest.mark.parametrize("momentum", [0.1, 0.7, None, 0.0, 1.0])
def test_batch_norm_statistics_over_several_batches_match_torch(momentum, dtype, device):
    layer, reference = pair("BatchNorm1d", (3,), {"momentum": momentum}, dtype)
    layer.to(device).load_state_dict(reference.state_dict())
    for seed in range(4):
        x = normal(5, 3, seed=seed).astype(dtype)
        check_close(layer(ours(x, device)), reference(theirs(x)), "output", x)
        check_same_state(layer, reference, x)
    assert layer.num_batches_tracked.item() == 4
    x = normal(5, 3, seed=4).astype(dtype)
    check_close(layer.eval()(ours(x, device)), reference.eval()(theirs(x)), "evaluated", x)
    check_same_state(layer, reference, x)


@both_dtypes
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding_idx": 2},
        {"padding_idx": -1},
        {"scale_grad_by_freq": True},
        {"scale_grad_by_freq": True, "padding_idx": 1},
        {"sparse": False},
        {"max_norm": 1.0},
        {"max_norm": 1.0, "norm_type": 1.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("rows", [[1, 2, 4, 2], [[0, 1], [1, 1]], 3, []], ids=str)
def test_embedding_matches_torch(rows, options, dtype, device):
    layer, reference = pair("Embedding", (5, 3), options, dtype)
    rows = np.array(rows, dtype=np.int64)
    assert repr(layer) == repr(reference)
    # no second pass where PyTorch changes the table in place, or forgets the frequencies in it
    second = rows.size > 0 and not {"max_norm", "scale_grad_by_freq"} & set(options)
    check_layer(device, layer, reference, rows, second=second)


# --- initial values ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args", "fan"),  # uniform between the two roots of 1 / fan; None: something else
    [("Linear", (100, 400), 100), ("LSTM", (16, 64), 64), ("Embedding", (100, 60), None)],
)
def test_initial_distribution_is_that_of_torch(name, args, fan):
    mg.manual_seed(0)
    torch.manual_seed(0)
    own, reference = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    for (path, value), other in zip(
        own.named_parameters(), reference.state_dict().values(), strict=True
    ):
        a, b = value.detach().numpy(), other.numpy()
        assert a.dtype == b.dtype
        # means and spreads of n draws scatter by std / sqrt(n); five times that is never reached
        scatter = 5 * b.std() / np.sqrt(b.size)
        assert abs(a.mean() - b.mean()) <= 1.5 * scatter, path
        assert abs(a.std() - b.std()) <= 1.5 * scatter, path
        assert fan is None or np.abs(a).max() <= 1 / np.sqrt(fan)


# --- losses -----------------------------------------------------------------------------------


def check_loss(device, name, options, *inputs, second=True):
    """Layer and function with arrays as options, under all three reductions."""
    for reduction in ("mean", "sum", "none"):
        own = {k: wrap(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        other = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        layer = getattr(nn, name)(reduction=reduction, **own)
        reference = getattr(torch.nn, name)(reduction=reduction, **other)
        check_layer(device, layer, reference, *inputs, second=second)


def logits(*size, dtype):
    return (2 * normal(*size, seed=1)).astype(dtype)


WEIGHT = np.array([0.5, 2.0, 1.0, 0.0])


@both_dtypes
@pytest.mark.parametrize("ignored", [2, -100, 255])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_losses_of_weighted_classes_some_ignored_match_torch(ignored, smoothing, dtype, device):
    target = np.array([ignored, 0, 3, 1, 0, ignored])
    options = {"weight": WEIGHT.astype(dtype), "ignore_index": ignored}
    x = logits(6, 4, dtype=dtype)
    check_loss(device, "NLLLoss", options, -np.abs(x), target)
    options["label_smoothing"] = smoothing
    check_loss(device, "CrossEntropyLoss", options, x, target)


@pytest.mark.parametrize("value", [1e4, -1e4])
def test_cross_entropy_of_huge_logits_matches_torch(value, device):
    x = np.array([[value, 0.0, -value], [0.0, value, 1.0]], np.float32)
    check_loss(device, "CrossEntropyLoss", {}, x, np.array([1, 2]))


def test_cross_entropy_where_all_is_ignored_is_nan_as_in_torch(device):
    target = np.full(3, -100)
    assert np.isnan(nn.CrossEntropyLoss()(ours(normal(3, 4), device), ours(target, device)).item())
    assert np.isnan(torch.nn.CrossEntropyLoss()(torch.randn(3, 4), torch.tensor(target)).item())


@pytest.mark.parametrize("target", [np.zeros((0,), np.int64), np.zeros((0, 4))], ids=["i", "p"])
def test_cross_entropy_of_nothing_matches_torch(target, device):
    check_loss(device, "CrossEntropyLoss", {}, np.zeros((0, 4)), target, second=False)


def test_nll_skips_infinite_losses_that_are_ignored(device):
    x = np.array([[-np.inf, -1.0], [-2.0, -0.5]])
    check_loss(device, "NLLLoss", {"ignore_index": 0}, x, np.array([0, 1]), second=False)


@both_dtypes
def test_losses_of_nothing_match_torch(dtype, device):
    empty = np.zeros((0, 3), dtype)
    for name in ("BCELoss", "BCEWithLogitsLoss", "MSELoss"):
        check_loss(device, name, {}, empty, empty, second=False)


@both_dtypes
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_binary_cross_entropy_at_0_and_1_matches_torch(reduction, dtype, device):
    p = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 1.0], dtype)
    t = np.array([0.0, 1.0, 0.0, 1.0, 0.5, 0.5], dtype)
    x, target, other = ours(p, device), ours(t, device).detach(), theirs(p)
    nn.BCELoss(reduction=reduction)(x, target).sum().backward()
    torch.nn.BCELoss(reduction=reduction)(other, torch.tensor(t)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=8 * np.finfo(dtype).eps)
    y = nn.BCELoss(reduction=reduction)(x, target)
    expected = torch.nn.BCELoss(reduction=reduction)(other, torch.tensor(t))
    check_close(y, expected, "loss", p)


@both_dtypes
@pytest.mark.parametrize("pos_weight", [(4,), (1,), (3, 1)], ids=str)
def test_pos_weight_matches_torch(pos_weight, dtype, device):
    random = np.random.RandomState(0)
    options = {
        "pos_weight": random.uniform(0.5, 3, pos_weight).astype(dtype),
        "weight": random.uniform(0.5, 2, (4,)).astype(dtype),
    }
    t = random.uniform(0, 1, (3, 4)).astype(dtype)
    check_loss(device, "BCEWithLogitsLoss", options, logits(3, 4, dtype=dtype), t)


@pytest.mark.parametrize("value", [1e4, -1e4, 0.0])
@pytest.mark.parametrize("t", [0.0, 1.0, 0.5])
def test_binary_cross_entropy_of_huge_logits_matches_torch(value, t, device):
    x, target = np.array([value], np.float32), np.array([t], np.float32)
    check_loss(device, "BCEWithLogitsLoss", {}, x, target)
    check_loss(device, "BCEWithLogitsLoss", {"pos_weight": np.array([3.0], np.float32)}, x, target)


def test_mse_warns_of_shapes_that_broadcast_as_torch():
    a, b = normal(3, 1), normal(3)
    with pytest.warns(UserWarning, match=r"\(3, 1\) and the target \(3,\)"):
        y = nn.MSELoss()(wrap(a), wrap(b))
    with pytest.warns(UserWarning):
        expected = torch.nn.MSELoss()(torch.tensor(a), torch.tensor(b))
    check_close(y, expected, "loss")


# --- functions --------------------------------------------------------------------------------


def test_functions_without_a_dimension_choose_as_torch_and_warn():
    for size in [(), (3,), (2, 3), (2, 3, 4), (2, 3, 4, 2)]:
        x = normal(*size)
        for name in ("softmax", "log_softmax"):
            with pytest.warns(UserWarning, match="dim"):
                y = getattr(nn.functional, name)(wrap(np.asarray(x)))
            with pytest.warns(UserWarning):
                expected = getattr(F, name)(torch.tensor(x))
            check_close(y, expected, name)


def test_linear_with_a_vector_as_weight_matches_torch(device):
    x, w, b = normal(5, 4), normal(4), np.asarray(normal())
    own = [ours(value, device).detach() for value in (x, w, b)]
    y = nn.functional.linear(*own[:2])
    check_close(y, F.linear(torch.tensor(x), torch.tensor(w)), "linear", x)
    within = tolerance(x.dtype, x, w, b)
    assert_close(nn.functional.linear(*own).numpy(), y.numpy() + b, within, "with a bias")


@both_dtypes
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_function_changes_statistics_in_place_as_torch(training, dtype, device):
    x, mean, var = normal(6, 3).astype(dtype), np.zeros(3, dtype), np.ones(3, dtype)
    z, *own = [ours(value, device).detach() for value in (x, mean, var)]
    other = torch.tensor(mean), torch.tensor(var)
    y = nn.functional.batch_norm(z, *own, training=training, momentum=0.3)
    expected = F.batch_norm(torch.tensor(x), *other, training=training, momentum=0.3)
    check_close(y, expected, "output", x)
    for a, b in zip(own, other, strict=True):
        check_close(a, b, "statistics", x)


# --- clipping ---------------------------------------------------------------------------------


def with_gradients(dtype, device="cpu"):
    sizes = (3, 4), (5,), (), (2, 3, 2)
    arrays = [np.asarray(normal(*size, seed=i)) for i, size in enumerate(sizes)]
    own, other = [], []
    for array in arrays:
        array = np.asarray(array, dtype)
        p = nn.Parameter(wrap(to_device(array.copy(), device)))
        t = torch.nn.Parameter(torch.tensor(array))
        p.grad = wrap(to_device(np.array(2 * array, order="F"), device))
        t.grad = torch.tensor(2 * array)
        own.append(p)
        other.append(t)
    own.append(nn.Parameter(mg.zeros(2, device=device)))  # without a gradient
    other.append(torch.nn.Parameter(torch.zeros(2)))
    return own, other


@both_dtypes
@pytest.mark.parametrize("norm_type", [2, 2.0, 1, 3.5, np.inf, 0, -1, -2.5, 0.5, -np.inf])
@pytest.mark.parametrize("max_norm", [0.1, 2, 1e3])
def test_clip_grad_norm_matches_torch(norm_type, max_norm, dtype, device):
    own, other = with_gradients(dtype, device)
    held = own[0].grad
    norm = nn.utils.clip_grad_norm_(iter(own), max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(other, max_norm, norm_type)
    check_close(norm, expected, "norm")
    assert own[0].grad is held
    assert own[-1].grad is None
    for p, t in zip(own[:-1], other[:-1], strict=True):
        check_close(p.grad, t.grad, "gradient")


@pytest.mark.parametrize("norm_type", [0, 1, 2, 3, -1, float("inf"), float("-inf")])
def test_clip_grad_norm_passes_over_empty_gradients(norm_type):
    own, other = with_gradients(np.float64)
    empty = nn.Parameter(mg.zeros(0, 3))
    empty.grad = mg.zeros(0, 3)
    check_close(
        nn.utils.clip_grad_norm_([empty, *own, empty], 0.1, norm_type),
        torch.nn.utils.clip_grad_norm_(other, 0.1, norm_type),
        "norm",
    )
    for p, t in zip(own[:-1], other[:-1], strict=True):
        check_close(p.grad, t.grad, "gradient")
    alone = nn.utils.clip_grad_norm_([empty], 0.1, norm_type, error_if_nonfinite=True)
    assert (alone.item(), alone.shape, empty.grad.shape) == (0.0, (), (0, 3))
    nn.utils.clip_grad_value_([empty, own[0]], 0.01)
    assert np.abs(own[0].grad.numpy()).max() <= 0.01


def test_clip_grad_norm_of_order_0_does_not_depend_on_where_gradients_are():
    own, _ = with_gradients(np.float32)
    optimizer = mg.optim.SGD(own, lr=0.0)
    optimizer.step()  # lays the parameters out in one vector, and then their gradients
    optimizer.zero_grad()
    sum((p * p).sum() + p.sum() for p in own).backward()
    assert nn.utils.clip_grad_norm_(own, 1e3, 0).item() == len(own)


@pytest.mark.parametrize("norm_type", [-1, 0.5])
def test_clip_grad_norm_with_a_zero_matches_torch(norm_type):
    p, t = nn.Parameter([1.0, 2.0]), torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    p.grad, t.grad = mg.tensor([0.0, 3.0]), torch.tensor([0.0, 3.0])
    check_close(
        nn.utils.clip_grad_norm_(p, 0.5, norm_type),
        torch.nn.utils.clip_grad_norm_(t, 0.5, norm_type),
        "norm",
    )
    check_close(p.grad, t.grad, "gradient")


def test_clip_grad_norm_of_one_tensor_and_of_nothing(device):
    [p, *_], [t, *_] = with_gradients(np.float64, device)
    check_close(nn.utils.clip_grad_norm_(p, 0.5), torch.nn.utils.clip_grad_norm_(t, 0.5), "norm")
    check_close(p.grad, t.grad, "gradient")
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0.0


def test_clip_grad_norm_with_nan_matches_torch(device):
    own, other = with_gradients(np.float64, device)
    own[0].grad.data[0] = np.nan
    other[0].grad[0] = torch.nan
    with pytest.raises(RuntimeError, match=r"norm of order 2\.0 is nan"):
        nn.utils.clip_grad_norm_(own, 1.0, error_if_nonfinite=True)
    assert np.isnan(nn.utils.clip_grad_norm_(own, 1.0).item())
    torch.nn.utils.clip_grad_norm_(other, 1.0)
    for p, t in zip(own[:-1], other[:-1], strict=True):
        np.testing.assert_array_equal(np.isnan(p.grad.numpy()), np.isnan(t.grad.numpy()))


@both_dtypes
def test_clip_grad_value_matches_torch(dtype, device):
    own, other = with_gradients(dtype, device)
    nn.utils.clip_grad_value_(own, 0.3)
    torch.nn.utils.clip_grad_value_(other, 0.3)
    for p, t in zip(own[:-1], other[:-1], strict=True):
        check_close(p.grad, t.grad, "gradient")


def test_parameters_to_vector_and_back_match_torch(device):
    own, other = with_gradients(np.float32, device)
    vector = nn.utils.parameters_to_vector(own)
    expected = torch.nn.utils.parameters_to_vector(other)
    check_close(vector, expected, "vector")
    nn.utils.vector_to_parameters(2 * vector.detach(), own)
    torch.nn.utils.vector_to_parameters(2 * expected.detach(), other)
    for p, t in zip(own, other, strict=True):
        check_close(p, t, "parameter")


# --- states -----------------------------------------------------------------------------------


def torch_network():
    return torch.nn.Sequential(
        torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5), torch.nn.Tanh(), torch.nn.Linear(5, 2)
    )


def network():
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2))


def test_states_go_both_ways():
    own, other, back = network(), torch_network(), torch_network()
    other(torch.randn(3, 4))
    own.load_state_dict(other.state_dict())
    state = {name: torch.tensor(value.numpy()) for name, value in own.state_dict().items()}
    back.load_state_dict(state)
    for name, value in other.state_dict().items():
        assert torch.equal(value, back.state_dict()[name]), name


def test_state_has_tied_parameters_under_all_names_as_torch():
    def tied(library):
        model = library.Sequential(library.Linear(3, 3), library.Linear(3, 3))
        model[1].weight = model[0].weight
        return model

    own, other = tied(nn), tied(torch.nn)
    assert list(own.state_dict()) == list(other.state_dict())
    assert [n for n, _ in own.named_parameters()] == [n for n, _ in other.named_parameters()]


def test_walks_give_the_order_of_torch():
    def build(library):
        inner = library.Sequential(library.Linear(2, 2), library.BatchNorm1d(2))
        model = library.Sequential(library.BatchNorm1d(2), inner, library.Linear(2, 2), inner)
        model.late = library.ModuleList([library.Linear(2, 1), library.ReLU()])
        return model

    own, other = build(nn), build(torch.nn)
    for name in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        mine = [n for n, _ in getattr(own, name)()]
        assert mine == [n for n, _ in getattr(other, name)()], name
    for name in ("named_parameters", "named_buffers", "named_modules"):
        mine = [n for n, _ in getattr(own, name)("top", remove_duplicate=False)]
        expected = [n for n, _ in getattr(other, name)(prefix="top", remove_duplicate=False)]
        assert mine == expected, name
    assert [n for n, _ in own.named_parameters(recurse=False)] == []
    assert list(own.state_dict()) == list(other.state_dict())
    assert len(list(own.modules())) == len(list(other.modules()))
    assert len(list(own.children())) == len(list(other.children()))


def test_a_network_prints_as_torch():
    assert repr(network()) == repr(torch_network())


def test_weighted_squared_errors(device):
    values = [normal(3, 2, seed=seed) for seed in (0, 1)] + [np.abs(normal(3, 2, seed=2))]
    for reduction in ("none", "sum", "mean"):
        x, target, weight = [ours(value, device) for value in values]
        t, expected_target, expected_weight = map(theirs, values)
        loss = nn.functional.mse_loss(x, target, weight=weight, reduction=reduction)
        more = {"weight": expected_weight, "reduction": reduction}
        expected = as_torch(F.mse_loss, t, expected_target, **more)
        check_close(loss, expected, "loss", *values)
        loss.sum().backward()
        expected.sum().backward()
        for a, b in ((x, t), (target, expected_target), (weight, expected_weight)):
            check_close(a.grad, b.grad, "gradient", *values)
    with pytest.raises(mg.ShapeError, match="the weight"):
        nn.functional.mse_loss(x, target, weight=mg.ones(2, device=device))


@pytest.mark.parametrize("clip", [nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_])
def test_clipping_refuses_what_is_no_parameter(clip):
    model = nn.Sequential(nn.Linear(2, 2))
    named = model.named_parameters()
    for given, name in ((nn.Linear(2, 2), "Linear"), (model, "Linear"), (named, "tuple")):
        with pytest.raises(TypeError, match=rf"{clip.__name__}.*model\.parameters.*got .*{name}"):
            clip(given, 1.0)


def test_clip_grad_norm_takes_inf_as_a_word():
    p = nn.Parameter([3.0, 4.0])
    p.grad = mg.tensor([3.0, -4.0])
    assert nn.utils.clip_grad_norm_(p, 10.0, "inf").item() == 4
