"""The picture of where a network looked, of any number of segments."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.train.answers.colours import colour_video
from tsn.train.answers.prediction import Answer, Guess
from tsn.train.answers.predictor import Predictor
from tsn.train.answers.why import Why
from tsn.train.answers.why_picture import COLUMNS, draw_maps, draw_why
from tsn.tsn_shared.errors import PartialError, SettingsError


def made(segments: int) -> Why:
    """Return an answer whose maps are highest in the left half of the crop."""
    maps = np.zeros((segments, 40, 40), dtype=np.float32)
    maps[:, :, :20] = 1.0
    return Why(
        answer=Answer(
            video="a$b.avi", frames=99, top=(Guess(name="跳高", score=0.5),), probabilities=np.ones(1, np.float32)
        ),
        frames=np.full((segments, 48, 64, 3), 128, dtype=np.uint8),
        numbers=tuple(range(segments)),
        crop=(4, 12, 40, 40),
        maps=maps,
        places=(2, 2),
    )


def reddish(path: Path) -> int:
    """Count the pixels of the maps' highest colour, over grey."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    return int(((pixels[..., 0] - pixels[..., 1] > 40) & (pixels[..., 0] - pixels[..., 2] > 40)).sum())


@pytest.mark.parametrize("segments", [1, 3, COLUMNS + 2])
def test_red_is_where_it_looked(segments: int, tmp_path: Path) -> None:
    draw_maps(made(segments), tmp_path / "left.png")
    draw_maps(replace(made(segments), maps=np.zeros((segments, 40, 40), np.float32)), tmp_path / "nowhere.png")
    assert reddish(tmp_path / "left.png") > 1000 * segments + reddish(tmp_path / "nowhere.png")
    with Image.open(tmp_path / "left.png") as picture:
        assert picture.info["Source"] == str(Path("a$b.avi").absolute())


def test_a_video_is_drawn_and_its_answer_told(trained_run: Path, tmp_path: Path) -> None:
    predictor = Predictor(trained_run, device="cpu", top=1)
    video, told = colour_video(tmp_path / "a.avi", ("red", 1), size="64x48"), list[object]()
    draw_why(predictor, [str(video)], tmp_path / "a.png", tell=told.append)
    assert str(told.pop()).startswith(f"{video} (10 frames)\n")
    assert (tmp_path / "a.png").stat().st_size > 10_000
    with pytest.raises(SettingsError, match=r"it must end in \.png"):
        draw_why(predictor, [str(video)], tmp_path / "a.jpg", tell=told.append)
    with pytest.raises(SettingsError, match="2 videos; name one"):
        draw_why(predictor, ["a", "b"], tmp_path / "a.png", tell=told.append)
    assert told == []


def test_a_bad_video_is_a_failure(trained_run: Path, tmp_path: Path) -> None:
    predictor = Predictor(trained_run, device="cpu")
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(PartialError, match=r"text\.avi: not a video"):
        draw_why(predictor, [str(tmp_path / "text.avi")], tmp_path / "a.png", tell=str)
