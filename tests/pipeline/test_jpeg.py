import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tsn.pipeline.jpeg import encode_jpeg, turbo_quality


@pytest.mark.parametrize("size", [(340, 256), (341, 255), (1, 1), (2, 7), (16, 17)])
def test_the_planes_come_back(size: tuple[int, int]) -> None:
    width, height = size
    luma = np.add.outer(np.arange(height) // 2, np.arange(width) // 4).astype(np.uint8)
    blue, red = (np.full(((height + 1) // 2, (width + 1) // 2), value, dtype=np.uint8) for value in (110, 140))
    picture = Image.open(io.BytesIO(encode_jpeg((luma, blue, red), 2)))
    assert picture.size == size
    picture.draft("YCbCr", size)
    got = np.asarray(picture).astype(int)
    for plane, wanted in enumerate((luma, 110, 140)):
        assert np.abs(got[..., plane] - wanted).max() <= 3


@given(st.integers(2, 31))
def test_a_coarser_quality_quantises_more_coarsely_in_proportion(quality: int) -> None:
    libjpeg = turbo_quality(quality)
    factor = 200 - 2 * libjpeg if libjpeg >= 50 else 5000 / libjpeg  # libjpeg's rule, in percent
    assert factor == pytest.approx(10 * quality, rel=0.05)


def test_a_finer_quality_is_closer_and_larger() -> None:
    rng = np.random.default_rng(0)
    luma, blue, red = (rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((64, 64), (32, 32), (32, 32)))
    sizes = [len(encode_jpeg((luma, blue, red), quality)) for quality in (2, 3, 5, 10, 20, 31)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
