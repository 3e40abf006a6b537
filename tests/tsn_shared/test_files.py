import errno
import hashlib
import os
import socket
from pathlib import Path

import pytest

from tsn_shared import files
from tsn_shared.errors import SettingsError, TsnError
from tsn_shared.files import TEMPORARY, name_as_well, open_regular, read_bounded, replacing, sha256, write_text, writing


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
    with pytest.raises(TsnError) as raised, writing(tmp_path, "set another", ", then", also=ValueError):
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


@pytest.mark.parametrize(
    "number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL, errno.EMLINK]
)
def test_where_hard_links_are_refused_a_second_name_is_a_copy_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "file").write_bytes(b"bytes")
    name_as_well(tmp_path / "file", tmp_path / "second")
    assert (tmp_path / "second").samefile(tmp_path / "file")
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(files, "_told", set())
    for name in ("third", "fourth"):
        name_as_well(tmp_path / "file", tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"bytes"
    assert capsys.readouterr().err.count("hard links are refused here") == 1


def test_a_second_name_that_cannot_be_for_another_reason_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    with pytest.raises(FileNotFoundError):
        name_as_well(tmp_path / "file", tmp_path / "none" / "second")
