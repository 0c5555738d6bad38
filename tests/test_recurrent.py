"""RNN, LSTM and GRU against PyTorch's: every option, states, derivatives of two orders, files."""

import itertools

import numpy as np
import pytest
from torch_checks import compare, torch

import minigrad as mg
from minigrad import nn
from minigrad.backends import to_device
from minigrad.tensor import wrap

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")

T, N, D, H = 4, 3, 2, 3
KINDS = {
    "RNN": {},
    "RNN-relu": {"nonlinearity": "relu"},
    "LSTM": {},
    "LSTM-proj": {"proj_size": 2},
    "GRU": {},
}
FLAGS = [
    {"num_layers": layers, "bidirectional": both, "bias": bias, "batch_first": first}
    for layers, both, bias, first in itertools.product(
        (1, 3), (False, True), (True, False), (False, True)
    )
]


def normal(*size, seed=0):
    return np.random.RandomState(seed).standard_normal(size)


def pair(kind, dtype, device="cpu", **flags):
    """Our layer and PyTorch's, with PyTorch's weights."""
    name, options = kind.partition("-")[0], KINDS[kind] | flags
    theirs = getattr(torch.nn, name)(D, H, **options).to(getattr(torch, dtype))
    ours = getattr(nn, name)(D, H, **options, dtype=dtype).to(device)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def on(device, arrays):
    """Tensors there, none of which wants a gradient yet."""
    return [wrap(to_device(a.copy(), device)) for a in arrays]


def data(layer, dtype, batched=True):
    """An input, and initial states, as arrays."""
    lead = (N, T) if layer.batch_first and batched else (T, N) if batched else (T,)
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    widths = [layer.proj_size or H] + [H] * isinstance(layer, nn.LSTM)
    sizes = [(*lead, D)] + [(count, *((N,) if batched else ()), width) for width in widths]
    return [normal(*size, seed=k).astype(dtype) for k, size in enumerate(sizes)]


def packed(layer, states):
    return tuple(states) if "LSTM" in type(layer).__name__ else states[0]


def check(device, ours, theirs, arrays, given=True, second=False):
    """Outputs, gradients of inputs, states and parameters, and gradients of those gradients."""
    x = [a.requires_grad_() for a in on(device, arrays)]
    t = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = ours(x[0], packed(ours, x[1:])) if given else ours(x[0])
    u = theirs(t[0], packed(theirs, t[1:])) if given else theirs(t[0])
    leaves = [*zip(x, t, strict=True)] if given else [(x[0], t[0])]
    pairs = [*leaves, *zip(ours.parameters(), theirs.parameters(), strict=True)]
    # the number of steps and layers multiplies the sums through which an error can grow
    compare(y, u, pairs, second=second, amplified=T * getattr(ours, "num_layers", 1))


@pytest.mark.parametrize("flags", FLAGS, ids=lambda f: "-".join(map(str, f.values())))
@pytest.mark.parametrize("kind", KINDS)
def test_layer_equals_pytorch(kind, flags, device):
    for dtype in ("float64", "float32"):
        ours, theirs = pair(kind, dtype, device, **flags)
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert [p.shape for p in ours.parameters()] == [tuple(p.shape) for p in theirs.parameters()]
        for batched, given in itertools.product((True, False), repeat=2):
            check(device, ours, theirs, data(ours, dtype, batched), given)


@pytest.mark.parametrize("flags", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}])
@pytest.mark.parametrize("kind", KINDS)
def test_second_derivative_equals_pytorch(kind, flags, device):
    ours, theirs = pair(kind, "float64", device, **flags)
    check(device, ours, theirs, data(ours, "float64"), second=True)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(N, D), (D,)])
@pytest.mark.parametrize(
    "name, options",
    [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("LSTMCell", {}), ("GRUCell", {})],
)
def test_cell_equals_pytorch(name, options, size, bias, device):
    for dtype, given in itertools.product(("float64", "float32"), (True, False)):
        theirs = getattr(torch.nn, name)(D, H, bias=bias, **options).to(getattr(torch, dtype))
        ours = getattr(nn, name)(D, H, bias=bias, **options, dtype=dtype).to(device)
        ours.load_state_dict(theirs.state_dict())
        assert repr(ours) == repr(theirs)
        count = 2 if name == "LSTMCell" else 1
        arrays = [normal(*size).astype(dtype)]
        arrays += [normal(*size[:-1], H, seed=1 + k).astype(dtype) for k in range(count)]
        check(device, ours, theirs, arrays, given)


def test_dropout_acts_between_layers_in_training_only():
    mg.manual_seed(0)
    layer = nn.GRU(D, 50, num_layers=2, dropout=1.0)
    x = mg.tensor(normal(T, N, D).astype("float32"))
    silent = nn.GRU(50, 50)
    parts = {k[:-1] + "0": v for k, v in layer.state_dict().items() if k.endswith("1")}
    silent.load_state_dict(parts)
    starved = silent(mg.zeros(T, N, 50))[0].detach().numpy()  # what a second layer makes of zeros
    np.testing.assert_array_equal(layer(x)[0].detach().numpy(), starved)
    layer.eval()
    assert not np.array_equal(layer(x)[0].detach().numpy(), starved)
    half = nn.GRU(D, 50, num_layers=2, dropout=0.5)
    once, again = (half(x)[0].detach().numpy() for _ in range(2))
    assert not np.array_equal(once, again)
    half.eval()
    once, again = (half(x)[0].detach().numpy() for _ in range(2))
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize(
    "options, error",
    [
        ({"hidden_size": 0}, ValueError),
        ({"hidden_size": 2.0}, TypeError),
        ({"num_layers": 0}, ValueError),
        ({"dropout": 1.5}, ValueError),
        ({"dropout": -0.1}, ValueError),
        ({"proj_size": 3}, ValueError),
        ({"proj_size": -1}, ValueError),
    ],
)
def test_bad_options_are_refused(options, error):
    with pytest.raises(error, match=next(iter(options))):
        nn.LSTM(**({"input_size": D, "hidden_size": H} | options))


def test_bad_nonlinearity_and_useless_dropout():
    for layer in (nn.RNN, nn.RNNCell):
        with pytest.raises(ValueError, match="nonlinearity"):
            layer(D, H, nonlinearity="sigmoid")
    with pytest.warns(UserWarning, match="num_layers=1"):
        nn.LSTM(D, H, dropout=0.5)


@pytest.mark.parametrize("size", [(T, N, D + 1), (D,), (1, T, N, D), (0, N, D)])
def test_bad_inputs_are_refused(size):
    with pytest.raises(mg.ShapeError, match="LSTM: the input has shape"):
        nn.LSTM(D, H)(mg.zeros(*size))


def test_bad_states_are_refused():
    x, h = mg.zeros(T, N, D), mg.zeros(1, N, H)
    with pytest.raises(mg.ShapeError, match=r"h_0 has shape \(2, 3, 3\); expected \(1, 3, 3\)"):
        nn.LSTM(D, H)(x, (mg.zeros(2, N, H), h))
    with pytest.raises(mg.ShapeError, match="c_0"):
        nn.LSTM(D, H)(x, (h, mg.zeros(N, H)))
    with pytest.raises(TypeError, match="pair"):
        nn.LSTM(D, H)(x, h)
    with pytest.raises(mg.ShapeError, match="GRUCell: h has shape"):
        nn.GRUCell(D, H)(mg.zeros(N, D), mg.zeros(H))
    with pytest.raises(mg.ShapeError, match="GRUCell: the input"):
        nn.GRUCell(D, H)(mg.zeros(N, D + 1))


def test_only_an_lstm_has_a_projection():
    with pytest.raises(ValueError, match="GRU: proj_size must be 0"):
        nn.GRU(D, H, proj_size=2)
