import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import write_list
from tests.pipeline.splits.made import RAWFRAMES, TEST, official, plain
from tsn.pipeline.splits.lists import read_annotations, unread_lists
from tsn.tsn_shared.errors import DataError


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("testlist01.txt", "testlist01.txt cannot be read: No such file"),
        ("classInd.txt", "classInd.txt is missing"),
        ("trainlist01.txt", "which clips train and which test is not said"),
    ],
)
def test_missing_list_is_named(tmp_path: Path, gone: str, words: str) -> None:
    (official(tmp_path) / gone).unlink()
    with pytest.raises(DataError, match=words):
        read_annotations(tmp_path)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist: name the folder that holds the lists"):
        read_annotations(tmp_path / "none")


def test_lists_beside_those_that_were_read_are_named(tmp_path: Path) -> None:
    folder = plain(official(tmp_path), RAWFRAMES, ("YoYo/v_YoYo_g01_c01 7 1",))
    write_list(folder / "testlist02.txt", *TEST)
    write_list(folder / "readme.txt", "no list")
    unread = ["testlist02.txt", "ucf101_train_split_2_rawframes.txt", "ucf101_val_split_2_rawframes.txt"]
    assert unread_lists(folder, read_annotations(folder)) == unread


def test_a_folder_without_lists_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.doc", "b.doc", "c.pdf"):
        (tmp_path / name).write_text("A/a.avi 0\n")
    with pytest.raises(DataError, match=r"holds no trainlist01.txt, nor any other list .*, but 2 \.doc, 1 \.pdf$"):
        read_annotations(tmp_path)


def test_a_folder_of_csv_or_json_is_never_said_to_hold_no_list(tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("path,label\nA/a.avi,0\n")
    with pytest.raises(DataError, match=r"videos\.csv: which clips train and which test is not said: name"):
        read_annotations(tmp_path)


def test_a_folder_of_videos_in_the_place_of_the_lists_is_told(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b/1.MOV").touch()
    for words in (r"nor any other list .*, but 1 a b", r"notes\.txt: which clips train .* with --split-by video"):
        with pytest.raises(DataError, match=rf"{words}; or is it the videos, .* --split-by video$"):
            read_annotations(tmp_path)
        (tmp_path / "notes.txt").touch()


def test_loose_videos_in_the_place_of_the_lists_are_told(tmp_path: Path) -> None:
    (tmp_path / "1.MOV").touch()
    words = (
        r"but 1 \.MOV; or is it the videos\? Then list their classes .* `path,label`.* videos\.csv --split-by video$"
    )
    with pytest.raises(DataError, match=words):
        read_annotations(tmp_path)
    write_list(tmp_path / "labels.csv", "filename,activity", "1.MOV,Bow")
    with pytest.raises(
        DataError,
        match=r"labels\.csv: .* is not said: .*, or name one itself, to draw a split from it with --split-by video$",
    ):
        read_annotations(tmp_path)


@pytest.mark.parametrize("name", ["lists.zip", "testTrainMulti_7030_splits.rar", "lists.tar.gz"])
def test_archives_are_to_be_unpacked_first(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(DataError, match=f"{name} is an archive: unpack it first"):
        read_annotations(tmp_path / name)
    with pytest.raises(DataError, match=f"holds no lists, but {name}: unpack it first"):
        read_annotations(tmp_path)


def test_a_list_beside_an_archive_is_a_list(tmp_path: Path) -> None:
    (tmp_path / "videos.zip").write_bytes(b"PK")
    write_list(tmp_path / "all.csv", "path,label", "A/a.avi,A")
    with pytest.raises(DataError, match=r"all\.csv: which clips train and which test is not said"):
        read_annotations(tmp_path)


def test_a_fifo_in_the_place_of_a_list_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("train.csv", "all.csv", "all.json", "train.json", "classes.txt"):
        folder = tmp_path / name.replace(".", "-")
        write_list(folder / "train.txt", "A/a.avi 0")
        write_list(folder / "val.txt", "A/b.avi 0")
        if name != "classes.txt":
            (folder / "train.txt").unlink()
        os.mkfifo(folder / name)
        with pytest.raises(DataError, match=f"{name} cannot be read: it is a FIFO"):
            read_annotations(folder)


def test_a_list_in_the_place_of_its_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.csv is a file: name the folder that it lies in"):
        read_annotations(write_list(tmp_path / "train.csv", "A/a.avi 0"))


WORDS = ("path", "label", "split", "train", "id", "time_start", "A/a.avi", "B/b", "7", "0", "1.5", "-1", "Surf", "..")
MARKS = (*'/ ,;\t\n"[]{}:é\ufeff\udce9', "\r\n", '"id":', '"template":')
TEXTS = st.lists(st.sampled_from(WORDS + MARKS), max_size=30).map("".join)


@given(
    name=st.sampled_from(["train.txt", "train.list", "train.csv", "train.tsv", "train.json", "all.csv", "all.json"]),
    beside=st.sampled_from(["val.csv", "val.json", "test.txt", "classes.txt", "labels.json", "a_test_split1.txt"]),
    texts=st.tuples(TEXTS, TEXTS),
)
def test_whatever_lists_hold_they_are_read_or_refused(name: str, beside: str, texts: tuple[str, str]) -> None:
    with TemporaryDirectory() as folder:
        for file, text in zip((name, beside), texts, strict=True):
            (Path(folder) / file).write_bytes(text.encode("utf-8", "surrogateescape"))
        (Path(folder) / f"val{Path(name).suffix}").write_text("A/z.avi 0\n")
        try:
            read = read_annotations(Path(folder))
        except DataError:
            return
        labels = {clip.label for split in read.splits for clips in split.clips.values() for clip in clips}
        assert labels <= set(range(len(read.classes)))
