"""The exceptions that minigrad raises; each is a subclass of one of Python's own."""

__all__ = [
    "AnomalyError",
    "ChangedValueError",
    "DTypeError",
    "DataError",
    "DeviceError",
    "GradcheckError",
    "GraphFreedError",
    "MissingDataError",
    "ShapeError",
    "StateDictError",
]


class ShapeError(ValueError):
    """Shapes that do not fit an operation.

    Example:
        >>> import minigrad as mg
        >>> mg.ones(2) + mg.ones(3)
        Traceback (most recent call last):
        minigrad.errors.ShapeError: add(float32[2], float32[3]): operands could not be broadcast...
    """


class DTypeError(TypeError):
    """A dtype that an operation or a gradient cannot have.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([1, 2], requires_grad=True)
        Traceback (most recent call last):
        minigrad.errors.DTypeError: requires_grad: only floating-point Tensors have gradients...
    """


class DeviceError(RuntimeError):
    """An unknown or unusable device, or inputs of one operation on different devices.

    Example:
        >>> import minigrad as mg
        >>> mg.ones(2, device="abacus")
        Traceback (most recent call last):
        minigrad.errors.DeviceError: ...
    """


class GraphFreedError(RuntimeError):
    """A second backward pass through a graph that the first one has freed.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor(2.0, requires_grad=True)
        >>> y = x * x
        >>> y.backward()
        >>> y.backward()
        Traceback (most recent call last):
        minigrad.errors.GraphFreedError: backward reached 'multiply', whose saved values...
    """


class ChangedValueError(RuntimeError):
    """A value that backward needs was changed after the forward pass had used it.

    Example:
        >>> import numpy as np
        >>> import minigrad as mg
        >>> x = mg.tensor(2.0, requires_grad=True)
        >>> y = x * x
        >>> x.data = np.array(3.0, dtype=np.float32)
        >>> y.backward()
        Traceback (most recent call last):
        minigrad.errors.ChangedValueError: backward reached 'multiply', which needs a value...
    """


class StateDictError(RuntimeError):
    """A state that does not fit a module; the message lists every mismatch.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.Linear(2, 1).load_state_dict({"weight": mg.ones(1, 3)})
        Traceback (most recent call last):
        minigrad.errors.StateDictError: load_state_dict: the state does not fit Linear, and ...
    """


class DataError(ValueError):
    """A data file that is missing or damaged, or does not hold what its name says."""


class MissingDataError(DataError):
    """A data file that does not exist."""


class GradcheckError(RuntimeError):
    """A gradient that differs from the central difference; the message says where, and why.

    Example:
        >>> import minigrad as mg
        >>> @mg.primitive(x=lambda g, x: -g * 2 * x)
        ... def square(x):
        ...     return x * x
        >>> mg.check.gradcheck(square, [mg.tensor(3.0, dtype="float64", requires_grad=True)])
        Traceback (most recent call last):
        minigrad.errors.GradcheckError: ...
    """


class AnomalyError(FloatingPointError):
    """An operation, or its derivative, gave a NaN or an infinity; the message says which.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor(0.0, requires_grad=True)
        >>> with mg.detect_anomaly():
        ...     mg.sqrt(x).backward()
        Traceback (most recent call last):
        minigrad.errors.AnomalyError: sqrt: its derivative contains an infinity...
    """
