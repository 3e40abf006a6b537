"""From a load to bytes: which frames and which crop each clip shows, and their JPEG data, read ahead by threads.

Everything here is NumPy on the CPU; pixels are the business of the graph.
"""

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from tsn.pipeline.loading.schedule import Load, Schedule
from tsn.tsn_shared.augment import CROP_SLOTS
from tsn.tsn_shared.console import printable
from tsn.tsn_shared.draws import Int64, clip_draws
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.files import allow_open_files
from tsn.tsn_shared.shards import Shard
from tsn.tsn_shared.splits import Clips, Split, Subset
from tsn.tsn_shared.views import View

T = TypeVar("T")

MOST_DECODED = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
"""Bytes of a load's frames as pictures; two or three loads are on their way at once."""

OPEN_SHARDS = 512
"""Shards that a reader keeps open at most; UCF101 has about 209."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipPlan:
    """What B clips show: rows, labels, valid (B,), frame_indices (B, S), and K crops of each of their frames.

    `crops` (B, K, 4) are y, x, h, w in pixels of the stored frame, `flips` (B, K).
    """

    rows: Int64
    labels: Int64
    valid: npt.NDArray[np.bool_]
    frame_indices: Int64
    crops: Int64
    flips: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """A plan and the JPEG bytes of its B * S frames, clip after clip."""

    plan: ClipPlan
    jpegs: list[npt.NDArray[np.uint8]]


class FrameReader:
    """Reads the frames of a subset of a split; safe to use from several threads."""

    def __init__(self, split: Split, subset: Subset, frames: Path) -> None:
        self.split, self.subset, self._folder = split, subset, frames
        self.clips = split.subset(subset)
        self._open: OrderedDict[int, Shard] = OrderedDict()
        self._most_open = min(OPEN_SHARDS, allow_open_files() // 4)  # a training reads with two
        self._lock = Lock()
        _refuse_missing(split, frames)

    def encoded(self, load: Load, *, view: View, segments: int, seed: int) -> Encoded:
        """Choose frames, crops and flips for a load, and read its JPEG data."""
        shards = [self._shard(number) for number in self.clips.shard[load.rows].tolist()]
        videos = self.clips.video[load.rows].tolist()
        for row, shard, video in zip(load.rows.tolist(), shards, videos, strict=True):
            self._check_clip(row, shard, video)
        height = np.array([shard.tables.height[video] for shard, video in zip(shards, videos, strict=True)])
        width = np.array([shard.tables.width[video] for shard, video in zip(shards, videos, strict=True)])
        _refuse_too_large(3 * segments * int((height.astype(np.int64) * width).sum()), clips=len(videos))
        plan = plan_clips(load, self.clips, height=height, width=width, view=view, segments=segments, seed=seed)
        wanted = [
            (shard, (shard.tables.first_frame[video] + indices).tolist())
            for shard, video, indices in zip(shards, videos, plan.frame_indices, strict=True)
        ]
        for shard, numbers in wanted:
            shard.will_need(numbers)
        return Encoded(plan=plan, jpegs=[shard.read(number) for shard, numbers in wanted for number in numbers])

    def jpeg(self, row: int, frame: int) -> npt.NDArray[np.uint8]:
        """Return the JPEG of one frame of a clip, given by its number in the video."""
        shard, video = self._shard(int(self.clips.shard[row])), int(self.clips.video[row])
        self._check_clip(row, shard, video)
        return shard.read(int(shard.tables.first_frame[video]) + frame)

    def place(self, row: int, frame: int) -> str:
        """Say where a frame of a clip is stored: shard, video, frame."""
        shard, video = self._shard(int(self.clips.shard[row])), int(self.clips.video[row])
        return f"{shard.path}: video {printable(shard.tables.names[video])}, frame {frame}"

    def frame_size(self, row: int) -> tuple[int, int]:
        """Return height and width of a clip's stored frames."""
        tables, video = self._shard(int(self.clips.shard[row])).tables, int(self.clips.video[row])
        return int(tables.height[video]), int(tables.width[video])

    def _shard(self, number: int) -> Shard:
        with self._lock:
            shard = self._open.get(number)
            if shard is None:
                shard = self._open[number] = self._open_shard(number)
                if len(self._open) > self._most_open:
                    self._open.popitem(last=False)  # it closes with the last load that reads from it
            self._open.move_to_end(number)
            return shard

    def _open_shard(self, number: int) -> Shard:
        path = self._folder / self.split.shard_names[number]
        shard = Shard(path)
        if shard.sha256 != self.split.shard_sha256[number]:
            raise DataError(
                f"{path} is not the shard that {self.split.path} was built from: run tsn build-splits again"
            )
        return shard

    def _check_clip(self, row: int, shard: Shard, video: int) -> None:
        if video >= len(shard.tables.names) or shard.tables.frames[video] != self.clips.frames[row]:
            name = self.split.names(self.subset, slice(row, row + 1))[0]
            raise DataError(
                f"{self.split.path}: clip {name} is not what {shard.path} holds: run tsn build-splits again"
            )


def plan_clips(
    load: Load,
    clips: Clips,
    *,
    height: npt.NDArray[np.int64],
    width: npt.NDArray[np.int64],
    view: View,
    segments: int,
    seed: int,
) -> ClipPlan:
    """Choose frames, crops and flips of a load's clips: a pure function of (seed, epoch, clip) for a view that draws.

    `clips` are those of the subset, `height` and `width` (B,) the sizes in pixels of the frames of the load's.
    """
    frames = clips.frames[load.rows]
    crop_draws = frame_draws = None
    if view.drawn:
        draws = clip_draws(seed=seed, epoch=load.epochs, clip=load.rows, slots=CROP_SLOTS + segments)
        crop_draws, frame_draws = draws[:, :CROP_SLOTS], draws[:, CROP_SLOTS:]
    crops, flips = view.crop_rule(height, width, crop_draws)
    return ClipPlan(
        rows=load.rows,
        labels=clips.label[load.rows].astype(np.int64),
        valid=load.valid,
        frame_indices=view.frame_rule(frames, segments, frame_draws),
        crops=crops,
        flips=flips,
    )


class Ahead(Generic[T]):
    """Calls `prepare(0)`, `prepare(1)`, ... in threads, `depth` ahead of what is taken, and gives the results in order.

    An error in a thread is raised as it is where its result is taken, and by every later call: nothing is passed over.
    """

    def __init__(self, prepare: Callable[[int], T], *, depth: int, threads: int, name: str) -> None:
        self._prepare, self._depth = prepare, depth
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._ahead: deque[Future[T]] = deque()
        self._next = 0
        self._error: BaseException | None = None
        self._fill()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._error is not None:
            raise self._error
        future = self._ahead.popleft()
        self._fill()
        try:
            return future.result()
        except BaseException as error:
            self._error = error
            raise

    def close(self) -> None:
        """End the threads; what was prepared ahead is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _fill(self) -> None:
        while len(self._ahead) < self._depth:
            self._ahead.append(self._pool.submit(self._prepare, self._next))
            self._next += 1


def read_ahead(reader: FrameReader, schedule: Schedule, *, view: View, segments: int, seed: int) -> Ahead[Encoded]:
    """Return the endless stream of a schedule's loads with their data, read by two threads."""
    return Ahead(
        lambda number: reader.encoded(schedule.load(number), view=view, segments=segments, seed=seed),
        depth=4,
        threads=2,
        name="tsn-read",
    )


def _refuse_too_large(decoded: int, *, clips: int) -> None:
    """Refuse frames that are small as JPEGs and beyond the memory as pictures, bytes `decoded` of a load."""
    if decoded > MOST_DECODED:
        raise SettingsError(
            f"the frames of {clips} clips are {decoded / (1 << 30):,.1f} GiB when they are decoded, "
            "more than a quarter of this machine's memory: lower --batch-size, or extract with a smaller --size"
        )


def _refuse_missing(split: Split, folder: Path) -> None:
    try:
        there = {entry.name for entry in os.scandir(folder)}
    except OSError as error:
        raise DataError(f"{folder}, the folder of frames, cannot be read: {error.strerror}; set --frames") from None
    missing = [name for name in split.shard_names if name not in there]
    if missing:
        raise DataError(
            f"{folder} lacks {len(missing)} of the {len(split.shard_names)} shards of {split.path}, "
            f"the first is {missing[0]}: run tsn extract-frames, or set --frames"
        )
