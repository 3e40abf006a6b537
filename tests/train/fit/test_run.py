"""Whole trainings on the CPU: what they leave behind, and that they go on exactly where they were killed."""

import json
import math
import os
import re
import signal
import subprocess
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from tests.train.runs import ROOT, command, evaluated, history
from tsn.cli import tsn
from tsn.train.fit import checkpoint
from tsn.train.fit.checkpoint import BEST, LAST, load_checkpoint, load_newest
from tsn.train.fit.launch import train
from tsn.train.fit.place import place_run
from tsn.tsn_shared.errors import DataError, SettingsError, TsnError
from tsn.tsn_shared.files import locked
from tsn.tsn_shared.settings import DataSettings, TrainSettings
from tsn.tsn_shared.splits import read_split, write_split


def run(small: dict[str, Any], given: frozenset[str] = frozenset(), **changed: Any) -> Path:
    settings = TrainSettings(**(small | changed))
    train(settings, given)
    assert settings.run is not None
    return settings.run


def test_a_run_leaves_the_files_of_its_folder_and_evaluates_to_its_own_figures(small: dict[str, Any]) -> None:
    folder = run(small)
    names = {path.name for path in folder.iterdir() if not path.name.startswith("events")}
    files = {"config.json", "metrics.jsonl", "summary.csv", "log.txt", "curves.png", "checkpoints"}
    assert names == files | {"model.safetensors"}
    assert any(path.name.startswith("events.out.tfevents") for path in folder.iterdir())
    rows = history(folder)
    assert [row["epoch"] for row in rows] == [0, 1]
    assert [row["step"] for row in rows] == [3, 5]  # 24 clips, 5 a step
    last = evaluated(folder / "checkpoints" / LAST, protocol="val").figures.metrics.plain()
    assert last["clips"] == 7
    assert last["top5"] is None  # of so few classes
    figures = ("loss", "top1", "mean_class_accuracy")
    assert {name: last[name] for name in figures} == {name: rows[-1][f"val_{name}"] for name in figures}
    assert "val_mean_class_accuracy" in (folder / "summary.csv").read_text().splitlines()[0]
    assert re.search(r"best: .* top-1, .* mean class accuracy in epoch", (folder / "log.txt").read_text())
    best = load_checkpoint(folder / "checkpoints" / "best.pt")["model"]
    for name, value in load_file(folder / "model.safetensors").items():
        assert torch.equal(value, best[name])


@pytest.mark.slow
def test_training_twice_gives_the_same_bits_and_another_seed_others(small: dict[str, Any], tmp_path: Path) -> None:
    first, second = run(small, run=tmp_path / "a"), run(small, run=tmp_path / "b")
    assert history(first) == history(second)
    assert history(run(small, run=tmp_path / "c", seed=1)) != history(first)


def test_it_learns(small: dict[str, Any]) -> None:
    rows = history(run(small, num_epochs=8, batch_size=6, lr=0.003, lr_mode="cosine", dropout=0.0))
    assert rows[-1]["train_loss"] < rows[0]["train_loss"] / 2
    assert rows[-1]["val_top1"] >= 0.75


def test_a_frozen_run_from_a_checkpoint_changes_the_last_layer_alone(small: dict[str, Any], trained_run: Path) -> None:
    start = trained_run / "checkpoints" / BEST
    folder = run(small, weights=str(start), freeze="backbone", optimizer="adamw", num_epochs=1, head_lr=2.0)
    before, after = load_checkpoint(start)["model"], load_checkpoint(folder / "checkpoints" / LAST)["model"]
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"backbone.fc.1.weight", "backbone.fc.1.bias"}
    assert "resnet18 (11.2 M parameters, 2,052 of them trained)" in (folder / "log.txt").read_text()
    assert evaluated(folder, gpus="0").figures.metrics.top1 == history(folder)[0]["val_top1"]


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["none", "backbone"])
def test_stopped_and_resumed_adamw_ends_bit_for_bit_as_if_left_alone(
    small: dict[str, Any], tmp_path: Path, freeze: str
) -> None:
    small |= {"optimizer": "adamw", "freeze": freeze, "head_lr": 3.0, "lr": 0.001}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(small, run=whole, num_epochs=4)
    run(small, run=stopped, num_epochs=2)
    train(TrainSettings(resume=str(stopped), num_epochs=4), frozenset({"num_epochs"}))
    assert history(stopped) == history(whole)
    weights = [load_checkpoint(folder / "checkpoints" / LAST)["model"] for folder in (stopped, whole)]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name])


@pytest.mark.slow  # a killed rank's run is, in test_launch
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
    newest = load_newest(killed / "checkpoints", print)  # killed between two names, last.pt is previous.pt
    assert newest is not None
    assert newest[1]["position"] < 48
    train(TrainSettings(resume=str(killed)), frozenset())
    assert history(killed) == history(whole)
    weights = [load_checkpoint(folder / "checkpoints" / LAST)["model"] for folder in (killed, whole)]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name])


class Killed(BaseException):
    """Ends a run where it stands, as SIGKILL would."""


@pytest.mark.slow
def test_killed_between_the_names_of_last_and_best_the_resumed_run_has_the_same_best(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small |= {"num_epochs": 3, "save_every": 2}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    name_as_well, named = checkpoint._name_as_well, list[Path]()

    def name_or_die(last: Path, name: Path, digest: str) -> None:
        named.append(name)
        if named.count(killed / "checkpoints" / BEST) == named.count(whole / "checkpoints" / BEST):
            raise Killed  # at the last of the run's bests: no later one mends it
        name_as_well(last, name, digest)

    run(small, run=whole)
    for row in range(len(history(whole))):
        before = max((r["val_top1"] for r in history(whole)[:row]), default=-1.0)
        named += [whole / "checkpoints" / BEST] * (history(whole)[row]["val_top1"] > before)
    monkeypatch.setattr(checkpoint, "_name_as_well", name_or_die)
    with pytest.raises(Killed):
        run(small, run=killed)
    monkeypatch.setattr(checkpoint, "_name_as_well", name_as_well)
    train(TrainSettings(resume=str(killed)), frozenset())
    assert history(killed) == history(whole)
    states = [[load_checkpoint(folder / "checkpoints" / name) for name in (BEST, LAST)] for folder in (killed, whole)]
    for there, here in zip(*states, strict=True):
        assert [row["epoch"] for row in there["history"]] == [row["epoch"] for row in here["history"]]
        for key, value in there["model"].items():
            assert torch.equal(value, here["model"][key])
    weights = [load_file(folder / "model.safetensors") for folder in (killed, whole)]
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key])


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
    with pytest.raises(SettingsError, match=r"a run goes on in its own folder: leave out --run other"):
        run(small | {"run": Path("other")}, frozenset({"run"}), resume=str(folder))
    run(small, frozenset({"num_epochs"}), resume="auto", num_epochs=2)
    assert [row["epoch"] for row in history(folder)] == [0, 1]
    (folder / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"config\.json is not that of a run: settings is missing"):
        run(small, resume="auto")


@pytest.mark.slow
def test_a_damaged_last_checkpoint_falls_back_to_the_one_before_and_ends_the_same(
    small: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(small)
    whole, last = history(folder), folder / "checkpoints" / LAST
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.unlink()  # best.pt may be the same file
    last.write_bytes(content)
    (folder / "metrics.jsonl").unlink()
    train(TrainSettings(resume=str(folder)), frozenset())
    said = capsys.readouterr().err
    assert f"warning: {last} is damaged" in said
    assert "going on at step 3, epoch 1" in said
    assert history(folder) == whole


@pytest.mark.slow
def test_config_json_makes_the_same_run_again(small: dict[str, Any], tmp_path: Path) -> None:
    first = run(small, run=tmp_path / "a", lr_decay_epoch=(1,), use_tsn=False, clip_grad=20.0, save_every=2)
    again = tmp_path / "b"
    done = CliRunner().invoke(tsn, ["train", "--config", str(first / "config.json"), "--run", str(again)])
    assert done.exception is None
    assert history(again) == history(first)
    settings = [json.loads((folder / "config.json").read_text())["settings"] for folder in (first, again)]
    assert settings[0] | {"run": None} == settings[1] | {"run": None}
    assert "1 segments at 32 pixels" in (again / "log.txt").read_text()


def test_a_folder_in_use_is_refused(small: dict[str, Any]) -> None:
    folder = run(small, num_epochs=1)
    with locked(folder, "busy"), pytest.raises(SettingsError, match="is in use by another training"):
        run(small, frozenset({"num_epochs"}), resume="auto", num_epochs=2)


def test_a_resume_on_another_split_is_refused_with_the_difference(small: dict[str, Any], tmp_path: Path) -> None:
    run(small, num_epochs=1)
    split = read_split(Path(small["splits"]) / "split1.h5")
    write_split(
        tmp_path / "split1.h5",
        source="tests",
        classes=split.classes,
        shards=dict(zip(split.shard_names, split.shard_sha256, strict=True)),
        clips={"train": split.test, "test": split.train},
        names={"train": split.names("test", slice(None)), "test": split.names("train", slice(None))},
    )
    with pytest.raises(SettingsError, match=r"trained on another split: .*train was 12, is 7, test was 7, is 12"):
        run(small, frozenset({"splits"}), resume="auto", splits=tmp_path)


@pytest.mark.slow
def test_bf16_and_fp16_train_too(small: dict[str, Any], tmp_path: Path) -> None:
    for precision in ("bf16", "fp16"):
        (row,) = history(run(small, num_epochs=1, precision=precision, run=tmp_path / precision))
        assert row["train_loss"] == pytest.approx(1.4, abs=0.5)


@pytest.mark.slow
def test_a_compiled_run_computes_what_an_eager_one_does(small: dict[str, Any], tmp_path: Path) -> None:
    small |= {"num_epochs": 1, "batch_size": 12}
    eager, compiled = (history(run(small, run=tmp_path / str(on), compile=on)) for on in (False, True))
    assert compiled[0]["train_loss"] == pytest.approx(eager[0]["train_loss"], rel=1e-4)


TUTORIAL = (
    "--model vgg16_ucf101 --num-classes 101 --num-gpus 8 --lr-mode step --lr 0.001 --lr-decay 0.1 "
    "--lr-decay-epoch 30,60,80 --num-epochs 80",
    "--model vgg16_ucf101 --num-classes 101 --num-gpus 8 --num-segments 3 --lr-mode step --lr 0.001 --lr-decay 0.1 "
    "--lr-decay-epoch 30,60,80 --num-epochs 80",
)


@pytest.mark.slow
@pytest.mark.parametrize("words", TUTORIAL)
def test_the_tutorials_commands_run_as_they_stand_but_for_gpus_and_epochs(
    words: str, data: DataSettings, tmp_path: Path
) -> None:
    here = ["--frames", str(data.frames), "--splits", str(data.splits), "--run", str(tmp_path / "run")]
    small = ["--weights=none", "--num-gpus=0", "--num-epochs=1", "--input-size=32", "--batch-size=6"]
    done = CliRunner().invoke(tsn, ["train", *words.split(), *here, *small])
    assert done.exception is None, done.exception
    assert history(tmp_path / "run")[0]["train_loss"] == pytest.approx(math.log(101), rel=0.02)


def test_every_setting_is_read_somewhere() -> None:
    sources = "".join(path.read_text() for folder in ("train", "pipeline") for path in (ROOT / folder).rglob("*.py"))
    unread = [entry.name for entry in fields(TrainSettings) if not re.search(rf"\bsettings\.{entry.name}\b", sources)]
    assert [name for name in unread if name != "use_tsn"] == []  # read by TrainSettings.segments


def test_a_batch_that_cannot_fit_is_refused_before_the_first_step(small: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"--batch-size 12 needs about .* GiB a process, .* are free on cpu: use"):
        run(small, batch_size=12, input_size=8192)


def test_more_clips_a_step_than_there_are_is_refused(small: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="a step of 26 clips is more than the 12"):
        run(small, batch_size=13, accumulate=2)


def test_a_start_that_fails_leaves_no_folder_and_a_finished_run_is_left_as_it_is(small: dict[str, Any]) -> None:
    folder = Path(str(small["run"]))
    with pytest.raises(DataError, match=r"holds no split 9 \(split9\.h5\): there are "):
        run(small, split="9")
    with pytest.raises(SettingsError, match="--num-classes 2"):
        run(small, num_classes=2)
    assert not folder.exists()
    run(small, num_epochs=2)
    before = {path: path.read_bytes() for path in (folder / "config.json", folder / "metrics.jsonl")}
    run(small, frozenset({"num_epochs"}), resume="auto", num_epochs=1)
    assert {path: path.read_bytes() for path in before} == before
    assert "2 epochs are done; a larger --num-epochs goes on" in (folder / "log.txt").read_text()


def test_a_start_that_fails_late_leaves_no_runs_either(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(SettingsError, match=r"none\.pt"):
        train(TrainSettings(**(small | {"run": None, "weights": str(tmp_path / "none.pt")})), frozenset())
    assert list(Path().iterdir()) == []


def test_a_folder_that_no_run_can_have_is_one_line(small: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, words in (
        ("file", "file cannot be written: (Not a directory|File exists): set another --run"),
        ("file/run", "cannot be written: Not a directory: set another --run"),
        ("x" * 300, "cannot be written: File name too long: set another --run"),
        ("\udcff", r"--run .*\\udcff: the name must be text in UTF-8: set another"),
    ):
        with pytest.raises(SettingsError, match=words):
            run(small, run=tmp_path / name)
        with pytest.raises(SettingsError, match="is not a run folder"):
            run(small | {"run": None}, resume=str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_link_to_an_empty_folder_does_not_hide_what_is_wrong(small: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    with pytest.raises(DataError, match="does not exist: name the folder of frames"):
        run(small, run=tmp_path / "link", frames=tmp_path / "none")
    assert list((tmp_path / "link").iterdir()) == []


def test_a_run_whose_frames_are_not_there_never_began(small: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist: name the folder of frames"):
        run(small, frames=tmp_path / "none")
    assert not Path(str(small["run"])).exists()


def test_a_run_that_has_lost_its_checkpoints_does_not_begin_anew_in_silence(small: dict[str, Any]) -> None:
    folder = run(small, num_epochs=2)
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"holds no checkpoint, though 2 epochs are in metrics\.jsonl"):
        run(small, resume=str(folder))
    (folder / "metrics.jsonl").unlink()
    run(small, frozenset({"num_epochs"}), resume="auto", num_epochs=1)
    assert "has no checkpoint yet: it begins at the beginning" in (folder / "log.txt").read_text()


def test_trainings_of_the_same_second_have_folders_of_their_own(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _: "20260101-000000")
    settings = TrainSettings(**(small | {"run": None}))
    names = [place_run(settings, frozenset()).folder for _ in range(3)]
    assert [str(name) for name in names] == [f"runs/20260101-000000{end}" for end in ("", "-2", "-3")]


def test_what_another_checkpoint_scores_lies_beside_what_the_best_did(small: dict[str, Any]) -> None:
    folder = run(small, num_epochs=1)
    best, last = (evaluated(path) for path in (folder, folder / "checkpoints" / LAST))
    assert last.folder.name == f"{best.folder.name}-last"
