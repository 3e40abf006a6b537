"""Models of timm as backbones: their weights, their input, and that nothing in them is random."""

import sys
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from tsn.train.network.backbones import backbone_of
from tsn.train.network.memory import estimate
from tsn.train.network.model import TSN, build_model, network_with, shapes_of, without_last_layer
from tsn.train.network.timm_models import own_input
from tsn.train.network.weights import load_weights
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import TrainSettings

LITE, VIT = "timm/tf_efficientnet_lite0", "timm/vit_tiny_patch16_224"
OTHERS = ["timm/convnext_tiny", "timm/swin_tiny_patch4_window7_224"]


def fresh(name: str = LITE, *, size: int = 32, num_classes: int = 4, modality: str = "rgb") -> TSN:
    torch.manual_seed(1)
    return build_model(name, num_classes=num_classes, dropout=0.5, input_size=size, modality=modality)


def theirs_of(name: str = LITE) -> nn.Module:
    torch.manual_seed(2)
    model: nn.Module = timm.create_model(name.removeprefix("timm/"))
    return model


def test_the_network_is_timms_own_up_to_its_classifier(tmp_path: Path) -> None:
    theirs = theirs_of().eval()
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    model = fresh().eval()
    said = load_weights(model, LITE, str(tmp_path / "theirs.safetensors"))
    assert "the last layer (last) is new" in said
    assert "left out: classifier.bias, classifier.weight" in said
    pictures = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        features = without_last_layer(model, LITE)(pictures[:, None])
        assert features.shape == (2, 1280)
        classifier = theirs.get_submodule("classifier")
        assert torch.allclose(classifier(features), theirs(pictures), atol=1e-5)


def test_files_without_the_counts_of_batch_normalisation_will_do(tmp_path: Path) -> None:
    state = {key: value for key, value in theirs_of().state_dict().items() if "num_batches" not in key}
    torch.save(state, tmp_path / "old.pth")
    assert "is new" in load_weights(fresh(), LITE, str(tmp_path / "old.pth"))


def test_torchvisions_names_are_understood_where_timm_has_the_same_network(tmp_path: Path) -> None:
    theirs = models.resnet18().state_dict()
    torch.save(theirs, tmp_path / "theirs.pth")
    model = fresh("timm/resnet18")
    load_weights(model, "timm/resnet18", str(tmp_path / "theirs.pth"))
    own = model.backbone.state_dict()
    assert torch.equal(own["trunk.layer4.1.conv2.weight"], theirs["layer4.1.conv2.weight"])


def test_our_own_checkpoints_fill_everything(tmp_path: Path) -> None:
    torch.manual_seed(3)
    source = build_model(VIT, num_classes=4, dropout=0, input_size=32)  # its own classifier is called head as well
    torch.save({"model": source.state_dict()}, tmp_path / "last.pt")
    model = fresh(VIT)
    assert "is new" not in load_weights(model, VIT, str(tmp_path / "last.pt"))
    assert all(torch.equal(model.state_dict()[key], value) for key, value in source.state_dict().items())


def test_a_tensor_of_another_shape_or_network_is_one_line(tmp_path: Path) -> None:
    state = theirs_of().state_dict()
    torch.save(state | {"conv_stem.weight": torch.zeros(32, 3, 5, 5)}, tmp_path / "shape.pth")
    with pytest.raises(DataError, match=r"1 tensors differ, the first is trunk.conv_stem.weight: \(32, 3, 5, 5\)"):
        load_weights(fresh(), LITE, str(tmp_path / "shape.pth"))
    with pytest.raises(DataError):
        load_weights(fresh(VIT), VIT, str(tmp_path / "shape.pth"))
    torch.save({"pos_embed": torch.zeros(3), "patch_embed.proj.weight": torch.zeros(3)}, tmp_path / "junk.pth")
    with pytest.raises(DataError, match=r"junk|weights"):
        load_weights(fresh(VIT), VIT, str(tmp_path / "junk.pth"))


def test_positions_of_a_vit_are_brought_to_another_input_size(tmp_path: Path) -> None:
    save_file(theirs_of(VIT).state_dict(), tmp_path / "vit.safetensors")
    model = fresh(VIT, size=64)
    load_weights(model, VIT, str(tmp_path / "vit.safetensors"))
    assert model.backbone.state_dict()["trunk.pos_embed"].shape == (1, 1 + 16, 192)
    assert model(torch.zeros(1, 2, 3, 64, 64)).shape == (1, 4)


def random_modules(network: nn.Module) -> list[str]:
    """Return the modules that would draw from torch's generator in training, but for our own dropout."""
    rates = ("p", "drop_prob", "prob", "drop_rate")
    return [
        name
        for name, module in network.named_modules()
        if not name.startswith("last")
        if "drop" in type(module).__name__.lower() or hasattr(module, "drop_rate")
        if any(isinstance(rate := getattr(module, wanted, None), float) and rate > 0 for wanted in rates)
    ]


@pytest.mark.parametrize("name", [LITE, VIT, *OTHERS])
def test_nothing_is_dropped_but_before_our_last_layer(name: str) -> None:
    with torch.device("meta"):
        row = backbone_of(name)
        network = row.build(7, 0.4, own_input(name).size)
    assert random_modules(network) == []
    last = network.get_submodule(row.last_layer)
    assert isinstance(last, nn.Sequential)
    assert isinstance(last[0], nn.Dropout)
    assert isinstance(last[1], nn.Linear)
    assert (last[0].p, last[1].out_features) == (0.4, 7)
    first = network.get_submodule(row.first_layer)
    assert isinstance(first, nn.Conv2d)
    assert first.in_channels == 3


def step_leaves_the_generator(name: str, size: int) -> None:
    from tsn.train.network.dropout import key_dropout

    model = fresh(name, size=size).train()
    key_dropout(model, seed=0, batch_size=2, device=torch.device("cpu"))
    before = torch.get_rng_state()
    model(torch.randn(2, 2, 3, size, size, generator=torch.Generator().manual_seed(5))).sum().backward()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", [LITE, VIT])
def test_a_step_draws_nothing_from_torchs_generator(name: str) -> None:
    step_leaves_the_generator(name, 32)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "resnet50", *OTHERS])
def test_nor_does_a_step_of_a_larger_one(name: str) -> None:
    step_leaves_the_generator(name, 64)


def test_differences_of_frames_go_into_the_first_convolution(tmp_path: Path) -> None:
    """EfficientNet's pads by itself, as TensorFlow does: the wider one must be of the same kind."""
    model = fresh(modality="rgbdiff")
    stem = model.backbone.get_submodule("trunk.conv_stem")
    assert type(stem) is type(fresh().backbone.get_submodule("trunk.conv_stem"))
    assert model(torch.zeros(2, 6, 3, 32, 32)).shape == (2, 4)
    state = theirs_of().state_dict()
    save_file(state, tmp_path / "rgb.safetensors")
    load_weights(model, LITE, str(tmp_path / "rgb.safetensors"))
    own: Tensor = model.backbone.state_dict()["trunk.conv_stem.weight"]
    assert own.shape[1] == 15
    assert torch.equal(own[:, 7], state["conv_stem.weight"].mean(dim=1))


def test_a_network_without_one_first_convolution_takes_no_differences() -> None:
    with torch.device("meta"), pytest.raises(SettingsError, match="--modality: this --model has no first convolution"):
        build_model("timm/crossvit_9_240", num_classes=4, dropout=0.5, input_size=240, modality="rgbdiff")


def test_an_input_size_that_a_network_cannot_take_is_one_line() -> None:
    for name in ("timm/crossvit_9_240", "timm/twins_svt_small"):  # one tells when it is asked, one when it is built
        settings = TrainSettings(model=name, input_size=80)
        with pytest.raises(SettingsError, match="--input-size 80 does not fit"):
            estimate(shapes_of(settings, 4), frames=1, input_size=80, half=False)


def test_constants_that_no_checkpoint_holds_are_there_in_a_network_that_is_loaded() -> None:
    settings = TrainSettings(model="timm/swin_s3_tiny_224", input_size=224)
    shapes = shapes_of(settings, 4)
    torch.manual_seed(4)
    source = build_model(settings.model, num_classes=4, dropout=0.9)
    before = torch.get_rng_state()
    network = network_with(source.state_dict(), shapes, settings, 4)
    assert torch.equal(torch.get_rng_state(), before)
    tables = [name for name, _ in network.named_buffers() if name.endswith("relative_position_index")]
    assert tables
    assert all(torch.equal(network.get_buffer(name), source.get_buffer(name)) for name in tables)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm/efficientnet_lit0", r"has no such model; near it are timm/efficientnet_lite0, timm/"),
        ("timm/resnet18.a1_in2k", r"near it are timm/resnet18.a\d_in1k"),
        ("timm/hf-hub:timm/resnet18", "has no such model"),
        ("timm/" + "x" * 4000, "has no such model"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as raised:
        backbone_of(name)
    assert len(str(raised.value)) < 400


def test_a_model_that_takes_no_rgb_squares_is_refused() -> None:
    with pytest.raises(SettingsError, match="it takes 3 x 1024 x 768: RGB squares are needed"):
        own_input("timm/vit_base_patch16_sapiens2")


def test_without_timm_a_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SettingsError, match=r"pip install '\.\[timm\]'"):
        own_input("timm/resnet10t")


def test_without_a_network_the_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    place = "https://huggingface.co/timm/tf_efficientnet_lite0.in1k/resolve/main/model.safetensors"
    words = r"the download failed \(the Hugging Face hub does not answer, and its cache has none\)"
    with pytest.raises(SettingsError, match=f"{words}: fetch {place} and use --weights FILE"):
        load_weights(fresh(), LITE, "imagenet")


def test_timm_is_imported_where_it_is_used_alone() -> None:
    root = Path(__file__).parents[3]
    paths = [path for room in ("train", "pipeline", "tsn_shared") for path in (root / room).rglob("*.py")]
    lines = [line for path in paths for line in path.read_text().splitlines()]
    assert [line for line in lines if line.startswith(("import timm", "from timm"))] == []
