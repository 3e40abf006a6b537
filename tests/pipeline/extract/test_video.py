"""Real videos through the real ffmpeg: what becomes frames, what fails, and with which words."""

import io
import os
import signal
import subprocess
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from tsn.pipeline.extract.ffmpeg_command import FrameSettings
from tsn.pipeline.extract.ffmpeg_run import Limits, VideoError, VideoStoppedError
from tsn.pipeline.extract.video import LEAST_SHARE, Decoded, decode_videos

SETTINGS = FrameSettings(size=(340, 256), quality=2)
NATIVE = FrameSettings(size=None, quality=2)
TEST_PICTURE = ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=1"]


def ffmpeg(*words: str) -> bytes:
    return subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *words], check=True, capture_output=True
    ).stdout


def decode_video(path: Path, settings: FrameSettings, out: BinaryIO, **how: Any) -> Decoded:
    (decoded,) = decode_videos([path], settings, out, **how)
    return decoded


def decode(path: Path, settings: FrameSettings = SETTINGS) -> tuple[Decoded, list[np.ndarray]]:
    """Decode a video; return what is said of it and its frames as Pillow reads them."""
    out = io.BytesIO()
    decoded = decode_video(path, settings, out)
    frames, data, at = [], out.getvalue(), 0
    for size, crc32 in zip(decoded.sizes, decoded.crc32, strict=True):
        jpeg = data[at : at + size]
        assert zlib.crc32(jpeg) == crc32
        frames.append(np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int))
        at += size
    assert at == len(data)
    return decoded, frames


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "video.avi"
    ffmpeg(*TEST_PICTURE, "-c:v", "mpeg4", "-vtag", "XVID", "-q:v", "3", str(path))
    return path


def test_frames_are_those_of_the_video_at_the_size_asked_for(video: Path) -> None:
    decoded, frames = decode(video)
    assert (decoded.width, decoded.height, decoded.fps, decoded.note) == (340, 256, 25.0, "")
    assert len(frames) == 25
    raw = ffmpeg(
        "-i", str(video), "-vf", "scale=340:256:flags=bilinear+accurate_rnd+full_chroma_int", "-pix_fmt", "rgb24",
        "-f", "rawvideo", "-",
    )  # fmt: skip
    lossless = np.frombuffer(raw, dtype=np.uint8).reshape(25, 256, 340, 3)
    for number, frame in enumerate(frames):
        assert np.abs(frame - lossless[number]).mean() < 3
        others = np.delete(np.arange(25), number)
        distance = [np.abs(frame - lossless[other]).mean() for other in others]
        assert np.abs(frame - lossless[number]).mean() < min(distance)


def test_the_same_video_gives_the_same_bytes(video: Path) -> None:
    outs = [io.BytesIO(), io.BytesIO()]
    first, second = (decode_video(video, SETTINGS, out) for out in outs)
    assert outs[0].getvalue() == outs[1].getvalue()
    assert first == second


def test_native_frames_keep_their_size_and_rotation_is_applied(tmp_path: Path, video: Path) -> None:
    assert decode(video, NATIVE)[0].width == 320
    upright = tmp_path / "upright.mp4"
    ffmpeg("-i", str(video), "-c:v", "mpeg4", str(tmp_path / "plain.mp4"))
    ffmpeg("-display_rotation", "90", "-i", str(tmp_path / "plain.mp4"), "-c", "copy", str(upright))
    decoded, _ = decode(upright, NATIVE)
    assert (decoded.width, decoded.height) == (240, 320)


@pytest.mark.parametrize(
    ("name", "words", "frames"),
    [
        ("one_frame.avi", ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=0.04", "-c:v", "mpeg4"], 1),
        ("one_pixel.mkv", ["-f", "lavfi", "-i", "color=size=1x1:rate=25:duration=0.2", "-c:v", "ffv1"], 5),
        ("ten_bits.mkv", [*TEST_PICTURE, "-pix_fmt", "yuv420p10le", "-c:v", "ffv1"], 25),
        ("grey.avi", [*TEST_PICTURE, "-pix_fmt", "gray", "-c:v", "ffv1"], 25),
        ("portrait.mov", ["-f", "lavfi", "-i", "testsrc=size=90x300:rate=25:duration=1", "-c:v", "mpeg4"], 25),
        ("sound.mp4", [*TEST_PICTURE, "-f", "lavfi", "-i", "sine=duration=9", "-c:v", "mpeg4"], 25),
        ("uneven.mkv", [*TEST_PICTURE, "-vf", "select=not(mod(n\\,3))+lt(n\\,5)", "-fps_mode", "vfr"], 12),
        ("flash.flv", [*TEST_PICTURE, "-c:v", "flv1"], 25),
        ("windows.wmv", [*TEST_PICTURE, "-c:v", "wmv2"], 25),
        ("program.mpg", [*TEST_PICTURE, "-c:v", "mpeg2video"], 25),
        ("film.webm", [*TEST_PICTURE, "-c:v", "libvpx", "-b:v", "200k"], 25),
    ],
)
def test_every_frame_of_every_kind_of_video_is_there_once(
    tmp_path: Path, name: str, words: list[str], frames: int
) -> None:
    ffmpeg(*words, str(tmp_path / name))
    decoded, pictures = decode(tmp_path / name)
    assert len(pictures) == frames
    assert (decoded.width, decoded.height) == (340, 256)


@pytest.mark.parametrize("name", ["one.mkv", "one.mp4", "one.ts", "one.hevc"])
def test_limited_levels_of_a_grey_video_become_full_ones_as_those_of_a_coloured_one_do(
    tmp_path: Path, name: str
) -> None:
    ramp = ["-f", "lavfi", "-i", "color=size=256x64:rate=25:duration=0.2", "-vf"]
    levels = "geq=lum=clip(X\\,16\\,235):cb=128:cr=128,setparams=range=tv"
    how = ["-c:v", "libx265", "-x265-params", "log-level=error:qp=4"]
    for pixels, path in (("gray", tmp_path / name), ("yuv420p", tmp_path / f"coloured-{name}")):
        ffmpeg(*ramp, f"format={pixels},{levels}", "-pix_fmt", pixels, "-color_range", "tv", *how, str(path))
    _, grey = decode(tmp_path / name, NATIVE)
    _, coloured = decode(tmp_path / f"coloured-{name}", NATIVE)
    assert len(grey) == len(coloured) == 5
    assert grey[0].min() <= 1
    assert grey[0].max() >= 254
    assert max(np.abs(one - other).max() for one, other in zip(grey, coloured, strict=True)) <= 3


def test_one_of_several_videos_that_is_limited_grey_is_to_be_decoded_alone(tmp_path: Path, video: Path) -> None:
    grey = tmp_path / "grey.mkv"
    ffmpeg(*TEST_PICTURE, "-vf", "format=gray,setparams=range=tv", "-color_range", "tv", "-c:v", "libx265", str(grey))
    with pytest.raises(VideoError, match="one of several"):
        decode_videos([video, grey], SETTINGS, io.BytesIO())


@pytest.mark.parametrize("name", [b"a b", b"-map", b"a:b", b"%03d", b"new\nline", b"\xff\xfe", b"x" * 251, b"'[0]"])
def test_any_file_name_is_taken_literally(tmp_path: Path, video: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name + b".avi")
    path.write_bytes(video.read_bytes())
    assert len(decode_video(path, SETTINGS, io.BytesIO()).sizes) == 25


def empty(path: Path, video: Path) -> None:
    path.touch()


def text(path: Path, video: Path) -> None:
    path.write_text("not a video\n")


def playlist(path: Path, video: Path) -> None:
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:1,\n{video}\n#EXT-X-ENDLIST\n")


def concat_script(path: Path, video: Path) -> None:
    path.write_text(f"ffconcat version 1.0\nfile {video}\n")


def cut(path: Path, video: Path) -> None:
    path.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])


def sound_only(path: Path, video: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", str(path))


def fifo(path: Path, video: Path) -> None:
    os.mkfifo(path)


def folder(path: Path, video: Path) -> None:
    path.mkdir()


def dangling(path: Path, video: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (empty, "an empty file"),
        (text, "not a video, or damaged at its beginning"),
        (playlist, "a playlist or some other kind of file, not a video"),
        (concat_script, "a playlist or some other kind of file, not a video"),
        (cut, "truncated: the file ends at byte"),
        (sound_only, "no video stream"),
        (fifo, "not a regular file"),
        (folder, "a folder"),
        (dangling, "a link to nothing"),
    ],
)
def test_what_is_no_whole_video_fails_with_its_reason(
    tmp_path: Path, video: Path, make: Callable[[Path, Path], None], reason: str
) -> None:
    path = tmp_path / "x.avi"
    make(path, video)
    with pytest.raises(VideoError) as error:
        decode_video(path, SETTINGS, io.BytesIO())
    assert str(error.value).startswith(reason)
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("claimed", [0, 1, 27, 1000])
def test_what_a_whole_avis_header_counts_is_nothing(tmp_path: Path, video: Path, claimed: int) -> None:
    data = bytearray(video.read_bytes())
    data[48:52] = claimed.to_bytes(4, "little")
    stream = data.index(b"vids") + 32
    data[stream : stream + 4] = claimed.to_bytes(4, "little")
    (tmp_path / "x.avi").write_bytes(data)
    decoded, frames = decode(tmp_path / "x.avi")
    assert (len(frames), decoded.note) == (25, "")


@pytest.mark.parametrize(("codec", "stretch"), [("mjpeg", 4), ("mpeg4", 1.4)])
def test_frames_that_an_avi_leaves_out_are_not_missing(tmp_path: Path, codec: str, stretch: float) -> None:
    """Capture tools write an empty chunk for "the same again"; headers count them."""
    words = ["-vf", f"setpts=N*{stretch}/25/TB", "-c:v", codec, "-fps_mode", "vfr", "-enc_time_base", "1/25"]
    ffmpeg(*TEST_PICTURE, *words, str(tmp_path / "x.avi"))
    assert int.from_bytes((tmp_path / "x.avi").read_bytes()[48:52], "little") > 25 / LEAST_SHARE
    decoded, frames = decode(tmp_path / "x.avi")
    assert (len(frames), decoded.note) == (25, "")


H264 = ["-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x.mp4", [*H264, "-movflags", "faststart"]),
        ("x.mov", [*H264, "-movflags", "faststart"]),
        ("fragments.mp4", [*H264, "-g", "10", "-movflags", "frag_keyframe+empty_moov"]),
        ("x.mkv", H264),
        ("x.webm", ["-c:v", "libvpx", "-b:v", "400k"]),
        ("x.avi", ["-c:v", "mpeg4"]),
        ("x.flv", ["-c:v", "flv1"]),
        ("x.wmv", ["-c:v", "wmv2"]),
        ("x.ogv", ["-c:v", "libtheora", "-b:v", "800k", "-page_duration", "100000"]),
        ("x.gif", []),
    ],
)
def test_a_download_that_stopped_is_truncated_in_any_container(tmp_path: Path, name: str, words: list[str]) -> None:
    """Of known size, it has zeros where nothing came, and no end that is too early."""
    path = tmp_path / name
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=4", *words, str(path))
    whole = path.read_bytes()
    assert decode(path)[0].note == ""
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    with pytest.raises(VideoError, match=r"truncated: \d+ of \d+ frames decode|damaged: over 25%"):
        decode_video(path, SETTINGS, io.BytesIO())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match=r"truncated: the file ends at byte"):
        decode_video(path, SETTINGS, io.BytesIO())


@pytest.mark.parametrize(("name", "words"), [("x.ts", H264), ("x.m2ts", H264), ("x.mpg", ["-c:v", "mpeg1video"])])
def test_a_stream_that_states_no_length_is_done_and_a_cut_in_a_packet_noted(
    tmp_path: Path, name: str, words: list[str]
) -> None:
    path = tmp_path / name
    ffmpeg(*TEST_PICTURE, *words, str(path))
    decoded, frames = decode(path)
    assert (len(frames), decoded.note) == (25, "")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    with pytest.raises(VideoError, match=r"truncated: the file ends at byte"):
        decode(path)
    path.write_bytes(whole[:-333])
    decoded, frames = decode(path)
    assert len(frames) >= 20
    assert decoded.note.startswith("its last packet is cut off")


def id3_tag(data: bytearray) -> None:
    data += b"TAG".ljust(128)


def comment(data: bytearray) -> None:
    data += b"<!-- made by a tool of whose kind there are many -->"


def long_box(data: bytearray) -> None:
    at = data.index(b"mdat") - 4
    data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + 8).to_bytes(4, "big")


@pytest.mark.parametrize("spoil", [id3_tag, comment, long_box])
@pytest.mark.parametrize("flags", [[], ["-movflags", "faststart"]])
def test_bytes_after_an_mp4_or_a_box_too_long_lose_no_video(
    tmp_path: Path, spoil: Callable[[bytearray], None], flags: list[str]
) -> None:
    path = tmp_path / "x.mp4"
    ffmpeg(*TEST_PICTURE, *H264, *flags, str(path))
    data = bytearray(path.read_bytes())
    spoil(data)
    path.write_bytes(data)
    if spoil is long_box and not flags:
        with pytest.raises(VideoError):  # the index lies behind it, and is lost
            decode(path)
        return
    decoded, frames = decode(path)
    assert (len(frames), decoded.note) == (25, "")


def test_a_file_that_ends_early_without_losing_a_frame_is_done_with_a_note(tmp_path: Path, video: Path) -> None:
    whole = video.read_bytes()
    (tmp_path / "x.avi").write_bytes(whole[:-5])  # within the index, which nobody needs
    decoded, frames = decode(tmp_path / "x.avi")
    assert len(frames) == 25
    assert decoded.note == "the file ends 5 bytes before its container says, but no frame is missing"


def test_a_last_byte_that_is_missing_from_the_last_frame_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    ffmpeg(*TEST_PICTURE, *H264, "-movflags", "faststart", str(path))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(VideoError, match=f"truncated: the file ends at byte {len(whole) - 1:,} of {len(whole):,}$"):
        decode(path)


def test_an_index_that_counts_many_more_frames_than_its_file_holds_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    ffmpeg(*TEST_PICTURE, *H264, "-movflags", "faststart", str(path))
    data = bytearray(path.read_bytes())
    box = data.index(b"mdat") - 4
    del data[box + (len(data) - box) // 3 :]
    data[box : box + 4] = (len(data) - box).to_bytes(4, "big")  # so that no box is too long
    path.write_bytes(data)
    with pytest.raises(VideoError, match="truncated: the file ends at byte"):
        decode(path)


@pytest.mark.parametrize("start", [0.1, 0.5])
def test_frames_that_an_edit_list_hides_are_not_missing(tmp_path: Path, start: float) -> None:
    ffmpeg(*TEST_PICTURE, *H264, str(tmp_path / "whole.mp4"))
    ffmpeg("-ss", str(start), "-i", str(tmp_path / "whole.mp4"), "-t", "0.3", "-c", "copy", str(tmp_path / "x.mp4"))
    decoded, frames = decode(tmp_path / "x.mp4")
    assert 7 <= len(frames) < 12
    assert decoded.note == ""


def test_an_edit_list_that_hides_every_frame_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    ffmpeg(*TEST_PICTURE, *H264, str(path))
    data = bytearray(path.read_bytes())
    entry = data.index(b"elst") + 12
    data[entry + 4 : entry + 8] = (1 << 30).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(VideoError, match="none of its frames is to be shown"):
        decode(path)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("h264", H264),
        ("hevc", ["-c:v", "libx265", "-x265-params", "log-level=0"]),
        ("m4v", ["-c:v", "mpeg4"]),
        ("mjpeg", ["-c:v", "mjpeg"]),
        ("dv", ["-s", "720x576", "-c:v", "dvvideo", "-pix_fmt", "yuv420p"]),
        ("obu", ["-c:v", "libaom-av1", "-cpu-used", "8"]),
        ("mpeg2video", ["-c:v", "mpeg2video"]),
        ("ivf", ["-c:v", "libvpx"]),
        ("rm", ["-s", "176x144", "-c:v", "rv10"]),
        ("wtv", ["-c:v", "mpeg2video"]),
        ("swf", ["-c:v", "flv1"]),
        ("apng", ["-c:v", "apng"]),
    ],
)
def test_streams_without_a_container_and_rare_ones_are_read_whatever_their_name(
    tmp_path: Path, form: str, words: list[str]
) -> None:
    source = ["-f", "lavfi", "-i", "testsrc=size=128x96:rate=25:duration=0.4"]
    ffmpeg(*source, *words, "-f", form, str(tmp_path / "x.mp4"))
    decoded, frames = decode(tmp_path / "x.mp4")
    assert (len(frames), decoded.fps, decoded.note) == (10, 25.0, "")


def test_a_rate_that_no_header_gives_is_that_of_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    ffmpeg(*TEST_PICTURE, "-c:v", "mpeg4", str(path))
    rate = bytes.fromhex("23e383")  # DefaultDuration, made an element that nobody knows
    assert path.read_bytes().count(rate) == 1
    path.write_bytes(path.read_bytes().replace(rate, bytes.fromhex("23e38f")))
    assert decode(path)[0].fps == 25.0


def joined(folder: Path, *codecs: str) -> Path:
    """Return a stream in which the codec changes midway."""
    parts = []
    for codec in codecs:
        ffmpeg(*TEST_PICTURE, "-c:v", codec, "-pix_fmt", "yuv420p", str(folder / f"{codec}.ts"))
        parts.append((folder / f"{codec}.ts").read_bytes())
    (folder / "x.mpg").write_bytes(b"".join(parts))
    return folder / "x.mpg"


def test_a_codec_that_changes_midway_and_loses_half_a_video_is_told(tmp_path: Path) -> None:
    decoded, frames = decode(joined(tmp_path, "libx264", "mpeg2video"))
    assert len(frames) == 25
    assert decoded.note == "no frame in its first 0.94 s"
    with pytest.raises(VideoError, match="damaged: over 25% of its frames do not decode"):
        decode(joined(tmp_path, "mpeg2video", "libx264"))


def test_damage_in_the_middle_is_a_note_with_the_first_error(tmp_path: Path, video: Path) -> None:
    data = bytearray(video.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(range(256))[::-1] + bytes(44)
    (tmp_path / "x.avi").write_bytes(data)
    decoded, frames = decode(tmp_path / "x.avi")
    assert len(frames) > 20
    assert "decoding errors, the first: " in decoded.note


def ffmpegs() -> list[int]:
    """Return our ffmpeg processes."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"ffmpeg" in (entry / "cmdline").read_bytes():
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                found += [int(entry.name)] * (parent == os.getpid())
        except (OSError, ValueError):
            continue
    return found


@pytest.fixture
def long_video(tmp_path: Path) -> Path:
    path = tmp_path / "long.avi"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=60", "-c:v", "mpeg4", str(path))
    return path


def decode_meanwhile(path: Path, act: Callable[[int], None], **how: object) -> BaseException | None:
    """Decode in a thread, do something to ffmpeg once it runs, and return what the thread raised."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            decode_video(path, SETTINGS, io.BytesIO(), **how)
        except (VideoError, VideoStoppedError) as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not (running := ffmpegs()) and thread.is_alive():
        time.sleep(0.005)
    act(running[0])
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert ffmpegs() == []
    return raised[0] if raised else None


def test_an_ffmpeg_that_hangs_is_killed_and_the_video_fails(long_video: Path) -> None:
    limits = Limits(stall_seconds=1)
    error = decode_meanwhile(long_video, lambda pid: os.kill(pid, signal.SIGSTOP), limits=limits)
    assert str(error) == "ffmpeg gave no frame for 1 s"


def test_an_ffmpeg_that_is_killed_fails_its_video(long_video: Path) -> None:
    error = decode_meanwhile(long_video, lambda pid: os.kill(pid, signal.SIGKILL))
    assert str(error) == "ffmpeg was ended by SIGKILL"


def test_a_stop_ends_ffmpeg_at_once(long_video: Path) -> None:
    stop = threading.Event()
    begun = time.monotonic()
    error = decode_meanwhile(long_video, lambda pid: stop.set(), stop=stop.is_set)
    assert isinstance(error, VideoStoppedError)
    assert time.monotonic() - begun < 10


def test_a_video_that_needs_too_much_memory_fails(tmp_path: Path) -> None:
    path = tmp_path / "huge.avi"
    ffmpeg("-f", "lavfi", "-i", "color=size=8000x8000:rate=1:duration=1", "-c:v", "mjpeg", str(path))
    assert len(decode_video(path, SETTINGS, io.BytesIO()).sizes) == 1
    with pytest.raises(VideoError, match="it needs more memory than a video may take"):
        decode_video(path, SETTINGS, io.BytesIO(), limits=Limits(memory_bytes=300 << 20))


def test_a_full_disk_is_no_fault_of_the_video(video: Path) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        decode_video(video, SETTINGS, full)
    assert ffmpegs() == []


KINDS: dict[str, list[str]] = {
    "portrait.mov": ["-f", "lavfi", "-i", "testsrc=size=90x300:rate=25:duration=1", "-c:v", "mpeg4"],
    "one_frame.avi": ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=0.04", "-c:v", "mpeg4"],
    "grey.avi": [*TEST_PICTURE, "-pix_fmt", "gray", "-c:v", "ffv1"],
    "full_range.mkv": [*TEST_PICTURE, "-pix_fmt", "yuvj444p", "-c:v", "mjpeg"],
    "wide_pixels.mkv": [*TEST_PICTURE, "-vf", "setsar=16/11", "-c:v", "mpeg4"],
    "slow.mp4": ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=7:duration=2", "-bf", "2", "-c:v", "mpeg4"],
    "uneven.mkv": [*TEST_PICTURE, "-vf", "select=not(mod(n\\,3))+lt(n\\,5)", "-fps_mode", "vfr"],
    "late.mkv": [*TEST_PICTURE, "-output_ts_offset", "3600", "-c:v", "mpeg4"],
}


def test_videos_decoded_together_are_each_as_alone(tmp_path: Path) -> None:
    for name, words in KINDS.items():
        ffmpeg(*words, str(tmp_path / name))
    paths = [tmp_path / name for name in KINDS]
    alone = [io.BytesIO() for _ in paths]
    expected = [decode_video(path, SETTINGS, out) for path, out in zip(paths, alone, strict=True)]
    together = io.BytesIO()
    assert decode_videos(paths, SETTINGS, together) == expected
    assert together.getvalue() == b"".join(out.getvalue() for out in alone)
    assert len({decoded.fps for decoded in expected}) > 1


def growing(path: Path) -> None:
    """Make a video whose pictures change their size half-way."""
    parts = []
    for size in ("320x240", "160x120"):
        part = path.with_name(f"{size}.ts")
        ffmpeg("-f", "lavfi", "-i", f"testsrc=size={size}:rate=25:duration=1", "-c:v", "mpeg2video", str(part))
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))


def test_pictures_that_change_their_size_become_frames_of_one(tmp_path: Path) -> None:
    growing(tmp_path / "x.mpg")
    _, frames = decode(tmp_path / "x.mpg")
    assert len(frames) in (49, 50)  # the decoder may give up the picture at the seam
    native, as_they_are = decode(tmp_path / "x.mpg", NATIVE)
    assert (native.width, native.height, len(as_they_are)) == (320, 240, len(frames))


@pytest.mark.parametrize("make", [cut, empty, text, sound_only])
def test_together_with_what_is_no_whole_video_none_is_decoded(
    tmp_path: Path, video: Path, make: Callable[[Path, Path], None]
) -> None:
    make(tmp_path / "x.avi", video)
    with pytest.raises(VideoError):
        decode_videos([video, tmp_path / "x.avi", video], SETTINGS, io.BytesIO())


def test_frames_too_large_to_hold_are_refused(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=size=16400x16:rate=1:duration=1", "-c:v", "ffv1", str(tmp_path / "x.mkv"))
    assert len(decode(tmp_path / "x.mkv")[1]) == 1
    with pytest.raises(VideoError, match="its frames are 16400x16, too large: extract it with a --size"):
        decode(tmp_path / "x.mkv", NATIVE)
