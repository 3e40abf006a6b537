"""The loader: the endless stream of a schedule's batches as torch tensors, decoded and augmented by DALI."""

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch.utils.dlpack import from_dlpack

from tsn.pipeline.jpeg import decode_jpeg
from tsn.pipeline.loading.finish import CpuFinish
from tsn.pipeline.loading.graph import Decoder, Finish, FrameBatch, build_graph
from tsn.pipeline.loading.handover import Handover
from tsn.pipeline.loading.reader import Ahead, ClipPlan, Encoded, FrameReader, read_ahead
from tsn.pipeline.loading.schedule import Schedule, TrainSchedule
from tsn.tsn_shared import environment
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import LoaderSettings
from tsn.tsn_shared.splits import Split, Subset
from tsn.tsn_shared.views import VIEWS, View


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """B clips of S frames with K crops each, and the plan that chose them.

    `clips` (B, S * K, 3, H, W) are normalised floats, channels last in memory, on the loader's device; crop k of frame
    s is at s * K + k, so a mean over axis 1 is the mean over frames and crops.

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


class ClipLoader:
    """An iterator over a schedule's batches; it never ends. Use it as a context, or `close()` it."""

    def __init__(
        self,
        *,
        split: Split,
        subset: Subset,
        frames: Path,
        schedule: Schedule,
        view: View,
        segments: int,
        input_size: int,
        seed: int = 0,
        device: torch.device | None = None,
        decoder: Decoder = "cpu",
        finish: Finish | None = None,
        half: bool = False,
        threads: int | None = None,
    ) -> None:
        """Open the stream.

        `device` is the CPU by default, `finish` what is fast there. On a GPU `decoder` may be one that decodes there,
        and `half` gives float16 clips: half the memory, and autocast takes them as they are.
        """
        on_gpu = device is not None and device.type == "cuda"
        threads = threads or cpu_share()
        finish = finish or ("dali" if on_gpu else "torch")
        if half and finish == "torch":
            raise ValueError("half clips are what DALI finishes; torch's finish on the CPU gives float32")
        self._crops = view.crops
        self._shape = (schedule.batch_size, segments * self._crops, input_size, input_size, 3)
        self._plans: deque[ClipPlan] = deque()
        self.reader = FrameReader(split, subset, frames)
        device_id = (device.index or 0) if device is not None and on_gpu else None
        self._encoded = read_ahead(self.reader, schedule, view=view, segments=segments, seed=seed)
        self._pipe = build_graph(
            self._source,
            frames=schedule.batch_size * segments,
            crops=self._crops,
            input_size=input_size,
            device_id=device_id,
            decoder=decoder,
            finish=finish,
            half=half,
            threads=threads,
        )
        self._finish = None
        if finish == "torch":
            self._finish = CpuFinish(
                (schedule.batch_size, segments, self._crops),
                input_size=input_size,
                exact=not view.drawn,
                threads=threads,
            )
        # a thread of its own feeds and runs the graph: even on a GPU that costs the host some milliseconds a batch
        self._batches = Ahead(self._run, depth=1, threads=1, name="tsn-batch")
        self._handover = Handover() if on_gpu else None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        made, plan = next(self._batches)
        if self._handover is not None:
            flat = self._handover.take(made)
        else:
            flat = made if isinstance(made, torch.Tensor) else from_dlpack(made.as_tensor())
        # (B, S * K, H, W, 3) in memory, seen as (B, S * K, 3, H, W): channels last without a copy
        return Batch(clips=flat.view(self._shape).permute(0, 1, 4, 2, 3), plan=plan)

    def close(self) -> None:
        """End the loader's threads and the pipeline."""
        for part in (self._batches, self._handover, self._encoded, self._finish):
            if part is not None:
                part.close()
        del self._pipe

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _source(self) -> FrameBatch:
        encoded = next(self._encoded)
        self._plans.append(encoded.plan)
        return frame_batch(encoded)

    def _run(self, _: int) -> tuple[Any, ClipPlan]:
        """Return the next batch's frames, complete, and their plan: a tensor, or what DALI gave on its device."""
        try:
            (output,) = self._pipe.run()
        except RuntimeError as error:
            if "fn.decoders" in str(error) and self._plans:
                self._name_undecodable(self._plans[0])
            raise
        plan = self._plans.popleft()
        if self._finish is None:
            return output, plan
        pictures = [output.at(number) for number in range(len(output))]
        return self._finish.batch(pictures, plan, cropped=self._crops == 1), plan

    def _name_undecodable(self, plan: ClipPlan) -> None:
        """Raise a DataError that names the first frame that is no picture; DALI's own words name none."""
        for row, indices in zip(plan.rows.tolist(), plan.frame_indices.tolist(), strict=True):
            for index in indices:
                try:
                    decode_jpeg(self.reader.jpeg(row, index))
                except ValueError:
                    raise DataError(
                        f"{self.reader.place(row, index)}: a JPEG that cannot be decoded: "
                        "delete this shard and run extract-frames again"
                    ) from None


def train_clips(
    split: Split,
    frames: Path,
    settings: LoaderSettings,
    *,
    rank: int = 0,
    world_size: int = 1,
    start: int = 0,
    **how: Any,
) -> ClipLoader:
    """Open the endless training stream of a rank, `start` clips in, counted over all ranks; `how` is ClipLoader's."""
    schedule = TrainSchedule(
        num_clips=len(split.train),
        batch_size=settings.batch_size,
        seed=settings.seed,
        rank=rank,
        world_size=world_size,
        start=start,
    )
    return ClipLoader(
        split=split,
        subset="train",
        frames=frames,
        schedule=schedule,
        view=VIEWS["train"],
        segments=settings.segments,
        input_size=settings.input_size,
        seed=settings.seed,
        **how,
    )


def sample_batches(split: Split, frames: Path, settings: LoaderSettings, *, count: int) -> list[FrameBatch]:
    """Return the first batches of a training as the graph takes them."""
    schedule = TrainSchedule(num_clips=len(split.train), batch_size=settings.batch_size, seed=settings.seed)
    reader, how = FrameReader(split, "train", frames), {"segments": settings.segments, "seed": settings.seed}
    return [frame_batch(reader.encoded(schedule.load(number), view=VIEWS["train"], **how)) for number in range(count)]


def frame_batch(encoded: Encoded) -> FrameBatch:
    """Return what the graph takes: a clip's crops and flips with each of its frames."""
    plan, segments = encoded.plan, encoded.plan.frame_indices.shape[1]
    crops = np.repeat(plan.crops, segments, axis=0).astype(np.int32)
    return encoded.jpegs, crops, np.repeat(plan.flips, segments, axis=0).astype(np.int32)


def cpu_share() -> int:
    """Return how many threads a rank may use for decoding: the cores that it is allowed, shared among local ranks."""
    cores = len(os.sched_getaffinity(0))
    return max(1, cores // environment.local_world_size())


def torch_device(name: str) -> torch.device:
    """Return the device called cpu, gpu (the first), or auto: a GPU where there is one. SettingsError without any."""
    if name == "gpu" and not torch.cuda.is_available():
        raise SettingsError("--device gpu: 0 GPUs are visible; use --device cpu")
    return torch.device("cuda", 0) if name != "cpu" and torch.cuda.is_available() else torch.device("cpu")
