"""Results in order, a bounded number of them ahead, and errors that stay."""

import threading
import time

import pytest

from tsn.pipeline.loading.prefetch import Prefetcher


def test_results_come_in_order_whichever_is_ready_first() -> None:
    def prepare(number: int) -> int:
        time.sleep(0.002 * (3 - number % 4))  # each of four takes less than the one before
        return number

    ahead = Prefetcher(prepare, depth=4, threads=4, name="test")
    assert [next(ahead) for _ in range(12)] == list(range(12))
    ahead.close()


def test_no_more_is_prepared_than_the_depth_allows() -> None:
    asked: list[int] = []
    ahead = Prefetcher(asked.append, depth=3, threads=1, name="test")
    for _ in range(2):
        next(ahead)
    ahead._ahead[-1].result(timeout=60)
    assert asked == [0, 1, 2, 3, 4]
    ahead.close()


def test_an_error_is_raised_in_its_turn_and_ever_after() -> None:
    def prepare(number: int) -> int:
        if number == 2:
            raise MemoryError("of the third")
        return number

    ahead = Prefetcher(prepare, depth=4, threads=2, name="test")
    assert [next(ahead), next(ahead)] == [0, 1]
    for _ in range(3):
        with pytest.raises(MemoryError, match="of the third"):
            next(ahead)
    ahead.close()


def test_closing_ends_its_threads() -> None:
    Prefetcher(lambda number: number, depth=4, threads=3, name="test-closing").close()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("test-closing")] == []
