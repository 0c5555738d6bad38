"""Embeddings: what they look up, and what they change in their table."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DTypeError, ShapeError
from minigrad.tensor import wrap

INTEGERS = [np.dtype(c) for c in "bhilBHIL"]


def long_row(**options):
    """A table of one row of length 5, which `max_norm=1.0` shortens when it is picked."""
    layer = nn.Embedding(1, 2, max_norm=1.0, **options)
    layer.weight.data = np.array([[3.0, 4.0]], np.float32)
    return layer


# --- values that a graph needs ---------------------------------------------------------------


@pytest.mark.parametrize("rows", [[0], [[0, 0]], 0], ids=str)
def test_rows_shortened_after_their_use_are_refused_by_backward(rows):
    layer, w = long_row(), mg.tensor([1.0, 1.0], requires_grad=True)
    a = layer.weight @ w
    y = layer(mg.tensor(rows))
    with pytest.raises(mg.ChangedValueError, match="'matmul'"):
        a.sum().backward()
    np.testing.assert_allclose(y.detach().numpy().reshape(-1, 2)[0], [0.6, 0.8], rtol=1e-6)
    (layer.weight @ w).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), [0.6, 0.8], rtol=1e-6)


def test_lookups_of_one_table_before_one_backward_are_fine():
    layer = long_row()
    (layer(mg.tensor([0])) + layer(mg.tensor([0]))).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy(), [[2, 2]])


def test_shortened_array_of_the_user_is_seen_by_backward():
    table = np.array([[3.0, 4.0]], np.float32)
    own = mg.Tensor(wrap(table))  # shares the user's memory, as the layer will
    layer = nn.Embedding.from_pretrained(table, max_norm=1.0)
    w = mg.tensor([1.0, 1.0], requires_grad=True)
    a = own @ w
    layer(np.array([0]))
    np.testing.assert_allclose(table, [[0.6, 0.8]], rtol=1e-6)
    with pytest.raises(mg.ChangedValueError):
        a.sum().backward()


def test_zeroed_padding_row_is_seen_by_backward():
    layer = nn.Embedding(2, 2, padding_idx=1)
    w = mg.tensor([1.0, 1.0], requires_grad=True)
    a = layer.weight @ w
    layer.reset_parameters()
    np.testing.assert_array_equal(layer.weight.detach().numpy()[1], [0, 0])
    with pytest.raises(mg.ChangedValueError):
        a.sum().backward()


def test_function_that_shortens_is_seen_by_backward():
    table = mg.tensor([[3.0, 4.0]], requires_grad=True)
    y = (table * table).sum()
    nn.functional.embedding(mg.tensor([0]), table, max_norm=1.0)
    with pytest.raises(mg.ChangedValueError, match="'multiply'"):
        y.backward()


@pytest.mark.usefixtures("gpu")
def test_rows_shortened_on_a_gpu_are_seen_by_backward():
    layer, w = long_row().to("gpu"), mg.tensor([1.0, 1.0], device="gpu", requires_grad=True)
    a = layer.weight @ w
    layer(mg.tensor([0], device="gpu"))
    with pytest.raises(mg.ChangedValueError):
        a.sum().backward()


# --- a given table ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["array", "tensor", "parameter"])
def test_given_table_is_shared(kind):
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    table = {"array": array, "tensor": wrap(array), "parameter": nn.Parameter(wrap(array))}[kind]
    layer = nn.Embedding.from_pretrained(table, True, 1)  # PyTorch's order of arguments
    assert layer.weight.data is array
    assert isinstance(layer.weight, nn.Parameter)
    assert not layer.weight.requires_grad
    assert layer.padding_idx == 1
    np.testing.assert_array_equal(array[1], [2, 3])  # a given padding row keeps its values
    np.testing.assert_array_equal(layer(np.array([2, 0])).numpy(), array[[2, 0]])
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad


def test_table_of_integers_can_be_looked_up_but_not_trained():
    table = np.array([[1, 2], [3, 4]])
    np.testing.assert_array_equal(nn.Embedding.from_pretrained(table)(np.array(1)).numpy(), [3, 4])
    with pytest.raises(DTypeError, match=r"from_pretrained.*int64.*astype"):
        nn.Embedding.from_pretrained(table, freeze=False)
    with pytest.raises(DTypeError, match=r"embedding: max_norm.*int64"):
        nn.Embedding.from_pretrained(table, max_norm=1.0)(mg.tensor([0]))


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (np.ones(3), ShapeError, r"from_pretrained: expected a table \(V, D\), got shape \(3,\)"),
        (mg.ones(2, 2, 2), ShapeError, r"\(2, 2, 2\)"),
        ([[1.0, 2.0]], TypeError, r"from_pretrained: embeddings: .*\(list\); mg.tensor\(x\)"),
        (None, TypeError, "from_pretrained: embeddings: .*got None"),
        (np.array([["a"]]), DTypeError, "from_pretrained: embeddings: .*<U1"),
    ],
)
def test_what_is_no_table_is_refused(table, error, message):
    with pytest.raises(error, match=message):
        nn.Embedding.from_pretrained(table)


def test_read_only_table_is_looked_up_but_not_shortened():
    table = np.broadcast_to(np.float32(3), (2, 2))
    np.testing.assert_array_equal(nn.Embedding.from_pretrained(table)(np.array(1)).numpy(), [3, 3])
    with pytest.raises(ValueError, match=r"embedding: max_norm.*read-only"):
        nn.Embedding.from_pretrained(table, max_norm=1.0)(np.array([0]))


def test_given_options_are_those_of_torch():
    with pytest.raises(TypeError, match="dtype"):  # it would have been ignored
        nn.Embedding.from_pretrained(mg.ones(2, 2), dtype="float64")


# --- row numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize(
    "options",
    [{}, {"padding_idx": 1}, {"scale_grad_by_freq": True}, {"max_norm": 0.5}],
    ids=str,
)
def test_row_numbers_of_every_integer_dtype(options, dtype):
    found = []
    for rows in (np.array([[2, 0], [2, 1]]), np.array([[2, 0], [2, 1]], dtype)):
        mg.manual_seed(0)
        layer = nn.Embedding(3, 2, **options)
        y = layer(mg.tensor(rows))
        (y * y).sum().backward()
        found.append([y.detach().numpy(), layer.weight.grad.numpy()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_row_numbers_out_of_range_are_refused_in_every_dtype():
    layer = nn.Embedding(3, 2)
    for dtype in INTEGERS:
        for rows in (np.array([3]), np.array([-1])):
            with pytest.raises(IndexError, match="embedding: the input goes from"):
                layer(rows.astype(dtype))
    for rows in (np.array([True]), np.array([1.0])):
        with pytest.raises(DTypeError, match=f"must be integers, got {rows.dtype}"):
            layer(rows)
