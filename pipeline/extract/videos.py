"""Which videos a folder holds and what each is called: the sorted list that shards are slices of. Opens no video."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tsn.tsn_shared.console import counted
from tsn.tsn_shared.errors import DataError

SUFFIXES = (".avi", ".mp4", ".m4v", ".mkv", ".mov", ".webm", ".mpg", ".mpeg")
"""Endings, in any case, that make a file a video."""


@dataclass(frozen=True, kw_only=True, order=True)
class Source:
    """A video to extract: its name in shards and splits (`Class/v_Class_g01_c01`), and its file."""

    name: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class VideoListing:
    """The videos of a folder, sorted by name; how many other files were passed over, by their ending.

    `unreadable` are the folders and links below it that cannot be looked into, each with the reason.
    """

    videos: tuple[Source, ...]
    passed_over: dict[str, int]
    unreadable: tuple[tuple[Path, str], ...] = ()

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

    Whatever is named like a video is one, be it a folder or a dangling link: extraction gives its verdict. A folder or
    a link that cannot be looked into stops nothing. DataError when the folder itself cannot be read or holds no video.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises where a name is too long
        raise DataError(f"{folder} is no folder of videos: unpack UCF101 there, or name another folder")
    paths, others = [], Counter[str]()
    files, unreadable = _walk(folder)
    for path in files:
        if path.suffix.lower() in SUFFIXES:
            paths.append(path)
        else:
            others[path.suffix or path.name] += 1
    if not paths and unreadable:
        raise DataError(f"{unreadable[0][0]} cannot be read: {unreadable[0][1]}, and {folder} holds no other video")
    if not paths:
        raise DataError(f"{folder} holds no video ({', '.join(SUFFIXES)}): unpack UCF101 there, or name another folder")
    return VideoListing(videos=name_videos(folder, paths), passed_over=dict(others), unreadable=tuple(unreadable))


def name_videos(folder: Path, paths: list[Path]) -> tuple[Source, ...]:
    """Name videos by their path below the folder without its ending, which stays where two would have one name."""
    relative = {path: path.relative_to(folder).as_posix() for path in paths}
    stems = {path: text[: len(text) - len(path.suffix)] for path, text in relative.items()}
    count = Counter(stems.values())
    names = {path: stem if count[stem] == 1 else relative[path] for path, stem in stems.items()}
    return tuple(sorted(Source(name=name, path=path) for path, name in names.items()))


def _walk(folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Return all files below a folder, and what cannot be looked into with the reason.

    A folder that is reached twice through links is walked once.
    """
    files, unreadable = list[Path](), list[tuple[Path, str]]()
    seen, ahead = set[tuple[int, int]](), [folder]
    while ahead:
        here = ahead.pop()
        try:
            status = here.stat()
            with os.scandir(here) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            unreadable.append((here, error.strerror or ""))
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            # a folder that is named like a video is taken for one, so that its verdict is seen
            if path.suffix.lower() in SUFFIXES:
                files.append(path)
                continue
            try:
                (ahead if entry.is_dir() else files).append(path)
            except OSError as error:  # a link that leads round, or to a name that is too long
                unreadable.append((path, error.strerror or ""))
    return files, unreadable
