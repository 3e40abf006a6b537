"""A video over time: what happens when, every frame read once, and the numbers of predict for one whole window."""

import io
import os
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pipeline.extract.media import ffmpeg
from tests.train.answers.colours import RATE, ColourScorer, colour_video
from tests.train.answers.reference import clip_of, network_of, reference
from tsn.pipeline.extract.ffmpeg_run import VideoError
from tsn.pipeline.extract.timed import video_frames
from tsn.train.answers.over_time import timeline
from tsn.train.answers.predictor import Predictor
from tsn.tsn_shared.answer_settings import OverTimeSettings
from tsn.tsn_shared.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("over-time")
    return colour_video(folder / "a.avi", ("red", 3), ("lime", 3), ("blue", 2.4))


def test_segments_are_where_the_colours_are(video: Path) -> None:
    scorer = ColourScorer()
    found = timeline(scorer, video, OverTimeSettings(every="500ms", window="1s"))
    assert [(segment.name, segment.start, segment.end) for segment in found.segments] == [
        ("red", 0.0, 3.0),
        ("green", 3.0, 6.0),
        ("blue", 6.0, 8.4),
    ]
    assert found.frames == 84
    assert found.seconds == pytest.approx(8.4)
    assert found.windows == scorer.seen == 16  # the last begins at 7.5 s and reaches the end
    assert scorer.asked == [RATE] * 15 + [9]
    assert [moment.number for moment in found.moments] == list(range(17))
    assert (found.note, found.failure) == ("", "")


def test_a_moment_of_a_low_score_is_in_no_segment(video: Path) -> None:
    sure = timeline(ColourScorer(), video, OverTimeSettings(every="1s", window="2s", min_score=0.9)).segments
    assert [segment.name for segment in sure] == ["red", "green", "blue"]
    assert sure[0].end < sure[1].start + 1e-9
    assert sure[0].end == 2.0  # from there on windows see both colours
    assert timeline(ColourScorer(), video, OverTimeSettings(every="1s", min_score=1.0)).segments == ()


def test_snippets_are_scored_by_whole_windows(video: Path) -> None:
    scorer = ColourScorer(segments=2, length=6)
    assert len(timeline(scorer, video, OverTimeSettings(every="2s", window="2s")).segments) == 3


def test_a_file_that_breaks_off_is_answered_as_far_as_it_goes(tmp_path: Path) -> None:
    cut = colour_video(tmp_path / "cut.avi", ("red", 3), ("lime", 5), codec=("-c:v", "mjpeg"))
    os.truncate(cut, cut.stat().st_size * 6 // 10)
    found = timeline(ColourScorer(), cut, OverTimeSettings(every="1s", window="1s"))
    assert found.failure.startswith("truncated: the file ends at byte")
    assert found.segments[0].name == "red"
    assert 3 < found.seconds < 8
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(VideoError, match="not a video"):
        timeline(ColourScorer(), tmp_path / "text.avi", OverTimeSettings())


@pytest.mark.parametrize("view", ["val", "10crop"])
def test_one_window_over_a_whole_video_has_the_numbers_of_predict(video: Path, trained_run: Path, view: str) -> None:
    predictor = Predictor(trained_run, protocol=view, num_segments=4, device="cpu", top=3)
    (moment,) = timeline(predictor, video, OverTimeSettings(every="1min", window="1min")).moments
    wanted = predictor.video(video).top
    assert [guess.name for guess in moment.top] == [guess.name for guess in wanted]
    assert np.allclose([guess.score for guess in moment.top], [guess.score for guess in wanted], atol=1e-6)


def test_nothing_shifts_from_window_to_window(changed_run: Callable[..., Path], tmp_path: Path) -> None:
    """Of a network that shifts in time, which takes several windows at once, each as a clip of its segments."""
    run = changed_run("shift", noise=0.5, settings={"shift": True, "num_segments": 8})
    video = tmp_path / "a.avi"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=9", "-c:v", "mjpeg", str(video))
    predictor = Predictor(run, device="cpu", top=4)
    assert predictor.at_once > 1
    moments = timeline(predictor, video, OverTimeSettings(every="2s", window="2s")).moments
    with video_frames(video, predictor.stored) as frames:
        pictures = [np.asarray(Image.open(io.BytesIO(frame.jpeg)).convert("RGB")) for frame in frames]
    windows = [pictures[begin : begin + 20] for begin in range(0, 90, 20)]
    clips = [clip_of([window[int((s + 0.5) * len(window) / 8)] for s in range(8)], "val") for window in windows]
    plain, wanted = (
        torch.from_numpy(reference(network, clips)).softmax(dim=1).numpy()
        for network in (network_of(run), network_of(run, shift_segments=8))
    )
    found = [[guess.score for guess in sorted(moment.top, key=lambda guess: guess.name)] for moment in moments]
    assert np.abs(found - wanted).max() < 1e-3
    assert np.ptp(wanted, axis=0).max() > 0.05
    assert np.abs(plain - wanted).max() > 0.05


@pytest.mark.parametrize("text", ["0s", "1x", "", "1e3", "-1s", "1 s 2", "99999s"])
def test_times_are_checked_with_their_flag(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^--window .*: it is a time from 0\.1s to 600s, such as 1s or 500ms$"):
        OverTimeSettings(window=text)
    if text:
        with pytest.raises(SettingsError, match=r"^--every "):
            OverTimeSettings(every=text)


def test_the_example_says_what_happens_when(
    video: Path, changed_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = changed_run("runs/a")
    monkeypatch.chdir(run.parents[1])
    shutil.copy(video, "video.mp4")
    np.save("video.npy", np.zeros((50, 48, 64, 3), dtype=np.uint8))
    runpy.run_path(str(Path(__file__).parents[3] / "examples" / "over_time.py"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("   0.0 s to ")
    assert [line.split(":")[0] for line in lines[-2:]] == ["   0.0 s", "   1.0 s"]


def test_from_python_a_bad_video_is_an_error_of_data(trained_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.avi: no such file"):
        Predictor(trained_run, device="cpu").timeline(tmp_path / "none.avi")
