"""The loader: the endless stream of a schedule's batches as torch tensors, decoded and augmented by DALI."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch.utils.dlpack import from_dlpack

from tsn.pipeline.jpeg import decode_jpeg
from tsn.pipeline.loading.finish import CpuFinish
from tsn.pipeline.loading.graph import build_graph
from tsn.pipeline.loading.handover import Handover
from tsn.pipeline.loading.pixels import Pixels
from tsn.pipeline.loading.prefetch import Prefetcher
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import EvalSchedule, Schedule, train_schedule
from tsn.pipeline.loading.source import ClipPlan, ClipSource, FrameBatch, read_ahead, read_batch
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import LoaderSettings
from tsn.tsn_shared.splits import Split
from tsn.tsn_shared.views import VIEWS


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """B clips of T frames with K crops each, and the plan that chose them; T is S * L, for RGB the segments.

    `clips` (B, T * K, 3, H, W) are normalised floats, channels last in memory, on the loader's device; crop k of frame
    t is at t * K + k, so a mean over axis 1 is the mean over frames and crops.

    On a GPU they belong, as any torch tensor does, to the stream that was current at `next()`: whatever is asked of
    them there sees this batch, also once it is let go. Work of another stream waits for that one first
    (`wait_stream`), and says that it reads them (`clips.record_stream(stream)`).
    """

    clips: torch.Tensor
    plan: ClipPlan

    @property
    def labels(self) -> torch.Tensor:
        """Labels (B,), int64, on the CPU."""
        return torch.from_numpy(self.plan.labels)


@dataclass(frozen=True, kw_only=True, eq=False)
class EvalPass:
    """One pass over clips in order: `steps` batches on each rank, in which each of `clips` clips is served once.

    The clips are those of all ranks together; what else a batch holds is padding, not `valid` by its plan.
    """

    batches: Iterator[Batch]
    steps: int
    clips: int


class ClipLoader:
    """An iterator over a schedule's batches; it never ends. Use it as a context, or `close()` it."""

    def __init__(self, source: ClipSource, schedule: Schedule, pixels: Pixels) -> None:
        self._source, crops = source, source.view.crops
        shape = (schedule.batch_size, source.snippets.frames, crops)
        self._shape = (schedule.batch_size, shape[1] * crops, pixels.input_size, pixels.input_size, 3)
        self._cropped = crops == 1
        self._plans: deque[ClipPlan] = deque()
        self._encoded = read_ahead(source, schedule)
        self._pipe = build_graph(
            self._next_frames, pixels, frames=shape[0] * shape[1], crops=crops, only_decode=pixels.by_torch
        )
        self._cpu_finish = CpuFinish(shape, pixels, exact=not source.view.drawn) if pixels.by_torch else None
        # a thread of its own feeds and runs the graph: even on a GPU that costs the host some milliseconds a batch
        self._batches = Prefetcher(self._run, depth=1, threads=1, name="tsn-batch")
        self._handover = None if pixels.device_id is None else Handover()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        made, plan = next(self._batches)
        if self._handover is not None:
            flat = self._handover.take(made)
        else:
            flat = made if isinstance(made, torch.Tensor) else from_dlpack(made.as_tensor())
        # (B, T * K, H, W, 3) in memory, seen as (B, T * K, 3, H, W): channels last without a copy
        return Batch(clips=flat.view(self._shape).permute(0, 1, 4, 2, 3), plan=plan)

    def close(self) -> None:
        """End the loader's threads and the pipeline."""
        for part in (self._batches, self._handover, self._encoded, self._cpu_finish):
            if part is not None:
                part.close()
        del self._pipe

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next_frames(self) -> FrameBatch:
        frames = next(self._encoded)
        self._plans.append(frames.plan)
        return frames

    def _run(self, _: int) -> tuple[Any, ClipPlan]:
        """Return the next batch's frames, complete, and their plan: a tensor, or what DALI gave on its device."""
        try:
            (output,) = self._pipe.run()
        except RuntimeError as error:
            if "fn.decoders" in str(error) and self._plans:
                self._name_undecodable(self._plans[0])
            raise
        plan = self._plans.popleft()
        if self._cpu_finish is None:
            return output, plan
        pictures = [output.at(number) for number in range(len(output))]
        return self._cpu_finish.batch(pictures, plan, cropped=self._cropped), plan

    def _name_undecodable(self, plan: ClipPlan) -> None:
        """Raise a DataError that names the first frame that is no picture; DALI's own words name none."""
        frames = [
            (row, index)
            for row, indices in zip(plan.rows.tolist(), plan.frame_indices.tolist(), strict=True)
            for index in indices
        ]
        for (row, index), jpeg in zip(frames, self._source.read(plan), strict=True):
            try:
                decode_jpeg(jpeg)
            except ValueError:
                raise DataError(
                    f"{self._source.place(row, index)}: a JPEG that cannot be decoded: "
                    "delete this shard and run extract-frames again"
                ) from None


class EvalLoader(ClipLoader):
    """A loader of clips in order, pass after pass; while one is scored, the next begins to be read."""

    def __init__(self, source: ClipSource, schedule: EvalSchedule, pixels: Pixels) -> None:
        super().__init__(source, schedule, pixels)
        self._schedule = schedule

    def one_pass(self) -> EvalPass:
        """Return the next pass; all its batches must be taken before another is asked for."""
        steps = self._schedule.steps
        return EvalPass(batches=islice(self, steps), steps=steps, clips=self._schedule.num_clips)


def train_clips(
    split: Split,
    frames: Path,
    settings: LoaderSettings,
    pixels: Pixels,
    *,
    rank: int = 0,
    world_size: int = 1,
    start: int = 0,
) -> ClipLoader:
    """Open the endless training stream of a rank, `start` clips in, counted over all ranks.

    `pixels` say how clips are made; SettingsError where the settings state another input size or normalisation.
    """
    for what, stated, made in (
        ("input_size", settings.input_size, pixels.input_size),
        ("mean", settings.mean, pixels.normalisation.mean),
        ("std", settings.std, pixels.normalisation.std),
    ):
        if stated not in (None, made):
            raise SettingsError(f"{what} is {stated} in the loader's settings and {made} in Pixels: give both the same")
    schedule = train_schedule(split.train, settings, rank=rank, world_size=world_size, start=start)
    return ClipLoader(train_source(split, frames, settings), schedule, pixels)


def train_source(split: Split, frames: Path, settings: LoaderSettings) -> FrameReader:
    """Return the clips that a training draws from."""
    return FrameReader(split, "train", frames, view=VIEWS["train"], snippets=settings.snippets, seed=settings.seed)


def sample_batches(split: Split, frames: Path, settings: LoaderSettings, *, count: int) -> list[FrameBatch]:
    """Return the first batches of a training as the graph takes them."""
    schedule = train_schedule(split.train, settings)
    source = train_source(split, frames, settings)
    return [read_batch(source, schedule, number) for number in range(count)]
