"""One thread per library; the GPU of the tests, which is a strict stand-in or a real one."""

import importlib
import os
import signal
import sys

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy and PyTorch are imported and read them

import pytest  # noqa: E402

cupy_backend = importlib.import_module("minigrad.backends.cupy")
cublas = importlib.import_module("minigrad.backends.cupy.cublas")
HANDLES = {}  # of the stand-in's cuBLAS, which are none of a real one's

# to try what needs a real GPU, at the cost of minutes: STAND_IN=1 python -m pytest tests
STAND_IN = os.environ.get("STAND_IN") == "1"

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in the background of a script
    signal.signal(signal.SIGINT, signal.default_int_handler)


def real_gpus():
    """The parameter that stands for a real GPU, where one works."""
    return [] if cupy_backend._problem() else [pytest.param("cupy", marks=pytest.mark.gpu)]


@pytest.fixture
def stand_in(monkeypatch):
    """`strict_device`, in the place of CuPy."""
    import strict_device

    monkeypatch.setattr(cupy_backend, "_problem", lambda: None)
    monkeypatch.setitem(sys.modules, "cupy", strict_device.module)
    monkeypatch.setitem(sys.modules, "cupyx", strict_device.extras)
    monkeypatch.setattr(cublas, "library", lambda: strict_device.blas)
    monkeypatch.setattr(cublas, "_handles", HANDLES)
    graphs = importlib.import_module("minigrad.backends.cupy.graph")
    monkeypatch.setattr(graphs, "_thread", graphs._Thread())  # the stand-in's streams, not CuPy's
    strict_device.log.reset()
    yield strict_device
    unfinished = strict_device.end_captures()
    strict_device.finish_all()
    strict_device.forget_streams()
    graphs.free_dropped_pools()
    strict_device.check_guards()
    assert not unfinished, "the test left a stream that is being captured"


@pytest.fixture(params=["stand-in", *real_gpus()])
def gpu(request):
    """A GPU for the test: `strict_device`, or None where it is a real one."""
    return None if request.param == "cupy" else request.getfixturevalue("stand_in")


@pytest.fixture(params=["cpu", *(["stand-in"] if STAND_IN else []), *real_gpus()])
def device(request):
    """Where minigrad computes what PyTorch, on its CPU, is to agree with."""
    if request.param == "stand-in":
        request.getfixturevalue("stand_in")
    return "cpu" if request.param == "cpu" else "gpu"


@pytest.fixture
def quick_gpu(gpu):
    """The stand-in runs each kernel once, not in every order of its threads."""
    if gpu is None:
        yield None
        return
    orders = list(gpu.orders)
    gpu.orders[:] = orders[:1]
    yield gpu
    gpu.orders[:] = orders


@pytest.fixture
def late_gpu(gpu):
    """The same, but all work is done only when the host waits for it, as a busy GPU might."""
    if gpu is None:
        yield None  # a real one is as late as it is
        return
    gpu.settings.late = True
    yield gpu
    gpu.finish_all()
    gpu.settings.late = False


@pytest.fixture
def replays(gpu, monkeypatch):
    """A list that grows by one with each launch of a captured step's graph."""
    graphs = importlib.import_module("minigrad.backends.cupy.graph").StepGraph
    launched, launch = [], graphs.launch

    def counting(self):
        launch(self)
        launched.append(1)

    monkeypatch.setattr(graphs, "launch", counting)
    return launched


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A new working folder, so that ./data is not there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_torchvision(monkeypatch):
    """Make torchvision impossible to import."""
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)


@pytest.fixture
def quick_pictures(monkeypatch):
    """Figures are composed but not rendered, which takes most of the time of a short training."""
    from matplotlib.figure import Figure
    from PIL import Image

    monkeypatch.setattr(Figure, "savefig", lambda figure, path: Image.new("L", (1, 1)).save(path))


@pytest.fixture
def no_figures(monkeypatch):
    """Not even composed: for tests to which a training's pictures do not matter."""
    from reliability import runs

    runs.quick_pictures(monkeypatch.setattr)


@pytest.fixture(scope="session")
def site_folder(tmp_path_factory):
    """The site, as docs/site/build.py builds it: for the tests marked `site`."""
    import browser

    return browser.built(tmp_path_factory.mktemp("built") / "site")


@pytest.fixture(scope="session")
def site(site_folder):
    """The address of the built site."""
    import browser

    with browser.served(site_folder) as address:
        yield address
