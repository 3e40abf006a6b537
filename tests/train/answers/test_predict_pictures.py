"""Pictures of answers: where they may go, and that each shows its own video."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tsn.train.answers.predict_pictures import AnswerPictures, holding
from tsn.train.answers.prediction import Answer, Guess
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.views import VIEWS

TOP = (Guess(name="Jump", score=0.75), Guess(name="Run", score=0.25))


@pytest.mark.parametrize(("view", "segments"), [("val", 3), ("10crop", 9)])
def test_each_answer_gets_a_picture_that_names_its_video(tmp_path: Path, view: str, segments: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, size=(segments, 48, 64, 3), dtype=np.uint8)
    answers = [
        Answer(video=f"{folder}/x.avi", frames=9, top=TOP, probabilities=np.zeros(2, np.float32)) for folder in "ab"
    ]
    pictures = AnswerPictures(tmp_path, VIEWS[view])
    found = [pictures.draw(answer, range(segments), frames) for answer in answers]
    assert [answer.png for answer in found] == [tmp_path / "x.png", tmp_path / "x-2.png"]
    assert [(answer.video, answer.top) for answer in found] == [(answer.video, answer.top) for answer in answers]
    for answer in found:
        assert answer.png is not None
        with Image.open(answer.png) as picture:
            assert picture.info["Source"] == str(Path(answer.video).absolute())
            assert picture.width > 500
            assert len(np.unique(np.asarray(picture))) > 50


def test_a_file_is_for_one_video_and_a_folder_for_any_number(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="2 videos need a folder"), holding(tmp_path / "a.png", 2):
        pass
    with pytest.raises(SettingsError, match=r"it must end in \.png, or be a folder"), holding(tmp_path / "a.jpg", 1):
        pass
    with holding(None, 2), holding(tmp_path / "a.png", 1), holding(tmp_path / "pictures", 2):
        assert (tmp_path / "pictures").is_dir()


def test_no_two_draw_into_a_folder_at_once(tmp_path: Path) -> None:
    with (
        holding(tmp_path, 2),
        pytest.raises(SettingsError, match="is in use by another tsn: wait for it, or set another --png"),
        holding(tmp_path, 1),
    ):
        pass
