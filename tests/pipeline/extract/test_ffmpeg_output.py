import io
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn.pipeline.extract import ffmpeg_output
from tsn.pipeline.extract.ffmpeg_command import MARK
from tsn.pipeline.extract.ffmpeg_output import BROKE, BROKE_OFF, Errors, Marks, Times, read_marks, read_planes

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@pytest.fixture(autouse=True, scope="module")
def short_reads() -> Iterator[None]:
    """Let small frames be as to the buffer as large ones are: some fit in it often, some not once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ffmpeg_output, "_READ_BYTES", 64)
        yield


class Arriving(io.RawIOBase):
    """A pipe from which so many bytes come at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self.data, self.step, self.at = data, step, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        got = self.data[self.at : self.at + min(self.step, len(buffer))]
        buffer[: len(got)] = got
        self.at += len(got)
        return len(got)


def stream(frames: list[bytes], width: int, height: int) -> bytes:
    """Return what ffmpeg's yuv4mpegpipe muxer writes for these frames."""
    head = b"YUV4MPEG2 W%d H%d F25:1 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL\n" % (width, height)
    return head + b"".join(b"FRAME\n" + frame for frame in frames)


def drawn(count: int, width: int, height: int) -> list[bytes]:
    rng = np.random.default_rng(count)
    return [rng.bytes(width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)) for _ in range(count)]


@given(st.integers(0, 7), sizes, st.sampled_from([1, 2, 7, 64, 97, 1000]))
def test_the_stream_gives_the_frames_however_it_arrives(count: int, size: tuple[int, int], step: int) -> None:
    frames = drawn(count, *size)
    came = []
    for luma, blue, red in read_planes(Arriving(stream(frames, *size), step)):
        assert luma.shape == (size[1], size[0])
        assert blue.shape == red.shape == ((size[1] + 1) // 2, (size[0] + 1) // 2)
        came.append(luma.tobytes() + blue.tobytes() + red.tobytes())
    assert came == frames


@given(st.integers(1, 4), sizes, st.data())
def test_a_stream_cut_within_a_frame_is_an_error(count: int, size: tuple[int, int], data: st.DataObject) -> None:
    frames = drawn(count, *size)
    cut = data.draw(st.integers(1, len(frames[-1]) + 5))
    with pytest.raises(ValueError, match="ends within a frame"):
        list(read_planes(Arriving(stream(frames, *size)[:-cut], 1 << 16)))


def test_a_stream_out_of_step_or_of_another_kind_is_an_error() -> None:
    frames = drawn(3, 6, 4)
    with pytest.raises(ValueError, match="out of step"):
        list(read_planes(Arriving(stream([frames[0][:-1], *frames[1:]], 6, 4), 99)))
    for other in (b"\xff\xd8\xff\xe0" * 99, stream(frames, 6, 4).replace(b"C420jpeg", b"C444"), b"YUV4MPEG2 W6 H4"):
        with pytest.raises(ValueError, match="no YUV4MPEG2 stream"):
            list(read_planes(Arriving(other, 99)))
    assert list(read_planes(Arriving(b"", 99))) == []


def marks(*times: int | None, video: int = 0) -> bytes:
    """Return what ffmpeg's metadata filter prints of frames at these times, in microseconds."""
    seconds = ["NOPTS" if time is None else f"{time / 1e6:.6g}" for time in times]
    lines = [
        f"frame:{number:<4} pts:{'NOPTS' if time is None else time:<7} pts_time:{second}\nvideo={video}\n"
        for number, (time, second) in enumerate(zip(times, seconds, strict=True))
    ]
    return "".join(lines).encode()


@given(st.lists(st.integers(0, 40), min_size=1, max_size=17))
def test_marks_tell_how_many_frames_are_each_videos(counts: list[int]) -> None:
    text = b"".join(marks(*range(0, count * 40_000, 40_000), video=video) for video, count in enumerate(counts))
    told = read_marks(text, len(counts))
    assert [each.frames for each in told] == counts
    assert [each.fps for each in told] == [25.0 if count > 1 else 0.0 for count in counts]


@pytest.mark.parametrize(
    ("times", "fps"),
    [
        ([0], 0.0),
        ([], 0.0),
        ([None, None, None], 0.0),
        ([7, 7, 7], 0.0),
        ([0, 40_000, 80_000], 25.0),
        ([-80_000, -40_000, 0], 25.0),
        ([0, 40_000, 400_000, 440_000, 480_000], 25.0),  # a gap is no rate
        ([0, 40_000, 80_000, 136_000], 22.06),  # a step of another half is one
        ([0, 40_000, 80_000, 141_000], 25.0),
        ([number * 1_001_000 // 30 for number in range(50)], 29.97),
        ([round(number * 1001 / 30) * 1000 for number in range(31)], 29.97),  # as Matroska has it, in milliseconds
        ([round(number * 1001 / 24) * 1000 for number in range(90)], 23.98),
        ([number * 160_000 for number in range(9)], 6.25),
        ([number * 100_000_000 for number in range(3)], 0.01),
    ],
)
def test_the_rate_is_that_of_the_frames(times: list[int | None], fps: float) -> None:
    (told,) = read_marks(marks(*times), 1)
    assert (told.frames, told.fps) == (len(times), fps)


def test_marks_tell_when_the_first_and_the_last_frame_are() -> None:
    assert read_marks(marks(540_000, 580_000, 620_000), 1) == [Marks(frames=3, fps=25.0, late=0.54, seconds=0.62)]
    assert read_marks(marks(None, 2_000_000, 1_000_000), 1)[0].late == 2.0


ERRORS = """\
[mpeg4 @ 0x5581] [error] ac-tex damaged at 3 4
[mpeg4 @ 0x5581] [error] Error at MB: 40
[info] neither this
nor this [error]
[vist#0:0/mpeg4 @ 0x558] [dec:mpeg4 @ 0x55] [fatal] Decode error rate 0.5 exceeds maximum 0.25
"""


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_errors_are_counted_and_the_first_is_told_however_they_arrive(step: int) -> None:
    errors, data = Errors(), ERRORS.encode()
    for at in range(0, len(data), step):
        errors.take(data[at : at + step])
    assert (errors.count, str(errors)) == (3, "ac-tex damaged at 3 4")


def test_of_errors_without_end_little_is_held() -> None:
    errors = Errors()
    for _ in range(1000):
        errors.take(b"[error] " + b"x" * 5000)
    errors.take(b"\n" + b"[error] y\n" * 1000)
    assert errors.count == 1001
    assert str(errors) == "x" * 200
    assert sum(len(str(value)) for value in vars(errors).values()) < 2000


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("[hls @ 0x1] [error] Format not on whitelist 'avi,mov'", "a playlist or some other kind of file, not a video"),
        ("[fc#0 @ 0x1] [fatal] Stream specifier 'V:0' in description matches no streams.", "no video stream"),
        ("[error] odd\n[error] Cannot allocate memory", "it needs more memory than a video may take"),
        (
            "[error] Stream map '' matches no streams.\n[error] Unable to find a suitable output format",
            "a playlist or some other kind of file, not a video",
        ),
        (
            "[in#0 @ 0x1] [error] Error opening input: Invalid data found when processing input",
            "not a video, or damaged at its beginning",
        ),
        ("[mov @ 0x1] [error] moov atom not found\n[in#0] [error] Invalid data found", "moov atom not found"),
        ("[x @ 0x7f1] [error] odd thing at 0x7f12ab", "odd thing at 0x?"),
        ("[error] Error opening input file fd:.\n[error] the reason", "the reason"),
        ("[error] Error opening input file fd:.", ""),
        ("", ""),
    ],
)
def test_an_error_is_told_in_words_that_are_the_same_everywhere(lines: str, words: str) -> None:
    errors = Errors()
    errors.take(lines.encode() + b"\n")
    assert str(errors) == words


@given(st.data())
def test_marks_are_taken_in_as_they_come(data: st.DataObject) -> None:
    times = data.draw(st.lists(st.one_of(st.none(), st.integers(-(10**6), 10**9)), max_size=20))
    lines = [f"frame:{n} pts:{'NOPTS' if t is None else t} pts_time:0\n{MARK}=0\n" for n, t in enumerate(times)]
    text, taken, found = "".join(lines).encode(), Times(), list[float | None]()
    while text:
        size = data.draw(st.integers(1, 40))
        found += taken.take(text[:size])
        text = text[size:]
    assert found == [None if time is None else time / 1e6 for time in times]
    known = [time / 1e6 for time in times if time is not None]
    assert taken.marks.frames == len(times)
    assert (taken.marks.late, taken.marks.seconds) == ((known[0], known[-1]) if known else (0.0, 0.0))


def test_what_breaks_a_stream_is_told_before_what_came_first() -> None:
    for line, words in (
        ("Stream ends prematurely at 20, should be 40", BROKE_OFF),
        ("Error during demuxing: Connection reset by peer", BROKE),
        ("Stream ends prematurely at 20, should be 18446744073709551615", "a broken macroblock"),
        ("Error during demuxing: Input/output error", "a broken macroblock"),
    ):
        errors = Errors()
        errors.take(f"[h264 @ 0x1] [error] a broken macroblock\n[http @ 0x2] [error] {line}\n".encode())
        assert str(errors) == words


@pytest.mark.parametrize(
    ("line", "cut"),
    [
        ("[in#0/avi @ 0x1] [warning] Packet corrupt (stream = 0, dts = 185).", True),
        ("[in#0/mov,mp4,m4a,3gp,3g2,mj2 @ 0x1] [error] stream 0, offset 0x371e3: partial file", True),
        ("[in#0/flv @ 0x1] [warning] Packet corrupt (stream = 0, dts = 7440).", True),
        ("[in#0/matroska,webm @ 0x1] [error] File ended prematurely", True),
        ("[in#0/mpegts @ 0x1] [warning] Packet corrupt (stream = 0, dts = 7440).", False),
        ("[h264 @ 0x1] [error] [in#0/avi @ 0x1] [warning] Packet corrupt", False),
    ],
)
def test_bytes_that_end_within_a_packet_are_known(line: str, cut: bool) -> None:
    errors = Errors()
    errors.take(line.encode())
    assert not errors.cut_off
    errors.take(b"\n")
    assert errors.cut_off is cut
