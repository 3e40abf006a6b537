import struct
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.container import Promise, read_promise

KINDS = ("avi", "mp4", "mov", "mkv", "webm")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One second of real video in each container."""
    folder = tmp_path_factory.mktemp("videos")
    made = {kind: folder / f"video.{kind}" for kind in KINDS}
    for kind, path in made.items():
        codec = "libvpx" if kind == "webm" else "mpeg4"
        source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=1"]
        subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, "-c:v", codec, str(path)], check=True)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_ends_where_it_says(videos: dict[str, Path], kind: str) -> None:
    assert read_promise(videos[kind]).end == videos[kind].stat().st_size


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_in_its_body_ends_early(videos: dict[str, Path], kind: str, tmp_path: Path) -> None:
    whole = videos[kind].read_bytes()
    cut = tmp_path / "cut"
    for length in range(len(whole) // 2, len(whole) - 1, len(whole) // 20):
        cut.write_bytes(whole[:length])
        promise = read_promise(cut)
        at_a_box = kind in ("mp4", "mov") and promise.end == length  # such a file lacks its index, and does not open
        assert at_a_box or (promise.end is not None and promise.end > length)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_in_its_first_header_is_read_and_promises_what_it_can(
    videos: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    whole = videos[kind].read_bytes()
    for length in range(65):
        (tmp_path / "cut").write_bytes(whole[:length])
        assert read_promise(tmp_path / "cut").frames == (25 if kind == "avi" and length >= 52 else None)


def test_an_avi_counts_its_frames(videos: dict[str, Path]) -> None:
    assert read_promise(videos["avi"]).frames == 25
    assert read_promise(videos["mkv"]).frames is None


def riff(*chunks: bytes) -> bytes:
    return b"".join(b"RIFF" + struct.pack("<I", len(chunk)) + chunk + b"\0" * (len(chunk) % 2) for chunk in chunks)


def test_a_riff_file_of_several_parts_ends_with_the_last(tmp_path: Path) -> None:
    path = tmp_path / "x.avi"
    path.write_bytes(riff(b"AVI " + bytes(101), b"AVIX" + bytes(50)))
    assert read_promise(path).end == path.stat().st_size
    path.write_bytes(path.read_bytes()[:-10])
    assert read_promise(path).end == path.stat().st_size + 10


def test_bytes_after_the_container_are_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "x.avi"
    path.write_bytes(riff(b"AVI " + bytes(100)) + b"trailing")
    assert read_promise(path).end == path.stat().st_size - len(b"trailing")


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_size_that_was_never_filled_in_promises_nothing(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.avi"
    path.write_bytes(b"RIFF" + struct.pack("<I", size) + b"AVI " + bytes(100))
    assert read_promise(path) == Promise()


def test_a_matroska_segment_of_unknown_length_promises_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    path.write_bytes(bytes.fromhex("1a45dfa3 84 00000000 18538067 01ffffffffffffff") + bytes(100))
    assert read_promise(path) == Promise()


@given(st.sampled_from([b"RIFF", b"\x1a\x45\xdf\xa3", b"\0\0\0\x08ftyp", b""]), st.binary(max_size=200))
def test_whatever_the_bytes_are_there_is_an_answer(
    tmp_path_factory: pytest.TempPathFactory, a: bytes, b: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(a + b)
    promise = read_promise(path)
    assert promise.end is None or promise.end >= 0
