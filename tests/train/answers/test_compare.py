"""Runs side by side."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from tsn.cli import tsn
from tsn.train.answers.compare import compare, side_by_side
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.letters import shortened, width

MEAN = {"val_mean_class_accuracy": 0.625}


@pytest.fixture
def runs(trained_run: Path, tmp_path: Path) -> list[Path]:
    """A run, and one like it with another learning rate, one epoch less and a better first epoch."""
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.json", "metrics.jsonl"):
        shutil.copy(trained_run / name, other)
    config = json.loads((other / "config.json").read_text())
    config["split"] |= {"val": 5, "test": 0}
    config["settings"] |= {"lr": 0.5, "lr_decay_epoch": [3, 4]}
    (other / "config.json").write_text(json.dumps(config))
    first = json.loads((other / "metrics.jsonl").read_text().splitlines()[0])
    (other / "metrics.jsonl").write_text(json.dumps(first | {"val_top1": 0.875, "val_loss": 0.5} | MEAN) + "\n")
    return [trained_run, other]


def test_they_are_told_with_what_differs_and_drawn_in_one_picture(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "pictures" / "both.png"
    done = CliRunner().invoke(tsn, ["compare", *map(str, runs), "--out", str(out)])
    assert done.exit_code == 0, done.output
    cells = ([cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines())
    rows = {name: rest for name, *rest in cells}
    assert rows["run"] == ["run", "other"]
    assert rows["split"] == ["1", "1"]
    assert rows["validated on"] == ["7 test clips", "5 val clips"]
    assert rows["--lr"] == ["0.002", "0.5"]
    assert rows["--lr-decay-epoch"] == ["30,60", "3,4"]
    assert "--momentum" not in rows
    assert "--run" not in rows
    assert rows["epochs done"] == ["2", "1"]
    assert rows["best val top-1"][1] == "87.50%"
    assert rows["per-class mean"][1] == "62.50%"
    with Image.open(out) as picture:
        assert picture.width > 1200


def test_many_runs_stand_in_tables_of_80_columns(runs: list[Path], tmp_path: Path) -> None:
    many = [runs[0], *(tmp_path / f"{number}跑步" / "run-with-a-very-long-name" for number in range(8))]
    for folder in many[1:]:
        shutil.copytree(runs[1], folder)
    text = side_by_side(compare(many, tmp_path / "many.png"))
    for label in ("best val top-1", "  per-class mean", "seconds trained"):  # none is shortened
        assert text.count(f"| {label} ") == 3 * (1 + label.startswith(" "))
    assert max(map(width, text.splitlines())) <= 80


def test_json_holds_fractions(runs: list[Path], tmp_path: Path) -> None:
    words = ["compare", *map(str, runs), "--out", str(tmp_path / "both.png"), "--json"]
    columns = json.loads(CliRunner().invoke(tsn, words).stdout)
    assert columns[1]["best_val_top1"] == 0.875
    assert columns[1]["settings"] == {"lr": 0.5, "lr_decay_epoch": [3, 4]}
    assert columns[0]["protocol"] == "val (3 segments)"
    assert list(columns[0]) == [
        *("run", "split", "protocol", "train_clips", "val_clips", "test_clips", "settings", "epochs", "val_top1"),
        *("val_mean_class_accuracy", "train_top1", "train_loss", "clips_per_second", "seconds", "best_epoch"),
        *("best_val_top1", "best_val_top5", "best_val_mean_class_accuracy", "best_val_loss"),
    ]


def test_runs_of_one_name_go_by_their_paths(runs: list[Path], tmp_path: Path) -> None:
    twin = tmp_path / "deeper" / "other"
    shutil.copytree(runs[1], twin)
    text = side_by_side(compare([runs[1], twin], tmp_path / "both.png"))
    heads = [cell.strip() for cell in text.splitlines()[0].split("|")]
    assert heads[2:4] == [shortened(str(folder), width(heads[2])) for folder in (runs[1], twin)]
    assert heads[2] != heads[3]


def test_what_is_no_run_or_has_no_epoch_is_said(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SettingsError, match="is not a run folder"):
        compare([tmp_path / "none"], tmp_path / "a.png")
    (runs[1] / "metrics.jsonl").write_text("")
    assert [summary.run for summary in compare(runs, tmp_path / "a.png")] == [runs[0]]
    assert f"left out, no epoch is finished: {runs[1]}" in capsys.readouterr().err
    with pytest.raises(SettingsError, match="no run has a finished epoch"):
        compare(runs[1:], tmp_path / "a.png")
    rows = [json.loads(line) for line in (runs[0] / "metrics.jsonl").read_text().splitlines()]
    older = [{name: value for name, value in row.items() if name not in MEAN} for row in rows]
    (runs[1] / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in older))
    assert "  per-class mean" in side_by_side(compare(runs, tmp_path / "a.png"))
    (runs[1] / "metrics.jsonl").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        compare(runs, tmp_path / "a.png")
