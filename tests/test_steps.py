"""docs/steps: programs that grow by a few lines each, and compute minigrad's gradients.

Steps 1 to 4 compute with numbers (`Value`), the others with arrays (`Tensor`).
"""

import ast
import difflib
import gc
import importlib.util
import io
import itertools
import re
import shutil
import subprocess
import sys
import tokenize
import weakref
from pathlib import Path

import numpy as np
import pytest
from checks import assert_close, tolerance

import minigrad as mg
from minigrad import nn, optim
from models.lstm import LSTM
from models.rnn import RNN

DOCS = Path(__file__).parent.parent / "docs"
FILES = sorted((DOCS / "steps").glob("*.py"))
NUMBERS = [int(path.name[:2]) for path in FILES]
LIMIT = 24  # added or changed lines of code: "about twenty"


def load(path):
    """Import a step, whose file name is no name of a module."""
    spec = importlib.util.spec_from_file_location(f"step_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STEPS = {number: load(path) for number, path in zip(NUMBERS, FILES, strict=True)}


def steps(first, last=NUMBERS[-1]):
    """Run a test for the steps of these numbers."""
    numbers = [n for n in NUMBERS if first <= n <= last]
    return pytest.mark.parametrize("number", numbers, ids=[FILES[n - 1].stem for n in numbers])


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def definitions_of(path):
    """The definitions and bindings of a program in order: what each defines, and its code.

    Without docstrings, comments, imports and the demonstration.
    """
    found = {}
    for node in tree_of(path).body:
        for part in ast.walk(node):
            if isinstance(part, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(part):
                part.body = part.body[1:]
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = ast.unparse(node)
        elif isinstance(node, ast.Assign):
            found[ast.unparse(node.targets[0])] = ast.unparse(node)
    return found


# --- each step is a small change of the one before -------------------------------------------


def code_lines(text):
    """The lines of a program without docstrings, comments, blank lines and the demonstration."""
    lines, left_out = text.splitlines(), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            left_out |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'":
            left_out |= set(range(node.lineno, node.end_lineno + 1))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    return [line for row, line in enumerate(lines, 1) if line.strip() and row not in left_out]


def added_lines(before, after):
    """The lines of code that a diff shows as added; a changed line is one that is added, too."""
    diff = difflib.ndiff(code_lines(before), code_lines(after))
    return [line for line in diff if line.startswith("+ ")]


def test_only_code_is_counted():
    before = '"""Old."""\nx = 1\n\n\nif __name__ == "__main__":\n    print(x)\n'
    after = (
        '"""New."""\n# why\nx = 2  # why\ny = "#"\n\n\nif __name__ == "__main__":\n    print(y)\n'
    )
    assert added_lines(before, after) == ["+ x = 2", '+ y = "#"']


def test_steps_are_numbered_without_a_gap():
    assert len(FILES) == 20
    assert list(range(1, len(FILES) + 1)) == NUMBERS


def test_each_step_adds_about_twenty_lines():
    texts = ["", *(path.read_text(encoding="utf-8") for path in FILES)]
    counts = {
        path.stem: len(added_lines(*pair))
        for path, pair in zip(FILES, itertools.pairwise(texts), strict=True)
    }
    print(counts)
    assert max(counts.values()) <= LIMIT, counts
    assert min(counts.values()) >= 10, counts


@steps(2)
def test_definitions_stay_in_order(number):
    before, after = (
        [name.replace("Value", "Tensor") for name in definitions_of(path)]
        for path in FILES[number - 2 : number]
    )
    kept = [name for name in before if name in after]
    assert kept
    assert kept == [name for name in after if name in before]


def test_step_9_is_the_engine_on_one_page():
    step, page = definitions_of(FILES[8]), definitions_of(DOCS / "tiny.py")
    assert len(step) > 15
    assert step == {name: code for name, code in page.items() if name in step}


@steps(10)
def test_the_engine_stays(number):
    engine, later = definitions_of(FILES[8]), definitions_of(FILES[number - 1])
    assert engine == {name: code for name, code in later.items() if name in engine}


@steps(1)
def test_docstring_says_in_a_few_sentences_what_is_new(number):
    title, text = ast.get_docstring(tree_of(FILES[number - 1])).split("\n\n")
    assert title.startswith(f"Step {number}: ")
    assert 2 <= len(re.findall(r"[.?](?=\s|$)", text)) <= 5, text


@steps(1)
def test_step_needs_nothing_but_numpy(number):
    imports = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree_of(FILES[number - 1]))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert {name for name in imports if name not in sys.stdlib_module_names} == (
        {"numpy"} if number >= 5 else set()
    )


# --- each step runs by itself ------------------------------------------------------------------


def lines_of(number, folder):
    """What a step prints, run as a program alone in a folder."""
    alone = shutil.copy(FILES[number - 1], folder)
    shown = subprocess.check_output([sys.executable, alone], text=True, cwd=folder)
    return shown.splitlines()


def numbers_in(line):
    return [float(text) for text in re.findall(r"-?\d+(?:\.\d+)?", line)]


SHOWN = {
    1: [
        "L = 54.0, dL/da = 36.0, dL/db = 45.0",
        *(f"{n} doublings: {2**n} paths, {2 ** (n + 1) - 1} calls" for n in (5, 10, 15)),
    ],
    2: [
        "L = 54.0, dL/da = 36.0, dL/db = 45.0, dL/dd = 15.0",
        f"50 doublings: {2**50} paths, but only 51 Values to visit",
    ],
    3: ["f(0.8) = 1.180306", "df/dx by backward: -2.073179, measured: -2.073179"],
    5: [
        "the squares: [1. 2. 3. 4. 5. 6. 7. 8.]",
        "their roots: [1.     1.4142 1.7321 2.     2.2361 2.4495 2.6458 2.8284]",
    ],
    8: [
        "x @ W    saves ['a']",
        "z + z    saves nothing",
        "z * z    saves ['b', 'a']",
        "tanh(z)  saves ['y']",
        "the slope of the cube at 2: 12.0 by its rule, 12.000000 measured",
    ],
    9: [
        # tanh' = 1 - tanh^2; the coefficients are the tangent numbers with alternating signs
        "tanh and its first seven derivatives at 0: 0 1 0 -2 0 16 0 -272",
        "step 0: x = 2.0000000000, slope 28.0000000000",
        "step 1: x = 1.4166666667, slope 7.3726851852",
        "step 2: x = 1.1105344098, slope 1.4784291611",
        "step 3: x = 1.0106367684, slope 0.1290037248",
        "step 4: x = 1.0001115573, slope 0.0013388370",
        "step 5: x = 1.0000000124, slope 0.0000001493",
    ],
}


@pytest.mark.parametrize("number", SHOWN)
def test_step_shows_what_is_true(number, tmp_path):
    assert lines_of(number, tmp_path) == SHOWN[number]


@pytest.mark.parametrize(("number", "timings"), [(4, 0), (7, 2)])
def test_two_moons_are_learnt(number, timings, tmp_path):
    lines = lines_of(number, tmp_path)
    *losses, last = lines[: len(lines) - timings]
    step, loss, accuracy = numbers_in(last)
    assert (len(losses), step) == (5, 200)
    assert loss < 0.1
    assert accuracy >= 95
    for count, line in zip((60, 6000)[:timings], lines[len(lines) - timings :], strict=True):
        assert re.fullmatch(rf"a step with {count} points: \d+\.\d\d ms", line)


def test_step_6_counts_uses_and_learns_the_sine(tmp_path):
    lines = lines_of(6, tmp_path)
    uses = {"(4, 3)": 1, "(3,)": 4, "(4, 1)": 3, "(1, 3)": 4, "()": 12}
    assert lines[: len(uses)] == [
        f"a table (4, 3) plus x of shape {shape}: each x is used {n} times"
        for shape, n in uses.items()
    ]
    assert numbers_in(lines[-1])[1] < 0.01


def test_step_10_keeps_the_spread_with_the_right_weights(tmp_path):
    small, right, large, last = lines_of(10, tmp_path)
    (*_, s, s_slope), (*_, r, r_slope), (*_, t, t_slope) = map(numbers_in, (small, right, large))
    assert s < 0.01 < 0.1 < r < 0.5 < t < 1
    assert s_slope < 0.1 * r_slope < t_slope
    assert last == "22 arrays of parameters, found by walking attributes"


def test_step_11_overflows_only_as_it_is_written_down(tmp_path):
    lines = lines_of(11, tmp_path)
    assert lines[:2] == [
        "softmax as it is written down: [nan  0.  0.]",
        "cross-entropy with the largest subtracted: 1000.0",
    ]
    assert numbers_in(lines[-1])[2] >= 95


def test_step_12_is_right_about_points_that_it_has_not_seen(tmp_path):
    plain, momentum, adam = map(numbers_in, lines_of(12, tmp_path))
    assert min(momentum[1], adam[1]) >= 95 > plain[1]


def test_step_13_names_the_first_of_few_digits_and_guesses_for_many(tmp_path):
    rows = [line.split() for line in lines_of(13, tmp_path)[1:]]
    length, gradient, right = zip(*rows, strict=True)
    assert length == ("2", "5", "10", "40")
    right = [float(share.rstrip("%")) for share in right]
    assert min(right[:2]) > 90
    assert right[3] < 20  # a guess is right in 10 %
    assert float(gradient[0]) > 0.05 > 1e-2 > float(gradient[3])


def test_step_14_keeps_the_gradient_where_the_gate_stays_open(tmp_path):
    last = [float(line.split()[-1]) for line in lines_of(14, tmp_path)[2:]]
    rnn, closing, keeping = last  # at 100 digits from the end
    assert max(rnn, closing) < 1e-6 < 1e-4 < keeping


def test_step_15_learns_palindromes(tmp_path):
    *_, last = lines_of(15, tmp_path)
    right, of, *digits, said, sure = numbers_in(last)
    assert (right, of, len(digits)) == (1000, 1000, 10)
    assert said == digits[0]
    assert sure > 90


def test_step_16_draws_numbers_like_the_data(tmp_path):
    _, first, *_, last, _ = lines_of(16, tmp_path)
    _, mean, spread, *_ = numbers_in(first)
    assert abs(mean) < 1  # G begins somewhere else
    step, mean, spread, g_loss, d_loss = numbers_in(last)
    assert step == 1500
    assert abs(mean - 4) < 0.2
    assert 0.4 < spread < 0.6
    assert abs(g_loss - np.log(2)) < 0.2  # D can hardly tell
    assert abs(d_loss - np.log(4)) < 0.2


def test_step_17_finds_all_modes_with_the_penalty(tmp_path):
    without, penalized, _, _, *picture = lines_of(17, tmp_path)
    *found, of, _, weight = numbers_in(without)
    assert (of, weight) == (8, 0)
    assert found[-1] < 8
    *found, of, _, weight = numbers_in(penalized)
    assert (of, weight) == (8, 1)
    assert found[-1] == 8
    assert len(picture) == 13


def test_step_18_draws_digits_that_differ(tmp_path):
    shutil.copy(DOCS.parent / "minigrad" / "digits" / "train-images-idx3-ubyte.gz", tmp_path)
    lines = [f"{line:119}" for line in lines_of(18, tmp_path)]
    assert [line.rstrip() for line in lines[::8]] == ["real digits:", "drawn digits:"]

    def ink(lines):
        """The pictures (8, 7 * 14) of a row, from 0 to 9."""
        levels = [[" .:-=+*#%@".index(letter) for letter in line] for line in lines]
        padded = np.pad(np.array(levels), ((0, 0), (0, 1)))
        return padded.reshape(7, 8, 15)[:, :, :14].swapaxes(0, 1).reshape(8, 98)

    real, drawn = ink(lines[1:8]), ink(lines[9:])
    middle = np.zeros((7, 14), bool)
    middle[1:6, 2:12] = True
    for picture in drawn:  # black on white, in the middle
        assert 0.3 * real.sum() < 8 * picture.sum() < 2 * real.sum()
        assert picture[middle.ravel()].sum() > 0.9 * picture.sum()
    assert len(np.unique(drawn, axis=0)) == 8
    assert drawn.std(axis=0).mean() > 0.4 * real.std(axis=0).mean()


def test_step_18_says_which_file_it_misses(tmp_path):
    alone = shutil.copy(FILES[17], tmp_path)
    run = subprocess.run([sys.executable, alone], text=True, capture_output=True, cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("18_digits.py: no train-images-idx3-ubyte.gz in ")
    assert "Traceback" not in run.stderr


def test_step_19_computes_the_same_by_fewer_operations(tmp_path):
    textbook, fused, last = lines_of(19, tmp_path)
    assert textbook.startswith("Textbook: 380 operations, ")
    assert fused.startswith("LSTM    : 172 operations, ")
    assert float(re.search(r"by (\S+) at most", last)[1]) < 1e-12


def test_step_20_learns_longer_palindromes_in_float32(tmp_path):
    times, same, *progress = lines_of(20, tmp_path)
    assert re.fullmatch(r"an update of 48 arrays: \d+ us; of one vector: \d+ us", times)
    # a parameter is at most 1, and each of the 20 updates is rounded on both sides
    assert float(re.search(r"by (\S+) at most", same)[1]) < 20 * 16 * np.finfo(np.float32).eps
    assert numbers_in(progress[-1])[1:3] == [1000, 1000]


# --- the gradients are minigrad's --------------------------------------------------------------


class Library:
    """minigrad, or a step, by the names that both have in common.

    A step before 6 has `backward` and `grad` attributes, and operations of one input are methods
    of `Value` in steps 3 and 4.
    """

    def __init__(self, number=None):
        self.number, self.module = number, STEPS.get(number, mg)

    def __getattr__(self, name):
        if self.number in (3, 4):
            return lambda x: getattr(x, name)()
        return getattr(self.module, name)

    def leaf(self, data):
        if self.number is None:
            return mg.tensor(data, dtype="float64", requires_grad=True)
        if self.number >= 7:
            return self.module.Tensor(data, requires_grad=True)
        return (self.module.Value if self.number < 5 else self.module.Tensor)(data)

    def total(self, x):
        """The sum of all elements, of any shape that has one element."""
        return x.sum() if self.number is None else self.module.sum_over(x, None)

    def gradients(self, y, inputs):
        if self.number is None:
            return [g.data for g in mg.grad(y, inputs)]
        if self.number >= 6:
            return self.module.grad(y, inputs)
        if self.number == 1:
            return [self.module.derivative(y, x) for x in inputs]
        y.backward()
        return [x.grad for x in inputs]


OPERATORS = {
    "a + b": lambda lib, a, b: a + b,
    "a b": lambda lib, a, b: a * b,
    "a - b": lambda lib, a, b: a - b,
    "1 - a": lambda lib, a, b: 1 - a,
    "2 a - 3": lambda lib, a, b: 2 * a - 3,
    "-a": lambda lib, a, b: -a,
    "tanh": lambda lib, a, b: lib.tanh(a),
    "sigmoid": lambda lib, a, b: lib.sigmoid(a),
    "exp": lambda lib, a, b: lib.exp(lib.tanh(a)),
    "log": lambda lib, a, b: lib.log(1 + a * a),
    "a / b": lambda lib, a, b: a / (1 + b * b),
    "1 / a": lambda lib, a, b: 1 / (1 + a * a),
    "a^3": lambda lib, a, b: a**3,
}
IN_STEP = {
    1: "a + b; a b",
    2: "a + b; a b",
    **dict.fromkeys(
        (3, 4), "a + b; a b; a - b; 1 - a; 2 a - 3; -a; tanh; exp; log; a / b; 1 / a; a^3"
    ),
    5: "a + b; a b; a - b; 1 - a; 2 a - 3; -a",
    **dict.fromkeys(range(6, 11), "a + b; a b; a - b; 1 - a; 2 a - 3; -a; tanh"),
    **dict.fromkeys(range(11, 14), "a + b; a b; a - b; 1 - a; 2 a - 3; -a; tanh; exp; log; a / b"),
    **dict.fromkeys(
        range(14, 21),
        "a + b; a b; a - b; 1 - a; 2 a - 3; -a; tanh; exp; log; a / b; sigmoid",
    ),
}


def expression(library, names, inputs, random):
    """The sum of random operations, each on inputs or on results of operations before it."""
    values = list(inputs)
    for name in [*names, *names]:
        a, b = random.integers(len(values), size=2)
        values.append(OPERATORS[name](library, values[a], values[b]))
    result = values[0]
    for value in values[1:]:
        result = result + value
    return result


@steps(1)
@pytest.mark.parametrize("seed", range(5))
def test_random_expressions_have_minigrads_gradients(number, seed):
    names = np.random.default_rng(seed).permutation(IN_STEP[number].split("; "))
    # numbers, arrays of one shape, arrays of shapes that are broadcast
    shapes = [()] * 3 if number < 5 else [(2, 3)] * 3 if number == 5 else [(2, 3), (3,), (2, 1)]
    random = np.random.default_rng(seed)
    data = [random.uniform(-1.0, 1.0, size=shape) for shape in shapes]
    found = []
    for library in (Library(number), Library()):
        inputs = [library.leaf(x.item() if number < 5 else x) for x in data]
        y = expression(library, names, inputs, np.random.default_rng(seed))
        y = library.total(y) if number >= 5 else y
        found.append([np.asarray(y.data).ravel(), *library.gradients(y, inputs)])
    within = tolerance(np.float64, *found[1], *data)
    for ours, theirs in zip(*found, strict=True):
        assert_close(ours, theirs, within, f"seed {seed}, {names}")
    assert any(np.any(g) for g in found[1][1:])


N, SIZES = 5, (4, 7, 6, 3)


def perceptron(library, seed=0):
    """The weights and biases of an MLP, inputs, and a function that computes its output."""
    random = np.random.default_rng(seed)
    shapes = [s for n, m in itertools.pairwise(SIZES) for s in [(n, m), (m,)]]
    parameters = [library.leaf(random.normal(size=shape)) for shape in shapes]

    def call(x):
        W1, b1, W2, b2, W3, b3 = parameters
        return library.tanh(library.tanh(x @ W1 + b1) @ W2 + b2) @ W3 + b3

    x = random.normal(size=(N, SIZES[0]))
    return parameters, x if library.number is None else library.module.Tensor(x), call


@steps(7)
def test_mlp_has_minigrads_gradients(number):
    found = []
    for library in (Library(number), Library()):
        parameters, x, call = perceptron(library)
        y = call(mg.tensor(x) if library.number is None else x)
        found.append(library.gradients(library.total(y * y), parameters))
    for ours, theirs in zip(*found, strict=True):
        assert_close(ours, theirs, tolerance(np.float64, *found[1]), "gradient")


@steps(9)
def test_second_derivatives_are_minigrads(number):
    found = []
    for library in (Library(number), Library()):
        parameters, x, call = perceptron(library)
        y = call(mg.tensor(x) if library.number is None else x)
        slopes = library.grad(library.total(y * y), parameters, create_graph=True)
        length = library.total(slopes[0] * slopes[0])
        for g in slopes[1:]:
            length = length + library.total(g * g)
        found.append(library.gradients(length, parameters))
    for ours, theirs in zip(*found, strict=True):
        assert_close(ours, theirs, tolerance(np.float64, *found[1]), "second derivative")


@steps(11)
def test_cross_entropy_is_minigrads(number):
    step, random = STEPS[number], np.random.default_rng(0)
    logits, labels = random.normal(size=(6, 4)), np.array([0, 1, 2, 3, 3, 0])
    logits[0] = [1000.0, 0.0, -1000.0, 999.0]
    x = step.Tensor(logits, requires_grad=True)
    like = mg.tensor(logits, requires_grad=True)
    loss = step.cross_entropy(x, labels)
    expected = nn.functional.cross_entropy(like, mg.tensor(labels))
    within = tolerance(np.float64, logits)
    assert_close(loss.data.item(), expected.item(), within, "loss")
    [g], [theirs] = step.grad(loss, [x]), mg.grad(expected, like)
    assert_close(g, theirs.data, within, "gradient")


OPTIMIZERS = {
    "SGD": ("SGD", {"lr": 0.1}),
    "momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "Adam": ("Adam", {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6}),
}


@steps(12)
@pytest.mark.parametrize("choice", OPTIMIZERS)
@pytest.mark.parametrize("max_norm", [0.1, 10.0], ids=["clipped", "not clipped"])
def test_three_steps_are_minigrads(number, choice, max_norm):
    step, (name, settings) = STEPS[number], OPTIMIZERS[choice]
    model = step.Sequential(step.Linear(4, 7), step.tanh, step.Linear(7, 3))
    like = nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 3)).astype("float64")
    ours, theirs = list(model.parameters()), list(like.parameters())
    like.load_state_dict(
        {name: p.data.T for name, p in zip(like.state_dict(), ours, strict=True)}  # W is (in, out)
    )
    optimizer = getattr(step, name)(model.parameters(), **settings)
    reference = getattr(optim, name)(like.parameters(), **settings)
    random, labels = np.random.default_rng(0), np.array([0, 1, 2, 0, 1])
    for _ in range(3):
        x = random.normal(size=(5, 4))
        gradients = step.grad(step.cross_entropy(model(x), labels), ours)
        length = np.sqrt(sum((g * g).sum() for g in gradients))
        assert 0.1 < length < 10  # so that one of the limits cuts, and the other does not
        optimizer.step(step.clip_grad_norm(gradients, max_norm))
        reference.zero_grad()
        nn.functional.cross_entropy(like(mg.tensor(x)), mg.tensor(labels)).backward()
        nn.utils.clip_grad_norm_(like.parameters(), max_norm)
        reference.step()
    for p, q in zip(ours, theirs, strict=True):
        assert_close(p.data.T, q.data, tolerance(np.float64, *(t.data for t in theirs)), name)


def rnn_of(ours):
    """The network of models/rnn.py with a step's weights, and its parameters in our order."""
    like = RNN(1, ours.hidden, 10).astype("float64")
    like.load_state_dict(
        {
            "W": ours.step.weight.data.T,  # models/ has vectors as columns
            "b": ours.step.bias.data[:, None],
            "output.weight": ours.output.weight.data.T,
            "output.bias": ours.output.bias.data,
        }
    )
    return like, [like.W, like.b, like.output.weight, like.output.bias]


def lstm_of(ours):
    """The network of models/lstm.py with the weights of a step's, and a function.

    The function turns the gradients of its parameters into those of ours, in our order.
    """
    like = LSTM(1, ours.hidden, 10).astype("float64")
    if hasattr(ours, "gates"):
        weights = np.split(ours.gates.weight.data, 4, axis=1)
        biases = np.split(ours.gates.bias.data, 4)
    else:
        layers = [ours.forget, ours.input, ours.candidate, ours.exposed]
        weights, biases = [x.weight.data for x in layers], [x.bias.data for x in layers]
    state = {"output.weight": ours.output.weight.data.T, "output.bias": ours.output.bias.data}
    for name, W, b in zip("fiCo", weights, biases, strict=True):
        state |= {f"W_{name}": W.T, f"b_{name}": b[:, None]}
    like.load_state_dict(state)
    gates = [getattr(like, f"{kind}_{name}") for name in "fiCo" for kind in "Wb"]
    parameters = [*gates, like.output.weight, like.output.bias]

    def in_our_order(gradients):
        arrays = [g.data.T if g.data.ndim == 2 else g.data for g in gradients]
        weights, biases = arrays[0:8:2], [row[0] for row in arrays[1:8:2]]
        if hasattr(ours, "gates"):
            weights, biases = [np.concatenate(weights, axis=1)], [np.concatenate(biases)]
        layers = zip(weights, biases, strict=True)
        return [*itertools.chain.from_iterable(layers), *arrays[8:]]

    return like, parameters, in_our_order


@steps(13)
def test_rnn_is_that_of_models(number):
    step = STEPS[number]
    ours = step.RNN(1, 6, 10)
    like, theirs = rnn_of(ours)
    x = np.random.default_rng(0).uniform(0.0, 2.0, (7, 4, 1))  # (T, N, 1)
    labels = np.array([3, 0, 9, 3])
    loss = step.cross_entropy(ours(x), labels)
    expected = nn.functional.cross_entropy(
        like(mg.tensor(x.swapaxes(0, 1).copy())), mg.tensor(labels)
    )
    gradients = [g.data for g in mg.grad(expected, theirs)]
    within = tolerance(np.float64, *gradients, x, np.empty(7 * 4 * 7))
    assert_close(loss.data.item(), expected.item(), within, "loss")
    ordered = [gradients[0].T, gradients[1][:, 0], gradients[2].T, gradients[3]]
    for g, wanted in zip(step.grad(loss, ours.parameters()), ordered, strict=True):
        assert_close(g, wanted, within, "gradient")


@steps(14)
@pytest.mark.parametrize("length", [1, 6, 7])
def test_lstm_is_that_of_models(number, length):
    step = STEPS[number]
    ours = step.LSTM(1, 5, 10, **({"memory": 6} if number >= 15 else {}))
    like, theirs, in_our_order = lstm_of(ours)
    if number >= 15:
        x, labels = step.palindromes(4, length)
    else:
        x, labels = np.random.default_rng(0).uniform(0, 9, (length, 4, 1)), np.array([3, 0, 9, 3])
    loss = step.cross_entropy(ours(x), labels)
    expected = nn.functional.cross_entropy(
        like(mg.tensor(x.swapaxes(0, 1).copy())), mg.tensor(labels)
    )
    gradients = mg.grad(expected, theirs)
    within = tolerance(np.float64, x, *(g.data for g in gradients), np.empty(length * 4 * 6))
    assert_close(loss.data.item(), expected.item(), within, "loss")
    found = step.grad(loss, ours.parameters())
    for g, wanted in zip(found, in_our_order(gradients), strict=True):
        assert_close(g, wanted, within, "gradient")


def assert_second_derivative_is_measured(step, function, x):
    """Compare the gradient of the length of a gradient with central differences of that length."""
    direction = np.random.default_rng(1).normal(size=x.shape)

    def length(data):
        leaf = step.Tensor(data, requires_grad=True)
        [g] = step.grad(function(leaf), [leaf], create_graph=True)
        return step.sum_over(g * g, None), leaf

    y, leaf = length(x)
    [slope] = step.grad(y, [leaf])
    assert np.any(slope)

    def difference(h):
        up, down = (length(x + sign * h * direction)[0].data.item() for sign in (1, -1))
        return (up - down) / (2 * h)

    h = float(np.finfo(np.float64).eps) ** (1 / 3)
    # the error of a central difference is c h^2, so that D(2h) - D(h) = 3 c h^2
    off = abs(difference(2 * h) - difference(h)) + tolerance(np.float64, y.data, slope) / h
    assert abs(np.sum(slope * direction) - difference(h)) <= off


@steps(13)
@pytest.mark.parametrize("model", ["RNN", "LSTM"])
def test_second_derivatives_through_time_are_measured(number, model):
    step = STEPS[number]
    if not hasattr(step, model):
        assert (number, model) == (13, "LSTM")
        return
    network = getattr(step, model)(2, 3, 2)

    def total(x):  # the columns of x are the inputs of three steps, one after the other
        parts = [step.columns(x, 2 * t, 2 * t + 2) for t in range(3)]
        y = network(parts)
        return y * y

    random = np.random.default_rng(0)
    assert_second_derivative_is_measured(step, total, random.normal(size=(4, 6)))


@steps(13)
def test_columns_are_placed_and_joined(number):
    step, x = STEPS[number], np.arange(12.0).reshape(2, 6)
    assert np.array_equal(step.join(step.columns(x, 0, 4), step.columns(x, 4, 6)), x)
    placed = step.place(np.ones((2, 2)), 1, 4)
    assert np.array_equal(placed, [[0, 1, 1, 0]] * 2)


@steps(15)
def test_palindromes_read_the_same_backwards(number):
    for length in (1, 2, 5, 6):
        digits, last = STEPS[number].palindromes(50, length)
        whole = np.concatenate([digits[:, :, 0], last[None]])
        assert digits.shape == (length, 50, 1)
        assert np.array_equal(whole, whole[::-1])
        assert set(np.unique(whole)) <= set(range(10))
        assert len(np.unique(whole)) > 5


@steps(15)
def test_chrono_draws_times_up_to_the_memory(number):
    ours = STEPS[number].LSTM(1, 400, 10, memory=20)
    forget, write = (
        (ours.gates.bias.data[:400], ours.gates.bias.data[400:800])
        if number >= 19
        else (ours.forget.bias.data, ours.input.bias.data)
    )
    assert np.array_equal(forget, -write)
    times = np.exp(forget)
    assert 1 <= times.min() < 2 < 18 < times.max() <= 19


@steps(16)
def test_binary_cross_entropy_is_minigrads(number):
    step = STEPS[number]
    logits = np.array([[-1000.0], [-3.0], [0.0], [0.5], [20.0], [1000.0]])
    for target in (0.0, 1.0):
        x, like = step.Tensor(logits, requires_grad=True), mg.tensor(logits, requires_grad=True)
        loss = step.bce_with_logits(x, target)
        expected = nn.functional.binary_cross_entropy_with_logits(
            like, mg.full(logits.shape, target, dtype="float64")
        )
        within = tolerance(np.float64, logits)
        assert_close(loss.data.item(), expected.item(), within, "loss")
        [g], [theirs] = step.grad(loss, [x]), mg.grad(expected, like)
        assert_close(g, theirs.data, within, "gradient")


@steps(16)
def test_leaky_relu_is_minigrads(number):
    step, data = STEPS[number], np.array([-2.0, -0.5, 0.0, 0.5, 2.0])
    x, like = step.Tensor(data, requires_grad=True), mg.tensor(data, requires_grad=True)
    y, expected = step.leaky_relu(x), nn.functional.leaky_relu(like, 0.2)
    assert_close(y.data, expected.data, tolerance(np.float64, data), "leaky_relu")
    [g], [theirs] = step.grad(y, [x]), mg.grad(expected.sum(), like)
    assert_close(g, theirs.data, tolerance(np.float64, data), "gradient")


@steps(16)
def test_detached_fakes_have_no_record(number):
    x = Library(number).leaf(np.ones((2, 2)))
    assert (x * x).detach().record is None
    assert np.array_equal((x * x).detach().data, np.ones((2, 2)))


def players(step, with_norm):
    """Both players of a step's game, and the same of minigrad; parameters in the same order."""
    norm = [step.BatchNorm(3)] if with_norm else []
    G = step.Sequential(*norm, step.Linear(3, 6), step.leaky_relu, step.Linear(6, 4), step.tanh)
    D = step.Sequential(step.Linear(4, 5), step.tanh, step.Linear(5, 1))
    like_norm = [nn.BatchNorm1d(3)] if with_norm else []
    likes = (
        nn.Sequential(*like_norm, nn.Linear(3, 6), nn.LeakyReLU(0.2), nn.Linear(6, 4), nn.Tanh()),
        nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)),
    )
    for ours, like in zip((G, D), likes, strict=True):
        like.astype("float64")
        pairs = zip(like.named_parameters(), ours.parameters(), strict=True)
        like.load_state_dict({name: p.data.T for (name, _), p in pairs}, strict=False)
    return (G, D), likes


@steps(16)
def test_three_steps_of_the_game_are_minigrads(number):
    step, random, r1 = STEPS[number], np.random.default_rng(0), 2.0
    ours, likes = players(step, with_norm=number >= 18)
    settings = {"lr": 0.01, "betas": (0.5, 0.99), "eps": 1e-6}
    optimizers = [step.Adam(player.parameters(), **settings) for player in ours]
    references = [optim.Adam(player.parameters(), **settings) for player in likes]

    def bce(logits, target):
        return nn.functional.binary_cross_entropy_with_logits(
            logits, mg.full(logits.shape, target, dtype="float64")
        )

    for _ in range(3):
        real, z = random.normal(size=(8, 4)), random.normal(size=(8, 3))
        penalty = {"r1": r1} if number >= 17 else {}
        losses = step.play(*ours, *optimizers, real, step.Tensor(z), **penalty)

        G, D = likes
        fake = G(mg.tensor(z))
        g_loss = bce(D(fake), 1.0)
        references[0].zero_grad()
        g_loss.backward(inputs=list(G.parameters()))
        references[0].step()
        x = mg.tensor(real, requires_grad=True)
        d_loss = bce(D(x), 1.0) + bce(D(fake.detach()), 0.0)
        if penalty:
            [g] = mg.grad(D(x).sum(), x, create_graph=True)
            d_loss = d_loss + 0.5 * r1 * (g * g).sum(axis=1).mean()
        references[1].zero_grad()
        d_loss.backward(inputs=list(D.parameters()))
        references[1].step()
        expected = np.array([g_loss.item(), d_loss.item()])
        assert_close(losses, expected, tolerance(np.float64, real, z), "losses")
    for player, like in zip(ours, likes, strict=True):
        for p, q in zip(player.parameters(), like.parameters(), strict=True):
            assert_close(p.data.T, q.data, tolerance(np.float64, real, z, q.data), "parameter")


@steps(NUMBERS[-1])
def test_last_step_trains_as_models_do(number):
    """Three steps of Adam on palindromes: the same losses and the same gradients at each."""
    step = STEPS[number]
    ours = step.LSTM(1, 6, 10, memory=9)
    optimizer = step.Adam(ours.parameters(), lr=0.01)
    like, theirs, in_our_order = lstm_of(ours)
    reference = optim.Adam(like.parameters(), lr=0.01)
    for _ in range(3):
        x, labels = step.palindromes(8, 9)
        loss = step.cross_entropy(ours(x), labels)
        found = step.clip_grad_norm(step.grad(loss, ours.parameters()), 1.0)
        optimizer.step(found)
        expected = nn.functional.cross_entropy(
            like(mg.tensor(x.swapaxes(0, 1).copy())), mg.tensor(labels)
        )
        reference.zero_grad()
        expected.backward()
        nn.utils.clip_grad_norm_(like.parameters(), 1.0)
        gradients = in_our_order([p.grad for p in theirs])
        reference.step()
        within = tolerance(np.float64, x, *gradients, np.empty(9 * 8 * 7))
        assert_close(loss.data.item(), expected.item(), within, "loss")
        for g, wanted in zip(found, gradients, strict=True):
            assert_close(g, wanted, within, "gradient")


@steps(17)
def test_penalty_has_minigrads_second_derivatives(number):
    step, real = STEPS[number], np.random.default_rng(0).normal(size=(8, 4))
    (_, D), (_, like) = players(step, with_norm=False)
    penalty = step.slope(D, real)
    x = mg.tensor(real, requires_grad=True)
    [g] = mg.grad(like(x).sum(), x, create_graph=True)
    expected = (g * g).sum(axis=1).mean()
    within = tolerance(np.float64, real)
    assert_close(penalty.data.item(), expected.item(), within, "penalty")
    parameters = list(like.parameters())
    for ours, theirs in zip(
        step.grad(penalty, D.parameters()), mg.grad(expected, parameters), strict=True
    ):
        # the last bias does not change the slope
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            assert_close(ours.T, theirs.data, within, "second derivative")


@steps(17)
def test_modes_are_centres_with_half_of_an_equal_share(number):
    centres = np.array([[0.0, 0.0], [5.0, 0.0]])
    for count, expected in ((50, 2), (26, 2), (24, 1), (0, 1)):  # of 100 points, at the second
        points = np.repeat(centres, [100 - count, count], axis=0)
        assert STEPS[number].modes(points, centres, 0.5) == expected
        assert STEPS[number].modes(points + 1.0, centres, 0.5) == 0


@steps(18)
def test_batch_norm_is_minigrads(number):
    step, random = STEPS[number], np.random.default_rng(0)
    ours, like = step.BatchNorm(3), nn.BatchNorm1d(3).astype("float64")
    for parameter, twin in zip(ours.parameters(), like.parameters(), strict=True):
        parameter.data = random.normal(size=3)
        twin.data[...] = parameter.data
    for training in (True, True, False):
        ours.training = training
        like.train(training)
        data, seed = random.normal(2.0, 3.0, (6, 3)), random.normal(size=(6, 3))
        x, twin = step.Tensor(data, requires_grad=True), mg.tensor(data, requires_grad=True)
        y, expected = ours(x), like(twin)
        within = tolerance(np.float64, data, seed)
        assert_close(y.data, expected.data, within, "output")
        assert_close(ours.mean, like.running_mean.data, within, "running mean")
        assert_close(ours.variance, like.running_var.data, within, "running variance")
        found = step.grad(y * seed, [x, *ours.parameters()])
        wanted = mg.grad((expected * mg.tensor(seed)).sum(), [twin, *like.parameters()])
        for g, theirs in zip(found, wanted, strict=True):
            assert_close(g, theirs.data, within, "gradient")


@steps(20)
def test_parameters_are_views_of_one_vector(number):
    step = STEPS[number]
    model = step.Sequential(step.Linear(3, 4), step.Linear(4, 2))
    before = [p.data.copy() for p in model.parameters()]
    optimizer = step.Adam(model.parameters())
    for p, value in zip(model.parameters(), before, strict=True):
        assert np.array_equal(p.data, value)
        assert np.shares_memory(p.data, optimizer.flat)
    vector = optimizer.flat
    optimizer.step([np.ones_like(p) for p in before])
    assert optimizer.flat is vector
    for p, value in zip(model.parameters(), before, strict=True):
        assert np.all(p.data < value)


@steps(20)
def test_float32_stays_float32(number):
    step = STEPS[number]
    x, labels = step.palindromes(4, 3)
    for model in (step.RNN(1, 5, 10), step.LSTM(1, 5, 10)):
        for p in model.parameters():
            p.data = p.data.astype(np.float32)
        optimizer = step.Adam(model.parameters())
        loss = step.cross_entropy(model(x.astype(np.float32)), labels)
        gradients = step.clip_grad_norm(step.grad(loss, model.parameters()), 1.0)
        assert {g.dtype for g in gradients} == {np.dtype("float32")}
        optimizer.step(gradients)
        assert {p.data.dtype for p in model.parameters()} == {np.dtype("float32")}


# --- the graph ---------------------------------------------------------------------------------


@steps(2)
def test_long_chain_needs_no_recursion(number):
    library = Library(number)
    x = library.leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y + x
    [g] = library.gradients(y, [x])
    assert g == 10_001
    del y  # nor does freeing it


def test_step_1_recurses():
    x = y = STEPS[1].Value(1.0)
    for _ in range(10_000):
        y = y + x
    with pytest.raises(RecursionError):
        STEPS[1].derivative(y, x)


@steps(1)
def test_graph_is_freed_without_the_garbage_collector(number):
    library = Library(number)
    x = library.leaf(1.0)
    y = x * x + x
    library.gradients(y, [x])
    node = weakref.ref(y if number < 7 else y.record)
    gc.disable()
    try:
        del y
        assert node() is None
    finally:
        gc.enable()


@steps(2, 5)
def test_gradients_add_up_in_grad_until_they_are_zeroed(number):
    library = Library(number)
    x = library.leaf(3.0)
    for expected in (6.0, 12.0):
        (x * x).backward()
        assert x.grad == expected


@steps(7)
def test_constants_have_no_record(number):
    library, constant = Library(number), STEPS[number].Tensor(2.0)
    assert (constant * constant + 1.0).record is None
    x = library.leaf(3.0)
    assert list((constant * x).record.parents.values()) == [x.record]


@steps(8)
def test_records_save_what_their_rules_name(number):
    step, x = STEPS[number], Library(number).leaf(np.ones((2, 2)))
    assert list(step.tanh(x).record.saved) == ["y"]
    assert list((x @ np.ones((2, 2))).record.saved) == ["b"]  # the other input is a constant
    assert (x + x).record.saved == {}


@steps(6)
def test_input_that_the_output_does_not_depend_on_has_no_gradient(number):
    library = Library(number)
    x, other = library.leaf(1.0), library.leaf(2.0)
    assert library.grad(library.tanh(x), [other]) == [None]


@steps(10)
def test_parameters_are_found_in_lists_and_parts(number):
    step = STEPS[number]

    class Pair(step.Module):
        def __init__(self):
            self.first, self.rest = step.Linear(2, 3), [step.Linear(3, 4), np.tanh]
            self.scale, self.name = step.Tensor(1.0, requires_grad=True), "pair"

    pair = Pair()
    expected = [pair.first.weight, pair.first.bias, pair.rest[0].weight, pair.rest[0].bias]
    found = list(pair.parameters())
    assert all(a is b for a, b in zip(found, [*expected, pair.scale], strict=True))


@steps(10)
def test_linear_keeps_the_spread(number):
    step = STEPS[number]
    layer, x = step.Linear(400, 300), np.random.default_rng(0).normal(size=(50, 400))
    # a sum of 400 products; each estimate of a variance from n numbers is off by sqrt(2 / n)
    off = np.sqrt(2 / 400) + np.sqrt(2 / 300)
    assert abs(np.var(layer(x).data) - np.var(x)) < 3 * off
    assert not layer.bias.data.any()
