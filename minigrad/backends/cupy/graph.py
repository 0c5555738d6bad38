"""What a recorded step needs of CUDA: a stream, a graph with its own memory, and copies to it."""

from __future__ import annotations

import importlib
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from minigrad.backends import Array, on_host
from minigrad.backends.arrays import empty

__all__ = ["Feed", "Results", "StepGraph", "own_stream", "same_memory"]

Spec = tuple[tuple[int, ...], Any]  # an array's shape and dtype
_LINE = 256  # bytes: where arrays begin in a block of memory, as cudaMalloc's do
_BUFFERS = 2  # blocks of host memory: one is being copied from while the other is written to


class _Thread(threading.local):
    """The stream of a thread's work, once it has one."""

    stream: Any = None


_thread = _Thread()


def own_stream() -> Any:
    """The stream of this thread's work on the GPU, which is not the default stream.

    Work on the default stream cannot be recorded. A thread that still uses it gets a stream of
    its own, for good, which goes on where the default stream has ended.
    """
    cuda = importlib.import_module("cupy").cuda
    current = cuda.get_current_stream()
    if current.ptr != cuda.Stream.null.ptr:
        return current
    if _thread.stream is None:
        _thread.stream = cuda.Stream(non_blocking=True)
    _thread.stream.wait_event(cuda.Stream.null.record(cuda.Event(disable_timing=True)))
    # entered and never left: the end of any `with stream:` forgets what `use()` has made current
    return _thread.stream.__enter__()


def same_memory(array: Array) -> Array:
    """Another array over the memory of one; it keeps the memory, but not the array."""
    return type(array)(array.shape, array.dtype, array.data, array.strides)


class _Block:
    """Memory of a pool that arrays lie in, and keep."""

    __slots__ = ("__weakref__", "pointer")
    pointer: Any


class StepGraph:
    """A recorded step: work on the GPU that is launched as a whole, and the memory it works in.

    The graph holds addresses, not arrays. So all that is allocated while it is recorded comes from
    a pool of its own, which lives as long as the graph and serves nobody else: what a replay
    writes to can be nobody else's memory.
    """

    def __init__(self) -> None:
        cupy = importlib.import_module("cupy")
        free_dropped_pools()
        self.stream = own_stream()
        self._cuda = cupy.cuda
        self._pool = cupy.cuda.MemoryPool()
        self._lent: dict[int, tuple[weakref.ref[_Block], int]] = {}  # to the last step, by address
        self._graphs: list[Any] = []  # the recorded one, if it is
        self._is_recording = False
        # the pool must not be garbage beside the graph, where its arrays would lose sight of it
        drop = weakref.finalize(self, _drop, self._graphs, self._pool, self.stream)
        drop.atexit = False

    @contextmanager
    def memory(self) -> Iterator[None]:
        """Arrays made inside come from the pool: first in the steps before, which fill it."""
        self._lent = {}
        with self._cuda.using_allocator(self._malloc):
            yield

    def _malloc(self, size: int) -> Any:
        block = _Block()
        block.pointer = pointer = self._pool.malloc(size)
        if size:
            self._lent[pointer.ptr] = weakref.ref(block), size
        owned = self._cuda.UnownedMemory(pointer.ptr, size, block, pointer.device_id)
        return self._cuda.MemoryPointer(owned, 0)

    def has_lent(self, array: Array) -> bool:
        """Whether an array lies in memory that the last step got from the pool."""
        return not on_host(array) and array.data.mem.ptr in self._lent

    def loan_at(self, address: int) -> object:
        """What stands for the memory that was got last at an address; None where none was."""
        return self._lent.get(address)

    def in_use(self, but: Iterable[Array]) -> dict[int, int]:
        """The memory of the last step that somebody still refers to: bytes by address.

        Args:
            but: Arrays whose memory is left out.
        """
        known = {array.data.mem.ptr for array in but}
        return {
            address: size
            for address, (block, size) in self._lent.items()
            if block() is not None and address not in known
        }

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Work given to the stream inside is recorded and not done.

        Raises:
            Exception: What is inside, or CUDA, found something that cannot be recorded. The
                recording has ended, and nothing of it has been done.
        """
        with _beginning:
            self.stream.begin_capture()
            self._is_recording = True
        try:
            with self.memory():
                yield
        except BaseException:
            with suppress(Exception):  # the first error says more
                self.end()
            self._graphs.clear()
            raise
        self.end()

    def end(self) -> None:
        """End the recording, where it has not ended.

        Raises:
            Exception: Something inside has spoilt it, such as a wait for the GPU.
        """
        if self._is_recording:
            self._is_recording = False
            self._graphs[:] = [self.stream.end_capture()]

    def launch(self) -> None:
        """Do the work; returns at once."""
        self._graphs[0].launch(self.stream)

    def launch_once(self) -> None:
        """Do the work of a recording that will not be replayed."""
        self._graphs.pop().launch(self.stream)


_dropped_pools: deque[tuple[Any, Any]] = deque()  # with the streams that they were used on
_beginning = threading.RLock()  # of a recording; another thread may be about to wait for its stream


def _drop(graphs: list[Any], pool: Any, stream: Any) -> None:
    """Let go of what was recorded, and of its memory."""
    with suppress(Exception):  # of CuPy's on a lost GPU
        graphs.clear()
        _dropped_pools.append((pool, stream))
        free_dropped_pools()


def free_dropped_pools() -> None:
    """Give back the memory of graphs that are gone, as far as no array lies in it any more.

    CuPy does not: the free blocks of a pool and its lists of them refer to each other.
    """
    with _beginning:
        for _ in range(len(_dropped_pools)):
            pool, stream = _dropped_pools.popleft()
            if not _is_capturing(stream):  # or it must not be waited for
                stream.synchronize()  # a replay may still be working in the pool
                pool.free_all_blocks()
            if pool.total_bytes():
                _dropped_pools.append((pool, stream))


def _is_capturing(stream: Any) -> bool:
    """Whether a stream is being recorded, be it to no end."""
    try:
        return bool(stream.is_capturing())
    except RuntimeError:  # so CuPy answers where something has spoilt the recording
        return True


class Feed:
    """Arrays on the GPU that the host refills before each replay, all of them by one copy.

    While a replay runs, the next values are written to pinned memory and copied beside it, on
    another stream, to a second block on the GPU; only from there, when the replay has ended, they
    are copied to where the graph reads them. Two blocks take turns, so that the host waits for a
    copy only where it is two replays ahead.

    Args:
        specs: The shapes and dtypes of the arrays.

    Attributes:
        arrays: The arrays on the GPU, whose addresses never change.
    """

    def __init__(self, specs: Sequence[Spec], stream: Any) -> None:
        cupy = importlib.import_module("cupy")
        self._is_empty = not specs
        starts, size = [], 0
        for shape, dtype in specs:
            starts.append(size)
            size += -(-int(np.prod(shape)) * np.dtype(dtype).itemsize // _LINE) * _LINE

        size = max(size, _LINE)

        def cut(block: Array) -> list[Array]:
            parts = []
            for (shape, dtype), start in zip(specs, starts, strict=True):
                stop = start + int(np.prod(shape)) * np.dtype(dtype).itemsize
                parts.append(block[start:stop].view(dtype).reshape(shape))
            return parts

        self._block = cupy.empty(size, np.uint8)
        self.arrays = cut(self._block)
        pinned = importlib.import_module("cupyx").empty_pinned
        self._pinned = [pinned(size, np.uint8) for _ in range(_BUFFERS)]
        self._hosts = [cut(block) for block in self._pinned]
        self._waiting = [cupy.empty(size, np.uint8) for _ in range(_BUFFERS)]
        self._stream, self._copies = stream, cupy.cuda.Stream(non_blocking=True)
        self._copied, self._taken = (
            [cupy.cuda.Event(disable_timing=True) for _ in range(_BUFFERS)] for _ in range(2)
        )
        self._copies.wait_event(stream.record())  # the blocks may be somebody's until now
        self._turn = 0

    def begin(self) -> list[np.ndarray[Any, Any]]:
        """NumPy arrays in pinned memory, one for each of `arrays`, to write the next values to."""
        self._turn = (self._turn + 1) % _BUFFERS
        self._copied[self._turn].synchronize()
        return self._hosts[self._turn]

    def send(self) -> None:
        """Have what was written copied to `arrays` as soon as the work given so far is done."""
        if self._is_empty:
            return
        turn, copied, taken = self._turn, self._copied[self._turn], self._taken[self._turn]
        self._copies.wait_event(taken)
        self._waiting[turn].set(self._pinned[turn], stream=self._copies)
        copied.record(self._copies)
        self._stream.wait_event(copied)
        self._block[...] = self._waiting[turn]
        taken.record(self._stream)

    def __del__(self) -> None:
        with suppress(Exception):  # pinned memory may be used again when its copy has ended
            for event in self._copied:
                event.synchronize()


class Results:
    """Arrays that a graph fills at each replay, and copies of them that outlive the next one.

    Small arrays of one dtype are put side by side by the graph itself, so that one copy does for
    all of them. Make it while the graph is recorded.

    Args:
        arrays: What the step gives.

    Attributes:
        flats: Where they are put.
    """

    def __init__(self, arrays: Sequence[Array]) -> None:
        self._shapes = [array.shape for array in arrays]
        together: dict[Any, list[int]] = {}
        for number, array in enumerate(arrays):
            together.setdefault(array.dtype, []).append(number)
        self._packs = [_packed(arrays, numbers) for numbers in together.values()]
        self.flats = [flat for flat, _ in self._packs]

    def copies(self) -> list[Array]:
        """Copies of the arrays as the work given so far will leave them."""
        found: list[Array] = [None] * len(self._shapes)
        for flat, places in self._packs:
            fresh = flat.copy()
            for number, start, stop in places:
                found[number] = fresh[start:stop].reshape(self._shapes[number])
        return found


def _packed(
    arrays: Sequence[Array], numbers: Sequence[int]
) -> tuple[Array, list[tuple[int, int, int]]]:
    """Arrays of one dtype in a row, and where in it each begins and ends."""
    places, size = [], 0
    for number in numbers:
        places.append((number, size, size + arrays[number].size))
        size += arrays[number].size
    if len(numbers) == 1:
        return arrays[numbers[0]].reshape(-1), places
    flat = empty(arrays[numbers[0]], (size,))
    for number, start, stop in places:
        flat[start:stop] = arrays[number].reshape(-1)
    return flat, places
