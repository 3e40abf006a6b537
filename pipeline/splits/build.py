"""Splits: listed videos joined to the shards that hold their frames.

Reads no video and no frame. A split is written only when every split of the lists can be: all or none.
"""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tsn.pipeline.splits.lists import Annotations, ListedClip, ListedSplit, group_of, read_annotations, shared_groups
from tsn.tsn_shared import shards
from tsn.tsn_shared.console import say, some
from tsn.tsn_shared.errors import DataError, PartialError
from tsn.tsn_shared.files import locked, writing
from tsn.tsn_shared.hdf5 import read_seal
from tsn.tsn_shared.settings import SplitsSettings
from tsn.tsn_shared.splits import SUBSETS, Clips, Subset, split_name, write_split


@dataclass(frozen=True, kw_only=True)
class Video:
    """A video in the shards: the shard's number in the folder, its row there, its frames, a digest of their CRC32s."""

    name: str
    shard: int
    row: int
    frames: int
    content: bytes


@dataclass(frozen=True, kw_only=True)
class VideoIndex:
    """What a folder of shards holds: its shards with their sealed SHA-256, videos and reasons of failure by name."""

    folder: Path
    shards: tuple[tuple[str, str], ...]
    videos: dict[str, Video]
    failures: dict[str, str]

    def find(self, clip: ListedClip) -> Video | None:
        """Return the video of a listed path; a name with its suffix, where there is one, goes before that without."""
        name = _lookup(self.videos, self._by_nfc, clip)
        return None if name is None else self.videos[name]

    def reason(self, clip: ListedClip) -> str | None:
        """Return why extraction failed on a listed path, None where it did not."""
        name = _lookup(self.failures, self._by_nfc, clip)
        return None if name is None else self.failures[name]

    def differs_by_case(self, clip: ListedClip) -> str | None:
        """Return the only video whose name differs from a listed one by capitals alone, None where there is none."""
        return self._by_folded_case.get(_nfc(clip.path).casefold()) or self._by_folded_case.get(
            _nfc(clip.name).casefold()
        )

    @cached_property
    def _by_nfc(self) -> dict[str, str]:
        return _unique({name: _nfc(name) for name in (*self.videos, *self.failures)})

    @cached_property
    def _by_folded_case(self) -> dict[str, str]:
        return _unique({name: _nfc(name).casefold() for name in self.videos})


def _nfc(name: str) -> str:
    """Return a name as NFC: file systems decompose what lists compose, and both look the same."""
    return unicodedata.normalize("NFC", name)


def _unique(keys: Mapping[str, str]) -> dict[str, str]:
    """Return names by their keys, of which each is one name's alone."""
    count = Counter(keys.values())
    return {key: name for name, key in keys.items() if count[key] == 1}


def _lookup(names: Mapping[str, object], forms: Mapping[str, str], clip: ListedClip) -> str | None:
    """Return the name that a listed path has: as it is written, or else in another form of Unicode."""
    written = (clip.path, clip.name)
    others = (forms.get(_nfc(name)) for name in written)
    return next((name for name in (*written, *others) if name is not None and name in names), None)


def build_splits(annotations: Path, settings: SplitsSettings) -> None:
    """Write `split1.h5`, ... to `settings.out` from the lists in `annotations`, or as `settings.split_by` draws it.

    PartialError, and no file, when listed videos have no frames, unless `settings.allow_missing`; DataError when the
    lists or the shards cannot be used.
    """
    frames = index_videos(settings.frames)
    last = frames.shards[-1][0]
    if settings.split_by is not None and last != shards.shard_name(len(frames.shards) - 1):
        say(f"warning: {settings.frames} lacks shards before {last}: their videos are in no split")
    if settings.split_by is not None and frames.failures:
        say(f"{len(frames.failures)} videos failed in extraction and are in no split: {some(sorted(frames.failures))}")
    listed = read_annotations(annotations) if settings.split_by is None else draw_split(frames.videos, settings)
    if settings.split_by is None and (unread := listed.unread(annotations)):
        say(f"{annotations}: not read, beside the lists that were: {some(unread)}")
    _refuse_one_video_twice(frames, listed)
    _report_missing(frames, listed, settings)
    busy = f"{settings.out} is in use by another tsn: wait for it, or set another --out"
    with writing(settings.out, "set another --out"), locked(settings.out, busy):
        for split in listed.splits:
            _write(frames, listed.classes, split, settings.out)


def index_videos(folder: Path) -> VideoIndex:
    """Read the tables of all shards of a folder; DataError where they are not of one extraction."""
    paths = shards.find_shards(folder)
    if not paths:
        raise DataError(
            f"{folder} holds no frame shards: run tsn extract-frames first, or name its folder with --frames"
        )
    videos: dict[str, Video] = {}
    failures: dict[str, str] = {}
    settings = None
    for number, path in enumerate(paths):
        tables = shards.read_tables(path)
        settings = tables.settings if settings is None else settings
        if tables.settings != settings:
            raise DataError(f"{path} was made with other settings than {paths[0].name}: extract all with the same ones")
        failures.update(tables.failures)
        for row, (name, count) in enumerate(zip(tables.names, tables.frames.tolist(), strict=True)):
            if name in videos:
                raise DataError(f"{path}: video {name} is in {paths[videos[name].shard].name} as well: extract again")
            crc32 = tables.crc32[tables.first_frame[row] : tables.first_frame[row + 1]]
            content = hashlib.sha256(crc32.tobytes()).digest()
            videos[name] = Video(name=name, shard=number, row=row, frames=count, content=content)
    seals = tuple((path.name, read_seal(path, shards.KIND).sha256) for path in paths)
    return VideoIndex(folder=folder, shards=seals, videos=videos, failures=failures)


def draw_split(names: Iterable[str], settings: SplitsSettings) -> Annotations:
    """Draw split 1 from videos in class folders: `settings.test_share` of each class's groups (or videos) test.

    The units of a class are put in the order of a digest of (seed, unit): a pure function of both, so that a video
    more or less moves few others. A class of one unit trains only.
    """
    units: dict[str, dict[str, list[str]]] = {}
    for name in sorted(names):
        folder, _, video = name.rpartition("/")
        unit = name if settings.split_by == "video" else group_of(name)
        if not folder:
            raise DataError(f"{video} lies in no class folder: a split is drawn from folders named after their class")
        if unit is None:
            raise DataError(f"{name} names no group (..._g01_c01): use --split-by video, or lists of your own")
        units.setdefault(folder, {}).setdefault(unit, []).append(name)
    clips: dict[Subset, list[ListedClip]] = {"train": [], "test": []}
    for label, videos in enumerate(units.values()):
        order = sorted(videos, key=lambda unit: hashlib.sha256(os.fsencode(f"{settings.seed} {unit}")).digest())
        tests = set(order[: min(max(round(len(order) * settings.test_share), 1), len(order) - 1)])
        for unit, members in videos.items():
            clips["test" if unit in tests else "train"] += [ListedClip(path=name, label=label) for name in members]
    if not units:
        raise DataError(f"{settings.frames} holds no video to draw a split from")
    _warn_of_same_last_folders(list(units))
    source = f"drawn by {settings.split_by}, test share {settings.test_share}, seed {settings.seed}"
    split = ListedSplit(name="1", source=source, clips={subset: tuple(clips[subset]) for subset in SUBSETS})
    return Annotations(classes=tuple(units), splits=(split,))


def _warn_of_same_last_folders(folders: list[str]) -> None:
    """Warn where classes differ in their parents alone: train/walk and test/walk are hardly two classes."""
    parents: dict[str, list[str]] = {}
    for folder in folders:
        parents.setdefault(folder.rpartition("/")[2], []).append(folder)
    twins = [folder for same in parents.values() if len(same) > 1 for folder in same]
    if twins:
        say(
            f"warning: {some(twins)} are classes of their own though their last folders have one name: where the upper "
            "folders are a split, move the videos together, or write lists"
        )


def _refuse_one_video_twice(frames: VideoIndex, listed: Annotations) -> None:
    """Refuse a video that a split lists under two paths, with its suffix and without."""
    for split in listed.splits:
        seen: dict[str, str] = {}
        for clip in (clip for subset in SUBSETS for clip in split.clips[subset]):
            video = frames.find(clip)
            if video is not None and seen.setdefault(video.name, clip.path) != clip.path:
                raise DataError(
                    f"{split.source}: {seen[video.name]} and {clip.path} are one video: keep one of the lines"
                )


def _report_missing(frames: VideoIndex, listed: Annotations, settings: SplitsSettings) -> None:
    clips = {clip.path: clip for split in listed.splits for subset in SUBSETS for clip in split.clips[subset]}
    absent = [clip for clip in clips.values() if frames.find(clip) is None]
    if not absent:
        return
    failed = [(clip.path, reason) for clip in absent if (reason := frames.reason(clip)) is not None]
    if len(absent) == len(clips):
        raise DataError(
            f"{frames.folder}: none of the {len(clips)} listed videos has frames there: "
            f"the lists name {absent[0].path}, the shards "
            f"{frames.differs_by_case(absent[0]) or next(iter(frames.videos), 'no video')}"
        )
    for path, reason in failed:
        say(f"{path} failed in extraction: {reason}")
    unknown = [
        f"{clip.path} (did you mean {meant}?)" if (meant := frames.differs_by_case(clip)) else clip.path
        for clip in absent
        if frames.reason(clip) is None
    ]
    words = f"{len(absent)} of {len(clips)} listed videos have no frames in {frames.folder}"
    if unknown:
        words += f", among them {some(unknown)}"
    if not settings.allow_missing:
        raise PartialError(f"{words}: no split written; extract them, or leave them out with --allow-missing")
    say(f"{words}: left out")


def _write(frames: VideoIndex, classes: tuple[str, ...], split: ListedSplit, out: Path) -> None:
    """Write one split and say what it holds; only the shards that it refers to are in it."""
    found = {s: [(clip, video) for clip in split.clips[s] if (video := frames.find(clip))] for s in SUBSETS}
    used = sorted({video.shard for rows in found.values() for _, video in rows})
    row_of = {shard: row for row, shard in enumerate(used)}
    path = out / split_name(split.name)
    names = {s: tuple(video.name for _, video in found[s]) for s in SUBSETS}
    write_split(
        path,
        source=split.source,
        classes=classes,
        shards=dict(frames.shards[shard] for shard in used),
        clips={s: _clips(found[s], row_of) for s in SUBSETS},
        names=names,
    )
    there = len({clip.label for rows in found.values() for clip, _ in rows})
    of_all = f"{there} classes" if there == len(classes) else f"{there} of {len(classes)} classes"
    count = sum(video.frames for rows in found.values() for _, video in rows)
    say(f"{path}: {len(found['train'])} train and {len(found['test'])} test clips of {of_all}, {count:,} frames")
    _warn(f"split {split.name}", classes, found, names)


def _clips(rows: list[tuple[ListedClip, Video]], row_of: dict[int, int]) -> Clips:
    numbers = [(clip.label, row_of[video.shard], video.row, video.frames) for clip, video in rows]
    columns = np.array(numbers, dtype=np.int32).reshape(-1, 4)
    return Clips(label=columns[:, 0], shard=columns[:, 1], video=columns[:, 2], frames=columns[:, 3])


def _warn(
    split: str,
    classes: tuple[str, ...],
    found: dict[Subset, list[tuple[ListedClip, Video]]],
    names: dict[Subset, tuple[str, ...]],
) -> None:
    """Say what a person should know of a split that is sound in form."""
    labels = {subset: {clip.label for clip, _ in found[subset]} for subset in SUBSETS}
    for subset, other in zip(SUBSETS, reversed(SUBSETS), strict=True):
        if not labels[subset]:
            say(f"warning: {split} has no {subset} clip")
        elif alone := sorted(classes[label] for label in labels[subset] - labels[other]):
            say(f"warning: {split}: {len(alone)} classes have clips in {subset} only: {some(alone)}")
    if groups := shared_groups(names["train"], names["test"]):
        say(f"warning: {split}: {len(groups)} groups have clips in train and in test: {some(groups)}")
    train = {video.content: clip.path for clip, video in found["train"]}
    if twins := [f"{train[v.content]} = {clip.path}" for clip, v in found["test"] if v.content in train]:
        say(f"warning: {split}: {len(twins)} test clips are frame for frame the same as a train clip: {some(twins)}")
    counted = [clip.path for rows in found.values() for clip, v in rows if clip.frames not in (None, v.frames)]
    if counted:
        say(
            f"{split}: the lists count other frames than were decoded for {len(counted)} clips; the decoded "
            f"number is used: {some(counted)}"
        )
