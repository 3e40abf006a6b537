"""The temporal shift against a reference of plain loops, in whole networks, and what it leaves as it was."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from tsn.train.network.memory import estimate
from tsn.train.network.model import TSN, build_model, shapes_of
from tsn.train.network.shift import ShiftedConv2d, shift, shifted
from tsn.train.network.weights import load_weights
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import TrainSettings

SEGMENTS = 4


def by_loops(maps: Tensor, segments: int) -> Tensor:
    """Shift maps (B * S, C, H, W) value by value, as TSM's paper says it."""
    source, out = maps.detach().numpy(), np.zeros_like(maps.detach().numpy())
    frames, channels = source.shape[:2]
    for frame in range(frames):
        clip, segment = divmod(frame, segments)
        for channel in range(channels):
            other = segment
            if channel < channels // 8:
                other = segment + 1
            elif channel < channels // 8 * 2:
                other = segment - 1
            if 0 <= other < segments:
                out[frame, channel] = source[clip * segments + other, channel]
    return torch.from_numpy(out)


@pytest.mark.parametrize(("clips", "segments", "channels"), [(2, 4, 16), (3, 8, 64), (1, 2, 20), (2, 1, 8), (2, 3, 7)])
def test_an_eighth_of_the_channels_goes_each_way_and_zeros_come_in(clips: int, segments: int, channels: int) -> None:
    maps = torch.randn(clips * segments, channels, 3, 2)
    for layout in (torch.contiguous_format, torch.channels_last):
        assert torch.equal(shifted(maps.contiguous(memory_format=layout), segments), by_loops(maps, segments))


def residual(block: nn.Module, maps: Tensor, segments: int) -> Tensor:
    """Pass maps through a block whose branch begins with the shift, by torchvision's parts one by one."""
    names = [name for name in ("1", "2", "3") if hasattr(block, f"conv{name}")]
    branch = by_loops(maps, segments)
    for name in names:
        convolution = cast("nn.Conv2d", block.get_submodule(f"conv{name}"))
        branch = block.get_submodule(f"bn{name}")(nn.Conv2d.forward(convolution, branch))
        branch = branch.relu() if name != names[-1] else branch
    down = block.downsample
    return (branch + (down(maps) if isinstance(down, nn.Module) else maps)).relu()


def whole(network: nn.Module, clips: Tensor) -> Tensor:
    """Return the scores (B, C) of clips (B, S, 3, H, W) by a ResNet, its blocks shifted by loops."""
    maps = clips.flatten(0, 1)
    for name in ("conv1", "bn1"):
        maps = network.get_submodule(name)(maps)
    maps = network.get_submodule("maxpool")(maps.relu())
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        for block in network.get_submodule(stage).children():
            maps = residual(block, maps, clips.shape[1])
    return maps.mean(dim=(2, 3)).unflatten(0, clips.shape[:2])  # type: ignore[no-untyped-call, no-any-return]


def shifting(name: str, segments: int = SEGMENTS) -> TSN:
    torch.manual_seed(1)
    model = build_model(name, num_classes=4, dropout=0.0, shift_segments=segments, input_size=64)
    for module in model.modules():  # else each block's branch begins with what it ends with: little
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model.double().eval()


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "timm/resnet18"])
def test_a_whole_network_computes_what_the_reference_does(name: str) -> None:
    model = shifting(name)
    timms = name.startswith("timm/")
    network = model.backbone.get_submodule("trunk") if timms else model.backbone
    last = model.backbone.get_submodule("last" if timms else "fc")
    clips = torch.randn(2, SEGMENTS, 3, 64, 64, dtype=torch.float64)
    with torch.inference_mode():
        wanted = last(whole(network, clips))
        assert (model.frame_scores(clips) - wanted).abs().max() < 1e-6 * wanted.abs().max()
        assert (model(clips) - wanted.float().mean(dim=1)).abs().max() < 1e-6
        assert (model(clips[1:]) - model(clips)[1:]).abs().max() < 1e-6  # nothing comes across from another clip
        shuffled = model(clips[:, torch.tensor([2, 0, 3, 1])])
        assert (shuffled - model(clips)).abs().max() > 0.01 * wanted.abs().max()
        plain = build_model(name, num_classes=4, dropout=0.0, input_size=64).double().eval()
        plain.load_state_dict(model.state_dict())
        assert (plain(clips) - model(clips)).abs().max() > 0.01 * wanted.abs().max()


def test_weights_without_shift_load_and_no_name_is_another(tmp_path: Path) -> None:
    theirs = models.resnet18().state_dict()
    torch.save(theirs, tmp_path / "theirs.pth")
    model = build_model("resnet18", num_classes=4, dropout=0.5, shift_segments=8)
    assert "the last layer (fc) is new" in load_weights(model, "resnet18", str(tmp_path / "theirs.pth"))
    own = model.backbone.state_dict()
    assert all(torch.equal(own[key], value) for key, value in theirs.items() if not key.startswith("fc."))
    assert list(own) == list(build_model("resnet18", num_classes=4, dropout=0.5).backbone.state_dict())


def test_a_network_is_drawn_as_without_shift() -> None:
    drawn = []
    for segments in (None, 8):
        torch.manual_seed(3)
        drawn.append(build_model("resnet18", num_classes=4, dropout=0.5, shift_segments=segments).state_dict())
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])


def test_every_block_shifts_on_its_branch_and_nothing_else_does() -> None:
    with torch.device("meta"):
        model = build_model("resnet50", num_classes=4, dropout=0.5, shift_segments=8)
    found = [name for name, module in model.backbone.named_modules() if isinstance(module, ShiftedConv2d)]
    assert len(found) == 3 + 4 + 6 + 3
    assert all(name.startswith("layer") and name.endswith(".conv1") for name in found)


def test_the_settings_build_it_with_eight_segments() -> None:
    settings = TrainSettings(model="resnet18", shift=True)
    assert settings.segments == 8
    assert TrainSettings(model="resnet18", shift=True, num_segments=5).segments == 5
    network = shapes_of(settings, 4)
    assert [m.segments for m in network.modules() if isinstance(m, ShiftedConv2d)] == [8] * 8
    assert estimate(network, frames=8, input_size=64, half=False).clip > 0


def test_a_network_that_is_no_resnet_is_one_line() -> None:
    with pytest.raises(SettingsError, match="--shift needs a ResNet: --model vgg16 is none"):
        TrainSettings(shift=True)
    with pytest.raises(SettingsError, match="--shift needs 2 segments or more"):
        TrainSettings(model="resnet18", shift=True, use_tsn=False)
    with torch.device("meta"):
        with pytest.raises(SettingsError, match="--shift needs a ResNet"):
            build_model("timm/tf_efficientnet_lite0", num_classes=4, dropout=0.5, shift_segments=8)
        with pytest.raises(SettingsError, match="the blocks of this --model begin with"):
            shift(_odd(), 8)


def _odd() -> nn.Module:
    """Return a ResNet whose blocks begin with something else than a convolution."""
    network: nn.Module = models.resnet18()
    network.get_submodule("layer1.0").conv1 = nn.Sequential()
    return network
