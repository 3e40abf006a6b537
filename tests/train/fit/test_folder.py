"""The files of a run: what they hold, who writes them, and what is read back."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.train.test_history import row
from tsn.train.data import SplitFacts
from tsn.train.fit.folder import Config, RunFolder, read_config, read_history, what_changed
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import TrainSettings

SETTINGS = TrainSettings(frames=Path("/frames"), splits=Path("/splits"), lr_decay_epoch=(3,), num_epochs=4)
SPLIT = SplitFacts(path="/splits/split1.h5", sha256="0" * 64, train=12, test=7)


def test_config_json_has_its_keys_and_comes_back(tmp_path: Path) -> None:
    config = Config(settings=SETTINGS, split=SPLIT, base="/somewhere", classes=("a", "b"), versions={"tsn": "1"})
    RunFolder(tmp_path / "run", writes=True).write_config(config)
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert list(stored) == ["settings", "split", "classes", "versions", "base"]
    assert stored["settings"] == SETTINGS.plain()
    assert stored["split"] == {
        "path": "/splits/split1.h5",
        "sha256": "0" * 64,
        "train": 12,
        "val": 0,
        "test": 7,
        "best_epoch": "",
    }
    assert read_config(tmp_path / "run") == config


def test_what_a_run_computes_otherwise_when_it_goes_on_is_told() -> None:
    before = Config(settings=SETTINGS, split=SPLIT, base=None, versions={"torch": "2.13", "threads": "1", "dali": "2"})
    now = replace(before, versions={"torch": "2.14", "threads": "2", "dali": "2", "timm": "1"})
    assert what_changed(before, now) == [
        "torch: 2.14, and 2.13 before: sums may differ in their last bits",
        "threads: 2, and 1 before: sums may differ in their last bits",
    ]
    longer = replace(before, settings=replace(SETTINGS, num_epochs=9))
    assert what_changed(before, longer) == []  # steps are where they were
    cosine = replace(before, settings=replace(SETTINGS, lr_mode="cosine"))
    (words,) = what_changed(cosine, replace(cosine, settings=replace(cosine.settings, num_epochs=9)))
    assert words == "9 epochs in place of 4: learning rates are those of a cosine schedule of 9 from here on"


def test_versions_that_are_no_texts_are_passed_over(tmp_path: Path) -> None:
    RunFolder(tmp_path, writes=True).write_config(Config(settings=SETTINGS, split=SPLIT, base=None))
    stored = json.loads((tmp_path / "config.json").read_text())
    for versions, read in (([1], {}), ({"tsn": 3, "torch": "2", "x": "y" * 1000}, {"torch": "2"})):
        (tmp_path / "config.json").write_text(json.dumps(stored | {"versions": versions}))
        assert read_config(tmp_path).versions == read


def test_an_older_config_json_lacks_what_came_later(tmp_path: Path) -> None:
    older = {"settings": {"lr": 0.5, "frames": "/frames"}, "split": {"train": 12, "test": 7}}
    (tmp_path / "config.json").write_text(json.dumps(older))
    found = read_config(tmp_path)
    assert (found.settings, found.base) == (TrainSettings(lr=0.5, frames=Path("/frames")), None)
    assert found.split == SplitFacts(train=12, test=7)


def test_the_history_is_a_line_an_epoch_and_a_table_of_all_columns(tmp_path: Path) -> None:
    history = [row(0), row(1, 0.5)]
    RunFolder(tmp_path, writes=True).write_history(history)
    assert read_history(tmp_path) == history
    with (tmp_path / "summary.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [line["val_top1"] for line in table] == ["", "0.5"]
    assert list(table[0]) == list(row(1, 0.5).plain())
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row(1).plain()) + "\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl cannot be read: epochs\[2\]\.epoch is 1: it must be 2"):
        read_history(tmp_path)


def test_words_are_said_and_logged_with_the_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunFolder(tmp_path / "run", writes=True).say("a word")
    assert capsys.readouterr().err == "a word\n"
    assert (tmp_path / "run" / "log.txt").read_text()[10:][9:] == " a word\n"


def test_other_ranks_than_the_first_write_and_say_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(tmp_path / "run", writes=False)
    folder.say("a word")
    folder.write_history([row(0)])
    folder.write_config(Config(settings=SETTINGS, split=SPLIT, base=None))
    assert capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"file cannot be written: .* set another --run"):
        RunFolder(tmp_path / "file", writes=True).write_history([])
