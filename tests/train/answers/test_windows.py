"""Windows hold just the frames of their time, whatever the rate, and none is left out."""

from hypothesis import example, given
from hypothesis import strategies as st

from tsn.train.answers.windows import SECOND, USUAL_STEP, Clock, Grid, Window, WindowCutter

GRIDS = st.builds(Grid, every=st.integers(1, 50), length=st.integers(1, 80))
TIMES = st.lists(st.integers(0, 400), min_size=1, max_size=80, unique=True).map(sorted)


def cut(grid: Grid, times: list[int]) -> list[Window]:
    """Cut windows out of frames that are their own times in microseconds."""
    cutter, windows = WindowCutter(grid), list[Window]()
    for time in times:
        windows += cutter.add(time / SECOND, str(time).encode())
    return [*windows, *cutter.close()]


@given(GRIDS, TIMES)
@example(Grid(every=10, length=40), [0, 10, 20, 30, 40])
@example(Grid(every=40, length=10), [0, 5, 20, 399])
def test_each_window_holds_the_frames_of_its_time(grid: Grid, times: list[int]) -> None:
    windows = cut(grid, times)
    numbers = [window.number for window in windows]
    assert numbers == sorted(set(numbers))
    for window in windows:
        begin = window.number * grid.every
        assert [int(frame) for frame in window.frames] == [t for t in times if begin <= t < begin + grid.length]
        assert begin < window.end <= begin + grid.length


@given(GRIDS, TIMES)
def test_every_window_that_holds_a_frame_is_there_up_to_the_first_that_reaches_the_last(
    grid: Grid, times: list[int]
) -> None:
    numbers = {window.number for window in cut(grid, times)}
    for number in range(times[-1] // grid.every + 1):
        begin = number * grid.every
        holds = any(begin <= time < begin + grid.length for time in times)
        earlier = (number - 1) * grid.every + grid.length <= times[-1] or number == 0
        if holds and earlier:
            assert number in numbers
    assert len(numbers) <= times[-1] // grid.every + 1


@given(GRIDS, TIMES)
def test_a_window_comes_as_soon_as_a_frame_shows_that_it_is_complete(grid: Grid, times: list[int]) -> None:
    cutter = WindowCutter(grid)
    for time in times:
        for window in cutter.add(time / SECOND, b""):
            assert window.number * grid.every + grid.length <= time
        assert not cutter.add(time / SECOND, b"")  # no more of them before the next


def test_a_gap_of_years_costs_nothing() -> None:
    grid = Grid(every=SECOND, length=4 * SECOND)
    cutter = WindowCutter(grid)
    cutter.add(0.0, b"a")
    assert [window.number for window in cutter.add(1e9, b"b")] == [0]
    (last,) = cutter.close()
    assert last.frames == (b"b",)
    assert last.number * grid.every + grid.length > 1e9 * SECOND


def test_times_never_go_back_and_unknown_ones_are_a_step_later() -> None:
    clock = Clock()
    assert clock.time_of(None) == 0
    assert clock.time_of(None) == USUAL_STEP
    assert clock.time_of(0.1) == 100_000
    assert clock.time_of(0.2) == 200_000
    assert clock.time_of(0.05) == 300_000  # back: by the last step
    assert clock.time_of(None) == 400_000
    assert clock.time_of(0.41) == 410_000
    assert WindowCutter(Grid(every=1, length=1)).close() == []
