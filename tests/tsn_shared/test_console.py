import math
import re
import sys
import time
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn.tsn_shared.console import Progress, moment, printable, say, some, table
from tsn.tsn_shared.letters import width


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def test_words_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("two words")
    assert capsys.readouterr() == ("", "two words\n")


def test_what_is_said_is_one_line_that_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[31m\nb\r\x07\u202e\udcff\x9b: Größe, 写真")
    assert capsys.readouterr().err == r"a\x1b[31m\nb\r\x07\u202e\udcff\x9b: Größe, 写真" + "\n"
    say(printable("a\tb"))  # twice is as once
    assert capsys.readouterr().err == r"a\tb" + "\n"


def test_of_many_names_some_are_told() -> None:
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Progress("extracting", total=40, unit="video") as progress:
        for _ in range(30):
            clock.now += 1
            progress.advance(1, frames=200)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 2
    assert lines[0].startswith("extracting: 15/40 videos, 200 frames/s, ends ")
    assert lines[1].startswith("extracting: 30/40 videos, 200 frames/s, ends ")


def test_short_work_without_a_terminal_says_nothing(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Progress("extracting", total=3, unit="video") as progress:
        clock.now += 1
        progress.advance(3)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_progress_is_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("extracting", total=2, unit="video") as progress:
        progress.advance(1, frames=10)
        progress.advance(1, frames=10)
        say("a word in between")
    out, err = capsys.readouterr()
    assert out == ""
    assert "2/2" in err
    assert "frames/s, ends " in err
    assert "a word in between\n" in err


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a b-ü.avi", "a b-ü.avi"), ("two\nlines", "two\\nlines"), ("\x1b[31m", "\\x1b[31m"), ("v_\udce9", "v_\\udce9")],
)
def test_names_are_one_line_that_any_terminal_shows(name: str, shown: str) -> None:
    assert printable(name) == shown
    shown.encode()


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    assert table(["way", "frames/s"], [["ours", "2,000"], ["theirs", 9]]) == (
        "| way    | frames/s |\n| ------ | -------: |\n| ours   |    2,000 |\n| theirs |        9 |"
    )
    assert table(["a"], []) == "| a |\n| - |"
    assert table(["x"], [["a|b\n"]]) == "| x      |\n| ------ |\n| a\\|b\\n |"


@given(
    st.lists(st.tuples(st.text(max_size=120), st.integers(0, 10**9), st.text("写a|é", max_size=90)), max_size=4),
    st.integers(60, 100),
)
def test_every_table_is_straight_and_fits_its_line(rows: list[tuple[str, int, str]], columns: int) -> None:
    lines = table(["class", "clips", "most often taken for"], rows, columns=columns).splitlines()
    assert len(lines) >= 2 + len(rows)
    assert len({width(line) for line in lines}) == 1
    assert width(lines[0]) <= columns
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    numbers = [int(found[1]) for line in lines[2:] if (found := re.search(r" (\d+) \| [^|]*(\\\|[^|]*)*\|$", line))]
    assert numbers == [number for _, number, _ in rows]


def test_wide_letters_and_long_words_keep_a_table_straight() -> None:
    assert table(["class", "clips"], [["跳高", 3], ["Jump", 12], ["a" * 30, 1]], columns=24) == (
        "| class        | clips |\n"
        "| ------------ | ----: |\n"
        "| 跳高         |     3 |\n"
        "| Jump         |    12 |\n"
        "| aaaaaa…aaaaa |     1 |"
    )


def test_a_sentence_goes_on_in_the_next_line_and_a_name_is_shortened() -> None:
    rows = [["truncated: the file ends early", 2, "Jump/v_Jump_g01_c01"], ["a word", 1, "Box/a"]]
    assert table(["note", "videos", "for example"], rows, columns=46) == (
        "| note            | videos | for example     |\n"
        "| --------------- | -----: | --------------- |\n"
        "| truncated: the  |      2 | Jump/v_…g01_c01 |\n"
        "| file ends early |        |                 |\n"
        "| a word          |      1 | Box/a           |"
    )


def test_a_note_stands_before_the_rates_and_slow_rates_have_a_decimal(
    capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    with Progress("epoch 3", total=40, unit="step") as progress:
        progress.note = "loss 4.615"
        clock.now += 20
        progress.advance(1, clips=50)
        assert capsys.readouterr().err.startswith("epoch 3: 1/40 steps, loss 4.615, 2.5 clips/s, ends ")
        progress.note = ""
        clock.now += 980
        progress.advance(1, clips=5)
        assert capsys.readouterr().err.startswith("epoch 3: 2/40 steps, 0.055 clips/s, ends ")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "12:00:00"),
        (3599, "12:59:59"),
        (3600, "13:00"),
        (12 * 3600, "Sat 03 Jan 00:00"),
        (365 * 86_400, "02 Jan 2027"),
        (200 * 365.2425 * 86_400, "03 Jan 2226"),
        (1e12, "never"),
        (1e300, "never"),
        (math.inf, "never"),
        (math.nan, "never"),
    ],
)
def test_when_something_ends_is_said_however_far_it_is(seconds: float, words: str) -> None:
    assert moment(seconds, now=datetime(2026, 1, 2, 12)) == words
