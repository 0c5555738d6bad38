"""Initial values of arrays: what a repository in PyTorch's style gives to `nn.init`."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DTypeError, ShapeError
from minigrad.nn import init

FILLS = [name for name in init.__all__ if name.endswith("_")]
DRAWS = [name for name in FILLS if name not in ("constant_", "zeros_", "ones_", "eye_")]
OPTIONS = {"constant_": {"val": 3}, "normal_": {"mean": 0.0, "std": 0.02}}


def fill(name, tensor):
    return getattr(init, name)(tensor, **OPTIONS.get(name, {}))


def drawn(name, tensor):
    mg.manual_seed(7)
    return fill(name, tensor)


@pytest.mark.parametrize("name", FILLS)
def test_array_is_filled_as_a_tensor_is(name):
    layer, tensor = nn.Linear(3, 4), mg.zeros(4, 3)
    array = layer.weight.data
    assert drawn(name, array) is array
    np.testing.assert_array_equal(array, drawn(name, tensor).numpy())
    assert layer.weight.data is array


@pytest.mark.parametrize("name", FILLS)
@pytest.mark.parametrize("view", [lambda w: w, lambda w: w.T, lambda w: w[::-1, ::2]])
def test_filled_array_is_seen_by_backward(name, view):
    layer, x = nn.Linear(3, 4), mg.ones(2, 3, requires_grad=True)
    y = layer(x).sum()
    fill(name, view(layer.weight.data))
    with pytest.raises(mg.ChangedValueError, match="changed after the forward pass"):
        y.backward()


@pytest.mark.parametrize("name", FILLS)
def test_part_of_an_array_is_filled(name):
    array = np.full((4, 6), 9.0)
    part = array[1:3, ::2]
    drawn(name, part)
    np.testing.assert_array_equal(part, drawn(name, mg.zeros(2, 3, dtype="float64")).numpy())
    assert (np.delete(array, [1, 2], axis=0) == 9).all()
    assert (array[:, 1::2] == 9).all()


@pytest.mark.parametrize("name", FILLS)
def test_what_is_no_array_is_refused_by_name(name):
    torch = pytest.importorskip("torch")
    for value in ([[1.0]], torch.ones(2, 2), None, "text"):
        with pytest.raises(TypeError, match=f"^{name}: tensor: expected a Tensor or an array"):
            fill(name, value)
    with pytest.raises(TypeError, match=f"^{name}: a NumPy scalar cannot be changed"):
        fill(name, np.float32(1))
    with pytest.raises(DTypeError, match=f"^{name}"):
        fill(name, np.array([["a"]]))


@pytest.mark.parametrize("name", FILLS)
def test_read_only_array_is_refused_by_name(name):
    array = np.zeros((2, 2))
    array.flags.writeable = False
    with pytest.raises(ValueError, match=f"^{name}: the array is read-only"):
        fill(name, array)
    with pytest.raises(ValueError, match=f"^{name}: the array is read-only"):
        fill(name, np.broadcast_to(1.0, (2, 2)))


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integers_cannot_hold_what_is_drawn(name, dtype):
    for tensor in (np.zeros((2, 2), dtype), mg.zeros(2, 2, dtype=dtype)):
        with pytest.raises(DTypeError, match=rf"^{name}: .*floating-point.*{dtype}"):
            fill(name, tensor)


def test_integers_are_set_to_what_they_can_hold():
    for dtype in ("int64", "uint8", "bool"):
        array = np.zeros((2, 2), dtype)
        assert (init.ones_(array) == 1).all()
        assert (init.zeros_(array) == 0).all()
        np.testing.assert_array_equal(init.eye_(array), np.eye(2))
    assert (init.constant_(array.astype(np.uint8), 255) == 255).all()
    for dtype, value in [("uint8", 256), ("uint8", -1), ("int64", 0.5), ("int8", np.nan)]:
        with pytest.raises(DTypeError, match=rf"constant_: a Tensor of {dtype} cannot hold"):
            init.constant_(np.zeros(2, dtype), value)
    for value in (None, "1"):
        with pytest.raises(TypeError, match="constant_: val must be a number"):
            init.constant_(mg.zeros(2), value)


def test_arrays_of_the_wrong_shape_are_refused_by_name():
    for name in FILLS:
        if name not in ("constant_", "normal_", "ones_", "uniform_", "zeros_"):
            with pytest.raises(ShapeError, match=rf"^{name}: .*\(3,\)"):
                fill(name, np.zeros(3))


@pytest.mark.usefixtures("gpu")
def test_array_on_a_gpu_is_filled():
    layer = nn.Linear(3, 4).to("gpu")
    array = layer.weight.data
    assert init.normal_(array, 0.0, 0.02) is array
    assert 0 < abs(layer.weight.detach().to("cpu").numpy()).max() < 0.2


def test_options_that_cannot_be_drawn_with_are_refused_by_name():
    x = np.zeros((2, 2))
    for call, options in (
        (init.normal_, {"std": -1.0}),
        (init.uniform_, {"a": 1.0, "b": 0.0}),
        (init.uniform_, {"b": np.inf}),
        (init.normal_, {"mean": np.ones(3)}),
    ):
        with pytest.raises(ValueError, match=rf"^{call.__name__}: cannot draw with .*="):
            call(x, **options)
    for call, options in ((init.normal_, {"std": "1"}), (init.uniform_, {"a": None})):
        with pytest.raises(TypeError, match=rf"^{call.__name__}: cannot draw with .*="):
            call(x, **options)
    assert (x == 0).all()


@pytest.mark.parametrize("name", FILLS)
def test_nothing_is_filled_where_there_is_nothing(name):
    for shape in ((0, 0), (0, 3), (3, 0)):
        assert fill(name, mg.zeros(*shape)).shape == shape
