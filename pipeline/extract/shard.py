"""One slice of the video list to one shard: a pure function of the slice and the settings, wherever it runs."""

import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from tsn.pipeline.extract.ffmpeg_command import FrameSettings
from tsn.pipeline.extract.ffmpeg_run import VideoError, never
from tsn.pipeline.extract.originals import Original, look_at, read_originals, write_originals
from tsn.pipeline.extract.picture_frames import decode_pictures
from tsn.pipeline.extract.video import Decoded, decode_videos
from tsn.pipeline.extract.videos import Source
from tsn.tsn_shared.files import TEMPORARY
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.shards import ShardTables, write_shard

MOST_IN_GROUP = 16
"""Videos that one ffmpeg decodes, at most: its start then costs a video little."""

MOST_GROUP_BYTES = 16 << 20
"""Bytes of the files that one ffmpeg decodes, if they are several."""

MOST_FRAME_FILES = 64
"""Files of frames that a shard in the making keeps open."""

_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """A shard to make at `path` from its slice of the videos; `settings` are what the shard states of its making.

    With `keep` the frames of videos that are in the shard already are copied, and only the others decoded.
    """

    path: Path
    videos: tuple[Source, ...]
    frames: FrameSettings
    settings: dict[str, Any]
    keep: bool = False


@dataclass(frozen=True, kw_only=True)
class ExtractedVideos:
    """What became of some videos: of each its frames, or why it failed; `jpegs` is a file that holds all their JPEGs.

    `originals` are the files of those that were read.
    """

    videos: tuple[tuple[str, Decoded | str], ...]
    originals: dict[str, Original]
    jpegs: BinaryIO


Extract = Callable[[Sequence[Source]], ExtractedVideos]
Map = Callable[[Extract, Sequence[Source]], Iterator[ExtractedVideos]]
Decode = Callable[[Sequence[Path]], list[Decoded]]


def one_by_one(extract: Extract, videos: Sequence[Source]) -> Iterator[ExtractedVideos]:
    """Extract a video after the other, here."""
    return (extract([video]) for video in videos)


def make_shard(job: ShardJob, run: Map = one_by_one, stop: Callable[[], bool] = never) -> Path:
    """Make a shard, its videos extracted by `run`, some at a time, which keeps their order.

    Returns its path. VideoStoppedError when `stop()` says so, OSError when the disk is full: no shard is left then.
    """
    kept = Shard(job.path) if job.keep and job.path.exists() else None

    def extract(videos: Sequence[Source]) -> ExtractedVideos:
        return extract_videos(videos, job.frames, job.path.parent, stop, kept)

    results: list[tuple[str, Decoded | str]] = []
    originals = read_originals(job.path) if kept is not None else {}
    with ExitStack() as stack:
        files: list[BinaryIO] = []
        for extracted in run(extract, job.videos):
            results += extracted.videos
            originals |= extracted.originals
            files.append(stack.enter_context(extracted.jpegs))
            if len(files) == MOST_FRAME_FILES:
                files = [_joined(files, into=stack.enter_context(_frame_file(job.path.parent)))]
        write_originals(job.path, originals)
        # where a cluster runs a job twice, the later file replaces an equal one
        write_shard(job.path, _tables(job.settings, results), _blocks(files))
    return job.path


def _blocks(files: Iterable[BinaryIO]) -> Iterator[bytes]:
    """Yield what files hold, one after the other."""
    for file in files:
        while block := file.read(_BLOCK):
            yield block


def _joined(files: list[BinaryIO], *, into: BinaryIO) -> BinaryIO:
    """Move what files hold into one, so that a shard of many videos keeps few files open."""
    for block in _blocks(files):
        into.write(block)
    for file in files:
        file.close()
    into.seek(0)
    return into


def video_groups(videos: Sequence[Source], *, most: int) -> Iterator[Sequence[Source]]:
    """Cut videos into runs for one ffmpeg each: at most so many, of files that are small."""
    group, size = list[Source](), 0
    for video in videos:
        own = _file_size(video.path)
        if group and (len(group) == most or size + own > MOST_GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(video)
        size += own
    if group:
        yield group


def extract_videos(
    videos: Sequence[Source],
    frames: FrameSettings,
    folder: Path,
    stop: Callable[[], bool] = never,
    kept: Shard | None = None,
) -> ExtractedVideos:
    """Decode videos into a file that lies in `folder` without a name; what a shard keeps is copied from it."""
    out = _frame_file(folder)
    read = [video for video in videos if kept is None or video.name not in kept.tables.names]
    decode = partial(_decode, settings=frames, out=out, stop=stop)
    results: Sequence[Decoded | str] | None = None
    try:
        originals = {video.name: original for video in read if (original := look_at(video.path, stop)) is not None}
        if len(videos) > 1 and frames.size is not None and kept is None:
            results = _together(videos, decode, out)
        if results is None:
            results = [_alone(video, decode, out, kept) for video in videos]
        out.seek(0)
    except BaseException:
        out.close()
        raise
    named = tuple(zip((video.name for video in videos), results, strict=True))
    return ExtractedVideos(videos=named, originals=originals, jpegs=out)


def _decode(paths: Sequence[Path], settings: FrameSettings, out: BinaryIO, stop: Callable[[], bool]) -> list[Decoded]:
    """Append the frames of videos, or of a folder of frames, to a file; VideoError where it fails."""
    if len(paths) == 1 and paths[0].is_dir():
        return [decode_pictures(paths[0], settings, out, stop=stop)]
    return decode_videos(paths, settings, out, stop=stop)


def _together(videos: Sequence[Source], decode: Decode, out: BinaryIO) -> list[Decoded] | None:
    """Decode videos by one ffmpeg; None, and nothing is written, where they have to be taken one by one."""
    try:
        return decode([video.path for video in videos])
    except VideoError:
        out.seek(0)
        out.truncate()
        return None


def _alone(video: Source, decode: Decode, out: BinaryIO, kept: Shard | None) -> Decoded | str:
    """Append a video's frames to a file; where it fails, return why."""
    if kept is not None and video.name in kept.tables.names:
        return _copy(kept, video.name, out)
    begin = out.tell()
    try:
        return decode([video.path])[0]
    except VideoError as error:
        out.seek(begin)
        out.truncate()
        return str(error)


def _file_size(path: Path) -> int:
    """Return a file's size, as much as a group takes where it should be alone in one."""
    try:
        status = path.stat()
    except OSError:
        return MOST_GROUP_BYTES
    return MOST_GROUP_BYTES if stat.S_ISDIR(status.st_mode) else status.st_size


def _frame_file(folder: Path) -> BinaryIO:
    # nameless, so that nothing is left of it however we end
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder, suffix=TEMPORARY, buffering=_BLOCK))


def _copy(shard: Shard, name: str, out: BinaryIO) -> Decoded:
    """Append a video's frames out of a shard, each checked against its CRC32."""
    tables, row = shard.tables, shard.tables.names.index(name)
    frames = range(int(tables.first_frame[row]), int(tables.first_frame[row + 1]))
    for frame in frames:
        out.write(shard.read(frame).data)
    return Decoded(
        sizes=np.diff(tables.offset[frames.start : frames.stop + 1]).tolist(),
        crc32=tables.crc32[frames.start : frames.stop].tolist(),
        width=int(tables.width[row]),
        height=int(tables.height[row]),
        fps=float(tables.fps[row]),
        note=tables.notes[row],
    )


def _tables(settings: dict[str, Any], results: list[tuple[str, Decoded | str]]) -> ShardTables:
    done = [(name, result) for name, result in results if isinstance(result, Decoded)]
    videos = [video for _, video in done]
    sizes = [size for video in videos for size in video.sizes]
    return ShardTables(
        settings=settings,
        names=tuple(name for name, _ in done),
        first_frame=np.cumsum([0, *(len(video.sizes) for video in videos)], dtype=np.int64),
        width=np.array([video.width for video in videos], dtype=np.int32),
        height=np.array([video.height for video in videos], dtype=np.int32),
        fps=np.array([video.fps for video in videos], dtype=np.float64),
        notes=tuple(video.note for video in videos),
        offset=np.cumsum([0, *sizes], dtype=np.int64),
        crc32=np.array([crc32 for video in videos for crc32 in video.crc32], dtype=np.uint32),
        failures=tuple((name, result) for name, result in results if isinstance(result, str)),
    )
