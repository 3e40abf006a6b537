"""The Temporal Segment Network: a backbone run on each segment's frame, and the consensus of their scores."""

from typing import Self

from torch import Tensor, device, nn, random
from torch.nn.modules.batchnorm import _BatchNorm

from tsn.train.network.backbones import backbone_of
from tsn.train.network.modalities import MODALITIES, widen
from tsn.train.network.shift import shift
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import USUAL_SIZE, TrainSettings


class TSN(nn.Module):
    """Maps clips (B, S * L, 3, H, W) to logits (B, C): the consensus of the scores of their segments' frames, L = 1.

    Training, validation, evaluation, prediction and export all ask it so, each clip whole. Another network overrides
    `frame_scores`, where it looks across the frames of a clip, or `consensus`, and all of them follow.
    """

    def __init__(self, backbone: nn.Module, inputs: nn.Module | None = None, *, segments: int | None = None) -> None:
        super().__init__()
        self.segments = segments  # of a backbone that looks across a clip: it takes no others
        self.backbone = backbone
        self.inputs = inputs or nn.Identity()
        self._trained: str | None = None
        self._statistics_stay = False

    def freeze_statistics(self) -> None:
        """Let batch normalisation compute in training as in evaluation, by the statistics that it has, which stay."""
        self._statistics_stay = True
        self.train(self.training)

    def freeze_all_but(self, part: str) -> None:
        """Let training change one part of the backbone alone.

        Of the others no gradient is computed and nothing is kept for one; they compute as in evaluation (batch
        normalisation by the statistics that it has), but dropout drops.
        """
        self._trained = part
        self.requires_grad_(False)
        self.backbone.get_submodule(part).requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the network to training, all of it that is not frozen, or to evaluation."""
        super().train(mode)
        for module in self._still():
            module.training = False
        return self

    def _still(self) -> list[nn.Module]:
        """Return the modules that compute in training as in evaluation."""
        if self._trained is not None:
            trained = set(self.backbone.get_submodule(self._trained).modules())
            return [m for m in self.backbone.modules() if m not in trained and not isinstance(m, nn.Dropout)]
        return [m for m in self.modules() if self._statistics_stay and isinstance(m, _BatchNorm)]

    def frame_scores(self, clips: Tensor) -> Tensor:
        """Return the logits (B, S, C) of each segment of whole clips (B, S * L, 3, H, W)."""
        inputs: Tensor = self.inputs(clips)
        batch, segments = inputs.shape[:2]
        if self.segments not in (None, segments):
            raise SettingsError(
                f"this network takes clips of {self.segments} segments, not {segments}: it shifts in time"
            )
        scores: Tensor = self.backbone(inputs.flatten(0, 1))
        return scores.view(batch, segments, -1)

    def consensus(self, scores: Tensor) -> Tensor:
        """Return the mean (B, C), float32, of the frames' scores (B, S, C): segmental consensus (ECCV 2016, 3.1)."""
        return scores.float().mean(dim=1)

    def forward(self, clips: Tensor) -> Tensor:
        """Return the consensus of the frames' scores, (B, C)."""
        return self.consensus(self.frame_scores(clips))


def build_model(
    name: str,
    *,
    num_classes: int,
    dropout: float,
    modality: str = "rgb",
    input_size: int = USUAL_SIZE,
    shift_segments: int | None = None,
) -> TSN:
    """Build a TSN on a backbone with a new last layer, N(0, 0.001), and dropout before it.

    With `shift_segments` it looks across the segments of a clip, as many as that. Parameters are drawn from torch's
    global generator. SettingsError for a backbone that there is not, or that cannot take what is asked of it.
    """
    row, taken = backbone_of(name), MODALITIES[modality]
    backbone = row.build(num_classes, dropout, input_size)
    widen(backbone, row.first_layer, taken.channels)
    if shift_segments is not None:
        shift(backbone, shift_segments)
    return TSN(backbone, taken.inputs(), segments=shift_segments)


def build_network(settings: TrainSettings, num_classes: int) -> TSN:
    """Build the network of the settings, frozen as they say."""
    model = build_model(
        settings.model,
        num_classes=num_classes,
        dropout=settings.dropout,
        modality=settings.modality,
        input_size=settings.input_pixels,
        shift_segments=settings.segments if settings.shift else None,
    )
    if settings.freeze == "backbone":
        model.freeze_all_but(backbone_of(settings.model).last_layer)
    elif settings.freeze == "statistics":
        model.freeze_statistics()
    return model


def shapes_of(settings: TrainSettings, num_classes: int) -> TSN:
    """Return the network of the settings on torch's meta device: its shapes, which take no memory and no draws."""
    with device("meta"):
        return build_network(settings, num_classes)


def network_with(weights: dict[str, Tensor], shapes: TSN, settings: TrainSettings, num_classes: int) -> TSN:
    """Return the network of the settings with these weights, which are known to fit its `shapes`.

    They are taken as they are, without a copy. Where a network holds constants besides, as Swin's tables of positions,
    it is built for those; torch's generator stays as it is.
    """
    network = shapes
    if {name for name, _ in shapes.named_buffers()} - shapes.state_dict().keys():
        with random.fork_rng(devices=[]):
            network = build_network(settings, num_classes)
    network.load_state_dict({name: value.contiguous() for name, value in weights.items()}, assign=True)
    return network


def last_layer(model: nn.Module, name: str) -> nn.Module:
    """Return the last layer of a network on the backbone `name`: what scores the classes."""
    return model.get_submodule(f"backbone.{backbone_of(name).last_layer}")


def without_last_layer(model: TSN, name: str) -> TSN:
    """Make a network end, in place, in what its last layer reads: VGG's fc7 after ReLU, pooled maps of others."""
    model.backbone.set_submodule(backbone_of(name).last_layer, nn.Identity())
    return model


def count_parameters(model: nn.Module, *, trained: bool = False) -> int:
    """Return how many numbers a network's parameters are, or those of them that training adapts."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad or not trained)
