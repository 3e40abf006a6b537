"""Looking at what is there: every byte of shards and splits hashed again (verify), and what they hold (info)."""

import math
import os
import re
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from tsn_shared import hdf5, shards, splits
from tsn_shared.console import Progress, counted, say, table
from tsn_shared.errors import DataError
from tsn_shared.shards import ShardTables, shard_name
from tsn_shared.splits import Split

SPLITS = "split*.h5"
BLOCK = 1 << 20
"""Bytes that verify reads at once: few calls, and still in the processor's cache when they are hashed."""

ABREAST = 30
"""With more classes than this, two stand in a row of the table."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The files of ours that a folder holds, each kind in order."""

    path: Path
    shards: tuple[Path, ...]
    splits: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """What hashing a shard gave: its size, and what is wrong with it, a line each."""

    videos: int = 0
    frames: int = 0
    bytes: int = 0
    findings: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Tally:
    """What a class, or all of them, hold; `seconds` is the duration of the `timed` videos whose frame rate is known."""

    videos: int = 0
    frames: int = 0
    failed: int = 0
    seconds: float = 0.0
    timed: int = 0

    def add(self, frames: int, fps: float) -> None:
        """Count a video."""
        self.videos += 1
        self.frames += frames
        if fps > 0:
            self.timed += 1
            self.seconds += frames / fps


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All that folders hold: in all, by class, by frame size, settings; failures and notes as (video, words)."""

    total: Tally
    shards: int
    bytes: int
    classes: dict[str, Tally] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)
    settings: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)


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


def info(paths: Sequence[Path]) -> dict[str, Any]:
    """Count what the folders hold: shards, videos, frames, failed, bytes (of the shards), seconds, classes, splits."""
    summary = summarise(paths)
    return {
        "shards": summary.shards,
        "videos": summary.total.videos,
        "frames": summary.total.frames,
        "failed": summary.total.failed,
        "bytes": summary.bytes,
        "seconds": round(summary.total.seconds, 3),
        "sizes": dict(summary.sizes),
        "classes": {name: asdict(tally) for name, tally in sorted(summary.classes.items())},
        "failures": [{"video": name, "reason": reason} for name, reason in summary.failures],
        "splits": [
            {
                "path": str(split.path),
                "source": split.source,
                "classes": len(split.classes),
                "train": len(split.train),
                "test": len(split.test),
            }
            for split in summary.splits
        ],
    }


def info_text(paths: Sequence[Path]) -> str:
    """Return the same for people: tables from the particular to the whole, which a terminal shows last."""
    summary = summarise(paths)
    parts = []
    if summary.shards:
        parts += [_class_table(summary.classes), table(["frame size", "videos"], summary.sizes.most_common())]
    for title, words in (("not extracted because", summary.failures), ("note", summary.notes)):
        if words:
            parts.append(table([title, "videos", "the first"], _by_reason(words)))
    if summary.splits:
        rows = [(s.path, len(s.classes), len(s.train), len(s.test), s.source) for s in summary.splits]
        parts.append(table(["split", "classes", "train", "test", "from"], rows))
    if summary.shards:
        parts.append(_whole(summary))
    return "\n\n".join(parts)


def look(paths: Sequence[Path]) -> list[Folder]:
    """Find the shards and splits of folders, each folder once; DataError where one holds neither."""
    folders = []
    for path in {path.resolve(): path for path in paths}.values():
        if not path.is_dir():
            raise DataError(f"{path}: no such folder: name one that extract-frames or build-splits made")
        folder = Folder(path=path, shards=tuple(shards.find_shards(path)), splits=tuple(sorted(path.glob(SPLITS))))
        if not folder.shards and not folder.splits:
            raise DataError(f"{path} holds no frame shards (frames-00000.h5) and no splits (split1.h5)")
        folders.append(folder)
    return folders


def hash_shard(path: Path) -> Hashed:
    """Hash a whole shard again: its tables by their SHA-256, its frames by their CRC32."""
    try:
        tables = shards.read_tables(path)
        start, _ = hdf5.read_seal(path, shards.KIND).payload
        runs = list(_runs(_damaged(path, start, tables), tables))
        return Hashed(
            videos=len(tables.names),
            frames=len(tables.crc32),
            bytes=path.stat().st_size,
            findings=tuple(shards.damage(path, tables, first, last) for first, last in runs),
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
    for folder in folders:
        yield Hashed(findings=tuple(_gaps(folder)))
    for path in (path for folder in folders for path in folder.splits):
        try:
            yield Hashed(bytes=path.stat().st_size, findings=tuple(_astray(splits.read_split(path), folders)))
        except DataError as error:
            yield Hashed(findings=(str(error),))


def _damaged(path: Path, start: int, tables: ShardTables) -> list[int]:
    """Return the frames whose CRC32 differs; the payload begins at byte `start` of the file."""
    offset, damaged, frame = tables.offset, [], 0
    buffer = memoryview(bytearray(max(BLOCK, int(np.diff(offset).max(initial=0)))))
    with path.open("rb", buffering=0) as raw:
        raw.seek(start)
        while frame < len(tables.crc32):
            stop = int(np.searchsorted(offset, offset[frame] + len(buffer), side="right")) - 1  # whole frames only
            edges = (offset[frame : stop + 1] - offset[frame]).tolist()
            if not _fill(raw, buffer[: edges[-1]]):
                raise DataError(f"{path} became shorter while it was read")
            for number, crc32 in enumerate(tables.crc32[frame:stop].tolist()):
                if zlib.crc32(buffer[edges[number] : edges[number + 1]]) != crc32:
                    damaged.append(frame + number)
            frame = stop
    return damaged


def _fill(raw: FileIO, buffer: memoryview) -> bool:
    """Read until the buffer is full; False where the file ends before."""
    while buffer:
        count = raw.readinto(buffer)
        if not count:
            return False
        buffer = buffer[count:]
    return True


def _runs(damaged: list[int], tables: ShardTables) -> Iterator[tuple[int, int]]:
    """Yield damaged frames as (first, last) of those that follow on each other in one video."""
    first = last = None
    for frame in damaged:
        if first is None or last is None or frame != last + 1 or tables.video_of(frame) != tables.video_of(last):
            if first is not None and last is not None:
                yield first, last
            first = frame
        last = frame
    if first is not None and last is not None:
        yield first, last


def _gaps(folder: Folder) -> Iterator[str]:
    """Name the shards that lack in the row of numbers; what comes after the last, only a split can know."""
    names = {path.name for path in folder.shards}
    row = [shard_name(number) for number in range(len(names))]
    if lost := [name for name in row if name not in names]:
        yield f"{folder.path} lacks {lost[0]}, though a later shard is there: run extract-frames again"


def _astray(split: Split, folders: list[Folder]) -> Iterator[str]:
    """Compare a split with the folder that holds most of its shards, by their sealed SHA-256."""
    wanted = dict(zip(split.shard_names, split.shard_sha256, strict=True))
    found = {folder.path: _seals(folder, wanted) for folder in folders}
    path = max(found, key=lambda path: (_agreeing(found[path], wanted), len(found[path])))
    there = found[path]
    if not there:
        say(f"{split.path}: none of its {len(wanted)} shards is in these folders: compared with none")
        return
    if lost := [name for name in wanted if name not in there]:
        yield f"{path} lacks {len(lost)} of the {len(wanted)} shards of {split.path}, the first is {lost[0]}"
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


def _agreeing(seals: dict[str, str], wanted: dict[str, str]) -> int:
    return sum(wanted[name] == seal for name, seal in seals.items())


def summarise(paths: Sequence[Path]) -> Summary:
    """Read the tables of all that the folders hold; DataError on the first that is damaged."""
    folders = look(paths)
    files = [path for folder in folders for path in folder.shards]
    summary = Summary(
        total=Tally(),
        shards=len(files),
        bytes=sum(path.stat().st_size for path in files),
        splits=[splits.read_split(path) for folder in folders for path in folder.splits],
    )
    for path in files:
        _count(shards.read_tables(path), summary)
    return summary


def _count(tables: ShardTables, summary: Summary) -> None:
    def tallies(name: str) -> tuple[Tally, Tally]:
        return summary.total, summary.classes.setdefault(name.rpartition("/")[0] or "(none)", Tally())

    numbers = zip(tables.names, tables.frames.tolist(), tables.fps.tolist(), strict=True)
    for name, frames, fps in numbers:
        for tally in tallies(name):
            tally.add(frames, fps)
    for name, _ in tables.failures:
        for tally in tallies(name):
            tally.failed += 1
    summary.sizes.update(f"{w}x{h}" for w, h in zip(tables.width.tolist(), tables.height.tolist(), strict=True))
    summary.settings[", ".join(f"{name} {value}" for name, value in sorted(tables.settings.items()))] += 1
    summary.failures.extend(tables.failures)
    summary.notes.extend((name, note) for name, note in zip(tables.names, tables.notes, strict=True) if note)


def _class_table(classes: dict[str, Tally]) -> str:
    """Set the classes in a table, two abreast where they are many."""
    failures = any(tally.failed for tally in classes.values())
    headers = ["class", "videos", "frames", "mean", *(["failed"] if failures else [])]
    rows: list[list[object]] = [
        [name, tally.videos, f"{tally.frames:,}", _mean(tally), *([tally.failed] if failures else [])]
        for name, tally in sorted(classes.items())
    ]
    if len(rows) > ABREAST:
        half = math.ceil(len(rows) / 2)
        blank: list[object] = [""] * len(headers)
        rows = [[*left, *right] for left, right in zip(rows[:half], [*rows[half:], blank], strict=False)]
        headers = headers * 2
    return table(headers, rows)


def _by_reason(words: list[tuple[str, str]]) -> list[tuple[str, int, str]]:
    """Count what was said of videos, however its numbers differ: (as said of the first, videos, the first's name)."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for video, text in words:
        kinds.setdefault(re.sub(r"\d+([.,]\d+)*", "0", text), []).append((text, video))
    most = sorted(kinds.values(), key=len, reverse=True)
    return [(kind[0][0], len(kind), kind[0][1]) for kind in most]


def _whole(summary: Summary) -> str:
    total = summary.total
    unknown = total.videos - total.timed
    duration = _duration(total.seconds) + (f" and {counted(unknown, 'video')} of unknown frame rate" if unknown else "")
    each = f"{summary.bytes / total.frames / 1000:.1f} kB a frame" if total.frames else "no frame"
    settings = "; ".join(summary.settings) if len(summary.settings) == 1 else f"{len(summary.settings)} settings (!)"
    return (
        f"{counted(total.videos, 'video')} of {len(summary.classes)} class{'es' * (len(summary.classes) != 1)}, "
        f"{total.failed:,} failed; {counted(total.frames, 'frame')}, {duration}\n"
        f"{counted(summary.shards, 'shard')}, {summary.bytes / 1e9:,.2f} GB, {each}; made with {settings}"
    )


def _mean(tally: Tally) -> str:
    return f"{tally.seconds / tally.timed:.1f} s" if tally.timed else "-"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:.1f} hours"
