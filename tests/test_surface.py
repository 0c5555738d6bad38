"""What a user types first: names of PyTorch and NumPy that are not here, and commands."""

import ast
import copy
import importlib
import pickle
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.messages import hints
from train import __main__ as train_list

ROOT = Path(__file__).parent.parent
TABLES = {"Tensor": hints.TENSOR, "Module": hints.MODULE, **hints.MODULES}


def told(expression, **names):
    """The message of the AttributeError that an expression raises."""
    with pytest.raises(AttributeError) as caught:
        eval(expression, {"mg": mg, "nn": nn, "optim": optim, **names})
    return str(caught.value)


# --- the table ---------------------------------------------------------------------------------


@pytest.mark.parametrize("place", TABLES)
def test_what_a_hint_names_exists(place):
    model = nn.Linear(2, 2)
    roots = {"mg": mg, "nn": nn, "optim": optim, "np": np, "x": mg.ones(2, 2), "model": model}
    for use in set(TABLES[place].values()) - {""}:
        named = re.findall(r"\b(mg|nn|optim|np|x|model)((?:\.[a-zA-Z_]\w*)+)", use)
        for root, path in named:
            thing = roots[root]
            for part in path[1:].split("."):
                assert hasattr(thing, part), f"{place}: {root}{path}"
                thing = getattr(thing, part)
        for module in re.findall(r"minigrad\.\w+", use):
            importlib.import_module(module)
        plain = r"[xy012] |[(\[]|~x|None|-x|text|import|variable|subclass|as it"  # no name in it
        assert named or re.search(plain, use), use


def test_no_hint_stands_for_a_name_that_exists():
    own = {"Tensor": mg.Tensor, "Module": nn.Module}
    remedy = "these names exist now: take them out of minigrad/hints.py"
    for place, thing in own.items():
        assert [name for name in TABLES[place] if hasattr(thing, name)] == [], remedy
    for place, table in hints.MODULES.items():
        module = importlib.import_module(place)
        names = set(table) - set(hints.TENSOR) - {"data", "info"}  # those may be imported
        assert [name for name in names if hasattr(module, name)] == [], remedy


VALUES = (
    "square reciprocal rsqrt expm1 exp2 log2 log10 tan sinh cosh isnan isinf isfinite absolute "
    "logit neg clone copy argmin count_nonzero"
).split()
ACTIVATIONS = "silu softplus logsigmoid elu softsign tanhshrink relu6 hardtanh hardsigmoid".split()


@pytest.mark.parametrize("name", [*VALUES, *ACTIVATIONS])
def test_a_formula_in_a_hint_computes_what_pytorch_does(name):
    torch = pytest.importorskip("torch")
    array = np.linspace(0.05, 0.95, 7)
    array = array if name in VALUES else np.linspace(-8, 8, 15)
    use = TABLES["minigrad.nn.functional"].get(name) or {**TABLES["Tensor"], "clone": "+x"}[name]
    result = eval(use, {"x": mg.tensor(array), "mg": mg, "nn": nn, "np": np, "axis": None})
    x = torch.tensor(array)
    if name in ACTIVATIONS:
        expected = getattr(torch.nn.functional, name)(x)
    else:
        expected = getattr(torch, {"copy": "clone"}.get(name, name))(x)
    np.testing.assert_allclose(result.numpy(), expected.numpy(), rtol=1e-12, atol=1e-12)


# --- Tensor and Module -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "use"),
    [
        ("x.view(-1)", "x.reshape"),
        ("x.unsqueeze(0)", "x.expand_dims"),
        ("x.permute(1, 0)", "x.transpose"),
        ("x.cpu()", 'x.to("cpu")'),
        ("x.cuda()", 'x.to("gpu")'),
        ("x.double()", 'x.astype("float64")'),
        ("x.long()", 'x.astype("int64")'),
        ("x.bool()", 'x.astype("bool")'),
        ("x.dim()", "x.ndim"),
        ("x.t()", "x.T"),
        ("x.mm(x)", "x @ y"),
        ("x.add_(1)", "x += y"),
        ("x.lerp_(x, 0.1)", "x += weight * (y - x)"),
        ("x.addcmul_(x, x)", "x += value * y * z"),
        ("x.zeros_like()", "mg.zeros_like(x)"),
        ("x.det()", "np.linalg.det(x.detach().numpy()), without a gradient"),
        ("x.clamp(0, 1)", "x.clip"),
        ("x.softmax(1)", "nn.functional.softmax"),
        ("x.gather(1, x)", "x.take_along_axis"),
        ("x.masked_fill(x > 0, 0)", "mg.where"),
        ("x.copy()", "x.clone()"),
        ("x.grad.zero_()", "x.grad = None"),
        ("x.contiguous()", "order in memory does not matter"),
        ("mg.Tensor.view", "x.reshape"),
        ("nn.Parameter([1.0]).view(1)", "x.reshape"),
        ("nn.Linear(1, 1).cuda()", 'model.to("gpu")'),
        ("nn.Linear(1, 1).register_buffer('mean', x)", "nn.Buffer"),
        ("nn.Linear(1, 1).double()", 'model.astype("float64")'),
    ],
)
def test_a_name_of_pytorchs_gives_the_one_to_use(expression, use):
    x = mg.ones(2, 2).requires_grad_()
    x.sum().backward()
    message = told(expression, x=x)
    assert "object has no attribute" in message and use in message.partition("; use ")[2]


def test_hints_change_nothing_else_of_a_tensor():
    x = mg.tensor([1.0, 2.0])
    for name in (*hints.TENSOR, "__array_interface__", "__cuda_array_interface__", "_home_", "foo"):
        assert not hasattr(x, name)
    assert getattr(x, "view", 3) == 3
    shown = [name for name in dir(x) if not name.startswith("_")]
    assert not set(shown) & set(hints.TENSOR)
    assert {"reshape", "numel", "shape", "clone"} <= set(shown)
    assert all(hasattr(x, name) for name in shown)
    for twin in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x)), mg.tensor(x)):
        assert twin.tolist() == x.tolist()
    assert np.asarray(x).tolist() == [1.0, 2.0]
    with pytest.raises(AttributeError, match="_data"):  # of a Tensor that is not filled yet
        object.__new__(mg.Tensor).shape  # noqa: B018
    with pytest.raises(AttributeError):
        x.no_such_name = 1


def test_a_subclass_may_have_a_method_of_a_hinted_name():
    class Viewable(mg.Tensor):
        def view(self, *shape):
            return self.reshape(*shape)

    class Net(nn.Module):
        def __init__(self):
            self.half = nn.Linear(2, 1)

        def cuda(self):
            return self.to("gpu")

    x = Viewable([1.0, 2.0])
    assert x.view(2, 1).shape == (2, 1) and "view" in dir(x)
    net = Net()
    assert net.half.weight.shape == (1, 2) and {"half", "cuda"} <= set(dir(net))
    assert "double" not in dir(net)
    with pytest.raises(mg.DeviceError):
        copy.deepcopy(net).cuda().to("no such device")


# --- modules -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "advice"),
    [
        ("mg.cat", "use mg.concatenate"),
        ("mg.from_numpy", "use mg.tensor"),
        ("mg.mm", "use x @ y"),
        ("mg.unsqueeze", "use x.expand_dims"),
        ("mg.float32", 'dtype="float32"'),
        ("mg.device", 'use the text "cpu" or "gpu"'),
        ("mg.cuda", "python -m minigrad"),
        ("mg.relu", "use nn.functional.relu"),
        ("mg.clamp", "use x.clip"),
        ("mg.numel", r"use x.numel\(\)"),
        ("mg.Linear", "use nn.Linear"),
        ("mg.Adam", "use optim.Adam"),
        ("mg.gradcheck", "use mg.check.gradcheck"),
        ("mg.nn.relu", "use nn.functional.relu"),
        ("mg.nn.Adam", "use optim.Adam"),
        ("mg.nn.functional.ReLU", "use nn.ReLU"),
        ("mg.nn.functional.cat", "use mg.concatenate"),
        ("mg.optim.StepLR", "use optim.lr_scheduler.StepLR"),
        ("mg.interp", "use np.interp on"),
        ("mg.reshap", "did you mean reshape"),
        ("mg.Sum", "did you mean sum"),
        ("mg.nn.Relu", "did you mean ReLU"),
        ("mg.nn.init.xavier_uniform", "did you mean xavier_uniform_"),
        ("mg.nn.utils.clip_grad_norm", "did you mean clip_grad_norm_"),
        ("mg.nn.Conv2d", "it has .*Linear, .*"),
        ("mg.nn.GELU", "it has .*ReLU, .*"),
        ("mg.nn.functional.gelu", "it has .*relu, .*"),
        ("mg.optim.LBFGS", "it has SGD, .*Adam, "),
        ("mg.optim.lr_scheduler.OneCycleLR", "it has .*StepLR"),
        ("mg.quantum", r"dir\(minigrad\) lists"),
    ],
)
def test_a_name_that_a_module_lacks_gives_advice(expression, advice):
    name = expression.rpartition(".")[2]
    message = told(expression)
    assert re.match(rf"module 'minigrad[.\w]*' has no attribute '{name}'; .*{advice}", message)


def test_a_submodule_can_still_be_imported_by_name():
    command = (
        "from minigrad import data, info; import minigrad as mg; assert mg.data is data; "
        "assert not hasattr(mg, '__wrapped__') and not hasattr(mg, 'cat')"
    )
    subprocess.run([sys.executable, "-c", command], cwd=ROOT, check=True)


# --- commands ----------------------------------------------------------------------------------


def run(*words):
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_the_version_is_said_in_one_place():
    assert re.fullmatch(r"\d+\.\d+\.\d+", mg.__version__)
    project = importlib.import_module("tomllib").loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"] and project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"]["attr"] == "minigrad.__version__"
    tree = ast.parse((ROOT / "minigrad" / "__init__.py").read_text(encoding="utf-8"))
    [text] = [
        ast.literal_eval(node.value)  # a literal, so setuptools need not import the package
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    ]
    assert text == mg.__version__
    try:
        assert version("minigrad") == mg.__version__
    except PackageNotFoundError:
        pass


def test_python_m_minigrad_is_the_info():
    short, long = run("minigrad"), run("minigrad.info")
    assert short.returncode == long.returncode == 0
    assert short.stdout == long.stdout and short.stdout.startswith(f"minigrad {mg.__version__}, ")
    assert '"cpu": {"works": true}' in run("minigrad", "--json").stdout
    wrong = run("minigrad", "--wrong")
    assert wrong.returncode == 2 and "--wrong" in wrong.stderr


def test_python_m_train_lists_what_can_be_run():
    listed = run("train")
    assert listed.returncode == 0 and listed.stderr == ""
    runnable = {
        path.stem
        for path in (ROOT / "train").glob("*.py")
        if "__main__" in path.read_text(encoding="utf-8") and path.stem != "__main__"
    }
    assert runnable == {"lstm", "gan", "classifier", "interpolate", "plot"}
    for name in runnable:
        assert re.search(rf"^python -m train\.{name} +[A-Z].{{10,}}$", listed.stdout, re.M)
    assert "python -m train.lstm --help" in listed.stdout
    assert run("train", "--help").stdout == listed.stdout


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["lstm", "--epochs", "3"], "python -m train.lstm --epochs 3"),
        (["lstm.py"], "python -m train.lstm"),
        (["gna", "--out", "my runs"], "python -m train.gan --out 'my runs'"),
        (["GAN"], "python -m train.gan"),
        (["transformer"], "allowed: python -m train.classifier, "),
        (["--epochs", "3"], "python -m train.lstm --help"),
    ],
)
def test_python_m_train_with_words_says_the_right_command(words, remedy, capsys):
    assert train_list.main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith(f"error: python -m train {words[0]}: ") and remedy in printed.err
