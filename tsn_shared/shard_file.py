"""Reading frames from a shard: by plain reads, free of HDF5 and its lock, and by clip.

A shard's tables are checked once, when it is first met. What is kept of them is a few bytes a video, so that a reader
can know thousands of shards: of the long tables, which have a row a frame, it keeps where they lie, and reads the rows
of the frames that are asked for. An open shard is a file descriptor, so opening one again costs next to nothing.
"""

import os
import struct
import weakref
import zlib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsn.tsn_shared import hdf5
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.jpeg_header import read_header
from tsn.tsn_shared.shards import AGAIN, KIND, ShardTables, damage, read_tables, tables_of, unlike

MOST_KNOWN, LONGEST_KNOWN = 64, 4096
"""Headers of JPEGs that are remembered, one a size, and their bytes."""


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """Which file it is, and in which state: nothing of it is checked again while this stays the same."""

    device: int
    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, file: int) -> "Stamp":
        """Return the stamp of an open file."""
        status = os.fstat(file)
        return cls(
            device=status.st_dev, inode=status.st_ino, size=status.st_size, changed_ns=max(status.st_mtime_ns, 0)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardIndex:
    """What is kept of a shard whose tables were checked: its videos, (V + 1,) and (V,), and where the rest lies."""

    sha256: str
    stamp: Stamp
    first_frame: npt.NDArray[np.int64]
    width: npt.NDArray[np.int32]
    height: npt.NDArray[np.int32]
    payload: tuple[int, int]
    offsets_at: int
    crc32_at: int

    @property
    def videos(self) -> int:
        """How many videos the shard holds, V."""
        return len(self.width)

    def frames(self, video: int) -> int:
        """Return how many frames a video has, given by its row."""
        return int(self.first_frame[video + 1] - self.first_frame[video])


def read_index(path: Path, stamp: Stamp) -> ShardIndex:
    """Check the whole of a shard's tables and return what is kept; DataError says what is wrong with them."""
    with hdf5.opened(path, KIND) as file:
        tables, offsets_at, crc32_at = tables_of(file), hdf5.offset_of(file, "frame/offset"), 0
        if len(tables.crc32):
            crc32_at = hdf5.offset_of(file, "frame/crc32")
    seal = hdf5.read_seal(path, KIND)
    return ShardIndex(
        sha256=seal.sha256,
        stamp=stamp,
        first_frame=tables.first_frame,
        width=tables.width,
        height=tables.height,
        payload=seal.payload,
        offsets_at=offsets_at,
        crc32_at=crc32_at,
    )


class Shard:
    """An open shard: which videos it holds, and the JPEG bytes of its frames.

    It reads and maps no memory: where the file was cut off or its disk fails, a read raises an error that has words,
    while a memory map ends the process.
    """

    def __init__(self, path: Path, index: ShardIndex | None = None) -> None:
        """Open a shard; `index` is what was kept of it, and saves checking it again while the file is the same."""
        self.path = path
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
        weakref.finalize(self, os.close, self._file)
        stamp = Stamp.of(self._file)
        if index is None or index.stamp != stamp:
            index = read_index(path, stamp)
        self.index = index
        self._pictures = Pictures(index)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)  # no read-around: frames are drawn at random

    @property
    def sha256(self) -> str:
        """The shard's identity: what its seal states."""
        return self.index.sha256

    @cached_property
    def tables(self) -> ShardTables:
        """All of the shard's tables, read and checked when they are asked for."""
        return read_tables(self.path)

    def will_need(self, frames: Iterable[int]) -> None:
        """Tell the kernel to start reading these frames, given by their number in the shard."""
        for frame in frames:
            start, stop = self._span(frame)
            os.posix_fadvise(self._file, start, stop - start, os.POSIX_FADV_WILLNEED)

    def read(self, frame: int) -> npt.NDArray[np.uint8]:
        """Return the JPEG of a frame, given by its number in the shard; its CRC32 and its size are checked."""
        start, stop = self._span(frame)
        jpeg = self._bytes(start, stop - start, frame)
        (crc32,) = struct.unpack("<I", self._bytes(self.index.crc32_at + 4 * frame, 4, frame))
        if zlib.crc32(jpeg) != crc32:
            raise DataError(damage(self.path, self.tables, frame, frame))
        if not self._pictures.fits(frame, jpeg):
            raise DataError(unlike(self.path, self.tables, frame, frame))
        return np.frombuffer(jpeg, dtype=np.uint8)

    def _span(self, frame: int) -> tuple[int, int]:
        """Return where a frame's bytes lie in the file."""
        row = self._bytes(self.index.offsets_at + 8 * frame, 16, frame)
        start, stop = struct.unpack("<qq", row)
        first, last = self.index.payload
        if not 0 <= start < stop <= last - first:  # it was not so when the tables were checked
            raise DataError(f"{self.path} was changed while it was read: {AGAIN}")
        return first + start, first + stop

    def _bytes(self, start: int, count: int, frame: int) -> bytes:
        """Read bytes of a frame, or of its row in a table; too few are there only where the file was cut off."""
        try:
            data = os.pread(self._file, count, start)
        except OSError as error:
            raise DataError(f"{damage(self.path, self.tables, frame, frame)} ({error.strerror})") from None
        if len(data) != count:
            raise DataError(f"{self.path} became shorter while it was read: {AGAIN}")
        return data


class Pictures:
    """Whether frames are what the tables say: JPEGs of their video's size, the only thing that is given to a decoder.

    Frames of one encoder begin alike, so nearly all are known by the first bytes of the one before.
    """

    def __init__(self, videos: ShardIndex | ShardTables) -> None:
        self._first = videos.first_frame.tolist()  # of lists, which cost the loader a tenth of what arrays do
        self._sizes = list(zip(videos.width.tolist(), videos.height.tolist(), strict=True))
        self._known: dict[tuple[int, int], bytes] = {}

    def fits(self, frame: int, jpeg: bytes) -> bool:
        """Return whether this JPEG has the size of the video that a frame of the shard belongs to."""
        size = self._sizes[bisect_right(self._first, frame) - 1]
        known = self._known.get(size)
        if known is not None and jpeg.startswith(known):
            return True
        header = read_header(jpeg)
        if header is None or (header.width, header.height) != size:
            return False
        if header.bytes <= LONGEST_KNOWN and (size in self._known or len(self._known) < MOST_KNOWN):
            self._known[size] = jpeg[: header.bytes]
        return True
