"""What lists say, whatever their format: the clips of each subset, their labels, and what is left out. No frames."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tsn.pipeline.extract.videos import SUFFIXES
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.splits import SUBSETS, Subset

SUBSET_WORDS: dict[str, Subset] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "test": "test",
    "testing": "test",
}
"""What folders, files and columns call the subsets."""


class ListedClip(NamedTuple):
    """A clip as a list names it; a tuple, since a list may name millions.

    `label` counts from 0; `frames` is what the list counts; `start` and `end` are seconds of the video, where the list
    gives any.
    """

    path: str
    label: int
    frames: int | None = None
    start: float | None = None
    end: float | None = None

    @property
    def name(self) -> str:
        """The path without the ending of a video file."""
        return without_ending(self.path)


class LeftOut(NamedTuple):
    """A clip that a list names and no subset gets, with the reason; `subset` is what it would have been in."""

    subset: Subset | None
    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ListedSplit:
    """A split as its lists say; `name` is what `--split` calls it, `source` says where it is from."""

    name: str
    source: str
    clips: dict[Subset, tuple[ListedClip, ...]]
    files: tuple[Path, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """All splits that a folder of lists describes, or one drawn; a clip's label is a row of `classes`."""

    classes: tuple[str, ...]
    splits: tuple[ListedSplit, ...]


def without_ending(path: str) -> str:
    """Return a path without the ending of a video file, where it has one."""
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and "." + suffix.lower() in SUFFIXES else path


def is_absolute(path: str) -> bool:
    """Return whether a listed path begins at the root of a machine, or of a drive of Windows."""
    return path.startswith("/") or path[1:3] == ":/"


def folder_of(path: str) -> str:
    """Return the name of the folder that a listed file lies in, '' for none."""
    if "//" in path or "/./" in path:
        path = "/".join(part for part in path.split("/") if part not in ("", "."))
    return path[: path.rfind("/") + 1].rstrip("/").rpartition("/")[2]


def checked_path(path: str, where: str) -> str:
    """Return a listed path, be it absolute or below the folder of videos; DataError where it leads out of that.

    Where all that divides it are backslashes, as on Windows, these are slashes.
    """
    if "/" not in path:
        path = path.replace("\\", "/")
    if ".." in path and ".." in path.split("/"):
        raise DataError(f"{where}: {path!r} leads out of the folder of videos: write it as Class/video")
    return path.removeprefix("./")


def listed_split(
    name: str,
    files: dict[Subset, Path],
    clips: dict[Subset, list[ListedClip]],
    left_out: Iterable[LeftOut] = (),
) -> ListedSplit:
    """Return a split of these clips; DataError for a clip that is listed twice, be it in one list or in two."""
    seen: dict[object, Subset] = {}
    for subset in SUBSETS:
        for clip in clips.get(subset, ()):
            key = clip.path if clip.start is None else (clip.path, clip.start, clip.end)
            if key in seen:
                here, other = files[subset], files[seen[key]]
                both = f"{here} twice" if other == here else f"{other} and in {here}"
                raise DataError(f"{clip.path} is in {both}: keep one of the lines")
            seen[key] = subset
    source = " and ".join(dict.fromkeys(path.name for path in files.values()))
    return ListedSplit(
        name=name,
        source=source,
        clips={subset: tuple(clips.get(subset, ())) for subset in SUBSETS},
        files=tuple(dict.fromkeys(files.values())),
        left_out=tuple(left_out),
    )
