"""One slice of the video list to one shard: a pure function of the slice and the settings, wherever it runs."""

import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from pipeline.sources import Source
from pipeline.video import Decoded, FrameSettings, VideoError, decode_video, never
from tsn_shared.files import TEMPORARY
from tsn_shared.shards import Shard, ShardTables, write_shard

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
class Outcome:
    """What became of a video: its frames, `spool` holding their JPEGs from the start, or the reason of its failure."""

    name: str
    decoded: Decoded | None = None
    spool: BinaryIO | None = None
    reason: str = ""


Extract = Callable[[Source], Outcome]
Map = Callable[[Extract, Iterable[Source]], Iterator[Outcome]]


def make_shard(job: ShardJob, run: Map = map, stop: Callable[[], bool] = never) -> Path:
    """Make a shard, its videos extracted by `run`, which keeps their order (one after the other by default).

    Returns its path. VideoStoppedError when `stop()` says so, OSError when the disk is full: no shard is left then.
    """
    folder = job.path.parent
    kept = _kept(job)

    def extract(video: Source) -> Outcome:
        return _copied(kept, video.name, folder) or extract_video(video, job.frames, folder, stop)

    decoded, failures = [], []
    with _spool(folder) as jpeg:
        for outcome in run(extract, job.videos):
            if outcome.decoded is None or outcome.spool is None:
                failures.append((outcome.name, outcome.reason))
                continue
            with outcome.spool as spool:
                while block := spool.read(_BLOCK):
                    jpeg.write(block)
            decoded.append((outcome.name, outcome.decoded))
        jpeg.seek(0)
        # a name of its own: where a cluster runs a job twice, the later file replaces an equal one
        part = job.path.with_name(f"{job.path.name}.{uuid.uuid4().hex}{TEMPORARY}")
        try:
            write_shard(part, _tables(job.settings, decoded, failures), jpeg)
            part.replace(job.path)
        finally:
            part.unlink(missing_ok=True)
    return job.path


def extract_video(video: Source, frames: FrameSettings, folder: Path, stop: Callable[[], bool] = never) -> Outcome:
    """Decode a video into a spool that lives in `folder` without a name."""
    spool = _spool(folder)
    try:
        decoded = decode_video(video.path, frames, spool, stop=stop)
        spool.seek(0)
    except VideoError as error:
        spool.close()
        return Outcome(name=video.name, reason=str(error))
    except BaseException:
        spool.close()
        raise
    return Outcome(name=video.name, decoded=decoded, spool=spool)


def _spool(folder: Path) -> BinaryIO:
    # nameless, so that nothing is left of it however we end
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder, suffix=TEMPORARY, buffering=_BLOCK))


def _kept(job: ShardJob) -> Shard | None:
    return Shard(job.path) if job.keep and job.path.exists() else None


def _copied(shard: Shard | None, name: str, folder: Path) -> Outcome | None:
    """Return a video's frames out of a shard, each checked against its CRC32; None when it is not in there."""
    if shard is None or name not in shard.tables.names:
        return None
    tables, row = shard.tables, shard.tables.names.index(name)
    frames = range(int(tables.first_frame[row]), int(tables.first_frame[row + 1]))
    spool = _spool(folder)
    for frame in frames:
        spool.write(shard.read(frame).data)
    spool.seek(0)
    decoded = Decoded(
        sizes=np.diff(tables.offset[frames.start : frames.stop + 1]).tolist(),
        crc32=tables.crc32[frames.start : frames.stop].tolist(),
        width=int(tables.width[row]),
        height=int(tables.height[row]),
        fps=float(tables.fps[row]),
        note=tables.notes[row],
    )
    return Outcome(name=name, decoded=decoded, spool=spool)


def _tables(
    settings: dict[str, Any], decoded: list[tuple[str, Decoded]], failures: list[tuple[str, str]]
) -> ShardTables:
    videos = [video for _, video in decoded]
    sizes = [size for video in videos for size in video.sizes]
    return ShardTables(
        settings=settings,
        names=tuple(name for name, _ in decoded),
        first_frame=np.cumsum([0, *(len(video.sizes) for video in videos)], dtype=np.int64),
        width=np.array([video.width for video in videos], dtype=np.int32),
        height=np.array([video.height for video in videos], dtype=np.int32),
        fps=np.array([video.fps for video in videos], dtype=np.float64),
        notes=tuple(video.note for video in videos),
        offset=np.cumsum([0, *sizes], dtype=np.int64),
        crc32=np.array([crc32 for video in videos for crc32 in video.crc32], dtype=np.uint32),
        failures=tuple(failures),
    )
