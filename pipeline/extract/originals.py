"""What the videos of a shard were when they were extracted: size, time and SHA-256 of each file, beside the shard.

Never in it, since a shard is a function of what the videos hold, not of when they were written. A rerun compares them
with the files of now, so that a video that was replaced under its name is noticed. One JSON object a line.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tsn.pipeline.extract.ffmpeg_run import VideoError, VideoStoppedError, never, open_video
from tsn.pipeline.extract.frame_folders import list_pictures
from tsn.pipeline.extract.videos import Source
from tsn.tsn_shared.files import read_bounded, write_text

SUFFIX = ".videos.jsonl"
"""frames-00000.videos.jsonl lies beside frames-00000.h5."""

MOST_BYTES = 1 << 28
"""Of such a file: 100,000 videos take a tenth."""

_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Original:
    """A video's file: bytes, time of its last change in nanoseconds, SHA-256 of its content.

    Of a folder of frames, all its pictures together, and their names in the SHA-256.
    """

    size: int
    mtime_ns: int
    sha256: str


def originals_path(shard: Path) -> Path:
    """Return where the originals of a shard are kept."""
    return shard.with_suffix(SUFFIX)


def look_at(video: Path, stop: Callable[[], bool] = never) -> Original | None:
    """Return what a video is now; None where it cannot be read. VideoStoppedError when `stop()` says so."""
    digest = hashlib.sha256()
    try:
        size, mtime_ns = _size_and_time(video)
        for file in _files(video):
            if file != video:
                digest.update(os.fsencode(file.name) + b"\0")
            _take_in(file, digest, stop)
    except (OSError, VideoError):
        return None
    return Original(size=size, mtime_ns=mtime_ns, sha256=digest.hexdigest())


def _files(video: Path) -> list[Path]:
    """Return the file of a video, or the pictures of a folder that is one."""
    return [video / name for name in list_pictures(video).names] if video.is_dir() else [video]


def _size_and_time(video: Path) -> tuple[int, int]:
    """Return the bytes of a video's files and the time of their last change; a folder's own shows that one is new."""
    files = _files(video)
    status = [file.stat() for file in files]
    times = [each.st_mtime_ns for each in status] + ([video.stat().st_mtime_ns] if files != [video] else [])
    return sum(each.st_size for each in status), max(times)


def _take_in(file: Path, digest: "hashlib._Hash", stop: Callable[[], bool]) -> None:
    with open_video(file) as descriptor:
        while block := os.read(descriptor, _BLOCK):
            digest.update(block)
            if stop():
                raise VideoStoppedError


def write_originals(shard: Path, originals: Mapping[str, Original]) -> None:
    """Keep the originals of a shard's videos, by name, beside it."""
    rows = [json.dumps({"name": name, **asdict(original)}) + "\n" for name, original in originals.items()]
    write_text(originals_path(shard), "".join(rows))


def read_originals(shard: Path) -> dict[str, Original]:
    """Return the originals that are kept beside a shard, by name; a line that is none is nobody's."""
    try:
        content = read_bounded(originals_path(shard), MOST_BYTES)
    except OSError:
        return {}
    found = {}
    for line in content.decode("utf-8", errors="surrogateescape").splitlines():
        try:
            row = json.loads(line)
            original = Original(size=int(row["size"]), mtime_ns=int(row["mtime_ns"]), sha256=str(row["sha256"]))
            found[str(row["name"])] = original
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            continue
    return found


def replaced_videos(shard: Path, videos: Sequence[Source]) -> list[str]:
    """Return the names of videos whose files hold something else than when the shard was made.

    A file of the same size and time is taken for the same, one of another time is read; where it holds the same, its
    new time is kept, so that it is read once.
    """
    originals = read_originals(shard)
    replaced, moved = [], dict[str, Original]()
    for video in videos:
        was = originals.get(video.name)
        if was is None:
            continue
        try:
            size, mtime_ns = _size_and_time(video.path)
        except (OSError, VideoError):
            continue
        if (was.size, was.mtime_ns) == (size, mtime_ns):
            continue
        now = look_at(video.path) if was.size == size else None
        if now is None or now.sha256 != was.sha256:
            replaced.append(video.name)
        else:
            moved[video.name] = now
    if moved:
        write_originals(shard, originals | moved)
    return replaced
