"""Who makes the shards: threads of this process, or the workers of a Dask cluster. Both do the same jobs."""

import os
import resource
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import imageio_ffmpeg

from pipeline.make_shard import Extract, Outcome, ShardJob, make_shard
from pipeline.sources import Source
from tsn_shared.console import Progress
from tsn_shared.errors import SettingsError, TsnError
from tsn_shared.shards import read_tables

Submit = Callable[[ShardJob], "Future[Path]"]
Workers = AbstractContextManager[Submit]
"""A context that gives a way to hand in jobs; leaving it early gives up those that are not finished."""

RETRIES = 3
"""Times that a cluster tries a job again after a worker was lost."""

ANSWER_SECONDS = 20
"""How long a scheduler may take to answer."""


@contextmanager
def local_workers(jobs: int | None, progress: Progress, videos_per_shard: int) -> Iterator[Submit]:
    """Decode `jobs` videos at once (by default one a core); shards follow each other without a gap.

    As many shards are under way as keep all decoders busy while one is being written.
    """
    jobs = jobs or len(os.sched_getaffinity(0))
    _allow_open_files()
    stop = Event()
    with (
        ThreadPoolExecutor(jobs, thread_name_prefix="tsn-decode") as decoders,
        ThreadPoolExecutor(2 - -jobs // videos_per_shard, thread_name_prefix="tsn-shard") as writers,
    ):

        def run(extract: Extract, videos: Iterable[Source]) -> Iterator[Outcome]:
            for outcome in in_order(decoders, extract, videos, ahead=2 * jobs):
                progress.advance(frames=len(outcome.decoded.sizes) if outcome.decoded else 0)
                yield outcome

        try:
            yield lambda job: writers.submit(make_shard, job, run, stop.is_set)
        except BaseException:
            stop.set()
            writers.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def cluster_workers(address: str, jobs: int | None, progress: Progress) -> Iterator[Submit]:
    """Hand the jobs to a Dask cluster whose workers see the same files under the same paths.

    Each decodes `jobs` videos at once (by default one). A job whose worker is lost is given to another.
    """
    try:
        from distributed import Client
    except ImportError:
        raise SettingsError("--dask needs Dask: pip install 'tsn[dask]'") from None
    try:
        client: Any = Client(address, timeout=ANSWER_SECONDS)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise SettingsError(f"--dask {address}: no scheduler answers there ({type(error).__name__})") from None
    with client:
        executor: Executor = client.get_executor(retries=RETRIES, pure=False)

        def submit(job: ShardJob) -> "Future[Path]":
            future = executor.submit(make_shard_alone, job, jobs or 1)
            future.add_done_callback(count)
            return future

        def count(future: "Future[Path]") -> None:
            if not future.cancelled() and future.exception() is None:
                tables = read_tables(future.result())
                progress.advance(len(tables.names) + len(tables.failures), frames=len(tables.crc32))

        try:
            yield submit
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def make_shard_alone(job: ShardJob, jobs: int) -> Path:
    """Make a shard on a machine of its own, decoding `jobs` videos at once."""
    stated, own = job.settings["ffmpeg"], imageio_ffmpeg.get_ffmpeg_version()
    if own != stated:
        raise TsnError(f"{os.uname().nodename} has ffmpeg {own}, this run {stated}: install the same imageio-ffmpeg")
    with ThreadPoolExecutor(jobs) as decoders:
        return make_shard(job, partial(in_order, decoders, ahead=2 * jobs))


def in_order(pool: Executor, extract: Extract, videos: Iterable[Source], *, ahead: int) -> Iterator[Outcome]:
    """Extract videos in a pool, at most `ahead` begun and not yet taken; give the outcomes in the videos' order."""
    begun: deque[Future[Outcome]] = deque()
    for video in videos:
        begun.append(pool.submit(extract, video))
        if len(begun) >= ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def _allow_open_files() -> None:
    """Raise the limit of open files as far as we may: a decoded video is an open file until its shard takes it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
