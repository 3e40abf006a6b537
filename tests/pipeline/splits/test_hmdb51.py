from pathlib import Path

import pytest

from tests.helpers import write_list
from tsn.pipeline.splits.hmdb51 import NEITHER
from tsn.pipeline.splits.lists import read_annotations
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.splits import SUBSETS

LINES = ("April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1 ", "#2 (a)_brush_hair.avi 2 ", "x.avi 0 ")


def hmdb51(folder: Path, *lines: str) -> Path:
    """Write lists of two classes and three splits, with lines as theirs, which end in a space."""
    for split in (1, 2, 3):
        write_list(folder / f"brush_hair_test_split{split}.txt", *(lines or LINES))
        write_list(folder / f"cartwheel_test_split{split}.txt", "a.avi 2 ", "b.avi 1 ")
    return folder


def test_lists_of_a_class_and_split_each_are_read(tmp_path: Path) -> None:
    read = read_annotations(hmdb51(tmp_path))
    assert read.classes == ("brush_hair", "cartwheel")
    assert [split.name for split in read.splits] == ["1", "2", "3"]
    split = read.splits[1]
    assert split.source == "*_test_split2.txt of 2 classes"
    assert {subset: [(clip.path, clip.label) for clip in split.clips[subset]] for subset in SUBSETS} == {
        "train": [(f"brush_hair/{LINES[0][:-3]}", 0), ("cartwheel/b.avi", 1)],
        "val": [],
        "test": [("brush_hair/#2 (a)_brush_hair.avi", 0), ("cartwheel/a.avi", 1)],
    }
    assert split.left_out == ((None, "brush_hair/x.avi", NEITHER),)


@pytest.mark.parametrize("line", ["a.avi 3", "a.avi", "1", "a.avi train"])
def test_a_line_that_is_none_is_shown(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=f"brush_hair_test_split1.txt, line 2: '{line}': a line is a video and 1"):
        read_annotations(hmdb51(tmp_path, "b.avi 1", line))


def test_a_class_that_lacks_in_a_split_is_named(tmp_path: Path) -> None:
    (hmdb51(tmp_path) / "cartwheel_test_split2.txt").unlink()
    with pytest.raises(DataError, match=r"split 2 has no list of cartwheel: cartwheel_test_split2\.txt"):
        read_annotations(tmp_path)


def test_a_pair_of_lists_called_alike_is_not_taken_for_them(tmp_path: Path) -> None:
    write_list(tmp_path / "my_train_split1.txt", "A/a.avi 0")
    write_list(tmp_path / "my_test_split1.txt", "A/b.avi 0")
    assert read_annotations(tmp_path).classes == ("A",)
