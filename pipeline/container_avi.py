"""AVI: its chunks, walked one by one. Frames are the chunks of the video stream that hold something.

An empty chunk shows the frame before it again and gives none. What the headers count is asked only where the walk is
stopped, by damage or because the file is cut off.
"""

import struct

from pipeline.promise import MOST_PARTS, FileBytes, Promise, frames_of_part

_LISTS = (b"AVI ", b"AVIX", b"hdrl", b"strl", b"movi", b"rec ")
_UNKNOWN = (0, 0xFFFFFFFF)
"""Sizes in a header whose writer could not seek back to fill them in."""

_NO_FRAMES = (b"pc", b"wb", b"tx")
"""Of a stream's chunks: its palettes, its sound, its titles."""


def read_avi(file: FileBytes) -> Promise:
    """Walk the RIFF parts, of which OpenDML files have several, and all lists within."""
    video, claimed, streams, frames = b"", 0, 0, 0
    at, end, movie_end = 0, 0, 0
    open_end = False
    for _ in range(MOST_PARTS):
        header = file.read(at, 12)
        kind, inner = header[:4], header[8:]
        if kind == b"RIFF" and len(header) == 12 and at >= end:
            length = _length(header)
            open_end = length in _UNKNOWN
            end = at + 8 + length
            if end < file.size:
                end += length % 2  # the last pad byte may be missing
            at += 12
        elif (at >= end and not open_end) or len(header) < 8 or not (kind.isascii() and kind.decode().isprintable()):
            break
        elif kind == b"LIST" and inner in _LISTS:
            if inner == b"movi":
                movie_end = at + 8 + _length(header)
            at += 12
        else:
            if kind == b"strh":
                stream = file.read(at + 8, 36)
                if stream[:4] == b"vids" and not video and len(stream) == 36:
                    video, claimed = b"%02d" % streams, struct.unpack_from("<I", stream, 32)[0]
                streams += 1
            frames += kind[:2] == video and kind[2:] not in _NO_FRAMES and _length(header) > 0
            at += 8 + _length(header) + _length(header) % 2
    else:
        return Promise(size=file.size)
    whole = at >= movie_end > 0 or open_end
    if not whole:
        claimed = 0 if claimed in _UNKNOWN else claimed
        frames = frames_of_part(frames, read_to=at, size=file.size, claimed=claimed)
    return Promise(size=file.size, end=None if open_end else end, frames=frames if video else None)


def _length(header: bytes) -> int:
    length: int = struct.unpack_from("<I", header, 4)[0]
    return length
