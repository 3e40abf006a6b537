"""What build-splits tells: what it wrote and left out, as a table or JSON, and what a person should know of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tsn.pipeline.splits.groups import shared_groups
from tsn.pipeline.splits.join import Joined, JoinedSplit
from tsn.tsn_shared.console import counted, say, some, table
from tsn.tsn_shared.splits import SUBSETS, Subset


@dataclass(frozen=True, kw_only=True)
class SubsetReport:
    """A subset as it was written: its split's file, its clips, classes that have any, frames.

    `left_out` says how many listed clips are in no subset, by reason. `subset` is None for those that lists name for
    neither.
    """

    path: Path
    subset: Subset | None
    clips: int
    classes: int
    frames: int
    left_out: dict[str, int]


def reports_of(path: Path, split: JoinedSplit) -> list[SubsetReport]:
    """Return what was written of a split; a subset with no clips and none left out is passed over, but for test."""
    reports = []
    for subset in (*SUBSETS, None):
        clips = split.clips[subset] if subset else []
        left_out = Counter(out.reason for out in split.left_out if out.subset == subset)
        if clips or left_out or subset in ("train", "test"):
            reports.append(
                SubsetReport(
                    path=path,
                    subset=subset,
                    clips=len(clips),
                    classes=len({clip.listed.label for clip in clips}),
                    frames=sum(clip.frames for clip in clips),
                    left_out=dict(left_out.most_common()),
                )
            )
    return reports


def report_json(reports: Sequence[SubsetReport]) -> list[dict[str, object]]:
    """Return the reports for JSON, a row each."""
    return [asdict(report) | {"path": str(report.path)} for report in reports]


def report_text(reports: Sequence[SubsetReport]) -> str:
    """Return the reports as a table."""
    rows = [
        (
            report.path,
            report.subset or "(none)",
            f"{report.clips:,}",
            report.classes,
            f"{report.frames:,}",
            _left_out(report.left_out),
        )
        for report in reports
    ]
    # wider than a line where it must be: a reason that is cut says nothing
    return table(["split", "subset", "clips", "classes", "frames", "left out"], rows, columns=10_000)


def _left_out(left_out: dict[str, int]) -> str:
    """Return the reasons in short, each with its count: what failed in extraction, and how, was said before."""
    short = Counter[str]()
    for reason, count in left_out.items():
        short[reason.partition(":")[0]] += count
    return "; ".join(f"{count:,}: {reason}" for reason, count in short.most_common())


def warn(split: JoinedSplit, classes: tuple[str, ...]) -> None:
    """Say what a person should know of a split that is sound in form."""
    name, clips = f"split {split.listed.name}", split.clips
    _warn_of_classes(name, classes, clips)
    for held_out in (subset for subset in SUBSETS[1:] if clips[subset]):
        _warn_of_leaks(name, clips["train"], clips[held_out], held_out)
    rows = [clip for subset in SUBSETS for clip in clips[subset]]
    if others := [c.listed.path for c in rows if c.listed.frames not in (None, c.frames)]:
        say(
            f"{name}: the lists count other frames than were decoded for {counted(len(others), 'clip')}; the decoded "
            f"number is used: {some(others)}"
        )


def _warn_of_classes(split: str, classes: tuple[str, ...], clips: dict[Subset, list[Joined]]) -> None:
    labels = {subset: {clip.listed.label for clip in clips[subset]} for subset in SUBSETS}
    if len(set().union(*labels.values())) == 1:
        say(f"warning: {split} has clips of one class only: there is nothing to tell apart")
    for subset in SUBSETS:
        others = set().union(*(labels[other] for other in SUBSETS if other != subset))
        if not labels[subset]:
            if subset == "train" or (subset == "test" and not labels["val"]):
                say(f"warning: {split} has no {subset} clip")
        elif others and (alone := sorted(classes[label] for label in labels[subset] - others)):
            say(f"warning: {split}: {_of(alone, 'class has', 'classes have')} clips in {subset} only: {some(alone)}")


def _warn_of_leaks(split: str, train: Sequence[Joined], held_out: Sequence[Joined], subset: Subset) -> None:
    """Warn where clips that are held out are among those trained on: by group, by video, or frame for frame."""
    names = [[_class_and_file(clip.video.name) for clip in clips] for clips in (train, held_out)]
    if groups := shared_groups(*names):
        say(f"warning: {split}: {_of(groups, 'group is', 'groups are')} in train and in {subset}: {some(groups)}")
    trained = {clip.video.name for clip in train}
    if videos := sorted({clip.video.name for clip in held_out} & trained):
        are = _of(videos, "video is", "videos are")
        say(f"warning: {split}: {are} in train and in {subset} in parts: {some(videos)}")
    contents = {(clip.video.content, clip.first, clip.frames): clip.listed.path for clip in train}
    same = [
        f"{contents[key]} = {clip.listed.path}"
        for clip in held_out
        if (key := (clip.video.content, clip.first, clip.frames)) in contents
    ]
    if same:
        are = _of(same, f"{subset} clip is", f"{subset} clips are")
        say(f"warning: {split}: {are} frame for frame the same as a train clip: {some(same)}")


def _of(found: Sequence[str], one: str, many: str) -> str:
    return f"{len(found):,} {one if len(found) == 1 else many}"


def _class_and_file(name: str) -> str:
    """Return a video's name below its class folder's parent: a group in train/Bow is that in test/Bow."""
    return "/".join(name.split("/")[-2:])
