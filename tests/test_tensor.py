"""Tensor itself: what Python and NumPy ask of it, its errors, its declared list of methods."""

import array
import ast
import copy
import functools
import inspect
import math
import operator
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops import METHODS
from minigrad.tensor import wrap


def leaf(values):
    return mg.tensor(np.array(values, np.float64), requires_grad=True)


# --- making one -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        ([1.5, 2], np.float32),
        ([[1.0], [2.0]], np.float32),
        ([], np.float32),
        (1, np.int64),
        ([1, 2], np.int64),
        (True, np.bool_),
        (np.float64(1.5), np.float64),
        (np.array([1.5]), np.float64),
        ([np.array(1.5), np.array(2.5)], np.float64),
        (np.array([1], np.int32), np.int32),
        (np.array([1.5], np.float16), np.float16),
    ],
)
def test_tensor_keeps_dtypes_and_makes_python_floats_float32(data, dtype):
    assert mg.tensor(data).dtype == dtype
    assert mg.tensor(data, dtype="float64").dtype == np.float64


def test_tensor_copies_its_data():
    array = np.array([1.0, 2.0])
    x = mg.tensor(array)
    assert not np.shares_memory(x.data, array)
    assert not np.shares_memory(mg.tensor(x).data, x.data)


@pytest.mark.parametrize("data", ["text", ["a", 1], [object()], 1j, None])
def test_tensor_refuses_what_is_not_numbers(data):
    with pytest.raises(mg.DTypeError, match="expected numbers"):
        mg.tensor(data)


def test_tensor_refuses_ragged_lists():
    with pytest.raises(mg.ShapeError, match="one shape"):
        mg.tensor([[1.0, 2.0], [3.0]])


def test_data_and_grad_are_checked_when_assigned():
    x = leaf([1.0, 2.0])
    x.data = np.array([3.0, 4.0])
    assert x.data.tolist() == [3, 4]
    with pytest.raises(mg.ShapeError, match=r"\(3,\).*\(2,\)"):
        x.data = np.zeros(3)
    x.grad = mg.ones(2, dtype=x.dtype)
    with pytest.raises(mg.ShapeError, match=r"\(3,\).*\(2,\)"):
        x.grad = mg.ones(3, dtype=x.dtype)
    with pytest.raises(TypeError, match="an array"):
        x.grad = np.ones(2)
    x.grad = None


def test_constructor_makes_a_leaf_of_anything():
    assert mg.Tensor([1.0, 2.0]).dtype == np.float32
    x = leaf([1.0])
    y = mg.Tensor(x * 2)
    assert not y.requires_grad and y.data.tolist() == [2]
    assert mg.Tensor(1.0, requires_grad=True).requires_grad


def test_astype_converts_and_keeps_the_graph_between_floats():
    x = leaf([1.5, 2.5])
    assert x.astype("float64") is x
    assert not x.astype(int).requires_grad and x.astype(int).data.tolist() == [1, 2]
    assert mg.tensor([1, 2]).astype("float32").dtype == np.float32
    (x.astype(np.float32) * 2).sum().backward()
    assert x.grad.dtype == np.float64 and x.grad.data.tolist() == [2, 2]


def test_properties_are_those_of_the_array():
    x = mg.zeros(2, 3)
    assert (x.shape, x.ndim, x.size, x.dtype, x.device) == ((2, 3), 2, 6, np.float32, "cpu")
    assert x.T.shape == (3, 2)


# --- what leaves the graph --------------------------------------------------------------------


def test_grad_takes_only_the_leafs_dtype_and_device():
    x = mg.ones(2, requires_grad=True)
    with pytest.raises(mg.DTypeError, match="float64 for a float32"):
        x.grad = mg.ones(2, dtype="float64")
    assert x.grad is None


def test_format_gives_numbers_as_python_does_and_else_the_text():
    assert f"{mg.tensor(0.123456):.3f}" == "0.123"
    assert f"{mg.tensor([1.0, 2.0])}" == "tensor([1., 2.])"


def test_numpy_shares_memory_and_refuses_gradients():
    x = mg.tensor([1.0, 2.0])
    assert np.shares_memory(x.numpy(), x.data)
    with pytest.raises(RuntimeError, match=r"detach\(\)\.numpy\(\)"):
        leaf(1.0).numpy()
    assert leaf(1.0).detach().numpy() == 1


def test_asarray_shares_memory_outside_a_graph_only():
    x = mg.tensor(np.array([1.0, 2.0]))
    assert np.shares_memory(np.asarray(x), x.data)
    assert not np.shares_memory(np.array(x), x.data)
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    for y in (leaf([1.0]), leaf([1.0]) * 2):
        with pytest.raises(TypeError, match="detach"):
            np.asarray(y)


def test_item_needs_one_element():
    assert leaf([[2.5]]).item() == 2.5
    assert type(mg.tensor(3).item()) is int
    with pytest.raises(mg.ShapeError, match=r"\(2,\)"):
        mg.ones(2).item()


def test_python_asks_for_numbers_truth_length_and_elements():
    assert bool(mg.tensor([1.0])) and not mg.tensor(0)
    for ambiguous in (mg.ones(2), mg.ones(0)):
        with pytest.raises(ValueError, match="ambiguous"):
            bool(ambiguous)
    assert float(leaf([2.5])) == 2.5 and int(mg.tensor(2.5)) == 2
    with pytest.raises(mg.ShapeError):
        float(mg.ones(2))
    assert len(mg.zeros(3, 2)) == 3
    for ask in (len, list):
        with pytest.raises(TypeError, match="without axes"):
            ask(mg.tensor(1.0))
    rows = list(leaf([[1.0, 2.0], [3.0, 4.0]]))
    assert [row.data.tolist() for row in rows] == [[1, 2], [3, 4]]
    assert all(row.requires_grad for row in rows)
    assert math.isclose(float(leaf(2.0).sqrt()), math.sqrt(2))


def test_equality_is_elementwise_and_hashing_by_identity():
    x, y = mg.tensor([1.0, 2.0]), mg.tensor([1.0, 3.0])
    assert (x == y).data.tolist() == [True, False]
    assert (x != 1.0).data.tolist() == [False, True]
    assert len({x, y, x}) == 2 and hash(x) == hash(x) != hash(copy.deepcopy(x))


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (lambda: mg.tensor([1.0, 2.0]), "tensor([1., 2.])"),
        (lambda: mg.tensor(1), "tensor(1)"),
        (lambda: leaf([1.0]), "tensor([1.], dtype=float64, requires_grad=True)"),
    ],
)
def test_repr_shows_what_is_not_the_default(x, text):
    assert repr(x()) == text


# --- with NumPy's arrays ----------------------------------------------------------------------


@pytest.mark.parametrize("other", [np.array([2.0, 3.0]), np.float64(2.0), np.array(2.0)])
@pytest.mark.parametrize(
    "apply",
    [
        operator.add,
        operator.sub,
        operator.mul,
        operator.truediv,
        operator.pow,
        operator.eq,
        operator.ne,
        operator.lt,
        operator.le,
        operator.gt,
        operator.ge,
    ],
)
def test_arrays_and_tensors_mix_in_either_order(apply, other):
    x = leaf([2.0, 5.0])
    for y, expected in [
        (apply(x, other), apply(x.data, other)),
        (apply(other, x), apply(other, x.data)),
    ]:
        assert isinstance(y, mg.Tensor)
        np.testing.assert_array_equal(y.data, expected)


def test_array_times_tensor_has_a_gradient():
    x, matrix = leaf([2.0, 5.0]), np.array([[1.0, 2.0], [3.0, 4.0]])
    y = matrix @ x
    assert isinstance(y, mg.Tensor)
    (matrix * y).sum().backward()
    np.testing.assert_array_equal(x.grad.data, matrix.T @ matrix.sum(axis=0))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.concatenate([x, x]),
        lambda x: np.stack([x, x]),
        lambda x: np.where(np.array([True]), x, 0),
        lambda x: np.sum(x),
        lambda x: np.reshape(x, (1, 1)),
        lambda x: np.einsum("i->", x),
    ],
)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_numpy_functions_are_refused_and_name_ours(function, requires_grad):
    with pytest.raises(TypeError, match=r"use mg\.(concatenate|stack|where|sum|reshape|einsum)"):
        function(mg.tensor([1.0], requires_grad=requires_grad))


@pytest.mark.parametrize("function", [np.exp, np.abs, lambda x: np.add(x, 1), np.isnan])
def test_numpy_ufuncs_are_refused(function):
    with pytest.raises(TypeError, match="Tensor"):
        function(mg.tensor([1.0]))


@pytest.mark.parametrize(
    "index",
    [
        [0, 2, 2],
        [True, False, True],
        mg.tensor([0, 2, 2]),
        mg.tensor([True, False, True]),
        (mg.tensor([0, 2]), 1),
        (slice(None), [0, 1]),
        (mg.tensor(1), None),
        [],
    ],
    ids=repr,
)
def test_lists_and_tensors_are_indices_too(index):
    def plain(index):
        if isinstance(index, tuple):
            return tuple(plain(part) for part in index)
        return index.data if isinstance(index, mg.Tensor) else index

    x = leaf([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    y = x[index]
    np.testing.assert_array_equal(y.data, x.data[plain(index)])
    expected = np.zeros((3, 2))
    np.add.at(expected, plain(index), 1.0)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, expected)


# --- errors of operations ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda: mg.ones(2) + mg.ones(3), r"add\(float32\[2\], float32\[3\]\)"),
        (lambda: mg.ones(2, 3) @ mg.ones(2, 3), r"matmul\(float32\[2, 3\], float32\[2, 3\]\)"),
        (lambda: mg.tensor(1.0) @ mg.ones(3), r"matmul\(float32\[\], float32\[3\]\)"),
        (lambda: mg.ones(2, 3).reshape(4), r"reshape\(float32\[2, 3\], .*4"),
        (lambda: mg.ones(2).sum(axis=1), r"sum\(float32\[2\]\).*axis 1"),
        (lambda: mg.concatenate([mg.ones(2), mg.ones(2, 2)]), r"concatenate\(float32\[2\], "),
        (lambda: mg.split(mg.ones(5), 2), r"split\(float32\[5\], 2\)"),
        (lambda: mg.einsum("ij,jk", mg.ones(2, 3), mg.ones(4, 2)), "contract"),
        (
            lambda: mg.einsum("ij,jk", mg.ones(2, 3), mg.ones(4, 2)),
            r"^einsum: 'ij,jk' .*\(2, 3\), \(4, 2\)",
        ),
        (lambda: mg.einsum("ij->k", mg.ones(2, 3)), r"^einsum: 'ij->k' .*\(2, 3\)"),
        (lambda: mg.einsum("ij->ii", mg.ones(2, 2)), r"^einsum: 'ij->ii' .*\(2, 2\)"),
        (lambda: mg.einsum("ii->i", mg.ones(2, 3)), r"^einsum: 'ii->i' .*\(2, 3\)"),
        (lambda: mg.einsum("ij", mg.ones(2)), r"'ij'.*\(2,\)"),
        (lambda: mg.einsum("i,j", mg.ones(2)), "2 terms.*1 operand"),
        (lambda: mg.take_along_axis(mg.ones(2), np.zeros((1, 1), int), 0), r"\(1, 1\).*\(2,\)"),
        (lambda: mg.take_along_axis(mg.ones(2, 2), np.zeros(1, int), 0), r"\(1,\).*\(2, 2\)"),
        (lambda: mg.ones(3).broadcast_to((2, 2)), "broadcast_to"),
    ],
)
def test_shape_errors_name_the_operation_and_the_shapes(compute, message):
    with pytest.raises(mg.ShapeError, match=message):
        compute()


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda: mg.ones(2) + "a", r"add\(float32\[2\], 'a'\)"),
        (lambda: mg.ones(2) * None, r"multiply\(float32\[2\], None\)"),
        (lambda: -mg.tensor([True]), "negative"),
        (lambda: mg.sum(mg.ones(2), nothing=1), "nothing"),
    ],
)
def test_type_errors_name_the_operation(compute, message):
    with pytest.raises(mg.DTypeError, match=message):
        compute()


def test_einsum_refuses_subscripts_that_are_no_text():
    with pytest.raises(TypeError, match=r"einsum: expected subscripts such as .* got \[0, 1\]"):
        mg.einsum([0, 1], mg.ones(2, 3))


@pytest.mark.parametrize("order", ["fro", "nuc"])
def test_norm_refuses_other_orders(order):
    with pytest.raises(ValueError, match=f"norm: ord must be .* got {order!r}"):
        mg.norm(mg.ones(2), order)


def test_index_errors_keep_their_kind_and_name_the_operation():
    with pytest.raises(IndexError, match="out of bounds") as caught:
        mg.ones(2)[5]
    assert "getitem(float32[2], 5)" in caught.value.__notes__[0]


def test_too_many_or_few_arguments_are_refused():
    for call in (lambda: mg.exp(), lambda: mg.exp(mg.ones(2), 1), lambda: mg.where(mg.ones(2))):
        with pytest.raises(TypeError, match="takes"):
            call()


def test_options_go_by_position_and_inputs_by_name():
    x = mg.ones(2, 3)
    assert mg.sum(x, 0).shape == mg.sum(x=x, axis=0).shape == x.sum(0).shape == (3,)
    assert mg.sum(x, 0, True).shape == x.sum(0, True).shape == (1, 3)
    assert mg.reshape(x, shape=(3, 2)).shape == (3, 2)
    scaled = mg.fused(lambda x, factor=2.0: x * factor)
    assert scaled(x=x).tolist() == scaled(x, 2.0).tolist() == [[2.0] * 3] * 2


@pytest.mark.parametrize(
    ("operator", "name"),
    [
        (lambda x: x & (x > 0), "bitwise_and"),
        (lambda x: x > 0 & x, "bitwise_and"),
        (lambda x: True | x, "bitwise_or"),
        (lambda x: (x > 0) ^ 1.5, "bitwise_xor"),
        (lambda x: ~x, "invert"),
        (lambda x: (x > 0) & None, "bitwise_and"),
    ],
)
def test_operators_on_bits_refuse_other_numbers_and_say_to_compare(operator, name):
    with pytest.raises(mg.DTypeError, match=rf"^{name}: expected booleans or int.*brackets: .*> 0"):
        operator(mg.tensor([1.0, -1.0]))


def test_operators_on_bits_take_arrays_and_numbers_on_either_side():
    mask, other = mg.tensor([True, False, True]), np.array([True, True, False])
    for apply in (lambda a, b: a & b, lambda a, b: a | b, lambda a, b: a ^ b):
        for y in (other, mg.tensor(other), True, np.True_):
            expected = apply(mask.numpy(), y if not isinstance(y, mg.Tensor) else other)
            for result in (apply(mask, y), apply(y, mask)):
                assert isinstance(result, mg.Tensor) and result.dtype == np.bool_
                assert result.tolist() == expected.tolist()
    assert (mg.tensor([6, 3]) & 5).tolist() == (5 & mg.tensor([6, 3])).tolist() == [4, 1]
    assert (~mask).tolist() == [False, True, False]
    mask &= other
    assert mask.tolist() == [True, False, False]


# --- what PyTorch calls differently, or NumPy does not have -----------------------------------


def test_numel_tolist_and_float_are_pytorchs():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert x.numel() == x.size == 4 and mg.zeros(0, 3).numel() == 0
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]] and type(x.tolist()[0][0]) is float
    assert mg.tensor(3).tolist() == 3 and type(mg.tensor(3).tolist()) is int
    assert mg.tensor([True]).tolist() == [True] and mg.zeros(0, 2).tolist() == []
    assert mg.tensor([1, 2]).float().dtype == np.float32
    assert x.float().dtype == np.float32
    y = mg.tensor([1.0], dtype="float64", requires_grad=True)
    (3 * y.float()).sum().backward()
    assert y.grad.dtype == np.float64 and y.grad.tolist() == [3.0]


def test_clone_has_memory_of_its_own_and_stays_in_the_graph():
    x = leaf([1.0, 2.0])
    y = x.clone()
    assert not np.shares_memory(x.data, y.data) and y.requires_grad
    (y * y).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]
    with mg.no_grad():
        assert not x.clone().requires_grad
    wide = mg.ones(3).broadcast_to((2, 3)).clone()
    assert wide.data.flags.forc and wide.data.nbytes == 24  # no element stands for several


def test_all_and_any_are_numpys():
    x = mg.tensor([[1.0, 0.0], [np.nan, 2.0]])
    for ours, theirs in ((mg.all, np.all), (mg.any, np.any)):
        for axis in (None, 0, -1, (0, 1)):
            result = ours(x, axis=axis, keepdims=True)
            assert result.dtype == np.bool_
            np.testing.assert_array_equal(result.data, theirs(x.data, axis=axis, keepdims=True))
    assert bool((x == x).any()) and not (x == x).all()
    assert mg.zeros(0).all() and not mg.zeros(0).any()


def test_plus_gives_the_tensor():
    x = leaf([1.0])
    assert +x is x


# --- methods ----------------------------------------------------------------------------------


@functools.cache
def declared():
    """Tensor's methods without a body in tensor.py, as signatures."""
    tree = ast.parse(Path(inspect.getsourcefile(mg.Tensor)).read_text(encoding="utf-8"))
    [cls] = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Tensor"]
    found = {}
    for function in cls.body:
        if isinstance(function, ast.FunctionDef) and all(
            isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
            for part in function.body
        ):
            function.decorator_list = []
            bare = ast.Module([function], type_ignores=[])
            names: dict = {}
            code = compile(ast.fix_missing_locations(bare), "tensor.py", "exec", 0x1000000)
            exec(code, names)  # annotations stay text: from __future__ import annotations
            found[function.name] = inspect.signature(names[function.name])
    return found


def test_methods_declared_and_supplied_are_the_same():
    assert set(declared()) == set(METHODS)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_methods_have_the_signatures_they_declare(name):
    ours, *theirs = declared()[name].parameters.values()
    body = list(inspect.signature(METHODS[name]).parameters.values())
    assert ours.name == "self"
    assert len(body) == 1 + len(theirs)
    for promised, given in zip(theirs, body[1:], strict=True):
        assert promised.default == given.default
        variadic = promised.kind is inspect.Parameter.VAR_POSITIONAL
        assert variadic == (given.kind is inspect.Parameter.VAR_POSITIONAL)
        by_position = variadic or promised.kind is inspect.Parameter.POSITIONAL_ONLY
        if not name.startswith("__") and not by_position:
            assert promised.name == given.name


def test_method_and_function_give_the_same():
    x = wrap(np.random.RandomState(0).uniform(0.1, 0.9, (3, 4)))
    for name in METHODS:
        function = getattr(mg, name, None)
        parameters = list(declared()[name].parameters.values())[1:]
        if function is None or any(p.default is p.empty for p in parameters):
            continue
        ours, theirs = getattr(x, name)(), function(x)
        np.testing.assert_array_equal(ours.data, theirs.data, err_msg=name)


@pytest.mark.parametrize(
    "other",
    [1j, Fraction(1, 3), np.array([1j, 2]), np.array([1, 2], object), np.timedelta64(3, "s")],
)
@pytest.mark.parametrize("requires_grad", [True, False])
def test_a_tensor_holds_real_numbers(other, requires_grad):
    x = mg.ones(2, requires_grad=requires_grad)
    message = r"multiply\(.*float32\[2\].*\): the result is an array .*, but Tensors hold real"
    for compute in (lambda: x * other, lambda: other * x):
        with pytest.raises(mg.DTypeError, match=message):
            compute()


TWO_INPUTS = {
    "power": lambda a, b: a**b,
    "matmul": lambda a, b: a @ b,
    "divide": lambda a, b: a / b,
    "maximum": mg.maximum,
    "minimum": mg.minimum,
    "where": lambda a, b: mg.where([True, False, True], a, b),
}


@pytest.mark.parametrize("name", TWO_INPUTS)
@pytest.mark.parametrize(
    "make",
    [list, tuple, np.array, memoryview, lambda a: array.array("d", a), lambda a: range(1, 4)],
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_list_is_an_operand_as_an_array_is(name, make, create_graph):
    """Also for the rules, which compute with it later; of memoryviews `==` is another one."""
    values = np.array([1.0, 2.0, 3.0])
    theirs = make(values)
    x = mg.tensor([2.0, 2.0, 0.5], dtype="float64", requires_grad=True)
    for flip in (False, True):

        def derivative(other, flip=flip):
            y = TWO_INPUTS[name](*([other, x] if flip else [x, other]))
            [g] = mg.grad((y * y).sum(), x, create_graph=create_graph)
            return g if not create_graph else mg.grad((g * g).sum(), x)[0]

        np.testing.assert_array_equal(derivative(theirs).data, derivative(values).data)


@pytest.mark.parametrize("name", TWO_INPUTS)
def test_a_list_of_tensors_is_no_operand(name):
    parts = [mg.tensor(1.0, requires_grad=True), 2.0, 3.0]
    with pytest.raises(TypeError, match=rf"{name}: '[ab]' .*list of Tensors; .*mg\.stack"):
        TWO_INPUTS[name](parts, mg.ones(3))


def test_a_tensor_as_out_of_a_ufunc_is_refused():
    with pytest.raises(TypeError, match=r"numpy\.add does not take this Tensor"):
        np.add(np.ones(2), np.ones(2), out=mg.ones(2))


def test_a_list_that_holds_a_result_is_refused_with_the_remedy():
    x = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match=r"Tensor that is in a graph.*\.detach\(\)"):
        mg.tensor([x * x, 1.0])


@pytest.mark.parametrize("copying", [copy.deepcopy, pickle.dumps])
def test_only_leaves_are_copied_and_pickled(copying):
    x = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"only leaves can be .* a result, \.detach\(\)"):
        copying(x * x)
    copying((x * x).detach())


def test_an_array_is_not_changed_by_a_tensor_whose_gradient_would_be_lost():
    values = np.ones(2)
    with pytest.raises(TypeError, match=r"numpy\.subtract does not take this Tensor"):
        values -= leaf([1.0, 2.0])
    with pytest.raises(TypeError, match=r"numpy\.subtract does not take this Tensor"):
        np.subtract(values, mg.ones(2), where=values > 0)
    assert values.tolist() == [1, 1]


def test_a_gradient_on_another_device_is_refused(stand_in):
    x = leaf([1.0, 2.0])
    with pytest.raises(mg.DeviceError, match="grad: on 'gpu', the Tensor is on 'cpu'"):
        x.grad = mg.ones(2, dtype=x.dtype, device="gpu")
    assert x.grad is None
