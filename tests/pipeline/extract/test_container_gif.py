"""GIF: blocks and tables of every kind, and what is left where the file ends before its trailer."""

from pathlib import Path

import pytest

from tests.pipeline.extract.media import declared_by

HEAD = b"GIF89a" + bytes([4, 0, 4, 0, 0, 0, 0])
COLOURED = b"GIF87a" + bytes([4, 0, 4, 0, 0x81, 0, 0]) + bytes(12)
DATA = b"\2" + b"\3abc" + b"\1d" + b"\0"
IMAGE = b"\x2c" + bytes(8) + b"\0" + DATA
IMAGE_WITH_COLOURS = b"\x2c" + bytes(8) + b"\x80" + bytes(6) + DATA
EXTENSION = b"\x21\xff" + b"\x0bNETSCAPE2.0" + b"\3\1\0\0" + b"\0"


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (HEAD + IMAGE * 3, 3),
        (COLOURED + EXTENSION + IMAGE + b"\x21\xf9\4\0\0\0\0\0" + IMAGE_WITH_COLOURS + EXTENSION, 2),
        (HEAD + EXTENSION, 0),
    ],
)
def test_the_frames_of_a_gif_are_its_images(tmp_path: Path, data: bytes, frames: int) -> None:
    found = declared_by(data + b"\x3b", tmp_path / "x.gif")
    assert (found.frames, found.missing) == (frames, 0)
    assert declared_by(data + b"\x3bmore", tmp_path / "x.gif") == declared_by(data + b"\x3bless", tmp_path / "x.gif")


def test_without_its_trailer_a_gif_misses_a_byte_and_cut_within_an_image_its_frames(tmp_path: Path) -> None:
    data = COLOURED + EXTENSION + IMAGE * 2
    found = declared_by(data, tmp_path / "x.gif")
    assert (found.frames, found.missing) == (2, 1)
    for lacking in range(1, len(IMAGE)):
        found = declared_by(data[:-lacking], tmp_path / "x.gif")
        assert found.frames is None
        assert found.missing > 0
