"""How `mutation.py` lets mutants meet the tests: on a copy, each mutant in a process of its own."""

import ast
import gc
import hashlib
import importlib
import json
import math
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple

import pytest

from tests.reliability.mutants import LIST, RESULTS, ROOT, mutated, read_results, row, sources

FOLDER = Path(tempfile.gettempdir()) / "minigrad-mutation"
SECONDS = 12  # of a suite's tests per mutant, by what they take without one
QUICKEST = 300  # tests of a file that reach a line; more are not kept
MEMORY = 3 * 2**30  # bytes that a test may allocate: a mutant may ask for any number
COPY = FOLDER / "copy"

# imported once, for all forks
PRELOADED = "numpy torch numba hypothesis PIL.Image safetensors.numpy tqdm tyro".split()

# The test files that a mutant meets, the nearest first: of a folder or file of minigrad/, whether
# Numba's kernels may serve, and the files. Those of a later line meet what has survived so far.
ENGINE = "engine grad_mode debug declaration gradient_penalty creation unsigned reference"
ENGINE += " tensor memory_order in_place check arguments optim_groups"
OPS = "reference unsigned creation tensor memory_order declaration engine recurrent arguments"
OPS += " broadcasting embedding nn"
SUITES = [
    ("backends/numba", True, "numba optim_kernels recurrent"),
    ("backends/numpy", False, OPS),
    ("backends/numpy", False, "backends ops half"),
    ("ops", False, OPS),
    ("ops", False, "ops gpu half"),
    ("optim", False, "optim optim_groups schedules in_place options memory_order"),
    ("optim", True, "optim_kernels"),  # `numbers`, which only Numba's updates ask for
    ("optim", False, "optim_torch optim_options optim"),
    ("", False, ENGINE),
    ("", False, "writes ops"),
]


class Suite(NamedTuple):
    """Files with tests, in the order to try them, and whether Numba's kernels may serve."""

    numba: bool
    files: list[str]


def folder(module: str) -> str:
    """The entry of `SUITES` for a module."""
    return next(place for place, _, _ in SUITES if f"minigrad/{place}" in module)


def suites(module: str) -> list[Suite]:
    """What a mutant of a module meets, one after the other."""
    rows = [row for row in SUITES if row[0] == folder(module)]
    return [Suite(numba, [f"tests/test_{n}.py" for n in names.split()]) for _, numba, names in rows]


Work = Callable[[int], int]


class Watcher:
    """A plugin of pytest: says which test runs, notes the lines it reaches, may choose tests."""

    def __init__(self, pipe: int, chosen: list[str] | None = None, coverage: object = None) -> None:
        self.pipe, self.coverage = pipe, coverage
        self.place = None if chosen is None else {name: i for i, name in enumerate(chosen)}
        self.started = 0.0

    def say(self, *words: object) -> None:
        os.write(self.pipe, (json.dumps(words) + "\n").encode())

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.place is not None:
            items[:] = [item for item in items if item.nodeid in self.place]
            items.sort(key=lambda item: self.place[item.nodeid])
        self.say("collected", len(items))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.say("start", nodeid)
        self.started = time.monotonic()
        if self.coverage is not None:
            self.coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.say(
                "failed", report.nodeid, str(report.longreprtext).strip().split("\n")[-1][:200]
            )

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.say("end", nodeid, round(time.monotonic() - self.started, 4))


def child(numba: bool, files: list[str], options: list[str], plugin: object) -> int:
    """In a process of its own: run tests in the copy, and return pytest's exit status."""
    import resource  # not on Windows

    os.setsid()
    os.chdir(COPY)
    out = os.open(FOLDER / "last.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    os.environ["MINIGRAD_FAST"] = "1" if numba else "0"
    os.environ["PYTHONPATH"] = str(COPY)
    sys.path[:] = [str(COPY), *(p for p in sys.path if p not in ("", str(ROOT)))]
    for name in [n for n in sys.modules if n == "tests" or n.startswith("tests.")]:
        del sys.modules[name]  # those of the repository; the tests' own come from the copy
    early = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
    options = ["-q", "-p", "no:cacheprovider", "-W", early, *options]
    return int(pytest.main([*options, *files], plugins=[plugin]))


def forked(
    limits: dict[str, float], work: Work, first: float = 240
) -> tuple[list[list], int | None]:
    """Fork, let the child do its work, and collect what it says; kill it where it takes too long.

    Args:
        limits: The seconds that each test takes without a mutant.
        work: Called in the child with the pipe to write to; returns the child's exit status.
        first: The seconds until the first test begins.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.close(read)
            status = work(write)
        finally:
            os._exit(status)
    os.close(write)
    text, said, seconds = b"", [], None if first == math.inf else first
    while select.select([read], [], [], seconds)[0]:
        chunk = os.read(read, 1 << 16)
        if not chunk:
            break
        *lines, text = (text + chunk).split(b"\n")
        said += [json.loads(line) for line in lines]
        if said and said[-1][0] == "start":
            seconds = 20 + 10 * limits.get(said[-1][1], 60.0)
    else:
        said.append(["late", next((w[1] for w in reversed(said) if w[0] == "start"), "")])
    try:
        os.killpg(pid, signal.SIGKILL)  # it and what it has started
    except ProcessLookupError:
        pass
    status = os.waitpid(pid, 0)[1]
    os.close(read)
    return said, os.WEXITSTATUS(status) if os.WIFEXITED(status) else None


@cache
def traced(numba: bool, file: str) -> dict:
    """The seconds of each test of a file, and by module and line the tests that reach the line."""
    modules = sources()
    text = b"".join((COPY / name).read_bytes() for name in [file, *modules])
    digest = hashlib.sha256(text).hexdigest()
    kept = FOLDER / "traces" / f"{file.replace('/', '.')}.{int(numba)}.json"
    if kept.exists() and (trace := json.loads(kept.read_text()))["digest"] == digest:
        return trace

    def work(pipe: int) -> int:
        from coverage import Coverage

        sys.dont_write_bytecode = False
        tracer = Coverage(data_file=None, include=[str(COPY / module) for module in modules])
        tracer.start()
        status = child(numba, [file], [], Watcher(pipe, coverage=tracer))
        tracer.stop()
        data = tracer.get_data()
        reached = {m: data.contexts_by_lineno(str(COPY / m)) for m in modules}
        (FOLDER / "reached.json").write_text(json.dumps(reached))
        return status

    (FOLDER / "reached.json").unlink(missing_ok=True)
    said, status = forked({}, work)
    failed = {words[1] for words in said if words[0] in ("failed", "late")}
    if status not in (0, 1, 5):
        raise SystemExit(f"{file}: pytest ended with {status}; see {FOLDER}/last.log")
    for name in failed:  # some need Numba's kernels
        print(f"left out, as it fails without a mutant: {name}", flush=True)
    tests = {words[1]: words[2] for words in said if words[0] == "end"}
    seconds = {name: taken for name, taken in tests.items() if name not in failed}
    reached = json.loads((FOLDER / "reached.json").read_text())
    for by_line in reached.values():
        for line, names in by_line.items():
            passed = [name for name in names if not name or name in seconds]
            by_line[line] = sorted(passed, key=lambda name: seconds.get(name, 0))[:QUICKEST]
    kept.parent.mkdir(exist_ok=True)
    trace = {"digest": digest, "seconds": seconds, "reached": reached}
    kept.write_text(json.dumps(trace))
    print(f"traced {file}: {len(seconds)} tests, {sum(seconds.values()):.0f} s", flush=True)
    return trace


def statement(module: str, line: int) -> set[int]:
    """The lines of the innermost statement around a line; of a compound one, those of its head.

    In the head of a function, which is read at import, a default matters to whoever calls it: so
    that is the whole function.
    """
    lines = {line}
    for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        if not isinstance(node, ast.stmt):
            continue
        body = getattr(node, "body", None)
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(d.lineno for d in decorators)])
        last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
        if first <= line <= max(first, last):
            is_function = isinstance(node, ast.FunctionDef)
            lines |= set(range(first, (node.end_lineno if is_function else max(first, last)) + 1))
    return lines


def meetings(
    mutant: dict, suite: Suite, left: float
) -> Iterator[tuple[list[str], dict[str, float]]]:
    """The tests of a suite that a mutant meets, some files at a time: the files, the tests.

    Args:
        mutant: One of the list.
        suite: The files to choose from.
        left: The seconds that all tests together may take.
    """
    module = mutant["module"]
    lines = statement(module, mutant["position"][0])
    near, far = {}, {}
    for file in suite.files:
        trace = traced(suite.numba, file)
        by_line = trace["reached"].get(module, {})
        contexts = [context for n in lines for context in by_line.get(str(n), [])]
        if not contexts:  # compiled code is not traced: its module's Python functions call it
            contexts = [context for names in by_line.values() for context in names]
        reaching = {name: trace["seconds"][name] for name in contexts if name}
        at_import = not contexts or "" in contexts  # then any test may notice
        others = trace["seconds"] if at_import else {}
        (near if reaching else far)[file] = (reaching, others)
    order = [*near.items(), *far.items()]
    met: set[str] = set()
    for rank in (0, 1):  # first the tests that reach the lines, in whichever file they are
        for start, stop in ((0, 2), (2, 5), (5, None)):
            found = {n: s for _, pair in order[start:stop] for n, s in pair[rank].items()}
            tests: dict[str, float] = {}
            for name in sorted(found.keys() - met, key=found.__getitem__):
                if found[name] <= left:
                    tests[name] = found[name]
                    left -= found[name]
            met |= tests.keys()
            if tests:
                files = dict.fromkeys(name.partition("::")[0] for name in tests)
                yield list(files), tests


def verdict(said: list[list], status: int | None) -> dict | None:
    """How the tests ended for a mutant; None where it survived them."""
    at = next((words[1] for words in reversed(said) if words[0] == "start"), "import")
    bad = next((words for words in said if words[0] in ("failed", "late")), None)
    if bad:
        kind = "timed out" if bad[0] == "late" else "killed"
        where = [words.rpartition("site-packages/")[2] for words in bad[2:]]
        return {"fate": kind, "by": bad[1] or at, "because": where}
    if status != 0:  # it could not be imported, or the process died
        return {"fate": "killed", "by": at, "because": [f"exit status {status}"]}
    return None


def codes(code: CodeType, other: CodeType, inside: bool, found: dict) -> bool:
    """Pair the functions of two compilations; False if they differ in what is done at import."""
    parts, others = ([c for c in o.co_consts if isinstance(c, CodeType)] for o in (code, other))
    rest, rests = ([c for c in o.co_consts if not isinstance(c, CodeType)] for o in (code, other))
    is_same = (code.co_code, code.co_names, repr(rest)) == (
        other.co_code,
        other.co_names,
        repr(rests),
    )
    if (not is_same and not inside) or len(parts) != len(others):
        return False
    if inside and code != other:
        found[code] = other
    is_function = [bool(part.co_flags & CO_OPTIMIZED) for part in parts]  # not the body of a class
    pairs = zip(parts, others, is_function, strict=True)
    return all(codes(part, new, inside or is_it, found) for part, new, is_it in pairs)


class Exchange:
    """A plugin of pytest that, once the tests are collected, lets many mutants meet them.

    For each mutant it forks, and gives the functions that minigrad has already defined the code of
    the mutant. That is quick, since nothing is imported or collected again. What changes what is
    done at import is left to `fate`.

    Args:
        mutants: All of one folder.
        met: How many of its suites they have survived; they meet the next.
    """

    def __init__(self, mutants: list[dict], met: int) -> None:
        self.mutants, self.met = mutants, met
        self.suite = suites(mutants[0]["module"])[met]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        for module in {mutant["module"] for mutant in self.mutants}:
            importlib.import_module(
                module.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
            )
        if self.suite.numba:
            self.compile_anew()
        live = [o for o in gc.get_objects() if type(o) is FunctionType]
        live = [f for f in live if f.__code__.co_filename.startswith(str(COPY / "minigrad"))]
        gc.collect()
        gc.freeze()  # so that the forks share the memory
        watcher = Watcher(-1)
        session.config.pluginmanager.register(watcher)
        for mutant in self.mutants:
            tests = {}
            for _, more in meetings(mutant, self.suite, SECONDS):
                tests |= more
            path = COPY / mutant["module"]
            new = mutated(mutant["module"], mutant["operator"], mutant["occurrence"])
            pairs: dict[CodeType, CodeType] = {}
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", SyntaxWarning)  # at import, and there an error
                    both = [compile(text, path, "exec") for text in (path.read_text(), new)]
                is_late = codes(*both, False, pairs)
            except SyntaxError:
                is_late = False
            if not is_late:
                note({"id": mutant["id"], "fate": "left to import", "suites": 0}, 0)
                continue
            changed = [f for f in live if f.__code__ in pairs]

            def work(
                pipe: int, tests: dict = tests, pairs: dict = pairs, fs: list = changed
            ) -> int:
                os.setsid()
                watcher.pipe = pipe
                for function in fs:
                    function.__code__ = pairs[function.__code__]
                chosen = [items[name] for name in tests if name in items]
                for item, following in zip(chosen, [*chosen[1:], None], strict=True):
                    session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                    if session.testsfailed:
                        return 1
                return 0

            started = time.monotonic()
            found = verdict(*forked(tests, work)) or {"fate": "survived"}
            note({"id": mutant["id"], **found, "suites": self.met + 1}, time.monotonic() - started)
        return True

    @staticmethod
    def compile_anew() -> None:
        """Let Numba compile functions from their code, not take them from its cache."""
        caching = importlib.import_module("numba.core.caching")
        dispatcher = importlib.import_module("numba.core.dispatcher").Dispatcher
        for function in gc.get_objects():
            if issubclass(type(function), dispatcher):
                function._cache = caching.NullCache()


@contextmanager
def mutation(mutant: dict) -> Iterator[None]:
    """The copy with one mutant in it, and afterwards as it was, with the time of its file."""
    from cosmic_ray.mutating import use_mutation
    from cosmic_ray.plugins import get_operator

    path = COPY / mutant["module"]
    before = path.stat()
    try:
        with use_mutation(path, get_operator(mutant["operator"])(), mutant["occurrence"]):
            yield
    finally:  # Python's and Numba's caches go by it
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def fate(mutant: dict, suite: Suite) -> dict:
    """Whether a mutant is killed by a suite or survives it, and which test killed it."""
    result = {"id": mutant["id"], "fate": "survived"}
    for files, tests in meetings(mutant, suite, SECONDS):

        def work(pipe: int, files: list[str] = files, tests: dict[str, float] = tests) -> int:
            sys.dont_write_bytecode = True
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            if "backends/numba" in mutant["module"]:  # its cache does not see what is inlined
                cache = tempfile.mkdtemp(dir=FOLDER)
                os.environ["NUMBA_CACHE_DIR"] = cache
                importlib.import_module("numba").config.CACHE_DIR = cache
            return child(suite.numba, files, ["-x"], Watcher(pipe, chosen=list(tests)))

        with mutation(mutant):
            said, status = forked(tests, work)
        for own in FOLDER.glob("tmp*"):
            shutil.rmtree(own, ignore_errors=True)
        if found := verdict(said, status):
            return {**result, **found}
    return result


def note(result: dict, seconds: float) -> None:
    """Write down what became of a mutant."""
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    with (FOLDER / "run.log").open("a") as log:
        print(result["id"], result["fate"], f"{seconds:.1f} s", result.get("by", ""), file=log)


def exchange(mutants: list[dict], met: int) -> None:
    """Let mutants that have survived `met` suites meet their next one: see `Exchange`."""
    by_folder: dict[str, list[dict]] = {}
    results = {result["id"]: result for result in read_results()}
    for mutant in mutants:
        if met_by(results.get(mutant["id"])) == met < len(suites(mutant["module"])):
            by_folder.setdefault(folder(mutant["module"]), []).append(mutant)
    for _, some in sorted(by_folder.items()):
        suite = suites(some[0]["module"])[met]
        for file in suite.files:
            traced(suite.numba, file)

        def work(pipe: int, some: list[dict] = some, suite: Suite = suite) -> int:
            return child(suite.numba, suite.files, [], Exchange(some, met))

        _, status = forked({}, work, math.inf)
        assert status == 0, f"see {FOLDER}/last.log"


def run(ids: list[int]) -> None:
    """Let mutants meet their tests: those named, or all whose fate is open."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    FOLDER.mkdir(exist_ok=True)
    os.environ["NUMBA_CACHE_DIR"] = str(FOLDER / "numba")
    for name in PRELOADED:
        importlib.import_module(name)
    left_out = shutil.ignore_patterns(".*", "__pycache__", "runs", "build", "data")
    shutil.copytree(ROOT, COPY, ignore=left_out, dirs_exist_ok=True)
    if ids:
        kept = [json.dumps(r) + "\n" for r in read_results() if r["id"] not in ids]
        RESULTS.write_text("".join(kept), encoding="utf-8")
    mutants = []
    for mutant in json.loads(LIST.read_text(encoding="utf-8"))["mutants"]:
        if ids and mutant["id"] not in ids:
            continue
        if place := row(mutant):
            mutants.append(mutant | {"position": [place]})
        else:
            print(f"{mutant['id']}: {mutant['module']} has changed there; draw a new list")
    most = max((len(suites(mutant["module"])) for mutant in mutants), default=0)
    for met in range(0 if ids else most):
        exchange(mutants, met)
    results = {result["id"]: result["fate"] for result in read_results()}
    for mutant in mutants:
        if results.get(mutant["id"], "left to import") == "left to import":
            meet(mutant)


def meet(mutant: dict) -> None:
    """Let a mutant meet its suites, each in a process that imports minigrad anew."""
    for met, suite in enumerate(suites(mutant["module"])):
        started = time.monotonic()
        found = {**fate(mutant, suite), "suites": met + 1}
        note(found, time.monotonic() - started)
        if found["fate"] != "survived":
            break


def met_by(result: dict | None) -> int | None:
    """How many suites a mutant has survived with its code exchanged; None if it is killed."""
    if result is None:
        return 0
    return result["suites"] if result["fate"] == "survived" else None
