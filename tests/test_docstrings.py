"""Every public name says what it does, what it takes, and shows itself in a doctest that runs."""

import ast
import builtins
import inspect
import re
import sys
import textwrap
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


METHODS = [
    (f"{cls.__name__}.{name}", member)
    for cls in (mg.Tensor, nn.Module, optim.Optimizer, optim.lr_scheduler.LRScheduler)
    for name, member in vars(cls).items()
    if inspect.isfunction(member) and not name.startswith("_")
]
FUNCTIONS = [pair for pair in PUBLIC if inspect.isfunction(pair[1])]
CLASSES = [pair for pair in PUBLIC if inspect.isclass(pair[1]) and "__init__" in vars(pair[1])]


def raised_by(function):
    """The names of the errors that a function raises itself, and not in a function inside."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body
    found, waiting = set(), list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found.add(ast.unparse(node.exc.func))
        if not isinstance(node, ast.FunctionDef):
            waiting += ast.iter_child_nodes(node)
    return found


def errors(names, module):
    """The classes of errors under the names that a module knows; other names are left out."""
    known = vars(builtins) | vars(mg) | vars(sys.modules[module])
    found = [known.get(name) for name in names]
    return [kind for kind in found if inspect.isclass(kind) and kind is not NotImplementedError]


@pytest.mark.parametrize(
    ("name", "thing"),
    [*FUNCTIONS, *CLASSES, *METHODS],
    ids=[name for name, _ in [*FUNCTIONS, *CLASSES, *METHODS]],
)
def test_docstring_names_what_is_raised(name, thing):
    text = re.search(r"\nRaises:\n(.*?)(\n\n|$)", inspect.getdoc(thing) or "", flags=re.S)
    named = re.findall(r"^    (\w+): ", text[1] if text else "", flags=re.M)
    documented = errors(named, thing.__module__)
    assert len(documented) == len(named), f"{name}: not all of {named} are errors"
    body = thing.__init__ if inspect.isclass(thing) else thing
    for kind in errors(raised_by(body), body.__module__):
        # an operation makes a ShapeError of what its definition says as a ValueError
        assert any(issubclass(each, kind) for each in documented), f"{name}: {kind.__name__}"
