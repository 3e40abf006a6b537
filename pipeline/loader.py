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

from pipeline.graph import CpuFinish, Decoder, Finish, FrameBatch, build_graph
from pipeline.reader import ClipPlan, FrameReader, View, read_ahead
from pipeline.schedule import Schedule
from tsn_shared.splits import Split, Subset


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """B clips: `clips` (B, S, 3, H, W) normalised floats, channels last in memory, on the loader's device; the plan."""

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
        decoder: Decoder | None = None,
        finish: Finish | None = None,
        half: bool = False,
        threads: int | None = None,
    ) -> None:
        """Open the stream; `device` is the CPU by default, `decoder` and `finish` are what is fast there."""
        on_gpu = device is not None and device.type == "cuda"
        self._shape = (schedule.batch_size, segments, input_size, input_size, 3)
        self._on_gpu = on_gpu
        self._finish: Finish = finish or ("dali" if on_gpu else "torch")
        self._cpu_finish = CpuFinish(input_size)
        self._plans: deque[ClipPlan] = deque()
        self.reader = FrameReader(split, subset, frames)
        self._ahead = read_ahead(self.reader, schedule, view=view, segments=segments, seed=seed)
        self._pipe = build_graph(
            self._source,
            frames=schedule.batch_size * segments,
            input_size=input_size,
            device_id=(device.index or 0) if device is not None and on_gpu else None,
            decoder=decoder or ("mixed" if on_gpu else "cpu"),
            finish=self._finish,
            half=half,
            threads=threads or cpu_share(),
        )

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        if self._on_gpu:
            (output,) = self._pipe.run(torch.cuda.current_stream())
        else:
            (output,) = self._pipe.run()
        plan = self._plans.popleft()
        flat = from_dlpack(output.as_tensor()) if self._finish == "dali" else self._finished(output, plan)
        # (B, S, H, W, 3) in memory, seen as (B, S, 3, H, W): channels last without a copy
        return Batch(clips=flat.view(self._shape).permute(0, 1, 4, 2, 3), plan=plan)

    def close(self) -> None:
        """End the reader's threads and the pipeline."""
        self._ahead.close()
        del self._pipe

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _source(self) -> FrameBatch:
        encoded = next(self._ahead)
        plan = encoded.plan
        self._plans.append(plan)
        segments = plan.frame_indices.shape[1]
        crops = np.repeat(plan.crops, segments, axis=0).astype(np.int32)
        flips = np.repeat(plan.flips, segments).astype(np.int32)
        return encoded.jpegs, np.ascontiguousarray(crops[:, :2]), np.ascontiguousarray(crops[:, 2:]), flips

    def _finished(self, output: Any, plan: ClipPlan) -> torch.Tensor:
        batch, segments = self._shape[:2]
        flat = torch.empty((batch * segments, *self._shape[2:]))
        for number in range(batch * segments):
            self._cpu_finish.frame(output.at(number), flip=bool(plan.flips[number // segments]), out=flat[number])
        return flat


def cpu_share() -> int:
    """Return how many threads a rank may use for decoding: the cores that it is allowed, shared among local ranks."""
    cores = len(os.sched_getaffinity(0))
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
