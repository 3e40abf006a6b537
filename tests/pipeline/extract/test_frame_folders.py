"""Which pictures of a folder are a video's frames, and in which order."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn.pipeline.extract.ffmpeg_run import VideoError
from tsn.pipeline.extract.frame_folders import is_numbered_picture, list_pictures, order_pictures


@pytest.mark.parametrize(
    "names",
    [
        ["img_00001.jpg", "img_00002.jpg", "img_00003.jpg"],  # MMAction2's
        ["00001.jpg", "00002.jpg", "00003.jpg"],  # Something-Something's and Jester's
        ["9.PNG", "10.png", "101.Png"],
        ["v_Archery_g01_c01_frame9.jpeg", "v_Archery_g01_c01_frame10.jpeg"],
        ["img_1.jpg", "img_2.png"],
    ],
)
def test_pictures_are_in_the_order_of_their_numbers(names: list[str]) -> None:
    assert order_pictures(reversed(names)).names == tuple(names)
    assert all(is_numbered_picture(name) for name in names)


@given(st.sets(st.integers(0, 10**30), min_size=1, max_size=20), st.integers(0, 9))
def test_missing_numbers_are_counted_and_the_first_is_named(numbers: set[int], width: int) -> None:
    series = order_pictures(f"{number:0{width}d}.jpg" for number in numbers)
    assert [int(Path(name).stem) for name in series.names] == sorted(numbers)
    missing = max(numbers) - min(numbers) + 1 - len(numbers)
    assert ("missing" in series.note) == (missing > 0)
    assert ("begin with" in series.note) == (min(numbers) > 1)
    if missing:
        first = int(re.findall(r"the first: (\d+)", series.note)[0])
        assert first not in numbers
        assert set(range(min(numbers), first)) <= numbers if first - min(numbers) < 30 else False


@pytest.mark.parametrize("flow", [["flow_x_00001.jpg", "flow_y_00001.jpg"], ["x_1.jpg", "y_1.jpg"]])
def test_optical_flow_beside_the_frames_is_passed_over(flow: list[str]) -> None:
    assert order_pictures(["img_00001.jpg", *flow]).names == ("img_00001.jpg",)
    assert order_pictures(flow[:1]).names == tuple(flow[:1])  # alone it is what was meant


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["1.jpg", "01.jpg"], "the number 1 twice: 01.jpg and 1.jpg"),
        (["1.jpg", "1.png"], "the number 1 twice"),
        (["a_1.jpg", "b_1.jpg", "b_2.jpg"], "of 2 series, like a_1.jpg and b_1.jpg"),
        (["cover.jpg", "notes1.txt", "1.jpg.part", "²1.gif"], "without numbered pictures"),
        ([], "without numbered pictures"),
    ],
)
def test_what_is_not_one_series_is_told(names: list[str], reason: str) -> None:
    with pytest.raises(VideoError, match=reason):
        order_pictures(names)


def test_hidden_files_are_no_frames_and_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    for name in ("1.jpg", "._2.jpg", ".3.jpg"):
        (tmp_path / name).touch()
    assert list_pictures(tmp_path).names == ("1.jpg",)
    with pytest.raises(VideoError, match="cannot be read: No such file"):
        list_pictures(tmp_path / "gone")
