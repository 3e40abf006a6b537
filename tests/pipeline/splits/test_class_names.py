from pathlib import Path

import pytest

from tests.helpers import write_list
from tsn.pipeline.splits.class_names import find_class_file, read_class_file
from tsn.tsn_shared.errors import DataError


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("classInd.txt", ("2 Yo-yo", "1 Bow")),
        ("classes.txt", ("Bow", "Yo-yo")),
        ("label_map_k400.txt", ("Bow", "", "Yo-yo")),
        ("jester-v1-labels.csv", ("Bow", "Yo-yo")),
        ("kinetics_labels.csv", ("0,Bow", "1,Yo-yo")),
        ("something-something-v2-labels.json", ('{"Yo-yo": "1", "Bow": "0"}',)),
        ("labels.json", ('["[Bow]", "Yo-yo"]',)),
    ],
)
def test_files_of_class_names_are_found_and_read(tmp_path: Path, name: str, lines: tuple[str, ...]) -> None:
    write_list(tmp_path / "train_labels.csv", "a,b")  # a list of clips
    path = write_list(tmp_path / name, *lines)
    assert find_class_file(tmp_path) == path
    assert read_class_file(path) == ("Bow", "Yo-yo")


def test_a_folder_without_one_has_none(tmp_path: Path) -> None:
    write_list(tmp_path / "train.txt", "a 0")
    assert find_class_file(tmp_path) is None


@pytest.mark.parametrize(
    ("header", "classes"),
    [
        ("filename,label,split", False),
        ("filename,activity", False),
        ('"Video";"Class"', False),
        ("id,name", True),
        ("name,label_id", True),
        ("Bow", True),
        ('"Bow', True),
        ("", True),
    ],
)
def test_a_header_says_whether_a_file_called_labels_lists_clips(tmp_path: Path, header: str, classes: bool) -> None:
    path = write_list(tmp_path / "labels.csv", header, "a.mp4,Bow,train")
    assert find_class_file(tmp_path) == (path if classes else None)


def test_two_of_one_kind_are_refused(tmp_path: Path) -> None:
    for name in ("a-labels.csv", "b-labels.csv"):
        write_list(tmp_path / name, "Bow")
    with pytest.raises(DataError, match=r"a-labels\.csv and b-labels\.csv both name classes"):
        find_class_file(tmp_path)


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        ("classes.txt", "Bow\nBow", "'Bow' is there twice"),
        ("labels.json", '{"Bow": "1"}', "no JSON of classes and their numbers from 0"),
        ("labels.json", '{"Bow": null}', "no JSON of classes and their numbers from 0"),
        ("labels.json", "[1]", "no JSON of classes and their numbers from 0"),
        ("labels.json", "3", "no JSON of classes and their numbers from 0"),
        ("labels.json", "[" * 99_999, "no JSON of classes and their numbers from 0"),
        ("labels.json", '{"Bow": ' + "9" * 5000 + "}", "no JSON of classes and their numbers from 0"),
    ],
)
def test_a_file_that_names_no_classes_is_refused(tmp_path: Path, name: str, line: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_class_file(write_list(tmp_path / name, line))
