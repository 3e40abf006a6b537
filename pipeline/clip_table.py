"""Which clip is in which subset of splits, as CSV (info --clips)."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from tsn.pipeline.info import look
from tsn.tsn_shared.console import printable
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.splits import SUBSETS, Split, read_split

HEADER = ("split", "subset", "clip", "class", "label", "frames", "first")

AT_ONCE = 10_000
"""Clips whose names are read, and whose lines are printed, at once: a split may have millions."""


def clip_table(paths: Sequence[Path]) -> Iterator[str]:
    """Yield the clips of splits as CSV, some at a time: a line that names the columns, and one for each clip.

    `label` counts from 0; `first` is the first of the clip's `frames` in its video. SettingsError where a path holds
    no split, DataError for one that is damaged.
    """
    folders = look(paths)
    for folder in folders:
        if not folder.splits:
            where = folder.path if folder.whole else folder.shards[0]
            raise SettingsError(f"{where} holds no splits (split1.h5), and --clips lists the clips of splits")
    yield _csv([HEADER])
    for path in (path for folder in folders for path in folder.splits):
        for rows in _rows(read_split(path)):
            yield _csv(rows)


def _rows(split: Split) -> Iterator[list[tuple[object, ...]]]:
    path, classes = printable(str(split.path)), [printable(name) for name in split.classes]
    for subset in SUBSETS:
        clips, start = split.subset(subset), 0
        for names in split.names_in_parts(subset, AT_ONCE):
            part = clips.take(slice(start, start + len(names)))
            firsts = [0] * len(names) if part.first is None else part.first.tolist()
            columns = zip(names, part.label.tolist(), part.frames.tolist(), firsts, strict=True)
            yield [(path, subset, printable(n), classes[label], label, *numbers) for n, label, *numbers in columns]
            start += len(names)


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
