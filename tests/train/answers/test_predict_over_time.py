"""`tsn predict --every` by what it prints, writes and refuses."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from tests.pipeline.extract.servers import serving
from tests.train.answers.colours import ColourScorer, colour_video
from tsn.train.answers.predict_over_time import ENDINGS, predict_over_time
from tsn.train.answers.predictor import Predictor
from tsn.tsn_shared.answer_settings import PredictSettings
from tsn.tsn_shared.errors import DataError, PartialError, SettingsError


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("over-time")
    return colour_video(
        folder / "a.ts", ("red", 2), ("blue", 2), size="64x48", sound=True, codec=("-c:v", "mpeg2video", "-g", "5")
    )


def told(video: Path | str, *, as_json: bool = False, **how: Any) -> list[str]:
    """Return what is printed of a video."""
    lines: list[str] = []
    settings = PredictSettings(**({"every": "1s", "window": "1s"} | how))
    scorer = cast("Predictor", ColourScorer())  # all that is asked of a predictor
    predict_over_time(scorer, [str(video)], settings, as_json=as_json, tell=lines.append)
    return lines


def test_a_table_is_printed(video: Path) -> None:
    (text,) = told(video)
    assert text.splitlines()[0] == f"{video} (40 frames, 0:00:04.0), protocol val (3 segments, centre crop)"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert [(start, end, name) for start, end, _, name in rows[2:]] == [
        ("0:00:00.0", "0:00:02.0", "red"),
        ("0:00:02.0", "0:00:04.0", "blue"),
    ]


def test_the_ending_says_what_is_written(video: Path, tmp_path: Path) -> None:
    begins = {".jsonl": b'{"start": 0.0, ', ".csv": b"start,end,class,score\n", ".srt": b"1\n00:00:00,000 --> "}
    begins |= {".png": b"\x89PNG", ".mp4": b"\0\0\0"}
    assert set(begins) == set(ENDINGS)
    outs = {tmp_path / f"a{ending}": begin for ending, begin in begins.items()}
    assert told(video, out=tuple(outs)) == told(video)  # the table as well
    for out, begin in outs.items():
        assert out.read_bytes().startswith(begin)
    assert {path.suffix for path in tmp_path.iterdir()} == set(ENDINGS)


def test_what_does_not_go_together_is_refused(video: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"it must end in \.jsonl, \.csv, \.srt, \.png or \.mp4"):
        told(video, out=(tmp_path / "a.txt",))
    with pytest.raises(SettingsError, match="it is the video itself: name another --out"):
        told(video.rename(video.with_suffix(".mp4")), out=(video.with_suffix(".mp4"),))
    video.with_suffix(".mp4").rename(video)
    with pytest.raises(SettingsError, match="a stream has no end to wait for"):
        told("-", out=(tmp_path / "a.csv",))
    with pytest.raises(SettingsError, match="2 videos: --every answers one video over time"):
        predict_over_time(
            cast("Predictor", ColourScorer()), ["a", "b"], PredictSettings(every="1s"), as_json=False, tell=str
        )


def test_bad_videos_are_failures(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PartialError, match=r"none\.avi: no such file"):
        told(tmp_path / "none.avi")
    with pytest.raises(SettingsError, match=r"is a folder: --every answers one video over time"):
        told(tmp_path)


def test_a_stream_is_told_line_by_line_and_its_end(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = video.read_bytes()
    with serving({"/live": (content, {}), "/broken": (content, {"Content-Length": str(len(content) + 9)})}) as address:
        lines = told(f"{address}/live")
        assert [line.split()[-1] for line in lines] == ["red", "red", "blue", "blue"]
        assert lines[0].startswith("0:00:00.0 - 0:00:01.0 ")
        said = capsys.readouterr().err
        assert (
            "the stream ended after 4.0 s: 40 frames, 4 windows, 0 of them dropped to keep up (0 frames not scored)"
            in said
        )
        rows = [json.loads(line) for line in told(f"{address}/live", as_json=True)]
        assert [(row["top"][0]["class"], row["dropped"]) for row in rows] == [
            *(("red", 0), ("red", 0)),
            *(("blue", 0), ("blue", 0)),
        ]
        assert told(f"{address}/live", min_score=1.0) == []
        with pytest.raises(DataError, match=r"the stream broke after 4\.0 s: its connection ended before it did"):
            told(f"{address}/broken")
