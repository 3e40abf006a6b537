"""Matroska and WebM: their elements, walked one by one. Frames are the blocks of the first video track.

Where the walk is stopped among the clusters, by damage or because the file is cut off, the duration and the rate that
the header gives say how many there were.
"""

import struct
from dataclasses import dataclass

from tsn.pipeline.extract.declared import MOST_PARTS, DeclaredLength, FileBytes, frames_of_part

EBML = 0x1A45DFA3
_SEGMENT, _CLUSTER, _GROUP, _SIMPLE_BLOCK, _BLOCK = 0x18538067, 0x1F43B675, 0xA0, 0xA3, 0xA1
_INFO, _TRACKS, _TRACK = 0x1549A966, 0x1654AE6B, 0xAE
_ENTERED = (_SEGMENT, _INFO, _TRACKS, _CLUSTER, _GROUP)
_AFTER_CLUSTERS = (0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469)
"""Cues, tags, chapters, attachments: one that follows a cluster says that all clusters are whole."""

_SCALE, _DURATION = 0x2AD7B1, 0x4489
_NUMBER, _TYPE, _FRAME_NANOSECONDS, _CODEC, _VIDEO = 0xD7, 0x83, 0x23E383, 0x86, 1
_VP8 = b"V_VP8"
_LONGEST_TRACK = 1 << 20
_HEADER = 12
"""Bytes of an element's id and length, at most."""


@dataclass(kw_only=True)
class _Header:
    """What the header says: nanoseconds a tick and a frame, ticks in all, and which track is the video."""

    scale: int = 1_000_000
    ticks: float = 0.0
    nanoseconds: int = 0
    track: int = 0
    codec: bytes = b""

    @property
    def frames(self) -> int:
        """Frames by duration and rate; 0 where one is unknown."""
        length = self.ticks * self.scale
        return round(length / self.nanoseconds) if self.nanoseconds and 0 < length < 1e18 else 0


def read_matroska(file: FileBytes) -> DeclaredLength:
    """Walk the segment."""
    header, frames, last, after = _Header(), 0, 0, False
    end: int | None = None
    at = 0
    for _ in range(MOST_PARTS):
        element = _element(file.read(at, _HEADER))
        if element is None:
            break
        last, skipped, length = element
        begin = at + skipped
        if last == _SEGMENT:
            end = None if length is None else begin + length
        after |= last in _AFTER_CLUSTERS and frames > 0
        if last in (_SIMPLE_BLOCK, _BLOCK):
            frames += _is_frame(file.read(begin, 16), header)
        elif last in (_TRACK, _SCALE, _DURATION):
            _learn(header, last, file.read(begin, min(length or 0, _LONGEST_TRACK)))
        if last in _ENTERED:
            at = begin
        elif length is None:
            break
        else:
            at = begin + length
    else:
        return DeclaredLength(size=file.size)
    whole = after or at == (file.size if end is None else end)
    if not whole:
        frames = frames_of_part(frames, read_to=min(at, file.size), size=file.size, claimed=header.frames)
    return DeclaredLength(size=file.size, end=end, frames=frames if header.track else None)


def _is_frame(block: bytes, header: _Header) -> bool:
    """Say whether a block is of the video, and shows a picture: VP8 has some that only others refer to."""
    number = _number(block, 0)
    if number is None or number[1] != header.track:
        return False
    data = block[number[0] + 3 :]  # past the time and the flags
    return not (header.codec == _VP8 and data and not data[0] & 0x10)


def _learn(header: _Header, kind: int, data: bytes) -> None:
    """Take what one of the header's elements says."""
    if kind == _SCALE:
        header.scale = int.from_bytes(data[:8], "big")
    elif kind == _DURATION:
        header.ticks = _float(data)
    elif not header.track:
        _read_track(data, header)


def _read_track(data: bytes, header: _Header) -> None:
    """Take what a track entry says, if it is a video's."""
    found: dict[int, bytes] = {}
    at = 0
    while (element := _element(data[at : at + _HEADER])) is not None and element[2] is not None:
        begin = at + element[1]
        found[element[0]] = data[begin : begin + element[2]]
        at = begin + element[2]
    if int.from_bytes(found.get(_TYPE, b""), "big") == _VIDEO:
        header.track = int.from_bytes(found.get(_NUMBER, b""), "big")
        header.nanoseconds = int.from_bytes(found.get(_FRAME_NANOSECONDS, b""), "big")
        header.codec = found.get(_CODEC, b"")


def _float(data: bytes) -> float:
    number: float = struct.unpack(">f" if len(data) == 4 else ">d", data)[0] if len(data) in (4, 8) else 0.0
    return number


def _element(data: bytes) -> tuple[int, int, int | None] | None:
    """Return an element's id, the bytes that id and length take, and its length, None where it is unknown.

    None where no element begins there.
    """
    if not data or data[0] < 0x10:
        return None
    width = 9 - data[0].bit_length()
    length = _number(data, width)
    if length is None:
        return None
    after, value = length
    unknown = value == (1 << 7 * (after - width)) - 1
    return int.from_bytes(data[:width], "big"), after, None if unknown else value


def _number(data: bytes, at: int) -> tuple[int, int] | None:
    """Return where a number of variable length ends, and the number."""
    if at >= len(data) or data[at] == 0:
        return None
    width = 9 - data[at].bit_length()
    if at + width > len(data):
        return None
    return at + width, int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
