from pathlib import Path

import pytest

from tests.helpers import write_list
from tests.pipeline.splits.made import RAWFRAMES, plain
from tsn.pipeline.splits.listed import ListedClip
from tsn.pipeline.splits.lists import read_annotations, unread_lists
from tsn.tsn_shared.errors import DataError


@pytest.mark.parametrize("kind", ["val", "test"])
def test_lists_with_frame_counts_are_read(tmp_path: Path, kind: str) -> None:
    read = read_annotations(plain(tmp_path, RAWFRAMES, ("YoYo/v_YoYo_g01_c01 7 1",), kind))
    assert read.classes == ("Archery", "YoYo")  # from the folders
    (split,) = read.splits
    assert split.name == "2"
    assert split.clips["train"][0] == ListedClip(path="YoYo/v_YoYo_g08_c01", label=1, frames=120)
    assert split.clips[kind] == (ListedClip(path="YoYo/v_YoYo_g01_c01", label=1, frames=7),)  # type: ignore[index]


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
        (RAWFRAMES, ("YoYo/v 1 2 3",), r"line 1: 'YoYo/v 1 2 3': labels 1 and 3 are both of|not one folder"),
        (RAWFRAMES, ("YoYo/v_x",), "a line is `path label` or `path frames label`"),
        (
            RAWFRAMES,
            ("Archery/v_x 1",),
            r"line 1: 'Archery/v_x 1': label 1 is not one folder's: Archery here, YoYo before",
        ),
        (RAWFRAMES, ("v_x 1",), r"line 1: 'v_x 1': label 1 is not one folder's: v_x lies in none"),
        (RAWFRAMES, ("Surfing/v_x 3",), "line 1: 'Surfing/v_x 3': labels go from 0 to 3, and no video has 2"),
        (RAWFRAMES, ("yoyo/v_x 1",), "yoyo here, YoYo before, which differ in capitals"),
        (RAWFRAMES, ("Archery/v_x 0 120", "YoYo/v_y 1 120"), "is it the number of frames"),
        (("YoYo/a 0", "YoYo/b 1"), ("YoYo/c 0",), "line 2: 'YoYo/b 1': labels 0 and 1 are both of YoYo"),
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
    with pytest.raises(DataError, match="line 1: YoYo/v_x: label 2, but the labels of 2 classes go to 1"):
        read_annotations(plain(tmp_path, RAWFRAMES, ("YoYo/v_x 2",)))


def test_train_list_without_its_test_list_is_refused(tmp_path: Path) -> None:
    write_list(tmp_path / "my_train_list.txt", *RAWFRAMES)
    with pytest.raises(DataError, match=r"my_train_list\.txt has no partner, my_val_list\.txt or my_test_list\.txt"):
        read_annotations(tmp_path)


def test_labels_from_1_are_refused_where_the_folder_tells(tmp_path: Path) -> None:
    write_list(tmp_path / "classes.txt", "Archery", "YoYo", "Surfing")
    lists = plain(tmp_path, ("Archery/v_x 1", "YoYo/v_x 2"), ("YoYo/v_y 2",))
    with pytest.raises(
        DataError,
        match=r"label 1 is YoYo in .*classes\.txt, but the video lies in Archery: labels go from 1 to 2, they must",
    ):
        read_annotations(lists)


def test_classes_in_another_order_than_the_labels_are_blamed_on_their_file(tmp_path: Path) -> None:
    write_list(tmp_path / "classes.txt", "YoYo", "Surfing", "Archery")
    words = r"line 1: Archery/v_x: label 0 is YoYo in .*classes\.txt, but the video lies in Archery, which is 2 there"
    with pytest.raises(DataError, match=words):
        read_annotations(plain(tmp_path, ("Archery/v_x 0", "YoYo/v_x 1"), ("YoYo/v_y 1",)))


def test_two_kinds_of_list_for_one_split_are_refused(tmp_path: Path) -> None:
    plain(tmp_path, RAWFRAMES, ("YoYo/v_x 1",))
    write_list(tmp_path / "ucf101_train_split_2_videos.txt", "YoYo/v_y.avi 1", "Archery/v_z.avi 0")
    write_list(tmp_path / "ucf101_val_split_2_videos.txt", "YoYo/v_x.avi 1")
    with pytest.raises(DataError, match="two pairs of lists are of the same split"):
        read_annotations(tmp_path)


def subsets(folder: Path) -> tuple[tuple[str, ...], dict[str, list[tuple[str, int]]]]:
    """Return the classes and the clips of the subsets that have any."""
    read = read_annotations(folder)
    (split,) = read.splits
    return read.classes, {s: [(c.path, c.label) for c in clips] for s, clips in split.clips.items() if clips}


@pytest.mark.parametrize(
    "names",
    [
        ("train.txt", "val.txt", "test.txt"),
        ("mine_train_1.list", "mine_validation_1.list", "mine_test_1.list"),
        ("Training.csv", "Valid.csv", "Testing.csv"),
        ("train.csv", "validate.csv", "test.csv"),
    ],
)
def test_train_val_and_test_lists_are_three_subsets(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name, line in zip(names, ("A/1.avi 0", "B/2.avi 1", "A/3.avi 0"), strict=True):
        write_list(tmp_path / name, line)
    assert subsets(tmp_path) == (
        ("A", "B"),
        {"train": [("A/1.avi", 0)], "val": [("B/2.avi", 1)], "test": [("A/3.avi", 0)]},
    )


def test_two_lists_for_one_subset_are_named(tmp_path: Path) -> None:
    for name in ("train.txt", "val.txt", "valid.txt"):
        write_list(tmp_path / name, f"A/{name} 0")
    with pytest.raises(DataError, match=r"val\.txt and valid\.txt are two val lists of one train list"):
        read_annotations(tmp_path)


def test_kinetics_lists_name_classes_and_times(tmp_path: Path) -> None:
    header = "label,youtube_id,time_start,time_end,split"
    write_list(tmp_path / "train.csv", header, "surfing water,a-1,3,13,train", "archery,b_2,0,10,train")
    write_list(tmp_path / "validate.csv", header, "archery,c,5,15,validate")
    write_list(tmp_path / "test.csv", "youtube_id,time_start,time_end,split", "d,1,11,test")
    read = read_annotations(tmp_path)
    assert read.classes == ("archery", "surfing water")
    (split,) = read.splits
    assert split.clips["train"] == (ListedClip("a-1", 1, None, 3, 13), ListedClip("b_2", 0, None, 0, 10))
    assert split.clips["val"] == (ListedClip("c", 0, None, 5, 15),)
    assert split.left_out == (("test", "d", "the list gives no class"),)
    assert split.source == "train.csv and validate.csv"


def test_one_list_with_a_column_for_the_subset_is_a_split(tmp_path: Path) -> None:
    lines = ("file,class,subset", "1.mp4,Bow,train", "2.mp4,Aim,test", "3.mp4,Bow,val")
    write_list(tmp_path / "annotations.csv", *lines)
    assert subsets(tmp_path) == (
        ("Aim", "Bow"),
        {"train": [("1.mp4", 1)], "val": [("3.mp4", 1)], "test": [("2.mp4", 0)]},
    )
    write_list(tmp_path / "annotations.csv", *lines, "4.mp4,Bow,")
    with pytest.raises(DataError, match=r"annotations\.csv, line 5: 4\.mp4: no subset, such as train or test"):
        read_annotations(tmp_path)
    write_list(tmp_path / "annotations.csv", *lines, "1.mp4,Bow,test")
    with pytest.raises(DataError, match=r"1\.mp4 is in \S+annotations\.csv twice"):
        read_annotations(tmp_path)


def test_something_somethings_classes_are_its_templates(tmp_path: Path) -> None:
    name = "something-something-v2-{}.json".format
    entry = '{{"id": "{}", "label": "holding a cup", "template": "{}", "placeholders": ["a cup"]}}'.format
    write_list(
        tmp_path / name("train"), f"[{entry('78687', 'Holding [something]')}, {entry('4', 'Pushing [part of it]')}]"
    )
    write_list(tmp_path / name("validation"), f"[{entry('5', 'Holding [something]')}]")
    write_list(tmp_path / name("test"), '[{"id": "6"}]')
    write_list(tmp_path / name("labels"), '{"Pushing part of it": "0", "Holding something": "1"}')
    assert subsets(tmp_path) == (
        ("Pushing part of it", "Holding something"),
        {"train": [("78687", 1), ("4", 0)], "val": [("5", 1)]},
    )


def test_jesters_lists_are_divided_by_semicolons(tmp_path: Path) -> None:
    write_list(tmp_path / "jester-v1-labels.csv", "Swiping Left", "Drumming Fingers", "No gesture")
    write_list(tmp_path / "jester-v1-train.csv", "34870;Drumming Fingers", "2;Swiping Left")
    write_list(tmp_path / "jester-v1-validation.csv", "9;Drumming Fingers")
    write_list(tmp_path / "jester-v1-test.csv", "10")
    classes, clips = subsets(tmp_path)
    assert classes == ("Swiping Left", "Drumming Fingers", "No gesture")
    assert clips == {"train": [("34870", 1), ("2", 0)], "val": [("9", 1)]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("name", "mark"), [("txt", " "), ("txt", "\t"), ("csv", ","), ("tsv", "\t")])
def test_lists_are_read_in_the_encodings_that_people_save_them_in(
    tmp_path: Path, encoding: str, name: str, mark: str
) -> None:
    for subset in ("train", "val"):
        (tmp_path / f"{subset}.{name}").write_bytes(f"Größe/{subset}.avi{mark}0\r\n".encode(encoding))
    assert subsets(tmp_path) == (("Größe",), {"train": [("Größe/train.avi", 0)], "val": [("Größe/val.avi", 0)]})


def test_names_of_a_class_that_differ_in_capitals_are_shown(tmp_path: Path) -> None:
    write_list(tmp_path / "train.csv", "a.avi,Bow", "b.avi,Yo yo")
    write_list(tmp_path / "val.csv", "c.avi,Bow", "d.avi,yo_yo")
    with pytest.raises(
        DataError, match=r"val.csv, line 2: d.avi: the class 'yo_yo' was 'Yo yo' before: write it alike"
    ):
        read_annotations(tmp_path)
    write_list(tmp_path / "classes.txt", "Bow", "Yo yo", "yo_yo")
    assert read_annotations(tmp_path).classes == ("Bow", "Yo yo", "yo_yo")


def test_labels_from_1_are_said_at_the_first_run(tmp_path: Path) -> None:
    lists = plain(tmp_path, ("Archery/v_x 1", "YoYo/v_x 2"), ("YoYo/v_y 2",))
    with pytest.raises(DataError, match=r"line 1: '.* 1': labels go from 1 to 2: they must begin at 0"):
        read_annotations(lists)
    write_list(tmp_path / "classes.txt", "Archery", "YoYo")
    with pytest.raises(DataError, match="labels go from 1 to 2, they must begin at 0"):
        read_annotations(lists)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("path,label", "1.mp4,Bow", "2.mp4,3"), "train.csv, line 3: 2.mp4: the label '3', where others are names"),
        (("path,label", "1.mp4,3", "2.mp4,Bow"), "train.csv, line 3: 2.mp4: the label 'Bow', where others are numbers"),
        (("path", "1.mp4"), "train.csv gives no class for any video to train on: call that column label"),
        (("path,label", "1.mp4,Bow", "1.mp4,Bow"), r"1\.mp4 is in \S+train\.csv twice"),
        (("path,label",), "train.csv lists no video"),
        ((), "train.csv lists no video"),
    ],
)
def test_faulty_csv_is_refused(tmp_path: Path, lines: tuple[str, ...], words: str) -> None:
    write_list(tmp_path / "train.csv", *lines)
    write_list(tmp_path / "val.csv", "path,label", "9.mp4,Bow")
    with pytest.raises(DataError, match=words):
        read_annotations(tmp_path)


def test_a_class_that_the_file_of_classes_lacks_is_named(tmp_path: Path) -> None:
    write_list(tmp_path / "classes.txt", "Bow", "Aim")
    write_list(tmp_path / "train.csv", "path,label", "1.mp4,Bow", "2.mp4,bow")
    write_list(tmp_path / "val.csv", "path,label", "3.mp4,Aim")
    with pytest.raises(
        DataError,
        match=r"train\.csv, line 3: 2\.mp4: 'bow' is none of the classes in .*classes\.txt \(did you mean 'Bow'\?\)",
    ):
        read_annotations(tmp_path)


def test_a_number_of_absurdly_many_digits_is_no_label(tmp_path: Path) -> None:
    write_list(tmp_path / "train.csv", "path,label", "1.mp4,0", f"2.mp4,{'9' * 5000}")
    write_list(tmp_path / "val.csv", "path,label", "3.mp4,0")
    with pytest.raises(DataError, match=r"line 3: 2\.mp4: the label '9999"):
        read_annotations(tmp_path)


def test_of_lists_that_differ_in_their_endings_alone_one_is_read(tmp_path: Path) -> None:
    """As Kinetics comes, whose JSON is of another form than what is read."""
    for subset in ("train", "validate"):
        write_list(
            tmp_path / f"{subset}.csv", "label,youtube_id,time_start,time_end,split", f"Bow,{subset}-1,1,11,{subset}"
        )
        write_list(tmp_path / f"{subset}.json", '{"x": {"annotations": {"label": "Bow"}}}')
    assert subsets(tmp_path) == (("Bow",), {"train": [("train-1", 0)], "val": [("validate-1", 0)]})
    assert unread_lists(tmp_path, read_annotations(tmp_path)) == ["train.json", "validate.json"]
