# mypy: disable-error-code="empty-body"
"""Tensor, an array that remembers how it was made; engine.py defines the records."""

from __future__ import annotations

import builtins
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, Self, TypeAlias

import numpy as np

from minigrad.backends import Array, as_array, device_of, is_array, on_host, to_device, to_numpy
from minigrad.errors import DeviceError, DTypeError, ShapeError
from minigrad.messages.hints import TensorHints
from minigrad.observers import NOBODY, thread
from minigrad.versions import note_replaced, note_write

if TYPE_CHECKING:
    from minigrad.backends.memory import Place
    from minigrad.engine import Record

__all__ = ["Axis", "GradientSlot", "Operand", "Tensor", "tensor"]


class _Ufuncs:
    """How a Tensor answers NumPy's and CuPy's elementwise functions (ufuncs).

    CuPy asks the object, finds None, and leaves `array + Tensor` to `Tensor.__radd__`. NumPy asks
    the type, and also for `array -= Tensor`, where NumPy would raise its own error for None.
    """

    _SWAPPED: ClassVar = {
        "add": "__radd__",
        "subtract": "__rsub__",
        "multiply": "__rmul__",
        "divide": "__rtruediv__",
        "power": "__rpow__",
        "matmul": "__rmatmul__",
        "equal": "__eq__",
        "not_equal": "__ne__",
        "less": "__gt__",
        "less_equal": "__ge__",
        "greater": "__lt__",
        "greater_equal": "__le__",
        "bitwise_and": "__rand__",
        "bitwise_or": "__ror__",
        "bitwise_xor": "__rxor__",
    }

    def __get__(self, asked: Tensor | None, kind: type) -> Callable[..., Any] | None:
        return self._answer if asked is None else None

    def _answer(self, asked: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """The result of an operator with an array on its left side; other calls are refused."""
        left, right = inputs if len(inputs) == 2 else (asked, asked)
        if method == "__call__" and isinstance(right, Tensor) and not isinstance(left, Tensor):
            if not options and ufunc.__name__ in self._SWAPPED:
                return getattr(right, self._SWAPPED[ufunc.__name__])(left)
            if options.keys() == {"out"} and not right._requires_grad and right.device == "cpu":
                y = ufunc(left, right._data, out=options["out"])  # array -= Tensor
                note_write(y)
                return y
        raise TypeError(
            f"numpy.{ufunc.__name__} does not take this Tensor; use mg.{ufunc.__name__} where it "
            "exists, an operator, or the Tensor's values: .data, .detach().numpy(), .grad.data"
        )


class Tensor(TensorHints):
    """An array on a device that remembers how it was made, so that gradients can flow back.

    Make one with `mg.tensor`, `mg.zeros` and their like; results of operations are Tensors too.
    `x += y` writes into a Tensor that was made so, and raises while a graph records it. The result
    of an operation is never changed: for a result x, `x += y` makes x a new Tensor.

    Args:
        data: What `mg.tensor` takes; the memory of a Tensor is shared.
        requires_grad: Whether backward passes are to compute a gradient for it.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4.])
    """

    __slots__ = ("__weakref__", "_data", "_grad", "_record", "_requires_grad", "_slot", "_writable")
    _data: Array
    _record: Record | None
    _requires_grad: bool
    _grad: Tensor | None
    _slot: GradientSlot | None  # where an optimizer wants the gradient
    _writable: bool  # whether `+=` may write in place; results of operations lack it

    __array_ufunc__ = _Ufuncs()
    __hash__ = object.__hash__

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self._data = (data if isinstance(data, Tensor) else tensor(data))._data
        self._record = None
        self._requires_grad = False
        self._grad = None
        self._slot = None
        self._writable = True
        self.requires_grad = requires_grad

    # properties

    @property
    def data(self) -> Array:
        """The raw NumPy or CuPy array. Assigning one of the same shape replaces the values.

        It is the Tensor's own memory only until the Tensor gets another array: by an assignment,
        by `Module.to` or `astype`, or by an optimizer, which moves its parameters into one vector
        when it is made. An array, or a `detach()`, from before keeps the old values.
        """
        return self._data

    @data.setter
    def data(self, value: Array) -> None:
        array = as_tensor(value, "data")._data
        if array.shape != self.shape:
            raise ShapeError(f"data: an array of shape {array.shape} for a Tensor of {self.shape}")
        if self._requires_grad and array.dtype.kind != "f":
            raise DTypeError(
                f"data: an array of dtype {array.dtype} for a Tensor that requires a gradient, "
                "which must be floating-point; use .astype('float32')"
            )
        if array is self._data:  # changed in place, as by `x.data -= 1`
            note_write(array)
            return
        thread.observer.assigns(self)
        self._data = array
        note_replaced(self)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward passes have added up in this leaf, or None."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad: expected a Tensor or None, got {described(value)}")
            if value.shape != self.shape:
                raise ShapeError(f"grad: shape {value.shape} for a Tensor of shape {self.shape}")
            if value.dtype != self.dtype:
                raise DTypeError(f"grad: {value.dtype} for a {self.dtype} Tensor; use .astype")
            if value.device != self.device:
                raise DeviceError(f"grad: on {value.device!r}, the Tensor is on {self.device!r}")
        thread.observer.sets_gradient(self)
        self._grad = value

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this Tensor are recorded for a backward pass."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self._record is not None and not value:
            raise RuntimeError("requires_grad: this is a result; use .detach() to leave the graph")
        if value and self._data.dtype.kind != "f":
            raise DTypeError(
                f"requires_grad: only floating-point Tensors have gradients, this one is "
                f"{self._data.dtype}; use .astype('float32')"
            )
        thread.observer.sets_requires_grad(self)
        self._requires_grad = bool(value)

    @property
    def shape(self) -> tuple[int, ...]:
        """The size along each axis."""
        shape: tuple[int, ...] = self._data.shape
        return shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        ndim: int = self._data.ndim
        return ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        size: int = self._data.size
        return size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The elements' type, such as float32."""
        dtype: np.dtype[Any] = self._data.dtype
        return dtype

    @property
    def device(self) -> str:
        """Where the elements are: "cpu" or "gpu"."""
        return device_of(self._data)

    @property
    def T(self) -> Tensor:
        """The Tensor with its axes in reverse order."""
        return self.transpose()

    # values and gradients

    def numel(self) -> int:
        """The number of elements: PyTorch's word for `size`."""
        return self.size

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers; one number for a Tensor without axes."""
        _refuse_reading(self._data)
        return to_numpy(self._data).tolist()

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as a NumPy array: shared memory on the CPU (see `data`), a copy from the GPU.

        Raises:
            RuntimeError: The Tensor requires a gradient; use `.detach().numpy()`.
        """
        if self._requires_grad:
            raise RuntimeError("numpy: this Tensor requires a gradient; use .detach().numpy()")
        _refuse_reading(self._data)
        return to_numpy(self._data)

    def item(self) -> Any:
        """The only element, as a Python number.

        Raises:
            ShapeError: The Tensor has several elements, or none.
        """
        if self.size != 1:
            raise ShapeError(f"item: needs exactly one element, this Tensor has shape {self.shape}")
        _refuse_reading(self._data)
        return self._data.item()

    def detach(self) -> Tensor:
        """The same values outside the graph, in the same memory (for how long, see `data`)."""
        twin = wrap(self._data)
        if self._record is None and hasattr(self, "_writable"):
            twin._writable = True
        return twin

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Tensor | Sequence[Tensor] | None = None,
    ) -> None:
        """Add to the `.grad` of every leaf x that this Tensor y depends on: `gradient^T dy/dx`.

        Args:
            gradient: A Tensor of this one's shape; may be left out for a one-element Tensor (1).
            retain_graph: Keep the values that were saved in the graph, for another pass. Default:
                the value of `create_graph`. `mg.draw` shows the graph either way.
            create_graph: Make the gradients differentiable themselves.
            inputs: Fill only the `.grad` of these leaves, and compute only what leads there.

        Raises:
            ShapeError: Several elements and no `gradient`, or one of another shape.
            GraphFreedError: An earlier pass has freed what was saved in the graph.
            ChangedValueError: A value that backward needs was changed after the forward pass.
            RuntimeError: The Tensor, or one of `inputs`, does not require a gradient; or one of
                `inputs` is no leaf.

        Example:
            >>> x = tensor([1.0, 2.0], requires_grad=True)
            >>> (x * x).sum().backward()
            >>> x.grad
            tensor([2., 4.])
        """

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad`, and return the Tensor."""
        self.requires_grad = requires_grad
        return self

    # protocols of Python and NumPy

    def __repr__(self) -> str:
        _refuse_reading(self._data)
        text = np.array2string(to_numpy(self._data), separator=", ", prefix="tensor(")
        dtype = "" if self.dtype in (np.float32, np.int64, np.bool_) else f", dtype={self.dtype}"
        device = "" if self.device == "cpu" else f", device='{self.device}'"
        gradient = ", requires_grad=True" if self._requires_grad else ""
        return f"tensor({text}{dtype}{device}{gradient})"

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a Tensor without axes; .item() gives its number")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a Tensor of shape {self.shape} is ambiguous; reduce it first, for "
                "instance (a == b).all()"
            )
        _refuse_reading(self._data)
        return bool(self._data)

    def __float__(self) -> builtins.float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __pos__(self) -> Tensor:
        return self

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.size == 1 else format(str(self), spec)

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise TypeError(
            "x[i] = y: elements of a Tensor cannot be changed in place; build a new one, for "
            "instance by mg.where(mask, y, x), or write to its values, which no graph sees: "
            "x.data[i] = array"
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if self._requires_grad or self.device != "cpu":
            raise TypeError(
                "NumPy was given a Tensor that is in a graph or not on the CPU; use the "
                "mg. function of the same name, or pass .detach().to('cpu').numpy()"
            )
        return np.array(self._data, dtype=dtype, copy=copy)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> NoReturn:
        raise TypeError(
            f"numpy.{function.__name__} does not take a Tensor; use mg.{function.__name__} "
            "where it exists, or pass .detach().numpy()"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._record is not None:
            raise RuntimeError(
                "deepcopy: only leaves can be copied; this is a result, .detach() it"
            )
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__((self._data.copy(), self._requires_grad))
        twin._grad = None if self._grad is None else wrap(self._grad._data.copy(), None)
        return twin

    def __reduce__(self) -> Any:
        if self._record is not None:
            raise RuntimeError("pickle: only leaves can be pickled; this is a result, .detach() it")
        state = (self._data.copy(), self._requires_grad)  # C-contiguous, as a view is not
        return object.__new__, (type(self),), state

    def __setstate__(self, state: tuple[Array, bool]) -> None:
        self._data, self._requires_grad = state
        self._record = self._grad = self._slot = None
        self._writable = True

    # Declared here for readers and type checkers; minigrad.ops supplies the bodies.

    def __add__(self, other: Operand) -> Tensor: ...
    def __radd__(self, other: Operand) -> Tensor: ...
    def __sub__(self, other: Operand) -> Tensor: ...
    def __rsub__(self, other: Operand) -> Tensor: ...
    def __mul__(self, other: Operand) -> Tensor: ...
    def __rmul__(self, other: Operand) -> Tensor: ...
    def __truediv__(self, other: Operand) -> Tensor: ...
    def __rtruediv__(self, other: Operand) -> Tensor: ...
    def __pow__(self, other: Operand) -> Tensor: ...
    def __rpow__(self, other: Operand) -> Tensor: ...
    def __matmul__(self, other: Operand) -> Tensor: ...
    def __rmatmul__(self, other: Operand) -> Tensor: ...
    def __neg__(self) -> Tensor: ...
    def __abs__(self) -> Tensor: ...
    def __eq__(self, other: Operand) -> Tensor: ...  # type: ignore[override]
    def __ne__(self, other: Operand) -> Tensor: ...  # type: ignore[override]
    def __lt__(self, other: Operand) -> Tensor: ...
    def __le__(self, other: Operand) -> Tensor: ...
    def __gt__(self, other: Operand) -> Tensor: ...
    def __ge__(self, other: Operand) -> Tensor: ...
    def __and__(self, other: Operand) -> Tensor: ...
    def __rand__(self, other: Operand) -> Tensor: ...
    def __or__(self, other: Operand) -> Tensor: ...
    def __ror__(self, other: Operand) -> Tensor: ...
    def __xor__(self, other: Operand) -> Tensor: ...
    def __rxor__(self, other: Operand) -> Tensor: ...
    def __invert__(self) -> Tensor: ...
    def __getitem__(self, index: Any) -> Tensor: ...

    # A leaf is changed in place; for anything else `x += y` is `x = x + y`.

    def __iadd__(self, other: Operand) -> Self: ...
    def __isub__(self, other: Operand) -> Self: ...
    def __imul__(self, other: Operand) -> Self: ...
    def __itruediv__(self, other: Operand) -> Self: ...
    def __ipow__(self, other: Operand) -> Self: ...
    def __imatmul__(self, other: Operand) -> Self: ...
    def __iand__(self, other: Operand) -> Self: ...
    def __ior__(self, other: Operand) -> Self: ...
    def __ixor__(self, other: Operand) -> Self: ...

    def to(self, device: str) -> Tensor:
        """The same values on `device` ("cpu" or "gpu"); differentiable."""

    def astype(self, dtype: Any) -> Tensor:
        """The same values in another dtype; differentiable between floating-point types."""

    def float(self) -> Tensor:
        """The same values as float32; differentiable between floating-point types."""
        return self.astype("float32")

    def clone(self) -> Tensor:
        """A copy with memory of its own, in the graph; see `mg.clone`.

        A copy of a leaf that requires no gradient, such as `x.detach()`, is a leaf too.
        """

    def exp(self) -> Tensor:
        """e^x; see `mg.exp`."""

    def log(self) -> Tensor:
        """Natural logarithm; see `mg.log`."""

    def log1p(self) -> Tensor:
        """log(1 + x); see `mg.log1p`."""

    def sqrt(self) -> Tensor:
        """Square root; see `mg.sqrt`."""

    def tanh(self) -> Tensor:
        """Hyperbolic tangent; see `mg.tanh`."""

    def sigmoid(self) -> Tensor:
        """1 / (1 + e^-x); see `mg.sigmoid`."""

    def sin(self) -> Tensor:
        """Sine; see `mg.sin`."""

    def cos(self) -> Tensor:
        """Cosine; see `mg.cos`."""

    def abs(self) -> Tensor:
        """Absolute value; see `mg.abs`."""

    def maximum(self, other: Operand, /) -> Tensor:
        """The larger of two, elementwise; see `mg.maximum`."""

    def minimum(self, other: Operand, /) -> Tensor:
        """The smaller of two, elementwise; see `mg.minimum`."""

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """Values limited to [min, max]; see `mg.clip`."""

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Sum over axes; see `mg.sum`."""

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Mean over axes; see `mg.mean`."""

    def var(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        """Variance over axes; see `mg.var`."""

    def std(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        """Standard deviation over axes; see `mg.std`."""

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Largest value over axes; see `mg.max`."""

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Smallest value over axes; see `mg.min`."""

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Product over axes; see `mg.prod`."""

    def cumsum(self, axis: int | None = None) -> Tensor:
        """Running sum along an axis; see `mg.cumsum`."""

    def logsumexp(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """log(sum(e^x)) without overflow; see `mg.logsumexp`."""

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Index of the largest value; see `mg.argmax`."""

    def all(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Whether all elements are true; see `mg.all`."""

    def any(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Whether any element is true; see `mg.any`."""

    def norm(self, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Vector norm; see `mg.norm`."""

    def matmul(self, other: Operand, /) -> Tensor:
        """Matrix product; see `mg.matmul`."""

    def outer(self, other: Operand, /) -> Tensor:
        """Outer product of two vectors; see `mg.outer`."""

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; see `mg.reshape`."""

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order; reversed if none is given; see `mg.transpose`."""

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged; see `mg.swapaxes`."""

    def moveaxis(self, source: Any, destination: Any) -> Tensor:
        """Axes moved to other places; see `mg.moveaxis`."""

    def broadcast_to(self, shape: Any) -> Tensor:
        """Repeated to a larger shape; see `mg.broadcast_to`."""

    def expand_dims(self, axis: Any) -> Tensor:
        """With a new axis of size 1; see `mg.expand_dims`."""

    def squeeze(self, axis: Axis = None) -> Tensor:
        """Without axes of size 1; see `mg.squeeze`."""

    def flip(self, axis: Axis = None) -> Tensor:
        """In reverse order along axes; see `mg.flip`."""

    def pad(self, pad_width: Any, constant_values: builtins.float = 0.0) -> Tensor:
        """With a constant border; see `mg.pad`."""

    def take_along_axis(self, indices: Any, axis: int | None) -> Tensor:
        """Values picked along an axis; see `mg.take_along_axis`."""

    def split(self, sections: Any, axis: int = 0) -> tuple[Tensor, ...]:
        """Parts along an axis; see `mg.split`."""


Operand: TypeAlias = Tensor | Array
Axis: TypeAlias = int | tuple[int, ...] | None


class GradientSlot(Protocol):
    """Where an optimizer wants a leaf's gradient to be written: a place in its flat vector."""

    def take(self, leaf: Tensor) -> Array | None:
        """An array to write the first gradient of a pass into, or None if it is in use."""

    def holds(self, array: Array) -> bool:
        """Whether this array is in the slot's place."""

    def place(self) -> Place | None:
        """The place itself; None if the optimizer no longer exists."""

    def data_place(self, leaf: Tensor) -> Place | None:
        """The place of the leaf's values in the optimizer's vector; None if they are elsewhere."""

    def stretch(self) -> tuple[Array, int, int] | None:
        """The vector of all gradients, and where in it this one begins and ends."""


def wrap(array: Array, record: Record | None = None) -> Tensor:
    """The Tensor around an array, without a copy or a check: how every result is made."""
    result = object.__new__(Tensor)
    result._data = array
    result._record = record
    result._requires_grad = record is not None
    result._grad = None
    result._slot = None
    return result


def new_leaf(array: Array) -> Tensor:
    """The Tensor around an array that its owner may change in place, as by `+=`."""
    result = wrap(array)
    result._writable = True
    return result


def _refuse_reading(array: Array) -> None:
    """Refuse to read values in a captured step: they are not computed yet."""
    if thread.observer is not NOBODY and not on_host(array):
        thread.observer.refuse(
            f"it reads a Tensor of shape {array.shape} (.item(), if, .numpy(), print): a copy to "
            "the host; return the Tensor, and read it outside"
        )


def array_of(value: Any) -> Any:
    """The raw array of a Tensor; anything else is returned unchanged."""
    return value._data if isinstance(value, Tensor) else value


def described(value: object) -> str:
    """A value as messages show it: an array's dtype and shape, or its shortened repr and type."""
    if value is None:
        return "None"
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if dtype is None or not isinstance(shape, tuple) or isinstance(value, np.generic):
        return f"{reprlib.repr(value)} ({kind})"
    kind = {Tensor: "a Tensor", np.ndarray: "an array"}.get(type(value), f"a {kind}")
    return f"{kind} {dtype}{list(shape)}"


def as_tensor(value: Any, name: str) -> Tensor:
    """An argument as a Tensor; an array is wrapped without a copy.

    Args:
        value: A Tensor, or an array, whose memory is shared.
        name: The argument's name for the message, such as "cross_entropy: target".

    Raises:
        TypeError: It is neither.
        DTypeError: It is an array, but not of numbers.
    """
    if isinstance(value, Tensor):
        return value
    if not is_array(value):
        remedy = "mg.tensor(np.asarray(x))" if hasattr(value, "__array__") else "mg.tensor(x)"
        raise TypeError(
            f"{name}: expected a Tensor or an array, got {described(value)}; {remedy} makes one"
        )
    if value.dtype.kind not in "biuf":
        raise DTypeError(f"{name}: expected an array of numbers, got one of dtype {value.dtype}")
    return wrap(as_array(value))


def dtype_of(dtype: Any, name: str) -> np.dtype[Any]:
    """An argument as a NumPy dtype; None stands for float32, the default.

    Args:
        dtype: Anything that NumPy accepts as a dtype.
        name: The caller's name for the message, such as "astype".

    Raises:
        DTypeError: NumPy does not know it, or it is not a dtype of real numbers.
    """
    try:
        found = np.dtype(np.float32 if dtype is None else dtype)
    except TypeError as error:
        raise DTypeError(f"{name}: {error}; write a dtype as text, such as 'float32'") from None
    if found.kind not in "biuf":
        raise DTypeError(f"{name}: Tensors hold real numbers, so none of dtype {found}")
    return found


def listed(value: Any, name: str) -> list[Tensor]:
    """One Tensor, or several, as a list; an array is refused, as it is in no graph.

    Raises:
        TypeError: It is neither; the message calls it `name`.
    """
    if isinstance(value, Tensor):
        return [value]
    is_several = isinstance(value, Iterable) and not is_array(value) and not isinstance(value, str)
    tensors = list(value) if is_several else [value]
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected a Tensor or several, got {described(x)}")
    return tensors


def tensor(
    data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Make a leaf Tensor from a copy of `data`.

    Args:
        data: A number, nested sequences of numbers, an array, or a Tensor.
        dtype: The elements' type. Default: Python floats become float32, arrays keep theirs.
        device: "cpu" or "gpu". Default: where `data` is, the CPU for anything but GPU arrays.
        requires_grad: Whether backward passes are to compute a gradient for it.

    Returns:
        The Tensor.

    Raises:
        DTypeError: `data` is not numeric, or an integer Tensor is to require a gradient.
        ShapeError: Nested sequences have different lengths.
        DeviceError: `device` is unknown or not usable.

    Example:
        >>> tensor([[1.0, 2.0], [3.0, 4.0]]).shape
        (2, 2)
    """
    data = array_of(data)
    if hasattr(data, "__cuda_array_interface__"):
        array = data.copy()
    else:
        try:
            # asarray first: another library's `__array__` may not know how to copy
            array = np.array(np.asarray(data) if hasattr(data, "__array__") else data)
        except ValueError as error:
            raise ShapeError(f"tensor: expected nested sequences of one shape; {error}") from None
        except TypeError as error:
            if not hasattr(data, "__array__"):
                raise
            raise DTypeError(
                f"tensor: {described(data)} gives no array ({error}); convert it first, in "
                "PyTorch by x.float()"
            ) from error
        if array.dtype == np.float64 and dtype is None and not _has_dtype(data):
            dtype = np.float32
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"tensor: expected numbers of one shape, got data of dtype {array.dtype}")
    if dtype is not None:
        array = _converted(array, dtype_of(dtype, "tensor"), exactly=not _has_dtype(data))
    if device == "gpu" and on_host(array):
        thread.observer.refuse(
            "mg.tensor makes a copy from the host; make the Tensor outside, or pass it in"
        )
    return new_leaf(to_device(array, device) if device else array).requires_grad_(requires_grad)


def _converted(array: Array, dtype: np.dtype[Any], exactly: bool) -> Array:
    """Convert an array; if `exactly`, raise if an integer dtype cannot hold the numbers."""
    if exactly and dtype.kind in "iu" and not can_hold(dtype, np.trunc(array)):
        raise DTypeError(f"tensor: {dtype} cannot hold numbers from {array.min()} to {array.max()}")
    return array.astype(dtype, copy=False)


def can_hold(dtype: np.dtype[Any], values: Array) -> bool:
    """Whether a dtype can hold these numbers; a float dtype holds all of them, rounded."""
    if dtype.kind == "f":
        return True
    with np.errstate(invalid="ignore"):
        return bool(np.array_equal(values.astype(dtype), values))


def _has_dtype(data: Any) -> bool:
    """Whether nested data ends in arrays or NumPy scalars, which keep their dtype."""
    while isinstance(data, list | tuple) and len(data):
        data = data[0]
    return hasattr(data, "dtype")
