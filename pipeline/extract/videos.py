"""Which videos a folder holds and what each is called: the sorted list that shards are slices of. Opens no video."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tsn.pipeline.extract.frame_folders import is_numbered_picture
from tsn.tsn_shared.console import counted
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.nearest import absent
from tsn.tsn_shared.settings import VIDEOS

SUFFIXES = (
    ".avi", ".divx", ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".flv", ".f4v", ".wmv", ".asf",
    ".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".ogv", ".ogm", ".gif", ".mxf", ".nut",
    ".ivf", ".rm", ".rmvb", ".wtv", ".swf", ".dv", ".h264", ".264", ".h265", ".265", ".hevc", ".mjpeg", ".mjpg",
)  # fmt: skip
"""Endings, in any case, that make a file a video."""

ARCHIVES = (".rar", ".zip", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst")
"""Endings, in small letters, of files that hold others."""

_SHOWN = 6
"""Endings of files that are passed over that are named."""


@dataclass(frozen=True, kw_only=True, order=True)
class Source:
    """A video to extract: its name in shards and splits (`Class/v_Class_g01_c01`), and its file or folder of frames."""

    name: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class VideoListing:
    """The videos of a folder, sorted by name; how many other files were passed over, by their ending.

    `frame_folders` of the videos are folders of frames. `archive` is one of the archives among what was passed over.
    `unreadable` are the folders and links below it that cannot be looked into, each with the reason.
    `empty` are the folders in which no video lies, beside others: of a class, where a folder is one.
    """

    videos: tuple[Source, ...]
    passed_over: dict[str, int]
    frame_folders: int = 0
    archive: Path | None = None
    unreadable: tuple[tuple[Path, str], ...] = ()
    empty: tuple[Path, ...] = ()

    @property
    def unread(self) -> str:
        """A line on what could not be looked into, '' where there is nothing."""
        if not self.unreadable:
            return ""
        first, reason = self.unreadable[0]
        return (
            f"passed over: {counted(len(self.unreadable), 'place')} that cannot be read, the first: {first}: {reason}"
        )


def find_videos(folder: Path) -> VideoListing:
    """Find the videos below a folder, links to folders followed; files and folders named `.x` are passed over.

    Whatever is named like a video is one, be it a folder or a dangling link: extraction gives its verdict. A folder of
    numbered pictures is one as well, where no file in it is named like a video; the folder itself only where there is
    no other in it. A folder or a link that cannot be looked into stops nothing. DataError when the folder itself cannot
    be read or holds no video.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises where a name is too long
        raise DataError(_no_folder(folder))
    found = _Walk(folder=folder)
    found.walk()
    if not (found.videos or found.frame_folders):
        raise DataError(_nothing(folder, found))
    return VideoListing(
        videos=name_videos(folder, found.videos, found.frame_folders),
        passed_over=dict(found.others.most_common()),
        frame_folders=len(found.frame_folders),
        archive=found.archive,
        unreadable=tuple(found.unreadable),
        empty=_empty(found),
    )


def _empty(found: "_Walk") -> tuple[Path, ...]:
    """Return the highest of the folders that hold no video, not even deeper."""
    holding = set[Path]()
    for folder in (*found.frame_folders, *(path.parent for path in found.videos)):
        while folder not in holding:
            holding.add(folder)
            folder = folder if folder == found.folder else folder.parent
    return tuple(sorted(folder for folder in found.folders if folder not in holding and folder.parent in holding))


def _no_folder(folder: Path) -> str:
    """Say what there is in place of a folder."""
    if folder.name.lower().endswith(ARCHIVES):
        return f"{folder} is an archive: unpack it first, and name the folder"
    try:
        folder.stat()
    except FileNotFoundError:
        return f"{absent(folder)}: {_way_out(folder)}"
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror}"
    return f"{folder} is a file: name the folder that holds it"


def _way_out(folder: Path) -> str:
    return f"{'unpack UCF101 there, or ' if folder == VIDEOS else ''}name another folder"


def _nothing(folder: Path, found: "_Walk") -> str:
    """Say that a folder holds no video, and what it holds."""
    if found.unreadable:
        first, reason = found.unreadable[0]
        return f"{first} cannot be read: {reason}, and {folder} holds no other video"
    holds = f"{folder} holds no video (.avi, .mp4, .mkv, ...) and no folder of numbered pictures"
    if found.archive:
        return f"{holds}, but {found.archive} is an archive: unpack it first"
    others = f", but {passed_over(found.others)}" if found.others else ""
    return f"{holds}{others}: {_way_out(folder)}"


def passed_over(others: Counter[str] | dict[str, int]) -> str:
    """Count files by their ending, in words; the most frequent endings are named."""
    kinds = Counter(others).most_common()
    words = [f"{count:,} {kind}" for kind, count in kinds[:_SHOWN]]
    if len(kinds) > _SHOWN:
        words.append(counted(len(kinds) - _SHOWN, "more ending"))
    return f"{counted(sum(others.values()), 'other file')} ({', '.join(words)})"


def name_videos(folder: Path, files: list[Path], frame_folders: list[Path]) -> tuple[Source, ...]:
    """Name videos by their path below the folder, files without their endings.

    An ending stays where two would have one name. The folder itself, where it is a video, is named as it is.
    """
    named: list[tuple[str, str, Path]] = []
    for path in files:
        text = path.relative_to(folder).as_posix()
        named.append((text[: len(text) - len(path.suffix)], text, path))
    for path in frame_folders:
        text = path.relative_to(folder).as_posix() if path != folder else folder.resolve().name
        named.append((text, text, path))
    count = Counter(stem for stem, _, _ in named)
    return tuple(sorted(Source(name=stem if count[stem] == 1 else text, path=path) for stem, text, path in named))


@dataclass(kw_only=True)
class _Walk:
    """What lies below a folder; a folder that is reached twice through links is walked once."""

    folder: Path
    videos: list[Path] = field(default_factory=list)
    frame_folders: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    archive: Path | None = None
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def walk(self) -> None:
        """Look at all files below the folder, in the order of their names in each."""
        seen, ahead = set[tuple[int, int]](), [self.folder]
        while ahead:
            here = ahead.pop()
            try:
                status = here.stat()
                with os.scandir(here) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except OSError as error:
                self.unreadable.append((here, error.strerror or ""))
                continue
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                self.folders.append(here)
                ahead += self._look(here, [entry for entry in entries if not entry.name.startswith(".")])

    def _look(self, here: Path, entries: list["os.DirEntry[str]"]) -> list[Path]:
        """Take in what one folder holds, and return the folders in it."""
        folders, pictures, before = list[Path](), list[str](), len(self.videos)
        for entry in entries:
            ending = os.path.splitext(entry.name)[1]  # noqa: PTH122 - a Path for each of a million frames costs more
            # a folder that is named like a video is taken for one, so that its verdict is seen
            if ending.lower() in SUFFIXES:
                self.videos.append(here / entry.name)
                continue
            try:
                if entry.is_dir():
                    folders.append(here / entry.name)
                elif is_numbered_picture(entry.name):
                    pictures.append(ending)
                else:
                    self._pass_over(here, entry.name, ending)
            except OSError as error:  # a link that leads round, or to a name that is too long
                self.unreadable.append((here / entry.name, error.strerror or ""))
        if pictures and len(self.videos) == before and not (folders and here == self.folder):
            self.frame_folders.append(here)
        else:
            self.others.update(pictures)
        return folders

    def _pass_over(self, here: Path, name: str, ending: str) -> None:
        self.others[ending or name] += 1
        if self.archive is None and ending.lower() in ARCHIVES:
            self.archive = here / name
