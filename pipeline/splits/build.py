"""Splits: listed videos joined to the shards that hold their frames.

Reads no video and no frame. A split is written only when every split of the lists can be: all or none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from tsn.pipeline.splits.draw import (
    draw_from_folders,
    draw_from_list,
    has_split_folders,
    lone_split_folder,
    split_by_folders,
)
from tsn.pipeline.splits.index import VideoIndex, below_what_lists_name, index_videos
from tsn.pipeline.splits.join import FAILED, Joined, JoinedSplit, join_split, refuse_absent
from tsn.pipeline.splits.listed import Annotations, LeftOut
from tsn.pipeline.splits.lists import read_annotations, read_list, unread_lists
from tsn.pipeline.splits.report import SubsetReport, reports_of, warn
from tsn.pipeline.splits.rows import FORMS
from tsn.tsn_shared import shards
from tsn.tsn_shared.console import counted, say, some
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.files import locked, writing
from tsn.tsn_shared.hdf5 import read_seal
from tsn.tsn_shared.settings import SplitsSettings
from tsn.tsn_shared.splits import KIND, SUBSETS, Clips, read_split, split_name, write_split

DRAWN = ("group", "video")
"""Ways of `split_by` that draw; folders say all by themselves."""


def build_splits(annotations: Path | None, settings: SplitsSettings) -> list[SubsetReport]:
    """Write `split1.h5`, ... to `settings.out` from the lists in `annotations`, or as `settings.split_by` draws it.

    Drawn from the videos of class folders, or where `annotations` is a list of classes from the clips of that.
    With neither, the folders train/, val/ and test/ that the videos lie in are the split.
    PartialError, and no file, when listed videos have no frames, unless `settings.allow_missing`; DataError when the
    lists or the shards cannot be used. Returns what was written, a row for each subset.
    """
    if settings.val_share and settings.split_by not in DRAWN:
        raise SettingsError(f"--val-share {settings.val_share:g} goes with --split-by video or group")
    if annotations is not None and annotations.is_dir() and settings.split_by in DRAWN:
        raise SettingsError(
            f"{annotations}: --split-by {settings.split_by} draws from one list, a file with lines `path,label`: "
            "name that; or leave it out, to draw from class folders"
        )
    index = index_videos(settings.frames)
    listed = _listed(annotations, index, settings)
    index = below_what_lists_name(index, listed.splits)
    joined = [join_split(index, split) for split in listed.splits]
    refuse_absent(index, joined, settings)
    if annotations is None:
        _tell_what_no_list_says(index, settings.frames)
    if settings.split_by == "video":
        say(
            "drawn by video: videos of one scene can be on both sides; --split-by group with names that say the scene "
            "(..._g01_c01), or folders train, val and test, keep them apart"
        )
    busy = f"{settings.out} is in use by another tsn: wait for it, or set another --out"
    reports = []
    with writing(settings.out, "set another --out"), locked(settings.out, busy):
        for split in joined:
            path = settings.out / split_name(split.listed.name)
            with _telling_what_is_replaced(path):
                _write(path, index, listed.classes, split)
            warn(split, listed.classes)
            reports += reports_of(path, split)
    return reports


def _listed(annotations: Path | None, index: VideoIndex, settings: SplitsSettings) -> Annotations:
    """Return what the lists say, or the split that is drawn or that folders make."""
    names, drawn = tuple(index.videos), settings.split_by in DRAWN
    if annotations is not None and annotations.is_file() and annotations.suffix.lower() in FORMS:
        listed = read_list(annotations, drawn=drawn)
        return draw_from_list(listed, settings) if drawn else listed
    if annotations is not None:
        listed = read_annotations(annotations)
        if unread := unread_lists(annotations, listed):
            say(f"{annotations}: not read, beside the lists that were: {some(unread)}")
        return listed
    if settings.split_by is None and not has_split_folders(names):
        lone = lone_split_folder(names)
        beside = f", and beside {lone}/, in which all videos are, no other subset's folder" if lone else ""
        raise DataError(
            f"no lists{beside}: name the folder that holds them, or draw a split from folders named after their "
            "classes with --split-by video"
        )
    listed = draw_from_folders(names, settings) if drawn else split_by_folders(names)
    failed = tuple(LeftOut(None, name, f"{FAILED}: {reason}") for name, reason in index.failures.items())
    splits = tuple(replace(split, left_out=split.left_out + failed) for split in listed.splits)
    return replace(listed, splits=splits)


@contextmanager
def _telling_what_is_replaced(path: Path) -> Iterator[None]:
    """Say of a split that is written over by another one what it was: a run may depend on it."""
    try:
        before = (read_seal(path, KIND), read_split(path).source) if path.exists() else None
    except DataError as error:
        before = None
        say(f"{error}; it is made again now")
    yield
    if before is not None and read_seal(path, KIND) != before[0]:
        same = read_split(path).source == before[1]
        say(f"{path}: replaced, it was: {before[1]}" + ", with other clips, classes or shards" * same)


def _tell_what_no_list_says(index: VideoIndex, frames: Path) -> None:
    """Say what is in no split although no list leaves it out."""
    last = index.shards[-1][0]
    if last != shards.shard_name(len(index.shards) - 1):
        say(f"warning: {frames} lacks shards before {last}: their videos are in no split")
    if index.failures:
        videos = counted(len(index.failures), "video")
        say(f"left out of every split, {videos} that failed in extraction: {some(sorted(index.failures))}")


def _write(path: Path, index: VideoIndex, classes: tuple[str, ...], split: JoinedSplit) -> None:
    """Write one split; only the shards that it refers to are in it."""
    used = sorted({clip.video.shard for subset in SUBSETS for clip in split.clips[subset]})
    row_of = {shard: row for row, shard in enumerate(used)}
    write_split(
        path,
        source=split.listed.source,
        classes=classes,
        shards=dict(index.shards[shard] for shard in used),
        clips={subset: _clips(split.clips[subset], row_of) for subset in SUBSETS},
        names={subset: tuple(clip.name for clip in split.clips[subset]) for subset in SUBSETS},
    )


def _clips(rows: list[Joined], row_of: dict[int, int]) -> Clips:
    numbers = [(c.listed.label, row_of[c.video.shard], c.video.row, c.frames, c.first) for c in rows]
    columns = np.array(numbers, dtype=np.int32).reshape(-1, 5)
    return Clips(
        label=columns[:, 0],
        shard=columns[:, 1],
        video=columns[:, 2],
        frames=columns[:, 3],
        first=columns[:, 4] if any(clip.frames != clip.video.frames for clip in rows) else None,
    )
