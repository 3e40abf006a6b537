"""What is printed as JSON keeps its names and their order, whatever the records are called."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tsn.train.answers.prediction import Answer, Failure, Guess, Prediction, describe, headline

ANSWER = Answer(
    video="a.avi",
    frames=9,
    top=(Guess(name="Jump", score=0.75), Guess(name="Run", score=0.25)),
    probabilities=np.array([0.25, 0.75], dtype=np.float32),
)
PREDICTION = Prediction(
    checkpoint=Path("run/best.pt"),
    trained_on_split="1",
    protocol="val",
    num_segments=3,
    words="protocol val (3 segments, centre crop)",
    answers=(ANSWER,),
    failed=(Failure(video="b.avi", reason="truncated"),),
)


def test_a_prediction_by_name() -> None:
    top = [{"class": "Jump", "score": 0.75}, {"class": "Run", "score": 0.25}]
    wanted = {
        "checkpoint": "run/best.pt",
        "trained_on_split": "1",
        "protocol": "val",
        "num_segments": 3,
        "words": "protocol val (3 segments, centre crop)",
        "clips": 1,
        "videos": [{"video": "a.avi", "frames": 9, "top": top}],
        "failed": [{"video": "b.avi", "reason": "truncated"}],
    }
    assert list(PREDICTION.plain().items()) == list(wanted.items())


def test_an_answer_that_was_drawn_names_its_picture() -> None:
    assert list(replace(ANSWER, png=Path("p/a.png")).plain()) == ["video", "frames", "top", "png"]
    assert replace(ANSWER, png=Path("p/a.png")).plain()["png"] == "p/a.png"


def test_damage_is_told_beside_an_answer() -> None:
    assert replace(ANSWER, note="8 of 9 frames decode").plain()["note"] == "8 of 9 frames decode"


def test_a_person_reads_percent_and_no_control_characters() -> None:
    assert headline("val", "1", 2) == "val, trained on split 1, 2 videos"
    text = describe(replace(ANSWER, video="a\x1b[2J.avi"))
    assert text.splitlines()[1:] == ["   75.00%  Jump", "   25.00%  Run"]
    assert "\x1b" not in text
    assert describe(replace(ANSWER, note="8 of 9 frames decode")).startswith("a.avi (9 frames; 8 of 9 frames decode)\n")
    assert describe(Failure(video="b.avi", reason="an empty\nfile")) == "b.avi: failed: an empty\\nfile"
