"""A dry run takes a step and leaves everything as it was."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.train.runs import command, finish, start
from tsn.train.fit.dry_run import Unwritten
from tsn.train.fit.launch import train
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.settings import TrainSettings


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_data_memory_and_a_step_are_checked_and_nothing_is_written(
    small: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train(TrainSettings(**small | {"run": None}), dry_run=True)
    said = capsys.readouterr().err
    for words in ("memory: about ", "weights: drawn at random", "12 clips to train on, 7 to validate on"):
        assert words in said
    assert "dry run: a step of 5 clips took " in said
    assert "(loss 1." in said
    (tmp_path / "run").mkdir()  # one's own, and empty: it stays
    with pytest.raises(DataError, match="does not exist: name the folder of frames"):
        train(TrainSettings(**small | {"frames": tmp_path / "none"}), dry_run=True)
    with pytest.raises(SettingsError, match=r"--batch-size 12 needs about .* GiB a process"):
        train(TrainSettings(**small | {"batch_size": 12, "input_size": 8192}), dry_run=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert list((tmp_path / "run").iterdir()) == []


def test_a_run_that_would_go_on_takes_its_next_step_and_stays_as_it_is(
    trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(trained_run, tmp_path / "run")
    before = contents(folder)
    train(TrainSettings(resume=str(folder), num_epochs=3), frozenset({"num_epochs"}), dry_run=True)
    said = capsys.readouterr().err
    assert "going on at step 5, epoch 2" in said
    assert "dry run: a step of 5 clips took " in said
    train(TrainSettings(resume=str(folder)), dry_run=True)
    assert f"dry run: {folder} is finished" in capsys.readouterr().err
    (folder / "checkpoints" / "best.pt").unlink()  # which resuming would put back
    train(TrainSettings(resume=str(folder), num_epochs=3), frozenset({"num_epochs"}), dry_run=True)
    assert contents(folder) == {path: kept for path, kept in before.items() if path.name != "best.pt"}


@pytest.mark.slow
def test_each_of_several_ranks_takes_its_step(small: dict[str, Any], tmp_path: Path) -> None:
    said = finish(start(command(small | {"num_processes": 2, "num_epochs": 1}, "--dry-run")))
    assert "2 x CPU, 10 clips a step" in said
    assert said.count("dry run: a step of 10 clips took ") == 1
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_written_says_what_is_said_on_the_first_rank_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for speaks in (True, False):
        folder = Unwritten(tmp_path / "run", speaks=speaks)
        folder.say("words")
        folder.log("words")
        folder.write_history([])
    assert capsys.readouterr().err == "words\n"
    assert not (tmp_path / "run").exists()
