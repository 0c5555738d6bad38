"""The stand-in's RawKernel: CUDA C compiled by the C++ compiler with cuda_emulator.h, and run."""

import ctypes
import functools
import getpass
import hashlib
import mmap
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from strict_device.arrays import ndarray
from strict_device.memory import DeviceFault, MemoryPointer, owner_of
from strict_device.streams import work

HERE = Path(__file__).parent.parent
HEADER = HERE / "cuda_emulator.h"
COMPILER = shutil.which("g++") if sys.platform == "linux" else None
OPTIONS = (
    "-std=c++17 -O1 -w -fsanitize=alignment,bounds -fPIC -shared -fvisibility=hidden "
    "-fno-gnu-unique -fno-strict-aliasing -Wl,-Bsymbolic"
).split()
FOLDER = Path(tempfile.gettempdir()) / f"minigrad-emulated-kernels-{getpass.getuser()}"

LARGEST_GRID = (2**31 - 1, 65_535, 65_535)
LARGEST_BLOCK = (1024, 1024, 64)
THREADS = 1024
SHARED = 48 << 10  # bytes that a block may have without being asked for by the attribute
LARGEST_SHARED = 227 << 10  # bytes that it may have in any case, on sm_90
STACK = 64 << 10
LEAST_ADDRESS = 1 << 16  # what is less is a number and no address

orders = ["ascending", "descending"]  # how the threads are run; the results must be the same


class CompileException(Exception):
    """As cupy.cuda.compiler's."""


class CUDADriverError(RuntimeError):
    """As cupy.cuda.driver's."""


class Parameter(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_char), ("size", ctypes.c_int))


@functools.cache
def stacks():
    """Memory for the threads of a block; a page that no thread touches costs nothing."""
    area = mmap.mmap(-1, STACK * (THREADS + 1))
    return area, ctypes.addressof(ctypes.c_char.from_buffer(area))


def emulated(code):
    """The source as a C++ compiler takes it: dynamic shared memory gets a name and a place."""
    return re.sub(
        r"extern\s+__shared__\s+([\w\s:]+?)\s*\b(\w+)\s*\[\s*\]\s*;",
        r"\1* const \2 = (\1*)emulator::dynamic_shared;",
        code,
    )


@functools.cache
def library(code, name, options):
    """The compiled kernel, from this user's temporary folder where it has been compiled before."""
    if COMPILER is None:
        raise CompileException("no g++ was found, which compiles kernels for the CPU on Linux")
    defines = [option for option in options if option.startswith(("-D", "--define-macro"))]
    text = f'#include "cuda_emulator.h"\n#line 1 "{name}.cu"\n{emulated(code)}\n'
    text += f"EMULATOR_EXPORT({name})\n"
    key = hashlib.sha256()
    for part in [text, *OPTIONS, *defines, HEADER.read_text()]:
        key.update(part.encode() + b"\0")
    path = FOLDER / f"{name}-{key.hexdigest()[:32]}.so"
    if not path.exists():
        FOLDER.mkdir(mode=0o700, exist_ok=True)
        if FOLDER.stat().st_uid != os.getuid():
            raise PermissionError(f"{FOLDER} belongs to somebody else")
        partial = path.with_suffix(f".{os.getpid()}.part")
        command = [COMPILER, *OPTIONS, *defines, f"-I{HERE}", "-x", "c++", "-", "-o", str(partial)]
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        if done.returncode:
            raise CompileException(done.stderr)
        partial.replace(path)
    loaded = ctypes.PyDLL(str(path))  # holds the lock: a kernel's variables serve all threads
    loaded.emulator_launch.restype = ctypes.c_char_p
    loaded.emulator_static_shared.restype = ctypes.c_size_t
    return loaded


KINDS = {
    "f": "float",
    "i": "signed integer",
    "u": "unsigned integer",
    "b": "bool",
    "s": "struct",
    "p": "pointer",
}


def described(kind, size):
    if kind == "V":
        return "pointer to anything"
    if kind.isupper():
        return f"pointer to {8 * size}-bit {KINDS[kind.lower()]}"
    return f"{8 * size}-bit {KINDS[kind]}"


class RawKernel:
    """As cupy.RawKernel, and stricter: an argument must be what the kernel declares."""

    def __init__(self, code, name, options=(), backend="nvrtc", **more):
        if more.get("translate_cucomplex") or more.get("jitify") or backend != "nvrtc":
            raise NotImplementedError("the stand-in compiles plain CUDA C")
        if more.get("enable_cooperative_groups"):
            raise NotImplementedError("the stand-in runs one block after another")
        if not isinstance(options, tuple):
            raise TypeError("options must be a tuple of strings")
        self.code, self.name, self.options = code, name, options
        self._most_shared = SHARED

    @property
    def max_dynamic_shared_size_bytes(self):
        return self._most_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size):
        if size + self.shared_size_bytes > LARGEST_SHARED:
            raise CUDADriverError(
                f"CUDA_ERROR_INVALID_VALUE: {size} bytes of shared memory; a block has at most "
                f"{LARGEST_SHARED}"
            )
        self._most_shared = int(size)

    @functools.cached_property
    def parameters(self):
        found = (Parameter * 256)()
        count = self._library.emulator_describe(found)
        return [(p.kind.decode(), p.size) for p in found[:count]]

    @property
    def _library(self):
        return library(self.code, self.name, self.options)

    @property
    def attributes(self):
        """Some of CuPy's; where there are no registers nothing is spilled."""
        names = "max_threads_per_block shared_size_bytes max_dynamic_shared_size_bytes".split()
        return {name: getattr(self, name) for name in names} | dict(num_regs=0, local_size_bytes=0)

    @property
    def shared_size_bytes(self):
        return self._library.emulator_static_shared()

    @functools.cached_property
    def max_threads_per_block(self):
        bounds = re.search(r"__launch_bounds__\s*\(\s*(\d+)", self.code)
        return int(bounds.group(1)) if bounds else THREADS

    def __call__(self, grid, block, args, *, shared_mem=0):
        grid, block = self._checked(grid, block, shared_mem)
        args = tuple(args)
        if len(args) != len(self.parameters):
            raise TypeError(
                f"{self.name}: {len(args)} arguments; the kernel declares {len(self.parameters)}"
            )
        values = [self._bound(i, arg) for i, arg in enumerate(args)]
        memories = self._memories(args)
        blocks = [(memory.block, memory.nbytes) for memory in memories]

        def run():
            launch(self, grid, block, values, shared_mem, blocks)

        work(self.name, run, memories)

    def _checked(self, grid, block, shared):
        sizes = []
        for what, given, most in (
            ("grid", grid, LARGEST_GRID),
            ("block", block, LARGEST_BLOCK),
        ):
            if not isinstance(given, tuple):
                raise TypeError(f"{self.name}: {what} must be a tuple, got {type(given)}")
            if not 1 <= len(given) <= 3 or not all(
                isinstance(n, int | np.integer) and not isinstance(n, bool) for n in given
            ):
                raise TypeError(f"{self.name}: {what} must be 1 to 3 integers, got {given}")
            full = (*given, 1, 1)[:3]
            if any(n < 1 or n > limit for n, limit in zip(full, most, strict=True)):
                raise CUDADriverError(
                    f"CUDA_ERROR_INVALID_VALUE: {self.name}: {what} {given}; from 1 to {most}"
                )
            sizes.append(full)
        threads = int(np.prod(sizes[1]))
        if threads > self.max_threads_per_block:
            raise CUDADriverError(
                f"CUDA_ERROR_INVALID_VALUE: {self.name}: {threads} threads in a block; "
                f"at most {self.max_threads_per_block}"
            )
        fixed = self.shared_size_bytes
        if (
            shared < 0
            or shared > self._most_shared
            or fixed + shared > max(self._most_shared, SHARED)
        ):
            raise CUDADriverError(
                f"CUDA_ERROR_INVALID_VALUE: {self.name}: {shared} bytes of dynamic shared memory "
                f"beside {fixed} fixed ones; max_dynamic_shared_size_bytes is {self._most_shared}"
            )
        return sizes

    def _bound(self, i, arg):
        """An argument's bytes, as CuPy gives them to the driver."""
        kind, size = self.parameters[i]
        if isinstance(arg, ndarray):
            like, value = arg.dtype, np.uint64(arg.data.ptr)
            fits = kind in ("V", "S") or (
                kind.isupper()
                and size == like.itemsize
                and (kind.lower() == like.kind or {kind.lower(), like.kind} <= set("iubp"))
            )
            came = "array of"
        else:
            if arg is None:
                raise TypeError(
                    f"{self.name}: argument {i} is None, of which CuPy makes the address "
                    "0xffffffff (cupy issue 9046); a null pointer is np.intp(0)"
                )
            if isinstance(arg, bool):
                raise TypeError(f"{self.name}: argument {i}: CuPy makes 8 bytes of {arg}")
            if isinstance(arg, MemoryPointer):
                arg = np.intp(arg.ptr)
            if isinstance(arg, int):
                value = np.int64(arg)
            elif isinstance(arg, float):
                value = np.float64(arg)
            elif isinstance(arg, np.generic):
                value = arg
            else:
                raise TypeError(f"{self.name}: argument {i}: Unsupported type {type(arg)}")
            like = value.dtype
            pointer = kind.isupper() and like.kind in "iu" and like.itemsize == 8
            alike = kind == like.kind or {kind, like.kind} <= set("iu") or kind + like.kind == "sV"
            fits = pointer or (not kind.isupper() and alike and size == like.itemsize)
            came = f"{type(arg).__name__}, which is passed as"
        if not fits:
            raise TypeError(
                f"{self.name}: argument {i} is a {came} {like}; the kernel declares a "
                f"{described(kind, size)}"
            )
        return np.frombuffer(value.tobytes(), np.uint8).copy()

    def _memories(self, args):
        """The allocations that the arguments name."""
        found = {}
        for arg in args:
            owner = None
            if isinstance(arg, ndarray):
                owner = arg.allocation.root
            elif isinstance(arg, MemoryPointer):
                owner = arg.mem.root
            elif isinstance(arg, int | np.integer) and arg >= LEAST_ADDRESS:
                owner = owner_of(int(arg))
            if owner is not None:
                found[owner.ptr] = owner
        return list(found.values())


def launch(kernel, grid, block, values, shared, memories):
    """Run a kernel in every order of threads, on the same memory, and compare."""
    blocks = [memory.all for memory, _ in memories]
    before = [bytes_.copy() for bytes_ in blocks] if len(orders) > 1 else []
    first = None
    for order in orders:
        if first is not None:
            for bytes_, old in zip(blocks, before, strict=True):
                bytes_[:] = old
        once(kernel, grid, block, values, shared, order)
        after = [bytes_.copy() for bytes_ in blocks] if len(orders) > 1 else []
        if first is None:
            first = after
        elif not all(np.array_equal(a, b) for a, b in zip(first, after, strict=True)):
            raise DeviceFault(
                f"{kernel.name}: the results depend on the order of threads: a barrier is missing, "
                "or two threads write to one place"
            )
    for memory, nbytes in memories:
        memory.check(nbytes, f"by {kernel.name}")


def once(kernel, grid, block, values, shared, order):
    pointers = (ctypes.c_void_p * max(len(values), 1))(*[value.ctypes.data for value in values])
    _, area = stacks()
    problem = kernel._library.emulator_launch(
        pointers,
        (ctypes.c_uint * 3)(*grid),
        (ctypes.c_uint * 3)(*block),
        ctypes.c_size_t(shared),
        ctypes.c_int(order == "descending"),
        ctypes.c_void_p(area),
        ctypes.c_size_t(STACK),
        ctypes.c_void_p(area + STACK * THREADS),
        ctypes.c_size_t(STACK),
    )
    if problem is not None:
        raise DeviceFault(f"{kernel.name}: {problem.decode()}")
