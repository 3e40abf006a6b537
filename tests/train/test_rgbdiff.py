"""RGB differences all the way: trained, resumed, scored by every protocol, fused, predicted, exported, shown."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.train.answers.reference import MEAN, STD, crops_of
from tests.train.conftest import FRAMES, TEST, small_settings
from tests.train.runs import evaluated, history
from tsn.pipeline.loading.show_batch import show_batch
from tsn.train.answers.evaluate import fuse
from tsn.train.answers.export import export
from tsn.train.answers.features import write_features
from tsn.train.answers.predict import predict
from tsn.train.answers.trained import load_trained
from tsn.train.fit.checkpoint import load_checkpoint
from tsn.train.fit.launch import train
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.settings import DataSettings, ShowBatchSettings, SplitScoreSettings, TrainSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.splits import read_split

CPU: dict[str, Any] = {"gpus": "0"}
EDGE = 42
"""Of a crop, 0.875 of 48."""


def settings_of(data: DataSettings, run: Path) -> TrainSettings:
    changed: dict[str, Any] = {"lr": 0.002, "dropout": 0.0, "input_size": EDGE, "modality": "rgbdiff"}
    return TrainSettings(**(small_settings(data, run) | changed))


@pytest.fixture(scope="module")
def run(data: DataSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs on videos of 4 and 7 frames: all of the first repeat their last frame."""
    assert min(FRAMES) < 6 < max(FRAMES)
    folder = tmp_path_factory.mktemp("rgbdiff") / "run"
    train(settings_of(data, folder), frozenset())
    return folder


def videos_of(data: DataSettings) -> list[np.ndarray[Any, Any]]:
    """Return all frames of each test clip, (T, H, W, 3)."""
    split = read_split(data.splits / "split1.h5")
    shard, found = Shard(data.frames / split.shard_names[0]), []
    for video in split.test.video.tolist():
        numbers = range(*shard.tables.first_frame[video : video + 2].tolist())
        found.append(np.stack([np.asarray(Image.open(io.BytesIO(shard.read(n).tobytes()))) for n in numbers]))
    return found


def wanted_logits(run: Path, data: DataSettings, protocol: str, segments: int) -> Tensor:
    """Score the test clips by loops: starts by the rule, six frames each, differences, one crop after the other."""
    network = load_trained(run).network.backbone
    logits = []
    for frames in videos_of(data):
        count, scores = len(frames), []
        tick = max(count - 5, 0) / segments
        short = protocol == "val" and count <= segments + 5
        for start in [0 if short else int(tick / 2 + tick * segment) for segment in range(segments)]:
            shown = [frames[min(start + step, count - 1)] for step in range(6)]
            for crops in zip(*(crops_of(frame, protocol) for frame in shown), strict=True):
                seen = np.stack([(crop / 255 - MEAN) / STD for crop in crops]).transpose(0, 3, 1, 2)
                pixels = torch.from_numpy(np.diff(seen, axis=0).reshape(1, 15, EDGE, EDGE)).float()
                scores.append(network(pixels)[0])
        logits.append(torch.stack(scores).mean(dim=0))
    return torch.stack(logits)


@pytest.mark.parametrize(("protocol", "segments"), [("val", 3), ("val", 1), ("10crop", 2)])
def test_scores_are_those_of_plain_loops(run: Path, data: DataSettings, protocol: str, segments: int) -> None:
    found = evaluated(run, protocol=protocol, num_segments=segments, **CPU).scored.values
    with torch.no_grad():
        wanted = wanted_logits(run, data, protocol, segments)
    assert found.shape == (TEST, 4)
    assert float((found - wanted).abs().max()) < 1e-4
    assert float(wanted.std()) > 1e-4


def test_a_run_that_goes_on_is_bit_for_bit_the_one_that_was_not_interrupted(
    run: Path, data: DataSettings, tmp_path: Path
) -> None:
    settings = settings_of(data, tmp_path / "run")
    train(replace(settings, num_epochs=1), frozenset())
    train(replace(settings, resume="auto"), frozenset({"num_epochs"}))
    assert history(tmp_path / "run") == history(run)
    ours, theirs = (load_checkpoint(folder / "checkpoints" / "last.pt")["model"] for folder in (tmp_path / "run", run))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_another_modality_is_refused_on_resume(run: Path, data: DataSettings) -> None:
    settings = replace(settings_of(data, run), resume="auto", modality="rgb")
    with pytest.raises(SettingsError, match="--modality was rgbdiff, is rgb"):
        train(settings, frozenset({"modality"}))


def test_it_is_fused_with_an_rgb_run(run: Path, trained_run: Path) -> None:
    both = [evaluated(folder, **CPU) for folder in (trained_run, run)]
    shares = [evaluation.scored.values.softmax(dim=1) for evaluation in both]
    found = fuse(both, [2, 1]).scored.values.softmax(dim=1)
    assert torch.allclose(found, (2 * shares[0] + shares[1]) / 3, atol=1e-6)


@pytest.mark.slow
def test_an_array_and_an_exported_file_give_the_same_numbers(run: Path, data: DataSettings, tmp_path: Path) -> None:
    wanted = evaluated(run, num_segments=2, **CPU).scored.values.softmax(dim=1).numpy()
    facts = export(run, tmp_path / "model.pt2", num_segments=2)
    assert facts.input == "frames: uint8 RGB (B, S, 6, H, W, 3)"
    assert facts.sampling.startswith("frames int(t / 2 + t * i) to 5 later of segment i, t = (N - 5) / S, of the N")
    module = torch.export.load(tmp_path / "model.pt2").module()
    for frames, probabilities in zip(videos_of(data), wanted, strict=True):
        assert np.abs(predict(load_trained(run), frames, num_segments=2) - probabilities).max() < 1e-5
        snippet = frames[np.minimum(np.arange(6), len(frames) - 1)]  # of so short a video both segments show the first
        clip = torch.from_numpy(np.stack([snippet, snippet])[None])
        assert np.abs(module(clip)[0].detach().numpy() - probabilities).max() < 1e-5


@pytest.mark.slow
def test_it_is_exported_to_onnx(run: Path, tmp_path: Path) -> None:
    """Compared with torch in three sizes before the file gets its name."""
    assert export(run, tmp_path / "model.onnx").num_segments == 3


def test_features_and_batches_are_of_whole_snippets(run: Path, data: DataSettings, tmp_path: Path) -> None:
    write_features(run, tmp_path / "features.h5", SplitScoreSettings(**CPU))
    with h5py.File(tmp_path / "features.h5") as file:
        assert file["feature"].shape == (TEST, 512)
    how: dict[str, Any] = {"input_size": EDGE, "batch_size": 4, "num_segments": 2, "modality": "rgbdiff"}
    for out in ("batch.npz", "batch.png"):
        show_batch(ShowBatchSettings(frames=data.frames, splits=data.splits, out=tmp_path / out, **how))
    with np.load(tmp_path / "batch.npz") as file:
        assert file["clips"].shape == (4, 2 * 6, 3, EDGE, EDGE)
        steps = np.diff(file["frame_indices"].reshape(4, 2, 6), axis=2)
        assert ((steps == 1) | (steps == 0)).all()
