import os
from pathlib import Path

import pytest

from tsn.pipeline.extract.ffmpeg_run import VideoStoppedError
from tsn.pipeline.extract.originals import (
    Original,
    look_at,
    originals_path,
    read_originals,
    replaced_videos,
    write_originals,
)
from tsn.pipeline.extract.videos import Source
from tsn.tsn_shared.files import sha256


@pytest.fixture
def video(tmp_path: Path) -> Source:
    path = tmp_path / os.fsdecode(b"odd\xff\n\xc3\xa9.avi")
    path.write_bytes(b"content" * 999)
    return Source(name=path.stem, path=path)


def test_a_file_is_its_size_time_and_content(video: Source) -> None:
    os.utime(video.path, ns=(1, 123_456_789_012_345_678))
    expected = Original(size=6993, mtime_ns=123_456_789_012_345_678, sha256=sha256(video.path))
    assert look_at(video.path) == expected


def test_what_is_kept_beside_a_shard_comes_back(video: Source, tmp_path: Path) -> None:
    now = look_at(video.path)
    assert now is not None
    write_originals(tmp_path / "frames-00007.h5", {video.name: now, "other": now})
    assert originals_path(tmp_path / "frames-00007.h5").name == "frames-00007.videos.jsonl"
    assert read_originals(tmp_path / "frames-00007.h5") == {video.name: now, "other": now}
    assert read_originals(tmp_path / "frames-00008.h5") == {}


def test_what_cannot_be_read_has_no_content_and_a_stop_ends_the_reading(video: Source, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.avi")
    for path in (tmp_path / "fifo.avi", tmp_path / "nothing.avi", tmp_path):
        assert look_at(path) is None
    with pytest.raises(VideoStoppedError):
        look_at(video.path, lambda: True)


def test_only_other_content_is_a_replacement(video: Source, tmp_path: Path) -> None:
    shard, then = tmp_path / "frames-00000.h5", look_at(video.path)
    assert then is not None
    assert replaced_videos(shard, [video]) == []  # nothing is known
    write_originals(shard, {video.name: then})
    os.utime(video.path, ns=(5, 5))
    assert replaced_videos(shard, [video]) == []
    assert read_originals(shard)[video.name].mtime_ns == 5
    video.path.write_bytes(b"Content" + b"content" * 998)
    assert replaced_videos(shard, [video]) == [video.name]
    video.path.write_bytes(b"content" * 998)
    os.utime(video.path, ns=(5, 5))
    assert replaced_videos(shard, [video]) == [video.name]
    video.path.unlink()
    assert replaced_videos(shard, [video]) == []  # it cannot be said


def test_a_folder_of_frames_is_its_pictures_together(tmp_path: Path) -> None:
    folder, shard = tmp_path / "v", tmp_path / "frames-00000.h5"
    folder.mkdir()
    for number in (1, 2, 3):
        (folder / f"{number}.jpg").write_bytes(b"picture %d" % number)
    video = Source(name="v", path=folder)
    then = look_at(folder)
    assert then is not None
    assert then.size == 27
    write_originals(shard, {"v": then})
    assert replaced_videos(shard, [video]) == []
    (folder / "Thumbs.db").touch()  # the folder is another, its pictures are not
    os.utime(folder / "2.jpg", ns=(5, 5))
    assert replaced_videos(shard, [video]) == []
    (folder / "2.jpg").write_bytes(b"Picture 2")
    assert replaced_videos(shard, [video]) == ["v"]
    (folder / "2.jpg").write_bytes(b"picture 2")
    assert replaced_videos(shard, [video]) == []
    (folder / "3.jpg").rename(folder / "4.jpg")
    assert replaced_videos(shard, [video]) == ["v"]
    (folder / "4.jpg").unlink()
    assert replaced_videos(shard, [video]) == ["v"]
