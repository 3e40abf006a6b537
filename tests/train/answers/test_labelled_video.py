"""A video with its labels drawn in: every frame, the sound, the label where and when it belongs."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from tests.train.answers.colours import ColourScorer, colour_video
from tsn.train.answers.labelled_video import ass, write_labelled
from tsn.train.answers.over_time import Timeline, timeline
from tsn.train.answers.timeline import Segment
from tsn.tsn_shared.answer_settings import OverTimeSettings
from tsn.tsn_shared.errors import TsnError
from tsn.tsn_shared.fonts import fonts_for

WIDTH, HEIGHT = 160, 121
"""An odd height, which H.264 has not."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Timeline:
    folder = tmp_path_factory.mktemp("labelled")
    video = colour_video(
        folder / "a.mkv", ("red", 1), ("blue", 1), size=f"{WIDTH}x{HEIGHT}", sound=True, codec=("-c:v", "ffv1")
    )
    return timeline(ColourScorer(), video, OverTimeSettings(every="1s", window="1s"))


def decoded(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    words = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        str(path),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    raw = subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT + HEIGHT % 2, WIDTH, 3)


def letters(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> int:
    """Count the pixels that are white, which red and blue are not."""
    return int((picture.min(axis=-1) > 128).sum())


def streams(path: Path) -> str:
    words = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL).stderr


def test_every_frame_is_there_with_its_label_and_the_sound(found: Timeline, tmp_path: Path) -> None:
    some = replace(found, segments=found.segments[1:])  # blue alone is named
    out = tmp_path / "it's [a], b:c;d.mp4"
    write_labelled(some, out)
    frames = decoded(out)
    assert len(frames) == 20
    assert max(map(letters, frames[:10])) == 0
    assert min(map(letters, frames[10:])) > 30
    assert letters(frames[15][HEIGHT // 2 :, : WIDTH // 2]) == letters(frames[15])  # lower left
    assert "Audio: aac" in streams(out)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_names_are_drawn_as_they_are(found: Timeline, tmp_path: Path) -> None:
    """A tag of subtitles in a name does nothing; letters of no width would leave an empty label."""
    names = ("blue", r"{\alpha&HFF&}blue", r"blue\N\N\N", "голубой")
    drawn = []
    for number, name in enumerate(names):
        write_labelled(replace(found, segments=(replace(found.segments[1], name=name),)), tmp_path / f"{number}.mp4")
        drawn.append(decoded(tmp_path / f"{number}.mp4")[15])
    assert letters(drawn[1]) > 2 * letters(drawn[0])
    assert letters(drawn[2][: HEIGHT // 2]) == 0
    assert letters(drawn[3]) > letters(drawn[0])


def test_a_long_name_is_broken_into_lines_without_a_space(found: Timeline, tmp_path: Path) -> None:
    segment = replace(found.segments[1], name="—".join(["Jump"] * 18))
    write_labelled(replace(found, segments=(segment,)), tmp_path / "a.mp4")
    picture = decoded(tmp_path / "a.mp4")[15]
    assert letters(picture[:, -2:]) == 0
    rows = np.flatnonzero((picture.min(axis=-1) > 128).any(axis=1))
    assert np.ptp(rows) > 18  # a line has 7 rows


def test_a_video_that_cannot_be_made_leaves_nothing(found: Timeline, tmp_path: Path) -> None:
    broken = tmp_path / "text.mp4"
    broken.write_text("no video")
    with pytest.raises(TsnError, match=r"out\.mp4 was not written: "):
        write_labelled(replace(found, video=str(broken)), tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["text.mp4"]


def test_times_and_fonts_are_stated() -> None:
    text = ass([Segment(start=0.5, end=3661.254, name="Jump", score=0.5)], fonts_for("Jump"))
    assert "Dialogue: 0:00:00.50,1:01:01.25,tsn,{\\fnDejaVu Sans}Jump  50%" in text
