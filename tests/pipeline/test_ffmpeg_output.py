import io
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import ffmpeg_output
from pipeline.ffmpeg_output import Log, read_frames, read_logs

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
    for luma, blue, red in read_frames(Arriving(stream(frames, *size), step)):
        assert luma.shape == (size[1], size[0])
        assert blue.shape == red.shape == ((size[1] + 1) // 2, (size[0] + 1) // 2)
        came.append(luma.tobytes() + blue.tobytes() + red.tobytes())
    assert came == frames


@given(st.integers(1, 4), sizes, st.data())
def test_a_stream_cut_within_a_frame_is_an_error(count: int, size: tuple[int, int], data: st.DataObject) -> None:
    frames = drawn(count, *size)
    cut = data.draw(st.integers(1, len(frames[-1]) + 5))
    with pytest.raises(ValueError, match="ends within a frame"):
        list(read_frames(Arriving(stream(frames, *size)[:-cut], 1 << 16)))


def test_a_stream_out_of_step_or_of_another_kind_is_an_error() -> None:
    frames = drawn(3, 6, 4)
    with pytest.raises(ValueError, match="out of step"):
        list(read_frames(Arriving(stream([frames[0][:-1], *frames[1:]], 6, 4), 99)))
    for other in (b"\xff\xd8\xff\xe0" * 99, stream(frames, 6, 4).replace(b"C420jpeg", b"C444"), b"YUV4MPEG2 W6 H4"):
        with pytest.raises(ValueError, match="no YUV4MPEG2 stream"):
            list(read_frames(Arriving(other, 99)))
    assert list(read_frames(Arriving(b"", 99))) == []


def read_log(text: str) -> Log:
    (log,) = read_logs(text, 1)
    return log


LOG = """\
[info] Input #0, avi, from 'file:/videos/a.avi':
[info]   Duration: 00:00:04.70, start: 0.000000, bitrate: 489 kb/s
[info]   Stream #0:0: Video: mpeg4 (Simple Profile), yuv420p(left), 320x240 [SAR 1:1 DAR 4:3], 29.97 fps, 29.97 tbr
[info] Output #0, yuv4mpegpipe, to 'pipe:1':
[info]   Stream #0:0: Video: wrapped_avframe, yuv420p(pc), 340x256, 25 fps, 25 tbn
[mpeg4 @ 0x5581] [error] ac-tex damaged at 3 4
[mpeg4 @ 0x5581] [error] Error at MB: 40
[in#0/avi @ 0x55d5] [verbose]   Input stream #0:0 (video): 141 packets read (278766 bytes); 139 frames decoded; 0 decode
"""


def test_a_log_tells_rate_counts_and_errors() -> None:
    log = read_log(LOG)
    assert (log.fps, log.decoded, log.errors, log.error) == (29.97, 139, 2, "ac-tex damaged at 3 4")


def test_the_log_of_several_videos_tells_of_each() -> None:
    head, _, tail = LOG.partition("[info] Output")
    second = head.replace("#0", "#1").replace("29.97", "25").replace("04.70", "02.00")
    end = tail.splitlines()[-1]
    both = f"{head}{second}[info] Output{tail}{end.replace('#0', '#1').replace('139', '50')}\n"
    one, two = read_logs(both, 2)
    assert (one.fps, one.decoded) == (29.97, 139)
    assert (two.fps, two.decoded) == (25.0, 50)
    assert one.errors == two.errors == 2
    assert [log.decoded for log in read_logs(LOG, 3)] == [139, None, None]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[hls @ 0x1] [error] Format not on whitelist 'avi,mov'", "a playlist or some other kind of file, not a video"),
        ("[fc#0 @ 0x1] [fatal] Stream specifier 'V:0' in description matches no streams.", "no video stream"),
        ("[in#0 @ 0x1] [error] Error opening input: Invalid data found when processing input", "not a video, or"),
        ("[x @ 0x7f1] [error] odd thing at 0x7f12ab", "odd thing at 0x?"),
        ("[error] Error opening input file file:/home/me/a.avi.", ""),
    ],
)
def test_an_error_is_told_in_words_that_are_the_same_everywhere(line: str, words: str) -> None:
    error = read_log(line + "\n").error
    assert error.startswith(words)
    assert bool(error) == bool(words)
