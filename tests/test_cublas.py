"""How cuBLAS is found and called: by NVIDIA's bindings, by ctypes, or not at all."""

import importlib
import subprocess
import types

import numpy as np
import pytest

from minigrad.backends.cupy import cublas

library = cublas.library  # before a fixture puts the stand-in's in its place
COMPILER = importlib.import_module("strict_device").COMPILER

# what cublas_v2.h declares, computed in the plainest way; a leading dimension of 0 is refused
STUB = r"""
#include <cstddef>
typedef long long Int;
static void* workspace = nullptr;
template <typename T> int gemm(int ta, int tb, int m, int n, int k, const T* alpha,
    const T* a, int lda, Int sa, const T* b, int ldb, Int sb, const T* beta, T* c, int ldc, Int sc,
    int count) {
    if (!workspace || lda < 1 || ldb < 1 || ldc < m) return 7;
    for (int z = 0; z < count; z++, a += sa, b += sb, c += sc)
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) {
                T sum = 0;
                for (int l = 0; l < k; l++)
                    sum += (ta ? a[l + (Int)i * lda] : a[i + (Int)l * lda]) *
                           (tb ? b[j + (Int)l * ldb] : b[l + (Int)j * ldb]);
                T& y = c[i + (Int)j * ldc];
                y = *alpha * sum + (*beta == 0 ? 0 : *beta * y);
            }
    return 0;
}
extern "C" {
int cublasCreate_v2(void** handle) { *handle = &workspace; return 0; }
int cublasSetStream_v2(void* handle, void*) { workspace = nullptr; return handle != &workspace; }
int cublasSetWorkspace_v2(void* handle, void* at, size_t size) {
    workspace = at;
    return handle != &workspace || size != 32 << 20;
}
#define PLAIN(NAME, T) int NAME(void*, int ta, int tb, int m, int n, int k, const T* alpha, \
    const T* a, int lda, const T* b, int ldb, const T* beta, T* c, int ldc) { \
    return gemm<T>(ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1); }
#define BATCHED(NAME, T) int NAME(void*, int ta, int tb, int m, int n, int k, const T* alpha, \
    const T* a, int lda, Int sa, const T* b, int ldb, Int sb, const T* beta, T* c, int ldc, \
    Int sc, int count) { \
    return gemm<T>(ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, count); }
PLAIN(cublasSgemm_v2, float)
PLAIN(cublasDgemm_v2, double)
BATCHED(cublasSgemmStridedBatched, float)
BATCHED(cublasDgemmStridedBatched, double)
}
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    """The path of a shared library with cuBLAS's functions, for the host."""
    if COMPILER is None:
        pytest.skip("no C++ compiler (g++) was found, which makes the stub of the library")
    path = tmp_path_factory.mktemp("cublas") / "libcublas.so"
    command = [COMPILER, "-shared", "-fPIC", "-x", "c++", "-", "-o", str(path)]
    subprocess.run(command, input=STUB, text=True, check=True)
    return str(path)


def finder(monkeypatch, **modules):
    """Let these modules be found, and no others of NVIDIA's."""

    def import_module(name):
        if name in modules:
            return modules[name]
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(cublas.importlib, "import_module", import_module)
    library.cache_clear()


@pytest.fixture(autouse=True)
def _forget():
    yield
    library.cache_clear()


def pathfinder(path):
    return types.SimpleNamespace(
        load_nvidia_dynamic_lib=lambda name: types.SimpleNamespace(abs_path=path)
    )


def test_bindings_come_first_then_the_shared_library_then_nothing(stub, monkeypatch):
    def without_library():
        raise RuntimeError("Failure finding libcublas.so")

    bindings = types.SimpleNamespace(get_cudart_version=lambda: 13000)
    both = {"nvmath.bindings.cublas": bindings, "cuda.pathfinder": pathfinder(stub)}
    finder(monkeypatch, **both)
    assert library() is bindings
    bindings.get_cudart_version = without_library
    finder(monkeypatch, **both)
    assert isinstance(library(), cublas._FromCtypes)
    finder(monkeypatch, **{"cuda.pathfinder": pathfinder(stub)})
    assert isinstance(library(), cublas._FromCtypes)
    finder(monkeypatch, **{"cuda.pathfinder": pathfinder("/nowhere/libcublas.so")})
    assert library() is None
    finder(monkeypatch)
    assert library() is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_calls_by_ctypes_arrive_as_the_header_declares_them(stub, dtype, gpu, monkeypatch):
    if gpu is None:
        pytest.skip("the stub computes on the host")
    found = cublas._FromCtypes(stub)
    monkeypatch.setattr(cublas, "library", lambda: found)
    random = np.random.RandomState(0)
    a, b = (random.standard_normal(size).astype(dtype) for size in ((5, 7), (7, 3)))
    there = gpu.module.asarray
    y = cublas.gemm(there(a), there(b))
    # sums of 7 products
    np.testing.assert_allclose(y.get(), a @ b, rtol=0, atol=32 * np.finfo(dtype).eps)
    cublas.gemm(there(a.T.copy()).T, there(b.T.copy()).T, y, accumulate=True)
    np.testing.assert_allclose(y.get(), 2 * (a @ b), rtol=0, atol=64 * np.finfo(dtype).eps)
    batch = cublas.gemm_batched(there(np.stack([a, 2 * a])), there(np.stack([b, b])))
    expected = np.stack([a @ b, 2 * a @ b])
    np.testing.assert_allclose(batch.get(), expected, rtol=0, atol=64 * np.finfo(dtype).eps)


def test_an_error_of_the_library_is_raised(stub):
    cublas_v2 = cublas._FromCtypes(stub)
    with pytest.raises(RuntimeError, match="cublasSetStream_v2 failed with status 1"):
        cublas_v2.set_stream(12, 0)
