"""Who makes the shards: threads of this process, or the workers of a Dask cluster. Both do the same jobs."""

import logging
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
from typing import Any

from pipeline.make_shard import TOGETHER, Extract, Outcome, ShardJob, batches, make_shard
from pipeline.sources import Source
from pipeline.video import Decoded, made_with
from tsn_shared.console import Progress, say
from tsn_shared.errors import SettingsError, TsnError, brief
from tsn_shared.files import allow_open_files
from tsn_shared.shards import read_tables

Submit = Callable[[ShardJob], "Future[Path]"]
Workers = AbstractContextManager[Submit]
"""A context that gives a way to hand in jobs; leaving it early gives up those that are not finished."""

RETRIES = 3
"""Times that a cluster tries a job again after a worker was lost."""

ANSWER_SECONDS = 20
"""How long a scheduler may take to answer."""


@contextmanager
def local_workers(shards: Sequence[ShardJob], jobs: int | None, progress: Progress) -> Iterator[Submit]:
    """Decode for these shards with `jobs` ffmpegs at once (by default one a core), without a gap from shard to shard.

    As many shards are under way as keep all decoders busy while one is being written.
    """
    jobs = jobs or len(os.sched_getaffinity(0))
    videos = [len(shard.videos) for shard in shards]
    together = max(1, min(TOGETHER, sum(videos) // (4 * jobs)))  # of a few videos every job gets some
    under_way = 1 + math.ceil(jobs / math.ceil(max(videos) / together))
    allow_open_files()  # a decoded video is an open file until its shard takes it
    stop = Event()
    with (
        decoder_threads(jobs) as decoders,
        ThreadPoolExecutor(1 + under_way, thread_name_prefix="tsn-shard") as writers,
    ):

        def run(extract: Extract, videos: Sequence[Source]) -> Iterator[Outcome]:
            for outcome in in_order(decoders, extract, videos, together=together, ahead=2 * jobs):
                for _, result in outcome.videos:
                    progress.advance(frames=len(result.sizes) if isinstance(result, Decoded) else 0)
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
        from distributed import Client, KilledWorker
    except ImportError:
        raise SettingsError("--dask needs Dask: pip install '.[dask]' where tsn was installed from") from None
    try:
        client: Any = Client(address, timeout=ANSWER_SECONDS)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise SettingsError(f"--dask {address}: no scheduler answers there ({type(error).__name__})") from None
    with client:
        executor: Executor = client.get_executor(retries=RETRIES, pure=False)

        def submit(job: ShardJob) -> "Future[Path]":
            future = executor.submit(make_shard_alone, job, jobs or 1)
            future.add_done_callback(advance)
            return future

        def advance(future: "Future[Path]") -> None:
            if not future.cancelled() and future.exception() is None:
                tables = read_tables(future.result())
                progress.advance(len(tables.names) + len(tables.failures), frames=len(tables.crc32))

        if not client.scheduler_info()["workers"]:
            say(f"--dask {address}: no worker is connected there yet: the work begins with the first")
        try:
            yield submit
        except (RuntimeError, KilledWorker) as error:  # Dask's own: another Python there, or workers that die
            raise TsnError(
                f"--dask {address}: {brief(error)}: the scheduler and its workers need the same Python and tsn as here"
            ) from None
        finally:
            for talker in ("tornado.application", "concurrent.futures", "distributed"):
                logging.getLogger(talker).disabled = True  # on futures that end while they are cancelled
            executor.shutdown(wait=False)  # cancels what is not finished


def make_shard_alone(job: ShardJob, jobs: int) -> Path:
    """Make a shard on a machine of its own, decoding `jobs` videos at once."""
    for what, own in made_with().items():
        if own != job.settings[what]:
            here = f"{os.uname().nodename} has {what} {own}, this run {job.settings[what]}"
            raise TsnError(f"{here}: install the same imageio-ffmpeg and simplejpeg")
    with ThreadPoolExecutor(jobs) as decoders:
        return make_shard(job, partial(in_order, decoders, together=TOGETHER, ahead=2 * jobs))


def in_order(
    pool: Executor, extract: Extract, videos: Sequence[Source], *, together: int, ahead: int
) -> Iterator[Outcome]:
    """Extract videos in a pool, up to `together` at a time; give the outcomes in the videos' order.

    At most `ahead` are begun and not yet taken.
    """
    begun: deque[Future[Outcome]] = deque()
    runs = -(-len(videos) // together)
    for batch in batches(videos, most=-(-len(videos) // runs)):  # as even as can be
        begun.append(pool.submit(extract, batch))
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
