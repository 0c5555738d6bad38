"""Operations as a user declares them: whose kernels they have, what they take and give."""

from __future__ import annotations

import functools
import sys
import types

import numpy as np
import pytest

import minigrad as mg
from minigrad.operation import kernels_of
from minigrad.ops.linear import linear
from minigrad.optim.update import update_kernels


@pytest.fixture
def x():
    return mg.tensor([1.0, -2.0], requires_grad=True)


def test_inputs_by_name_have_the_gradients_of_inputs_by_position():
    @mg.primitive(a=lambda g, b: g * b, b=lambda g, a: g * a)
    def product(a, b):
        return a * b

    a, b = (mg.tensor(value, requires_grad=True) for value in (2.0, 3.0))
    for call in (lambda: product(a, b), lambda: product(a, b=b), lambda: product(b=b, a=a)):
        y = call()
        assert y.item() == 6
        assert [g.item() for g in mg.grad(y, [a, b])] == [3, 2]


# --- a kernel belongs to one definition -------------------------------------------------------

OWN = """
import numpy as np
import minigrad as mg

@mg.primitive(x=lambda g, y: g * 3)
def tanh(x):
    return np.tanh(x) + 1

@mg.primitive(x=lambda g, y: g * 3)
def sum(x, axis=None, keepdims=False):
    return np.sum(x, axis=axis, keepdims=keepdims) + 1

@mg.primitive(a=lambda g: g * 3, b=lambda g: g * 3)
def matmul(a, b):
    return a @ b + 1

@mg.fused
def linear(x, weight, bias):
    return x @ weight.T + 1

@mg.fused
def leaky_relu(x, *, negative_slope=0.01):
    return 7 * x

@mg.fused
def mean_cross_entropy(z, classes, *, axis=1, ignore_index=-100):
    return mg.sum(z)
"""


@pytest.mark.parametrize(
    "module", ["activation", "minigrad.ops.activation", "__main__", "ops.linear"]
)
@pytest.mark.parametrize("n", [1, 4, 1000])
def test_a_users_operation_never_runs_a_kernel_of_ours(module, n, monkeypatch):
    """Also where both the file and the function have the name of one of ours."""
    own = {}
    for family in ("activation", "reduce", "linalg", "linear", "loss"):
        name = module.replace("activation", family)
        space = types.ModuleType(name)
        if name not in sys.modules:
            monkeypatch.setitem(sys.modules, name, space)
        exec(OWN, vars(space))
        own[family] = space
    x = mg.zeros(n, requires_grad=True)
    y = own["activation"].tanh(x)
    y.sum().backward()
    assert (y.data == 1).all() and (x.grad.data == 3).all()
    assert own["reduce"].sum(x).item() == 1
    rows = mg.ones(n, 2)
    assert (own["linalg"].matmul(rows, mg.ones(2, 3)).data == 3).all()
    assert (own["linear"].linear(rows, mg.ones(3, 2), mg.ones(3)).data == 3).all()
    assert (own["activation"].leaky_relu(-rows).data == -7).all()
    classes = np.zeros(n, int)
    assert own["loss"].mean_cross_entropy(rows, classes).item() == 2 * n


def test_a_function_that_passes_for_ours_has_no_kernels():
    @mg.primitive(x=lambda g: g)
    @functools.wraps(mg.tanh)
    def mine(x):
        return np.tanh(x) + 1

    assert (mine.__module__, mine.__name__) == ("minigrad.ops.activation", "tanh")
    assert kernels_of(mine.operation, np.ndarray) == []
    assert kernels_of(mg.tanh.operation, np.ndarray) != []
    assert (mine(mg.zeros(1000)).data == 1).all()


def test_a_users_operation_put_in_the_place_of_ours_has_no_kernels(monkeypatch):
    """As a test's mock does, or a user who wants another tanh everywhere."""
    space = types.ModuleType("activation")
    exec(OWN, vars(space))
    monkeypatch.setattr("minigrad.ops.activation.tanh", space.tanh)
    x = mg.zeros(1000, requires_grad=True)
    y = space.tanh(x)
    y.sum().backward()
    assert (y.data == 1).all() and (x.grad.data == 3).all()


def test_an_optimizer_of_a_users_never_runs_a_kernel_of_ours(monkeypatch):
    def update(self, p, g, state, step, group, scratch):
        p -= 1

    for name in ("SGD", "Adam", "RMSprop"):
        base = getattr(mg.optim, name)
        for module in (__name__, f"minigrad.optim.{name.lower()}"):
            body = {"update": update, "__module__": module, "__qualname__": name}
            own = type(name, (base,), body)
            p = mg.nn.Parameter(np.zeros(1000, np.float32))
            p.grad = mg.ones(1000)
            own([p], lr=0.1).step()
            assert (p.data == -1).all(), (name, module)
            assert update_kernels(own, np.ndarray) == []
        assert update_kernels(type("Mine", (base,), {}), np.ndarray) != [] or (
            update_kernels(base, np.ndarray) == []
        )


# --- what is declared ---------------------------------------------------------------------------


@pytest.mark.parametrize("annotation", [None, list, "Sequence[np.ndarray]", np.ndarray, "1 +"])
def test_an_annotation_decides_nothing(annotation, x):
    def summed(xs):
        return 2 * sum(xs[1:], start=xs[0])

    summed.__annotations__ = {} if annotation is None else {"xs": annotation}
    total = mg.sequence_primitive(xs=lambda g, xs: [2 * g for _ in xs])(summed)
    other = mg.ones(2, requires_grad=True)
    total([x, other, x]).sum().backward()
    assert x.grad.data.tolist() == [4, 4] and other.grad.data.tolist() == [2, 2]
    total(xs=(x, x)).sum().backward()

    single = mg.primitive(xs=lambda g: g)(lambda xs: xs + 0.0)
    assert single(x).requires_grad
    with pytest.raises(TypeError, match=r"'xs' takes one Tensor.*mg\.stack.*sequence_primitive"):
        single([x, x])


def test_a_sequence_is_the_only_input():
    with pytest.raises(TypeError, match=r"weighted: its inputs.*\['xs', 'w'\].*exactly one"):

        @mg.sequence_primitive(xs=lambda g, xs: xs, w=lambda g: g)
        def weighted(xs, w):
            return w * sum(xs)


@pytest.mark.parametrize("definition", [np.tanh, functools.partial(np.add, 1), print, 3, lambda: 1])
def test_what_cannot_be_a_definition_is_refused(definition):
    with pytest.raises(TypeError, match="an operation"):
        mg.primitive()(definition)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (None, "the rule of 'x' is None; a rule is a Python function"),
        (np.negative, "the rule of 'x' is <ufunc 'negative'>"),
        (functools.partial(lambda k, g: k * g, 2), "the rule of 'x' is functools.partial"),
        (mg.tanh, r"the rule of 'x' takes \(\); .* takes g first"),
        (lambda: 1, r"the rule of 'x' takes \(\)"),
        (lambda *args: 1, r"the rule of 'x' takes \(\)"),
        (lambda x: x, r"the rule of 'x' takes \(x\)"),
        (lambda g, *, x: g * x, r"the rule of 'x' takes \(g, x\).*by position"),
    ],
)
def test_what_cannot_be_a_rule_is_refused(rule, message):
    with pytest.raises(TypeError, match=f"squash: {message}"):
        with_rule(rule)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (lambda x, y=2.0: x * y, "an option cannot be called 'y'"),
        (lambda x, g=9.81: x * g, "an option cannot be called 'g'"),
        (lambda x, x_shape=(1,): x * 1, "an option cannot be called 'x_shape'"),
        (lambda x, x_shape: x * 1, "an input cannot be called 'x_shape'"),
    ],
)
def test_a_parameter_that_a_rule_could_not_tell_from_another_is_refused(definition, message):
    """Of an option y the rule was given the output."""
    with pytest.raises(TypeError, match=f"squash: {message}; in rules"):
        with_rule(lambda g: g, definition)
    if message.startswith("an option"):  # without a rule there is nothing to confuse
        assert mg.primitive()(definition)(mg.ones(2)).shape == (2,)


def test_a_primitive_without_brackets_is_refused():
    with pytest.raises(TypeError, match=r"rules first, by name: @mg\.primitive\(x=lambda g"):
        mg.primitive(lambda x: x)


@pytest.mark.parametrize("declare", [mg.primitive(x=lambda g: g), mg.fused])
def test_inputs_are_passed_by_position(declare):
    with pytest.raises(TypeError, match=r"scaled: the inputs \['w'\] stand behind a \*"):

        @declare
        def scaled(x, *, w):
            return x * w


# --- what a definition gives ------------------------------------------------------------------


@pytest.mark.parametrize(
    "definition",
    [
        lambda x: x > 0,
        lambda x: x.astype(np.int64),
        lambda x: np.argmax(x),
        lambda x: np.sign(x) == 1,
    ],
)
def test_a_result_that_is_not_floating_has_no_gradient(definition, x):
    y = mg.primitive(x=lambda g: g)(definition)(x)
    assert y.dtype.kind in "bi" and not y.requires_grad and y._record is None
    (x * y).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.broadcast_to(y.data, (2,)).astype(np.float32))


def test_of_several_outputs_the_floating_ones_have_a_gradient(x):
    @mg.primitive(x=lambda g, x: g[1])
    def parts(x):
        return x > 0, x * 1.0

    positive, same = parts(x)
    assert not positive.requires_grad and same.requires_grad
    (same * positive).sum().backward()
    assert x.grad.data.tolist() == [1, 0]


def test_a_sequence_that_gives_integers_has_no_gradient(x):
    @mg.sequence_primitive(xs=lambda g, xs: [g for _ in xs])
    def larger(xs):
        return np.argmax(np.stack(xs), axis=0)

    assert not larger([x, x]).requires_grad


@pytest.mark.parametrize(
    ("definition", "came"),
    [
        (lambda x: float(x.sum()), r"-1.0 \(float\)"),
        (lambda x: 3, r"3 \(int\)"),
        (lambda x: None, "None"),
        (lambda x: mg.ones(2), r"a Tensor float32\[2\]"),
        (lambda x: {"y": x}, r"\{'y': array.*\(dict\)"),
        (lambda x: "text", r"'text' \(str\)"),
        (lambda x: (x, 1.0), r"1.0 \(float\)"),
        (lambda x: (x, None), "None"),
    ],
)
@pytest.mark.parametrize("recording", [True, False])
def test_a_definition_that_gives_no_array_is_named_with_what_it_gave(
    definition, came, recording, x
):
    definition.__name__ = "squash"
    own = mg.primitive(x=lambda g: g)(definition)
    with mg.enable_grad() if recording else mg.no_grad():
        with pytest.raises(TypeError, match=rf"squash: its definition returned {came}; it must"):
            own(x)


@pytest.mark.parametrize(
    ("definition", "came"),
    [
        (lambda x: x * 1j, r"an array complex64\[2\]"),
        (lambda x: x.astype(object), r"an array object\[2\]"),
        (lambda x: x.astype(str), r"an array <U32\[2\]"),
        (lambda x: x.astype("M8[s]"), r"an array datetime64\[s\]\[2\]"),
        (lambda x: np.complex64(1), r"np\.complex64\(1\+0j\) .*"),
        (lambda x: (x, x * 1j), r"an array complex64\[2\]"),
    ],
)
@pytest.mark.parametrize("recording", [True, False])
def test_a_definition_that_gives_no_real_numbers_is_named(definition, came, recording, x):
    definition.__name__ = "squash"
    own = mg.primitive(x=lambda g: g)(definition)
    message = rf"squash\(float32\[2\]\): the result is ({came}), but Tensors hold real numbers"
    with mg.enable_grad() if recording else mg.no_grad():
        with pytest.raises(mg.DTypeError, match=message):
            own(x)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("other", [np.asmatrix, np.ma.asarray])
def test_a_matrix_and_a_masked_array_are_no_arrays_here(other, x):
    """The one multiplies by another rule, the other holds back values."""
    kind = type(other(np.ones(2))).__qualname__
    own = mg.primitive(x=lambda g: g)(lambda x: other(x))
    with pytest.raises(TypeError, match=rf"its definition returned a numpy\.\S*{kind} .*; it must"):
        own(x)
    with pytest.raises(TypeError, match=rf"rule of 'x' returned a numpy\.\S*{kind} .*; it must"):
        with_rule(lambda g: other(np.ones(2)))(x).sum().backward()


def test_an_option_that_is_a_tensor_is_named():
    scaled = mg.primitive(x=lambda g, s: g * s)(lambda x, *, s=1.0: x * s)
    with pytest.raises(TypeError, match=r"returned a Tensor.*an option that is a Tensor stays one"):
        scaled(mg.ones(2), s=mg.tensor(2.0))


def test_numpy_scalars_are_arrays():
    x = mg.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    y = mg.primitive(x=lambda g, x: g * np.ones(2))(lambda x: np.float64(x.sum()))(x)
    y.backward()
    assert y.shape == () and x.grad.data.tolist() == [1, 1]


# --- what a rule gives ------------------------------------------------------------------------

both_lives = pytest.mark.parametrize("create_graph", [False, True])


def with_rule(rule, definition=lambda x: x * 2):
    definition.__name__ = "squash"
    return mg.primitive(x=rule)(definition)


@both_lives
@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda g: 2.0, r"squash: the rule of 'x' returned 2.0 \(float\); .*shape \(2,\), or None"),
        (lambda g: 0, "squash: the rule of 'x' returned 0"),
        (lambda g: "g", r"squash: the rule of 'x' returned 'g' \(str\)"),
        (lambda g: [g], r"squash: the rule of 'x' returned \[.*\(list\)"),
        (lambda g: (g, g), r"squash: the rule of 'x' returned \(.*\(tuple\)"),
        (lambda g: np.ones(3), r"squash: the rule of 'x' returned a gradient of shape \(3,\)"),
        (lambda g: mg.ones(3), r"squash: the rule of 'x' returned a gradient of shape \(3,\)"),
        (lambda g: np.float32(1), r"squash: the rule of 'x' returned a gradient of shape \(\)"),
        (lambda g: np.ones(2) * 1j, r"squash: the rule of 'x' returned .*complex128\[2\]"),
    ],
)
def test_a_rule_that_gives_no_gradient_is_named_with_what_it_gave(rule, message, create_graph, x):
    with pytest.raises((TypeError, ValueError), match=message):
        mg.grad(with_rule(rule)(x).sum(), x, create_graph=create_graph)


@both_lives
def test_none_from_a_rule_means_no_gradient(create_graph, x):
    w = mg.ones(2, requires_grad=True)
    own = with_rule(lambda g: None)
    assert mg.grad(own(x).sum(), x, create_graph=create_graph) == [None]
    (own(x) * w + x).sum().backward(create_graph=create_graph)
    assert x.grad.detach().data.tolist() == [1, 1]
    assert w.grad.detach().data.tolist() == [2, -4]


@both_lives
@pytest.mark.parametrize("rule", [lambda g: g * mg.tensor([3.0, 3.0]), lambda g: g * np.float32(3)])
def test_a_rule_may_give_a_tensor_or_an_array(rule, create_graph, x):
    own = with_rule(rule)
    [g] = mg.grad(mg.tanh(own(own(x) * 1)).sum(), x, create_graph=create_graph)
    slope = 1 - np.tanh(4 * x.data.astype(np.float64)) ** 2
    np.testing.assert_allclose(g.detach().data, 9 * slope, rtol=1e-4, atol=1e-5)


@both_lives
def test_a_constant_array_from_a_rule_is_a_constant(create_graph, x):
    [g] = mg.grad(with_rule(lambda g: np.ones(2))(x).sum(), x, create_graph=create_graph)
    assert g.data.tolist() == [1, 1]


def test_the_rule_of_the_input_that_is_wrong_is_named(x):
    @mg.primitive(a=lambda g: g, b=lambda g: 1.5)
    def mixed(a, b):
        return a + b

    w = mg.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match=r"mixed: the rule of 'b' returned 1\.5"):
        mixed(x, w).sum().backward()
    with pytest.raises(TypeError, match=r"mixed: the rule of 'b' returned 1\.5"):
        mixed(x * 1, w * 1).sum().backward()


def test_an_input_that_is_given_twice_may_be_the_wrong_one(x):
    @mg.primitive(a=lambda g: g, b=lambda g: 1.5)
    def mixed(a, b):
        return a + b

    with pytest.raises(TypeError, match=r"mixed: the rule of 'a' or 'b' returned 1\.5"):
        mixed(x, x).sum().backward()


@both_lives
def test_an_error_within_a_rule_names_the_rule(create_graph, x):
    own = with_rule(lambda g: g @ np.ones((7, 7), np.float32))
    with pytest.raises(ValueError, match=r"7") as caught:
        mg.grad(own(x).sum(), x, create_graph=create_graph)
    assert "in squash: the rule of 'x'" in caught.value.__notes__

    @mg.sequence_primitive(xs=lambda g, xs: 1 / 0)
    def added(xs):
        return xs[0] + xs[1]

    with pytest.raises(ZeroDivisionError) as caught:
        mg.grad(added([x, x]).sum(), x, create_graph=create_graph)
    assert caught.value.__notes__ == ["in added: the rule of 'xs'"]


@pytest.mark.parametrize(
    ("gives", "came"),
    [
        (lambda g, xs: g, r"an array float32\[2\]"),
        (lambda g, xs: [g], r"\[array.*\(list\)"),
        (lambda g, xs: 1.0, "1.0"),
        (lambda g, xs: [g, 2.0], "2.0"),
    ],
)
def test_the_rule_of_a_sequence_gives_as_many(gives, came, x):
    @mg.sequence_primitive(xs=lambda g, xs: gives(g, xs))
    def added(xs):
        return xs[0] + xs[1]

    with pytest.raises(TypeError, match=rf"added: the rule of 'xs' returned {came}"):
        added([x, mg.ones(2, requires_grad=True)]).sum().backward()


def test_the_rule_of_a_sequence_may_give_none(x):
    w = mg.ones(2, requires_grad=True)
    for rule, expected in ((lambda g: None, [None, None]), (lambda g: [None, g], [None, [1, 1]])):

        def add(xs):
            return xs[0] + xs[1]

        found = mg.grad(mg.sequence_primitive(xs=rule)(add)([x, w]).sum(), [x, w])
        assert [g if g is None else g.data.tolist() for g in found] == expected


# --- arrays of other libraries ----------------------------------------------------------------


@pytest.mark.parametrize(
    "compute",
    [
        lambda theirs, ours: theirs + ours,
        lambda theirs, ours: ours + theirs,
        lambda theirs, ours: ours @ theirs,
        lambda theirs, ours: theirs * ours,
        lambda theirs, ours: theirs == ours,
        lambda theirs, ours: ours < theirs,
        lambda theirs, ours: mg.maximum(theirs, ours),
        lambda theirs, ours: mg.tanh(theirs),
        lambda theirs, ours: mg.sum(theirs),
    ],
)
def test_a_tensor_of_another_library_is_named(compute):
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"got a torch.Tensor.*mg\.tensor\(np\.asarray\(x\)\)"):
        compute(torch.ones(2), mg.ones(2))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize(
    "compute",
    [
        lambda theirs, ours: theirs + ours,
        lambda theirs, ours: ours * theirs,
        lambda theirs, ours: theirs * ours,
        lambda theirs, ours: ours == theirs,
        lambda theirs, ours: mg.maximum(ours, theirs),
    ],
)
@pytest.mark.parametrize("kind", ["matrix", "MaskedArray"])
def test_a_matrix_or_a_masked_array_is_named(compute, kind):
    """`Tensor * matrix` was a matrix product, and a masked value was infinity."""
    values = np.ones((2, 2))
    theirs = np.asmatrix(values) if kind == "matrix" else np.ma.array(values, mask=values > 0)
    for ours in (mg.ones(2, 2), mg.ones(2, 2, requires_grad=True)):
        with pytest.raises(TypeError, match=rf"got a numpy\.\S*{kind}.*np\.asarray\(x\)"):
            compute(theirs, ours)
    with pytest.raises(TypeError, match=rf"data: expected .*, got a numpy\.\S*{kind}"):
        mg.ones(2, 2).data = theirs


class Foreign:
    """An array of another library, such as JAX's: NumPy can read it."""

    shape, dtype = (2,), np.dtype(np.float32)

    def __array__(self, dtype=None, copy=None):
        return np.ones(2, dtype or np.float32)


@pytest.mark.parametrize(
    "compute",
    [
        lambda theirs, ours: ours + theirs,
        lambda theirs, ours: theirs * ours,
        lambda theirs, ours: ours**theirs,
        lambda theirs, ours: ours @ theirs,
        lambda theirs, ours: mg.where(ours > 0, ours, theirs),
        lambda theirs, ours: mg.where(theirs, ours, 0.0),
        lambda theirs, ours: mg.minimum(ours, theirs),
        lambda theirs, ours: mg.exp(theirs),
    ],
)
def test_an_array_of_another_library_is_named_at_the_call(compute, x):
    """Some operations took it, and their rules could not compute with it."""
    with pytest.raises(TypeError, match=r"got a \S*Foreign.*np\.asarray\(x\)"):
        compute(Foreign(), x)


def test_an_input_without_a_rule_may_be_anything():
    @mg.primitive(x=lambda g, how: g * how["factor"])
    def scaled(x, how, like):
        return x * how["factor"]

    x = mg.ones(2, requires_grad=True)
    scaled(x, {"factor": 2.0}, Foreign()).sum().backward()
    assert x.grad.data.tolist() == [2, 2]


def test_an_error_of_a_definition_that_says_all_is_left_as_it_is():
    @mg.sequence_primitive(xs=lambda g, xs: [g for _ in xs])
    def total(xs):
        raise mg.ShapeError("total: says all")

    with pytest.raises(mg.ShapeError, match=r"^total: says all$"):
        total([mg.ones(2), mg.ones(2)])


def test_an_error_in_a_kernel_names_the_operation_and_the_shapes():
    with pytest.raises(mg.ShapeError, match=r"^linear\(float32\[2, 3\], float32\[4, 5\], None\):"):
        linear(mg.ones(2, 3), mg.ones(4, 5), None)
