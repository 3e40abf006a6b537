"""The frames of shards as a source of clips: planning reads no frame, reading gives those that were planned."""

import numpy as np
import pytest

from tests.pipeline.conftest import HEIGHT, TEST, TRAIN, WIDTH
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import EvalSchedule, TrainSchedule
from tsn.pipeline.loading.source import ClipSource
from tsn.tsn_shared.settings import DataSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.splits import Subset, open_split
from tsn.tsn_shared.views import VIEWS


def reader_of(data: DataSettings, subset: Subset = "test", *, view: str = "val", segments: int = 3) -> FrameReader:
    return FrameReader(open_split(data), subset, data.frames, view=VIEWS[view], segments=segments, seed=4)


def test_planning_reads_no_frame(clips: DataSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    source: ClipSource = reader_of(clips)
    read: list[int] = []
    monkeypatch.setattr(Shard, "read", lambda self, number: read.append(number))
    plan = source.plan(EvalSchedule(num_clips=len(TEST), batch_size=4).batch(0))
    assert plan.frame_indices.shape == (4, 3)
    assert read == []
    source.read(plan)
    assert len(read) == 12


@pytest.mark.parametrize("view", VIEWS)
def test_what_is_read_are_the_planned_frames_clip_after_clip(clips: DataSettings, view: str) -> None:
    subset: Subset = "train" if VIEWS[view].drawn else "test"
    source = reader_of(clips, subset, view=view)
    assert len(source) == len(TRAIN if VIEWS[view].drawn else TEST)
    plan = source.plan(TrainSchedule(num_clips=len(source), batch_size=5, seed=1).batch(3))
    planned = [(row, frame) for row, frames in zip(plan.rows, plan.frame_indices, strict=True) for frame in frames]
    wanted = [source.jpeg(int(row), int(frame)) for row, frame in planned]
    assert all(np.array_equal(a, b) for a, b in zip(source.read(plan), wanted, strict=True))
    assert plan.crops.shape == (5, VIEWS[view].crops, 4)
    assert plan.labels.tolist() == source.clips.label[plan.rows].tolist()


def test_a_frame_is_named_by_shard_video_and_number(clips: DataSettings) -> None:
    video = len(TRAIN) + 2
    words = f"{clips.frames}/frames-0000{video // 7}.h5: video Class{video % 4}/v_{video}, frame 1"
    assert reader_of(clips).place(2, 1) == words
    assert reader_of(clips).frame_size(2) == (HEIGHT, WIDTH)
