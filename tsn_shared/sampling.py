"""Which frames of a video a clip shows: TSN's segment sampling (Wang et al., ECCV 2016, section 3.1).

A segment shows a snippet of L neighbouring frames, one for RGB; indices are 0-based; formulas as in GluonCV's UCF101
data set. N is the number of frames of a video, S the number of segments. Every function is vectorised over clips:
`frames` (B,) in, where snippets start (B, S) out.
"""

import numpy as np
import numpy.typing as npt

from tsn.tsn_shared.draws import Int64, Uint32, below


def train_indices(frames: npt.ArrayLike, draws: Uint32, length: int = 1) -> Int64:
    """Draw one start in each of S equal segments: i * a + randint(a) with a = (N - L + 1) // S.

    Where a is 0 they are S sorted draws of randint(N - L + 1) if N > max(S, L), else all 0; of one frame all 0.
    `draws` (B, S) are uniform 32-bit draws. The last (N - L + 1) mod S starts are never drawn, as in GluonCV.
    """
    segments, frames = draws.shape[1], np.asarray(frames, dtype=np.int64)
    starts = np.maximum(frames - length + 1, 0)
    average = (starts // segments)[:, None]
    indices: Int64 = np.arange(segments) * average + below(draws, average)
    few = (average[:, 0] == 0) & (frames > max(segments, length))
    indices[few] = np.sort(below(draws[few], starts[few, None]), axis=1)
    return indices


def val_indices(frames: npt.ArrayLike, segments: int, length: int = 1) -> Int64:
    """Take the middle start of each segment; all 0 where N <= S + L - 1 (the validation rule)."""
    indices = uniform_indices(frames, segments, length)
    indices[np.asarray(frames) <= segments + length - 1] = 0
    return indices


def uniform_indices(frames: npt.ArrayLike, segments: int, length: int = 1) -> Int64:
    """Take the middle start of each segment, repeating starts where there are fewer (the test rule).

    That is int(t / 2 + t * i) with t = (N - L + 1) / S; all 0 where N < L.
    """
    tick = (np.maximum(np.asarray(frames, dtype=np.float64) - (length - 1), 0) / segments)[:, None]
    return (tick / 2.0 + tick * np.arange(segments)).astype(np.int64)


def snippet_indices(starts: Int64, frames: npt.ArrayLike, length: int) -> Int64:
    """Return the frames of snippets, (B, S * L), frame l of segment s at s * L + l.

    A video of fewer than L frames repeats its last one, as in tsn-pytorch.
    """
    if length == 1:
        return starts
    indices: Int64 = (starts[:, :, None] + np.arange(length)).reshape(len(starts), -1)
    last: Int64 = np.asarray(frames, dtype=np.int64)[:, None] - 1
    return np.minimum(indices, last)
