"""Results of numbered calls, prepared in threads ahead of whoever takes them."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Calls `prepare(0)`, `prepare(1)`, ... in threads, `depth` ahead of what is taken, and gives the results in order.

    An error in a thread is raised as it is where its result is taken, and by every later call: nothing is skipped.
    """

    def __init__(self, prepare: Callable[[int], T], *, depth: int, threads: int, name: str) -> None:
        self._prepare, self._depth = prepare, depth
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._ahead: deque[Future[T]] = deque()
        self._next = 0
        self._error: BaseException | None = None
        self._fill()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._error is not None:
            raise self._error
        future = self._ahead.popleft()
        self._fill()
        try:
            return future.result()
        except BaseException as error:
            self._error = error
            raise

    def close(self) -> None:
        """End the threads; what was prepared ahead is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _fill(self) -> None:
        while len(self._ahead) < self._depth:
            self._ahead.append(self._pool.submit(self._prepare, self._next))
            self._next += 1
