"""From DALI's memory on a GPU to torch's, so that a batch is a tensor like any other."""

from collections import deque
from typing import Any

import torch
from torch.utils.dlpack import from_dlpack

HELD = 2
"""Outputs that are held at most, and so the steps that the host runs ahead of the GPU."""


class Handover:
    """Copies DALI's outputs, on the stream that is current, into tensors of torch's own.

    DALI gives an output that nobody holds to its next batch in the order of a stream of its own, whatever still waits
    to read it. So nothing reads an output but this copy, and an output is held until the copy is over. The copy belongs
    to the stream that asked for it. 23 MB take some 10 microseconds on an H200, of a step of 17.8 ms.
    """

    def __init__(self) -> None:
        self._held: deque[tuple[torch.Tensor, torch.cuda.Event]] = deque()

    def take(self, output: Any) -> torch.Tensor:
        """Return a copy of an output that is complete (`Pipeline.run` without a stream waits until it is)."""
        with torch.inference_mode(False):  # a batch is the same to the compiler wherever it is asked for
            whole = from_dlpack(output.as_tensor())
            copy = whole.clone()
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record(torch.cuda.current_stream(whole.device))
        self._held.append((whole, copied))
        while len(self._held) > HELD or (self._held and self._is_copied()):
            self._release()
        return copy

    def close(self) -> None:
        """Wait until all copies are over."""
        while self._held:
            self._release()

    def _is_copied(self) -> bool:
        return bool(self._held[0][1].query())  # type: ignore[no-untyped-call]

    def _release(self) -> None:
        _, copied = self._held[0]
        copied.synchronize()
        self._held.popleft()
