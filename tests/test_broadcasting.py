"""Random shapes: broadcasting, reductions, indexing and moves, against NumPy and differences."""

import os

import checks
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import Sample

import minigrad as mg
from minigrad.ops import shape
from minigrad.tensor import wrap

settings.register_profile("default", deadline=None, max_examples=60)
settings.register_profile("ci", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
FILLED = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)


def values(size, seed):
    """Numbers in [0.5, 2], far enough from the places where a derivative jumps."""
    return np.asarray(np.random.RandomState(seed).uniform(0.5, 2.0, size))


def check(function, *inputs, expected=None, **options):
    """Values as NumPy's, gradients and second gradients as finite differences'."""
    sample = Sample(function, inputs, None, options)
    outputs = checks.listed(sample(*checks.tensors(inputs)))
    for y, like in zip(outputs, checks.listed(expected), strict=True):
        assert y.dtype == like.dtype
        checks.assert_close(y.data, like, checks.tolerance(np.float64, like, *inputs), "forward")
    for slope, x in zip(checks.gradients(sample), inputs, strict=True):
        assert slope.shape == x.shape and slope.dtype == x.dtype
    checks.check_against_differences(sample)
    checks.check_second_against_differences(sample)


BINARY = [
    (mg.Tensor.__add__, np.add),
    (mg.Tensor.__sub__, np.subtract),
    (mg.Tensor.__mul__, np.multiply),
    (mg.Tensor.__truediv__, np.divide),
    (mg.Tensor.__pow__, np.power),
    (mg.maximum, np.maximum),
    (mg.minimum, np.minimum),
]


@pytest.mark.parametrize(("ours", "numpys"), BINARY, ids=[n.__name__ for _, n in BINARY])
@given(sizes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=4))
def test_binary_operations_broadcast_as_numpy(ours, numpys, sizes):
    a, b = (values(size, seed) for seed, size in enumerate(sizes.input_shapes))
    check(ours, a, b, expected=numpys(a, b))


@given(sizes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3))
def test_where_broadcasts_as_numpy(sizes):
    c, a, b = (values(size, seed) for seed, size in enumerate(sizes.input_shapes))
    chosen = c > 1
    check(lambda a, b: mg.where(chosen, a, b), a, b, expected=np.where(chosen, a, b))


@given(sizes=hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2))
def test_matmul_broadcasts_as_numpy(sizes):
    a, b = (values(size, seed) for seed, size in enumerate(sizes.input_shapes))
    check(mg.matmul, a, b, expected=np.matmul(a, b))


@given(
    sizes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3),
    data=st.data(),
)
def test_broadcast_to_and_back(sizes, data):
    a = values(sizes.input_shapes[0], 0)
    full = data.draw(st.sampled_from([sizes.result_shape, (2, *sizes.result_shape)]))
    check(lambda x: mg.broadcast_to(x, full), a, expected=np.broadcast_to(a, full))


# --- reductions -------------------------------------------------------------------------------


def logsumexp(x, axis, keepdims):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


REDUCTIONS = [
    (mg.sum, np.sum),
    (mg.mean, np.mean),
    (mg.max, np.max),
    (mg.min, np.min),
    (mg.prod, np.prod),
    (mg.var, np.var),
    (mg.logsumexp, logsumexp),
    (mg.norm, lambda x, axis, keepdims: np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))),
]


@pytest.mark.parametrize(("ours", "numpys"), REDUCTIONS, ids=[o.__name__ for o, _ in REDUCTIONS])
@given(size=FILLED, keepdims=st.booleans(), data=st.data())
def test_reductions_over_any_axes(ours, numpys, size, keepdims, data):
    axes = hnp.valid_tuple_axes(len(size), min_size=1)
    axis = data.draw(st.one_of(st.none(), st.integers(-len(size), len(size) - 1), axes))
    x = values(size, 0)
    expected = np.asarray(numpys(x, axis=axis, keepdims=keepdims))
    check(ours, x, expected=expected, axis=axis, keepdims=keepdims)


@given(size=FILLED, data=st.data())
def test_cumsum_along_any_axis(size, data):
    axis = data.draw(st.one_of(st.none(), st.integers(-len(size), len(size) - 1)))
    x = values(size, 0)
    check(mg.cumsum, x, expected=np.cumsum(x, axis), axis=axis)


# --- indexing and moves -----------------------------------------------------------------------


@given(size=SHAPES, data=st.data())
def test_basic_indexing(size, data):
    x = values(size, 0)
    index = data.draw(hnp.basic_indices(size, allow_newaxis=True))
    check(lambda x: x[index], x, expected=np.asarray(x[index]))


@given(size=FILLED, data=st.data())
def test_index_arrays_with_repeated_places(size, data):
    x = values(size, 0)
    index = data.draw(hnp.integer_array_indices(size))
    check(lambda x: x[index], x, expected=np.asarray(x[index]))


@given(size=SHAPES, data=st.data())
def test_boolean_masks(size, data):
    x = values(size, 0)
    chosen = data.draw(hnp.arrays(bool, size))
    check(lambda x: x[chosen], x, expected=x[chosen])


@given(size=FILLED, data=st.data())
def test_take_along_axis_takes_what_numpy_takes(size, data):
    axis = data.draw(st.integers(-len(size), len(size) - 1))
    picked = list(size)
    picked[axis] = data.draw(st.integers(0, 4))
    indices = data.draw(hnp.arrays(int, picked, elements=st.integers(0, size[axis] - 1)))
    x = values(size, 0)
    expected = np.take_along_axis(x, indices, axis)
    check(lambda x: mg.take_along_axis(x, indices, axis), x, expected=expected)


@given(size=SHAPES, data=st.data())
def test_reshape_and_back(size, data):
    factors = [n for n in size if n > 1]
    other = data.draw(st.permutations([*factors, 1])) if 0 not in size else [*size, 1]
    x = values(size, 0)
    check(lambda x: x.reshape(other), x, expected=x.reshape(other))
    check(lambda x: (x * x).reshape(other).reshape(size), x, expected=x * x)


@given(size=SHAPES, data=st.data())
def test_transpose_and_back(size, data):
    order = tuple(data.draw(st.permutations(range(len(size)))))
    x = values(size, 0)
    check(lambda x: mg.transpose(x, axes=order), x, expected=x.transpose(order))
    back = tuple(int(i) for i in np.argsort(order))
    check(lambda x: (x * x).transpose(order).transpose(back), x, expected=x * x)


@given(size=FILLED, data=st.data())
def test_split_and_concatenate_undo_each_other(size, data):
    axis = data.draw(st.integers(-len(size), len(size) - 1))
    cuts = sorted(data.draw(st.lists(st.integers(0, size[axis]), max_size=3)))
    x = values(size, 0)
    check(lambda x: mg.split(x, cuts, axis), x, expected=np.split(x, cuts, axis))
    joined = mg.concatenate(mg.split(wrap(x), cuts, axis), axis=axis)
    np.testing.assert_array_equal(joined.data, x)


@given(size=SHAPES, data=st.data())
def test_pad_and_flip(size, data):
    x = values(size, 0)
    width = [tuple(data.draw(st.tuples(*[st.integers(0, 2)] * 2))) for _ in size]
    if size:
        check(lambda x: mg.pad(x, width), x, expected=np.pad(x, width))
    axis = data.draw(hnp.valid_tuple_axes(len(size)))
    check(lambda x: mg.flip(x, axis), x, expected=np.flip(x, axis))


@given(size=SHAPES)
def test_scatter_undoes_what_indexing_took(size):
    x = values(size, 0)
    index = tuple(slice(None, None, 2) for _ in size)
    back = shape.scatter(x[index], index, size)
    np.testing.assert_array_equal(back[index], x[index])
    assert back.sum() == pytest.approx(x[index].sum())
