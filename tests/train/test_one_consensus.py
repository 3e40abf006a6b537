"""A network of another consensus, or one that looks across frames, answers everywhere as its own plain forward does."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import tsn.train.loaders as data_of
from tests.train.answers.reference import clips_of, frames_of, network_of, reference
from tests.train.runs import evaluated
from tsn.pipeline.loading.reader import FrameReader
from tsn.train import scores
from tsn.train.answers.export import export
from tsn.train.answers.features import write_features
from tsn.train.answers.predict import predict
from tsn.train.answers.trained import load_trained
from tsn.train.fit.trainer import Trainer
from tsn.train.network import model
from tsn.train.network.model import without_last_layer
from tsn.train.ranks.group import Ranks
from tsn.tsn_shared.settings import DataSettings, SplitScoreSettings, TrainSettings
from tsn.tsn_shared.splits import open_split
from tsn.tsn_shared.views import VIEWS

CPU = Ranks(device=torch.device("cpu"))


class Highest(model.TSN):
    """Takes the highest of the segments' scores, class by class."""

    def consensus(self, scores: Tensor) -> Tensor:
        return scores.float().amax(dim=1)


class Mixing(model.TSN):
    """Sees each frame laid over the one before it in its clip."""

    def frame_scores(self, clips: Tensor) -> Tensor:
        return super().frame_scores((clips + clips.roll(1, dims=1)) / 2)


@pytest.fixture(params=[pytest.param(Highest, marks=pytest.mark.slow), Mixing], autouse=True)
def other_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build another network wherever one is built, and let few frames through at a time: clips must not be cut."""
    monkeypatch.setattr(model, "TSN", request.param)
    monkeypatch.setattr(scores, "CHUNK", {"cpu": 7})


@pytest.fixture
def settings(data: DataSettings) -> TrainSettings:
    recipe: dict[str, Any] = {"model": "resnet18", "input_size": 32, "batch_size": 5, "num_epochs": 1, "dropout": 0.0}
    return TrainSettings(frames=data.frames, splits=data.splits, **recipe)


def softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(torch.from_numpy(logits).softmax(dim=1).numpy())


@pytest.mark.parametrize(("protocol", "segments"), [("val", 3), ("10crop", 2)])
def test_evaluation_asks_the_network_for_each_crop_whole(
    trained_run: Path, data: DataSettings, protocol: str, segments: int
) -> None:
    found = evaluated(trained_run, protocol=protocol, num_segments=segments, gpus="0").scored.values.numpy()
    clips = clips_of(data, protocol, segments)
    assert np.abs(found - reference(network_of(trained_run), clips)).max() < 1e-4
    plain = model.TSN.__mro__[1](network_of(trained_run).backbone)
    assert (
        np.abs(found[:2] - reference(plain.eval(), clips[:2])).max() > 1e-3
    )  # the mean of single frames would be seen


def test_validation_does(trained_run: Path, data: DataSettings, settings: TrainSettings) -> None:
    trainer = Trainer(model=network_of(trained_run), settings=settings, ranks=CPU, num_clips=12, precision="fp32")
    split = open_split(settings)
    reader = FrameReader(split, "test", settings.frames, view=VIEWS["val"], snippets=settings.snippets)
    with data_of.open_val_loader(reader, settings, CPU, batch_size=5) as loader:
        found = trainer.validate(loader.one_pass())
    wanted = torch.from_numpy(reference(network_of(trained_run), clips_of(data, "val", 3)))
    labels = torch.from_numpy(split.test.label.astype(np.int64))
    assert found.loss == pytest.approx(float(cross_entropy(wanted, labels)), rel=1e-5)


def test_training_does(trained_run: Path, settings: TrainSettings) -> None:
    split = open_split(settings)
    with data_of.open_train_loader(split, settings, CPU, position=0) as loader:
        batch = next(loader)
    with torch.no_grad():
        wanted = cross_entropy(network_of(trained_run).train()(batch.clips), batch.labels)
    trainer = Trainer(model=network_of(trained_run), settings=settings, ranks=CPU, num_clips=5, precision="fp32")
    with data_of.open_train_loader(split, settings, CPU, position=0) as loader:
        row = trainer.train_epoch(loader, lambda: None)
    assert row.train_loss == pytest.approx(float(wanted), rel=1e-5)


def test_features_are_the_consensus_of_what_the_last_layer_reads(
    trained_run: Path, data: DataSettings, tmp_path: Path
) -> None:
    asked = SplitScoreSettings(protocol="10crop", num_segments=2, gpus="0")
    write_features(trained_run, tmp_path / "features.h5", asked)
    network = without_last_layer(network_of(trained_run), "resnet18")
    with h5py.File(tmp_path / "features.h5") as file:
        assert np.abs(file["feature"][:] - reference(network, clips_of(data, "10crop", 2))).max() < 1e-4


def test_prediction_and_export_do(trained_run: Path, data: DataSettings, tmp_path: Path) -> None:
    frames = np.array(frames_of(data, "val", 3))
    wanted = softmax(reference(network_of(trained_run), clips_of(data, "val", 3)))
    trained = load_trained(trained_run)
    found = [predict(trained, np.repeat(clip, 3, axis=0)) for clip in frames]
    assert np.abs(np.array(found) - wanted).max() < 1e-4
    export(trained_run, tmp_path / "model.pt2")
    answers = torch.export.load(tmp_path / "model.pt2").module()(torch.from_numpy(frames)).detach().numpy()
    assert np.abs(answers - wanted).max() < 1e-4
