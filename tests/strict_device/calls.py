"""How NumPy's functions are called on the stand-in's arrays: now, late, or by each replay."""

import numpy as np
from numpy.lib.array_utils import byte_bounds

from strict_device.host import upload
from strict_device.memory import allocate_like
from strict_device.streams import (
    capturing,
    get_current_stream,
    refuse_in_capture,
    waits,
    without_values,
    work,
)

# what CuPy computes with cuBLAS or cuSOLVER, which it refuses to do in a capture
PRODUCTS = {"matmul", "dot", "vdot", "inner", "outer", "tensordot", "einsum", "kron"}
# what needs to know values before it goes on, or sorts with Thrust, which waits
WAITING = {"reading by a boolean mask", "writing by a boolean mask"} | set(
    "nonzero flatnonzero argwhere unique allclose array_equiv bincount histogram compress extract "
    "array2string array_repr array_str delete trim_zeros setdiff1d union1d intersect1d".split()
)
SORTING = {"sort", "argsort", "partition", "argpartition", "lexsort", "median", "percentile"}
REDUCING = set("all any argmax argmin max mean min prod std sum var".split())
WRITING = {"copyto", "put", "putmask", "place", "fill_diagonal"}  # to their first argument


class Held:
    """An array and the memory that holds it; `kind` is the class that arrays have."""

    __slots__ = ("__weakref__", "allocation", "array", "base")
    kind = None

    def __init_subclass__(cls):
        Held.kind = cls


class Index:
    """An index, which may hold arrays of either kind, as CuPy allows."""

    def __init__(self, index):
        self.index = index


def parts(index):
    return index if isinstance(index, tuple) else (index,)


def is_mask(part):
    kind = part.dtype.kind if isinstance(part, Held | np.ndarray) else None
    return kind == "b" or isinstance(part, bool | np.bool_)


class Call:
    """A call's arguments, with our arrays found in them."""

    def __init__(self, args, kwargs):
        self.arrays = []
        self.args = [self.taken(arg) for arg in args]
        self.kwargs = {name: self.taken(arg) for name, arg in kwargs.items()}

    def taken(self, arg, index=False):
        if isinstance(arg, Held):
            self.arrays.append(arg)
            return Place(len(self.arrays) - 1)
        if isinstance(arg, np.ndarray):
            if not index:
                raise TypeError(f"Unsupported type {type(arg)}")
            upload("index")
            return arg
        if isinstance(arg, Index):
            return self.taken(arg.index, index=True)
        if isinstance(arg, tuple):
            return tuple(self.taken(part, index) for part in arg)
        if isinstance(arg, list):
            if index:
                upload("index")
            return [self.taken(part, index) for part in arg]
        return arg

    def on(self, arrays):
        """The arguments, with these in the place of our arrays."""

        def given(arg):
            if isinstance(arg, Place):
                return arrays[arg.number]
            if isinstance(arg, tuple | list):
                return type(arg)(given(part) for part in arg)
            return arg

        return [given(arg) for arg in self.args], {n: given(a) for n, a in self.kwargs.items()}


class Place:
    def __init__(self, number):
        self.number = number


def twin(x):
    """Zeros in the same layout, on which a call can be tried without its values."""
    if not x.size:
        return x
    start, stop = byte_bounds(x)
    zeros = np.zeros(stop - start, np.uint8)
    return np.ndarray(x.shape, x.dtype, zeros, x.__array_interface__["data"][0] - start, x.strides)


def meets(y, arrays):
    """Which of the arrays shares its memory with y, or None."""
    if y.size:
        return next((i for i, x in enumerate(arrays) if np.may_share_memory(x, y)), None)
    return None


def view_of(x, array):
    return wrap(array, x.allocation, x if x.base is None else x.base)


def wrap(array, allocation, base=None):
    y = object.__new__(Held.kind)
    y.array, y.allocation, y.base = array, allocation, base
    return y


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    """Memory like an array's, which costs no work."""
    order, shape = order_and_shape(prototype, order, shape)
    like = np.lib.stride_tricks.as_strided(
        np.empty(1, prototype.dtype), prototype.shape, prototype.strides
    )
    array, pointer = allocate_like(np.empty_like(like, dtype, order, shape=shape))
    return wrap(array, pointer.mem)


def order_and_shape(prototype, order="K", shape=None):
    """What CuPy's empty_like and its kin make of these: a shape that is false, () or 0, is none."""
    if shape is not None and order == "K" and np.size(shape) != prototype.ndim:
        order = "C"
    return order, shape if shape else prototype.shape


def flat(y):
    if isinstance(y, tuple | list):
        return [part for item in y for part in flat(item)]
    return [np.asarray(y)] if isinstance(y, np.ndarray | np.generic) else []


def compute(name, function, args, kwargs, writes=None):
    """Call a function of NumPy on our arrays; views are free, all else is work for the device."""
    if capturing() and name in PRODUCTS:
        raise NotImplementedError(
            "calling cuBLAS API during stream capture is currently unsupported"
        )
    looks = name in WAITING or (name == "where" and len(args) + len(kwargs) == 1)
    if looks:
        waits(name)
    if name in SORTING or (name.startswith("linalg.") and name != "linalg.norm"):
        refuse_in_capture(get_current_stream())
    if name in REDUCING and args[0].ndim == 0:
        axis = args[1] if len(args) > 1 else kwargs.get("axis")
        if axis not in (None, ()):  # where NumPy is forgiving
            raise np.exceptions.AxisError(f"axis {axis} is out of bounds for array of dimension 0")
    call = Call(args, kwargs)
    ours, call.arrays = call.arrays, None  # a recording must not keep their memory
    inside = [x.array for x in ours]
    out = kwargs.get("out")
    if out is not None:
        if not isinstance(out, Held):
            raise TypeError(f"{name}: out must be a cupy.ndarray, got {type(out)}")
        writes = out
    if name in WRITING:
        writes = args[0]
    recording = without_values() and not looks
    tried = [twin(x) for x in inside] if recording else inside
    allocations = [x.allocation for x in ours]
    if writes is not None:
        if recording:
            called(function, call, tried)
        work(name, lambda: called(function, call, inside), allocations)
        return out
    y = called(function, call, tried)
    found = flat(y)
    if not found:
        return y
    if all(meets(part, tried) is not None or not part.size for part in found):
        if recording:
            y = called(function, call, inside)
        return wrapped(y, iter([viewed(part, ours, inside) for part in flat(y)]))
    results = []
    for part in found:
        array, pointer = allocate_like(part)
        results.append(wrap(array, pointer.mem))
    targets = [result.array for result in results]

    def run():
        values = found if not recording else flat(called(function, call, inside))
        for target, value in zip(targets, values, strict=True):
            target[...] = value

    work(name, run, allocations + [result.allocation for result in results])
    return wrapped(y, iter(results))


def called(function, call, arrays):
    args, kwargs = call.on(arrays)
    with np.errstate(all="ignore"):  # as on a GPU
        return function(*args, **kwargs)


def viewed(part, ours, inside):
    if not part.size:
        return Held.kind(part.shape, part.dtype)
    source = ours[meets(part, inside)]
    return source if part is source.array else view_of(source, part)


def wrapped(y, results):
    if isinstance(y, tuple | list):
        if hasattr(y, "_fields"):
            return type(y)(*[wrapped(part, results) for part in y])
        return type(y)(wrapped(part, results) for part in y)
    return next(results) if isinstance(y, np.ndarray | np.generic) else y


def inside(numpys, args, kwargs):
    """Call NumPy's function as CuPy's of that name: at least one array must be ours."""
    if not Call(args, kwargs).arrays:
        raise TypeError(f"{numpys.__name__}: no cupy.ndarray among the arguments")
    return numpys(*args, **kwargs)


def write(name, function, x, index, value):
    """Write to where an index shows, as CuPy does: it counts a mask, and sends a number over."""
    chosen = [part for part in parts(index) if isinstance(part, Held | np.ndarray | list)]
    if any(is_mask(part) for part in parts(index)):
        name = "writing by a boolean mask"
    if chosen and not isinstance(value, Held):
        upload("a number to be written by index")
    compute(name, function, (x, Index(index), value), {}, writes=x)
