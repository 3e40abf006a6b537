"""Listed clips joined to the videos that are there: what each is, and what is left out and why."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from typing import NamedTuple

from tsn.pipeline.splits.draw import has_split_folders
from tsn.pipeline.splits.index import Video, VideoIndex
from tsn.pipeline.splits.listed import LeftOut, ListedClip, ListedSplit, is_absolute
from tsn.pipeline.splits.text import line_with
from tsn.tsn_shared.console import counted, say, some
from tsn.tsn_shared.errors import DataError, PartialError
from tsn.tsn_shared.settings import SplitsSettings
from tsn.tsn_shared.splits import SUBSETS, Subset

NOT_EXTRACTED = "no frames of that name"
FAILED = "failed in extraction"
NEAR = 0.9
"""How alike, of 1, a name with a slip is to the one that was meant: a letter of twenty."""

_HINTED = 3
"""Listed names for which the one that was meant is looked for; no more are shown."""

_ROUNDING = 1e-6
"""Frames by which a time may miss the frame that it means: 0.1 + 0.2 is not 0.3."""


class Joined(NamedTuple):
    """A clip of a split: as it is listed, its video, and which of its frames, `first` and how many."""

    listed: ListedClip
    video: Video
    first: int
    frames: int

    @property
    def name(self) -> str:
        """The name of the video; of a part of it with the times, as Kinetics' cut files are called."""
        start, end = self.listed.start, self.listed.end
        if self.frames == self.video.frames or start is None:
            return self.video.name
        return f"{self.video.name}_{_seconds(start)}_{'end' if end is None else _seconds(end)}"


@dataclass(frozen=True, kw_only=True)
class JoinedSplit:
    """A split joined to the videos; `absent` are the listed clips that have no frames, with the reason."""

    listed: ListedSplit
    clips: dict[Subset, list[Joined]]
    absent: tuple[tuple[Subset, ListedClip, str], ...]

    @property
    def left_out(self) -> list[LeftOut]:
        """All that the lists name and no subset gets."""
        absent = [LeftOut(subset, clip.path, reason) for subset, clip, reason in self.absent]
        return [*self.listed.left_out, *absent]


def join_split(index: VideoIndex, split: ListedSplit) -> JoinedSplit:
    """Join a split; DataError where two listed paths are one video, such as one with its ending and one without."""
    clips: dict[Subset, list[Joined]] = {subset: [] for subset in SUBSETS}
    absent: list[tuple[Subset, ListedClip, str]] = []
    seen: dict[tuple[str, int, int], str] = {}
    for subset in SUBSETS:
        for listed in split.clips[subset]:
            joined = join(index, listed)
            if isinstance(joined, str):
                absent.append((subset, listed, joined))
                continue
            key = (joined.video.name, joined.first, joined.frames)
            if (other := seen.setdefault(key, listed.path)) != listed.path:
                raise DataError(f"{split.source}: {other} and {listed.path} are one video: keep one of the lines")
            clips[subset].append(joined)
    return JoinedSplit(listed=split, clips=clips, absent=tuple(absent))


def join(index: VideoIndex, listed: ListedClip) -> Joined | str:
    """Return a listed clip with its video and its frames there, or why it has none."""
    found = index.find(listed)
    if found is None:
        reason = index.reason(listed)
        return NOT_EXTRACTED if reason is None else f"{FAILED}: {reason}"
    video, in_part = found
    if not in_part:
        return Joined(listed, video, 0, video.frames)
    if video.fps <= 0:
        return "listed with times, and the rate of its frames is unknown"
    first, stop = frames_between(listed.start or 0.0, listed.end, fps=video.fps, frames=video.frames)
    return Joined(listed, video, first, stop - first) if first < stop else "ends before the times that are listed"


def frames_between(start: float, end: float | None, *, fps: float, frames: int) -> tuple[int, int]:
    """Return the first frame shown from `start` on, and the one after the last before `end`, both in seconds.

    Frame i of a video is shown at i / fps seconds. A video that ends before `end` gives what it has.
    """
    first = math.ceil(start * fps - _ROUNDING)
    stop = frames if end is None else min(frames, math.ceil(end * fps - _ROUNDING))
    return first, stop


def refuse_absent(index: VideoIndex, splits: Sequence[JoinedSplit], settings: SplitsSettings) -> None:
    """Say which listed videos have no frames, and why; PartialError unless `settings.allow_missing`.

    DataError where none has any, or where an absolute path has none, since what it would be below is not known.
    """
    absent = {clip: reason for split in splits for _, clip, reason in split.absent}
    if not absent:
        return
    unknown = [clip for clip, reason in absent.items() if reason == NOT_EXTRACTED]
    absolute = next((clip for clip in unknown if is_absolute(clip.path)), None)
    if absolute and not settings.allow_missing:
        files = (file for split in splits for file in split.listed.files)
        raise DataError(
            f"{line_with(absolute.path, files)}: an absolute path, and no end of it names a video in {index.folder}, "
            f"such as {next(iter(index.videos), 'none, which is empty')}: write it as it lies below "
            "the folder that extract-frames was given"
        )
    total = len({clip for split in splits for clips in split.listed.clips.values() for clip in clips})
    videos = counted(total, "listed video")
    if len(absent) == total:
        first = next(iter(absent))
        meant = index.like(first) or next(iter(index.videos), "no video")
        raise DataError(
            f"{index.folder}: none of the {videos} has frames there: the lists name {first.path}, "
            f"the shards {meant}{'; --split-by folder reads no lists' if has_split_folders(index.videos) else ''}"
        )
    for clip, reason in absent.items():
        if reason != NOT_EXTRACTED:
            say(f"{clip.path} {reason}")
    words = f"{len(absent):,} of {videos} have no frames in {index.folder}"
    if unknown:
        listed = {clip.video.name for split in splits for clips in split.clips.values() for clip in clips}
        unlisted = [name.removeprefix(index.above) for name in index.videos if name not in listed]
        named = [
            clip.path + (_hint(index, clip, unlisted) if row < _HINTED else "") for row, clip in enumerate(unknown)
        ]
        words += f", among them {some(named, shown=_HINTED)}"
    if not settings.allow_missing:
        raise PartialError(f"{words}: no split written; extract them, or leave them out with --allow-missing")
    say(f"{words}: left out")


def _hint(index: VideoIndex, clip: ListedClip, unlisted: Sequence[str]) -> str:
    """Say what a listed name that is no video's probably is, among the videos that no list names."""
    if like := index.like(clip) or _nearest(clip.name, unlisted):
        return f" (did you mean {like}?)"
    no_utf8 = any("\udc80" <= letter <= "\udcff" for letter in clip.path)
    return " (bytes that are no UTF-8: save the list as UTF-8)" if no_utf8 else ""


def _nearest(name: str, names: Sequence[str]) -> str | None:
    """Return the name that is nearest to one with a slip, None where none is near or two are as near."""
    near = get_close_matches(name, names, n=2, cutoff=NEAR)
    alike = [SequenceMatcher(None, other, name).ratio() for other in near]
    return near[0] if near and alike.count(alike[0]) == 1 else None


def _seconds(seconds: float) -> str:
    return f"{int(seconds):06d}" if seconds == int(seconds) else f"{seconds:g}"
