"""FLV: tags of every codec, and what the metadata says where the tags are not all there."""

import struct
from pathlib import Path

import pytest

from tests.pipeline.extract.media import FRAMES, declared, declared_by


def tag(kind: int, data: bytes, *, time: int = 0) -> bytes:
    header = struct.pack(">B", kind) + len(data).to_bytes(3) + time.to_bytes(4)[1:] + time.to_bytes(4)[:1] + bytes(3)
    return header + data + (11 + len(data)).to_bytes(4)


def flv(*tags: bytes, **facts: float) -> bytes:
    """Return an FLV of these tags; facts become metadata, after a word and a date that come first."""
    numbers = b"".join(
        key.encode().join((len(key).to_bytes(2), b"\0" + struct.pack(">d", facts[key]))) for key in facts
    )
    others = b"\0\x04word\x02\0\x05\0\0abc" + b"\0\x03yes\x01\x01" + b"\0\x04date\x0b" + bytes(10)
    metadata = tag(18, b"\x02\0\x0aonMetaData\x08\0\0\0\x09" + others + numbers + b"\0\0\x09")
    return b"FLV\1\5" + (9).to_bytes(4) + bytes(4) + metadata + b"".join(tags)


PICTURE, SOUND = tag(9, b"\x12data"), tag(8, b"sound")


@pytest.mark.parametrize(
    ("tags", "frames"),
    [
        ([PICTURE, SOUND, PICTURE], 2),
        ([tag(9, b"\x17\0head"), tag(9, b"\x17\1data"), tag(9, b"\x27\1data"), tag(9, b"\x17\2")], 2),  # H.264
        ([tag(9, b"\x90hvc1"), tag(9, b"\x91hvc1data"), tag(9, b"\xa3hvc1data"), tag(9, b"\x92hvc1")], 2),  # extended
        ([tag(9, b"\x52\0"), tag(9, b""), tag(0x29, b"\x12data")], 1),  # a command, nothing, and one that is filtered
    ],
)
def test_the_frames_of_an_flv_are_its_tags_that_hold_a_picture(tmp_path: Path, tags: list[bytes], frames: int) -> None:
    found = declared_by(flv(*tags), tmp_path / "x.flv")
    assert (found.frames, found.missing) == (frames, 0)


def test_a_cut_between_two_tags_shows_by_the_size_that_metadata_states(tmp_path: Path) -> None:
    tags = [tag(9, b"\x12data", time=40 * number) for number in range(10)]
    size = len(flv(*tags, filesize=0, duration=0, framerate=0))
    part = flv(*tags[:6], filesize=size, duration=0.4, framerate=25)
    found = declared_by(part, tmp_path / "x.flv")
    assert (found.frames, found.missing) == (10, size - len(part))
    without = flv(*tags[:6])
    assert (declared_by(without, tmp_path / "x.flv").frames, declared(tmp_path / "x.flv").missing) == (6, 0)


@pytest.mark.parametrize("filesize", [1.0, -5.0, 1e300, float("inf"), float("nan")])
def test_a_size_or_a_duration_that_cannot_be_loses_nothing(tmp_path: Path, filesize: float) -> None:
    data = flv(PICTURE * 3, filesize=filesize, duration=filesize, framerate=25)
    found = declared_by(data, tmp_path / "x.flv")
    assert (found.frames, found.missing) == (3, 0)


def test_a_size_that_is_a_little_too_large_misses_bytes_but_no_frame(tmp_path: Path) -> None:
    tags = [tag(9, b"\x12data", time=40 * number) for number in range(10)]
    size = len(flv(*tags, filesize=0, duration=0, framerate=0)) + 8
    found = declared_by(flv(*tags, filesize=size, duration=0.4, framerate=25), tmp_path / "x.flv")
    assert (found.frames, found.missing) == (10, 8)


def test_a_live_stream_that_ends_within_a_tag_lacks_its_rest(containers: dict[str, Path], tmp_path: Path) -> None:
    data = containers["live.flv"].read_bytes()
    assert declared_by(data[:-1], tmp_path / "x").frames == FRAMES  # of the length after the last tag
    found = declared_by(data[:-10], tmp_path / "x")
    assert (found.frames, found.missing > 0) == (None, True)
