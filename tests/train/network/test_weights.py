import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models
from torchvision.models import Weights, WeightsEnum

from tsn.train.network.backbones import BACKBONES
from tsn.train.network.model import TSN, build_model
from tsn.train.network.weights import load_weights
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.files import sha256


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


def test_a_last_layer_of_other_classes_is_new(tmp_path: Path) -> None:
    torch.save(models.vgg16().state_dict(), tmp_path / "vgg16.pth")
    said = load_weights(build_model("vgg16", num_classes=4, dropout=0), "vgg16", str(tmp_path / "vgg16.pth"))
    assert "the last layer (classifier.6) is new, for 4 classes" in said


@pytest.mark.parametrize("shift", ["", "net"])
def test_a_resnet_of_mmaction2_is_read_by_its_names(tmp_path: Path, shift: str) -> None:
    """By the names of MMAction2 1.2's ResNet and ResNetTSM: convolutions with their norm in one module."""
    source = models.resnet18()
    for module in source.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
    theirs = {}
    for key, value in source.state_dict().items():
        words = key.split(".")
        if words[0] in ("conv1", "bn1"):
            words[:1] = ["conv1", words[0][:-1]]
        elif words[2:3] == ["downsample"]:
            words[3] = {"0": "conv", "1": "bn"}[words[3]]
        elif words[0] != "fc":
            number = words[2][-1]
            words[2:3] = [f"conv{number}", words[2][:-1]] + [shift] * (words[2] == "conv1" and bool(shift))
        theirs["backbone." + ".".join(words)] = value
    theirs = {key: value for key, value in theirs.items() if ".fc." not in key}
    theirs |= {"cls_head.fc_cls.weight": torch.ones(400, 512), "cls_head.fc_cls.bias": torch.ones(400)}
    torch.save({"meta": {"epoch": 100}, "state_dict": theirs}, tmp_path / "mm.pth")
    assert f"backbone.layer1.0.conv1.conv.{shift + '.' if shift else ''}weight" in theirs
    model = fresh()
    said = load_weights(model, "resnet18", str(tmp_path / "mm.pth"))
    assert said.endswith("; the last layer (fc) is new, for 4 classes")
    own = model.backbone.state_dict()
    assert all(key.startswith("fc.") or torch.equal(own[key], value) for key, value in source.state_dict().items())


def test_a_checkpoint_of_ours_starts_another_set_of_classes(tmp_path: Path) -> None:
    torch.manual_seed(3)
    source = build_model("resnet18", num_classes=4, dropout=0)
    torch.save({"model": source.state_dict(), "classes": list("abcd")}, tmp_path / "best.pt")
    model = fresh(num_classes=6)
    last = {key: value.clone() for key, value in model.state_dict().items() if key.startswith("backbone.fc.")}
    said = load_weights(model, "resnet18", str(tmp_path / "best.pt"))
    assert "the last layer (fc) is new, for 6 classes" in said
    for key, value in model.state_dict().items():
        assert torch.equal(value, last[key] if key in last else source.state_dict()[key])


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


@pytest.mark.parametrize(
    "bias",
    [torch.full((4,), float("nan")), torch.zeros(4, dtype=torch.complex64), torch.zeros(4, device="meta")],
    ids=["nan", "complex", "meta"],
)
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, bias: torch.Tensor) -> None:
    state = build_model("resnet18", num_classes=4, dropout=0).state_dict()
    torch.save(state | {"backbone.fc.1.bias": bias}, tmp_path / "last.pt")
    with pytest.raises(DataError, match=r"holds (what are no finite numbers|torch._utils _rebuild_meta)"):
        load_weights(fresh(), "resnet18", str(tmp_path / "last.pt"))
    torch.save({3: bias}, tmp_path / "last.pt")
    with pytest.raises(DataError, match="weights"):
        load_weights(fresh(), "resnet18", str(tmp_path / "last.pt"))


def test_a_file_that_is_absent_or_no_weights_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist: it takes imagenet"):
        load_weights(fresh(), "resnet18", str(tmp_path / "none.pth"))
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(DataError, match="cannot be read as weights"):
        load_weights(fresh(), "resnet18", str(tmp_path / "junk.pth"))


def test_imagenet_without_a_network_says_which_file_to_put_where(tmp_path: Path) -> None:
    code = """
from tsn.train.network.model import build_model
from tsn.train.network.weights import load_weights
load_weights(build_model("resnet18", num_classes=4, dropout=0), "resnet18", "imagenet")
"""
    nowhere = {"https_proxy": "http://127.0.0.1:9", "TORCH_HOME": str(tmp_path), "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], env=nowhere, capture_output=True, text=True
    )
    last = done.stderr.strip().splitlines()[-1]
    assert "SettingsError: --weights imagenet: the download failed" in last
    assert f"{tmp_path}/hub/checkpoints/resnet18" in last
    assert "--weights FILE" in last


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder that a web server on this machine serves, and its address."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    folder = tmp_path / "web"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def offer(name: str, folder: Path, address: str, monkeypatch: pytest.MonkeyPatch, *, digest: str = "") -> Path:
    """Put torchvision's own network of that name on the server, in place of its ImageNet weights."""
    torch.manual_seed(4)
    plain = folder / "plain.pth"
    torch.save(getattr(models, name)().state_dict(), plain)
    file = plain.rename(folder / f"{name}-{digest or sha256(plain)[:8]}.pth")

    class Offered(WeightsEnum):  # type: ignore[misc]
        V1 = Weights(url=f"{address}/{file.name}", transforms=nn.Identity, meta={})

    monkeypatch.setitem(BACKBONES, name, replace(BACKBONES[name], imagenet=lambda: Offered.V1))
    return file


def test_imagenet_weights_are_downloaded_once_and_fill_the_network(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = offer("resnet18", *served, monkeypatch)
    theirs = torch.load(file, weights_only=True)
    for _ in range(2):
        model = fresh()
        said = load_weights(model, "resnet18", "imagenet")
        assert said.startswith("weights: torchvision's ImageNet weights of resnet18; the last layer (fc) is new")
        assert torch.equal(model.backbone.state_dict()["layer4.1.conv2.weight"], theirs["layer4.1.conv2.weight"])
        file.unlink(missing_ok=True)  # the second time there is no server to ask
    assert (tmp_path / "hub" / "checkpoints" / file.name).exists()


def test_imagenet_weights_that_were_changed_on_the_way_are_refused(
    served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    offer("resnet18", *served, monkeypatch, digest="0123abcd")
    with pytest.raises(SettingsError, match="invalid hash value"):
        load_weights(fresh(), "resnet18", "imagenet")
