"""The CPU's finish against OpenCV, its memory, and its threads."""

import cv2
import numpy as np
import pytest
import torch

from tsn.pipeline.loading.finish import CpuFinish, Memory, single_threads
from tsn.pipeline.loading.pixels import Pixels
from tsn.pipeline.loading.source import ClipPlan
from tsn.tsn_shared.normalisation import Normalisation


def test_the_pools_threads_run_torch_alone_and_the_callers_number_stays() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for count in (1, 3):
            with single_threads(count) as pool:
                picture = torch.rand(64, 64)
                assert [pool.submit(_threads, picture).result() for _ in range(2 * count)] == [1] * 2 * count
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def _threads(picture: torch.Tensor) -> int:
    torch.addcmul(picture, picture, picture)  # torch may take the process's number with its first operation
    return torch.get_num_threads()


@pytest.mark.parametrize("cropped", [True, False])
def test_a_clip_is_cropped_resized_flipped_and_normalised_in_the_size_asked_for(cropped: bool) -> None:
    """One clip of two frames and two crops, of which the second is mirrored and needs no resize."""
    frames = np.random.default_rng(3).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
    boxes = [(0, 0, 16, 16)] if cropped else [(4, 6, 24, 24), (10, 20, 16, 16)]
    pictures = [frame[:16, :16] for frame in frames] if cropped else list(frames)
    flips = [[True]] if cropped else [[False, True]]
    plan = ClipPlan(
        rows=np.zeros(1, dtype=np.int64),
        labels=np.zeros(1, dtype=np.int64),
        valid=np.ones(1, dtype=np.bool_),
        frame_indices=np.array([[0, 1]]),
        crops=np.array([boxes]),
        flips=np.array(flips),
    )
    normal = Normalisation(mean=(0.5, 0.4, 0.3), std=(0.5, 0.6, 0.7))
    pixels = Pixels(input_size=16, normalisation=normal, threads=2)
    finish = CpuFinish((1, 2, len(boxes)), pixels, exact=True)
    made = finish.batch(pictures, plan, cropped=cropped).numpy()
    finish.close()
    assert made.shape == (1, 2, len(boxes), 16, 16, 3)
    for number, frame in enumerate(frames):
        for crop, (y, x, h, w) in enumerate(boxes):
            wanted = frame[y : y + h, x : x + w]
            if (h, w) != (16, 16):
                wanted = cv2.resize(wanted.astype(np.float32), (16, 16), interpolation=cv2.INTER_LINEAR).round()
            if flips[0][crop]:
                wanted = wanted[:, ::-1]
            off = 255 * (made[0, number, crop] * normal.std + normal.mean) - wanted
            assert np.abs(off).max() < 1.001  # of 255: a half may be rounded either way


def test_memory_comes_back_when_nothing_shows_it_any_more() -> None:
    memory = Memory((2, 3))
    first = memory.lease()
    place, part = first.data_ptr(), first[1]
    del first
    other = memory.lease()
    assert other.data_ptr() != place  # a part of it is still shown
    del part
    assert memory.lease().data_ptr() == place
