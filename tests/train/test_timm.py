"""A model of timm from training to answers: exact as torchvision's, by the input that was recorded."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch.nn.functional import cross_entropy

from tests.train.runs import evaluated
from tsn.pipeline.jpeg import decode_jpeg
from tsn.train.answers.export import export
from tsn.train.answers.features import write_features
from tsn.train.answers.predict import predict
from tsn.train.answers.trained import load_trained
from tsn.train.fit.checkpoint import load_checkpoint
from tsn.train.fit.launch import train
from tsn.tsn_shared.settings import DataSettings, SplitScoreSettings, TrainSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.splits import open_split

VIT = "timm/vit_tiny_patch16_224"
LITE, SWIN = "timm/tf_efficientnet_lite0", "timm/swin_tiny_patch4_window7_224"


def run(settings: dict[str, Any], **changes: Any) -> Path:
    wanted = TrainSettings(**(settings | changes))
    train(wanted, frozenset(changes) & {"num_epochs"} if "resume" in changes else frozenset())
    assert wanted.run is not None
    return wanted.run


def resumes_exactly(small: dict[str, Any], folder: Path, **network: Any) -> Path:
    """Train two epochs at once, and one and then another; return the former run."""
    whole = run(small, run=folder / "whole", **network)
    halves = run(small, run=folder / "halves", num_epochs=1, **network)
    run(small, run=halves, num_epochs=2, resume="auto", **network)
    states = [load_checkpoint(path / "checkpoints" / "last.pt")["model"] for path in (whole, halves)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    shutil.rmtree(halves)  # of VGG16 it is gigabytes
    return whole


def test_it_answers_by_the_input_that_was_recorded(
    small: dict[str, Any], data: DataSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(small, model=VIT, num_epochs=1)
    recorded = json.loads((folder / "config.json").read_text())["settings"]
    assert (recorded["input_size"], recorded["mean"], recorded["std"]) == (32, [0.5] * 3, [0.5] * 3)

    def never(*words: object, **options: object) -> None:
        raise AssertionError("timm's configuration was asked again")

    monkeypatch.setattr(timm.data, "resolve_data_config", never)
    scored = evaluated(folder, gpus="0").scored
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert float(cross_entropy(scored.values, scored.labels)) == pytest.approx(last["val_loss"], rel=1e-5)
    trained = load_trained(folder)
    clip = open_split(data).test
    shard = Shard(data.frames / "frames-00000.h5")
    first = int(shard.tables.first_frame[clip.video[0]])
    frames = np.stack([decode_jpeg(shard.read(first + number)) for number in range(int(clip.frames[0]))])
    assert np.abs(predict(trained, frames) - scored.values[0].softmax(dim=0).numpy()).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "resnet50", VIT, LITE, "timm/convnext_tiny", SWIN])
def test_each_of_the_networks_that_the_docs_name_resumes_bit_for_bit_and_is_exported(
    name: str, small: dict[str, Any], tmp_path: Path
) -> None:
    size = 64 if name == SWIN else 32
    folder = resumes_exactly(small, tmp_path, model=name, input_size=size, lr=0.001)
    for protocol in ("val", "10crop"):
        assert evaluated(folder, gpus="0", protocol=protocol, num_segments=3).figures.metrics.clips == 7
    write_features(folder, tmp_path / "features.h5", SplitScoreSettings(gpus="0"))
    for ending in ("pt2", "onnx"):
        assert export(folder, tmp_path / f"model.{ending}").model == name
    shutil.rmtree(folder)


@pytest.mark.slow
def test_two_ranks_compute_what_one_does_and_a_compiled_network_too(small: dict[str, Any], tmp_path: Path) -> None:
    common = {"model": VIT, "num_epochs": 1}
    losses = []
    for number, changes in enumerate(
        [{"batch_size": 6}, {"batch_size": 3, "num_processes": 2}, {"batch_size": 6, "compile": True}]
    ):
        folder = run(small, run=tmp_path / str(number), **common, **changes)
        losses.append(json.loads((folder / "metrics.jsonl").read_text())["train_loss"])
    assert losses[1:] == [pytest.approx(losses[0], abs=1e-5), pytest.approx(losses[0], abs=1e-4)]
