"""Frames that are chosen of a video are the bytes that extraction stores of them, whatever its container declares."""

import io
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.extract.media import KINDS, SOUND, TEST_PICTURE, declared, ffmpeg
from tsn.pipeline.extract.chosen import MOST_SELECTED, ChosenFrames, decode_chosen
from tsn.pipeline.extract.ffmpeg_command import FrameSettings
from tsn.pipeline.extract.ffmpeg_run import VideoError, VideoStoppedError
from tsn.pipeline.extract.picture_frames import decode_pictures
from tsn.pipeline.extract.video import Decoded, decode_videos
from tsn.pipeline.jpeg import decode_jpeg

SETTINGS = FrameSettings(size=(80, 60), quality=2)
NATIVE = FrameSettings(size=None, quality=2)


def thirds(frames: int) -> list[int]:
    return [frames // 6, frames // 2, 5 * frames // 6]


def stored(path: Path, settings: FrameSettings = SETTINGS) -> tuple[Decoded, list[bytes]]:
    """Return what extraction makes of a video, and its JPEGs."""
    out = io.BytesIO()
    decoded = decode_pictures(path, settings, out) if path.is_dir() else decode_videos([path], settings, out)[0]
    return decoded, [out.getvalue()[start:end] for start, end in pairwise(accumulate(decoded.sizes, initial=0))]


def is_stored(found: ChosenFrames, path: Path, choose: Callable[[int], Sequence[int]], settings: FrameSettings) -> bool:
    decoded, jpegs = stored(path, settings)
    assert (found.frames, found.note) == (len(jpegs), decoded.note)
    assert found.size == (decoded.width, decoded.height)
    assert found.numbers == tuple(choose(len(jpegs)))
    return [jpeg.tobytes() for jpeg in found.jpegs] == [jpegs[number] for number in found.numbers]


@pytest.mark.parametrize("kind", ["mpeg4.avi", "index_last.mp4", "vp8.webm", "theora.ogv", "picture.gif"])
def test_they_are_those_of_extraction(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    ffmpeg(*TEST_PICTURE, *KINDS[kind], str(path))
    assert is_stored(decode_chosen(path, SETTINGS, thirds), path, thirds, SETTINGS)
    assert is_stored(decode_chosen(path, NATIVE, thirds), path, thirds, NATIVE)


def test_a_container_that_declares_nothing_is_counted_first(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    ffmpeg(*TEST_PICTURE, *SOUND, "-c:v", "mpeg2video", "-f", "mpegts", str(path))
    assert declared(path).frames is None
    assert is_stored(decode_chosen(path, SETTINGS, thirds), path, thirds, SETTINGS)


def test_where_fewer_decode_than_are_declared_they_are_chosen_again(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    ffmpeg(*TEST_PICTURE, "-c:v", "mjpeg", str(path))
    content = bytearray(path.read_bytes())
    at = [place for place in range(len(content)) if content[place : place + 4] == b"00dc"][:25]
    for place in at[3:6]:  # three frames that are no pictures
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        content[place + 8 : place + 8 + size] = bytes(size)
    path.write_bytes(content)
    found = decode_chosen(path, SETTINGS, thirds)
    assert (declared(path).frames, found.frames) == (25, 22)
    assert "22 of 25 frames decode" in found.note
    assert is_stored(found, path, thirds, SETTINGS)


def test_pictures_that_change_their_size_are_counted_through(tmp_path: Path) -> None:
    """ffmpeg begins to count again where they do."""
    path, parts = tmp_path / "a.ts", list[bytes]()
    for size in ("64x48", "96x64", "64x48"):
        source = ["-f", "lavfi", "-i", f"testsrc=size={size}:rate=25:duration=0.4"]
        parts.append(ffmpeg(*source, "-c:v", "mpeg2video", "-f", "mpegts", "pipe:1"))
    path.write_bytes(b"".join(parts))
    found = decode_chosen(path, SETTINGS, thirds)
    assert found.frames > 20
    assert is_stored(found, path, thirds, SETTINGS)


def test_limited_grey_is_widened_as_in_extraction(tmp_path: Path) -> None:
    path = tmp_path / "grey.mkv"
    ramp = ["-f", "lavfi", "-i", "color=size=256x64:rate=25:duration=0.4", "-vf"]
    levels = "format=gray,geq=lum=clip(X\\,16\\,235):cb=128:cr=128,setparams=range=tv"
    how = ["-color_range", "tv", "-c:v", "libx265", "-x265-params", "log-level=error:qp=4"]
    ffmpeg(*ramp, levels, *how, str(path))
    found = decode_chosen(path, NATIVE, thirds)
    assert is_stored(found, path, thirds, NATIVE)
    assert found.pictures().min() <= 1


def test_any_number_of_frames_and_the_same_ones_again(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:rate=100:duration=3", "-c:v", "mpeg4", str(path))
    for choose in (lambda n: [0] * 5, lambda n: [n - 1, 0], range):
        found = decode_chosen(path, SETTINGS, choose)
        assert is_stored(found, path, choose, SETTINGS)
    assert len(found.jpegs) == 300 > MOST_SELECTED
    assert found.pictures().shape == (300, 60, 80, 3)
    assert np.array_equal(found.pictures()[7], decode_jpeg(found.jpegs[7]))


def test_a_folder_of_pictures_is_a_video_as_well(tmp_path: Path) -> None:
    for number in range(1, 9):
        Image.new("RGB", (80, 60), (number, 0, 0)).save(tmp_path / f"img_{number:05}.{'png' if number % 2 else 'jpg'}")
    assert is_stored(decode_chosen(tmp_path, SETTINGS, thirds), tmp_path, thirds, SETTINGS)
    (tmp_path / "img_00001.png").write_bytes(b"damaged")  # also where it is not chosen
    with pytest.raises(VideoError, match=r"img_00001\.png: neither"):
        decode_chosen(tmp_path, SETTINGS, thirds)


def test_a_video_fails_as_in_extraction(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    ffmpeg(*TEST_PICTURE, "-c:v", "mpeg4", str(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (tmp_path / "b.avi").touch()
    (tmp_path / "c.avi").write_text("no video")
    for name in "abc":
        reasons = []
        for decode in (stored, lambda path: decode_chosen(path, SETTINGS, thirds)):
            with pytest.raises(VideoError) as raised:
                decode(tmp_path / f"{name}.avi")
            reasons.append(str(raised.value))
        assert reasons[0] == reasons[1]


def test_it_can_be_stopped(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    ffmpeg(*TEST_PICTURE, "-c:v", "mpeg4", str(path))
    with pytest.raises(VideoStoppedError):
        decode_chosen(path, SETTINGS, thirds, stop=lambda: True)
