"""What ffmpeg writes, taken apart: its stream of frames, the marks of frames, its errors. Runs nothing, opens nothing.

Frames, their sizes, whose they are and their rate come from the first two, into which no video can write. The errors
are words: they are counted and quoted, and that there are any is all that is asked of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import RawIOBase

import numpy as np

from tsn.pipeline.extract.ffmpeg_command import MARK
from tsn.pipeline.jpeg import Planes

_HEADER = re.compile(rb"YUV4MPEG2 W(\d+) H(\d+) .*\bC420.*\n")
_LIMITED_GREY = re.compile(rb"YUV4MPEG2 .*\bCmono.*\bXCOLORRANGE=LIMITED\b.*\n")
_LONGEST_HEADER = 256
_FRAME = b"FRAME\n"
_READ_BYTES = 1 << 20

_MARK = re.compile(rf"^frame:(\d+) +pts:(-?\d+|NOPTS) .*\n{MARK}=(\d+)$".encode(), re.MULTILINE)
_ERROR = re.compile(r"(?:\[[^\]]*\] )*\[(?:error|fatal)\] (.*)")
_LONGEST_LINE = 1 << 10
BROKE_OFF, BROKE = "its connection ended before it did", "its connection broke"
"""What is said of streams."""

_CUT_OFF = re.compile(
    rb"^\[in#0/(?:avi|mov|flv|live_flv|matroska)\b[^]]*\] (?:"
    rb"\[warning\] Packet corrupt|\[error\] (?:File ended prematurely|stream \d+, offset \w+: partial file))"
)
"""What is said where bytes end within a packet. Of MPEG-TS a corrupt packet is one that was damaged on its way."""

_LATE_INDEX = re.compile(rb"^\[in#0/mov\b[^]]*\] \[error\] stream \d+, offset \w+: partial file")
"""What is said of an MP4 or MOV whose index comes after the pictures, where there is no way back to them."""

_TELLING = (
    # an address without a length ends there as well: as if it were of 2^64 - 1 bytes
    (r"^Stream ends prematurely at \d+, should be (?!18446744073709551615\b)", BROKE_OFF),
    (r"^Error during demuxing: (?!Input/output error|Invalid data)", BROKE),
    (
        r"Format not on whitelist|Not detecting m3u8|^Unable to find a suitable",
        "a playlist or some other kind of file, not a video",
    ),
    (r"matches no streams|^Stream map .* matches", "no video stream"),
    (r"Cannot allocate memory|get_buffer\(\) failed", "it needs more memory than a video may take"),
)
"""What some of ffmpeg's messages mean for a person, the most telling first: it says more than what came before it."""

_INVALID, _INVALID_WORDS = "Invalid data found when processing input", "not a video, or damaged at its beginning"


def read_planes(stream: RawIOBase) -> Iterator[Planes]:
    """Yield the frames of a YUV4MPEG2 stream of 4:2:0 planes, each valid until the next is asked for.

    Nothing comes of an empty stream; ValueError where it ends within a frame or is something else.
    """
    begun = _read_header(stream)
    if not begun:
        return
    header = _HEADER.match(begun)
    if header is None:
        raise ValueError("ffmpeg's output is no YUV4MPEG2 stream")
    yield from _frames(stream, int(header[1]), int(header[2]))


def is_limited_grey(stream: RawIOBase) -> bool:
    """Return whether the header of a YUV4MPEG2 stream says greyscale whose levels are limited, 16 to 235."""
    return _LIMITED_GREY.match(_read_header(stream)) is not None


def _read_header(stream: RawIOBase) -> bytes:
    begun = b""
    while not begun.endswith(b"\n") and len(begun) < _LONGEST_HEADER and (byte := stream.read(1)):
        begun += byte
    return begun


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


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What the marks say of a video: its frames, how many a second (0: unknown), when the first and the last are.

    Seconds of the video's own time, 0 where unknown. `in_step` is whether ffmpeg counted them in one go.
    """

    frames: int
    fps: float
    late: float
    seconds: float
    in_step: bool = True


def read_marks(text: bytes, videos: int) -> list[Marks]:
    """Read the marks that the frames of some videos left."""
    times: list[list[int | None]] = [[] for _ in range(videos)]
    numbers: list[list[int]] = [[] for _ in range(videos)]
    for number, time, video in _MARK.findall(text):
        times[int(video)].append(None if time == b"NOPTS" else int(time))
        numbers[int(video)].append(int(number))
    return [_marks(*each) for each in zip(times, numbers, strict=True)]


def _marks(times: list[int | None], numbers: list[int]) -> Marks:
    known = [time for time in times if time is not None]
    first, last = (known[0] / 1e6, known[-1] / 1e6) if known else (0.0, 0.0)
    in_step = numbers == list(range(len(numbers)))
    return Marks(frames=len(times), fps=_rate(known), late=first, seconds=last, in_step=in_step)


def _rate(times: list[int]) -> float:
    """Return frames a second of times in microseconds: over the steps that are regular, so that a gap is no rate."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    if not len(steps):
        return 0.0
    regular = steps[np.abs(steps - np.median(steps)) <= np.median(steps) / 2]
    rate = 1e6 / float(regular.mean())
    # what a container rounds to milliseconds is one of the rates that cameras have, mostly
    common = [rates for rates in (round(rate), round(rate * 1.001) / 1.001) if abs(rate - rates) < 5e-4 * rate]
    return round(float(common[0] if common else rate), 2)


@dataclass(kw_only=True)
class Errors:
    """The errors of a run, taken in as they are written; however many they are, little is held.

    As text: what went wrong first, in words that are the same on every machine; '' where nothing did. `cut_off` is
    whether the bytes ended before their container says, as far as it can be told, of a run that tells warnings;
    `late_index`, of a run that gave no frame, whether they lie before the index that tells where.
    """

    count: int = 0
    cut_off: bool = False
    late_index: bool = False
    _meant: dict[int, str] = field(default_factory=dict)
    _first: str = ""
    _begun: bytes = b""

    def take(self, written: bytes) -> None:
        """Take the next bytes of standard error; those of an unfinished line wait for its end."""
        *lines, begun = (self._begun + written).split(b"\n")
        self._begun = begun[:_LONGEST_LINE]
        for line in lines:
            self.cut_off |= _CUT_OFF.match(line) is not None
            self.late_index |= _LATE_INDEX.match(line) is not None
            if error := _ERROR.fullmatch(line[:_LONGEST_LINE].decode("utf-8", "replace")):
                self._count(error[1])

    def _count(self, error: str) -> None:
        self.count += 1
        for rank, (pattern, words) in enumerate(_TELLING):
            if re.search(pattern, error):
                self._meant[rank] = words
        if not self._first and "fd:" not in error:
            own_words = re.sub(r"0x[0-9a-f]+", "0x?", error).strip()[:200]
            self._first = _INVALID_WORDS if _INVALID in error else own_words

    def __str__(self) -> str:
        return self._meant[min(self._meant)] if self._meant else self._first


@dataclass(kw_only=True)
class Times:
    """When the frames of one video are, taken in as their marks are written; however many they are, little is held."""

    frames: int = 0
    _first: float | None = None
    _last: float = 0.0
    _begun: bytes = b""

    def take(self, written: bytes) -> list[float | None]:
        """Take the next bytes of marks, and return the times that they tell: seconds, None where unknown."""
        end = f"\n{MARK}=0\n".encode()
        whole, found, begun = (self._begun + written).rpartition(end)
        self._begun = begun
        times = [None if time == b"NOPTS" else int(time) / 1e6 for _, time, _ in _MARK.findall(whole + found)]
        for known in (time for time in times if time is not None):
            self._first = known if self._first is None else self._first
            self._last = known
        self.frames += len(times)
        return times

    @property
    def marks(self) -> Marks:
        """What they say of their video, but for its rate."""
        return Marks(frames=self.frames, fps=0.0, late=self._first or 0.0, seconds=self._last)
