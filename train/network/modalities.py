"""What the network takes of a snippet's frames: of RGB the frame itself, or differences of neighbours. A row each."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import SNIPPET_LENGTHS

RGB = 3
"""Channels of a frame."""


class Differences(nn.Module):
    """Maps clips (B, S * L, 3, H, W) to differences of a snippet's neighbouring frames, (B, S, 3 * (L - 1), H, W).

    Motion without optical flow (Wang et al., ECCV 2016, section 3.2, and PAMI 2018). They are differences of normalised
    frames: the mean cancels, and a step of colour is as large as it is to the RGB network whose weights the first layer
    starts from. So they are in tsn-pytorch for BN-Inception; of its other networks it takes the differences before it
    divides by the standard deviation, 4.4 times smaller.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, clips: Tensor) -> Tensor:
        """Return the differences of each snippet, stacked as channels."""
        snippets: Tensor = clips.unflatten(1, (-1, self.length))  # type: ignore[no-untyped-call]
        return (snippets[:, :, 1:] - snippets[:, :, :-1]).flatten(2, 3)


@dataclass(frozen=True, kw_only=True)
class Modality:
    """What makes the network's input (B, S, `channels`, H, W) of clips, and its channels."""

    channels: int
    inputs: Callable[[], nn.Module]


_LENGTH = SNIPPET_LENGTHS["rgbdiff"]
MODALITIES = {
    "rgb": Modality(channels=RGB, inputs=nn.Identity),
    "rgbdiff": Modality(channels=RGB * (_LENGTH - 1), inputs=lambda: Differences(_LENGTH)),
}


def widen(backbone: nn.Module, first_layer: str, channels: int) -> None:
    """Let a backbone's first convolution read so many channels: a new one in its place, drawn as torchvision draws.

    SettingsError where a backbone has none that is known.
    """
    if channels == RGB:
        return
    old = dict(backbone.named_modules()).get(first_layer)
    if not isinstance(old, nn.Conv2d) or (old.in_channels, old.groups) != (RGB, 1):
        raise SettingsError(
            f"--modality: this --model has no first convolution that could take {channels} channels in place of {RGB}"
        )
    new = copy.deepcopy(old)  # of its own kind: timm has some that pad by themselves
    new.in_channels = channels
    new.weight = nn.Parameter(torch.empty_like(old.weight[:, :1]).expand(-1, channels, -1, -1).contiguous())
    new.reset_parameters()
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    backbone.set_submodule(first_layer, new)


def widened(weights: Tensor, channels: int) -> Tensor:
    """Return RGB weights (out, 3, h, w) for so many channels: their mean over RGB in each (tsn-pytorch)."""
    return weights.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1)
