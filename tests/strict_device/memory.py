"""The stand-in's memory: blocks between guards, poisoned when handed out, and pools of them."""

import functools
import itertools
import threading
import weakref

import numpy as np

GUARD = 512  # bytes before and after a block, of NaN; also the alignment
KEPT = 64 << 20  # bytes that a pool keeps for the next allocation

current_stream = None  # gives the address of the stream that work goes to, see streams.py
silently = None  # how memory is prepared in the order of the work, see streams.py
faults = []  # what was found wrong where nothing could be raised
live = weakref.WeakValueDictionary()  # allocations by their address
pools = weakref.WeakValueDictionary()  # by their numbers
_numbers = itertools.count()


class DeviceFault(RuntimeError):
    """What on a GPU would be an illegal access, a hang, or garbage in the results."""


class OutOfMemoryError(MemoryError):
    """As cupy.cuda.memory's."""


class Block:
    """Raw bytes with a guard on both sides."""

    def __init__(self, size):
        self.size = size
        self.recorded = False  # then a graph may write more of it than its present array has
        raw = np.empty(size + 3 * GUARD, np.uint8)
        skip = -(raw.ctypes.data + GUARD) % GUARD
        self.all = raw[skip : skip + size + 2 * GUARD]
        self.address = self.all.ctypes.data + GUARD

    def reset(self):
        self.all.fill(0xFF)

    def check(self, nbytes, when):
        """Raise where something was written outside of the first so many bytes."""
        nbytes = self.size if self.recorded else nbytes
        guards = self.all[:GUARD], self.all[GUARD + nbytes :]
        if not all((guard == 0xFF).all() for guard in guards):
            for guard in guards:
                guard.fill(0xFF)
            raise DeviceFault(f"memory outside an array of {nbytes} bytes was written, {when}")


class Allocation:
    """A block in use, `nbytes` long; given back to its pool when nothing refers to it."""

    def __init__(self, pool, block, nbytes, arena):
        # not a weak reference of its own, which the garbage collector would clear too early
        self.pool = functools.partial(pools.get, pool.number)
        self.block, self.nbytes = block, nbytes
        self.ptr, self.size, self.device_id = block.address, block.size, 0
        self.arena = arena
        silently(block.reset)
        live[self.ptr] = self

    @property
    def root(self):
        """Itself; of an `UnownedMemory` the allocation that it lies in."""
        return self

    def __del__(self):
        if silently is None:  # the interpreter ends, and has taken this module apart
            return
        block, nbytes = self.block, self.nbytes

        def check():
            try:
                block.check(nbytes, "as was seen when it was freed")
            except DeviceFault as fault:
                faults.append(str(fault))

        silently(check)
        pool = self.pool()
        if pool is not None:
            pool.take_back(self)


class MemoryPointer:
    """A place in an allocation, as cupy.cuda.MemoryPointer."""

    def __init__(self, mem, offset):
        self.mem, self.ptr = mem, mem.ptr + offset
        self.device_id = 0

    def __int__(self):
        return self.ptr

    def __add__(self, offset):
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)


class UnownedMemory:
    """As cupy.cuda.UnownedMemory: memory of an allocation that an owner keeps alive."""

    def __init__(self, ptr, size, owner, device_id=-1):
        if device_id < 0:
            raise DeviceFault("CuPy asks CUDA about memory whose device is not named")
        self.ptr, self.size, self.device_id, self._owner = ptr, size, device_id, owner
        allocation = owner_of(ptr, size)
        if allocation is None:
            raise DeviceFault(f"no array has {size} bytes of memory at {ptr}")
        self.block, self._allocation = allocation.block, weakref.ref(allocation)

    @property
    def root(self):
        """The allocation, which nothing but the owner keeps."""
        allocation = self._allocation()
        if allocation is None:
            raise DeviceFault(f"{self.size} bytes of memory are used that nobody owns any more")
        return allocation


class MemoryPool:
    """As cupy.cuda.MemoryPool: freed blocks serve later allocations of their size.

    CuPy's arenas and the free blocks in them refer to each other: nobody frees them when the pool
    is gone. So a pool that is dropped with free blocks is a fault.
    """

    def __init__(self):
        self.free = {}
        self.kept = self.used = 0
        self.number = next(_numbers)
        pools[self.number] = self
        self.limit = None  # bytes in use, after which memory is out

    def malloc(self, size):
        rounded = -(-max(size, 1) // GUARD) * GUARD
        if self.limit is not None and self.used + rounded > self.limit:
            raise OutOfMemoryError(
                f"Out of memory allocating {rounded:,} bytes (allocated so far: {self.used:,} "
                f"bytes, limit set to: {self.limit:,} bytes)."
            )
        arena = current_stream()  # a block goes round on one stream, in the order of its work
        waiting = self.free.get((arena, rounded))
        if waiting:
            block = waiting.pop()
            self.kept -= rounded
        else:
            block = Block(rounded)
        self.used += rounded
        return MemoryPointer(Allocation(self, block, size, arena), 0)

    def __del__(self):
        if silently is not None and self.kept:
            faults.append(
                f"a MemoryPool was dropped with {self.kept:,} bytes of free blocks, which CuPy "
                "leaks; call free_all_blocks() before"
            )

    def take_back(self, allocation):
        size = allocation.block.size
        self.used -= size
        if self.kept + size <= KEPT:
            self.free.setdefault((allocation.arena, size), []).append(allocation.block)
            self.kept += size

    def set_limit(self, size=None):
        self.limit = size or None

    def used_bytes(self):
        return self.used

    def total_bytes(self):
        return self.used + self.kept

    def free_all_blocks(self, stream=None):
        self.free.clear()
        self.kept = 0


default_pool = MemoryPool()
_thread = threading.local()


class using_allocator:
    """As cupy.cuda.using_allocator: this thread's allocations come from there meanwhile."""

    def __init__(self, allocator=None):
        self.allocator = allocator or default_pool.malloc

    def __enter__(self):
        self.before = getattr(_thread, "allocator", None)
        _thread.allocator = self.allocator

    def __exit__(self, *_):
        _thread.allocator = self.before


def malloc(size):
    """Memory from this thread's allocator."""
    return (getattr(_thread, "allocator", None) or default_pool.malloc)(size)


def poison(array):
    """Fill an array with what nobody could take for a result."""
    kind = array.dtype.kind
    if kind in "fc":
        array.fill(np.nan)
    elif kind == "b":
        array.fill(True)
    elif kind in "iu":
        array.fill(np.iinfo(array.dtype).max - 41)


def placed(shape, dtype, strides, pointer):
    """A NumPy array over a block's bytes, where a pointer shows."""
    if 0 in shape:  # NumPy's einsum reads from empty operands: let it find no guard there
        return np.zeros(shape, dtype)
    offset = pointer.ptr - pointer.mem.block.address + GUARD
    return np.ndarray(shape, dtype, pointer.mem.block.all, offset, strides)


def allocate_like(array):
    """Poisoned memory for an array of this shape, dtype and order, and its pointer."""
    pointer = malloc(array.nbytes)
    strides, step = [0] * array.ndim, array.itemsize
    for axis in sorted(range(array.ndim), key=lambda axis: (abs(array.strides[axis]), -axis)):
        strides[axis] = step
        step *= max(array.shape[axis], 1)
    if array.flags.c_contiguous:
        strides = None
    new = placed(array.shape, array.dtype, strides, pointer)
    silently(lambda: poison(new))
    return new, pointer


def owner_of(address, nbytes=1):
    """The allocation in use that holds these bytes, or None."""
    begins = live.get(address)
    for allocation in list(live.values()) if begins is None else [begins]:
        if allocation.ptr <= address and address + nbytes <= allocation.ptr + allocation.nbytes:
            return allocation
    return None


def check_guards():
    """Raise for what was written outside of any array in use or freed since the last check."""
    for allocation in list(live.values()):
        allocation.block.check(allocation.nbytes, "as was seen at the end")
    if faults:
        found = "; ".join(faults)
        faults.clear()
        raise DeviceFault(found)
