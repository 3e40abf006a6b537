"""AVI: chunks of every kind, several parts, sizes that were never filled in."""

import struct
from pathlib import Path

import pytest

from tests.pipeline.extract.media import avi, chunk, declared_by
from tsn.pipeline.extract.declared import DeclaredLength

FULL, EMPTY = chunk(b"01dc", b"picture"), chunk(b"01dc", b"")


@pytest.mark.parametrize(
    ("movie", "frames"),
    [
        (FULL * 3, 3),
        (FULL + EMPTY * 9 + FULL, 2),  # an empty chunk shows the picture before it again
        (FULL + chunk(b"00wb", b"sound") + chunk(b"01pc", b"palette") + chunk(b"ix01", bytes(24)) + FULL, 2),
        (chunk(b"LIST", b"rec " + FULL + chunk(b"00wb", b"sound")) * 2 + FULL, 3),
        (b"", 0),
    ],
)
def test_the_frames_of_an_avi_are_its_chunks_that_hold_something(tmp_path: Path, movie: bytes, frames: int) -> None:
    found = declared_by(avi(movie, claimed=1000), tmp_path / "x.avi")
    assert (found.frames, found.missing) == (frames, 0)


def test_an_avi_of_several_parts_counts_all_and_ends_with_the_last(tmp_path: Path) -> None:
    data = avi(FULL * 2, more=(FULL * 3, FULL))
    assert declared_by(data, tmp_path / "x.avi") == DeclaredLength(size=len(data), end=len(data), frames=6)
    assert declared_by(data[:-10], tmp_path / "x.avi").missing == 10


def test_parts_of_an_avi_begin_at_even_bytes_and_the_last_pad_may_be_missing(tmp_path: Path) -> None:
    odd = avi(FULL * 2) + b"JUNK\1\0\0\0x"
    part = odd[:4] + struct.pack("<I", len(odd) - 8) + odd[8:]
    assert declared_by(part, tmp_path / "x.avi") == DeclaredLength(size=len(part), end=len(part), frames=2)
    both = part + b"\0" + chunk(b"RIFF", b"AVIX" + chunk(b"LIST", b"movi" + FULL * 3))
    assert declared_by(both, tmp_path / "x.avi") == DeclaredLength(size=len(both), end=len(both), frames=5)


@pytest.mark.parametrize(("claimed", "frames"), [(9, 9), (1, 4), (0, 8), (0xFFFFFFFF, 8)])
def test_where_an_avi_is_damaged_its_header_counts_and_without_one_its_bytes(
    tmp_path: Path, claimed: int, frames: int
) -> None:
    data = avi(FULL * 4 + bytes(len(FULL) * 4), claimed=claimed)
    body = len(data) - 8 * len(FULL)
    filled = avi(FULL * 4 + bytes(body + len(FULL) * 4), claimed=claimed)  # as many bytes unread as read
    found = declared_by(filled, tmp_path / "x.avi").frames or 0
    assert abs(found - frames) <= (0 if claimed in (9, 1) else 1)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_size_that_was_never_filled_in_declares_no_end(tmp_path: Path, size: int) -> None:
    data = avi(FULL * 3)
    found = declared_by(data[:4] + struct.pack("<I", size) + data[8:], tmp_path / "x.avi")
    assert (found.end, found.frames) == (None, 3)
    at = data.index(b"movi") - 4
    found = declared_by(data[:at] + struct.pack("<I", size) + data[at + 4 :], tmp_path / "x.avi")
    assert (found.missing, found.frames) == (0, 3)
