"""Small copies of sets that are in wide use, in the shape in which they come: their layouts, names and lists."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers import make_shards, write_list
from tsn.pipeline.splits.build import build_splits
from tsn.tsn_shared.settings import SplitsSettings
from tsn.tsn_shared.splits import SUBSETS, read_split


@dataclass(frozen=True, kw_only=True)
class KnownSet:
    """Videos by name, lists by file name, and what a split is to hold: its classes and each subset's clips."""

    videos: tuple[str, ...]
    lists: dict[str, tuple[str, ...]]
    classes: tuple[str, ...]
    clips: dict[str, tuple[str, ...]]
    split: int = 1


UCF = "HandstandPushups/v_HandStandPushups_g{:02d}_c01", "YoYo/v_YoYo_g{:02d}_c01"
UCF_TRAIN, UCF_TEST = tuple(name.format(8) for name in UCF), tuple(name.format(1) for name in UCF)
HMDB = (
    "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_{}",
    "cartwheel/#122_Cartwheel_(Rad)_cartwheel_f_cm_ba_{}",
)
HMDB_LISTS = {
    f"{name.partition('/')[0]}_test_split{split}.txt": tuple(
        f"{name.partition('/')[2].format(number)}.avi {(number + split) % 3} " for number in range(3)
    )
    for name in HMDB
    for split in (1, 2, 3)
}
KINETICS = "label,youtube_id,time_start,time_end,split"

SETS = {
    "UCF101": KnownSet(
        videos=(*UCF_TRAIN, *UCF_TEST),
        lists={
            "classInd.txt": ("1 HandstandPushups", "2 YoYo"),
            "trainlist01.txt": tuple(f"{name}.avi {label}" for label, name in enumerate(UCF_TRAIN, start=1)),
            "testlist01.txt": tuple(f"{name}.avi" for name in UCF_TEST),
        },
        classes=("HandstandPushups", "YoYo"),
        clips={"train": UCF_TRAIN, "test": UCF_TEST},
    ),
    "HMDB51, its second split": KnownSet(
        videos=tuple(name.format(number) for name in HMDB for number in range(3)),
        lists=HMDB_LISTS,
        classes=("brush_hair", "cartwheel"),
        clips={"train": tuple(name.format(2) for name in HMDB), "test": tuple(name.format(0) for name in HMDB)},
        split=2,
    ),
    "Kinetics-400, cut": KnownSet(
        videos=("train/dancing macarena/-3B32lodo2M_000059_000069", "val/yoga/0wR5jVB-WPk_000417_000427"),
        lists={
            "train.csv": (KINETICS, "dancing macarena,-3B32lodo2M,59,69,train"),
            "validate.csv": (KINETICS, "yoga,0wR5jVB-WPk,417,427,validate"),
            "test.csv": ("youtube_id,time_start,time_end,split", "x,1,11,test"),
        },
        classes=("dancing macarena", "yoga"),
        clips={
            "train": ("train/dancing macarena/-3B32lodo2M_000059_000069",),
            "val": ("val/yoga/0wR5jVB-WPk_000417_000427",),
        },
    ),
    "Something-Something v2": KnownSet(
        videos=("78687", "42326", "5", "6"),
        lists={
            "something-something-v2-labels.json": ('{"Holding something": "0", "Turning something upside down": "1"}',),
            "something-something-v2-train.json": (
                '[{"id":"78687","label":"holding potato","template":"Holding [something]","placeholders":["potato"]},',
                '{"id":"42326","label":"turning a cup upside down","template":"Turning [something] upside down"}]',
            ),
            "something-something-v2-validation.json": ('[{"id":"5","label":"x","template":"Holding [something]"}]',),
            "something-something-v2-test.json": ('[{"id":"6"}]',),
        },
        classes=("Holding something", "Turning something upside down"),
        clips={"train": ("78687", "42326"), "val": ("5",)},
    ),
    "Jester": KnownSet(
        videos=("20bn-jester-v1/34870", "20bn-jester-v1/56557", "20bn-jester-v1/9"),
        lists={
            "jester-v1-labels.csv": ("Swiping Left", "Drumming Fingers"),
            "jester-v1-train.csv": ("34870;Drumming Fingers", "56557;Swiping Left"),
            "jester-v1-validation.csv": ("9;Drumming Fingers",),
        },
        classes=("Swiping Left", "Drumming Fingers"),
        clips={"train": ("20bn-jester-v1/34870", "20bn-jester-v1/56557"), "val": ("20bn-jester-v1/9",)},
    ),
    "a tree of subsets and classes": KnownSet(
        videos=("train/run/1", "train/walk/2", "valid/run/3", "test/walk/4"),
        lists={},
        classes=("run", "walk"),
        clips={"train": ("train/run/1", "train/walk/2"), "val": ("valid/run/3",), "test": ("test/walk/4",)},
    ),
    "SlowFast and VideoMAE": KnownSet(
        videos=("k400/a clip", "k400/b"),
        lists={"train.csv": ("k400/a clip.mp4 1",), "val.csv": ("k400/b.mp4 0",), "classes.txt": ("Bow", "Aim")},
        classes=("Bow", "Aim"),
        clips={"train": ("k400/a clip",), "val": ("k400/b",)},
    ),
    "PaddleVideo": KnownSet(
        videos=("bow/a", "aim/b", "aim/c"),
        lists={"train.list": ("bow/a.mp4 1", "aim/b.mp4 0"), "val.list": ("aim/c.mp4 0",)},
        classes=("aim", "bow"),
        clips={"train": ("bow/a", "aim/b"), "val": ("aim/c",)},
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_a_set_in_wide_use_is_read_as_it_comes(tmp_path: Path, name: str) -> None:
    known = SETS[name]
    for file, lines in known.lists.items():
        write_list(tmp_path / "lists" / file, *lines)
    settings = SplitsSettings(frames=make_shards(tmp_path / "frames", known.videos), out=tmp_path / "splits")
    build_splits(tmp_path / "lists" if known.lists else None, settings)
    split = read_split(settings.out / f"split{known.split}.h5")
    assert split.classes == known.classes
    names = {subset: split.names(subset, slice(None)) for subset in SUBSETS}
    assert {subset: names[subset] for subset in SUBSETS if names[subset]} == known.clips
