"""float16: sums, and squares of values above 255, do not overflow or lose what they add up.

Its largest value is 65504, and above 2048 it has only even integers. So reductions, normalizations
and losses compute in float32 and round once, at the end.
"""

import checks
import numpy as np
import pytest
from checks import tolerance
from samples import SAMPLES, is_float

import minigrad as mg
from minigrad import nn

HALF = np.float16
LARGE = np.array([300, 400, 500, 900], HALF)
EPS = float(np.finfo(HALF).eps)
TINY = float(np.finfo(HALF).smallest_subnormal)


def half(values, requires_grad=True):
    return mg.tensor(np.asarray(values, HALF)).requires_grad_(requires_grad)


# --- every operation --------------------------------------------------------------------------


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.name for sample in SAMPLES])
def test_an_operation_in_float16_is_that_in_float32_rounded(sample):
    small = sample.with_dtype(HALF)
    wide = small.with_dtype(np.float32)
    floats = [x for x in wide.inputs if is_float(x)]
    expected = checks.listed(wide(*checks.tensors(wide.inputs)))
    found = checks.listed(small(*checks.tensors(small.inputs)))
    for y, like in zip(found, expected, strict=True):
        like = like.detach().numpy()
        # of float32 are the statistics of batch_norm
        assert y.dtype in ((HALF, like.dtype) if is_float(like) else (like.dtype,))
        within = tolerance(HALF, like, *floats) if is_float(like) else 0
        checks.assert_close(y.detach().numpy(), like, within, "forward")
    with np.errstate(over="ignore"):  # binary_cross_entropy has a gradient of 1e12 at 0 and 1
        gradients = checks.gradients(small)
        if gradients is not None:
            for g, like in zip(gradients, checks.gradients(wide), strict=True):
                assert g.dtype == HALF
                like = like.astype(HALF)
                checks.assert_close(g, like, tolerance(HALF, like, *floats), "gradient")


# --- reductions -------------------------------------------------------------------------------

REDUCTIONS = {
    "sum": lambda x: x.sum(),
    "sum over axis 0": lambda x: x.reshape(-1, 2).sum(axis=0),
    "sum over two axes": lambda x: x.reshape(-1, 5, 2).sum(axis=(0, 1)),
    "mean": lambda x: x.mean(),
    "mean over axis 0": lambda x: x.reshape(-1, 2).mean(axis=0),
    "var": lambda x: x.var(ddof=1),
    "std": lambda x: x.std(),
    "prod": lambda x: (x[:4] / 50.0).prod(),
    "cumsum": lambda x: x.cumsum(axis=0)[-2:],
    "logsumexp": lambda x: x.reshape(-1, 2).logsumexp(axis=0),
    "norm": lambda x: x.norm(),
    "norm 0": lambda x: x.norm(0),
    "norm 1": lambda x: x.norm(1),
    "norm 3": lambda x: x.norm(3),
    "norm -2": lambda x: x.norm(-2),
    "max": lambda x: x.max(),
    "min": lambda x: x.min(),
    "softmax": lambda x: nn.functional.softmax(x.reshape(-1, 2), 0)[:2],
    "log_softmax": lambda x: nn.functional.log_softmax(x.reshape(-1, 2), 0)[:2],
    "einsum": lambda x: mg.einsum("ij,j->j", x.reshape(-1, 2), x[:2] / 500.0),
    "broadcast": lambda x: (x.reshape(-1, 2) * (x[:2] / 500.0)).mean(),
}
INPUTS = {
    "ones": np.ones(10_000, HALF),
    "small": np.tile(np.array([0.5, 1.5, 0.25, 2.0], HALF), 2500),
    "large": np.tile(LARGE, 5) / HALF(2),  # whose squares overflow
}


@pytest.mark.parametrize("values", INPUTS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_reduction_rounds_once(name, values):
    x = half(INPUTS[values])
    wide = mg.tensor(INPUTS[values].astype(np.float64)).requires_grad_()
    y, expected = REDUCTIONS[name](x), REDUCTIONS[name](wide)
    assert y.dtype == HALF
    np.testing.assert_allclose(
        y.detach().numpy().astype(float), expected.detach().numpy(), rtol=2 * EPS, atol=TINY
    )
    y.sum().backward()
    expected.sum().backward()
    size = np.abs(wide.grad.numpy()).max()
    within = 2 * EPS * size + TINY
    np.testing.assert_allclose(x.grad.numpy(), wide.grad.numpy(), rtol=4 * EPS, atol=within)


def test_the_gradient_of_a_mean_of_many_is_not_0():
    x = half(np.zeros(100_000))
    x.mean().backward()
    np.testing.assert_allclose(x.grad.numpy(), 1e-5, atol=TINY)
    x = half(np.zeros((1, 100_000)))
    x.min(axis=1).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 1e-5, atol=TINY)


def test_a_gradient_is_summed_over_broadcast_axes_in_float32():
    for shape in ((5000, 3), (50, 100, 3)):
        bias = half(np.ones(3))
        (mg.ones(*shape, dtype=HALF) + bias).sum().backward()
        np.testing.assert_array_equal(bias.grad.numpy(), 5000)


def test_logsumexp_of_large_values_has_gradients_that_add_up_to_1():
    x = half([1000, 1001, 1002])
    x.logsumexp().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0.0900, 0.2447, 0.6652], rtol=2 * EPS)


# --- layers -----------------------------------------------------------------------------------


def run(layer, x, seed):
    """The output, the gradients of the input and the parameters, and the buffers, in float64."""
    y = layer(x)
    parts = [*layer.parameters()]
    [dx, *rest] = mg.grad((y * seed).sum(), [x, *parts])
    assert y.dtype == dx.dtype == HALF
    return [
        z.detach().numpy().astype(float) for z in (y, dx, *rest, *layer.buffers()) if z is not None
    ]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(4, 1), (4, 1, 1), (1, 1, 4)])
def test_batch_norm_in_float16_matches_torch(shape, affine):
    torch = pytest.importorskip("torch")
    x, seed = LARGE.reshape(shape), np.arange(4, dtype=HALF).reshape(shape)
    own = nn.BatchNorm1d(1, affine=affine, dtype=HALF)
    other = torch.nn.BatchNorm1d(1, affine=affine).half()
    found = run(own, half(x), half(seed, False))
    leaf = torch.tensor(x, requires_grad=True)
    y = other(leaf)
    (y * torch.tensor(seed)).sum().backward()
    expected = [y, leaf.grad, *(p.grad for p in other.parameters()), *other.buffers()]
    for a, b in zip(found, expected, strict=True):
        b = b.detach().double().numpy()
        np.testing.assert_allclose(a, b, rtol=2 * EPS, atol=2 * EPS * np.abs(b).max())
    a, b = own.eval()(half(x)), other.eval()(leaf)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2 * EPS, atol=2 * EPS)


@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm_in_float16_matches_torch(affine):
    torch = pytest.importorskip("torch")
    x, seed = LARGE[None], np.arange(4, dtype=HALF)[None]
    own = nn.LayerNorm(4, elementwise_affine=affine, dtype=HALF)
    other = torch.nn.LayerNorm(4, elementwise_affine=affine).half()
    found = run(own, half(x), half(seed, False))
    leaf = torch.tensor(x, requires_grad=True)
    y = other(leaf)
    (y * torch.tensor(seed)).sum().backward()
    for a, b in zip(found, [y, leaf.grad, *(p.grad for p in other.parameters())], strict=True):
        b = b.detach().double().numpy()
        np.testing.assert_allclose(a, b, rtol=2 * EPS, atol=2 * EPS * np.abs(b).max())


@pytest.mark.parametrize("norm", [nn.functional.layer_norm, nn.functional.batch_norm])
def test_second_derivatives_of_normalization_in_float16(norm):
    x = LARGE.reshape(2, 2)
    options = {"normalized_shape": (2,)} if norm is nn.functional.layer_norm else {}
    if not options:
        options = {"running_mean": None, "running_var": None, "training": True}
    found = []
    for dtype in (HALF, np.float64):
        leaf = mg.tensor(x.astype(dtype)).requires_grad_()
        weight = mg.tensor(np.array([[1, 2], [3, -4]], dtype))
        y = norm(leaf / 100.0, eps=0.5, **options)
        [g] = mg.grad((y * y * weight).sum(), leaf, create_graph=True)
        [second] = mg.grad((g * weight * 100.0).sum(), leaf)
        found.append((g.detach().numpy(), second.numpy()))
    for a, b in zip(*found, strict=True):
        assert a.dtype == HALF
        np.testing.assert_allclose(a, b, atol=32 * EPS * np.abs(b).max())


def test_running_statistics_in_float16_follow_those_in_float64():
    layer, wide = nn.BatchNorm1d(4, dtype=HALF), nn.BatchNorm1d(4, dtype="float64")
    random = np.random.RandomState(0)
    for _ in range(50):
        x = (300 + 100 * random.standard_normal((8, 4))).astype(HALF)
        layer(mg.tensor(x))
        wide(mg.tensor(x.astype(float)))
    for name, value in wide.state_dict().items():
        # each step rounds once, and the next forgets a tenth of it
        np.testing.assert_allclose(layer.state_dict()[name].numpy(), value.numpy(), rtol=5 * EPS)


# --- losses -----------------------------------------------------------------------------------


def test_cross_entropy_in_float16_counts_and_adds_up_in_float32():
    z = np.zeros((70_000, 3), HALF)
    z[:, 0] = 10
    x = half(z)
    loss = nn.functional.cross_entropy(x, mg.ones(70_000, dtype="int64"))
    loss.backward()
    assert loss.dtype == HALF
    assert loss.item() == pytest.approx(10, rel=EPS)
    np.testing.assert_allclose(x.grad.numpy()[0], [1 / 70_000, -1 / 70_000, 0], atol=TINY)
    ignoring = nn.functional.cross_entropy(x, mg.ones(70_000, dtype="int64"), ignore_index=0)
    assert ignoring.item() == loss.item()


def test_binary_cross_entropy_with_logits_in_float16_does_not_cancel():
    z = half([5.0, -5.0, 8.0, 0.0])
    target = half([1.0, 0.0, 1.0, 0.5], False)
    loss = nn.functional.binary_cross_entropy_with_logits(z, target, reduction="none")
    wide = z.detach().numpy().astype(float)
    expected = np.logaddexp(0, wide) - target.numpy() * wide
    np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=EPS, atol=TINY)


def test_binary_cross_entropy_in_float16_matches_torch():
    torch = pytest.importorskip("torch")
    p, t = np.array([0.001, 0.5, 0.999], HALF), np.array([0.0, 1.0, 1.0], HALF)
    x, other = half(p), torch.tensor(p, requires_grad=True)
    loss = nn.functional.binary_cross_entropy(x, half(t, False), reduction="sum")
    expected = torch.nn.functional.binary_cross_entropy(other, torch.tensor(t), reduction="sum")
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=4 * EPS)
    np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=4 * EPS)


# --- clipping ---------------------------------------------------------------------------------


def with_gradients(*gradients):
    parameters = [nn.Parameter(np.zeros(g.shape, g.dtype)) for g in map(np.asarray, gradients)]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = mg.tensor(g)
    return parameters


@pytest.mark.parametrize("norm_type", [2, 1, 3, np.inf, -np.inf, -1, 0])
def test_gradients_in_float16_are_clipped_by_a_norm_in_float32(norm_type):
    torch = pytest.importorskip("torch")
    parameters = with_gradients(LARGE[:2], LARGE[2:])
    others = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    for other, part in zip(others, (LARGE[:2], LARGE[2:]), strict=True):
        other.grad = torch.tensor(part.astype(np.float32))
    norm = nn.utils.clip_grad_norm_(parameters, 1.0, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(others, 1.0, norm_type)
    assert norm.dtype == np.float32
    assert norm.item() == pytest.approx(expected.item(), rel=1e-6)
    for p, other in zip(parameters, others, strict=True):
        assert p.grad.dtype == HALF
        np.testing.assert_allclose(p.grad.numpy(), other.grad.numpy(), rtol=EPS)


def test_gradients_are_clipped_where_float16_cannot_hold_their_norm():
    [p] = with_gradients(np.full(4, 60000, HALF))
    assert nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True).item() == 120_000
    np.testing.assert_array_equal(p.grad.numpy(), HALF(0.5))


def test_gradients_of_several_dtypes_are_clipped_together():
    values = [np.array([300.0]), np.array([400.0]), np.array([1200.0])]
    parameters = with_gradients(
        *[x.astype(d) for x, d in zip(values, (HALF, "f4", "f8"), strict=True)]
    )
    assert nn.utils.clip_grad_norm_(parameters, 1.0).item() == pytest.approx(1300)
    for p, x in zip(parameters, values, strict=True):
        assert p.grad.dtype == p.dtype
        np.testing.assert_allclose(p.grad.numpy(), x / 1300, rtol=EPS)


# --- what is counted, weighed, or added up at one place ---------------------------------------

MANY = 70_000  # more than float16 can count
LOSSES = {
    "nll": lambda f, p, t, c, w: f.nll_loss(p * -10.0, c),
    "nll weighted": lambda f, p, t, c, w: f.nll_loss(p * -10.0, c, w),
    "cross entropy weighted": lambda f, p, t, c, w: f.cross_entropy(p, c, w),
    "cross entropy smoothed": lambda f, p, t, c, w: f.cross_entropy(p, c, label_smoothing=0.1),
    "cross entropy ignoring": lambda f, p, t, c, w: f.cross_entropy(p, c, w, ignore_index=0),
    "cross entropy of probabilities": lambda f, p, t, c, w: f.cross_entropy(p, t, w),
    "mse": lambda f, p, t, c, w: f.mse_loss(p * 300.0, t),
    "mse weighted": lambda f, p, t, c, w: f.mse_loss(p * 300.0, t, weight=t + 1.0),
    "bce weighted": lambda f, p, t, c, w: f.binary_cross_entropy(
        p * 0.5 + 2.0**-10, 1.0 - t, w * 8000.0 - 4000.0
    ),
    "logits weighted": lambda f, p, t, c, w: f.binary_cross_entropy_with_logits(
        p * 60000.0, t, w * 10.0
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_of_many_losses_in_float16_is_that_in_float64(name):
    """Neither their number, their sum, nor one large loss among small ones is lost."""
    torch = pytest.importorskip("torch")
    p, target = np.zeros((MANY, 3), HALF), np.zeros((MANY, 3), HALF)
    p[::10, 1] = 1
    target[::20, 1] = 1
    classes, weights = np.arange(MANY) % 3, np.array([1, 0.5, 2], HALF)
    x, z = half(p), torch.tensor(p.astype(float), requires_grad=True)
    there = [torch.tensor(a.astype(float)) for a in (target, weights)]
    here = [half(target, False), half(weights, False)]
    loss = LOSSES[name](nn.functional, x, here[0], mg.tensor(classes), here[1])
    expected = LOSSES[name](torch.nn.functional, z, there[0], torch.tensor(classes), there[1])
    assert loss.dtype == HALF
    assert loss.item() == pytest.approx(expected.item(), rel=2 * EPS)
    loss.backward()
    expected.backward()
    within = 4 * EPS * np.abs(z.grad.numpy()).max() + 2 * TINY
    if (
        "logits" in name or "mse" in name
    ):  # the way back through `p * 60000` rounds 60000 times TINY
        within *= 60_000
    np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=4 * EPS, atol=within)


PICKS = {
    "getitem": lambda x, i: x[i],
    "a slice and an index": lambda x, i: x[:, i],
    "take_along_axis": lambda x, i: mg.take_along_axis(x, i[None], 1),
    "embedding": lambda x, i: nn.functional.embedding(i, x),
    "embedding by frequency": lambda x, i: nn.functional.embedding(i, x, scale_grad_by_freq=True),
}


@pytest.mark.parametrize("name", PICKS)
def test_a_place_picked_often_gets_the_sum_of_its_gradients_in_float16(name):
    times = mg.zeros(5000, dtype="int64")
    x, wide = half(np.ones((1, 2))), mg.tensor(np.ones((1, 2))).requires_grad_()
    for leaf in (x, wide):
        PICKS[name](leaf, times).mean(axis=-1).sum().backward()
    assert x.grad.dtype == HALF
    np.testing.assert_allclose(x.grad.numpy(), wide.grad.numpy(), rtol=2 * EPS)


def test_einsum_of_float16_and_small_integers_adds_up_in_float32():
    x, n = half(np.full((5000, 2), 0.5)), np.ones(5000, np.int8)
    for y in (mg.einsum("ij,i->j", x, n), mg.einsum("i,ij->j", n, x)):
        assert y.dtype == HALF
        assert y.tolist() == [2500, 2500]
