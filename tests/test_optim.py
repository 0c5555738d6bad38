"""Optimizers without PyTorch: the flat vector must never be seen, and what is refused."""

import copy
import gc
import importlib
import pickle
import weakref

import numpy as np
import pytest
from checks import are_neighbours

import minigrad as mg
from minigrad import nn, optim
from minigrad.backends.memory import span_of
from minigrad.tensor import wrap

SHAPES = [(3, 4), (5,), (), (2, 3)]
every_optimizer = pytest.mark.parametrize(
    "build",
    [
        lambda params: optim.SGD(params, lr=0.1),
        lambda params: optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.1),
        lambda params: optim.RMSprop(params, lr=0.01, momentum=0.9, centered=True),
        lambda params: optim.Adam(params, lr=0.01, weight_decay=0.1, amsgrad=True),
        lambda params: optim.AdamW(params, lr=0.01),
    ],
    ids=["SGD", "momentum", "RMSprop", "Adam", "AdamW"],
)


def parameters(dtype=np.float64, shapes=SHAPES):
    random = np.random.RandomState(0)
    return [nn.Parameter(wrap(np.asarray(random.standard_normal(s), dtype))) for s in shapes]


def gradients(step, like):
    random = np.random.RandomState(100 + step)
    return [np.asarray(random.standard_normal(p.shape), p.dtype) for p in like]


def backward(params, step):
    """A pass whose gradients are those of `gradients`."""
    for p, g in zip(params, gradients(step, params), strict=True):
        if p.requires_grad:
            (p * wrap(g)).sum().backward()


def values(params):
    return [p.data.copy() for p in params]


def assert_same(params, expected):
    for p, value in zip(params, expected, strict=True):
        np.testing.assert_array_equal(p.data, value)


def trained(build, steps=3):
    """Parameters after some steps, each parameter's gradient in a place of its own."""
    params = parameters()
    optimizer = build(params)
    for step in range(steps):
        for p, g in zip(params, gradients(step, params), strict=True):
            p.grad = wrap(g)
        optimizer.step()
    return values(params)


def runs(optimizer):
    return [run[:2] for vectors in optimizer._vectors for v in vectors for run in v.runs()]


# --- the vector -------------------------------------------------------------------------------


def test_parameters_are_views_of_one_vector_and_a_step_is_one_run():
    params = parameters()
    before = values(params)
    optimizer = optim.Adam(params)
    assert_same(params, before)
    assert are_neighbours([p.data for p in params])
    backward(params, 0)
    assert are_neighbours([p.grad.data for p in params])
    assert not any(np.shares_memory(p.data, p.grad.data) for p in params)
    assert runs(optimizer) == [(0, 4)]


@every_optimizer
def test_one_run_gives_what_single_parameters_give(build):
    params = parameters()
    optimizer = build(params)
    for step in range(3):
        optimizer.zero_grad()
        backward(params, step)
        assert runs(optimizer) == [(0, 4)]
        optimizer.step()
    assert_same(params, trained(build))


def test_blocks_do_not_show(monkeypatch):
    whole = trained(optim.Adam)
    monkeypatch.setattr("minigrad.optim.flat.cache_block", lambda array: 5)
    params = parameters()
    optimizer = optim.Adam(params)
    for step in range(3):
        optimizer.zero_grad()
        backward(params, step)
        optimizer.step()
    assert_same(params, whole)


@pytest.mark.parametrize("order", ["F", "strided", "reversed", "broadcast"])
def test_parameters_of_any_memory_order_are_laid_out_row_major(order):
    x = np.arange(12.0).reshape(3, 4)
    array = {
        "F": np.asfortranarray(x),
        "strided": np.repeat(x, 2, axis=0)[::2],
        "reversed": x[::-1].copy()[::-1],
        "broadcast": np.broadcast_to(x[:1], (3, 4)),
    }[order]
    p, other = nn.Parameter(wrap(array)), nn.Parameter(mg.ones(2, dtype="float64"))
    expected = array.copy()
    optimizer = optim.SGD([other, p], lr=0.5)
    np.testing.assert_array_equal(p.data, expected)
    assert p.data.flags.c_contiguous
    backward([other, p], 0)
    optimizer.step()
    np.testing.assert_allclose(p.data, expected - 0.5 * gradients(0, [other, p])[1], rtol=1e-15)


# --- what PyTorch's semantics ask -------------------------------------------------------------


@every_optimizer
def test_frozen_parameters_are_untouched_even_with_a_gradient(build):
    params = parameters()
    optimizer = build(params)
    backward(params, 0)
    params[1].requires_grad_(False)
    before = params[1].data.copy()
    optimizer.step()
    np.testing.assert_array_equal(params[1].data, before)
    assert params[1] not in optimizer.state
    params[1].requires_grad_()
    optimizer.step()
    assert not np.array_equal(params[1].data, before)


@every_optimizer
def test_gradients_may_be_assigned(build):
    params = parameters()
    optimizer = build(params)
    for step in range(3):
        optimizer.zero_grad()
        backward(params, step)
        params[1].grad = wrap(gradients(step, params)[1])
        params[0].grad = wrap(np.array(params[0].grad.data, order="F"))
        params[3].grad.data[...] = gradients(step, params)[3]
        optimizer.step()
    assert_same(params, trained(build))


HOLDS = {
    "grad": lambda p: p.grad,
    "data": lambda p: p.grad.data,
    "numpy": lambda p: p.grad.numpy(),
    "detach": lambda p: p.grad.detach(),
    "slice": lambda p: p.grad.data[1:],
    "transpose": lambda p: p.grad.data.T,
    "reshape": lambda p: p.grad.data.reshape(-1),
    "tensor slice": lambda p: p.grad[1:],
    "tensor transpose": lambda p: p.grad.T,
    "memoryview": lambda p: memoryview(p.grad.data),
    "iterator": lambda p: np.nditer(p.grad.data),
    "slice of a slice": lambda p: p.grad.data[1:][:, ::2],
}


def bytes_of(held):
    if isinstance(held, np.nditer):
        return held.operands[0].tobytes()
    return (held.data if isinstance(held, mg.Tensor) else held).tobytes()


@pytest.mark.parametrize("name", HOLDS)
def test_a_gradient_that_somebody_holds_is_not_overwritten(name):
    params = parameters()
    optimizer = optim.Adam(params)
    held = []
    for step in range(100):
        optimizer.zero_grad()
        backward(params, step)
        holder = HOLDS[name](params[0])
        held.append((holder, bytes_of(holder)))
        optimizer.step()
        if step % 10 == 9:
            assert all(bytes_of(holder) == kept for holder, kept in held)
    assert_same(params, trained(optim.Adam, steps=100))


def test_memory_of_a_gradient_let_go_is_used_again():
    params = parameters()
    optimizer = optim.SGD(params)
    backward(params, 0)
    place = params[0].grad.data.__array_interface__["data"][0]
    held = params[0].grad.data[1:]
    for step, same in [(1, False), (2, True)]:
        optimizer.zero_grad()
        backward(params, step)
        assert (params[0].grad.data.__array_interface__["data"][0] == place) == same
        held = None
    assert held is None


def test_gradients_of_create_graph_stay_in_their_graph():
    p = nn.Parameter(mg.tensor(np.array([2.0, 3.0])))
    optimizer = optim.SGD([p], lr=0.1)
    (p**3).sum().backward(create_graph=True)
    first = p.grad
    assert first.requires_grad
    p.grad = None
    (first * first).sum().backward()  # d(9 p^4)/dp = 36 p^3
    np.testing.assert_allclose(p.grad.data, 36 * np.array([8.0, 27.0]), rtol=1e-15)
    p.grad = first
    optimizer.step()
    assert p.grad is first
    np.testing.assert_allclose(p.data, [2 - 0.1 * 12, 3 - 0.1 * 27], rtol=1e-15)


@every_optimizer
def test_load_state_dict_between_steps_keeps_the_vector(build):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).astype("float64")
    optimizer = build(model.parameters())
    state = model.state_dict()
    vector = span_of(model[0].weight.data)
    backward(list(model.parameters()), 0)
    optimizer.step()
    model.load_state_dict(state)
    assert span_of(model[0].weight.data) == vector
    assert_same(model.parameters(), [v.data for v in state.values()])
    optimizer.step()
    assert are_neighbours([p.data for p in model.parameters()])


@every_optimizer
def test_assigned_data_is_taken_over(build):
    params, expected = parameters(), parameters()
    optimizer, reference = build(params), build(expected)
    for step in range(3):
        for each, other in ((params, optimizer), (expected, reference)):
            other.zero_grad()
            backward(each, step)
        new = np.full((5,), float(step))
        params[1].data = new  # before the step: the next step starts from it
        expected[1].data[...] = new
        params[0].data = params[0].data.T.copy().T  # equal values in another order
        optimizer.step()
        reference.step()
        assert (new == step).all()
    assert_same(params, values(expected))
    assert runs(optimizer) == [(0, 4)]


def test_a_swap_of_data_keeps_both_values():
    a, b = parameters(shapes=[(3,), (3,)])
    optimizer = optim.SGD([a, b], lr=0.0)
    expected = [b.data.copy(), a.data.copy()]
    a.data, b.data = b.data, a.data
    backward([a, b], 0)
    optimizer.step()
    assert_same([a, b], expected)


@every_optimizer
def test_astype_moves_the_vector_and_the_state(build):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).astype("float64")
    twin = copy.deepcopy(model)
    optimizer, reference = build(model.parameters()), build(twin.parameters())

    def steps(numbers):
        for step in numbers:
            for each, other in ((model, optimizer), (twin, reference)):
                other.zero_grad()
                for p, g in zip(each.parameters(), gradients(step, twin.parameters()), strict=True):
                    (p * wrap(g.astype(p.dtype))).sum().backward()
                other.step()

    steps([0, 1])
    model.astype("float32").astype("float64")
    for p in twin.parameters():
        p.data[...] = p.data.astype("float32")
    steps([2])
    assert_same(model.parameters(), values(twin.parameters()))  # the state was not touched
    model.astype("float32")
    steps([3, 4])
    assert {p.dtype for p in model.parameters()} == {np.dtype("float32")}
    assert are_neighbours([p.data for p in model.parameters()])
    for p, entry in optimizer.state.items():
        assert all(v.dtype == np.float32 and v.shape in (p.shape, ()) for v in entry.values())
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=0, atol=100 * np.finfo("float32").eps)
    optimizer.zero_grad()
    backward(list(model.parameters()), 5)
    assert runs(optimizer) == [(0, 4)]
    model.astype("float64")
    steps([6])
    assert {p.dtype for p in model.parameters()} == {np.dtype("float64")}
    assert {v.dtype for e in optimizer.state.values() for v in e.values() if v.ndim} <= {
        np.dtype("float64")
    }
    assert are_neighbours([p.data for p in model.parameters()])


def test_gradients_of_parameters_of_several_dtypes():
    params = [*parameters(np.float32), *parameters(np.float64)]
    optimizer = optim.Adam([params[i] for i in (0, 4, 1, 5, 2, 6, 3, 7)], lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        backward(params[:4], step)
        backward(params[4:], step)
        assert runs(optimizer) == [(0, 4), (0, 4)]
        optimizer.step()
    for a, b in zip(params[:4], params[4:], strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a.data, b.data, rtol=0, atol=100 * np.finfo("float32").eps)


@every_optimizer
def test_moving_to_the_gpu_and_back_takes_the_state_along(build, gpu):
    model, twin = (nn.Linear(3, 2).astype("float64") for _ in range(2))
    twin.load_state_dict(model.state_dict())
    optimizer, reference = build(model.parameters()), build(twin.parameters())
    for step, device in enumerate(["cpu", "gpu", "gpu", "cpu"]):
        model.to(device)
        for each, other in ((model, optimizer), (twin, reference)):
            other.zero_grad()
            for p, g in zip(each.parameters(), gradients(step, twin.parameters()), strict=True):
                (p * wrap(g).to(p.device)).sum().backward()
            norm = nn.utils.clip_grad_norm_(each.parameters(), 0.5)
            assert norm.device == next(each.parameters()).device
            other.step()
        assert {p.device for p in model.parameters()} == {device}
        state = optimizer.state_dict()["state"]
        assert all(v.device == device for e in state.values() for k, v in e.items() if k != "step")
    # four updates, each a dozen roundings and those of a norm of 8 elements; nothing exceeds 1
    within = 4 * (12 + 8) * np.finfo(np.float64).eps
    for p, value in zip(model.parameters(), values(twin.parameters()), strict=True):
        np.testing.assert_allclose(p.data, value, rtol=0, atol=within)


def test_tied_weights_are_updated_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).astype("float64")
    model[1].weight = model[0].weight
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    x = wrap(np.eye(3))
    before = model[0].weight.data.copy()
    model(x).sum().backward()
    gradient = model[0].weight.grad.data.copy()
    optimizer.step()
    np.testing.assert_allclose(model[1].weight.data, before - gradient, rtol=1e-15)


@every_optimizer
def test_a_parameter_in_two_optimizers_gets_the_steps_of_both(build):
    params, plain = parameters(), parameters()
    first, second = build(params[:3]), build(params[1:])
    a, b = build(plain[:3]), None
    states = []
    for step in range(3):
        backward(params, step)
        first.step()
        second.step()
        for p in params:
            p.grad = None
        # the same, by optimizers that never share: each is restored before its step
        backward(plain, step)
        a.step()
        b = build([nn.Parameter(p.detach()) for p in plain[1:]])
        if states:
            b.load_state_dict(states[-1])
        copies = b.param_groups[0]["params"]
        for p, twin in zip(plain[1:], copies, strict=True):
            twin.grad = wrap(p.grad.data.copy())
        b.step()
        states.append(b.state_dict())
        for p, twin in zip(plain[1:], copies, strict=True):
            p.data[...] = twin.data
            p.grad = None
        plain[0].grad = None
    assert_same(params, values(plain))


def test_the_second_optimizer_takes_over_when_the_first_is_gone():
    params = parameters()
    first = optim.SGD(params)
    second = optim.SGD(params, lr=1.0, momentum=0.9)
    backward(params, 0)
    second.step()
    assert len(second._vectors[0]) == 4
    before = values(params)
    del first
    second.step()
    assert len(second._vectors[0]) == 1
    g = gradients(0, params)
    for p, value, gradient in zip(params, before, g, strict=True):
        np.testing.assert_allclose(p.data, value - 1.9 * gradient, rtol=1e-14)
    second.zero_grad()
    backward(params, 1)
    assert runs(second) == [(0, 4)]


def test_a_parameter_in_two_optimizers_may_be_rebound():
    [p] = parameters(shapes=[(3, 4)])
    first, second = optim.SGD([p], lr=1.0), optim.SGD([p], lr=1.0)
    p.data = np.asfortranarray(np.ones((3, 4)))
    backward([p], 0)
    second.step()
    first.step()
    np.testing.assert_allclose(p.data, 1 - 2 * gradients(0, [p])[0], rtol=1e-14, atol=1e-15)


def test_an_optimizer_that_is_gone_leaves_values_behind():
    params = parameters()
    before = values(params)
    optim.SGD(params)
    assert_same(params, before)
    backward(params, 0)
    assert_same([p.grad for p in params], gradients(0, params))


def test_optimizers_and_models_are_freed_without_the_collector():
    def build():
        model = nn.Linear(3, 2)
        optimizer = optim.Adam(model.parameters())
        model(mg.ones(1, 3)).sum().backward()
        optimizer.step()
        return [weakref.ref(x) for x in (*model.parameters(), *optimizer._vectors[0], optimizer)]

    gc.disable()
    try:
        assert [reference() for reference in build()] == [None] * 4
    finally:
        gc.enable()


# --- copies -----------------------------------------------------------------------------------


def test_deepcopy_of_a_model_does_not_share_the_vector():
    params = parameters()
    optimizer = optim.Adam(params)
    backward(params, 0)
    twins = copy.deepcopy(params)
    before = values(params)
    kept = [p.grad.data.copy() for p in params]
    optimizer.step()
    backward(params, 1)
    assert_same(twins, before)
    assert_same([t.grad for t in twins], kept)
    for twin in twins:
        assert twin.data.base is None


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@every_optimizer
def test_a_copied_pair_of_model_and_optimizer_goes_on_alone(build, duplicate):
    params = parameters()
    optimizer = build(params)
    backward(params, 0)
    optimizer.step()
    before = values(params)
    twins, other = duplicate((params, optimizer))
    assert other.param_groups[0]["params"][0] is twins[0]
    for each, own in ((twins, other), (params, optimizer)):
        own.zero_grad()
        backward(each, 1)
        own.step()
        if each is twins:
            assert_same(params, before)
    assert_same(twins, values(params))
    assert runs(other) == [(0, 4)]


def test_state_dict_is_a_snapshot():
    params = parameters()
    optimizer = optim.Adam(params)
    backward(params, 0)
    optimizer.step()
    state = optimizer.state_dict()
    kept = copy.deepcopy(state)
    optimizer.step()
    for number, entry in kept["state"].items():
        for name, value in entry.items():
            np.testing.assert_array_equal(state["state"][number][name].data, value.data)
            state["state"][number][name].data[...] = 9
    assert all((v.data != 9).all() for e in optimizer.state.values() for v in e.values())
    assert state["param_groups"] == kept["param_groups"]


@every_optimizer
def test_restored_state_goes_on_bit_for_bit(build):
    params = parameters()
    optimizer = build(params)
    for step in range(2):
        optimizer.zero_grad()
        backward(params[: 3 + step], step)
        optimizer.step()
    twins = [nn.Parameter(wrap(p.data.copy())) for p in params]
    resumed = build(twins)
    resumed.load_state_dict(optimizer.state_dict())
    for each, own in ((params, optimizer), (twins, resumed)):
        own.zero_grad()
        backward(each, 2)
        own.step()
    assert_same(twins, values(params))


def test_load_state_dict_refuses_what_does_not_fit_and_changes_nothing():
    params = parameters()
    optimizer = optim.Adam(params)
    backward(params, 0)
    optimizer.step()
    state = optimizer.state_dict()
    other = optim.Adam(parameters(shapes=[(3, 4), (5,), (), (3, 2)]))
    with pytest.raises(ValueError, match=r"exp_avg of parameter 3 has shape \(2, 3\).*\(3, 2\)"):
        other.load_state_dict(state)
    assert other.state == {}
    with pytest.raises(ValueError, match=r"\[4\] parameters, this optimizer has \[1\]"):
        optim.Adam(params[:1]).load_state_dict(state)
    state["param_groups"][0]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr"):
        optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 1e-3


# --- the rest of the surface ------------------------------------------------------------------


def test_zero_grad_sets_none_or_zeros():
    params = parameters()
    optimizer = optim.SGD(params)
    backward(params[:2], 0)
    held = params[0].grad
    kept = held.data.copy()
    optimizer.zero_grad(set_to_none=False)
    assert_same([p.grad for p in params[:2]], [np.zeros(p.shape) for p in params[:2]])
    assert params[2].grad is None
    np.testing.assert_array_equal(held.data, kept)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


def test_closure_is_called_with_recording_on():
    [p] = parameters(shapes=[(3,)])
    optimizer = optim.SGD([p], lr=0.0)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        assert optimizer.step(closure).item() == pytest.approx((p.data**2).sum())
    assert optimizer.step() is None


def test_groups_may_be_given_with_names_and_as_iterators():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.param_groups[0]["params"] == [model.weight, model.bias]
    grouped = optim.SGD([{"params": iter([model.weight]), "name": "w"}, {"params": model.bias}])
    assert [g["params"] for g in grouped.param_groups] == [[model.weight], [model.bias]]
    assert grouped.param_groups[0]["name"] == "w"


@every_optimizer
def test_the_list_of_a_group_may_be_changed(build):
    params, plain = parameters(), parameters()
    optimizer, reference = build(params), build(plain)
    for step in range(4):
        if step == 1:
            del optimizer.param_groups[0]["params"][1]
        if step == 2:
            optimizer.param_groups[0]["params"].insert(0, new := nn.Parameter(params[1].detach()))
            params[1] = new
            fresh = build([plain[1]])
        for each in (params, plain):
            for p in each:
                p.grad = None
            backward(each, step)
        if step > 0:
            kept, plain[1].grad = plain[1].grad, None
            reference.step()
            plain[1].grad = kept
            if step > 1:
                fresh.step()
        else:
            reference.step()
        optimizer.step()
    assert_same(params, values(plain))
    optimizer.zero_grad()
    backward(params, 4)
    assert runs(optimizer)[-1][1] == 4


def test_optimizer_prints_its_options():
    text = repr(optim.SGD(parameters(), lr=0.5))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0.0\n    lr: 0.5\n")
    assert text.endswith("\n)")


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        ("SGD", {"nesterov": True}, "nesterov: needs a momentum above 0"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "dampening=0.1"),
    ],
)
def test_options_out_of_range_are_refused(cls, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(optim, cls)(parameters(), **options)
    with pytest.raises(ValueError, match=message):
        getattr(optim, cls)([{"params": parameters(), **options}])


def test_parameters_that_cannot_be_are_refused():
    p, q = parameters(shapes=[(2,), (3,)])
    optimizer = optim.SGD([p])
    for params, error, message in [
        ([], ValueError, "at least one"),
        (p, TypeError, r"Parameter float64\[2\]"),
        ({p, q}, TypeError, r"\(set\)"),
        ([{"params": {p, q}}], TypeError, "no order"),
        ([p, p], ValueError, "twice"),
        ([{"params": [p]}, {"params": [q, p]}], ValueError, "twice"),
        ([p.data], TypeError, "got an array"),
        ([p * 2], ValueError, "leaves"),
    ]:
        with pytest.raises(error, match=message):
            optim.SGD(params)
    with pytest.raises(ValueError, match="twice"):
        optimizer.add_param_group({"params": [p]})
    with pytest.raises(TypeError, match="dictionary"):
        optimizer.add_param_group([q])
    assert len(optimizer.param_groups) == 1


def test_step_makes_no_arrays_of_the_size_of_the_vector():
    """Page faults of fresh memory cost more than the arithmetic: only the first step allocates."""
    tracemalloc = importlib.import_module("tracemalloc")
    [p] = parameters(np.float32, shapes=[(1000, 1000)])
    for cls in (optim.SGD, optim.RMSprop, optim.Adam, optim.AdamW):
        options = {"momentum": 0.9} if cls in (optim.SGD, optim.RMSprop) else {"amsgrad": True}
        optimizer = cls([p], lr=0.0, weight_decay=0.1, maximize=True, **options)
        p.grad = None
        backward([p], 0)
        optimizer.step()
        tracemalloc.start()
        optimizer.step()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < p.data.nbytes / 50, cls


def test_a_subclass_without_update_says_so():
    class Idle(optim.Optimizer):
        pass

    x = mg.ones(2).requires_grad_()
    optimizer = Idle([x], {"lr": 0.1})
    (x * x).sum().backward()
    with pytest.raises(NotImplementedError, match="Idle defines no `update`"):
        optimizer.step()
    with pytest.raises(NotImplementedError, match="Idle defines no `numbers`"):
        optimizer.numbers(1, optimizer.param_groups[0])


def test_gradients_are_clipped_after_the_optimizer_is_gone():
    x = nn.Parameter([3.0, 4.0])
    optimizer = optim.SGD([x], lr=0.0)
    (x * x).sum().backward()
    optimizer.step()
    del optimizer
    assert nn.utils.clip_grad_norm_([x], 1.0).item() == 10
    np.testing.assert_allclose(x.grad.data, [0.6, 0.8], rtol=4 * np.finfo(np.float32).eps)
