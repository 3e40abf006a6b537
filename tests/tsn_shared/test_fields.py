import json
from pathlib import Path
from typing import cast

import pytest

from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.fields import Settings, flag_of, from_plain
from tsn.tsn_shared.settings import DataSettings, ExtractSettings, LoaderSettings, SplitsSettings, TrainSettings

KINDS = [DataSettings, ExtractSettings, SplitsSettings, LoaderSettings, TrainSettings]


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_survive_json(kind: type[Settings]) -> None:
    settings = kind()
    assert from_plain(kind, json.loads(json.dumps(settings.plain()))) == settings


def test_other_values_survive_json_with_their_types() -> None:
    settings = TrainSettings(run=Path("runs/a"), lr_decay_epoch=(3, 5), num_classes=7, compile=False)
    back = from_plain(TrainSettings, json.loads(json.dumps(settings.plain())))
    assert back == settings
    assert isinstance(back.run, Path)
    assert back.lr_decay_epoch == (3, 5)


def test_absent_values_take_defaults_and_unknown_ones_are_refused() -> None:
    assert from_plain(LoaderSettings, {"seed": 3}) == LoaderSettings(seed=3)
    with pytest.raises(SettingsError, match="unknown settings: colour, size"):
        from_plain(LoaderSettings, {"size": 3, "seed": 3, "colour": "red"})


def test_flag_is_the_name_as_the_command_line_writes_it() -> None:
    assert flag_of("lr_decay_epoch") == "--lr-decay-epoch"


def test_text_will_do_for_a_path() -> None:
    settings = DataSettings(frames=cast("Path", "my frames"), splits=Path("s"))
    assert settings.frames == Path("my frames")
    with pytest.raises(SettingsError, match="--frames is 3: it must be a path"):
        DataSettings(frames=cast("Path", 3))
