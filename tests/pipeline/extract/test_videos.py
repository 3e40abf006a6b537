import os
from pathlib import Path

import pytest

from tsn.pipeline.extract.videos import find_videos, passed_over
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.settings import VIDEOS


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


def test_folders_without_a_video_are_named_the_highest_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "A/x.avi", "B/deep/y/1.jpg", "C/deep/notes.txt", "D/x.avi", "D/.E/z")
    (tmp_path / "A/empty").mkdir()
    (tmp_path / "0").symlink_to(tmp_path / "A")
    assert find_videos(tmp_path).empty == (tmp_path / "A/empty", tmp_path / "C")
    monkeypatch.chdir(tmp_path)
    assert find_videos(Path()).empty == (Path("A/empty"), Path("C"))
    assert find_videos(tmp_path / "D").empty == find_videos(tmp_path / "B/deep/y").empty == ()


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
    with pytest.raises(DataError, match=r"holds no video .* but 1 other file \(1 \.txt\): name another folder"):
        find_videos(tmp_path)
    with pytest.raises(DataError, match=r"nowhere does not exist: name another folder"):
        find_videos(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"a\.txt is a file: name the folder that holds it"):
        find_videos(tmp_path / "a.txt")


def test_ucf101_is_named_where_no_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="does not exist: unpack UCF101 there, or name another folder"):
        find_videos(VIDEOS)
    make(VIDEOS, "a.txt")
    with pytest.raises(DataError, match=r"holds no video .*: unpack UCF101 there, or name another folder"):
        find_videos(VIDEOS)


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
        with pytest.raises(DataError, match=r"cannot be read: (File name too long|Too many levels)"):
            find_videos(tmp_path / name)


def test_only_what_cannot_be_looked_into_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match=r"loop cannot be read: Too many levels .* holds no other video"):
        find_videos(tmp_path)


def test_endings_of_cameras_discs_and_the_web_make_videos(tmp_path: Path) -> None:
    make(tmp_path, *(f"A/x{ending}" for ending in (".ts", ".MTS", ".m2ts", ".wmv", ".flv", ".3gp", ".gif", ".ogv")))
    assert len(names(tmp_path)) == 8


def test_a_folder_of_numbered_pictures_is_a_video_named_by_its_folder(tmp_path: Path) -> None:
    make(tmp_path, "A/v1.5/img_00001.jpg", "A/v1.5/img_00002.jpg", "A/v2/000001.png", "A/x.avi", "A/x/1.jpg")
    found = find_videos(tmp_path)
    assert [video.name for video in found.videos] == ["A/v1.5", "A/v2", "A/x", "A/x.avi"]
    assert (found.frame_folders, found.passed_over) == (3, {})
    assert found.videos[0].path == tmp_path / "A/v1.5"


def test_pictures_beside_videos_or_beside_folders_of_videos_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "A/x.avi", "A/x_1.jpg", "A/x_2.jpg", "sample1.jpg", "B/cover.png", "B/y.avi")
    found = find_videos(tmp_path)
    assert [video.name for video in found.videos] == ["A/x", "B/y"]
    assert found.passed_over == {".jpg": 3, ".png": 1}


def test_a_folder_that_is_itself_a_video_keeps_its_name(tmp_path: Path) -> None:
    make(tmp_path, "v_7/1.jpg", "v_7/2.jpg")
    assert names(tmp_path / "v_7") == ["v_7"]


def test_archives_are_to_be_unpacked_first(tmp_path: Path) -> None:
    make(tmp_path, "UCF101.rar", "empty/a.tar.gz", "both/x.avi", "both/more.ZIP")
    with pytest.raises(DataError, match=r"UCF101\.rar is an archive: unpack it first, and name the folder"):
        find_videos(tmp_path / "UCF101.rar")
    with pytest.raises(DataError, match=r"a\.tar\.gz is an archive: unpack it first"):
        find_videos(tmp_path / "empty")
    assert find_videos(tmp_path / "both").archive == tmp_path / "both/more.ZIP"


def test_what_is_passed_over_is_counted_by_ending_the_most_frequent_first() -> None:
    others = {".txt": 3, ".srt": 1000} | {f".{number}": 1 for number in range(6)}
    assert passed_over(others) == "1,009 other files (1,000 .srt, 3 .txt, 1 .0, 1 .1, 1 .2, 1 .3, 2 more endings)"
    assert passed_over({"README": 1}) == "1 other file (1 README)"
