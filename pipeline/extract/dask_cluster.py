"""Shards made by a Dask cluster, so that whatever becomes of it, the command ends in bounded time and says why.

A client of Dask waits without end for a scheduler that accepts and never answers, or for a worker that never comes
back. So calls are made in threads that are left behind, and a watch ends what nobody works on any more.
"""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, InvalidStateError
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from typing import Any, TypeVar

from tsn.pipeline.extract.shard import ShardJob
from tsn.pipeline.extract.workers import Submit, make_shard_alone
from tsn.tsn_shared.console import Progress, say
from tsn.tsn_shared.errors import SettingsError, TsnError, brief
from tsn.tsn_shared.shards import read_tables

T = TypeVar("T")

RETRIES = 3
"""Times that a cluster tries a job again after a worker was lost."""

ANSWER_SECONDS = 20.0
"""How long a scheduler may take to answer."""

WORKER_SECONDS = 120.0
"""How long a cluster may be without any worker."""

LOOK_SECONDS = 5.0
"""Between two looks at the cluster."""


@contextmanager
def cluster_workers(address: str, jobs: int | None, progress: Progress) -> Iterator[Submit]:
    """Hand the jobs to a Dask cluster whose workers see the same files under the same paths.

    Each decodes `jobs` videos at once (by default one). A job whose worker is lost is given to another. A job ends with
    TsnError where the scheduler is lost, or the cluster stays without a worker.
    """
    try:
        from distributed import Client

        _hush()
    except ImportError:
        raise SettingsError("--dask needs Dask: pip install '.[dask]' where tsn was installed from") from None
    try:
        client = bounded(lambda: Client(address, timeout=ANSWER_SECONDS), 1.5 * ANSWER_SECONDS)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise SettingsError(f"--dask {address}: no scheduler answers there ({type(error).__name__})") from None
    cluster = _Cluster(address, client, progress)
    try:
        yield lambda job: cluster.submit(job, jobs or 1)
    finally:
        cluster.close()


class _Cluster:
    """Jobs handed to a cluster; each ends by its result, or by the watch over the cluster."""

    def __init__(self, address: str, client: Any, progress: Progress) -> None:
        self._where, self._client, self._progress = f"--dask {address}", client, progress
        self._executor: Executor = client.get_executor(retries=RETRIES, pure=False)
        self._open = set[Future[Any]]()
        self._lost: TsnError | None = None
        self._lock, self._ended = Lock(), Event()
        Thread(target=self._watch, name="tsn-dask", daemon=True).start()

    def submit(self, job: ShardJob, jobs: int) -> "Future[Any]":
        """Hand in a job; what is returned ends in any case."""
        outer: Future[Any] = Future()
        with self._lock:
            if self._lost is not None:
                raise self._lost
            self._open.add(outer)
        try:
            self._executor.submit(make_shard_alone, job, jobs).add_done_callback(lambda inner: self._end(outer, inner))
        except RuntimeError as error:  # the client has closed meanwhile
            raise self._as_user_error(error) from None
        return outer

    def close(self) -> None:
        """Cancel what is not finished, and leave the cluster."""
        self._ended.set()
        _hush()  # on futures that end while they are cancelled
        with suppress(Exception):  # there is nothing left that could be lost
            bounded(self._leave, ANSWER_SECONDS)

    def _leave(self) -> None:
        self._executor.shutdown(wait=False)  # cancels
        self._client.close(timeout=ANSWER_SECONDS)

    def _end(self, outer: "Future[Any]", inner: "Future[Any]") -> None:
        """Pass on how a job ended; the videos of a shard are counted."""
        with self._lock:
            self._open.discard(outer)
        try:
            path = inner.result()
            tables = read_tables(path)
        except BaseException as error:
            with suppress(InvalidStateError):  # the watch was first
                outer.set_exception(self._as_user_error(error))
        else:
            with suppress(InvalidStateError):
                self._progress.advance(len(tables.names) + len(tables.failures), frames=len(tables.crc32))
                outer.set_result(path)

    def _as_user_error(self, error: BaseException) -> BaseException:
        """Return an error of Dask itself in words for the user, another one as it is."""
        from distributed import KilledWorker

        if isinstance(error, CancelledError):
            return self._lost or self._scheduler_lost()
        if isinstance(error, RuntimeError | KilledWorker):  # another Python there, or workers that die
            needs = "the scheduler and its workers need the same Python and tsn as here"
            return TsnError(f"{self._where}: {brief(error)}: {needs}")
        return error

    def _scheduler_lost(self) -> TsnError:
        return TsnError(f"{self._where}: the scheduler is lost: start one and run again, finished shards are kept")

    def _watch(self) -> None:
        """End all jobs where the scheduler no longer answers, or has had no worker for too long."""
        since, announced = time.monotonic(), False
        while not self._ended.is_set():
            try:
                workers = bounded(self._client.nthreads, ANSWER_SECONDS)
            except Exception:
                self._give_up(self._scheduler_lost())
                return
            if workers:
                since, announced = time.monotonic(), False
            elif time.monotonic() - since > WORKER_SECONDS:
                words = f"{self._where}: no worker was connected for {WORKER_SECONDS:.0f} s"
                self._give_up(TsnError(f"{words}: start some and run again, finished shards are kept"))
                return
            elif not announced:
                say(f"{self._where}: no worker is connected there: one is waited for, {WORKER_SECONDS:.0f} s at most")
                announced = True
            self._ended.wait(LOOK_SECONDS)

    def _give_up(self, error: TsnError) -> None:
        if self._ended.is_set():
            return
        with self._lock:
            self._lost, left = error, list(self._open)
        for outer in left:
            with suppress(InvalidStateError):
                outer.set_exception(error)


def bounded(call: Callable[[], T], seconds: float) -> T:
    """Return what a call returns; TimeoutError where that takes longer, and its thread is left behind."""
    end: Future[T] = Future()

    def run() -> None:
        try:
            end.set_result(call())
        except BaseException as error:
            end.set_exception(error)

    Thread(target=run, daemon=True).start()
    return end.result(timeout=seconds)


def _hush() -> None:
    """Silence Dask and what it is built on, at the start and again for what was loaded since: we say what happens."""
    for name in ("tornado.application", "concurrent.futures", "asyncio", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("tornado", "concurrent", "asyncio", "distributed"):
            logging.getLogger(name).disabled = True
