"""Options of optimizers: what becomes a plain number, and what is refused before anything moves."""

import copy
import decimal
import fractions
import math
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.messages.arguments import number
from minigrad.tensor import wrap

KINDS = [optim.SGD, optim.RMSprop, optim.Adam, optim.AdamW]
NUMBERS = {
    optim.SGD: ["lr", "momentum", "weight_decay", "dampening"],
    optim.RMSprop: ["lr", "alpha", "eps", "weight_decay", "momentum"],
    optim.Adam: ["lr", "eps", "weight_decay"],
    optim.AdamW: ["lr", "eps", "weight_decay"],
}
FLAGS = {
    optim.SGD: ["nesterov", "maximize"],
    optim.RMSprop: ["centered", "maximize"],
    optim.Adam: ["amsgrad", "maximize", "decoupled_weight_decay"],
    optim.AdamW: ["amsgrad", "maximize"],
}
NO_NUMBERS = [
    (None, TypeError, "expected a number.*got None"),
    ("0.1", TypeError, r"expected a number.*got '0.1' \(str\)"),
    (True, TypeError, r"expected a number.*got True \(bool\)"),
    (np.bool_(True), TypeError, "expected a number.*bool"),
    (0.1 + 0j, TypeError, "expected a number.*complex"),
    (np.complex64(1), TypeError, "expected a number.*complex"),
    ([0.1], TypeError, "expected a number.*list"),
    ({"lr": 0.1}, TypeError, "expected a number.*dict"),
    (abs, TypeError, "expected a number.*builtin"),
    (np.ndarray, TypeError, "expected a number.*type"),
    (np.array(["a"]), TypeError, "expected a number.*str"),
    (np.array([None]), TypeError, "expected a number.*None"),
    (decimal.Decimal("0.1"), TypeError, "expected a number.*Decimal"),
    (np.array([0.1, 0.2]), ValueError, r"exactly one element, got an array float64\[2\]"),
    (np.zeros(0), ValueError, r"exactly one element, got an array float64\[0\]"),
    (mg.tensor([[0.1, 0.2]]), ValueError, r"exactly one element, got a Tensor float32\[1, 2\]"),
    (math.nan, ValueError, "must be.*got nan"),
    (np.float32(math.nan), ValueError, "must be.*got nan"),
    (mg.tensor([math.nan]), ValueError, "must be.*got nan"),
    (math.inf, ValueError, "must be a finite number, got inf"),
    (-math.inf, ValueError, "must be.*got -inf"),
    (10**400, ValueError, "too large"),
]
SOME_NO_NUMBERS = [bad for bad in NO_NUMBERS if bad[0] is None or bad[0] is math.nan]
SOME_NO_NUMBERS += [(np.ones(2), ValueError, r"exactly one element, got an array float64\[2\]")]
NEGATIVE = [(-0.1, ValueError, "must be at least 0, got -0.1"), (np.array([-1]), ValueError, "-1")]
NO_FLAGS = [
    (None, TypeError, "expected True or False, got None"),
    ("False", TypeError, r"expected True or False, got 'False' \(str\)"),
    (2, TypeError, r"expected True or False, got 2 \(int\)"),
    (0.5, TypeError, "expected True or False"),
    (math.nan, TypeError, "expected True or False"),
    (np.array([True, False]), TypeError, r"expected True or False, got an array bool\[2\]"),
]
NO_BETAS = [
    (None, TypeError, "betas: expected two numbers.*got None"),
    (0.9, TypeError, "betas: expected two numbers.*0.9"),
    ("ab", TypeError, "betas: expected two numbers.*'ab'"),
    ((0.9,), ValueError, r"betas: expected two numbers.*\(0.9,\)"),
    ((0.9, 0.99, 0.999), ValueError, "betas: expected two numbers"),
    ([], ValueError, "betas: expected two numbers"),
    (np.array([0.9]), TypeError, "betas: expected two numbers.*0.9"),
    (np.zeros((2, 2)), TypeError, r"betas: expected two numbers.*array float64\[2, 2\]"),
    ((0.9, None), TypeError, r"betas\[1\]: expected a number at least 0 and below 1, got None"),
    ((True, 0.9), TypeError, r"betas\[0\]: expected a number"),
    ((0.9, 1.0), ValueError, r"betas\[1\]: must be at least 0 and below 1, got 1.0"),
    ((-0.1, 0.9), ValueError, r"betas\[0\]: must be at least 0 and below 1, got -0.1"),
    ((math.nan, 0.9), ValueError, r"betas\[0\]: must be.*got nan"),
    (np.array([0.9, 1.5]), ValueError, r"betas\[1\]: must be.*got 1.5"),
    ((0.9, np.array([0.9, 0.9])), ValueError, r"betas\[1\].*exactly one element"),
]
BAD = [  # all values for the learning rate, three of them for the other numbers
    *[(k, "lr", *bad) for k in KINDS for bad in NO_NUMBERS],
    *[(k, n, *bad) for k in KINDS for n in NUMBERS[k] if n != "lr" for bad in SOME_NO_NUMBERS],
    *[(k, n, *bad) for k in KINDS for n in NUMBERS[k] if n != "dampening" for bad in NEGATIVE],
    *[(k, name, *bad) for k in KINDS for name in FLAGS[k] for bad in NO_FLAGS],
    *[(k, "betas", *bad) for k in (optim.Adam, optim.AdamW) for bad in NO_BETAS],
]


def groups():
    """Two groups, of one parameter each, with gradients."""
    random = np.random.RandomState(0)
    params = [nn.Parameter(wrap(random.standard_normal(5).astype(np.float32))) for _ in range(2)]
    for p in params:
        p.grad = wrap(random.standard_normal(5).astype(np.float32))
    return [{"params": [p]} for p in params]


def everything(optimizer):
    """All that a step changes, copied."""
    values = [p.data.copy() for group in optimizer.param_groups for p in group["params"]]
    state = optimizer.state_dict()
    return values, [(k, v.data) for e in state["state"].values() for k, v in e.items()]


def assert_unchanged(optimizer, before):
    np.testing.assert_equal(everything(optimizer), before)


@pytest.mark.parametrize(("kind", "name", "value", "error", "message"), BAD, ids=str)
def test_an_option_that_cannot_be_is_refused_wherever_it_is_set(kind, name, value, error, message):
    message = f"{name}.*{message}" if not message.startswith("betas") else message
    option = {name: value}
    if name in kind(groups()).defaults and not (kind is optim.AdamW and "decoupled" in name):
        with pytest.raises(error, match=message):
            kind(groups(), **option)
    first, second = groups()
    with pytest.raises(error, match=message):
        kind([first, second | option])
    optimizer = kind([first])
    with pytest.raises(error, match=message):
        optimizer.add_param_group(second | option)
    optimizer.add_param_group(second)
    optimizer.step()
    before = everything(optimizer)
    group = optimizer.param_groups[1]
    good = group[name]
    for _ in range(2):  # a second look is no milder than the first
        group[name] = value
        with pytest.raises(error, match=message) as caught:
            optimizer.step()
        assert "param_groups[1]; nothing has been changed" in caught.value.__notes__[0]
        assert_unchanged(optimizer, before)
    group[name] = good
    state = optimizer.state_dict()
    state["param_groups"][1][name] = value
    with pytest.raises(error, match=message):
        optimizer.load_state_dict(state)
    assert group[name] is good
    assert_unchanged(optimizer, before)
    optimizer.step()
    assert not np.array_equal(everything(optimizer)[0], before[0])


FORMS = [
    np.float64,
    np.float32,
    np.float16,
    np.longdouble,
    np.array,
    lambda x: np.array([x]),
    lambda x: np.array([[x]], np.float32),
    lambda x: mg.tensor(x, dtype="float64"),
    lambda x: nn.Parameter(mg.tensor([[x]], dtype="float64")),
    fractions.Fraction,
    type("Half", (float,), {}),
]
CHOICES = {  # which every one of the forms holds exactly
    optim.SGD: {"lr": 0.5, "momentum": 0.25, "dampening": 0.125, "weight_decay": 0.5},
    optim.RMSprop: {"lr": 0.5, "alpha": 0.25, "eps": 0.125, "weight_decay": 0.5, "momentum": 0.5},
    optim.Adam: {"lr": 0.5, "eps": 0.125, "weight_decay": 0.5, "betas": (0.25, 0.5)},
    optim.AdamW: {"lr": 0.5, "eps": 0.125, "weight_decay": 0.5, "betas": (0.25, 0.5)},
}


def converted(options, form):
    return {k: tuple(map(form, v)) if k == "betas" else form(v) for k, v in options.items()}


def plain_everywhere(optimizer):
    """Whether each option is a Python number, bool, or pair of numbers."""
    for group in optimizer.param_groups:
        for name in optimizer.defaults:
            values = group[name] if type(group[name]) is tuple else (group[name],)
            assert all(type(value) in (float, int, bool) for value in values), name


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_in_any_form_become_plain_ones(kind, form, dtype):
    options = CHOICES[kind]

    def trained(given, later):
        p = nn.Parameter(wrap(np.linspace(-1, 1, 7).astype(dtype)))
        optimizer = kind([p], **given)
        for step in range(4):
            if step == 2:
                optimizer.param_groups[0].update(later)
            if step == 3:
                state = optimizer.state_dict()
                state["param_groups"][0].update(later)
                optimizer.load_state_dict(state)
            p.grad = wrap(np.linspace(-1, 2, 7).astype(dtype) * (step + 1))
            optimizer.step()
            plain_everywhere(optimizer)
        assert p.dtype == dtype
        return p.data

    expected = trained(options, options)
    np.testing.assert_array_equal(trained(converted(options, form), options), expected)
    np.testing.assert_array_equal(trained(options, converted(options, form)), expected)


@pytest.mark.parametrize("given", [[0.5, 0.25], np.array([0.5, 0.25]), mg.tensor([0.5, 0.25])])
def test_betas_become_a_tuple_that_nobody_changes_unseen(given):
    optimizer = optim.Adam(groups(), betas=given)
    assert optimizer.param_groups[1]["betas"] == (0.5, 0.25)
    pair = optimizer.param_groups[0]["betas"]
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.step()
    assert optimizer.param_groups[0]["betas"] is pair  # or a recorded step would be stale


@pytest.mark.parametrize("true", [True, 1, np.bool_(True), np.array([1]), mg.tensor(True)], ids=str)
def test_flags_in_any_form_become_plain_ones(true):
    optimizer = optim.SGD(groups(), maximize=true, momentum=0.5, nesterov=true)
    group = optimizer.param_groups[0]
    assert group["maximize"] is True and group["nesterov"] is True
    group["maximize"] = np.bool_(False)
    optimizer.step()
    assert group["maximize"] is False


def test_an_array_given_as_a_learning_rate_is_read_once():
    rate = np.array([0.5])
    optimizer = optim.SGD(groups(), lr=rate)
    rate[0] = np.nan
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_options_that_go_together_are_checked_together():
    optimizer = optim.SGD(groups(), momentum=0.5, nesterov=True)
    before = everything(optimizer)
    optimizer.param_groups[1]["momentum"] = 0.0
    with pytest.raises(ValueError, match="nesterov: needs a momentum above 0"):
        optimizer.step()
    assert_unchanged(optimizer, before)


def test_a_missing_option_is_named():
    optimizer = optim.SGD(groups())
    before = everything(optimizer)
    del optimizer.param_groups[1]["momentum"]
    with pytest.raises(KeyError, match=r"param_groups\[1\] has no option 'momentum'"):
        optimizer.step()
    assert_unchanged(optimizer, before)


def test_a_group_that_was_appended_is_refused_before_the_others_change():
    first, second = groups()
    optimizer = optim.SGD([first])
    before = everything(optimizer)
    optimizer.param_groups.append(optimizer.defaults | second)
    with pytest.raises(ValueError, match=r"param_groups\[1\]: add groups by add_param_group"):
        optimizer.step()
    optimizer.param_groups.pop()
    assert_unchanged(optimizer, before)


def test_a_bad_rate_of_ones_own_schedule_is_refused():
    optimizer = optim.Adam(groups())
    before = everything(optimizer)
    for rate in (None, -1e-3, np.full(2, 1e-3), "fast", math.nan):
        for group in optimizer.param_groups:
            group["lr"] = rate
        with pytest.raises((TypeError, ValueError), match="lr: "):
            optimizer.step()
        assert_unchanged(optimizer, before)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copied_optimizer_looks_at_its_own_options(duplicate):
    optimizer = optim.Adam(groups())
    optimizer.step()
    twin = duplicate(optimizer)
    twin.param_groups[1]["eps"] = None
    optimizer.step()
    with pytest.raises(TypeError, match="eps"):
        twin.step()


def test_options_are_checked_again_only_where_they_changed(monkeypatch):
    looks = []
    check = optim.Adam.check
    monkeypatch.setattr(
        optim.Adam, "check", lambda self, group: (looks.append(1), check(self, group))
    )
    optimizer = optim.Adam(groups())
    optimizer.step()
    del looks[:]
    for _ in range(3):
        optimizer.step()
    assert not looks
    optimizer.param_groups[1]["lr"] = 0.5
    optimizer.step()
    assert len(looks) == 1


class Signs(optim.Optimizer):
    """An optimizer of one's own, which says nothing about its options."""

    def __init__(self, params, **options):
        super().__init__(params, options)

    def update(self, p, g, state, step, group, scratch):
        p -= group["lr"] * np.sign(g) * group["mask"]


def test_an_optimizer_of_ones_own_keeps_its_options():
    mask, names = np.array([1, 0, 1, 0, 1], np.float32), [3, 4]
    given = groups()
    optimizer = Signs(given, lr=mg.tensor([0.5]), mask=mask, names=names)
    before = [group["params"][0].data.copy() for group in optimizer.param_groups]
    optimizer.step()
    for group, old in zip(optimizer.param_groups, before, strict=True):
        assert group["lr"] == 0.5 and group["mask"] is mask and group["names"] is names
        [p] = group["params"]
        np.testing.assert_array_equal(p.data[1::2], old[1::2])
        assert p.dtype == np.float32 and not np.array_equal(p.data[::2], old[::2])


@pytest.mark.parametrize("rate", [None, math.nan, -0.1, np.array([0.1, 0.2])], ids=str)
def test_a_replay_refuses_a_bad_learning_rate(rate, quick_gpu, replays):
    model = nn.Linear(3, 2).to("gpu")
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    x = mg.ones(4, 3, device="gpu")

    def step(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    call = mg.capture(step, "gpu")
    for _ in range(4):
        call(x)
    assert len(replays) == 2
    before = [p.detach().numpy().copy() for p in model.parameters()]
    optimizer.param_groups[0]["lr"] = rate
    with pytest.raises((TypeError, ValueError), match="lr: "):
        call(x)
    np.testing.assert_equal([p.detach().numpy() for p in model.parameters()], before)
    optimizer.param_groups[0]["lr"] = np.array([0.1])
    call(x)
    assert len(replays) == 3
    assert all(np.isfinite(p.detach().numpy()).all() for p in model.parameters())


def test_a_number_names_what_it_is_and_what_is_allowed():
    assert number("x", mg.tensor([[2]])) == 2
    assert type(number("x", np.int8(2))) is int
    assert math.isnan(number("x", math.nan, finite=False))
    with pytest.raises(TypeError, match=r"^x: expected a number, got None$"):
        number("x", None)
    with pytest.raises(ValueError, match=r"^x: must be at least 1 and below 2, got 2$"):
        number("x", 2, 1, 2)


@pytest.mark.parametrize("state", [{}, {"state": {}}, {"param_groups": []}])
def test_what_is_no_state_is_refused_by_what_it_lacks(state):
    optimizer = optim.SGD([mg.nn.Parameter([1.0])], lr=0.1)
    with pytest.raises(ValueError, match=r"the state has no '(param_groups|state)'"):
        optimizer.load_state_dict(state)
