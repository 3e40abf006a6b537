"""The source of clips in frame shards: which frames and crops each shows, and their JPEG data.

Everything here is NumPy on the CPU; pixels are the business of the graph.
"""

import os
from collections import OrderedDict
from pathlib import Path
from threading import Lock

import numpy as np

from tsn.pipeline.loading.schedule import GlobalBatchSlice
from tsn.pipeline.loading.source import ClipPlan, Jpeg, plan_clips
from tsn.tsn_shared.console import printable
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.files import allow_open_files
from tsn.tsn_shared.nearest import absent
from tsn.tsn_shared.shard_file import Shard, ShardIndex
from tsn.tsn_shared.splits import Split, Subset
from tsn.tsn_shared.views import Snippets, View

MOST_DECODED = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
"""Bytes of a batch's frames as pictures; two or three batches are on their way at once."""

OPEN_SHARDS = 4096
"""Shards that a reader keeps open at most: each is a file descriptor; UCF101 has about 209, Kinetics-400 4,000."""


class FrameReader:
    """The clips of a subset of a split: what a view shows of their snippets; the first `ClipSource`."""

    def __init__(
        self, split: Split, subset: Subset, frames: Path, *, view: View, snippets: Snippets, seed: int = 0
    ) -> None:
        self.split, self.subset, self._folder = split, subset, frames
        self.view, self.snippets, self._seed = view, snippets, seed
        self.clips = split.subset(subset)
        self._open: OrderedDict[int, Shard] = OrderedDict()
        self._known: dict[int, ShardIndex] = {}  # of every shard that was met
        self._most_open = min(OPEN_SHARDS, allow_open_files() // 4)  # a training reads with two
        self._lock = Lock()
        check_shards(split, frames)

    def __len__(self) -> int:
        return len(self.clips)

    def plan(self, batch: GlobalBatchSlice) -> ClipPlan:
        """Choose frames, crops and flips, by the tables of the shards; DataError where they do not match the split."""
        height, width = np.array([self.frame_size(row) for row in batch.rows.tolist()]).T
        _refuse_too_large(3 * self.snippets.frames * int((height * width).sum()), clips=len(batch.rows))
        return plan_clips(
            batch, self.clips, height=height, width=width, view=self.view, snippets=self.snippets, seed=self._seed
        )

    def read(self, plan: ClipPlan) -> list[Jpeg]:
        """Read the JPEG data of a plan's frames, clip after clip; all are announced to the system before."""
        wanted = []
        for row, indices in zip(plan.rows.tolist(), plan.frame_indices, strict=True):
            shard, video = self._find(row)
            numbers = (shard.index.first_frame[video] + self._start(row) + indices).tolist()
            shard.will_need(numbers)
            wanted.append((shard, numbers))
        return [shard.read(number) for shard, numbers in wanted for number in numbers]

    def jpeg(self, row: int, frame: int) -> Jpeg:
        """Return the JPEG of one frame of a clip, given by its number in the clip."""
        shard, video = self._find(row)
        return shard.read(int(shard.index.first_frame[video]) + self._start(row) + frame)

    def place(self, row: int, frame: int) -> str:
        """Say where a frame of a clip is stored: shard, video, frame."""
        shard, video = self._find(row)
        return f"{shard.path}: video {printable(shard.tables.names[video])}, frame {self._start(row) + frame}"

    def frame_size(self, row: int) -> tuple[int, int]:
        """Return height and width of a clip's stored frames."""
        shard, video = self._find(row)
        return int(shard.index.height[video]), int(shard.index.width[video])

    def _find(self, row: int) -> tuple[Shard, int]:
        """Return the shard of a clip, open, and the clip's row in its tables."""
        shard, video = self._shard(int(self.clips.shard[row])), int(self.clips.video[row])
        if video >= shard.index.videos or not self._fits(row, shard.index.frames(video)):
            name = self.split.names(self.subset, slice(row, row + 1))[0]
            raise DataError(
                f"{self.split.path}: clip {name} is not what {shard.path} holds: run tsn build-splits again"
            )
        return shard, video

    def _start(self, row: int) -> int:
        """Return the first frame of a clip in its video."""
        return 0 if self.clips.first is None else int(self.clips.first[row])

    def _fits(self, row: int, frames: int) -> bool:
        """Return whether a clip can be of a video of so many frames: it is all of them, or a part where it may be."""
        stop = self._start(row) + int(self.clips.frames[row])
        return stop == frames if self.clips.first is None else stop <= frames

    def _shard(self, number: int) -> Shard:
        with self._lock:
            shard = self._open.get(number)
            if shard is None:
                shard = self._open[number] = self._open_shard(number)
                if len(self._open) > self._most_open:
                    self._open.popitem(last=False)  # it closes with the last batch that reads from it
            self._open.move_to_end(number)
            return shard

    def _open_shard(self, number: int) -> Shard:
        path = self._folder / self.split.shard_names[number]
        shard = Shard(path, self._known.get(number))
        if shard.sha256 != self.split.shard_sha256[number]:
            raise DataError(
                f"{path} is not the shard that {self.split.path} was built from: run tsn build-splits again"
            )
        self._known[number] = shard.index
        return shard


def check_shards(split: Split, folder: Path) -> None:
    """Raise a DataError where a folder of frames lacks shards that a split refers to."""
    try:
        there = {entry.name for entry in os.scandir(folder)}
    except FileNotFoundError:
        raise DataError(f"{absent(folder)}: name the folder of frames with --frames") from None
    except OSError as error:
        raise DataError(f"{folder}, the folder of frames, cannot be read: {error.strerror}; set --frames") from None
    missing = [name for name in split.shard_names if name not in there]
    if missing:
        raise DataError(
            f"{folder} lacks {len(missing)} of the {len(split.shard_names)} shards of {split.path}, "
            f"the first is {missing[0]}: run tsn extract-frames, or set --frames"
        )


def _refuse_too_large(decoded: int, *, clips: int) -> None:
    """Refuse frames that are small as JPEGs and beyond the memory as pictures, bytes `decoded` of a batch."""
    if decoded > MOST_DECODED:
        raise SettingsError(
            f"the frames of {clips} clips are {decoded / (1 << 30):,.1f} GiB when they are decoded, "
            "more than a quarter of this machine's memory: lower --batch-size, or extract with a smaller --size"
        )
