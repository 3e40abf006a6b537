"""Where a split has val, it chooses the best epoch and `evaluate` scores test; where it has no test, it scores val."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.runs import evaluated, history
from tsn.train import train
from tsn.train.answers.evaluate import CHOSEN_ON_THESE, evaluate_runs
from tsn.tsn_shared.settings import DataSettings, SplitScoreSettings, TrainSettings
from tsn.tsn_shared.splits import SUBSETS, Split, Subset, open_split, write_split


def with_val(data: DataSettings, folder: Path, *, val: int, test: int) -> Split:
    """Write a split of the same train clips whose val are the first of the test clips, and test some of the others."""
    folder.mkdir()
    split = open_split(data)
    rows = {"train": np.arange(len(split.train)), "val": np.arange(val), "test": val + np.arange(test)}
    old: dict[Subset, Subset] = {"train": "train", "val": "test", "test": "test"}
    write_split(
        folder / "split1.h5",
        source="tests",
        classes=split.classes,
        shards=dict(zip(split.shard_names, split.shard_sha256, strict=True)),
        clips={subset: split.subset(old[subset]).take(rows[subset]) for subset in SUBSETS},
        names={subset: split.names(old[subset], rows[subset]) for subset in SUBSETS},
    )
    return open_split(replace(data, splits=folder))


@pytest.mark.parametrize(("test", "scored"), [(4, "test"), (0, "val")])
def test_val_chooses_and_test_is_scored(
    small: dict[str, Any], data: DataSettings, tmp_path: Path, test: int, scored: str
) -> None:
    split = with_val(data, tmp_path / "splits", val=3, test=test)
    folder = tmp_path / "run"
    train(TrainSettings(**small | {"splits": tmp_path / "splits", "num_epochs": 1}), frozenset())
    stated = json.loads((folder / "config.json").read_text())["split"]
    assert (stated["val"], stated["test"], "chosen on the 3 val clips" in stated["best_epoch"]) == (3, test, True)
    assert "12 clips to train on, 3 to validate on" in (folder / "log.txt").read_text()
    found = evaluated(folder, gpus="0")
    assert found.scored.names == split.names(split.scored, slice(None))
    assert found.figures.subset == split.scored == scored
    (row,) = history(folder)
    assert (found.figures.metrics.loss == pytest.approx(row["val_loss"], rel=1e-5)) == (scored == "val")
    _, text = evaluate_runs([folder], SplitScoreSettings(gpus="0"))
    assert f"{test or 3} {scored} clips: top-1" in text
    assert (CHOSEN_ON_THESE in text) == (scored == "val")


def test_without_val_the_choice_is_told_beside_the_score(trained_run: Path) -> None:
    _, text = evaluate_runs([trained_run], SplitScoreSettings(gpus="0"))
    assert CHOSEN_ON_THESE in text.splitlines()
    _, text = evaluate_runs([trained_run / "checkpoints" / "last.pt"], SplitScoreSettings(gpus="0"))
    assert CHOSEN_ON_THESE not in text
