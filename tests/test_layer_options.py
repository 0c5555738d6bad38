"""Options of layers that are set after the constructor count from then on, as in PyTorch."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ShapeError

torch = pytest.importorskip("torch")

LATER = [
    ("BatchNorm1d", (3,), {"track_running_stats": False}),
    ("BatchNorm1d", (3,), {"track_running_stats": False, "momentum": None}),
    ("BatchNorm1d", (3,), {"momentum": 0.5}),
    ("BatchNorm1d", (3,), {"momentum": None}),
    ("BatchNorm1d", (3,), {"momentum": None, "num_batches_tracked": None}),
    ("BatchNorm1d", (3,), {"num_batches_tracked": None}),
    ("BatchNorm1d", (3,), {"eps": 0.5}),
    ("BatchNorm1d", (3,), {"weight": None, "bias": None}),
    ("BatchNorm1d", (3,), {"affine": False}),
    ("BatchNorm1d", (3,), {"running_mean": None, "running_var": None}),
    ("LayerNorm", (3,), {"eps": 0.5}),
    ("LayerNorm", (3,), {"weight": None}),
    ("LayerNorm", (3,), {"elementwise_affine": False}),
    ("Linear", (3, 4), {"bias": None}),
    ("LeakyReLU", (), {"negative_slope": 0.5}),
    ("LeakyReLU", (), {"negative_slope": -0.5}),
    ("Softmax", (1,), {"dim": 0}),
    ("LogSoftmax", (1,), {"dim": 0}),
    ("Flatten", (), {"start_dim": 0}),
    ("Dropout", (), {"p": 0.0}),
    ("Dropout", (), {"p": 1.0}),
    ("RNNCell", (3, 4), {"nonlinearity": "relu"}),
]
LATER += [(kind, (3, 4, 2), {"batch_first": True}) for kind in ("RNN", "LSTM", "GRU")]
LATER += [(kind, (3, 4, 2), {"dropout": 1.0}) for kind in ("RNN", "LSTM", "GRU")]
both_modes = pytest.mark.parametrize("training", [True, False])


def named(value):
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


@both_modes
@pytest.mark.parametrize(("kind", "args", "options"), LATER, ids=named)
def test_an_option_set_later_counts_as_in_torch(kind, args, options, training):
    layer, other = getattr(nn, kind)(*args), getattr(torch.nn, kind)(*args)
    layer.load_state_dict(other.state_dict())
    size = (6, 5, 3) if kind in ("RNN", "LSTM", "GRU") else (5, 3)
    x = np.random.RandomState(0).standard_normal((2, *size)).astype(np.float32)
    layer(mg.tensor(x[0])), other(torch.tensor(x[0]))  # with the options as they were
    for module in (layer, other):
        module.train(training)
        for name, value in options.items():
            setattr(module, name, value)
    y, expected = layer(mg.tensor(x[1])), other(torch.tensor(x[1]))
    if isinstance(y, tuple):
        y, expected = y[0], expected[0]
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), atol=2e-5)
    for name, value in other.state_dict().items():
        own = layer.state_dict()[name].numpy()
        np.testing.assert_allclose(own, value.numpy(), atol=2e-5, err_msg=name)


@pytest.mark.parametrize(
    "options", [{"padding_idx": 1}, {"padding_idx": -1}, {"max_norm": 0.5}, {"norm_type": 1.0}]
)
def test_options_of_an_embedding_set_later_count_as_in_torch(options):
    layer, other = nn.Embedding(4, 3, max_norm=1.0), torch.nn.Embedding(4, 3, max_norm=1.0)
    layer.load_state_dict(other.state_dict())
    for name, value in options.items():
        setattr(layer, name, value)
        setattr(other, name, value)
    rows = np.array([0, 1, 3, 1])
    layer(mg.tensor(rows)).sum().backward()
    other(torch.tensor(rows)).sum().backward()
    np.testing.assert_allclose(layer.weight.data, other.weight.detach().numpy(), atol=1e-6)
    np.testing.assert_array_equal(layer.weight.grad.numpy(), other.weight.grad.numpy())


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("CrossEntropyLoss", "ignore_index", 1),
        ("CrossEntropyLoss", "label_smoothing", 0.3),
        ("NLLLoss", "ignore_index", 1),
        *[
            (kind, "reduction", value)
            for kind in ("CrossEntropyLoss", "NLLLoss", "MSELoss", "BCELoss", "BCEWithLogitsLoss")
            for value in ("sum", "none")
        ],
    ],
)
def test_options_of_a_loss_set_later_count_as_in_torch(kind, option, value):
    loss, other = getattr(nn, kind)(), getattr(torch.nn, kind)()
    setattr(loss, option, value)
    setattr(other, option, value)
    x = np.random.RandomState(0).uniform(0.1, 0.9, (5, 3))
    target = np.array([0, 1, 2, 1, 1]) if kind in ("CrossEntropyLoss", "NLLLoss") else x[::-1]
    y = loss(mg.tensor(x), mg.tensor(target)).numpy()
    expected = other(torch.tensor(x), torch.tensor(target.copy()))
    np.testing.assert_allclose(y, expected.numpy(), rtol=1e-12)


def test_an_unknown_nonlinearity_set_later_is_refused():
    for layer, x in ((nn.RNNCell(3, 4), mg.ones(3)), (nn.RNN(3, 4), mg.ones(5, 2, 3))):
        layer.nonlinearity = "sigmoid"
        with pytest.raises(ValueError, match="expected 'tanh' or 'relu', got 'sigmoid'"):
            layer(x)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_biases_switched_off_later_do_not_count(kind):
    layer, without = getattr(nn, kind)(3, 4), getattr(nn, kind)(3, 4, bias=False)
    without.load_state_dict(layer.state_dict(), strict=False)
    layer.bias = False
    x = mg.randn(5, 2, 3)
    np.testing.assert_array_equal(layer(x)[0].detach().numpy(), without(x)[0].detach().numpy())


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_parameters_of_layer_norm_do_not_broadcast(name):
    layer = nn.LayerNorm(3)
    setattr(layer, name, nn.Parameter([1.0]))
    with pytest.raises(ShapeError, match=rf"layer_norm: {name} has shape \(1,\); expected \(3,\)"):
        layer(mg.ones(2, 3))


def test_one_size_of_layer_norm_is_a_shape():
    layer, x = nn.LayerNorm(3), mg.randn(2, 3)
    expected = layer(x).detach().data
    layer.normalized_shape = 3
    np.testing.assert_array_equal(layer(x).detach().data, expected)
    np.testing.assert_array_equal(nn.functional.layer_norm(x, 3).data, expected)


def test_running_variance_does_not_broadcast():
    layer = nn.BatchNorm1d(3)
    layer.running_var = nn.Buffer([1.0])
    with pytest.raises(ShapeError, match=r"running_var has shape \(1,\)"):
        layer(mg.ones(2, 3))


MISFITS = {  # options set later, and shapes of parameters, that the layer's own do not fit
    "directions off": (("num_layers", "bidirectional"), {"bidirectional": False}, "weight_ih_l1"),
    "directions on": (("num_layers",), {"bidirectional": True}, "weight_ih_l0_reverse is missing"),
    "one layer with two": (
        ("num_layers",),
        {"bidirectional": True, "num_layers": 1},
        "weight_ih_l0_reverse is missing",
    ),
    "more layers": ((), {"num_layers": 2}, "weight_ih_l1 is missing"),
    "biases on": (("no bias",), {"bias": True}, "bias_ih_l0 is missing"),
    "hidden size": ((), {"hidden_size": 5}, "weight_ih_l0 has shape"),
    "one bias None": ((), {"bias_ih_l0": None}, "bias_ih_l0 is missing"),
    "wide weight": ((), {"weight_ih_l0": (1, 1)}, r"weight_ih_l0 has shape .*; expected .*, 3\)"),
    "narrow weight": ((), {"weight_ih_l0": (1, -1)}, "weight_ih_l0 has shape"),
    "one bias for all": ((), {"bias_hh_l0": None, "bias": True}, "bias_hh_l0 is missing"),
}


@pytest.mark.parametrize("name", MISFITS)
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_options_that_the_parameters_do_not_fit_are_refused(kind, name):
    """With as many inputs as hidden units another layer's weights would fit, and compute."""
    made_with, later, message = MISFITS[name]
    options = {"num_layers": 2 if "num_layers" in made_with else 1}
    layer = getattr(nn, kind)(
        3, 3, bidirectional="bidirectional" in made_with, bias="no bias" not in made_with, **options
    )
    for option, value in later.items():
        if isinstance(value, tuple):
            rows, columns = getattr(layer, option).shape
            value = nn.Parameter(mg.zeros(rows, columns + value[1]))
        setattr(layer, option, value)
    with pytest.raises(ShapeError, match=rf"{kind}\(3, .*: .*{message}.*make a new layer"):
        layer(mg.ones(5, 2, 3))


def test_fewer_layers_set_later_are_the_first_ones():
    layer, one = nn.LSTM(3, 4, 2, bidirectional=True), nn.LSTM(3, 4, bidirectional=True)
    one.load_state_dict({k: v for k, v in layer.state_dict().items() if "_l0" in k})
    layer.num_layers, x = 1, mg.randn(5, 2, 3)
    np.testing.assert_array_equal(layer(x)[0].detach().data, one(x)[0].detach().data)
    assert layer(x)[1][0].shape == (2, 2, 4) and len(layer.all_weights) == 2
