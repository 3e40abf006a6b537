"""ASF, which .wmv files are: the packets of its data, walked one by one. Frames are the objects of the video stream.

The header says how long a packet is, and the data where they end; a live broadcast does not. A packet that is none is
passed over, since all are of one length; where over a quarter are, as many frames a packet are missing.
"""

from dataclasses import dataclass
from uuid import UUID

from tsn.pipeline.extract.declared import CUT_PACKET, MOST_PARTS, DeclaredLength, FileBytes, frames_of_part


def _guid(text: str) -> bytes:
    return UUID(text).bytes_le


HEADER = _guid("75b22630-668e-11cf-a6d9-00aa0062ce6c")
_DATA = _guid("75b22636-668e-11cf-a6d9-00aa0062ce6c")
_INDEX = _guid("33000890-e5b1-11cf-89f4-00a0c90349cb")
_FILE = _guid("8cabdca1-a947-11cf-8ee4-00c00c205365")
_STREAM = _guid("b7dc0791-a9b7-11cf-8ee6-00c00c205365")
_VIDEO = _guid("bc19efc0-5b4d-11cf-a8fd-00805f5c442b")
_OBJECT, _DATA_HEADER, _LONGEST_PACKET = 24, 50, 1 << 16
_LIVE = 1
_WIDTHS = (0, 1, 2, 4)
"""Bytes of a number, by the two bits that announce it."""


@dataclass(kw_only=True)
class _Header:
    """What the header says: bytes of a packet, whether it is a live broadcast, and which stream is the video."""

    packet: int = 0
    live: bool = False
    video: int = 0


def read_asf(file: FileBytes) -> DeclaredLength:
    """Read the header's objects, and the packets of the data that follow it."""
    header, at = _Header(), 30
    for _ in range(MOST_PARTS):
        kind, length = file.read(at, 16), int.from_bytes(file.read(at + 16, 8), "little")
        if kind == _DATA or length < _OBJECT:
            break
        _learn(header, kind, file.read(at + _OBJECT, 80))
        at += length
    if kind != _DATA or not 0 < header.packet <= _LONGEST_PACKET:
        return DeclaredLength(size=file.size)
    stated = not header.live and length > _DATA_HEADER
    end = at + length if stated else None
    last = min(file.size, at + length) if stated else file.size
    frames, parts, read, lost, at = 0, 0, 0, 0, at + _DATA_HEADER
    while at + header.packet <= last:
        counted = _pictures(file.read(at, header.packet), header.video)
        if counted is None:
            lost, parts = lost + 1, parts + 1
        else:
            frames, parts, read = frames + counted[0], parts + counted[1] + 1, read + 1
        at += header.packet
        if parts > MOST_PARTS:
            return DeclaredLength(size=file.size)
    whole = at == end if stated else at == file.size or file.read(at, 16) == _INDEX
    frames = frames_of_part(frames, read_to=read, size=read + lost, claimed=0)
    return DeclaredLength(
        size=file.size,
        end=end,
        frames=frames or None if header.video and (whole or not stated) else None,
        remark="" if stated or whole else CUT_PACKET,
    )


def _learn(header: _Header, kind: bytes, data: bytes) -> None:
    """Take what one of the header's objects says; the first video is the one that counts."""
    if kind == _FILE:
        header.live = bool(int.from_bytes(data[64:68], "little") & _LIVE)
        header.packet = int.from_bytes(data[68:72], "little")
    elif kind == _STREAM and data[:16] == _VIDEO and not header.video:
        header.video = int.from_bytes(data[48:50], "little") & 0x7F


def _pictures(packet: bytes, video: int) -> tuple[int, int] | None:
    """Return how many pictures of the video begin in a packet, and its payloads; None where it is none."""
    at = 1 + (packet[0] & 0x0F) if packet[0] & 0x80 else 0  # past the correction of errors
    try:
        flags, widths = packet[at], packet[at + 1]
        at += 2
        fields = [_WIDTHS[flags >> shift & 3] for shift in (5, 1, 3)]
        length, _, padding = _numbers(packet, at, fields)
        at += sum(fields) + 6
        end = (length or len(packet)) - padding
        several = flags & 1
        count, of_length = (packet[at] & 0x3F, _WIDTHS[packet[at] >> 6]) if several else (1, 0)
        at += several
        pictures = 0
        for _ in range(count):
            stream = packet[at] & 0x7F
            fields = [_WIDTHS[widths >> shift & 3] for shift in (4, 2, 0)]
            _, offset, extra = _numbers(packet, at + 1, fields)
            at += 1 + sum(fields)
            compressed = extra == 1  # of several whole pictures, one after the other
            at += extra
            size = _numbers(packet, at, [of_length])[0] if several else end - at
            at += of_length
            if stream == video:
                pictures += _parts(packet[at : at + size]) if compressed else offset == 0
            at += size
    except IndexError:
        return None
    return (pictures, count + pictures) if widths and at <= len(packet) else None


def _numbers(data: bytes, at: int, widths: list[int]) -> list[int]:
    """Return numbers that lie one after the other."""
    found = []
    for width in widths:
        found.append(int.from_bytes(data[at : at + width], "little"))
        at += width
    return found


def _parts(data: bytes) -> int:
    """Count parts of which each begins with its length in a byte."""
    parts = at = 0
    while at < len(data):
        parts, at = parts + 1, at + 1 + data[at]
    return parts
