"""What tests of several rooms make for themselves: small shards, lists, and a reading of what was said."""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tsn.tsn_shared.shards import ShardTables, shard_name, write_shard

SETTINGS = {"size": "340x256", "quality": 2}


def tables_of(
    videos: Mapping[str, Sequence[bytes]],
    *,
    failures: Sequence[tuple[str, str]] = (),
    settings: Mapping[str, object] = SETTINGS,
) -> tuple[ShardTables, bytes]:
    """Return the tables and the payload of a shard of these videos, given as their frames' bytes."""
    frames = [frame for video in videos.values() for frame in video]
    count = len(videos)
    tables = ShardTables(
        settings=dict(settings),
        names=tuple(videos),
        first_frame=np.cumsum([0, *map(len, videos.values())], dtype=np.int64),
        width=np.full(count, 340, dtype=np.int32),
        height=np.full(count, 256, dtype=np.int32),
        fps=np.full(count, 25.0),
        notes=("",) * count,
        offset=np.cumsum([0, *map(len, frames)], dtype=np.int64),
        crc32=np.array([zlib.crc32(frame) for frame in frames], dtype=np.uint32),
        failures=tuple(failures),
    )
    return tables, b"".join(frames)


def make_shard(
    path: Path,
    videos: Mapping[str, Sequence[bytes]],
    *,
    failures: Sequence[tuple[str, str]] = (),
    settings: Mapping[str, object] = SETTINGS,
) -> Path:
    """Write a shard of these videos and return its path."""
    tables, payload = tables_of(videos, failures=failures, settings=settings)
    write_shard(path, tables, [payload])
    return path


def make_shards(folder: Path, names: Sequence[str], *, a_shard: int = 4, frames: int = 3) -> Path:
    """Write shards of these videos, each of `frames` frames whose bytes are the video's own; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(names), a_shard)):
        videos = {name: frames_of(name, frames) for name in names[start : start + a_shard]}
        make_shard(folder / shard_name(number), videos)
    return folder


def frames_of(name: str, count: int) -> list[bytes]:
    """Return bytes that stand for the frames of a video: no picture, but a JPEG's header, and no two the same."""
    return [jpeg_header() + f"{name} frame {number}".encode("utf-8", "surrogateescape") for number in range(count)]


def jpeg_header(width: int = 340, height: int = 256) -> bytes:
    """Return what a JPEG of this size begins with, up to the segment that states it."""
    size = height.to_bytes(2) + width.to_bytes(2)
    return b"\xff\xd8\xff\xc0\x00\x11\x08" + size + b"\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"


def write_list(path: Path, *lines: str, end: str = "\r\n") -> Path:
    """Write a list of videos, with the line ends of UCF101's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def seal_by_hand(path: Path, *, first_line: str = "tsn-frames 1", payload: tuple[int, int] = (0, 0)) -> Path:
    """Give an HDF5 file with a user block a valid seal, as the format says and without the code under test."""
    body = bytearray(path.read_bytes())
    rest = body[512 : payload[0]] + body[payload[1] :] if payload[1] else body[512:]
    text = f"{first_line}\npayload {payload[0]} {payload[1]}\nsha256 {hashlib.sha256(rest).hexdigest()}\n"
    body[:512] = text.encode().ljust(512, b"\0")
    path.write_bytes(body)
    return path
