"""TSM's temporal shift: a network of single frames that sees motion, at no cost in parameters or products.

Lin, Gan and Han, "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019: before the first
convolution of each residual block, on the residual branch alone ("residual shift"), an eighth of the channels takes
the values of the next frame and an eighth those of the frame before; past a clip's ends there are zeros.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from tsn.tsn_shared.errors import SettingsError

SHARE = 8
"""One channel in so many is shifted each way: `shift_div` of the authors' code."""

STAGES = ("layer1", "layer2", "layer3", "layer4")
"""Where torchvision's and timm's ResNets have their blocks."""


def shifted(maps: Tensor, segments: int) -> Tensor:
    """Return maps (B * S, C, H, W) of clips of S = `segments` frames with an eighth of C shifted each way in time.

    Frame s of a clip has channels 0 to C/8 of frame s + 1, channels C/8 to C/4 of frame s - 1, and the others of its
    own; beyond a clip's ends, zeros.
    """
    fold, clips = maps.shape[1] // SHARE, maps.permute(0, 2, 3, 1).unflatten(0, (-1, segments))  # type: ignore[no-untyped-call]
    # channels are the last axis here, as they lie in memory: so they do afterwards, without a copy
    after = pad(clips[:, 1:, ..., :fold], (0, 0, 0, 0, 0, 0, 0, 1))
    before = pad(clips[:, :-1, ..., fold : 2 * fold], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat([after, before, clips[..., 2 * fold :]], dim=-1).flatten(0, 1).permute(0, 3, 1, 2)


class ShiftedConv2d(nn.Conv2d):
    """A convolution of maps that are shifted in time first; its parameters have the names that they had without."""

    def __init__(self, plain: nn.Conv2d, segments: int) -> None:
        sizes = (plain.kernel_size, plain.stride, plain.padding, plain.dilation, plain.groups)
        super().__init__(plain.in_channels, plain.out_channels, *sizes, bias=False, device="meta")  # type: ignore[arg-type]
        self.weight, self.bias, self.segments = plain.weight, plain.bias, segments

    def forward(self, maps: Tensor) -> Tensor:
        """Return the convolution of the shifted maps."""
        return super().forward(shifted(maps, self.segments))


def shift(backbone: nn.Module, segments: int) -> None:
    """Let each residual block of a ResNet look at the frames beside its own, in place, in clips of so many `segments`.

    SettingsError for a network that is no ResNet of torchvision's or timm's.
    """
    network = next((module for module in backbone.modules() if _is_resnet(module)), None)
    if network is None:
        raise SettingsError("--shift needs a ResNet: resnet18, resnet50, or one of timm's like timm/resnet34")
    for stage in STAGES:
        for block in network.get_submodule(stage).children():
            plain = getattr(block, "conv1", None)
            if type(plain) is not nn.Conv2d:
                raise SettingsError(f"--shift: the blocks of this --model begin with {type(plain).__name__}")
            block.conv1 = ShiftedConv2d(plain, segments)


def _is_resnet(module: nn.Module) -> bool:
    """Whether a module is torchvision's or timm's ResNet, or of a kind that is made from it."""
    homes = ("torchvision.models.resnet", "timm.models.resnet")
    return any(kind.__name__ == "ResNet" and kind.__module__ in homes for kind in type(module).__mro__)
