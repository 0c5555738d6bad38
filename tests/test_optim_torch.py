"""Optimizers and schedules against PyTorch: parameters and states over several steps."""

import itertools

import numpy as np
import pytest
from torch_checks import as_torch, is_our_torch, torch

import minigrad as mg
from minigrad import nn, optim
from minigrad.backends import to_device, to_numpy
from minigrad.tensor import wrap

pytestmark = pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")

STEPS = 5
SHAPES = [(3, 4), (5,), (), (2, 1, 3), (0, 2), (1,)]


# combinations of options that PyTorch's own samples, in test_torch_samples.py, do not have
OPTIMIZERS = [
    ("SGD", {"lr": 0.1, "weight_decay": 0.1, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"lr": 0.01, "centered": True, "maximize": True}),
    ("RMSprop", {"alpha": 0.5, "eps": 1e-3}),
    *[
        (name, {"lr": 0.01, "amsgrad": True, "maximize": True, "weight_decay": decay})
        for name in ("Adam", "AdamW")
        for decay in (0.0, 0.1)
    ],
    ("Adam", {"betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.0}),
    ("Adam", {"betas": (0.0, 0.0)}),
]
optimizers = pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=lambda v: str(v))
both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
one_of_each = pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1}),
        ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True, "weight_decay": 0.1}),
        ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}),
        ("AdamW", {"lr": 0.01}),
    ],
    ids=["SGD", "RMSprop", "Adam", "AdamW"],
)


def parameters(dtype, device, shapes=SHAPES):
    random = np.random.RandomState(0)
    arrays = [np.asarray(random.standard_normal(shape), dtype) for shape in shapes]
    return (
        [nn.Parameter(wrap(to_device(a.copy(), device))) for a in arrays],
        [torch.nn.Parameter(torch.tensor(a)) for a in arrays],
    )


def set_gradients(own, other, step, skipped=()):
    """The same gradients on both sides, ours by a backward pass; none for `skipped`."""
    random = np.random.RandomState(100 + step)
    for i, (p, t) in enumerate(zip(own, other, strict=True)):
        g = np.asarray(random.standard_normal(p.shape), p.dtype)
        if i in skipped:
            continue
        (p * wrap(to_device(g, p.device))).sum().backward()
        t.grad = torch.tensor(g)


def check_same(own, other, steps=STEPS):
    """A step is some ten operations on numbers below 10, and errors add up over the steps."""
    for p, t in zip(own, other, strict=True):
        assert p.dtype == t.detach().numpy().dtype
        within = 100 * (1 + steps) * np.finfo(p.dtype).eps
        np.testing.assert_allclose(to_numpy(p.data), t.detach().numpy(), rtol=within, atol=within)


def check_same_state(own, other, steps=STEPS):
    own, other = own.state_dict(), other.state_dict()
    assert set(own["state"]) == set(other["state"])
    for number, entry in other["state"].items():
        assert set(own["state"][number]) == set(entry)
        for name, value in entry.items():
            mine, expected = own["state"][number][name], np.asarray(value)
            assert (mine.dtype, mine.shape) == (expected.dtype, expected.shape), name
            within = 100 * (1 + steps) * np.finfo(mine.dtype).eps
            mine = to_numpy(mine.data)
            np.testing.assert_allclose(mine, expected, rtol=within, atol=within, err_msg=name)
    for mine, group in zip(own["param_groups"], other["param_groups"], strict=True):
        names = [name for name in mine if name in group or is_our_torch()]
        assert {name: group[name] for name in names} == {name: mine[name] for name in names}


def run(own, other, optimizer, reference, steps=STEPS, first=0, skipped=lambda step: ()):
    for step in range(first, first + steps):
        optimizer.zero_grad()
        reference.zero_grad()
        set_gradients(own, other, step, skipped(step))
        optimizer.step()
        reference.step()
        check_same(own, other)
        check_same_state(optimizer, reference)


def both(name, options, own, other):
    reference = as_torch(getattr(torch.optim, name), other, **options)
    return getattr(optim, name)(own, **options), reference


@both_dtypes
@optimizers
def test_steps_match_torch(name, options, dtype, device):
    own, other = parameters(dtype, device)
    run(own, other, *both(name, options, own, other))


@both_dtypes
@one_of_each
def test_steps_with_missing_gradients_match_torch(name, options, dtype, device):
    own, other = parameters(dtype, device)
    missing = [(1,), (), (0, 2, 5), (0, 1, 2, 3, 4, 5), (3,), ()]
    run(own, other, *both(name, options, own, other), steps=6, skipped=lambda s: missing[s])


@one_of_each
def test_groups_match_torch(name, options, device):
    own, other = parameters(np.float64, device)
    a, b = (
        [{"params": p[:2], "lr": 0.5}, {"params": p[2], "weight_decay": 0.2}] for p in (own, other)
    )
    optimizer, reference = both(name, options, a, b)
    run(own[:3], other[:3], optimizer, reference, steps=2)
    optimizer.add_param_group({"params": own[3:], "lr": 0.02})
    reference.add_param_group({"params": other[3:], "lr": 0.02})
    run(own, other, optimizer, reference, steps=3, first=2)


@both_dtypes
def test_a_constant_gradient_centered_matches_torch_as_long_as_torch_is_finite(dtype, device):
    own, other = parameters(dtype, device)
    options = {"lr": 0.01, "alpha": 0.5, "centered": True, "eps": 1e-3}
    optimizer, reference = both("RMSprop", options, own, other)
    for step in range(1, 9):
        optimizer.zero_grad()
        reference.zero_grad()
        set_gradients(own, other, 0)
        optimizer.step()
        reference.step()
        for p, t in zip(own, other, strict=True):
            expected = t.detach().numpy()
            assert np.isfinite(expected).all()
            # q and a are off by 10 roundings a step, and q - a^2 is only 0.5^step of q
            within = step * (10 * 2**step) * np.finfo(dtype).eps * np.maximum(np.abs(expected), 1)
            assert (np.abs(to_numpy(p.data) - expected) <= within).all()


@one_of_each
def test_options_changed_between_steps_match_torch(name, options, device):
    own, other = parameters(np.float64, device)
    optimizer, reference = both(name, options, own, other)
    for step, lr in enumerate([0.1, 0.0, 0.3]):
        optimizer.param_groups[0]["lr"] = reference.param_groups[0]["lr"] = lr
        run(own, other, optimizer, reference, steps=1, first=step)


def test_momentum_that_starts_later_matches_torch(device):
    own, other = parameters(np.float64, device)
    optimizer, reference = both("SGD", {"lr": 0.1, "dampening": 0.5}, own, other)
    run(own, other, optimizer, reference, steps=2)
    optimizer.param_groups[0]["momentum"] = reference.param_groups[0]["momentum"] = 0.9
    run(own, other, optimizer, reference, steps=3, first=2)


@one_of_each
def test_zero_gradients_are_gradients_as_in_torch(name, options, device):
    own, other = parameters(np.float64, device)
    optimizer, reference = both(name, options, own, other)
    run(own, other, optimizer, reference, steps=2)
    optimizer.zero_grad(set_to_none=False)
    reference.zero_grad(set_to_none=False)
    optimizer.step()
    reference.step()
    check_same(own, other)
    check_same_state(optimizer, reference)


@both_dtypes
@one_of_each
def test_state_of_torch_goes_on_here_and_back(name, options, dtype, device):
    own, other = parameters(dtype, device)
    optimizer, reference = both(name, options, own, other)
    missing = {0: (2,), 1: (2, 4)}
    run(own, other, optimizer, reference, steps=3, skipped=lambda s: missing.get(s, ()))

    resumed = getattr(optim, name)(own, **options | {"lr": 9.0})  # options come with the state
    resumed.load_state_dict(reference.state_dict())
    run(own, other, resumed, reference, steps=2, first=3)

    state = resumed.state_dict()
    state["state"] = {
        number: {key: torch.tensor(value.numpy()) for key, value in entry.items()}
        for number, entry in state["state"].items()
    }
    back = getattr(torch.optim, name)(other, **options)
    back.load_state_dict(state)
    run(own, other, resumed, back, steps=2, first=5)


def numbers(values):
    """Those of a Tensor or an array, wherever it is."""
    return values.numpy() if isinstance(values, mg.Tensor) else to_numpy(values)


class Pair:
    """The same parameters and optimizer here and in PyTorch, and things that a user may do."""

    def __init__(self, name, options, seed, device):
        self.random, self.device = np.random.RandomState(seed), device
        self.own, self.other = parameters(np.float64, device, [(3, 4), (5,), (), (2, 3)])
        self.optimizer, self.reference = both(name, options, self.own, self.other)
        self.held = []

    def there(self, array):
        return wrap(to_device(array, self.device))

    def pick(self):
        i = self.random.randint(len(self.own))
        return self.own[i], self.other[i]

    def backward(self):
        arrays = [np.asarray(self.random.standard_normal(p.shape)) for p in self.own]
        chosen = [i for i in range(len(self.own)) if self.random.uniform() < 0.8]
        chosen = [i for i in chosen if self.own[i].requires_grad]
        if chosen:
            a = sum((self.own[i] * self.own[i] * self.there(arrays[i])).sum() for i in chosen)
            b = sum((self.other[i] ** 2 * torch.tensor(arrays[i])).sum() for i in chosen)
            create_graph = self.random.uniform() < 0.2
            a.backward(create_graph=create_graph)
            b.backward(create_graph=create_graph)

    def step(self):
        self.optimizer.step()
        self.reference.step()

    def zero_grad(self):
        set_to_none = bool(self.random.randint(2))
        self.optimizer.zero_grad(set_to_none)
        self.reference.zero_grad(set_to_none)

    def drop_gradient(self):
        p, t = self.pick()
        p.grad = t.grad = None

    def assign_gradient(self):
        p, t = self.pick()
        g = np.asarray(self.random.standard_normal(p.shape))
        if p.requires_grad:  # PyTorch updates a frozen parameter that has a gradient; we do not
            p.grad, t.grad = self.there(np.array(g, order="F")), torch.tensor(g)

    def freeze(self):
        p, t = self.pick()
        wanted = not p.requires_grad
        p.grad = t.grad = None
        p.requires_grad_(wanted)
        t.requires_grad_(wanted)

    def hold(self):
        p, _ = self.pick()
        if p.grad is not None:
            g = p.grad.detach()
            view = [g, g.data, g.data.T, g.data[..., :2] if g.ndim else g][self.random.randint(4)]
            self.held.append((view, numbers(view).copy()))
            del self.held[:-5]

    def rebind(self):
        p, t = self.pick()
        new = np.asarray(self.random.standard_normal(p.shape))
        p.data, t.data = self.there(np.array(new, order="F")).data, torch.tensor(new)

    def write(self):
        p, t = self.pick()
        p.data[...] *= 0.5
        t.data *= 0.5

    def clip(self):
        nn.utils.clip_grad_norm_(self.own, 0.7)
        torch.nn.utils.clip_grad_norm_(self.other, 0.7)
        self.held.clear()  # these are changed on purpose

    def restore(self):
        self.optimizer.load_state_dict(self.optimizer.state_dict())

    def new_optimizer(self):
        state = self.optimizer.state_dict()
        second = type(self.optimizer)(self.own)  # beside the first, for a moment
        second.load_state_dict(state)
        self.optimizer = second

    def convert(self):
        for p in self.own:
            p.data = p.data.astype("float32").astype("float64")
        for t in self.other:
            t.data = t.data.float().double()

    ACTIONS = (
        *[backward, step] * 4,
        zero_grad,
        zero_grad,
        drop_gradient,
        assign_gradient,
        freeze,
        hold,
        hold,
        rebind,
        write,
        clip,
        restore,
        new_optimizer,
        convert,
    )


@one_of_each
@pytest.mark.parametrize("seed", range(10))
def test_whatever_a_user_does_matches_torch(name, options, seed, device):
    pair = Pair(name, options, seed, device)
    steps = 0
    for _ in range(80):
        action = pair.ACTIONS[pair.random.randint(len(pair.ACTIONS))]
        action(pair)
        steps += action is Pair.step
        check_same(pair.own, pair.other, steps)
        for view, kept in pair.held:
            np.testing.assert_array_equal(numbers(view), kept)
    check_same_state(pair.optimizer, pair.reference, steps)


# --- schedules --------------------------------------------------------------------------------

SCHEDULES = {
    "StepLR": {"step_size": 3, "gamma": 0.5},
    "StepLR-default": {"step_size": 2},
    "MultiStepLR": {"milestones": [2, 5, 5, 9], "gamma": 0.5},
    "ExponentialLR": {"gamma": 0.8},
    "CosineAnnealingLR": {"T_max": 5, "eta_min": 0.01},
    "CosineAnnealingLR-1": {"T_max": 1},
    "LinearLR": {"start_factor": 0.25, "end_factor": 0.75, "total_iters": 4},
    "LinearLR-default": {},
    "LambdaLR": {"lr_lambda": lambda epoch: 0.9**epoch},
    "LambdaLR-list": {"lr_lambda": [lambda e: 1 / (1 + e), lambda e: 0.5 * e]},
}


def two_groups():
    for library, tensor in ((optim, nn.Parameter(mg.zeros(2))), (torch.optim, torch.zeros(2))):
        other = nn.Parameter(mg.zeros(1)) if library is optim else torch.zeros(1)
        yield library.SGD([{"params": [tensor], "lr": 0.5}, {"params": [other]}], lr=2.0)


def make(library, name, optimizer, **more):
    cls = getattr(library.lr_scheduler, name.partition("-")[0])
    return cls(optimizer, **SCHEDULES[name], **more)


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def walk(own, other, schedules, references, epochs=14):
    for _ in range(epochs):
        assert rates(own) == pytest.approx(rates(other), rel=1e-13, abs=1e-16)
        for mine, reference in zip(schedules, references, strict=True):
            assert mine.get_last_lr() == pytest.approx(reference.get_last_lr(), rel=1e-13)
            assert mine.last_epoch == reference.last_epoch
        other.step()  # PyTorch warns otherwise
        for each in (*schedules, *references):
            each.step()


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_matches_torch(name):
    own, other = two_groups()
    walk(own, other, [make(optim, name, own)], [make(torch.optim, name, other)])


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(SCHEDULES, 2)))
def test_chained_schedules_match_torch(first, second):
    own, other = two_groups()
    names = (first, second)
    mine = [make(optim, name, own) for name in names]
    walk(own, other, mine, [make(torch.optim, name, other) for name in names])


@pytest.mark.parametrize("name", SCHEDULES)
def test_resumed_schedule_matches_torch(name):
    own, other = two_groups()
    mine, reference = make(optim, name, own), make(torch.optim, name, other)
    walk(own, other, [mine], [reference], epochs=4)
    resumed, again = two_groups()
    resumed.load_state_dict(own.state_dict())
    again.load_state_dict(other.state_dict())
    new = make(optim, name, resumed, last_epoch=mine.last_epoch)
    new_reference = make(torch.optim, name, again, last_epoch=reference.last_epoch)
    walk(resumed, again, [new], [new_reference], epochs=6)


@pytest.mark.parametrize("name", ["StepLR", "MultiStepLR", "ExponentialLR", "LinearLR"])
def test_an_added_group_follows_a_schedule_that_multiplies_as_in_torch(name):
    own, other = two_groups()
    mine, reference = make(optim, name, own), make(torch.optim, name, other)
    walk(own, other, [mine], [reference], epochs=2)
    own.add_param_group({"params": [nn.Parameter(mg.zeros(2))], "lr": 0.7})
    other.add_param_group({"params": [torch.zeros(2)], "lr": 0.7})
    for each in (other, mine, reference):
        each.step()
    walk(own, other, [mine], [reference])


@pytest.mark.parametrize("name", SCHEDULES)
def test_restored_schedule_goes_on(name):
    own, other = two_groups()
    mine, reference = make(optim, name, own), make(torch.optim, name, other)
    walk(own, other, [mine], [reference], epochs=4)
    resumed, _ = two_groups()
    new = make(optim, name, resumed)
    resumed.load_state_dict(own.state_dict())
    new.load_state_dict(mine.state_dict())
    walk(resumed, other, [new], [reference], epochs=6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "max", "patience": 1},
        {"factor": 0.5, "patience": 0, "cooldown": 2},
        {"factor": 0.5, "patience": 0, "cooldown": 0.5},
        {"patience": 1, "threshold": 0.5, "threshold_mode": "abs", "min_lr": [0.3, 0.0]},
        {"mode": "max", "patience": 0, "threshold": 0.1, "threshold_mode": "abs", "min_lr": 0.2},
        {"patience": 0, "eps": 0.4},
    ],
    ids=str,
)
def test_plateau_matches_torch(options):
    own, other = two_groups()
    mine = optim.lr_scheduler.ReduceLROnPlateau(own, **options)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(other, **options)
    measured = [1.0, 0.9, 0.95, 0.95, 0.95, 0.4, 0.4, 0.41, 2.0, 2.0, np.nan, 2.0, 0.1, 0.1, 0.1]
    for value in measured:
        mine.step(mg.tensor(value))
        reference.step(value)
        assert rates(own) == rates(other)
        assert mine.get_last_lr() == reference.get_last_lr()
        assert (mine.num_bad_epochs, mine.cooldown_counter, mine.best) == pytest.approx(
            (reference.num_bad_epochs, reference.cooldown_counter, reference.best)
        )
    again = optim.lr_scheduler.ReduceLROnPlateau(own, **options)
    again.load_state_dict(mine.state_dict())
    again.step(3.0)
    reference.step(3.0)
    assert rates(own) == rates(other)


def test_a_tensor_is_a_learning_rate_and_ways_to_compute_are_accepted():
    p = nn.Parameter([1.0])
    optimizer = optim.SGD([p], mg.tensor(0.5), foreach=True, fused=None)
    (2 * p).sum().backward()
    optimizer.step()
    assert p.detach().numpy() == 0
    for make in (optim.Adam, optim.AdamW, optim.RMSprop):
        make([p], capturable=False, differentiable=False)
        with pytest.raises(ValueError, match="differentiable"):
            make([p], differentiable=True)
        with pytest.raises(TypeError, match="'learning_rate'"):
            make([p], learning_rate=0.1)
    with pytest.raises(ValueError, match="exactly one"):
        optim.SGD([p], mg.tensor([0.1, 0.2]))
