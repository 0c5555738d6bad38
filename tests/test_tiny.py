"""docs/tiny.py computes what minigrad computes, and needs nothing but NumPy."""

import ast
import gc
import importlib.util
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from checks import assert_close, tolerance

import minigrad as mg

PAGE = Path(__file__).parent.parent / "docs" / "tiny.py"
SPEC = importlib.util.spec_from_file_location("tiny", PAGE)
tiny = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny)

N, D, H, OUT = 5, 4, 7, 3  # batch, inputs, hidden units, outputs
SHAPES = [(D, H), (H,), (H, H), (H,), (H, OUT), (OUT,)]


def loss_of(library, parameters, x, target):
    """The mean square of an MLP with two hidden layers, written once for both libraries."""
    W1, b1, W2, b2, W3, b3 = parameters
    error = library.tanh(library.tanh(x @ W1 + b1) @ W2 + b2) @ W3 + b3 - target
    return tiny.mean_square(error) if library is tiny else (error * error).mean()


def total(library, products):
    """The sum of all elements of some arrays."""
    if library is tiny:
        products = [tiny.sum_over(p, tuple(range(len(p.shape)))) for p in products]
        products = [tiny.reshape(p, ()) for p in products]
    else:
        products = [p.sum() for p in products]
    result = products[0]
    for p in products[1:]:
        result = result + p
    return result


def gradients(library, orders):
    """Gradients of the first order and, along random directions, of each further order."""
    random = np.random.default_rng(0)
    make = tiny.Tensor if library is tiny else mg.tensor
    parameters = [make(random.normal(size=shape), requires_grad=True) for shape in SHAPES]
    x, target = random.normal(size=(N, D)), random.normal(size=(N, OUT))
    value, found = loss_of(library, parameters, x, target), []
    for _ in range(orders):
        slopes = library.grad(value, parameters, create_graph=True)
        found.append(np.concatenate([g.data.ravel() for g in slopes]))
        value = total(library, [g * random.normal(size=g.shape) for g in slopes])
    return found


def test_mlp_has_minigrads_derivatives_of_three_orders():
    for order, (ours, theirs) in enumerate(
        zip(gradients(tiny, 3), gradients(mg, 3), strict=True), start=1
    ):
        # the longest sum is that over all parameters
        assert_close(ours, theirs, tolerance(np.float64, theirs), f"order {order}")
        assert np.abs(theirs).max() > 0.1


def test_plain_gradients_are_arrays_equal_to_those_of_create_graph():
    x = tiny.Tensor(np.array([[0.5, -1.0, 2.0]]), requires_grad=True)
    y = tiny.mean_square(tiny.tanh(x) * x + 1.0)
    [plain], [again] = tiny.grad(y, [x]), tiny.grad(y, [x], create_graph=True)
    assert type(plain) is np.ndarray and isinstance(again, tiny.Tensor)
    assert np.array_equal(plain, again.data)


@pytest.mark.parametrize(
    ("a", "b"), [((2, 3), (3,)), ((2, 1), (2, 3)), ((2, 3), ()), ((1, 3), (2, 1)), ((2, 3), (1, 3))]
)
def test_broadcast_operands_get_minigrads_gradients(a, b):
    random = np.random.default_rng(1)
    values = [random.normal(size=shape) for shape in (a, b)]
    found = []
    for library, make in ((tiny, tiny.Tensor), (mg, mg.tensor)):
        x, y = (make(value, requires_grad=True) for value in values)
        found.append(library.grad(total(library, [x * y + x - y]), [x, y]))
    for ours, theirs, shape in zip(*found, (a, b), strict=True):
        within = tolerance(np.float64, values[0], values[1], np.empty((2, 3)))
        assert ours.shape == shape
        assert_close(ours, theirs.data, within, "the gradient")


def test_arrays_stand_on_both_sides_of_operators():
    x = tiny.Tensor(np.eye(2), requires_grad=True)
    array = np.array([[1.0, 2.0], [3.0, 4.0]])
    for y, expected in [
        (array + x, np.ones((2, 2))),
        (array - x, -np.ones((2, 2))),
        (array * x, array),
        (array @ x, array.T @ np.ones((2, 2))),
        (x @ array, np.ones((2, 2)) @ array.T),
        (3.0 - x, -np.ones((2, 2))),
    ]:
        [g] = tiny.grad(total(tiny, [y]), [x])
        assert np.array_equal(g, expected)


def test_graph_is_freed_without_the_garbage_collector():
    x = tiny.Tensor(1.0, requires_grad=True)
    y = tiny.tanh(tiny.tanh(x))
    record = weakref.ref(y.record)
    gc.disable()
    try:
        del y
        assert record() is None
    finally:
        gc.enable()


def test_records_save_what_their_rules_name():
    x = tiny.Tensor(np.ones((2, 2)), requires_grad=True)
    assert list(tiny.tanh(x).record.saved) == ["y"]
    assert list((x @ np.ones((2, 2))).record.saved) == ["b"]  # the other input is a constant
    assert (x + x).record.saved == {}
    assert tiny.tanh(tiny.Tensor(1.0)).record is None


def test_input_that_the_output_does_not_depend_on_has_no_gradient():
    x, other = (tiny.Tensor(1.0, requires_grad=True) for _ in range(2))
    assert tiny.grad(tiny.tanh(x), [other]) == [None]


def test_page_needs_numpy_only():
    imports = [
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(PAGE.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert {name for name in imports if name not in sys.stdlib_module_names} == {"numpy"}


def test_page_runs_and_shows_what_is_true(tmp_path):
    shown = subprocess.check_output([sys.executable, str(PAGE)], text=True, cwd=tmp_path)
    assert shown.splitlines() == [
        # tanh' = 1 - tanh^2; the coefficients are the tangent numbers with alternating signs
        "tanh and its first seven derivatives at 0: 0 1 0 -2 0 16 0 -272",
        "0 xor 0, 0 xor 1, 1 xor 0, 1 xor 1, as learnt: 0.0 1.0 1.0 0.0",
    ]
