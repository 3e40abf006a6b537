import errno
import hashlib
import os
from pathlib import Path

import pytest

from tsn_shared.errors import SettingsError, TsnError
from tsn_shared.files import TEMPORARY, replacing, sha256, write_text, writing


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
