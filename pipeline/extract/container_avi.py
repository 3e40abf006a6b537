"""AVI: its chunks, walked one by one. Frames are the chunks of the video stream that hold something.

An empty chunk shows the frame before it again and gives none. What the headers count is asked only where the walk is
stopped, by damage or because the file is cut off.
"""

from dataclasses import dataclass

from tsn.pipeline.extract.declared import MOST_PARTS, DeclaredLength, FileBytes, frames_of_part

_LISTS = (b"AVI ", b"AVIX", b"hdrl", b"strl", b"movi", b"rec ")
_UNKNOWN = (0, 0xFFFFFFFF)
"""Sizes in a header whose writer could not seek back to fill them in."""

_NO_FRAMES = (b"pc", b"wb", b"tx")
"""Of a stream's chunks: its palettes, its sound, its titles."""


def read_avi(file: FileBytes) -> DeclaredLength:
    """Walk the RIFF parts, of which OpenDML files have several, and all lists within."""
    movie = _Movie()
    at, end, endless = 0, 0, False
    for _ in range(MOST_PARTS):
        header = file.read(at, 12)
        kind, length = header[:4], int.from_bytes(header[4:8], "little")
        if kind[:2] == movie.stream and len(header) >= 8:
            movie.frames += length > 0 and kind[2:] not in _NO_FRAMES
            at += 8 + length + length % 2
        elif kind == b"RIFF" and len(header) == 12 and at >= end:
            endless = length in _UNKNOWN
            end = file.size if endless else at + 8 + length
            if end < file.size:
                end += length % 2  # the last pad byte may be missing
            at += 12
        elif at >= end or len(header) < 8 or not (kind.isascii() and kind.decode().isprintable()):
            break
        elif kind == b"LIST" and header[8:] in _LISTS:
            if header[8:] == b"movi":
                movie.end = file.size if length in _UNKNOWN else at + 8 + length
            at += 12
        else:
            if kind == b"strh":
                movie.learn(file.read(at + 8, 36))
            at += 8 + length + length % 2
    else:
        return DeclaredLength(size=file.size)
    frames = movie.frames
    if not at >= movie.end > 0:
        frames = frames_of_part(frames, read_to=at, size=file.size, claimed=movie.claimed)
    return DeclaredLength(size=file.size, end=None if endless else end, frames=frames if movie.stream else None)


@dataclass(kw_only=True)
class _Movie:
    """What is known of the video: its stream's number as chunks have it, frames by the header and so far, its end."""

    stream: bytes = b""
    claimed: int = 0
    frames: int = 0
    end: int = 0
    _streams: int = 0

    def learn(self, stream: bytes) -> None:
        """Take a stream's header; the first video is the one that counts."""
        if stream[:4] == b"vids" and not self.stream and len(stream) == 36:
            claimed = int.from_bytes(stream[32:], "little")
            self.stream, self.claimed = b"%02d" % self._streams, 0 if claimed in _UNKNOWN else claimed
        self._streams += 1
