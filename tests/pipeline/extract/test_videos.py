import os
from pathlib import Path

import pytest

from tsn.pipeline.extract.videos import find_videos
from tsn.tsn_shared.errors import DataError


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(folder: Path) -> list[str]:
    return [video.name for video in find_videos(folder).videos]


def test_videos_are_named_by_their_path_and_sorted_by_name(tmp_path: Path) -> None:
    make(tmp_path, "B/v_2.avi", "B/v_10.avi", "A/deep/er/x.MP4", "root.webm")
    assert names(tmp_path) == ["A/deep/er/x", "B/v_10", "B/v_2", "root"]


def test_two_videos_of_one_stem_keep_their_endings(tmp_path: Path) -> None:
    make(tmp_path, "A/x.avi", "A/x.mp4", "B/x.avi")
    assert names(tmp_path) == ["A/x.avi", "A/x.mp4", "B/x"]


def test_hidden_files_are_passed_over_and_others_counted(tmp_path: Path) -> None:
    make(tmp_path, "A/x.avi", "A/._x.avi", ".cache/y.avi", "A/notes.txt", "A/more.txt", "README")
    found = find_videos(tmp_path)
    assert [video.name for video in found.videos] == ["A/x"]
    assert found.passed_over == {".txt": 2, "README": 1}


def test_links_are_followed_once_and_what_is_named_like_a_video_is_one(tmp_path: Path) -> None:
    make(tmp_path, "videos/A/x.avi", "elsewhere/y.avi")
    (tmp_path / "videos/B").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "videos/A/again").symlink_to(tmp_path / "videos")
    (tmp_path / "videos/gone.avi").symlink_to("nowhere")
    (tmp_path / "videos/folder.avi").mkdir()
    assert names(tmp_path / "videos") == ["A/x", "B/y", "folder", "gone"]


@pytest.mark.parametrize("name", [b"a b", b"-map", b"a:b", b"%03d", b"new\nline", b"\xff\xfe", b"x" * 251, b"'[0]"])
def test_any_name_is_kept_as_it_is(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name + b".avi")).touch()
    assert names(tmp_path) == [os.fsdecode(name)]


def test_a_folder_without_videos_and_one_that_is_not_there_are_told(tmp_path: Path) -> None:
    make(tmp_path, "a.txt")
    with pytest.raises(DataError, match="holds no video"):
        find_videos(tmp_path)
    with pytest.raises(DataError, match="is no folder of videos"):
        find_videos(tmp_path / "nowhere")


def test_what_cannot_be_looked_into_is_told_and_stops_nothing(tmp_path: Path) -> None:
    make(tmp_path, "videos/A/x.avi", "videos/B/y.avi")
    videos = tmp_path / "videos"
    (videos / "loop").symlink_to("loop")
    (videos / "A/endless").symlink_to("x" * 300)
    (videos / "A/nothing").symlink_to("nowhere")
    (videos / "loop.avi").symlink_to("loop.avi")  # named like a video: extraction gives its verdict
    found = find_videos(videos)
    assert [video.name for video in found.videos] == ["A/x", "B/y", "loop"]
    assert dict(found.unreadable) == {
        videos / "loop": "Too many levels of symbolic links",
        videos / "A/endless": "File name too long",
    }
    assert found.passed_over == {"nothing": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_told_and_stops_nothing(tmp_path: Path) -> None:
    make(tmp_path, "A/x.avi", "B/y.avi")
    (tmp_path / "B").chmod(0)
    try:
        found = find_videos(tmp_path)
    finally:
        (tmp_path / "B").chmod(0o755)
    assert [video.name for video in found.videos] == ["A/x"]
    assert found.unreadable == ((tmp_path / "B", "Permission denied"),)


def test_a_folder_whose_name_no_system_takes_is_told(tmp_path: Path) -> None:
    for name in ("x" * 300, "loop"):
        (tmp_path / "loop").unlink(missing_ok=True)
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(DataError, match="is no folder of videos"):
            find_videos(tmp_path / name)


def test_only_what_cannot_be_looked_into_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match=r"loop cannot be read: Too many levels .* holds no other video"):
        find_videos(tmp_path)
