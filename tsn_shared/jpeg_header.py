"""What a JPEG says of itself before its data: looked at before any decoder does, since few bytes can state much."""

from dataclasses import dataclass

_START = b"\xff\xd8"
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive JPEG by Huffman's code; nothing else is written by cameras or decoded by all."""

_OTHERS = frozenset({*range(0xC3, 0xD0), *range(0xD0, 0xDB)} - {0xC4, 0xCC})
"""Markers that may not come before the frame's: of other processes, restarts, start, end and scans."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """Width and height in pixels, and the bytes up to the end of the segment that states them."""

    width: int
    height: int
    bytes: int


def read_header(jpeg: bytes) -> Header | None:
    """Return what a JPEG of 8 bits a sample states; None where it is something else."""
    if not jpeg.startswith(_START):
        return None
    at = len(_START)
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:  # any number of them may come before a marker
            at += 1
            continue
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        if marker in _FRAMES:
            fits = at + 10 <= end <= len(jpeg) and jpeg[at + 4] == 8
            height, width = int.from_bytes(jpeg[at + 5 : at + 7]), int.from_bytes(jpeg[at + 7 : at + 9])
            return Header(width=width, height=height, bytes=end) if fits else None
        if marker in _OTHERS or marker == 0 or end < at + 4:
            return None
        at = end
    return None
