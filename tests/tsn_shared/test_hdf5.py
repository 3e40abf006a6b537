import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import seal_by_hand
from tsn.tsn_shared import hdf5
from tsn.tsn_shared.errors import DataError

KIND = hdf5.Kind(name="tsn-test", version=3, payload="bytes")
LINE = "tsn-test 3"


def fill(file: h5py.File) -> None:
    file.create_dataset("bytes", data=np.arange(200, dtype=np.uint8))
    file.create_dataset("table/number", data=np.arange(5))
    file.create_dataset("table/name", data=hdf5.encode_names(["a", "bc"]))
    file.attrs["words"] = "some words"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    hdf5.create(tmp_path / "file.h5", KIND, fill)
    return tmp_path / "file.h5"


def hostile(path: Path, build: Callable[[h5py.File], None]) -> Path:
    """Write what `build` makes as a finished file with a valid seal."""
    with h5py.File(path, "w", userblock_size=512, libver=("v110", "v110")) as file:
        file.create_dataset("bytes", data=np.zeros(0, dtype=np.uint8))
        build(file)
        file.attrs["complete"] = True
    return seal_by_hand(path, first_line=LINE)


def test_user_block_is_readable_by_hand_and_the_seal_is_sha256_of_the_rest(path: Path) -> None:
    first = path.read_bytes()
    lines = first[:512].rstrip(b"\0").decode().splitlines()
    start, stop = map(int, lines[1].split()[1:])
    assert lines[0] == LINE
    assert first[start:stop] == bytes(range(200))
    seal_by_hand(path, first_line=LINE, payload=(start, stop))
    assert path.read_bytes() == first
    assert hdf5.read_seal(path, KIND) == hdf5.Seal(payload=(start, stop), sha256=lines[2].split()[1])


def test_what_was_written_is_read(path: Path) -> None:
    with hdf5.opened(path, KIND) as file:
        assert hdf5.column(file, "table/number", np.int64).tolist() == [0, 1, 2, 3, 4]
        assert hdf5.decode_names(hdf5.column(file, "table/name", "S", rows=2)) == ("a", "bc")
        assert hdf5.text_attribute(file, "words") == "some words"


def test_same_content_written_seconds_apart_gives_the_same_bytes(path: Path) -> None:
    time.sleep(1.1)  # HDF5 stores times in whole seconds
    again = path.with_name("again.h5")
    hdf5.create(again, KIND, fill)
    assert again.read_bytes() == path.read_bytes()


@given(st.lists(st.binary(max_size=40).filter(lambda name: b"\0" not in name), max_size=10))
def test_names_keep_every_byte(names: list[bytes]) -> None:
    texts = [os.fsdecode(name) for name in names]
    assert hdf5.decode_names(hdf5.encode_names(texts)) == tuple(texts)


def test_failed_write_leaves_the_old_file_and_no_other(path: Path) -> None:
    before = path.read_bytes()

    def broken(file: h5py.File) -> None:
        fill(file)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        hdf5.create(path, KIND, broken)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


FILES_UP_TO = """
import resource, sys
from pathlib import Path
from tests.tsn_shared.test_hdf5 import KIND, fill
from tsn.tsn_shared import hdf5
path, whole = Path(sys.argv[1]), int(sys.argv[2])
for size in range(0, whole, 200):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        hdf5.create(path, KIND, fill)
    except OSError as error:
        assert error.strerror == "File too large", error
        assert not list(path.parent.iterdir())
    else:
        raise SystemExit(f"{size} bytes were enough")
"""


def test_a_file_that_does_not_fit_is_an_error_wherever_it_ends_and_leaves_nothing(path: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    words = [sys.executable, "-c", FILES_UP_TO, str(tmp_path / "empty" / "file.h5"), str(path.stat().st_size)]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("moment", ["filling", "before the seal"])
def test_killed_writer_leaves_no_readable_file(tmp_path: Path, moment: str) -> None:
    script = """
import os, signal, sys
from pathlib import Path
import numpy as np
from tsn.tsn_shared import hdf5

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def fill(file):
    file.create_dataset("bytes", data=np.arange(200, dtype=np.uint8))
    file.flush()
    if sys.argv[2] == "filling":
        die()

hdf5._digest = die
hdf5.create(Path(sys.argv[1]), hdf5.Kind(name="tsn-test", version=3, payload="bytes"), fill)
"""
    path = tmp_path / "file.h5"
    done = subprocess.run([sys.executable, "-c", script, str(path), moment], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    (left,) = tmp_path.iterdir()
    with pytest.raises(DataError, match="not a finished tsn-test file"), hdf5.opened(left, KIND):
        pass


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a finished tsn-test file"),
        (b"RIFF" + bytes(600), "not a finished tsn-test file"),
        (b"tsn-test 4\npayload 0 0\n".ljust(600, b"\0"), "is tsn-test 4, this tsn reads version 3"),
        (b"tsn-test 3\npayload 0\n".ljust(600, b"\0"), "first 512 bytes are damaged"),
        (f"{LINE}\npayload 0 0\nsha256 {'0' * 64}\n".encode().ljust(512, b"\0"), "SHA-256 differs"),
    ],
)
def test_foreign_files_are_refused_with_their_reason(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file.h5"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words), hdf5.opened(path, KIND):
        pass


def test_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        hdf5.read_seal(tmp_path / "none.h5", KIND)


def test_sealed_file_that_is_no_hdf5_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    path.write_bytes(bytes(2000))
    with (
        pytest.raises(DataError, match="cannot be read as HDF5"),
        hdf5.opened(seal_by_hand(path, first_line=LINE), KIND),
    ):
        pass


def test_file_without_its_last_mark_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "file.h5", "w", userblock_size=512) as file:
        fill(file)
        start = file["bytes"].id.get_offset()
    path = seal_by_hand(tmp_path / "file.h5", first_line=LINE, payload=(start, start + 200))
    with pytest.raises(DataError, match="never finished"), hdf5.opened(path, KIND):
        pass


def test_seal_that_leaves_the_tables_out_is_refused(path: Path) -> None:
    """A seal over nothing holds for every content: the payload must be where the file says that it is."""
    seal_by_hand(path, first_line=LINE, payload=(512, path.stat().st_size))
    with pytest.raises(DataError, match="payload is not where the file says"), hdf5.opened(path, KIND):
        pass


def test_payload_inside_the_object_header_is_refused(tmp_path: Path) -> None:
    """A compact data set has no place in the file that could be read past HDF5."""

    def build(file: h5py.File) -> None:
        del file["bytes"]
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.COMPACT)
        data = h5py.h5d.create(file.id, b"bytes", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple((300,)), layout)
        data.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones(300, dtype=np.uint8))

    with pytest.raises(DataError, match="no bytes of its own"), hdf5.opened(hostile(tmp_path / "f.h5", build), KIND):
        pass


def external_link(file: h5py.File) -> None:
    file["column"] = h5py.ExternalLink("secret.h5", "/column")


def external_group(file: h5py.File) -> None:
    file["group"] = h5py.ExternalLink("secret.h5", "/")


def external_storage(file: h5py.File) -> None:
    file.create_dataset("column", shape=(4,), dtype=np.int64, external=[("secret.bin", 0, 32)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype=np.int64)
    layout[:] = h5py.VirtualSource("secret.h5", "column", shape=(4,))
    file.create_virtual_dataset("column", layout)


def soft_link(file: h5py.File) -> None:
    file["target"] = np.arange(4)
    file["column"] = h5py.SoftLink("/target")


def soft_group(file: h5py.File) -> None:
    file["real/column"] = np.arange(4)
    file["group"] = h5py.SoftLink("/real")


def chunked(file: h5py.File) -> None:
    file.create_dataset("column", data=np.arange(4), chunks=(2,), compression="gzip")


def absurd(file: h5py.File) -> None:
    file.create_dataset("column", shape=(1 << 37,), dtype=np.int64)  # a terabyte, in a file of some kilobytes


def absurd_names(file: h5py.File) -> None:
    file.create_dataset("column", shape=(1 << 20,), dtype="S1048576")


def never_written(file: h5py.File) -> None:
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    h5py.h5d.create(file.id, b"column", h5py.h5t.NATIVE_INT32, h5py.h5s.create_simple((4,)), layout)


def wrong_type(file: h5py.File) -> None:
    file["column"] = np.arange(4, dtype=np.float64)


def two_dimensions(file: h5py.File) -> None:
    file["column"] = np.zeros((2, 2), dtype=np.int64)


def a_group(file: h5py.File) -> None:
    file.create_group("column")


def too_few_rows(file: h5py.File) -> None:
    file["column"] = np.arange(3)


def absent(file: h5py.File) -> None:
    file["other"] = np.arange(4)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (external_link, "column"),
        (external_group, "group/column"),
        (external_storage, "column"),
        (virtual, "column"),
        (soft_link, "column"),
        (soft_group, "group/column"),
        (chunked, "column"),
        (never_written, "column"),
        (wrong_type, "column"),
        (two_dimensions, "column"),
        (a_group, "column"),
        (too_few_rows, "column"),
        (absent, "column"),
    ],
)
def test_hostile_column_with_a_valid_seal_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: Callable[[h5py.File], None], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with h5py.File("secret.h5", "w") as file:
        file["column"] = np.arange(4)
    Path("secret.bin").write_bytes(np.arange(4).tobytes())
    path = hostile(tmp_path / "file.h5", build)
    with hdf5.opened(path, KIND) as file, pytest.raises(DataError, match=r"refused|missing|not a plain"):
        hdf5.column(file, name, np.int64, rows=4)


@pytest.mark.parametrize(("build", "wanted"), [(absurd, np.int64), (absurd_names, "S")])
def test_a_column_that_declares_more_than_its_file_holds_is_refused_before_it_is_read(
    tmp_path: Path, build: Callable[[h5py.File], None], wanted: npt.DTypeLike
) -> None:
    words = r"declares 1\d{12} bytes, more than its file holds: refused"
    with hdf5.opened(hostile(tmp_path / "file.h5", build), KIND) as file, pytest.raises(DataError, match=words):
        hdf5.plain_dataset(file, "column", wanted)


def opaque(file: h5py.File, name: str) -> None:
    file.attrs[name] = np.void(b"\1\1")


def a_time(file: h5py.File, name: str) -> None:
    h5py.h5a.create(file.id, name.encode(), h5py.h5t.UNIX_D32LE, h5py.h5s.create(h5py.h5s.SCALAR))


def many(file: h5py.File, name: str) -> None:
    file.attrs[name] = np.ones(3, dtype=np.bool_)


def a_number(file: h5py.File, name: str) -> None:
    file.attrs[name] = 1


@pytest.mark.parametrize("build", [opaque, a_time, many, a_number])
def test_a_mark_that_is_no_mark_is_refused_in_a_line(tmp_path: Path, build: Callable[[h5py.File, str], None]) -> None:
    with h5py.File(tmp_path / "file.h5", "w", userblock_size=512, libver=("v110", "v110")) as file:
        file.create_dataset("bytes", data=np.zeros(0, dtype=np.uint8))
        build(file, "complete")
    path = seal_by_hand(tmp_path / "file.h5", first_line=LINE)
    with pytest.raises(DataError, match=r"never finished|complete is"), hdf5.opened(path, KIND):
        pass


def test_an_attribute_of_absurd_size_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hostile(tmp_path / "file.h5", lambda file: file.attrs.create("words", np.bytes_("x" * 1000)))
    monkeypatch.setattr(hdf5, "MOST_ATTRIBUTE", 999)
    with (
        hdf5.opened(path, KIND) as file,
        pytest.raises(DataError, match=r"attribute words is 1000 bytes in \(\) values"),
    ):
        hdf5.text_attribute(file, "words")


def test_a_size_that_cannot_be_set_is_the_error_of_the_file(tmp_path: Path) -> None:
    """HDF5 must not see it, which crashes where it cannot close a file; who asked for the file must."""
    with pytest.raises(OSError, match="Invalid argument"), hdf5._disk(tmp_path / "file") as disk:
        assert disk.truncate(-1) == -1


def test_hdf5_takes_no_lock_of_its_own(path: Path) -> None:
    """Some file systems refuse it, and a finished file needs none."""
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with hdf5.opened(path, KIND) as file:
            assert hdf5.text_attribute(file, "words") == "some words"


@pytest.mark.parametrize("value", [None, 7, np.arange(3), h5py.Empty("S4")])
def test_attribute_that_is_no_text_is_refused(tmp_path: Path, value: object) -> None:
    def build(file: h5py.File) -> None:
        if value is not None:
            file.attrs["words"] = value

    with hdf5.opened(hostile(tmp_path / "file.h5", build), KIND) as file, pytest.raises(DataError, match="words is"):
        hdf5.text_attribute(file, "words")
