"""The stand-in for CuPy: it refuses what CuPy refuses, counts, records, replays, can be late."""

import ctypes
import gc
import inspect
import weakref

import needs
import numpy as np
import pytest
import strict_device
from strict_device import CublasError, CUDARuntimeError, DeviceFault, blas, log
from strict_device.real import parameters_of, real
from strict_device.streams import in_a_thread

cupy = strict_device.module
Stream, Event = cupy.cuda.Stream, cupy.cuda.Event


@pytest.fixture
def stream():
    """A stream of the test's own, which is current."""
    log.reset()
    with Stream(non_blocking=True) as stream:
        yield stream
        left = strict_device.end_captures()
    assert not left
    strict_device.check_guards()


@pytest.fixture
def late(stream):
    """Work waits until the host waits for it."""
    strict_device.settings.late = True
    yield stream
    strict_device.finish_all()
    strict_device.settings.late = False


def on_device(*values, dtype=np.float64):
    return cupy.asarray(np.array(values, dtype))


class Captured:
    """Records what is inside, in memory of its own; `graph` holds it afterwards."""

    def __init__(self, stream):
        self.stream, self.pool = stream, cupy.cuda.MemoryPool()
        weakref.finalize(self, self.pool.free_all_blocks)

    def __enter__(self):
        self.memory = cupy.cuda.using_allocator(self.pool.malloc)
        self.memory.__enter__()
        self.stream.begin_capture()
        return self

    def __exit__(self, *error):
        self.graph = self.stream.end_capture()
        self.memory.__exit__(*error)


# --- what is refused ---------------------------------------------------------------------------


def test_arrays_of_numpy_are_refused(stream):
    x, y = on_device(1, 2), np.ones(2)
    mixes = {
        "add": lambda: x + y,
        "radd": lambda: y + x,
        "inplace": lambda: x.__iadd__(y),
        "matmul": lambda: x @ y,
        "concatenate": lambda: np.concatenate([x, y]),
        "where": lambda: np.where(x > 0, x, y),
        "out": lambda: np.add(x, x, out=y),
        "method": lambda: x.dot(y),
        "implicit": lambda: np.asarray(x),
        "list": lambda: np.add(x, [1, 2]),
    }
    for name, mix in mixes.items():
        with pytest.raises(TypeError):
            mix()
            pytest.fail(name)
    with pytest.raises(ValueError, match="non-scalar"):
        x[...] = y
    with pytest.raises(TypeError):
        x.set(x)
    with pytest.raises(TypeError, match="cannot be set"):
        x.set(np.ones(2, np.float32))


@needs.CUPY
def test_what_cupy_lacks_is_refused(stream):
    x = on_device(1, 2)
    lacking = [
        lambda: np.max(x, initial=0),
        lambda: x.sum(where=x > 0),
        lambda: np.add(x, x, where=x > 0),
        lambda: np.add.reduce(x),
        lambda: np.add.at(x, np.array([0]), 1),
        lambda: cupy.add.at(cupy.zeros(2, np.int64), cupy.zeros(1, int), cupy.ones(1, int)),
        lambda: np.block([x, x]),
        lambda: x.newbyteorder(),
        lambda: x.ctypes,
    ]
    for number, call in enumerate(lacking):
        with pytest.raises((TypeError, AttributeError)):
            call()
            pytest.fail(str(number))


def test_memory_that_is_not_filled_is_no_number(stream):
    for fresh in (cupy.empty(3), np.empty_like(on_device(1)), cupy.ndarray((2,), np.float32)):
        assert np.isnan(fresh.get()).all()
    assert cupy.empty(3, np.int64).get().min() > 1e15
    with pytest.raises(IndexError):
        on_device(1, 2)[cupy.empty(1, np.int64)]


# --- what is counted ------------------------------------------------------------------------------


def test_waits_are_counted_and_asking_for_shapes_is_free(stream):
    x = on_device(1)
    log.reset()
    assert x.shape == (1,) and x.T.strides == (8,) and x.reshape(1, 1)[0].size == len(x) == 1
    assert not log.launches and not log.syncs
    x = x.reshape(())
    readings = {
        "float": float,
        "int": int,
        "bool": bool,
        "item": lambda x: x.item(),
        "get": lambda x: x.get(),
        "tolist": lambda x: x.tolist(),
        "repr": repr,
        "reading by a boolean mask": lambda x: x[x > 0],
        "nonzero": lambda x: np.nonzero(x[None]),
        "stream.synchronize": lambda _: stream.synchronize(),
        "event.synchronize": lambda _: stream.record().synchronize(),
        "device.synchronize": lambda _: cupy.cuda.Device().synchronize(),
    }
    for name, read in readings.items():
        log.reset()
        read(x)
        assert log.syncs == [name]


def test_views_are_free_and_copies_are_work(stream):
    x = on_device(*range(6)).reshape(2, 3)
    log.reset()
    free = [x.T, x[:, 1:], x[None], x.ravel(), x.T.T.reshape(6), np.broadcast_to(x, (4, 2, 3))]
    free += [*np.split(x, 3, axis=1), np.moveaxis(x, 0, 1), x.astype(float, copy=False)]
    assert not log.launches
    assert all(np.shares_memory(y.array, x.array) for y in free)
    for copy in (x.T.reshape(6), x.copy(), x.astype(np.float32), x + 0, x[np.array([0])]):
        assert not np.shares_memory(copy.array, x.array)
    assert log.launches == ["reshape", "copy", "astype", "add", "getitem"]
    assert log.uploads == ["index"]


# --- captures ----------------------------------------------------------------------------------


def test_capture_records_and_a_launch_does_it_on_the_same_memory(stream):
    x = on_device(1, 2, 3, 4)
    part = x.reshape(2, 2)[:, 1]
    with Captured(stream) as capture:
        part *= 10
        y = x + 1
        z = np.concatenate([y, x])[::2]
        y[0] = 7
        copied = x.reshape(2, 2).T.reshape(4)
    assert x.get().tolist() == [1, 2, 3, 4]
    assert np.isnan([*y.get(), *z.get(), *copied.get()]).all()
    log.reset()
    for k in (1, 2):
        capture.graph.launch()
        now = [1, 2 * 10**k, 3, 4 * 10**k]
        assert x.get().tolist() == now
        assert y.get().tolist() == [7, *[value + 1 for value in now[1:]]]
        assert z.get().tolist() == [2, 4, 1, 3]
        assert copied.get().tolist() == [now[0], now[2], now[1], now[3]]
    # before a strided array is read it is copied on the device
    assert log.launches == ["graph", "get"] * 2 and log.nodes == 2 * 5


COPIES = {
    "get": lambda x: x.get(),
    "float": lambda x: float(x.sum()),
    "bool": lambda x: bool(x.all()),
    "asarray": lambda x: cupy.asarray(np.ones(2)),
    "set": lambda x: x.set(np.ones(2)),
    "set on another stream's behalf": lambda x: x.set(np.ones(2), cupy.cuda.get_current_stream()),
    "index": lambda x: x[np.array([0])],
    "list": lambda x: x[[0]],
    "mask": lambda x: x[x > 0],
    "writing by a mask": lambda x: x.__setitem__(x > 0, 0),
    "adding by a mask": lambda x: cupy.add.at(x, x > 0, x),
    "a number by index": lambda x: x.__setitem__(np.argmax(x, keepdims=True), 0),
    "nonzero": lambda x: np.nonzero(x),
    "where": lambda x: np.where(x > 0),
}
SPOILING = {
    "sort": lambda x: np.sort(x),
    "synchronize": lambda x: cupy.cuda.get_current_stream().synchronize(),
    "done": lambda x: cupy.cuda.get_current_stream().done,
    "device": lambda x: cupy.cuda.Device().synchronize(),
}


@pytest.mark.parametrize("what", COPIES)
def test_copies_are_refused_in_a_capture_which_goes_on(what, stream):
    x = on_device(1, 2)
    log.reset()
    with Captured(stream) as capture:
        x += 1
        with pytest.raises(RuntimeError, match=r"capturing, so (H2D|D2H) transfers are disall"):
            COPIES[what](x)
    assert not log.uploads and not log.downloads and not log.syncs
    capture.graph.launch()
    assert x.get().tolist() == [2, 3]


@pytest.mark.parametrize("what", SPOILING)
def test_waits_are_refused_in_a_capture_and_spoil_it(what, stream):
    x = on_device(1, 2)
    stream.begin_capture()
    x += 1
    with pytest.raises(CUDARuntimeError, match="cudaErrorStreamCaptureUnsupported"):
        SPOILING[what](x)
    with pytest.raises(CUDARuntimeError, match="cudaErrorStreamCaptureInvalidated"):
        stream.end_capture()
    assert x.get().tolist() == [1, 2] and not stream.is_capturing()


@pytest.mark.parametrize("product", [np.matmul, np.dot, np.inner, np.tensordot, np.outer])
def test_products_of_cupy_are_refused_in_a_capture(product, stream):
    x = cupy.ones((2, 2))
    with Captured(stream), pytest.raises(NotImplementedError, match="cuBLAS API during stream"):
        product(x, x)


def test_streams_that_cannot_be_captured_say_so(stream):
    with pytest.raises(RuntimeError, match="default"):
        Stream.null.begin_capture()
    with pytest.raises(CUDARuntimeError, match="non_blocking"):
        Stream().begin_capture()
    with pytest.raises(CUDARuntimeError, match="cudaErrorIllegalState"):
        stream.end_capture()


def test_other_streams_join_a_capture_by_events_and_must_come_back(stream):
    x, other = on_device(1), Stream(non_blocking=True)

    def forked():
        fork = stream.record()
        other.wait_event(fork)
        with other:
            x.__iadd__(1)
        return other.record()

    with Captured(stream) as capture:
        stream.wait_event(forked())
    assert x.get() == 1
    capture.graph.launch()
    assert x.get() == 2 and not other.is_capturing()
    stream.begin_capture()
    forked()
    with pytest.raises(CUDARuntimeError, match="Unjoined"):
        stream.end_capture()


def test_work_on_another_stream_is_not_recorded(stream):
    x = on_device(1)
    with Captured(stream) as capture, Stream(non_blocking=True):
        x += 1
    capture.graph.launch()
    assert x.get() == 2


def test_graph_may_not_use_memory_that_was_freed(stream):
    x, y = on_device(1, 2), on_device(3, 4)
    with Captured(stream) as capture:
        x *= y + y  # the sum is freed, but its pool lives on
    capture.graph.launch()
    assert x.get().tolist() == [6, 16]
    del y
    with pytest.raises(DeviceFault, match="the graph's add uses memory that has been freed"):
        capture.graph.launch()
    with Captured(stream) as capture:
        x *= x + x
    capture.graph.launch()
    capture.pool.free_all_blocks()
    with pytest.raises(DeviceFault, match="uses memory that has been freed"):
        capture.graph.launch()


def test_a_pool_that_is_dropped_with_free_blocks_leaks_them(stream):
    """CuPy's arenas hold the free blocks, and these their arena."""
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        x, y = cupy.ones(3), cupy.ones(3)
    del x, pool
    with pytest.raises(DeviceFault, match="dropped with 512 bytes of free blocks"):
        strict_device.check_guards()
    del y  # it had not been free, so that it went with its array
    strict_device.check_guards()


def test_graph_may_not_use_what_the_common_pool_takes_back(stream):
    x = on_device(1, 2)
    stream.begin_capture()
    x *= x + x
    graph = stream.end_capture()
    with pytest.raises(DeviceFault, match="uses memory that has been freed"):
        graph.launch()


def test_pool_gives_a_freed_block_again_and_has_a_limit(stream):
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        x = cupy.ones(1000)
        address = x.data.ptr
        assert address % 512 == 0 and pool.used_bytes() == 8192
        del x
        assert pool.used_bytes() == 0
        x = cupy.empty(1010)
        assert x.data.ptr == address and np.isnan(x.get()).all()
        pool.set_limit(10_000)
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="Out of memory allocating"):
            cupy.empty(1000)
    with Stream(non_blocking=True), cupy.cuda.using_allocator(pool.malloc):
        del x
        pool.set_limit(0)
        assert cupy.empty(1010).data.ptr != address  # it goes round on the stream that it came to
    pool.free_all_blocks()


# --- late work ------------------------------------------------------------------------------------


def test_late_work_is_done_when_the_host_waits(late):
    x = on_device(1, 2)
    y = x + 1
    inside = y.array.copy()
    assert np.isnan(inside).all() or inside.tolist() != [2, 3]
    event = late.record()
    z = y * 2
    event.synchronize()
    assert y.array.tolist() == [2, 3] and z.array.tolist() != [4, 6]
    assert not late.done and z.get().tolist() == [4, 6] and late.done


def test_late_copy_from_pinned_memory_reads_what_is_there_then(late):
    host, x, y = strict_device.extras.empty_pinned(2), cupy.empty(2), cupy.empty(2)
    plain = np.array([1.0, 2.0])
    host[:] = plain
    x.set(host)
    y.set(plain)
    host[:], plain[:] = 7, 7  # too early for the pinned one
    assert x.get().tolist() == [7, 7] and y.get().tolist() == [1, 2]
    host[:] = 3
    x.set(host)
    late.synchronize()
    host[:] = 4
    assert x.get().tolist() == [3, 3]
    x.set(host)
    del host
    with pytest.raises(DeviceFault, match="pinned memory was freed"):
        x.get()


def test_streams_that_do_not_wait_for_each_other_see_what_was_not_done(late):
    x, other = on_device(1, 2), Stream(non_blocking=True)
    y = cupy.empty(2)
    late.synchronize()
    x += 1
    with other:
        y[...] = x
        assert y.get().tolist() == [1, 2]
        other.wait_event(late.record())
        y[...] = x
        assert y.get().tolist() == [2, 3]


# --- streams of threads ---------------------------------------------------------------------------


def test_current_stream_is_the_threads_own_and_is_kept_alive(stream):
    def use():
        before = cupy.cuda.get_current_stream().ptr
        own = Stream(non_blocking=True).use().ptr
        gc.collect()
        return before, cupy.cuda.get_current_stream().ptr == own

    assert in_a_thread(use) == (0, True)
    assert cupy.cuda.get_current_stream() is stream


def test_what_use_has_made_current_is_forgotten_at_the_end_of_the_next_with():
    """CuPy goes back to the stream that was entered last, of whichever stream the block was."""

    def use():
        used, other, entered = (Stream(non_blocking=True) for _ in range(3))
        found = [used.use() is cupy.cuda.get_current_stream()]
        with other:
            pass
        found.append(cupy.cuda.get_current_stream() is Stream.null)
        entered.__enter__()
        with other:
            used.use()
        found.append(cupy.cuda.get_current_stream() is entered)
        used.use()
        cupy.ones((2, 3)).T.get()  # CuPy enters the stream to make a contiguous copy
        return [*found, cupy.cuda.get_current_stream() is entered]

    assert in_a_thread(use) == [True] * 4


# --- cuBLAS ---------------------------------------------------------------------------------------


class Products:
    """A handle on a stream, with a workspace."""

    def __init__(self, stream):
        handle = ctypes.c_void_p()
        blas.cublasCreate_v2(ctypes.byref(handle))
        self.handle = handle.value
        self.workspace = cupy.empty(1 << 10, np.uint8)
        self.place(stream)

    def place(self, stream):
        blas.cublasSetStream_v2(self.handle, stream.ptr)
        blas.cublasSetWorkspace_v2(self.handle, self.workspace.data.ptr, 1 << 10)


def test_wrong_calls_of_cublas_are_refused(stream):
    products, x = Products(stream), cupy.ones((4, 4))
    one = np.ones(1)

    def gemm(m=4, n=4, k=4, leading=4, at=0):
        blas.cublasDgemm_v2_64(
            products.handle, 0, 0, m, n, k, one.ctypes.data, x.data.ptr + at, leading,
            x.data.ptr, 4, one.ctypes.data, x.data.ptr, 4,
        )  # fmt: skip

    for wrong in (dict(leading=3), dict(m=5, leading=5), dict(at=8), dict(at=4), dict(k=-1)):
        with pytest.raises(CublasError):
            gemm(**wrong)
    blas.cublasSetStream_v2(products.handle, stream.ptr)  # which takes the workspace away
    stream.begin_capture()
    with pytest.raises(CUDARuntimeError, match="cublasSetWorkspace after cublasSetStream"):
        gemm()
    stream.end_capture()
    with pytest.raises(CublasError, match="no memory of ours"):
        blas.cublasSetWorkspace_v2(products.handle, x.data.ptr, 1 << 20)


def test_a_workspace_is_of_one_handle_and_one_stream_and_lives_as_long(stream):
    products, other, x = Products(stream), Stream(non_blocking=True), cupy.ones((4, 4))
    one = np.ones(1)

    def gemm():
        blas.cublasDgemm_v2_64(
            products.handle, 0, 0, 4, 4, 4, one.ctypes.data, x.data.ptr, 4,
            x.data.ptr, 4, one.ctypes.data, x.data.ptr, 4,
        )  # fmt: skip

    with pytest.raises(CublasError, match="two streams or threads"):
        products.place(other)
    second = Products(other)
    second.workspace = products.workspace
    with pytest.raises(CublasError, match="two streams or threads"):
        second.place(other)
    products.place(stream)
    with Captured(stream) as capture:
        gemm()
    del products.workspace, second.workspace
    with pytest.raises(CublasError, match="has been freed"):
        gemm()
    with pytest.raises(DeviceFault, match="gemm uses memory that has been freed"):
        capture.graph.launch()


# --- that CuPy has what the stand-in has ----------------------------------------------------------


def public(holder):
    return {name: getattr(holder, name) for name in dir(holder) if not name.startswith("_")}


PAIRS = {
    "cupy": lambda: (cupy, real),
    "cupy.ndarray": lambda: (cupy.ndarray, real.ndarray),
    "cupy.cuda": lambda: (cupy.cuda, real.cuda),
    "cupy.cuda.runtime": lambda: (cupy.cuda.runtime, real.cuda.runtime),
    "cupy.cuda.memory": lambda: (cupy.cuda.memory, real.cuda.memory),
    "cupy.cuda.driver": lambda: (cupy.cuda.driver, real.cuda.driver),
    "cupy.cuda.compiler": lambda: (cupy.cuda.compiler, real.cuda.compiler),
    "Stream": lambda: (Stream, real.cuda.Stream),
    "Event": lambda: (Event, real.cuda.Event),
    "Graph": lambda: (cupy.cuda.Graph, real.cuda.Graph),
    "MemoryPool": lambda: (cupy.cuda.MemoryPool, real.cuda.MemoryPool),
    "MemoryPointer": lambda: (cupy.cuda.MemoryPointer, real.cuda.MemoryPointer),
    "Device": lambda: (cupy.cuda.Device, real.cuda.Device),
    "RawKernel": lambda: (cupy.RawKernel, real.RawKernel),
    "cupyx": lambda: (strict_device.extras, __import__("cupyx")),
}
OURS = {  # what makes the stand-in work, and is no part of CuPy
    "cupy.ndarray": {"array", "allocation", "kind"},
    "Stream": {"submit", "wait_for", "finish"},
    "MemoryPool": {"take_back"},
    "RawKernel": {"parameters"},
}


def signature(function):
    """The parameters' names and defaults, of compiled functions out of their docstrings."""
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        pass
    try:
        return parameters_of(function.__doc__)
    except (AttributeError, IndexError):
        return None


@needs.CUPY
@pytest.mark.parametrize("where", PAIRS)
def test_cupy_has_everything_that_the_stand_in_has(where):
    ours, theirs = PAIRS[where]()
    lacking = set(public(ours)) - OURS.get(where, set()) - set(dir(theirs))
    assert not lacking
    compared = 0
    for name, value in public(ours).items():
        other = getattr(theirs, name, None)
        if not inspect.isfunction(value) or other is None:
            continue
        mine, its = signature(value), signature(other)
        if its is None or mine is None or {"args", "kwargs", "*"} & {*mine, *its}:
            continue
        mine, its = ([n for n in names if n != "self"] for names in (mine, its))
        assert mine == its[: len(mine)] or set(mine) <= set(its), f"{where}.{name}: {mine}, {its}"
        compared += 1
    assert compared or where not in ("cupy", "Stream", "MemoryPool", "cupyx")


@needs.CUPY
def test_every_method_is_checked_against_cupys_parameters():
    from strict_device.arrays import METHODS

    for name in METHODS.split():
        assert parameters_of(getattr(real.ndarray, name).__doc__) is not None
    assert parameters_of(real.ndarray.sum.__doc__) == ["axis", "dtype", "out", "keepdims"]
    assert parameters_of(real.ndarray.reshape.__doc__)[0] == "*"
