"""The reference describes every public name, each on one page, and names nothing that is not there.

A page of docs/reference/ names what it describes in blocks; docs/site/reference.py makes the text.
"""

import importlib
import inspect
import pkgutil
import re
import types
from pathlib import Path

import pytest

import minigrad as mg
import models
from minigrad import data, errors, learn, nn, optim, serialization
from minigrad.tools import check
from train import classifier, gan, lstm

PAGES = sorted((Path(__file__).parent.parent / "docs" / "reference").glob("*.md"))
PACKAGES = [
    mg,
    check,
    data,
    errors,
    learn,
    nn,
    nn.functional,
    nn.init,
    nn.utils,
    optim,
    optim.lr_scheduler,
    serialization,
]
MODELS = [
    importlib.import_module(f"models.{m.name}") for m in pkgutil.iter_modules(models.__path__)
]
WITHOUT_MEMBERS = [mg.Tensor]  # whose methods stand in blocks of their own


def found(name):
    """The object of a full name; an attribute of a package counts before a submodule."""
    first, *parts = name.split(".")
    thing, path = importlib.import_module(first), first
    for part in parts:
        path += f".{part}"
        if not hasattr(thing, part) and inspect.ismodule(thing):
            importlib.import_module(path)
        thing = getattr(thing, part)
    return thing


def blocks():
    """Each block of the pages: its page, its line, its kind, and the names in it."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```\{(\w+)\} ?(\S*)\n(.*?)^```$", text, flags=re.M | re.S):
            line = text.count("\n", 0, match.start()) + 1
            words = re.sub(r"^:.*$", "", match[3], flags=re.M).split()
            yield page.name, line, match[1], match[2], words, ":without-members:" in match[3]


NAMED = [
    (f"{page}:{line}", f"{package}.{name}")
    for page, line, kind, package, names, _ in blocks()
    if kind == "reference"
    for name in names
]


def identity(thing):
    """What makes two names the same thing: a bound method is its function."""
    return id(getattr(thing, "__func__", thing))


PLACES = {}  # of each described thing
for _place, _name in NAMED:
    if ".Tensor." not in _name:  # its methods, many of which are also functions of minigrad
        PLACES.setdefault(identity(found(_name)), []).append(_place)


def public():
    """Every public name, and what it stands for; modules and names of types aside."""
    for package in PACKAGES:
        for name in package.__all__:
            thing = getattr(package, name)
            if not isinstance(thing, types.ModuleType | types.GenericAlias):
                yield f"{package.__name__}.{name}", thing
    for module in MODELS:
        for name, thing in vars(module).items():
            own = getattr(thing, "__module__", "") == module.__name__
            if own and not name.startswith("_") and callable(thing):
                yield f"{module.__name__}.{name}", thing
    for module in (lstm, gan, classifier):
        yield f"{module.__name__}.run", module.run


@pytest.mark.parametrize(("name", "thing"), [pytest.param(*pair, id=pair[0]) for pair in public()])
def test_public_name_stands_on_one_page(name, thing):
    places = PLACES.get(identity(thing), [])
    assert len(places) == 1, f"{name} stands in {places or 'no block'} of docs/reference/"


def test_methods_and_properties_of_tensor_stand_in_one_block_each():
    named = [name.removeprefix("minigrad.Tensor.") for _, name in NAMED if ".Tensor." in name]
    own = [name for name in vars(mg.Tensor) if not name.startswith("_")]
    assert sorted(named) == sorted(own)


def test_methods_of_other_classes_come_with_their_class():
    """A block describes the members of its classes unless it says :without-members:."""
    for page, line, kind, package, names, without_members in blocks():
        classes = [found(f"{package}.{name}") for name in names if kind == "reference"]
        left_out = [cls for cls in classes if without_members and inspect.isclass(cls)]
        assert left_out == [cls for cls in left_out if cls in WITHOUT_MEMBERS], f"{page}:{line}"


@pytest.mark.parametrize("cls", [nn.Module, optim.Optimizer, optim.lr_scheduler.LRScheduler])
def test_members_have_the_docstring_by_which_the_page_takes_them(cls):
    for name, member in vars(cls).items():
        if not name.startswith("_") and (callable(member) or isinstance(member, property)):
            assert inspect.getdoc(member), f"{cls.__name__}.{name}"


@pytest.mark.parametrize(("place", "name"), NAMED)
def test_what_a_block_names_exists_and_is_described(place, name):
    thing = found(name)
    if thing is not found("minigrad.Tensor.grad") and not isinstance(thing, property):
        assert inspect.getdoc(thing), f"{place}: {name} has no docstring"


def test_blocks_are_of_known_kinds_and_options_are_of_classes_that_exist():
    seen = set()
    for page, line, kind, package, names, _ in blocks():
        assert kind in {"reference", "options", "toctree"}, f"{page}:{line}: {kind}"
        assert kind != "reference" or names, f"{page}:{line}: an empty block"
        if kind == "options":
            seen.add(found(package))
    assert seen == {lstm.LSTMConfig, gan.GANConfig, classifier.ClassifierConfig}


def test_names_of_types_are_explained():
    text = (PAGES[0].parent / "data.md").read_text(encoding="utf-8")
    aliases = [name for name in data.__all__ if isinstance(getattr(data, name), types.GenericAlias)]
    assert aliases and all(f"`minigrad.data.{name}`" in text for name in aliases)


def test_a_missing_name_is_noticed():
    with pytest.raises(AttributeError):
        found("minigrad.Tensor.no_such_method")
    with pytest.raises(ModuleNotFoundError):
        found("minigrad.no_such_module")
