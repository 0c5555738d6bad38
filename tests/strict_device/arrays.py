"""The stand-in's arrays: NumPy computes, on memory that no array of NumPy's may meet.

What reaches them without NumPy's dispatch protocols, mixes arrays of both kinds, or uses a
function, a method or an argument that CuPy does not have, fails as it would on a GPU.
"""

import functools

import numpy as np

from strict_device import memory
from strict_device.calls import (
    Held,
    Index,
    compute,
    empty_like,
    is_mask,
    order_and_shape,
    parts,
    view_of,
    write,
)
from strict_device.host import send
from strict_device.memory import MemoryPointer, placed
from strict_device.real import check_arguments, exists, parameters_of, real, theirs_of
from strict_device.streams import get_current_stream, log, refuse_copy, waits, work


class Flags:
    """As cupy.ndarray.flags."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = flags.owndata
        self.fnc = self.f_contiguous and not self.c_contiguous
        self.forc = self.f_contiguous or self.c_contiguous

    def __getitem__(self, name):
        return getattr(self, name.lower())


class ndarray(Held, np.lib.mixins.NDArrayOperatorsMixin):
    """As cupy.ndarray."""

    __slots__ = ()
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        like = np.ndarray(shape, dtype, order=order)
        if memptr is None:
            memptr = memory.malloc(like.nbytes)
            self.array = placed(shape, dtype, strides or like.strides, memptr)
            memory.silently(functools.partial(memory.poison, self.array))
        else:
            self.array = placed(shape, dtype, strides or like.strides, memptr)
        self.allocation, self.base = memptr.mem, None

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__" or not exists(ufunc.__name__):
            return NotImplemented
        for x in inputs:
            if not isinstance(x, Held | np.generic | bool | int | float | complex):
                raise TypeError(f"Unsupported type {type(x)}")
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
        if name.endswith("_like") and "shape" in kwargs:
            order = kwargs.pop("order", "K")
            kwargs["order"], kwargs["shape"] = order_and_shape(args[0], order, kwargs["shape"])
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
    def __cuda_array_interface__(self):
        strides = None if self.array.flags.c_contiguous else self.strides
        interface = {"shape": self.shape, "typestr": self.dtype.str, "descr": self.dtype.descr}
        return interface | {"version": 3, "strides": strides, "data": (self.data.ptr, False)}

    @property
    def flags(self):
        return Flags(self.array.flags)

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
        name = "getitem"
        if any(is_mask(part) for part in parts(index)):
            name = "reading by a boolean mask"
        if not any(isinstance(part, Held | np.ndarray | list) for part in parts(index)):
            index = (*parts(index), *([] if Ellipsis in parts(index) else [Ellipsis]))
        # with an Ellipsis an element is a view, too, and not a number
        return compute(name, lambda x, at: x[at], (self, Index(index)), {})

    def __setitem__(self, index, value):
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        value = value[()] if isinstance(value, np.ndarray) else value

        def put(x, at, y):
            x[at] = y

        write("setitem", put, self, index, value)

    # --- what looks at values, so that the host waits ---

    def get(self, stream=None, order="C", out=None, blocking=True):
        stream = get_current_stream() if stream is None else stream
        if out is None:
            order = ("F" if self.array.flags.f_contiguous else "C") if order == "A" else order
            out = np.empty(self.shape, self.dtype, order)
        if not isinstance(out, np.ndarray) or out.shape != self.shape or out.dtype != self.dtype:
            raise ValueError("out must be a NumPy array of this shape and dtype")
        if not out.flags.forc:
            raise RuntimeError("out must be contiguous")
        inside = self.array
        if not any(inside.flags[f] and out.flags[f] for f in ("C_CONTIGUOUS", "F_CONTIGUOUS")):
            with stream:  # as CuPy, which makes a contiguous copy on the device first
                work("get", lambda: None, [self.allocation])
        refuse_copy(stream, "D2H")
        log.downloads.append("get")
        if blocking:
            log.syncs.append("get")

        def copy():
            out[...] = inside

        stream.submit(copy)
        if blocking:
            stream.finish()
        return out

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype or arr.shape != self.shape:
            raise TypeError(f"{arr.dtype}{arr.shape} cannot be set to {self.dtype}{self.shape}")
        if not self.array.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        stream = get_current_stream() if stream is None else stream
        refuse_copy(stream, "H2D")
        log.uploads.append("set")
        send(arr, self.array, stream)

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


for _name in METHODS.split():
    setattr(ndarray, _name, method(_name))
