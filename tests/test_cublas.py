"""How cuBLAS is found and called by ctypes, and what it writes to."""

import ctypes
import ctypes.util
import gc
import importlib
import importlib.util
import re
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
from strict_device.streams import in_a_thread

import minigrad as mg
from minigrad.backends.cupy import cublas

cupy_backend = importlib.import_module("minigrad.backends.cupy")
# before a fixture puts the stand-in's in their place
library, problem = cublas.library, cupy_backend._problem.__wrapped__
COMPILER = importlib.import_module("strict_device").COMPILER

# what cublas_v2.h declares, computed in the plainest way; a leading dimension of 0 is refused
STUB = r"""
#include <cstddef>
typedef long long Int;
static void* workspace = nullptr;
template <typename T> int gemm(int ta, int tb, Int m, Int n, Int k, const T* alpha,
    const T* a, Int lda, Int sa, const T* b, Int ldb, Int sb, const T* beta, T* c, Int ldc, Int sc,
    Int count) {
    if (!workspace || lda < 1 || ldb < 1 || ldc < m) return 7;
    for (Int z = 0; z < count; z++, a += sa, b += sb, c += sc)
        for (Int i = 0; i < m; i++)
            for (Int j = 0; j < n; j++) {
                T sum = 0;
                for (Int l = 0; l < k; l++)
                    sum += (ta ? a[l + i * lda] : a[i + l * lda]) *
                           (tb ? b[j + l * ldb] : b[l + j * ldb]);
                T& y = c[i + j * ldc];
                y = *alpha * sum + (*beta == 0 ? 0 : *beta * y);
            }
    return 0;
}
extern "C" {
int cublasCreate_v2(void** handle) { *handle = &workspace; return 0; }
int cublasSetStream_v2(void* handle, void*) {
    workspace = nullptr;
    return handle == &workspace ? 0 : 1;
}
int cublasSetWorkspace_v2(void* handle, void* at, size_t size) {
    workspace = at;
    return handle == &workspace && size == 32 << 20 ? 0 : 1;
}
const char* cublasGetStatusName(int status) {
    return status == 1 ? "CUBLAS_STATUS_NOT_INITIALIZED" : "CUBLAS_STATUS_INVALID_VALUE";
}
#define PLAIN(NAME, T) int NAME(void*, int ta, int tb, Int m, Int n, Int k, const T* alpha, \
    const T* a, Int lda, const T* b, Int ldb, const T* beta, T* c, Int ldc) { \
    return gemm<T>(ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1); }
#define BATCHED(NAME, T) int NAME(void*, int ta, int tb, Int m, Int n, Int k, const T* alpha, \
    const T* a, Int lda, Int sa, const T* b, Int ldb, Int sb, const T* beta, T* c, Int ldc, \
    Int sc, Int count) { \
    return gemm<T>(ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, count); }
PLAIN(cublasSgemm_v2_64, float)
PLAIN(cublasDgemm_v2_64, double)
BATCHED(cublasSgemmStridedBatched_64, float)
BATCHED(cublasDgemmStridedBatched_64, double)
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


@pytest.fixture
def handles(gpu, monkeypatch):
    """The handles that a test makes."""
    made = {}
    monkeypatch.setattr(cublas, "_handles", made)
    yield made
    for handle in made.values():
        handle.workspaces.clear()


@pytest.fixture
def installed(handles, monkeypatch):
    """A function that has `cuda.pathfinder` find a library, or raise an error."""

    def install(path):
        def load_nvidia_dynamic_lib(name):
            assert name == "cublas"
            if isinstance(path, Exception):
                raise path
            return types.SimpleNamespace(abs_path=path)

        finder = types.ModuleType("cuda.pathfinder")
        finder.load_nvidia_dynamic_lib = load_nvidia_dynamic_lib
        monkeypatch.setitem(sys.modules, "cuda", types.ModuleType("cuda"))
        monkeypatch.setitem(sys.modules, "cuda.pathfinder", finder)
        monkeypatch.setattr(cublas, "library", library)
        library.cache_clear()

    yield install
    library.cache_clear()


MISSING = {
    "no file": (RuntimeError('Failure finding\n  "libcublas.so.13"'), '"libcublas.so.13"'),
    "a broken file": ("/nowhere/libcublas.so", "OSError: /nowhere/libcublas.so"),
    "another library": (ctypes.util.find_library("c"), "AttributeError: .*cublasCreate_v2"),
}


@pytest.mark.parametrize("what", MISSING)
def test_a_library_that_cannot_be_loaded_is_why_the_gpu_cannot_be_used(
    what, gpu, installed, monkeypatch
):
    if gpu is None:
        pytest.skip("there the library is found")
    found, message = MISSING[what]
    installed(found)
    monkeypatch.setattr(cupy_backend, "_problem", problem)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # of the stand-in
    with pytest.raises(mg.DeviceError) as caught:
        mg.ones(2, device="gpu")
    told = str(caught.value)
    assert re.match(f"device 'gpu' cannot be used: cuBLAS cannot be loaded \\(.*{message}", told)
    assert "pip install 'cupy-cuda13x[ctk]'" in told and "\n" not in told


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_calls_arrive_as_the_header_declares_them(stub, dtype, gpu, installed):
    if gpu is None:
        pytest.skip("the stub computes on the host")
    installed(stub)
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


def test_an_error_of_the_library_is_raised_by_its_name(stub, installed):
    installed(stub)
    with pytest.raises(RuntimeError, match=r"^cublasSetStream_v2: CUBLAS_STATUS_NOT_INITIALIZED$"):
        cublas._call("cublasSetStream_v2", 12, 0)  # which takes the workspace away
    with pytest.raises(RuntimeError, match=r"^cublasSgemm_v2_64: CUBLAS_STATUS_INVALID_VALUE$"):
        cublas._call("cublasSgemm_v2_64", 12, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1)


# --- workspaces: the stand-in refuses one that two streams share, or that has been freed ----------


def product(n=3):
    cupy = importlib.import_module("cupy")
    return cublas.gemm(cupy.ones((n, n)), cupy.ones((n, n)))


def test_each_stream_of_a_thread_has_a_workspace_as_long_as_it_lives(handles):
    cuda = importlib.import_module("cupy").cuda
    one, other = cuda.Stream(non_blocking=True), cuda.Stream(non_blocking=True)
    for _ in range(2):
        for stream in (one, other):
            with stream:
                product()
    [handle] = handles.values()
    assert {id(one), id(other)} == handle.workspaces.keys()
    del other, stream
    gc.collect()
    with one:
        product()  # the handle leaves the other stream
    gc.collect()
    assert {id(one)} == handle.workspaces.keys()


def test_each_thread_has_a_handle_which_the_next_one_takes_over(handles):
    product()
    for _ in range(3):
        assert in_a_thread(lambda: product().get().tolist()) == product().get().tolist()
    assert 2 <= len(handles) <= 4  # a system need not give a number again
    values = [handle.value for handle in handles.values()]
    assert len(set(values)) == len(values)


@pytest.mark.usefixtures("handles")
def test_a_graph_keeps_the_workspace_that_its_products_use():
    """Its thread ends, the stream is left, and memory is given back before it is replayed."""
    cupy = importlib.import_module("cupy")
    graph = importlib.import_module("minigrad.backends.cupy.graph").StepGraph

    def recorded():
        step = graph()
        with step.stream:
            with step.memory():
                product()
            with step.recorded():
                y = product()
        return step, y

    step, y = in_a_thread(recorded)
    others = [in_a_thread(recorded) for _ in range(2)]
    product()
    del others
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    step.launch()
    step.stream.synchronize()
    assert y.get().tolist() == [[3.0] * 3] * 3


def test_a_workspace_is_not_of_a_steps_own_memory(handles):
    graph = importlib.import_module("minigrad.backends.cupy.graph").StepGraph
    step = graph()
    with step.stream, step.memory():
        product()
    assert step._pool.total_bytes() < cublas._WORKSPACE
    handle = handles[threading.get_ident()]
    assert handle.workspaces.keys() == {id(step.stream)}
