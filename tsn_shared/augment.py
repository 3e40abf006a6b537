"""Which part of a frame a clip shows: TSN's multi-scale crop and flip for training, fixed crops for evaluation.

Crops are rows (y, x, h, w) in pixels of the stored frame; all frames of a clip share one. Rules as in GluonCV's
VideoMultiScaleCrop with the offsets taken from the drawn size (Wang et al., ECCV 2016, section 3.2).
"""

import numpy as np
import numpy.typing as npt

from tsn.tsn_shared.draws import Int64, Uint32, below

SCALES = (1.0, 0.875, 0.75, 0.66)
MAX_DISTORT = 1
SCALE_PAIRS = tuple((i, j) for i in range(4) for j in range(4) if abs(i - j) <= MAX_DISTORT)
"""Indices into SCALES of a crop's height and width: ten pairs."""

POSITIONS = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (1, 3), (3, 1), (3, 3))
"""The 13 positions of a crop, (y, x) in quarters of the margin that it leaves."""

CENTRE = 0.875
"""Edge of the validation crop over the frame's shorter side: 224 of 256."""

CROP_SLOTS = 3
"""Draws that `train_crops` takes of a clip."""


def train_crops(height: npt.ArrayLike, width: npt.ArrayLike, draws: Uint32) -> tuple[Int64, npt.NDArray[np.bool_]]:
    """Draw a crop and a flip for each clip: crops (B, 4) as y, x, h, w, and flips (B,).

    `height`, `width` (B,) are those of the stored frames; `draws` (B, CROP_SLOTS) are uniform 32-bit draws.
    """
    height, width = np.asarray(height, dtype=np.int64), np.asarray(width, dtype=np.int64)
    base = np.minimum(height, width)[:, None]
    edges = np.maximum((base * np.array(SCALES)).astype(np.int64), 1)
    pair = np.array(SCALE_PAIRS)[below(draws[:, 0], len(SCALE_PAIRS))]
    rows = np.arange(len(edges))
    crop_h, crop_w = edges[rows, pair[:, 0]], edges[rows, pair[:, 1]]
    position = np.array(POSITIONS)[below(draws[:, 1], len(POSITIONS))]
    y, x = position[:, 0] * ((height - crop_h) // 4), position[:, 1] * ((width - crop_w) // 4)
    return np.stack([y, x, crop_h, crop_w], axis=1), below(draws[:, 2], 2).astype(np.bool_)


def centre_crops(height: npt.ArrayLike, width: npt.ArrayLike) -> Int64:
    """Return the validation crop of each clip, (B, 4): the central square of 0.875 times the shorter side.

    At 340x256 it is GluonCV's 224x224 at (y, x) = (16, 58), which an input size of 224 takes without a resize; a
    smaller input size sees the same part of the picture.
    """
    height, width = np.asarray(height, dtype=np.int64), np.asarray(width, dtype=np.int64)
    edge = np.maximum((np.minimum(height, width) * CENTRE).astype(np.int64), 1)
    y, x = np.rint((height - edge) / 2).astype(np.int64), np.rint((width - edge) / 2).astype(np.int64)
    return np.stack([y, x, edge, edge], axis=1)


def three_crops(height: npt.ArrayLike, width: npt.ArrayLike) -> Int64:
    """Return the 3-crop test's crops of each clip, (B, 3, 4): squares of the full height, left, middle and right.

    Of a frame that is taller than wide they are squares of the full width, from top to bottom.
    """
    height, width = np.asarray(height, dtype=np.int64), np.asarray(width, dtype=np.int64)
    edge = np.minimum(height, width)
    crops = [np.stack([(height - edge) * k // 2, (width - edge) * k // 2, edge, edge], axis=1) for k in range(3)]
    return np.stack(crops, axis=1)


def ten_crops(height: npt.ArrayLike, width: npt.ArrayLike) -> tuple[Int64, npt.NDArray[np.bool_]]:
    """Return the 10-crop test's crops of each clip, (B, 10, 4), and their flips, (B, 10).

    The crops have the validation crop's size: centre (by floor division), top left, top right, bottom left, bottom
    right; then the same five flipped.
    """
    height, width = np.asarray(height, dtype=np.int64), np.asarray(width, dtype=np.int64)
    edge = np.maximum((np.minimum(height, width) * CENTRE).astype(np.int64), 1)
    down, right, zero = height - edge, width - edge, np.zeros_like(edge)
    corners = [(down // 2, right // 2), (zero, zero), (zero, right), (down, zero), (down, right)]
    five = np.stack([np.stack([y, x, edge, edge], axis=1) for y, x in corners], axis=1)
    flips = np.broadcast_to(np.arange(10) >= 5, (len(edge), 10))
    return np.concatenate([five, five], axis=1), flips
