"""A stand-in for CuPy on machines without a GPU: its arrays refuse to meet NumPy's, as CuPy's do.

It computes with NumPy inside. What reaches it without NumPy's dispatch protocols, or mixes arrays
of both kinds, or uses a function that CuPy does not have, fails as it would on a GPU.
"""

import importlib
import importlib.util
import types

import numpy as np

real = importlib.import_module("cupy") if importlib.util.find_spec("cupy") else None


def inside(x):
    """The NumPy array in one of ours; NumPy's own arrays may not come near."""
    if isinstance(x, ndarray):
        return x.array
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    if isinstance(x, tuple | list):
        return type(x)(inside(part) for part in x)
    return x


def outside(y):
    if isinstance(y, np.ndarray | np.generic):
        return ndarray(np.asarray(y))
    return type(y)(outside(part) for part in y) if isinstance(y, tuple | list) else y


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    def __init__(self, array):
        self.array = array

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__":
            return NotImplemented
        y = ufunc(*inside(inputs), **{name: inside(value) for name, value in kwargs.items()})
        return kwargs["out"][0] if "out" in kwargs else outside(y)

    def __array_function__(self, function, _, args, kwargs):
        if real is not None and not hasattr(real, function.__name__):
            return NotImplemented
        kwargs = {name: inside(value) for name, value in kwargs.items()}
        return outside(function(*inside(args), **kwargs))

    @property
    def data(self):  # stands in for CuPy's MemoryPointer
        return types.SimpleNamespace(ptr=self.array.__array_interface__["data"][0])

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self.array, name)
        if not callable(value):
            return outside(value)
        return lambda *args, **kwargs: outside(value(*inside(args), **kwargs))

    def __getitem__(self, index):
        return outside(self.array[index_of(index)])

    def __setitem__(self, index, value):
        self.array[index_of(index)] = inside(value)

    def __len__(self):
        return len(self.array)

    def __bool__(self):
        return bool(self.array)

    def get(self):
        return self.array


ndarray.__module__ = "cupy"


def index_of(index):
    """As CuPy, an index may be an array of either kind."""
    if isinstance(index, tuple):
        return tuple(index_of(part) for part in index)
    return index.array if isinstance(index, ndarray) else index


def add_at(y, index, x):
    np.add.at(inside(y), index_of(index), inside(x))


module = types.SimpleNamespace(
    ndarray=ndarray,
    asarray=lambda x: outside(np.array(x)),
    full=lambda *args, **kwargs: outside(np.full(*args, **kwargs)),
    arange=lambda *args, **kwargs: outside(np.arange(*args, **kwargs)),
    eye=lambda *args, **kwargs: outside(np.eye(*args, **kwargs)),
    add=types.SimpleNamespace(at=add_at),
)
