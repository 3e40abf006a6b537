"""Which clips a rank serves in its n-th batch: pure functions of (seed, position, rank, world size).

Training is one endless stream: epoch after epoch, each an order of as many clips as there are (all of them once, unless
classes are balanced), cut into global batches that roll over from one epoch to the next. A position in the stream is
one integer, the number of clips served before it, so resuming, also with another world size, is that integer.
Evaluation is endless as well: pass after pass over the clips in order, each padded to whole global batches; a mask
tells the clips from the padding.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tsn.pipeline.loading.balance import epoch_order
from tsn.tsn_shared.draws import Int64, permutation
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import LoaderSettings
from tsn.tsn_shared.splits import Clips


@dataclass(frozen=True, kw_only=True, eq=False)
class GlobalBatchSlice:
    """A rank's part of a global batch: rows of the subset (B,), the epoch of each (B,), which are no padding (B,).

    What is drawn for a clip is keyed by its epoch and its `keys` (B,): the clip itself, or, where an epoch may serve it
    more than once, its place in the epoch, so that each time it shows something else.
    """

    rows: Int64
    epochs: Int64
    keys: Int64
    valid: npt.NDArray[np.bool_]


class Schedule(Protocol):
    """An order of clips, cut into global batches of which each rank serves a slice of `batch_size` clips."""

    batch_size: int

    def batch(self, number: int) -> GlobalBatchSlice:
        """Return this rank's slice of a global batch, numbered from where the schedule starts."""


@dataclass(kw_only=True)
class TrainSchedule:
    """The endless, shuffled stream; `start` clips of it, counted over all ranks, are skipped at no cost.

    `labels` (N,) are the clips' own, by which classes are balanced; without them an epoch is every clip once.
    """

    num_clips: int
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1
    start: int = 0
    labels: npt.NDArray[np.integer] | None = None
    balance: str = "none"
    _orders: dict[int, Future[Int64]] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=Lock, repr=False)

    def batch(self, number: int) -> GlobalBatchSlice:
        """Return clips [rank * B, (rank + 1) * B) of the global batch `number`."""
        first = self.start + (number * self.world_size + self.rank) * self.batch_size
        positions = np.arange(first, first + self.batch_size)
        epochs = positions // self.num_clips
        rows = np.empty_like(positions)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            rows[here] = self._order(epoch)[positions[here] % self.num_clips]
        keys = rows if self.balance == "none" else positions % self.num_clips
        return GlobalBatchSlice(rows=rows, epochs=epochs, keys=keys, valid=np.ones(self.batch_size, dtype=np.bool_))

    def _order(self, epoch: int) -> Int64:
        """Return an epoch's order; the next one is begun, so that no epoch of millions of clips starts with a wait."""
        with self._lock:
            for wanted in (epoch, epoch + 1):
                if wanted not in self._orders:
                    beside = ThreadPoolExecutor(1, thread_name_prefix="tsn-order")
                    self._orders[wanted] = beside.submit(self._draw, wanted)
                    beside.shutdown(wait=False)  # its thread ends with the order
            # the epoch before stays: batches are prepared by several threads, a little out of order
            self._orders = {e: order for e, order in self._orders.items() if e >= epoch - 1}
            order = self._orders[epoch]
        return order.result()

    def _draw(self, epoch: int) -> Int64:
        if self.labels is None:
            return permutation(seed=self.seed, epoch=epoch, size=self.num_clips)
        return epoch_order(self.labels, seed=self.seed, epoch=epoch, balance=self.balance)


def train_schedule(
    clips: Clips, settings: LoaderSettings, *, rank: int = 0, world_size: int = 1, start: int = 0
) -> TrainSchedule:
    """Return the stream of a training on these clips."""
    return TrainSchedule(
        num_clips=len(clips),
        batch_size=settings.batch_size,
        seed=settings.seed,
        rank=rank,
        world_size=world_size,
        start=start,
        labels=clips.label,
        balance=settings.balance,
    )


@dataclass(kw_only=True)
class EvalSchedule:
    """Every clip once a pass, in order; the last global batch is padded with the last clip, masked.

    The first pass starts at step `first`.
    """

    num_clips: int
    batch_size: int
    rank: int = 0
    world_size: int = 1
    first: int = 0

    @property
    def steps(self) -> int:
        """Batches of a pass: as many on every rank."""
        return -(-self.num_clips // (self.batch_size * self.world_size))

    def batch(self, number: int) -> GlobalBatchSlice:
        """Return clips [rank * B, (rank + 1) * B) of the global batch `number` of its pass."""
        first = ((self.first + number) % self.steps * self.world_size + self.rank) * self.batch_size
        positions = np.arange(first, first + self.batch_size)
        rows = np.minimum(positions, self.num_clips - 1)
        return GlobalBatchSlice(rows=rows, epochs=np.zeros_like(rows), keys=rows, valid=positions < self.num_clips)


def first_step(epoch: int, *, num_clips: int, clips_per_step: int) -> int:
    """Return the first step that starts at or after the beginning of an epoch.

    Steps do not end with epochs: epoch e is the steps [first_step(e), first_step(e + 1)), and E epochs are
    ceil(E * num_clips / clips_per_step) steps.
    """
    return -(-epoch * num_clips // clips_per_step)


def check_batch(*, num_clips: int, clips_per_step: int, split: str) -> None:
    """Refuse a step of more clips than an epoch has: its epochs would be empty."""
    if num_clips == 0:
        raise SettingsError(f"{split} has no clips to train on: run build-splits with the frames that you have")
    if clips_per_step > num_clips:
        raise SettingsError(
            f"a step of {clips_per_step} clips is more than the {num_clips} that {split} trains on: "
            "lower --batch-size (or --accumulate, or the number of ranks)"
        )
