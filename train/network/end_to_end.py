"""From frames to class probabilities: what `Predictor` and `predict` run on arrays, and `export` writes to a file.

It computes what extraction, the loader's view and a network compute, rounding included, so that frames as they are
stored give the same numbers either way, and others nearly those that they would give once stored.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tsn.tsn_shared.augment import MEAN, STD
from tsn.tsn_shared.views import VIEWS, View


class Preparation(nn.Module):
    """Maps frames (B, ..., H, W, 3), uint8 RGB, to the clips (B, T * K, 3, h, w) that a view shows to the network.

    T frames a clip, K crops of each: crop k of frame t is at t * K + k. Frames of another size than `frame_size`
    (height, width), that of those learned from, are scaled to it as extraction scales: bilinear, and over more pixels
    where they become smaller (swscale's bilinear is torch's with antialiasing). Then come the view's crops, and the
    resize to the input size.
    """

    weights: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, *, frame_size: tuple[int, int], input_size: int, view: View = VIEWS["val"]) -> None:
        super().__init__()
        self._frame_size, self._input_size = frame_size, input_size
        crops, flips = view.crop_rule([frame_size[0]], [frame_size[1]], None)
        self._crops: list[list[int]] = crops[0].tolist()
        self._flips: list[bool] = flips[0].tolist()
        self._edge = self._crops[0][2]  # crops of a view that draws nothing are squares of one size
        self.register_buffer("weights", torch.from_numpy(resize_weights(self._edge, input_size)), persistent=False)
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the clips, normalised float32."""
        batch, count = frames.shape[0], math.prod(frames.shape[1:-3])
        pixels = frames.flatten(0, -4).permute(0, 3, 1, 2).float()
        if torch.compiler.is_exporting() or pixels.shape[2:] != self._frame_size:  # a file takes frames of any size
            pixels = interpolate(pixels, size=self._frame_size, mode="bilinear", antialias=True)
        shown = [self._cropped(pixels, crop, flip) for crop, flip in zip(self._crops, self._flips, strict=True)]
        crops = shown[0] if len(shown) == 1 else torch.stack(shown, dim=1)
        clips = (crops - self.mean) / self.std
        return clips.view(batch, count * len(shown), 3, self._input_size, self._input_size)

    def _cropped(self, pixels: Tensor, crop: Sequence[int], flip: bool) -> Tensor:
        y, x, height, width = crop
        pixels = pixels[:, :, y : y + height, x : x + width]
        if self._edge != self._input_size:
            pixels = (self.weights @ (pixels @ self.weights.T)).round()
        return pixels.flip(3) if flip else pixels


class EndToEnd(nn.Module):
    """Maps frames (B, S, H, W, 3), uint8 RGB, to class probabilities (B, C), float32; snippets are (B, S, L, H, W, 3).

    The view is `val`. See `Preparation` for what becomes of frames.
    """

    def __init__(self, network: nn.Module, *, frame_size: tuple[int, int], input_size: int) -> None:
        super().__init__()
        self.network = network
        self.preparation = Preparation(frame_size=frame_size, input_size=input_size)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the class probabilities, (B, C)."""
        probabilities: Tensor = self.network(self.preparation(frames)).softmax(dim=1)
        return probabilities


def resize_weights(size: int, out: int) -> npt.NDArray[np.float32]:
    """Return the matrix (out, size) of a bilinear resize of one axis: half-pixel centres, no antialiasing, float32.

    A product with it rounds alike in torch and in ONNX Runtime, whose own resizes differ in the last bit.
    """
    one, half = np.float32(1), np.float32(0.5)
    positions = np.maximum((np.arange(out, dtype=np.float32) + half) * np.float32(size / out) - half, np.float32(0))
    low = np.minimum(positions.astype(np.int64), size - 1)
    share = (positions - low).astype(np.float32)
    matrix = np.zeros((out, size), dtype=np.float32)
    np.add.at(matrix, (np.arange(out), low), one - share)
    np.add.at(matrix, (np.arange(out), np.minimum(low + 1, size - 1)), share)
    return matrix
