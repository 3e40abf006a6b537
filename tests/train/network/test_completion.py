"""What a training records of what its settings leave open."""

import pytest

from tsn.train.network.completion import completed
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.normalisation import MEAN, STD
from tsn.tsn_shared.settings import TrainSettings

LITE = "timm/tf_efficientnet_lite0"


def test_torchvisions_networks_take_imagenets_pictures() -> None:
    settings = completed(TrainSettings())
    assert (settings.num_segments, settings.input_size, settings.mean, settings.std) == (3, 224, MEAN, STD)
    assert completed(settings) == settings


def test_a_model_of_timm_has_its_own_input() -> None:
    settings = completed(TrainSettings(model=LITE))
    assert (settings.input_size, settings.mean, settings.std) == (224, (0.5,) * 3, (0.5,) * 3)
    assert completed(TrainSettings(model="timm/inception_v3")).input_size == 299


def test_what_is_stated_stays() -> None:
    stated = TrainSettings(model=LITE, input_size=64, mean=(0.1, 0.2, 0.3), num_segments=5, use_tsn=False)
    settings = completed(stated)
    assert (settings.input_size, settings.mean, settings.std) == (64, (0.1, 0.2, 0.3), (0.5,) * 3)
    assert (settings.num_segments, settings.segments) == (5, 1)


@pytest.mark.parametrize("name", ["timm/no-such-model", "timm/hf-hub:somebody/something", "timm/"])
def test_a_model_that_is_not_there_is_named_before_anything_is_built(name: str) -> None:
    with pytest.raises(SettingsError, match="has no such model"):
        completed(TrainSettings(model=name))
