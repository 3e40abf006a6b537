"""What real files of every container declare, whole and spoilt in the ways that people report."""

import os
import struct
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tsn.pipeline.extract import declared as module
from tsn.pipeline.extract.container import read_declared_length
from tsn.pipeline.extract.declared import DeclaredLength, FileBytes

FRAMES = 25
TEST_PICTURE = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=1"]
SOUND = ["-f", "lavfi", "-i", "sine=duration=1"]
H264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p"]
KINDS: dict[str, list[str]] = {
    "mpeg4.avi": ["-c:v", "mpeg4", "-bf", "2"],
    "sound.avi": [*SOUND, "-c:v", "mjpeg"],
    "index_last.mp4": H264,
    "index_first.mp4": [*SOUND, *H264, "-movflags", "faststart"],
    "fragments.mp4": [*SOUND, *H264, "-g", "5", "-movflags", "frag_keyframe+empty_moov"],
    "half_fragments.mp4": [*H264, "-g", "5", "-movflags", "frag_keyframe"],
    "prores.mov": ["-c:v", "prores"],
    "mpeg4.mkv": [*SOUND, "-c:v", "mpeg4"],
    "vp9.webm": ["-c:v", "libvpx-vp9", "-b:v", "200k"],
    "vp8.webm": ["-c:v", "libvpx", "-b:v", "200k", "-auto-alt-ref", "1", "-lag-in-frames", "16"],
}
"""One second of video each; the last has pictures that are never shown."""


def ffmpeg(*words: str) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *words]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    for name, words in KINDS.items():
        ffmpeg(*TEST_PICTURE, *words, str(folder / name))
    return {name: folder / name for name in KINDS}


def declared(path: Path) -> DeclaredLength:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return read_declared_length(descriptor)
    finally:
        os.close(descriptor)


def declared_by(content: bytes, path: Path) -> DeclaredLength:
    path.write_bytes(content)
    return declared(path)


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_file_counts_its_frames_and_misses_nothing(videos: dict[str, Path], name: str) -> None:
    found = declared(videos[name])
    assert found.frames == FRAMES
    assert found.missing == 0
    if not name.endswith(("mp4", "mov")):  # which end with their last picture, whatever follows
        assert found.end == found.size


@pytest.mark.parametrize("name", KINDS)
def test_a_file_cut_anywhere_in_its_body_lacks_bytes_or_its_index(
    videos: dict[str, Path], name: str, tmp_path: Path
) -> None:
    whole = videos[name].read_bytes()
    end = declared(videos[name]).end or 0
    for length in range(end // 2, end, max(1, end // 20)):
        found = declared_by(whole[:length], tmp_path / "cut")
        at_a_box = name.endswith("mp4") and found.end == length
        assert found.missing > 0 or at_a_box
        assert found.frames is None or name.endswith("mp4") or found.frames >= FRAMES


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_file_whose_end_never_came_counts_the_frames_that_should_be_there(
    videos: dict[str, Path], name: str, share: float, tmp_path: Path
) -> None:
    """A download of known size leaves zeros where nothing came."""
    whole = videos[name].read_bytes()
    there = int(len(whole) * share)
    found = declared_by(whole[:there] + bytes(len(whole) - there), tmp_path / "zeros")
    if name in ("index_last.mp4", "prores.mov"):
        assert found.frames is None  # there is no index: such a file does not open
    elif "fragments" in name:
        assert (found.frames or 0) * 0.75 > share * FRAMES  # nothing counts them: the rest has as many a byte
    else:
        assert found.frames in (FRAMES, FRAMES + 1)  # a header may count the time of one more


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("tail", [b"TAG".ljust(128), b"<!-- made by a tool -->", bytes(100), b"\xff\xfe\xfd" * 40])
def test_bytes_after_the_container_are_nobodys(videos: dict[str, Path], name: str, tail: bytes, tmp_path: Path) -> None:
    found = declared_by(videos[name].read_bytes() + tail, tmp_path / "tail")
    assert (found.frames, found.missing) == (FRAMES, 0)


@pytest.mark.parametrize("name", KINDS)
def test_a_file_cut_in_its_first_header_is_read_and_declares_what_it_can(
    videos: dict[str, Path], name: str, tmp_path: Path
) -> None:
    whole = videos[name].read_bytes()
    for length in range(65):
        assert declared_by(whole[:length], tmp_path / "cut").frames is None


def test_a_box_that_is_a_little_too_long_misses_nothing(videos: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(videos["index_first.mp4"].read_bytes())
    at = data.index(b"mdat") - 4
    data[at : at + 4] = struct.pack(">I", struct.unpack(">I", data[at : at + 4])[0] + 8)
    assert declared_by(bytes(data), tmp_path / "x.mp4").missing == 0


def test_an_index_that_counts_more_than_its_file_holds_misses_it(videos: dict[str, Path], tmp_path: Path) -> None:
    data = videos["index_first.mp4"].read_bytes()
    for sound_only in (True, False):
        ends = declared(videos["index_first.mp4"]).end or 0
        found = declared_by(data[: ends if sound_only else ends - 1], tmp_path / "x.mp4")
        assert (found.frames, found.missing) == (FRAMES, 0 if sound_only else 1)


def test_a_sample_that_holds_nothing_is_no_frame(videos: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(videos["index_last.mp4"].read_bytes())
    at = data.index(b"stsz") + 16 + 3 * 4
    data[at : at + 4] = bytes(4)
    assert declared_by(bytes(data), tmp_path / "x.mp4").frames == FRAMES - 1


@pytest.mark.parametrize("start", ["0.1", "0.44", "0.5"])
def test_samples_that_an_edit_list_hides_are_not_counted(videos: dict[str, Path], start: str, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    ffmpeg("-ss", start, "-i", str(videos["index_last.mp4"]), "-t", "0.3", "-c", "copy", str(path))
    shown = len(ffmpeg("-i", str(path), "-fps_mode", "passthrough", "-f", "rawvideo", "-")) // (64 * 48 * 3 // 2)
    assert declared(path).frames == shown
    data = path.read_bytes()
    assert struct.unpack_from(">I", data, data.index(b"stsz") + 12)[0] > shown


def chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def avi(movie: bytes, *, claimed: int = 0, more: tuple[bytes, ...] = ()) -> bytes:
    """Return an AVI of two streams, sound and then video, with these chunks in its movie."""
    heads = [b"auds".ljust(32, b"\0") + bytes(4), b"vids".ljust(32, b"\0") + struct.pack("<I", claimed)]
    streams = b"".join(chunk(b"LIST", b"strl" + chunk(b"strh", head)) for head in heads)
    body = chunk(b"LIST", b"hdrl" + chunk(b"avih", bytes(56)) + streams) + chunk(b"LIST", b"movi" + movie)
    parts = [chunk(b"RIFF", b"AVI " + body), *(chunk(b"RIFF", b"AVIX" + chunk(b"LIST", b"movi" + m)) for m in more)]
    return b"".join(parts)


FULL, EMPTY = chunk(b"01dc", b"picture"), chunk(b"01dc", b"")


@pytest.mark.parametrize(
    ("movie", "frames"),
    [
        (FULL * 3, 3),
        (FULL + EMPTY * 9 + FULL, 2),  # an empty chunk shows the picture before it again
        (FULL + chunk(b"00wb", b"sound") + chunk(b"01pc", b"palette") + chunk(b"ix01", bytes(24)) + FULL, 2),
        (chunk(b"LIST", b"rec " + FULL + chunk(b"00wb", b"sound")) * 2 + FULL, 3),
        (b"", 0),
    ],
)
def test_the_frames_of_an_avi_are_its_chunks_that_hold_something(tmp_path: Path, movie: bytes, frames: int) -> None:
    found = declared_by(avi(movie, claimed=1000), tmp_path / "x.avi")
    assert (found.frames, found.missing) == (frames, 0)


def test_an_avi_of_several_parts_counts_all_and_ends_with_the_last(tmp_path: Path) -> None:
    data = avi(FULL * 2, more=(FULL * 3, FULL))
    assert declared_by(data, tmp_path / "x.avi") == DeclaredLength(size=len(data), end=len(data), frames=6)
    assert declared_by(data[:-10], tmp_path / "x.avi").missing == 10


def test_parts_of_an_avi_begin_at_even_bytes_and_the_last_pad_may_be_missing(tmp_path: Path) -> None:
    odd = avi(FULL * 2) + b"JUNK\1\0\0\0x"
    part = odd[:4] + struct.pack("<I", len(odd) - 8) + odd[8:]
    assert declared_by(part, tmp_path / "x.avi") == DeclaredLength(size=len(part), end=len(part), frames=2)
    both = part + b"\0" + chunk(b"RIFF", b"AVIX" + chunk(b"LIST", b"movi" + FULL * 3))
    assert declared_by(both, tmp_path / "x.avi") == DeclaredLength(size=len(both), end=len(both), frames=5)


@pytest.mark.parametrize(("claimed", "frames"), [(9, 9), (1, 4), (0, 8), (0xFFFFFFFF, 8)])
def test_where_an_avi_is_damaged_its_header_counts_and_without_one_its_bytes(
    tmp_path: Path, claimed: int, frames: int
) -> None:
    data = avi(FULL * 4 + bytes(len(FULL) * 4), claimed=claimed)
    body = len(data) - 8 * len(FULL)
    filled = avi(FULL * 4 + bytes(body + len(FULL) * 4), claimed=claimed)  # as many bytes unread as read
    found = declared_by(filled, tmp_path / "x.avi").frames or 0
    assert abs(found - frames) <= (0 if claimed in (9, 1) else 1)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_size_that_was_never_filled_in_declares_no_end(tmp_path: Path, size: int) -> None:
    data = avi(FULL * 3)
    found = declared_by(data[:4] + struct.pack("<I", size) + data[8:], tmp_path / "x.avi")
    assert (found.end, found.frames) == (None, 3)
    at = data.index(b"movi") - 4
    found = declared_by(data[:at] + struct.pack("<I", size) + data[at + 4 :], tmp_path / "x.avi")
    assert (found.missing, found.frames) == (0, 3)


def test_a_matroska_segment_of_unknown_length_declares_its_frames_and_no_end(
    videos: dict[str, Path], tmp_path: Path
) -> None:
    live = ffmpeg("-i", str(videos["mpeg4.mkv"]), "-c", "copy", "-f", "matroska", "-")
    found = declared_by(live, tmp_path / "x.mkv")
    assert (found.end, found.frames) == (None, FRAMES)


def test_files_of_other_kinds_declare_nothing(tmp_path: Path) -> None:
    for head in (b"RIFF\x64\0\0\0WAVEfmt ", b"\x47" * 188, b"FLV\x01", b"#EXTM3U\n", b""):
        assert declared_by(head + bytes(100), tmp_path / "x") == DeclaredLength(size=len(head) + 100)


def test_an_empty_file_declares_and_misses_nothing(tmp_path: Path) -> None:
    found = declared_by(b"", tmp_path / "x")
    assert (found, found.missing) == (DeclaredLength(size=0), 0)


def test_a_file_of_endless_parts_is_not_walked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("avi", "mp4", "matroska"):
        monkeypatch.setattr(f"tsn.pipeline.extract.container_{kind}.MOST_PARTS", 50)
    boxes = struct.pack(">I4s", 8, b"free") * 100
    elements = bytes.fromhex("1a45dfa3 80 18538067 01ffffffffffffff") + bytes.fromhex("ec80") * 100
    for data in (avi(FULL * 100), boxes, elements):
        assert declared_by(data, tmp_path / "x") == DeclaredLength(size=len(data))


def test_tables_that_claim_what_is_not_there_take_no_memory(videos: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(videos["index_first.mp4"].read_bytes())
    for kind in (b"stsz", b"stts", b"stsc", b"stco", b"ctts", b"elst"):
        at = data.find(kind)
        if at > 0:
            data[at + 8 : at + 16] = b"\xff" * 8
            declared_by(bytes(data), tmp_path / "x.mp4")
    at = data.index(b"stsz")
    data[at + 8 : at + 16] = struct.pack(">II", 1, 4_000_001)
    assert declared_by(bytes(data), tmp_path / "x.mp4").frames is None


@pytest.mark.parametrize("name", KINDS)
def test_whatever_is_damaged_there_is_an_answer(
    videos: dict[str, Path], name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = videos[name].read_bytes()
    path = tmp_path_factory.mktemp("damage") / "any"

    @given(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.binary(min_size=1, max_size=8)), max_size=6))
    def answers(spots: list[tuple[int, bytes]]) -> None:
        data = bytearray(whole)
        for at, spot in spots:
            data[at : at + len(spot)] = spot
        found = declared_by(bytes(data), path)
        assert found.frames is None or found.frames >= 0
        assert found.end is None or found.end >= 0

    answers()


@given(st.sampled_from([b"RIFF\x60\0\0\0AVI ", b"\x1a\x45\xdf\xa3", b"\0\0\0\x08ftyp", b""]), st.binary(max_size=200))
def test_whatever_the_bytes_are_there_is_an_answer(
    tmp_path_factory: pytest.TempPathFactory, a: bytes, b: bytes
) -> None:
    found = declared_by(a + b, tmp_path_factory.getbasetemp() / "any")
    assert found.size == len(a + b)


@pytest.mark.parametrize(
    ("counted", "read_to", "claimed", "frames"),
    [(3, 75, 0, 3), (3, 74, 0, 4), (5, 50, 0, 10), (0, 0, 0, 0), (3, 10, 7, 7), (9, 10, 7, 9)],
)
def test_a_rest_of_over_a_quarter_holds_frames_too(counted: int, read_to: int, claimed: int, frames: int) -> None:
    assert module.frames_of_part(counted, read_to=read_to, size=100, claimed=claimed) == frames


@example(bytes(range(64)), [(5, 4), (3, 2), (6, 2), (40, 4), (20, 3)])  # back and on again, within a piece and beyond
@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 310), st.integers(0, 60)), max_size=9))
def test_pieces_of_a_file_are_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, reads: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "pieces"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr(module, "_PIECE", 16)
        pieces = FileBytes(file.fileno())
        assert [pieces.read(at, count) for at, count in reads] == [data[at : at + count] for at, count in reads]
