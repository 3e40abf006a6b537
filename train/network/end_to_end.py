"""From frames to class probabilities: what `Predictor` and `predict` run on arrays, and `export` writes to a file.

It computes what extraction, the loader's view and a network compute, rounding included, so that frames as they are
stored give the same numbers either way, and others nearly those that they would give once stored.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tsn.tsn_shared.normalisation import Normalisation
from tsn.tsn_shared.views import VIEWS, View


class Preparation(nn.Module):
    """Maps frames (B, ..., H, W, 3), uint8 RGB, to the clips (B, T * K, 3, h, w) that a view shows to the network.

    T frames a clip, K crops of each: crop k of frame t is at t * K + k. Frames of another size than `frame_size`
    (height, width), that of those learned from, are scaled to it as extraction scales: bilinear, and over more pixels
    where they become smaller (swscale's bilinear is torch's with antialiasing). Then come the view's crops, and the
    resize to the input size. Where `frame_size` is None frames keep their size, whatever it is, and the view is `val`.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        frame_size: tuple[int, int] | None,
        input_size: int,
        normalisation: Normalisation,
        view: View = VIEWS["val"],
    ) -> None:
        super().__init__()
        self._frame_size, self._input_size, self._view = frame_size, input_size, view
        self.register_buffer("mean", 255 * torch.tensor(normalisation.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(normalisation.std).view(3, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the clips, normalised float32."""
        batch, count = frames.shape[0], math.prod(frames.shape[1:-3])
        pixels = frames.flatten(0, -4).permute(0, 3, 1, 2).float()
        if self._frame_size is None:
            shown = [self._cropped(pixels, centre_crop(pixels.shape[2], pixels.shape[3]))]
        else:
            height, width = self._frame_size
            # a file takes frames of any size
            if torch.compiler.is_exporting() or pixels.shape[2:] != self._frame_size:
                pixels = interpolate(pixels, size=self._frame_size, mode="bilinear", antialias=True)
            crops, flips = (rule[0].tolist() for rule in self._view.crop_rule([height], [width], None))
            shown = [self._cropped(pixels, crop, flip) for crop, flip in zip(crops, flips, strict=True)]
        cropped = shown[0] if len(shown) == 1 else torch.stack(shown, dim=1)
        clips = (cropped - self.mean) / self.std
        return clips.view(batch, count * len(shown), 3, self._input_size, self._input_size)

    def _cropped(self, pixels: Tensor, crop: Sequence[int], flip: bool = False) -> Tensor:
        y, x, height, width = crop
        weights = resize_weights(height, self._input_size).to(pixels.device)  # crops that are not drawn are squares
        pixels = pixels.narrow(2, y, height).narrow(3, x, width)
        pixels = (weights @ (pixels @ weights.T)).round()
        return pixels.flip(3) if flip else pixels


class EndToEnd(nn.Module):
    """Maps frames (B, S, H, W, 3), uint8 RGB, to class probabilities (B, C), float32; snippets are (B, S, L, H, W, 3).

    The view is `val`. See `Preparation` for what becomes of frames.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        frame_size: tuple[int, int] | None,
        input_size: int,
        normalisation: Normalisation,
    ) -> None:
        super().__init__()
        self.network = network
        self.preparation = Preparation(frame_size=frame_size, input_size=input_size, normalisation=normalisation)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the class probabilities, (B, C)."""
        probabilities: Tensor = self.network(self.preparation(frames)).softmax(dim=1)
        return probabilities


def centre_crop(height: int, width: int) -> tuple[int, int, int, int]:
    """Return `centre_crops` of one frame, (y, x, h, w), as an exported file computes it of a size that it learns."""
    edge: Any = torch.sym_min(height, width) * 7 // 8  # while it is exported, a number that is not known yet
    down, right = height - edge, width - edge
    # half of it, to the nearest even number where it is odd
    return (down + down // 2 % 2) // 2, (right + right // 2 % 2) // 2, edge, edge


def resize_weights(size: int, out: int) -> Tensor:
    """Return the matrix (out, size) of a bilinear resize of one axis: half-pixel centres, no antialiasing, float32.

    A product with it rounds alike in torch and in ONNX Runtime, whose own resizes differ in the last bit.
    """
    positions = (torch.arange(out, dtype=torch.float32) + 0.5) * (size / out) - 0.5
    positions = positions.clamp(min=0).minimum(torch.ones(()) * (size - 1))
    distances = (positions[:, None] - torch.arange(size, dtype=torch.float32)).abs()
    return (1 - distances).clamp(min=0)
