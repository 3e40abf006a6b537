"""A network that shifts in time, from training to answers: each crop's frames go through it as one clip of eight."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.train.answers.reference import clips_of, frames_of, reference
from tests.train.conftest import small_settings
from tests.train.runs import evaluated
from tsn.cli import tsn
from tsn.train import scores
from tsn.train.answers.export import export
from tsn.train.answers.features import write_features
from tsn.train.answers.predict import predict
from tsn.train.answers.trained import load_trained
from tsn.train.fit.checkpoint import load_checkpoint
from tsn.train.fit.launch import train
from tsn.train.network.model import TSN, build_model, without_last_layer
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import DataSettings, SplitScoreSettings, TrainSettings

S = 8


@pytest.fixture(scope="module")
def run(data: DataSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch with --shift."""
    folder = tmp_path_factory.mktemp("shifted") / "run"
    train(TrainSettings(**(small_settings(data, folder) | {"shift": True, "num_epochs": 1, "dropout": 0.0})))
    return folder


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fewer frames through at a time than a clip has: none may be cut."""
    monkeypatch.setattr(scores, "CHUNK", {"cpu": 7})


def plain_network(run: Path) -> TSN:
    network = build_model("resnet18", num_classes=4, dropout=0.0, shift_segments=S)
    network.load_state_dict(load_checkpoint(run / "checkpoints" / "best.pt")["model"])
    return network.eval()


@pytest.mark.parametrize("protocol", ["val", "3crop", "10crop"])
def test_every_protocol_shows_it_eight_frames_of_each_crop(run: Path, data: DataSettings, protocol: str) -> None:
    evaluation = evaluated(run, protocol=protocol, gpus="0")
    assert evaluation.figures.num_segments == S
    wanted = reference(plain_network(run), clips_of(data, protocol, S))
    assert np.abs(evaluation.scored.values.numpy() - wanted).max() < 1e-4
    assert np.ptp(wanted, axis=0).max() > 1e-3


def test_so_do_predictions_and_features(run: Path, data: DataSettings, tmp_path: Path) -> None:
    clips = clips_of(data, "val", S)
    probabilities = torch.from_numpy(reference(plain_network(run), clips)).softmax(dim=1).numpy()
    trained = load_trained(run)
    for number, frames in enumerate(frames_of(data, "val", S)[:3]):
        assert np.abs(predict(trained, np.stack(frames)) - probabilities[number]).max() < 1e-5
    write_features(run, tmp_path / "features.h5", SplitScoreSettings(protocol="10crop", gpus="0"))
    with h5py.File(tmp_path / "features.h5") as file:
        assert file.attrs["num_segments"] == S
        found = file["feature"][:]
    network = without_last_layer(plain_network(run), "resnet18")
    assert np.abs(found - reference(network, clips_of(data, "10crop", S))).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["pt2", "onnx"])
def test_an_exported_file_takes_clips_of_eight_frames(
    run: Path, data: DataSettings, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"model.{ending}"
    assert export(run, path).num_segments == S
    frames = np.stack([np.stack(clip) for clip in frames_of(data, "val", S)])
    wanted = torch.from_numpy(reference(plain_network(run), clips_of(data, "val", S))).softmax(dim=1).numpy()
    if ending == "onnx":
        import onnxruntime

        (found,) = onnxruntime.InferenceSession(str(path)).run(None, {"frames": frames})
    else:
        found = torch.export.load(path).module()(torch.from_numpy(frames)).detach().numpy()
    assert np.abs(found - wanted).max() < 1e-4


def test_another_number_of_segments_is_refused(run: Path, tmp_path: Path) -> None:
    words = r"--num-segments 25: .* learned with --shift from 8: leave it out"
    with pytest.raises(SettingsError, match=words):
        evaluated(run, num_segments=25, gpus="0")
    with pytest.raises(SettingsError, match=words):
        export(run, tmp_path / "model.pt2", num_segments=25)
    with pytest.raises(SettingsError, match=words):
        predict(load_trained(run), np.zeros((9, 48, 64, 3), dtype=np.uint8), num_segments=25)


@pytest.mark.slow
def test_it_resumes_bit_for_bit_with_the_segments_that_it_began_with(
    run: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    assert json.loads((run / "config.json").read_text())["settings"]["num_segments"] == S
    common = small | {"shift": True, "dropout": 0.5, "run": tmp_path / "whole"}
    train(TrainSettings(**common))
    halves = common | {"run": tmp_path / "halves"}
    train(TrainSettings(**(halves | {"num_epochs": 1})))
    train(TrainSettings(**(halves | {"resume": "auto"})), frozenset({"num_epochs"}))
    states = [load_checkpoint(tmp_path / name / "checkpoints" / "last.pt")["model"] for name in ("whole", "halves")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_network_that_is_no_resnet_ends_with_code_2_and_leaves_no_folder(data: DataSettings, tmp_path: Path) -> None:
    here = ["--frames", str(data.frames), "--splits", str(data.splits), "--run", str(tmp_path / "run")]
    network = ["--shift", "--model", "timm/tf_efficientnet_lite0", "--weights=none", "--gpus=0", "--batch-size=5"]
    done = CliRunner().invoke(tsn, ["train", *here, *network])
    assert isinstance(done.exception, SettingsError)
    assert "--shift needs a ResNet" in str(done.exception)
    assert not (tmp_path / "run").exists()
