"""A run that was trained on data that it names by relative paths is used from any other folder; and a silent call."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.train.conftest import small_settings
from tests.train.runs import evaluated, history
from tsn.cli import tsn
from tsn.train.fit.checkpoint import BEST, load_checkpoint, save_checkpoint
from tsn.train.fit.folder import read_config
from tsn.train.fit.launch import train
from tsn.tsn_shared.console import LOG
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.settings import DataSettings, TrainSettings


@pytest.fixture
def run(data: DataSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Path:
    """A run of an epoch, trained in the folder of the data by a program that does not listen."""
    here: dict[str, Any] = {"frames": Path(data.frames.name), "splits": Path(data.frames.name), "num_epochs": 1}
    monkeypatch.chdir(data.frames.parent)
    with monkeypatch.context() as silent:
        silent.setattr(LOG, "handlers", [logging.NullHandler()])
        capfd.readouterr()
        train(TrainSettings(**small_settings(data, tmp_path / "run") | here))
        assert capfd.readouterr() == ("", "")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "run"


def test_a_run_is_evaluated_and_resumed_from_another_folder(run: Path, data: DataSettings) -> None:
    (row,) = history(run)
    for name in (run, run / "model.safetensors"):
        assert evaluated(name, gpus="0").figures.metrics.top1 == row["val_top1"]
    again = ["train", "--config", str(run / "config.json"), "--resume", str(run)]  # refused, were the data elsewhere
    done = CliRunner().invoke(tsn, again)
    assert done.exception is None, done.output
    train(TrainSettings(resume=str(run), num_epochs=2), frozenset({"num_epochs"}))
    assert len(history(run)) == 2
    assert read_config(run).settings.frames == data.frames


def test_an_older_run_that_does_not_state_its_folder_is_used_from_there(
    run: Path, data: DataSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((run / "config.json").read_text())
    assert config.pop("base") == str(data.frames.parent)
    (run / "config.json").write_text(json.dumps(config))
    state = load_checkpoint(run / "checkpoints" / BEST)
    del state["base"]
    save_checkpoint(run / "checkpoints", state, best=True)
    with pytest.raises(DataError, match=f"{data.frames.name} does not exist: run tsn build-splits"):
        evaluated(run, gpus="0")
    monkeypatch.chdir(data.frames.parent)
    assert evaluated(run, gpus="0").figures.metrics.top1 == history(run)[0]["val_top1"]
    assert read_config(run).settings.frames == Path(data.frames.name)
