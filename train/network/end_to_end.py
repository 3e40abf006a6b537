"""From frames to class probabilities in one module: what `predict` runs on arrays and `export` writes to a file.

It computes what the loader's `val` view and a network compute, rounding included, so that frames as they are stored
give the same numbers either way.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tsn.tsn_shared.augment import MEAN, STD, centre_crops


class EndToEnd(nn.Module):
    """Maps frames (B, S, H, W, 3), uint8 RGB, to class probabilities (B, C), float32; snippets are (B, S, L, H, W, 3).

    Frames of another size than `frame_size` (height, width), that of those learned from, are resized to it, bicubic
    with antialiasing, about as ffmpeg does; then come the centre crop, the resize to the input size and the network.
    """

    weights: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, *, frame_size: tuple[int, int], input_size: int) -> None:
        super().__init__()
        self.network = network
        self._frame_size, self._input_size = frame_size, input_size
        y, x, self._edge, _ = centre_crops([frame_size[0]], [frame_size[1]])[0].tolist()
        self._y, self._x = y, x
        self.register_buffer("weights", torch.from_numpy(resize_weights(self._edge, input_size)), persistent=False)
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the class probabilities, (B, C)."""
        batch, count = frames.shape[0], math.prod(frames.shape[1:-3])
        pixels = frames.flatten(0, -4).permute(0, 3, 1, 2).float()
        pixels = interpolate(pixels, size=self._frame_size, mode="bicubic", antialias=True).clamp(0, 255)
        pixels = pixels[:, :, self._y : self._y + self._edge, self._x : self._x + self._edge]
        if self._edge != self._input_size:
            pixels = (self.weights @ (pixels @ self.weights.T)).round()
        clips = ((pixels - self.mean) / self.std).view(batch, count, 3, self._input_size, self._input_size)
        probabilities: Tensor = self.network(clips).softmax(dim=1)
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
