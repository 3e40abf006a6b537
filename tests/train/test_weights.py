import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from train.model import TSN, build_model
from train.weights import load_weights
from tsn_shared.errors import DataError, SettingsError


def fresh(num_classes: int = 4) -> TSN:
    torch.manual_seed(1)
    return build_model("resnet18", num_classes=num_classes, dropout=0.5)


def test_torchvision_weights_fill_all_but_the_last_layer(tmp_path: Path) -> None:
    torch.manual_seed(2)
    theirs = models.resnet18().state_dict()
    torch.save(theirs, tmp_path / "theirs.pth")
    model = fresh()
    last = model.state_dict()["backbone.fc.1.weight"].clone()
    said = load_weights(model, "resnet18", str(tmp_path / "theirs.pth"))
    assert "the last layer (fc) is new" in said
    assert torch.equal(model.backbone.state_dict()["layer1.0.conv1.weight"], theirs["layer1.0.conv1.weight"])
    assert torch.equal(model.state_dict()["backbone.fc.1.weight"], last)


def test_our_own_safetensors_and_checkpoints_fill_everything(tmp_path: Path) -> None:
    torch.manual_seed(3)
    source = build_model("resnet18", num_classes=4, dropout=0)
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    torch.save({"model": source.state_dict(), "step": 3}, tmp_path / "last.pt")
    for name in ("model.safetensors", "last.pt"):
        model = fresh()
        assert "is new" not in load_weights(model, "resnet18", str(tmp_path / name))
        for key, value in source.state_dict().items():
            assert torch.equal(model.state_dict()[key], value)


def test_a_last_layer_of_other_classes_is_named_with_both_shapes(tmp_path: Path) -> None:
    torch.save(models.vgg16().state_dict(), tmp_path / "vgg16.pth")
    said = load_weights(build_model("vgg16", num_classes=4, dropout=0), "vgg16", str(tmp_path / "vgg16.pth"))
    assert "the last layer (classifier.6) is new: classifier.6.weight is (1000, 4096) there, (4, 4096) here" in said


def test_a_last_layer_of_torchvisions_own_shape_is_kept(tmp_path: Path) -> None:
    theirs = models.resnet18(num_classes=4).state_dict()
    torch.save({f"module.{key}": value for key, value in theirs.items()}, tmp_path / "theirs.pth")  # as DDP names them
    model = fresh()
    assert "is new" not in load_weights(model, "resnet18", str(tmp_path / "theirs.pth"))
    assert torch.equal(model.state_dict()["backbone.fc.1.weight"], theirs["fc.weight"])


def test_a_last_layer_of_another_width_names_the_tensor(tmp_path: Path) -> None:
    theirs = models.resnet18().state_dict() | {"fc.weight": torch.zeros(4, 100)}
    torch.save(theirs, tmp_path / "theirs.pth")
    with pytest.raises(DataError, match=r"1 tensors differ, the first is fc\.1\.weight: \(4, 100\) there, \(4, 512\)"):
        load_weights(fresh(), "resnet18", str(tmp_path / "theirs.pth"))


def test_weights_of_another_network_name_the_tensor(tmp_path: Path) -> None:
    torch.save(models.resnet50().state_dict(), tmp_path / "resnet50.pth")
    with pytest.raises(DataError, match=r"does not fit resnet18: \d+ tensors differ, the first is layer1"):
        load_weights(fresh(), "resnet18", str(tmp_path / "resnet50.pth"))


def test_a_file_that_is_absent_or_no_weights_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load_weights(fresh(), "resnet18", str(tmp_path / "none.pth"))
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(DataError, match="cannot be read as weights"):
        load_weights(fresh(), "resnet18", str(tmp_path / "junk.pth"))


def test_imagenet_without_a_network_says_which_file_to_put_where(tmp_path: Path) -> None:
    code = """
from train.model import build_model
from train.weights import load_weights
load_weights(build_model("resnet18", num_classes=4, dropout=0), "resnet18", "imagenet")
"""
    nowhere = {"https_proxy": "http://127.0.0.1:9", "TORCH_HOME": str(tmp_path), "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], env=nowhere, capture_output=True, text=True
    )
    last = done.stderr.strip().splitlines()[-1]
    assert "SettingsError: --weights imagenet: the download failed" in last
    assert f"{tmp_path}/hub/checkpoints/resnet18" in last
    assert "--weights FILE" in last
