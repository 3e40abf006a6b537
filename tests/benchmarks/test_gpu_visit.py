import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.gpu_visit import main, run_limited
from benchmarks.peers import Job, video_paths
from benchmarks.train import AS_TRAIN, Way, mfu, ways
from benchmarks.visit.runs import Look, ended, most, repeat, spread
from benchmarks.visit.stages import PARTS, STAGES, Figure
from tests.helpers import make_shards
from tsn.pipeline.splits.build import build_splits
from tsn.tsn_shared.settings import SplitsSettings, TrainSettings
from tsn.tsn_shared.splits import read_split

NAMES = [f"{label}/v_{label}_g{group:02d}_c01" for label in ("A", "B", "C") for group in range(1, 9)]


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Path]:
    """Frames that are no pictures and a split of 18 and 6 clips."""
    frames, splits = make_shards(tmp_path / "frames", NAMES), tmp_path / "splits"
    build_splits(None, SplitsSettings(frames=frames, out=splits, split_by="group", test_share=0.25))
    return frames, splits


def test_a_process_is_killed_with_its_children_at_its_limit_and_what_it_printed_is_told(tmp_path: Path) -> None:
    alive, told = tmp_path / "alive", list[str]()
    child = f"import time\nwhile True: open({str(alive)!r}, 'w').close(); time.sleep(0.05)"
    parent = f"import subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', {child!r}])"
    assert run_limited([sys.executable, "-c", parent], tmp_path / "log", 1.5, told.append) == "out of time"
    assert told == ["begun"]
    assert alive.exists()
    time.sleep(0.3)
    alive.unlink()
    time.sleep(0.3)
    assert not alive.exists()


@pytest.mark.parametrize(("code", "end"), [("pass", "done"), ("raise SystemExit(3)", "exit code 3")])
def test_how_a_process_ended_is_said(tmp_path: Path, code: str, end: str) -> None:
    code = f"import sys; print('words', file=sys.stderr); {code}"
    assert run_limited([sys.executable, "-c", code], tmp_path / "log", 60, lambda line: None) == end
    assert (tmp_path / "log").read_text() == "words\n"


@pytest.mark.parametrize(
    ("figure", "cells"),
    [
        (Figure("a", 1500.5, "clips/s", least=1400), "1,500 | clips/s | at least 1400 | met"),
        (Figure("a", 12.34, least=1400), "12.3 |  | at least 1400 | MISSED"),
        (Figure("a", 0.5, most=2), "0.500 |  | at most 2 | met"),
        (Figure("a", 2.5, most=2), "2.500 |  | at most 2 | MISSED"),
        (Figure("a", 3, most=0), "3 |  | at most 0 | MISSED"),
        (Figure("a", 9537), "9,537 |  |  | "),
        (Figure("a", "works"), "works |  |  | "),
    ],
)
def test_figures_are_held_against_their_aims(figure: Figure, cells: str) -> None:
    assert figure.row("step", judged=True) == f"| step | a | {cells} |"
    assert "MISSED" not in figure.row("step", judged=False)


def test_clips_are_repeated_to_an_epoch_or_spread_over_the_classes(data: tuple[Path, Path], tmp_path: Path) -> None:
    split = read_split(data[1] / "split1.h5")
    repeat(split, tmp_path / "visit" / "splitepoch.h5", train=40, test=3)
    made = read_split(tmp_path / "visit" / "splitepoch.h5")
    assert (len(made.train), len(made.test)) == (40, 3)
    names = split.names("train", slice(None))
    assert made.names("train", slice(None)) == (names * 3)[:40]
    assert [split.classes[label] for label in made.test.label] == ["A", "B", "C"]
    assert np.array_equal(made.train.video, np.resize(split.train.video, 40))
    assert made.shard_sha256 == split.shard_sha256


def test_spread_rows_are_in_range_and_as_many_as_asked_for() -> None:
    for clips in (1, 7, 200):
        for count in (1, 5, 7, 300):
            rows = spread(clips, count)
            assert len(rows) == count
            assert rows.max() < clips
            assert len(np.unique(rows)) == min(clips, count)


def test_growth_and_ends_come_from_the_epochs_that_they_are_of() -> None:
    seen = [(0, 0, 50), (1, 0, 90), (2, 1, 70), (3, 1, 80), (5, 2, 85), (6, 2, 75), (8, 3, 0)]
    looks = [Look(seconds, epochs, {"main memory": size, "GPU memory": 2 * size}) for seconds, epochs, size in seen]
    assert (ended(looks, 0), ended(looks, 1), ended(looks, 2)) == (2, 5, 8)
    assert most(looks, "main memory", 2) - most(looks, "main memory", 1) == 5
    assert most(looks, "GPU memory", 0) == 180


def test_vgg16_costs_what_is_published() -> None:
    # 15.5 G multiplications and additions a frame: 1,000 clips of 3 frames, forward and backward, are 279 TFLOP/s
    assert mfu(1000, TrainSettings(), 558e12) == pytest.approx(0.5, rel=0.01)


def test_the_first_way_is_what_training_does_by_default() -> None:
    assert next(iter(ways(on_gpu=True).items())) == (AS_TRAIN, Way(precision="bf16", compiled="default"))
    assert ways(on_gpu=False)[AS_TRAIN] == Way()
    for on_gpu in (True, False):
        assert len(set(ways(on_gpu=on_gpu).values())) == len(ways(on_gpu=on_gpu))


def test_what_must_not_be_lost_fits_into_five_minutes_even_at_its_limits() -> None:
    assert sum(STAGES[name][1] for name in ("data", "step", "train")) < 300
    assert PARTS["figures"][:3] == ("data", "step", "train")
    assert PARTS["right"] == ("tests",)


@pytest.mark.slow
def test_one_command_tells_each_figure_and_which_stage_failed(data: tuple[Path, Path], tmp_path: Path) -> None:
    """Frames that are no pictures: the stage that decodes them fails, is said to have, and the others count."""
    out = tmp_path / "out"
    words = ["figures", "--frames", data[0], "--splits", data[1], "--out", out, "--only", "loader", "--rehearse"]
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 1
    assert done.output == (out / "gpu_figures.md").read_text()
    assert done.output.startswith("# Rehearsal on the CPU: the figures mean nothing")
    assert "| data | clips that are there, train | 18 | clips |  |  |" in done.output
    assert "- data: done" in done.output
    assert "- loader: exit code 1" in done.output
    assert "JPEG" in (out / "gpu_loader.log").read_text()


@pytest.mark.parametrize("name", ["extract", "loader", "loader_scale", "train", "gpu_visit"])
def test_every_benchmark_has_help(name: str) -> None:
    done = CliRunner().invoke(import_module(f"benchmarks.{name}").main, ["--help"])
    assert done.exit_code == 0
    assert done.output.startswith("Usage: main")


def test_without_opencv_a_line_says_what_to_install() -> None:
    code = "import sys, runpy; sys.modules['cv2'] = None; runpy.run_module('benchmarks.extract', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "OpenCV is missing: pip install '.[bench]' in the checkout\n")


def test_without_a_gpu_a_visit_ends_at_once_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = CliRunner().invoke(main, ["figures", "--out", str(tmp_path / "out")])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "no GPU" in done.output
    assert not (tmp_path / "out").exists()


def test_a_benchmark_finds_videos_whatever_their_ending(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "v_1.mp4").touch()
    assert video_paths(Job("", "", str(tmp_path), "")) == {"A/v_1": str(tmp_path / "A" / "v_1.mp4")}


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_the_whole_visit_can_be_rehearsed_without_a_gpu(part: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [part, "--rehearse", "--minutes", "9", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert all(f"| {stage} |" in done.output for stage in PARTS[part])
