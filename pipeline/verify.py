"""Hashing again: every byte of shards and splits, and shards against the splits that were built from them."""

import os
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BufferedReader
from itertools import groupby
from pathlib import Path

import numpy as np

from tsn.pipeline.info import Folder, look
from tsn.tsn_shared import hdf5, shard_file, shards, splits
from tsn.tsn_shared.console import Progress, counted, say
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.files import open_regular
from tsn.tsn_shared.shards import ShardTables, shard_name
from tsn.tsn_shared.splits import Split

BLOCK = 1 << 20
"""Bytes that are read at once: few calls, and still in the processor's cache when they are hashed."""


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """What hashing a shard gave: its size, and what is wrong with it, a line each."""

    videos: int = 0
    frames: int = 0
    bytes: int = 0
    findings: tuple[str, ...] = ()


def verify(paths: Sequence[Path]) -> None:
    """Hash all that the folders hold again; DataError with the count, after each finding was said."""
    folders, start, found, size = look(paths), time.monotonic(), 0, 0
    for hashed in _hash_all(folders):
        for finding in hashed.findings:
            say(finding)
        found += len(hashed.findings)
        size += hashed.bytes
    counts = [(sum(len(folder.shards) for folder in folders), "shard"), (sum(len(f.splits) for f in folders), "split")]
    files = " and ".join(counted(count, word) for count, word in counts if count)
    if found:
        raise DataError(f"verify: {counted(found, 'finding')} in {files}: see above")
    seconds = max(time.monotonic() - start, 1e-9)
    say(f"{files} sound: {size / 1e9:,.2f} GB hashed in {seconds:,.1f} s, {size / seconds / 1e9:.2f} GB/s")


def hash_shard(path: Path) -> Hashed:
    """Hash a whole shard again: its tables by their SHA-256, its frames by their CRC32; and look at their sizes."""
    try:
        tables = shards.read_tables(path)
        start, _ = hdf5.read_seal(path, shards.KIND).payload
        damaged, odd = _look_at_frames(path, start, tables)
        return Hashed(
            videos=len(tables.names),
            frames=len(tables.crc32),
            bytes=path.stat().st_size,
            findings=(
                *(shards.damage(path, tables, first, last) for first, last in _runs(damaged, tables)),
                *(shards.unlike(path, tables, first, last) for first, last in _runs(odd, tables)),
            ),
        )
    except DataError as error:
        return Hashed(findings=(str(error),))
    except OSError as error:
        return Hashed(findings=(f"{path} cannot be read: {error.strerror}",))


def _hash_all(folders: list[Folder]) -> Iterator[Hashed]:
    """Hash shards in threads (both digests release Python's lock), then compare them with each other and the splits."""
    paths = [path for folder in folders for path in folder.shards]
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="tsn-verify")
    try:
        with Progress("hashing", total=len(paths), unit="shard") as progress:
            for hashed in pool.map(hash_shard, paths):
                yield hashed
                progress.advance(videos=hashed.videos, frames=hashed.frames, MB=hashed.bytes // 1_000_000)
    finally:
        pool.shutdown(cancel_futures=True)  # interrupted, it does not hash the rest first
    whole = [folder for folder in folders if folder.whole]
    for folder in whole:
        yield Hashed(findings=tuple(_gaps(folder)))
    for path in (path for folder in folders for path in folder.splits):
        try:
            yield Hashed(bytes=path.stat().st_size, findings=tuple(_unlike_shards(splits.read_split(path), whole)))
        except DataError as error:
            yield Hashed(findings=(str(error),))


def _look_at_frames(path: Path, start: int, tables: ShardTables) -> tuple[list[int], list[int]]:
    """Return the frames whose CRC32 differs, and the others that are no JPEGs of their size.

    The payload begins at byte `start` of the file.
    """
    offset, pictures, frame = tables.offset, shard_file.Pictures(tables), 0
    damaged, odd = list[int](), list[int]()
    buffer = memoryview(bytearray(max(BLOCK, int(np.diff(offset).max(initial=0)))))
    with open_regular(path) as raw:
        raw.seek(start)
        while frame < len(tables.crc32):
            stop = int(np.searchsorted(offset, offset[frame] + len(buffer), side="right")) - 1  # whole frames only
            edges = (offset[frame : stop + 1] - offset[frame]).tolist()
            if not _fill(raw, buffer[: edges[-1]]):
                raise DataError(f"{path} became shorter while it was read")
            for number, crc32 in enumerate(tables.crc32[frame:stop].tolist()):
                jpeg = buffer[edges[number] : edges[number + 1]]
                if zlib.crc32(jpeg) != crc32:
                    damaged.append(frame + number)
                elif not pictures.fits(frame + number, jpeg.tobytes()):
                    odd.append(frame + number)
            frame = stop
    return damaged, odd


def _fill(raw: BufferedReader, buffer: memoryview) -> bool:
    """Read until the buffer is full; False where the file ends before."""
    while buffer:
        count = raw.readinto(buffer)
        if not count:
            return False
        buffer = buffer[count:]
    return True


def _runs(wrong: list[int], tables: ShardTables) -> Iterator[tuple[int, int]]:
    """Yield such frames as (first, last) of those that follow on each other in one video."""
    for _, run in groupby(enumerate(wrong), lambda pair: (tables.video_of(pair[1]), pair[1] - pair[0])):
        frames = [frame for _, frame in run]
        yield frames[0], frames[-1]


def _gaps(folder: Folder) -> Iterator[str]:
    """Name the first shard that is missing among the numbers; what is missing after the last, only a split can tell."""
    names = {path.name for path in folder.shards}
    row = [shard_name(number) for number in range(len(names))]
    if lost := [name for name in row if name not in names]:
        yield f"{folder.path} lacks {lost[0]}, though a later shard is there: run extract-frames again"


def _unlike_shards(split: Split, folders: list[Folder]) -> Iterator[str]:
    """Compare a split with the folder that holds most of its shards, by their sealed SHA-256."""
    wanted = dict(zip(split.shard_names, split.shard_sha256, strict=True))
    found = {folder.path: _seals(folder, wanted) for folder in folders}
    if not any(found.values()):
        say(f"{split.path}: none of its {counted(len(wanted), 'shard')} is in these folders: compared with none")
        return
    path = max(found, key=lambda path: (_matching(found[path], wanted), len(found[path])))
    there = found[path]
    if lost := [name for name in wanted if name not in there]:
        count = f"{len(lost):,} of the {counted(len(wanted), 'shard')}"
        yield f"{path} lacks {count} of {split.path}, the first is {lost[0]}"
    for name, seal in there.items():
        if seal not in ("", wanted[name]):
            yield f"{path / name} is not the shard that {split.path} was built from: run tsn build-splits again"


def _seals(folder: Folder, wanted: Iterable[str]) -> dict[str, str]:
    """Return the sealed SHA-256 of the wanted shards that a folder holds; none where the seal cannot be read."""
    seals = {}
    for path in (path for path in folder.shards if path.name in wanted):
        try:
            seals[path.name] = hdf5.read_seal(path, shards.KIND).sha256
        except DataError:
            seals[path.name] = ""  # found and said when it was hashed
    return seals


def _matching(seals: dict[str, str], wanted: dict[str, str]) -> int:
    return sum(wanted[name] == seal for name, seal in seals.items())
