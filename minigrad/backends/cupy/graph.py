"""What a recorded step needs of CUDA: a stream, a graph with its own memory, and copies to it.

`StepGraph` is the recorded step, `Feed` copies new input values to it before a replay, and
`Results` copies its outputs after a replay.
"""

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
_LINE = 256  # bytes: the alignment of arrays in a block of memory, the same as cudaMalloc's
_BUFFERS = 2  # blocks of host memory: one is written to while the other is copied to the GPU


class _Thread(threading.local):
    """The stream that this module made for a thread; None before it made one."""

    stream: Any = None


_thread = _Thread()


def own_stream() -> Any:
    """The current stream of this thread, which this function makes another than the default stream.

    Work on the default stream cannot be recorded. A thread that still uses the default stream gets
    a stream of its own, which stays current from then on. The new stream waits for the work given
    to the default stream so far.
    """
    cuda = importlib.import_module("cupy").cuda
    current = cuda.get_current_stream()
    if current.ptr != cuda.Stream.null.ptr:
        return current
    if _thread.stream is None:
        _thread.stream = cuda.Stream(non_blocking=True)
    _thread.stream.wait_event(cuda.Stream.null.record(cuda.Event(disable_timing=True)))
    # entered and never left: after `use()`, the end of any `with stream:` would reset the stream
    return _thread.stream.__enter__()


def same_memory(array: Array) -> Array:
    """A new array over the same memory; it keeps the memory alive, but not the given array."""
    return type(array)(array.shape, array.dtype, array.data, array.strides)


class _Block:
    """A block of a pool's memory, which the arrays in it keep alive."""

    __slots__ = ("__weakref__", "pointer")
    pointer: Any


class StepGraph:
    """A recorded step: a CUDA graph, which is launched as a whole, and the memory that it uses.

    The graph holds addresses, not arrays. So all memory allocated during the recording comes from
    a pool of its own, which lives as long as the graph and is used for nothing else. A replay
    therefore never writes to memory that was reused for something else.
    """

    def __init__(self) -> None:
        cupy = importlib.import_module("cupy")
        free_dropped_pools()
        self.stream = own_stream()
        self._cuda = cupy.cuda
        self._pool = cupy.cuda.MemoryPool()
        self._lent: dict[int, tuple[weakref.ref[_Block], int]] = {}  # to the last step, by address
        self._graphs: list[Any] = []  # the CUDA graph, once it is recorded
        self._is_recording = False
        # `drop` keeps the pool alive when the graph is collected, as arrays may still lie in it
        drop = weakref.finalize(self, _drop, self._graphs, self._pool, self.stream)
        drop.atexit = False

    @contextmanager
    def memory(self) -> Iterator[None]:
        """Take all new arrays inside from the pool; the warm-up steps use this too, and fill it."""
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
        """Whether an array lies in memory that the last step took from the pool."""
        return not on_host(array) and array.data.mem.ptr in self._lent

    def loan_at(self, address: int) -> object:
        """The entry of the last block taken at an address, to compare by `is`; None without one."""
        return self._lent.get(address)

    def in_use(self, but: Iterable[Array]) -> dict[int, int]:
        """The last step's memory that is still referred to: the number of bytes by address.

        Args:
            but: Arrays whose memory is left out of the result.
        """
        known = {array.data.mem.ptr for array in but}
        return {
            address: size
            for address, (block, size) in self._lent.items()
            if block() is not None and address not in known
        }

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record the work given to the stream inside, without running it.

        Raises:
            Exception: The code inside, or CUDA, found something that cannot be recorded. The
                recording has ended, and none of its work was run.
        """
        with _beginning:
            self.stream.begin_capture()
            self._is_recording = True
        try:
            with self.memory():
                yield
        except BaseException:
            with suppress(Exception):  # the first error is the useful one
                self.end()
            self._graphs.clear()
            raise
        self.end()

    def end(self) -> None:
        """End the recording, unless it has ended already.

        Raises:
            Exception: Something inside has invalidated the recording, such as a wait for the GPU.
        """
        if self._is_recording:
            self._is_recording = False
            self._graphs[:] = [self.stream.end_capture()]

    def launch(self) -> None:
        """Replay the recorded work; the call returns before the work is done."""
        self._graphs[0].launch(self.stream)

    def launch_once(self) -> None:
        """Launch the recorded work once and drop the graph; it is not replayed."""
        self._graphs.pop().launch(self.stream)


_dropped_pools: deque[tuple[Any, Any]] = deque()  # pairs (pool, the stream it was used on)
_beginning = (
    threading.RLock()
)  # so that no recording begins while another thread waits for a stream


def _drop(graphs: list[Any], pool: Any, stream: Any) -> None:
    """Drop a graph and free its memory."""
    with suppress(Exception):  # CuPy raises on a lost GPU
        graphs.clear()
        _dropped_pools.append((pool, stream))
        free_dropped_pools()


def free_dropped_pools() -> None:
    """Free the pool memory of dropped graphs, as far as no array lies in it any more.

    CuPy does not free it: a pool's free blocks and its lists of free blocks refer to each other.
    """
    with _beginning:
        for _ in range(len(_dropped_pools)):
            pool, stream = _dropped_pools.popleft()
            if not _is_capturing(stream):  # a stream that is captured must not be waited for
                stream.synchronize()  # a replay may still use the pool
                pool.free_all_blocks()
            if pool.total_bytes():
                _dropped_pools.append((pool, stream))


def _is_capturing(stream: Any) -> bool:
    """Whether a stream is being captured, also where the capture is already invalid."""
    try:
        return bool(stream.is_capturing())
    except RuntimeError:  # CuPy raises it where something has invalidated the capture
        return True


class Feed:
    """Input arrays on the GPU that the host refills before each replay, all with one copy.

    While a replay runs, the host writes the next values to pinned memory, and a second stream
    copies them to a staging block on the GPU. When the replay has ended, they are copied from the
    staging block to the arrays that the graph reads. There are two blocks of each kind, used in
    turn, so the host waits for a copy only when it is two replays ahead.

    Args:
        specs: The shapes and dtypes of the arrays.
        stream: The stream that the graph is replayed on.

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
        self._staging = [cupy.empty(size, np.uint8) for _ in range(_BUFFERS)]
        self._stream, self._copies = stream, cupy.cuda.Stream(non_blocking=True)
        self._copied, self._taken = (
            [cupy.cuda.Event(disable_timing=True) for _ in range(_BUFFERS)] for _ in range(2)
        )
        self._copies.wait_event(stream.record())  # earlier work may still use the blocks' memory
        self._turn = 0

    def begin(self) -> list[np.ndarray[Any, Any]]:
        """The NumPy arrays in pinned memory, one per array of `arrays`, to write new values to."""
        self._turn = (self._turn + 1) % _BUFFERS
        self._copied[self._turn].synchronize()
        return self._hosts[self._turn]

    def send(self) -> None:
        """Copy the written values to `arrays` on the GPU, after all work given to it so far."""
        if self._is_empty:
            return
        turn, copied, taken = self._turn, self._copied[self._turn], self._taken[self._turn]
        self._copies.wait_event(taken)
        self._staging[turn].set(self._pinned[turn], stream=self._copies)
        copied.record(self._copies)
        self._stream.wait_event(copied)
        self._block[...] = self._staging[turn]
        taken.record(self._stream)

    def __del__(self) -> None:
        with suppress(Exception):  # pinned memory must not be freed before its copy has ended
            for event in self._copied:
                event.synchronize()


class Results:
    """Output arrays that a graph fills at each replay, and copies that outlive the next replay.

    The graph itself puts the arrays of one dtype one after the other into a flat array, so that
    one copy per dtype is enough. Make this object while the graph is recorded.

    Args:
        arrays: The outputs of the step.

    Attributes:
        flats: The flat arrays, one for each dtype.
    """

    def __init__(self, arrays: Sequence[Array]) -> None:
        self._shapes = [array.shape for array in arrays]
        together: dict[Any, list[int]] = {}
        for number, array in enumerate(arrays):
            together.setdefault(array.dtype, []).append(number)
        self._packs = [_packed(arrays, numbers) for numbers in together.values()]
        self.flats = [flat for flat, _ in self._packs]

    def copies(self) -> list[Array]:
        """Copies of the arrays, made on the GPU after all work given to it so far."""
        found: list[Array] = [None] * len(self._shapes)
        for flat, places in self._packs:
            copied = flat.copy()
            for number, start, stop in places:
                found[number] = copied[start:stop].reshape(self._shapes[number])
        return found


def _packed(
    arrays: Sequence[Array], numbers: Sequence[int]
) -> tuple[Array, list[tuple[int, int, int]]]:
    """A flat array with the arrays `numbers`, and triples (number, start, stop) of its parts."""
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
