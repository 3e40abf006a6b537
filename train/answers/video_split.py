"""Videos that are in no split: extracted for an answer, as the frames were that a network learned from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tsn.pipeline.extract.run import make_shards, plan_shards
from tsn.pipeline.extract.videos import Source, find_videos
from tsn.train.answers.prediction import Failure
from tsn.train.answers.trained import TrainedNetwork
from tsn.tsn_shared.console import say
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.settings import ExtractSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.splits import Clips, split_name, write_split

SPLIT = "videos"
"""Name of the split that the videos make among themselves."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoSplit:
    """Videos as shards and a split: names of those that gave frames, in the order of the split, and the failures."""

    shards: tuple[Shard, ...]
    clips: Clips
    names: tuple[str, ...]
    failures: tuple[Failure, ...]


def split_of_videos(sources: Sequence[Source], trained: TrainedNetwork, folder: Path) -> VideoSplit:
    """Extract videos into a folder as the frames were made that a network learned from, and join them to a split."""
    made = trained.frames
    settings = ExtractSettings(out=folder, size=made.size)
    if made.quality is not None:
        settings = replace(settings, quality=made.quality)
    jobs = plan_shards(tuple(sources), settings)
    make_shards(jobs, settings)
    shards = tuple(Shard(job.path) for job in jobs)
    counts = [len(shard.tables.names) for shard in shards]
    rows = np.arange(sum(counts))
    clips = Clips(
        label=np.zeros(len(rows), dtype=np.int32),  # nobody knows it
        shard=np.repeat(np.arange(len(shards)), counts).astype(np.int32),
        video=(rows - np.repeat(np.cumsum([0, *counts[:-1]]), counts)).astype(np.int32),
        frames=np.concatenate([shard.tables.frames for shard in shards]).astype(np.int32),
    )
    names = tuple(name for shard in shards for name in shard.tables.names)
    none = Clips(**{column: np.zeros(0, dtype=np.int32) for column in ("label", "shard", "video", "frames")})
    write_split(
        folder / split_name(SPLIT),
        source="videos to predict",
        classes=trained.classes,
        shards={shard.path.name: shard.sha256 for shard in shards},
        clips={"train": none, "test": clips},
        names={"train": (), "test": names},
    )
    failures = tuple(Failure(video=name, reason=why) for shard in shards for name, why in shard.tables.failures)
    return VideoSplit(shards=shards, clips=clips, names=names, failures=failures)


def sources_of(videos: Sequence[Path]) -> list[Source]:
    """Return the videos that the paths name, folders opened, each called by its path; DataError for a missing one."""
    paths = list[Path]()
    for path in videos:
        if path.is_dir():
            found = find_videos(path)
            if found.unread:
                say(found.unread)
            paths += [source.path for source in found.videos]
        elif not path.exists():
            raise DataError(f"{path} does not exist")
        else:
            paths.append(path)
    return [Source(name=str(path), path=path) for path in dict.fromkeys(paths)]
