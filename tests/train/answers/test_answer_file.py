"""Answers in a file: whole lines in the order asked for, and a rerun that makes only what is missing or wrong."""

import csv
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsn.pipeline.extract.videos import Source
from tsn.train.answers.answer_file import answer_file
from tsn.train.answers.prediction import Answer, Failure, Guess
from tsn.train.answers.predictor import Predictor
from tsn.tsn_shared.errors import SettingsError

NAMES = ("b.avi", "a.avi", 'c, "d".avi')


@pytest.fixture(scope="module")
def predictor(trained_run: Path) -> Predictor:
    return Predictor(trained_run, top=2, device="cpu")


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    for name in NAMES:
        (tmp_path / name).write_text(name)
    return [Source(name=name, path=tmp_path / name) for name in NAMES]


def answer(video: str, note: str = "") -> Answer:
    top = (Guess(name="Jump", score=0.75), Guess(name="Run", score=0.25))
    return Answer(video=video, frames=9, top=top, probabilities=np.zeros(2, np.float32), note=note)


def write(path: Path, sources: Sequence[Source], predictor: Predictor, *results: Answer | Failure) -> list[str]:
    """Add results to a file, and return the names of the videos that it had no right answer for."""
    with answer_file(path, sources, predictor) as file:
        for result in results:
            file.add(result)
        return [source.name for source in file.left]


def rows(path: Path) -> list[dict[str, Any]]:
    text = path.read_text()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    return list(csv.DictReader(text.splitlines()))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_rerun_keeps_what_is_whole_and_tries_failures_again(
    tmp_path: Path, sources: list[Source], predictor: Predictor, name: str
) -> None:
    path = tmp_path / name
    write(path, sources, predictor, answer("b.avi", "a note"), Failure(video="a.avi", reason="an empty file"))
    assert [row["video"] for row in rows(path)] == ["b.avi", "a.avi"]
    assert (rows(path)[0]["note"], rows(path)[1]["failed"]) == ("a note", "an empty file")
    first = path.read_text()
    path.write_text(first + '{"video": "c')  # as a killed writer leaves it
    left = write(path, sources, predictor, answer(NAMES[2]), answer("a.avi"))
    assert left == ["a.avi", NAMES[2]]
    assert [row["video"] for row in rows(path)] == list(NAMES)
    assert not rows(path)[1].get("failed")
    assert path.read_text().startswith(first[: first.index("a.avi") - 20])
    done = path.read_bytes()
    assert write(path, sources, predictor) == []
    assert path.read_bytes() == done


def test_a_row_is_the_answer_by_name(tmp_path: Path, sources: list[Source], predictor: Predictor) -> None:
    write(tmp_path / "a.jsonl", sources, predictor, answer("a.avi"))
    write(tmp_path / "a.csv", sources, predictor, answer("a.avi"))
    (row,) = rows(tmp_path / "a.jsonl")
    key = row.pop("key")
    assert row == answer("a.avi").plain()
    wanted = ["a.avi", "9", "Jump", "0.750000", "Run", "0.250000", "", "", key]
    assert (tmp_path / "a.csv").read_text().splitlines()[1].split(",") == wanted


def test_answers_of_other_weights_options_or_files_are_made_anew(
    tmp_path: Path, sources: list[Source], predictor: Predictor, trained_run: Path
) -> None:
    path = tmp_path / "a.jsonl"
    write(path, sources, predictor, *map(answer, NAMES))
    sources[0].path.write_text("another video")
    assert write(path, sources, predictor) == ["b.avi"]
    assert [row["video"] for row in rows(path)] == list(NAMES[1:])  # what is wrong is not kept
    more = Predictor(trained_run, top=2, num_segments=5, device="cpu")
    assert write(path, sources[1:2], more) == ["a.avi"]
    assert [row["video"] for row in rows(path)] == [NAMES[2]]  # nobody asked for it now
    other = replace(predictor.trained, path=trained_run / "model.safetensors")
    assert write(path, sources[2:], Predictor(other, top=2, device="cpu")) == [NAMES[2]]


def test_what_was_answered_is_there_whatever_happens_then(
    tmp_path: Path, sources: list[Source], predictor: Predictor
) -> None:
    path = tmp_path / "folder" / "a.csv"
    with suppress(KeyboardInterrupt), answer_file(path, sources, predictor) as file:
        file.add(answer("a.avi"))
        assert [row["video"] for row in rows(path)] == ["a.avi"]
        raise KeyboardInterrupt
    assert write(path, sources, predictor) == ["b.avi", NAMES[2]]
    assert [other.name for other in path.parent.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "", r"it must end in \.jsonl or \.csv \(\.srt, \.png, \.mp4 with --every\)"),
        ("a.jsonl", "a user's own\n", r"line 1 is no answer of tsn predict: name another --out"),
        ("a.jsonl", '{"video": 3}\n', "line 1 is no answer"),
        ("a.jsonl", "[" * 100_000 + "\n", "line 1 is no answer"),
        ("a.csv", "name,age\n", "has other columns than these answers"),
        ("a.csv", 'video,frames,class1,score1,class2,score2,note,failed,key\n"a\n', "line 2 is no answer"),
    ],
)
def test_a_file_of_something_else_is_left_as_it_is(
    tmp_path: Path, sources: list[Source], predictor: Predictor, name: str, content: str, words: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(SettingsError, match=words):
        write(path, sources, predictor)
    assert path.read_text() == content
