"""What a user does to an optimizer's groups and state by hand: as in PyTorch, or refused aloud."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim


def parameters(count=3, dtype=np.float32):
    made = [nn.Parameter(mg.tensor(np.array([1.0, 2.0], dtype))) for _ in range(count)]
    for p in made:
        p.grad = mg.tensor(np.full(2, 0.1, dtype))
    return made


def two_groups(library, p, kind="Adam"):
    return getattr(library, kind)([{"params": p[:2]}, {"params": p[2:], "lr": 0.05}], lr=0.1)


def move_forth(groups):
    groups[1]["params"].append(groups[0]["params"].pop())


def move_back(groups):
    groups[0]["params"].append(groups[1]["params"].pop())


def swap(groups):
    groups[0]["params"], groups[1]["params"] = groups[1]["params"], groups[0]["params"]


def drop_first(groups):
    del groups[0]


def reverse(groups):
    groups.reverse()


def as_generator(groups):
    groups[0]["params"] = (p for p in list(groups[0]["params"]))


BY_HAND = [move_forth, move_back, swap, drop_first, reverse, as_generator]


@pytest.mark.parametrize("change", BY_HAND)
def test_parameters_that_change_places_keep_their_state_as_in_torch(change):
    torch = pytest.importorskip("torch")
    p = parameters()
    q = [torch.nn.Parameter(torch.tensor([1.0, 2.0])) for _ in p]
    mine, theirs = two_groups(optim, p), two_groups(torch.optim, q)
    for i in range(5):
        for a, b in zip(p, q, strict=True):
            gradient = np.array([0.1 * (1 + i), -0.3 / (1 + i)], np.float32)
            a.grad, b.grad = mg.tensor(gradient), torch.tensor(gradient)
        if i == 3:
            change(mine.param_groups)
            if change is as_generator:  # which PyTorch reads once, and then trains nothing of
                continue
            change(theirs.param_groups)
        mine.step()
        theirs.step()
        for a, b in zip(p, q, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5)
        if change is as_generator and i == 3:
            break


def test_parameters_given_as_a_generator_by_hand_are_trained_at_every_step():
    p = parameters(1)
    optimizer = optim.SGD(p, lr=1.0)
    optimizer.param_groups[0]["params"] = (each for each in p)
    for _ in range(3):
        optimizer.step()
    np.testing.assert_allclose(p[0].detach().numpy(), [0.7, 1.7], rtol=1e-6)


@pytest.mark.parametrize("change", [drop_first, reverse, move_forth])
def test_groups_that_were_changed_by_hand_can_be_saved_and_copied(change):
    p = parameters()
    optimizer = two_groups(optim, p)
    optimizer.step()
    change(optimizer.param_groups)
    listed = [each for group in optimizer.param_groups for each in group["params"]]
    assert sorted(optimizer.state_dict()["state"]) == list(range(len(listed)))
    assert set(optimizer.state) == set(listed)
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert len(other.state) == len(listed)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (lambda p: None, TypeError, "a group needs a list of Tensors"),
        (lambda p: [*p, np.ones(2)], TypeError, r"changes Tensors, got an array float64\[2\]"),
        (lambda p: [*p, "x"], TypeError, r"changes Tensors, got 'x' \(str\)"),
        (lambda p: [*p, p[0] * 2], ValueError, "changes leaves"),
        (lambda p: [p[0], p[0]], ValueError, "occurs twice"),
        (lambda p: [*p, p[0]], ValueError, "occurs twice"),
    ],
)
def test_what_an_optimizer_would_refuse_is_refused_in_a_group_by_hand(params, error, message):
    p = parameters(2)
    optimizer = optim.Adam(p, lr=0.1)
    optimizer.step()
    before = [each.detach().numpy().copy() for each in p]
    optimizer.param_groups[0]["params"] = params(p)
    with pytest.raises(error, match=message):
        optimizer.step()
    for each, values in zip(p, before, strict=True):
        np.testing.assert_array_equal(each.detach().numpy(), values)


def test_a_parameter_in_two_groups_by_hand_is_refused():
    p = parameters()
    optimizer = two_groups(optim, p)
    optimizer.param_groups[1]["params"].append(p[0])
    with pytest.raises(ValueError, match="occurs twice"):
        optimizer.step()


def test_a_group_without_parameters_is_named():
    optimizer = optim.SGD(parameters(1), lr=0.1)
    del optimizer.param_groups[0]["params"]
    with pytest.raises(KeyError, match=r"param_groups\[0\] has no option 'params'"):
        optimizer.step()


@pytest.mark.parametrize(
    "change",
    [
        lambda state, p: state.clear(),
        lambda state, p: state.pop(p),
        lambda state, p: state.update({p: {}}),
        lambda state, p: state.__setitem__(p, {}),
        lambda state, p: state.__delitem__(p),
        lambda state, p: state[p].__setitem__("exp_avg", mg.zeros(2)),
        lambda state, p: state[p].update(step=mg.tensor(0.0)),
    ],
)
def test_a_change_of_the_state_that_would_be_lost_is_refused(change):
    [p] = parameters(1)
    optimizer = optim.Adam([p], lr=0.1)
    optimizer.step()
    with pytest.raises(TypeError, match="only shows the state"):
        change(optimizer.state, p)


def test_a_copy_of_the_state_is_ones_own():
    [p] = parameters(1)
    optimizer = optim.Adam([p], lr=0.1)
    optimizer.step()
    for own in (copy.deepcopy(optimizer.state), dict(optimizer.state)):
        own.clear()
    optimizer.state[p]["exp_avg"].data[...] = 0  # what it shows is the state itself
    assert not optimizer.state_dict()["state"][0]["exp_avg"].numpy().any()


def with_entry(**entry):
    def change(state):
        state["state"][0] |= entry

    return change


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (with_entry(step=None), TypeError, "step of parameter 0: expected a number"),
        (with_entry(step="x"), TypeError, "step of parameter 0: expected a number"),
        (with_entry(step=-5), ValueError, "step of parameter 0: must be at least 0"),
        (with_entry(step=np.nan), ValueError, "step of parameter 0: must be at least 0"),
        (with_entry(step=np.ones(2)), ValueError, "step of parameter 0: .*exactly one element"),
        (with_entry(exp_avg="ab"), TypeError, "exp_avg of parameter 0: expected numbers"),
        (lambda s: s.update(state=[]), TypeError, "expected a dictionary by number as 'state'"),
        (lambda s: s.update(param_groups={}), TypeError, "a list of groups"),
        (lambda s: s["param_groups"][0].pop("params"), TypeError, "with their 'params'"),
        # JSON turns the numbers among the keys into words
        (lambda s: s.update(state={"0": s["state"][0]}), ValueError, r"\['0'\].*no group lists"),
        (lambda s: s["state"].update({7: {}}), ValueError, "no group lists"),
    ],
)
def test_a_state_that_cannot_be_is_refused(change, error, message):
    [p] = parameters(1)
    optimizer = optim.Adam([p], lr=0.1)
    optimizer.step()
    before = optimizer.state_dict()
    damaged = optimizer.state_dict()
    change(damaged)
    with pytest.raises(error, match=message):
        optimizer.load_state_dict(damaged)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for name, value in before["state"][0].items():
        np.testing.assert_array_equal(after["state"][0][name].numpy(), value.numpy())


@pytest.mark.parametrize("state", [None, [1], "state"])
def test_what_is_no_dictionary_is_no_state(state):
    optimizer = optim.SGD(parameters(1), lr=0.1)
    with pytest.raises(TypeError, match="expected a dictionary, as of state_dict"):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize(
    ("kind", "other"), [("Adam", "RMSprop"), ("RMSprop", "Adam"), ("Adam", "SGD")]
)
def test_the_state_of_another_kind_of_optimizer_is_refused(kind, other):
    own, foreign = (
        getattr(optim, name)(parameters(1), lr=0.1, **({"momentum": 0.9} if name == "SGD" else {}))
        for name in (kind, other)
    )
    foreign.step()
    with pytest.raises(ValueError, match="the state of another kind of optimizer"):
        own.load_state_dict(foreign.state_dict())


def test_a_bad_option_is_mended_by_a_good_state():
    optimizer = optim.SGD(parameters(1), lr=0.1)
    good = optimizer.state_dict()
    optimizer.param_groups[0]["lr"] = None
    optimizer.load_state_dict(good)
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("closure", ["x", mg.tensor(1.0), 3])
def test_a_closure_that_is_none_is_refused_with_the_remedy(closure):
    with pytest.raises(TypeError, match=r"step: closure: .*call \.backward\(\), then step\(\)"):
        optim.SGD(parameters(1), lr=0.1).step(closure)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop"])
@pytest.mark.parametrize("gradient", [0.0, 1e-4, 1.0, 300.0, 5000.0])
def test_float16_is_computed_in_float32(kind, gradient):
    """One update from no state is that in float32, rounded; no gradient stops or breaks it."""
    options = {"lr": 0.01} | ({"momentum": 0.9} if kind == "SGD" else {})
    half, single = parameters(1, np.float16), parameters(1, np.float32)
    for [p], dtype in ((half, np.float16), (single, np.float32)):
        optimizer = getattr(optim, kind)([p], **options)
        p.grad = mg.tensor(np.array([gradient, -gradient], np.float16).astype(dtype))
        optimizer.step()
    expected = single[0].detach().numpy().astype(np.float16)
    np.testing.assert_array_equal(half[0].detach().numpy(), expected)
    assert half[0].dtype == np.float16


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "RMSprop"])
def test_a_gradient_above_255_does_not_stop_a_float16_parameter(kind):
    [p] = parameters(1, np.float16)
    optimizer = getattr(optim, kind)([p], lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            p.grad = mg.tensor(np.array([300.0, -300.0], np.float16))
            optimizer.step()
    assert (np.abs(p.detach().numpy() - [1.0, 2.0]) > 1).all()


def test_the_state_of_float16_parameters_is_float32_also_when_loaded():
    [p], [q] = parameters(1, np.float16), parameters(1, np.float16)
    optimizer, other = optim.Adam([p], lr=0.1), optim.Adam([q], lr=0.1)
    optimizer.step()
    state = optimizer.state_dict()
    state["state"][0] = {k: v.astype(np.float16) for k, v in state["state"][0].items()}  # PyTorch's
    other.load_state_dict(state)
    for each in (optimizer, other):
        entry = each.state_dict()["state"][0]
        assert entry["exp_avg"].dtype == entry["exp_avg_sq"].dtype == np.float32


CLIPPED = [
    ("clip_grad_norm_", {"max_norm": None}, TypeError, "max_norm: expected a number.*got None"),
    ("clip_grad_norm_", {"max_norm": [1.0]}, TypeError, "max_norm: expected a number"),
    ("clip_grad_norm_", {"max_norm": np.ones(2)}, mg.ShapeError, "max_norm: expected a number"),
    ("clip_grad_norm_", {"max_norm": -1.0}, ValueError, "max_norm: must be at least 0"),
    ("clip_grad_norm_", {"max_norm": np.nan}, ValueError, "max_norm: must be at least 0"),
    ("clip_grad_norm_", {"max_norm": 1, "norm_type": None}, TypeError, "norm_type: expected"),
    ("clip_grad_norm_", {"max_norm": 1, "norm_type": "l2"}, TypeError, "norm_type: expected"),
    ("clip_grad_norm_", {"max_norm": 1, "norm_type": np.nan}, ValueError, "norm_type: must be"),
    ("clip_grad_value_", {"clip_value": None}, TypeError, "clip_value: expected a number"),
    (
        "clip_grad_value_",
        {"clip_value": np.ones(2)},
        mg.ShapeError,
        "clip_value: expected a number",
    ),
    ("clip_grad_value_", {"clip_value": -1.0}, ValueError, "clip_value: must be at least 0"),
    ("clip_grad_value_", {"clip_value": np.nan}, ValueError, "clip_value: must be at least 0"),
]


@pytest.mark.parametrize(("name", "options", "error", "message"), CLIPPED, ids=str)
def test_a_bound_that_cannot_be_is_named_and_clips_nothing(name, options, error, message):
    p = parameters(2)
    with pytest.raises(error, match=f"{name}: {message}"):
        getattr(nn.utils, name)(p, **options)
    for each in p:
        np.testing.assert_array_equal(each.grad.numpy(), np.float32([0.1, 0.1]))


@pytest.mark.parametrize("one", [1, np.float32(1), np.array([1.0]), np.array(1.0), mg.tensor(1.0)])
def test_a_bound_may_be_a_number_in_any_form(one):
    p = parameters(1)
    p[0].grad = mg.tensor([3.0, 4.0])
    assert nn.utils.clip_grad_norm_(p, one).item() == 5.0
    np.testing.assert_allclose(p[0].grad.numpy(), [0.6, 0.8], rtol=1e-5)
    p[0].grad = mg.tensor([3.0, -4.0])
    nn.utils.clip_grad_value_(p, one)
    np.testing.assert_array_equal(p[0].grad.numpy(), [1.0, -1.0])
