"""New Tensors: filled, counted, random."""

import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.random import generator


@pytest.mark.parametrize(("make", "value"), [(mg.zeros, 0), (mg.ones, 1)])
def test_zeros_and_ones_take_both_spellings_of_a_shape(make, value):
    for x in (make(2, 3), make((2, 3)), make([2, 3]), make(2, 3, dtype="float64")):
        assert x.shape == (2, 3) and (x.data == value).all()
    assert make().shape == make(()).shape == () and make(4).shape == (4,)
    assert make(2).dtype == np.float32 and make(2, dtype=int).dtype == np.int64
    assert make(2, requires_grad=True).requires_grad


@pytest.mark.parametrize(
    ("value", "dtype"), [(7.0, np.float32), (7, np.int64), (True, np.bool_), (np.float64(7), float)]
)
def test_full_takes_the_dtype_of_its_value(value, dtype):
    x = mg.full((2, 3), value)
    assert x.dtype == dtype and x.shape == (2, 3) and (x.data == value).all()
    assert mg.full(3, value, dtype="float64").dtype == np.float64


@pytest.mark.parametrize("dtype", [None, "float64", np.float64, np.dtype("float64")])
def test_likes_follow_shape_and_dtype(dtype):
    x = mg.tensor(np.ones((2, 3), np.float16))
    expected = np.float16 if dtype is None else np.float64
    likes = (mg.zeros_like(x, dtype), mg.ones_like(x, dtype), mg.full_like(x, 2, dtype))
    for value, y in enumerate(likes):
        assert y.shape == x.shape and y.dtype == expected and (y.data == value).all()
    assert mg.full_like(mg.ones(2), 7, requires_grad=True).requires_grad


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: mg.full(2, 1.0, **options),
        lambda **options: mg.zeros(2, **options),
        lambda **options: mg.ones(2, **options),
        lambda **options: mg.rand(2, **options),
        lambda **options: mg.randn(2, **options),
        lambda **options: mg.tensor([1.0], **options),
    ],
)
def test_a_gradient_is_computed_for_what_asks_for_it_only(make):
    assert not make().requires_grad and make(requires_grad=True).requires_grad


def test_arange_and_eye_count_as_numpy():
    for bounds in [(3,), (1, 4), (1, 8, 2), (3, 0, -1)]:
        x = mg.arange(*bounds)
        assert x.dtype == np.int64
        np.testing.assert_array_equal(x.data, np.arange(*bounds))
    assert mg.arange(0, 1, 0.25).dtype == np.float32
    assert mg.arange(3, dtype="float64").dtype == np.float64
    np.testing.assert_array_equal(mg.eye(2, 3).data, np.eye(2, 3))
    assert mg.eye(2).shape == (2, 2) and mg.eye(2).dtype == np.float32


@pytest.mark.parametrize(("make", "mean", "std"), [(mg.rand, 0.5, 12**-0.5), (mg.randn, 0, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_numbers_have_their_distribution(make, mean, std, dtype):
    mg.manual_seed(0)
    x = make(100, 200, dtype=dtype)
    assert x.shape == (100, 200) and x.dtype == dtype
    n = x.size  # six standard errors: once in 500 million seeds
    assert abs(x.data.mean() - mean) < 6 * std / n**0.5
    assert abs(x.data.std() - std) < 6 * std / n**0.5
    if make is mg.rand:
        assert x.data.min() >= 0 and x.data.max() < 1


def test_same_seed_gives_the_same_numbers():
    def draw():
        x = mg.randn(3)
        return [*x.data, *mg.rand((2,)).data, *mg.randn_like(x).data, *mg.rand_like(x).data]

    mg.manual_seed(5)
    first = draw()
    assert first != draw()
    mg.manual_seed(5)
    assert first == draw()
    assert mg.randn().shape == mg.rand(()).shape == ()
    assert mg.rand_like(mg.ones(2, dtype="float64"), requires_grad=True).dtype == np.float64


def test_each_thread_has_its_own_random_numbers():
    mg.manual_seed(0)
    expected = mg.randn(3).data
    mg.manual_seed(0)
    generators = [generator()]

    def other():
        mg.manual_seed(1)
        generators.append(generator())
        mg.randn(100)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    np.testing.assert_array_equal(mg.randn(3).data, expected)
    assert generators[0] is not generators[1]


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ((-2,), mg.ShapeError, r"integers of at least 0.*got the shape \(-2,\).*negative"),
        (("a",), TypeError, r"integers of at least 0.*got the shape \('a',\)"),
        ((2.5,), TypeError, r"integers of at least 0.*got the shape \(2.5,\)"),
    ],
)
def test_what_is_no_shape_is_refused(shape, error, message):
    with pytest.raises(error, match=message):
        mg.full(shape, 1.0)
