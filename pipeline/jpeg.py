"""JPEGs by libjpeg-turbo: made from planes, three times as fast as by ffmpeg's own encoder, and single ones decoded."""

from typing import cast

import numpy as np
import numpy.typing as npt
import simplejpeg

Planes = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
"""A frame as JPEG has it: Y (H, W), Cb and Cr (H/2, W/2) rounded up, full range, BT.601."""


def encode_jpeg(planes: Planes, quality: int) -> bytes:
    """Return a frame's JPEG; the quality is on ffmpeg's scale, 2 (best) to 31."""
    luma, blue, red = planes
    height, width = luma.shape
    if height % 2 or width % 2:  # libjpeg-turbo reads Y to the end of the last block of chroma
        luma = np.pad(luma, ((0, height % 2), (0, width % 2)), mode="edge")[:height, :width]
    return cast("bytes", simplejpeg.encode_jpeg_yuv_planes(luma, blue, red, turbo_quality(quality)))


def decode_jpeg(jpeg: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a JPEG's picture, RGB (H, W, 3), as the loader's decoder has it; ValueError where it is damaged."""
    return np.asarray(simplejpeg.decode_jpeg(jpeg, colorspace="RGB"))


def turbo_quality(quality: int) -> int:
    """Return libjpeg's quality, 90 down to 16, for one on ffmpeg's scale, 2 to 31.

    On both scales the quantisation steps are a table times a factor, here a tenth of ffmpeg's number: the loss is then
    that of ffmpeg's encoder within about 1 dB. libjpeg's rule for the factor is turned round.
    """
    return 100 - 5 * quality if quality <= 10 else round(500 / quality)
