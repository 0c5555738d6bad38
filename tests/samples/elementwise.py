"""Samples of minigrad/ops/elementwise.py."""

from typing import Any

import numpy as np

from minigrad.ops import elementwise as ops
from samples.base import integers, mask, normal, positive, sample, torch, unit


def tensor_of(x: Any, like: Any) -> Any:
    """A number as a torch tensor, for the functions of torch that take no numbers."""
    return x if isinstance(x, torch.Tensor) else torch.as_tensor(x, dtype=like.dtype)


PAIRS = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 1), (1, 4)),
    ((), (2, 3)),
    ((2, 3), ()),
    ((0, 3), (1, 3)),
    ((2, 1, 3), (4, 1)),
    ((), ()),
]
ARITHMETIC = [
    (ops.add, lambda a, b: a + b),
    (ops.subtract, lambda a, b: a - b),
    (ops.multiply, lambda a, b: a * b),
    (ops.divide, lambda a, b: a / b),
    (ops.power, lambda a, b: a**b),
]
LARGER = [
    (ops.maximum, lambda a, b: torch.maximum(a, tensor_of(b, a))),
    (ops.minimum, lambda a, b: torch.minimum(a, tensor_of(b, a))),
]
UNARY = [
    (ops.negative, normal, lambda x: -x),
    (ops.exp, normal, lambda x: torch.exp(x)),
    (ops.log, positive, lambda x: torch.log(x)),
    (ops.log1p, unit, lambda x: torch.log1p(x)),
    (ops.sqrt, positive, lambda x: torch.sqrt(x)),
    (ops.sin, normal, lambda x: torch.sin(x)),
    (ops.cos, normal, lambda x: torch.cos(x)),
    (ops.abs, normal, lambda x: torch.abs(x)),
    (ops.sign, normal, lambda x: torch.sign(x).detach()),
]
COMPARISONS = [
    (ops.equal, lambda a, b: a == b),
    (ops.not_equal, lambda a, b: a != b),
    (ops.less, lambda a, b: a < b),
    (ops.less_equal, lambda a, b: a <= b),
    (ops.greater, lambda a, b: a > b),
    (ops.greater_equal, lambda a, b: a >= b),
]

BITWISE = [
    (ops.bitwise_and, lambda a, b: a & b),
    (ops.bitwise_or, lambda a, b: a | b),
    (ops.bitwise_xor, lambda a, b: a ^ b),
]

SAMPLES = [
    sample(function, positive(*first), positive(*second), torch=compute)
    for function, compute in ARITHMETIC
    for first, second in PAIRS
]
for function, compute in ARITHMETIC:
    SAMPLES += [
        sample(function, positive(3, 2), 1.7, torch=compute),
        sample(function, 1.7, positive(3, 2), torch=compute),
        sample(function, positive(3, 2), integers(3, 2).astype(np.int8) + 1, torch=compute),
        sample(function, normal(3, 2), normal(3, 2), torch=compute)
        if function is not ops.power
        else sample(function, normal(3, 2), 3, torch=compute),
    ]

# powers of zero
SAMPLES += [
    sample(
        ops.power,
        np.array([0.0, 1.0, -2.0, 0.0]),
        exponent,
        torch=lambda a, b: a**b,
        name=f"zero-to-{exponent}",
    )
    for exponent in (0, 1, 2, 3)
]
SAMPLES += [
    sample(
        ops.power,
        np.array([0.0, 2.0, 0.0]),
        np.array([2.0, 0.0, 3.0]),
        torch=lambda a, b: a**b,
        kink=True,
        second=False,  # PyTorch gives nan for d2(a^b)/da2 at a = 0, which is b (b - 1) a^(b - 2)
        name="zero-bases",
    ),
    sample(
        ops.power,
        0.0,
        positive(3),
        torch=lambda a, b: torch.tensor(a, dtype=b.dtype) ** b,
        second=False,  # nan likewise
    ),
]

for function, compute in LARGER:
    SAMPLES += [
        sample(function, normal(*first), normal(*second), torch=compute) for first, second in PAIRS
    ]
    ties = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
    SAMPLES += [
        sample(function, *ties, torch=compute, kink=True, name="ties"),
        sample(function, normal(3, 2), 0.3, torch=compute),
    ]

SAMPLES += [
    sample(function, make(*size), torch=compute)
    for function, make, compute in UNARY
    for size in [(3, 4), (), (0, 2)]
]
SAMPLES.append(
    sample(
        ops.abs,
        np.array([0.0, 1.0, -1.0]),
        torch=lambda x: torch.abs(x),
        kink=True,
        name="zero",
    )
)

SAMPLES += [
    sample(ops.clip, x, torch=lambda x, **b: torch.clip(x, **b) if b else 1 * x, **settings)
    for x, settings in [
        (normal(3, 4), {"min": -0.5, "max": 0.5}),
        (normal(3, 4), {"min": 0.1}),
        (normal(3, 4), {"max": 0.1}),
        (normal(3, 4), {}),
        (np.array([-1.0, 0.0, 1.0, 2.0]), {"min": 0, "max": 1, "kink": True}),
    ]
]
SAMPLES.append(
    sample(
        ops.clip,
        normal(3, 4),
        torch=lambda x, **bounds: torch.clip(x, torch.tensor(bounds["min"])),
        min=normal(4) - 1,
        name="bounds-array",
    )
)

SAMPLES += [
    sample(
        ops.limited,
        *bounded,
        torch=lambda x, low, high: torch.clip(x, low, high),
        name=f"tensor-bounds-{number}",
    )
    for number, bounded in enumerate(
        [
            (normal(3, 4), normal(3, 4) - 1, normal(3, 4) + 1),
            (normal(3, 4), normal(4), normal(3, 1)),  # some cross
            (normal(4), normal(3, 4), None),
            (normal(3, 4), None, normal()),
        ]
    )
]

CHOICES = [
    (mask(3, 4), normal(3, 4), normal(3, 4)),
    (mask(4), normal(3, 1), normal()),
    (mask(3, 1), normal(4), normal(3, 4)),
    (mask(3, 4), normal(3, 4), 0.0),
    (mask(3, 4), 1, normal(3, 4)),
]
SAMPLES += [sample(ops.where, *xs, torch=lambda c, a, b: torch.where(c, a, b)) for xs in CHOICES]

for function, compute in COMPARISONS:
    pair = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
    SAMPLES += [
        sample(function, *pair, torch=compute),
        sample(function, normal(3, 1), 0.5, torch=compute),
        sample(function, normal(3, 1), normal(2), torch=compute),
    ]

for function, compute in BITWISE:
    SAMPLES += [
        sample(function, mask(3, 4), mask(4), torch=compute, name="booleans"),
        sample(function, mask(3, 1), True, torch=compute),
        sample(function, integers(9, 3, 4), integers(9, 3, 1), torch=compute, name="integers"),
        sample(function, integers(9, 3, 4), mask(4), torch=compute, name="mixed"),
    ]
SAMPLES += [
    sample(ops.invert, mask(3, 4), torch=lambda x: ~x, name="booleans"),
    sample(ops.invert, integers(9, 3, 4), torch=lambda x: ~x, name="integers"),
]

SAMPLES += [
    sample(ops.cast, normal(3, 2), np.float32, torch=lambda x, _: x.float(), kink=True),
    sample(ops.cast, normal(3, 2), np.float64, torch=lambda x, _: x.double()),
]
