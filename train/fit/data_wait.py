"""How long a device had nothing to do because no batch was there."""

import time
from types import TracebackType
from typing import Self

import torch


class DataWait:
    """Encloses the waits for a batch, as a context, and adds up how long the device stood still in them.

    On a GPU the host runs ahead and waits while the GPU works, which is no loss. Two events tell: where earlier steps
    are still at work when the batch comes they pass one right behind the other; where the GPU had run dry they lie as
    far apart as the host waited from there on. The CPU works for nobody else: its clock tells.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._begin: torch.cuda.Event | float = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._seconds = 0.0

    def __enter__(self) -> Self:
        self._begin = self._moment()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        begin, end = self._begin, self._moment()
        if isinstance(begin, torch.cuda.Event) and isinstance(end, torch.cuda.Event):
            self._events.append((begin, end))
        elif isinstance(begin, float) and isinstance(end, float):
            self._seconds += end - begin

    def read(self) -> float:
        """Return the seconds since the last reading; on a GPU once it has reached the last of them."""
        seconds, self._seconds = self._seconds, 0.0
        events, self._events = self._events, []
        return seconds + sum(float(begin.elapsed_time(end)) for begin, end in events) / 1000

    def _moment(self) -> torch.cuda.Event | float:
        if self._device.type == "cpu":
            return time.monotonic()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event
