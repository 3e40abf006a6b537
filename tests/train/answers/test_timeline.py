"""Moments are means over the windows that cover them; segments are runs of them. Against the rule."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tsn.train.answers.prediction import Guess
from tsn.train.answers.timeline import Moment, Segment, Smoother, segments
from tsn.train.answers.windows import SECOND, Grid

CLASSES = ("a", "b", "c")
SCORES = st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3)
GRIDS = st.builds(
    lambda every, length: Grid(every=every * SECOND, length=length * SECOND), st.integers(1, 4), st.integers(1, 9)
)
WINDOWS = st.dictionaries(st.integers(0, 30), SCORES, min_size=1, max_size=20)


def smoothed(grid: Grid, windows: dict[int, list[float]]) -> list[Moment]:
    smoother = Smoother(grid, CLASSES, top=2)
    moments = []
    for number, scores in sorted(windows.items()):
        end = number * grid.every + grid.length
        moments += smoother.add(number, end, np.array(scores, dtype=np.float32))
    return [*moments, *smoother.close()]


@given(GRIDS, WINDOWS)
def test_a_moment_is_the_mean_of_all_windows_that_cover_it(grid: Grid, windows: dict[int, list[float]]) -> None:
    found = {moment.number: moment for moment in smoothed(grid, windows)}
    for number in range(50):
        begin, end = number * grid.every, (number + 1) * grid.every
        covering = [
            scores
            for window, scores in windows.items()
            if window * grid.every < end and window * grid.every + grid.length > begin
        ]
        assert (number in found) == bool(covering)
        if covering:
            mean = np.array(covering, dtype=np.float32).astype(np.float64).mean(axis=0)
            top = found[number].top
            assert [guess.score for guess in top] == sorted(map(float, mean), reverse=True)[:2]
            assert mean[CLASSES.index(top[0].name)] == top[0].score
            assert found[number].start == begin / SECOND
            assert begin < found[number].end * SECOND <= end


@given(GRIDS, WINDOWS)
def test_a_moment_is_known_once_the_window_that_begins_with_it_is(grid: Grid, windows: dict[int, list[float]]) -> None:
    smoother = Smoother(grid, CLASSES, top=1)
    for number, scores in sorted(windows.items()):
        moments = smoother.add(number, number * grid.every + grid.length, np.array(scores, dtype=np.float32))
        assert moments[-1].number == number


MOMENTS = st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.floats(0, 1)), max_size=30).map(
    lambda rows: [
        Moment(number=number, start=2.0 * number, end=2.0 * number + 2, top=(Guess(name=name, score=score),))
        for number, (there, name, score) in enumerate(rows)
        if there
    ]
)


@given(MOMENTS, st.floats(0, 1))
def test_segments_are_the_longest_runs_of_a_class(moments: list[Moment], min_score: float) -> None:
    found = list(segments(moments, min_score=min_score))
    good = [moment for moment in moments if moment.top[0].score >= min_score]
    assert sum(segment.end - segment.start for segment in found) == 2 * len(good)
    for segment in found:
        within = [moment for moment in good if segment.start <= moment.start and moment.end <= segment.end]
        assert {moment.top[0].name for moment in within} == {segment.name}
        assert np.isclose(segment.score, np.mean([moment.top[0].score for moment in within]))
    for first, second in pairwise(found):
        assert first.end < second.start or (first.end == second.start and first.name != second.name)


def test_where_windows_leave_gaps_each_stands_for_its_step() -> None:
    smoother, scores = Smoother(Grid(every=5 * SECOND, length=2 * SECOND), CLASSES, top=1), np.ones(3, dtype=np.float32)
    moments = [*smoother.add(0, 2 * SECOND, scores), *smoother.add(1, 6 * SECOND, scores), *smoother.close()]
    assert [(moment.start, moment.end) for moment in moments] == [(0, 5), (5, 6)]  # the last window is cut off


def test_the_last_moment_ends_with_the_video() -> None:
    smoother = Smoother(Grid(every=SECOND, length=2 * SECOND), CLASSES, top=1)
    scores = np.array([1, 0, 0], dtype=np.float32)
    moments = [*smoother.add(0, 2 * SECOND, scores), *smoother.add(1, 2_500_000, scores), *smoother.close()]
    assert [(moment.start, moment.end) for moment in moments] == [(0, 1), (1, 2), (2, 2.5)]
    assert list(segments(moments)) == [Segment(start=0, end=2.5, name="a", score=1.0)]
    assert Smoother(Grid(every=1, length=1), CLASSES, top=1).close() == []
