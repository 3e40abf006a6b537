"""A stream is answered as it comes; what cannot be kept up with is dropped and counted; its end is told."""

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import numpy as np
import numpy.typing as npt
import pytest

from tests.pipeline.extract.servers import serving, standard_input
from tests.train.answers.colours import ColourScorer, colour_video
from tsn.train.answers.over_time import timeline
from tsn.train.answers.stream import Backlog, Ended, live, moments_of_frames, refuse_broken
from tsn.train.answers.timeline import Moment, segments
from tsn.train.answers.windows import SECOND, Window
from tsn.tsn_shared.answer_settings import OverTimeSettings
from tsn.tsn_shared.errors import DataError

LIVE = ("-c:v", "mpeg2video", "-g", "5")

SETTINGS = OverTimeSettings(every="500ms", window="1s")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of MPEG-TS."""
    folder = tmp_path_factory.mktemp("stream")
    return colour_video(folder / "a.ts", ("red", 2), ("blue", 2), size="64x48", codec=LIVE)


def answered(
    scorer: ColourScorer, address: str, settings: OverTimeSettings = SETTINGS
) -> tuple[list[Moment], list[float], Ended]:
    with live(scorer, address, settings) as stream:
        moments, times = list[Moment](), list[float]()
        for moment in stream:
            moments.append(moment)
            times.append(time.monotonic())
        return moments, times, stream.ended()


def test_a_slow_server_gets_answers_while_it_serves(video: Path) -> None:
    """With the numbers that the same file gives."""
    content = video.read_bytes()
    with serving({"/live": (content, {"X-Rate": str(len(content) / 1.5)})}) as address:
        moments, times, ended = answered(ColourScorer(), f"{address}/live")
    assert moments == list(timeline(ColourScorer(), video, SETTINGS).moments)
    assert [segment.name for segment in segments(moments)] == ["red", "blue"]
    assert times[-1] - times[0] > 0.5  # long before the end
    assert (ended.frames, ended.windows, ended.dropped, ended.broken) == (40, 7, 0, "")
    refuse_broken(address, ended)


class SlowScorer(ColourScorer):
    """Takes longer for a window than a window is apart."""

    def scores(self, clips: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        time.sleep(0.5)
        return super().scores(clips)


def test_a_network_that_is_too_slow_drops_windows_and_counts_them(tmp_path: Path) -> None:
    video = colour_video(tmp_path / "a.ts", ("red", 3), size="64x48", codec=LIVE)
    content, scorer = video.read_bytes(), SlowScorer()
    with serving({"/live": (content, {"X-Rate": str(len(content) / 2)})}) as address:
        moments, _, ended = answered(scorer, f"{address}/live", OverTimeSettings(every="200ms", window="1s"))
    assert ended.frames == 30
    assert ended.dropped > 0
    assert scorer.seen == ended.windows - ended.dropped
    assert ended.unscored == 3 * ended.dropped
    assert {moment.top[0].name for moment in moments} == {"red"}


@pytest.mark.parametrize("whole", [True, False])
def test_a_stream_that_breaks_off_is_told(video: Path, whole: bool) -> None:
    content = video.read_bytes()
    length = {"Content-Length": str(len(content) + (0 if whole else 1000))}
    with serving({"/live": (content, length)}) as address:
        moments, _, ended = answered(ColourScorer(), f"{address}/live")
        assert len(moments) == 8
        assert ended.broken == ("" if whole else "its connection ended before it did")
        if not whole:
            with pytest.raises(DataError, match=r"/live: the stream broke after 4\.0 s: its connection ended before"):
                refuse_broken(f"{address}/live", ended)


@pytest.mark.parametrize("kind", ["avi", "mp4", "flv", "mkv", "ts"])
@pytest.mark.parametrize("cut", [True, False])
def test_a_writer_that_dies_is_told_where_the_container_shows_it(kind: str, cut: bool, tmp_path: Path) -> None:
    """MPEG-TS, as other containers for broadcasts, may end anywhere."""
    codecs = {"flv": ("-c:v", "flv1"), "ts": ("-c:v", "mpeg2video")}
    codec = (*codecs.get(kind, ("-c:v", "mjpeg")), "-g", "1", "-movflags", "faststart", "-live", "1")
    content = colour_video(tmp_path / f"a.{kind}", ("red", 2), ("blue", 1), size="320x240", codec=codec).read_bytes()
    with standard_input(content[: len(content) * 2 // 3] if cut else content):
        moments, _, ended = answered(ColourScorer(), "-")
    assert (ended.frames < 30) is cut
    assert moments[0].top[0].name == "red"
    assert ended.broken == ("it ends before its container says" if cut and kind != "ts" else "")


def test_an_index_behind_the_pictures_is_told_where_there_is_no_way_back(tmp_path: Path) -> None:
    video = colour_video(tmp_path / "a.mp4", ("red", 10), size="640x480", codec=("-c:v", "mjpeg"))
    assert video.stat().st_size > 200_000  # more than ffmpeg holds and goes back to
    with standard_input(video.read_bytes()):
        _, _, ended = answered(ColourScorer(), "-")
    with pytest.raises(DataError, match=r"no frame came: its index comes after its pictures, .* \+faststart"):
        refuse_broken("-", ended)


def test_nothing_that_answers_is_told() -> None:
    address = "http://me:secret@127.0.0.1:9/live"
    with live(ColourScorer(), address, SETTINGS) as stream:
        assert list(stream) == []
    with pytest.raises(DataError, match=r"^http://127\.0\.0\.1:9/live: no frame came: .*refused") as error:
        refuse_broken(address, stream.ended())
    assert "secret" not in str(error.value)


def test_a_fault_of_the_thread_that_reads_is_raised_where_answers_are(video: Path) -> None:
    class Broken(ColourScorer):
        def choose(self, frames: int) -> list[int]:
            raise ZeroDivisionError

    with (
        serving({"/live": (video.read_bytes(), {})}) as address,
        live(Broken(), f"{address}/live", SETTINGS) as stream,
        pytest.raises(ZeroDivisionError),
    ):
        list(stream)


def window(number: int) -> Window:
    return Window(number=number, frames=(b"",), end=(number + 1) * SECOND)


def test_what_comes_before_its_time_is_made_to_wait_and_nothing_dropped() -> None:
    backlog = Backlog(Event())
    backlog.begin()

    def put() -> None:
        for number in range(50):
            backlog.put(window(number + 100))
        backlog.finish()

    writer = Thread(target=put)
    writer.start()
    assert [each.number for each in backlog] == list(range(100, 150))
    writer.join()
    assert (backlog.windows, backlog.dropped) == (50, 0)


def test_what_has_waited_too_long_gives_way_to_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    backlog = Backlog(Event())
    backlog.begin()
    for number, now in enumerate((20.0, 20.5, 21.2)):  # noqa: B007 (the clock reads it)
        backlog.put(window(number))
    now = 22.0
    backlog.finish()
    assert [each.number for each in backlog] == [2]
    assert (backlog.windows, backlog.dropped) == (3, 2)


def test_frames_of_a_program_are_answered_as_they_come() -> None:
    taken = []

    def frames() -> Iterator[tuple[float, npt.NDArray[np.uint8]]]:
        for number in range(40):
            taken.append(number)
            yield number / 10, np.full((24, 32, 3), (200, 0, 0) if number < 20 else (0, 0, 200), dtype=np.uint8)

    moments = moments_of_frames(ColourScorer(), frames(), SETTINGS)
    assert next(moments).top[0].name == "red"
    assert len(taken) == 11
    assert [segment.name for segment in segments(moments)] == ["red", "blue"]
