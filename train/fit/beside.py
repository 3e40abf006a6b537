"""Work in a thread of its own, beside training: checkpoints on their way to the disk, and curves being drawn."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self


class Beside:
    """Does one piece of work after the other in a thread; leaving it, as a context, waits for the last.

    An error is raised by whichever call comes next.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._last: Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether work is under way."""
        return self._last is not None and not self._last.done()

    def begin(self, work: Callable[[], None]) -> None:
        """Begin a piece of work once the one before is done."""
        self.wait()
        self._last = self._pool.submit(work)

    def wait(self) -> None:
        """Wait until all that was begun is done."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def close(self) -> None:
        """Wait for the last piece of work, and end the thread."""
        with self._pool:
            self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
