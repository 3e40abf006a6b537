"""Being asked to stop: SIGTERM and SIGUSR1 are remembered, and passed on by a parent to its ranks.

A scheduler that needs the machine sends one of them. The training loop looks at `asked` where it reads its sums: the
ranks agree on the step, save, and the command ends with StoppedError's exit code.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Whether a signal has asked this process to stop."""

    asked = False


@contextmanager
def stop_requests(then: Callable[[int], None] | None = None) -> Iterator[StopRequest]:
    """Remember the signals while this lasts, in the main thread; `then(number)` is called as one comes."""
    request = StopRequest()

    def remember(number: int, frame: FrameType | None) -> None:
        request.asked = True
        if then is not None:
            then(number)

    before = {number: signal.signal(number, remember) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def signal_children(number: int) -> None:
    """Send a signal to the processes that this one started through multiprocessing."""
    for child in multiprocessing.active_children():
        if child.pid is not None:
            os.kill(child.pid, number)
