"""Folders of real JPEGs and PNGs: what is kept byte for byte, what is scaled, and what fails by which name."""

import io
import os
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import simplejpeg
from PIL import Image

from tests.pipeline.extract.media import ffmpeg
from tsn.pipeline.extract import picture_frames as module
from tsn.pipeline.extract.ffmpeg_command import FrameSettings
from tsn.pipeline.extract.ffmpeg_run import VideoError, VideoStoppedError
from tsn.pipeline.extract.picture_frames import decode_pictures
from tsn.pipeline.extract.video import Decoded

SIZE = FrameSettings(size=(64, 48), quality=2)
NATIVE = FrameSettings(size=None, quality=2)
COUNT = 6
Draw = Callable[..., list[Path]]


@pytest.fixture(scope="module")
def draw(tmp_path_factory: pytest.TempPathFactory) -> Draw:
    """Give a function that makes a folder of numbered pictures, each kind drawn once, and returns them in order."""

    @cache
    def contents(name: str, size: str, *words: str) -> dict[str, bytes]:
        folder = tmp_path_factory.mktemp("pictures")
        source = f"testsrc2=size={size}:rate=25:duration=1"
        ffmpeg("-f", "lavfi", "-i", source, "-frames:v", str(COUNT), *words, str(folder / name))
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    def make(folder: Path, name: str, size: str, *words: str) -> list[Path]:
        folder.mkdir()
        for each, data in contents(name, size, *words).items():
            (folder / each).write_bytes(data)
        return sorted(folder.iterdir())

    return make


def decode(folder: Path, settings: FrameSettings = SIZE) -> tuple[Decoded, list[bytes]]:
    out = io.BytesIO()
    decoded = decode_pictures(folder, settings, out)
    frames, data, at = [], out.getvalue(), 0
    for size, crc32 in zip(decoded.sizes, decoded.crc32, strict=True):
        frames.append(data[at : at + size])
        assert zlib.crc32(frames[-1]) == crc32
        at += size
    assert at == len(data)
    return decoded, frames


def luma(jpeg: bytes) -> npt.NDArray[np.int64]:
    """Return how bright a frame is; its colours, of half the size, are no measure in a picture as small as these."""
    return np.asarray(simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")).astype(np.int64)[:, :, 0]


@pytest.mark.parametrize("settings", [SIZE, NATIVE])
@pytest.mark.parametrize("words", [[], ["-pix_fmt", "gray"], ["-huffman", "default"]])
def test_jpegs_of_the_size_asked_for_are_kept_byte_for_byte(
    draw: Draw, tmp_path: Path, settings: FrameSettings, words: list[str]
) -> None:
    paths = draw(tmp_path / "v", "img_%05d.jpg", "64x48", *words)
    decoded, frames = decode(tmp_path / "v", settings)
    assert frames == [path.read_bytes() for path in paths]
    assert (decoded.width, decoded.height, decoded.fps, decoded.note) == (64, 48, 0.0, "")


@pytest.mark.parametrize("name", ["%d.jpg", "%d.png"])
def test_others_are_scaled_by_the_rule_of_videos_each_once_in_order(draw: Draw, tmp_path: Path, name: str) -> None:
    draw(tmp_path / "v", name, "320x240", "-q:v", "1")
    decoded, frames = decode(tmp_path / "v")
    assert (decoded.width, decoded.height, len(frames)) == (64, 48, COUNT)
    rule = "scale=64:48:flags=bilinear:out_color_matrix=bt601:out_range=pc,format=yuv420p,extractplanes=y"
    raw = ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=1", "-frames:v", str(COUNT),
        "-vf", rule, "-f", "rawvideo", "-",
    )  # fmt: skip
    drawn = np.frombuffer(raw, dtype=np.uint8).reshape(COUNT, 48, 64).astype(np.int64)
    distance = np.array([[np.abs(luma(frame) - other).mean() for other in drawn] for frame in frames])
    assert distance.argmin(axis=1).tolist() == list(range(COUNT))
    assert distance.diagonal().max() < 2


def test_pictures_of_all_kinds_and_sizes_are_frames_of_one_size(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "v", "%d.png", "320x240")
    expected = decode(tmp_path / "v")[1]
    odd = [
        ffmpeg("-i", str(tmp_path / "v/2.png"), "-pix_fmt", "rgba", "-c:v", "png", "-f", "image2", "-"),
        ffmpeg("-i", str(tmp_path / "v/3.png"), "-q:v", "1", "-f", "mjpeg", "-"),  # named like the others
        ffmpeg("-i", str(tmp_path / "v/4.png"), "-vf", "scale=200:150", "-c:v", "png", "-f", "image2", "-"),
        ffmpeg("-i", str(tmp_path / "v/5.png"), "-vf", "scale=64:48:flags=bilinear", "-q:v", "1", "-f", "mjpeg", "-"),
    ]
    for number, data in enumerate(odd, start=2):
        (tmp_path / f"v/{number}.png").write_bytes(data)
    for together in (module.TOGETHER_BYTES, 1):  # some at a time, and one by one
        monkeypatch.setattr(module, "TOGETHER_BYTES", together)
        frames = decode(tmp_path / "v")[1]
        assert [frames[0], frames[1], frames[-1]] == [expected[0], expected[1], expected[-1]]
        assert frames[4] == odd[3]
        distance = [np.abs(luma(frame) - luma(other)).mean() for frame, other in zip(frames, expected, strict=True)]
        assert max(distance) < 2


def test_a_jpeg_for_printers_becomes_a_frame_that_loaders_take(draw: Draw, tmp_path: Path) -> None:
    draw(tmp_path / "v", "%d.png", "64x48")
    Image.open(tmp_path / "v/1.png").convert("CMYK").save(tmp_path / "v/1.jpg", quality=95)
    for path in (tmp_path / "v").glob("*.png"):
        path.unlink()
    (frame,) = decode(tmp_path / "v")[1]
    assert frame != (tmp_path / "v/1.jpg").read_bytes()
    assert luma(frame).shape == (48, 64)


@pytest.mark.parametrize("size", [(64, 48), (320, 240)])
def test_the_orientation_that_a_camera_wrote_is_not_applied(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "v").mkdir()
    for number, orientation in ((1, 6), (2, 1), (3, 3)):
        picture = Image.linear_gradient("L").resize(size)
        exif = picture.getexif()
        exif[0x0112] = orientation
        picture.save(tmp_path / f"v/{number}.jpg", exif=exif)
    brightness = [luma(frame).mean(axis=1) for frame in decode(tmp_path / "v")[1]]
    assert all(np.all(np.diff(rows) > 0) for rows in brightness)  # from above to below


def test_missing_numbers_are_noted(draw: Draw, tmp_path: Path) -> None:
    paths = draw(tmp_path / "v", "img_%05d.jpg", "64x48")
    paths[2].unlink()
    decoded, frames = decode(tmp_path / "v")
    assert len(frames) == COUNT - 1
    assert decoded.note == "1 picture missing up to number 6, the first: 3"


def test_native_pictures_are_of_one_size(draw: Draw, tmp_path: Path) -> None:
    draw(tmp_path / "v", "%d.png", "64x48")
    assert decode(tmp_path / "v", NATIVE)[0].width == 64
    ffmpeg("-i", str(tmp_path / "v/4.png"), "-vf", "scale=32:32", str(tmp_path / "v/4b.png"))
    (tmp_path / "v/4b.png").rename(tmp_path / "v/4.png")
    with pytest.raises(VideoError, match=r"^4\.png is 32x32, the first 64x48: extract it with a --size"):
        decode(tmp_path / "v", NATIVE)
    assert len(decode(tmp_path / "v")[1]) == COUNT


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("404 not found")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def bomb(path: Path) -> None:
    data = bytearray(path.read_bytes())
    if path.suffix == ".png":
        data[16:24] = (1 << 24).to_bytes(4) * 2
    else:
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    path.write_bytes(data)


JPEG, LARGE_JPEG, PNG = ("%d.jpg", "64x48"), ("%d.jpg", "320x240"), ("%d.png", "320x240")


@pytest.mark.parametrize(
    ("damage", "name", "size"),
    [(damage, *kind) for damage in (cut, spoil) for kind in (JPEG, LARGE_JPEG, PNG)]
    + [(damage, *JPEG) for damage in (empty, text, fifo, dangling)]
    + [(bomb, *JPEG), (bomb, *PNG)],
)
def test_a_picture_that_is_damaged_or_hostile_fails_by_its_name(
    draw: Draw, tmp_path: Path, damage: Callable[[Path], None], name: str, size: str
) -> None:
    paths = draw(tmp_path / "v", name, size)
    damage(paths[4])
    with pytest.raises(VideoError, match=f"^{paths[4].name}\\b") as error:
        decode(tmp_path / "v")
    assert str(tmp_path) not in str(error.value)


def test_a_file_of_more_bytes_than_a_picture_takes_is_not_read(draw: Draw, tmp_path: Path) -> None:
    paths = draw(tmp_path / "v", "%d.jpg", "64x48")
    os.truncate(paths[1], module.MOST_BYTES + 1)
    with pytest.raises(VideoError, match=r"^2\.jpg: a file of over 268,435,456 bytes"):
        decode(tmp_path / "v")


def test_whatever_the_bytes_of_a_picture_are_there_is_an_answer(draw: Draw, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    (path, *rest) = draw(tmp_path / "v", "%d.jpg", "64x48")
    for other in rest:
        other.unlink()
    whole = path.read_bytes()
    for _ in range(40):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 4):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            (frame,) = decode(tmp_path / "v")[1]
        except VideoError:
            continue
        assert luma(frame).shape == (48, 64)


def test_a_stop_ends_it(draw: Draw, tmp_path: Path) -> None:
    draw(tmp_path / "v", "%d.jpg", "64x48")
    with pytest.raises(VideoStoppedError):
        decode_pictures(tmp_path / "v", SIZE, io.BytesIO(), stop=lambda: True)
