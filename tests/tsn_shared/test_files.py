import errno
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tsn.tsn_shared import files
from tsn.tsn_shared.errors import SettingsError, TsnError
from tsn.tsn_shared.files import (
    TEMPORARY,
    alone,
    found_from,
    locked,
    name_as_well,
    open_regular,
    read_bounded,
    replacing,
    sha256,
    write_text,
    writing,
)

REFUSALS = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL]


def test_file_appears_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as temporary:
        temporary.write_bytes(b"half")
        assert not path.exists()
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(TEMPORARY)
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(errno.ENOSPC, "full"), TsnError, "No space left on device: free some space, then"),
        (OSError("write failed: errno = 27, buf"), TsnError, "File too large: free some space, then"),
        (PermissionError(errno.EACCES, "no"), SettingsError, "Permission denied: set another, then"),
        (ValueError("I/O error (os error 5)"), TsnError, "Input/output error: set another, then"),
        (OSError("what a library says\non two lines"), TsnError, "what a library says: set another, then"),
    ],
)
def test_what_cannot_be_written_is_one_line_with_a_way_out(
    error: Exception, kind: type[TsnError], words: str, tmp_path: Path
) -> None:
    with pytest.raises(TsnError) as raised, writing(tmp_path, "set another", then=", then", library_error=ValueError):
        raise error
    assert type(raised.value) is kind
    assert str(raised.value) == f"{tmp_path} cannot be written: {words}"


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_are_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut a name must not stand for a file whose bytes were lost."""
    events = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(descriptor: int) -> None:
        events.append("fsync")
        fsync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_text(tmp_path / "file", "words")
    assert events == ["fsync", "rename", "fsync"]  # the last one is the folder's


def test_of_two_writers_at_once_each_writes_whole_files_and_the_last_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as first, replacing(path) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert path.read_bytes() == b"first"  # whose end came last
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_as_long_as_any_can_be_written_and_held(tmp_path: Path) -> None:
    path = tmp_path / ("\u00e9" * 127)  # 254 bytes
    with alone(path, "name another"):
        write_text(path, "words")
    assert path.read_text() == "words"
    assert list(tmp_path.iterdir()) == [path]


def test_text_keeps_file_names_that_are_not_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "list", "caf\u00e9 \udce9\n")
    assert (tmp_path / "list").read_bytes() == b"caf\xc3\xa9 \xe9\n"


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert sha256(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_a_fifo_a_device_a_socket_or_a_folder_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tmp_path / "socket"))
    kinds = {"fifo": "a FIFO", "link": "a FIFO", "socket": "a socket", "/dev/zero": "a device"}
    for name, kind in kinds.items():
        with pytest.raises(OSError, match=f"it is {kind}, not a regular file"):
            open_regular(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(OSError, match="longer than 4 bytes"):
        read_bounded(path, 4)
    os.truncate(path, 1 << 40)  # no byte of it is on the disk
    with pytest.raises(OSError, match="longer than 1,000 bytes"):
        read_bounded(path, 1000)


@pytest.mark.parametrize("number", [*REFUSALS, errno.EMLINK])
def test_where_hard_links_are_refused_a_second_name_is_a_copy_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "file").write_bytes(b"bytes")
    name_as_well(tmp_path / "file", tmp_path / "second")
    assert (tmp_path / "second").samefile(tmp_path / "file")
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(files, "_warned", set())
    for name in ("third", "fourth"):
        name_as_well(tmp_path / "file", tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"bytes"
    assert capsys.readouterr().err.count("hard links are refused here") == 1


def test_a_second_name_that_cannot_be_for_another_reason_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    with pytest.raises(FileNotFoundError):
        name_as_well(tmp_path / "file", tmp_path / "none" / "second")


def hold_folder(place: Path) -> AbstractContextManager[None]:
    return locked(place, f"{place} is in use")


def hold_file(place: Path) -> AbstractContextManager[None]:
    return alone(place, "name another file")


HOLDERS = pytest.mark.parametrize(
    ("hold", "busy"), [(hold_folder, "is in use"), (hold_file, "being written by another tsn: wait for it, or name")]
)


@HOLDERS
def test_what_is_held_is_refused_to_others_and_free_again_afterwards(
    tmp_path: Path, hold: Callable[[Path], AbstractContextManager[None]], busy: str
) -> None:
    place = tmp_path / "made" / "place"
    with hold(place):
        with pytest.raises(SettingsError, match=busy), hold(place):
            pass
        with hold(tmp_path / "made" / "another"):
            pass
    with hold(place):
        pass
    assert list(tmp_path.iterdir()) == []  # what was made and stayed empty has gone, the locks have


@HOLDERS
def test_what_is_held_has_one_holder_however_many_ask_at_once(
    tmp_path: Path, hold: Callable[[Path], AbstractContextManager[None]], busy: str
) -> None:
    """A lock's file goes with its holder: who opened it in that moment must not believe that he holds it."""
    inside, most, refused = 0, 0, 0
    counting = threading.Lock()

    def ask() -> None:
        nonlocal inside, most, refused
        for _ in range(100):
            try:
                with hold(tmp_path / "place"):
                    with counting:
                        inside += 1
                        most = max(most, inside)
                    time.sleep(0)
                    with counting:
                        inside -= 1
            except SettingsError:
                with counting:
                    refused += 1

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert 0 < refused < 800


def test_what_dead_writers_left_goes_when_their_folder_or_file_is_held_next(tmp_path: Path) -> None:
    left = f".{'0' * 32}{TEMPORARY}"
    (tmp_path / "part").mkdir()
    mine = [tmp_path / name for name in ("thesis.tmp", "a.tmp", f"{'0' * 31}.tmp")]
    others = [tmp_path / f"b{left}", tmp_path / f"ab{left}", tmp_path / f"part/c{left}"]
    for path in (*mine, *others, tmp_path / f"a{left}"):
        path.write_text("half")
    (tmp_path / files.LOCK).touch()  # a killed one's
    (tmp_path / ".lock").touch()  # of some other program
    with alone(tmp_path / "a", "name another"):
        assert sorted(tmp_path.rglob("*.tmp")) == sorted([*mine, *others])
    with locked(tmp_path, "busy", "part"):
        assert sorted(tmp_path.rglob("*.tmp")) == sorted(mine)
        (tmp_path / f"d{left}").touch()  # a lost worker's
    assert sorted(tmp_path.rglob("*.tmp")) == sorted(mine)
    assert (tmp_path / ".lock").exists()
    assert not (tmp_path / files.LOCK).exists()


@pytest.mark.parametrize("name", ["folder", "x" * 300])
def test_a_file_that_cannot_be_written_is_told_before_there_is_anything_to_write(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(SettingsError, match=r"cannot be written: .*: name another"),
        alone(tmp_path / name, "name another"),
    ):
        pytest.fail("it was let in")


@pytest.mark.parametrize("number", REFUSALS)
def test_where_locks_and_fsync_are_refused_writing_works_with_a_warning_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(files, "_warned", set())
    another = tmp_path / f"b.{'0' * 32}{TEMPORARY}"  # it may be at work: who knows
    another.touch()
    for _ in range(2):
        with locked(tmp_path, "busy"), alone(tmp_path / "file", "name another"):
            write_text(tmp_path / "file", "words")
    assert (tmp_path / "file").read_text() == "words"
    assert another.exists()
    said = capsys.readouterr().err
    assert said.count("locks are refused here") == said.count("fsync is refused here") == 1
    assert said.count("\n") == 2


@pytest.mark.parametrize("what", ["fcntl.flock", "os.fsync"])
def test_a_disk_that_fails_is_no_file_system_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(what, fail)
    with (
        pytest.raises(TsnError, match="Input/output error"),
        writing(tmp_path, "put that right"),
        locked(tmp_path / "held", "busy"),
    ):
        write_text(tmp_path / "held" / "file", "words")


def test_a_path_is_found_from_where_it_was_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    for path, base, found in (
        ("data", str(tmp_path), tmp_path / "data"),
        ("none", str(tmp_path), Path("none")),
        ("data", None, Path("data")),
        ("data", "x" * 5000, Path("data")),
        (str(tmp_path / "none"), str(tmp_path), tmp_path / "none"),
    ):
        assert found_from(Path(path), base) == found
    monkeypatch.chdir(tmp_path)
    assert found_from(Path("data"), str(tmp_path)) == Path("data")
