"""Level 3: are these gradients right? Comparison with central differences, element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.backends import to_device, to_numpy
from minigrad.engine import grad
from minigrad.grad_mode import enable_grad, no_grad
from minigrad.tensor import DTypeError, Tensor, made

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]

Function = Callable[..., Any]
Values = np.ndarray[Any, Any]


class GradcheckError(RuntimeError):
    """A gradient that differs from the central difference; the message says where, and why.

    Example:
        >>> import minigrad as mg
        >>> @mg.primitive(x=lambda g, x: -g * 2 * x)
        ... def square(x):
        ...     return x * x
        >>> gradcheck(square, [mg.tensor(3.0, dtype="float64", requires_grad=True)])
        Traceback (most recent call last):
        minigrad.check.GradcheckError: ...
    """


def gradcheck(
    fn: Function,
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compare the gradients that backward computes with central differences.

    With a random v of the outputs' shape, `d<v, f(x)>/dx_i` is compared for each element i of each
    input with `(<v, f(x + eps e_i)> - <v, f(x - eps e_i)>) / (2 eps)`; a wrong element of the
    Jacobian is missed with probability 0.

    Args:
        fn: A function of the inputs that returns a Tensor, or several.
        inputs: Its arguments; those checked are float64 Tensors with `requires_grad=True`.
        eps: The step of the difference.
        atol: Allowed absolute difference.
        rtol: Allowed difference relative to the central difference.
        raise_exception: Raise where the check fails, instead of returning False.

    Returns:
        Whether all agree.

    Raises:
        GradcheckError: They do not; the message names the input, the element, both values, and the
            likely cause.
        DTypeError: An input to check is not float64: differences drown in rounding.
        ValueError: No input requires a gradient.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([0.5, 1.0], dtype="float64", requires_grad=True)
        >>> gradcheck(lambda x: mg.sin(x) * x, x)
        True
    """
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ValueError("gradcheck: no input requires a gradient; set requires_grad=True")
    for i in checked:
        if args[i].dtype != np.float64:
            raise DTypeError(
                f"gradcheck: input {i} is {args[i].dtype}; central differences need float64: "
                "use .astype('float64')"
            )
    try:
        _compare(fn, args, checked, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    fn: Function,
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compare second derivatives with central differences: `gradcheck` of the gradient.

    Args:
        fn: A function of the inputs that returns a Tensor, or several.
        inputs: Its arguments; those checked are float64 Tensors with `requires_grad=True`.
        grad_outputs: The weights of the outputs, which the gradient is linear in and which are
            checked too; random where they are not given.
        eps: The step of the difference.
        atol: Allowed absolute difference.
        rtol: Allowed difference relative to the central difference.
        raise_exception: Raise where the check fails, instead of returning False.

    Returns:
        Whether all agree.

    Raises:
        GradcheckError: They do not.
        DTypeError: An input to check is not float64.
        ValueError: No input requires a gradient.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([0.5, 1.0], dtype="float64", requires_grad=True)
        >>> gradgradcheck(lambda x: x**3, x)
        True
    """
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    count = len(args)
    checked = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
    if grad_outputs is None:
        outputs = _listed(fn(*args))
        weights = [_random_like(y, k).requires_grad_() for k, y in enumerate(outputs)]
    else:
        weights = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)

    def first(*both: Any) -> list[Tensor]:
        wanted = [both[i] for i in checked]
        with enable_grad():
            # what the difference moves is no part of a graph, and the gradient needs one
            wanted = [x if x.requires_grad else x.detach().requires_grad_() for x in wanted]
            own = list(both[:count])
            for i, x in zip(checked, wanted, strict=True):
                own[i] = x
            outputs = _listed(fn(*own))
            found = grad(outputs, wanted, list(both[count:]), create_graph=True)
        return [x * 0 if g is None else g for x, g in zip(wanted, found, strict=True)]

    return gradcheck(
        first,
        [*args, *weights],
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
    )


def _listed(outputs: Any) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _random_like(y: Tensor, seed: int) -> Tensor:
    """Weights away from zero, so that no element of the output goes unseen."""
    random = np.random.default_rng(seed)
    values = random.uniform(0.5, 1.5, y.shape) * random.choice([-1.0, 1.0], y.shape)
    return made(to_device(np.asarray(values, dtype=y.dtype), y.device))


def _compare(
    fn: Function, args: list[Any], checked: list[int], eps: float, atol: float, rtol: float
) -> None:
    before = {i: to_numpy(x._data).copy() for i, x in enumerate(args) if isinstance(x, Tensor)}
    with enable_grad():
        outputs = [y for y in _listed(fn(*args)) if y.dtype.kind == "f"]
    weights = [_random_like(y, k) for k, y in enumerate(outputs)]
    rooted = [(y, v) for y, v in zip(outputs, weights, strict=True) if y.requires_grad]
    found = (
        grad([y for y, _ in rooted], [args[i] for i in checked], [v for _, v in rooted])
        if rooted
        else [None] * len(checked)
    )
    for i, values in before.items():
        if not np.array_equal(to_numpy(args[i]._data), values, equal_nan=True):
            raise GradcheckError(
                f"gradcheck: fn has changed input {i} in place; it must compute something new"
            )
    for i, gradient in zip(checked, found, strict=True):
        numeric = _differences(fn, args, i, weights, eps)
        analytic = np.zeros_like(numeric) if gradient is None else to_numpy(gradient._data)
        wrong = ~(np.abs(analytic - numeric) <= atol + rtol * np.abs(numeric))
        if wrong.any():
            difference = np.where(wrong, np.abs(analytic - numeric), -1)
            worst = np.unravel_index(np.nanargmax(difference), numeric.shape)
            place = tuple(int(n) for n in worst)
            raise GradcheckError(
                f"gradcheck: the gradient of input {i} (shape {numeric.shape}) is wrong in "
                f"{wrong.sum()} of {wrong.size} elements, most at {place}: backward gives "
                f"{analytic[worst]:.8g}, the central difference {numeric[worst]:.8g}. "
                f"{_likely_cause(gradient is not None, analytic, numeric, rtol)}"
            )


def _differences(
    fn: Function, args: list[Any], i: int, weights: list[Tensor], eps: float
) -> Values:
    """d<weights, fn>/d(input i) by central differences."""
    x = to_numpy(args[i]._data)
    numeric = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        sides = []
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * eps
            others = list(args)
            others[i] = made(to_device(moved, args[i].device))
            with no_grad():
                outputs = [y for y in _listed(fn(*others)) if y.dtype.kind == "f"]
            pairs = zip(outputs, weights, strict=True)
            sides.append(sum((to_numpy(y._data) * to_numpy(v._data)).sum() for y, v in pairs))
        numeric[place] = (sides[0] - sides[1]) / (2 * eps)
    return numeric


def _likely_cause(connected: bool, analytic: Values, numeric: Values, rtol: float) -> str:
    """What kind of mistake would make these gradients out of the right ones."""
    if not connected:
        return (
            "Backward does not reach this input: is it detached, used under no_grad, or its "
            "operation without a rule for it?"
        )
    if not np.isfinite(analytic).all():
        return "Backward gives nan or infinity: look for a division by zero, or 0 times infinity"
    seen = np.abs(numeric) > 1e-6 * np.abs(numeric).max()
    ratios = analytic[seen] / numeric[seen]
    if ratios.size and np.allclose(ratios, ratios[0], rtol=max(rtol, 1e-3), atol=0):
        ratio = float(ratios[0])
        if np.isclose(ratio, -1, rtol=1e-3):
            return "Every element has the wrong sign: look for a minus in the rule"
        if (
            ratio > 0
            and np.isclose(1 / ratio, round(1 / ratio), rtol=1e-3)
            and round(1 / ratio) > 1
        ):
            return (
                f"Every element is 1/{round(1 / ratio)} of it: a factor in the rule, or a missing "
                "un-broadcast (the sum over an axis along which the input was repeated)"
            )
        if ratio != 0:
            return f"Every element is {ratio:.6g} times it: look for a factor in the rule"
    if not analytic.any():
        return "Backward gives zero everywhere: does the rule use g?"
    return (
        "The elements differ by different factors: does the rule name the right input (x, or the "
        "output y), and does nothing change arrays in place? Is the function smooth here?"
    )
