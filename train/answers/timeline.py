"""From the scores of windows to what happens when: smoothed moments, and segments of one class. Pure functions.

The scores of a moment, a step of the grid of windows, are the mean of the scores of all windows that cover it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsn.train.answers.prediction import Guess
from tsn.train.answers.windows import SECOND, Grid

Scores = npt.NDArray[np.float32]

SMOOTHING = "a moment's scores are the mean over all windows that cover it"


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A step of the grid, from `start` to `end` in seconds: its best classes, best first."""

    number: int
    start: float
    end: float
    top: tuple[Guess, ...]

    def plain(self) -> dict[str, object]:
        """Return it by name, as `--json` prints it."""
        top = [{"class": guess.name, "score": guess.score} for guess in self.top]
        return {"start": self.start, "end": self.end, "top": top}


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Moments one after the other with the same best class: its name, and the mean of its scores."""

    start: float
    end: float
    name: str
    score: float

    def plain(self) -> dict[str, object]:
        """Return it by name, as `--json` prints it."""
        return {"start": self.start, "end": self.end, "class": self.name, "score": self.score}


class Smoother:
    """Makes moments of the scores of windows as they come; it holds the scores of those that still cover a moment."""

    def __init__(self, grid: Grid, classes: Sequence[str], *, top: int) -> None:
        self._grid, self._classes, self._top = grid, classes, top
        self._windows = deque[tuple[int, Scores]]()
        self._next = 0
        self._end = 0

    def add(self, number: int, end: int, scores: Scores) -> list[Moment]:
        """Take the scores (C,) of a window, of a higher number than all before; return the moments that now are known.

        `end` is where its last frame ends, in microseconds. Where windows leave gaps between them, each stands for the
        whole step that begins with it.
        """
        before = self._moments(number)
        self._windows.append((number, scores))
        if end >= number * self._grid.every + self._grid.length:  # whole: it stands for all of its step
            end = max(end, (number + 1) * self._grid.every)
        self._end = max(self._end, end)
        return [*before, *self._moments(number + 1)]

    def close(self) -> list[Moment]:
        """Return the moments that are left, after the last window."""
        last = self._windows[-1][0] + self._grid.cover if self._windows else 0
        return self._moments(last)

    def _moments(self, before: int) -> list[Moment]:
        """Return the moments of lower numbers that were not yet returned and are covered by a window."""
        moments = []
        while self._windows and self._next < before:
            while self._windows and self._windows[0][0] <= self._next - self._grid.cover:
                self._windows.popleft()
            covering = [scores for number, scores in self._windows if number <= self._next]
            start = self._next * self._grid.every
            if covering and start < self._end:
                moments.append(self._moment(start, np.mean(covering, axis=0, dtype=np.float64)))
            self._next += 1
        self._next = max(self._next, before)
        return moments

    def _moment(self, start: int, scores: npt.NDArray[np.float64]) -> Moment:
        best = np.argsort(-scores, kind="stable")[: self._top].tolist()
        return Moment(
            number=self._next,
            start=start / SECOND,
            end=min(start + self._grid.every, self._end) / SECOND,
            top=tuple(Guess(name=self._classes[label], score=float(scores[label])) for label in best),
        )


def segments(moments: Iterable[Moment], *, min_score: float = 0.0) -> Iterator[Segment]:
    """Yield the segments of moments: runs of one best class, whose score is at least so high at each of them.

    A moment of a lower score is in no segment.
    """
    run = list[Moment]()
    for moment in moments:
        good = moment.top[0].score >= min_score
        goes_on = bool(run) and moment.number == run[-1].number + 1 and moment.top[0].name == run[-1].top[0].name
        if run and not (good and goes_on):
            yield _segment(run)
            run = []
        if good:
            run.append(moment)
    if run:
        yield _segment(run)


def _segment(run: Sequence[Moment]) -> Segment:
    return Segment(
        start=run[0].start,
        end=run[-1].end,
        name=run[0].top[0].name,
        score=sum(moment.top[0].score for moment in run) / len(run),
    )
