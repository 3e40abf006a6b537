"""Frame shards, format 1: one HDF5 file with the JPEG frames of up to some tens of videos.

    /jpeg               uint8 (bytes)   every frame's JPEG, back to back, contiguous in the file
    /frame/offset       int64 (F + 1)   where frame f's JPEG begins in /jpeg
    /frame/crc32        uint32 (F)      of each frame's JPEG
    /video/name         bytes (V)       Class/v_Class_g01_c01
    /video/first_frame  int64 (V + 1)   frames of video v are first_frame[v] to first_frame[v + 1] - 1
    /video/width, /video/height int32 (V), /video/fps float64 (V)    of the stored frames; fps 0 where unknown
    /video/note         bytes (V)       what a person should know of the video, mostly empty
    /failure/name, /failure/reason bytes (U)   the videos of this shard's slice that gave no frames
    attributes          format, version, settings (JSON), fingerprint, complete

Readers take the tables once and read JPEG bytes past HDF5, at the offset of /jpeg in the file.
"""

import hashlib
import json
import os
import weakref
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from tsn_shared import hdf5
from tsn_shared.console import printable
from tsn_shared.errors import DataError

KIND = hdf5.Kind(name="tsn-frames", version=1, payload="jpeg")
PATTERN = "frames-*.h5"


def shard_name(index: int) -> str:
    """Return the file name of the shard with this number."""
    return f"frames-{index:05d}.h5"


def fingerprint(settings: dict[str, Any]) -> str:
    """Return a digest of the settings that decide a shard's bytes."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardTables:
    """All of a shard but its JPEG bytes: V videos, F frames, and the videos that failed as (name, reason)."""

    settings: dict[str, Any]
    names: tuple[str, ...]
    first_frame: npt.NDArray[np.int64]
    width: npt.NDArray[np.int32]
    height: npt.NDArray[np.int32]
    fps: npt.NDArray[np.float64]
    notes: tuple[str, ...]
    offset: npt.NDArray[np.int64]
    crc32: npt.NDArray[np.uint32]
    failures: tuple[tuple[str, str], ...]

    @property
    def frames(self) -> npt.NDArray[np.int64]:
        """Frames of each video, (V,)."""
        return np.diff(self.first_frame)

    def video_of(self, frame: int) -> int:
        """Return the row of the video that a frame of the shard belongs to."""
        return int(np.searchsorted(self.first_frame, frame, side="right")) - 1


def write_shard(path: Path, tables: ShardTables, jpeg: Iterable[bytes]) -> None:
    """Write a shard whole. `jpeg` gives its `tables.offset[-1]` bytes in blocks, which are not held."""

    def fill(file: h5py.File) -> None:
        total, end = int(tables.offset[-1]), 0
        data = file.create_dataset("jpeg", shape=(total,), dtype=np.uint8)
        for block in jpeg:
            begin, end = end, end + len(block)
            data[begin:end] = np.frombuffer(block, dtype=np.uint8)
        if end != total:
            raise ValueError(f"{path}: {end} of the {total} bytes of frames are there")
        for name, array in _columns(tables).items():
            file.create_dataset(name, data=array)
        file.attrs["settings"] = json.dumps(tables.settings, sort_keys=True)
        file.attrs["fingerprint"] = fingerprint(tables.settings)

    hdf5.create(path, KIND, fill)


def read_tables(path: Path) -> ShardTables:
    """Read and check a shard's tables; DataError says what is wrong with them."""
    with hdf5.opened(path, KIND) as file:
        return _tables(file)


class Shard:
    """An open shard: its tables, and its JPEG bytes by plain reads, free of HDF5 and its lock.

    Reads and no memory map: where the file was cut off or its disk fails, a read is an error that can be told, a map
    ends the process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with hdf5.opened(path, KIND) as file:
            self.tables = _tables(file)
        seal = hdf5.read_seal(path, KIND)
        self.sha256 = seal.sha256
        self._start = seal.payload[0]
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)  # no read-around: frames are drawn at random

    def will_need(self, frames: Iterable[int]) -> None:
        """Tell the kernel to start reading these frames, given by their number in the shard."""
        for frame in frames:
            start, stop = self._span(frame)
            os.posix_fadvise(self._file, start, stop - start, os.POSIX_FADV_WILLNEED)

    def read(self, frame: int) -> npt.NDArray[np.uint8]:
        """Return the JPEG of a frame, given by its number in the shard; its CRC32 is checked."""
        start, stop = self._span(frame)
        try:
            jpeg = os.pread(self._file, stop - start, start)
        except OSError as error:
            raise DataError(f"{damage(self.path, self.tables, frame, frame)} ({error.strerror})") from None
        if zlib.crc32(jpeg) != self.tables.crc32[frame]:
            raise DataError(damage(self.path, self.tables, frame, frame))
        return np.frombuffer(jpeg, dtype=np.uint8)

    def _span(self, frame: int) -> tuple[int, int]:
        offset = self.tables.offset
        return self._start + int(offset[frame]), self._start + int(offset[frame + 1])


def damage(path: Path, tables: ShardTables, first: int, last: int) -> str:
    """Say that frames `first` to `last` of a shard, all of one video, are not those that were written."""
    video = tables.video_of(first)
    start = int(tables.first_frame[video])
    frames = f"frame {first - start}" if first == last else f"frames {first - start} to {last - start}"
    return (
        f"{path}: damaged data in video {printable(tables.names[video])}, {frames} (CRC32): "
        "delete this shard and run extract-frames again"
    )


def find_shards(folder: Path) -> list[Path]:
    """Return the shards of a folder in order."""
    return sorted(folder.glob(PATTERN))


def _columns(tables: ShardTables) -> dict[str, npt.NDArray[Any]]:
    return {
        "frame/offset": tables.offset.astype(np.int64),
        "frame/crc32": tables.crc32.astype(np.uint32),
        "video/name": hdf5.encode_names(tables.names),
        "video/first_frame": tables.first_frame.astype(np.int64),
        "video/width": tables.width.astype(np.int32),
        "video/height": tables.height.astype(np.int32),
        "video/fps": tables.fps.astype(np.float64),
        "video/note": hdf5.encode_names(tables.notes),
        "failure/name": hdf5.encode_names([name for name, _ in tables.failures]),
        "failure/reason": hdf5.encode_names([reason for _, reason in tables.failures]),
    }


def _tables(file: h5py.File) -> ShardTables:
    payload = len(hdf5.plain_dataset(file, "jpeg", np.uint8))
    crc32 = hdf5.column(file, "frame/crc32", np.uint32)
    names = hdf5.decode_names(hdf5.column(file, "video/name", "S"))
    videos = len(names)
    failed = hdf5.decode_names(hdf5.column(file, "failure/name", "S"))
    reasons = hdf5.decode_names(hdf5.column(file, "failure/reason", "S", rows=len(failed)))
    tables = ShardTables(
        settings=_settings(file),
        names=names,
        first_frame=hdf5.column(file, "video/first_frame", np.int64, rows=videos + 1),
        width=hdf5.column(file, "video/width", np.int32, rows=videos),
        height=hdf5.column(file, "video/height", np.int32, rows=videos),
        fps=hdf5.column(file, "video/fps", np.float64, rows=videos),
        notes=hdf5.decode_names(hdf5.column(file, "video/note", "S", rows=videos)),
        offset=hdf5.column(file, "frame/offset", np.int64, rows=len(crc32) + 1),
        crc32=crc32,
        failures=tuple(zip(failed, reasons, strict=True)),
    )
    _check_ladder(file, "frame/offset", tables.offset, payload)
    _check_ladder(file, "video/first_frame", tables.first_frame, len(crc32))
    return tables


def _settings(file: h5py.File) -> dict[str, Any]:
    try:
        settings = json.loads(hdf5.text_attribute(file, "settings"))
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise DataError(f"{file.filename}: attribute settings is not a JSON object: refused")
    return settings


def _check_ladder(file: h5py.File, name: str, steps: npt.NDArray[np.int64], end: int) -> None:
    """Refuse offsets that do not climb from 0 to `end`: each frame and each video has its own bytes, none shared."""
    if steps[0] != 0 or steps[-1] != end or bool(np.any(np.diff(steps) <= 0)):
        raise DataError(f"{file.filename}, {name} does not climb from 0 to {end}: refused")
