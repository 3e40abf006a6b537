"""The recipes that come with tsn."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.fields import from_plain
from tsn.tsn_shared.recipe_files import RECIPES, find_config, recipe_names
from tsn.tsn_shared.settings import TrainSettings

PLACES = {"frames", "splits", "split", "run", "resume", "gpus", "num_processes", "nnodes", "rdzv_endpoint", "track"}
"""Settings that are no recipe's: they say where, not how."""


def recipe(name: str) -> dict[str, object]:
    return tomllib.loads((RECIPES / f"{name}.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_states_settings_that_there_are_and_no_places(name: str) -> None:
    stated = recipe(name)
    assert {*stated} <= {entry.name for entry in fields(TrainSettings)} - PLACES
    settings = from_plain(TrainSettings, stated)
    assert settings.plain() == TrainSettings().plain() | stated
    assert (RECIPES / f"{name}.toml").read_text(encoding="utf-8").startswith("# ")


def test_the_recipes_are_these() -> None:
    assert recipe_names() == ("finetune", "gluoncv-vgg16", "probe", "tsm-resnet50")


def test_the_tutorials_recipe_is_that_of_the_published_run() -> None:
    assert recipe("gluoncv-vgg16") == {
        "model": "vgg16",
        "weights": "imagenet",
        "use_tsn": True,
        "num_segments": 3,
        "input_size": 224,
        "dropout": 0.9,
        "optimizer": "sgd",
        "momentum": 0.9,
        "wd": 0.0005,
        "batch_size": 25,
        "num_epochs": 80,
        "lr": 0.001,
        "lr_mode": "step",
        "lr_decay": 0.1,
        "lr_decay_epoch": [30, 60, 80],
    }


def test_the_recipe_of_tsm_shifts_and_has_eight_segments() -> None:
    settings = from_plain(TrainSettings, recipe("tsm-resnet50"))
    assert (settings.model, settings.shift, settings.segments, settings.clip_grad) == ("resnet50", True, 8, 20.0)


def test_a_file_that_is_there_goes_before_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(Path("finetune")) == (RECIPES / "finetune.toml", "recipe finetune")
    (tmp_path / "finetune").mkdir()  # a folder is no file
    assert find_config(Path("finetune"))[1] == "recipe finetune"
    (tmp_path / "finetune").rmdir()
    (tmp_path / "finetune").write_text("lr = 1.0\n")
    assert find_config(Path("finetune")) == (Path("finetune"), "file finetune")


def test_what_is_neither_lists_the_recipes() -> None:
    with pytest.raises(
        SettingsError, match=r"--config fine: there is no such file, and no recipe .* finetune, gluoncv"
    ):
        find_config(Path("fine"))
