"""Segments as text: a name stays what it is in every form, whatever is in it."""

import csv
import json
import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from tsn.train.answers.over_time import Timeline
from tsn.train.answers.prediction import Guess
from tsn.train.answers.timeline import Moment, Segment
from tsn.train.answers.timeline_text import WRITERS, clock, csv_text, describe, jsonl, line_of, srt
from tsn.train.answers.windows import SECOND, Grid
from tsn.tsn_shared.letters import width

NAMES = [
    "Jump",
    "<b>a & b</b>",
    r"{\an8}c\N",
    'say "x", y',
    "two\nlines",
    "00:00:01,000 --> 00:00:02,000",
    "跳高",
    "é\u0301",
]
SEGMENTS = [Segment(start=2.0 * n, end=2.0 * n + 2, name=name, score=0.5) for n, name in enumerate(NAMES)]


def test_json_lines_and_csv_give_the_names_back() -> None:
    rows = [json.loads(line) for line in jsonl(SEGMENTS).splitlines()]
    assert [row["class"] for row in rows] == NAMES
    assert rows[1] == {"start": 2.0, "end": 4.0, "class": NAMES[1], "score": 0.5}
    table = list(csv.DictReader(csv_text(SEGMENTS).splitlines(keepends=True)))
    assert [row["class"] for row in table] == NAMES
    assert table[1]["start"] == "2.000"
    assert float(table[1]["score"]) == 0.5


def test_a_reader_of_subtitles_shows_names_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(srt(SEGMENTS), encoding="utf-8")
    words = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(tmp_path / "a.srt"), "-f", "ass", "-"]
    read = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    lines = [line.split(",,", 1)[1].split(",", 4)[-1] for line in read.splitlines() if line.startswith("Dialogue")]
    shown = [re.sub(r"[\u2060]", "", line) for line in lines]
    assert shown == [f"{name} 50%" for name in [*NAMES[:4], r"two\nlines", *NAMES[5:]]]
    assert r"{\an8}" not in read  # a reader would place the text by it


def test_subtitles_count_from_1_with_milliseconds() -> None:
    first = srt([Segment(start=3661.25, end=3662, name="Jump", score=0.994)])
    assert first == "1\n01:01:01,250 --> 01:01:02,000\nJump 99%\n\n"
    assert srt([]) == csv_text([]).partition("\n")[2] == jsonl([]) == ""
    assert set(WRITERS) == {".jsonl", ".csv", ".srt"}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00.0"), (59.96, "0:01:00.0"), (3599.94, "0:59:59.9"), (360_000.5, "100:00:00.5")]
)
def test_times_are_read_as_clocks_show_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_person_reads_a_table_that_fits_80_columns() -> None:
    long = [*SEGMENTS, Segment(start=20, end=21, name="very " * 40, score=1.0)]
    found = Timeline(
        video="a\x1b[2J.avi",
        grid=Grid(every=SECOND, length=4 * SECOND),
        frames=500,
        windows=17,
        seconds=20.0,
        moments=(),
        segments=tuple(long),
        note="8 of 9 frames decode",
    )
    text = describe(found, "val")
    assert text.splitlines()[0] == r"a\x1b[2J.avi (500 frames, 0:00:20.0), val"
    assert "mean over all windows that cover it" in text
    assert "note: 8 of 9 frames decode" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert sum("%" in row for row in rows) == len(long)  # long names take several lines
    assert len({width(row) for row in rows}) == 1
    assert width(rows[0]) <= 80
    assert found.plain()["note"] == "8 of 9 frames decode"
    assert "failure" not in found.plain()


def test_a_moment_is_a_line() -> None:
    moment = Moment(number=1, start=1.0, end=2.0, top=(Guess(name="a\nb", score=0.25),))
    assert line_of(moment) == r"0:00:01.0 - 0:00:02.0   25.00%  a\nb"
