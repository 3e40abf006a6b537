import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import write_list
from tsn.pipeline.splits.lists import ListedClip, group_of, read_annotations, shared_groups
from tsn.tsn_shared.errors import DataError

CLASSES = ("1 Archery", "2 HandstandPushups", "3 YoYo")
TRAIN = ("YoYo/v_YoYo_g08_c01.avi 3", "HandstandPushups/v_HandStandPushups_g09_c01.avi 2")
TEST = ("HandstandPushups/v_HandStandPushups_g01_c01.avi", "Archery/v_Archery_g01_c01.avi")


def official(
    folder: Path,
    *,
    classes: tuple[str, ...] = CLASSES,
    train: tuple[str, ...] = TRAIN,
    test: tuple[str, ...] = TEST,
    number: str = "01",
    end: str = "\r\n",
) -> Path:
    write_list(folder / "classInd.txt", *classes, end=end)
    write_list(folder / f"trainlist{number}.txt", *train, end=end)
    write_list(folder / f"testlist{number}.txt", *test, end=end)
    return folder


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
        ({"train": (*TRAIN, "Surfing/v_Surfing_g01_c01.avi 4")}, r"trainlist01.txt, line 3: class 'Surfing' is not in"),
        ({"test": ("Surfing/v_Surfing_g01_c01.avi",)}, r"testlist01.txt, line 1: class 'Surfing' is not in"),
        ({"train": ("YoYo/v_YoYo_g08_c01.avi 2",)}, "line 1: label 2, but YoYo is 3"),
        ({"train": ("YoYo/v_YoYo_g08_c01.avi 0",)}, "line 1: label 0, but YoYo is 3"),
        ({"train": ("YoYo/v_YoYo_g08_c01.avi 4",)}, "line 1: label 4, but YoYo is 3"),
        ({"train": ("YoYo/v_YoYo_g08_c01.avi",)}, "with a label from 1 after it"),
        ({"train": (TRAIN[0], TRAIN[0])}, r"v_YoYo_g08_c01.avi is in \S+trainlist01.txt twice"),
        ({"test": (TEST[0], TRAIN[0][:-2])}, r"is in \S+trainlist01.txt and in \S+testlist01.txt"),
        ({"train": ("/data/YoYo/v_YoYo_g08_c01.avi 3",)}, "leads out of the folder of videos: write it as Class/video"),
        ({"test": ("YoYo/../../v_YoYo_g08_c01.avi",)}, "leads out of the folder of videos: write it as Class/video"),
        ({"test": ()}, r"testlist01.txt lists no video"),
        ({"classes": ("1 Archery", "2 YoYo", "2 HandstandPushups")}, "line 3: '2 HandstandPushups' is there twice"),
        ({"classes": ("1 Archery", "2 YoYo", "3 YoYo")}, "line 3: '3 YoYo' is there twice"),
        ({"classes": ("0 Archery", "1 YoYo", "2 HandstandPushups")}, "are not 1 to 3"),
        ({"classes": ("1 Archery", "2 YoYo", "4 HandstandPushups")}, "are not 1 to 3"),
        ({"classes": ("Archery", "YoYo")}, "line 1: a line is a number from 1 and a class name"),
    ],
)
def test_faulty_official_lists_are_refused_by_file_and_line(
    tmp_path: Path, changes: dict[str, tuple[str, ...]], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        read_annotations(official(tmp_path, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("testlist01.txt", "testlist01.txt cannot be read: No such file"),
        ("classInd.txt", "classInd.txt is missing"),
        ("trainlist01.txt", "holds no trainlist01.txt"),
    ],
)
def test_missing_list_is_named(tmp_path: Path, gone: str, words: str) -> None:
    (official(tmp_path) / gone).unlink()
    with pytest.raises(DataError, match=words):
        read_annotations(tmp_path)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder of lists"):
        read_annotations(tmp_path / "none")


RAWFRAMES = ("YoYo/v_YoYo_g08_c01 120 1", "Archery/v_Archery_g08_c01 90 0")


def plain(folder: Path, train: tuple[str, ...], test: tuple[str, ...], kind: str = "val") -> Path:
    write_list(folder / "ucf101_train_split_2_rawframes.txt", *train, end="\n")
    write_list(folder / f"ucf101_{kind}_split_2_rawframes.txt", *test, end="\n")
    return folder


@pytest.mark.parametrize("kind", ["val", "test"])
def test_lists_with_frame_counts_are_read(tmp_path: Path, kind: str) -> None:
    read = read_annotations(plain(tmp_path, RAWFRAMES, ("YoYo/v_YoYo_g01_c01 7 1",), kind))
    assert read.classes == ("Archery", "YoYo")  # from the folders
    (split,) = read.splits
    assert split.name == "2"
    assert split.clips["train"][0] == ListedClip(path="YoYo/v_YoYo_g08_c01", label=1, frames=120)
    assert split.clips["test"] == (ListedClip(path="YoYo/v_YoYo_g01_c01", label=1, frames=7),)


def test_lists_of_videos_keep_spaces_and_numbers_in_paths(tmp_path: Path) -> None:
    write_list(tmp_path / "train.txt", "a b/my video 3.mp4 0", "c/7 12.MKV 1")
    write_list(tmp_path / "val.txt", "c/x.avi 1")
    (split,) = read_annotations(tmp_path).splits
    assert split.name == "1"
    assert [(clip.name, clip.label, clip.frames) for clip in split.clips["train"]] == [
        ("a b/my video 3", 0, None),
        ("c/7 12", 1, None),
    ]


@pytest.mark.parametrize("file", ["classes.txt", "classInd.txt"])
def test_class_names_beside_the_lists_go_before_the_folders(tmp_path: Path, file: str) -> None:
    lines = ("Bow", "Yo-yo", "Nothing") if file == "classes.txt" else ("1 Bow", "2 Yo-yo", "3 Nothing")
    write_list(tmp_path / file, *lines)
    read = read_annotations(plain(tmp_path, RAWFRAMES, ("videos/v_YoYo_g01_c01 7 1",)))
    assert read.classes == ("Bow", "Yo-yo", "Nothing")


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        (RAWFRAMES, ("YoYo/v 1 2 3",), "labels and folders do not match|not one folder"),
        (RAWFRAMES, ("YoYo/v_x",), "a line is `path label` or `path frames label`"),
        (RAWFRAMES, ("Archery/v_x 1",), "label 1 of Archery/v_x is not one folder's"),
        (RAWFRAMES, ("v_x 1",), "label 1 of v_x is not one folder's"),
        (RAWFRAMES, ("Surfing/v_x 3",), "do not match one to one from 0 on"),
        (("YoYo/a 0", "YoYo/b 1"), ("YoYo/c 0",), "do not match one to one"),
        (RAWFRAMES, (RAWFRAMES[0],), "v_YoYo_g08_c01 is in"),
        (RAWFRAMES, ("../YoYo/v_x 1",), "leads out of the folder"),
    ],
)
def test_faulty_plain_lists_are_refused(
    tmp_path: Path, train: tuple[str, ...], test: tuple[str, ...], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        read_annotations(plain(tmp_path, train, test))


def test_label_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    write_list(tmp_path / "classes.txt", "Archery", "YoYo")
    with pytest.raises(DataError, match="line 1: label 2, but the labels of 2 classes go to 1"):
        read_annotations(plain(tmp_path, RAWFRAMES, ("YoYo/v_x 2",)))


def test_train_list_without_its_test_list_is_refused(tmp_path: Path) -> None:
    write_list(tmp_path / "my_train_list.txt", *RAWFRAMES)
    with pytest.raises(DataError, match=r"my_train_list\.txt: 0 test lists of that name"):
        read_annotations(tmp_path)


def test_labels_from_1_are_refused_where_the_folder_tells(tmp_path: Path) -> None:
    write_list(tmp_path / "classes.txt", "Archery", "YoYo", "Surfing")
    lists = plain(tmp_path, ("Archery/v_x 1", "YoYo/v_x 2"), ("YoYo/v_y 2",))
    with pytest.raises(DataError, match="line 1: label 1 is YoYo, but the video lies in Archery: count from 0"):
        read_annotations(lists)


def test_a_fifo_or_a_device_in_the_place_of_a_list_is_not_waited_for(tmp_path: Path) -> None:
    folder = official(tmp_path)
    for name, kind, make in (
        ("trainlist01.txt", "a FIFO", os.mkfifo),
        ("classInd.txt", "a device", lambda path: path.symlink_to("/dev/zero")),
    ):
        (folder / name).unlink()
        make(folder / name)
        with pytest.raises(DataError, match=f"{name} cannot be read: it is {kind}, not a regular file"):
            read_annotations(folder)


def test_a_list_that_is_no_text_is_refused_after_its_first_line(tmp_path: Path) -> None:
    """However long it claims to be: nothing of this one is on the disk."""
    folder = official(tmp_path)
    os.truncate(folder / "testlist01.txt", 1 << 40)
    with pytest.raises(DataError, match=r"testlist01\.txt, line \d+ is no text: it holds a zero byte or over 65,536"):
        read_annotations(folder)
    (folder / "testlist01.txt").write_text("a" * 70_000)
    with pytest.raises(DataError, match=r"testlist01\.txt, line 1 is no text"):
        read_annotations(folder)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_a_list_in_utf_16_is_called_so(tmp_path: Path, encoding: str) -> None:
    folder = official(tmp_path)
    mark = "" if encoding == "utf-16" else "\ufeff"
    text = mark + (folder / "trainlist01.txt").read_text()
    (folder / "trainlist01.txt").write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match=r"trainlist01\.txt is text in UTF-16: save it as UTF-8"):
        read_annotations(folder)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_they_may_and_hold_what_names_hold(tmp_path: Path, end: str) -> None:
    write_list(tmp_path / "classes.txt", "A", "B", end=end)
    lines = ["A/a\x0bb\x1cc\u2028d.avi 0", "", "  ", "B/x.avi 1"]  # what other readers take for an end is none
    write_list(tmp_path / "a_train_b.txt", *lines, end=end)
    write_list(tmp_path / "a_test_b.txt", "B/y.avi 1", end=end)
    (split,) = read_annotations(tmp_path).splits
    assert [clip.path for clip in split.clips["train"]] == ["A/a\x0bb\x1cc\u2028d.avi", "B/x.avi"]


def test_lists_beside_those_that_were_read_are_named(tmp_path: Path) -> None:
    folder = plain(official(tmp_path), RAWFRAMES, ("YoYo/v_YoYo_g01_c01 7 1",))
    write_list(folder / "testlist02.txt", *TEST)
    write_list(folder / "readme.txt", "no list")
    unread = ["testlist02.txt", "ucf101_train_split_2_rawframes.txt", "ucf101_val_split_2_rawframes.txt"]
    assert read_annotations(folder).unread(folder) == unread


def test_two_kinds_of_list_for_one_split_are_refused(tmp_path: Path) -> None:
    plain(tmp_path, RAWFRAMES, ("YoYo/v_x 1",))
    write_list(tmp_path / "ucf101_train_split_2_videos.txt", "YoYo/v_y.avi 1", "Archery/v_z.avi 0")
    write_list(tmp_path / "ucf101_val_split_2_videos.txt", "YoYo/v_x.avi 1")
    with pytest.raises(DataError, match="two pairs of lists are of the same split"):
        read_annotations(tmp_path)


@pytest.mark.parametrize(
    ("path", "name"),
    [("A/v.avi", "A/v"), ("A/v.AVI", "A/v"), ("A/v", "A/v"), ("A/v.1", "A/v.1"), ("A/v.1.webm", "A/v.1")],
)
def test_only_the_suffix_of_a_video_file_is_no_part_of_a_name(path: str, name: str) -> None:
    assert ListedClip(path=path, label=0).name == name


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("YoYo/v_YoYo_g07_c02", "YoYo/v_YoYo_g07"),
        ("HandstandPushups/v_HandStandPushups_g25_c10", "HandstandPushups/v_HandStandPushups_g25"),
        ("YoYo/some video", None),
        ("YoYo/v_YoYo_g07_c02_cut", None),
    ],
)
def test_group_is_read_from_the_name(name: str, group: str | None) -> None:
    assert group_of(name) == group


@given(train=st.sets(st.integers(1, 9)), test=st.sets(st.integers(1, 9)))
def test_shared_groups_are_those_on_both_sides(train: set[int], test: set[int]) -> None:
    sides = [[f"A/v_A_g{group:02d}_c{clip:02d}" for group in side for clip in (1, 2)] for side in (train, test)]
    assert shared_groups(*sides) == [f"A/v_A_g{group:02d}" for group in sorted(train & test)]


def test_a_folder_without_lists_that_we_read_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("train.csv", "val.csv", "train.list"):
        (tmp_path / name).write_text("A/a.avi 0\n")
    with pytest.raises(DataError, match=r"of lines `path label`, but 2 \.csv, 1 \.list$"):
        read_annotations(tmp_path)


def test_lists_that_cannot_be_told_apart_are_named(tmp_path: Path) -> None:
    for name in ("train.txt", "val.txt", "test.txt"):
        (tmp_path / name).write_text("A/a.avi 0\n")
    with pytest.raises(DataError, match=r"must be 1 \((test|val)\.txt, (test|val)\.txt\): move all but one away"):
        read_annotations(tmp_path)
