import threading
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import frames_of, make_shard, make_shards, write_list
from tsn.pipeline.splits.build import build_splits
from tsn.pipeline.splits.report import report_text
from tsn.tsn_shared.errors import DataError, PartialError, SettingsError
from tsn.tsn_shared.hdf5 import read_seal
from tsn.tsn_shared.settings import SplitsSettings
from tsn.tsn_shared.shard_file import Shard
from tsn.tsn_shared.shards import KIND
from tsn.tsn_shared.splits import SUBSETS, read_split

CLASSES = ("Archery", "HandstandPushups", "Surfing", "YoYo")


def name_of(label: str, group: int, clip: int) -> str:
    return f"{label}/v_{label.replace('stand', 'Stand')}_g{group:02d}_c{clip:02d}"


NAMES = sorted(name_of(label, group, clip) for label in CLASSES for group in (1, 2, 3) for clip in (1, 2))


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """Official lists of three splits: group N tests in split N."""
    folder = tmp_path / "lists"
    write_list(folder / "classInd.txt", *(f"{number} {label}" for number, label in enumerate(CLASSES, start=1)))
    for split in (1, 2, 3):
        tests = [name for name in NAMES if f"_g{split:02d}_" in name]
        train = [name for name in reversed(NAMES) if name not in tests]
        write_list(
            folder / f"trainlist{split:02d}.txt",
            *(f"{name}.avi {CLASSES.index(name.split('/')[0]) + 1}" for name in train),
        )
        write_list(folder / f"testlist{split:02d}.txt", *(f"{name}.avi" for name in tests))
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> SplitsSettings:
    make_shards(tmp_path / "frames", NAMES, a_shard=5)
    return SplitsSettings(frames=tmp_path / "frames", out=tmp_path / "splits")


def with_(settings: SplitsSettings, **changes: object) -> SplitsSettings:
    return SplitsSettings(**(vars(settings) | changes))


def test_every_row_leads_to_its_frames(lists: Path, settings: SplitsSettings) -> None:
    build_splits(lists, settings)
    assert sorted(path.name for path in settings.out.iterdir()) == ["split1.h5", "split2.h5", "split3.h5"]
    for number in (1, 2, 3):
        split = read_split(settings.out / f"split{number}.h5")
        assert split.classes == CLASSES
        seen = []
        for subset in SUBSETS:
            clips, names = split.subset(subset), split.names(subset, slice(None))
            for row, name in enumerate(names):
                shard = Shard(settings.frames / split.shard_names[clips.shard[row]])
                video = int(clips.video[row])
                assert shard.tables.names[video] == name
                assert shard.read(int(shard.tables.first_frame[video])).tobytes() == frames_of(name, 1)[0]
                assert clips.frames[row] == shard.tables.frames[video] == 3
                assert split.classes[clips.label[row]] == name.split("/")[0]
                assert (f"_g{number:02d}_" in name) == (subset == "test")
                seen.append(name)
        assert sorted(seen) == NAMES
        assert split.names("train", slice(None)) == tuple(n for n in reversed(NAMES) if f"_g{number:02d}_" not in n)


def test_split_refers_to_its_shards_by_name_and_seal(lists: Path, settings: SplitsSettings) -> None:
    make_shard(settings.frames / "frames-00099.h5", {"Other/v_x": frames_of("x", 2)})  # of videos in no list
    build_splits(lists, settings)
    split = read_split(settings.out / "split1.h5")
    assert split.shard_names == tuple(f"frames-{number:05d}.h5" for number in range(5))
    seals = [read_seal(settings.frames / name, KIND).sha256 for name in split.shard_names]
    assert list(split.shard_sha256) == seals


def test_what_was_built_is_told_in_one_table(lists: Path, settings: SplitsSettings) -> None:
    text = report_text(build_splits(lists, settings))
    assert [" ".join(line.split()) for line in text.splitlines()[2:]] == [
        f"| {settings.out}/split{number}.h5 | {row} |"
        for number in (1, 2, 3)
        for row in ("train | 16 | 4 | 48 |", "test | 8 | 4 | 24 |")
    ]


def test_a_split_of_other_content_is_replaced_with_a_word(
    settings: SplitsSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    path = settings.out / "split1.h5"
    for seed, said in (
        (0, ""),
        (0, ""),
        (1, f"{path}: replaced, it was: drawn by group, test share 0.3, seed 0\n"),
        (1, ""),
    ):
        build_splits(None, with_(settings, split_by="group", seed=seed))
        assert capsys.readouterr().err == said
    make_shard(settings.frames / "frames-00005.h5", {name_of("YoYo", 4, 1): frames_of("x", 2)})
    build_splits(None, with_(settings, split_by="group", seed=1))
    assert "seed 1, with other clips, classes or shards\n" in capsys.readouterr().err
    path.write_bytes(b"tsn-split 1\n")
    build_splits(None, with_(settings, split_by="group", seed=1))
    assert "it is made again now" in capsys.readouterr().err
    assert read_split(path).classes == CLASSES


def test_what_no_split_holds_is_not_said_before_there_is_a_split(
    settings: SplitsSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    make_shard(settings.frames / "frames-00009.h5", {"flat": frames_of("x", 2)}, failures=[("YoYo/v_bad", "no frame")])
    with pytest.raises(DataError, match="flat lies in no class folder"):
        build_splits(None, with_(settings, split_by="video"))
    assert capsys.readouterr().err == ""


def test_lists_that_are_not_read_are_said(
    lists: Path, settings: SplitsSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    (lists / "testlist02.txt").rename(lists / "testlist04.txt")
    (lists / "trainlist02.txt").unlink()
    build_splits(lists, settings)
    assert capsys.readouterr().err.startswith(f"{lists}: not read, beside the lists that were: testlist04.txt\n")
    assert sorted(path.name for path in settings.out.iterdir()) == ["split1.h5", "split3.h5"]


def test_a_list_without_classes_was_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for subset, line in (("Train", "1;A"), ("Validation", "2;A"), ("Test", "3")):
        write_list(tmp_path / "lists" / f"{subset}.csv", line)
    frames = make_shards(tmp_path / "frames", ["1", "2", "3"])
    reports = build_splits(tmp_path / "lists", SplitsSettings(frames=frames, out=tmp_path / "splits"))
    assert [sum(row.left_out.values()) for row in reports] == [0, 0, 1]
    assert "not read" not in capsys.readouterr().err


def test_same_lists_and_shards_give_the_same_bytes(lists: Path, settings: SplitsSettings, tmp_path: Path) -> None:
    build_splits(lists, settings)
    build_splits(lists, with_(settings, out=tmp_path / "again"))
    for number in (1, 2, 3):
        name = f"split{number}.h5"
        assert (tmp_path / "again" / name).read_bytes() == (settings.out / name).read_bytes()


def test_missing_videos_end_with_their_count_and_no_split(lists: Path, tmp_path: Path) -> None:
    make_shards(tmp_path / "frames", NAMES[:-7])
    settings = SplitsSettings(frames=tmp_path / "frames", out=tmp_path / "splits")
    with pytest.raises(PartialError) as caught:
        build_splits(lists, settings)
    words = str(caught.value)
    assert caught.value.exit_code == 3
    assert words.startswith(f"7 of 24 listed videos have no frames in {settings.frames}, among them ")
    assert f"{NAMES[-1]}.avi" in words
    assert words.count(".avi") == 3
    assert "and 4 more" in words
    assert "--allow-missing" in words
    assert "\n" not in words
    assert not settings.out.exists()
    make_shard(settings.frames / "frames-00077.h5", {name: frames_of(name, 2) for name in NAMES[-7:]})
    build_splits(lists, settings)
    assert len(read_split(settings.out / "split1.h5").train) == 16


def test_allow_missing_leaves_out_says_so_and_keeps_all_classes(
    lists: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = [name for name in NAMES if name.startswith(("Archery", "YoYo"))]
    make_shards(tmp_path / "frames", there)
    settings = SplitsSettings(frames=tmp_path / "frames", out=tmp_path / "splits", allow_missing=True)
    reports = build_splits(lists, settings)
    split = read_split(settings.out / "split2.h5")
    assert split.classes == CLASSES
    assert (len(split.train), len(split.test)) == (8, 4)
    assert set(split.train.label.tolist()) == {0, 3}
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("12 of 24 listed videos have no frames")
    assert lines == [lines[0]]
    assert lines[0].endswith(": left out")
    train = next(report for report in reports if report.path.name == "split2.h5")
    assert (train.subset, train.clips, train.classes, train.frames) == ("train", 8, 2, 24)
    assert train.left_out == {"no frames of that name": 8}


def test_failed_videos_are_named_with_their_reason(
    lists: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_shards(tmp_path / "frames", NAMES[:-1])
    make_shard(tmp_path / "frames" / "frames-00077.h5", {}, failures=[(NAMES[-1], "zero bytes")])
    settings = SplitsSettings(frames=tmp_path / "frames", out=tmp_path / "splits")
    with pytest.raises(PartialError, match="1 of 24 listed videos have no frames"):
        build_splits(lists, settings)
    assert capsys.readouterr().err == f"{NAMES[-1]}.avi failed in extraction: zero bytes\n"
    assert not settings.out.exists()


def test_lists_and_frames_of_different_data_are_told_apart(lists: Path, tmp_path: Path) -> None:
    make_shards(tmp_path / "frames", ["Jumping/v_Jumping_g01_c01", "Jumping/v_Jumping_g01_c02"])
    settings = SplitsSettings(frames=tmp_path / "frames", out=tmp_path / "splits", allow_missing=True)
    with pytest.raises(DataError, match=r"none of the 24 .* the lists name \S+/\S+\.avi, the shards Jumping/v_J"):
        build_splits(lists, settings)
    make_shards(tmp_path / "others", ["train/Jump/a", "val/Jump/b"])
    with pytest.raises(DataError, match=r"the shards train/Jump/a; --split-by folder reads no lists"):
        build_splits(lists, with_(settings, frames=tmp_path / "others"))


def test_no_shards_says_what_to_run(lists: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no frame shards: run tsn extract-frames first"):
        build_splits(lists, SplitsSettings(frames=tmp_path, out=tmp_path / "splits"))


def test_shards_of_two_extractions_are_refused(lists: Path, settings: SplitsSettings) -> None:
    make_shard(settings.frames / "frames-00009.h5", {"A/v": [b"x"]}, settings={"size": "native"})
    with pytest.raises(DataError, match=r"frames-00009\.h5 was made with other settings than frames-00000\.h5"):
        build_splits(lists, settings)


def test_video_in_two_shards_is_refused(lists: Path, settings: SplitsSettings) -> None:
    make_shard(settings.frames / "frames-00009.h5", {NAMES[0]: [b"x"]})
    with pytest.raises(DataError, match=r"is in frames-00000\.h5 as well"):
        build_splits(lists, settings)


def test_damaged_shard_is_refused(lists: Path, settings: SplitsSettings) -> None:
    path = settings.frames / "frames-00002.h5"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"frames-00002\.h5"):
        build_splits(lists, settings)


def test_one_fault_in_the_last_split_leaves_no_split(lists: Path, settings: SplitsSettings) -> None:
    with (lists / "testlist03.txt").open("a") as file:
        file.write("Nowhere/v_x_g01_c01.avi\r\n")
    with pytest.raises(DataError, match="class 'Nowhere'"):
        build_splits(lists, settings)
    assert not settings.out.exists()


def test_video_listed_with_and_without_suffix_is_refused(tmp_path: Path, settings: SplitsSettings) -> None:
    train = [f"{name} 3 {CLASSES.index(name.split('/')[0])}" for name in NAMES[:-1]]
    write_list(tmp_path / "plain" / "train.txt", *train)
    write_list(tmp_path / "plain" / "val.txt", f"{NAMES[-1]} 3", f"{NAMES[0]}.avi 0")
    with pytest.raises(DataError, match="are one video: keep one of the lines"):
        build_splits(tmp_path / "plain", settings)


def test_videos_of_one_stem_are_told_apart_by_their_suffix(tmp_path: Path) -> None:
    folder = make_shards(tmp_path / "frames", ["A/v.avi", "A/v.mp4", "B/v"])
    write_list(tmp_path / "lists" / "train.txt", "A/v.avi 0", "B/v.mkv 1")
    write_list(tmp_path / "lists" / "val.txt", "A/v.mp4 0")
    build_splits(tmp_path / "lists", SplitsSettings(frames=folder, out=tmp_path / "splits"))
    split = read_split(tmp_path / "splits" / "split1.h5")
    assert split.names("train", slice(None)) == ("A/v.avi", "B/v")
    assert split.names("val", slice(None)) == ("A/v.mp4",)


def test_twins_groups_and_counts_that_differ_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = frames_of("same", 4)
    videos = {"A/v_A_g01_c01": same, "A/v_A_g02_c01": same, "A/v_A_g02_c02": frames_of("else", 4)}
    (tmp_path / "frames").mkdir()
    make_shard(tmp_path / "frames" / "frames-00000.h5", videos | {"B/v_B_g03_c01": same[:3]})
    write_list(tmp_path / "lists" / "train.txt", "A/v_A_g01_c01 4 0", "A/v_A_g02_c02 5 0")
    write_list(tmp_path / "lists" / "val.txt", "A/v_A_g02_c01 4 0", "B/v_B_g03_c01 3 1")
    build_splits(tmp_path / "lists", SplitsSettings(frames=tmp_path / "frames", out=tmp_path / "splits"))
    assert capsys.readouterr().err.splitlines() == [
        "warning: split 1: 1 class has clips in val only: B",
        "warning: split 1: 1 group is in train and in val: A/v_A_g02",
        "warning: split 1: 1 val clip is frame for frame the same as a train clip: A/v_A_g01_c01 = A/v_A_g02_c01",
        "split 1: the lists count other frames than were decoded for 1 clip; the decoded number is used: A/v_A_g02_c02",
    ]


def test_draw_says_which_videos_failed_in_extraction(
    settings: SplitsSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    make_shard(settings.frames / "frames-00077.h5", {}, failures=[("YoYo/v_bad", "zero bytes")])
    reports = build_splits(None, with_(settings, split_by="group"))
    assert reports[-1].left_out == {"failed in extraction: zero bytes": 1}
    assert "| 1: failed in extraction |" in report_text(reports)
    assert "left out of every split, 1 video that failed in extraction: YoYo/v_bad\n" in capsys.readouterr().err


def test_a_shard_that_is_missing_in_the_row_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = make_shards(tmp_path / "frames", [f"A/v_A_g{number:02d}_c01" for number in range(12)])
    (frames / "frames-00001.h5").unlink()
    build_splits(None, SplitsSettings(frames=frames, out=tmp_path / "splits", split_by="group"))
    assert f"warning: {frames} lacks shards before frames-00002.h5" in capsys.readouterr().err


def test_names_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = "A/\x1b[31mred\x07"
    make_shards(tmp_path / "frames", [odd, "B/x"])
    write_list(tmp_path / "lists/train.txt", f"{odd} 7 0", end="\n")
    write_list(tmp_path / "lists/test.txt", "B/x 7 1", "B/\x1b[2J 3 1", end="\n")
    settings = SplitsSettings(frames=tmp_path / "frames", out=tmp_path / "splits", allow_missing=True)
    build_splits(tmp_path / "lists", settings)
    said = capsys.readouterr().err
    assert r"A/\x1b[31mred" in said
    assert r"B/\x1b[2J" in said
    assert "\x1b" not in said
    assert "\x07" not in said


def test_two_that_write_into_one_folder_at_once_leave_one_whole_result_and_the_other_says_so(
    lists: Path, settings: SplitsSettings
) -> None:
    ends: list[SettingsError | None] = []

    def build() -> None:
        try:
            build_splits(lists, settings)
        except SettingsError as error:
            ends.append(error)
        else:
            ends.append(None)

    for _ in range(5):
        begun = len(ends)
        threads = [threading.Thread(target=build) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ends) == begun + 4  # each has ended, with one of these two ends
        assert None in ends[begun:]
        assert [len(read_split(settings.out / f"split{number}.h5").train) for number in (1, 2, 3)] == [16, 16, 16]
    assert {str(end) for end in ends if end} == {
        f"{settings.out} is in use by another tsn: wait for it, or set another --out"
    }
    assert len(list(settings.out.iterdir())) == 3


def test_split_without_lists_is_drawn_from_the_shards(settings: SplitsSettings) -> None:
    build_splits(None, with_(settings, split_by="group", test_share=0.34))
    split = read_split(settings.out / "split1.h5")
    assert split.classes == CLASSES
    assert (len(split.train), len(split.test)) == (16, 8)
    assert np.bincount(split.test.label).tolist() == [2, 2, 2, 2]
    assert split.source == "drawn by group, test share 0.34, seed 0"


def test_what_a_draw_by_video_cannot_know_is_said_and_a_val_goes_with_draws_alone(
    settings: SplitsSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_splits(None, with_(settings, split_by="video", val_share=0.2))
    assert "drawn by video: videos of one scene can be on both sides" in capsys.readouterr().err
    assert len(read_split(settings.out / "split1.h5").val) == 4
    for changes in ({"split_by": "folder"}, {}):
        with pytest.raises(SettingsError, match=r"--val-share 0\.1 goes with --split-by video or group"):
            build_splits(None, with_(settings, val_share=0.1, **changes))


def test_a_split_is_drawn_from_one_list_of_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = make_shards(tmp_path / "frames", [f"phone/IMG_{n}" for n in range(12)])
    rows = [f"IMG_{n}.MOV,{'run' if n % 2 else 'walk'}" for n in range(10)]
    write_list(tmp_path / "labels.csv", "filename,activity", *rows, end="\n")  # no file of class names, as it is named
    settings = SplitsSettings(frames=frames, out=tmp_path / "splits", split_by="video", test_share=0.2, val_share=0.2)
    build_splits(tmp_path / "labels.csv", settings)
    split = read_split(settings.out / "split1.h5")
    assert split.classes == ("run", "walk")
    assert [len(split.subset(subset)) for subset in SUBSETS] == [6, 2, 2]
    assert split.source == "labels.csv, drawn by video, test share 0.2, val share 0.2, seed 0"
    labels = {
        name: split.classes[row]
        for subset in SUBSETS
        for name, row in zip(split.names(subset, slice(None)), split.subset(subset).label, strict=True)
    }
    assert labels == {f"phone/IMG_{n}": "run" if n % 2 else "walk" for n in range(10)}
    assert "drawn by video" in capsys.readouterr().err
    for annotations, changes, error, words in (
        (
            tmp_path / "labels.csv",
            {"split_by": None, "val_share": 0},
            DataError,
            "draw a split from it with --split-by",
        ),
        (tmp_path / "labels.csv", {"split_by": "group"}, DataError, "IMG_0.MOV names no group"),
        (tmp_path, {}, SettingsError, "draws from one list, a file with lines `path,label`: name that"),
    ):
        with pytest.raises(error, match=words):
            build_splits(annotations, with_(settings, **changes))


def test_the_parts_of_a_video_stay_on_one_side_of_a_draw(tmp_path: Path) -> None:
    frames = make_shards(tmp_path / "frames", [f"v{n}" for n in range(6)], frames=50)  # two seconds
    parts = [f"v{n},jump,{start},{start + 1}" for n in range(6) for start in (0, 1)]
    write_list(tmp_path / "parts.csv", "video,label,start,end", *parts, end="\n")
    settings = SplitsSettings(frames=frames, out=tmp_path / "splits", split_by="video")
    build_splits(tmp_path / "parts.csv", settings)
    split = read_split(settings.out / "split1.h5")
    train, test = (set(map(str, split.names(subset, slice(None)))) for subset in ("train", "test"))
    assert (len(train), len(test)) == (8, 4)
    assert not {name[:2] for name in train} & {name[:2] for name in test}


def test_one_list_with_a_column_for_the_subset_may_be_named_itself(tmp_path: Path) -> None:
    frames = make_shards(tmp_path / "frames", ["a", "b", "c"])
    write_list(tmp_path / "lists/videos.csv", "path,label,split", "a,run,train", "b,run,val", "c,walk,test", end="\n")
    write_list(tmp_path / "lists/other.csv", "path,label,split", "a,run,train", end="\n")
    build_splits(tmp_path / "lists/videos.csv", SplitsSettings(frames=frames, out=tmp_path / "splits"))
    split = read_split(tmp_path / "splits/split1.h5")
    assert [split.names(subset, slice(None)) for subset in SUBSETS] == [("a",), ("b",), ("c",)]


def three(tmp_path: Path, *names: str) -> tuple[Path, SplitsSettings]:
    frames = make_shards(tmp_path / "frames", [f"{label}/{n}" for label in ("A", "B") for n in range(3)])
    for name, number in zip(names, range(3), strict=False):
        write_list(tmp_path / "lists" / f"{name}.txt", f"A/{number} 0", f"B/{number} 1")
    return tmp_path / "lists", SplitsSettings(frames=frames, out=tmp_path / "splits")


def test_val_is_a_subset_of_its_own(tmp_path: Path) -> None:
    lists, settings = three(tmp_path, "train", "val", "test")
    build_splits(lists, settings)
    split = read_split(settings.out / "split1.h5")
    assert [split.names(subset, slice(None)) for subset in SUBSETS] == [("A/0", "B/0"), ("A/1", "B/1"), ("A/2", "B/2")]


def test_val_is_no_test_where_test_is_listed_and_not_extracted(tmp_path: Path) -> None:
    lists, settings = three(tmp_path, "train", "val")
    write_list(lists / "test.txt", "A/9 0")
    build_splits(lists, with_(settings, allow_missing=True))
    split = read_split(settings.out / "split1.h5")
    assert [len(split.subset(subset)) for subset in SUBSETS] == [2, 2, 0]


def test_val_without_test_needs_no_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists, settings = three(tmp_path, "train", "val")
    build_splits(lists, settings)
    split = read_split(settings.out / "split1.h5")
    assert [len(split.subset(subset)) for subset in SUBSETS] == [2, 2, 0]
    assert (split.choosing, split.scored) == ("val", "val")
    assert "has no test clip" not in capsys.readouterr().err


def test_folders_are_the_split_where_no_lists_are_given(tmp_path: Path) -> None:
    names = [f"{subset}/{label}/{n}" for subset in ("train", "test") for label in ("run", "walk") for n in range(2)]
    settings = SplitsSettings(frames=make_shards(tmp_path / "frames", names), out=tmp_path / "splits")
    for changed in (settings, with_(settings, split_by="folder")):
        build_splits(None, changed)
        split = read_split(settings.out / "split1.h5")
        assert split.classes == ("run", "walk")
        assert split.names("test", slice(None)) == tuple(names[4:])
    with pytest.raises(DataError, match="none does not exist: name the folder"):  # a wrong name is never passed over
        build_splits(tmp_path / "none", settings)
    with pytest.raises(DataError, match=r"no lists, and beside train/, .* no other subset's folder: name the folder"):
        build_splits(None, SplitsSettings(frames=make_shards(tmp_path / "lone", ["train/a/1", "train/b/1"])))
    with pytest.raises(DataError, match=r"no lists: name the folder .* --split-by video"):
        build_splits(None, SplitsSettings(frames=make_shards(tmp_path / "flat", ["a/1", "b/1"])))


def test_videos_all_in_one_folder_are_joined_to_lists_by_their_file_names(lists: Path, tmp_path: Path) -> None:
    frames = make_shards(tmp_path / "frames", [name.rpartition("/")[2] for name in NAMES])
    build_splits(lists, SplitsSettings(frames=frames, out=tmp_path / "splits"))
    split = read_split(tmp_path / "splits/split1.h5")
    assert len(split.train) == 16
    assert [split.classes[label] for label in split.test.label.tolist()] == [
        label for label in CLASSES for _ in range(2)
    ]


@pytest.mark.parametrize("folder", ["videos/", "some/videos/", "all/"])
def test_a_folder_above_all_videos_does_not_matter(tmp_path: Path, folder: str) -> None:
    names = ["A/v", "B/w"] if folder != "all/" else ["v", "w"]
    frames = make_shards(tmp_path / "frames", [folder + name for name in names])
    lists = tmp_path / "lists"
    write_list(lists / "train.txt", "data/A/v.avi 0")
    write_list(lists / "val.txt", "data/B/w.avi 1")
    build_splits(lists, SplitsSettings(frames=frames, out=tmp_path / "splits"))
    assert read_split(tmp_path / "splits/split1.h5").names("val", slice(None)) == (folder + names[1],)


def test_a_class_that_is_the_only_one_there_does_matter(tmp_path: Path) -> None:
    frames = make_shards(tmp_path / "frames", ["A/v"])
    write_list(tmp_path / "lists/train.txt", "A/v.avi 0")
    write_list(tmp_path / "lists/val.txt", "B/v.avi 1")
    with pytest.raises(PartialError, match=r"1 of 2 listed videos have no frames in .*, among them B/v.avi"):
        build_splits(tmp_path / "lists", SplitsSettings(frames=frames, out=tmp_path / "splits"))


def test_two_listed_videos_are_never_joined_to_one_file(tmp_path: Path) -> None:
    frames = make_shards(tmp_path / "frames", ["001", "002"])
    write_list(tmp_path / "lists/train.txt", "A/001 0", "A/002 0")
    write_list(tmp_path / "lists/test.txt", "B/001 1")
    with pytest.raises(DataError, match="A/001 and B/001 are one video"):
        build_splits(tmp_path / "lists", SplitsSettings(frames=frames, out=tmp_path / "splits"))


def test_times_in_a_list_choose_frames_of_the_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = make_shards(tmp_path / "frames", ["abc", "def_000004_000005"], frames=100)  # 25 a second
    header = "label,youtube_id,time_start,time_end,split"
    write_list(tmp_path / "lists/train.csv", header, "A,abc,1,2,train", "B,def,4,5,train")
    write_list(tmp_path / "lists/test.csv", header, "A,abc,2,4,test")
    build_splits(tmp_path / "lists", SplitsSettings(frames=frames, out=tmp_path / "splits"))
    split = read_split(tmp_path / "splits/split1.h5")
    assert split.names("train", slice(None)) == ("abc_000001_000002", "def_000004_000005")
    assert split.train.first is not None
    assert split.test.first is not None
    assert (split.train.first.tolist(), split.train.frames.tolist()) == ([25, 0], [25, 100])
    assert (split.test.first.tolist(), split.test.frames.tolist()) == ([50], [50])
    assert "1 video is in train and in test in parts: abc" in capsys.readouterr().err
