"""gradcheck and gradgradcheck: right gradients pass, each kind of mistake is caught and named."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import GradcheckError
from minigrad.tensor import wrap
from minigrad.tools.check import gradcheck, gradgradcheck


def leaf(*shape, seed=0):
    values = np.random.default_rng(seed).uniform(0.5, 2, shape)
    return mg.tensor(values, requires_grad=True)


def wrong_square(rule):
    @mg.primitive(x=rule)
    def square(x):
        return x * x

    return square


RIGHT = {
    "broadcasting": (lambda a, b: a * b + mg.tanh(a - b), [(3, 1), (1, 4)]),
    "matmul": (lambda a, b: a @ b, [(2, 3, 4), (4, 2)]),
    "several outputs": (lambda a: mg.split(a * a, 2), [(4, 2)]),
    "0-d": (lambda a: mg.exp(a), [()]),
    "empty": (lambda a: a * a, [(0, 2)]),
    "indexing": (lambda a: a[[0, 0, 2]] ** 3, [(3, 2)]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_of_both_orders_pass(name):
    fn, shapes = RIGHT[name]
    inputs = [leaf(*shape, seed=k) for k, shape in enumerate(shapes)]
    assert gradcheck(fn, inputs)
    assert gradgradcheck(fn, inputs)


def test_a_discriminator_passes_with_its_gradient_penalty():
    mg.manual_seed(0)
    layers = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).astype("float64")

    def penalty(x):
        with mg.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            [g] = mg.grad(layers(x).sum(), x, create_graph=True)
        return (g * g).sum()

    assert gradcheck(penalty, leaf(2, 3))
    assert gradgradcheck(layers, leaf(2, 3))


MISTAKES = {
    "wrong sign": (lambda g, x: -g * 2 * x, "wrong sign"),
    "wrong scale": (lambda g, x: g * 2.02 * x, "1.01 times"),
    "half": (lambda g, x: g * x, "1/2 of it"),
    "forgets g": (lambda g, x: 2 * x, "different factors"),
    "zero": (lambda g, x: g * 0, "zero everywhere"),
    "wrong input": (lambda g, y: g * 2 * y, "different factors"),
    "not finite": (lambda g, x: g / (x - x), "nan or infinity"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_caught_with_their_likely_cause(name):
    rule, cause = MISTAKES[name]
    x = leaf(2, 3)
    with np.errstate(all="ignore"), pytest.raises(GradcheckError, match=cause) as caught:
        gradcheck(wrong_square(rule), x)
    assert "input 0" in str(caught.value)
    with np.errstate(all="ignore"):
        assert not gradcheck(wrong_square(rule), x, raise_exception=False)


def test_message_names_the_input_the_element_and_both_values():
    @mg.primitive(
        a=lambda g, b: g * b, b=lambda g, a: g * a + mg.where(np.arange(3) == 1, 5.0, 0.0)
    )
    def product(a, b):
        return a * b

    a, b = mg.tensor([1.0, 2.0, 3.0], "float64"), leaf(3)
    with pytest.raises(
        GradcheckError, match=r"input 1 .* 1 of 3 elements, most at \(1,\)"
    ) as caught:
        gradcheck(product, [a, b])
    weight = float(str(caught.value).split("difference ")[1].split(". ")[0]) / 2
    assert f"backward gives {2 * weight + 5:.8g}"[:20] in str(caught.value)


def test_detached_inputs_are_named():
    with pytest.raises(GradcheckError, match="does not reach this input"):
        gradcheck(lambda a, b: a * b.detach(), [leaf(2), leaf(2)])


def test_wrong_second_derivative_is_caught_by_gradgradcheck_only():
    fn = wrong_square(lambda g, x: g * 2 * (x.detach() if isinstance(x, mg.Tensor) else x))
    assert gradcheck(fn, leaf(3))
    with pytest.raises(GradcheckError):
        gradgradcheck(fn, leaf(3))


def test_in_place_damage_is_named():
    @mg.primitive(x=lambda g: g)
    def damage(x):
        x += 1
        return x * 1

    with pytest.raises(GradcheckError, match="input 0 in place"):
        gradcheck(damage, leaf(2))


def test_unusable_inputs_are_refused():
    with pytest.raises(mg.DTypeError, match="float64"):
        gradcheck(mg.exp, mg.ones(2, requires_grad=True))
    with pytest.raises(ValueError, match="requires_grad=True"):
        gradcheck(mg.exp, mg.ones(2, dtype="float64"))


# --- where there is no derivative ---------------------------------------------------------------


def at(*values):
    return mg.tensor(np.array(values, np.float64), requires_grad=True)


def root_of_size(x):
    return mg.sqrt(mg.abs(x))


def cube_root(x):
    return mg.where(x.data > 0, 1.0, -1.0) * mg.abs(x) ** (1 / 3)


def positive_part(x):
    return mg.where(x.data > 0, x, 0.0)


NOT_FINITE = r"the central difference is not finite at input 0 \(shape \(3,\)\), element \(1,\)"
NO_DERIVATIVE = {  # a function, and its second element where something is nan, infinite or a kink
    "root at 0": (mg.sqrt, 0.0, NOT_FINITE),
    "root next to 0": (mg.sqrt, 1e-7, NOT_FINITE),
    "root a step from 0": (mg.sqrt, 1e-6, "backward gives .* central difference"),
    "root two steps from 0": (mg.sqrt, 2e-6, "backward gives .* central difference"),
    "logarithm at 0": (mg.log, 0.0, NOT_FINITE),
    "logarithm below 0": (mg.log, -1.0, NOT_FINITE),
    "1 / x": (lambda x: 1 / x, 0.0, r"fn is not finite at input 0 .* element \(1,\)"),
    "sin(x) / x": (lambda x: mg.sin(x) / x, 0.0, r"fn is not finite .* to nan at the point"),
    "x^1.5": (lambda x: x**1.5, 0.0, NOT_FINITE),
    "root of |x|": (root_of_size, 0.0, "backward gives nan, the central difference 0"),
    "cube root": (cube_root, 0.0, r"element \(1,\), backward gives"),
    "positive part": (positive_part, 0.0, r"element \(1,\), backward gives .*0 to the two sides"),
    "overflow": (mg.exp, 800.0, NOT_FINITE),
    "overflow next to it": (lambda x: x * 1e308, 1.7976931, NOT_FINITE),
    "infinity": (lambda x: x * 2, np.inf, NOT_FINITE),
    "nan": (lambda x: x * 2, np.nan, NOT_FINITE),
}


@pytest.mark.parametrize("name", NO_DERIVATIVE)
def test_a_point_without_a_derivative_is_named_and_no_rule_is_blamed(name):
    fn, value, message = NO_DERIVATIVE[name]
    x = at(1.0, value, 2.0)
    with pytest.raises(GradcheckError, match=f"^gradcheck: .*{message}") as caught:
        gradcheck(fn, x)
    assert "fn is not differentiable there, or nearly so: move the point" in str(caught.value)
    assert "wrong" not in str(caught.value)
    assert gradcheck(fn, x, raise_exception=False) is False


@pytest.mark.parametrize(
    ("fn", "value"),
    [
        (mg.sqrt, 0.0),
        (mg.sqrt, 1e-6),
        (mg.log, 0.0),
        (lambda x: 1 / x, 0.0),
        (lambda x: x**1.5, 1e-6),
        (mg.abs, 0.0),
        (mg.exp, 800.0),
    ],
)
def test_a_point_without_a_second_derivative_is_named(fn, value):
    with pytest.raises(
        GradcheckError, match=r"^gradgradcheck: .*input 0 \(shape \(3,\)\), element \(1,\)"
    ) as caught:
        gradgradcheck(fn, at(1.0, value, 2.0))
    assert "So the gradient of fn is not differentiable there" in str(caught.value)
    assert gradgradcheck(fn, at(1.0, value, 2.0), raise_exception=False) is False


def test_the_input_is_named_whose_function_has_no_derivative():
    with pytest.raises(GradcheckError, match=r"at input 2 \(shape \(\)\), element \(\):"):
        gradcheck(lambda a, b, c: a * b + mg.sqrt(c), [at(1.0, 2.0), at(0.0, 0.0), at(0.0)[0]])


def test_outputs_that_are_never_finite_are_named():
    for constant in (np.inf, np.nan):
        with pytest.raises(GradcheckError, match="is not finite at input 0"):
            gradcheck(lambda x, c=constant: (x * x, x * 0 + c), at(1.0, 2.0))


def test_a_wrong_rule_is_blamed_where_a_function_is_smooth():
    @mg.primitive(x=lambda g, x: g * 2e4 * mg.cos(1e4 * x))
    def waves(x):
        return np.sin(1e4 * x)

    with pytest.raises(GradcheckError, match=r"2\.0000[0-9]* times it"):
        gradcheck(waves, at(1.0, 2.0))

    @mg.primitive(x=lambda g, x: mg.where(np.arange(2) == 1, np.nan, g * 2 * x))
    def square(x):
        return x * x

    with pytest.raises(
        GradcheckError, match=r"1 of 2 elements, most at \(1,\): backward gives nan"
    ):
        gradcheck(square, at(1.0, 2.0))


# --- what a function may return ---------------------------------------------------------------


def strided(x):
    x = np.asarray(x, np.float64)
    return [x.T, x[:, ::-1], np.repeat(x, 2, axis=0)[::2], np.broadcast_to(x[:1], x.shape)]


@pytest.mark.parametrize("number", range(4))
def test_inputs_of_any_memory_order_are_checked(number):
    x = wrap(strided([[0.5, 1.0, 1.5], [2.0, 2.5, 3.0]])[number]).requires_grad_()
    assert gradcheck(lambda x: mg.exp(x) * x, x)
    assert gradgradcheck(lambda x: mg.exp(x) * x, x)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: (x * x, (x + 1, [x**3])),
        lambda x: (x**k for k in range(1, 4)),
        lambda x: (x * x, mg.argmax(x), mg.ones(2, dtype="float64")),
    ],
    ids=["nested", "iterator", "integers and constants"],
)
def test_several_outputs_may_be_nested_and_of_any_dtype(fn):
    assert gradcheck(fn, at(0.5, 2.0))
    assert gradgradcheck(fn, at(0.5, 2.0))


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize(
    ("fn", "error", "message"),
    [
        (lambda x: None, TypeError, "fn returned None where a Tensor is needed"),
        (lambda x: 1.0, TypeError, "fn returned a float"),
        (lambda x: x.sum().item(), TypeError, r"fn returned a float .*\.item\(\)"),
        (lambda x: x.data, TypeError, "fn returned a ndarray"),
        (lambda x: {"y": x}, TypeError, "fn returned a dict"),
        (lambda x: (x, None), TypeError, "fn returned None"),
        (lambda x: "y", TypeError, "fn returned a str"),
        (lambda x: (), ValueError, "fn returned no output"),
        (lambda x: [], ValueError, "fn returned no output"),
        (mg.argmax, mg.DTypeError, "no floating-point output, but int64"),
        (lambda x: x > 0, mg.DTypeError, "no floating-point output, but bool"),
    ],
)
def test_what_is_no_function_of_tensors_is_refused(check, fn, error, message):
    for options in ({}, {"raise_exception": False}):
        with pytest.raises(error, match=f"^{check.__name__}: .*{message}"):
            check(fn, at(1.0, 2.0), **options)


def test_outputs_of_another_shape_next_to_the_point_are_refused():
    with pytest.raises(ValueError, match=r"shapes \[\(1,\)\] at the point, but \[\(2,\)\]"):
        gradcheck(lambda x: x[x.data > 1], at(1.0, 2.0))


def test_what_cannot_be_checked_is_refused():
    for inputs in (None, 1.0):
        with pytest.raises(TypeError, match="inputs: expected a Tensor or a list"):
            gradcheck(mg.exp, inputs)
    for eps in (0.0, -1e-6, np.nan, np.inf):
        with pytest.raises(ValueError, match="eps: must be a positive number"):
            gradcheck(mg.exp, at(1.0), eps=eps)
    with pytest.raises(ValueError, match="gradgradcheck: 2 grad_outputs for 1 outputs"):
        gradgradcheck(mg.exp, at(1.0), [at(1.0), at(1.0)])
    with pytest.raises(mg.DTypeError, match=r"grad_outputs\[0\] is float32"):
        gradgradcheck(mg.exp, at(1.0), mg.ones(1, requires_grad=True))
    with pytest.raises(RuntimeError, match="gradgradcheck: no output of fn requires a gradient"):
        gradgradcheck(lambda x: x.detach() * 2, at(1.0))


def test_a_function_of_random_numbers_is_named_as_one():
    """Its differences are huge, but moving the point does not help."""
    mg.manual_seed(0)
    message = "fn gives other values when it is called again"
    for fn in (lambda x: x * mg.rand(3, dtype="float64"), nn.Dropout(0.5)):
        with pytest.raises(GradcheckError, match=f"gradcheck: {message}"):
            gradcheck(fn, leaf(3))
    with pytest.raises(GradcheckError, match=f"gradgradcheck: the gradient of {message}"):
        gradgradcheck(lambda x: x * x * mg.rand(3, dtype="float64"), leaf(3))


def test_an_input_may_be_given_twice():
    x = leaf(3)
    for fn in (lambda a, b: a * b, lambda a, b: a / (a + b) + mg.sin(a * b)):
        assert gradcheck(fn, [x, x])
        assert gradgradcheck(fn, [x, x])
    with pytest.raises(GradcheckError, match="wrong in 3 of 3"):
        gradcheck(lambda a, b: a * wrong_square(lambda g, x: g * x)(b), [x, x])
