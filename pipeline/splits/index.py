"""The videos that a folder of shards holds, and which of them a listed clip is."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tsn.pipeline.splits.listed import ListedClip, ListedSplit, is_absolute
from tsn.tsn_shared import shards
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.hdf5 import read_seal
from tsn.tsn_shared.nearest import absent


@dataclass(frozen=True, kw_only=True, slots=True)
class Video:
    """A video in the shards: the shard's number in the folder, its row there, its frames, a digest of their CRC32s."""

    name: str
    shard: int
    row: int
    frames: int
    fps: float
    content: bytes


@dataclass(frozen=True, kw_only=True)
class VideoIndex:
    """What a folder of shards holds: its shards with their sealed SHA-256, videos and reasons of failure by name.

    `above` is a folder that all videos lie in and that means nothing to the lists, such as `videos/`.
    """

    folder: Path
    shards: tuple[tuple[str, str], ...]
    videos: dict[str, Video]
    failures: dict[str, str]
    above: str = ""

    def find(self, clip: ListedClip) -> tuple[Video, bool] | None:
        """Return the video of a listed clip, and whether the clip is a part of it, by the times that are listed.

        A file that was cut at those times already, `ID_000012_000022`, goes before the video that it was cut from.
        """
        if clip.start is not None and clip.end is not None:
            cut = f"{clip.name}_{int(clip.start):06d}_{int(clip.end):06d}"
            if (name := self._name_of(self.videos, (cut,))) is not None:
                return self.videos[name], False
        name = self._name_of(self.videos, (clip.path, clip.name))
        return None if name is None else (self.videos[name], clip.start is not None)

    def reason(self, clip: ListedClip) -> str | None:
        """Return why extraction failed on a listed path, None where it did not."""
        name = self._name_of(self.failures, (clip.path, clip.name))
        return None if name is None else self.failures[name]

    def _name_of(self, names: Mapping[str, object], written: tuple[str, ...]) -> str | None:
        """Return the name that a listed path has: as it is written, in another form of Unicode, or from below.

        From below: one of the two paths is the end of the other, as where the videos are all in one folder or the
        lists leave out the folders; where that is so of several videos, it is none. Of an absolute path, the longest
        end that is a video's name counts.
        """
        for name in written:
            if name in names:
                return name
        for name in written:
            other = self._by_nfc.get(_nfc(name))
            if other is not None and other in names:
                return other
        for name in written:
            found = [other for other in self._ending_as(name) if other in names]
            if is_absolute(name):
                longest = max(map(_depth, found), default=0)
                found = [other for other in found if _depth(other) == longest]
            if found:
                return found[0] if len(found) == 1 else None
        return None

    def _ending_as(self, name: str) -> Iterator[str]:
        """Yield the videos whose path ends as a listed one, or is the end of it, in whole folders."""
        path = "/" + _nfc(name)
        for other in self._by_file_name.get(path.rpartition("/")[2], ()):
            theirs = "/" + _nfc(other)
            if path.endswith((theirs, "/" + _nfc(other.removeprefix(self.above)))) or theirs.endswith(path):
                yield other

    def like(self, clip: ListedClip) -> str | None:
        """Return the only video that a listed name is but for capitals, the list's encoding, or a number at its end."""
        for written in (clip.path, clip.name):
            if found := self._by_folded_case.get(_nfc(written).casefold()):
                return found
            try:
                latin = written.encode("utf-8", "surrogateescape").decode("cp1252")
            except UnicodeDecodeError:
                latin = written
            if latin != written and (found := self._name_of(self.videos, (latin,))):
                return f"{found}, the list in UTF-8"
        if clip.frames is not None and (found := self._name_of(self.videos, (f"{clip.path} {clip.frames}",))):
            return f"{found}, its number no count of frames: write the ending of the file, such as .avi"
        return None

    @cached_property
    def _by_nfc(self) -> dict[str, str]:
        return _unique((_nfc(name), name) for name in (*self.videos, *self.failures))

    @cached_property
    def _by_folded_case(self) -> dict[str, str]:
        return _unique((_nfc(name).casefold(), name) for name in self.videos)

    @cached_property
    def _by_file_name(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for name in (*self.videos, *self.failures):
            names.setdefault(_nfc(name.rpartition("/")[2]), []).append(name)
        return names


def index_videos(folder: Path) -> VideoIndex:
    """Read the tables of all shards of a folder; DataError where they are not of one extraction."""
    paths = shards.find_shards(folder)
    if not paths:
        what = f"{folder} holds no frame shards" if folder.exists() else absent(folder)
        raise DataError(f"{what}: run tsn extract-frames first, or name its folder with --frames")
    videos: dict[str, Video] = {}
    failures: dict[str, str] = {}
    settings = None
    for number, path in enumerate(paths):
        tables = shards.read_tables(path)
        settings = tables.settings if settings is None else settings
        if tables.settings != settings:
            raise DataError(f"{path} was made with other settings than {paths[0].name}: extract all with the same ones")
        failures.update(tables.failures)
        columns = zip(tables.names, tables.frames.tolist(), tables.fps.tolist(), strict=True)
        for row, (name, frames, fps) in enumerate(columns):
            if name in videos:
                raise DataError(f"{path}: video {name} is in {paths[videos[name].shard].name} as well: extract again")
            crc32 = tables.crc32[tables.first_frame[row] : tables.first_frame[row + 1]]
            content = hashlib.sha256(crc32.tobytes()).digest()
            videos[name] = Video(name=name, shard=number, row=row, frames=frames, fps=fps, content=content)
    seals = tuple((path.name, read_seal(path, shards.KIND).sha256) for path in paths)
    return VideoIndex(folder=folder, shards=seals, videos=videos, failures=failures)


def below_what_lists_name(index: VideoIndex, splits: Iterable[ListedSplit]) -> VideoIndex:
    """Return an index that looks away from the folders above all videos, unless lists name the last one of them.

    That one is a class where the videos are of one class alone.
    """
    names = (*index.videos, *index.failures)
    ends = (min(names, default=""), max(names, default=""))  # what these have in common, all have
    above = os.path.commonpath([name.rpartition("/")[0] for name in ends])
    last = f"/{above.rpartition('/')[2]}/"
    clips = (clip for split in splits for clips in split.clips.values() for clip in clips)
    if not above or any(last in "/" + clip.path for clip in clips):
        return index
    return replace(index, above=above + "/")


def _nfc(name: str) -> str:
    """Return a name as NFC: file systems decompose what lists compose, and both look the same."""
    return unicodedata.normalize("NFC", name)


def _depth(name: str) -> int:
    """Return how many folders a video lies in."""
    return name.count("/")


def _unique(keys: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return names by their keys, of which each is one name's alone."""
    pairs = list(keys)
    count = Counter(key for key, _ in pairs)
    return {key: name for key, name in pairs if count[key] == 1}
