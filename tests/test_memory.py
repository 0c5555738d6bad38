"""What a graph keeps alive, that reference counts alone free it, and copies of its leaves."""

import copy
import gc
import pickle
import sys
import time
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine import Record


def leaf(values):
    return mg.tensor(np.array(values, np.float64), requires_grad=True)


def kept_alive(compute):
    """Whether the graph of compute(h) keeps the array of the intermediate result h."""
    h = leaf([0.25, 0.5]) * 1
    array = weakref.ref(h.data)
    y = compute(h).sum()
    del h
    alive = array() is not None
    assert y.requires_grad
    return alive


CONSTANT = mg.tensor(np.array([2.0, 3.0]))


@pytest.mark.parametrize(
    "compute",
    [
        lambda h: h + 1,
        lambda h: h + h,
        lambda h: h - CONSTANT,
        lambda h: -h,
        lambda h: h * CONSTANT,
        lambda h: h / CONSTANT,
        lambda h: h @ CONSTANT,
        lambda h: mg.tanh(h),
        lambda h: mg.sigmoid(h),
        lambda h: mg.exp(h),
        lambda h: mg.sqrt(h),
        lambda h: h.sum(),
        lambda h: h.mean(),
        lambda h: h.cumsum(0),
        lambda h: h[[0, 0]],
        lambda h: mg.concatenate([h, h]),
        lambda h: mg.stack([h, h]),
        lambda h: mg.pad(h, 1),
        lambda h: mg.where(CONSTANT > 2, h, 0.0),
        lambda h: h.astype("float32"),
    ],
)
def test_graph_keeps_only_what_a_rule_names(compute):
    assert not kept_alive(compute)


@pytest.mark.parametrize(
    "compute", [lambda h: h * h, lambda h: h**2, mg.log, lambda h: CONSTANT / h]
)
def test_graph_keeps_what_a_rule_names(compute):
    assert kept_alive(compute)


def test_product_with_a_constant_keeps_only_the_constant():
    x = leaf([1.0, 2.0])
    h, c = x * 1, mg.tensor(np.array([3.0, 4.0]))
    refs = weakref.ref(h.data), weakref.ref(c.data)
    y = h * c
    del h, c
    assert refs[0]() is None and refs[1]() is not None
    y.sum().backward()
    assert refs[1]() is None


@pytest.fixture
def reference_counts_alone():
    """Without the collector, which afterwards finds nothing among what the test made."""
    gc.collect()
    gc.freeze()  # what is there already, modules above all, would take seconds to walk through
    gc.disable()
    yield
    found = gc.collect()
    gc.enable()
    gc.unfreeze()
    assert found == 0, "a cycle"


def records():
    return sum(issubclass(type(thing), Record) for thing in gc.get_objects())


def build(x):
    a, b = mg.split(mg.tanh(x @ x.T) * x, 2)
    y = mg.concatenate([a * b, mg.maximum(a, b)])
    return (mg.einsum("ij,ij->i", y, y) / y.max(axis=1)).sum()


@pytest.mark.usefixtures("reference_counts_alone")
@pytest.mark.parametrize("way", ["dropped", "backward", "grad", "create_graph", "failed"])
def test_graph_is_freed_by_reference_counts_alone(way):
    before = records()
    x = leaf(np.random.RandomState(0).uniform(0.5, 1, (4, 4)))
    y = build(x)
    tensor, array = weakref.ref(y), weakref.ref(y.data)
    if way == "backward":
        y.backward()
    elif way == "grad":
        mg.grad(y, x)
    elif way == "create_graph":
        [slope] = mg.grad(y, x, create_graph=True)
        mg.grad((slope * slope).sum(), x)
        del slope
    elif way == "failed":
        y.backward()
        with pytest.raises(mg.GraphFreedError):
            y.backward()
        with pytest.raises(mg.ShapeError):
            x @ mg.ones(3)
        with pytest.raises(IndexError):
            x[9]
    del y
    assert tensor() is None and array() is None
    assert records() == before


def test_leaf_dies_with_its_last_reference():
    x = leaf([1.0])
    (x * x).sum().backward()
    refs = weakref.ref(x), weakref.ref(x.grad)
    del x
    assert refs[0]() is None and refs[1]() is None


@pytest.mark.parametrize(
    ("way", "count"), [("backward", 1_000_000), ("grad", 200_000), ("dropped", 200_000)]
)
def test_chain_of_a_million_operations_neither_overflows_nor_leaks(way, count):
    x = leaf(1.0)
    started, blocks = time.process_time(), sys.getallocatedblocks()
    y = x
    for _ in range(count):
        y = y + 1.0
    assert y.item() == count + 1
    if way == "backward":
        y.backward()
        assert x.grad.item() == 1
        x.grad = None
    elif way == "grad":
        [slope] = mg.grad(y, x)
        assert slope.item() == 1
        del slope
    del y
    assert sys.getallocatedblocks() - blocks < 1000
    assert time.process_time() - started < 60  # a few seconds


def test_long_chain_of_higher_derivatives_does_not_overflow():
    x = leaf(1.0)
    y = x
    for _ in range(5_000):
        y = y * 1.00001
    [slope] = mg.grad(y * y, x, create_graph=True)
    [curvature] = mg.grad(slope, x)
    np.testing.assert_allclose(curvature.item(), 2 * 1.00001**10_000, rtol=1e-9)


# --- freed graphs -----------------------------------------------------------------------------


def test_second_pass_through_a_freed_graph_raises():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(mg.GraphFreedError, match=r"'sum'.*retain_graph=True"):
        y.backward()
    with pytest.raises(mg.GraphFreedError):
        mg.grad(y, x)
    np.testing.assert_array_equal(x.grad.data, 2 * x.data)
    shared = x * x
    shared.sum().backward()
    with pytest.raises(mg.GraphFreedError, match="'multiply'"):
        (shared * 2).sum().backward()
    a, _ = mg.split(x, 2)
    a.backward()
    with pytest.raises(mg.GraphFreedError, match="'split'"):
        a.backward()


def test_retain_graph_allows_another_pass():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad.data, 4 * x.data)
    y = (x * x).sum()
    mg.grad(y, x, create_graph=True)
    mg.grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(mg.GraphFreedError):
        mg.grad(y, x)


# --- copies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("values", [3.0, [1.0, 2.0], [[1.0, 2.0], [3.0, 4.0]]])
def test_leaf_can_be_copied_and_pickled(again, values):
    x = leaf(values)
    x.data = np.asfortranarray(x.data) if x.ndim else x.data
    twin = again(x)
    assert twin.requires_grad and twin.dtype == x.dtype and twin.shape == x.shape
    np.testing.assert_array_equal(twin.data, x.data)
    assert not np.shares_memory(twin.data, x.data)
    (twin * twin).sum().backward()
    assert x.grad is None


def test_deepcopy_copies_the_gradient_and_keeps_shared_tensors_shared():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    first, second = copy.deepcopy([x, x])
    assert first is second
    np.testing.assert_array_equal(first.grad.data, x.grad.data)
    assert not np.shares_memory(first.grad.data, x.grad.data)


@pytest.mark.parametrize("again", [copy.deepcopy, pickle.dumps])
def test_result_is_neither_copied_nor_pickled(again):
    with pytest.raises(RuntimeError, match="detach"):
        again(leaf(1.0) * 2)
