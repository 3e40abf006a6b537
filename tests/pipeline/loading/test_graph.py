"""The graph alone: what comes out of it, whole or only decoded, of one crop or several."""

import numpy as np
import pytest

from tests.pipeline.conftest import HEIGHT, TEST, WIDTH
from tests.pipeline.loading.test_reader import reader_of
from tsn.pipeline.jpeg import decode_jpeg
from tsn.pipeline.loading.graph import build_graph
from tsn.pipeline.loading.pixels import Pixels
from tsn.pipeline.loading.schedule import EvalSchedule
from tsn.pipeline.loading.source import FrameBatch, read_batch
from tsn.tsn_shared.normalisation import Normalisation
from tsn.tsn_shared.settings import DataSettings

NORMAL = Normalisation(mean=(0.5, 0.4, 0.3), std=(0.5, 0.6, 0.7))
PIXELS = Pixels(input_size=32, normalisation=NORMAL, all_dali=True, threads=1)


def frames_of(clips: DataSettings, view: str) -> FrameBatch:
    return read_batch(reader_of(clips, view=view), EvalSchedule(num_clips=len(TEST), batch_size=2), 0)


@pytest.mark.parametrize(("view", "crops"), [("val", ()), ("3crop", (3,))])
def test_whole_it_gives_normalised_floats(clips: DataSettings, view: str, crops: tuple[int, ...]) -> None:
    batch = frames_of(clips, view)
    pipe = build_graph(lambda: batch, PIXELS, frames=6, crops=batch.flips.shape[1])
    (output,) = pipe.run()
    made = np.array(output.as_tensor())
    assert made.shape == (6, *crops, 32, 32, 3)
    assert made.dtype == np.float32
    pixels = 255 * (made * NORMAL.std + NORMAL.mean)
    assert -0.01 < pixels.min() < 100 < pixels.max() < 255.01


@pytest.mark.parametrize("view", ["val", "3crop"])
def test_only_decoded_it_gives_the_one_crop_or_the_frame(clips: DataSettings, view: str) -> None:
    batch = frames_of(clips, view)
    pipe = build_graph(lambda: batch, PIXELS, frames=6, crops=batch.flips.shape[1], only_decode=True)
    (output,) = pipe.run()
    for number, jpeg in enumerate(batch.jpegs):
        y, x, h, w = batch.crops[number, 0] if view == "val" else (0, 0, HEIGHT, WIDTH)
        assert np.array_equal(output.at(number), decode_jpeg(jpeg)[y : y + h, x : x + w])
