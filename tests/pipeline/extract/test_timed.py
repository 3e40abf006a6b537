"""Frames as they come are those of extraction, with their times, and judged as it judges."""

import io
from pathlib import Path

import pytest

from tests.pipeline.extract.media import FRAMES, TEST_PICTURE, ffmpeg
from tsn.pipeline.extract.ffmpeg_command import FrameSettings
from tsn.pipeline.extract.ffmpeg_run import VideoError, VideoStoppedError
from tsn.pipeline.extract.timed import video_frames
from tsn.pipeline.extract.video import decode_videos

SETTINGS = FrameSettings(size=(64, 48), quality=2)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("timed") / "a.mkv"
    ffmpeg(*TEST_PICTURE, "-c:v", "mpeg4", "-q:v", "2", str(path))
    return path


def test_they_are_the_frames_of_extraction_each_with_its_time(video: Path) -> None:
    out = io.BytesIO()
    (decoded,) = decode_videos([video], SETTINGS, out)
    with video_frames(video, SETTINGS) as frames:
        found = list(frames)
        assert frames.note() == decoded.note == ""
        assert frames.bytes_read == frames.size == video.stat().st_size
    assert b"".join(frame.jpeg for frame in found) == out.getvalue()
    assert [frame.seconds for frame in found] == pytest.approx([number / 25 for number in range(FRAMES)], abs=1e-3)


def test_a_video_that_is_cut_off_fails_after_its_frames(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.avi", tmp_path / "cut.avi"
    ffmpeg(*TEST_PICTURE, "-c:v", "mjpeg", str(whole))
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with video_frames(cut, SETTINGS) as frames:
        assert 5 < len(list(frames)) < 20
        with pytest.raises(VideoError, match=r"^truncated: the file ends at byte"):
            frames.note()


def test_what_is_no_video_gives_no_frame_and_the_reason(tmp_path: Path) -> None:
    playlist = tmp_path / "x.avi"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n")
    with video_frames(playlist, SETTINGS) as frames:
        assert list(frames) == []
        with pytest.raises(VideoError, match="a playlist or some other kind of file"):
            frames.note()
    with pytest.raises(VideoError, match="a folder"), video_frames(tmp_path, SETTINGS):
        pass


def test_it_can_be_left_half_way_and_stopped(video: Path) -> None:
    with video_frames(video, SETTINGS) as frames:
        assert next(iter(frames)).seconds == 0
    with pytest.raises(VideoStoppedError), video_frames(video, SETTINGS, stop=lambda: True):
        pass
