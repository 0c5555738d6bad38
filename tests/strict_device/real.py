"""What CuPy has, asked of CuPy itself where it is installed: it needs no GPU for that."""

import functools
import importlib
import importlib.util
import inspect
import re

real = importlib.import_module("cupy") if importlib.util.find_spec("cupy") else None


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


def parameters_of(docstring):
    """The parameters that a compiled method's docstring names; "*" where it takes any number."""
    inside = re.search(r"\((.*?)\)", docstring.splitlines()[0]).group(1)
    names = [part.split("=")[0].split()[-1] for part in inside.split(",") if part.strip()]
    return ["*" if name.startswith("*") else name for name in names if name != "self"]
