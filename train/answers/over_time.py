"""Answers over time: a video is read once, frame by frame, and each window of it scored like a clip of that length."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tsn.pipeline.extract.ffmpeg_command import FrameSettings
from tsn.pipeline.extract.ffmpeg_run import VideoError
from tsn.pipeline.extract.timed import VideoFrames, video_frames
from tsn.pipeline.jpeg import decode_jpeg
from tsn.train.answers.timeline import SMOOTHING, Moment, Scores, Segment, Smoother, segments
from tsn.train.answers.windows import SECOND, Frame, Grid, Window, WindowCutter
from tsn.tsn_shared.answer_settings import OverTimeSettings
from tsn.tsn_shared.console import Progress

MEGABYTE = 10**6


class Scorer(Protocol):
    """What scores windows: a `Predictor`."""

    top: int
    at_once: int
    stored: FrameSettings

    @property
    def classes(self) -> Sequence[str]:
        """The names of the C classes."""
        ...

    def choose(self, frames: int) -> Sequence[int]:
        """Return which frames of so many are shown, S * L."""
        ...

    def scores(self, clips: npt.NDArray[np.uint8]) -> Scores:
        """Return the class probabilities (B, C) of clips (B, S * L, H, W, 3)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What happens when in a video of `seconds`; `failure` is why extraction would fail it, '' if it would not.

    `note` is extraction's on lesser damage.
    """

    video: str
    grid: Grid
    frames: int
    windows: int
    seconds: float
    moments: tuple[Moment, ...]
    segments: tuple[Segment, ...]
    note: str = ""
    failure: str = ""

    def plain(self) -> dict[str, object]:
        """Return it by name, as `--json` prints it."""
        told = {name: text for name in ("note", "failure") if (text := getattr(self, name))}
        return {
            "video": self.video,
            "every": self.grid.every / SECOND,
            "window": self.grid.length / SECOND,
            "smoothing": SMOOTHING,
            "frames": self.frames,
            "windows": self.windows,
            "seconds": self.seconds,
            **told,
            "segments": [segment.plain() for segment in self.segments],
            "moments": [moment.plain() for moment in self.moments],
        }


def grid_of(settings: OverTimeSettings) -> Grid:
    """Return where windows lie by the settings."""
    return Grid(every=round(settings.step * SECOND), length=round(settings.length * SECOND))


def timeline(scorer: Scorer, video: Path, settings: OverTimeSettings) -> Timeline:
    """Return what happens when in a video file, in memory that does not grow with it but for the answers.

    A file that breaks off is answered as far as it goes, and the failure told. VideoError where it gives no frame.
    """
    grid = grid_of(settings)
    cutter, smoother = WindowCutter(grid), Smoother(grid, scorer.classes, top=scorer.top)
    moments, windows, failure, note = list[Moment](), 0, "", ""
    with video_frames(video, scorer.stored) as frames:
        counted = _Counted(frames, cutter)
        for window, scores in scored(counted.windows(), scorer, at_once=scorer.at_once):
            windows += 1
            moments += smoother.add(window.number, window.end, scores)
        try:
            failure = counted.failure
            note = "" if failure else frames.note()
        except VideoError as error:
            failure = str(error)
    if failure and not counted.frames:
        raise VideoError(failure)
    moments += smoother.close()
    end = cutter.end / SECOND
    moments = [replace(moment, end=min(moment.end, end)) for moment in moments]
    return Timeline(
        video=str(video),
        grid=grid,
        frames=counted.frames,
        windows=windows,
        seconds=end,
        moments=tuple(moments),
        segments=tuple(segments(moments, min_score=settings.min_score)),
        note=note,
        failure=failure,
    )


def scored(windows: Iterable[Window], scorer: Scorer, *, at_once: int) -> Iterator[tuple[Window, Scores]]:
    """Yield windows with their scores (C,), some at once through the network."""
    left = iter(windows)
    while some := list(islice(left, at_once)):
        clips = np.stack([clip_of(window, scorer) for window in some])
        yield from zip(some, scorer.scores(clips), strict=True)


def clip_of(window: Window, scorer: Scorer) -> npt.NDArray[np.uint8]:
    """Return the frames of a window that are shown, (S * L, H, W, 3): those of a clip of so many frames."""
    return np.stack([_picture(window.frames[index]) for index in scorer.choose(len(window.frames))])


def _picture(frame: Frame) -> npt.NDArray[np.uint8]:
    return decode_jpeg(np.frombuffer(frame, dtype=np.uint8)) if isinstance(frame, bytes) else frame


class _Counted:
    """Goes through a video's frames with progress by the bytes that are read; what ends it early is kept."""

    def __init__(self, video: VideoFrames, cutter: WindowCutter) -> None:
        self._video, self._cutter = video, cutter
        self.frames, self.failure = 0, ""

    def windows(self) -> Iterator[Window]:
        """Yield the windows."""
        done, windows = 0, 0
        with Progress("timeline", total=-(-self._video.size // MEGABYTE), unit="megabyte") as progress:
            try:
                for frame in self._video:
                    self.frames += 1
                    for window in self._cutter.add(frame.seconds, frame.jpeg):
                        windows += 1
                        yield window
                        read = max(self._video.bytes_read // MEGABYTE, done)
                        progress.note = f"at {timedelta(seconds=window.end // SECOND)}"
                        progress.advance(read - done, windows=1)
                        done = read
            except VideoError as error:
                self.failure = str(error)
            yield from self._cutter.close()
