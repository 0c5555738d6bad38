"""The stand-in's arrays: NumPy computes, on memory that no array of NumPy's may meet.

What reaches them without NumPy's dispatch protocols, mixes arrays of both kinds, or uses a
function, a method or an argument that CuPy does not have, fails as it would on a GPU.
"""

import functools
import importlib
import importlib.util
import inspect
import re

import numpy as np
from numpy.lib.array_utils import byte_bounds

from strict_device import memory
from strict_device.memory import MemoryPointer, allocate_like, placed
from strict_device.streams import (
    capturing,
    get_current_stream,
    log,
    refuse_in_capture,
    waits,
    work,
)

real = importlib.import_module("cupy") if importlib.util.find_spec("cupy") else None

# what CuPy computes with cuBLAS or cuSOLVER, which it refuses to do in a capture
PRODUCTS = {"matmul", "dot", "vdot", "inner", "outer", "tensordot", "einsum", "kron"}
# what needs to know values before it goes on, or sorts with Thrust, which waits
WAITING = set(
    "nonzero flatnonzero argwhere unique allclose array_equiv bincount histogram compress extract "
    "array2string array_repr array_str delete trim_zeros setdiff1d union1d intersect1d".split()
)
SORTING = {"sort", "argsort", "partition", "argpartition", "lexsort", "median", "percentile"}
WRITING = {"copyto", "put", "putmask", "place", "fill_diagonal"}  # to their first argument


class Flags:
    """As cupy.ndarray.flags."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = flags.owndata
        self.fnc = self.f_contiguous and not self.c_contiguous
        self.forc = self.f_contiguous or self.c_contiguous

    def __getitem__(self, name):
        return getattr(self, name.lower())


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """As cupy.ndarray."""

    __slots__ = ("__weakref__", "allocation", "array")
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        like = np.ndarray(shape, dtype, order=order)
        if memptr is None:
            memptr = memory.malloc(like.nbytes)
            self.array = placed(shape, dtype, strides or like.strides, memptr)
            memory.poison(self.array)
        else:
            self.array = placed(shape, dtype, strides or like.strides, memptr)
        self.allocation = memptr.mem

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__" or not exists(ufunc.__name__):
            return NotImplemented
        unknown = set(kwargs) - {"out", "dtype", "casting"}
        if unknown:
            raise TypeError(f"{ufunc.__name__}: CuPy has no {', '.join(sorted(unknown))}")
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return compute(ufunc.__name__, ufunc, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        if not all(issubclass(kind, ndarray | np.ndarray) for kind in types):
            return NotImplemented
        theirs = theirs_of(function)
        if theirs is NotImplemented:
            return NotImplemented
        name = function.__module__.removeprefix("numpy").lstrip(".")
        name = f"{name}.{function.__name__}".lstrip(".")
        check_arguments(name, theirs, args, kwargs)
        if name == "empty_like":
            return empty_like(*args, **kwargs)
        return compute(name, function, args, kwargs)

    def __array__(self, *_, **__):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to "
            "construct a NumPy array explicitly."
        )

    # --- what is known without looking at values ---

    @property
    def data(self):
        start = self.array.__array_interface__["data"][0]
        return MemoryPointer(self.allocation, start - self.allocation.ptr if self.size else 0)

    @property
    def flags(self):
        return Flags(self.array.flags)

    @property
    def base(self):
        raise NotImplementedError("the stand-in's arrays do not know whose views they are")

    dtype = property(lambda self: self.array.dtype)
    shape = property(lambda self: self.array.shape)
    strides = property(lambda self: self.array.strides)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)
    itemsize = property(lambda self: self.array.itemsize)
    nbytes = property(lambda self: self.array.nbytes)
    T = property(lambda self: view_of(self, self.array.T))
    mT = property(lambda self: view_of(self, self.array.mT))
    real = property(lambda self: compute("real", np.real, (self,), {}))
    imag = property(lambda self: compute("imag", np.imag, (self,), {}))

    def __len__(self):
        return len(self.array)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    # --- indexing ---

    def __getitem__(self, index):
        if any(is_mask(part) for part in parts(index)):
            waits("reading by a boolean mask")
        return compute("getitem", lambda x, at: x[at], (self, Index(index)), {})

    def __setitem__(self, index, value):
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        if any(is_mask(part) for part in parts(index)) and isinstance(value, ndarray):
            waits("writing an array by a boolean mask")
        value = value[()] if isinstance(value, np.ndarray) else value

        def put(x, at, y):
            x[at] = y

        compute("setitem", put, (self, Index(index), value), {}, writes=self)

    # --- what looks at values, so that the host waits ---

    def get(self, stream=None, order="C", out=None, blocking=True):
        stream = get_current_stream() if stream is None else stream
        refuse_in_capture(stream, "a copy to the host")
        log.downloads.append("get")
        if blocking:
            log.syncs.append("get")
        if out is None:
            return self.array.copy(order="C" if order == "A" else order)
        if not isinstance(out, np.ndarray) or out.shape != self.shape or out.dtype != self.dtype:
            raise ValueError("out must be a NumPy array of this shape and dtype")
        if not out.flags.forc:
            raise RuntimeError("out must be contiguous")
        out[...] = self.array
        return out

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype or arr.shape != self.shape:
            raise TypeError(f"{arr.dtype}{arr.shape} cannot be set to {self.dtype}{self.shape}")
        if not self.array.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        stream = get_current_stream() if stream is None else stream
        refuse_in_capture(stream, "a copy from the host")
        log.uploads.append("set")
        self.array[...] = arr

    def _looked_at(self, how):
        waits(how)
        if how != "item" and self.size != 1:
            raise ValueError("The truth value of an array with more than one element is ambiguous.")
        log.downloads.append(how)
        return self.array

    def item(self):
        return self._looked_at("item").item()

    def tolist(self):
        waits("tolist")
        return self.array.tolist()

    def __bool__(self):
        return bool(self._looked_at("bool"))

    def __float__(self):
        return float(self._looked_at("float"))

    def __int__(self):
        return int(self._looked_at("int"))

    def __complex__(self):
        return complex(self._looked_at("complex"))

    def __repr__(self):
        waits("repr")
        return repr(self.array)

    def __str__(self):
        waits("str")
        return str(self.array)

    def dot(self, b, out=None):
        return compute("dot", np.dot, (self, b), {} if out is None else {"out": out})


ndarray.__module__ = "cupy"

METHODS = (
    "all any argmax argmin argpartition argsort astype choose clip compress conj conjugate copy "
    "cumprod cumsum diagonal fill flatten max mean min nonzero partition prod ptp ravel repeat "
    "reshape round searchsorted sort squeeze std sum swapaxes take trace transpose var view"
)
IN_PLACE = {"fill", "partition", "sort"}


def method(name):
    parameters = None if real is None else parameters_of(getattr(real.ndarray, name).__doc__)
    numpys = getattr(np.ndarray, name, None) or (lambda x, **k: np.ptp(x, **k))

    def call(self, *args, **kwargs):
        unknown = [] if parameters is None else set(kwargs) - set(parameters)
        if unknown:
            raise TypeError(f"ndarray.{name}: CuPy has no {', '.join(sorted(unknown))}")
        if parameters is not None and "*" not in parameters and len(args) > len(parameters):
            raise TypeError(f"ndarray.{name}: CuPy takes {parameters}, got {args}")
        writes = self if name in IN_PLACE else None
        return compute(name, numpys, (self, *args), kwargs, writes=writes)

    call.__name__ = name
    return call


def parameters_of(docstring):
    """The parameters that a compiled method's docstring names; "*" where it takes any number."""
    inside = re.search(r"\((.*?)\)", docstring.splitlines()[0]).group(1)
    names = [part.split("=")[0].split()[-1] for part in inside.split(",") if part.strip()]
    return ["*" if name.startswith("*") else name for name in names if name != "self"]


for _name in METHODS.split():
    setattr(ndarray, _name, method(_name))


class Index:
    """An index, which may hold arrays of either kind, as CuPy allows."""

    def __init__(self, index):
        self.index = index


def parts(index):
    return index if isinstance(index, tuple) else (index,)


def is_mask(part):
    kind = part.dtype.kind if isinstance(part, ndarray | np.ndarray) else None
    return kind == "b" or isinstance(part, bool | np.bool_)


def exists(name):
    return real is None or hasattr(real, name)


def theirs_of(function):
    """CuPy's function for NumPy's, None where there is no CuPy to ask, or NotImplemented."""
    if real is None:
        return None
    try:
        home = functools.reduce(getattr, function.__module__.split(".")[1:], real)
        theirs = getattr(home, function.__name__)
    except AttributeError:
        return NotImplemented
    return NotImplemented if theirs is function else theirs


@functools.cache
def signature_of(function):
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def check_arguments(name, theirs, args, kwargs):
    """Refuse an argument that CuPy's function does not take."""
    signature = None if theirs is None else signature_of(theirs)
    if signature is not None:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"cupy.{name}: {error}") from None


# --- how a result is computed, now or at each launch of a graph ----------------------------------


class Call:
    """A call's arguments, with our arrays found in them."""

    def __init__(self, args, kwargs):
        self.arrays = []
        self.args = [self.taken(arg) for arg in args]
        self.kwargs = {name: self.taken(arg) for name, arg in kwargs.items()}

    def taken(self, arg, index=False):
        if isinstance(arg, ndarray):
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


def upload(what):
    refuse_in_capture(get_current_stream(), f"a copy from the host ({what})")
    log.uploads.append(what)


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
    y = object.__new__(ndarray)
    y.array, y.allocation = array, x.allocation
    return y


def empty_like(x, dtype=None, order="K", subok=None, shape=None):
    """Memory like an array's, which costs no work."""
    like = np.lib.stride_tricks.as_strided(np.empty(1, x.dtype), x.shape, x.strides)
    array, pointer = allocate_like(np.empty_like(like, dtype, order, shape=shape))
    return placed_at(array, pointer)


def placed_at(array, pointer):
    y = object.__new__(ndarray)
    y.array, y.allocation = array, pointer.mem
    return y


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
    if name in WAITING or (name == "where" and len(args) + len(kwargs) == 1):
        waits(name)
    if name in SORTING or (name.startswith("linalg.") and name != "linalg.norm"):
        refuse_in_capture(get_current_stream(), name)
    call = Call(args, kwargs)
    inside = [x.array for x in call.arrays]
    out = kwargs.get("out")
    if out is not None:
        if not isinstance(out, ndarray):
            raise TypeError(f"{name}: out must be a cupy.ndarray, got {type(out)}")
        writes = out
    if name in WRITING:
        writes = args[0]
    recording = capturing()
    tried = [twin(x) for x in inside] if recording else inside
    allocations = [x.allocation for x in call.arrays]
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
        return wrapped(y, iter([viewed(part, call.arrays, inside) for part in flat(y)]))
    results = []
    for part in found:
        results.append(placed_at(*allocate_like(part)))
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
        return ndarray(part.shape, part.dtype)
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
