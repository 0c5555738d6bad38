"""What a layer's constructor is given: a size, a switch or a number, or an error that names it."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

F = nn.functional
X = mg.ones(2, 3)

SIZES = {
    "Linear: in_features": lambda n: nn.Linear(n, 2),
    "Linear: out_features": lambda n: nn.Linear(2, n),
    "BatchNorm1d: num_features": lambda n: nn.BatchNorm1d(n),
    "LayerNorm: normalized_shape": lambda n: nn.LayerNorm((2, n)),
    "Embedding: num_embeddings": lambda n: nn.Embedding(n, 2),
    "Embedding: embedding_dim": lambda n: nn.Embedding(2, n),
    "Flatten: start_dim": lambda n: nn.Flatten(n),
    "Flatten: end_dim": lambda n: nn.Flatten(0, n),
    "embedding: padding_idx": lambda n: nn.Embedding(3, 2, padding_idx=n),
    "CrossEntropyLoss: ignore_index": lambda n: nn.CrossEntropyLoss(ignore_index=n),
    "NLLLoss: ignore_index": lambda n: nn.NLLLoss(ignore_index=n),
    "cross_entropy: ignore_index": lambda n: F.cross_entropy(X, mg.tensor([0, 0]), ignore_index=n),
    "nll_loss: ignore_index": lambda n: F.nll_loss(X, mg.tensor([0, 0]), ignore_index=n),
    "LSTM: proj_size": lambda n: nn.LSTM(3, 4, proj_size=n),
    **{
        f"{name}: {size}": lambda n, name=name, size=size: getattr(nn, name)(
            **{"input_size": 2, "hidden_size": 2} | {size: n}
        )
        for name in ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
        for size in ("input_size", "hidden_size", "num_layers")
        if "Cell" not in name or size != "num_layers"
    },
}


@pytest.mark.parametrize("name", SIZES)
def test_a_size_is_an_integer(name):
    for value in ("3", 3.0, None, True, mg.tensor(3), [3]):
        if value is None and "padding_idx" in name:
            continue
        with pytest.raises(TypeError, match=f"^{name} must be an int, got"):
            SIZES[name](value)
    for value in (np.int64(2), np.uint8(2), 2):
        SIZES[name](value)


@pytest.mark.parametrize("name", [name for name in SIZES if "_size" in name or "features" in name])
def test_a_size_is_not_negative(name):
    with pytest.raises(ValueError, match=rf"{name} must be .*got -1"):
        SIZES[name](-1)


def test_a_cell_without_units_is_refused():
    for kind in (nn.RNNCell, nn.LSTMCell, nn.GRUCell):
        with pytest.raises(ValueError, match="hidden_size must be greater than 0, got 0"):
            kind(2, 0)
        assert kind(0, 2)(mg.ones(1, 0)) is not None


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("switch", ["bias", "batch_first", "bidirectional"])
def test_a_switch_of_a_recurrent_layer_is_true_or_false(kind, switch):
    with pytest.raises(TypeError, match=f"{switch} must be True or False, got 'no'"):
        kind(2, 2, **{switch: "no"})


CLASSES = mg.tensor([0, 1])
ROWS = mg.tensor([0])
NUMBERS = {
    "Dropout: p": lambda p: nn.Dropout(p)(X),
    "dropout: p": lambda p: F.dropout(X, p),
    "LSTM: dropout": lambda p: nn.LSTM(3, 2, 2, dropout=p)(X)[0],
    "BatchNorm1d: eps": lambda p: nn.BatchNorm1d(3, eps=p)(X),
    "BatchNorm1d: momentum": lambda p: nn.BatchNorm1d(3, momentum=p)(X),
    "batch_norm: eps": lambda p: F.batch_norm(X, None, None, training=True, eps=p),
    "LayerNorm: eps": lambda p: nn.LayerNorm(3, eps=p)(X),
    "layer_norm: eps": lambda p: F.layer_norm(X, (3,), eps=p),
    "LeakyReLU: negative_slope": lambda p: nn.LeakyReLU(p)(-X),
    "leaky_relu: negative_slope": lambda p: F.leaky_relu(-X, p),
    "a LeakyReLU after Linear": lambda p: nn.Sequential(nn.Linear(3, 2), nn.LeakyReLU(p))(-X),
    "CrossEntropyLoss: label_smoothing": lambda p: nn.CrossEntropyLoss(label_smoothing=p)(
        X, CLASSES
    ),
    "cross_entropy: label_smoothing": lambda p: F.cross_entropy(X, CLASSES, label_smoothing=p),
    "embedding: max_norm": lambda p: F.embedding(ROWS, mg.eye(3), max_norm=p),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_of_numpy_does_not_turn_float32_into_float64(name):
    for value in (0.25, np.float64(0.25), np.float32(0.25), np.array(0.25), mg.tensor([0.25])):
        assert NUMBERS[name](value).dtype == np.float32


@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_number_is_refused_by_name(name):
    for value in ("0.1", None, [0.1], np.ones(2), True, object()):
        if value is None and ("momentum" in name or "max_norm" in name):
            continue
        said = "LeakyReLU: negative_slope" if name.startswith("a ") else name
        with pytest.raises((TypeError, mg.ShapeError), match=f"^{said}: expected a number.*got"):
            NUMBERS[name](value)


def test_a_negative_length_does_not_turn_rows_round():
    table = mg.ones(2, 2)
    for value in (-1.0, np.nan):
        with pytest.raises(ValueError, match="embedding: max_norm: must be at least 0"):
            F.embedding(ROWS, table, max_norm=value)
    assert (table == 1).all()


def test_what_batch_norm_cannot_write_to_is_refused():
    integers, fixed = mg.zeros(3, dtype="int64"), np.broadcast_to(np.float32(1), (3,))
    for running, error in ((integers, mg.DTypeError), (fixed, ValueError)):
        said = "int64" if error is mg.DTypeError else "read-only"
        for pair in ((running, mg.ones(3)), (mg.zeros(3), running)):
            with pytest.raises(error, match=f"batch_norm: training changes running_.*{said}"):
                F.batch_norm(X, *pair, training=True)
            F.batch_norm(X, *pair)
    for momentum in ("0.1", None):
        with pytest.raises(TypeError, match=r"batch_norm: momentum: expected a number"):
            F.batch_norm(X, mg.zeros(3), mg.ones(3), training=True, momentum=momentum)


def test_a_weight_of_other_axes_is_refused():
    for weight in (mg.tensor(2.0), mg.ones(2, 3, 3)):
        with pytest.raises(mg.ShapeError, match=r"^linear: the weight has shape \("):
            F.linear(X, weight)
