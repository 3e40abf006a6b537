"""MP4 and MOV: samples that are hidden, empty or beyond the end of the file, and boxes that lie."""

import struct
from pathlib import Path

import pytest

from tests.pipeline.extract.media import FRAMES, declared, declared_by, ffmpeg


def test_a_box_that_is_a_little_too_long_misses_nothing(containers: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(containers["index_first.mp4"].read_bytes())
    at = data.index(b"mdat") - 4
    data[at : at + 4] = struct.pack(">I", struct.unpack(">I", data[at : at + 4])[0] + 8)
    assert declared_by(bytes(data), tmp_path / "x.mp4").missing == 0


def test_an_index_that_counts_more_than_its_file_holds_misses_it(containers: dict[str, Path], tmp_path: Path) -> None:
    data = containers["index_first.mp4"].read_bytes()
    for sound_only in (True, False):
        ends = declared(containers["index_first.mp4"]).end or 0
        found = declared_by(data[: ends if sound_only else ends - 1], tmp_path / "x.mp4")
        assert (found.frames, found.missing) == (FRAMES, 0 if sound_only else 1)


def test_a_sample_that_holds_nothing_is_no_frame(containers: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(containers["index_last.mp4"].read_bytes())
    at = data.index(b"stsz") + 16 + 3 * 4
    data[at : at + 4] = bytes(4)
    assert declared_by(bytes(data), tmp_path / "x.mp4").frames == FRAMES - 1


@pytest.mark.parametrize("start", ["0.1", "0.44", "0.5"])
def test_samples_that_an_edit_list_hides_are_not_counted(
    containers: dict[str, Path], start: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.mp4"
    ffmpeg("-ss", start, "-i", str(containers["index_last.mp4"]), "-t", "0.3", "-c", "copy", str(path))
    shown = len(ffmpeg("-i", str(path), "-fps_mode", "passthrough", "-f", "rawvideo", "-")) // (64 * 48 * 3 // 2)
    assert declared(path).frames == shown
    data = path.read_bytes()
    assert struct.unpack_from(">I", data, data.index(b"stsz") + 12)[0] > shown


def test_tables_that_claim_what_is_not_there_take_no_memory(containers: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(containers["index_first.mp4"].read_bytes())
    for kind in (b"stsz", b"stts", b"stsc", b"stco", b"ctts", b"elst"):
        at = data.find(kind)
        if at > 0:
            data[at + 8 : at + 16] = b"\xff" * 8
            declared_by(bytes(data), tmp_path / "x.mp4")
    at = data.index(b"stsz")
    data[at + 8 : at + 16] = struct.pack(">II", 1, 4_000_001)
    assert declared_by(bytes(data), tmp_path / "x.mp4").frames is None
