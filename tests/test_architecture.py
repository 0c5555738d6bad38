"""The order of the house: imports run down only, files stay short, public names are documented."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("minigrad", "models", "train")

# each line imports what stands above it only; a module is listed by the longest prefix
LEVELS = [
    ["minigrad.errors"],
    ["minigrad.files"],
    ["minigrad.messages.hints"],
    ["minigrad.backends"],
    ["minigrad.versions"],
    ["minigrad.grad_mode"],
    ["minigrad.observers"],
    ["minigrad.tensor"],
    ["minigrad.messages"],
    ["minigrad.engine"],
    ["minigrad.operation"],
    ["minigrad.primitive"],
    ["minigrad.fused"],
    ["minigrad.ops"],
    ["minigrad.nn"],
    ["minigrad.optim"],
    ["minigrad.data"],
    ["minigrad.serialization"],
    ["minigrad.capture.values", "minigrad.capture.leaves"],
    ["minigrad.capture.trace"],
    ["minigrad.capture.recording"],
    ["minigrad.capture"],
    ["minigrad.tools.check"],
    ["minigrad.tools.anomaly"],
    ["minigrad.tools.draw_layout"],
    ["minigrad.tools.draw_picture"],
    ["minigrad.tools.draw"],
    ["minigrad.tools.rule_source"],
    ["minigrad.tools.backward_steps"],
    ["minigrad.tools.backward_pass"],
    ["minigrad.tools.show_backward"],
    ["minigrad.tools"],
    ["minigrad.distributed"],
    ["minigrad"],
    ["minigrad.learn"],
    ["minigrad.info", "minigrad.__main__"],
    ["models"],
    ["train"],
]
LONGEST = 400


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def level_of(module: str) -> int:
    def depth(prefix: str) -> int:
        inside = module == prefix or module.startswith(f"{prefix}.")
        return len(prefix) if inside else -1

    best = max(depth(prefix) for level in LEVELS for prefix in level)
    return next(i for i, level in enumerate(LEVELS) if any(depth(p) == best for p in level))


def statements(tree: ast.AST, inside: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that run: not those for type checkers; with `inside`, also those in functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif inside or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from statements(node, inside)


def imported(source: str, module: str, inside: bool = True) -> set[str]:
    """The project's modules that a module imports, and `torch` if it does."""
    names = set()
    is_package = module in MODULES and MODULES[module].name == "__init__.py"
    for node in statements(ast.parse(source), inside):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            continue
        base = node.module or ""
        if node.level:
            above = module.split(".")
            above = above[: len(above) - node.level + is_package]
            base = ".".join([*above, *([base] if base else [])])
        for alias in node.names:
            full = f"{base}.{alias.name}"
            names.add(full if full in MODULES else base)
    ours = {name for name in names if name.partition(".")[0] in (*PACKAGES, "torch")}
    return ours - {module}


def arrows_up(source: str, module: str) -> list[str]:
    own = level_of(module)
    return [
        f"{module} (level {own}) imports {name} (level {level_of(name)})"
        for name in sorted(imported(source, module) - {"torch"})
        if level_of(name) > own
    ]


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_down_only(module):
    assert arrows_up(MODULES[module].read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("minigrad.tensor", "from minigrad.engine import Record"),
        ("minigrad.backends.numpy.shape", "def f():\n    from minigrad.tensor import Tensor"),
        ("minigrad.ops.shape", "import minigrad as mg"),
        ("minigrad.ops.shape", "from minigrad.nn import functional"),
        ("minigrad.ops.shape", "from ..nn import functional"),
        ("minigrad.nn.linear", "from minigrad.optim import sgd"),
        ("minigrad.data", "import models.lstm"),
        ("models.gan", "from train import loop"),
    ],
)
def test_a_planted_arrow_up_is_found(module, source):
    assert len(arrows_up(source, module)) == 1


def test_imports_for_type_checkers_do_not_count():
    source = "if TYPE_CHECKING:\n    from minigrad.engine import Record"
    assert arrows_up(source, "minigrad.tensor") == []


def sorted_modules(graph: dict[str, set[str]]) -> list[str]:
    return list(TopologicalSorter(graph).static_order())


def test_imports_make_no_circles():
    graph = {
        name: imported(path.read_text(encoding="utf-8"), name, inside=False)
        for name, path in MODULES.items()
    }
    assert set(sorted_modules(graph)) >= set(MODULES)
    graph["minigrad.ops.shape"].add("minigrad.ops.linalg")
    with pytest.raises(CycleError):
        sorted_modules(graph)


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("models")])
def test_models_use_the_public_api_only(module):
    hidden = ("backends", "tensor", "engine", "operation", "primitive", "fused", "ops")
    for name in imported(MODULES[module].read_text(encoding="utf-8"), module):
        assert not name.startswith(tuple(f"minigrad.{part}" for part in hidden))


@pytest.mark.parametrize("module", MODULES)
def test_product_never_imports_torch(module):
    assert "torch" not in imported(MODULES[module].read_text(encoding="utf-8"), module)


def test_files_are_short_or_have_a_reason():
    reasons = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8").replace("\n", " ")
    sentences = [s for s in reasons.split(". ") if f"{LONGEST} lines" in s]
    lines = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES.values()}
    without = [
        f"{path.relative_to(ROOT)}: {count} lines"
        for path, count in lines.items()
        if count > LONGEST and not any(f"`{path.name}`" in sentence for sentence in sentences)
    ]
    assert without == [], "split them, or give a reason in docs/decisions.md"


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Public functions, classes and methods without a docstring of their own."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node) and not is_overload(node):
                yield node.name
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.name
            inherits = bool(node.bases)  # what it overrides is documented in its base
            for method in node.body:
                if (
                    isinstance(method, ast.FunctionDef)
                    and not method.name.startswith("_")
                    and not is_overload(method)
                    and not ast.get_docstring(method)
                    and not inherits
                ):
                    yield f"{node.name}.{method.name}"


def is_overload(node: ast.FunctionDef) -> bool:
    return any(
        ast.unparse(d) == "overload" or ast.unparse(d).endswith(".setter")
        for d in node.decorator_list
    )


@pytest.mark.parametrize("module", [m for m in MODULES if m.partition(".")[0] == "minigrad"])
def test_public_names_are_documented(module):
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), module
    assert list(undocumented(tree)) == []


# --- rules and fused definitions live twice: on arrays of any backend and on Tensors ----------


def lives_twice(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """The rules of a module's primitives and the definitions of its fused operations."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for name, function in functions.items():
        for decorator in function.decorator_list:
            if ast.unparse(decorator) == "fused":
                yield name, function
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(
                "primitive"
            ):
                for rule in decorator.keywords:
                    body = functions.get(ast.unparse(rule.value), rule.value)
                    yield f"the rule of {name} for {rule.arg}", body


def numpy_in(source: str) -> list[str]:
    return [
        name
        for name, body in lives_twice(ast.parse(source))
        if any(isinstance(node, ast.Name) and node.id == "np" for node in ast.walk(body))
    ]


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("minigrad.ops.")])
def test_numpy_stands_in_definitions_that_have_a_rule_only(module):
    assert numpy_in(MODULES[module].read_text(encoding="utf-8")) == []


def test_numpy_in_a_rule_or_a_fused_definition_is_found():
    source = """
def _rule(g, x):
    return g * np.sign(x)

@primitive(a=_rule, b=lambda g, a: np.exp(a))
def f(a, b):
    return np.add(a, b)

@fused
def h(x):
    return np.zeros(3) + x
"""
    assert numpy_in(source) == ["the rule of f for a", "the rule of f for b", "h"]


def written_to(source: str) -> list[str]:
    """What fused definitions assign to besides their own names: they are pure."""
    return [
        f"{name}: {ast.unparse(node)}"
        for name, body in lives_twice(ast.parse(source))
        for node in ast.walk(body)
        if (isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store))
        or isinstance(node, ast.Global | ast.Nonlocal)
    ]


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("minigrad.ops.")])
def test_rules_and_fused_definitions_are_pure(module):
    assert written_to(MODULES[module].read_text(encoding="utf-8")) == []


def test_a_write_in_a_fused_definition_is_found():
    source = "@fused\ndef f(x, running):\n    running[...] = x\n    return x"
    assert len(written_to(source)) == 1


# --- values are written by one function, which notes it ---------------------------------------


def values_of_a_tensor(node: ast.AST) -> bool:
    """Whether an expression is a Tensor's array, or a part or view of it."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        if isinstance(node, ast.Attribute) and node.attr in ("_data", "data"):
            return True
        node = node.value
    return False


CHANGING = "fill put sort partition itemset resize copyto place putmask at".split()


def writes_to_values(source: str) -> Iterator[str]:
    """What changes the elements of a Tensor's array: assignments, `out=`, and NumPy's functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            found = values_of_a_tensor(node)
        elif isinstance(node, ast.AugAssign):
            found = values_of_a_tensor(node.target)
        elif isinstance(node, ast.keyword):
            found = node.arg == "out" and any(map(values_of_a_tensor, ast.walk(node.value)))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            written = [*node.args[:1], node.func.value]
            found = node.func.attr in CHANGING and any(map(values_of_a_tensor, written))
        else:
            found = False
        if found:
            yield ast.unparse(node)


@pytest.mark.parametrize("module", [m for m in MODULES if m != "minigrad.versions"])
def test_values_are_written_by_one_function(module):
    """Where values change unseen, a later backward pass computes with the new ones."""
    assert list(writes_to_values(MODULES[module].read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "x._data[...] = 0",
        "x._data[rows] = y._data",
        "x._data += 1",
        "x.data[0] -= 1",
        "parts[name]._data.T[1:] = 0",
        "np.add(x._data, 1, out=x._data)",
        "np.add(a, b, out=(x._data[0],))",
        "x._data.fill(0)",
        "np.copyto(x._data, y)",
        "np.add.at(x._data, i, 1)",
        "del x._data[0]",
    ],
)
def test_a_write_past_that_function_is_found(line):
    assert len(set(writes_to_values(line))) >= 1


def perhaps_no_shape(source: str) -> Iterator[str]:
    """Calls of `empty_like` and its kin with a shape that may be false: CuPy ignores it then."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("_like"):
            for given in node.keywords:
                shape = given.value
                parts = shape.elts if isinstance(shape, ast.Tuple) else []
                if given.arg == "shape" and all(isinstance(part, ast.Starred) for part in parts):
                    yield ast.unparse(node)


# `minigrad.backends.arrays` does it right for all, and CuPy never sees these folders
SEEN_BY_CUPY = [
    module
    for module in MODULES
    if module != "minigrad.backends.arrays" and not re.search(r"\.(numpy|numba)\.", module)
]


@pytest.mark.parametrize("module", SEEN_BY_CUPY)
def test_shapes_that_may_be_empty_are_not_given_to_arrays_like_others(module):
    """`minigrad.backends.arrays.empty` and `zeros` take them."""
    assert list(perhaps_no_shape(MODULES[module].read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("shape", ["()", "0", "shape", "x.shape", "(*front,)", "tuple(sizes)"])
def test_a_shape_that_may_be_empty_is_found(shape):
    assert list(perhaps_no_shape(f"y = np.zeros_like(x, shape={shape})"))
    assert not list(perhaps_no_shape("y = np.zeros_like(x, shape=(*front, 3))"))


# --- no ownership by counting, no heap as a registry ------------------------------------------

FORBIDDEN = "getrefcount get_objects get_referrers freeze get_freeze_count"


def counted_or_scanned(source: str) -> Iterator[str]:
    """Reads of reference counts and scans of the heap; a module's switch that is set to itself."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN.split():
            yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if alias.name in FORBIDDEN.split())
        elif isinstance(node, ast.Assign):
            if [ast.unparse(target) for target in node.targets] == [ast.unparse(node.value)]:
                yield ast.unparse(node)


@pytest.mark.parametrize("module", MODULES)
def test_no_code_counts_references_or_scans_the_heap(module):
    assert list(counted_or_scanned(MODULES[module].read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "sys.getrefcount(x)",
        "from sys import getrefcount",
        "[x for x in gc.get_objects()]",
        "gc.get_freeze_count()",
        "part.training = part.training",
    ],
)
def test_a_count_or_a_scan_is_found(line):
    assert list(counted_or_scanned(line))
