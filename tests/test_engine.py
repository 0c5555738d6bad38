"""The way back: order, accumulation, dtypes, higher derivatives, gradients on request."""

import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad.tensor import wrap


def leaf(values, dtype=np.float64):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


def test_backward_of_a_diamond_adds_both_ways():
    x = leaf(3.0)
    left, right = x * 2, x * x
    (left * right).backward()  # 2 x^3
    assert x.grad.item() == 6 * 3.0**2


def test_backward_counts_repeated_use():
    x = leaf([1.0, 2.0])
    y = x + x + x * x * x
    (y * y).sum().backward()
    values = x.data
    np.testing.assert_allclose(x.grad.data, 2 * (2 * values + values**3) * (2 + 3 * values**2))


def test_backward_visits_each_record_once_and_after_all_its_uses():
    seen = []

    @mg.primitive(x=lambda g, name: seen.append((name, float(g))) or g)
    def marked(x, name):
        return x + 0

    x = leaf(1.0)
    shared = marked(x, "shared")
    early = marked(shared, "early")
    late = marked(marked(early, "middle"), "late")
    (late + shared + early).backward()
    assert seen == [("late", 1.0), ("middle", 1.0), ("early", 2.0), ("shared", 3.0)]


def test_gradients_add_up_over_passes():
    x = leaf([1.0, 2.0])
    for count in (1, 2, 3):
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad.data, count * 2 * x.data)
    number = leaf(2.0)
    for _ in range(2):
        (number * number).backward()
    assert type(number.grad.data) is np.ndarray and number.grad.item() == 8


def test_held_gradient_is_not_changed_by_a_later_pass():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    held = x.grad
    before = held.data.copy()
    (x * x).sum().backward()
    np.testing.assert_array_equal(held.data, before)


def test_gradients_share_no_memory():
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seed = mg.tensor(np.array([5.0, 6.0]))
    (a + b).backward(seed)
    arrays = [a.grad.data, b.grad.data, seed.data]
    assert not any(np.shares_memory(p, q) for i, p in enumerate(arrays) for q in arrays[i + 1 :])
    a.grad = b.grad = None
    (a + b).backward(seed, create_graph=True)
    assert not np.shares_memory(a.grad.data, b.grad.data)
    assert not np.shares_memory(a.grad.data, seed.data)
    inner = [a * 1, b * 1]
    first, second = mg.grad(inner[0] + inner[1], inner, seed)
    assert not np.shares_memory(first.data, second.data)
    assert not np.shares_memory(first.data, seed.data)


def test_seed_is_not_changed():
    x = leaf([1.0, 2.0])
    seed = mg.tensor(np.array([5.0, 6.0]))
    (x + x + x).backward(seed)
    np.testing.assert_array_equal(seed.data, [5, 6])
    np.testing.assert_array_equal(x.grad.data, [15, 18])


def test_backward_of_a_leaf_is_its_seed():
    x = leaf(2.0)
    x.backward()
    assert x.grad.item() == 1


def test_unbroadcasting_sums_over_repeated_axes():
    x, row, column, number = leaf(np.ones((2, 3))), leaf([1.0, 2, 3]), leaf([[4.0], [5]]), leaf(6.0)
    (x * row * column * number).sum().backward()
    product = row.data * column.data * 6
    np.testing.assert_array_equal(x.grad.data, product)
    np.testing.assert_array_equal(row.grad.data, [54, 54, 54])
    np.testing.assert_array_equal(column.grad.data, [[36], [36]])
    assert number.grad.shape == () and number.grad.item() == 54


def test_each_gradient_has_the_dtype_of_its_input():
    a, b = leaf([1.0, 2.0], np.float32), leaf([3.0, 4.0], np.float64)
    y = a * b + a
    assert y.dtype == np.float64
    y.sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)
    (second,) = mg.grad(mg.grad((a * a * b).sum(), a, create_graph=True)[0].sum(), a)
    assert second.dtype == np.float32


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x + 1.5,
        lambda x: 2 * x,
        lambda x: 1 / x,
        lambda x: x**2.5,
        lambda x: 2.0**x,
        lambda x: mg.where(x > 0, x, 0.0),
        lambda x: mg.maximum(x, 0.5),
        lambda x: mg.clip(x, 0.1, 0.9),
        lambda x: x.mean() * 3 + x.var() + x.std(ddof=1) + x.norm(3),
        lambda x: mg.sigmoid(x) - mg.logsumexp(x),
        lambda x: mg.pad(x, 1, constant_values=2.0),
    ],
)
def test_float32_stays_float32_with_python_numbers(compute):
    x = leaf([0.25, 0.5, 0.75], np.float32)
    y = compute(x)
    assert y.dtype == np.float32
    [slope] = mg.grad(y.sum(), x, create_graph=True)
    assert slope.dtype == np.float32
    if slope.requires_grad:
        [curvature] = mg.grad(slope.sum(), x)
        assert curvature is None or curvature.dtype == np.float32


# --- several outputs, sequences ---------------------------------------------------------------


@pytest.mark.parametrize("sections", [3, [1, 4]])
def test_absent_output_gradients_count_as_zero(sections):
    x = leaf(np.arange(6.0))
    for k, picked in enumerate(np.split(np.arange(6), sections)):
        [slope] = mg.grad(mg.split(x, sections)[k].sum(), x)
        np.testing.assert_array_equal(slope.data, np.isin(np.arange(6), picked))


def test_outputs_of_one_call_can_be_used_and_asked_for_apart():
    x = leaf(np.arange(4.0))
    a, b = mg.split(x * x, 2)
    y = (a * b).sum()
    by_a, by_b, by_x = mg.grad(y, [a, b, x])
    np.testing.assert_array_equal(by_a.data, b.data)
    np.testing.assert_array_equal(by_b.data, a.data)
    np.testing.assert_array_equal(by_x.data, 2 * x.data * [4, 9, 0, 1])


def test_sequence_elements_get_their_parts():
    a, b = leaf([1.0, 2.0]), leaf([3.0])
    constant = np.array([7.0])
    y = mg.concatenate([a, constant, b, a])
    (y * np.arange(6.0)).sum().backward()
    np.testing.assert_array_equal(a.grad.data, [0 + 4, 1 + 5])
    np.testing.assert_array_equal(b.grad.data, [3])
    assert isinstance(mg.concatenate([constant, constant]), np.ndarray)


# --- higher derivatives -----------------------------------------------------------------------


def test_third_derivatives_come_from_the_same_rules():
    x = leaf([0.3, -0.7])
    y = mg.tanh(x)
    derivatives = []
    for _ in range(3):
        [y] = mg.grad(y.sum(), x, create_graph=True)
        derivatives.append(y.data)
    t = np.tanh(x.data)
    first = 1 - t * t
    np.testing.assert_allclose(derivatives[0], first, rtol=1e-14)
    np.testing.assert_allclose(derivatives[1], -2 * t * first, rtol=1e-14)
    np.testing.assert_allclose(derivatives[2], first * (6 * t * t - 2), rtol=1e-13)


def test_gradients_of_two_passes_with_create_graph_add_up_and_stay_differentiable():
    x = mg.tensor([2.0], requires_grad=True)
    for expected in (12, 24):
        (x * x * x).sum().backward(create_graph=True)
        assert x.grad.item() == expected  # 3 x^2, once and twice
    [second] = mg.grad(x.grad.sum(), x)
    assert second.item() == 24  # twice 6 x


def test_backward_with_create_graph_gives_differentiable_gradients():
    x = leaf([1.0, 2.0])
    (x * x * x).sum().backward(create_graph=True)
    slope, x.grad = x.grad, None
    (slope * slope).sum().backward()  # 9 x^4
    np.testing.assert_allclose(x.grad.data, 36 * x.data**3)


def test_gradient_penalty_differentiates_through_a_gradient():
    w, x = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([0.5, -0.5])
    [slope] = mg.grad(mg.tanh(w @ x).sum(), x, create_graph=True)
    penalty = (slope.norm() - 1) ** 2
    [by_rules] = mg.grad(penalty, w)

    def value(weights):
        s = weights.T @ (1 - np.tanh(weights @ x.data) ** 2)
        return (np.sqrt(s @ s) - 1) ** 2

    h, expected = 1e-6, np.zeros((2, 2))
    for i in np.ndindex(2, 2):
        step = np.zeros((2, 2))
        step[i] = h
        expected[i] = (value(w.data + step) - value(w.data - step)) / (2 * h)
    np.testing.assert_allclose(by_rules.data, expected, rtol=1e-7)


def test_seed_with_a_gradient_is_differentiated_too():
    x, seed = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    [slope] = mg.grad(x * x, x, seed, create_graph=True)
    [by_seed] = mg.grad(slope.sum(), seed)
    np.testing.assert_array_equal(by_seed.data, 2 * x.data)


def test_plain_gradients_are_outside_the_graph():
    x = leaf([1.0, 2.0])
    [slope] = mg.grad((x * x).sum(), x)
    assert not slope.requires_grad
    (x * x).sum().backward()
    assert not x.grad.requires_grad


# --- mg.grad and backward(inputs=) ------------------------------------------------------------


def test_grad_gives_none_where_unconnected_and_touches_no_leaf():
    x, other = leaf([1.0, 2.0]), leaf(1.0)
    h = x * 2
    y = (h * h).sum()
    by_h, by_other, by_x, by_y = mg.grad(y, [h, other, x, y])
    np.testing.assert_array_equal(by_h.data, 2 * h.data)
    np.testing.assert_array_equal(by_x.data, 4 * h.data)
    assert by_other is None and by_y.item() == 1
    assert x.grad is None and other.grad is None
    assert mg.grad(x, x, mg.ones(2))[0].data.tolist() == [1, 1]


def test_grad_sums_over_outputs_with_their_seeds():
    x = leaf([1.0, 2.0])
    seeds = [mg.tensor(np.array([1.0, 10.0])), None]
    [slope] = mg.grad([x * x, x.sum()], x, seeds)
    np.testing.assert_array_equal(slope.data, [2 + 1, 40 + 1])
    y = x.sum()
    [slope] = mg.grad([y, y], [x])
    np.testing.assert_array_equal(slope.data, [2, 2])


def test_grad_refuses_what_it_cannot_start_from():
    x = leaf([1.0, 2.0])
    with pytest.raises(mg.ShapeError, match=r"\(2,\).*one-element"):
        mg.grad(x * 2, x)
    with pytest.raises(mg.ShapeError, match=r"\(3,\).*\(2,\)"):
        mg.grad(x * 2, x, mg.ones(3))
    with pytest.raises(mg.ShapeError, match="1 outputs but 2"):
        mg.grad(x * 2, x, [mg.ones(2), mg.ones(2)])
    with pytest.raises(RuntimeError, match="input 1 does not require a gradient"):
        mg.grad(x.sum(), [x, mg.ones(2)])
    with pytest.raises(RuntimeError, match="output does not require a gradient"):
        mg.ones(()).backward()
    with pytest.raises(RuntimeError, match="inputs must be leaves"):
        x.sum().backward(inputs=[x * 1])


def test_only_what_leads_to_the_inputs_is_computed():
    @mg.primitive(x=lambda g: pytest.fail("this rule leads nowhere"))
    def dead_end(x):
        return x + 0

    x, other = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = (x * x * dead_end(other)).sum()
    [slope] = mg.grad(y, x, retain_graph=True)
    np.testing.assert_array_equal(slope.data, 2 * x.data * other.data)
    y.backward(inputs=x)
    np.testing.assert_array_equal(x.grad.data, 2 * x.data * other.data)
    assert other.grad is None


# --- what is recorded, and when ---------------------------------------------------------------


def test_nothing_is_recorded_without_need():
    x, constant = leaf(1.0), mg.tensor(1.0)
    assert not (constant * constant).requires_grad
    assert (x * constant).requires_grad
    assert not (x > 0).requires_grad
    assert not x.detach().requires_grad and np.shares_memory(x.detach().data, x.data)


def test_no_grad_and_enable_grad_nest():
    x = leaf(1.0)
    with mg.no_grad():
        assert not (x * x).requires_grad and not mg.is_grad_enabled()
        with mg.enable_grad():
            assert (x * x).requires_grad
            with mg.no_grad():
                assert not (x * x).requires_grad
            assert (x * x).requires_grad
        assert not (x * x).requires_grad
    assert mg.is_grad_enabled()
    with pytest.raises(KeyError), mg.no_grad():
        raise KeyError
    assert mg.is_grad_enabled()


def test_one_no_grad_object_may_be_entered_twice():
    quiet = mg.no_grad()
    with quiet, quiet:
        assert not mg.is_grad_enabled()
    assert mg.is_grad_enabled()


def test_no_grad_decorates_also_recursive_functions():
    x = leaf(1.0)

    @mg.no_grad()
    def depth(n):
        return depth(n - 1) if n else (x * x).requires_grad

    assert depth(3) is False and mg.is_grad_enabled()


def test_gradient_switch_is_per_thread():
    x, seen = leaf(1.0), []
    with mg.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * x).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_backward_runs_in_several_threads_at_once():
    totals = {}

    def work(number):
        x = leaf(float(number))
        for _ in range(50):
            y = x
            for _ in range(20):
                y = y * 1.0 + 0.0
            y.backward()
        totals[number] = x.grad.item()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals == dict.fromkeys(range(4), 50.0)


def test_requires_grad_is_for_floating_leaves():
    with pytest.raises(mg.DTypeError, match="int64"):
        mg.tensor([1, 2], requires_grad=True)
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="detach"):
        (x * x).requires_grad = False
    assert not x.requires_grad_(False).requires_grad


def test_rule_that_names_something_unknown_is_refused():
    with pytest.raises(TypeError, match="'x' takes \\(g, weight\\)"):
        mg.primitive(x=lambda g, weight: g)(lambda x: x)


def test_rule_of_a_wrong_shape_is_reported():
    @mg.primitive(x=lambda g: g.reshape(-1)[:1].reshape(1, 1)[0])
    def broken(x):
        return x * 1

    with pytest.raises(mg.ShapeError, match=r"\(1,\).*\(2, 3\)"):
        broken(leaf(np.ones((2, 3)))).sum().backward()


def test_fused_replay_skips_outputs_that_do_not_depend_on_what_is_asked():
    """Without a gradient for x the mean of batch_norm depends on nothing that is asked for."""
    from minigrad.ops.norm import batch_norm

    x, weight = wrap(np.random.RandomState(0).standard_normal((4, 3))), leaf(np.ones(3))
    y, mean, _ = batch_norm(x, weight, None)
    [slope] = mg.grad((y * y).sum() + mean.sum(), weight, create_graph=True)
    np.testing.assert_allclose(slope.data, 2 * (y.data**2).sum(axis=0))
    assert mg.grad(mean.sum(), weight, create_graph=True) == [None]


@pytest.mark.parametrize("name", ["g", "y"])
def test_reserved_names_are_no_inputs(name):
    with pytest.raises(TypeError, match=rf"f: an input cannot be called '{name}'"):
        exec(f"@mg.primitive()\ndef f({name}): return {name}", {"mg": mg, "__name__": "here"})


def test_rules_name_options_and_shapes_and_keep_no_array_for_it():
    @mg.primitive(x=lambda g, x_shape, factor: g * factor * x_shape[0])
    def scaled(x, *, factor=2.0):
        return x * factor * x.shape[0]

    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert scaled(x, factor=0.5)._record.saved == ((3,), 0.5)
    assert mg.grad(scaled(x).sum(), x)[0].numpy().tolist() == [6.0, 6.0, 6.0]


def test_a_seed_may_be_an_array_or_numbers():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for seed in (np.array([1.0, 3.0]), [1.0, 3.0], mg.tensor([1.0, 3.0])):
        x.grad = None
        (x * 2.0).backward(seed)
        assert x.grad.numpy().tolist() == [2.0, 6.0] and x.grad.dtype == np.float32
    with pytest.raises(mg.ShapeError, match="gradient of shape"):
        (x * 2.0).backward([1.0])


def test_capture_runs_the_function_as_it_stands():
    def step(x, scale=2.0):
        """What it does."""
        return (x * scale).sum()

    captured = mg.capture(step)
    assert captured.__name__ == "step" and captured.__doc__ == "What it does."
    for size in (2, 3):  # other shapes, and options, at every call
        assert captured(mg.ones(size), scale=float(size)).item() == size * size
    with pytest.raises(TypeError, match="capture: expected a function, got float"):
        mg.capture(1.0)
    with pytest.raises(mg.ShapeError):
        captured(mg.ones(2), scale=mg.ones(3))
