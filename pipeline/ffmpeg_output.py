"""What ffmpeg writes, taken apart: its stream of frames, and its log. Runs nothing, opens nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import RawIOBase

import numpy as np

from pipeline.jpeg import Planes

_HEADER = re.compile(rb"YUV4MPEG2 W(\d+) H(\d+) .*\bC420.*\n")
_LONGEST_HEADER = 256
_FRAME = b"FRAME\n"
_READ_BYTES = 1 << 20

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
    """What a log tells of a video, fps (0: unknown) and frames decoded, and of its run, the errors and the first."""

    fps: float
    decoded: int | None
    errors: int
    error: str


def read_frames(stream: RawIOBase) -> Iterator[Planes]:
    """Yield the frames of a YUV4MPEG2 stream of 4:2:0 planes, each valid until the next is asked for.

    Nothing comes of an empty stream; ValueError where it ends within a frame or is something else.
    """
    begun = b""
    while not begun.endswith(b"\n") and len(begun) < _LONGEST_HEADER and (byte := stream.read(1)):
        begun += byte
    if not begun:
        return
    header = _HEADER.match(begun)
    if header is None:
        raise ValueError("ffmpeg's output is no YUV4MPEG2 stream")
    yield from _frames(stream, int(header[1]), int(header[2]))


def _frames(stream: RawIOBase, width: int, height: int) -> Iterator[Planes]:
    """Yield the frames that follow a header; as many are read at once as are there and fit."""
    size = len(_FRAME) + width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    data = memoryview(bytearray(size * max(1, _READ_BYTES // size)))
    slots = [_planes(data[start + len(_FRAME) : start + size], width, height) for start in range(0, len(data), size)]
    taken = filled = 0
    while True:
        while taken + size <= filled:
            if data[taken : taken + len(_FRAME)] != _FRAME:
                raise ValueError("ffmpeg's output is out of step")
            yield slots[taken // size]
            taken += size
        if taken == len(data):
            taken = filled = 0
        if not (got := stream.readinto(data[filled:])):
            break
        filled += got
    if taken < filled:
        raise ValueError("ffmpeg's output ends within a frame")


def _planes(data: memoryview, width: int, height: int) -> Planes:
    """Return the Y, Cb and Cr planes that lie in a frame's bytes."""
    luma, chroma = np.split(np.frombuffer(data, dtype=np.uint8), [width * height])
    blue, red = chroma.reshape(2, (height + 1) // 2, (width + 1) // 2)
    return luma.reshape(height, width), blue, red


def read_logs(text: str, videos: int) -> list[Log]:
    """Read the log of a run over some videos at `-loglevel level+verbose`: what it tells of each."""
    head, _, _ = text.partition("Output #0")
    _, *inputs = re.split(r"^\[info\] Input #\d+, ", head, flags=re.MULTILINE)
    inputs += [""] * (videos - len(inputs))
    decoded = dict[int, int]()
    for number, frames in re.findall(r"Input stream #(\d+):\d+ \(video\): .*?(\d+) frames decoded", text):
        decoded.setdefault(int(number), int(frames))
    errors = _LINE.findall(text)
    rates = [_rate(described) for described in inputs]
    return [
        Log(fps=rate, decoded=decoded.get(number), errors=len(errors), error=_in_words(errors))
        for number, rate in enumerate(rates[:videos])
    ]


def _rate(described: str) -> float:
    """Return an input's fps; 0 if unknown."""
    rate = re.search(r"Stream #\d+:.*: Video: .*?(\d+(?:\.\d+)?)(k?) fps", described)
    return float(rate[1]) * (1000 if rate[2] else 1) if rate else 0.0


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
