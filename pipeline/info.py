"""What folders hold: their shards and splits, and the videos in these (info)."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tsn.tsn_shared import shards, splits
from tsn.tsn_shared.console import counted, line_columns, table
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.letters import width
from tsn.tsn_shared.nearest import absent
from tsn.tsn_shared.shards import ShardTables
from tsn.tsn_shared.splits import Split

SPLITS = "split*.h5"
NO_CLASS = "(no class folder)"
MOST_MEANT = 4
"""Folders that are offered where one above them was named."""

MOST_ROWS = 30
"""Of the table of classes; with more classes than that, each row holds two, where a line has room for them."""

MOST_COLUMNS = 1000
"""Of a line that is not shortened."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The shards and the splits that a folder holds, each in order; where not `whole`, the one that is meant."""

    path: Path
    shards: tuple[Path, ...]
    splits: tuple[Path, ...]
    whole: bool = True


@dataclass(kw_only=True)
class ClassCounts:
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
    """All that folders hold: in all, by class, by frame size; failures and notes as (video, words).

    `settings` are those that shards were made with, each once, by what they are in words.
    """

    total: ClassCounts
    shards: int
    bytes: int
    classes: dict[str, ClassCounts] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)


def info(paths: Sequence[Path]) -> dict[str, object]:
    """Count what the folders hold: shards, videos, frames, failed, bytes (of the shards), seconds, classes, splits.

    `settings` are those of the extraction, of which there should be one.
    """
    summary = summarise(paths)
    return {
        "shards": summary.shards,
        "videos": summary.total.videos,
        "frames": summary.total.frames,
        "failed": summary.total.failed,
        "bytes": summary.bytes,
        "seconds": round(summary.total.seconds, 3),
        "sizes": dict(summary.sizes),
        "settings": list(summary.settings.values()),
        "classes": {name: asdict(counts) for name, counts in sorted(summary.classes.items())},
        "failures": [{"video": name, "reason": reason} for name, reason in summary.failures],
        "notes": [{"video": name, "note": note} for name, note in summary.notes],
        "splits": [
            {
                "path": str(split.path),
                "source": split.source,
                "classes": len(split.classes),
                "train": len(split.train),
                "val": len(split.val),
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
            parts.append(table([title, "videos", "for example"], _by_reason(words)))
    if summary.splits:
        rows = [(s.path, len(s.classes), len(s.train), len(s.val), len(s.test), s.source) for s in summary.splits]
        parts.append(table(["split", "classes", "train", "val", "test", "from"], rows))
    if summary.shards:
        parts.append(_whole(summary))
    return "\n\n".join(parts)


def look(paths: Sequence[Path]) -> list[Folder]:
    """Find the shards and splits of folders, each once, or those named; DataError for what is none and holds none."""
    folders = []
    for path in {path.resolve(): path for path in paths}.values():
        named = [(path,) * (path.is_file() and path.match(pattern)) for pattern in (shards.PATTERN, SPLITS)]
        if any(named):
            folders.append(Folder(path=path.parent, shards=named[0], splits=named[1], whole=False))
            continue
        if not path.is_dir():
            what = f"{path} is no folder" if path.exists() else absent(path)
            raise DataError(f"{what}: name a folder that extract-frames, build-splits or train made")
        folder = Folder(path=path, shards=tuple(shards.find_shards(path)), splits=tuple(sorted(path.glob(SPLITS))))
        if not folder.shards and not folder.splits:
            raise DataError(
                f"{path} holds no frame shards (frames-00000.h5) and no splits (split1.h5){_did_you_mean_below(path)}"
            )
        folders.append(folder)
    return folders


def _did_you_mean_below(path: Path) -> str:
    """Return a question for the folders right below one that hold shards or splits, '' without any."""
    found = sorted({str(file.parent) for pattern in (shards.PATTERN, SPLITS) for file in path.glob(f"*/{pattern}")})
    return f" (did you mean {' '.join(found[:MOST_MEANT])}?)" if found else ""


def summarise(paths: Sequence[Path]) -> Summary:
    """Read the tables of all that the folders hold; DataError on the first that is damaged."""
    folders = look(paths)
    files = [path for folder in folders for path in folder.shards]
    summary = Summary(
        total=ClassCounts(),
        shards=len(files),
        bytes=sum(path.stat().st_size for path in files),
        splits=[splits.read_split(path) for folder in folders for path in folder.splits],
    )
    for path in files:
        _count(shards.read_tables(path), summary)
    return summary


def _count(tables: ShardTables, summary: Summary) -> None:
    def counts_of(name: str) -> tuple[ClassCounts, ClassCounts]:
        return summary.total, summary.classes.setdefault(name.rpartition("/")[0] or NO_CLASS, ClassCounts())

    numbers = zip(tables.names, tables.frames.tolist(), tables.fps.tolist(), strict=True)
    for name, frames, fps in numbers:
        for counts in counts_of(name):
            counts.add(frames, fps)
    for name, _ in tables.failures:
        for counts in counts_of(name):
            counts.failed += 1
    summary.sizes.update(f"{w}x{h}" for w, h in zip(tables.width.tolist(), tables.height.tolist(), strict=True))
    words = ", ".join(f"{name} {value}" for name, value in sorted(tables.settings.items()))
    summary.settings.setdefault(words, tables.settings)
    summary.failures.extend(tables.failures)
    summary.notes.extend((name, note) for name, note in zip(tables.names, tables.notes, strict=True) if note)


def _class_table(classes: dict[str, ClassCounts]) -> str:
    """Set the classes in a table, two a row where they are many and fit."""
    failures = any(counts.failed for counts in classes.values())
    headers = ["class", "videos", "frames", "mean", *(["failed"] if failures else [])]
    rows: list[list[object]] = [
        [name, counts.videos, f"{counts.frames:,}", _mean(counts), *([counts.failed] if failures else [])]
        for name, counts in sorted(classes.items())
    ]
    if len(rows) > MOST_ROWS:
        half = math.ceil(len(rows) / 2)
        blank: list[object] = [""] * len(headers)
        pairs = [[*left, *right] for left, right in zip(rows[:half], [*rows[half:], blank], strict=False)]
        text = table(headers * 2, pairs, columns=MOST_COLUMNS)
        if width(text.partition("\n")[0]) <= line_columns():
            return text
    return table(headers, rows)


def _by_reason(words: list[tuple[str, str]]) -> list[tuple[str, int, str]]:
    """Count what was said of videos, however its numbers differ: (the words, N for numbers, videos, an example)."""
    kinds: dict[str, list[str]] = {}
    for video, text in words:
        kinds.setdefault(re.sub(r"\d+([.,]\d+)*", "N", text), []).append(f"{video}: {text}")
    most = sorted(kinds.items(), key=lambda kind: len(kind[1]), reverse=True)
    return [(kind, len(said), said[0]) for kind, said in most]


def _whole(summary: Summary) -> str:
    total = summary.total
    unknown = total.videos - total.timed
    duration = _duration(total.seconds) + (f" and {counted(unknown, 'video')} of unknown frame rate" if unknown else "")
    each = f"{summary.bytes / total.frames / 1000:.1f} kB a frame" if total.frames else "no frame"
    settings = "; ".join(summary.settings) if len(summary.settings) == 1 else f"{len(summary.settings)} settings (!)"
    classes = len(summary.classes.keys() - {NO_CLASS})
    of = f"of {classes} class{'es' * (classes != 1)}" if classes else "in no class folder"
    return (
        f"{counted(total.videos, 'video')} {of}, "
        f"{total.failed:,} failed; {counted(total.frames, 'frame')}, {duration}\n"
        f"{counted(summary.shards, 'shard')}, {summary.bytes / 1e9:,.2f} GB, {each}; made with {settings}"
    )


def _mean(counts: ClassCounts) -> str:
    return f"{counts.seconds / counts.timed:.1f} s" if counts.timed else "-"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:.1f} hours"
