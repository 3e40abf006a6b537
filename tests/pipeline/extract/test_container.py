"""What real files of every container declare, whole and spoilt in the ways that people report."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.extract.media import FRAMES, KINDS, avi, chunk, declared, declared_by
from tsn.pipeline.extract.container_asf import HEADER
from tsn.pipeline.extract.declared import DeclaredLength


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_file_counts_its_frames_and_misses_nothing(containers: dict[str, Path], name: str) -> None:
    found = declared(containers[name])
    assert found.frames == FRAMES
    assert found.missing == 0
    if not name.endswith(("mp4", "mov", "wmv", "asf")):  # which end with their last picture, whatever follows
        assert found.end == found.size


@pytest.mark.parametrize("name", KINDS)
def test_a_file_cut_anywhere_in_its_body_lacks_bytes_or_its_index(
    containers: dict[str, Path], name: str, tmp_path: Path
) -> None:
    whole = containers[name].read_bytes()
    end = declared(containers[name]).end or 0
    for length in range(end // 2, end, max(1, end // 20)):
        found = declared_by(whole[:length], tmp_path / "cut")
        between = name.endswith(("mp4", "ogv", "live.flv")) and found.end == length  # two parts: no sign of a cut
        assert found.missing > 0 or between
        assert found.frames is None or between or name.endswith("mp4") or found.frames >= FRAMES


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_file_whose_end_never_came_counts_the_frames_that_should_be_there(
    containers: dict[str, Path], name: str, share: float, tmp_path: Path
) -> None:
    """A download of known size leaves zeros where nothing came."""
    whole = containers[name].read_bytes()
    there = int(len(whole) * share)
    found = declared_by(whole[:there] + bytes(len(whole) - there), tmp_path / "zeros")
    if name in ("index_last.mp4", "prores.mov"):
        assert found.frames is None  # there is no index: such a file does not open
    elif "fragments" in name or name.endswith(("gif", "live.flv", "wmv", "asf")):
        assert (found.frames or 0) * 0.75 > share * FRAMES  # nothing counts them: the rest has as many a byte
    elif not name.endswith("ogv"):  # whose pages are as long as this second
        assert FRAMES <= (found.frames or 0) <= FRAMES + 2  # a header may count the time of one more, or two


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("tail", [b"TAG".ljust(128), b"<!-- made by a tool -->", bytes(100), b"\xff\xfe\xfd" * 40])
def test_bytes_after_the_container_are_nobodys(
    containers: dict[str, Path], name: str, tail: bytes, tmp_path: Path
) -> None:
    found = declared_by(containers[name].read_bytes() + tail, tmp_path / "tail")
    assert (found.frames, found.missing) == (FRAMES, 0)


@pytest.mark.parametrize("name", KINDS)
def test_a_file_cut_in_its_first_header_is_read_and_declares_what_it_can(
    containers: dict[str, Path], name: str, tmp_path: Path
) -> None:
    whole = containers[name].read_bytes()
    for length in range(65):
        assert declared_by(whole[:length], tmp_path / "cut").frames is None


def test_files_of_other_kinds_declare_nothing(tmp_path: Path) -> None:
    for head in (b"RIFF\x64\0\0\0WAVEfmt ", b"\x47" * 188, b"\0\0\1\xb3", b"#EXTM3U\n", b""):
        assert declared_by(head + b"x" * 100, tmp_path / "x") == DeclaredLength(size=len(head) + 100)


def test_zeros_where_a_download_never_came_are_missing_where_nothing_else_says_so(tmp_path: Path) -> None:
    data = b"a stream of some kind" * 9
    found = declared_by(data + bytes(len(data)), tmp_path / "x")
    assert (found.size, found.missing, found.frames) == (len(data), len(data), None)
    assert declared_by(data + bytes(len(data) // 4), tmp_path / "x").missing == 0
    assert declared_by(bytes(99), tmp_path / "x") == DeclaredLength(size=99)


def test_an_empty_file_declares_and_misses_nothing(tmp_path: Path) -> None:
    found = declared_by(b"", tmp_path / "x")
    assert (found, found.missing) == (DeclaredLength(size=0), 0)


def test_a_file_of_endless_parts_is_not_walked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("asf", "avi", "flv", "gif", "matroska", "mp4", "mpeg", "ogg"):
        monkeypatch.setattr(f"tsn.pipeline.extract.container_{kind}.MOST_PARTS", 50)
    boxes = struct.pack(">I4s", 8, b"free") * 100
    elements = bytes.fromhex("1a45dfa3 80 18538067 01ffffffffffffff") + bytes.fromhex("ec80") * 100
    tags = b"FLV\1\1\0\0\0\t\0\0\0\0" + (b"\x08" + bytes(10) + b"\0\0\0\x0b") * 100
    images = b"GIF89a" + bytes(7) + b"\x21\xff\0" * 100
    pages = (b"OggS\0\0" + bytes(20) + b"\0") * 100
    packs = (b"\0\0\1\xba\x44" + bytes(9)) * 100
    headers = HEADER + bytes(14) + (bytes(16) + struct.pack("<Q", 24)) * 100
    for data in (avi(chunk(b"01dc", b"picture") * 100), boxes, elements, tags, images, pages, packs, headers):
        assert declared_by(data, tmp_path / "x") == DeclaredLength(size=len(data))


@pytest.mark.parametrize("name", KINDS)
def test_whatever_is_damaged_there_is_an_answer(
    containers: dict[str, Path], name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = containers[name].read_bytes()
    path = tmp_path_factory.mktemp("damage") / "any"

    @given(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.binary(min_size=1, max_size=8)), max_size=6))
    def answers(spots: list[tuple[int, bytes]]) -> None:
        data = bytearray(whole)
        for at, spot in spots:
            data[at : at + len(spot)] = spot
        found = declared_by(bytes(data), path)
        assert found.frames is None or found.frames >= 0
        assert found.end is None or found.end >= 0

    answers()


BEGINNINGS = (
    b"RIFF\x60\0\0\0AVI ", b"\x1a\x45\xdf\xa3", b"\0\0\0\x08ftyp", b"FLV\1\5\0\0\0\t\0\0\0\0",
    HEADER, b"OggS", b"GIF89a", b"\0\0\1\xba", b"",
)  # fmt: skip


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=200))
def test_whatever_the_bytes_are_there_is_an_answer(
    tmp_path_factory: pytest.TempPathFactory, a: bytes, b: bytes
) -> None:
    found = declared_by(a + b, tmp_path_factory.getbasetemp() / "any")
    assert found.size + found.missing >= len(a + b) >= found.size
