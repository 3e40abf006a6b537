import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu_visit
from benchmarks.gpu_visit import run_limited
from benchmarks.visit.plan import TINY, Figure, Sizes, Visit
from benchmarks.visit.runs import Sample, Watch, repeat, spread
from benchmarks.visit.stages import PARTS, STAGES
from benchmarks.visit.step import Variant, forward_flops, mfu, variants
from tests.helpers import make_shards
from tsn.pipeline.splits.build import build_splits
from tsn.tsn_shared.settings import SplitsSettings
from tsn.tsn_shared.splits import read_split

NAMES = [f"{label}/v_{label}_g{group:02d}_c01" for label in ("A", "B", "C") for group in range(1, 9)]


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Path]:
    """Frames that are no pictures and a split of 18 and 6 clips."""
    frames, splits = make_shards(tmp_path / "frames", NAMES), tmp_path / "splits"
    build_splits(tmp_path, SplitsSettings(frames=frames, out=splits, split_by="group", test_share=0.25))
    return frames, splits


def test_a_process_is_killed_with_its_children_at_its_limit(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    child = f"import time\nwhile True: open({str(alive)!r}, 'w').close(); time.sleep(0.05)"
    parent = f"import subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', {child!r}])"
    assert run_limited([sys.executable, "-c", parent], tmp_path / "log", 1.5) == "out of time"
    assert (tmp_path / "log").read_text() == "begun\n"
    assert alive.exists()
    time.sleep(0.3)
    alive.unlink()
    time.sleep(0.3)
    assert not alive.exists()


@pytest.mark.parametrize(("code", "end"), [("pass", "done"), ("raise SystemExit(3)", "exit code 3")])
def test_how_a_process_ended_is_said(tmp_path: Path, code: str, end: str) -> None:
    assert run_limited([sys.executable, "-c", code], tmp_path / "log", 60) == end


def test_figures_are_there_whatever_happens_after_them(tmp_path: Path) -> None:
    visit = Visit(folder=tmp_path, frames=tmp_path / "a b", splits=None, rehearse=True)
    assert Visit.decode(visit.encode()) == visit
    figures = [Figure(name="speed", value=1500.5, unit="clips/s", least=1400), Figure(name="order", words="works")]
    for figure in figures:
        visit.note("step", figure)
    assert visit.figures("step") == figures
    assert visit.figures("train") == []


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (Figure(name="", value=1500.5, least=1400), ("1,500", "at least 1400", "met")),
        (Figure(name="", value=12.34, least=1400), ("12.3", "at least 1400", "MISSED")),
        (Figure(name="", value=0.5, most=2), ("0.500", "at most 2", "met")),
        (Figure(name="", value=2.5, most=2), ("2.500", "at most 2", "MISSED")),
        (Figure(name="", value=3, most=0), ("3", "at most 0", "MISSED")),
        (Figure(name="", value=9537), ("9,537", "", "")),
        (Figure(name="", words="works"), ("works", "", "")),
    ],
)
def test_figures_are_held_against_their_aims(figure: Figure, words: tuple[str, str, str]) -> None:
    assert (figure.shown, figure.aim, figure.verdict) == words


def test_clips_are_repeated_to_an_epoch_or_spread_over_the_classes(data: tuple[Path, Path], tmp_path: Path) -> None:
    split = read_split(data[1] / "split1.h5")
    repeat(split, tmp_path / "visit" / "splitepoch.h5", 40, 3)
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
    looks = [(0, 0, 50), (1, 0, 90), (2, 1, 70), (3, 1, 80), (5, 2, 85), (6, 2, 75), (8, 3, 0)]
    watch = Watch(samples=[Sample(seconds=t, epochs=e, resident=r, gpu=2 * r) for t, e, r in looks])
    assert (watch.ended(0), watch.ended(1), watch.ended(2)) == (2, 5, 8)
    assert watch.most("resident", 2) - watch.most("resident", 1) == 5
    assert watch.most("gpu", 0) == 180


def test_vgg16_costs_what_is_published() -> None:
    assert forward_flops(Sizes()) == pytest.approx(2 * 15.5e9, rel=0.01)
    # 1,000 clips of 3 frames, forward and backward: 279 TFLOP/s
    assert mfu(1000, Sizes(), 558e12) == pytest.approx(0.5, rel=0.01)


def test_the_last_variant_is_what_training_does_by_default() -> None:
    assert variants(Sizes(), on_gpu=True)[-1] == Variant(precision="bf16", batch=25, compiled=True)
    assert len({variant.name for variant in variants(Sizes(), on_gpu=True)}) == 7
    assert all(not (variant.graph or variant.compiled) for variant in variants(TINY, on_gpu=False))


def test_what_must_not_be_lost_fits_into_five_minutes_even_at_its_limits() -> None:
    assert 60 * gpu_visit.MINUTES < 300
    for part, most in (("right", "default"), ("figures", "train")):
        first = PARTS[part][: PARTS[part].index(most) + 1]
        assert sum(STAGES[name].limit for name in first) <= 60 * gpu_visit.MINUTES


def test_one_command_writes_json_and_markdown_and_ends_with_the_table(
    data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames that are no pictures: the stage that decodes them fails, is said to have, and the others count."""
    words = ["figures", "--frames", data[0], "--splits", data[1], "--out", tmp_path / "out", "--only", "agreement"]
    monkeypatch.setattr(sys, "argv", ["gpu_visit", "--rehearse", *map(str, words)])
    assert gpu_visit.main() == 1
    out = capsys.readouterr().out
    assert out == (tmp_path / "out" / "gpu_figures.md").read_text()
    assert out.startswith("# Rehearsal on the CPU: the figures mean nothing")
    assert "- agreement: exit code" in out
    assert out.splitlines()[-2].startswith("| data  | clips that are there, train ")
    report = json.loads((tmp_path / "out" / "gpu_figures.json").read_text())
    assert [(stage["stage"], stage["end"] == "done") for stage in report["stages"]] == [
        ("data", True),
        ("agreement", False),
    ]
    assert report["stages"][0]["figures"][0]["value"] == 18
    assert str(Path.cwd()) not in out


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_the_whole_visit_can_be_rehearsed_without_a_gpu(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_visit", part, "--rehearse", "--minutes", "9", "--out", str(tmp_path)])
    assert gpu_visit.main() == 0
    report = json.loads((tmp_path / f"gpu_{part}.json").read_text())
    assert {stage["stage"]: bool(stage["figures"]) for stage in report["stages"]} == dict.fromkeys(PARTS[part], True)
