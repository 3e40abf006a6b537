"""Videos to JPEG frames: ffmpeg's run under limits, and the verdict on what came out.

ffmpeg decodes and scales in a process group of its own; its frames arrive through a pipe, so it dies with us.
A frame's number is its position among those decoded: none is doubled, none dropped, no header is believed.
"""

import os
import signal
import zlib
from collections.abc import Callable, Container, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from io import RawIOBase
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import imageio_ffmpeg
import numpy as np

from tsn.pipeline.extract.container import read_declared_length
from tsn.pipeline.extract.declared import DeclaredLength
from tsn.pipeline.extract.ffmpeg_command import (
    MOST_ERRORS,
    SCALER,
    TOO_MANY_ERRORS,
    FrameSettings,
    as_stored_command,
    frames_command,
)
from tsn.pipeline.extract.ffmpeg_output import Errors, Marks, is_limited_grey, read_marks, read_planes
from tsn.pipeline.extract.ffmpeg_run import (
    Limits,
    Output,
    VideoError,
    memory_file,
    never,
    open_video,
    read_whole,
    running,
)
from tsn.pipeline.jpeg import encode_jpeg
from tsn.tsn_shared.settings import MAX_EDGE

LEAST_SHARE = 0.75
"""Of the frames in a container must decode. Of UCF101's files 3 % decode to fewer than there are, down to 0.91."""

LATE_SHARE = 0.25
"""Of a video's time may pass before its first frame; more is noted, since something before it did not decode."""

_NOT_WHOLE = "one of several videos is not plainly whole"

FULL_LEVELS = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
"""The level of the full range, 0 to 255, for each of the limited one, 16 to 235."""

_NO_COLOUR = 128
"""What Cb and Cr of a grey pixel are."""


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A video's F frames: bytes and CRC32 of each, their width and height, fps (0: unknown), and a note, mostly ''."""

    sizes: list[int]
    crc32: list[int]
    width: int
    height: int
    fps: float
    note: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """How an ffmpeg ended: its exit code, its errors, and what is wrong with its stream of frames, '' if nothing."""

    status: int
    errors: Errors
    broken: str


def made_with() -> dict[str, str]:
    """Return what else decides the bytes of a frame, besides the settings."""
    return {
        "scaler": SCALER,
        "ffmpeg": imageio_ffmpeg.get_ffmpeg_version(),
        "encoder": f"simplejpeg {version('simplejpeg')}",
    }


def decode_videos(
    paths: Sequence[Path],
    settings: FrameSettings,
    out: BinaryIO,
    *,
    stop: Callable[[], bool] = never,
    limits: Limits | None = None,
) -> list[Decoded]:
    """Write the frames of videos to `out`, JPEG after JPEG, all by one ffmpeg, whose start takes 12 ms of a core.

    Raises VideoError when the video fails, VideoStoppedError when `stop()` says so, OSError when `out` is full.
    Where ffmpeg reports anything about one of several videos it does not say which: VideoError, and each is to be
    decoded alone.
    """
    limits = limits or Limits()
    begin = out.tell()
    try:
        return _decode(paths, settings, FrameWriter(out, settings.quality), stop, limits)
    except _LimitedGreyError:
        if len(paths) > 1:
            raise VideoError(_NOT_WHOLE) from None
    out.seek(begin)
    out.truncate()
    return _decode(paths, settings, FrameWriter(out, settings.quality, limited_grey=True), stop, limits)


class _LimitedGreyError(Exception):
    """A video is greyscale of limited levels, which ffmpeg's scaler took for full ones: it does so whatever it is told.

    Known only by decoding, since most that look grey are not stored so: those few are decoded again.
    """


def _decode(
    paths: Sequence[Path], settings: FrameSettings, frames: "FrameWriter", stop: Callable[[], bool], limits: Limits
) -> list[Decoded]:
    with ExitStack() as stack:
        videos = [stack.enter_context(open_video(path)) for path in paths]
        declared = [declared_length(video) for video in videos]
        if len(videos) > 1 and any(each.missing for each in declared):
            raise VideoError(_NOT_WHOLE)
        marks = stack.enter_context(memory_file())
        command = frames_command(videos, marks, settings)
        output = Output(stack.enter_context(running(command, (*videos, marks), limits)), stop, limits)
        broken = frames.take(output)
        status = output.finish()
        marks_of = read_marks(read_whole(marks), len(paths))
        if any(stored_limited_grey(videos[number], stop, limits) for number in frames.maybe_limited_grey(marks_of)):
            raise _LimitedGreyError
    run = Run(status=status, errors=output.errors, broken=broken or _lost(frames, marks_of))
    counts = [each.frames for each in marks_of] if len(marks_of) > 1 else [len(frames.sizes)]
    if len(marks_of) > 1 and (run.status or run.broken or run.errors.count or 0 in counts):
        raise VideoError(_NOT_WHOLE)
    starts = [0, *accumulate(counts)]
    return [
        frames.decoded(slice(start, start + count), fps=marked.fps, note=verdict(count, run, length, marked))
        for start, count, marked, length in zip(starts, counts, marks_of, declared, strict=False)
    ]


def stored_limited_grey(video: int, stop: Callable[[], bool], limits: Limits) -> bool:
    """Return whether an open video is stored as greyscale of limited levels."""
    os.lseek(video, 0, os.SEEK_SET)
    with running(as_stored_command(video), (video,), limits) as process:
        return is_limited_grey(Output(process, stop, limits))


def declared_length(video: int) -> DeclaredLength:
    """Return what the container of an open video declares; VideoError where it cannot be read."""
    try:
        return read_declared_length(video)
    except OSError as error:
        raise VideoError(f"it cannot be read: {error.strerror}") from None


class FrameWriter:
    """What became of frames: written to `out` as JPEGs, of which size and CRC32 are kept.

    Of the frames that come, `arrived` so far, only those whose numbers are `wanted` are written, where that is stated.
    """

    def __init__(
        self, out: BinaryIO, quality: int, *, limited_grey: bool = False, wanted: Container[int] | None = None
    ) -> None:
        self.sizes, self.crc32 = list[int](), list[int]()
        self.width = self.height = self.arrived = 0
        self._wanted = wanted
        self._out, self._quality = out, quality
        self._limited_grey = limited_grey
        self._colourless = list[bool]()

    def take(self, output: RawIOBase) -> str:
        """Encode and write all frames that come; return what is wrong with the stream, '' at its proper end."""
        try:
            for planes in read_planes(output):
                self.height, self.width = planes[0].shape
                if max(self.height, self.width) > MAX_EDGE:
                    raise VideoError(f"its frames are {self.width}x{self.height}, too large: extract it with a --size")
                luma, blue, red = planes
                self._colourless.append(bool((blue == _NO_COLOUR).all()))
                levels = FULL_LEVELS[luma] if self._limited_grey else luma
                if self._takes_next():
                    self._write(encode_jpeg((levels, blue, red), self._quality))
        except ValueError as error:
            return str(error)
        return ""

    def maybe_limited_grey(self, marks_of: Sequence[Marks]) -> list[int]:
        """Return the numbers of the videos, of the marked ones, whose every frame is without colour and as decoded."""
        if self._limited_grey:
            return []
        ends = list(accumulate(video.frames for video in marks_of))
        frames = [self._colourless[end - video.frames : end] for end, video in zip(ends, marks_of, strict=True)]
        return [number for number, colourless in enumerate(frames) if colourless and all(colourless)]

    def write(self, jpeg: bytes, size: tuple[int, int]) -> None:
        """Write a frame that is a JPEG already, of this width and height."""
        self.width, self.height = size
        if self._takes_next():
            self._write(jpeg)

    def decoded(self, frames: slice = slice(None), *, fps: float, note: str) -> Decoded:
        """Return some of the frames as a video."""
        return Decoded(
            sizes=self.sizes[frames],
            crc32=self.crc32[frames],
            width=self.width,
            height=self.height,
            fps=fps,
            note=note,
        )

    def _takes_next(self) -> bool:
        """Count a frame that came, and say whether it is wanted."""
        number, self.arrived = self.arrived, self.arrived + 1
        return self._wanted is None or number in self._wanted

    def _write(self, jpeg: bytes) -> None:
        self._out.write(jpeg)
        self.sizes.append(len(jpeg))
        self.crc32.append(zlib.crc32(jpeg))


def _lost(frames: FrameWriter, marks_of: Sequence[Marks]) -> str:
    """Say what is wrong where not every frame that was decoded arrived, '' where all did."""
    decoded = sum(video.frames for video in marks_of)
    return f"ffmpeg decoded {decoded} frames, but {frames.arrived} arrived" if decoded != frames.arrived else ""


def verdict(frames: int, run: Run, declared: DeclaredLength, marked: Marks) -> str:
    """Return the note on a video, mostly ''; VideoError when it fails."""
    expected = frames if declared.frames is None else declared.frames
    plain = not (run.status or run.errors.count) and frames >= expected
    if reason := _failure(frames, expected, run, declared, plain=plain and declared.frames is not None):
        raise VideoError(reason)
    notes = []
    if frames < expected:
        notes.append(f"{frames} of {expected} frames decode")
    if declared.missing:
        notes.append(f"the file ends {declared.missing:,} bytes before its container says, but no frame is missing")
    if declared.remark:
        notes.append(declared.remark)
    if marked.late > LATE_SHARE * marked.seconds:
        notes.append(f"no frame in its first {marked.late:.2f} s")
    if run.errors.count:
        notes.append(f"{run.errors.count} decoding errors, the first: {run.errors}")
    return "; ".join(notes)


def _failure(frames: int, expected: int, run: Run, declared: DeclaredLength, *, plain: bool) -> str:
    """Return why a video fails, '' where it does not; `plain` is one whose every frame decoded without an error."""
    if run.status < 0:
        return f"ffmpeg was ended by {signal.Signals(-run.status).name}"
    if declared.missing and not plain:
        return f"truncated: the file ends at byte {declared.size:,} of {declared.size + declared.missing:,}"
    if frames == 0 and declared.frames == 0:
        return "none of its frames is to be shown"
    if 0 < frames < LEAST_SHARE * expected:
        return f"truncated: {frames} of {expected} frames decode"
    if frames and run.status == TOO_MANY_ERRORS:
        return f"damaged: over {MOST_ERRORS:.0%} of its frames do not decode"
    if frames == 0 or run.status:
        return str(run.errors) or f"ffmpeg gave {frames} frames and ended with code {run.status}"
    return run.broken
