"""What every operation must pass, as functions of a sample; test_ops.py runs them over all samples.

Tolerances come from one place, `tolerance`: they follow from the dtype and the size of the sums.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from samples import Sample, is_float

import minigrad as mg
from minigrad.backends import Kernel, Needs, to_device, to_numpy
from minigrad.backends.memory import span_of
from minigrad.engine import Slots
from minigrad.tensor import wrap


def tolerance(dtype: Any, *arrays: Any) -> float:
    """How far two ways of computing the same may be apart: 16 eps (8 + n) m.

    A sum of n terms of size m computed in any order is off by at most n eps m (Higham 2002, eq.
    4.4); n is the size of the largest array at hand, which no sum here exceeds, plus 8 for the few
    elementwise steps around it; m is the largest magnitude, at least 1; 16 allows both sides their
    error and a value that amplifies its input's (a power, a quotient) eightfold.
    """
    sizes = [np.size(x) for x in arrays]
    finite = [np.abs(np.where(np.isfinite(x), x, 0)) for x in arrays if np.size(x)]
    magnitude = max([1.0, *(float(np.max(x)) for x in finite)])
    return 16 * float(np.finfo(dtype).eps) * (8 + max(sizes, default=0)) * magnitude


def are_neighbours(arrays: Sequence[Any]) -> bool:
    """Whether arrays lie one after the other in memory, as the parts of a flat vector."""
    spans = [span_of(array) for array in arrays]
    return all(stop == start for (_, stop), (start, _) in itertools.pairwise(spans))


def assert_close(actual: Any, expected: Any, within: float, what: str) -> None:
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    np.testing.assert_allclose(actual, expected, rtol=0, atol=within, err_msg=what)


# --- calls on both sides ----------------------------------------------------------------------


def tensors(inputs: Sequence[Any], device: str = "cpu") -> list[Any]:
    """Arrays as Tensors, floats with a gradient; on the CPU they share memory and its order."""
    return [
        wrap(to_device(x, device)).requires_grad_(is_float(x)) if isinstance(x, np.ndarray) else x
        for x in inputs
    ]


def placed(sample: Sample, device: str) -> Sample:
    """The sample with the arrays among its options on a device."""
    options = {
        name: to_device(value, device) if isinstance(value, np.ndarray) else value
        for name, value in sample.options.items()
    }
    return replace(sample, options=options)


def listed(y: Any) -> list[Any]:
    return list(y) if isinstance(y, tuple | list) else [y]


def seeds_for(outputs: Sequence[Any]) -> list[np.ndarray]:
    """Random output gradients: signs and sizes differ, so that no error cancels."""
    random = np.random.RandomState(1)
    return [np.asarray(random.standard_normal(y.shape)).astype(y.dtype) for y in outputs]


def gradients(
    sample: Sample, inputs: Sequence[Any] | None = None, device: str = "cpu"
) -> list[np.ndarray] | None:
    """The gradients of a random combination of the outputs; None where nothing has one."""
    args = tensors(sample.inputs if inputs is None else inputs, device)
    outputs = [y for y in listed(placed(sample, device)(*args)) if y.requires_grad]
    if not outputs:
        return None
    leaves = [x for x in args if isinstance(x, mg.Tensor) and x.requires_grad]
    seeds = [wrap(to_device(s, device)) for s in seeds_for(outputs)]
    return values_or_zeros(mg.grad(outputs, leaves, seeds), leaves)


def values_or_zeros(found: Sequence[Any], leaves: Sequence[mg.Tensor]) -> list[np.ndarray]:
    """Gradients as NumPy arrays, where a leaf has none of zeros."""
    return [
        np.zeros(x.shape, x.dtype) if g is None else to_numpy(g.data)
        for x, g in zip(leaves, found, strict=True)
    ]


def connected(g: Any) -> bool:
    return g is not None and g.requires_grad


def second_gradients(
    sample: Sample, device: str = "cpu"
) -> tuple[list[Any], list[np.ndarray]] | None:
    """First gradients, and those of a random combination of them: of inputs, then of seeds."""
    args = tensors(sample.inputs, device)
    outputs = [y for y in listed(placed(sample, device)(*args)) if y.requires_grad]
    if not outputs:
        return None
    leaves = [x for x in args if isinstance(x, mg.Tensor) and x.requires_grad]
    seeds = tensors(seeds_for(outputs), device)
    first = mg.grad(outputs, leaves, seeds, create_graph=True)
    weights = [wrap(to_device(w, device)) for w in seeds_for(leaves)]
    reached = [(g, w) for g, w in zip(first, weights, strict=True) if connected(g)]
    second = mg.grad([g for g, _ in reached], [*leaves, *seeds], [weight for _, weight in reached])
    return first, values_or_zeros(second, [*leaves, *seeds])


# --- finite differences -----------------------------------------------------------------------


def check_finite_differences(
    function: Callable[..., Sequence[np.ndarray]],
    inputs: Sequence[Any],
    slopes: Sequence[np.ndarray],
    what: str = "finite difference",
) -> None:
    """Compare gradients of `sum(seed * output)` with its differences along a random direction.

    D(h), the central difference, is off by c h^2 plus round-off r; so D(2h) - D(h) = 3 c h^2 shows
    the former, and the latter is at most the error of two sums divided by 2 h.
    """
    random = np.random.RandomState(2)
    at = [i for i, x in enumerate(inputs) if is_float(x)]
    direction = {i: np.asarray(random.standard_normal(inputs[i].shape)) for i in at}
    outputs = [np.asarray(y) for y in function(*inputs)]
    seeds = seeds_for(outputs)

    def along(h: float) -> float:
        moved = [
            np.asarray(x + h * direction[i]) if i in direction else x for i, x in enumerate(inputs)
        ]
        return sum(float(np.sum(s * y)) for s, y in zip(seeds, function(*moved), strict=True))

    def difference(h: float) -> float:
        return (along(h) - along(-h)) / (2 * h)

    h = float(np.finfo(np.float64).eps) ** (1 / 3)
    expected, coarse = difference(h), difference(2 * h)
    actual = sum(float(np.sum(direction[i] * g)) for i, g in zip(at, slopes, strict=True))
    terms = [s * y for s, y in zip(seeds, outputs, strict=True)]
    round_off = tolerance(np.float64, *outputs, *terms, *[inputs[i] for i in at]) / h
    assert abs(actual - expected) <= abs(coarse - expected) + round_off, (
        f"{what}: {actual} by the rules, {expected} by differences"
    )


def check_against_differences(sample: Sample) -> None:
    slopes = gradients(sample)
    if slopes is None or sample.kink:
        return

    def forward(*inputs: Any) -> list[np.ndarray]:
        outputs = listed(sample(*tensors(inputs)))
        return [y.data for y in outputs if y.requires_grad]

    check_finite_differences(forward, sample.inputs, slopes)


def check_second_against_differences(sample: Sample) -> None:
    if sample.kink:
        return
    found = second_gradients(sample)
    if found is None:
        return
    leaves = [x for x in sample.inputs if is_float(x)]

    def first(*inputs: Any) -> list[np.ndarray]:
        args = tensors(inputs)
        outputs = [y for y in listed(sample(*args)) if y.requires_grad]
        seeds = [wrap(s) for s in seeds_for([y.data for y in outputs])]
        wanted = [x for x in args if isinstance(x, mg.Tensor) and x.requires_grad]
        return values_or_zeros(mg.grad(outputs, wanted, seeds), wanted)

    check_finite_differences(first, sample.inputs, found[1][: len(leaves)], "second difference")


# --- the forms of a call ----------------------------------------------------------------------


ORDERS = "F", "strided", "negative"


def layouts(x: np.ndarray) -> dict[str, np.ndarray]:
    """The same values in the memory orders that a user's arrays come in."""
    wide = np.zeros([2 * n for n in x.shape], x.dtype)
    every_other = (Ellipsis, *[slice(None, None, 2)] * x.ndim)
    backwards = (Ellipsis, *[slice(None, None, -1)] * x.ndim)
    wide[every_other] = x
    return {
        "F": x.copy(order="F"),
        "strided": wide[every_other],
        "negative": x[backwards].copy()[backwards],
    }


def check_layouts(sample: Sample) -> None:
    expected = [y.data for y in listed(sample(*tensors(sample.inputs)))]
    slopes = gradients(sample)
    arrays = [x for x in sample.inputs if isinstance(x, np.ndarray)]
    within = tolerance(np.float64, *expected, *(slopes or []), *filter(is_float, arrays))
    for layout in ORDERS:
        inputs = [layouts(x)[layout] if isinstance(x, np.ndarray) else x for x in sample.inputs]
        for y, like in zip(listed(sample(*tensors(inputs))), expected, strict=True):
            assert_close(y.data, like, within, f"forward, {layout}")
        for g, like in zip(gradients(sample, inputs) or [], slopes or [], strict=True):
            assert_close(g, like, within, f"gradient, {layout}")


def check_arrays_give_arrays(sample: Sample) -> None:
    if not any(isinstance(x, np.ndarray) for x in sample.inputs):
        return
    raw = listed(sample(*sample.inputs))
    for y, expected in zip(raw, listed(sample(*tensors(sample.inputs))), strict=True):
        assert isinstance(y, np.ndarray | np.generic)
        assert y.dtype == expected.dtype
        # not the same bits where the Tensors went through a kernel
        within = tolerance(np.float64, expected.data, *filter(is_float, sample.inputs))
        assert_close(y, expected.data, within, "arrays")


def check_inputs_stay(sample: Sample) -> None:
    """Run forward, backward and the second derivative on arrays that cannot be written to."""
    inputs = [x.copy() if isinstance(x, np.ndarray) else x for x in sample.inputs]
    before = [x.copy() if isinstance(x, np.ndarray) else x for x in inputs]
    writable = Sample(
        sample.function, tuple(inputs), sample.torch, sample.options, as_list=sample.as_list
    )
    gradients(writable)
    second_gradients(writable)
    for x, same in zip(inputs, before, strict=True):
        if isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, same)


# --- kernel = definition ----------------------------------------------------------------------


def check_kernel(kernel: Kernel, sample: Sample, in_parts: bool = True) -> set[str]:
    """Compare a kernel with the definition that it stands for.

    Returns "forward", and the inputs whose rule it has something in place of; nothing where it
    declines.

    Args:
        kernel: The kernel.
        sample: Of its operation.
        in_parts: Whether to ask for some gradients without the others, too.
    """
    operation = sample.function.operation
    options = operation.defaults | sample.options
    result = kernel.forward(*sample.inputs, **options)
    if result is NotImplemented:
        return set()
    expected = listed(operation.definition(*sample.inputs, **options))
    y, residuals = (result, None) if operation.rules else result
    dtype = np.result_type(*[x for x in sample.inputs if is_float(x)])
    floats = [*filter(is_float, sample.inputs)]
    assert len(listed(y)) == len(expected)
    for part, like in zip(listed(y), expected, strict=True):
        assert part.dtype == like.dtype
        assert_close(part, like, tolerance(dtype, like, *floats), "kernel forward")
    if operation.rules:
        return {"forward", *_check_rules(kernel, sample, expected[0], options, dtype)}
    if kernel.backward is None:
        return {"forward"}
    inputs = [i for i, x in enumerate(sample.inputs) if is_float(x)]
    seeds, several = seeds_for(expected), isinstance(y, tuple)
    for seeded in _subsets(range(len(expected)), in_parts):
        args = [
            wrap(x).requires_grad_(i in inputs) if isinstance(x, np.ndarray) else x
            for i, x in enumerate(sample.inputs)
        ]
        outputs = listed(operation.definition(*args, **options))
        used = [k for k in seeded if outputs[k].requires_grad]
        replayed: dict[int, Any] = {}
        if used:
            leaves = [args[i] for i in inputs]
            slopes = mg.grad([outputs[k] for k in used], leaves, [wrap(seeds[k]) for k in used])
            replayed = dict(zip(inputs, slopes, strict=True))
        for asked in _subsets(inputs, in_parts):
            g = Slots(s if k in seeded else None for k, s in enumerate(seeds))
            found = kernel.backward(
                g if several else g[0],
                Needs(i in asked for i in range(len(args))),
                Slots(y) if several else y,
                residuals,
                *sample.inputs,
                **options,
            )
            assert len(found) == len(args)
            assert all(found[i] is None for i in range(len(args)) if i not in asked)
            for i in asked:
                slope = replayed.get(i)
                like = np.zeros_like(sample.inputs[i]) if slope is None else slope.data
                got = np.zeros_like(like) if found[i] is None else found[i]
                within = tolerance(dtype, like, *seeds, *floats)
                assert_close(got, like, within, f"kernel backward, input {i} of {asked}, {seeded}")
    return {"forward"}


def _check_rules(
    kernel: Kernel, sample: Sample, y: Any, options: dict[str, Any], dtype: Any
) -> list[str]:
    """Compare what a kernel has in place of a primitive's rules with these; which it had."""
    operation = sample.function.operation
    inputs = dict(zip(operation.inputs, sample.inputs, strict=False))
    shapes = {f"{name}_shape": np.shape(value) for name, value in inputs.items()}
    known = inputs | shapes | options | {"y": y}
    [g] = seeds_for([y])
    served = []
    for name, function in (kernel.backward or {}).items():
        rule = operation.rules[name]
        needs = [known[need] for need in rule.needs]
        found, expected = function(g, *needs), rule.function(g, *needs)
        if found is NotImplemented:  # a case that is left to the rule
            continue
        within = tolerance(dtype, expected, g, *filter(is_float, needs))
        assert_close(found, expected, within, f"kernel's rule of {name}")
        served.append(name)
    return served


def _subsets(items: Sequence[int], in_parts: bool) -> list[tuple[int, ...]]:
    """All of them, or all subsets; of more than four items those of one, two, all but one, all."""
    n = len(items)
    counts = ([1, 2, n - 1, n] if n > 4 else range(1, n + 1)) if in_parts else [n]
    return [subset for n in counts for subset in itertools.combinations(items, n)]
