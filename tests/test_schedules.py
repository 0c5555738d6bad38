"""Schedules: what does not fit is refused, and then nothing has changed."""

import copy
import json
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    ReduceLROnPlateau,
    StepLR,
)


def optimizer_of(groups=1, lr=1.0):
    return optim.SGD([{"params": [nn.Parameter(mg.ones(2))]} for _ in range(groups)], lr=lr)


def everything(schedule):
    """All that a step changes, copied: the groups, and the schedule."""
    groups = [
        {k: v for k, v in group.items() if k != "params"}
        for group in schedule.optimizer.param_groups
    ]
    return copy.deepcopy((groups, {k: v for k, v in vars(schedule).items() if k != "optimizer"}))


def go(schedule, epochs=1):
    for _ in range(epochs):
        schedule.step(*([1.0] if isinstance(schedule, ReduceLROnPlateau) else []))
    return schedule.get_last_lr()


# --- groups that came or went -----------------------------------------------------------------


NEED_VALUES = {  # a value for each group, which an added one has not
    "LambdaLR": lambda o: LambdaLR(o, lambda epoch: 0.5**epoch),
    "LambdaLR, list": lambda o: LambdaLR(o, [lambda e: 0.5**e for _ in o.param_groups]),
    "CosineAnnealingLR": lambda o: CosineAnnealingLR(o, 10),
    "ReduceLROnPlateau": lambda o: ReduceLROnPlateau(o, factor=0.5, patience=0),
    "ReduceLROnPlateau, list": lambda o: ReduceLROnPlateau(
        o, factor=0.5, patience=0, min_lr=[0.01] * len(o.param_groups)
    ),
    "ReduceLROnPlateau, patient": lambda o: ReduceLROnPlateau(o),
}
NEED_RATES = {  # only, which an added group has
    "StepLR": lambda o: StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: MultiStepLR(o, [1, 3, 4], 0.5),
    "ExponentialLR": lambda o: ExponentialLR(o, 0.5),
    "LinearLR": lambda o: LinearLR(o, 0.5, 1.0, 6),
}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("epochs", [0, 3])
@pytest.mark.parametrize("name", NEED_VALUES)
def test_a_schedule_refuses_a_group_that_it_has_no_values_for(name, epochs, groups):
    schedule, plain = (NEED_VALUES[name](optimizer_of(groups)) for _ in range(2))
    go(schedule, epochs)
    go(plain, epochs)
    schedule.optimizer.add_param_group({"params": [nn.Parameter(mg.ones(2))], "lr": 0.3})
    before = everything(schedule)
    for _ in range(2):
        with pytest.raises(ValueError) as caught:
            go(schedule)
        assert f"made for {groups} parameter group(s)" in str(caught.value)
        assert f"the optimizer now has {groups + 1}; nothing has been changed" in str(caught.value)
        assert "make a new one" in str(caught.value)
        assert everything(schedule) == before
    del schedule.optimizer.param_groups[-1]
    assert go(schedule, 3) == go(plain, 3)


@pytest.mark.parametrize("name", NEED_VALUES)
def test_a_schedule_refuses_the_loss_of_a_group(name):
    schedule = NEED_VALUES[name](optimizer_of(2))
    go(schedule, 2)
    del schedule.optimizer.param_groups[0]
    before = everything(schedule)
    with pytest.raises(ValueError, match=r"made for 2 parameter group\(s\).* now has 1"):
        go(schedule)
    assert everything(schedule) == before


@pytest.mark.parametrize("name", ["LambdaLR", "CosineAnnealingLR"])
def test_a_new_schedule_goes_on_as_the_message_says(name):
    schedule, plain = (NEED_VALUES[name](optimizer_of()) for _ in range(2))
    go(schedule, 3)
    go(plain, 3)
    optimizer = schedule.optimizer
    optimizer.add_param_group({"params": [nn.Parameter(mg.ones(2))], "lr": 0.3, "initial_lr": 0.5})
    if name == "LambdaLR":
        new = LambdaLR(optimizer, lambda epoch: 0.5**epoch, last_epoch=schedule.last_epoch - 1)
    else:
        new = CosineAnnealingLR(optimizer, 10, last_epoch=schedule.last_epoch - 1)
    assert new.last_epoch == plain.last_epoch
    assert new.get_last_lr()[0] == plain.get_last_lr()[0]
    for _ in range(4):
        assert go(new)[0] == go(plain)[0]


@pytest.mark.parametrize("name", NEED_RATES)
def test_a_schedule_that_multiplies_takes_an_added_group_along(name):
    schedule, plain = (NEED_RATES[name](optimizer_of()) for _ in range(2))
    before = go(schedule, 2)[0]
    schedule.optimizer.add_param_group({"params": [nn.Parameter(mg.ones(2))], "lr": 0.25})
    first, added = go(schedule, 3)
    assert [first] == go(plain, 5)
    assert added == pytest.approx(0.25 * first / before, rel=1e-15)
    resumed = NEED_RATES[name](optimizer_of(2))
    resumed.optimizer.load_state_dict(schedule.optimizer.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    assert go(resumed, 3) == go(schedule, 3)


# --- rates that cannot be ---------------------------------------------------------------------


def broken(epoch):
    raise ZeroDivisionError("in the function")


NO_FACTORS = [
    (broken, ZeroDivisionError, "in the function"),
    (lambda epoch: None, TypeError, r"lr_lambda of param_groups\[1\] in epoch 1: .*got None"),
    (lambda epoch: "0.5", TypeError, r"param_groups\[1\] in epoch 1: .*'0.5' \(str\)"),
    (lambda epoch: 0.5j, TypeError, "complex"),
    (lambda epoch: [0.5], TypeError, "list"),
    (lambda epoch: math.nan, ValueError, "got nan"),
    (lambda epoch: math.inf, ValueError, "got inf"),
    (lambda epoch: mg.tensor(math.nan), ValueError, "got nan"),
    (lambda epoch: np.array([0.5, 0.5]), ValueError, "exactly one element"),
    (lambda epoch: mg.zeros(0), ValueError, "exactly one element"),
]


@pytest.mark.parametrize(("factor", "error", "message"), NO_FACTORS)
def test_a_function_that_gives_no_factor_changes_nothing(factor, error, message):
    good = lambda epoch: 0.5**epoch  # noqa: E731
    schedule = LambdaLR(optimizer_of(2), [good, lambda e: factor(e) if e == 1 else good(e)])
    before = everything(schedule)
    with pytest.raises(error, match=message):
        schedule.step()
    assert everything(schedule) == before
    schedule.lr_lambdas[1] = good
    assert go(schedule) == [0.5, 0.5]


@pytest.mark.parametrize(("factor", "error", "message"), NO_FACTORS)
def test_a_schedule_that_cannot_start_leaves_no_trace(factor, error, message):
    optimizer = optimizer_of(2)
    optimizer.param_groups[0]["initial_lr"] = 0.5
    before = copy.deepcopy([{k: g[k] for k in g if k != "params"} for g in optimizer.param_groups])
    with pytest.raises(error, match=message.replace("epoch 1", "epoch 0")):
        LambdaLR(optimizer, [lambda epoch: 1.0, factor])
    after = [{k: g[k] for k in g if k != "params"} for g in optimizer.param_groups]
    assert after == before


@pytest.mark.parametrize(
    "half",
    [0.5, np.float32(0.5), np.array([0.5]), mg.tensor([[0.5]]), nn.Parameter([0.5])],
    ids=str,
)
def test_a_factor_may_be_a_number_in_any_form(half):
    schedule = LambdaLR(optimizer_of(2), [lambda epoch: half, lambda epoch: epoch < 1])
    assert schedule.get_last_lr() == [0.5, 1.0]
    assert go(schedule) == [0.5, 0.0]
    assert all(type(lr) is float for lr in schedule.get_last_lr())


class Own(LRScheduler):
    """A schedule of one's own, whose rates are told to it."""

    secret = 0

    def __init__(self, optimizer):
        self.told = lambda: [0.5, 0.5]
        super().__init__(optimizer)

    def get_lr(self):
        self.secret += 1
        return self.told()


@pytest.mark.parametrize(
    ("rates", "error", "message"),
    [
        (None, TypeError, "Own.get_lr: expected a list.*got None"),
        (0.5, TypeError, "Own.get_lr: expected a list.*0.5"),
        (np.array(0.5), TypeError, r"Own.get_lr: expected a list.*an array float64\[\]"),
        ("ab", TypeError, "Own.get_lr: expected a list.*'ab'"),
        ([0.5], ValueError, r"Own.get_lr: 1 learning rates for 2 parameter group\(s\)"),
        ([0.5] * 3, ValueError, r"Own.get_lr: 3 learning rates for 2 parameter group\(s\)"),
        ([0.5, None], TypeError, r"Own, epoch 1, param_groups\[1\]: lr: .*got None"),
        ([0.5, "a"], TypeError, r"param_groups\[1\]: lr: .*'a'"),
        ([0.5, 1j], TypeError, "complex"),
        ([0.5, True], TypeError, "bool"),
        ([0.5, math.nan], ValueError, "got nan"),
        ([0.5, mg.zeros(2)], ValueError, "exactly one element"),
    ],
)
def test_a_schedule_of_ones_own_that_gives_no_rates_changes_nothing(rates, error, message):
    schedule = Own(optimizer_of(2))
    schedule.told = lambda: rates
    before = everything(schedule)
    with pytest.raises(error, match=message):
        schedule.step()
    assert everything(schedule) == before
    schedule.told = lambda: iter([mg.tensor(0.25), np.array([0.125])])
    assert go(schedule) == [0.25, 0.125]
    schedule.told = lambda: np.array([0.5, 1.0])
    assert go(schedule) == [0.5, 1.0]


def test_a_schedule_of_ones_own_hears_of_added_groups():
    schedule = Own(optimizer_of(2))
    schedule.optimizer.add_param_group({"params": [nn.Parameter(mg.ones(2))]})
    with pytest.raises(ValueError, match=r"Own: made for 2 parameter group\(s\).* now has 3"):
        schedule.step()


@pytest.mark.parametrize("name", [*NEED_VALUES, *NEED_RATES])
@pytest.mark.parametrize("rate", [None, "1", math.nan, np.ones(2), 1j], ids=str)
def test_a_rate_that_is_none_is_found_where_a_schedule_reads_it(name, rate):
    schedule = (NEED_VALUES | NEED_RATES)[name](optimizer_of(2))
    schedule.optimizer.param_groups[1]["lr"] = rate
    if name.startswith("LambdaLR"):
        go(schedule)  # which reads none, and puts things right
        return
    before = [v for k, v in vars(schedule).items() if k != "optimizer"]
    with pytest.raises((TypeError, ValueError), match=r"param_groups\[1\]: lr: "):
        go(schedule, 2)
    assert schedule.optimizer.param_groups[1]["lr"] is rate
    assert schedule.optimizer.param_groups[0]["lr"] in (1.0, 0.5)
    assert [v for k, v in vars(schedule).items() if k != "optimizer"] == before


def test_a_negative_rate_is_refused_by_the_optimizer_before_it_changes_anything():
    schedule = LambdaLR(optimizer_of(2), lambda epoch: 1 - epoch)
    optimizer = schedule.optimizer
    go(schedule, 2)
    for group in optimizer.param_groups:
        group["params"][0].grad = mg.ones(2)
    with pytest.raises(ValueError, match="lr: must be at least 0, got -1"):
        optimizer.step()
    assert all((group["params"][0].data == 1).all() for group in optimizer.param_groups)


@pytest.mark.parametrize("total", [1, 3, 7, 10, 50, 1000])
@pytest.mark.parametrize("start", [1.0, 0.7, 1 / 3, 0.1])
def test_a_linear_schedule_to_zero_does_not_go_below_it(start, total):
    schedule = LinearLR(optimizer_of(lr=0.3), start, 0.0, total)
    assert all(go(schedule)[0] >= 0 for _ in range(total + 2))


@pytest.mark.parametrize("T_max", [2, 3, 7, 50, 333])
@pytest.mark.parametrize("eta_min", [0.3, 1e-3])
def test_a_cosine_from_zero_does_not_go_below_it(T_max, eta_min):
    schedule = CosineAnnealingLR(optimizer_of(lr=0.0), T_max, eta_min)
    assert all(go(schedule)[0] >= 0 for _ in range(20 * T_max))


# --- measurements -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        (None, TypeError, "metrics: expected a number, got None"),
        ("1.0", TypeError, r"metrics: expected a number, got '1.0' \(str\)"),
        (1j, TypeError, "metrics: .*complex"),
        ([1.0], TypeError, "metrics: .*list"),
        (np.ones(2), ValueError, r"metrics: .*exactly one element, got an array float64\[2\]"),
        (
            mg.ones(1, 2),
            ValueError,
            r"metrics: .*exactly one element, got a Tensor float32\[1, 2\]",
        ),
        (mg.zeros(0), ValueError, "metrics: .*exactly one element"),
    ],
)
def test_a_measurement_that_is_no_number_changes_nothing(metrics, error, message):
    schedule = ReduceLROnPlateau(optimizer_of(2), patience=0)
    schedule.step(1.0)
    before = everything(schedule)
    with pytest.raises(error, match=message):
        schedule.step(metrics)
    assert everything(schedule) == before


@pytest.mark.parametrize("metrics", [math.nan, math.inf, np.float32(np.nan), mg.tensor([np.inf])])
def test_a_measurement_that_is_not_finite_is_no_better(metrics):
    schedule = ReduceLROnPlateau(optimizer_of(2), factor=0.5, patience=0)
    schedule.step(metrics)
    assert (schedule.best, schedule.last_epoch, schedule.get_last_lr()) == (math.inf, 1, [0.5] * 2)


# --- saved states -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NEED_VALUES, *NEED_RATES])
def test_a_state_for_other_groups_is_refused(name):
    make = (NEED_VALUES | NEED_RATES)[name]
    schedule = make(optimizer_of(2))
    go(schedule, 2)
    before = everything(schedule)
    for groups in (1, 3):
        other = make(optimizer_of(groups))
        go(other, 5)
        with pytest.raises(ValueError, match=r"load_state_dict: .* optimizer's 2 parameter groups"):
            schedule.load_state_dict(other.state_dict())
        assert everything(schedule) == before


@pytest.mark.parametrize("name", NEED_VALUES)
@pytest.mark.parametrize(
    "values", [[1.0], [1.0] * 3, [], 1.0, None, [1.0, None], [1.0, "a"], [1.0, math.nan]], ids=str
)
def test_a_state_with_other_lists_is_refused(name, values):
    schedule = NEED_VALUES[name](optimizer_of(2))
    before = everything(schedule)
    for key in ("base_lrs", "min_lrs", "_last_lr"):
        state = schedule.state_dict() | {"last_epoch": 7}
        if key in state:
            with pytest.raises((ValueError, TypeError), match=f"load_state_dict: {key}"):
                schedule.load_state_dict(state | {key: values})
            assert everything(schedule) == before


def test_functions_stay_when_a_state_is_loaded():
    schedule = LambdaLR(optimizer_of(), lambda epoch: 0.5**epoch)
    schedule.load_state_dict(
        schedule.state_dict() | {"lr_lambdas": [None]}
    )  # as PyTorch saves them
    assert go(schedule) == [0.5]


# --- what a schedule is made with -------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: LambdaLR(o, 0.5), TypeError, "lr_lambda: expected a function.*0.5"),
        (lambda o: LambdaLR(o, [abs, None]), TypeError, "lr_lambda: expected a function.*None"),
        (lambda o: LambdaLR(o, []), ValueError, "lr_lambda: 0 values for 2"),
        (lambda o: StepLR(o, None), TypeError, "step_size: expected a number.*None"),
        (lambda o: StepLR(o, "2"), TypeError, "step_size: expected a number.*'2'"),
        (lambda o: StepLR(o, 0), ValueError, "step_size: must be at least 1, got 0"),
        (lambda o: StepLR(o, 2, None), TypeError, "gamma: expected a number.*None"),
        (lambda o: StepLR(o, 2, -0.5), ValueError, "gamma: must be at least 0, got -0.5"),
        (lambda o: MultiStepLR(o, 3), TypeError, "milestones: expected a list.*3"),
        (lambda o: MultiStepLR(o, ["3"]), TypeError, "milestones: expected a number.*'3'"),
        (lambda o: MultiStepLR(o, [3], math.nan), ValueError, "gamma: .*nan"),
        (lambda o: ExponentialLR(o, np.ones(2)), ValueError, "gamma: .*exactly one"),
        (lambda o: LinearLR(o, None), TypeError, "start_factor: expected a number"),
        (lambda o: LinearLR(o, start_factor=0), ValueError, "start_factor.*got 0"),
        (lambda o: LinearLR(o, start_factor=-0.5), ValueError, "start_factor.*got -0.5"),
        (lambda o: LinearLR(o, start_factor=1.5), ValueError, "start_factor.*got 1.5"),
        (lambda o: LinearLR(o, end_factor=1.5), ValueError, "end_factor.*got 1.5"),
        (lambda o: LinearLR(o, end_factor="1"), TypeError, "end_factor: expected a number"),
        (lambda o: LinearLR(o, total_iters=None), TypeError, "total_iters: expected a number"),
        (lambda o: CosineAnnealingLR(o, None), TypeError, "T_max: expected a number"),
        (lambda o: CosineAnnealingLR(o, 0), ValueError, "T_max: must be at least 1, got 0"),
        (lambda o: CosineAnnealingLR(o, 5, None), TypeError, "eta_min: expected a number"),
        (lambda o: CosineAnnealingLR(o, 5, -1.0), ValueError, "eta_min: must be at least 0"),
        (lambda o: ReduceLROnPlateau(o, factor=None), TypeError, "factor: expected a number"),
        (lambda o: ReduceLROnPlateau(o, factor=math.nan), ValueError, "factor: must be.*nan"),
        (lambda o: ReduceLROnPlateau(o, factor=-0.5), ValueError, "factor: must be at least 0"),
        (lambda o: ReduceLROnPlateau(o, factor=1.0), ValueError, "factor: .*got 1.0"),
        (lambda o: ReduceLROnPlateau(o, mode="up"), ValueError, "'up'"),
        (lambda o: ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "'x'"),
        (lambda o: ReduceLROnPlateau(o, patience=None), TypeError, "patience: expected a number"),
        (lambda o: ReduceLROnPlateau(o, min_lr=[0.1, None]), TypeError, "min_lr: .*None"),
        (lambda o: ReduceLROnPlateau(o, min_lr=np.ones(3)), ValueError, "min_lr: 3 values for 2"),
        (lambda o: ExponentialLR(o, 0.5, last_epoch=None), TypeError, "last_epoch: .*None"),
        (lambda o: ExponentialLR(o, 0.5, last_epoch=3), KeyError, "initial_lr"),
        (lambda o: StepLR("optimizer", 1), TypeError, r"got 'optimizer' \(str\)"),
        (lambda o: ReduceLROnPlateau(None), TypeError, "got None"),
        (lambda o: ExponentialLR(o, 0.5, last_epoch=-2), ValueError, "last_epoch: .*-2"),
    ],
)
def test_what_a_schedule_cannot_be_made_with_is_named(make, error, message):
    optimizer = optimizer_of(2)
    with pytest.raises(error, match=message):
        make(optimizer)
    assert all("initial_lr" not in group for group in optimizer.param_groups)


def test_numbers_of_schedules_may_come_in_any_form():
    plain = ReduceLROnPlateau(optimizer_of(2), factor=0.5, patience=0, min_lr=[0.3, 0.1])
    other = ReduceLROnPlateau(
        optimizer_of(2), factor=mg.tensor([0.5]), patience=np.int8(0), min_lr=np.array([0.3, 0.1])
    )
    assert go(plain, 5) == go(other, 5) == [0.3, 0.1]
    assert other.state_dict() == plain.state_dict()
    assert go(MultiStepLR(optimizer_of(), np.array([1, 2]), np.array(0.5)), 3) == [0.25]


def test_milestones_survive_json():
    optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    schedule = MultiStepLR(optimizer, [2, 3, 3], gamma=0.5)
    schedule.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    rates = []
    for _ in range(4):
        schedule.step()
        rates += schedule.get_last_lr()
    assert rates == [1.0, 0.5, 0.125, 0.125]


@pytest.mark.parametrize("state", [None, [], "state"])
def test_what_is_no_dictionary_is_no_state_of_a_schedule(state):
    schedule = StepLR(optim.SGD([nn.Parameter([1.0])], lr=1.0), 3)
    with pytest.raises(TypeError, match="load_state_dict: expected a dictionary"):
        schedule.load_state_dict(state)


def test_the_state_of_something_else_is_no_state_of_a_schedule():
    optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    schedule = StepLR(optimizer, 3)
    other = CosineAnnealingLR(optimizer, 3)
    for state in ({}, {"foo": 3}, optimizer.state_dict(), other.state_dict()):
        before = dict(vars(schedule))
        with pytest.raises(ValueError, match=r"has no .*step_size.* of a StepLR gave"):
            schedule.load_state_dict(state)
        assert vars(schedule) == before
    with pytest.raises(ValueError, match=r"has no T_max,.* of a CosineAnnealingLR gave"):
        other.load_state_dict(schedule.state_dict())
    public = {k: v for k, v in schedule.state_dict().items() if not k.startswith("_")}
    schedule.load_state_dict(public)


@pytest.mark.parametrize("name", ["StepLR", "CosineAnnealingLR", "ReduceLROnPlateau"])
def test_a_state_of_torch_is_a_state_of_a_schedule(name):
    torch = pytest.importorskip("torch")
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    mine = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    options = () if name == "ReduceLROnPlateau" else (3,)
    saved = getattr(torch.optim.lr_scheduler, name)(theirs, *options)
    own = getattr(optim.lr_scheduler, name)(mine, *options)
    own.load_state_dict(saved.state_dict())


def test_a_schedule_without_a_rule_is_named():
    with pytest.raises(NotImplementedError, match="LRScheduler defines no `get_lr`"):
        LRScheduler(optim.SGD([nn.Parameter([1.0])], lr=1.0))
