"""Whatever reads or writes raw memory gives the same for every memory order of what it is given."""

import checks
import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.tensor import wrap

ORDERS = ["C", *checks.ORDERS]
VALUES = np.random.RandomState(0).standard_normal((3, 4))


def laid_out(order, values=VALUES):
    return values.copy() if order == "C" else checks.layouts(values)[order]


@pytest.mark.parametrize("order", ORDERS)
def test_assigned_gradients_clipping_and_vectors(order):
    p = nn.Parameter(wrap(laid_out(order)))
    p.grad = wrap(laid_out(order, 10 * VALUES))
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == pytest.approx(
        10 * np.linalg.norm(VALUES), rel=1e-12
    )
    np.testing.assert_allclose(p.grad.data, VALUES / np.linalg.norm(VALUES), rtol=1e-6)
    nn.utils.clip_grad_value_([p], 0.1)
    assert np.abs(p.grad.data).max() <= 0.1
    vector = nn.utils.parameters_to_vector([p])
    np.testing.assert_array_equal(vector.detach().numpy(), VALUES.reshape(-1))
    nn.utils.vector_to_parameters(vector * 2, [p])
    np.testing.assert_array_equal(p.data, 2 * VALUES)


@pytest.mark.parametrize("order", ORDERS)
def test_states_files_and_copies(order, tmp_path):
    layer = nn.Linear(4, 3, bias=False).astype("float64")
    layer.load_state_dict({"weight": laid_out(order)})
    np.testing.assert_array_equal(layer.weight.data, VALUES)
    mg.save({"weight": wrap(laid_out(order))}, tmp_path / "state.safetensors")
    np.testing.assert_array_equal(mg.load(tmp_path / "state.safetensors")["weight"].data, VALUES)
    for copy in (mg.tensor(laid_out(order)), mg.tensor(wrap(laid_out(order)))):
        np.testing.assert_array_equal(copy.numpy(), VALUES)
    x = mg.ones(3, 4, dtype="float64")
    x.data = laid_out(order)
    np.testing.assert_array_equal((x + 0.0).numpy(), VALUES)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["uniform_", "normal_", "xavier_uniform_", "kaiming_normal_"])
def test_initial_values(name, order):
    drawn = []
    for layout in ("C", order):
        mg.manual_seed(0)
        array = laid_out(layout)
        getattr(nn.init, name)(wrap(array))
        drawn.append(array.copy())
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("order", ORDERS)
def test_checks_and_pictures(order):
    x = wrap(laid_out(order)).requires_grad_()
    assert mg.check.gradcheck(lambda x: mg.tanh(x) * x, [x])
    assert mg.check.gradgradcheck(lambda x: mg.tanh(x) * x, [x])
    assert "(3, 4) float64" in mg.draw(mg.exp(x)).svg
    with mg.detect_anomaly():
        mg.exp(x).sum().backward()
