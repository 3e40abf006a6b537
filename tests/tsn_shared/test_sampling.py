"""The segment rules against scalar loops over the published formulas, for snippets of L frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn.tsn_shared.draws import clip_draws
from tsn.tsn_shared.sampling import snippet_indices, train_indices, uniform_indices, val_indices

FRAMES = st.lists(st.integers(1, 40) | st.integers(1, 2000), min_size=1, max_size=8)
SEGMENTS = st.integers(1, 30)
LENGTHS = st.sampled_from([1, 2, 6])


def plain_train(frames: int, segments: int, draws: list[int], length: int) -> list[int]:
    average = (frames - length + 1) // segments
    if average > 0:
        return [i * average + draws[i] * average // 2**32 for i in range(segments)]
    if frames > max(segments, length):
        return sorted(draw * (frames - length + 1) // 2**32 for draw in draws)
    return [0] * segments


def plain_val(frames: int, segments: int, length: int) -> list[int]:
    if frames > segments + length - 1:
        tick = (frames - length + 1) / float(segments)
        return [int(tick / 2.0 + tick * i) for i in range(segments)]
    return [0] * segments


def plain_test(frames: int, segments: int, length: int) -> list[int]:
    if frames > length - 1:
        tick = (frames - length + 1) / float(segments)
        return [int(tick / 2.0 + tick * i) for i in range(segments)]
    return [0] * segments


@given(FRAMES, SEGMENTS, st.integers(0, 2**32), LENGTHS)
def test_train_indices_follow_the_rule(frames: list[int], segments: int, seed: int, length: int) -> None:
    draws = clip_draws(seed=seed, epoch=0, clip=np.arange(len(frames)), slots=segments)
    expected = [plain_train(n, segments, row, length) for n, row in zip(frames, draws.tolist(), strict=True)]
    assert train_indices(np.array(frames), draws, length).tolist() == expected


@given(FRAMES, SEGMENTS, LENGTHS)
def test_val_indices_follow_the_rule(frames: list[int], segments: int, length: int) -> None:
    wanted = [plain_val(n, segments, length) for n in frames]
    assert val_indices(np.array(frames), segments, length).tolist() == wanted


@given(FRAMES, SEGMENTS, LENGTHS)
def test_uniform_indices_follow_the_test_rule(frames: list[int], segments: int, length: int) -> None:
    wanted = [plain_test(n, segments, length) for n in frames]
    assert uniform_indices(np.array(frames), segments, length).tolist() == wanted


@given(st.integers(1, 40), SEGMENTS, st.integers(0, 2**32), LENGTHS)
def test_snippets_are_neighbouring_frames_and_repeat_the_last_of_a_short_video(
    frames: int, segments: int, seed: int, length: int
) -> None:
    draws = clip_draws(seed=seed, epoch=0, clip=[0], slots=segments)
    for starts in (
        train_indices([frames], draws, length),
        val_indices([frames], segments, length),
        uniform_indices([frames], segments, length),
    ):
        wanted = [min(start + step, frames - 1) for start in starts[0].tolist() for step in range(length)]
        assert snippet_indices(starts, [frames], length).tolist() == [wanted]
        assert frames < length or starts.max() + length <= frames  # none but a short video repeats a frame


@given(st.integers(1, 2000), SEGMENTS, st.integers(0, 2**32))
def test_indices_are_frames_of_the_video_in_rising_order(frames: int, segments: int, seed: int) -> None:
    draws = clip_draws(seed=seed, epoch=0, clip=[0], slots=segments)
    for indices in (
        train_indices([frames], draws),
        val_indices([frames], segments),
        uniform_indices([frames], segments),
    ):
        assert indices.dtype == np.int64
        assert indices.shape == (1, segments)
        assert 0 <= indices.min() <= indices.max() < frames
        assert (np.diff(indices[0]) >= 0).all()


@pytest.mark.parametrize(
    ("frames", "segments", "val", "test"),
    [
        (1, 3, [0, 0, 0], [0, 0, 0]),
        (2, 3, [0, 0, 0], [0, 1, 1]),
        (3, 3, [0, 0, 0], [0, 1, 2]),
        (4, 3, [0, 2, 3], [0, 2, 3]),
        (10, 1, [5], [5]),
        (100, 3, [16, 50, 83], [16, 50, 83]),
    ],
)
def test_short_and_long_videos_by_hand(frames: int, segments: int, val: list[int], test: list[int]) -> None:
    assert val_indices([frames], segments).tolist() == [val]
    assert uniform_indices([frames], segments).tolist() == [test]


def test_train_indices_draw_each_frame_of_a_segment_alike_and_the_rest_never() -> None:
    draws = clip_draws(seed=0, epoch=np.arange(30_000), clip=np.zeros(30_000, dtype=int), slots=3)
    indices = train_indices(np.full(30_000, 32), draws)  # segments of 10 frames; frames 30 and 31 are left over
    for segment in range(3):
        counts = np.bincount(indices[:, segment], minlength=32)
        inside = counts[segment * 10 : segment * 10 + 10]
        assert counts.sum() == inside.sum()
        assert ((inside - 3000) ** 2 / 3000).sum() < 27.9  # 9 degrees of freedom, p = 0.001


def test_largest_draw_stays_in_its_segment() -> None:
    draws = np.full((1, 3), 2**32 - 1, dtype=np.uint32)
    assert train_indices([31], draws).tolist() == [[9, 19, 29]]
