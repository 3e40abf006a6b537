"""Which frames of a video a clip shows: TSN's segment sampling (Wang et al., ECCV 2016, section 3.1).

One frame a segment; indices are 0-based; formulas as in GluonCV's UCF101 data set. N is the number of frames of a
video, S the number of segments. Every function is vectorised over clips: `frames` (B,) in, indices (B, S) out.
"""

import numpy as np
import numpy.typing as npt

from tsn.tsn_shared.draws import Int64, Uint32, below


def train_indices(frames: npt.ArrayLike, draws: Uint32) -> Int64:
    """Draw one frame of each of S equal segments: i * (N // S) + randint(N // S); all 0 where N < S.

    `draws` (B, S) are uniform 32-bit draws. The last N mod S frames are never drawn, as in GluonCV.
    """
    segments = draws.shape[1]
    average = (np.asarray(frames, dtype=np.int64) // segments)[:, None]
    indices: Int64 = np.arange(segments) * average + below(draws, average)
    return indices


def val_indices(frames: npt.ArrayLike, segments: int) -> Int64:
    """Take the middle frame of each segment; all 0 where N <= S (the validation rule)."""
    indices = uniform_indices(frames, segments)
    indices[np.asarray(frames) <= segments] = 0
    return indices


def uniform_indices(frames: npt.ArrayLike, segments: int) -> Int64:
    """Take the middle frame of each segment, repeating frames where N < S (the test rule).

    That is int(t / 2 + t * i) with t = N / S.
    """
    tick = (np.asarray(frames, dtype=np.float64) / segments)[:, None]
    return (tick / 2.0 + tick * np.arange(segments)).astype(np.int64)
