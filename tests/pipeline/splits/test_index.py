from pathlib import Path
from typing import Any

import pytest

from tests.helpers import frames_of, make_shard, make_shards, write_list
from tsn.pipeline.splits.build import build_splits
from tsn.pipeline.splits.index import index_videos
from tsn.pipeline.splits.listed import ListedClip
from tsn.tsn_shared.errors import DataError, PartialError
from tsn.tsn_shared.settings import SplitsSettings
from tsn.tsn_shared.splits import read_split


@pytest.mark.parametrize(
    ("listed", "on_disk"), [("Gr\u00f6\u00dfe/a", "Gro\u0308\u00dfe/a"), ("e\u0301/a", "\u00e9/a")]
)
def test_names_match_in_whatever_form_of_unicode_they_are(tmp_path: Path, listed: str, on_disk: str) -> None:
    (tmp_path / "frames").mkdir()
    make_shard(tmp_path / "frames/frames-00000.h5", {on_disk: frames_of("x", 2), "Other/b": frames_of("y", 2)})
    write_list(tmp_path / "lists/train.txt", f"{listed}.avi 0")
    write_list(tmp_path / "lists/test.txt", "Other/b 1")
    build_splits(tmp_path / "lists", SplitsSettings(frames=tmp_path / "frames", out=tmp_path / "splits"))
    assert read_split(tmp_path / "splits/split1.h5").names("train", slice(None)) == (on_disk,)


def test_a_name_in_its_own_form_goes_before_one_in_another(tmp_path: Path) -> None:
    composed, decomposed = "\u00e9/a", "e\u0301/a"
    (tmp_path / "frames").mkdir()
    make_shard(tmp_path / "frames/frames-00000.h5", {decomposed: frames_of("d", 2), composed: frames_of("c", 2)})
    write_list(tmp_path / "lists/train.txt", f"{decomposed} 0")
    write_list(tmp_path / "lists/test.txt", f"{composed} 1")
    build_splits(tmp_path / "lists", SplitsSettings(frames=tmp_path / "frames", out=tmp_path / "splits"))
    split = read_split(tmp_path / "splits/split1.h5")
    assert [split.names(subset, slice(None)) for subset in ("train", "test")] == [(decomposed,), (composed,)]


def test_a_failed_video_is_known_in_another_form_of_unicode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = [("e\u0301/a", "an empty file")]
    (tmp_path / "frames").mkdir()
    make_shard(tmp_path / "frames/frames-00000.h5", {"Other/b": frames_of("y", 2)}, failures=failed)
    write_list(tmp_path / "lists/train.txt", "\u00e9/a.avi 0")
    write_list(tmp_path / "lists/test.txt", "Other/b 1")
    with pytest.raises(PartialError, match="1 of 2 listed videos have no frames"):
        build_splits(tmp_path / "lists", SplitsSettings(frames=tmp_path / "frames", out=tmp_path / "splits"))
    assert "\u00e9/a.avi failed in extraction: an empty file" in capsys.readouterr().err


def test_a_name_that_differs_by_capitals_alone_is_asked_for(tmp_path: Path) -> None:
    names = ["Handstand/v_1", "Surfing/v_1", "twins/a", "TWINS/a"]
    make_shards(tmp_path / "frames", names)
    settings = SplitsSettings(frames=tmp_path / "frames", out=tmp_path / "splits")
    write_list(tmp_path / "lists/train.txt", "HandStand/v_1.avi 0", "Twins/a.avi 2")
    write_list(tmp_path / "lists/test.txt", "Surfing/v_1.avi 1")
    words = r"HandStand/v_1.avi \(did you mean Handstand/v_1\?\), Twins/a.avi: no split"
    with pytest.raises(PartialError, match=words):
        build_splits(tmp_path / "lists", settings)
    write_list(tmp_path / "lists/test.txt", "SURFING/v_1.avi 1")
    with pytest.raises(DataError, match=r"the lists name HandStand/v_1.avi, the shards Handstand/v_1"):
        build_splits(tmp_path / "lists", settings)


def found(tmp_path: Path, videos: list[str], path: str, **times: Any) -> str | None:
    index = index_videos(make_shards(tmp_path / "frames", videos))
    video = index.find(ListedClip(path, 0, **times))
    return video[0].name if video else None


@pytest.mark.parametrize(
    ("videos", "path", "name"),
    [
        (["v_1", "v_2"], "YoYo/v_1.avi", "v_1"),  # all in one folder
        (["UCF-101/YoYo/v_1", "UCF-101/Bow/v_1"], "Bow/v_1.avi", "UCF-101/Bow/v_1"),  # a folder too deep
        (["train/YoYo/v_1", "val/YoYo/v_2"], "v_2.avi", "val/YoYo/v_2"),  # a list of file names
        (["YoYo/v_1", "Bow/v_1"], "v_1", None),  # of two one cannot choose
        (["Bow/v_1"], "YoYo/v_1", None),  # another class's
        (["x_v_1"], "v_1", None),
        (["v_1", "YoYo/v_1"], "YoYo/v_1", "YoYo/v_1"),  # as it is written goes before
        (["train/YoYo/v_1", "YoYo/v_1", "v_1"], "/train/YoYo/v_1.avi", "train/YoYo/v_1"),  # a CSV of UCF101 on Kaggle
        (["YoYo/v_1", "v_1"], "/home/me/data/YoYo/v_1.avi", "YoYo/v_1"),  # the longest end of an absolute path
        (["UCF-101/YoYo/v_1"], "/data/YoYo/v_1.avi", None),
        (["e\u0301"], "YoYo/\u00e9.avi", "e\u0301"),
        (["1.5/v"], "v.avi", "1.5/v"),
    ],
)
def test_a_video_is_found_where_one_path_ends_as_the_other(
    tmp_path: Path, videos: list[str], path: str, name: str | None
) -> None:
    assert found(tmp_path, videos, path) == name


def test_a_file_that_was_cut_goes_before_the_video_that_it_was_cut_from(tmp_path: Path) -> None:
    videos = ["run/abc-_1", "run/abc-_1_000012_000022"]
    assert found(tmp_path, videos, "abc-_1", start=12.0, end=22.0) == videos[1]
    assert found(tmp_path / "b", videos, "abc-_1", start=13.0, end=23.0) == videos[0]


@pytest.mark.parametrize(
    ("clip", "like"),
    [
        (ListedClip("A/CLIP.avi", 0), "A/clip"),
        (ListedClip("A/\udce9t\udce9.avi", 0), "A/\u00e9t\u00e9, the list in UTF-8"),
        (ListedClip("B/none.avi", 0), None),
        (ListedClip("A/take", 0, frames=12), "A/take 12, its number no count of frames: write the ending"),
    ],
)
def test_a_name_that_nearly_is_one_is_asked_for(tmp_path: Path, clip: ListedClip, like: str | None) -> None:
    index = index_videos(make_shards(tmp_path, ["A/clip", "A/\u00e9t\u00e9", "A/take 12"]))
    found = index.like(clip)
    assert found is None if like is None else found is not None and found.startswith(like)
