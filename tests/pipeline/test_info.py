import json
from pathlib import Path

import pytest

from tests.helpers import SETTINGS, make_shard, make_shards
from tsn.pipeline.info import info, info_text
from tsn.pipeline.splits.build import build_splits
from tsn.tsn_shared.console import json_text
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.settings import SplitsSettings

NAMES = [f"{name}/v_{name}_g{group:02d}_c01" for name in ("Archery", "YoYo") for group in range(1, 6)]


def test_info_counts_what_is_there(tmp_path: Path) -> None:
    both = (make_shards(tmp_path / "frames", NAMES), tmp_path / "splits")
    build_splits(None, SplitsSettings(frames=both[0], out=both[1], split_by="group", test_share=0.4))
    other = tmp_path / "other"
    other.mkdir()
    make_shard(other / "frames-00000.h5", {"YoYo/x": [b"1"] * 50}, failures=[("Bow/y", "zero bytes")])
    counts = json.loads(json_text(info([*both, other, both[0]])))
    assert {key: counts[key] for key in ("shards", "videos", "frames", "failed", "seconds")} == {
        "shards": 4,
        "videos": 11,
        "frames": 80,
        "failed": 1,
        "seconds": 3.2,
    }
    assert counts["bytes"] == sum(path.stat().st_size for folder in (both[0], other) for path in folder.glob("*.h5"))
    assert counts["classes"]["YoYo"] == {"videos": 6, "frames": 65, "failed": 0, "seconds": 2.6, "timed": 6}
    assert counts["classes"]["Bow"] == {"videos": 0, "frames": 0, "failed": 1, "seconds": 0.0, "timed": 0}
    assert counts["settings"] == [SETTINGS]
    (split,) = counts["splits"]
    assert (split["train"], split["test"], split["classes"]) == (6, 4, 2)


def test_failures_are_counted_by_reason_whatever_their_numbers(tmp_path: Path) -> None:
    failures = [
        ("A/one", "12 of 100 frames decode"),
        ("A/two\nlines", "zero bytes"),
        ("B/three", "7 of 1,200 frames decode"),
    ]
    make_shard(tmp_path / "frames-00000.h5", {"A/v": [b"1"] * 25}, failures=failures)
    other = SETTINGS | {"quality": 3}
    make_shard(tmp_path / "frames-00001.h5", {}, settings=other)
    assert info([tmp_path])["settings"] == [SETTINGS, other]
    text = info_text([tmp_path])
    assert "| N of N frames decode  |      2 | A/one: 12 of 100 frames decode |" in text
    assert "| zero bytes            |      1 | A/two\\nlines: zero bytes" in text
    assert "1 video of 2 classes, 3 failed; 25 frames, 0.0 minutes" in text


def test_folders_below_the_one_that_is_named_are_offered(tmp_path: Path) -> None:
    frames = make_shards(tmp_path / "frames", NAMES)
    with pytest.raises(DataError, match=rf"\(split1\.h5\) \(did you mean {frames}\?\)$"):
        info([tmp_path])
    build_splits(None, SplitsSettings(frames=frames, out=tmp_path / "splits", split_by="group"))
    with pytest.raises(DataError, match=rf"did you mean {frames} {tmp_path / 'splits'}\?\)$"):
        info_text([tmp_path])


def test_videos_in_no_class_folder_are_of_no_class(tmp_path: Path) -> None:
    text = info_text([make_shards(tmp_path, ["a", "b"])])
    assert "| (no class folder) |      2 |" in text
    assert "2 videos in no class folder, 0 failed" in text


def test_a_hundred_and_one_classes_stand_two_in_a_row(tmp_path: Path) -> None:
    names = [f"Class{number:03d}/v" for number in range(101)]
    make_shards(tmp_path / "frames", names, a_shard=64)
    lines = info_text([tmp_path / "frames"]).splitlines()
    assert len(lines) < 65
    assert max(map(len, lines)) < 110
    assert " ".join(lines[2].split()) == "| Class000 | 1 | 3 | 0.1 s | Class051 | 1 | 3 | 0.1 s |"
    assert " ".join(lines[52].split()) == "| Class050 | 1 | 3 | 0.1 s | | | | |"
