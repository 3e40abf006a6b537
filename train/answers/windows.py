"""Windows over a video as its frames come: which frames each holds, and when it is complete. Nothing here looks at one.

Times are whole microseconds. Window k begins at k * every and holds the frames of its `length`; the last one is the
first that reaches the last frame, and may be shorter. A window without a frame, as in a gap, is none.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Frame = bytes | npt.NDArray[np.uint8]
"""A JPEG, or a picture (H, W, 3), RGB."""

SECOND = 1_000_000

USUAL_STEP = SECOND // 25
"""From a frame to the next whose time is unknown, where no two have told."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where windows lie: one begins `every` so many microseconds, each `length` long."""

    every: int
    length: int

    def __str__(self) -> str:
        return f"{self.length / SECOND:g} s, one every {self.every / SECOND:g} s"

    @property
    def cover(self) -> int:
        """The most windows that cover a step of the grid."""
        return -(-self.length // self.every)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Window number k: its frames, in order, and where the last of them ends."""

    number: int
    frames: tuple[Frame, ...]
    end: int


class Clock:
    """Times of frames that never go back: what is unknown, or earlier than what was, is a usual step later."""

    def __init__(self) -> None:
        self.step, self.last = USUAL_STEP, -1

    def time_of(self, seconds: float | None) -> int:
        """Return the time of the next frame in microseconds, from 0."""
        known = None if seconds is None else max(round(seconds * SECOND), 0)
        if self.last < 0:
            self.last = known or 0
        elif known is None or known < self.last:
            self.last += self.step
        else:
            if 0 < known - self.last < SECOND:
                self.step = known - self.last
            self.last = known
        return self.last


class WindowCutter:
    """Cuts windows out of frames as they come; it holds the frames of one window and no more."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._frames = deque[tuple[int, Frame]]()
        self._next = 0
        self._clock = Clock()

    @property
    def end(self) -> int:
        """Where the last frame ends."""
        return self._clock.last + self._clock.step

    def add(self, seconds: float | None, frame: Frame) -> list[Window]:
        """Take the next frame, and return the windows that are complete, since it comes after them."""
        time, windows = self._clock.time_of(seconds), list[Window]()
        while self._frames and self._next * self.grid.every + self.grid.length <= time:
            windows += self._cut()
        if not self._frames:  # a gap: go on at the first window that holds this frame
            self._next = max(self._next, -(-(time - self.grid.length + 1) // self.grid.every))
        if time >= self._next * self.grid.every:
            self._frames.append((time, frame))
        return windows

    def close(self) -> list[Window]:
        """Return the last window, which is not complete, where there is one; after the last frame."""
        return self._cut() if self._frames else []

    def _cut(self) -> list[Window]:
        """Return the next window, if it holds a frame, and let go of the frames that no later one holds."""
        number, begin = self._next, self._next * self.grid.every
        within = [each for each in self._frames if begin <= each[0] < begin + self.grid.length]
        self._next += 1
        while self._frames and self._frames[0][0] < self._next * self.grid.every:
            self._frames.popleft()
        if not within:
            return []
        end = min(begin + self.grid.length, within[-1][0] + self._clock.step)
        return [Window(number=number, frames=tuple(frame for _, frame in within), end=end)]
