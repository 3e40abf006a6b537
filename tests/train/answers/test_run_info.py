import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tsn.cli import tsn
from tsn.train.answers.run_info import run_info
from tsn.train.fit.checkpoint import save_checkpoint
from tsn.train.fit.folder import read_history
from tsn.train.history import best_row
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.settings import DataSettings


def test_a_run_says_what_its_network_takes_and_how_far_it_came(trained_run: Path, data: DataSettings) -> None:
    done = CliRunner().invoke(tsn, ["info", str(trained_run), str(data.frames), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["videos"] == 19
    (run,) = found["runs"]
    assert (run["model"], run["input_size"], run["num_segments"], run["classes"]) == ("resnet18", 32, 3, 4)
    assert (run["mean"], run["std"]) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    best = best_row(read_history(trained_run))
    assert best is not None
    assert (run["epochs"], run["best_epoch"], run["best_val_top1"]) == (2, best.epoch, best.val_top1)


def test_for_people_it_is_a_table(trained_run: Path) -> None:
    lines = CliRunner().invoke(tsn, ["info", str(trained_run)]).stdout.splitlines()
    rows = dict([cell.strip() for cell in line.split("|")[1:3]] for line in lines if line.startswith("| "))
    assert rows["model"] == "resnet18"
    assert rows["std"] == "0.229, 0.224, 0.225"
    assert rows["epochs"] == "2 of 2"
    assert "top-1 in epoch" in rows["best"]


def test_a_run_that_is_not_finished_says_the_step_that_it_would_go_on_from(trained_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    assert run_info(run).saved_step is None
    config = json.loads((run / "config.json").read_text())
    config["settings"]["num_epochs"] = 3
    (run / "config.json").write_text(json.dumps(config))
    save_checkpoint(run / "checkpoints", {"step": 5}, best=False)
    done = CliRunner().invoke(tsn, ["info", str(run)])
    assert "epochs        | 2 of 3" in done.stdout
    assert "saved at step | 5" in done.stdout


def test_a_run_of_before_means_imagenets_normalisation(trained_run: Path, tmp_path: Path) -> None:
    config = json.loads((trained_run / "config.json").read_text())
    for name in ("mean", "std", "shift"):
        del config["settings"][name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = run_info(tmp_path)
    assert (found.mean, found.shift, found.epochs, found.best_epoch) == ((0.485, 0.456, 0.406), False, 0, None)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError):
        run_info(tmp_path)
