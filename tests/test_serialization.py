"""Weights on disk: what is written, what is read back, and what is refused."""

import hashlib
import json
import os
import re
import stat
import sys
import threading
import tracemalloc

import needs
import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.serialization import from_bytes, to_bytes


def test_a_model_comes_back_from_a_file(tmp_path):
    model, other = (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)) for _ in range(2))
    model(mg.randn(5, 3))
    path = tmp_path / "model.safetensors"
    mg.save(model.state_dict(), path)
    state = mg.load(str(path))
    other.load_state_dict(state)
    for name, value in model.state_dict().items():
        assert state[name].dtype == value.dtype
        assert state[name].shape == value.shape
        np.testing.assert_array_equal(other.state_dict()[name].numpy(), value.numpy())
    assert not any(value.requires_grad for value in state.values())


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "int64", "int32", "uint8", "int8", "bool"]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)])
def test_dtypes_and_shapes_are_kept(tmp_path, dtype, shape):
    array = np.ones(shape, dtype)
    mg.save({"x": array, "nested.name": mg.tensor(array)}, tmp_path / "x")
    for value in mg.load(tmp_path / "x").values():
        assert (value.dtype, value.shape) == (array.dtype, shape)
        np.testing.assert_array_equal(value.numpy(), array)
        value.data[...] = 0  # the memory is the reader's own


def test_values_do_not_depend_on_the_memory_order(tmp_path):
    x = np.arange(24.0).reshape(4, 6)
    arrays = {
        "F": np.asfortranarray(x),
        "transposed": x.T,
        "strided": x[::2, 1::2],
        "reversed": x[::-1, ::-1],
        "broadcast": np.broadcast_to(x[:1], x.shape),
        "big-endian": x.astype(">f8"),
    }
    mg.save(arrays | {"tensor": mg.tensor(x).T}, tmp_path / "x")
    found = mg.load(tmp_path / "x")
    for name, array in (arrays | {"tensor": x.T}).items():
        np.testing.assert_array_equal(found[name].numpy(), array, err_msg=name)


def test_views_of_the_flat_vector_are_written_one_by_one(tmp_path):
    model = nn.Linear(3, 2)
    optimizer = mg.optim.Adam(model.parameters())
    model(mg.ones(1, 3)).sum().backward()
    optimizer.step()
    mg.save(dict(model.named_parameters()), tmp_path / "x")
    for name, value in mg.load(tmp_path / "x").items():
        np.testing.assert_array_equal(value.numpy(), getattr(model, name).data)


def test_saving_replaces_the_file_as_a_whole(tmp_path):
    path = tmp_path / "x.safetensors"
    mg.save({"x": mg.ones(1000)}, path)
    mg.save({"y": mg.ones(2)}, path)
    assert list(mg.load(path)) == ["y"]
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("failing", ["builtins.open", "os.replace"])
def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / "x.safetensors"
    mg.save({"x": mg.ones(2)}, path)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(failing, full)
        with pytest.raises(OSError, match=r"No space left.*x\.safetensors"):
            mg.save({"x": mg.zeros(3)}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        mg.save({"x": mg.ones(1)}, tmp_path / "nowhere" / "x")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        mg.load(tmp_path / "nowhere")
    with pytest.raises(OSError, match=str(tmp_path)):
        mg.load(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "header"])
def test_damaged_files_are_refused(tmp_path, damage):
    path = tmp_path / "x.safetensors"
    mg.save({"x": mg.ones(100)}, path)
    content = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "text": b"these are no weights at all, and this is no header",
            "cut": content[:-7],
            "header": content[:8] + b"}" + content[9:],
        }[damage]
    )
    with pytest.raises(ValueError, match=r"x\.safetensors.*damaged or no safetensors file"):
        mg.load(path)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"x": 1.0}, "'x' with float"),
        ({"x": [1.0]}, "'x' with list"),
        ({1: mg.ones(1)}, "int 1"),
        ({"x": np.array(["a"])}, "'x' has dtype <U1.*astype"),
        ({"x": np.ones(2, complex)}, "complex128"),
    ],
)
def test_what_cannot_be_saved_is_refused(tmp_path, state, message):
    with pytest.raises(TypeError, match=message):
        mg.save(state, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_load_refuses_an_unknown_device(tmp_path):
    mg.save({"x": mg.ones(1)}, tmp_path / "x")
    with pytest.raises(mg.DeviceError, match="'tpu'"):
        mg.load(tmp_path / "x", device="tpu")


def test_importing_minigrad_does_not_import_safetensors():
    code = "import sys, minigrad; sys.exit('safetensors' in sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


# --- interchange ------------------------------------------------------------------------------


def test_files_go_to_torch_and_back(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    theirs, back = (
        torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)) for _ in range(2)
    )
    save_file(theirs.state_dict(), tmp_path / "theirs", metadata={"format": "pt"})
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model.load_state_dict(mg.load(tmp_path / "theirs"))
    mg.save(model.state_dict(), tmp_path / "ours")
    back.load_state_dict(load_file(tmp_path / "ours"))
    for name, value in theirs.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name].numpy(), value.numpy())
        assert torch.equal(value, back.state_dict()[name])


def test_bfloat16_of_torch_becomes_float32_and_is_said_once(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    values = torch.tensor([1.0, -3.14, 1e-40, 3e38, torch.inf, -0.0]).bfloat16()
    state = {
        "b": values.reshape(2, 3),
        "a": torch.tensor(2.5).bfloat16(),
        "c": torch.tensor([torch.nan]).bfloat16(),
        "empty": torch.zeros(0, 2).bfloat16(),
        "other": torch.arange(3),
    }
    save_file(state, tmp_path / "x.safetensors")
    with pytest.warns(UserWarning, match=r"x\.safetensors.*bfloat16 \('a', 4 in all\)") as caught:
        found = mg.load(tmp_path / "x.safetensors")
    assert len(caught) == 1
    assert list(found) == sorted(state)
    for name, value in state.items():
        expected = value.float() if value.dtype == torch.bfloat16 else value
        assert found[name].dtype == expected.numpy().dtype
        np.testing.assert_array_equal(found[name].numpy(), expected.numpy(), err_msg=name)
        found[name].data[...] = 0  # the memory is the reader's own


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        ("float8_e4m3fn", r"F8_E4M3 \(float8_e4m3\)"),
        ("float8_e5m2", r"F8_E5M2 \(float8_e5m2\)"),
        ("float8_e8m0fnu", "F8_E8M0"),
        ("float8_e4m3fnuz", "F8_E4M3FNUZ"),
        ("complex64", "C64"),
    ],
)
def test_dtypes_without_tensors_are_refused_by_name(tmp_path, dtype, name):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    save_file({"good": torch.ones(2), "bad": torch.ones(4).to(getattr(torch, dtype))}, path)
    with pytest.raises(ValueError, match=rf"x\.safetensors' is whole.*'bad' .*{name}.*\.float\(\)"):
        mg.load(path)


@pytest.mark.parametrize(
    "dtype", "uint8 int8 uint16 int16 uint32 int32 uint64 int64 bool float16 float64".split()
)
def test_other_dtypes_of_torch_load_as_they_are(tmp_path, dtype):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    save_file({"x": torch.tensor([0, 1]).to(getattr(torch, dtype))}, tmp_path / "x")
    found = mg.load(tmp_path / "x")["x"]
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found.numpy(), np.array([0, 1], dtype))


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn"])
def test_dtypes_of_torch_that_numpy_has_not_are_named_with_the_remedy(tmp_path, dtype):
    torch = pytest.importorskip("torch")
    layer = nn.Linear(2, 1)
    state = torch.nn.Linear(2, 1).state_dict()
    odd = {name: value.to(getattr(torch, dtype)) for name, value in state.items()}
    with pytest.raises(
        nn.StateDictError, match=rf"weight: NumPy has no dtype {dtype}.*\.float\(\)"
    ):
        layer.load_state_dict(odd)
    layer.load_state_dict({name: value.float() for name, value in odd.items()})
    with pytest.raises(TypeError, match=rf"save: 'weight': NumPy has no dtype {dtype}.*\.float"):
        mg.save(odd, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_what_torch_says_of_other_values_stands(tmp_path):
    torch = pytest.importorskip("torch")
    learnt = dict(torch.nn.Linear(2, 1).named_parameters())
    with pytest.raises(nn.StateDictError, match=r"weight: .*detach\(\)"):
        nn.Linear(2, 1).load_state_dict(learnt)
    with pytest.raises(TypeError, match=r"save: 'weight': .*detach\(\)"):
        mg.save(learnt, tmp_path / "x")


def test_numpy_scalars_are_written_and_loaded_as_arrays_without_axes(tmp_path):
    values = {"float": np.float32(1.5), "int": np.int64(3), "bool": np.bool_(True)}
    mg.save(values, tmp_path / "x")
    for name, value in mg.load(tmp_path / "x").items():
        assert (value.shape, value.dtype, value.item()) == ((), values[name].dtype, values[name])
    layer = nn.BatchNorm1d(2)
    layer.load_state_dict(layer.state_dict() | {"num_batches_tracked": np.int64(7)})
    assert layer.num_batches_tracked.item() == 7


@pytest.mark.parametrize("name", ["__metadata__", "a\udcff"])
def test_names_that_cannot_be_read_back_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"save: '.*' cannot be a name in a safetensors file"):
        mg.save({name: mg.ones(1)}, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    odd = {"": mg.ones(1), 'é\n"\\ud☃': mg.ones(1), "__metadata": mg.ones(1)}
    mg.save(odd, tmp_path / "x")
    assert mg.load(tmp_path / "x").keys() == odd.keys()


def test_what_is_no_path_is_refused_by_name(tmp_path):
    for path in (None, 1, ["x"], open):
        with pytest.raises(TypeError, match=r"^save: expected the path of a file, got"):
            mg.save({"x": mg.ones(1)}, path)
        with pytest.raises(TypeError, match=r"^load: expected the path of a file, got"):
            mg.load(path)
    mg.save({"x": mg.ones(1)}, os.fsencode(tmp_path / "x"))
    assert mg.load(os.fsencode(tmp_path / "x"))["x"].item() == 1


@needs.LINKS
def test_of_a_link_the_file_that_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    link, target = tmp_path / "link", tmp_path / "far" / "x"
    link.symlink_to(target)
    for value in (1, 2):
        mg.save({"x": mg.full((1,), value)}, link)
        assert link.is_symlink()
        assert mg.load(target)["x"].item() == mg.load(link)["x"].item() == value
    assert [p.name for p in (tmp_path / "far").iterdir()] == ["x"]


def test_names_that_are_no_text_are_unexpected():
    state = nn.Linear(1, 1).state_dict() | {1: np.ones(1)}
    with pytest.raises(nn.StateDictError, match="unexpected: 1"):
        nn.Linear(1, 1).load_state_dict(state)


# --- damage and hostility -------------------------------------------------------------------------


def small() -> bytes:
    return to_bytes({"b": np.arange(3, dtype="f4"), "a": mg.ones(2, 1), "empty": np.ones(0, "i8")})


def test_every_flipped_bit_is_found():
    content = small()
    assert list(from_bytes(content, "x")) == ["a", "b", "empty"]
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            with pytest.raises(ValueError, match="'x' is damaged"):
                from_bytes(bytes(flipped), "x")


def test_every_lost_or_added_byte_is_found():
    content = small()
    for cut in range(len(content)):
        with pytest.raises(ValueError, match="'x' is damaged"):
            from_bytes(content[:cut], "x")
    with pytest.raises(ValueError, match="'x' is damaged"):
        from_bytes(content + b"\0", "x")


def test_the_checksum_is_the_sha256_of_the_file_with_zeros_in_its_place(tmp_path):
    mg.save({"x": mg.ones(2)}, tmp_path / "x")
    content = (tmp_path / "x").read_bytes()
    [digits] = re.findall(b"minigrad-sha256:([0-9a-f]{64})", content)
    zeroed = content.replace(digits, b"0" * 64)
    assert hashlib.sha256(zeroed).hexdigest() == digits.decode()
    assert content == to_bytes({"x": mg.ones(2)})


def with_header(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def test_files_without_a_checksum_load(tmp_path):
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    for header in (
        {"x": entry},
        {"__metadata__": {"sha256": "0" * 64, "format": "pt"}, "x": entry},
    ):
        (tmp_path / "x").write_bytes(with_header(json.dumps(header).encode(), b"\0\0\x80?"))
        assert mg.load(tmp_path / "x")["x"].item() == 1


HUGE = 2**40
STRANGE = {
    "a header of terabytes": HUGE.to_bytes(8, "little") + b"{}",
    "a header without its bytes": (1000).to_bytes(8, "little") + b"{}",
    "a deep header": with_header(b"[" * 100_000 + b"]" * 100_000),
    "a list": with_header(b"[]"),
    "not UTF-8": with_header(b'{"\xff": 1}'),
    "no entry": with_header(b'{"x": 1}'),
    "offsets of words": with_header(b'{"x": {"data_offsets": ["a", "b"]}}'),
    "one offset": with_header(b'{"x": {"data_offsets": [0]}}'),
    "negative offsets": with_header(b'{"x": {"data_offsets": [0, -1]}}'),
    "infinite offsets": with_header(b'{"x": {"data_offsets": [0, 1e999]}}'),
    "offsets that are no numbers": with_header(b'{"x": {"data_offsets": [0, NaN]}}'),
    "terabytes of data": with_header(
        b'{"x": {"dtype": "U8", "shape": [%d], "data_offsets": [0, %d]}}' % (HUGE, HUGE)
    ),
    "gigabytes that are not there": with_header(
        b'{"x": {"dtype": "U8", "shape": [4294967296], "data_offsets": [0, 4294967296]}}'
    ),
    "70 axes": with_header(
        b'{"x": {"dtype": "U8", "shape": %s, "data_offsets": [0, 1]}}'
        % json.dumps([1] * 70).encode(),
        b"a",
    ),
    "axes that overflow": with_header(
        b'{"x": {"dtype": "U8", "shape": [0, %d], "data_offsets": [0, 0]}}' % 2**63
    ),
    "a checksum of another kind": with_header(b'{"__metadata__": {"minigrad": "none"}}'),
    "a checksum that is escaped": with_header(
        b'{"__metadata__": {"minigrad": "\\u006dinigrad-sha256:%s"}}' % (b"0" * 64)
    ),
    "a checksum that is no text": with_header(
        b'{"__metadata__": {"minigrad": "minigrad-sha256:\\ud800"}}'
    ),
}


@pytest.mark.parametrize("case", STRANGE)
def test_a_strangers_file_is_refused_before_it_takes_memory(tmp_path, case):
    path = tmp_path / "x.safetensors"
    path.write_bytes(STRANGE[case])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"x\.safetensors' is damaged or no safetensors file"):
            mg.load(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**24


@needs.PIPES
def test_a_pipe_that_the_user_names_is_read_to_its_end(tmp_path):
    content = to_bytes({"x": np.arange(100_000)})  # more than a pipe holds at a time
    os.mkfifo(tmp_path / "x")
    writer = threading.Thread(target=(tmp_path / "x").write_bytes, args=(content,))
    writer.start()
    found = mg.load(tmp_path / "x")["x"].numpy()
    writer.join()
    np.testing.assert_array_equal(found, np.arange(100_000))


def test_a_file_full_of_holes_takes_no_memory(tmp_path):
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.truncate(HUGE)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="damaged or no safetensors file"):
            mg.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (100_000, r"a header of 5,\d\d\d,\d\d\d bytes; at most 4,194,304 are read"),
        (20_000, "20,000 arrays; at most 10,000 are read"),
    ],
)
def test_a_header_of_many_entries_is_bounded(count, words):
    entry = '"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    header = "{" + ",".join(entry % i for i in range(count)) + "}"
    with pytest.raises(ValueError, match=rf"'x' is damaged or no safetensors file \({words}"):
        from_bytes(with_header(header.encode()), "x")


def test_the_unfinished_file_cannot_be_foreseen(tmp_path, monkeypatch):
    """A link under a name that can be guessed would be written through."""
    opened, real = [], os.open

    def watched(path, flags, *more, **named):
        opened.append((os.path.basename(path), flags))
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", watched)
    for _ in range(2):
        mg.save({"x": mg.ones(1)}, tmp_path / "x")
    new = [(name, flags) for name, flags in opened if flags & os.O_CREAT]
    assert len({name for name, _ in new}) == 2
    for name, flags in new:
        assert re.fullmatch(r"\.unfinished-[0-9a-f]{16}", name)
        assert flags & os.O_EXCL
        assert not hasattr(os, "O_NOFOLLOW") or flags & os.O_NOFOLLOW
