"""Exercises of chapter 3: rules that live twice."""

# mg.grad may return None; answers are written as a learner writes them, without asking for it
# mypy: disable-error-code="union-attr, arg-type, no-any-return, no-untyped-def"

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.learn.chapter0 import Named
from minigrad.learn.exercise import Array, Exercise, Mistake, Result, call, draw
from minigrad.learn.judges import Wrong, described, differences

Function = Callable[[mg.Tensor], mg.Tensor]

# --- 3.1 a primitive with two inputs -----------------------------------------------------------


def make_hypotenuse() -> Any:
    """Declare the primitive hypotenuse(a, b) = sqrt(a^2 + b^2), element-wise, and return it."""

    @mg.primitive(a=lambda g, a, y: g * a / y, b=lambda g, b, y: g * b / y)
    def hypotenuse(a, b):
        return np.sqrt(a * a + b * b)

    return hypotenuse


def _judge_hypotenuse(make: Any) -> Iterator[Result]:
    hypotenuse = call(make, {})
    if hypotenuse is None:
        raise Wrong("The function returns nothing: end it with `return hypotenuse`.")
    if not callable(hypotenuse):
        raise Wrong(
            f"The function returns a {type(hypotenuse).__name__}. It is to return the operation "
            "itself, which is not called yet."
        )
    for seed, (a, b) in enumerate([((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 3))]):
        case = draw(seed, a=a, b=b)
        where = described(case)
        A, B = (mg.tensor(x, requires_grad=True) for x in case.values())
        y = hypotenuse(A, B)
        yield Result("y", _array(y), np.hypot(case["a"], case["b"]), where)
        record = getattr(y, "_record", None)
        if record is None or not {id(A), id(B)} <= {id(parent) for parent in record.parents}:
            raise Wrong(
                "y is right, but it is not made by one operation whose inputs are a and b: the "
                "function is composed of other operations, with their rules. Declare a primitive "
                "of its own, `@mg.primitive(a=..., b=...)`."
            )
        g = draw(9, g=y.shape)["g"]
        for name, got in zip("ab", mg.grad(y, [A, B], mg.tensor(g)), strict=True):
            expected = differences(lambda a, b: np.hypot(a, b), case, name, g)
            yield Result(f"dL/d{name}", _array(got), expected, where, name)
        [first] = mg.grad(hypotenuse(A, B), A, mg.tensor(g), create_graph=True)
        [second] = mg.grad(first.sum(), B)
        # dL/da = g a / y, and its derivative by b by differences
        expected = differences(lambda a, b: a / np.hypot(a, b), case, "b", g)
        yield Result("the derivative of dL/da by b", _array(second), expected, where, "b")


def _array(x: Any) -> Any:
    return x.detach().numpy() if isinstance(x, mg.Tensor) else x


def _hypotenuse(**rules: Any) -> Callable[[], Any]:
    """A wrong answer to 3.1: the right definition with other rules."""

    def make() -> Any:
        return mg.primitive(**rules)(lambda a, b: np.sqrt(a * a + b * b))

    return make


HYPOTENUSE = Exercise(
    number="3.1",
    chapter=3,
    title="A primitive with two inputs",
    level=2,
    minutes=15,
    task="""
Declare a primitive `hypotenuse(a, b)`, element-wise, that computes y = sqrt(a^2 + b^2), with a rule
for each input, and return it. It has to work for arrays that broadcast, and can be differentiated
twice. Which names should the rules take, so that little is saved and nothing computed again?
""",
    hints=(
        "The form is that of `cube` in the chapter, with a rule for each input: "
        "`@mg.primitive(a=lambda g, ...: ..., b=lambda g, ...: ...)`. For the derivatives, begin "
        "with y^2 = a^2 + b^2 and take the change of both sides.",
        "2 y dy = 2 a da + 2 b db. Solve for dy: what stands before da, times g, is the rule of "
        "a. It names a and y. Un-broadcasting is not your business.",
    ),
    answer=make_hypotenuse,
    judge=_judge_hypotenuse,
    mistakes=(
        Mistake(
            _hypotenuse(a=lambda g, b, y: g * b / y, b=lambda g, a, y: g * a / y),
            "The two rules are swapped. For a large a and a small b the root is nearly a: then y "
            "follows a one to one, and hardly feels b.",
        ),
        Mistake(
            _hypotenuse(a=lambda g, a, y: a / y, b=lambda g, b, y: b / y),
            "These are dy/da and dy/db. A rule has to return dL/da: the derivative times g.",
        ),
        Mistake(
            _hypotenuse(a=lambda g, a: g * a, b=lambda g, b: g * b),
            "This is the rule of (a^2 + b^2) / 2. The root has a derivative of its own, and it is "
            "large where y is small.",
        ),
        Mistake(
            _hypotenuse(a=lambda g, a, y: g * a / (2 * y), b=lambda g, b, y: g * b / (2 * y)),
            "Every number is half as large as it should be. The root gives 1/2, but the square "
            "gives 2: its derivative is 2 a.",
        ),
        Mistake(
            _hypotenuse(a=lambda g, a, y: g * a / y),
            "the rule of b is missing. An input without a rule gets no gradient.",
        ),
        Mistake(
            _hypotenuse(a=lambda g, a, y: g * y / a, b=lambda g, b, y: g * y / b),
            "The fraction is upside down. For a large a and a small b, y follows a one to one, and "
            "hardly feels b: the rule of b must be small there.",
        ),
        Mistake(
            _hypotenuse(
                a=lambda g, a, b: g * a / np.hypot(a, b), b=lambda g, a, b: g * b / np.hypot(a, b)
            ),
            "under create_graph a rule gets Tensors, and NumPy's functions take none. Use "
            "operators, which both have; and what is there already, the result y, need not be "
            "computed again.",
        ),
    ),
    after="Try: `hypotenuse(a, b)._record.plan.saves` shows what your rules make it keep.",
    against="central differences, once and twice",
)

# --- 3.2 a rule that lives twice ---------------------------------------------------------------


def log_cosh_rule(g: Any, x: Any) -> Any:
    """Return dL/dx, where y = log(cosh(x)) and g = dL/dy; g and x are arrays, or Tensors."""
    return g * mg.tanh(x)


def _judge_log_cosh(rule: Any) -> Iterator[Result]:
    for seed, shape in enumerate([(4,), (2, 3)]):
        case = draw(seed, g=shape, x=shape)
        x, where = {"x": case["x"]}, described(case)
        got = call(rule, case)
        if isinstance(got, mg.Tensor):
            raise Wrong(
                "For arrays the rule returns a Tensor. It need not make any: minigrad's operations "
                "return an array if they get arrays alone."
            )
        expected = differences(lambda x: np.log(np.cosh(x)), x, "x", case["g"])
        yield Result("dL/dx of arrays", got, expected, where, "x")
        operation = mg.primitive(x=rule)(lambda x: np.log(np.cosh(x)))
        leaf, weights = mg.tensor(case["x"], requires_grad=True), mg.tensor(case["g"])
        [first] = mg.grad(operation(leaf), leaf, weights, create_graph=True)
        yield Result("dL/dx of Tensors", _array(first), expected, where, "x")
        # y^2 makes a g that depends on x, as any later operation may
        [first] = mg.grad((weights * operation(leaf) ** 2).sum(), leaf, create_graph=True)
        second = mg.grad(first.sum(), leaf)[0] if first.requires_grad else None
        expected = differences(lambda x: 2 * np.log(np.cosh(x)) * np.tanh(x), x, "x", case["g"])
        got = np.zeros(shape) if second is None else _array(second)
        yield Result("the second derivative of y^2", got, expected, where, "x")


LOG_COSH = Exercise(
    number="3.2",
    chapter=3,
    title="A rule that lives twice",
    level=2,
    minutes=10,
    task="""
y = log(cosh(x)) is a smooth cousin of |x|. Its derivative is tanh(x). Write its rule, once, so that
it gives an array for arrays, and for Tensors a Tensor that can be differentiated again.
""",
    hints=(
        "Which of the functions called tanh takes arrays as well as Tensors, and records itself "
        "where it gets a Tensor?",
        "A primitive of minigrad, given arrays alone, returns an array. So nothing has to be "
        "distinguished: multiply g with the right tanh.",
    ),
    answer=log_cosh_rule,
    judge=_judge_log_cosh,
    mistakes=(
        Mistake(
            lambda g, x: g * np.tanh(x),
            "under create_graph the rule gets Tensors, and NumPy's tanh takes none, since it would "
            "leave no record. Use a tanh that does.",
        ),
        Mistake(
            lambda g, x: g * np.tanh(x.detach().numpy() if isinstance(x, mg.Tensor) else x),
            "Right once, wrong twice. The values of the Tensor are right, but torn off the graph, "
            "so the second pass takes tanh(x) for a constant and its derivative is lost.",
        ),
        Mistake(
            lambda g, x: (
                mg.tensor(g).detach() * mg.tanh(x) if isinstance(g, mg.Tensor) else g * mg.tanh(x)
            ),
            "Right once, wrong twice. g is cut off from the graph, as if it were a constant; but "
            "where a later operation has squared y, g depends on y, and so on x.",
        ),
        Mistake(
            lambda g, x: mg.tanh(x),
            "This is dy/dx. A rule returns dL/dx, so g belongs into it.",
        ),
        Mistake(
            lambda g, x: g * (1 - mg.tanh(x) ** 2),
            "This is the rule of tanh. Here tanh itself is the derivative, that of log(cosh(x)).",
        ),
    ),
    after="Try: mg.check.gradgradcheck on the primitive made of your rule.",
    against="central differences, once and twice",
)

# --- 3.3 Newton's method -----------------------------------------------------------------------


def newton(f: Function, x: float, steps: int) -> float:
    """Return x after some steps of Newton's method towards a minimum of f, a function of a Tensor.

    x is a number; every step is -f'(x) / f''(x).
    """
    for _ in range(steps):
        point = mg.tensor(x, dtype="float64", requires_grad=True)
        [first] = mg.grad(f(point), point, create_graph=True)
        [second] = mg.grad(first, point)
        x -= first.item() / second.item()
    return x


# a name, f, its first two derivatives by hand, and where to begin
VALLEYS: list[tuple[str, Function, Callable[[float], float], Callable[[float], float], float]] = [
    ("exp(x) - 2 x", lambda x: mg.exp(x) - 2 * x, lambda x: np.exp(x) - 2, np.exp, 2.0),
    (
        "x^4 / 4 + x^2 - x",
        lambda x: x**4 / 4 + x**2 - x,
        lambda x: x**3 + 2 * x - 1,
        lambda x: 3 * x**2 + 2,
        1.5,
    ),
    # the large constant is lost in every derivative, but not in a difference of values
    (
        "3 x^2 - x + 10^6",
        lambda x: 3 * x**2 - x + 1e6,
        lambda x: 6 * x - 1,
        lambda x: 6.0,
        -1.0,
    ),
    ("x^3 - 3 x", lambda x: x**3 - 3 * x, lambda x: 3 * x**2 - 3, lambda x: 6 * x, -0.5),
]


def _in_float64(f: Function) -> Function:
    """f, which refuses any other dtype."""

    def called(x: Any) -> mg.Tensor:
        if not isinstance(x, mg.Tensor):
            raise Wrong(f"f was called with a {type(x).__name__}. It is a function of a Tensor.")
        if str(x.dtype) != "float64":
            raise Wrong(
                f"f was called with a Tensor of {x.dtype}, which has seven digits. Work in "
                'float64: `mg.tensor(x, dtype="float64", ...)`.'
            )
        return f(x)

    return called


def _judge_newton(function: Any) -> Iterator[Result]:
    for steps in (1, 3):
        for name, f, first, second, x in VALLEYS:
            expected = x
            for _ in range(steps):
                expected -= first(expected) / second(expected)
            got = function(_in_float64(f), x, steps)
            if not (isinstance(got, int | float) or got is None or got is ...):
                remedy = "; `.item()` makes one of it" if hasattr(got, "item") else ""
                raise Wrong(
                    f"The function returns a {type(got).__name__}, and is to return a Python number"
                    f"{remedy}."
                )
            where = f"f = {name}, from x = {x}, {steps} step{'s' * (steps > 1)}"
            yield Result("x", got, expected, where)


def _stepping(step: Callable[[Any, Any, Any], Any], more: int = 0) -> Callable[..., float]:
    """A wrong answer to 3.3: other steps, which f, its slope and its second derivative make."""

    def wrong(f: Function, x: float, steps: int) -> float:
        for _ in range(max(0, steps + more)):
            point = mg.tensor(x, dtype="float64", requires_grad=True)
            y = f(point)
            [first] = mg.grad(y, point, create_graph=True)
            x += step(y.item(), first.item(), mg.grad(first, point)[0].item())
        return x

    return wrong


def _once(f: Function, x: float, steps: int) -> float:
    return _stepping(lambda y, first, second: -first / second)(f, x, 1)


def _without_graph(f: Function, x: float, steps: int) -> float:
    point = mg.tensor(x, dtype="float64", requires_grad=True)
    [first] = mg.grad(f(point), point)
    return x - first.item() / mg.grad(first, point)[0].item()


NEWTON = Exercise(
    number="3.3",
    chapter=3,
    title="Newton's method",
    level=2,
    minutes=15,
    task="""
f is a function of a Tensor that holds one number, such as `lambda x: mg.exp(x) - 2 * x`, and x a
Python number. Do some steps of Newton's method for a minimum of f, and return x as a Python number.
Work in float64.
""",
    hints=(
        "Each step needs a new leaf, `mg.tensor(x, dtype=..., requires_grad=True)`, and two calls "
        "of mg.grad. Which of the two must leave a graph?",
        "The first one, by create_graph=True: its result is f'(x) as a Tensor, and the second "
        "call differentiates this one. The step divides the first derivative by the second; "
        "`.item()` makes numbers of both.",
    ),
    answer=newton,
    judge=_judge_newton,
    mistakes=(
        Mistake(
            _without_graph,
            "the first derivative has no graph. By default a pass leaves no trace, so that nothing "
            "can be differentiated again; create_graph asks for one.",
        ),
        Mistake(
            _stepping(lambda y, first, second: first / second),
            "The steps go the wrong way: up the slope. Solve f'(x) + f''(x) s = 0 for s.",
        ),
        Mistake(
            _stepping(lambda y, first, second: -y / first),
            "This is Newton's method for a place where f is 0. For a minimum the *slope* has to be "
            "0, so one more derivative belongs into both places.",
        ),
        Mistake(
            _once,
            "Right for one step, wrong for three: then one step is made too. Does `return` stand "
            "inside the loop, or is there none?",
        ),
        Mistake(
            lambda f, x, steps: x + steps * (_once(f, x, steps) - x),
            "Every step is as long as the first one: both derivatives are taken at the first x. "
            "Each step begins where the last one ended, and needs the derivatives there.",
        ),
        Mistake(
            _stepping(lambda y, first, second: -first / abs(second)),
            "Right where the second derivative is positive. Where it is negative the step has the "
            "wrong sign: Newton's method takes f'(x) / f''(x) as it is, and may go uphill.",
        ),
        Mistake(
            _stepping(lambda y, first, second: -first),
            "This is gradient descent with the learning rate 1. Newton's method divides the slope "
            "by the second derivative.",
        ),
        Mistake(
            _stepping(lambda y, first, second: -second / first),
            "The fraction is upside down. Near the minimum the slope is small, and so the step has "
            "to be: the slope stands above.",
        ),
        Mistake(
            _stepping(lambda y, first, second: -first / second, more=1),
            "One step too many: `steps` of them are asked for.",
        ),
        Mistake(
            _stepping(lambda y, first, second: -first / second, more=-1),
            "One step too few: `steps` of them are asked for.",
        ),
    ),
    after="Try it on f = lambda x: mg.cos(x) from x = 0.5. Why does it go to a maximum?",
    against="the two derivatives by hand",
)

# --- 3.4 the Hessian times a vector ------------------------------------------------------------


def hessian_times(f: Function, x: Array, v: Array) -> Array:
    """Return H v as an array: H holds the second derivatives of f, a function of a Tensor, at x."""
    point = mg.tensor(x, requires_grad=True)
    [slope] = mg.grad(f(point), point, create_graph=True)
    [product] = mg.grad((slope * v).sum(), point)
    return product.numpy()


WEIGHTS = np.array([[1.0, 2.0, -1.0], [0.5, 3.0, 0.0], [4.0, -2.0, 1.5]])
BOWLS: list[tuple[str, Function, Callable[[Array], Array]]] = [
    (
        "x0^3 + x1^3 + x2^3 + x0 x1",
        lambda x: (x**3).sum() + x[0] * x[1],
        lambda x: np.diag(6 * x) + np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]),
    ),
    (
        "<x, A x> / 2",
        lambda x: (x * (mg.tensor(WEIGHTS) @ x)).sum() / 2,
        lambda x: (WEIGHTS + WEIGHTS.T) / 2,
    ),
    ("x0 exp(x1) + x2^2", lambda x: x[0] * mg.exp(x[1]) + x[2] ** 2, lambda x: _bent(*x)),
]
LARGE = 300
MOST = 20  # passes; two are enough, and the whole H takes 300


def _bent(x0: float, x1: float, x2: float) -> Array:
    e = np.exp(x1)
    return np.array([[0, e, 0], [e, x0 * e, 0], [0, 0, 2]])


def _judge_hessian(function: Any) -> Iterator[Result]:
    for seed, (name, f, hessian) in enumerate(BOWLS):
        case = {"f": Named(name, f), **draw(seed, x=(3,), v=(3,))}
        expected = hessian(case["x"]) @ case["v"]
        yield Result("H v", call(function, case), expected, described(case), "v")
    passes = 0

    def rule(g: Any) -> Any:
        nonlocal passes
        passes += 1
        return g

    watched = mg.primitive(x=rule)(lambda x: 1.0 * x)
    for shape in ((2, 3), (LARGE,)):
        f = Named(
            "sum of x^4 / 4 + (sum of x)^2 / 2",
            lambda x: ((y := watched(x)) ** 4).sum() / 4 + y.sum() ** 2 / 2,
        )
        case = {"f": f, **draw(len(shape), x=shape, v=shape)}
        x, v = case["x"], case["v"]
        yield Result("H v", call(function, case), 3 * x**2 * v + v.sum(), described(case), "v")
    if passes > MOST:
        raise Wrong(
            f"H v is right, but for {LARGE} numbers it took more than {MOST} passes: is H itself "
            "computed, row by row? Two calls of mg.grad are enough, however long x is."
        )


def _slope(f: Function, x: Array) -> Array:
    point = mg.tensor(x, requires_grad=True)
    return mg.grad(f(point), point)[0].numpy()


def _second(f: Function, x: Array, v: Any, create_graph: bool = True) -> Array:
    """The gradient of the slope's inner product with v."""
    point = mg.tensor(x, requires_grad=True)
    [slope] = mg.grad(f(point), point, create_graph=create_graph)
    return mg.grad((slope * v).sum(), point)[0].numpy()


HESSIAN = Exercise(
    number="3.4",
    chapter=3,
    title="The Hessian times a vector",
    level=3,
    minutes=15,
    task="""
f is a function of a Tensor with several elements, x and v are arrays (float64) of one shape. Return
H v, where H[i, j] is the second derivative of f by x[i] and x[j], without computing H: two calls of
mg.grad are enough, however long x is.
""",
    hints=(
        "The second call differentiates one number, made of the gradient and of v. Which one?",
        "The inner product of the gradient with v, where v is a constant. The first call must "
        "leave a graph; the result of the second one is H v.",
    ),
    answer=hessian_times,
    judge=_judge_hessian,
    mistakes=(
        Mistake(
            lambda f, x, v: _second(f, x, 1.0) * v,
            "The gradient of the *sum* of the slopes holds the sums of H's rows, and multiplying "
            "by v afterwards is too late: v[j] belongs to column j, before the sum.",
        ),
        Mistake(
            lambda f, x, v: _second(f, x, 1.0),
            "v plays no part: this is the gradient of the sum of the slopes, which is H times a "
            "vector of ones.",
        ),
        Mistake(
            lambda f, x, v: _slope(f, x) * v,
            "This is the gradient, element by element times v. The second derivative is missing.",
        ),
        Mistake(
            lambda f, x, v: (_second(f, x, v) * v).sum(),
            "This is the number <v, H v>, the curving of f along v. Stop one step earlier.",
        ),
        Mistake(
            lambda f, x, v: _second(f, x, v, create_graph=False),
            "the gradient has no graph, so its inner product with v depends on nothing. In the "
            "first call create_graph=True leaves one.",
        ),
        Mistake(
            lambda f, x, v: _slope(f, x + v) - _slope(f, x),
            "A difference of two gradients, over a step as long as v: right only where the "
            "gradient is linear in x. Let the engine differentiate it.",
        ),
    ),
    after="Next: what it costs. Measure it for 1,000 numbers, and compare with 1,000 passes.",
    against="the second derivatives by hand",
)

EXERCISES = (HYPOTENUSE, LOG_COSH, NEWTON, HESSIAN)
