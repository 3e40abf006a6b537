"""Settings written as TOML, and read again."""

import tomllib
from dataclasses import fields
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tsn.tsn_shared.config_text import config_text
from tsn.tsn_shared.fields import from_plain
from tsn.tsn_shared.headings import TRAIN_HEADINGS
from tsn.tsn_shared.settings import TrainSettings

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
CHANGED = st.fixed_dictionaries(
    {},
    optional={
        "split": TEXT,
        "weights": TEXT,
        "resume": TEXT,
        "lr": st.floats(1e-300, 1e30),
        "seed": st.integers(0, 2**62 - 1),
        "lr_decay_epoch": st.lists(st.integers(1, 10**6), max_size=4),
        "compile": st.booleans(),
        "use_tsn": st.booleans(),
        "mean": st.lists(st.floats(0, 1), min_size=3, max_size=3),
        "clip_grad": st.floats(1e-3, 1e9),
    },
)


@given(CHANGED, TEXT)
def test_what_is_written_is_read_as_the_same_settings(changed: dict[str, Any], origin: str) -> None:
    settings = from_plain(TrainSettings, changed)
    origins = {entry.name: origin for entry in fields(TrainSettings)}
    assert from_plain(TrainSettings, tomllib.loads(config_text(settings, origins, TRAIN_HEADINGS))) == settings


def test_each_setting_stands_once_under_a_heading_with_its_origin() -> None:
    names = [name for group in TRAIN_HEADINGS.values() for name in group]
    text = config_text(TrainSettings(), {name: f"from {name}" for name in names}, TRAIN_HEADINGS)
    lines = text.splitlines()
    assert "# Network" in lines
    assert 'model = "vgg16"  # from model' in lines
    assert "lr_decay_epoch = [30, 60]  # from lr_decay_epoch" in lines
    assert "# clip_grad is not set  # from clip_grad" in lines
    assert len([line for line in lines if line.endswith(tuple(f"# from {name}" for name in names))]) == len(names)
