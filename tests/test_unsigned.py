"""Numbers that a dtype cannot hold, and dtypes that a Tensor cannot have, are refused by name."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError

U = np.array([0, 9], np.uint8)


@pytest.mark.parametrize("number", [-1, 300, 2**40])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint32", "int16"])
def test_where_does_not_wrap_a_number(dtype, number):
    x = mg.tensor(U.astype(dtype))
    info = np.iinfo(dtype)
    for call in (lambda: mg.where(x > 5, x, number), lambda: mg.where(x > 5, number, x)):
        if info.min <= number <= info.max:
            assert number in call().tolist()
        else:
            with pytest.raises(OverflowError, match=f"{number} out of bounds for {dtype}") as info_:
                call()
            assert any("in where(" in note for note in info_.value.__notes__)


def test_where_of_what_fits_keeps_its_dtype():
    x = mg.tensor(U)
    assert mg.where(x > 5, x, 255).dtype == np.uint8
    assert mg.where(x > 5, 1, 300).tolist() == [300, 1]
    assert mg.where(x > 5, x, -1.0).tolist() == [-1.0, 9.0]
    assert mg.where(x > 5, x, mg.tensor(-1)).tolist() == [-1, 9]
    assert mg.where(x > 5, x > 5, True).dtype == np.bool_


def test_a_border_does_not_wrap_or_lose_its_value():
    x = mg.tensor(U)
    assert mg.pad(x, 1, constant_values=255).tolist() == [255, 0, 9, 255]
    for value in (256, -1, 0.5, np.nan):
        with pytest.raises(DTypeError, match=r"pad.*uint8 cannot hold constant_values"):
            mg.pad(x, 1, constant_values=value)
    for value in (None, "1"):
        with pytest.raises(TypeError, match=r"pad.*expected numbers"):
            mg.pad(mg.ones(2), 1, constant_values=value)
    assert mg.pad(mg.ones(2), 1, constant_values=2).tolist() == [2, 1, 1, 2]
    assert mg.pad(x > 5, 1, constant_values=2.0).tolist() == [True, False, True, True]


WRAPPED = [
    (-1, "uint8"),
    ([300], "uint8"),
    ([1, -1], "uint64"),
    (2**40, "int32"),
    (np.nan, "int64"),
    ([1.0, np.inf], "int8"),
    (1e30, "int64"),
    (-1.5, "uint8"),
]


@pytest.mark.parametrize(("data", "dtype"), WRAPPED)
def test_python_numbers_are_not_wrapped_into_a_dtype(data, dtype):
    with pytest.raises(DTypeError, match=f"tensor: {dtype} cannot hold numbers from"):
        mg.tensor(data, dtype=dtype)


def test_a_new_tensor_does_not_wrap_its_value():
    for value in (-1, 256):
        with pytest.raises(DTypeError, match=f"a new Tensor: .*{value} out of bounds for uint8"):
            mg.full((2,), value, dtype="uint8")


def test_python_numbers_that_fit_are_taken():
    assert mg.tensor([255, 0], dtype="uint8").tolist() == [255, 0]
    assert mg.tensor([1.7, -1.7], dtype="int8").tolist() == [1, -1]  # as in PyTorch
    assert mg.tensor([], dtype="int64").shape == (0,)
    assert mg.tensor(True, dtype="uint8").item() == 1
    assert mg.tensor(2**63, dtype="uint64").item() == 2**63
    assert mg.tensor(np.array([300]), dtype="uint8").tolist() == [44]  # an array is cast, as by it


NEW = {
    "tensor": lambda dtype: mg.tensor([1.0], dtype=dtype),
    "zeros": lambda dtype: mg.zeros(1, dtype=dtype),
    "ones": lambda dtype: mg.ones(1, dtype=dtype),
    "full": lambda dtype: mg.full((1,), 1.0, dtype=dtype),
    "eye": lambda dtype: mg.eye(1, dtype=dtype),
    "arange": lambda dtype: mg.arange(1, dtype=dtype),
    "rand": lambda dtype: mg.rand(1, dtype=dtype),
    "randn": lambda dtype: mg.randn(1, dtype=dtype),
    "zeros_like": lambda dtype: mg.zeros_like(mg.ones(1), dtype=dtype),
    "astype": lambda dtype: mg.ones(1).astype(dtype),
    "astype in a graph": lambda dtype: mg.ones(1, requires_grad=True).astype(dtype),
    "softmax": lambda dtype: mg.nn.functional.softmax(mg.ones(1), 0, dtype),
    "Linear": lambda dtype: mg.nn.Linear(1, 1, dtype=dtype),
}


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("dtype", [complex, "complex64", object, str, "S3", "M8[s]", "i4,f4"])
def test_tensors_hold_real_numbers_only(name, dtype):
    with pytest.raises(DTypeError, match="Tensors hold real numbers, so none of dtype"):
        NEW[name](dtype)


@pytest.mark.parametrize("name", NEW)
def test_what_is_no_dtype_is_refused_by_name(name):
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, "bfloat16", "foo", 3):
        with pytest.raises(DTypeError, match="write a dtype as text, such as 'float32'"):
            NEW[name](dtype)


@pytest.mark.parametrize("name", ["zeros", "ones", "eye", "rand", "randn", "zeros_like", "tensor"])
def test_no_dtype_is_the_default_one(name):
    assert NEW[name](None).dtype == np.float32


def test_random_numbers_of_another_dtype_are_refused_by_name():
    for name in ("rand", "randn"):
        for dtype in ("float16", "int64", "bool"):
            with pytest.raises(DTypeError, match=rf"^{name}: expected float32 or float64.*{dtype}"):
                getattr(mg, name)(2, dtype=dtype)
        with pytest.raises(DTypeError, match=rf"^{name}: .*int64"):
            getattr(mg, f"{name}_like")(mg.tensor([1]))
        for size in ("3", 3.0, None):
            with pytest.raises(TypeError, match=rf"^{name}: expected a shape"):
                getattr(mg, name)(size)
        with pytest.raises(mg.ShapeError, match=rf"^{name}: expected a shape.*-1"):
            getattr(mg, name)(-1)


def test_other_new_tensors_say_what_they_want():
    for size in (3.0, "3", None, mg.tensor(2)):
        with pytest.raises(TypeError, match=r"^eye: [nm] must be an int, got"):
            mg.eye(size)
    with pytest.raises(mg.ShapeError, match=r"^eye: .*-1"):
        mg.eye(2, -1)
    with pytest.raises(ValueError, match=r"^arange: the step is 0"):
        mg.arange(0, 3, 0)
    for seed in (None, "a", 1.5, True, [1]):
        with pytest.raises(TypeError, match=r"^manual_seed: expected a non-negative integer"):
            mg.manual_seed(seed)
    with pytest.raises(ValueError, match=r"^manual_seed: .*-1"):
        mg.manual_seed(-1)


def test_an_array_of_a_dtype_that_numpy_lacks_is_refused_with_the_remedy():
    torch = pytest.importorskip("torch")
    with pytest.raises(
        DTypeError, match=r"^tensor: a torch.Tensor .* gives no array.*x\.float\(\)"
    ):
        mg.tensor(torch.ones(2).bfloat16())


@pytest.mark.parametrize("axis", [2, 5, -3, (0, 2)])
def test_an_axis_that_there_is_not_is_refused(axis):
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    index = mg.tensor([[0], [1]])
    with pytest.raises(mg.ShapeError, match=r"^prod: axis -?\d is out of bounds"):
        x.prod(axis=axis)
    if isinstance(axis, int):
        with pytest.raises(mg.ShapeError, match=r"^take_along_axis: axis -?\d is out of bounds"):
            x.take_along_axis(index, axis)
    for wrong in (1.0, "1"):
        with pytest.raises(DTypeError, match=r"^prod: axis: "):
            x.prod(axis=wrong)
        with pytest.raises(DTypeError, match=r"^take_along_axis: axis: "):
            x.take_along_axis(index, wrong)
    assert x.prod(axis=(-1, 0)).item() == x.prod().item() == x.prod(axis=[0, 1]).item() == 24
    assert x.prod(axis=-1).tolist() == [2, 12]
    assert x.take_along_axis(index, -1).tolist() == [[1], [4]]
    with pytest.raises(mg.ShapeError, match=r"^prod: repeated axis"):
        x.prod(axis=(0, 0))


@pytest.mark.parametrize("indices", [[[True], [False]], [[1.0], [0.0]]])
def test_what_is_picked_along_an_axis_is_counted(indices):
    with pytest.raises(DTypeError, match="take_along_axis: indices must be integers, got"):
        mg.take_along_axis(mg.ones(2, 2), mg.tensor(indices), 1)
