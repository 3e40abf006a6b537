"""Ogg: its pages, walked one by one. Frames are the packets of the first video stream that hold a picture.

The last page of a stream says that it is the last; how many there are, nothing says.
"""

from dataclasses import dataclass

from tsn.pipeline.extract.declared import MOST_PARTS, DeclaredLength, FileBytes, frames_of_part

MAGIC = b"OggS"
_HEADER = 27
_CONTINUED, _FIRST, _LAST = 1, 2, 4
_VP8 = b"OVP80"
_BEGINNINGS = (b"\x80theora", b"\1video", _VP8)
"""What the first packet of a video begins with: Theora's and OGM's headers have this bit set in their first byte."""


@dataclass(kw_only=True)
class _Stream:
    """The video stream: its number, how it began, its pictures so far, and whether its last page was there."""

    number: bytes = b""
    kind: bytes = b""
    frames: int = 0
    ended: bool = False


def read_ogg(file: FileBytes) -> DeclaredLength:
    """Walk the pages."""
    stream, at = _Stream(), 0
    for _ in range(MOST_PARTS):
        header = file.read(at, _HEADER + 255)
        if not (header and MAGIC.startswith(header[:4])):
            break
        lengths = header[_HEADER : _HEADER + header[_HEADER - 1]] if len(header) >= _HEADER else b""
        end = at + _HEADER + len(lengths) + sum(lengths)
        if end > file.size:  # of the frames in a page that is cut, nothing is known
            return DeclaredLength(size=file.size, end=end, frames=stream.frames if stream.ended else None)
        _read_page(file, at, header, lengths, stream)
        at = end
    else:
        return DeclaredLength(size=file.size)
    frames = stream.frames
    if not stream.ended:
        frames = frames_of_part(frames, read_to=at, size=file.size, claimed=0)
    return DeclaredLength(
        size=file.size,
        end=at,
        frames=(frames if stream.ended else frames or None) if stream.number else None,
        remark="" if stream.ended or not stream.number else "its last page is missing",
    )


def _read_page(file: FileBytes, at: int, header: bytes, lengths: bytes, stream: _Stream) -> None:
    """Count the pictures that end in a page, if it is of the video."""
    flags, number, begin = header[5], header[14:18], at + _HEADER + len(lengths)
    if flags & _FIRST and not stream.number:
        packet = file.read(begin, 8)
        stream.kind = next((kind for kind in _BEGINNINGS if packet.startswith(kind)), b"")
        stream.number = number if stream.kind else b""
    if number != stream.number:
        return
    size, begins = 0, not flags & _CONTINUED
    for place, length in enumerate(lengths, start=1):
        size += length
        if length < 255 or place == len(lengths):
            stream.frames += begins and size > 0 and _is_picture(file.read(begin, 5), stream.kind)
            begin, size, begins = begin + size, 0, True
    stream.ended |= bool(flags & _LAST)


def _is_picture(packet: bytes, kind: bytes) -> bool:
    """Say whether a packet that begins so is neither a header nor, in VP8, a picture that only others refer to."""
    if kind == _VP8:
        return not _VP8.startswith(packet) and bool(packet[:1] and packet[0] & 0x10)
    return bool(packet) and not packet[0] & kind[0]
