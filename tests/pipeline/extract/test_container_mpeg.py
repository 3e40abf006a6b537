"""MPEG-TS and MPEG-PS: nothing says how long they are, but a packet that is cut off shows."""

import struct
from pathlib import Path

import pytest

from tests.pipeline.extract.media import H264, TEST_PICTURE, declared_by, ffmpeg
from tsn.pipeline.extract.declared import CUT_PACKET, DeclaredLength


@pytest.mark.parametrize(("words", "packet"), [([], 188), (["-mpegts_m2ts_mode", "1"], 192)])
def test_packets_of_a_transport_stream_fill_it_or_the_last_is_cut_off(
    tmp_path: Path, words: list[str], packet: int
) -> None:
    data = ffmpeg(*TEST_PICTURE, *H264, *words, "-f", "mpegts", "-")
    assert len(data) % packet == 0
    assert declared_by(data, tmp_path / "x.ts") == DeclaredLength(size=len(data))
    assert declared_by(data[:-packet], tmp_path / "x.ts").remark == ""
    assert declared_by(data[:-1], tmp_path / "x.ts").remark == CUT_PACKET


def test_a_transport_stream_with_correction_of_errors_has_longer_packets(tmp_path: Path) -> None:
    data = (b"\x47" + bytes(203)) * 9
    assert declared_by(data, tmp_path / "x.ts").remark == ""
    assert declared_by(data[:-1], tmp_path / "x.ts").remark == CUT_PACKET


@pytest.mark.parametrize("kind", ["mpeg", "vob"])
def test_packets_of_a_program_stream_are_walked_to_its_end(tmp_path: Path, kind: str) -> None:
    data = ffmpeg(*TEST_PICTURE, "-c:v", "mpeg1video" if kind == "mpeg" else "mpeg2video", "-f", kind, "-")
    assert declared_by(data, tmp_path / "x.mpg") == DeclaredLength(size=len(data))
    assert declared_by(data + b"\0\0\1\xb9", tmp_path / "x.mpg").remark == ""  # the end code
    cuts = {declared_by(data[:length], tmp_path / "x.mpg").remark for length in (len(data) // 3, len(data) // 2 + 9)}
    assert CUT_PACKET in cuts


def test_packs_of_both_versions_and_their_stuffing_are_passed_over(tmp_path: Path) -> None:
    old, new = b"\0\0\1\xba\x21" + bytes(7), b"\0\0\1\xba\x44" + bytes(8) + b"\xfb" + b"\xff" * 3
    packet = b"\0\0\1\xe0" + struct.pack(">H", 4) + b"data"
    for pack in (old, new):
        whole = pack + b"\0\0\1\xbb\0\2ab" + packet * 2
        assert declared_by(whole, tmp_path / "x.mpg").remark == ""
        assert declared_by(whole[:-1], tmp_path / "x.mpg").remark == CUT_PACKET
