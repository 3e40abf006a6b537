import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import pytest

from tests.helpers import seal_by_hand
from tsn.tsn_shared.errors import DataError, SettingsError
from tsn.tsn_shared.splits import SUBSETS, Clips, Subset, read_split, split_name, write_split

CLASSES = ("Archery", "HandstandPushups", "YoYo")
NAMES: dict[Subset, tuple[str, ...]] = {
    "train": ("Archery/v_Archery_g01_c01", "HandstandPushups/v_HandStandPushups_g01_c01", "YoYo/v_\udce9_g02_c02"),
    "test": ("YoYo/v_YoYo_g08_c01",),
}
SHARDS = {"frames-00000.h5": "a" * 64, "frames-00007.h5": "b" * 64}


def clips(*rows: tuple[int, int, int, int]) -> Clips:
    columns = np.array(rows, dtype=np.int32).reshape(-1, 4)
    return Clips(label=columns[:, 0], shard=columns[:, 1], video=columns[:, 2], frames=columns[:, 3])


def write(path: Path, **changes: Any) -> Path:
    content: dict[str, Any] = {
        "source": "trainlist01.txt and testlist01.txt",
        "classes": CLASSES,
        "shards": SHARDS,
        "clips": {"train": clips((0, 0, 0, 90), (1, 0, 1, 30), (2, 1, 0, 7)), "test": clips((2, 1, 3, 1))},
        "names": NAMES,
    }
    write_split(path, **(content | changes))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / split_name(1))


def test_what_was_written_is_read(path: Path) -> None:
    split = read_split(path)
    assert path.name == "split1.h5"
    assert (split.path, split.source) == (path, "trainlist01.txt and testlist01.txt")
    assert split.classes == CLASSES
    assert dict(zip(split.shard_names, split.shard_sha256, strict=True)) == SHARDS
    assert (len(split.train), len(split.test)) == (3, 1)
    assert split.train.label.tolist() == [0, 1, 2]
    assert split.train.shard.tolist() == [0, 0, 1]
    assert split.train.video.tolist() == [0, 1, 0]
    assert split.train.frames.tolist() == [90, 30, 7]
    assert split.subset("test") is split.test
    assert split.test.video.tolist() == [3]


def test_names_come_in_the_order_asked_for(path: Path) -> None:
    split = read_split(path)
    assert split.names("train", slice(None)) == NAMES["train"]
    assert split.names("train", np.array([2, 0, 2])) == (NAMES["train"][2], NAMES["train"][0], NAMES["train"][2])
    assert split.names("train", np.array([], dtype=np.int64)) == ()
    assert split.names("test", slice(0, 1)) == NAMES["test"]


def test_names_are_those_of_all_clips_by_default(path: Path) -> None:
    assert read_split(path).names("train") == NAMES["train"]


def test_a_subset_that_is_called_otherwise_is_refused_with_the_three(path: Path) -> None:
    split, other = read_split(path), cast("Subset", "valid")
    for ask in (split.subset, split.clips_of, split.names):
        with pytest.raises(SettingsError, match=r"split1\.h5: 'valid' is no subset: there are train, val, test$"):
            ask(other)


def test_layout_is_the_documented_one(path: Path) -> None:
    with h5py.File(path, "r") as file:
        assert sorted(file) == ["class", "shard", "test", "train"]
        for subset in ("train", "test"):
            assert sorted(file[subset]) == ["frames", "label", "name", "shard", "video"]
        assert file["class/name"][()].tolist() == [name.encode() for name in CLASSES]
        assert file["train/name"][2] == b"YoYo/v_\xe9_g02_c02"
        assert (file.attrs["format"], file.attrs["version"]) == ("tsn-split", 1)


def test_validation_clips_are_a_subset_of_their_own(tmp_path: Path) -> None:
    plain = {"train": clips((0, 0, 0, 90)), "test": clips((2, 1, 3, 1))}
    names = {"train": NAMES["train"][:1], "val": ("Archery/b", "YoYo/c"), "test": NAMES["test"]}
    path = write(tmp_path / "split1.h5", clips=plain | {"val": clips((0, 0, 1, 8), (2, 1, 4, 5))}, names=names)
    split = read_split(path)
    assert split.subset("val") is split.val
    assert (split.val.label.tolist(), split.val.video.tolist()) == ([0, 2], [1, 4])
    assert split.names("val", slice(None)) == ("Archery/b", "YoYo/c")
    assert (len(split.train), len(split.test)) == (1, 1)


def test_a_split_without_validation_clips_is_the_file_it_was_before_there_were_any(path: Path, tmp_path: Path) -> None:
    split = read_split(path)
    assert len(split.val) == 0
    assert split.names("val", slice(None)) == ()
    with h5py.File(path, "r") as file:
        assert "val" not in file
    contents = {subset: split.subset(subset) for subset in SUBSETS}
    again = write(tmp_path / "again.h5", clips=contents, names=NAMES | {"val": ()})
    assert again.read_bytes() == path.read_bytes()


def test_clips_may_be_ranges_of_their_videos_frames(tmp_path: Path) -> None:
    whole, names = clips((0, 0, 0, 90), (0, 0, 0, 30)), {"train": ("Archery/a_1_2", "Archery/a_2_3"), "test": ()}
    ranges = replace(whole, first=np.array([25, 60], dtype=np.int32))
    path = write(tmp_path / "split1.h5", clips={"train": ranges, "test": clips()}, names=names)
    read = read_split(path)
    assert read.test.first is None
    assert read.train.first is not None
    assert read.train.first.tolist() == [25, 60]
    assert read.train.take(slice(1, 2)).first == np.array([60])
    with h5py.File(path, "r") as file:
        assert file["train/first"][:].tolist() == [25, 60]
        assert "first" not in file["test"]
    with pytest.raises(DataError, match="first is out of range"):
        read_split(
            write(
                path,
                clips={"train": replace(whole, first=np.array([25, -1], dtype=np.int32)), "test": clips()},
                names=names,
            ),
        )


def test_some_clips_come_in_the_order_asked_for(path: Path) -> None:
    split = read_split(path)
    some = split.train.take(np.array([2, 0]))
    assert (some.frames.tolist(), some.first, len(some)) == ([7, 90], None, 2)


def test_subset_without_clips_is_read_as_none(tmp_path: Path) -> None:
    names = {"train": NAMES["train"], "test": ()}
    content = {"train": clips((0, 0, 0, 90), (1, 0, 1, 30), (2, 1, 0, 7)), "test": clips()}
    split = read_split(write(tmp_path / "split1.h5", clips=content, names=names))
    assert len(split.test) == 0
    assert split.names("test", slice(None)) == ()


def test_every_flipped_byte_is_found(path: Path) -> None:
    missed = []
    with path.open("r+b", buffering=0) as file:
        for position, value in enumerate(path.read_bytes()):
            os.pwrite(file.fileno(), bytes([value ^ 1 << position % 8]), position)
            try:
                read_split(path)
            except DataError:
                pass
            else:
                missed.append(position)
            os.pwrite(file.fileno(), bytes([value]), position)
    assert missed == []
    read_split(path)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((3, 0, 0, 1), "label is out of range"),
        ((-1, 0, 0, 1), "label is out of range"),
        ((0, 2, 0, 1), "shard is out of range"),
        ((0, -1, 0, 1), "shard is out of range"),
        ((0, 0, -1, 1), "video is out of range"),
        ((0, 0, 0, 0), "frames is out of range"),
    ],
)
def test_rows_that_refer_to_nothing_are_refused(tmp_path: Path, row: tuple[int, int, int, int], words: str) -> None:
    content = {"train": clips((0, 0, 0, 90), (1, 0, 1, 30), (2, 1, 0, 7)), "test": clips(row)}
    with pytest.raises(DataError, match=words):
        read_split(write(tmp_path / "split1.h5", clips=content))


@pytest.mark.parametrize("name", ["../frames-00000.h5", "/etc/passwd", "..", "."])
def test_shard_names_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="not a plain file name"):
        read_split(write(tmp_path / "split1.h5", shards={name: "a" * 64, "frames-00007.h5": "b" * 64}))


def drop_column(file: h5py.File) -> None:
    del file["train/video"]


def shorten_column(file: h5py.File) -> None:
    del file["train/video"]
    file["train/video"] = np.zeros(2, dtype=np.int32)


def link_column(file: h5py.File) -> None:
    del file["train/video"]
    file["train/video"] = h5py.ExternalLink("other.h5", "/video")


def link_validation(file: h5py.File) -> None:
    file["val"] = h5py.ExternalLink("other.h5", "/train")


def link_first(file: h5py.File) -> None:
    file["train/first"] = h5py.ExternalLink("other.h5", "/train/first")


def drop_source(file: h5py.File) -> None:
    del file.attrs["source"]


@pytest.mark.parametrize("change", [drop_column, shorten_column, link_column, link_validation, link_first, drop_source])
def test_tampered_split_with_a_valid_seal_is_refused(path: Path, change: Callable[[h5py.File], None]) -> None:
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DataError):
        read_split(seal_by_hand(path, first_line="tsn-split 1"))


def test_shard_is_not_taken_for_a_split(path: Path) -> None:
    seal_by_hand(path, first_line="tsn-frames 1")
    with pytest.raises(DataError, match="not a finished tsn-split file"):
        read_split(path)
