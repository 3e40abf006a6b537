from dataclasses import fields

from tsn.tsn_shared.headings import TRAIN_HEADINGS
from tsn.tsn_shared.settings import TrainSettings


def test_each_setting_of_train_stands_under_one_heading() -> None:
    names = [name for group in TRAIN_HEADINGS.values() for name in group]
    assert sorted(names) == sorted(entry.name for entry in fields(TrainSettings))
