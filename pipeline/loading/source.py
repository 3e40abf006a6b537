"""Where clips come from, as the loader knows it: a source plans what clips show, and reads it."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tsn.pipeline.loading.prefetch import Prefetcher
from tsn.pipeline.loading.schedule import GlobalBatchSlice, Schedule
from tsn.tsn_shared.augment import CROP_SLOTS
from tsn.tsn_shared.draws import Int64, clip_draws
from tsn.tsn_shared.splits import Clips
from tsn.tsn_shared.views import Snippets, View

Jpeg = npt.NDArray[np.uint8]
"""The bytes of a JPEG file."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipPlan:
    """What B clips show: rows, labels, valid (B,), frame_indices (B, S * L), and K crops of each of their frames.

    Frame l of segment s is at s * L + l. `crops` (B, K, 4) are y, x, h, w in pixels of the stored frame, `flips`
    (B, K).
    """

    rows: Int64
    labels: Int64
    valid: npt.NDArray[np.bool_]
    frame_indices: Int64
    crops: Int64
    flips: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameBatch:
    """The F = B * S * L frames of B planned clips, clip after clip: `jpegs`, and what is done to each by the plan."""

    plan: ClipPlan
    jpegs: list[Jpeg]

    @cached_property
    def crops(self) -> npt.NDArray[np.int32]:
        """Crops of each frame, (F, K, 4), as y, x, h, w."""
        return np.repeat(self.plan.crops, self.plan.frame_indices.shape[1], axis=0).astype(np.int32)

    @cached_property
    def flips(self) -> npt.NDArray[np.int32]:
        """Whether each crop is mirrored, (F, K), 0 or 1."""
        return np.repeat(self.plan.flips, self.plan.frame_indices.shape[1], axis=0).astype(np.int32)


class ClipSource(Protocol):
    """Clips of one view, numbered by rows; safe to use from several threads."""

    view: View
    snippets: Snippets

    def __len__(self) -> int:
        """Return how many clips there are."""

    def plan(self, batch: GlobalBatchSlice) -> ClipPlan:
        """Choose frames, crops and flips; nothing of a frame is read."""

    def read(self, plan: ClipPlan) -> list[Jpeg]:
        """Return the JPEG data of the plan's frames, clip after clip."""

    def place(self, row: int, frame: int) -> str:
        """Say where a frame of a clip is stored."""


def plan_clips(
    batch: GlobalBatchSlice,
    clips: Clips,
    *,
    height: npt.NDArray[np.int64],
    width: npt.NDArray[np.int64],
    view: View,
    snippets: Snippets,
    seed: int,
) -> ClipPlan:
    """Choose frames, crops and flips of a batch's clips: a pure function of (seed, epoch, key) for a view that draws.

    `clips` are those of the subset, `height` and `width` (B,) the sizes in pixels of the frames of the batch's.
    """
    crop_draws = frame_draws = None
    if view.drawn:
        draws = clip_draws(seed=seed, epoch=batch.epochs, clip=batch.keys, slots=CROP_SLOTS + snippets.segments)
        crop_draws, frame_draws = draws[:, :CROP_SLOTS], draws[:, CROP_SLOTS:]
    crops, flips = view.crop_rule(height, width, crop_draws)
    return ClipPlan(
        rows=batch.rows,
        labels=clips.label[batch.rows].astype(np.int64),
        valid=batch.valid,
        frame_indices=view.frame_indices(clips.frames[batch.rows], snippets, frame_draws),
        crops=crops,
        flips=flips,
    )


def read_batch(source: ClipSource, schedule: Schedule, number: int) -> FrameBatch:
    """Plan and read one batch of a schedule."""
    plan = source.plan(schedule.batch(number))
    return FrameBatch(plan=plan, jpegs=source.read(plan))


def read_ahead(source: ClipSource, schedule: Schedule) -> Prefetcher[FrameBatch]:
    """Return the endless stream of a schedule's batches with their data, read by two threads."""
    return Prefetcher(partial(read_batch, source, schedule), depth=4, threads=2, name="tsn-read")
