"""Whole trainings on the CPU: what they leave behind, and that they go on exactly where they were killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from train.checkpoint import LAST, load_checkpoint
from train.evaluate import evaluate
from train.launch import train
from tsn_shared.errors import SettingsError, TsnError
from tsn_shared.settings import TrainSettings

ROOT = Path(__file__).parents[2]
CLOCK = {"seconds", "clips_per_second", "data_wait_share"}


def run(small: dict[str, Any], given: frozenset[str] = frozenset(), **changed: Any) -> Path:
    settings = TrainSettings(**(small | changed))
    train(settings, given)
    assert settings.run is not None
    return settings.run


def history(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in rows]


def command(small: dict[str, Any], *more: str) -> list[str]:
    flags = {name.replace("_", "-"): str(value) for name, value in small.items()}
    return [sys.executable, "-m", "cli", "train", *(f"--{name}={value}" for name, value in flags.items()), *more]


def test_a_run_leaves_the_files_of_its_folder_and_evaluates_to_its_own_figures(small: dict[str, Any]) -> None:
    folder = run(small)
    names = {path.name for path in folder.iterdir() if not path.name.startswith("events")}
    files = {"config.json", "metrics.jsonl", "summary.csv", "log.txt", "curves.png", "checkpoints"}
    assert names == files | {"model.safetensors", ".lock"}
    assert any(path.name.startswith("events.out.tfevents") for path in folder.iterdir())
    rows = history(folder)
    assert [row["epoch"] for row in rows] == [0, 1]
    assert [row["step"] for row in rows] == [3, 5]  # 24 clips, 5 a step
    last = evaluate(folder / "checkpoints" / LAST, protocol="val")
    assert last["clips"] == 7
    assert {name: last[name] for name in ("loss", "top1", "top5")} == {
        name: rows[-1][f"val_{name}"] for name in ("loss", "top1", "top5")
    }
    best = load_checkpoint(folder / "checkpoints" / "best.pt")["model"]
    for name, value in load_file(folder / "model.safetensors").items():
        assert torch.equal(value, best[name])


def test_training_twice_gives_the_same_bits_and_another_seed_others(small: dict[str, Any], tmp_path: Path) -> None:
    first, second = run(small, run=tmp_path / "a"), run(small, run=tmp_path / "b")
    assert history(first) == history(second)
    assert history(run(small, run=tmp_path / "c", seed=1)) != history(first)


def test_it_learns(small: dict[str, Any]) -> None:
    rows = history(run(small, num_epochs=8, batch_size=6, lr=0.003, lr_mode="cosine", dropout=0.0))
    assert rows[-1]["train_loss"] < rows[0]["train_loss"] / 2
    assert rows[-1]["val_top1"] >= 0.75


def test_killed_mid_epoch_and_resumed_it_ends_bit_for_bit_as_if_left_alone(
    small: dict[str, Any], tmp_path: Path
) -> None:
    small |= {"save_every": 1, "num_epochs": 4}
    whole = run(small, run=tmp_path / "whole")
    killed = tmp_path / "killed"
    process = subprocess.Popen(command(small | {"run": killed}), cwd=ROOT, stderr=subprocess.DEVNULL)
    last = killed / "checkpoints" / LAST
    begun = time.monotonic()
    while not last.exists() and time.monotonic() - begun < 60:
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert load_checkpoint(last)["position"] < 48
    train(TrainSettings(resume=str(killed)), frozenset())
    assert history(killed) == history(whole)
    weights = [load_checkpoint(folder / "checkpoints" / LAST)["model"] for folder in (killed, whole)]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name])


def test_two_ranks_compute_what_one_does(small: dict[str, Any], tmp_path: Path) -> None:
    small |= {"model": "vgg16", "dropout": 0.0, "num_epochs": 1}
    alone = history(run(small, run=tmp_path / "alone", batch_size=6))
    together = subprocess.run(
        command(small | {"run": tmp_path / "together", "batch_size": 3, "num_processes": 2}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert together.returncode == 0, together.stderr
    for one, two in zip(alone, history(tmp_path / "together"), strict=True):
        assert two["step"] == one["step"]
        assert two["train_loss"] == pytest.approx(one["train_loss"], rel=1e-5)
        assert two["val_loss"] == pytest.approx(one["val_loss"], rel=1e-5)


def test_a_loss_that_is_not_finite_ends_the_run_and_spares_the_weights(small: dict[str, Any]) -> None:
    clips = r"on 5 of 5 clips \(Colour\d/v_\d\d, .*, 1 more\)"
    with pytest.raises(TsnError, match=r"the loss was not finite at step 2 \(learning rate 1e\+30\) " + clips):
        run(small, lr=1e30, save_every=1, num_epochs=3)
    weights = load_checkpoint(Path(str(small["run"])) / "checkpoints" / LAST)["model"]
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())


def test_a_folder_with_a_run_is_refused_unless_resumed(small: dict[str, Any]) -> None:
    folder = run(small, num_epochs=1)
    with pytest.raises(SettingsError, match="holds a run: go on with --resume"):
        run(small, num_epochs=1)
    with pytest.raises(SettingsError, match=r"--lr was 0\.01, is 0\.5"):
        run(small, frozenset({"lr"}), resume=str(folder), lr=0.5)
    run(small, frozenset({"num_epochs"}), resume="auto", num_epochs=2)
    assert [row["epoch"] for row in history(folder)] == [0, 1]


def test_another_split_than_its_own_is_refused(small: dict[str, Any]) -> None:
    folder = run(small, num_epochs=1)
    with pytest.raises(SettingsError, match="was trained on split 1"):
        evaluate(folder, protocol="val", split="2")


def test_more_clips_a_step_than_there_are_is_refused(small: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="a step of 26 clips is more than the 12"):
        run(small, batch_size=13, accumulate=2)
