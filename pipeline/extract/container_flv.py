"""FLV: its tags, walked one by one. Frames are the video tags that hold a picture.

Where the walk is stopped, by damage or because the file is cut off, the rate and the time that is missing of the
duration say how many there were. Metadata may state the size of the file as well; a live stream states neither.
"""

import struct

from tsn.pipeline.extract.declared import MOST_PARTS, DeclaredLength, FileBytes, frames_of_part

_TAG, _AFTER = 11, 4
"""Bytes of a tag's header, and of the length that follows each tag."""

_AUDIO, _VIDEO, _SCRIPT = 8, 9, 18
_COMMAND = 5
_LIKE_H264 = (7, 12)
"""Codecs whose tags say whether they hold a picture (1), or else a header or an end."""

_EXTENDED_PICTURES = (1, 3)
_LONGEST_METADATA = 1 << 16
_NUMBER, _BOOLEAN, _STRING, _DATE = 0, 1, 2, 11


def read_flv(file: FileBytes) -> DeclaredLength:
    """Walk the tags."""
    facts: dict[bytes, float] = {}
    frames, end, last = 0, 0, 0
    at = int.from_bytes(file.read(5, 4), "big") + _AFTER
    for _ in range(MOST_PARTS):
        header = file.read(at, _TAG + 2)
        kind, length = header[:1], int.from_bytes(header[1:4], "big")
        if len(header) >= _TAG and kind[0] & 0x1F not in (_AUDIO, _VIDEO, _SCRIPT):
            break
        end = at + max(_TAG, _TAG + length)
        if end > file.size or at >= file.size:
            break
        if kind[0] & 0x1F == _SCRIPT and not facts:
            facts = _metadata(file.read(at + _TAG, min(length, _LONGEST_METADATA)))
        if kind[0] & 0x1F == _VIDEO and length > 0 and _is_picture(header[_TAG:]):
            frames, last = frames + 1, int.from_bytes(header[7:8] + header[4:7], "big")
        at = end + _AFTER
    else:
        return DeclaredLength(size=file.size)
    stated = _whole(facts.get(b"filesize", 0))
    size = max(file.size, stated)
    if at in (size, stated):
        return DeclaredLength(size=file.size, end=at, frames=frames or None)
    duration, rate = (max(0.0, facts.get(key, 0.0)) for key in (b"duration", b"framerate"))
    after = _whole((duration - last / 1000) * rate) - 1  # the last picture has a time of its own
    claimed = frames + max(0, after) if duration * rate else 0
    cut = at < file.size < end
    counted = frames_of_part(frames, read_to=min(at, file.size), size=size, claimed=claimed)
    return DeclaredLength(
        size=file.size, end=max(size, end if cut else 0), frames=None if cut and not claimed else counted or None
    )


def _is_picture(video: bytes) -> bool:
    """Say whether a video tag that begins with these two bytes holds a picture."""
    if video[0] & 0x80:  # the extended form, for HEVC, AV1 and VP9
        return video[0] & 0x0F in _EXTENDED_PICTURES
    return video[0] >> 4 != _COMMAND and (video[0] & 0x0F not in _LIKE_H264 or video[1:2] == b"\1")


def _whole(value: float) -> int:
    return round(value) if 0 < value < 1e18 else 0


def _metadata(data: bytes) -> dict[bytes, float]:
    """Return the numbers that `onMetaData` gives, up to the first value that is more than a word or a number."""
    found: dict[bytes, float] = {}
    at = 3 + int.from_bytes(data[1:3], "big") + 5  # past the name, and the count of values
    while at + 3 <= len(data):
        begin = at + 2 + int.from_bytes(data[at : at + 2], "big")
        key, kind, begin = data[at + 2 : begin], data[begin : begin + 1], begin + 1
        if kind == bytes([_NUMBER]) and begin + 8 <= len(data):
            found[key] = struct.unpack_from(">d", data, begin)[0]
            at = begin + 8
        elif kind == bytes([_BOOLEAN]):
            at = begin + 1
        elif kind == bytes([_STRING]):
            at = begin + 2 + int.from_bytes(data[begin : begin + 2], "big")
        elif kind == bytes([_DATE]):
            at = begin + 10
        else:
            break
    return found
