"""Frames one by one as ffmpeg decodes them, each with its time: for answers while a video is read, whatever its length.

They are the frames that extraction makes of the same video, and it is judged as extraction judges it, at its end.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tsn.pipeline.extract.ffmpeg_command import FrameSettings, frames_command
from tsn.pipeline.extract.ffmpeg_output import Times, read_planes
from tsn.pipeline.extract.ffmpeg_run import Limits, Output, VideoError, never, open_video, running
from tsn.pipeline.extract.video import FULL_LEVELS, Run, declared_length, stored_limited_grey, verdict
from tsn.pipeline.jpeg import encode_jpeg
from tsn.tsn_shared.settings import MAX_EDGE

_READ_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class TimedFrame:
    """A frame as a JPEG, as shards hold it, and when it is shown: seconds of its video's own time, None if unknown."""

    seconds: float | None
    jpeg: bytes


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of ffmpeg: its command, given the descriptor for marks; the open files that it gets; a quality.

    `limited_grey` says that the levels of grey are to be widened, as in extraction.
    """

    command: Callable[[int], list[str]]
    files: Sequence[int]
    quality: int
    limited_grey: bool = False


class TimedFrames:
    """The frames that a running ffmpeg gives, to be gone through once; at their end, how it ended."""

    def __init__(self, output: Output, marks: int, asked: "Asked") -> None:
        self.times, self.broken = Times(), ""
        self._output, self._marks, self._asked = output, marks, asked
        self._ahead = deque[float | None]()
        self._arrived = 0

    def __iter__(self) -> Iterator[TimedFrame]:
        try:
            for planes in read_planes(self._output):
                self._arrived += 1
                if max(planes[0].shape) > MAX_EDGE:
                    height, width = planes[0].shape
                    raise VideoError(f"its frames are {width}x{height}, too large")
                luma, blue, red = planes
                levels = FULL_LEVELS[luma] if self._asked.limited_grey else luma
                yield TimedFrame(seconds=self._next_time(), jpeg=encode_jpeg((levels, blue, red), self._asked.quality))
        except ValueError as error:
            self.broken = str(error)

    def finish(self) -> Run:
        """Return how ffmpeg ended, once it has; after the last frame."""
        status = self._output.finish()
        self._take_marks()
        if not self.broken and self.times.frames != self._arrived:
            self.broken = f"ffmpeg decoded {self.times.frames} frames, but {self._arrived} arrived"
        return Run(status=status, errors=self._output.errors, broken=self.broken)

    def _next_time(self) -> float | None:
        """Return the time of the frame that has arrived: its mark was written before it."""
        if not self._ahead:
            self._take_marks()
        return self._ahead.popleft() if self._ahead else None

    def _take_marks(self) -> None:
        with suppress(BlockingIOError):
            while written := os.read(self._marks, _READ_BYTES):
                self._ahead.extend(self.times.take(written))


@contextmanager
def timed_frames(
    asked: Asked, *, stop: Callable[[], bool] = never, limits: Limits | None = None
) -> Iterator[TimedFrames]:
    """Run ffmpeg for its frames; it ends with the context. VideoError, VideoStoppedError as of `decode_videos`."""
    limits = limits or Limits()
    with ExitStack() as stack:
        reading, writing = os.pipe()
        stack.callback(os.close, reading)
        os.set_blocking(reading, False)
        try:
            process = stack.enter_context(running(asked.command(writing), (*asked.files, writing), limits))
        finally:
            os.close(writing)
        yield TimedFrames(Output(process, stop, limits), reading, asked)


class VideoFrames:
    """The frames of a video file, to be gone through once; `note` judges it at the end."""

    def __init__(self, frames: TimedFrames, video: int) -> None:
        self._frames, self._video = frames, video
        self._declared = declared_length(video)
        self.size = self._declared.size

    def __iter__(self) -> Iterator[TimedFrame]:
        return iter(self._frames)

    @property
    def bytes_read(self) -> int:
        """How far ffmpeg has come in the file, whose open descriptor it shares."""
        return min(os.lseek(self._video, 0, os.SEEK_CUR), self.size)

    def note(self) -> str:
        """Return extraction's note on the video, mostly ''; VideoError where it fails."""
        run, times = self._frames.finish(), self._frames.times
        return verdict(times.frames, run, self._declared, times.marks)


@contextmanager
def video_frames(path: Path, settings: FrameSettings, *, stop: Callable[[], bool] = never) -> Iterator[VideoFrames]:
    """Open a video file for its frames; VideoError where it is nothing that could be one."""
    with open_video(path) as video:
        grey = stored_limited_grey(video, stop, Limits())
        os.lseek(video, 0, os.SEEK_SET)
        asked = Asked(
            command=lambda marks: frames_command([video], marks, settings),
            files=[video],
            quality=settings.quality,
            limited_grey=grey,
        )
        with timed_frames(asked, stop=stop) as frames:
            yield VideoFrames(frames, video)
