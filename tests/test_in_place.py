"""`+=` and its like: into a leaf in place and noted, for a result a new Tensor, else a refusal."""

import copy
import operator
import pickle

import numpy as np
import pytest
from checks import are_neighbours

import minigrad as mg
from minigrad import nn

OPERATORS = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "**=": operator.ipow,
    "@=": operator.imatmul,
}
over_operators = pytest.mark.parametrize("symbol", OPERATORS)
both_ways = pytest.mark.parametrize("mode", [mg.enable_grad, mg.no_grad])
LEAVES = {
    "tensor": lambda: mg.tensor([[1.0, 2.0], [3.0, 4.0]]),
    "Tensor": lambda: mg.Tensor([[1.0, 2.0], [3.0, 4.0]]),
    "creation": lambda: mg.full((2, 2), 3.0),
    "random": lambda: mg.rand(2, 2),
    "like": lambda: mg.ones_like(mg.zeros(2, 2)),
    "eye": lambda: mg.eye(2),
    "buffer": lambda: nn.Buffer([[1.0, 2.0], [3.0, 4.0]]),
    "frozen parameter": lambda: nn.Parameter([[1.0, 2.0], [3.0, 4.0]], requires_grad=False),
    "copy": lambda: copy.deepcopy(mg.tensor([[1.0, 2.0], [3.0, 4.0]])),
    "unpickled": lambda: pickle.loads(pickle.dumps(mg.eye(2))),
    "detached leaf": lambda: mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True).detach(),
    "state": lambda: nn.Linear(2, 2).state_dict()["weight"],
    "clone of a leaf": lambda: mg.eye(2).clone(),
    "clone of a parameter's values": lambda: nn.Linear(2, 2).weight.detach().clone(),
    "clone by the function": lambda: mg.clone(mg.eye(2)),
    "clone of a clone": lambda: nn.Buffer(mg.eye(2)).clone().clone(),
    "asked gradient": lambda: gradient_of(nn.Parameter(mg.ones(2, 2))),
}


def gradient_of(p):
    with mg.enable_grad():
        [gradient] = mg.grad((p * p).sum(), [p])
    return gradient


RESULTS = {
    "sum": lambda x: x + 0,
    "view": lambda x: x[0:2],
    "transpose": lambda x: x.T,
    "reshape": lambda x: x.reshape(2, 2),
    "dropout": lambda x: nn.Dropout(0.5)(x),
    "part": lambda x: mg.split(x, 1)[0],
    "fused": lambda x: nn.functional.leaky_relu(x),
    "stack": lambda x: mg.stack([x[0], x[1]]),
    "detached result": lambda x: (x * 1).detach(),
    "detached view": lambda x: x[0:2].detach(),
    "cast": lambda x: x.astype("float64"),
    "clone of a result": lambda x: (x + 0).clone(),
    "clone of a detached result": lambda x: (x + 0).detach().clone(),
    "clone of a parameter": lambda x: nn.Parameter(x).clone(),
    "detached clone of a parameter": lambda x: nn.Parameter(x).clone().detach(),
}


@both_ways
@over_operators
@pytest.mark.parametrize("kind", LEAVES)
def test_a_leaf_is_written_in_place_as_by_numpy(kind, symbol, mode):
    x = LEAVES[kind]()
    other = x
    array, expected = x.data, x.data.copy()
    expected = OPERATORS[symbol](expected, np.full((2, 2), 2, np.float32))
    with mode():
        x = OPERATORS[symbol](x, mg.full((2, 2), 2.0))
    assert x is other and x.data is array and x._record is None
    np.testing.assert_array_equal(x.data, expected)


@both_ways
@over_operators
@pytest.mark.parametrize("kind", RESULTS)
def test_a_result_is_never_changed(kind, symbol, mode):
    """Neither with recording nor without, and nothing that shares its memory."""
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    with mode():
        y = RESULTS[kind](x)
        held, before = y, y.data.copy()
        y = OPERATORS[symbol](y, mg.full((2, 2), 2.0))
    assert y is not held and not np.shares_memory(y.data, held.data)
    np.testing.assert_array_equal(held.data, before)
    assert x.data.tolist() == [[1, 2], [3, 4]]


# --- the same forward code, with and without recording ----------------------------------------


def residual(x, f, drop):
    h = x
    h += f(x)
    return h


def residual_of_a_result(x, f, drop):
    x = x * 1
    h = x
    h += f(x)
    return h * x


def through_a_view(x, f, drop):
    y = f(x)
    row = y[0]
    row += 1
    row *= 2
    return y + row


def through_dropout(x, f, drop):
    h = drop(x)  # in use it is x itself, as in PyTorch
    h += 1
    h = drop(h * 1)
    h *= f(h)
    return h


def scaled(x, f, drop):
    y = f(x)
    y /= 2
    same = y.detach()
    same -= 1
    y **= 2
    return y + same


BLOCKS = [residual, residual_of_a_result, through_a_view, through_dropout, scaled]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("block", BLOCKS)
def test_forward_code_does_the_same_with_and_without_recording(block, training):
    f, drop = nn.Linear(3, 3), nn.Dropout(0.5).train(training)
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = {}
    for mode in (mg.enable_grad, mg.no_grad):
        x = mg.tensor(values)
        with mode():
            if block is residual:  # a leaf is no place for a result: refused, or x is changed
                x = mg.tensor(values, requires_grad=True) * 1
            mg.manual_seed(1)
            y = block(x, f, drop)
        assert y.requires_grad is (mode is mg.enable_grad)
        found[mode] = y.detach().data, x.detach().data
    np.testing.assert_array_equal(found[mg.enable_grad][0], found[mg.no_grad][0])
    for _, after in found.values():
        np.testing.assert_array_equal(after, values + (block is through_dropout and not training))


def test_a_residual_sum_into_a_leaf_is_refused_while_recording():
    x, f = mg.ones(2, 3), nn.Linear(3, 3)
    with pytest.raises(RuntimeError, match=r"y is in a graph; write x = x \+ y"):
        residual(x, f, None)
    assert (x.data == 1).all()


# --- updates ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["loop", "attribute", "data", "raw data", "gradient data"])
def test_the_update_that_tutorials_teach_is_pytorchs(way):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Linear(3, 2).double()
    ours = nn.Linear(3, 2, dtype="float64")
    ours.load_state_dict(theirs.state_dict())
    x = np.linspace(-1, 1, 12).reshape(4, 3)
    first = ours.weight
    for _ in range(3):
        (theirs(torch.tensor(x)) ** 2).sum().backward()
        with torch.no_grad():
            for p in theirs.parameters():
                p -= 0.01 * p.grad
                p.grad = None
        (ours(mg.tensor(x)) ** 2).sum().backward()
        with mg.no_grad():
            if way == "attribute":
                ours.weight -= 0.01 * ours.weight.grad
                ours.bias -= 0.01 * ours.bias.grad
            else:
                for p in ours.parameters():
                    if way == "loop":
                        p -= 0.01 * p.grad
                    elif way == "data":
                        p.data -= 0.01 * p.grad
                    elif way == "raw data":
                        p.data -= 0.01 * p.grad.data
                    else:
                        p.grad *= 0.01
                        p.data = p.data - p.grad.data
        for p in ours.parameters():
            p.grad = None
    assert ours.weight is first and list(ours.state_dict()) == ["weight", "bias"]
    assert [p.requires_grad for p in ours.parameters()] == [True, True]
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name].data, value.numpy(), rtol=1e-13)


def test_an_average_that_began_as_a_clone_is_pytorchs():
    """`shadow = p.detach().clone()`, then `*=` and `+=` by a loop's name."""
    torch = pytest.importorskip("torch")
    found = {}
    for library in (torch, mg):
        p = library.nn.Parameter(library.tensor([1.0, 2.0]))
        averages = [p.detach().clone()]
        for _ in range(3):
            gradients = list(
                (torch.autograd.grad if library is torch else mg.grad)((p * p).sum(), [p])
            )
            for g in gradients:
                g *= 0.5
            with library.no_grad():
                p -= 0.1 * gradients[0]
                for average in averages:
                    average *= 0.9
                    average += 0.1 * p
        found[library] = [p.detach().numpy(), averages[0].numpy()]
    np.testing.assert_allclose(found[mg], found[torch], rtol=1e-6)


def test_weight_decay_written_out_is_an_update_too():
    p = nn.Parameter([2.0, 4.0])
    (p * p).sum().backward()
    with mg.no_grad():
        p -= 0.1 * (p.grad + 0.5 * p)
    assert p.data.tolist() == pytest.approx([1.5, 3.0])


@over_operators
def test_a_leaf_that_requires_a_gradient_is_refused_while_recording(symbol):
    p = nn.Parameter(np.eye(2, dtype=np.float32))
    with pytest.raises(
        RuntimeError, match=r"x requires a gradient.*with mg\.no_grad\(\): x"
    ) as error:
        OPERATORS[symbol](p, mg.eye(2))
    assert f"x {symbol} y would change" in str(error.value) and (p.data == np.eye(2)).all()


@over_operators
def test_a_right_side_in_a_graph_is_refused_while_recording(symbol):
    x, p = mg.ones(2, 2), nn.Parameter(np.ones((2, 2), np.float32))
    for right in (p, p * 2):
        with pytest.raises(RuntimeError, match="y is in a graph"):
            OPERATORS[symbol](x, right)
    assert (x.data == 1).all() and not x.requires_grad
    with mg.no_grad():
        assert OPERATORS[symbol](x, p) is x


def test_a_running_average_is_written_while_recording():
    average, p = nn.Buffer([0.0, 0.0]), nn.Parameter([2.0, 4.0])
    y = p * 3
    average *= 0.5
    average += 0.5 * y.detach()
    assert average.data.tolist() == [3, 6] and not average.requires_grad
    y.sum().backward()
    assert p.grad.data.tolist() == [3, 3]


def test_a_gradient_is_changed_in_place():
    p = nn.Parameter([3.0, 4.0])
    (0.5 * p * p).sum().backward()
    held = p.grad
    p.grad /= 5
    held *= 10
    assert p.grad is held and p.grad.data.tolist() == pytest.approx([6, 8])


def test_an_update_beside_an_optimizer_reaches_its_vector():
    p, q = nn.Parameter([1.0, 2.0]), nn.Parameter([3.0])
    optimizer = mg.optim.SGD([p, q], lr=1.0)
    with mg.no_grad():
        p += 10
        q *= 2
    (p.sum() + q.sum()).backward()
    optimizer.step()
    assert p.data.tolist() == [10, 11] and q.data.tolist() == [5]


# --- it is noted ------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [p for p in OPERATORS if p != "@="])
def test_a_change_between_forward_and_backward_is_refused(change):
    w, x = nn.Parameter([3.0, 4.0]), mg.tensor([1.0, 2.0], requires_grad=True)
    y = (w * x).sum()
    with mg.no_grad():
        w = OPERATORS[change](w, 2.0)
    with pytest.raises(mg.ChangedValueError, match="'multiply'"):
        y.backward()


@pytest.mark.parametrize(
    "view", [lambda w: w.detach(), lambda w: w.detach().detach(), lambda w: mg.Tensor(w.detach())]
)
def test_a_change_through_a_detached_leaf_is_a_change_of_the_leaf(view):
    w, x = nn.Parameter([3.0, 4.0]), mg.tensor([1.0, 2.0], requires_grad=True)
    y = (w * x).sum()
    alias = view(w)
    alias += 1
    assert w.data.tolist() == [4, 5]
    with pytest.raises(mg.ChangedValueError):
        y.backward()


def test_a_change_of_raw_data_is_noted_where_it_is_assigned_back():
    w, x = nn.Parameter([3.0, 4.0]), mg.tensor([1.0, 2.0], requires_grad=True)
    y = (w * x).sum()
    w.data *= 2
    with pytest.raises(mg.ChangedValueError):
        y.backward()


# --- shapes and dtypes ------------------------------------------------------------------------


def test_a_leaf_keeps_its_shape_and_dtype():
    x = mg.ones(3)
    with pytest.raises(mg.ShapeError, match=r"x \+= y: the result has shape \(2, 3\)"):
        x += mg.ones(2, 3)
    whole = mg.arange(3)
    with pytest.raises(mg.DTypeError, match=r"x /= y: the result is float64, but x stays int64"):
        whole /= 2
    with pytest.raises(mg.DTypeError, match=r"x \*= y"):
        whole *= 1.5
    assert x.data.tolist() == [1, 1, 1] and whole.data.tolist() == [0, 1, 2]
    x += mg.ones(3, dtype="float64")
    x += np.ones(3)
    x += 1
    whole **= 2
    assert (
        x.dtype == np.float32 and x.data.tolist() == [4, 4, 4] and whole.data.tolist() == [0, 1, 4]
    )


def test_masks_are_combined_in_place():
    mask, other = mg.tensor([True, True, False]), np.array([True, False, False])
    held = mask
    mask &= other
    mask |= mg.tensor([False, False, True])
    mask ^= True
    assert mask is held and mask.data.tolist() == [False, True, False]
    positive = mg.tensor([1.0, -1.0]) > 0
    held = positive
    positive &= False
    assert held.data.tolist() == [True, False] and positive.data.tolist() == [False, False]
    assert (other & mask).data.tolist() == [False, False, False]


def test_what_cannot_be_computed_changes_nothing():
    x = mg.ones(3)
    for right in ("a", None, mg.ones(4), object()):
        with pytest.raises((TypeError, ValueError)):
            x += right
    assert x.data.tolist() == [1, 1, 1]


@pytest.mark.parametrize("order", ["F", "strided", "reversed"])
def test_every_memory_order_is_written(order):
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    array = {"F": np.asfortranarray(base), "strided": base[::2, ::3], "reversed": base[::-1, ::-1]}
    leaf = nn.Buffer(mg.zeros(1))
    leaf._data = array[order]
    expected = array[order] + np.arange(array[order].shape[1], dtype=np.float32)
    memory = leaf.data
    leaf += np.arange(leaf.shape[1], dtype=np.float32)
    assert leaf.data is memory
    np.testing.assert_array_equal(memory, expected)


def test_overlapping_sides_are_read_before_they_are_written():
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    x += x.T
    assert x.data.tolist() == [[2, 5], [5, 8]]


def test_an_assignment_to_elements_names_what_to_do():
    x = mg.ones(3)
    for assign in (lambda: x.__setitem__(0, 1.0), lambda: x.__setitem__(x > 0, 0.0)):
        with pytest.raises(TypeError, match=r"x\[i\] = y: .*mg\.where\(.*x\.data\[i\] = array"):
            assign()


class Holder(nn.Module):
    def __init__(self, p):
        self.p = p


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.__iadd__(1),
        lambda p: Holder(p).load_state_dict({"p": mg.zeros(2)}),
        lambda p: nn.utils.vector_to_parameters(mg.zeros(2), [p]),
    ],
)
def test_memory_that_is_read_only_is_named(change):
    p = nn.Parameter([1.0, 2.0])
    for array in (np.broadcast_to(np.float32(1), (2,)), np.frombuffer(bytes(8), np.float32)):
        p.data = array
        with (
            mg.no_grad(),
            pytest.raises(
                ValueError, match=r"shape \(2,\).*read-only.*x\.data = x\.data\.copy\(\)"
            ),
        ):
            change(p)


# --- .data ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integers_are_no_data_of_a_parameter(dtype):
    p = nn.Parameter([1.0, 2.0])
    with pytest.raises(mg.DTypeError, match=rf"data: an array of dtype {dtype}.*floating-point"):
        p.data = np.array([1, 2], dtype)
    (p * 0.5).sum().backward()
    assert p.dtype == np.float32 and p.grad.data.tolist() == [0.5, 0.5]
    free = mg.ones(2)
    free.data = np.array([1, 2], dtype)
    assert free.dtype == dtype
    with pytest.raises(mg.DTypeError):
        free.requires_grad = True


class Foreign:
    """Another library's array."""

    def __array__(self, dtype=None, copy=None):
        return np.ones(2, np.float32)


@pytest.mark.parametrize("value", [[2.0, 3.0], (2.0, 3.0), 2.0, None, "ab", np.array(["a", "b"])])
def test_data_takes_arrays_and_says_what_came(value):
    p = nn.Parameter([1.0, 2.0])
    with pytest.raises(TypeError, match="data: expected"):
        p.data = value
    with pytest.raises(TypeError, match=r"data: expected .* got .*Foreign.*np\.asarray"):
        p.data = Foreign()
    assert p.data.tolist() == [1, 2]


@pytest.mark.parametrize("make", [mg.optim.SGD, mg.optim.Adam])
@pytest.mark.parametrize("keep", ["array", "tensor", "slice"])
def test_values_kept_while_data_is_another_array_are_still_there_after_steps(make, keep):
    """As in PyTorch: `backup = p.data; p.data = others; optimizer.step(); p.data = backup`."""
    parameters = [nn.Parameter([1.0, 2.0]), nn.Parameter([3.0]), nn.Parameter([4.0, 5.0])]
    optimizer = make(parameters, lr=0.1)
    taken = {"array": lambda p: p.data, "tensor": lambda p: p.detach(), "slice": lambda p: p[:1]}
    with mg.no_grad():
        backup = [taken[keep](p) for p in parameters]
    values = [p.data.copy() for p in parameters]
    for p in parameters[:2]:
        p.data = p.data + 10
    for _ in range(2):
        for p in parameters:
            p.grad = mg.ones_like(p)
        optimizer.step()
    for kept, value in zip(backup[:2], values[:2], strict=True):
        np.testing.assert_array_equal(np.asarray(kept), value[: len(kept)])
    moved = [(p.data - value).tolist() for p, value in zip(parameters, values, strict=True)]
    assert moved[0] == pytest.approx([9.8, 9.8], abs=1e-5) and parameters[0].data[0] > 10
    assert moved[2] == pytest.approx([-0.2, -0.2], abs=1e-5)  # beside them in the vector


def test_data_exchanged_with_a_parameter_of_nobodys_stays_apart():
    p, q = nn.Parameter([1.0, 2.0]), nn.Parameter([3.0, 4.0])
    optimizer = mg.optim.SGD([p], lr=1.0)
    p.data, q.data = q.data, p.data
    p.grad = mg.ones(2)
    optimizer.step()
    assert p.data.tolist() == [2, 3] and q.data.tolist() == [1, 2]
    q.data = p.data  # from here on they share, until one gets another array
    p.data = np.array([7.0, 8.0], np.float32)
    optimizer.step()
    assert p.data.tolist() == [6, 7] and q.data.tolist() == [2, 3]


def test_data_that_nobody_keeps_goes_back_into_the_vector():
    """So that weights clipped by assignment, as a WGAN's, still are one sweep."""
    parameters = [nn.Parameter([1.0, -2.0]), nn.Parameter([3.0])]
    optimizer = mg.optim.RMSprop(parameters, lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        sum((p * p).sum() for p in parameters).backward()
        optimizer.step()
        for p in parameters:
            p.data = p.data.clip(-0.5, 0.5)
    optimizer.zero_grad()
    sum((p * p).sum() for p in parameters).backward()
    optimizer.step()
    assert are_neighbours([p.data for p in parameters])


def test_views_from_before_an_optimizer_keep_the_old_values():
    """As the docstrings of `data`, `numpy` and `detach` and of `Optimizer` say."""
    p = nn.Parameter([1.0, 2.0])
    array, tensor, values = p.data, p.detach(), p.detach().numpy()
    mg.optim.SGD([p], lr=0.1)
    assert not np.shares_memory(p.data, array)
    array[...] = 5
    assert p.data.tolist() == [1, 2] and tensor.data.tolist() == values.tolist() == [5, 5]
    now = p.data
    now[...] = 7
    assert p.detach().numpy().tolist() == [7, 7]
    for text in (mg.Tensor.data.__doc__, mg.optim.Optimizer.__doc__):
        assert "vector" in text
