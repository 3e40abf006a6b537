"""A network is loaded with all that its answers depend on, and goes by its own split."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tsn.train.answers.trained import check_split, height_and_width, learned_from, load_trained, settings_for
from tsn.train.data import StoredFrames
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import DataSettings
from tsn.tsn_shared.splits import open_split


@pytest.mark.parametrize("name", ["", "checkpoints/best.pt", "checkpoints/last.pt", "model.safetensors"])
def test_each_file_of_a_run_gives_its_network_and_what_it_learned_from(
    trained_run: Path, data: DataSettings, name: str
) -> None:
    found = load_trained(trained_run / name)
    assert found.path == trained_run / (name or "checkpoints/best.pt")
    assert found.run == trained_run
    assert not found.network.training
    assert found.classes == tuple(f"Colour{number}" for number in range(4))
    assert (found.settings.model, found.epoch in (0, 1)) == ("resnet18", True)
    assert found.frame_size == (48, 64)
    assert learned_from(found, open_split(data))


def test_a_file_that_was_moved_lies_in_its_own_folder(trained_run: Path, tmp_path: Path) -> None:
    shutil.copy(trained_run / "model.safetensors", tmp_path / "mine.safetensors")
    found = load_trained(tmp_path / "mine.safetensors")
    assert found.run == tmp_path
    whole = load_trained(trained_run).network.state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in found.network.state_dict().items())


def test_a_folder_without_a_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no checkpoint: name a run folder or a"):
        load_trained(tmp_path)


def test_sizes_are_written_as_width_and_height() -> None:
    assert (height_and_width("340x256"), height_and_width("native")) == ((256, 340), None)
    with pytest.raises(SettingsError, match="--size 340"):
        height_and_width("340")


def test_the_data_are_the_runs_own_where_nothing_is_stated(trained_run: Path, tmp_path: Path) -> None:
    trained = load_trained(trained_run)
    assert settings_for(trained) == trained.settings
    elsewhere = settings_for(trained, frames=tmp_path)
    assert (elsewhere.frames, elsewhere.splits, elsewhere.split) == (tmp_path, trained.settings.splits, "1")
    with pytest.raises(DataError, match=r"holds no split 2 .*: there are 1"):
        settings_for(trained, split="2")
    shutil.copytree(trained.settings.splits, tmp_path / "splits")
    shutil.copy(tmp_path / "splits/split1.h5", tmp_path / "splits/split2.h5")
    with pytest.raises(SettingsError, match="was trained on split 1: test clips of split 2"):
        settings_for(trained, splits=tmp_path / "splits", split="2")
    assert settings_for(trained, split="2", other_split=True).split == "2"


def test_a_split_of_other_clips_or_classes_is_refused(trained_run: Path, data: DataSettings) -> None:
    trained, split = load_trained(trained_run), open_split(data)
    check_split(trained, split, other_split=False)
    check_split(replace(trained, classes=(*trained.classes, "more")), split, other_split=False)  # --num-classes
    check_split(replace(trained, train_sha256=None), split, other_split=False)  # an older checkpoint
    with pytest.raises(SettingsError, match=r"has other classes \(4\) than .* \(4\)"):
        check_split(replace(trained, classes=trained.classes[::-1]), split, other_split=True)
    other = replace(trained, train_sha256="0" * 64, frames=StoredFrames())
    assert (learned_from(other, split), other.frame_size) == (False, None)
    with pytest.raises(SettingsError, match="it trains on other clips"):
        check_split(other, split, other_split=False)
    check_split(other, split, other_split=True)
