"""Answers for a stream as it comes: a moment as soon as its last window has ended.

A thread reads the stream and cuts windows. Where the network is slower than the stream, windows are dropped and
counted: no window waits longer than a second, however long the stream runs.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Event, Thread

from tsn.pipeline.extract.ffmpeg_output import BROKE, BROKE_OFF
from tsn.pipeline.extract.ffmpeg_run import VideoError, VideoStoppedError
from tsn.pipeline.extract.streams import shown, stream_frames
from tsn.pipeline.extract.timed import TimedFrames
from tsn.pipeline.extract.video import Run
from tsn.train.answers.over_time import Scorer, grid_of, scored
from tsn.train.answers.timeline import Moment, Smoother
from tsn.train.answers.windows import SECOND, Frame, Grid, Window, WindowCutter
from tsn.tsn_shared.answer_settings import OverTimeSettings
from tsn.tsn_shared.errors import DataError

LATE = 1.0
"""Seconds that a window may wait for the network before it is dropped for a newer one."""

CUT_OFF = "it ends before its container says"
LATE_INDEX = (
    "its index comes after its pictures, and a stream cannot go back: name the file itself, or have it written with "
    "ffmpeg's -movflags +faststart"
)

_TICK = 0.05


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a stream was once it has ended: its frames, its windows, and how many of these were dropped.

    `unscored` frames would have been shown to the network of what was dropped. `broken` is why it
    ended early, '' where it did not, as far as can be told.
    """

    seconds: float
    frames: int
    windows: int
    dropped: int
    unscored: int
    broken: str


class Backlog:
    """Windows that wait to be scored, none longer than a second: of a stream that runs on, newer ones take their place.

    A stream that comes faster than its own time, as a file through a pipe, is made to wait instead.
    """

    def __init__(self, stop: Event) -> None:
        self.dropped = self.windows = 0
        self._stop = stop
        self._waiting = deque[tuple[float, Window]]()
        self._changed = Condition()
        self._begun: float | None = None
        self._done = False

    def begin(self) -> None:
        """Note that the stream's time begins now."""
        self._begun = time.monotonic()

    def put(self, window: Window) -> None:
        """Let a window wait, once there is room for it or its time has come."""
        with self._changed:
            while self._waiting and self._ahead(window) and not self._stop.is_set():
                self._changed.wait(_TICK)
            self._drop_late()
            self._waiting.append((time.monotonic(), window))
            self.windows += 1
            self._changed.notify_all()

    def finish(self) -> None:
        """Say that no window comes any more."""
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Window]:
        while (window := self._next()) is not None:
            yield window

    def _next(self) -> Window | None:
        with self._changed:
            while not self._waiting and not self._done:
                self._changed.wait()
            if not self._waiting:
                return None
            self._drop_late(keep=1)
            _, window = self._waiting.popleft()
            self._changed.notify_all()
            return window

    def _ahead(self, window: Window) -> bool:
        """Return whether a window comes before its time, counted from the stream's begin."""
        return self._begun is not None and window.end / SECOND > time.monotonic() - self._begun

    def _drop_late(self, *, keep: int = 0) -> None:
        while len(self._waiting) > keep and time.monotonic() - self._waiting[0][0] > LATE:
            self._waiting.popleft()
            self.dropped += 1


class LiveStream:
    """The moments of a stream, to be gone through once; `ended` tells of it when they are over."""

    def __init__(self, scorer: Scorer, frames: TimedFrames, settings: OverTimeSettings, stop: Event) -> None:
        self._scorer, self._frames, self._stop = scorer, frames, stop
        self._grid = grid_of(settings)
        self._cutter, self._backlog = WindowCutter(self._grid), Backlog(stop)
        self._count, self._broken = 0, ""
        self._fault: BaseException | None = None

    @property
    def dropped(self) -> int:
        """Windows that were dropped so far."""
        return self._backlog.dropped

    def __iter__(self) -> Iterator[Moment]:
        reader = Thread(target=self._read, daemon=True)
        reader.start()
        try:
            yield from moments_of(self._backlog, self._scorer, self._grid)
        finally:
            self._stop.set()
            reader.join()
        if self._fault is not None:
            raise self._fault

    def ended(self) -> Ended:
        """Return what the stream was."""
        return Ended(
            seconds=max(self._cutter.end, 0) / SECOND,
            frames=self._count,
            windows=self._backlog.windows,
            dropped=self._backlog.dropped,
            unscored=self._backlog.dropped * len(self._scorer.choose(1)),
            broken=self._broken,
        )

    def _read(self) -> None:
        first: float | None = None
        try:
            for frame in self._frames:
                if not self._count:
                    self._backlog.begin()
                self._count += 1
                first = frame.seconds if first is None else first
                seconds = None if frame.seconds is None or first is None else frame.seconds - first
                for window in self._cutter.add(seconds, frame.jpeg):
                    self._backlog.put(window)
            self._broken = why_broken(self._frames.finish(), frames=self._count)
        except VideoError as error:
            self._broken = str(error)
        except VideoStoppedError:
            self._broken = "stopped"
        except BaseException as error:  # of the thread, for whoever goes through the moments
            self._fault = error
        finally:
            for window in self._cutter.close():
                self._backlog.put(window)
            self._backlog.finish()


def why_broken(run: Run, *, frames: int) -> str:
    """Return why a stream that gave so many frames ended early, '' where it did not, as far as can be told."""
    if not frames and run.errors.late_index:
        return LATE_INDEX
    told = str(run.errors)
    if told in (BROKE, BROKE_OFF):
        return told
    if run.status:
        return told or f"ffmpeg ended with code {run.status}"
    return run.broken or CUT_OFF * run.errors.cut_off


def moments_of(windows: Iterable[Window], scorer: Scorer, grid: Grid) -> Iterator[Moment]:
    """Yield the moments of windows, each as soon as it is known."""
    smoother = Smoother(grid, scorer.classes, top=scorer.top)
    for window, scores in scored(windows, scorer, at_once=1):
        yield from smoother.add(window.number, window.end, scores)
    yield from smoother.close()


@contextmanager
def live(scorer: Scorer, name: str, settings: OverTimeSettings) -> Iterator[LiveStream]:
    """Open a stream by its name for its moments."""
    stop = Event()
    with stream_frames(name, scorer.stored, stop=stop.is_set) as frames:
        yield LiveStream(scorer, frames, settings, stop)


def refuse_broken(name: str, ended: Ended) -> None:
    """Raise DataError where a stream broke, or gave nothing."""
    if not ended.frames:
        raise DataError(f"{shown(name)}: no frame came: {ended.broken or 'it is empty'}")
    if ended.broken:
        raise DataError(f"{shown(name)}: the stream broke after {ended.seconds:.1f} s: {ended.broken}")


def moments_of_frames(
    scorer: Scorer, frames: Iterable[tuple[float, Frame]], settings: OverTimeSettings
) -> Iterator[Moment]:
    """Yield the moments of frames that a program has, each (seconds, picture), as they come."""
    grid = grid_of(settings)
    cutter = WindowCutter(grid)

    def windows() -> Iterator[Window]:
        for seconds, frame in frames:
            yield from cutter.add(seconds, frame)
        yield from cutter.close()

    yield from moments_of(windows(), scorer, grid)
