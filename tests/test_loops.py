"""NumPy's loops in the browser, docs/site/loops, beside float64 and sums that need no product."""

import sys
from pathlib import Path

import pytest
from browser import MARKS, ROOT, say

pytestmark = MARKS

# a sum of n products in another order is off by (n + 1) eps of the sum of their absolute values at
# most; the sums that it is compared with are taken in float64
PRODUCTS = """
import numpy as np
import fast_loops
import minigrad as mg
from minigrad.backends.numpy import linalg

rng = np.random.default_rng(0)
half = np.matmul(np.ones((2, 3), np.float16), np.ones((3, 2), np.float16))
fast_loops.install()


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
a, b = mg.rand(33, 20), mg.rand(20, 47)
dtype = np.float32
check(a.numpy(), b.numpy(), (a @ b).numpy())
assert linalg.dot is np.matmul  # or minigrad's own products would have no fast loop
assert (half == 3).all() and np.isnan(np.array([[np.nan]]) @ np.array([[0.0]])).all()
print("right", np.matmul(np.eye(2), np.eye(2)).tolist())
"""


# Cephes's polynomials are off by less than two units in the last place; a square root is rounded
FUNCTIONS = """
import numpy as np
import fast_loops

rng = np.random.default_rng(0)
fast_loops.install()
special = [0.0, -0.0, np.inf, -np.inf, np.nan, 88.72, 88.73, -87.4, -103.9, -104.1, 0.625, 1e-42]
special += [np.nextafter(np.float32(0.625), np.float32(0)), 9.01, -9.02, 3e38, -3e38, 1e-30]


def check(f, x, y, units):
    with np.errstate(all="ignore"):
        expected = f(x.astype(np.float64))
        nearest = expected.astype(np.float32)
    assert y.dtype == np.float32 and y.shape == x.shape
    same = (y == nearest) | np.isnan(y) & np.isnan(nearest)
    with np.errstate(all="ignore"):
        error = np.abs(y - expected) / np.spacing(np.abs(nearest))
    wrong = ~same & ~(error <= units)
    assert not wrong.any(), (f.__name__, x[wrong][:5], y[wrong][:5], expected[wrong][:5])
    assert (np.signbit(y) == np.signbit(nearest))[~np.isnan(nearest)].all()


for f, units in ((np.exp, 2), (np.tanh, 2), (np.sqrt, 0.5)):
    for scale in (1e-3, 0.3, 1, 5, 40, 100):
        for n in range(9):
            x = (scale * rng.standard_normal(n)).astype(np.float32)
            check(f, x, f(x), units)
        x = (scale * rng.standard_normal(20_000)).astype(np.float32)
        check(f, x, f(x), units)
        check(f, x[::3], f(x[::3]), units)
        check(f, x[::-1], f(x[::-1]), units)
        out = np.full((2, len(x)), 7, np.float32).T[:, 0]
        f(x, out=out)
        check(f, x, out, units)
        y = x.copy()
        f(y, out=y)
        check(f, x, y, units)
    x = np.array(special, np.float32)
    check(f, x, f(x), units)
    assert (f(np.float32(2)), f(np.array(2, np.float32))) == (f(x[:1] * 0 + 2)[0],) * 2
print("right")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sys.path.insert(0, str(ROOT / "docs" / "site"))
    import bundle

    out = tmp_path_factory.mktemp("bundle") / "python"
    bundle.build(out)
    return out


def test_products_are_those_of_the_definition(folder: Path) -> None:
    facts = say("loops.mjs", folder=str(folder), program=PRODUCTS)
    assert [fact["text"] for fact in facts] == ["right [[1.0, 0.0], [0.0, 1.0]]"]


def test_a_product_that_is_off_by_a_thousandth_is_noticed(folder: Path) -> None:
    program = PRODUCTS.replace("check(a, b, a @ b)", "check(a, b, a @ b * dtype(1.001))")
    with pytest.raises(pytest.fail.Exception, match="AssertionError"):
        say("loops.mjs", folder=str(folder), program=program)


def test_functions_are_those_of_float64_to_the_last_place(folder: Path) -> None:
    [fact] = say("loops.mjs", folder=str(folder), program=FUNCTIONS)
    assert fact["text"] == "right"


def test_a_function_that_is_off_by_three_units_is_noticed(folder: Path) -> None:
    program = FUNCTIONS.replace("f(x[::3])", "f(x[::3]) * np.float32(1 + 3e-7)")
    with pytest.raises(pytest.fail.Exception, match="AssertionError"):
        say("loops.mjs", folder=str(folder), program=program)
