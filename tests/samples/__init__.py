"""Samples: inputs and options for each operation, with the PyTorch expression that must agree.

One file per family, as in minigrad/ops; `SAMPLES` gathers them. An operation without one fails
test_ops.py.
"""

import importlib
import pkgutil
from typing import Any

from minigrad import ops
from samples import activation, elementwise, linalg, linear, loss, norm, recurrent, reduce, shape
from samples.base import Sample, is_float

SAMPLES: list[Sample] = [
    sample
    for family in (elementwise, activation, shape, reduce, linalg, linear, norm, loss, recurrent)
    for sample in family.SAMPLES
]

ids = [sample.name for sample in SAMPLES]
assert len(set(ids)) == len(ids), "two samples have one name"


def families() -> list[Any]:
    """The modules of minigrad.ops."""
    names = [module.name for module in pkgutil.iter_modules(ops.__path__)]
    return [importlib.import_module(f"minigrad.ops.{name}") for name in names]


def operations() -> dict[str, Any]:
    """Every primitive and fused operation of minigrad.ops, as family.name."""
    return {
        f"{value.operation.family}.{value.operation.name}": value
        for module in families()
        for value in vars(module).values()
        if hasattr(value, "operation") and value.operation.definition.__module__ == module.__name__
    }


__all__ = ["SAMPLES", "Sample", "families", "ids", "is_float", "operations"]
