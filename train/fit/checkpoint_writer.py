"""Checkpoints on their way from the device to the disk, while training goes on."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tsn.train.fit.beside import Beside
from tsn.train.fit.checkpoint import save_checkpoint


class Snapshot:
    """A state as it is now: its tensors are copied where they are, which takes a GPU a millisecond or two a GB.

    Whatever the caller asks of its stream next may change the originals.
    """

    def __init__(self, state: Mapping[str, object]) -> None:
        devices: set[torch.device] = set()

        def copy(tensor: Tensor) -> Tensor:
            devices.add(tensor.device)
            return tensor.detach().clone()

        self._state = _mapped(dict(state), copy)
        self._taken = [torch.cuda.current_stream(device).record_event() for device in devices if device.type == "cuda"]

    def on_host(self) -> Any:
        """Return the state in main memory, and let go of the copy; from any thread.

        From a GPU it comes through pinned memory on a stream of its own, beside the steps that training takes.
        """
        state, self._state = self._state, {}
        if not self._taken:
            return state
        stream = torch.cuda.Stream(self._taken[0].device)  # type: ignore[no-untyped-call]
        for event in self._taken:
            stream.wait_event(event)
        with torch.cuda.stream(stream):
            there = _mapped(state, _pinned)
        stream.synchronize()
        return there


class CheckpointWriter(Beside):
    """Saves checkpoints in a folder, one at a time, as `save_checkpoint` does."""

    def __init__(self, folder: Path) -> None:
        super().__init__("tsn-checkpoint")
        self._folder = folder

    def save(self, state: Mapping[str, object], *, best: bool) -> None:
        """Save a state as it is at this moment, once the one before is on the disk."""
        self.wait()  # first: two copies at once would take more memory than was counted on
        self.begin(partial(self._write, Snapshot(state), best))

    def _write(self, snapshot: Snapshot, best: bool) -> None:
        save_checkpoint(self._folder, snapshot.on_host(), best=best)


def _pinned(tensor: Tensor) -> Tensor:
    if not tensor.is_cuda:
        return tensor
    return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)


def _mapped(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a state with its tensors changed and its containers copied."""
    if isinstance(state, Tensor):
        return change(state)
    if isinstance(state, dict):
        return {key: _mapped(value, change) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_mapped(value, change) for value in state)
    return state
