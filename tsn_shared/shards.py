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

Here are the tables, written and checked; `shard_file` reads frames past HDF5, where the tables say that they lie.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from tsn.tsn_shared import hdf5
from tsn.tsn_shared.console import printable
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.settings import MAX_EDGE

KIND = hdf5.Kind(name="tsn-frames", version=1, payload="jpeg")
PATTERN = "frames-*.h5"

MOST_HEADER, MOST_A_PIXEL = 16 << 20, 6
"""Bytes of a JPEG, at most: what a camera may put before the picture, and for each pixel."""

SLOWEST, FASTEST = 1e-10, 1e10
"""Frames a second, beyond what any container can state."""

AGAIN = "delete this shard and run extract-frames again"


def shard_name(index: int) -> str:
    """Return the file name of the shard with this number."""
    return f"frames-{index:05d}.h5"


def fingerprint(settings: Mapping[str, object]) -> str:
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
        return tables_of(file)


def damage(path: Path, tables: ShardTables, first: int, last: int) -> str:
    """Say that frames `first` to `last` of a shard, all of one video, are not those that were written."""
    return f"{path}: damaged data in {_frames(tables, first, last)} (CRC32): {AGAIN}"


def unlike(path: Path, tables: ShardTables, first: int, last: int) -> str:
    """Say that frames `first` to `last` of a shard, all of one video, are not JPEGs of the size that it states."""
    video = tables.video_of(first)
    size = f"{tables.width[video]}x{tables.height[video]}"
    return f"{path}: {_frames(tables, first, last)}: not a JPEG of {size}, which the tables state: {AGAIN}"


def _frames(tables: ShardTables, first: int, last: int) -> str:
    video = tables.video_of(first)
    start = int(tables.first_frame[video])
    frames = f"frame {first - start}" if first == last else f"frames {first - start} to {last - start}"
    return f"video {printable(tables.names[video])}, {frames}"


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


def tables_of(file: h5py.File) -> ShardTables:
    """Read and check the tables of an open shard."""
    payload = len(hdf5.plain_dataset(file, "jpeg", np.uint8))
    frames = len(hdf5.plain_dataset(file, "frame/crc32", np.uint32))
    videos = len(hdf5.plain_dataset(file, "video/name", "S"))
    # the offsets first: where they rise, every video and frame that is declared has bytes of its own
    offset = _offsets(file, "frame/offset", steps=frames, end=payload)
    first_frame = _offsets(file, "video/first_frame", steps=videos, end=frames)
    failed = hdf5.decode_names(hdf5.column(file, "failure/name", "S"))
    reasons = hdf5.decode_names(hdf5.column(file, "failure/reason", "S", rows=len(failed)))
    tables = ShardTables(
        settings=_settings(file),
        names=hdf5.decode_names(hdf5.column(file, "video/name", "S", rows=videos)),
        first_frame=first_frame,
        width=hdf5.column(file, "video/width", np.int32, rows=videos),
        height=hdf5.column(file, "video/height", np.int32, rows=videos),
        fps=hdf5.column(file, "video/fps", np.float64, rows=videos),
        notes=hdf5.decode_names(hdf5.column(file, "video/note", "S", rows=videos)),
        offset=offset,
        crc32=hdf5.column(file, "frame/crc32", np.uint32, rows=frames),
        failures=tuple(zip(failed, reasons, strict=True)),
    )
    _check_pictures(file, tables)
    return tables


def _settings(file: h5py.File) -> dict[str, Any]:
    try:
        settings = json.loads(hdf5.text_attribute(file, "settings"))
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict) or any(isinstance(value, dict | list) for value in settings.values()):
        raise DataError(f"{file.filename}: attribute settings is not a JSON object of texts and numbers: refused")
    return settings


def _offsets(file: h5py.File, name: str, *, steps: int, end: int) -> npt.NDArray[np.int64]:
    """Read offsets; DataError unless they rise from 0 to `end`: each frame or video has something of its own."""
    offsets = hdf5.column(file, name, np.int64, rows=steps + 1)
    if offsets[0] != 0 or offsets[-1] != end or bool(np.any(offsets[1:] <= offsets[:-1])):
        raise DataError(f"{file.filename}, {name} does not rise from 0 to {end}: refused")
    return offsets


def _check_pictures(file: h5py.File, tables: ShardTables) -> None:
    """Refuse sizes that no stored frame has, JPEGs too long for their size, and impossible frame rates."""
    width, height, fps = tables.width.astype(np.int64), tables.height.astype(np.int64), tables.fps
    for name, edges in (("video/width", width), ("video/height", height)):
        if np.any((edges < 1) | (edges > MAX_EDGE)):
            raise DataError(f"{file.filename}, {name} is not from 1 to {MAX_EDGE}: refused")
    most = np.repeat(MOST_HEADER + MOST_A_PIXEL * width * height, tables.frames)
    if np.any(np.diff(tables.offset) > most):
        raise DataError(f"{file.filename}, frame/offset holds a JPEG that is too long for its size: refused")
    if not np.all((fps == 0) | ((fps > SLOWEST) & (fps < FASTEST))):
        raise DataError(f"{file.filename}, video/fps is not a frame rate: refused")
