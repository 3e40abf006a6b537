"""The picture of a timeline, however long it is and whatever its classes are called."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tsn.train.answers.over_time import Timeline
from tsn.train.answers.prediction import Guess
from tsn.train.answers.timeline import Moment, segments
from tsn.train.answers.timeline_picture import COLUMNS, MOST_CLASSES, draw_timeline
from tsn.train.answers.windows import SECOND, Grid


def made(*names: str, every: int = 1, score: float = 0.8, min_score: float = 0.0) -> Timeline:
    """Return a timeline of a class a moment."""
    moments = tuple(
        Moment(number=n, start=n * every, end=(n + 1) * every, top=(Guess(name=name, score=score),))
        for n, name in enumerate(names)
    )
    return Timeline(
        video="videos/a$b.mp4",
        grid=Grid(every=every * SECOND, length=SECOND),
        frames=10 * len(names),
        windows=len(names),
        seconds=float(every * len(names)),
        moments=moments,
        segments=tuple(segments(moments, min_score=min_score)),
    )


def blue(path: Path) -> int:
    """Count the pixels that are shaded."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    return int(((pixels[..., 2] - pixels[..., 0]) > 60).sum())


def test_a_class_is_shaded_where_it_is(tmp_path: Path) -> None:
    draw_timeline(made("Jump", "Jump", "跳高", "Прыжок"), tmp_path / "sure.png")
    draw_timeline(made("Jump", "Jump", "跳高", "Прыжок", score=0.1), tmp_path / "unsure.png")
    assert blue(tmp_path / "sure.png") > 2 * blue(tmp_path / "unsure.png")
    with Image.open(tmp_path / "sure.png") as picture:
        assert picture.info["Source"] == str(Path("videos/a$b.mp4").absolute())


@pytest.mark.parametrize("count", [1, COLUMNS + 5])
def test_a_timeline_of_any_length_is_drawn(count: int, tmp_path: Path) -> None:
    draw_timeline(made(*(f"Class{number % 40}" for number in range(count)), every=4), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.height < 60 * MOST_CLASSES


def test_no_segment_is_a_picture_as_well(tmp_path: Path) -> None:
    draw_timeline(made("Jump", min_score=0.9), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
