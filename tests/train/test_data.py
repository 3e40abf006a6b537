"""What is known of the data before the loader is opened."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tsn.pipeline.loading.schedule import train_schedule
from tsn.train.data import (
    StoredFrames,
    check_data,
    class_names,
    clip_names,
    how_best_is_chosen,
    split_facts,
    stored_frames,
    with_data_from,
)
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import BALANCES, DataSettings, TrainSettings
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
    assert list(facts) == ["path", "sha256", "train", "val", "test", "best_epoch"]
    assert (facts["train"], facts["val"], facts["test"]) == (12, 0, 7)
    assert len(str(facts["sha256"])) == 64


@pytest.mark.parametrize(
    ("val", "test", "words"),
    [
        (0, 7, "the best epoch is chosen on the 7 test clips, which evaluate scores as well: there are no val clips"),
        (3, 4, "the best epoch is chosen on the 3 val clips, evaluate scores the 4 test clips"),
        (3, 0, "the best epoch is chosen on the 3 val clips, which evaluate scores as well: there are no test clips"),
        (0, 0, "no best epoch is chosen: there are no clips to validate on"),
    ],
)
def test_how_the_best_epoch_is_chosen_is_said(split: Split, val: int, test: int, words: str) -> None:
    rows = np.arange(len(split.test))
    parts = replace(split, val=split.test.take(rows[:val]), test=split.test.take(rows[val : val + test]))
    assert how_best_is_chosen(parts) == words


def test_frames_are_of_the_size_of_them_all(split: Split, settings: TrainSettings, tmp_path: Path) -> None:
    assert stored_frames(split, settings) == StoredFrames(size="64x48", quality=None)
    assert stored_frames(split, replace(settings, frames=tmp_path)) == StoredFrames()


@pytest.mark.parametrize("balance", BALANCES)
def test_positions_in_the_stream_are_the_clips_that_are_served_there(
    split: Split, settings: TrainSettings, balance: str
) -> None:
    names, chosen = split.names("train", slice(None)), replace(settings, seed=3, balance=balance, batch_size=13)
    served = train_schedule(split.train, chosen).batch(0).rows
    assert clip_names(split, chosen, [0, 11, 12]) == [names[served[place]] for place in (0, 11, 12)]


def test_data_are_found_from_the_folder_of_the_training(settings: TrainSettings) -> None:
    base, name = settings.frames.parent, Path(settings.frames.name)
    stated = replace(settings, frames=name, splits=name)
    assert with_data_from(stated, str(base)) == settings
    assert with_data_from(stated, None) == stated
