"""Modules without PyTorch: what they find, load, move and refuse."""

import copy
import io
import itertools
import math
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DTypeError, ShapeError
from minigrad.nn import init


def network():
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2))


def values(module):
    return {name: value.numpy().copy() for name, value in module.state_dict().items()}


def assert_same(module, expected):
    for name, value in values(module).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


# --- what a module finds ----------------------------------------------------------------------


class Mixed(nn.Module):
    """A part before its own parameter, and attributes that are none of its business."""

    def __init__(self):
        self.part = nn.Linear(2, 1)
        self.mean = nn.Buffer(mg.zeros(1))
        self.scale = nn.Parameter([1.0])
        self.plain = mg.ones(3)
        self.absent = None
        self.listed = [nn.Linear(2, 2)]

    def forward(self, x, times=1):
        return self.part(x) * self.scale * times


def test_module_finds_parameters_buffers_and_parts_and_nothing_else():
    module = Mixed()
    assert list(module.state_dict()) == ["scale", "mean", "part.weight", "part.bias"]
    assert [p.shape for p in module.parameters()] == [(1,), (1, 2), (1,)]
    assert [b.shape for b in module.buffers()] == [(1,)]
    assert list(module.children()) == [module.part]
    assert list(module.modules()) == [module, module.part]


def test_attributes_assigned_later_are_found_and_deleted_ones_are_not():
    module = Mixed()
    module.absent = nn.Parameter([2.0])
    assert "absent" in module.state_dict()
    module.absent = None
    del module.part
    assert list(module.state_dict()) == ["scale", "mean"]


def test_call_passes_arguments_on():
    y = Mixed()(mg.ones(3, 2), times=0)
    np.testing.assert_array_equal(y.detach().numpy(), np.zeros((3, 1)))


def test_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match=r"Broken has no forward\(\)"):
        type("Broken", (nn.Module,), {})()(1)


def test_parameter_is_a_leaf_with_a_gradient():
    p = nn.Parameter(mg.ones(2) * 3)
    assert p.requires_grad
    assert p._record is None
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad
    assert isinstance(p, mg.Tensor)
    assert not hasattr(p, "__dict__")
    assert type(p.detach()) is mg.Tensor
    (p * 2).sum().backward()
    np.testing.assert_array_equal(p.grad.numpy(), [2, 2])


def test_train_and_eval_reach_all_parts():
    module = network()
    assert module.eval() is module
    assert not any(part.training for part in module.modules())
    assert module.train() is module
    assert all(part.training for part in module.modules())


def test_apply_reaches_parts_before_the_whole():
    seen = []
    module = network()
    assert module.apply(seen.append) is module
    assert seen == [*module.children(), module]


def test_frozen_parameters_get_no_gradient():
    module = network().requires_grad_(False)
    module[3].requires_grad_()
    module(mg.randn(3, 4)).sum().backward()
    assert [p.grad is None for p in module.parameters()] == [True] * 4 + [False] * 2
    module.zero_grad()
    assert all(p.grad is None for p in module.parameters())


# --- states -----------------------------------------------------------------------------------


def test_state_is_a_snapshot():
    module = network()
    before, state = values(module), module.state_dict()
    for value in module.parameters():
        value.data[...] = 7
    assert not any(v.requires_grad for v in state.values())
    for name, value in state.items():
        np.testing.assert_array_equal(value.numpy(), before[name])
        value.data[...] = 5
    assert all((p.data == 7).all() for p in module.parameters())


def test_state_of_a_transposed_parameter_is_row_major():
    module = Mixed()
    module.scale = nn.Parameter(mg.ones(2, 3).T)
    assert module.state_dict()["scale"].data.flags.c_contiguous


def test_load_copies_into_the_arrays_and_keeps_dtype():
    module, other = network(), network()
    arrays = [p.data for p in module.parameters()]
    state = {n: v.numpy().astype(np.float64) for n, v in other.state_dict().items()}
    assert module.load_state_dict(state) == ([], [])
    assert_same(module, values(other))
    for p, array in zip(module.parameters(), arrays, strict=True):
        assert p.data is array
        assert p.dtype == np.float32


def test_load_takes_tensors_arrays_and_whatever_has_array():
    class Archived:
        def __array__(self, dtype=None, copy=None):
            return np.full((2, 5), 3.0)

    module = network()
    state = dict(network().named_parameters()) | {"3.weight": Archived(), "3.bias": np.ones(2)}
    module.load_state_dict(state, strict=False)
    assert (module[3].weight.data == 3).all()


def test_load_lists_everything_that_does_not_fit_and_changes_nothing():
    module = network()
    before = values(module)
    state = {name: np.zeros_like(value) for name, value in before.items()}
    del state["0.weight"], state["1.running_var"]
    state |= {
        "0.bias": np.zeros(4),
        "3.bias": "text",
        "3.weight": np.array([["a"] * 5] * 2),
        "extra": np.zeros(1),
    }
    with pytest.raises(nn.StateDictError) as caught:
        module.load_state_dict(state)
    message = str(caught.value)
    assert isinstance(caught.value, RuntimeError)
    assert "missing: 0.weight, 1.running_var" in message
    assert "unexpected: extra" in message
    assert "0.bias: shape (4,), expected (5,)" in message
    assert "3.bias: expected a Tensor or an array, got 'text' (str)" in message
    assert "3.weight: expected numbers" in message
    assert_same(module, before)


def test_load_that_is_not_strict_skips_names_but_not_shapes():
    module = network()
    before = values(module)
    found = module.load_state_dict({"3.bias": np.ones(2), "extra": 0}, strict=False)
    assert found.unexpected_keys == ["extra"]
    assert found.missing_keys == [name for name in before if name != "3.bias"]
    assert_same(module, before | {"3.bias": np.ones(2)})
    with pytest.raises(nn.StateDictError, match="shape"):
        module.load_state_dict({"3.bias": np.ones(3)}, strict=False)


def test_tied_parameters_load_and_move_as_one():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[1].weight = module[0].weight
    assert len(list(module.parameters())) == 3
    module.astype("float64")
    assert module[1].weight is module[0].weight
    module.load_state_dict(module.state_dict())


# --- moving and copying -----------------------------------------------------------------------


def test_astype_keeps_objects_and_integers():
    module = network()
    module(mg.randn(3, 4)).sum().backward()
    before = list(module.parameters())
    gradient = before[0].grad.numpy().astype(np.float64)
    assert module.astype("float64") is module
    assert all(a is b for a, b in zip(module.parameters(), before, strict=True))
    assert {p.dtype for p in module.parameters()} == {np.dtype("float64")}
    assert module[1].running_mean.dtype == np.float64
    assert module[1].num_batches_tracked.dtype == np.int64
    np.testing.assert_array_equal(before[0].grad.numpy(), gradient)
    with pytest.raises(TypeError, match="floating-point"):
        module.astype(int)


def test_to_refuses_an_unknown_device():
    with pytest.raises(mg.DeviceError, match="'tpu'"):
        network().to("tpu")
    assert network().to("cpu")[0].weight.device == "cpu"


def test_deepcopy_shares_nothing():
    module = network()
    module(mg.randn(3, 4)).sum().backward()
    twin = copy.deepcopy(module)
    assert_same(twin, values(module))
    assert type(twin[0].weight) is nn.Parameter
    assert type(twin[1].running_mean) is nn.Buffer
    for a, b in zip(module.state_dict().values(), twin.state_dict().values(), strict=True):
        assert a is not b
    for a, b in zip(module.parameters(), twin.parameters(), strict=True):
        assert not np.shares_memory(a.data, b.data)
        np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy())
        assert not np.shares_memory(a.grad.data, b.grad.data)


def test_pickle_keeps_values_and_ties():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[1].weight = module[0].weight
    module[0].bias.requires_grad_(False)
    twin = pickle.load(io.BytesIO(pickle.dumps(module)))
    assert_same(twin, values(module))
    assert twin[1].weight is twin[0].weight
    assert not twin[0].bias.requires_grad


# --- containers -------------------------------------------------------------------------------


def test_sequential_is_indexed_cut_and_changed_as_a_list():
    layers = [nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)]
    model = nn.Sequential(*layers)
    assert len(model) == 3
    assert list(model) == layers
    assert model[-1] is layers[2]
    assert list(model[1:]) == layers[1:]
    assert list(model[1:].state_dict()) == ["2.weight", "2.bias"]  # names stay, as in PyTorch
    model[1] = nn.ReLU()
    assert isinstance(model[1], nn.ReLU)
    model.append(nn.Sigmoid()).extend([nn.Tanh()])
    model.insert(0, nn.Identity())
    assert [type(layer).__name__ for layer in model] == [
        "Identity",
        "Linear",
        "ReLU",
        "Linear",
        "Sigmoid",
        "Tanh",
    ]
    del model[0]
    del model[-2:]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert model(mg.ones(4, 2)).shape == (4, 1)
    with pytest.raises(IndexError, match="index 3 of 3"):
        model[3]


def test_sequential_takes_names():
    model = nn.Sequential(OrderedDict(first=nn.Linear(2, 2), second=nn.Tanh()))
    assert list(model.state_dict()) == ["first.weight", "first.bias"]
    assert isinstance(model[1], nn.Tanh)
    assert nn.Sequential()(mg.ones(1)).item() == 1


def test_sequential_calls_every_layer(monkeypatch):
    """So a trace by `Module.__call__` sees them all, with what each gets and gives."""
    layers = [nn.Linear(4, 6), nn.BatchNorm1d(6), nn.LeakyReLU(0.2), nn.Linear(6, 1), nn.Sigmoid()]
    model, seen, call = nn.Sequential(*layers), [], nn.Module.__call__

    def traced(self, x):
        y = call(self, x)
        seen.append((self, x, y))
        return y

    monkeypatch.setattr(nn.Module, "__call__", traced)
    y = model(mg.randn(5, 4))
    assert [module for module, _, _ in seen] == [*layers, model]
    for (_, _, given), (_, taken, _) in itertools.pairwise(seen[:-1]):
        assert given is taken
    assert seen[-1][2] is seen[-2][2] is y


def test_sequential_may_hold_a_layer_twice():
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, layer)
    x = mg.ones(1, 2)
    np.testing.assert_array_equal(model(x).data, layer(layer(x)).data)
    assert len(list(model.parameters())) == 2
    assert len(model.state_dict()) == 4


def test_module_list_is_numbered_anew():
    layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 3)])
    assert list(layers[1:].state_dict()) == ["0.weight", "0.bias"]
    layers.append(nn.Tanh())
    assert len(layers) == 3
    with pytest.raises(NotImplementedError):
        layers(mg.ones(1))


def test_containers_refuse_what_is_no_module():
    for build in (lambda: nn.Sequential(nn.Tanh(), mg.tanh), lambda: nn.ModuleList([1])):
        with pytest.raises(TypeError, match="expected modules, got"):
            build()


# --- initial values ---------------------------------------------------------------------------


def test_initial_values_come_from_the_seed():
    mg.manual_seed(3)
    first = values(network())
    mg.manual_seed(3)
    assert_same(network(), first)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_init_fills_in_place_outside_the_graph(dtype):
    weight = nn.Parameter(mg.zeros(300, 200, dtype=dtype))
    array = weight.data
    # the spread of 60,000 draws is within 2 percent of the distribution's (ten times its scatter)
    for fill, mean, std in [
        (lambda w: init.uniform_(w, -1, 3), 1, 4 / math.sqrt(12)),
        (lambda w: init.normal_(w, 1.0, 0.3), 1, 0.3),
        (lambda w: init.xavier_uniform_(w, 2.0), 0, 2 * math.sqrt(2 / 500)),
        (lambda w: init.xavier_normal_(w, 2.0), 0, 2 * math.sqrt(2 / 500)),
        (lambda w: init.kaiming_uniform_(w, nonlinearity="relu"), 0, math.sqrt(2 / 200)),
        (lambda w: init.kaiming_normal_(w, mode="fan_out"), 0, math.sqrt(2 / 300)),
        (lambda w: init.kaiming_normal_(w, a=2.0), 0, math.sqrt(2 / 5 / 200)),
    ]:
        assert fill(weight) is weight
        assert weight.data is array
        assert weight._record is None
        assert weight.dtype == dtype
        assert float(array.std()) == pytest.approx(std, rel=0.02)
        assert float(array.mean()) == pytest.approx(mean, abs=0.03 * std)
    assert (init.constant_(weight, 2.5).data == 2.5).all()
    assert (init.ones_(weight).data == 1).all()
    assert (init.zeros_(weight).data == 0).all()
    np.testing.assert_array_equal(init.eye_(weight).data, np.eye(300, 200))


@pytest.mark.parametrize("size", [(3, 5), (5, 3), (4, 2, 3)])
def test_orthogonal_is_orthogonal(size):
    q = init.orthogonal_(mg.zeros(*size, dtype="float64"), gain=2.0).numpy().reshape(size[0], -1)
    product = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(product, 4 * np.eye(min(q.shape)), atol=1e-14)


def test_init_refuses_what_it_cannot_do():
    vector = mg.zeros(3)
    for fill in (init.xavier_uniform_, init.kaiming_normal_, init.orthogonal_, init.eye_):
        with pytest.raises(ShapeError, match=r"\(3,\)"):
            fill(vector)
    with pytest.raises(ValueError, match="fan_all"):
        init.kaiming_uniform_(mg.zeros(2, 2), mode="fan_all")
    with pytest.raises(ValueError, match="swish"):
        init.calculate_gain("swish")
    assert init.calculate_gain("tanh") == 5 / 3


def test_layers_without_inputs_can_be_made():
    layer = nn.Linear(0, 2)
    np.testing.assert_array_equal(layer(mg.ones(3, 0)).detach().numpy(), np.zeros((3, 2)))


@pytest.mark.parametrize(
    "build",
    [
        lambda **place: nn.Linear(2, 3, **place),
        lambda **place: nn.BatchNorm1d(3, **place),
        lambda **place: nn.LayerNorm(3, **place),
        lambda **place: nn.Embedding(2, 3, **place),
    ],
)
def test_layers_are_made_in_a_dtype_and_on_a_device(build):
    layer = build(dtype="float64", device="cpu")
    assert {p.dtype for p in layer.parameters()} == {np.dtype("float64")}
    with pytest.raises(mg.DeviceError, match="nowhere"):
        build(device="nowhere")


# --- dropout ----------------------------------------------------------------------------------


def test_dropout_zeroes_a_share_and_keeps_the_mean():
    mg.manual_seed(0)
    x = mg.ones(100_000, requires_grad=True)
    y = nn.Dropout(0.3)(x)
    kept = y.data != 0
    scatter = math.sqrt(0.3 * 0.7 / x.size)
    assert abs(kept.mean() - 0.7) < 5 * scatter
    np.testing.assert_allclose(y.data[kept], 1 / 0.7, rtol=1e-6)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.data)


def test_dropout_follows_the_seed_the_mode_and_the_dtype():
    layer, x = nn.Dropout(0.5), mg.ones(50, dtype="float64")
    mg.manual_seed(1)
    first = layer(x)
    mg.manual_seed(1)
    np.testing.assert_array_equal(layer(x).data, first.data)
    assert first.dtype == np.float64
    assert layer.eval()(x) is x
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"between 0 and 1, got {p}"):
            nn.Dropout(p)
    assert repr(nn.Dropout(0.2)) == "Dropout(p=0.2, inplace=False)"


# --- errors -----------------------------------------------------------------------------------

INTEGERS = mg.tensor([1, 0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Linear(4, 2)(mg.ones(3, 5)), ShapeError, r"\(3, 5\).*in_features=4"),
        (lambda: nn.Linear(4, 2)(mg.ones(())), ShapeError, r"shape \(\)"),
        (lambda: nn.BatchNorm1d(4)(mg.ones(4)), ShapeError, r"BatchNorm1d\(4\).*\(4,\)"),
        (lambda: nn.BatchNorm1d(4)(mg.ones(2, 3)), ShapeError, "3 channels"),
        (lambda: nn.BatchNorm1d(4)(mg.ones(1, 4)), ShapeError, "more than 1 value.*eval"),
        (lambda: nn.BatchNorm1d(4)(mg.ones(2, 4, 1, 1)), ShapeError, r"\(N, C, L\)"),
        (lambda: nn.functional.batch_norm(mg.ones(3), None, None), ShapeError, r"\(3,\)"),
        (lambda: nn.functional.batch_norm(mg.ones(3, 2), None, None), ValueError, "running_mean"),
        (lambda: nn.LayerNorm((2, 3))(mg.ones(3, 3)), ShapeError, r"normalized_shape=\(2, 3\)"),
        (lambda: nn.Flatten()(mg.ones(3)), ShapeError, r"start_dim=1.*\(3,\)"),
        (lambda: nn.Flatten(2, 1)(mg.ones(2, 2, 2)), ShapeError, "comes after"),
        (lambda: nn.Embedding(3, 2)(mg.tensor([0, 3])), IndexError, "0 to 3.*rows 0 to 2"),
        (lambda: nn.Embedding(3, 2)(mg.tensor([-1])), IndexError, "-1"),
        (lambda: nn.Embedding(3, 2)(mg.ones(2)), DTypeError, "float32"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), ValueError, "padding_idx=3"),
        (lambda: nn.BCELoss()(mg.ones(3, 1), mg.ones(3)), ShapeError, r"\(3, 1\).*\(3,\)"),
        (lambda: nn.BCELoss()(mg.full(2, 1.5), mg.ones(2)), ValueError, "1.5.*sigmoid"),
        (lambda: nn.BCEWithLogitsLoss()(mg.ones(3), mg.ones(1)), ShapeError, "same"),
        (lambda: nn.MSELoss(reduction="average"), ValueError, "'average'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=1.5), ValueError, "1.5"),
        (lambda: nn.CrossEntropyLoss()(mg.ones(2, 3), mg.ones(2)), DTypeError, "astype"),
        (lambda: nn.CrossEntropyLoss()(mg.ones(2, 2), mg.tensor([[0, 1]] * 2)), DTypeError, "prob"),
        (
            lambda: nn.CrossEntropyLoss(ignore_index=1)(mg.ones(2, 2), mg.ones(2, 2)),
            ValueError,
            "ignore_index=1 leaves out targets that are classes",
        ),
        (
            lambda: nn.functional.batch_norm(mg.ones(3, 2), None, None, training=True, eps=0),
            ValueError,
            "eps must be above 0 in training, got 0",
        ),
        (lambda: nn.functional.linear(mg.ones(2), mg.ones(1, 1, 2)), ShapeError, r"\(1, 1, 2\)"),
        (lambda: nn.functional.embedding(INTEGERS, mg.ones(2)), ShapeError, r"table.*\(2,\)"),
        (lambda: nn.Linear(4, 2).load_state_dict([mg.ones(2)]), TypeError, "names with Tensors"),
        (lambda: nn.CrossEntropyLoss()(mg.ones(3, 4), INTEGERS), ShapeError, r"target.*\(2,\)"),
        (lambda: nn.CrossEntropyLoss()(mg.ones(2, 1), INTEGERS), IndexError, "1 classes"),
        (lambda: nn.CrossEntropyLoss()(mg.ones(()), INTEGERS), ShapeError, r"shape \(\)"),
        (lambda: nn.CrossEntropyLoss(mg.ones(3))(mg.ones(2, 4), INTEGERS), ShapeError, "weight"),
        (lambda: nn.NLLLoss()(mg.ones(()), mg.tensor(1)), ShapeError, "nll_loss"),
        (
            lambda: nn.utils.vector_to_parameters(mg.ones(3), [mg.ones(2)]),
            ShapeError,
            r"\(3,\).*2 values",
        ),
    ],
)
def test_errors_say_what_came_and_what_was_expected(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_failed_training_batch_leaves_the_statistics_alone():
    layer = nn.BatchNorm1d(3)
    for batch in (mg.ones(1, 3), mg.ones(4, 2)):
        with pytest.raises(ShapeError):
            layer(batch)
    assert layer.num_batches_tracked.item() == 0
    np.testing.assert_array_equal(layer.running_mean.numpy(), np.zeros(3))


# --- on a GPU, or on a stand-in that refuses NumPy's arrays ------------------------------------


ROWS = np.array([1, 2, 2, 0])
PROBABILITIES = np.random.RandomState(0).dirichlet(np.ones(3), 4).astype(np.float32)
PLACED = [
    (lambda: nn.Linear(3, 2), []),
    (lambda: nn.BatchNorm1d(3), []),
    (lambda: nn.BatchNorm1d(3, momentum=None), []),
    (lambda: nn.BatchNorm1d(3).eval(), []),
    (lambda: nn.LayerNorm(3), []),
    (lambda: nn.Sequential(nn.ReLU(), nn.LeakyReLU(), nn.Tanh(), nn.Sigmoid()), []),
    (lambda: nn.Sequential(nn.Softmax(1), nn.Flatten(0)), []),
    (lambda: nn.LogSoftmax(1), []),
    (lambda: nn.MSELoss(), [PROBABILITIES]),
    (lambda: nn.Sequential(nn.Sigmoid(), Against(nn.BCELoss(), PROBABILITIES)), []),
    (lambda: nn.BCEWithLogitsLoss(pos_weight=mg.ones(3)), [PROBABILITIES]),
    (lambda: nn.CrossEntropyLoss(), [ROWS]),
    (lambda: nn.CrossEntropyLoss(mg.ones(3), label_smoothing=0.1, ignore_index=1), [ROWS]),
    (lambda: nn.CrossEntropyLoss(label_smoothing=0.1), [PROBABILITIES]),
    (lambda: nn.NLLLoss(), [ROWS]),
]


class Against(nn.Module):
    """A loss with its target."""

    def __init__(self, loss, target):
        self.loss, self.target = loss, nn.Buffer(mg.tensor(target))

    def forward(self, x):
        return self.loss(x, self.target)


def place_and_pull(module, arrays, device):
    """Outputs, gradients and buffers after a pass on a device, as NumPy arrays."""
    x, *others = [mg.tensor(array, device=device) for array in arrays]
    x.requires_grad_()
    module.to(device)
    y = module(x, *others)
    (y * y).sum().backward()
    tensors = [y.detach(), x.grad, *[p.grad for p in module.parameters()], *module.buffers()]
    assert {t.device for t in tensors} == {device}
    return [t.to("cpu").numpy() for t in tensors]


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("build", "others"), PLACED)
def test_layers_and_losses_on_a_gpu_give_what_they_give_on_the_cpu(build, others):
    module = build()
    twin = copy.deepcopy(module)
    x = np.random.RandomState(1).standard_normal((4, 3)).astype(np.float32)
    here = place_and_pull(module, [x, *others], "cpu")
    there = place_and_pull(twin, [x, *others], "gpu")
    for a, b in zip(here, there, strict=True):
        # the same sums in another order: 64 roundings of numbers up to 10
        np.testing.assert_allclose(a, b, rtol=0, atol=64 * 10 * np.finfo(np.float32).eps)


@pytest.mark.usefixtures("gpu")
def test_what_draws_looks_up_and_converts_on_a_gpu():
    layer = nn.Embedding(5, 2, padding_idx=1, scale_grad_by_freq=True, device="gpu")
    layer(mg.tensor(ROWS, device="gpu")).sum().backward()
    expected = np.array([[1, 1], [0, 0], [1, 1], [0, 0], [0, 0]])
    np.testing.assert_array_equal(layer.weight.grad.to("cpu").numpy(), expected)
    y = nn.Dropout(0.5)(mg.ones(50, device="gpu"))
    assert set(y.to("cpu").numpy().tolist()) == {0.0, 2.0}
    layer.load_state_dict({"weight": np.ones((5, 2))})
    np.testing.assert_array_equal(layer.state_dict()["weight"].to("cpu").numpy(), np.ones((5, 2)))
    for norm_type in (1, 2, 3.0, math.inf):
        norm = nn.utils.clip_grad_norm_(layer.parameters(), 0.1, norm_type)
        assert norm.device == "gpu"
    nn.utils.clip_grad_value_(layer.parameters(), 0.01)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    nn.utils.vector_to_parameters(vector.detach().to("cpu"), layer.parameters())
    assert layer.weight.device == "gpu"


def test_an_empty_batch_leaves_the_running_statistics_and_is_counted():
    layer = nn.BatchNorm1d(3)
    assert layer(mg.ones(0, 3)).shape == (0, 3)
    assert layer.running_mean.tolist() == [0, 0, 0]
    assert layer.num_batches_tracked.item() == 1
    assert nn.functional.batch_norm(mg.ones(0, 3), None, None, training=True).shape == (0, 3)


def test_clipping_without_gradients_changes_nothing():
    x = mg.ones(2).requires_grad_()
    nn.utils.clip_grad_value_([x], 0.5)
    assert x.grad is None


@pytest.mark.parametrize("layer", [nn.Softmax, nn.LogSoftmax])
def test_the_axis_of_a_softmax_is_shown(layer):
    assert repr(layer(dim=-1)) == f"{layer.__name__}(dim=-1)"


def test_options_of_an_embedding_are_shown():
    table = nn.Embedding(3, 2, 0, max_norm=1.0, norm_type=1.0, scale_grad_by_freq=True, sparse=True)
    assert repr(table) == (
        "Embedding(3, 2, padding_idx=0, max_norm=1.0, norm_type=1.0, scale_grad_by_freq=True, "
        "sparse=True)"
    )


def test_a_value_that_gives_no_array_is_refused_in_its_own_words():
    class Elsewhere:
        def __array__(self, *args, **kwargs):
            raise TypeError("it is on another machine")

    with pytest.raises(mg.nn.StateDictError, match="bias: it is on another machine"):
        nn.Linear(1, 1).load_state_dict({"weight": np.ones((1, 1)), "bias": Elsewhere()})
