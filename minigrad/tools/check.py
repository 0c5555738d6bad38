"""Check gradients against central differences, element by element."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.backends import to_device, to_numpy
from minigrad.engine import grad
from minigrad.errors import DTypeError, GradcheckError
from minigrad.grad_mode import enable_grad, no_grad
from minigrad.tensor import Tensor, described, wrap

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]

Function = Callable[..., Any]
Values = np.ndarray[Any, Any]
Place = tuple[int, ...]


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
        GradcheckError: They do not agree; the message names the input, the element, both values,
            and the likely cause. If `fn` is not differentiable at the point, move the point.
        DTypeError: An input to check is not float64: differences drown in rounding. Or no output
            is of floating-point numbers.
        TypeError: `fn` returns something that is not a Tensor.
        ValueError: No input requires a gradient, or `fn` returns no output.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([0.5, 1.0], dtype="float64", requires_grad=True)
        >>> gradcheck(lambda x: mg.sin(x) * x, x)
        True
    """
    args = _inputs("gradcheck", inputs)
    check = _Check("gradcheck", "fn", fn, args, [f"input {i}" for i in range(len(args))], eps)
    return check.passes(atol, rtol, raise_exception)


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
        GradcheckError: They do not; it may be that `fn` is not differentiable twice at the point.
        DTypeError: An input to check is not float64, or no output is of floating-point numbers.
        TypeError: `fn` returns something that is not a Tensor.
        ValueError: No input requires a gradient, `fn` returns no output, or there are not as many
            `grad_outputs` as outputs.
        RuntimeError: No output requires a gradient.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([0.5, 1.0], dtype="float64", requires_grad=True)
        >>> gradgradcheck(lambda x: x**3, x)
        True
    """
    args = _inputs("gradgradcheck", inputs)
    count = len(args)
    checked = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
    with np.errstate(all="ignore"), enable_grad():
        outputs = _float_outputs("gradgradcheck", fn(*args))
    if grad_outputs is None:
        grad_outputs = [_random_like(y, k).requires_grad_() for k, y in enumerate(outputs)]
    weights = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    if len(weights) != len(outputs):
        raise ValueError(f"gradgradcheck: {len(weights)} grad_outputs for {len(outputs)} outputs")
    if not any(y.requires_grad for y in outputs):
        raise RuntimeError("gradgradcheck: no output of fn requires a gradient; is it detached?")

    def first(*both: Any) -> list[Tensor]:
        wanted = [both[i] for i in checked]
        with enable_grad():
            # a moved argument is in no graph, and the gradient needs one
            leaf = {id(x): x if x.requires_grad else x.detach().requires_grad_() for x in wanted}
            wanted = [leaf[id(x)] for x in wanted]
            own = [leaf.get(id(x), x) for x in both[:count]]
            outputs = _float_outputs("gradgradcheck", fn(*own))
            found = _gradients(outputs, wanted, both[count:], create_graph=True)
        return [x * 0 if g is None else g for x, g in zip(wanted, found, strict=True)]

    labels = [f"input {i}" for i in range(count)]
    labels += [f"grad_outputs[{k}]" for k in range(len(weights))]
    check = _Check("gradgradcheck", "the gradient of fn", first, [*args, *weights], labels, eps)
    return check.passes(atol, rtol, raise_exception)


def _inputs(name: str, inputs: Any) -> list[Any]:
    """The arguments of the function, as a list."""
    if not isinstance(inputs, Iterable):
        raise TypeError(
            f"{name}: inputs: expected a Tensor or a list of arguments, got {described(inputs)}"
        )
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not any(isinstance(x, Tensor) and x.requires_grad for x in args):
        raise ValueError(f"{name}: no input requires a gradient; set requires_grad=True")
    return args


def _tensors(name: str, outputs: Any) -> list[Tensor]:
    """What the function returned: a Tensor, or several in (nested) tuples or lists."""
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(outputs, tuple | list | Iterator):
        return [y for part in outputs for y in _tensors(name, part)]
    kind = "None" if outputs is None else f"a {type(outputs).__name__}"
    raise TypeError(
        f"{name}: fn returned {kind} where a Tensor is needed; it must return a Tensor, or several "
        "in a tuple, and not what .item(), .numpy() or .data gives"
    )


def _float_outputs(name: str, outputs: Any) -> list[Tensor]:
    """The floating-point outputs; raise if there is none."""
    tensors = _tensors(name, outputs)
    found = [y for y in tensors if y.dtype.kind == "f"]
    if not tensors:
        raise ValueError(f"{name}: fn returned no output, so there is no gradient to check")
    if not found:
        dtypes = ", ".join(str(y.dtype) for y in tensors)
        raise DTypeError(
            f"{name}: fn returned no floating-point output, but {dtypes}, which has no gradient"
        )
    return found


def _gradients(
    outputs: Sequence[Tensor], inputs: list[Tensor], weights: Sequence[Tensor], **options: bool
) -> list[Tensor | None]:
    """The gradients of `<weights, outputs>`; None for inputs that no output depends on."""
    rooted = [(y, v) for y, v in zip(outputs, weights, strict=True) if y.requires_grad]
    if not rooted:
        return [None] * len(inputs)
    return grad([y for y, _ in rooted], inputs, [v for _, v in rooted], **options)


def _random_like(y: Tensor, seed: int) -> Tensor:
    """Random weights away from zero, so that every element of the output counts."""
    random = np.random.default_rng(seed)
    values = random.uniform(0.5, 1.5, y.shape) * random.choice([-1.0, 1.0], y.shape)
    return wrap(to_device(np.asarray(values, dtype=y.dtype), y.device))


@dataclass
class _Check:
    """The check of one function at one point."""

    name: str  # of the check, for messages
    subject: str  # what is differentiated, for messages
    fn: Function
    args: list[Any]
    labels: list[str]  # what messages call the arguments
    eps: float  # the step of the difference

    def __post_init__(self) -> None:
        name, args, labels, eps = self.name, self.args, self.labels, self.eps
        self.checked = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
        self.remedy = f"So {self.subject} is not differentiable there, or nearly so: move the point"
        if not 0 < eps < np.inf:
            raise ValueError(f"{name}: eps: must be a positive number, got {eps}")
        for i in self.checked:
            if args[i].dtype != np.float64:
                raise DTypeError(
                    f"{name}: {labels[i]} is {args[i].dtype}; central differences need float64: "
                    "use .astype('float64')"
                )

    def passes(self, atol: float, rtol: float, raise_exception: bool) -> bool:
        """Whether all gradients agree; our errors report nan and infinity, not NumPy's warnings."""
        try:
            with np.errstate(all="ignore"):
                for i, gradient in zip(self.checked, self.analytic(), strict=True):
                    self.compare(i, gradient, atol, rtol)
        except GradcheckError:
            if raise_exception:
                raise
            return False
        return True

    def analytic(self) -> list[Tensor | None]:
        """The gradients that backward computes."""
        tensors = {i: x for i, x in enumerate(self.args) if isinstance(x, Tensor)}
        before = {i: to_numpy(x._data).copy() for i, x in tensors.items()}
        with enable_grad():
            outputs = _float_outputs(self.name, self.fn(*self.args))
        self.weights = [_random_like(y, k) for k, y in enumerate(outputs)]
        self.middle = self.weighted(outputs)  # at the point
        found = _gradients(outputs, [self.args[i] for i in self.checked], self.weights)
        for i, values in before.items():
            if not np.array_equal(to_numpy(tensors[i]._data), values, equal_nan=True):
                raise GradcheckError(
                    f"{self.name}: fn has changed {self.labels[i]} in place; it must compute "
                    "something new"
                )
        return found

    def weighted(self, outputs: Sequence[Tensor]) -> Values:
        """The elements of all outputs, times their weights; `<weights, outputs>` is their sum."""
        shapes, expected = ([x.shape for x in each] for each in (outputs, self.weights))
        if shapes != expected:
            raise ValueError(
                f"{self.name}: the outputs of {self.subject} have shapes {expected} at the point, "
                f"but {shapes} next to it; a difference needs the same ones"
            )
        pairs = zip(outputs, self.weights, strict=True)
        return np.concatenate([(to_numpy(y._data) * to_numpy(v._data)).ravel() for y, v in pairs])

    def sides(self, i: int, place: Place, eps: float) -> Iterator[Values]:
        """The weighted outputs with one element of an input larger by eps, and smaller."""
        for step in (eps, -eps):
            moved = to_numpy(self.args[i]._data).copy()
            moved[place] += step
            point = wrap(to_device(moved, self.args[i].device))
            yield self.at([point if x is self.args[i] else x for x in self.args])  # also twice

    def at(self, args: Sequence[Any]) -> Values:
        """The weighted outputs for these arguments."""
        with no_grad():
            return self.weighted(_float_outputs(self.name, self.fn(*args)))

    def differences(self, i: int) -> Values:
        """`d<weights, fn>/d(input i)` by central differences."""
        numeric, finite, undefined = np.zeros(self.args[i].shape), np.isfinite(self.middle), []
        for place in np.ndindex(numeric.shape):
            above, below = self.sides(i, place, self.eps)
            numeric[place] = (above - below).sum() / (2 * self.eps)
            is_as_before = all((np.isfinite(side) == finite).all() for side in (above, below))
            if is_as_before and not finite.all():
                undefined.append(place)  # another element may be the cause, which we name below
            elif not is_as_before or not np.isfinite(numeric[place]):
                raise self.not_finite(i, place, above, below)
        if undefined:
            causes = self.causes(i)
            place = next((place for place in undefined if causes[place]), undefined[0])
            raise self.not_finite(i, place, *self.sides(i, place, self.eps))
        return numeric

    def causes(self, i: int) -> Values:
        """Whether a nan or infinite output depends on an element, for each element of an input."""
        with enable_grad():
            outputs = _float_outputs(self.name, self.fn(*self.args))
        pairs = zip(outputs, self.weights, strict=True)
        weights = [wrap(np.where(np.isfinite(y._data), 0, v._data)) for y, v in pairs]
        [gradient] = _gradients(outputs, [self.args[i]], weights)
        return np.zeros(self.args[i].shape) if gradient is None else to_numpy(gradient._data != 0)

    def not_finite(self, i: int, place: Place, above: Values, below: Values) -> GradcheckError:
        """The error for an element at which, or next to which, the function is nan or infinity."""
        up, here, down = (float(x.sum()) for x in (above, self.middle, below))
        what = self.subject if np.isfinite(up - down) else "the central difference"
        return GradcheckError(
            f"{self.name}: {what} is not finite at {self.labels[i]} (shape "
            f"{self.args[i].shape}), element {place}: the outputs of {self.subject}, with random "
            f"weights, sum to {up:.8g} where the element is larger by {self.eps:g}, to {here:.8g} "
            f"at the point, and to {down:.8g} where it is smaller. {self.remedy}"
        )

    def kink(self, i: int, place: Place, atol: float, rtol: float) -> str | None:
        """The differences at an element, as text, if the function is not smooth there; else None.

        For a smooth function the central difference stays the same when the step is doubled, and
        the one-sided differences are equal, or their gap is proportional to the step.
        """
        (ahead, behind), (far_ahead, far_behind) = (
            [(above - self.middle).sum() / step, (self.middle - below).sum() / step]
            for step in (self.eps, 2 * self.eps)
            for above, below in [self.sides(i, place, step)]
        )
        middle, far = (ahead + behind) / 2, (far_ahead + far_behind) / 2
        gap, far_gap = abs(ahead - behind), abs(far_ahead - far_behind)
        allowed = atol + rtol * abs(middle)
        if abs(middle - far) <= allowed and (gap <= allowed or far_gap > 1.5 * gap):
            return None
        return f"{far:.8g} with twice the step, {ahead:.8g} and {behind:.8g} to the two sides"

    def compare(self, i: int, gradient: Tensor | None, atol: float, rtol: float) -> None:
        """Raise where the gradient of an input differs from the central difference."""
        numeric = self.differences(i)
        analytic = np.zeros_like(numeric) if gradient is None else to_numpy(gradient._data)
        difference = np.abs(analytic - numeric)
        wrong = ~(difference <= atol + rtol * np.abs(numeric))
        if not wrong.any():
            return
        difference = np.where(np.isnan(difference), np.inf, np.where(wrong, difference, -1))
        place = tuple(map(int, np.unravel_index(np.argmax(difference), numeric.shape)))
        values = (
            f"backward gives {analytic[place]:.8g}, the central difference {numeric[place]:.8g}"
        )
        if not np.allclose(self.at(self.args), self.middle, rtol=1e-9, atol=0, equal_nan=True):
            raise GradcheckError(
                f"{self.name}: {self.subject} gives other values when it is called again with the "
                "same inputs, by Dropout or other random numbers, so there is nothing to compare"
            )
        if kink := self.kink(i, place, atol, rtol):
            raise GradcheckError(
                f"{self.name}: at {self.labels[i]} (shape {numeric.shape}), element {place}, "
                f"{values}, and differences are {kink}. {self.remedy}"
            )
        raise GradcheckError(
            f"{self.name}: the gradient of {self.labels[i]} (shape {numeric.shape}) is wrong in "
            f"{wrong.sum()} of {wrong.size} elements, most at {place}: {values}. "
            f"{_likely_cause(gradient is not None, analytic, numeric, rtol)}"
        )


def _likely_cause(connected: bool, analytic: Values, numeric: Values, rtol: float) -> str:
    """The kind of mistake that would turn the right gradients into these."""
    if not connected:
        return (
            "Backward does not reach this input: is it detached, used under no_grad, or its "
            "operation without a rule for it?"
        )
    if not np.isfinite(analytic).all():
        return (
            "Backward gives nan or infinity, though the function is smooth here: look for a "
            "division by zero, or 0 times infinity, in the rule"
        )
    seen = np.abs(numeric) > 1e-6 * np.abs(numeric).max()
    ratios = analytic[seen] / numeric[seen]
    if ratios.size and np.allclose(ratios, ratios[0], rtol=max(rtol, 1e-3), atol=0):
        ratio = float(ratios[0])
        if np.isclose(ratio, -1, rtol=1e-3):
            return "Every element has the wrong sign: look for a minus in the rule"
        parts = round(1 / ratio) if ratio > 0 else 0
        if parts > 1 and np.isclose(1 / ratio, parts, rtol=1e-3):
            return (
                f"Every element is 1/{parts} of it: a factor in the rule, or a missing "
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
