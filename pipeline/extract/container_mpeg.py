"""MPEG-TS and MPEG-PS: whether their last packet is whole. Neither says how long it is, nor how many frames it has."""

from tsn.pipeline.extract.declared import CUT_PACKET, MOST_PARTS, DeclaredLength, FileBytes

_SYNC = b"\x47"
_PACKETS = ((188, 0), (192, 4), (204, 0))
"""Bytes of a packet of MPEG-TS, and where in it the sync byte lies: plain, of cameras and discs, with correction."""

PACK = b"\0\0\1\xba"
_SYSTEM = 0xBB


def packet_of(head: bytes) -> int | None:
    """Return the bytes of a packet of MPEG-TS, if the first of a file are that."""
    for length, place in _PACKETS:
        if head[place::length][:3] == _SYNC * 3:
            return length
    return None


def read_ts(file: FileBytes) -> DeclaredLength:
    """Look whether the packets fill the file."""
    length = packet_of(file.read(0, 3 * _PACKETS[-1][0]))
    return DeclaredLength(size=file.size, remark=CUT_PACKET if length and file.size % length else "")


def read_ps(file: FileBytes) -> DeclaredLength:
    """Walk the packets, each of which states its length."""
    at = 0
    for _ in range(MOST_PARTS):
        head = file.read(at, 14)
        if head[:4] == PACK and len(head) >= 5:
            at += 14 + (head[-1] & 7) if head[4] & 0xC0 == 0x40 else 12
        elif head[:3] == PACK[:3] and len(head) >= 6 and head[3] >= _SYSTEM:
            at += 6 + int.from_bytes(head[4:6], "big")
        else:
            break
    return DeclaredLength(size=file.size, remark=CUT_PACKET if at > file.size else "")
