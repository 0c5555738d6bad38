"""Files are whole at any moment, survive a loss of power, and are read within bounds."""

import errno
import io
import os
import socket
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest
from needs import LINKS, PIPES, SOCKETS

from minigrad import files
from minigrad.files import (
    TEMPORARY,
    append_to,
    read_member,
    read_up_to,
    read_within,
    refuse_strange,
    replacing,
    to_disk,
)


@pytest.fixture
def target(tmp_path):
    """A file with something in it."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"before")
    return path


@pytest.fixture
def synchronized(monkeypatch):
    """What has reached the disk, as (device, inode), in order."""
    seen = []

    def fsync(opened):
        found = os.fstat(opened)
        seen.append((found.st_dev, found.st_ino))

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


def identity(path):
    """How `synchronized` names a file or folder."""
    found = path.stat()
    return found.st_dev, found.st_ino


def test_a_replaced_file_is_its_old_self_until_it_is_its_new_one(target):
    with replacing(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == target.suffix
        assert temporary.name.startswith(TEMPORARY)
        temporary.write_bytes(b"after")
        assert target.read_bytes() == b"before"
    assert target.read_bytes() == b"after"
    assert list(target.parent.iterdir()) == [target]


def test_a_file_that_cannot_be_written_stays_and_nothing_is_left_beside_it(target):
    with pytest.raises(OSError, match="the disk is full"), replacing(target) as temporary:
        temporary.write_bytes(b"aft")
        raise OSError("the disk is full")
    assert target.read_bytes() == b"before"
    assert list(target.parent.iterdir()) == [target]


def test_two_temporary_files_have_different_names(target):
    with replacing(target) as one, replacing(target) as other:
        assert one != other


def test_a_durable_file_reaches_the_disk_before_its_name_does(target, synchronized):
    with replacing(target) as temporary:
        temporary.write_bytes(b"after")
        content = identity(temporary)
    assert synchronized == [content, identity(target.parent)]
    synchronized.clear()
    with replacing(target, durable=False) as temporary:
        temporary.write_bytes(b"later")
    assert synchronized == []
    assert target.read_bytes() == b"later"


def test_a_file_that_does_not_reach_the_disk_replaces_nothing(target, monkeypatch):
    def fsync(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"), replacing(target) as temporary:
        temporary.write_bytes(b"after")
    assert target.read_bytes() == b"before"
    assert list(target.parent.iterdir()) == [target]


@LINKS
def test_a_temporary_file_is_never_written_through_a_link(target, monkeypatch):
    foreign = target.with_name("foreign")
    foreign.write_bytes(b"not ours")
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "foreseen")
    link = target.with_name(f"{TEMPORARY}foreseen{target.suffix}")
    link.symlink_to(foreign)
    with pytest.raises(FileExistsError), replacing(target):
        pytest.fail("it must not be opened")
    assert foreign.read_bytes() == b"not ours"


@LINKS
def test_replacing_a_link_leaves_what_it_leads_to(target):
    link = target.with_name("link")
    link.symlink_to(target)
    with replacing(link) as temporary:
        temporary.write_bytes(b"after")
    assert target.read_bytes() == b"before"
    assert link.read_bytes() == b"after"
    assert not link.is_symlink()


@LINKS
def test_appending_makes_a_file_and_follows_no_link(target):
    append_to(target, b" and after")
    assert target.read_bytes() == b"before and after"
    append_to(target.with_name("new"), b"first")
    assert target.with_name("new").read_bytes() == b"first"
    link = target.with_name("link")
    link.symlink_to(target)
    with pytest.raises(OSError, match="link"):
        append_to(link, b"!")
    assert target.read_bytes() == b"before and after"


def test_a_folder_is_synchronized_where_it_can_be_opened(target, synchronized, monkeypatch):
    to_disk(target.parent)
    assert synchronized == [identity(target.parent)]
    monkeypatch.delattr(os, "O_DIRECTORY", raising=False)  # Windows
    to_disk(target.parent)
    to_disk(target)
    assert synchronized == [identity(target.parent), identity(target)]


@pytest.mark.parametrize("read", [read_within, read_member])
def test_a_file_is_read_up_to_the_largest_size(read, target):
    assert read(target, 6) == b"before"
    with pytest.raises(ValueError, match="has 6 bytes or more; at most 5 are read"):
        read(target, 5)
    (target.parent / "empty").touch()
    assert read(target.parent / "empty", 5) == b""
    with pytest.raises(FileNotFoundError):
        read(target.parent / "missing", 5)


def test_a_file_that_grows_while_it_is_read_stays_within_the_bound(target, monkeypatch):
    found = os.stat(target)

    def fstat(_):  # as it was before it grew
        return os.stat_result((*found[:6], 0, *found[7:]))

    monkeypatch.setattr(os, "fstat", fstat)
    with pytest.raises(ValueError, match="has 6 bytes or more; at most 5 are read"):
        read_within(target, 5)


@PIPES
def test_a_pipe_that_the_user_names_is_read_to_its_end(tmp_path):
    read_end, write_end = os.pipe()
    os.write(write_end, b"some words")
    os.close(write_end)
    try:
        path = Path(f"/dev/fd/{read_end}")
        if not path.exists():
            pytest.skip(
                "no /dev/fd, where open files have names; a pipe with a name is tried anyway"
            )
        assert read_within(path, 100) == b"some words"
    finally:
        os.close(read_end)


def strangers(folder):
    """What a folder may hold that is no plain file, by what it is called."""
    (folder / "folder").mkdir()
    yield "a folder", folder / "folder"
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
        yield "a pipe", folder / "pipe"
        (folder / "target").touch()
        (folder / "link").symlink_to("target")
        yield "a link", folder / "link"
        (folder / "dangling").symlink_to("nowhere")
        yield "a link", folder / "dangling"
    if Path("/dev/null").exists():
        yield "a device", Path("/dev/null")


def test_a_member_that_is_no_plain_file_is_refused_by_name(tmp_path):
    for kind, path in strangers(tmp_path):
        for read in (refuse_strange, lambda path: read_member(path, 100)):
            with pytest.raises(ValueError, match=f"{path} is {kind}, expected a plain file"):
                read(path)
    (tmp_path / "plain").touch()
    refuse_strange(tmp_path / "plain")
    with pytest.raises(FileNotFoundError):
        refuse_strange(tmp_path / "missing")


@SOCKETS
def test_a_socket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path to a socket must be short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket")
        with pytest.raises(ValueError, match="socket is a socket, expected a plain file"):
            read_member(Path("socket"), 100)


def test_a_member_of_an_unknown_kind_is_refused(target, monkeypatch):
    found = os.lstat(target)
    monkeypatch.setattr(
        os, "lstat", lambda path: os.stat_result((0o160000 | stat.S_IRUSR, *found[1:]))
    )
    with pytest.raises(ValueError, match="is no file, expected a plain file"):
        refuse_strange(target)


@LINKS
def test_a_link_put_there_after_the_look_is_not_followed(target, monkeypatch):
    link = target.with_name("link")
    link.symlink_to(target)
    monkeypatch.setattr(files, "refuse_strange", lambda path: None)  # it was a plain file then
    with pytest.raises(OSError, match="link"):
        read_member(link, 100)


class Counting(io.BytesIO):
    """Notes how many bytes are asked for at once."""

    def __init__(self, content):
        super().__init__(content)
        self.asked = []

    def read(self, count=-1):
        self.asked.append(count)
        return super().read(count)


def test_no_memory_is_taken_for_bytes_that_are_only_promised():
    file = Counting(b"few")
    assert read_up_to(file, 2**50) == b"few"
    assert max(file.asked) <= 2**20
    file = Counting(bytes(2**21))
    assert read_up_to(file, 2**20 + 1) == bytes(2**20 + 1)
    assert file.tell() == 2**20 + 1
    assert read_up_to(file, 0) == b""


@pytest.mark.parametrize(("number", "raised"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_waited_for_is_not_and_a_disk_that_fails_is_said(
    number: int, raised: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def of_folders(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(file)

    monkeypatch.setattr(os, "fsync", of_folders)
    with pytest.raises(OSError, match="error") if raised else nullcontext():
        to_disk(tmp_path)


def test_a_file_that_cannot_be_waited_for_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(file: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    (tmp_path / "x").write_bytes(b"")
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="Invalid argument"):
        to_disk(tmp_path / "x")
