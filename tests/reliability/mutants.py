"""The list of mutants: which there are, which are drawn, and what became of each."""

import ast
import json
import random
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutants.json")
RESULTS = Path(__file__).with_name("mutants-results.jsonl")
SEED, COUNT = 17, 560

SOURCES = [  # what is mutated; CUDA's text is not, since these tests run without a GPU
    *(f"minigrad/{name}.py" for name in ("engine", "operation", "primitive", "fused")),
    *(f"minigrad/{name}.py" for name in ("grad_mode", "versions", "tensor")),
    *("minigrad/ops", "minigrad/backends/numpy", "minigrad/backends/numba", "minigrad/optim"),
]


def sources() -> list[str]:
    """The files that are mutated, relative to the root."""
    paths = [ROOT / source for source in SOURCES]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


class _Stripped(ast.NodeTransformer):
    """A module without what Python reads and never computes with."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef | None:
        node.returns = None
        self.generic_visit(node)
        is_stub = all(
            isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) for s in node.body
        )
        return None if is_stub else node  # a form for the type checker, or one of a protocol

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None or ast.unparse(node.annotation) == "TypeAlias":
            return None
        return ast.Assign(targets=[node.target], value=self.visit(node.value))

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if ast.unparse(node.targets[0]) == "__all__" else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)


def computed(source: str) -> str | None:
    """What of a module is computed, in a form to compare; None if it is no Python."""
    try:
        return ast.dump(_Stripped().visit(ast.parse(source)))
    except SyntaxError:
        return None


def mutated(module: str, operator: str, occurrence: int) -> str:
    """The source of a module with one mutant in it."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = (ROOT / module).read_text(encoding="utf-8")
    code = mutate_code(source, get_operator(operator)(), occurrence)
    assert code is not None, f"{module}: there is no occurrence {occurrence} of {operator}"
    return code


def row(mutant: dict) -> int | None:
    """The number of the line that a mutant changes now; None if it is not there any more."""
    lines = (ROOT / mutant["module"]).read_text(encoding="utf-8").split("\n")
    before, wanted = mutant["position"][0], (mutant["line"], mutant["mutant"])
    if before <= len(lines) and lines[before - 1].strip() == mutant["line"]:
        return before
    if not any(line.strip() == mutant["line"] for line in lines):
        return None
    others = mutated(mutant["module"], mutant["operator"], mutant["occurrence"]).split("\n")
    pairs = enumerate(zip(lines, others, strict=False), 1)
    return next((n for n, pair in pairs if tuple(map(str.strip, pair)) == wanted), None)


def draw() -> None:
    """Draw COUNT of all mutants that cosmic-ray knows, and write the list.

    Left out are mutants of annotations, docstrings and `__all__`, which nothing computes with, and
    those that are no Python.
    """
    from cosmic_ray.commands.init import _all_work_items

    every = [item.mutations[0] for item in _all_work_items([ROOT / file for file in sources()], {})]
    order = random.Random(SEED).sample(range(len(every)), len(every))
    chosen = []
    for index in order:
        spec = every[index]
        module = Path(spec.module_path).relative_to(ROOT).as_posix()
        source = (ROOT / module).read_text(encoding="utf-8")
        code = mutated(module, spec.operator_name, spec.occurrence)
        if computed(code) in (None, computed(source)):
            continue
        pairs = zip(source.split("\n"), code.split("\n"), strict=False)
        changed = [(old, new) for old, new in pairs if old != new]
        chosen.append(
            {
                "id": len(chosen) + 1,
                "module": module,
                "operator": spec.operator_name,
                "occurrence": spec.occurrence,
                "position": [*spec.start_pos, *spec.end_pos],
                "line": source.split("\n")[spec.start_pos[0] - 1].strip(),
                "mutant": changed[0][1].strip(),
            }
        )
        if len(chosen) == COUNT:
            break
    lines = ",\n".join(json.dumps(mutant) for mutant in chosen)
    head = {"seed": SEED, "of": len(every)}
    LIST.write_text(f'{json.dumps(head)[:-1]}, "mutants": [\n{lines}\n]}}\n', encoding="utf-8")
    print(f"{len(chosen)} of {len(every)} mutants in {LIST}")


def read_results() -> list[dict]:
    """The newest result of each mutant."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    return list({result["id"]: result for result in map(json.loads, lines)}.values())
