from tsn.tsn_shared.normalisation import Normalisation
from tsn.tsn_shared.settings import LoaderSettings, TrainSettings


def test_normalisation_is_that_of_imagenet_where_nothing_else_is_stated() -> None:
    usual = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert Normalisation() == usual == LoaderSettings().normalisation


def test_settings_that_state_one_give_it() -> None:
    settings = TrainSettings(mean=(0.5, 0.4, 0.3), std=(1.0, 0.9, 0.8))
    assert settings.normalisation == Normalisation(mean=(0.5, 0.4, 0.3), std=(1.0, 0.9, 0.8))
