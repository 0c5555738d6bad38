"""The reference: pages from the docstrings, by Sphinx's autodoc and napoleon.

A page of docs/reference/ names what it describes, in blocks:

    ```{reference} minigrad
    exp log log1p
    ```

A block becomes a table, one line for each name, and below it each name with its signature, its
docstring and a link to its source. tests/test_reference_pages.py compares the blocks with what is
public.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import groupby, takewhile
from pathlib import Path
from types import FunctionType
from typing import Any, get_type_hints

import docstring_parser
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import inspect as sphinx_inspect
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import stringify_signature

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))  # models/ and train/ are imported from the repository

# how readers write a module's names, after `import minigrad as mg; from minigrad import nn, optim`
WRITTEN = {
    "minigrad.nn.": "nn.",
    "minigrad.optim.": "optim.",
    "minigrad.tools.check.": "mg.check.",
    "minigrad.data.": "minigrad.data.",
    "minigrad.learn.": "minigrad.learn.",
    "minigrad.serialization.": "minigrad.serialization.",
    "minigrad.backends.": "minigrad.backends.",
    "minigrad.tools.draw_picture.": "",  # what mg.draw and mg.show_backward return
    "minigrad.tools.backward_pass.": "",
    "minigrad.tools.backward_steps.": "",
    "minigrad.errors.": "minigrad.errors.",
    "minigrad.Tensor.": "Tensor.",  # a method goes by its class, as in its own heading
    "train.trainer.Trainer.": "Trainer.",
    "minigrad.": "mg.",
}


def written(name: str) -> str:
    """A full name as readers write it: `mg.exp` for minigrad.exp."""
    for start, short in WRITTEN.items():
        if name.startswith(start):
            return short + name.removeprefix(start)
    return name


def found(name: str) -> Any:
    """The object of a full name, such as minigrad.Tensor.sum.

    Raises:
        AttributeError, ModuleNotFoundError: There is none.
    """
    first, *parts = name.split(".")
    thing: Any = importlib.import_module(first)
    path = first
    for part in parts:
        path += f".{part}"
        if not hasattr(thing, part) and inspect.ismodule(thing):
            importlib.import_module(path)  # a submodule, which becomes an attribute
        thing = getattr(thing, part)
    return thing


# --- docstrings: our Markdown-like plain text as reStructuredText ---------------------------------


@cache
def documented() -> frozenset[str]:
    """All full names that the blocks of docs/reference/ name."""
    pages = sorted((ROOT / "docs" / "reference").glob("*.md"))
    blocks = [
        block
        for page in pages
        for block in re.findall(
            r"^```\{reference\} (\S+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S
        )
    ]
    return frozenset(f"{module}.{name}" for module, names in blocks for name in words(names))


def words(content: str) -> list[str]:
    """The names in a block; lines that begin with a colon are options."""
    return re.sub(r"^:.*$", "", content, flags=re.M).split()


def code(text: str) -> str:
    """Text between backticks: a link where it is a documented name, else monospaced."""
    name = re.sub(r"\(\)$", "", text)
    full = re.sub(r"^mg\.", "minigrad.", re.sub(r"^(nn|optim)\.", r"minigrad.\1.", name))
    if full in documented():
        return f":py:obj:`{text} <{full}>`"
    return f"``{text}``"


# *words* are emphasized; any other sign that means something in reStructuredText means itself
EMPHASIS = re.compile(r"(?P<words>(?<![\w*])\*\w[\w -]*\*(?![\w*]))|[*|\\]|_(?=\W|$)")


def rst_of(line: str) -> str:
    """A line of a docstring; * and _ mean themselves, what stands in backticks is code."""
    parts = re.split(r"(?<!`)`([^`\n]+)`(?!`)", line)
    plain = [EMPHASIS.sub(lambda m: m["words"] or f"\\{m[0]}", part) for part in parts[::2]]
    coded = [code(part) for part in parts[1::2]]
    joined = plain[0]
    for between, after in zip(coded, plain[1:], strict=True):
        glued = "\\ " if re.match(r"\w", after) else ""  # `x`s
        joined += between + glued + after
    return joined


def as_rst(lines: list[str]) -> list[str]:
    """A docstring as reStructuredText, paragraph by paragraph: code may go on in the next line.

    Doctests stay as they are, and so do formulas that are indented below a line with a colon.
    """
    result: list[str] = []
    above = 0  # the indentation of the text before; deeper paragraphs behind its colon are formulas
    for is_empty, group in groupby(lines, lambda line: not line.strip()):
        paragraph = list(group)
        if is_empty:
            result += paragraph
            continue
        indent = min(len(line) - len(line.lstrip()) for line in paragraph)
        before = next((line for line in reversed(result) if line.strip()), "")
        if indent > above and before.endswith(":"):
            result += [" " * above + ".. code-block:: text", "", *paragraph]
            continue
        if paragraph[0].lstrip().startswith(">>>"):
            result += paragraph
            continue
        ahead = list(takewhile(lambda line: not line.lstrip().startswith(">>>"), paragraph))
        result += [*rst_of("\n".join(ahead)).split("\n"), *paragraph[len(ahead) :]]
        above = indent
    return result


def process_docstring(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Before napoleon: take a Tensor method's own docstring, and convert the text."""
    stub = tensor_methods().get(name.removeprefix("minigrad.Tensor."))
    if name.startswith("minigrad.Tensor.") and stub is not None:
        lines[:] = [*(ast.get_docstring(stub) or "").splitlines(), ""]
    lines[:] = as_rst(lines)


def process_property(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """After napoleon, which takes the words before a property's first colon for its type."""
    if what == "property":
        text = as_rst([*(inspect.getdoc(obj) or "").splitlines(), ""])
        lines[:] = GoogleDocstring(text, app.config, app, "method", name).lines()


# --- signatures -----------------------------------------------------------------------------------


@cache
def tensor_methods() -> dict[str, ast.FunctionDef]:
    """Tensor's methods as tensor.py declares them; minigrad.ops supplies the bodies."""
    tree = ast.parse((ROOT / "minigrad" / "tensor.py").read_text(encoding="utf-8"))
    [cls] = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Tensor"]
    methods = [n for n in cls.body if isinstance(n, ast.FunctionDef)]
    return {n.name: n for n in reversed(methods)}  # a property's getter comes before its setter


def process_signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None] | None:
    """The types as the caller sees them: an operation takes Tensors too, and gives one."""
    stub = tensor_methods().get(name.removeprefix("minigrad.Tensor."))
    if name.startswith("minigrad.Tensor.") and stub is not None and signature:
        arguments = re.sub(r"^self(, /)?(, )?", "", ast.unparse(stub.args))
        return plainer(f"({arguments})"), plainer(ast.unparse(stub.returns) if stub.returns else "")
    if what == "class" and "*args: object" in (signature or ""):  # Module.__new__
        made = sphinx_inspect.signature(obj.__init__, bound_method=True)
        signature = stringify_signature(
            made, show_return_annotation=False, unqualified_typehints=True
        )
        signature = "()" if obj.__init__ is object.__init__ else signature
    if hasattr(obj, "operation") and signature:
        return re.sub(r"\bArray\b", "Operand", plainer(signature) or ""), "Tensor"
    return plainer(signature), plainer(returns)


def plainer(types: str | None) -> str | None:
    """Types as the source writes them, where Python writes them out."""
    name = r"~?[\w.]*"  # of a type, as autodoc has it: ~numpy.uint8
    any_shape = rf"tuple\[{name}Any, \.\.\.\]"
    text = types or ""
    for pattern, words in (
        (rf"Callable\[\[~P\], {name}R\]", "Callable"),
        (rf"Callable\[\[\.\.\.\], {name}Any\]", "Callable"),
        (rf"Callable\[\[~P\], {name}Any\]", "Callable"),
        (r"PrimitiveCall\[~P\]", "Callable"),
        (
            rf"{name}ndarray\[({any_shape}|{name}Any), ({name}dtype\[{name}Any\]|{name}Any)\]",
            "NDArray",
        ),
        (rf"{name}ndarray\[{any_shape}, {name}dtype\[({name})\]\]", r"NDArray[\1]"),
        (r"TypeAliasForwardRef\('(\w+)'\)", r"\1"),
        (r"\bbuiltins\.", ""),
    ):
        text = re.sub(pattern, words, text)
    return text or None


TABLE = [".. list-table::", "   :class: reference-table", "   :width: 100%", "   :widths: auto"]
MEMBERS = (FunctionType, classmethod, staticmethod, property)


# --- the directives -------------------------------------------------------------------------------


def kind_of(name: str) -> str:
    """The autodoc directive for a name."""
    owner = found(name.rpartition(".")[0])
    thing = inspect.getattr_static(owner, name.rpartition(".")[2])
    if inspect.ismodule(thing):
        return "automodule"
    if isinstance(thing, property):
        return "autoproperty"
    if inspect.isclass(thing):
        return "autoexception" if issubclass(thing, Exception) else "autoclass"
    if inspect.isclass(owner):
        return "automethod"
    return "autofunction" if callable(thing) else "autodata"


def summary_of(name: str) -> str:
    """The first sentence of a docstring."""
    lines = (inspect.getdoc(found(name)) or "").splitlines()
    stub = tensor_methods().get(name.removeprefix("minigrad.Tensor."))
    if name.startswith("minigrad.Tensor.") and stub is not None:
        lines = (ast.get_docstring(stub) or "").splitlines()
    return rst_of(" ".join(lines[: lines.index("") if "" in lines else None]))


def members_of(cls: Any) -> list[str]:
    """The public members of a class that have a docstring in it; none of anything else.

    An attribute has one if a string follows it. What overrides a member of a base class is
    described there, except for `forward`, which has arguments of its own.
    """
    if not inspect.isclass(cls):
        return []
    bases = [base for base in cls.__mro__[1:] if base.__module__.startswith(("minigrad", "train"))]
    analyzer = ModuleAnalyzer.for_module(cls.__module__)
    analyzer.analyze()
    attributes = [name for owner, name in analyzer.attr_docs if owner == cls.__name__]
    return [
        name
        for name, member in vars(cls).items()
        if not name.startswith("_")
        and (name == "forward" or not any(name in vars(base) for base in bases))
        and (name in attributes or (isinstance(member, MEMBERS) and inspect.getdoc(member)))
    ]


class Reference(SphinxDirective):
    """A table of names, and then each name in full."""

    has_content = True
    required_arguments = 1
    option_spec = {"without-members": directives.flag}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """What autodoc makes of the names."""
        names = [f"{self.arguments[0]}.{name}" for name in words("\n".join(self.content))]
        lines = [*TABLE, ""] if len(names) > 1 else []
        for name in names if len(names) > 1 else ():
            short = written(name)
            lines += [f"   * - :py:obj:`{short} <{name}>`", f"     - {summary_of(name)}"]
        for name in names:
            kind = kind_of(name)
            lines += ["", f".. {kind}:: {name}"]
            members = ", ".join(members_of(found(name)))
            if members and "without-members" not in self.options:
                lines += [f"   :members: {members}", "   :member-order: bysource"]
        return self.of_rst(lines)

    def of_rst(self, lines: list[str]) -> list[nodes.Node]:
        """Parse reStructuredText, in a page of Markdown."""
        source = ["````{eval-rst}", *lines, "````"]
        box = nodes.container()
        self.state.nested_parse(StringList(source, source=self.env.docname), 0, box)
        return list(box.children)


class Options(Reference):
    """The options of a trainer's configuration, with type, default and meaning."""

    has_content = False
    option_spec = {}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """A table."""
        cls = found(self.arguments[0])
        lines = [*TABLE, "   :header-rows: 1", ""]
        lines += ["   * - option", "     - type", "     - default", "     - what it does"]
        for name, kind, default, text in options_of(cls):
            lines += [f"   * - ``{name}``", f"     - {kind}", f"     - ``{default}``"]
            lines += [f"     - {rst_of(text)}"]
        return self.of_rst(lines)


def options_of(cls: Any) -> Iterator[tuple[str, str, str, str]]:
    """The name, the type, the default and the description of each option."""
    texts = {
        parameter.arg_name: " ".join((parameter.description or "").split())
        for base in reversed(cls.__mro__[:-1])
        for parameter in docstring_parser.parse_from_object(base).params
    }
    for field in dataclasses.fields(cls):
        hint = get_type_hints(cls)[field.name]
        default = str(field.default) if isinstance(field.default, Path) else field.default
        kind = hint.__name__ if inspect.isclass(hint) else str(hint)
        kind = re.sub(r"\b(typing|pathlib\._local|pathlib)\.", "", kind)
        kind = re.sub(r"\bLiteral\[(.*?)\]", lambda values: values[1].replace(", ", " | "), kind)
        kind = re.sub(r"^Optional\[(.*)\]$", r"\1 | None", kind)
        text = re.sub(r"(?<![\w`-])--[a-z][a-z-]*", r"`\g<0>`", texts.get(field.name, ""))
        yield field.name, f"``{kind}``", repr(default), text


# --- what Sphinx made of it -----------------------------------------------------------------------


def as_readers_write(app: Sphinx, doctree: nodes.document) -> None:
    """Show `mg.exp` for minigrad.exp, types as the source has them, "Attributes" for "Variables".

    Also a dash between a parameter and what it is. Links and anchors keep the full name.
    """
    for prefix in doctree.findall(addnodes.desc_addname):
        prefix.children = [nodes.Text(written(prefix.astext()))]
    for annotation in doctree.findall(addnodes.desc_annotation):
        types = annotation.astext()
        plain = plainer(types) or ""
        if plain != types:
            annotation.children = [nodes.Text(plain)]
    for label in doctree.findall(nodes.field_name):
        if label.astext() == "Variables":
            label.children = [nodes.Text("Attributes")]
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" \N{EN DASH} "))


def setup(app: Sphinx) -> dict[str, bool]:
    """Load and set up autodoc and napoleon, and register the directives."""
    for extension in ("autodoc", "napoleon"):
        app.setup_extension(f"sphinx.ext.{extension}")
    app.config.autodoc_typehints_format = "short"
    app.config.autodoc_type_aliases = {name: name for name in ("Array", "Axis", "Operand")}
    app.config.autodoc_inherit_docstrings = False
    app.config.autodoc_preserve_defaults = True
    app.config.smartquotes = False  # "cpu" is what one types
    app.config.napoleon_numpy_docstring = False
    app.config.napoleon_use_ivar = True
    app.config.napoleon_attr_annotations = False  # the signature has them
    app.config.napoleon_custom_sections = ["Source"]
    app.config.toc_object_entries_show_parents = "hide"
    app.add_directive("reference", Reference)
    app.add_directive("options", Options)
    app.connect("autodoc-process-docstring", process_docstring, priority=400)
    app.connect("autodoc-process-docstring", process_property, priority=600)
    app.connect("autodoc-process-signature", process_signature)
    app.connect("doctree-read", as_readers_write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
