"""The table of views: what the command line offers, and rows that keep the shapes they promise."""

import subprocess
import sys

import numpy as np
import pytest

from tsn.tsn_shared.augment import CROP_SLOTS
from tsn.tsn_shared.draws import clip_draws
from tsn.tsn_shared.settings import ScoreSettings
from tsn.tsn_shared.views import PROTOCOLS, VIEWS, Snippets, View

FRAMES, HEIGHT, WIDTH = np.array([1, 3, 28, 1775]), np.array([256, 240, 100, 31]), np.array([340, 320, 100, 90])


def test_clips_are_scored_by_every_view_that_draws_nothing() -> None:
    assert PROTOCOLS == ("val", "3crop", "10crop")
    assert [ScoreSettings(protocol=name).protocol for name in PROTOCOLS] == list(PROTOCOLS)
    assert all(name == view.name for name, view in VIEWS.items())
    assert VIEWS["10crop"].usual == "25 segments, 10 crops"
    assert VIEWS["val"].usual == "as many segments as in training, centre crop"


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("segments", [1, 3, 25])
def test_frames_lie_in_the_video_and_crops_in_the_frame(view: View, segments: int) -> None:
    draws = clip_draws(seed=1, epoch=2, clip=[0, 1, 2, 3], slots=CROP_SLOTS + segments)
    crop_draws, frame_draws = (draws[:, :CROP_SLOTS], draws[:, CROP_SLOTS:]) if view.drawn else (None, None)
    indices = view.frame_indices(FRAMES, Snippets(segments=segments), frame_draws)
    assert indices.shape == (4, segments)
    assert (indices >= 0).all()
    assert (indices < FRAMES[:, None]).all()
    crops, flips = view.crop_rule(HEIGHT, WIDTH, crop_draws)
    assert (crops.shape, flips.shape) == ((4, view.crops, 4), (4, view.crops))
    y, x, h, w = crops.transpose(2, 0, 1)
    assert (np.minimum(y, x) >= 0).all()
    assert (y + h <= HEIGHT[:, None]).all()
    assert (x + w <= WIDTH[:, None]).all()


def test_the_table_alone_loads_no_numpy() -> None:
    """`tsn -h` reads it."""
    script = "import sys, tsn.tsn_shared.views; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
