"""What a clip shows is a function of the seed, its epoch and itself; a batch gives each frame its clip's crops."""

from typing import Any

import numpy as np
import pytest

from tsn.pipeline.loading.schedule import EvalSchedule, TrainSchedule
from tsn.pipeline.loading.source import ClipPlan, FrameBatch, plan_clips, read_ahead
from tsn.tsn_shared.splits import Clips
from tsn.tsn_shared.views import VIEWS, Snippets

LENGTHS = np.array([1, 2, 30, 300, 7], dtype=np.int32)
CLIPS = Clips(label=np.arange(5, dtype=np.int32), shard=0 * LENGTHS, video=0 * LENGTHS, frames=LENGTHS)


class Pictureless:
    """A source of no frames: its JPEGs are the numbers that they would be read by."""

    def __init__(self, view: str, segments: int) -> None:
        self.view, self.snippets = VIEWS[view], Snippets(segments=segments)

    def __len__(self) -> int:
        return len(CLIPS)

    def plan(self, batch: Any) -> ClipPlan:
        size = {"height": np.full(len(batch.rows), 256), "width": np.full(len(batch.rows), 340)}
        return plan_clips(batch, CLIPS, **size, view=self.view, snippets=self.snippets, seed=9)

    def read(self, plan: ClipPlan) -> list[Any]:
        frames = zip(plan.rows, plan.frame_indices, strict=True)
        return [np.array([row, index]) for row, indices in frames for index in indices]

    def place(self, row: int, frame: int) -> str:
        return f"{row}, {frame}"


@pytest.mark.parametrize("view", VIEWS)
def test_frames_carry_their_clips_crops_and_flips(view: str) -> None:
    stream = read_ahead(Pictureless(view, 4), TrainSchedule(num_clips=5, batch_size=3, seed=2))
    batch = next(stream)
    stream.close()
    assert len(batch.jpegs) == 12
    assert batch.crops.dtype == batch.flips.dtype == np.int32
    for number, (row, index) in enumerate(batch.jpegs):
        clip = number // 4
        assert row == batch.plan.rows[clip]
        assert index == batch.plan.frame_indices[clip, number % 4]
        assert np.array_equal(batch.crops[number], batch.plan.crops[clip])
        assert np.array_equal(batch.flips[number], batch.plan.flips[clip])


def test_a_clip_is_planned_alike_in_whatever_batch_it_comes() -> None:
    source = Pictureless("train", 3)
    apart = [source.plan(TrainSchedule(num_clips=5, batch_size=1, seed=2).batch(number)) for number in range(10)]
    plan = source.plan(TrainSchedule(num_clips=5, batch_size=10, seed=2).batch(0))
    for name in ("rows", "labels", "frame_indices", "crops", "flips"):
        assert np.array_equal(getattr(plan, name), np.concatenate([getattr(one, name) for one in apart]))
    first, second = plan.frame_indices[plan.rows == 3]
    assert not np.array_equal(first, second)  # the long clip is drawn anew in the second epoch


def test_a_clip_that_an_epoch_serves_twice_shows_something_else() -> None:
    labels = np.array([0, 0, 0, 1, 0])  # the long clip is the only one of its class
    schedule = TrainSchedule(num_clips=5, batch_size=5, seed=2, labels=labels, balance="full")
    plan = Pictureless("train", 3).plan(schedule.batch(0))
    shown = plan.frame_indices[plan.rows == 3].tolist()
    assert len(shown) >= 2
    assert len({tuple(frames) for frames in shown}) == len(shown)


def test_views_that_draw_nothing_do_not_depend_on_the_epoch() -> None:
    source, schedule = Pictureless("val", 3), EvalSchedule(num_clips=5, batch_size=5)
    first, second = (FrameBatch(plan=source.plan(schedule.batch(number)), jpegs=[]) for number in (0, 1))
    assert np.array_equal(first.plan.frame_indices, second.plan.frame_indices)
    assert np.array_equal(first.crops, second.crops)
