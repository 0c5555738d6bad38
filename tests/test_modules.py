"""What modules own: what may stand in its place, and where the walks through them end."""

import copy
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


class Decoder(nn.Module):
    """A part that refers to the whole as an attribute."""

    def __init__(self, parent):
        self.layer = nn.Linear(2, 2)
        self.parent = parent


class Whole(nn.Module):
    """A module that is a part of its own part."""

    def __init__(self):
        self.encoder = nn.Linear(2, 2)
        self.decoder = Decoder(self)


# --- what takes the place of what a module owns -----------------------------------------------

INTRUDERS = {
    "Tensor": mg.ones(2),
    "ndarray": np.ones(2, np.float32),
    "float": 0.0,
    "list": [0.0, 0.0],
    "function": lambda x: x,
}


@pytest.mark.parametrize("kind", INTRUDERS)
@pytest.mark.parametrize("name", ["scale", "mean", "part"])
def test_what_would_leave_the_state_is_refused(name, kind):
    module = nn.Module()
    module.scale, module.mean = nn.Parameter([1.0, 2.0]), nn.Buffer([0.0, 0.0])
    module.part = nn.Linear(2, 2)
    before = module.state_dict().keys()
    with pytest.raises(TypeError, match=rf"cannot assign a {kind} as '{name}' of Module"):
        setattr(module, name, INTRUDERS[kind])
    assert module.state_dict().keys() == before


def test_refusal_names_the_remedy():
    layer, norm = nn.Linear(2, 2), nn.BatchNorm1d(2)
    with pytest.raises(TypeError, match=r"holds a Parameter.*nn\.Parameter\(x\).*\.bias\.data = x"):
        layer.bias = layer.bias * 0.5
    with pytest.raises(TypeError, match=r"holds a Buffer.*nn\.Buffer\(x\).*\.running_mean\.data"):
        norm.running_mean = 0.9 * norm.running_mean + 0.1
    with pytest.raises(TypeError, match=r"holds a Module.*assign an nn\.Module, or `del` '0'"):
        setattr(nn.Sequential(layer), "0", mg.tanh)
    layer.bias.data = np.ones(2, np.float32)  # as it says
    layer.bias = nn.Parameter(layer.bias * 0.5)
    norm.running_mean = nn.Buffer(0.9 * norm.running_mean + 0.1)
    np.testing.assert_array_equal(layer.state_dict()["bias"].numpy(), [0.5, 0.5])
    assert "running_mean" in norm.state_dict()


def test_what_a_module_owns_may_be_exchanged_removed_and_deleted():
    layer = nn.Linear(2, 2)
    layer.bias = nn.Buffer([1.0, 2.0])
    layer.bias = nn.Parameter([3.0, 4.0])
    layer.weight = nn.Identity()
    layer.bias = None
    assert list(layer.state_dict()) == []
    layer.bias = mg.zeros(2)  # None owns nothing
    layer.bias = 1.0
    del layer.weight
    layer.weight = mg.ones(2, 2)
    layer.bias = None
    np.testing.assert_array_equal(layer(mg.ones(1, 2)).numpy(), [[2.0, 2.0]])


def test_a_parameter_that_changes_in_place_stays():
    layer = nn.Linear(2, 2)
    weight = layer.weight
    layer.weight = weight
    assert layer.weight is weight


# --- modules inside themselves ----------------------------------------------------------------


@pytest.mark.parametrize(
    "walk",
    [
        lambda m: m.state_dict(),
        lambda m: m.load_state_dict({}),
        lambda m: list(m.named_modules(remove_duplicate=False)),
        lambda m: list(m.named_parameters(remove_duplicate=False)),
        lambda m: list(m.named_buffers(remove_duplicate=False)),
        lambda m: m.apply(lambda module: None),
    ],
    ids=["state_dict", "load_state_dict", "named_modules", "parameters", "buffers", "apply"],
)
def test_a_walk_by_names_says_where_a_circle_is(walk):
    with pytest.raises(ValueError, match=r"'decoder\.parent' is the module itself.*in a list"):
        walk(Whole())
    outer = nn.Sequential(nn.Tanh(), Whole())
    with pytest.raises(ValueError, match=r"'1\.decoder\.parent' is '1' again"):
        walk(outer)
    alone = nn.Linear(1, 1)
    alone.me = alone
    with pytest.raises(ValueError, match="'me' is the module itself"):
        walk(alone)
    a, b, c = nn.Module(), nn.Module(), nn.Module()
    a.b, b.c, c.a = b, c, a
    with pytest.raises(ValueError, match=r"'b\.c\.a' is the module itself"):
        walk(a)


@pytest.mark.parametrize("container", [nn.Sequential, nn.ModuleList])
def test_a_circle_is_refused_by_who_was_called_with_a_remedy_that_can_be_written(container):
    whole = container() if container is nn.Sequential else container([])
    whole.append(nn.Tanh()).append(whole)
    for name, arguments in (("state_dict", ()), ("load_state_dict", ({},)), ("apply", (print,))):
        with pytest.raises(ValueError, match=rf"^{name}: '1' is the module itself") as error:
            getattr(whole, name)(*arguments)
        assert "self.1" not in str(error.value)


def test_what_counts_each_module_once_passes_over_a_circle():
    whole = Whole()
    names = ["encoder.weight", "encoder.bias", "decoder.layer.weight", "decoder.layer.bias"]
    assert [name for name, _ in whole.named_parameters()] == names
    assert [name for name, _ in whole.named_modules()] == [
        *("", "encoder", "decoder", "decoder.layer")
    ]
    assert next(whole.modules()) is whole
    assert not whole.eval().decoder.layer.training
    assert whole.train().decoder.training
    whole.requires_grad_(False).requires_grad_().zero_grad()
    assert whole.astype("float64").to("cpu").decoder.layer.weight.dtype == np.float64
    text = "Decoder(\n    (layer): Linear(in_features=2, out_features=2, bias=True)\n"
    assert f"(decoder): {text}    (parent): ...\n  )" in repr(whole)
    for twin in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        assert twin.decoder.parent is twin is not whole


def test_a_reference_in_a_list_is_no_part():
    whole = Whole()
    parent, whole.decoder.parent = [whole], None
    whole.decoder.parent = parent
    assert list(whole.state_dict()) == [
        *("encoder.weight", "encoder.bias", "decoder.layer.weight", "decoder.layer.bias")
    ]


def test_a_module_with_several_names_is_no_circle():
    shared = nn.Linear(1, 1)
    module = nn.Sequential(shared, nn.Sequential(shared, nn.Sequential(shared)), shared)
    assert len(module.state_dict()) == 8
    assert [name for name, _ in module.named_modules(remove_duplicate=False)] == [
        *("", "0", "1", "1.0", "1.1", "1.1.0", "2")
    ]
    assert len(list(module.parameters())) == 2
    module.load_state_dict(module.state_dict())
    seen = []
    module.apply(seen.append)
    assert seen == [shared, shared, shared, module[1][1], module[1], module]


def test_a_chain_of_modules_may_be_deep():
    module = nn.Linear(1, 1)
    for _ in range(3_000):
        module, inner = nn.Module(), module
        module.i = inner
    assert len(list(module.parameters())) == 2
    assert len(module.eval().state_dict()) == 2
    count = []
    module.apply(count.append)
    assert len(count) == 3_001
