"""What the network takes of a snippet, and weights of RGB for it."""

from pathlib import Path

import pytest
import torch
from torchvision import models

from tsn.train.network.backbones import BACKBONES
from tsn.train.network.memory import estimate
from tsn.train.network.modalities import MODALITIES, Differences
from tsn.train.network.model import build_model
from tsn.train.network.weights import load_weights
from tsn.tsn_shared.settings import SNIPPET_LENGTHS, LoaderSettings


def test_the_table_holds_what_the_command_line_offers() -> None:
    assert list(MODALITIES) == list(SNIPPET_LENGTHS)
    assert LoaderSettings(modality="rgbdiff", num_segments=5).snippets.frames == 30
    for name, modality in MODALITIES.items():
        clips = torch.zeros(2, 3 * SNIPPET_LENGTHS[name], 3, 4, 4)
        assert modality.inputs()(clips).shape == (2, 3, modality.channels, 4, 4)


def test_differences_are_those_of_neighbours_within_a_snippet() -> None:
    clips = torch.randn(2, 3 * 6, 3, 4, 5)
    found = Differences(6)(clips)
    for clip in range(2):
        for segment in range(3):
            for step in range(5):
                first = 6 * segment + step
                wanted = clips[clip, first + 1] - clips[clip, first]
                assert torch.equal(found[clip, segment, 3 * step : 3 * step + 3], wanted)


def test_a_video_that_stands_still_gives_nothing_but_zeros() -> None:
    assert not Differences(6)(torch.randn(1, 1, 3, 4, 4).expand(1, 6, 3, 4, 4)).any()


def test_the_first_layer_starts_from_the_mean_of_the_rgb_weights(tmp_path: Path) -> None:
    theirs = models.resnet18(num_classes=4).state_dict()
    torch.save(theirs, tmp_path / "rgb.pth")
    model = build_model("resnet18", num_classes=4, dropout=0.0, modality="rgbdiff")
    load_weights(model, "resnet18", str(tmp_path / "rgb.pth"))
    own = model.backbone.state_dict()
    for channel in range(15):
        assert torch.equal(own["conv1.weight"][:, channel], theirs["conv1.weight"].mean(dim=1))
    assert torch.equal(own["layer1.0.conv1.weight"], theirs["layer1.0.conv1.weight"])


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_takes_fifteen_channels_in_place_of_three(name: str) -> None:
    with torch.device("meta"):
        rgb, wide = (build_model(name, num_classes=4, dropout=0.5, modality=kind) for kind in MODALITIES)
        assert wide(torch.empty(2, 12, 3, 64, 64)).shape == (2, 4)
    shapes = [{key: value.shape for key, value in network.state_dict().items()} for network in (rgb, wide)]
    first = f"backbone.{BACKBONES[name].first_layer}.weight"
    out, _, *size = shapes[0][first]
    assert shapes[1] == shapes[0] | {first: torch.Size([out, 15, *size])}


def test_from_nothing_its_channels_are_drawn_apart_and_all_else_is_the_rgb_networks() -> None:
    networks = []
    for modality in ("rgb", "rgbdiff"):
        torch.manual_seed(1)
        networks.append(build_model("resnet18", num_classes=4, dropout=0.5, modality=modality).state_dict())
    rgb, differences = networks
    assert [key for key in rgb if not torch.equal(rgb[key], differences[key])] == ["backbone.conv1.weight"]
    drawn = differences["backbone.conv1.weight"]
    assert float(drawn.std()) == pytest.approx(float(rgb["backbone.conv1.weight"].std()), rel=0.1)
    assert float((drawn[:, 0] - drawn[:, 1]).abs().min()) > 0


def test_memory_is_that_of_six_frames_and_one_pass_a_segment() -> None:
    needs = {}
    for modality, length in SNIPPET_LENGTHS.items():
        model = build_model("resnet18", num_classes=4, dropout=0.0, modality=modality)
        needs[modality] = estimate(model, frames=3 * length, input_size=64, half=False).clip
    served = 4 * 3 * (6 - 1) * 3 * 64 * 64 * 4  # bytes more that the loader holds
    differences = 3 * (15 - 3) * 64 * 64 * 4  # bytes more that the first layer keeps
    assert needs["rgbdiff"] - needs["rgb"] == pytest.approx(served + differences, rel=0.1)
