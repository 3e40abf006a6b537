"""Who makes the shards: threads of this process; and what a worker of a cluster does, which is the same."""

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event

from tsn.pipeline.extract.shard import MOST_IN_GROUP, Extract, ExtractedVideos, ShardJob, make_shard, video_groups
from tsn.pipeline.extract.video import Decoded, made_with
from tsn.pipeline.extract.videos import Source
from tsn.tsn_shared.console import Progress
from tsn.tsn_shared.errors import TsnError
from tsn.tsn_shared.files import allow_open_files

Submit = Callable[[ShardJob], "Future[Path]"]
Workers = AbstractContextManager[Submit]
"""A context that gives a way to hand in jobs; leaving it early gives up those that are not finished."""


@contextmanager
def local_workers(shards: Sequence[ShardJob], jobs: int | None, progress: Progress) -> Iterator[Submit]:
    """Decode for these shards with `jobs` ffmpegs at once (by default one a core), without a gap from shard to shard.

    As many shards are under way as keep all decoders busy while one is being written.
    """
    jobs = jobs or len(os.sched_getaffinity(0))
    videos = [len(shard.videos) for shard in shards]
    most = max(1, min(MOST_IN_GROUP, sum(videos) // (4 * jobs)))  # of a few videos every job gets some
    under_way = 1 + math.ceil(jobs / math.ceil(max(videos) / most))
    allow_open_files()  # a decoded video is an open file until its shard takes it
    stop = Event()
    with (
        decoder_threads(jobs) as decoders,
        ThreadPoolExecutor(1 + under_way, thread_name_prefix="tsn-shard") as writers,
    ):

        def run(extract: Extract, videos: Sequence[Source]) -> Iterator[ExtractedVideos]:
            for extracted in in_order(decoders, extract, videos, most=most, ahead=2 * jobs):
                for _, result in extracted.videos:
                    progress.advance(frames=len(result.sizes) if isinstance(result, Decoded) else 0)
                yield extracted

        try:
            yield lambda job: writers.submit(make_shard, job, run, stop.is_set)
        except BaseException:
            stop.set()
            writers.shutdown(wait=False, cancel_futures=True)
            raise


def make_shard_alone(job: ShardJob, jobs: int) -> Path:
    """Make a shard on a machine of its own, decoding `jobs` videos at once."""
    for what, own in made_with().items():
        if own != job.settings[what]:
            here = f"{os.uname().nodename} has {what} {own}, this run {job.settings[what]}"
            raise TsnError(f"{here}: install the same imageio-ffmpeg and simplejpeg")
    with ThreadPoolExecutor(jobs) as decoders:
        return make_shard(job, partial(in_order, decoders, most=MOST_IN_GROUP, ahead=2 * jobs))


def in_order(
    pool: Executor, extract: Extract, videos: Sequence[Source], *, most: int, ahead: int
) -> Iterator[ExtractedVideos]:
    """Extract videos in a pool, up to `most` by one ffmpeg; yield the results in the videos' order.

    At most `ahead` are begun and not yet taken.
    """
    begun: deque[Future[ExtractedVideos]] = deque()
    runs = -(-len(videos) // most)
    for group in video_groups(videos, most=-(-len(videos) // runs)):  # as even as can be
        begun.append(pool.submit(extract, group))
        if len(begun) >= ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def decoder_threads(jobs: int) -> ThreadPoolExecutor:
    """Return the threads that decode videos, `jobs` at once.

    Where each has a core to itself it stays there, with the ffmpeg that it starts: the threads of an ffmpeg that are
    spread over the cores wait for each other's caches, which costs a sixth.
    """
    cores, numbers = sorted(os.sched_getaffinity(0)), count()

    def settle() -> None:
        with suppress(OSError):  # some sandboxes forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # fewer switches between a frame's stages
            if jobs == len(cores):
                os.sched_setaffinity(0, {cores[next(numbers)]})

    return ThreadPoolExecutor(jobs, thread_name_prefix="tsn-decode", initializer=settle)
