from dataclasses import FrozenInstanceError, fields
from typing import Any, cast

import pytest

from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.fields import Settings, default_of
from tsn.tsn_shared.settings import DataSettings, ExtractSettings, LoaderSettings, SplitsSettings, TrainSettings

KINDS = [DataSettings, ExtractSettings, SplitsSettings, LoaderSettings, TrainSettings]


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (ExtractSettings, {"quality": 1}, "--quality 1: it must be at least 2"),
        (ExtractSettings, {"quality": 32}, "--quality 32: it must be at most 31"),
        (ExtractSettings, {"videos_per_shard": 0}, "--videos-per-shard 0: it must be at least 1"),
        (SplitsSettings, {"split_by": "class"}, "--split-by class: it must be one of group, video"),
        (SplitsSettings, {"test_share": 0}, "--test-share 0: it must be more than 0"),
        (TrainSettings, {"lr": 0.0}, r"--lr 0\.0: it must be more than 0"),
        (TrainSettings, {"lr": float("nan")}, "--lr nan: it must be more than 0"),
        (TrainSettings, {"dropout": 1.5}, r"--dropout 1\.5: it must be at most 1"),
        (TrainSettings, {"model": "alexnet"}, "--model alexnet: it must be one of vgg16, .* resnet50, or timm/NAME"),
        (TrainSettings, {"mean": (0.5, 0.5)}, "--mean 0.5,0.5: it takes 3 numbers, R,G,B"),
        (TrainSettings, {"mean": (0.5, 0.5, 127.5)}, r"--mean 127\.5: it must be at most 1"),
        (TrainSettings, {"std": (0.5, 0.5, 0)}, "--std 0: it must be more than 0"),
        (
            TrainSettings,
            {"lr_decay": 1e308, "lr_decay_epoch": (1, 1, 1)},
            r"1e\+308 at 3 epochs: it grows beyond",
        ),
        (TrainSettings, {"lr": 5e-324, "lr_decay": 1e180, "lr_decay_epoch": (1, 1)}, "it grows beyond"),
        (TrainSettings, {"lr": 1e30, "head_lr": 1e9}, r"--lr 1e\+30 \(--head-lr 1e\+09\) .* it grows beyond"),
        (
            TrainSettings,
            {"optimizer": "adamw", "momentum": 1.0},
            "--momentum 1 with --optimizer adamw: it must be less",
        ),
        (TrainSettings, {"head_lr": 0.0}, r"--head-lr 0\.0: it must be more than 0"),
        (TrainSettings, {"num_epochs": 10**12}, "--num-epochs 1000000000000: it must be at most 1000000"),
        (TrainSettings, {"num_classes": 10**9}, "--num-classes 1000000000: it must be at most 1000000"),
        (TrainSettings, {"input_size": 60_000}, "--input-size 60000: it must be at most 16384"),
        (TrainSettings, {"batch_size": 10**9}, "--batch-size 1000000000: it must be at most"),
        (TrainSettings, {"num_segments": 10**8}, "--num-segments 100000000: it must be at most"),
        (TrainSettings, {"lr_decay_epoch": (30, 0)}, "--lr-decay-epoch 0: it must be at least 1"),
    ],
)
def test_value_out_of_bounds_names_the_flag_and_the_bound(
    kind: type[Settings], value: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        kind(**value)


def test_bounds_themselves_are_allowed() -> None:
    ExtractSettings(quality=2)
    ExtractSettings(quality=31)
    TrainSettings(dropout=0, momentum=1, label_smoothing=1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_has_help_and_a_default_it_would_accept(kind: type[Settings]) -> None:
    for entry in fields(cast("Any", kind)):
        assert entry.metadata["help"].endswith("."), entry.name
        kind(**{entry.name: default_of(entry)})


def test_settings_cannot_be_changed_nor_given_by_position() -> None:
    with pytest.raises(FrozenInstanceError):
        LoaderSettings().seed = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        LoaderSettings(25)  # type: ignore[call-arg]


def test_defaults_are_the_published_recipe() -> None:
    settings = TrainSettings()
    assert (settings.model, settings.segments, settings.batch_size, settings.num_epochs) == ("vgg16", 3, 25, 80)
    assert (settings.lr, settings.lr_mode, settings.lr_decay, settings.lr_decay_epoch) == (0.001, "step", 0.1, (30, 60))
    assert (settings.momentum, settings.wd, settings.dropout, settings.warmup_epochs) == (0.9, 0.0005, 0.9, 0)
    assert (settings.clip_grad, settings.label_smoothing, settings.accumulate) == (None, 0, 1)


def test_without_tsn_a_clip_is_one_frame() -> None:
    assert TrainSettings(num_segments=5).segments == 5
    assert TrainSettings(num_segments=5, use_tsn=False).segments == 1
