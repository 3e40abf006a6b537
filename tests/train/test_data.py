"""What is known of the data before the loader is opened."""

from dataclasses import replace
from pathlib import Path

import pytest

from tsn.train.data import (
    StoredFrames,
    check_data,
    class_names,
    clip_names,
    split_facts,
    stored_frames,
    with_data_from,
)
from tsn.tsn_shared.draws import permutation
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import DataSettings, TrainSettings
from tsn.tsn_shared.splits import Split, open_split


@pytest.fixture
def settings(data: DataSettings) -> TrainSettings:
    return TrainSettings(frames=data.frames, splits=data.splits)


@pytest.fixture
def split(data: DataSettings) -> Split:
    return open_split(data)


def test_data_that_are_there_are_opened_and_what_lacks_is_told(settings: TrainSettings, tmp_path: Path) -> None:
    assert len(check_data(settings).train) == 12
    with pytest.raises(DataError, match="holds no split 1"):
        check_data(replace(settings, splits=tmp_path))
    with pytest.raises(DataError, match=r"lacks 1 of the 1 shards of .*, the first is frames-00000\.h5"):
        check_data(replace(settings, frames=tmp_path))
    with pytest.raises(SettingsError, match=r"--num-classes 3: .* has 4 classes"):
        check_data(replace(settings, num_classes=3))


def test_classes_beyond_those_of_the_split_are_numbered(split: Split, settings: TrainSettings) -> None:
    assert class_names(split, settings) == split.classes
    assert class_names(split, replace(settings, num_classes=6)) == (*split.classes, "class4", "class5")


def test_a_split_is_told_by_its_path_seal_and_counts(split: Split) -> None:
    facts = split_facts(split).plain()
    assert (list(facts), facts["train"], facts["test"]) == (["path", "sha256", "train", "test"], 12, 7)
    assert len(str(facts["sha256"])) == 64


def test_frames_are_of_the_size_of_them_all(split: Split, settings: TrainSettings, tmp_path: Path) -> None:
    assert stored_frames(split, settings) == StoredFrames(size="64x48", quality=None)
    assert stored_frames(split, replace(settings, frames=tmp_path)) == StoredFrames()


def test_positions_in_the_stream_are_clips_of_their_epoch(split: Split) -> None:
    names = split.names("train", slice(None))
    orders = [permutation(seed=3, epoch=epoch, size=12) for epoch in (0, 1)]
    assert clip_names(split, 3, [0, 11, 12]) == [names[orders[0][0]], names[orders[0][11]], names[orders[1][0]]]


def test_data_are_found_from_the_folder_of_the_training(settings: TrainSettings) -> None:
    base, name = settings.frames.parent, Path(settings.frames.name)
    stated = replace(settings, frames=name, splits=name)
    assert with_data_from(stated, str(base)) == settings
    assert with_data_from(stated, None) == stated
