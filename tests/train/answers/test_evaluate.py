"""Evaluation: the same logits as an independent reference, every clip once, and what is printed and written."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.train.answers.reference import clips_of, network_of, reference
from tests.train.runs import evaluated
from tsn.cli import tsn
from tsn.train.answers import passes
from tsn.train.answers.clip_values import PROBABILITIES
from tsn.train.answers.evaluate import CHOSEN_ON_THESE, evaluate_runs, fuse, headline
from tsn.train.fit.checkpoint import load_checkpoint
from tsn.train.ranks.processes import run_processes
from tsn.tsn_shared import hdf5
from tsn.tsn_shared.errors import DataError, SettingsError, TsnError
from tsn.tsn_shared.settings import DataSettings, SplitScoreSettings
from tsn.tsn_shared.splits import Subset, read_split, write_split

CPU: dict[str, Any] = {"gpus": "0"}
OF_CLIPS = 7
Make = Callable[..., Path]


@pytest.mark.parametrize(("protocol", "segments"), [("val", 3), ("val", 5), ("3crop", 5), ("10crop", 4)])
def test_logits_are_those_of_an_independent_reference(
    trained_run: Path, data: DataSettings, protocol: str, segments: int
) -> None:
    found = evaluated(trained_run, protocol=protocol, num_segments=segments, **CPU)
    wanted = reference(network_of(trained_run), clips_of(data, protocol, segments))
    assert found.scored.values.shape == (OF_CLIPS, 4)
    assert np.abs(found.scored.values.numpy() - wanted).max() < 1e-4
    assert np.ptp(wanted) > 0.1


@pytest.mark.needs_cuda
@pytest.mark.parametrize(("protocol", "segments"), [("val", 3), ("3crop", 5), ("10crop", 4)])
def test_a_gpu_gives_the_logits_of_the_cpu(changed_run: Make, protocol: str, segments: int) -> None:
    run = changed_run("run", settings={"precision": "fp32"})
    asked: dict[str, Any] = {"protocol": protocol, "num_segments": segments}
    on_cpu, on_gpu = (evaluated(run, gpus=gpus, **asked).scored.values.numpy() for gpus in ("0", "1"))
    assert np.abs(on_gpu - on_cpu).max() < 0.03 * np.ptp(on_cpu)  # its decoder differs by a few of 255


@pytest.mark.parametrize("ranks", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_any_number_of_ranks_scores_every_clip_once(
    trained_run: Path, changed_run: Make, ranks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip a batch: a rank's batches are not next to one another in the split. One rank needs no process of its own.

    The answers would be the same on fewer ranks than were asked for, so those that start are counted.
    """
    started = []

    def noted(*work: Any, processes: int) -> Any:
        started.append(processes)
        return run_processes(*work, processes=processes)

    monkeypatch.setattr(passes, "run_processes", noted)
    alone = evaluated(trained_run, **CPU)
    together = evaluated(changed_run("run", settings={"batch_size": 1}), num_processes=ranks, **CPU)
    assert started == [ranks]
    assert together.figures.metrics.clips == OF_CLIPS
    assert together.scored.names == alone.scored.names
    assert torch.equal(together.scored.labels, alone.scored.labels)
    assert torch.allclose(together.scored.values, alone.scored.values, atol=1e-5)


@pytest.mark.slow
def test_a_failure_on_many_ranks_keeps_its_words_and_exit_code(changed_run: Make, tmp_path: Path) -> None:
    run = changed_run("run")
    with pytest.raises(TsnError, match="lacks 1 of the 1 shards") as raised:
        evaluated(run, frames=tmp_path, num_processes=2, **CPU)
    assert raised.value.exit_code == DataError.exit_code


def swapped_split(data: DataSettings, folder: Path, name: str) -> Path:
    """Write a split whose test clips are split 1's training clips, and the other way round."""
    split = read_split(data.splits / "split1.h5")
    names: dict[Subset, tuple[str, ...]] = {
        "train": split.names("test", slice(None)),
        "test": split.names("train", slice(None)),
    }
    folder.mkdir(exist_ok=True)
    write_split(
        folder / f"split{name}.h5",
        source="tests",
        classes=split.classes,
        shards=dict(zip(split.shard_names, split.shard_sha256, strict=True)),
        clips={"train": split.test, "test": split.train},
        names=names,
    )
    return folder


def test_another_split_is_refused_also_under_its_own_splits_name(
    trained_run: Path, data: DataSettings, tmp_path: Path
) -> None:
    swapped_split(data, tmp_path, "1")
    swapped_split(data, tmp_path, "2")
    with pytest.raises(SettingsError, match="was trained on split 1: test clips of split 2 were among its training"):
        evaluated(trained_run, splits=tmp_path, split="2", **CPU)
    with pytest.raises(SettingsError, match="it trains on other clips"):
        evaluated(trained_run, splits=tmp_path, **CPU)
    found = evaluated(trained_run, splits=tmp_path, split="2", other_split=True, **CPU)
    assert (found.figures.split, found.figures.trained_on_split, found.figures.metrics.clips) == ("2", "1", 12)
    assert headline(found).startswith(
        "split 2 (trained on split 1), protocol val (3 segments, centre crop), 12 test clips: top-1 "
    )
    found = evaluated(trained_run, splits=tmp_path, other_split=True, **CPU)
    assert headline(found).startswith("split 1 (another split 1 than it was trained on), protocol val ")
    assert not found.figures.own_split
    assert evaluated(trained_run, **CPU).figures.own_split


def test_other_classes_are_refused(changed_run: Make, trained_run: Path) -> None:
    state = load_checkpoint(trained_run / "checkpoints" / "best.pt")
    run = changed_run("run", classes=[name.upper() for name in state["classes"]])
    with pytest.raises(SettingsError, match=r"has other classes \(4\) than"):
        evaluated(run, **CPU)


def test_a_checkpoint_that_does_not_hold_its_network_names_the_tensor(changed_run: Make) -> None:
    run = changed_run("run", classes=["a", "b", "c"])
    with pytest.raises(DataError, match=r"model\.backbone\.fc\.1\.weight is \(4, 512\), not \(3, 512\)"):
        evaluated(run, **CPU)


def test_the_safetensors_of_a_run_answer_as_its_best_checkpoint(trained_run: Path) -> None:
    best, alone = (evaluated(path, **CPU).figures for path in (trained_run, trained_run / "model.safetensors"))
    assert replace(best, checkpoints=()) == replace(alone, checkpoints=())


def test_safetensors_that_say_nothing_of_themselves_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(DataError, match="does not say how it was trained"):
        evaluated(tmp_path / "foreign.safetensors", **CPU)


def test_the_files_say_what_was_printed(trained_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = CliRunner().invoke(tsn, ["evaluate", str(trained_run), "--gpus", "0", "--json", "--out", str(out)])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert json.loads((out / "scores.json").read_text()) == figures
    assert {path.name for path in out.iterdir()} == {
        *("scores.json", "predictions.csv", "probabilities.h5", "confusion.png", "per_class.png")
    }
    rows = list(csv.DictReader((out / "predictions.csv").read_text().splitlines()))
    assert len(rows) == figures["clips"] == OF_CLIPS
    assert list(rows[0]) == ["clip", "label", *(f"{c}{k}" for k in range(1, 5) for c in ("class", "score"))]
    assert [row["clip"] for row in rows] == [f"Colour{video % 4}/v_{video}" for video in range(12, 19)]
    assert [row["label"] for row in rows] == [row["clip"].split("/")[0] for row in rows]
    assert np.mean([row["class1"] == row["label"] for row in rows]) == pytest.approx(figures["top1"])
    for row in rows:
        scores = [float(row[f"score{k}"]) for k in range(1, 5)]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-5)  # of all four classes
    with hdf5.opened(out / "probabilities.h5", PROBABILITIES) as file:
        classes = [name.decode() for name in file["class/name"]]
        best = [classes[column] for column in file["probability"][:].argmax(axis=1)]
        assert [name.decode() for name in file["name"]] == [row["clip"] for row in rows]
        assert file["probability"].shape == (OF_CLIPS, 4)
        assert file.attrs["protocol"] == figures["protocol"]
    assert best == [row["class1"] for row in rows]
    right = {row["name"]: row["top1"] * row["clips"] for row in figures["per_class"]}
    assert sum(right.values()) == pytest.approx(figures["top1"] * OF_CLIPS)
    assert np.mean([row["top1"] for row in figures["per_class"]]) == pytest.approx(figures["mean_class_accuracy"])


def test_every_printed_result_names_split_protocol_and_clips(trained_run: Path, tmp_path: Path) -> None:
    words = ["evaluate", str(trained_run), "--gpus", "0", "--out", str(tmp_path)]
    done = CliRunner().invoke(tsn, [*words, "--protocol", "10crop", "--num-segments", "2"])
    assert done.exit_code == 0, done.output
    *table, empty, chosen, few, last = done.stdout.splitlines()
    assert few.startswith("So few clips say that top-1 lies between ")
    assert last.startswith("split 1, protocol 10crop (2 segments, 10 crops), 7 test clips: top-1 ")
    del table[1]  # the rule
    assert [line.split()[1] for line in table] == ["class", "Colour0", "Colour1", "Colour2", "Colour3"]
    assert (empty, chosen) == ("", CHOSEN_ON_THESE)
    figures = json.loads(CliRunner().invoke(tsn, [*words, "--json"]).stdout)
    assert (figures["protocol"], figures["num_segments"], figures["split"], figures["clips"]) == ("val", 3, "1", 7)


def test_the_files_lie_in_the_runs_folder_unless_told_otherwise(changed_run: Make) -> None:
    run = changed_run("run")
    evaluate_runs([run], SplitScoreSettings(**CPU))
    assert (run / "evaluation" / "split1-val-3" / "confusion.png").stat().st_size > 5000


def test_a_folder_that_cannot_be_written_is_one_line(trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be written"):
        evaluate_runs([trained_run], SplitScoreSettings(**CPU), out=tmp_path / "file")


def of_split(changed_run: Make, data: DataSettings, tmp_path: Path, name: str) -> Path:
    splits = swapped_split(data, tmp_path / "splits", name)
    return changed_run(
        f"run{name}",
        noise=0.5,
        settings={"split": name, "splits": str(splits)},
        train_sha256=read_split(splits / f"split{name}.h5").train_sha256(),
    )


def test_several_runs_give_the_mean_over_their_splits(
    trained_run: Path, changed_run: Make, data: DataSettings, tmp_path: Path
) -> None:
    runs = [trained_run, *(of_split(changed_run, data, tmp_path, name) for name in "23")]
    words = ["evaluate", *map(str, runs), "--gpus", "0", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(tsn, [*words, "--split", "1,2,3", "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    each = [evaluated(run, **CPU).figures for run in runs]
    assert result["splits"] == ["1", "2", "3"]
    assert result["clips"] == 7 + 12 + 12
    for name in ("top1", "top5", "mean_class_accuracy", "loss"):
        values = [getattr(figures.metrics, name) for figures in each]
        assert result["mean"][name] == (None if name == "top5" else pytest.approx(np.mean(values)))  # of four classes
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"split{n}-val-3" for n in "123"}
    last = CliRunner().invoke(tsn, words).stdout.splitlines()[-1]
    assert last.startswith("mean over splits 1, 2, 3, protocol val (3 segments, centre crop), 31 clips in all: top-1")
    assert CliRunner().invoke(tsn, [*words, "--split", "1,3,2"], catch_exceptions=True).exception is not None


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"fused": False}, "these runs are of splits 1, 1"),
        ({"fused": True, "fuse_weights": [1, -1]}, "--fuse-weights: 2 numbers above 0"),
        ({"fused": True, "fuse_weights": [1]}, "--fuse-weights: 2 numbers above 0"),
    ],
)
def test_what_cannot_be_put_together_is_refused_before_anything_is_scored(
    trained_run: Path, tmp_path: Path, asked: dict[str, Any], words: str
) -> None:
    settings = SplitScoreSettings(frames=tmp_path / "none", **CPU)
    with pytest.raises(SettingsError, match=words):
        evaluate_runs([trained_run, trained_run], settings, **asked)
    with pytest.raises(SettingsError, match="--split 1,2,3: 2 runs need as many names of splits"):
        evaluate_runs([trained_run, trained_run], replace(settings, split="1,2,3"), **asked | {"fuse_weights": None})


def test_fusion_averages_the_probabilities_with_weights(trained_run: Path, changed_run: Make, tmp_path: Path) -> None:
    other = changed_run("other", noise=0.5)
    words = ["evaluate", "--fuse", f"{trained_run},{other}", "--gpus", "0", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(tsn, [*words, "--fuse-weights", "1,3", "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    logits = [evaluated(run, **CPU).scored for run in (trained_run, other)]
    first, second = (np.exp(s.values.numpy()) / np.exp(s.values.numpy()).sum(1, keepdims=True) for s in logits)
    mixed = 0.25 * first + 0.75 * second
    labels = logits[0].labels.numpy()
    assert figures["top1"] == pytest.approx((mixed.argmax(1) == labels).mean())
    assert figures["loss"] == pytest.approx(-np.log(mixed[np.arange(7), labels]).mean(), abs=1e-5)
    assert figures["weights"] == [1, 3]
    text = CliRunner().invoke(tsn, words).stdout
    assert "split 1, 2 runs fused, protocol val (3 segments, centre crop), 7 test clips: top-1" in text


def test_fusions_of_the_same_runs_have_a_folder_each(trained_run: Path, changed_run: Make) -> None:
    one, two = evaluated(trained_run, **CPU), evaluated(changed_run("other"), **CPU)
    assert fuse([one], None).words.startswith("1 run fused, protocol val")
    newer = replace(two, folder=two.folder.with_name("split1-val-3-last"))
    ways = [([one, two], None), ([one, two], (5, 1)), ([one, two], (1, 1.5)), ([one, newer], None)]
    assert [fuse(runs, weights).folder.name for runs, weights in ways] == [
        "fused-run+other-split1-val-3",
        "fused-run+other-5+1-split1-val-3",
        "fused-run+other-1+1.5-split1-val-3",
        "fused-run+other-split1-val-3+split1-val-3-last",
    ]


def test_runs_on_other_clips_are_not_fused(
    trained_run: Path, changed_run: Make, data: DataSettings, tmp_path: Path
) -> None:
    other = of_split(changed_run, data, tmp_path, "2")
    evaluations = [evaluated(run, **CPU) for run in (trained_run, other)]
    with pytest.raises(SettingsError, match="was scored on other clips or classes"):
        fuse(evaluations, None)


def test_wrong_usage_is_said(trained_run: Path) -> None:
    assert CliRunner().invoke(tsn, ["evaluate"]).exit_code == 2
    assert CliRunner().invoke(tsn, ["evaluate", str(trained_run), "--fuse", "a,b"]).exit_code == 2
    assert CliRunner().invoke(tsn, ["evaluate", str(trained_run), "--fuse-weights", "1,2"]).exit_code == 2
    with pytest.raises(SettingsError, match="--protocol 5crop"):
        evaluated(trained_run, protocol="5crop", **CPU)


def test_under_torchrun_it_says_how_to_start(trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "1")
    with pytest.raises(SettingsError, match="start one process"):
        evaluated(trained_run, **CPU)
