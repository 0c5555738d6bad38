"""Every public name says what it does, what it takes, and shows itself in a doctest that runs."""

import inspect
import types

import pytest

import minigrad as mg
from minigrad import nn, optim

NAMESPACES = {
    "mg": mg,
    "mg.check": mg.check,
    "nn": nn,
    "nn.functional": nn.functional,
    "nn.init": nn.init,
    "nn.utils": nn.utils,
    "optim": optim,
    "optim.lr_scheduler": optim.lr_scheduler,
}
PUBLIC = [
    (f"{space}.{name}", getattr(module, name))
    for space, module in NAMESPACES.items()
    for name in module.__all__
    if not isinstance(getattr(module, name), types.ModuleType)
]
WITHOUT_ARGUMENTS = (Exception, tuple)  # whose own constructors nobody calls


def parameters_of(thing):
    """The names of what a function, or a class's constructor, takes."""
    if inspect.isclass(thing) and issubclass(thing, WITHOUT_ARGUMENTS):
        return []
    if inspect.isclass(thing) and thing.__init__ is object.__init__:
        return []
    names = list(inspect.signature(thing).parameters)
    return [name for name in names if name not in ("self", "args", "kwargs", "device", "dtype")]


@pytest.mark.parametrize(("name", "thing"), PUBLIC, ids=[name for name, _ in PUBLIC])
def test_docstring_says_what_it_takes_and_shows_it(name, thing):
    text = inspect.getdoc(thing)
    assert text, f"{name} has no docstring"
    first = text.partition("\n")[0]
    assert (first.endswith((".", ":", "`.")) and first[0].isupper()) or first[0] in "`<lae-", first
    assert ">>> " in text, f"{name} has no doctest"
    described = text.partition("Args:")[2]
    missing = [p for p in parameters_of(thing) if f"    {p}: " not in described]
    assert not missing, f"{name}: nothing is said of {missing}"


def test_methods_of_tensor_and_module_are_described():
    for cls in (mg.Tensor, nn.Module):
        for name, member in vars(cls).items():
            if not name.startswith("_") and callable(getattr(cls, name)):
                assert inspect.getdoc(member), f"{cls.__name__}.{name}"
