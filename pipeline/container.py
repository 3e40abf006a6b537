"""What a video's container promises, read from its own headers: where its file ends, and how many frames it counts.

ffmpeg plays a truncated file to its early end and calls that a success. The promise tells the two apart.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_UNKNOWN_32 = (0, 0xFFFFFFFF)
"""Sizes in a header whose writer could not seek back to fill them in."""

_MOST_PARTS = 10_000
"""Chunks or boxes that are walked before a file is taken for a malicious one."""

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


@dataclass(frozen=True, kw_only=True)
class Promise:
    """Where the file ends by its own account, in bytes, and its frames; None where the container does not say."""

    end: int | None = None
    frames: int | None = None


def read_promise(path: Path) -> Promise:
    """Read what AVI, MP4/MOV and Matroska/WebM files promise; of any other file, nothing."""
    with path.open("rb") as file:
        head = file.read(64)
        if head[:4] == b"RIFF":
            return Promise(end=_riff_end(file, path.stat().st_size), frames=_avi_frames(head))
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return Promise(end=_boxes_end(file))
        if head[:4] == _EBML.to_bytes(4, "big"):
            return Promise(end=_segment_end(head))
    return Promise()


def _riff_end(file: BinaryIO, size: int) -> int | None:
    """Walk the RIFF chunks, of which OpenDML files have a row; the last pad byte may be missing."""
    end = 0
    for _ in range(_MOST_PARTS):
        file.seek(end)
        header = file.read(8)
        if header[:4] != b"RIFF" or len(header) < 8:
            return end  # whatever follows is not the container's
        (length,) = struct.unpack("<I", header[4:])
        if length in _UNKNOWN_32:
            return None
        end += 8 + length
        if end < size:
            end += length % 2
    return None


def _avi_frames(head: bytes) -> int | None:
    """Return dwTotalFrames of the main header, which stands first in every AVI."""
    if len(head) < 52 or head[8:12] != b"AVI " or head[24:28] != b"avih":
        return None
    frames: int = struct.unpack_from("<I", head, 48)[0]
    return frames if frames not in _UNKNOWN_32 else None


def _boxes_end(file: BinaryIO) -> int | None:
    """Walk the top-level boxes of an MP4 or MOV file."""
    end = 0
    for _ in range(_MOST_PARTS):
        file.seek(end)
        header = file.read(16)
        if len(header) < 8 or not header[4:8].isascii():
            return end
        (length,) = struct.unpack(">I", header[:4])
        if length == 1 and len(header) == 16:
            (length,) = struct.unpack(">Q", header[8:])
        if length < 8:  # 0: to the end of the file
            return None
        end += length
    return None


def _segment_end(head: bytes) -> int | None:
    """Return the end of a Matroska file's segment, which follows the EBML header."""
    ebml = _element(head, 0)
    segment = _element(head, ebml[1] + ebml[2]) if ebml and ebml[2] is not None else None
    if segment is None or segment[0] != _SEGMENT or segment[2] is None:
        return None
    return segment[1] + segment[2]


def _element(data: bytes, at: int) -> tuple[int, int, int | None] | None:
    """Return an EBML element's id, where its data begin, and their length (None: unknown)."""
    if at + 1 > len(data) or data[at] == 0:
        return None
    width = 9 - data[at].bit_length()
    start = at + width
    if start + 1 > len(data) or data[start] == 0:
        return None
    of_length = 9 - data[start].bit_length()
    if start + of_length > len(data):
        return None
    length = int.from_bytes(data[start : start + of_length], "big") & ((1 << 7 * of_length) - 1)
    unknown = length == (1 << 7 * of_length) - 1
    return int.from_bytes(data[at:start], "big"), start + of_length, None if unknown else length
