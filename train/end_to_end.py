"""From frames to class probabilities in one module: what `predict` runs on arrays and `export` writes to a file.

It computes what the loader's `val` view and a network compute, with the loader's own rounding, so that frames as they
are stored give the same numbers either way.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tsn_shared.augment import MEAN, STD, centre_crops

_WEIGHT_BITS = 15
"""Weights of torch's uint8 resize are int16."""


class EndToEnd(nn.Module):
    """Maps frames (B, S, H, W, 3), uint8 RGB, to class probabilities (B, C), float32.

    Frames of another size than `frame_size` (height, width), that of those learned from, are resized to it, bilinear
    with antialiasing, as extraction does; then come the centre crop, the resize to the input size and the network.
    """

    def __init__(self, network: nn.Module, *, frame_size: tuple[int, int], input_size: int) -> None:
        super().__init__()
        self.network = network
        self._frame_size = frame_size
        self._crop = tuple(centre_crops([frame_size[0]], [frame_size[1]])[0].tolist())
        self._input_size = input_size
        weights, self._divisor = resize_weights(self._crop[2], input_size)
        self.register_buffer("weights", torch.from_numpy(weights), persistent=False)
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the class probabilities, (B, C)."""
        batch, segments = frames.shape[:2]
        pixels = frames.flatten(0, 1).permute(0, 3, 1, 2).float()
        pixels = interpolate(pixels, size=self._frame_size, mode="bilinear", antialias=True)
        y, x, height, width = self._crop
        pixels = pixels[:, :, y : y + height, x : x + width]
        if height != self._input_size:
            pixels = self._rounded(pixels @ self.weights.T)  # columns, then rows, each rounded to a whole number
            pixels = self._rounded(self.weights @ pixels)
        clips = ((pixels - self.mean) / self.std).view(batch, segments, 3, self._input_size, self._input_size)
        probabilities: Tensor = self.network(clips).softmax(dim=1)
        return probabilities

    def _rounded(self, sums: Tensor) -> Tensor:
        return torch.floor((sums + self._divisor / 2) / self._divisor)


def resize_weights(size: int, out: int) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float32]], float]:
    """Return the matrix (out, size) of a bilinear resize without antialiasing, as whole numbers, and their divisor.

    With half-pixel centres, and weights scaled to 16 bits as torch's resize of uint8 has them: the sums are exact in
    float32, so every runtime rounds them alike.
    """
    places = np.maximum((np.arange(out) + 0.5) * (size / out) - 0.5, 0)
    low = np.minimum(places.astype(np.int64), size - 1)
    high, share = np.minimum(low + 1, size - 1), places - low
    matrix = np.zeros((out, size))
    np.add.at(matrix, (np.arange(out), low), 1 - share)
    np.add.at(matrix, (np.arange(out), high), share)
    largest, bits = max(share.max(), (1 - share).max()), 0
    while int(0.5 + largest * 2 ** (bits + 1)) < 2**_WEIGHT_BITS:
        bits += 1
    return np.floor(matrix * 2**bits + 0.5).astype(np.float32), float(2**bits)
