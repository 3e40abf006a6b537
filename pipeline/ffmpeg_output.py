"""What ffmpeg writes, taken apart: its multipart stream of JPEGs, and its log. Runs nothing, opens nothing."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_PART = re.compile(rb"(?:\r\n)?(?:--ffmpeg\r\n)?Content-type: image/jpeg\r\nContent-length: (\d+)\r\n\r\n")
_ENDS = (b"", b"\r\n--ffmpeg\r\n")

_FRAME_HEADERS = (0xC0, 0xC1, 0xC2)  # SOF0 to SOF2

_LINE = re.compile(r"^(?:\[[^\]]*\] )*\[(?:error|fatal)\] (.*)$", re.MULTILINE)
_PLAIN = (
    (
        r"Format not on whitelist|Not detecting m3u8|^Unable to find a suitable",
        "a playlist or some other kind of file, not a video",
    ),
    (r"matches no streams|^Stream map .* matches", "no video stream"),
    (r"Cannot allocate memory|get_buffer\(\) failed", "it needs more memory than a video may take"),
    (r"Invalid data found when processing input", "not a video, or damaged at its beginning"),
)
"""What some of ffmpeg's messages mean for a person; those before the last say more than any that came earlier."""


@dataclass(frozen=True, kw_only=True)
class Log:
    """What a log tells: fps (0: unknown), frames decoded, frames that the header counts, errors and the first of them.

    The header's count is the duration times the rate, known only where no other stream has a say in the duration.
    """

    fps: float
    decoded: int | None
    expected: int | None
    errors: int
    error: str


def split_jpegs(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut ffmpeg's multipart stream into its JPEGs; ValueError where it ends within one."""
    data = b""
    for chunk in chunks:
        data += chunk
        at = 0
        while (part := _PART.match(data, at)) is not None:
            end = part.end() + int(part[1])
            if end > len(data):
                break
            yield data[part.end() : end]
            at = end
        data = data[at:]
    if data not in _ENDS:
        raise ValueError("ffmpeg's output ends within a frame")


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """Return width and height of a JPEG; ValueError where it has no frame header."""
    at = 2
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        if jpeg[at + 1] in _FRAME_HEADERS:
            return int.from_bytes(jpeg[at + 7 : at + 9], "big"), int.from_bytes(jpeg[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    raise ValueError("ffmpeg's output holds what is no JPEG")


def read_log(text: str) -> Log:
    """Read the log of a run at `-loglevel level+verbose`."""
    head, _, _ = text.partition("Output #0")
    rate = re.search(r"Stream #0:.*: Video: .*?(\d+(?:\.\d+)?)(k?) fps", head)
    fps = float(rate[1]) * (1000 if rate[2] else 1) if rate else 0.0
    duration = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", head)
    expected = None
    if duration and fps and len(re.findall(r"^\[info\]   Stream #0:", head, re.MULTILINE)) == 1:
        seconds = int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3])
        # durations are told to 0.01 s and rates to four digits: what they leave open is no frame missing
        expected = int(seconds * fps * 0.9995 - 0.01 * fps)
    decoded = re.search(r"Input stream #0:\d+ \(video\): .*?(\d+) frames decoded", text)
    errors = _LINE.findall(text)
    return Log(
        fps=fps,
        decoded=int(decoded[1]) if decoded else None,
        expected=expected,
        errors=len(errors),
        error=_in_words(errors),
    )


def _in_words(errors: list[str]) -> str:
    """Return what went wrong first, free of paths and addresses, which differ from machine to machine."""
    for pattern, words in _PLAIN[:-1]:
        if any(re.search(pattern, error) for error in errors):
            return words
    for error in errors:
        for pattern, words in _PLAIN[-1:]:
            if re.search(pattern, error):
                return words
        if "file:" not in error and error.strip():
            return re.sub(r"0x[0-9a-f]+", "0x?", error).strip()[:200]
    return ""
