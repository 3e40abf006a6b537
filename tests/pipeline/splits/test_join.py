from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import frames_of, make_shard, make_shards, write_list
from tsn.pipeline.splits.build import build_splits
from tsn.pipeline.splits.index import VideoIndex, index_videos
from tsn.pipeline.splits.join import Joined, frames_between, join
from tsn.pipeline.splits.listed import ListedClip
from tsn.tsn_shared.errors import DataError, PartialError
from tsn.tsn_shared.settings import SplitsSettings
from tsn.tsn_shared.splits import read_split


@pytest.fixture
def index(tmp_path: Path) -> VideoIndex:
    """One video of 100 frames, 25 a second, and one that failed."""
    videos = {"abc": frames_of("abc", 100), "cut_000001_000002": frames_of("cut", 26)}
    make_shard(tmp_path / "frames-00000.h5", videos, failures=[("bad", "zero bytes")])
    return index_videos(tmp_path)


@pytest.mark.parametrize(
    ("clip", "first", "frames", "name"),
    [
        (ListedClip("abc.mp4", 0), 0, 100, "abc"),
        (ListedClip("abc", 0, None, 1, 3), 25, 50, "abc_000001_000003"),
        (ListedClip("abc", 0, None, 0.5, 1.5), 13, 25, "abc_0.5_1.5"),
        (ListedClip("abc", 0, None, 3, 13), 75, 25, "abc_000003_000013"),  # the video ends before
        (ListedClip("abc", 0, None, 3), 75, 25, "abc_000003_end"),
        (ListedClip("abc", 0, None, 0, 10), 0, 100, "abc"),
        (ListedClip("cut", 0, None, 1, 2), 0, 26, "cut_000001_000002"),  # is cut already
    ],
)
def test_times_choose_frames(index: VideoIndex, clip: ListedClip, first: int, frames: int, name: str) -> None:
    joined = join(index, clip)
    assert isinstance(joined, Joined)
    assert (joined.first, joined.frames, joined.name) == (first, frames, name)


@pytest.mark.parametrize(
    ("clip", "reason"),
    [
        (ListedClip("none", 0), "no frames of that name"),
        (ListedClip("bad.mp4", 0), "failed in extraction: zero bytes"),
        (ListedClip("abc", 0, None, 4, 14), "ends before the times that are listed"),
        (ListedClip("abc", 0, None, 3, 2), "ends before the times that are listed"),
    ],
)
def test_what_has_no_frames_says_why(index: VideoIndex, clip: ListedClip, reason: str) -> None:
    assert join(index, clip) == reason


def test_an_absolute_path_that_no_video_is_the_end_of_is_shown_with_its_line(tmp_path: Path) -> None:
    settings = SplitsSettings(frames=make_shards(tmp_path / "frames", ["A/v", "B/w"]), out=tmp_path / "splits")
    write_list(tmp_path / "lists/train.csv", "/data/k/A/v.mp4 0", "/data/k/B/gone.mp4 1")
    write_list(tmp_path / "lists/val.csv", "/data/k/B/w.mp4 1")
    words = r"train.csv, line 2: '/data/k/B/gone.mp4 1': an absolute path, and no end of it names .* such as A/v"
    with pytest.raises(DataError, match=words):
        build_splits(tmp_path / "lists", settings)
    build_splits(tmp_path / "lists", replace(settings, allow_missing=True))
    assert read_split(settings.out / "split1.h5").names("train", slice(None)) == ("A/v",)


@pytest.mark.parametrize(
    ("videos", "words"),
    [
        (["A/v_Archery_g08_c01", "A/v_Archery_g08_c02"], r" \(did you mean A/v_Archery_g08_c01\?\)"),
        (["A/v_Archery_g08_c01", "A/v_Archery_j08_c01"], ""),  # which of the two?
        (["A/v_Archery_g10_c04"], ""),
    ],
)
def test_a_slip_in_a_name_is_asked_for_where_a_video_that_no_list_names_is_nearest(
    tmp_path: Path, videos: list[str], words: str
) -> None:
    names = [f"all/{name}" for name in ("A/v_Archery_i08_c01", "B/v", *videos)]
    settings = SplitsSettings(frames=make_shards(tmp_path / "frames", names), out=tmp_path / "splits")
    write_list(tmp_path / "lists/train.txt", "A/v_Archery_h08_c01.avi 0", "A/v_Archery_i08_c01.avi 0")
    write_list(tmp_path / "lists/test.txt", "B/v.avi 1")
    with pytest.raises(PartialError, match=rf"among them A/v_Archery_h08_c01\.avi{words}: no split"):
        build_splits(tmp_path / "lists", settings)


@given(
    fps=st.sampled_from([10.0, 12.0, 23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94]),
    cuts=st.lists(st.integers(0, 300), min_size=2, max_size=6, unique=True).map(sorted),
    frames=st.integers(1, 500),
)
def test_frames_between_times_are_those_shown_then_and_no_frame_is_in_two(
    fps: float, cuts: list[int], frames: int
) -> None:
    times = [cut / 10 for cut in cuts]
    taken: list[int] = []
    for start, end in pairwise(times):
        first, stop = frames_between(start, end, fps=fps, frames=frames)
        for frame in range(first, stop):
            assert start - 1e-6 <= frame / fps < end
        taken += range(first, stop)
    assert taken == sorted(set(taken))
    shown = np.arange(frames) / fps
    assert len(taken) == ((shown >= times[0] - 1e-9) & (shown < times[-1] - 1e-9)).sum()
