"""Many videos: in order, as they come, whatever fails; and no more of them at once than has to be."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Dataset
from tsn.pipeline.extract import chosen
from tsn.train.answers.prediction import Failure
from tsn.train.answers.predictor import Predictor
from tsn.train.answers.video_answers import AHEAD, Answered, answer_videos, sources_of
from tsn.tsn_shared.errors import DataError


@pytest.fixture(scope="module")
def predictor(trained_run: Path) -> Predictor:
    return Predictor(trained_run, device="cpu")


@pytest.fixture
def many(dataset: Dataset, tmp_path: Path) -> Path:
    """A folder of videos of which every fourth is none."""
    for number, path in enumerate(sorted(dataset.videos.rglob("*.avi"))[:12]):
        if number % 4 == 1:
            (tmp_path / f"{number:02}.avi").write_text("no video")
        else:
            shutil.copy(path, tmp_path / f"{number:02}.avi")
    return tmp_path


@pytest.mark.parametrize("devices", [1, 2])
def test_each_video_has_its_answer_in_its_place(predictor: Predictor, many: Path, devices: int) -> None:
    sources = sources_of([many])[::-1]
    found = list(answer_videos([predictor] * devices, sources))
    names = [each.answer.video if isinstance(each, Answered) else each.video for each in found]
    assert names == [source.name for source in sources]
    failed = [each for each in found if isinstance(each, Failure)]
    assert [Path(each.video).name for each in failed] == ["09.avi", "05.avi", "01.avi"]
    assert {each.reason for each in failed} == {"not a video, or damaged at its beginning"}
    for each in found:
        if isinstance(each, Answered):
            alone = predictor.video(each.answer.video)
            assert (alone.frames, alone.note) == (each.answer.frames, each.answer.note)
            assert np.abs(alone.probabilities - each.answer.probabilities).max() < 1e-5
            assert each.numbers == tuple(predictor.choose(alone.frames))
            assert each.pictures.shape[0] == 3


def test_few_are_decoded_ahead_and_none_once_nobody_asks(
    predictor: Predictor, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = list[Path]()
    decode = chosen.decode_chosen

    def seen(path: Path, *words: Any, **more: Any) -> object:
        begun.append(path)
        return decode(path, *words, **more)

    monkeypatch.setattr("tsn.train.answers.video_answers.decode_chosen", seen)
    sources = sources_of([many / "00.avi"]) * 200
    answers = answer_videos([predictor], sources)
    first = next(answers)
    assert isinstance(first, Answered)
    most = 1 + predictor.at_once + AHEAD * len(os.sched_getaffinity(0))
    assert len(begun) <= most
    answers.close()
    assert len(begun) <= most


def test_frames_that_are_too_large_to_hold_fail_their_video(
    predictor: Predictor, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsn.train.answers.video_answers.MOST_DECODED", 1000)
    (failed,) = answer_videos([predictor], sources_of([many / "00.avi"]))
    assert isinstance(failed, Failure)
    assert "more than a quarter of this machine's memory" in failed.reason


def test_folders_are_opened_and_each_video_is_taken_once(dataset: Dataset, tmp_path: Path) -> None:
    folder = next(path for path in sorted(dataset.videos.iterdir()) if path.is_dir())
    inside = sorted(folder.glob("*.avi"))
    assert [source.path for source in sources_of([inside[0], folder])] == inside
    with pytest.raises(DataError, match=r"none\.avi does not exist"):
        sources_of([tmp_path / "none.avi"])
