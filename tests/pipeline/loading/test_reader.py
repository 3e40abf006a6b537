"""The frames of shards as a source of clips: planning reads no frame, reading gives those that were planned."""

from dataclasses import replace

import numpy as np
import pytest

from tests.pipeline.conftest import HEIGHT, TEST, TRAIN, WIDTH
from tsn.pipeline.loading.reader import FrameReader
from tsn.pipeline.loading.schedule import EvalSchedule, TrainSchedule
from tsn.pipeline.loading.source import ClipSource
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.settings import DataSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.splits import Subset, open_split
from tsn.tsn_shared.views import VIEWS, Snippets


def reader_of(data: DataSettings, subset: Subset = "test", *, view: str = "val", segments: int = 3) -> FrameReader:
    return FrameReader(
        open_split(data), subset, data.frames, view=VIEWS[view], snippets=Snippets(segments=segments), seed=4
    )


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


def test_a_part_of_a_video_is_served_as_a_video_of_its_own(clips: DataSettings) -> None:
    """Clips that begin later and end earlier in the same videos: their frame 0 is the video's frame `first`."""
    split = open_split(clips)
    frames = split.test.frames
    first = (frames // 3).astype(np.int32)
    parts = replace(split, test=replace(split.test, first=first, frames=np.maximum(frames // 2, 1).astype(np.int32)))
    whole, part = (
        reader_of(clips),
        FrameReader(parts, "test", clips.frames, view=VIEWS["val"], snippets=Snippets(segments=3)),
    )
    plan = part.plan(EvalSchedule(num_clips=len(TEST), batch_size=len(TEST)).batch(0))
    assert (plan.frame_indices < np.maximum(frames // 2, 1)[:, None]).all()
    wanted = [whole.jpeg(row, int(first[row]) + i) for row, at in enumerate(plan.frame_indices) for i in at.tolist()]
    assert all(np.array_equal(a, b) for a, b in zip(part.read(plan), wanted, strict=True))
    assert part.place(0, 1) == whole.place(0, 1 + int(first[0]))


def test_a_part_that_ends_after_its_video_is_refused(clips: DataSettings) -> None:
    split = open_split(clips)
    parts = replace(split, test=replace(split.test, first=np.ones(len(TEST), dtype=np.int32)))
    reader = FrameReader(parts, "test", clips.frames, view=VIEWS["val"], snippets=Snippets(segments=3))
    with pytest.raises(DataError, match=r"is not what .* holds: run tsn build-splits again"):
        reader.jpeg(0, 0)
