"""What a video's container declares, and a way to read it that believes no length: what all readers share."""

import os
from dataclasses import dataclass

MOST_PARTS = 1_000_000
"""Chunks, boxes or elements that are walked before a file is taken for a malicious one: three hours of video."""

REST = 0.25
"""Share of a file that, read by nobody, says that something is lost; less may be a tag, or bytes that fill a block."""

CUT_PACKET = "its last packet is cut off"

_PIECE = 1 << 15
_MOST_ZEROS = 1 << 30


@dataclass(frozen=True, kw_only=True)
class DeclaredLength:
    """Of a file of `size` bytes: where it ends by its own account, at least, and the frames that are to be shown.

    None where its container does not say, or cannot be read to its end. A `remark` is what shows that it may be cut
    off, where nothing says how much is missing; '' mostly.
    """

    size: int
    end: int | None = None
    frames: int | None = None
    remark: str = ""

    @property
    def missing(self) -> int:
        """Bytes that the container counts and the file does not have."""
        return max(0, (self.end or 0) - self.size)


class FileBytes:
    """The bytes of an open file, wherever it was left: fewer than asked for at its end. A walk reads it in pieces."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self._begin, self._piece = 0, b""

    def read(self, at: int, count: int) -> bytes:
        """Return up to `count` bytes that begin at byte `at`."""
        start = at - self._begin
        if not 0 <= start <= len(self._piece) - count:
            if at >= self.size:
                return b""
            self._begin, start = at, 0
            self._piece = os.pread(self._descriptor, max(count, _PIECE), at)
        return self._piece[start : start + count]


def zeros_at_end(file: FileBytes) -> int:
    """Return the byte from which on a file holds nothing but zeros, of which a bounded number is looked at."""
    at = file.size
    while at > 0 and file.size - at < _MOST_ZEROS:
        begin = max(0, at - _PIECE)
        if there := file.read(begin, at - begin).rstrip(b"\0"):
            return begin + len(there)
        at = begin
    return at


def frames_of_part(counted: int, *, read_to: int, size: int, claimed: int) -> int:
    """Return the frames of a file that could be counted only to some byte: `claimed` by its header (0: unknown).

    Without a claim the rest holds as many a byte, where it is too large to be nobody's.
    """
    if claimed:
        return max(counted, claimed)
    return counted * size // max(read_to, 1) if size - read_to > REST * size else counted
