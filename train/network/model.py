"""The Temporal Segment Network: a backbone run on each segment's frame, and the mean of their logits."""

from torch import Tensor, device, nn

from tsn.train.network.backbones import BACKBONES
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import TrainSettings


class TSN(nn.Module):
    """Maps clips (B, S, 3, H, W) to logits (B, C): the segments' logits, averaged (segmental consensus)."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, clips: Tensor) -> Tensor:
        """Return the consensus of the segments' logits, (B, C)."""
        batch, segments = clips.shape[:2]
        logits: Tensor = self.backbone(clips.flatten(0, 1))
        return logits.view(batch, segments, -1).mean(dim=1)


def build_model(name: str, *, num_classes: int, dropout: float) -> TSN:
    """Build a TSN on a backbone with a new last layer, N(0, 0.001), and dropout before it.

    Parameters are drawn from torch's global generator.
    """
    if name not in BACKBONES:
        raise SettingsError(f"--model {name}: no such backbone; there are {', '.join(BACKBONES)}")
    return TSN(BACKBONES[name].build(num_classes, dropout))


def shapes_of(settings: TrainSettings, num_classes: int) -> TSN:
    """Return the network of the settings on torch's meta device: its shapes, which take no memory and no draws."""
    with device("meta"):
        return build_model(settings.model, num_classes=num_classes, dropout=settings.dropout)


def without_last_layer(model: TSN, name: str) -> TSN:
    """Make a network end, in place, in what its last layer reads: VGG's fc7 after ReLU, ResNet's pooled maps."""
    model.backbone.set_submodule(BACKBONES[name].last_layer, nn.Identity())
    return model


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers training adapts."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
