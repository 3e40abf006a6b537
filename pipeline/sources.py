"""Which videos a folder holds and what each is called: the sorted list that shards are slices of. Opens no video."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tsn_shared.errors import DataError

SUFFIXES = (".avi", ".mp4", ".m4v", ".mkv", ".mov", ".webm", ".mpg", ".mpeg")
"""Endings, in any case, that make a file a video."""


@dataclass(frozen=True, kw_only=True, order=True)
class Source:
    """A video to extract: its name in shards and splits (`Class/v_Class_g01_c01`), and its file."""

    name: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Found:
    """The videos of a folder, sorted by name, and how many other files were passed over, by their ending."""

    videos: tuple[Source, ...]
    passed_over: dict[str, int]


def find_videos(folder: Path) -> Found:
    """Find the videos below a folder, links to folders followed; files and folders named `.x` are passed over.

    Whatever is named like a video is one, be it a folder or a dangling link: extraction gives its verdict. DataError
    when the folder cannot be read or holds no video.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder of videos: unpack UCF101 there, or name another folder")
    paths, others = [], Counter[str]()
    for path in _walk(folder):
        if path.suffix.lower() in SUFFIXES:
            paths.append(path)
        else:
            others[path.suffix or path.name] += 1
    if not paths:
        raise DataError(f"{folder} holds no video ({', '.join(SUFFIXES)}): unpack UCF101 there, or name another folder")
    return Found(videos=name_videos(folder, paths), passed_over=dict(others))


def name_videos(folder: Path, paths: list[Path]) -> tuple[Source, ...]:
    """Name videos by their path below the folder without its ending, which stays where two would have one name."""
    relative = {path: path.relative_to(folder).as_posix() for path in paths}
    stems = {path: text[: len(text) - len(path.suffix)] for path, text in relative.items()}
    count = Counter(stems.values())
    names = {path: stem if count[stem] == 1 else relative[path] for path, stem in stems.items()}
    return tuple(sorted(Source(name=name, path=path) for path, name in names.items()))


def _walk(folder: Path) -> list[Path]:
    """Return all files below a folder; a folder that is reached twice through links is walked once."""
    files, seen, ahead = [], set[tuple[int, int]](), [folder]
    while ahead:
        here = ahead.pop()
        try:
            status = here.stat()
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"{here} cannot be read: {error.strerror}") from None
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = Path(entry.path)
            # a folder that is named like a video is taken for one, so that its verdict is seen
            if path.suffix.lower() not in SUFFIXES and entry.is_dir():
                ahead.append(path)
            else:
                files.append(path)
    return files
