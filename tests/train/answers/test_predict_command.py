"""What `tsn predict` does with its options, run as a command."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.train.answers.colours import colour_video
from tsn.cli import tsn
from tsn.train.answers import prediction
from tsn.tsn_shared.errors import SettingsError


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_video(tmp_path_factory.mktemp("command") / "a.avi", ("red", 1.5), ("blue", 1), size="64x48")


def predict(run: Path, *words: object) -> Result:
    return CliRunner().invoke(tsn, ["predict", str(run), "--gpus", "0", *map(str, words)])


def test_over_time_as_json(trained_run: Path, video: Path) -> None:
    done = predict(trained_run, video, "--every", "500ms", "--window", "1s", "--json", "--top", "2")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert list(found) == [
        *("checkpoint", "trained_on_split", "protocol", "num_segments", "words", "video", "every", "window"),
        *("smoothing", "frames", "windows", "seconds", "segments", "moments"),
    ]
    assert (found["every"], found["window"], found["frames"], found["windows"]) == (0.5, 1.0, 25, 4)
    assert [len(moment["top"]) for moment in found["moments"]] == [2] * 5
    assert found["segments"][-1]["end"] == found["seconds"] == 2.5


def test_long_videos_and_files_of_answers_are_told_of(
    trained_run: Path, video: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", logger="tsn")
    out = tmp_path / "new" / "answers.csv"
    assert predict(trained_run, video, "--out", out).exit_code == 0
    assert f"the answers: {out}" in caplog.messages
    assert "--every" not in caplog.text
    monkeypatch.setattr(prediction, "LONG", 24)  # the video has 25 frames
    assert predict(trained_run, video).exit_code == 0
    assert "1 video of more than 24 frames, one answer for all of it: --every 1s tells what happens" in caplog.text


def test_options_that_do_not_go_together_are_refused(trained_run: Path, video: Path, tmp_path: Path) -> None:
    for words, match in (
        (("--every", "1s", "--png", tmp_path / "a.png"), "--png draws no answers over time"),
        (("--why", tmp_path / "a.png", "--every", "1s"), "--why draws one clip of one video file: leave out --every"),
        (("-", "--why", tmp_path / "a.png", "--out", "a.csv"), "leave out --out, -"),
        (("--window", "2s"), "--window goes with --every TIME"),
        (("--out", tmp_path / "a.csv", "--out", tmp_path / "b.csv"), "the answers go to one file"),
        (("--every", "soon"), "--every soon: it is a time from"),
        (("--every", "1s", "--out", tmp_path / "a.doc"), "it must end in"),
    ):
        done = predict(trained_run, video, *words)
        assert isinstance(done.exception, SettingsError)
        assert match in str(done.exception)


def test_a_video_in_the_place_of_the_run_is_told_first(trained_run: Path, video: Path, tmp_path: Path) -> None:
    first = "the checkpoint or run comes first, then the videos"
    assert str(predict(video, trained_run).exception) == f"{video} is a video: {first}"
    assert str(predict(tmp_path, trained_run).exception) == f"{trained_run} is a run: {first}"
    assert "holds no checkpoint" in str(predict(tmp_path, video).exception)


def test_a_stream_needs_no_every(trained_run: Path) -> None:
    done = predict(trained_run, "http://127.0.0.1:9/live")
    assert "no frame came" in str(done.exception)
    assert "windows of 4 s, one every 1 s" in done.output


def test_videos_are_answered_as_before(trained_run: Path, video: Path) -> None:
    done = predict(trained_run, video, "--top", "1")
    assert done.exit_code == 0, done.output
    assert f"{video} (25 frames)" in done.output
