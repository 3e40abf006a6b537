"""Streams are opened by their names alone, and may open nothing else."""

import os
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from tests.pipeline.extract.media import FRAMES, TEST_PICTURE, ffmpeg
from tests.pipeline.extract.servers import serving, serving_rtsp, standard_input
from tsn.pipeline.extract.ffmpeg_command import FrameSettings, stream_command
from tsn.pipeline.extract.ffmpeg_run import VideoError, never
from tsn.pipeline.extract.streams import is_stream, shown, source_of, stream_frames
from tsn.tsn_shared.errors import SettingsError

SETTINGS = FrameSettings(size=(64, 48), quality=2)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A second of MPEG-TS, whose time begins at 1.4 s as it always does."""
    path = tmp_path_factory.mktemp("streams") / "a.ts"
    ffmpeg(*TEST_PICTURE, "-c:v", "mpeg2video", "-q:v", "2", str(path))
    return path.read_bytes()


def test_a_stream_is_one_by_its_name_alone() -> None:
    names = ("-", "/dev/video0", "/dev/video12", "rtsp://a/b", "rtsps://a", "HTTP://a/b.ts", "https://a/b")
    assert all(map(is_stream, names))
    files = (
        "a.mp4",
        "./-",
        "/dev/null",
        "dev/video0",
        "/dev/video",
        "file://a",
        "ftp://a/b",
        "concat:a|b",
        "http:/a",
        "",
    )
    assert not any(map(is_stream, files))


def test_what_is_shown_of_an_address_has_no_password() -> None:
    assert shown("rtsp://me:se@cret@host:554/a@b") == "rtsp://b"  # rather too little than a secret
    assert shown("rtsp://me:secret@host/live") == "rtsp://host/live"
    assert shown("http://host/live") == "http://host/live"
    assert shown("-") == "standard input"


@pytest.mark.parametrize(
    "name", ["rtsp://", "http:///x", "http://a b", "http://a\r\nb", "rtsp://a:99999/", "http://[/"]
)
def test_an_address_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="is no address of a stream"):
        source_of(name, -1)


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_a_camera_and_rtsp_are_asked_for_in_this_way() -> None:
    """No camera is at hand where tests run: of V4L2 the command line is tested, and no more."""
    url, how = source_of("/dev/video0", -1)
    words = stream_command(url, how, 9, SETTINGS)
    assert (option(words, "-f"), option(words, "-i")) == ("v4l2", "/dev/video0")
    assert option(words, "-format_whitelist") == "video4linux2,v4l2"
    url, how = source_of("rtsp://MARKS/VIDEO0", -1, stall=2.5)
    words = stream_command(url, how, 9, SETTINGS)
    assert (option(words, "-f"), option(words, "-i")) == ("rtsp", "rtsp://MARKS/VIDEO0")
    assert option(words, "-protocol_whitelist") == "rtsp,rtp,tcp,udp"
    assert option(words, "-timeout") == "2500000"
    assert "pipe\\\\:9" in option(words, "-filter_complex")
    for url in ("http://a/", "https://a/"):
        assert "file" not in option(stream_command(*source_of(url, -1), 9, SETTINGS), "-protocol_whitelist").split(",")


def test_standard_input_gives_every_frame_with_its_time(stream: bytes) -> None:
    with standard_input(stream), stream_frames("-", SETTINGS, stop=never) as frames:
        found = list(frames)
        run = frames.finish()
    assert len(found) == FRAMES
    times = [frame.seconds or 0.0 for frame in found]
    assert [round(25 * (time - times[0])) for time in times] == list(range(FRAMES))
    assert (run.status, run.errors.count, run.broken) == (0, 0, "")


def test_http_gives_the_same_frames(stream: bytes) -> None:
    with standard_input(stream), stream_frames("-", SETTINGS, stop=never) as frames:
        wanted = [frame.jpeg for frame in frames]
    with serving({"/live": (stream, {})}) as address, stream_frames(f"{address}/live", SETTINGS, stop=never) as frames:
        assert [frame.jpeg for frame in frames] == wanted
        assert frames.finish().status == 0


def test_rtsp_gives_frames_in_their_own_time(stream: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(stream)
    with serving_rtsp(tmp_path / "a.ts") as address, stream_frames(address, SETTINGS, stop=never) as frames:
        times = [frame.seconds or 0.0 for frame in frames]
        run = frames.finish()
    assert FRAMES - 2 <= len(times) <= FRAMES
    assert times[-1] - times[0] == pytest.approx((len(times) - 1) / 25, abs=0.05)
    assert run.status == 0


def test_an_rtsp_server_that_dies_ends_the_stream(stream: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(stream)
    with serving_rtsp(tmp_path / "a.ts", most=14) as address, stream_frames(address, SETTINGS, stop=never) as frames:
        assert 2 < len(list(frames)) < FRAMES - 2
        assert frames.finish().status == 0


def test_a_playlist_opens_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret.ts"
    ffmpeg(*TEST_PICTURE, "-c:v", "mpeg2video", str(secret))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode()
    concat = f"ffconcat version 1.0\nfile {secret}\n".encode()
    kinds = {"/a.m3u8": (playlist, {"Content-Type": "application/vnd.apple.mpegurl"}), "/a.ts": (playlist, {})}
    with serving(kinds | {"/b.ffconcat": (concat, {})}) as address:
        for path in (*kinds, "/b.ffconcat", "/none"):
            with stream_frames(f"{address}{path}", SETTINGS, stop=never) as frames:
                assert list(frames) == []
                assert frames.finish().status != 0
    with standard_input(playlist), stream_frames("-", SETTINGS, stop=never) as frames:
        assert list(frames) == []
        assert str(frames.finish().errors) == "a playlist or some other kind of file, not a video"


def test_a_redirection_leads_to_no_file(stream: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(stream)
    moved = {"/moved": (b"", {"Location": f"file://{tmp_path}/a.ts"}), "/again": (b"", {"Location": "/live"})}
    with serving(moved | {"/live": (stream, {})}) as address:
        with stream_frames(f"{address}/moved", SETTINGS, stop=never) as frames:
            assert list(frames) == []
        with stream_frames(f"{address}/again", SETTINGS, stop=never) as frames:
            assert len(list(frames)) == FRAMES


def test_a_stream_that_gives_nothing_is_given_up(stream: bytes) -> None:
    silent = {"/silent": (stream[:1000], {"Content-Length": "1000000", "X-Wait": "3"})}
    with (
        serving(silent) as address,
        stream_frames(f"{address}/silent", SETTINGS, stop=never, stall=0.5) as frames,
        pytest.raises(VideoError, match=r"^ffmpeg gave no frame for 0\.5 s$"),
    ):
        list(frames)


def test_no_ffmpeg_outlives_its_stream(stream: bytes) -> None:
    with standard_input(stream), stream_frames("-", SETTINGS, stop=never) as frames:
        next(iter(frames))
    name = Path(imageio_ffmpeg.get_ffmpeg_exe()).name
    found = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "comm="], capture_output=True, text=True, check=False
    )
    assert name[:15] not in found.stdout.split()
