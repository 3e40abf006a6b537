from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.splits.made import TEST, TRAIN, official
from tsn.pipeline.splits.listed import ListedClip
from tsn.pipeline.splits.lists import read_annotations
from tsn.tsn_shared.errors import DataError


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_official_lists_give_labels_from_0_by_folder(tmp_path: Path, end: str) -> None:
    read = read_annotations(official(tmp_path, end=end))
    assert read.classes == ("Archery", "HandstandPushups", "YoYo")
    (split,) = read.splits
    assert (split.name, split.source) == ("1", "trainlist01.txt and testlist01.txt")
    assert split.clips["train"] == (
        ListedClip(path="YoYo/v_YoYo_g08_c01.avi", label=2),
        ListedClip(path="HandstandPushups/v_HandStandPushups_g09_c01.avi", label=1),
    )
    assert split.clips["test"] == (
        ListedClip(path="HandstandPushups/v_HandStandPushups_g01_c01.avi", label=1),
        ListedClip(path="Archery/v_Archery_g01_c01.avi", label=0),
    )
    assert split.clips["test"][0].name == "HandstandPushups/v_HandStandPushups_g01_c01"


def test_class_numbers_not_their_order_decide_the_label(tmp_path: Path) -> None:
    read = read_annotations(official(tmp_path, classes=("3 YoYo", "1 Archery", "2 HandstandPushups")))
    assert read.classes == ("Archery", "HandstandPushups", "YoYo")


def test_splits_are_named_after_their_lists(tmp_path: Path) -> None:
    official(tmp_path, number="01")
    official(tmp_path, number="03")
    assert [split.name for split in read_annotations(official(tmp_path, number="10")).splits] == ["1", "3", "10"]


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    official(tmp_path)
    content = (tmp_path / "trainlist01.txt").read_bytes()
    (tmp_path / "trainlist01.txt").write_bytes(b"\xef\xbb\xbf\r\n" + content + b"\r\n  \r\n")
    assert len(read_annotations(tmp_path).splits[0].clips["train"]) == 2


def test_names_that_are_not_utf8_keep_their_bytes(tmp_path: Path) -> None:
    official(tmp_path)
    (tmp_path / "testlist01.txt").write_bytes(b"YoYo/v_\xe9.avi\r\n")
    assert read_annotations(tmp_path).splits[0].clips["test"][0].name == "YoYo/v_\udce9"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"train": (*TRAIN, "Surfing/v_Surfing_g01_c01.avi 4")},
            r"trainlist01.txt, line 3: .*class 'Surfing' is not",
        ),
        ({"test": ("Surfing/v_Surfing_g01_c01.avi",)}, r"testlist01.txt, line 1: .*class 'Surfing' is not in"),
        ({"train": ("YoYo/v_YoYo_g08_c01.avi 2",)}, "line 1: .*label 2, but YoYo is 3"),
        ({"train": ("YoYo/v_YoYo_g08_c01.avi 0",)}, "line 1: .*label 0, but YoYo is 3"),
        ({"train": ("YoYo/v_YoYo_g08_c01.avi 4",)}, "line 1: .*label 4, but YoYo is 3"),
        ({"train": ("YoYo/v_YoYo_g08_c01.avi",)}, "with a label from 1 after it"),
        ({"train": (TRAIN[0], TRAIN[0])}, r"v_YoYo_g08_c01.avi is in \S+trainlist01.txt twice"),
        ({"test": (TEST[0], TRAIN[0][:-2])}, r"is in \S+trainlist01.txt and in \S+testlist01.txt"),
        ({"test": ("YoYo/../../v_YoYo_g08_c01.avi",)}, "leads out of the folder of videos.*: write it as Class"),
        ({"test": ()}, r"testlist01.txt lists no video"),
        ({"classes": ("1 Archery", "2 YoYo", "2 HandstandPushups")}, "line 3: '2 HandstandPushups' is there twice"),
        ({"classes": ("1 Archery", "2 YoYo", "3 YoYo")}, "line 3: '3 YoYo' is there twice"),
        ({"classes": ("0 Archery", "1 YoYo", "2 HandstandPushups")}, "are not 1 to 3"),
        ({"classes": ("1 Archery", "2 YoYo", "4 HandstandPushups")}, "are not 1 to 3"),
        ({"classes": ("Archery", "YoYo")}, "line 1: .*a line is a number from 1 and a class name"),
    ],
)
def test_faulty_official_lists_are_refused_by_file_and_line(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        read_annotations(official(tmp_path, **changes))


def test_a_class_that_differs_in_its_capitals_is_asked_for(tmp_path: Path) -> None:
    lists = official(tmp_path, test=("HandStandPushups/v_HandStandPushups_g01_c01.avi",))
    with pytest.raises(DataError, match=r"'HandStandPushups' is not in classInd.txt \(did you mean 'HandstandPushups'"):
        read_annotations(lists)
