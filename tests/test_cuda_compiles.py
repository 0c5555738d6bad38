"""Every CUDA kernel through NVIDIA's compiler, for the machine code of three generations of GPU."""

import ast
import ctypes
import importlib
import importlib.util
import re
from functools import cache
from pathlib import Path

import needs
import pytest

FOLDER = Path(__file__).parent.parent / "minigrad" / "backends" / "cupy"
ARCHITECTURES = ["sm_80", "sm_90", "sm_100"]
STANDARD = "-std=c++17"  # what CuPy 14 gives where a kernel's options name none
CUPYS = ("-ftz=true",)  # what it gives to all: numbers below 2^-126 are zeros


def modules():
    """All modules of the backend, imported: a kernel registers itself when its module is."""
    return [
        importlib.import_module(f"minigrad.backends.cupy.{path.stem}")
        for path in sorted(FOLDER.glob("*.py"))
        if path.stem != "__init__"
    ]


def sources():
    """The registry: (name, type) to (text, compiler options)."""
    if importlib.util.find_spec("minigrad.backends.cupy.source") is None:
        return {}
    modules()
    return importlib.import_module("minigrad.backends.cupy.source").SOURCES


KERNELS = sources()


@cache
def nvrtc():
    """The compiler's library, from NVIDIA's package, or None."""
    found = importlib.util.find_spec("nvidia")
    for folder in found.submodule_search_locations if found else ():
        for path in sorted(Path(folder).glob("**/libnvrtc.so.*")):
            if "builtins" not in path.name and "alt" not in path.name:
                return ctypes.CDLL(str(path))
    return None


def compiled(text, options, architecture):
    """The machine code of a kernel, and what the compiler said."""
    library = nvrtc()
    program = ctypes.c_void_p()
    status = library.nvrtcCreateProgram(
        ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None
    )
    assert status == 0, f"nvrtcCreateProgram: {status}"
    try:
        wanted = [f"-arch={architecture}", *options, *CUPYS]
        if not any(option.startswith(("-std", "--std")) for option in options):
            wanted.append(STANDARD)
        given = (ctypes.c_char_p * len(wanted))(*[option.encode() for option in wanted])
        status = library.nvrtcCompileProgram(program, len(wanted), given)
        size = ctypes.c_size_t()
        library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        library.nvrtcGetProgramLog(program, log)
        if status:
            return b"", log.value.decode()
        library.nvrtcGetCUBINSize(program, ctypes.byref(size))
        code = ctypes.create_string_buffer(size.value)
        library.nvrtcGetCUBIN(program, code)
        return code.raw, log.value.decode()
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


@needs.CUPY
def test_options_are_those_that_cupy_gives(monkeypatch):
    compiler = importlib.import_module("cupy.cuda.compiler")

    class Stop(Exception):
        pass

    def stop(source, options, arch, backend):
        raise Stop(options)

    monkeypatch.setattr(compiler, "_preprocess", stop)
    monkeypatch.setattr(compiler, "_empty_file_preprocess_cache", {})
    monkeypatch.setattr(compiler, "_get_arch_for_options_for_nvrtc", lambda arch: (arch,))
    with pytest.raises(Stop) as stopped:
        compiler._compile_module_with_cache("", (STANDARD,), arch="90")
    assert stopped.value.args[0] == (STANDARD, *CUPYS)


needs_nvrtc = pytest.mark.skipif(nvrtc() is None, reason="nvidia-cuda-nvrtc is not installed")


@needs_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_compiler_makes_machine_code_and_says_what_is_wrong(architecture):
    right = 'extern "C" __global__ void k(float* x) { x[threadIdx.x] = 1; }'
    code, log = compiled(right, (), architecture)
    assert code[:4] == b"\x7fELF" and b"k" in code and not log.strip()
    assert "unused" in compiled(right.replace("{ x", "{ int unused; x"), (), architecture)[1]
    code, log = compiled(right.replace("threadIdx", "fiberIdx"), (), architecture)
    assert not code and "fiberIdx" in log


@needs_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("key", KERNELS, ids="-".join)
def test_kernel_compiles_without_a_warning(key, architecture):
    text, options = KERNELS[key]
    code, log = compiled(text, options, architecture)
    assert code[:4] == b"\x7fELF", log
    assert not log.strip()
    assert key[0].encode() in code


def bodies():
    """The kernels in the backend's files: the file's name, and the text after the kernel's name."""
    for path in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for part in re.split(r"__global__\s+void\s+", node.value)[1:]:
                    bounds = re.match(r"__launch_bounds__\s*\([^)]*\)\s*", part)
                    name, _, body = part[bounds.end() if bounds else 0 :].partition("(")
                    yield path.name, name.strip(), body.strip()


def test_every_kernel_in_the_backend_is_registered():
    assert KERNELS
    found = list(bodies())
    assert found, "no CUDA text was found"
    for file, name, body in found:
        assert any(body in text for text, _ in KERNELS.values()), f"{file}: {name}"


def test_kernels_are_launched_by_the_registry_alone():
    for path in sorted(FOLDER.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for other in ("ElementwiseKernel", "ReductionKernel", "RawModule", "cupy.fuse", "jit."):
            assert other not in text, f"{path.name} uses {other}"
        if path.name != "source.py":
            assert "RawKernel(" not in text, f"{path.name} goes past source.kernel"
