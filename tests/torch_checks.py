"""One computation in minigrad and in PyTorch: outputs, gradients and their gradients compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import checks
import numpy as np
import pytest
from samples import Sample, is_float

import minigrad as mg
from minigrad.backends import array_module, to_device, to_numpy
from minigrad.tensor import wrap

torch = pytest.importorskip("torch")

Pairs = Sequence[tuple[mg.Tensor, Any]]  # each of our inputs with PyTorch's


def is_our_torch() -> bool:
    """Whether PyTorch is of the version that is compared with; a GPU's machine may have another."""
    return str(torch.__version__).startswith("2.13.")


def as_torch(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """PyTorch's result; the test is skipped where another PyTorch than ours lacks an option."""
    try:
        return function(*args, **options)
    except TypeError as error:
        if is_our_torch() or "unexpected keyword" not in str(error):
            raise
        pytest.skip(f"PyTorch {torch.__version__}: {error}")


def torch_arguments(inputs: Sequence[Any]) -> list[Any]:
    """Arrays as PyTorch's tensors, floats with a gradient."""
    return [
        torch.tensor(x, requires_grad=is_float(x)) if isinstance(x, np.ndarray) else x
        for x in inputs
    ]


def away_from_0_and_1(module: Any) -> None:
    """Let no parameter or running statistic have a value with which it would do nothing."""
    generator = torch.Generator().manual_seed(3)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))


def flat(value: Any) -> Iterator[Any]:
    """The parts of a nested tuple or list, in order."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from flat(item)
    else:
        yield value


def check_operation(sample: Sample, device: str = "cpu", second: bool = False) -> None:
    """Compare an operation on a sample; with `second`, also where PyTorch has no right second."""
    args, others = checks.tensors(sample.inputs, device), torch_arguments(sample.inputs)
    both = zip(args, others, strict=True)
    compare(
        checks.placed(sample, device)(*args),
        sample.torch(*others, **sample.options),
        [(x, t) for x, t in both if isinstance(x, mg.Tensor)],
        second=second and sample.second,
    )


def compare(
    mine: Any,
    theirs: Any,
    pairs: Pairs,
    *,
    second: bool = False,
    amplified: float = 1.0,
    same_dtype: bool = True,
) -> None:
    """Compare outputs, gradients and, where `second`, gradients of those.

    Args:
        mine: Our outputs.
        theirs: PyTorch's.
        pairs: Each of our inputs with PyTorch's.
        second: Whether the second derivative is compared.
        amplified: By how much an operation enlarges the rounding errors of its input.
        same_dtype: Whether the outputs have PyTorch's dtype also where integers or several dtypes
            go in, which NumPy promotes otherwise.
    """
    inputs = [to_numpy(x.data) for x, _ in pairs]
    floats = [x for x in inputs if is_float(x)]
    mine, theirs = list(flat(mine)), list(flat(theirs))
    assert len(mine) == len(theirs)
    outputs = []
    for a, b in zip(mine, theirs, strict=True):
        if not isinstance(b, torch.Tensor):  # a number
            checks.assert_close(a, b, checks.tolerance(np.float32, b), "number")
            continue
        assert type(a.data) is array_module(a.device).ndarray
        assert {a.device} == {x.device for x, _ in pairs} or not pairs
        _check_dtype(a, b, inputs, same_dtype)
        same_values(a, b, "forward", floats, amplified)
        if b.requires_grad:
            assert a.requires_grad, "PyTorch has a gradient here"
            outputs.append((a, b))
    leaves = [(x, t) for x, t in pairs if t.requires_grad]
    if not outputs or not leaves:
        return
    (ys, expected_ys), (xs, expected_xs) = _unzipped(outputs), _unzipped(leaves)
    seeds = checks.seeds_for([y.numpy(force=True) for y in expected_ys])
    own_seeds = [wrap(to_device(s.copy(), ys[0].device)).requires_grad_() for s in seeds]
    other_seeds = torch_arguments(seeds)
    first = gradients(mg, ys, xs, own_seeds, second)
    expected = gradients(torch, expected_ys, expected_xs, other_seeds, second)
    for x, g, e in zip(xs, first, expected, strict=True):
        g, e = _zeros_for_none(x, g, e)
        assert g.dtype == x.dtype
        same_values(g, e, "gradient", [*floats, *seeds], amplified)
    if not second:
        return
    weights = checks.seeds_for(xs)
    own = [(g, w) for g, w in zip(first, weights, strict=True) if checks.connected(g)]
    other = [(g, w) for g, w in zip(expected, weights, strict=True) if checks.connected(g)]
    own_leaves, other_leaves = [*xs, *own_seeds], [*expected_xs, *other_seeds]
    found = gradients(
        mg, [g for g, _ in own], own_leaves, [wrap(to_device(w, ys[0].device)) for _, w in own]
    )
    wanted = gradients(
        torch, [g for g, _ in other], other_leaves, [torch.tensor(w) for _, w in other]
    )
    sizes = [*floats, *seeds, *[g.numpy(force=True) for g in expected if g is not None]]
    for x, g, e in zip(own_leaves, found, wanted, strict=True):
        g, e = _zeros_for_none(x, g, e)
        # each of two passes amplifies the error of the one before, up to its magnitude
        scale = max(1.0, *map(_largest, [*sizes, e.numpy(force=True)]))
        same_values(g, e, "second gradient", sizes, amplified * scale)


def same_values(
    mine: Any, reference: Any, what: str, inputs: Iterable[np.ndarray], amplified: float = 1.0
) -> None:
    """Within the tolerance of the coarser dtype, for what these inputs may have amplified."""
    reference, found = reference.numpy(force=True), to_numpy(mine.data)
    dtypes = [x.dtype for x in (found, reference) if is_float(x)]
    coarser = max(dtypes or [np.dtype(np.float64)], key=lambda dtype: np.finfo(dtype).eps)
    within = amplified * checks.tolerance(coarser, reference, *inputs)
    checks.assert_close(found.astype(reference.dtype), reference, within, what)


def gradients(
    library: Any, outputs: Any, leaves: Any, seeds: Any, create_graph: bool = False
) -> list[Any]:
    """Gradients of either library, None where an input is not connected."""
    if not outputs:
        return [None] * len(leaves)
    if library is torch:
        return list(
            torch.autograd.grad(
                outputs, leaves, seeds, create_graph=create_graph, allow_unused=True
            )
        )
    return mg.grad(outputs, leaves, seeds, create_graph=create_graph)


def _check_dtype(mine: Any, reference: Any, inputs: list[np.ndarray], strict: bool) -> None:
    given = {x.dtype for x in inputs}
    expected = reference.numpy(force=True).dtype
    if strict or (len(given) == 1 and is_float(inputs[0])):
        assert mine.dtype == expected, f"dtype {mine.dtype}, not {expected}"
    else:
        assert mine.dtype.kind == expected.kind, f"dtype {mine.dtype}, not {expected}"


def _unzipped(pairs: Pairs) -> tuple[list[Any], list[Any]]:
    return [a for a, _ in pairs], [b for _, b in pairs]


def _zeros_for_none(x: Any, mine: Any, reference: Any) -> tuple[Any, Any]:
    return (
        mg.zeros_like(x) if mine is None else mine,
        torch.zeros(x.shape) if reference is None else reference,
    )


def _largest(x: Any) -> float:
    return float(np.max(np.abs(np.where(np.isfinite(x), x, 0)), initial=0))
