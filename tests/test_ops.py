"""Every operation over its samples, without PyTorch: differences, memory orders, kernels."""

import importlib
import pkgutil

import checks
import numpy as np
import pytest
from samples import SAMPLES, families, ids, operations

import minigrad as mg
from minigrad.backends import Kernel
from minigrad.backends.numba import compiled

over_samples = pytest.mark.parametrize("sample", SAMPLES, ids=ids)
NEEDS_GPU = {"elementwise.move"}


@over_samples
def test_gradient_matches_finite_differences(sample):
    checks.check_against_differences(sample)


@over_samples
def test_second_gradient_matches_finite_differences(sample):
    checks.check_second_against_differences(sample)


@over_samples
def test_memory_order_is_invisible(sample):
    checks.check_layouts(sample)


@over_samples
def test_arrays_give_arrays(sample):
    checks.check_arrays_give_arrays(sample)


@over_samples
def test_inputs_stay_as_they_are(sample):
    checks.check_inputs_stay(sample)


def names_in_graph(outputs):
    """The operations that made these Tensors."""
    names, stack = set(), [y._record for y in outputs if y._record is not None]
    while stack:
        record = stack.pop()
        names.add(record.plan.name)
        stack += [p for p in record.parents if p is not None and not isinstance(p, mg.Tensor)]
    return names


def test_every_operation_has_a_sample():
    used = set()
    for sample in SAMPLES:
        used.add(getattr(sample.function, "__name__", ""))
        used |= names_in_graph(checks.listed(sample(*checks.tensors(sample.inputs))))
    missing = {name for name in operations() if name.partition(".")[2] not in used}
    assert missing == NEEDS_GPU, "give them samples in tests/samples/, in their family's file"


def test_every_public_function_has_a_sample():
    sampled = {sample.function.__name__ for sample in SAMPLES}
    helpers = {"shape_of", "index_of", "size_of", "axes_of", "largest", "move", "activated"}
    helpers |= {
        "widened",
        "narrowed",
        "in_float32",
        "floating",
        "of_numbers",
        "checked_axes",
        "copied",
    }
    for module in families():
        if module.__name__.endswith(("creation", "random")):
            continue
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__
            if own and callable(value) and not name.startswith("_") and name not in helpers:
                assert name in sampled, (
                    f"{module.__name__}.{name}: give it samples in tests/samples/, or add it to "
                    "the helpers above if it is no public function"
                )


# --- kernel = definition ----------------------------------------------------------------------


def kernels():
    """All kernels of operations for the CPU, by backend, family and name."""
    found = {}
    for backend in ("numpy", "numba"):
        package = f"minigrad.backends.{backend}"
        for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
            for name, value in vars(importlib.import_module(f"{package}.{info.name}")).items():
                if isinstance(value, Kernel) and info.name not in ("arrays", "optim"):
                    found[f"{backend}.{info.name}.{name}"] = value
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", kernels())
def test_kernel_equals_definition(name, dtype, monkeypatch):
    backend, _, operation = name.partition(".")
    monkeypatch.setattr(compiled, "SMALL", 1)  # so that samples, which are small, are served
    samples = [s for s in SAMPLES if s.function is operations()[operation]]
    assert samples, f"the kernel {name} has no sample"
    kernel = kernels()[name]
    served = [checks.check_kernel(kernel, s.with_dtype(dtype)) for s in samples]
    if backend == "numba" and dtype == np.float64:
        assert not any(served)
    else:
        rules = kernel.backward if isinstance(kernel.backward, dict) else {}
        assert set().union(*served) == {"forward", *rules}, f"no sample for a part of {name}"
