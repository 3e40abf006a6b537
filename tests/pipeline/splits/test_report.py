import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.helpers import make_shards, write_list
from tsn.cli import tsn
from tsn.pipeline.splits.build import build_splits
from tsn.pipeline.splits.report import report_json, report_text
from tsn.tsn_shared.settings import SplitsSettings

NAMES = [f"{label}/{n}" for label in ("A", "B") for n in range(4)]


@pytest.fixture
def settings(tmp_path: Path) -> SplitsSettings:
    frames = make_shards(tmp_path / "frames", NAMES)
    return SplitsSettings(frames=frames, out=tmp_path / "splits", allow_missing=True)


def test_table_and_json_say_what_was_left_out_and_why(
    tmp_path: Path, settings: SplitsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # nothing is shortened
    write_list(tmp_path / "lists/train.csv", "path,label", "A/0,A", "B/0,B", "B/9,B", "B/3,")
    write_list(tmp_path / "lists/test.csv", "path,label", "A/1,A", "A/9,A", "A/8,A")
    reports = build_splits(tmp_path / "lists", settings)
    assert [" ".join(line.split()) for line in report_text(reports).splitlines()] == [
        "| split | subset | clips | classes | frames | left out |",
        report_text(reports).splitlines()[1],
        f"| {settings.out}/split1.h5 | train | 2 | 2 | 6 | 1: the list gives no class; 1: no frames of that name |",
        f"| {settings.out}/split1.h5 | test | 1 | 1 | 3 | 2: no frames of that name |",
    ]
    rows = json.loads(json.dumps(report_json(reports)))
    assert rows[1] == {
        "path": f"{settings.out}/split1.h5",
        "subset": "test",
        "clips": 1,
        "classes": 1,
        "frames": 3,
        "left_out": {"no frames of that name": 2},
    }


def test_one_class_and_classes_of_one_subset_are_warned_of(
    tmp_path: Path, settings: SplitsSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list(tmp_path / "lists/train.txt", "A/0 0")
    write_list(tmp_path / "lists/test.txt", "A/1 0")
    build_splits(tmp_path / "lists", settings)
    assert "warning: split 1 has clips of one class only: there is nothing to tell apart\n" in capsys.readouterr().err
    write_list(tmp_path / "lists/val.txt", "B/1 1")
    build_splits(tmp_path / "lists", settings)
    assert "warning: split 1: 1 class has clips in val only: B\n" in capsys.readouterr().err


def test_an_empty_subset_is_warned_of(
    tmp_path: Path, settings: SplitsSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list(tmp_path / "lists/train.csv", "path,label", "A/0,A", "B/0,B")
    write_list(tmp_path / "lists/test.csv", "path,label", "A/1,", "B/1,")
    build_splits(tmp_path / "lists", settings)
    assert "warning: split 1 has no test clip\n" in capsys.readouterr().err


def test_the_command_prints_the_table_or_json(tmp_path: Path, settings: SplitsSettings) -> None:
    write_list(tmp_path / "lists/train.txt", "A/0 0", "B/0 1")
    write_list(tmp_path / "lists/test.txt", "A/1 0", "B/1 1")
    words = ["build-splits", f"{tmp_path}/lists", "--frames", str(settings.frames), "--out", str(settings.out)]
    assert "split1.h5 | train  |     2 |       2 |      6 |" in CliRunner().invoke(tsn, words).stdout
    rows = json.loads(CliRunner().invoke(tsn, [*words, "--json"]).stdout)
    assert [(row["subset"], row["clips"]) for row in rows] == [("train", 2), ("test", 2)]


def test_a_group_on_both_sides_is_warned_of_in_folders_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{side}/{label}/v_{label}_g01_c0{clip}" for clip, side in enumerate(("train", "test")) for label in "AB"]
    frames = make_shards(tmp_path / "frames", names)
    build_splits(None, SplitsSettings(frames=frames, out=tmp_path / "splits"))
    words = "warning: split 1: 2 groups are in train and in test: A/v_A_g01, B/v_B_g01\n"
    assert words in capsys.readouterr().err
