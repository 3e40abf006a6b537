import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.ffmpeg_output import jpeg_size, read_log, split_jpegs

jpegs = st.lists(st.binary(min_size=1, max_size=60), max_size=6)


def stream(parts: list[bytes]) -> bytes:
    """Return what ffmpeg's mpjpeg muxer writes for these frames."""
    if not parts:
        return b""
    header = b"Content-type: image/jpeg\r\nContent-length: %d\r\n\r\n"
    return b"--ffmpeg\r\n" + b"".join(header % len(part) + part + b"\r\n--ffmpeg\r\n" for part in parts)


@given(jpegs, st.integers(1, 40))
def test_the_stream_gives_the_frames_however_it_arrives(parts: list[bytes], size: int) -> None:
    data = stream(parts)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    assert list(split_jpegs(chunks)) == parts


@given(jpegs.filter(bool), st.data())
def test_a_stream_cut_within_a_frame_is_an_error(parts: list[bytes], data: st.DataObject) -> None:
    whole, end = stream(parts), len(b"\r\n--ffmpeg\r\n")
    cut = data.draw(st.integers(1, len(parts[-1]) + end - 1).filter(lambda cut: cut != end))
    with pytest.raises(ValueError, match="ends within a frame"):
        list(split_jpegs([whole[:-cut]]))


@pytest.mark.parametrize("size", [(340, 256), (1, 1), (1920, 2)])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_size_is_read_from_the_jpeg(size: tuple[int, int], progressive: bool) -> None:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "JPEG", progressive=progressive)
    assert jpeg_size(file.getvalue()) == size


@given(st.binary(max_size=100))
def test_what_is_no_jpeg_has_no_size(data: bytes) -> None:
    with pytest.raises(ValueError, match="no JPEG"):
        jpeg_size(data.replace(b"\xff", b""))


LOG = """\
[info] Input #0, avi, from 'file:/videos/a.avi':
[info]   Duration: 00:00:04.70, start: 0.000000, bitrate: 489 kb/s
[info]   Stream #0:0: Video: mpeg4 (Simple Profile), yuv420p(left), 320x240 [SAR 1:1 DAR 4:3], 29.97 fps, 29.97 tbr
[info] Output #0, mpjpeg, to 'pipe:1':
[info]   Stream #0:0: Video: mjpeg, 340x256, 25 fps, 25 tbn
[mpeg4 @ 0x5581] [error] ac-tex damaged at 3 4
[mpeg4 @ 0x5581] [error] Error at MB: 40
[in#0/avi @ 0x55d5] [verbose]   Input stream #0:0 (video): 141 packets read (278766 bytes); 139 frames decoded; 0 decode
"""


def test_a_log_tells_rate_counts_and_errors() -> None:
    log = read_log(LOG)
    assert (log.fps, log.decoded, log.errors, log.error) == (29.97, 139, 2, "ac-tex damaged at 3 4")
    assert log.expected == 140  # 4.70 s at 29.97 fps, less what their rounding leaves open


def test_with_sound_the_duration_does_not_count_frames() -> None:
    sound = "[info]   Stream #0:1: Audio: mp3, 44100 Hz, mono\n"
    assert read_log(LOG.replace("[info] Output", sound + "[info] Output")).expected is None


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
