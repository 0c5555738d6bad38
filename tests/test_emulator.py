"""The emulator of CUDA C finds what would go wrong on a GPU; the kernels show that it computes."""

import needs
import numpy as np
import pytest
import strict_device
from strict_device import CompileException, CUDADriverError, DeviceFault

cupy = strict_device.module
pytestmark = [needs.COMPILER, pytest.mark.usefixtures("clean")]

SUM = r"""
extern "C" __global__ void total(const float* x, float* y, int n) {
    __shared__ float parts[32];
    float v = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        v += x[i];
    for (int by = 16; by > 0; by /= 2) v += __shfl_xor_sync(0xffffffff, v, by);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x < 32) {
        v = threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0;
        for (int by = 16; by > 0; by /= 2) v += __shfl_xor_sync(0xffffffff, v, by);
        if (threadIdx.x == 0) y[blockIdx.x] = v;
    }
}
"""


@pytest.fixture
def clean():
    """Each test begins and ends with whole memory, of which no graph has a part."""
    strict_device.memory.default_pool.free_all_blocks()
    yield
    strict_device.check_guards()


def kernel(body, parameters="float* y", name="k", before="", **options):
    code = f'{before}\nextern "C" __global__ void {name}({parameters}) {{{body}}}'
    return cupy.RawKernel(code, name, **options)


def run(body, block=64, grid=1, parameters="float* y", args=None, size=64, **options):
    """Run a kernel on an array, and return that."""
    y = cupy.zeros(size, np.float32)
    kernel(body, parameters, **options)((grid,), (block,), (y,) if args is None else (y, *args))
    return y.get()


def test_missing_barrier_shows_in_another_order_of_threads():
    total = cupy.RawKernel(SUM.replace("__syncthreads();", ""), "total")
    x, y = cupy.ones(1000, np.float32), cupy.empty(1, np.float32)
    with pytest.raises(DeviceFault, match=r"total: .* depend on the order of threads"):
        total((1,), (256,), (x, y, np.int32(1000)))


def test_writes_of_two_threads_to_one_place_are_found():
    with pytest.raises(DeviceFault, match="order of threads"):
        run("y[0] = threadIdx.x;")
    with pytest.raises(DeviceFault, match="order of threads"):
        run("y[threadIdx.x] = blockIdx.x;", grid=2)


def test_memory_changes_once_though_two_orders_are_run():
    assert run("y[threadIdx.x] += 1;").tolist() == [1] * 64


DEADLOCKS = {
    "wait at different __syncthreads": (
        "if (threadIdx.x < 32)\n __syncthreads();\n else\n __syncthreads();"
    ),
    "a lane of the mask never arrives": (
        "if (threadIdx.x == 3) __syncthreads(); else y[0] = __shfl_xor_sync(~0u, 1.0f, 1);"
    ),
    "not all threads of the block reach": (
        "if (threadIdx.x <= 40 && threadIdx.x != 35) __syncthreads(); else __syncwarp();"
    ),
    "wait at different lines": (
        "if (threadIdx.x % 2)\n __syncwarp();\n else\n y[0] = __shfl_xor_sync(~0u, 1.0f, 1);"
    ),
    "not in its own mask": "__syncwarp(1);",
}


@pytest.mark.parametrize("what", DEADLOCKS)
def test_barrier_that_some_threads_do_not_reach_is_an_error(what):
    with pytest.raises(DeviceFault, match=rf"k: block .*thread .*line \d+: .*{what}") as found:
        run(DEADLOCKS[what])
    assert "\n" not in str(found.value)


def test_lane_that_is_not_there_gives_nan():
    y = run("y[threadIdx.x] = __shfl_xor_sync(~0u, 1.0f, 8);", block=40)
    assert np.isnan(y[32:40]).all() and (y[:32] == 1).all() and (y[40:] == 0).all()


@pytest.mark.parametrize("kind", ["float", "double", "int"])
def test_a_shuffle_gives_each_lane_the_value_of_the_one_apart(kind):
    body = f"{kind} v = threadIdx.x; y[threadIdx.x] = __shfl_xor_sync(~0u, v, 9);"
    np.testing.assert_array_equal(run(body, block=32, size=32), np.arange(32) ^ 9)


def test_shared_memory_begins_as_nan_in_each_block():
    body = "__shared__ float s[2]; y[blockIdx.x] = s[0]; __syncthreads(); s[0] = 1;"
    assert np.isnan(run(body, block=1, grid=3)[:3]).all()
    k = kernel("extern __shared__ double s[]; y[blockIdx.x] = s[0]; s[0] = 1;")
    y = cupy.zeros(3, np.float32)
    k((3,), (1,), (y,), shared_mem=8)
    assert np.isnan(y.get()).all()


FAULTS = {
    "outside an array of 256 bytes": "y[threadIdx.x + 1] = 1;",
    "an illegal memory access": "if (threadIdx.x == 0) *(float*)8 = 1;",
    "a misaligned address": "*(float4*)(y + threadIdx.x) = float4{1, 2, 3, 4};",
    "an index outside of an array": "__shared__ float s[8]; s[threadIdx.x] = 1;",
    "an integer was divided by zero": "y[threadIdx.x] = 7 / (int)y[0];",
    "beyond its end": "extern __shared__ float s[]; s[threadIdx.x] = 1;",
}


@pytest.mark.parametrize("what", FAULTS)
def test_access_outside_of_memory_is_an_error(what):
    with pytest.raises(DeviceFault, match=what):
        run(FAULTS[what])


def test_process_goes_on_after_a_fault():
    for body in FAULTS.values():
        with pytest.raises(DeviceFault):
            run(body)
    assert run("y[threadIdx.x] = 1;").sum() == 64


def test_reading_beyond_an_array_gives_nan():
    y = cupy.empty(4, np.float32)
    kernel("y[threadIdx.x] = x[threadIdx.x];", "const float* x, float* y")(
        (1,), (4,), (cupy.ones(3, np.float32), y)
    )
    assert np.isnan(y.get()[3])


def test_arguments_must_be_what_the_kernel_declares():
    y, z = cupy.zeros(4, np.float32), cupy.zeros(4, np.float64)
    typed = kernel("", "float* y, int n, float a, double b, long long m, bool c, const char* t")
    good = (y, np.int32(1), np.float32(1), 1.0, 2, np.bool_(True), cupy.zeros(1, np.int8))
    typed((1,), (1,), good)
    typed((1,), (1,), (y.data, *good[1:]))
    typed((1,), (1,), (np.intp(0), *good[1:]))
    wrong = {
        0: [z, np.zeros(4, np.float32), None, 1.0, cupy.zeros(4, np.int32)],
        1: [1, np.int64(1), np.float32(1), True],
        2: [1.0, np.float64(1), 1],
        3: [np.float32(1), 1],
        4: [np.int32(1), 1.0],
        5: [True, np.int32(1)],
        6: [z],
    }
    for position, bad in wrong.items():
        for value in bad:
            args = list(good)
            args[position] = value
            with pytest.raises(TypeError, match=f"k: argument {position}"):
                typed((1,), (1,), args)
    with pytest.raises(TypeError, match="6 arguments; the kernel declares 7"):
        typed((1,), (1,), good[:-1])


LIMITS = {
    "grid": [dict(grid=(0,)), dict(grid=(1, 65_536)), dict(grid=(2**31,))],
    "block": [dict(block=(0,)), dict(block=(1025,)), dict(block=(2, 2, 65))],
    "1056 threads": [dict(block=(33, 32))],
    "shared memory": [dict(shared=(48 << 10) + 1), dict(shared=228 << 10)],
}


@pytest.mark.parametrize("what", LIMITS)
def test_launches_that_a_gpu_refuses_are_refused(what):
    k = kernel("")
    y = cupy.zeros(1, np.float32)
    for case in LIMITS[what]:
        with pytest.raises(CUDADriverError, match=what):
            k(
                case.get("grid", (1,)),
                case.get("block", (1,)),
                (y,),
                shared_mem=case.get("shared", 0),
            )


def test_more_shared_memory_must_be_asked_for():
    k = kernel("extern __shared__ float s[]; s[n - 1] = 1; y[0] = s[n - 1];", "float* y, int n")
    y, n = cupy.zeros(1, np.float32), 20_000
    k.max_dynamic_shared_size_bytes = 4 * n
    k((1,), (1,), (y, np.int32(n)), shared_mem=4 * n)
    assert y.get()[0] == 1
    with pytest.raises(CUDADriverError, match="at most 232448"):
        k.max_dynamic_shared_size_bytes = 232_449


def test_launch_bounds_are_kept_to():
    code = 'extern "C" __global__ void __launch_bounds__(128) k(float* y) {}'
    k = cupy.RawKernel(code, "k")
    k((1,), (128,), (cupy.zeros(1, np.float32),))
    with pytest.raises(CUDADriverError, match="256 threads in a block; at most 128"):
        k((1,), (256,), (cupy.zeros(1, np.float32),))


def test_compiler_options_define_names_and_errors_name_the_line():
    y = run("y[threadIdx.x] = COUNT;", options=("-DCOUNT=7",))
    assert (y == 7).all()
    with pytest.raises(CompileException, match=r"k\.cu:3:.*fiberIdx"):
        run("\n y[fiberIdx.x] = 1;")
