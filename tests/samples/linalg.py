"""Samples of minigrad/ops/linalg.py."""

from minigrad.ops import linalg as ops
from samples.base import normal, sample, torch

PRODUCTS = [
    ((3, 4), (4, 2)),
    ((4,), (4,)),
    ((3, 4), (4,)),
    ((4,), (4, 2)),
    ((2, 3, 4), (4, 2)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 3)),
    ((3, 4), (2, 4, 3)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((5, 3, 4), (1, 4, 2)),
    ((0, 4), (4, 2)),
    ((3, 0), (0, 2)),
    ((2, 3, 0), (0, 2)),
    ((0, 3, 4), (4, 2)),
    ((1, 1), (1, 1)),
]
CONTRACTIONS = [
    ("ij,jk->ik", (3, 4), (4, 2)),
    (" i j , j k -> i k ", (3, 4), (4, 2)),
    ("ij,jk", (3, 4), (4, 2)),
    ("ij,kj", (3, 4), (2, 4)),
    ("ba", (3, 4)),
    ("ij->j", (3, 4)),
    ("ij->", (3, 4)),
    ("ij->ji", (3, 4)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("iij->j", (3, 3, 2)),
    ("iii->i", (2, 2, 2)),
    ("ii,ij->j", (3, 3), (3, 2)),
    ("i,i->i", (3,), (3,)),
    ("i,j->ij", (3,), (2,)),
    ("ij,ij->", (3, 4), (3, 4)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
    ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 2)),
    ("...ij,jk->...ik", (2, 3, 4), (4, 2)),
    ("...ij,...jk->...ik", (5, 1, 3, 4), (2, 4, 2)),
    ("...ij,...jk", (2, 3, 4), (1, 4, 2)),
    ("...i->...", (2, 3, 4)),
    ("i...->...", (2, 3, 4)),
    ("...,...", (3,), (2, 3)),
    ("i...,i...->...", (2, 3), (2, 3)),
    ("...ii->...i", (2, 3, 3)),
    ("...", ()),
    ("ij,jk,kl->il", (2, 3), (3, 2), (2, 4)),
    ("i,j,k->jki", (2,), (3,), (2,)),
    ("i,->i", (3,), ()),
    ("ij,jk->ik", (2, 1), (3, 4)),
    ("ij,ij->i", (3, 4), (1, 4)),
    ("ij,ij->i", (3, 4), (3, 1)),
    ("ij,jk->ik", (0, 4), (4, 2)),
    ("ij,jk->ik", (3, 0), (0, 2)),
]


SAMPLES = [
    sample(ops.matmul, normal(*first), normal(*second), torch=lambda a, b: a @ b)
    for first, second in PRODUCTS
]
SAMPLES += [
    sample(ops.outer, normal(n), normal(m), torch=lambda a, b: torch.outer(a, b))
    for n, m in [(3, 4), (1, 0)]
]
SAMPLES += [
    sample(
        ops.einsum,
        subscripts,
        *[normal(*size) for size in sizes],
        torch=lambda subscripts, *operands: torch.einsum(subscripts, *operands),
        name=f"{subscripts.replace(' ', '_')}{sizes}",
    )
    for subscripts, *sizes in CONTRACTIONS
]
SAMPLES.append(
    sample(
        ops.contract,
        normal(3, 4),
        normal(4, 2),
        torch=lambda *operands, subscripts: torch.einsum(subscripts, *operands),
        as_list=True,
        subscripts="ij,jk->ik",
    )
)
