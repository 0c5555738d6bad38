"""Products of matrices in the browser, beside sums that need no product: docs/site/products.ts."""

import sys
from pathlib import Path

import pytest
from browser import MARKS, ROOT, say

pytestmark = MARKS

# a sum of n products in another order is off by (n + 1) eps of the sum of their absolute values at
# most; the sums that it is compared with are taken in float64
PROGRAM = """
import numpy as np
import fast_products

rng = np.random.default_rng(0)
half = np.matmul(np.ones((2, 3), np.float16), np.ones((3, 2), np.float16))
fast_products.install()


def drawn(*shape):
    array = rng.standard_normal(shape).astype(dtype)
    kind = rng.integers(5)
    if kind == 0:
        array = np.asfortranarray(array)
    elif kind == 1:
        array = np.repeat(array, 2, axis=-1)[..., ::2]
    elif kind == 2:
        array = array[..., ::-1, :]
    return array


def check(a, b, c):
    a, b = a.astype(np.float64), b.astype(np.float64)
    terms = a[..., :, :, None] * b[..., None, :, :]
    bound = (a.shape[-1] + 1) * np.finfo(dtype).eps * np.abs(terms).sum(-2)
    assert c.dtype == dtype and c.shape == bound.shape, (c.dtype, c.shape)
    assert (np.abs(c - terms.sum(-2)) <= bound).all(), (a.shape, b.shape, dtype)


for trial in range(200):
    dtype = (np.float32, np.float64)[trial % 2]
    m, n, p = (int(k) for k in rng.integers(0, 40 if trial % 10 else 400, 3))
    m, p = min(m, 70), min(p, 70)
    a, b = drawn(m, n), drawn(n, p)
    check(a, b, a @ b)
    out = np.full((p, m), np.nan, dtype).T
    check(a, b, np.matmul(a, b, out=out))
    a, b = drawn(3, 1, 4, n % 9), drawn(5, n % 9, 6)
    check(a, b, a @ b)
for dtype in (np.float32, np.float64):
    v = rng.standard_normal(300).astype(dtype)
    assert np.isclose(v @ v, (v * v).sum(), rtol=300 * np.finfo(dtype).eps)
    square = rng.standard_normal((50, 50)).astype(dtype)
    check(square, square, square @ square)
    copy = square.copy()
    check(copy, copy, np.matmul(square, square, out=square))
assert (half == 3).all() and np.isnan(np.array([[np.nan]]) @ np.array([[0.0]])).all()
print("right", np.matmul(np.eye(2), np.eye(2)).tolist())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sys.path.insert(0, str(ROOT / "docs" / "site"))
    import bundle

    out = tmp_path_factory.mktemp("bundle") / "python"
    bundle.build(out)
    return out


def test_products_are_those_of_the_definition(folder: Path) -> None:
    facts = say("products.mjs", folder=str(folder), program=PROGRAM)
    assert [fact["text"] for fact in facts] == ["right [[1.0, 0.0], [0.0, 1.0]]"]


def test_a_product_that_is_off_by_a_thousandth_is_noticed(folder: Path) -> None:
    program = PROGRAM.replace("check(a, b, a @ b)", "check(a, b, a @ b * dtype(1.001))")
    with pytest.raises(pytest.fail.Exception, match="AssertionError"):
        say("products.mjs", folder=str(folder), program=program)
