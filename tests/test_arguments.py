"""Every public callable takes an array where it takes a Tensor, or says what it wants.

Tables have sample arguments for each; a public name that is missing from them fails.
"""

import ast
import copy
import inspect
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.tensor import wrap

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept")  # PyTorch's affair
F = nn.functional


class Case(NamedTuple):
    """A call, and arrays for its arguments that are to be Tensors.

    Attributes:
        call: A function of those arguments.
        arrays: Arrays for them.
        optional: The positions of those that may be None.
        says: What the message of a refusal names, where that is not the case's first word.
    """

    call: Callable[..., Any]
    arrays: list[Any]
    optional: tuple[int, ...] = ()
    says: str = ""


X = np.array([[0.2, 0.7, 0.4], [0.9, 0.1, 0.5]], np.float32)
Y = np.array([[0.5, 0.3, 0.8], [0.6, 0.2, 0.4]], np.float32)
V, W = X[0], Y[1]
ROWS = np.array([[0], [2]])
CLASSES = np.array([2, 0], np.uint8)


def named(module: Any, arrays: list[Any], *names: str) -> dict[str, Case]:
    return {name: Case(getattr(module, name), arrays) for name in names}


def seeded(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    mg.manual_seed(0)
    return function(*args, **options)


# --- minigrad -----------------------------------------------------------------------------------

FUNCTIONS = {
    **named(mg, [X], "abs", "exp", "log", "log1p", "sqrt", "sin", "cos", "sigmoid", "tanh"),
    **named(mg, [X], "sum", "mean", "var", "std", "max", "min", "prod", "cumsum", "argmax"),
    **named(mg, [X], "all", "any", "clone"),
    **named(mg, [X], "norm", "logsumexp", "flip", "squeeze", "transpose"),
    **named(mg, [X], "zeros_like", "ones_like"),
    **named(mg, [X, Y], "maximum", "minimum", "outer"),
    "matmul": Case(mg.matmul, [X, Y.T]),
    "clip": Case(mg.clip, [X, Y * 0.5, Y], optional=(1, 2)),
    "where": Case(mg.where, [X > Y, X, Y]),
    "einsum": Case(lambda a, b: mg.einsum("ij,kj->ik", a, b), [X, Y]),
    "einsum of one": Case(lambda x: mg.einsum("i...->...", x), [X]),
    "einsum of a diagonal": Case(lambda x: mg.einsum("ii->i", x), [X[:, :2]]),
    "sum over an axis": Case(lambda x: mg.sum(x, axis=0), [X]),
    "norm of order 3": Case(lambda x: mg.norm(x, 3), [X]),
    "norm of order 1": Case(lambda x: mg.norm(x, 1), [X], says=""),
    "norm of order 0": Case(lambda x: mg.norm(x, 0), [X]),
    "norm of order inf": Case(lambda x: mg.norm(x, np.inf), [X]),
    "var of an axis": Case(lambda x: mg.var(x, axis=1, ddof=1, keepdims=True), [X]),
    "prod of an axis": Case(lambda x: mg.prod(x, axis=1, keepdims=True), [X]),
    "cumsum of an axis": Case(lambda x: mg.cumsum(x, axis=1), [X]),
    "broadcast_to": Case(lambda x: mg.broadcast_to(x, (2, 2, 3)), [X]),
    "expand_dims": Case(lambda x: mg.expand_dims(x, 1), [X]),
    "moveaxis": Case(lambda x: mg.moveaxis(x, 0, 1), [X]),
    "pad": Case(lambda x: mg.pad(x, 1), [X]),
    "reshape": Case(lambda x: mg.reshape(x, (3, 2)), [X]),
    "swapaxes": Case(lambda x: mg.swapaxes(x, 0, 1), [X]),
    "split": Case(lambda x: mg.split(x, 3, axis=1), [X]),
    "take_along_axis": Case(lambda x, i: mg.take_along_axis(x, i, 1), [X, ROWS]),
    "take_along_axis of all": Case(lambda x, i: mg.take_along_axis(x, i, None), [X, ROWS[:, 0]]),
    "concatenate": Case(lambda a, b: mg.concatenate([a, b]), [X, Y]),
    "concatenate flat": Case(lambda a, b: mg.concatenate((a, b), axis=None), [X, Y]),
    "concatenate one": Case(mg.concatenate, [X[None]]),
    "stack": Case(lambda a, b: mg.stack([a, b], axis=1), [X, Y]),
    "stack numbers": Case(lambda a, b: mg.stack([a, b]), [np.array(0.5), np.array(0.25)]),
    "stack one": Case(mg.stack, [X]),
    "full_like": Case(lambda x: mg.full_like(x, 2.0), [X]),
    "rand_like": Case(lambda x: seeded(mg.rand_like, x), [X]),
    "randn_like": Case(lambda x: seeded(mg.randn_like, x), [X]),
}

T, MASK = mg.tensor(X), mg.tensor(X > 1)
METHODS = {
    "maximum": Case(T.maximum, [Y]),
    "minimum": Case(T.minimum, [Y]),
    "outer": Case(T.outer, [Y]),
    "clip": Case(T.clip, [Y * 0.5, Y], optional=(0, 1)),
    "matmul": Case(T.matmul, [Y.T]),
    "take_along_axis": Case(lambda i: T.take_along_axis(i, 1), [ROWS]),
    "__add__": Case(lambda b: T + b, [Y], says="add"),
    "__radd__": Case(lambda a: a + T, [Y], says="add"),
    "__sub__": Case(lambda b: T - b, [Y], says="subtract"),
    "__rsub__": Case(lambda a: a - T, [Y], says="subtract"),
    "__mul__": Case(lambda b: T * b, [Y], says="multiply"),
    "__rmul__": Case(lambda a: a * T, [Y], says="multiply"),
    "__truediv__": Case(lambda b: T / b, [Y], says="divide"),
    "__rtruediv__": Case(lambda a: a / T, [Y], says="divide"),
    "__pow__": Case(lambda b: T**b, [Y], says="power"),
    "__rpow__": Case(lambda a: a**T, [Y], says="power"),
    "__matmul__": Case(lambda b: T @ b, [Y.T], says="matmul"),
    "__rmatmul__": Case(lambda a: a @ T, [Y.T], says="matmul"),
    **{
        f"__i{name}__": Case(lambda b, f=f: f(mg.tensor(X), b), [other], says=says)
        for name, f, other, says in [
            ("add", operator.iadd, Y, "add"),
            ("sub", operator.isub, Y, "subtract"),
            ("mul", operator.imul, Y, "multiply"),
            ("truediv", operator.itruediv, Y, "divide"),
            ("pow", operator.ipow, Y, "power"),
            ("matmul", operator.imatmul, np.eye(X.shape[1], dtype=np.float32), "matmul"),
        ]
    },
    **{
        f"__{prefix}{name}__": Case(lambda b, f=f: f(b), [Y > 1], says=f"bitwise_{name}")
        for name, op, place in [
            ("and", operator.and_, operator.iand),
            ("or", operator.or_, operator.ior),
            ("xor", operator.xor, operator.ixor),
        ]
        for prefix, f in [
            ("", lambda b, op=op: op(MASK, b)),
            ("r", lambda b, op=op: op(b, MASK)),
            ("i", lambda b, place=place: place(mg.tensor(X > 1), b)),
        ]
    },
    "__lt__": Case(lambda b: T < b, [Y], says="less"),
    "__le__": Case(lambda b: T <= b, [Y], says="less_equal"),
    "__gt__": Case(lambda b: T > b, [Y], says="greater"),
    "__ge__": Case(lambda b: T >= b, [Y], says="greater_equal"),
}

# --- layers, losses, and what fills and clips -----------------------------------------------------

LINEAR, LSTM, LSTM_CELL = nn.Linear(3, 2), nn.LSTM(3, 5), nn.LSTMCell(3, 5)
DROPOUT = nn.Dropout(0.5)
SEQUENCE = np.random.RandomState(0).standard_normal((4, 2, 3)).astype(np.float32)
STATE = np.full((1, 2, 5), 0.5, np.float32)
LAYERS = {
    "GRU": Case(nn.GRU(3, 5), [SEQUENCE, STATE], optional=(1,)),
    "LSTM": Case(lambda x, h, c: LSTM(x, (h, c)), [SEQUENCE, STATE, STATE]),
    "LSTM without states": Case(nn.LSTM(3, 5), [SEQUENCE]),
    "RNN": Case(nn.RNN(3, 5), [SEQUENCE, STATE], optional=(1,)),
    "RNN without a batch": Case(nn.RNN(3, 5), [SEQUENCE[:, 0], STATE[:, 0]], optional=(1,)),
    "GRUCell": Case(nn.GRUCell(3, 5), [X, STATE[0]], optional=(1,)),
    "LSTMCell": Case(lambda x, h, c: LSTM_CELL(x, (h, c)), [X, *STATE, *STATE]),
    "LSTMCell without states": Case(nn.LSTMCell(3, 5), [X]),
    "RNNCell": Case(nn.RNNCell(3, 5), [X, STATE[0]], optional=(1,)),
    "BCELoss": Case(nn.BCELoss(), [X, Y], says="binary_cross_entropy"),
    "BCEWithLogitsLoss": Case(nn.BCEWithLogitsLoss(), [X, Y], says="binary_cross_entropy_with"),
    "CrossEntropyLoss": Case(nn.CrossEntropyLoss(), [X, CLASSES], says="cross_entropy"),
    "CrossEntropyLoss of p": Case(nn.CrossEntropyLoss(), [X, Y], says="cross_entropy"),
    "MSELoss": Case(nn.MSELoss(), [X, Y], says="mse_loss"),
    "NLLLoss": Case(nn.NLLLoss(), [-X, CLASSES], says="nll_loss"),
    "Dropout": Case(lambda x: seeded(DROPOUT, x), [X]),
    "Dropout in use": Case(nn.Dropout(0.5).eval(), [X]),
    "Embedding": Case(nn.Embedding(3, 2), [ROWS]),
    "Embedding.from_pretrained": Case(
        lambda table: nn.Embedding.from_pretrained(table)(mg.tensor(ROWS)), [SEQUENCE[0].T.copy()]
    ),
    "Flatten": Case(nn.Flatten(), [SEQUENCE]),
    "Identity": Case(nn.Identity(), [X]),
    "LeakyReLU": Case(nn.LeakyReLU(0.2), [X - Y], says="leaky_relu"),
    "Linear": Case(LINEAR, [X]),
    "LogSoftmax": Case(nn.LogSoftmax(1), [X], says="log_softmax"),
    "ReLU": Case(nn.ReLU(), [X - Y]),
    "Sequential": Case(nn.Sequential(LINEAR, nn.Tanh()), [X], says="linear"),
    "Sequential of an activation": Case(nn.Sequential(nn.Tanh()), [X], says="tanh"),
    "Sigmoid": Case(nn.Sigmoid(), [X]),
    "Softmax": Case(nn.Softmax(1), [X]),
    "Tanh": Case(nn.Tanh(), [X]),
}

FUNCTIONAL = {
    **named(F, [X], "relu", "sigmoid", "tanh", "leaky_relu"),
    "softmax": Case(lambda x: F.softmax(x, 1), [X]),
    "softmax in another dtype": Case(lambda x: F.softmax(x, 1, "float64"), [X]),
    "log_softmax": Case(lambda x: F.log_softmax(x, 1), [X]),
    "dropout": Case(lambda x: seeded(F.dropout, x), [X]),
    "linear": Case(F.linear, [X, Y, V[:2]], optional=(2,)),
    "embedding": Case(F.embedding, [ROWS, SEQUENCE[0].T.copy()]),
    "mse_loss": Case(lambda x, t, w: F.mse_loss(x, t, weight=w), [X, Y, X], optional=(2,)),
    "binary_cross_entropy": Case(F.binary_cross_entropy, [X, Y, V], optional=(2,)),
    "binary_cross_entropy_with_logits": Case(
        lambda x, t, w, p: F.binary_cross_entropy_with_logits(x, t, w, pos_weight=p),
        [X, Y, V, W],
        optional=(2, 3),
    ),
    "cross_entropy": Case(F.cross_entropy, [X, CLASSES, V], optional=(2,)),
    "cross_entropy of probabilities": Case(F.cross_entropy, [X, Y, V], optional=(2,)),
    "nll_loss": Case(F.nll_loss, [-X, CLASSES, V], optional=(2,)),
}

INIT = {
    name: Case(lambda x, name=name: seeded(getattr(nn.init, name), copy.deepcopy(x)), [X])
    for name in nn.init.__all__
    if name.endswith("_") and name != "constant_"
} | {"constant_": Case(lambda x: nn.init.constant_(copy.deepcopy(x), 2.0), [X])}

TABLES = {
    f"{where}.{name}": case._replace(says=case.says or name.split(" ")[0])
    for where, table in {
        "mg": FUNCTIONS,
        "mg.Tensor": METHODS,
        "nn": LAYERS,
        "nn.functional": FUNCTIONAL,
        "nn.init": INIT,
    }.items()
    for name, case in table.items()
}


def shortened(*gradients: Any) -> list[Any]:
    """The gradients of parameters, after they were clipped together."""
    parameters = [nn.Parameter(mg.tensor(X)) for _ in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.backward(gradient)
    nn.utils.clip_grad_norm_(parameters, 1.0)
    return [parameter.grad for parameter in parameters]


def filled_from(vector: Any) -> Any:
    parameter = nn.Parameter(mg.tensor(X))
    nn.utils.vector_to_parameters(vector, [parameter])
    return parameter.detach()


P = nn.Parameter(mg.tensor(X))
MORE = {
    "nn.BatchNorm1d": Case(nn.BatchNorm1d(3), [X]),
    "nn.BatchNorm1d in use": Case(nn.BatchNorm1d(3).eval(), [X]),
    "nn.LayerNorm": Case(nn.LayerNorm(3), [X]),
    "nn.functional.batch_norm": Case(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), [X, V, W], (1, 2)
    ),
    "nn.functional.batch_norm in use": Case(F.batch_norm, [X, V, V, V, W], (3, 4)),
    "nn.functional.layer_norm": Case(
        lambda x, w, b: F.layer_norm(x, (3,), w, b), [X, V, W], (1, 2)
    ),
    "nn.utils.parameters_to_vector": Case(lambda x: nn.utils.parameters_to_vector([x]), [X]),
    "nn.utils.vector_to_parameters": Case(filled_from, [X.reshape(-1)]),
    "mg.grad": Case(lambda g: mg.grad(P * P, P, g), [Y]),
    "mg.Tensor.backward": Case(shortened, [Y], says="backward"),
}
TABLES |= {
    name: case._replace(says=case.says or name.split(" ")[0].split(".")[-1])
    for name, case in MORE.items()
}

# What takes leaves or results only: an array is nobody's parameter, and has no graph.
REFUSALS = {
    "mg.grad of outputs": (lambda y: mg.grad(y, P), "grad"),
    "mg.grad by inputs": (lambda x: mg.grad((P * P).sum(), x), "grad"),
    "mg.Tensor.backward of inputs": (lambda x: (P * P).sum().backward(inputs=x), "backward"),
    "mg.draw": (mg.draw, "draw"),
    "mg.draw by name": (lambda x: mg.draw((P * P).sum(), x=x), "draw"),
    "mg.show_backward": (mg.show_backward, "show_backward"),
    "mg.show_backward by name": (lambda x: mg.show_backward((P * P).sum(), x=x), "show_backward"),
    "mg.save": (lambda x: mg.save(x, "never.safetensors"), "save"),
    "mg.check.gradcheck": (lambda x: mg.check.gradcheck(mg.exp, x), "gradcheck"),
    "mg.check.gradgradcheck": (lambda x: mg.check.gradgradcheck(mg.exp, x), "gradgradcheck"),
    "nn.utils.clip_grad_norm_": (lambda x: nn.utils.clip_grad_norm_(x, 1.0), "clip_grad_norm_"),
    "nn.utils.clip_grad_value_": (lambda x: nn.utils.clip_grad_value_(x, 1.0), "clip_grad_value_"),
    **{
        f"optim.{name}": (lambda x, name=name: getattr(mg.optim, name)(x, lr=0.1), "params")
        for name in ("SGD", "Adam", "AdamW", "RMSprop")
    },
}

# Not in the tables: what takes no Tensor, or anything that `mg.tensor` takes.
WITHOUT = {
    "mg": "arange enable_grad eye fused full is_grad_enabled load manual_seed no_grad ones "
    "primitive sequence_primitive rand randn tensor zeros capture detect_anomaly Tensor check nn "
    "optim AnomalyError ChangedValueError DTypeError DeviceError GraphFreedError ShapeError",
    "nn": "Buffer Module ModuleList Parameter StateDictError functional init utils",
    "nn.functional": "",
    "nn.init": "calculate_gain",
    "nn.utils": "",
    "optim": "lr_scheduler Optimizer",
    "mg.check": "GradcheckError",
}
MODULES = {
    "mg": mg,
    "nn": nn,
    "nn.functional": F,
    "nn.init": nn.init,
    "nn.utils": nn.utils,
    "optim": mg.optim,
    "mg.check": mg.check,
}


@pytest.mark.parametrize("module", MODULES)
def test_every_public_callable_has_a_case(module):
    tables = [*TABLES, *REFUSALS]
    cases = {name.removeprefix(f"{module}.").split(" ")[0] for name in tables}
    public = set(MODULES[module].__all__) - set(WITHOUT[module].split())
    assert public - cases == set(), (
        "add them to the tables of this file, with what they do with an array in a Tensor's place"
    )
    assert set(WITHOUT[module].split()) <= set(MODULES[module].__all__)


def test_every_operator_and_method_of_two_tensors_has_a_case():
    [declared] = [
        node
        for node in ast.parse(inspect.getsource(inspect.getmodule(mg.Tensor))).body
        if isinstance(node, ast.ClassDef) and node.name == "Tensor"
    ]
    of_two = {
        node.name
        for node in declared.body
        if isinstance(node, ast.FunctionDef) and "Operand" in ast.unparse(node.args)
    }
    # anything may be compared: nothing but a number equals a number, as in NumPy
    assert of_two - set(METHODS) == {"__eq__", "__ne__"}


def leaves(y: Any) -> list[Any]:
    return [leaf for part in y for leaf in leaves(part)] if isinstance(y, tuple | list) else [y]


def tensors(case: Case) -> list[Any]:
    return [wrap(np.array(array)) for array in case.arrays]


def assert_same(found: Any, expected: Any) -> None:
    """The same numbers, but for the rounding of a list's Python floats to float32."""
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        a, b = (np.asarray(y.detach() if isinstance(y, mg.Tensor) else y) for y in (a, b))
        assert a.dtype.kind in "biuf"
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def check_arrays(name: str, case: Case) -> None:
    """Arrays in all places, and in each alone, give what Tensors give: a Tensor, in nn always."""
    expected = case.call(*tensors(case))
    arrays = [np.array(array) for array in case.arrays]
    count = len(arrays)
    for among in {tuple(range(count)), *[(place,) for place in range(count)]}:
        args = [arrays[i] if i in among else t for i, t in enumerate(tensors(case))]
        found = case.call(*args)
        assert_same(found, expected)
        if len(among) < count or name.startswith(("nn.", "mg.Tensor")):
            of = np.ndarray if name.startswith("nn.init") else mg.Tensor
            assert all(isinstance(leaf, of) for leaf in leaves(found))


def strangers(array: Any) -> dict[str, Any]:
    return {
        "a PyTorch tensor": torch.tensor(np.asarray(array)),
        "a list": np.asarray(array).tolist(),
        "text": "text",
        "None": None,
        "an object": object(),
        "a dictionary": {"a": 1},
    }


def check_strangers(case: Case) -> None:
    """Another thing in a Tensor's place gives the right result, or is refused by name."""
    expected = case.call(*tensors(case))
    word = case.says.lower().replace("_", "")
    for place, array in enumerate(case.arrays):
        for what, stranger in strangers(array).items():
            if what == "None" and place in case.optional:
                continue
            for others in (tensors(case), [np.array(array) for array in case.arrays]):
                others[place] = stranger
                try:
                    found = case.call(*others)
                except (TypeError, ValueError) as error:
                    said = str(error).lower().replace("_", "")
                    assert word in said, f"{what} in place {place}: {error}"
                    assert "hasnoattribute" not in said.replace(" ", "")
                else:
                    assert_same(found, expected)


@pytest.mark.parametrize("name", TABLES)
def test_arrays_give_what_tensors_give(name):
    check_arrays(name, TABLES[name])


@pytest.mark.parametrize("name", TABLES)
def test_other_things_give_the_same_or_are_refused_by_name(name):
    check_strangers(TABLES[name])


@pytest.mark.parametrize("what", ["an array", *strangers(X)])
@pytest.mark.parametrize("name", REFUSALS)
def test_what_can_only_be_a_tensor_is_refused_by_name(name, what):
    call, says = REFUSALS[name]
    stranger = strangers(X).get(what, X)
    default = stranger is None and "backward" in name  # which stands for all leaves
    for value in [[stranger]] if default else [stranger, [stranger]]:
        with pytest.raises((TypeError, ValueError), match=says):
            call(value)


def test_messages_say_once_what_was_called():
    with pytest.raises(TypeError, match=r"^exp: 'x': expected a Tensor or an array, got None"):
        mg.exp(None)
    for empty in (mg.stack, mg.concatenate):
        with pytest.raises(mg.ShapeError, match=f"^{empty.__name__}: expected at least one Tensor"):
            empty([])


VALUES = {"None": None, "text": "text", "an object": object(), "a list of None": [None]}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_new_tensors_hold_numbers_only(value):
    for call in (lambda: mg.full((1,), value), lambda: mg.full_like(mg.ones(1), value)):
        with pytest.raises(mg.DTypeError, match="a new Tensor: expected a number"):
            call()
    with pytest.raises(TypeError, match="arange: expected numbers"):
        mg.arange(value)
    assert mg.full((2,), mg.tensor(2.0)).dtype == mg.full_like(mg.ones(2), mg.tensor(2.0)).dtype
