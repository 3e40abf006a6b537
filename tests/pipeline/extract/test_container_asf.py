"""ASF: payloads of every form in its packets, and a live broadcast, which states no end."""

import struct
from pathlib import Path

import pytest

from tests.pipeline.extract.media import FRAMES, TEST_PICTURE, declared_by, ffmpeg
from tsn.pipeline.extract import container_asf as module
from tsn.pipeline.extract.declared import CUT_PACKET

PACKET = 200


def asf(*packets: bytes, counted: int | None = None) -> bytes:
    """Return an ASF whose stream 2 is the video."""

    def part(kind: bytes, data: bytes) -> bytes:
        return kind + struct.pack("<Q", 24 + len(data)) + data

    file = part(module._FILE, bytes(64) + struct.pack("<III", 0, PACKET, PACKET) + bytes(4))
    streams = [
        part(module._STREAM, kind + bytes(16 + 16) + struct.pack("<H", number) + bytes(30))
        for number, kind in ((1, bytes(16)), (2, module._VIDEO), (3, module._VIDEO))
    ]
    inner = file + b"".join(streams)
    header = module.HEADER + struct.pack("<QI", 30 + len(inner), 4) + b"\1\2" + inner
    count = len(packets) if counted is None else counted
    data = module._DATA + struct.pack("<Q", 50 + PACKET * count) + bytes(16) + struct.pack("<Q", count) + b"\1\1"
    return header + data + b"".join(packet.ljust(PACKET, b"\0") for packet in packets)


def payload(stream: int, offset: int, data: bytes, *, sized: bool = True) -> bytes:
    fields = bytes([stream, 7]) + struct.pack("<I", offset) + b"\x08" + bytes(8)
    return fields + (struct.pack("<H", len(data)) if sized else b"") + data


def several(*payloads: bytes) -> bytes:
    """Return a packet of these, with two bytes of correction, and the padding's length in a byte."""
    count = bytes([0x80 | len(payloads)])
    body = b"".join(payloads)
    padding = PACKET - len(body) - 13
    return b"\x82\0\0" + b"\x09\x5d" + bytes([padding]) + bytes(6) + count + body


def one(body: bytes) -> bytes:
    return b"\x00\x5d" + bytes(6) + body.ljust(PACKET - 8, b"x")


@pytest.mark.parametrize(
    ("packets", "frames"),
    [
        ([several(payload(2, 0, b"begin"), payload(1, 0, b"sound")), several(payload(0x82, 5, b"rest"))], 1),
        ([several(payload(2, 0, b"one"), payload(0x82, 0, b"two"), payload(3, 0, b"of another"))], 2),
        ([one(payload(2, 0, b"", sized=False)), one(payload(2, 150, b"", sized=False))], 1),
        ([several(bytes([2, 7, 0, 0, 0, 0, 1, 40]) + struct.pack("<H", 8) + b"\3abc\3def")], 2),  # compressed
    ],
)
def test_the_frames_of_an_asf_are_the_objects_of_its_video(tmp_path: Path, packets: list[bytes], frames: int) -> None:
    found = declared_by(asf(*packets), tmp_path / "x.wmv")
    assert (found.frames, found.missing) == (frames, 0)


def test_where_packets_are_lost_as_many_frames_are_missing(tmp_path: Path) -> None:
    whole = several(payload(2, 0, b"picture"))
    assert declared_by(asf(*[whole] * 5, counted=10), tmp_path / "x.wmv").missing == 5 * PACKET
    zeros = declared_by(asf(*[whole] * 5, *[b""] * 5), tmp_path / "x.wmv")
    assert (zeros.frames, zeros.missing) == (10, 0)


def test_a_live_broadcast_states_no_end_and_shows_a_packet_that_is_cut(tmp_path: Path) -> None:
    live = ffmpeg(*TEST_PICTURE, "-c:v", "wmv2", "-f", "asf", "-")
    found = declared_by(live, tmp_path / "x.wmv")
    assert (found.frames, found.end, found.remark) == (FRAMES, None, "")
    found = declared_by(live[: len(live) // 2], tmp_path / "x.wmv")
    assert 0 < (found.frames or 0) < FRAMES
    assert (found.end, found.remark) == (None, CUT_PACKET)


@pytest.mark.parametrize("length", [0, (1 << 16) + 1, 0xFFFFFFFF])
def test_a_length_of_packets_that_nobody_writes_declares_nothing(tmp_path: Path, length: int) -> None:
    data = bytearray(asf(several(payload(2, 0, b"x"))))
    at = data.index(module._FILE) + 24 + 68
    data[at : at + 4] = struct.pack("<I", length)
    found = declared_by(bytes(data), tmp_path / "x.wmv")
    assert (found.frames, found.end) == (None, None)


def test_packets_of_endless_payloads_are_not_walked_to_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PARTS", 50)
    found = declared_by(asf(*[several(*[payload(1, 0, b"")] * 9)] * 9), tmp_path / "x.wmv")
    assert (found.frames, found.end) == (None, None)
