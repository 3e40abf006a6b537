"""Small copies of sets in wide use, in the shape in which they come, go through the commands of docs/data.md.

What a copy shares with its set: layout, endings, names, and the form of the lists. Its videos are drawn.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import imageio_ffmpeg
import pytest

from tests.helpers import write_list
from tsn.cli import tsn
from tsn.tsn_shared.splits import SUBSETS, read_split

PAGE = Path(__file__).parents[1] / "docs" / "data.md"
BLOCKS = dict(re.findall(r"^### (.+)\n(?:(?!^#).*\n)*?```sh\n((?:tsn .*\n)+)```$", PAGE.read_text("utf-8"), re.M))
"""The commands of each layout and set that the page names."""

SMALL = {
    "TSN_TRAIN_GPUS": "0",
    "TSN_TRAIN_MODEL": "resnet18",
    "TSN_TRAIN_WEIGHTS": "none",
    "TSN_TRAIN_INPUT_SIZE": "32",
    "TSN_TRAIN_BATCH_SIZE": "1",
    "TSN_TRAIN_NUM_EPOCHS": "1",
    "OMP_NUM_THREADS": "1",
}
"""What makes a training last seconds."""


@dataclass(frozen=True, kw_only=True)
class KnownSet:
    """A set as it comes: files by their path, of which those ending in / are folders of frames, and its lists.

    `block` is what the page calls it; `classes` and `clips` are what a split, its first or another, is to hold.
    """

    block: str
    videos: tuple[str, ...]
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    classes: tuple[str, ...]
    clips: dict[str, tuple[str, ...]]
    splits: tuple[str, str] = ("my/splits", "1")


UCF = "HandstandPushups/v_HandStandPushups_g{:02d}_c01", "YoYo/v_YoYo_g{:02d}_c01"
UCF_VIDEOS = [tuple(name.format(group) for name in UCF) for group in range(1, 4)]
HMDB = (
    "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_{}",
    "cartwheel/#122_Cartwheel_(Rad)_cartwheel_f_cm_ba_{}",
)
KAGGLE = tuple(f"{subset}/YoYo/v_YoYo_g0{n}_c01" for n, subset in enumerate(("train", "val", "test")))
KINETICS = "label,youtube_id,time_start,time_end,split"
KINETICS_LISTS = {
    "kinetics400/annotations/train.csv": (
        KINETICS,
        "dancing macarena,-3B32lodo2M,2,12,train",
        "yoga,0wR5jVB-WPk,17,27,train",
        "yoga,gone,1,11,train",
    ),
    "kinetics400/annotations/val.csv": (KINETICS, "yoga,3caPS4FHFF8,0,10,val"),
    "kinetics400/annotations/test.csv": ("youtube_id,time_start,time_end,split", "7uHQmg3Av1o,2,12,test"),
}

SETS = {
    "UCF101": KnownSet(
        block="UCF101",
        videos=tuple(f"data/UCF-101/{name}.avi" for names in UCF_VIDEOS for name in names),
        lists={
            "data/ucfTrainTestlist/classInd.txt": ("1 HandstandPushups", "2 YoYo"),
            **{
                f"data/ucfTrainTestlist/trainlist{split + 1:02d}.txt": tuple(
                    f"{names[label]}.avi {label + 1}"
                    for label in range(2)
                    for group, names in enumerate(UCF_VIDEOS)
                    if group != split
                )
                for split in range(3)
            },
            **{
                f"data/ucfTrainTestlist/testlist{split + 1:02d}.txt": tuple(f"{name}.avi" for name in UCF_VIDEOS[split])
                for split in range(3)
            },
        },
        classes=("HandstandPushups", "YoYo"),
        clips={
            "train": tuple(name.format(group) for name in UCF for group in (1, 2)),
            "test": tuple(name.format(3) for name in UCF),
        },
        splits=("data/splits", "3"),
    ),
    "HMDB51": KnownSet(
        block="HMDB51",
        videos=tuple(f"hmdb51/videos/{name.format(number)}.avi" for name in HMDB for number in range(3)),
        lists={
            f"hmdb51/testTrainMulti_7030_splits/{name.partition('/')[0]}_test_split{split}.txt": tuple(
                f"{name.partition('/')[2].format(number)}.avi {(number + split) % 3} " for number in range(3)
            )
            for name in HMDB
            for split in (1, 2, 3)
        },
        classes=("brush_hair", "cartwheel"),
        clips={"train": tuple(name.format(2) for name in HMDB), "test": tuple(name.format(0) for name in HMDB)},
        splits=("hmdb51/splits", "2"),
    ),
    "Kinetics-400, cut": KnownSet(
        block="Kinetics",
        videos=(
            "kinetics400/videos/train/-3B32lodo2M_000002_000012.mp4",
            "kinetics400/videos/train/0wR5jVB-WPk_000017_000027.mp4",
            "kinetics400/videos/val/3caPS4FHFF8_000000_000010.mp4",
            "kinetics400/videos/test/7uHQmg3Av1o_000002_000012.mp4",
        ),
        lists=KINETICS_LISTS,
        classes=("dancing macarena", "yoga"),
        clips={
            "train": ("train/-3B32lodo2M_000002_000012", "train/0wR5jVB-WPk_000017_000027"),
            "val": ("val/3caPS4FHFF8_000000_000010",),
        },
        splits=("kinetics400/splits", "1"),
    ),
    "Kinetics-400, whole videos": KnownSet(
        block="Kinetics",
        videos=tuple(f"kinetics400/videos/{name}.mp4" for name in ("-3B32lodo2M", "0wR5jVB-WPk", "3caPS4FHFF8")),
        lists=KINETICS_LISTS,
        classes=("dancing macarena", "yoga"),
        clips={
            "train": ("-3B32lodo2M_000002_000012", "0wR5jVB-WPk_000017_000027"),
            "val": ("3caPS4FHFF8_000000_000010",),
        },
        splits=("kinetics400/splits", "1"),
    ),
    "Something-Something v2": KnownSet(
        block="Something-Something",
        videos=tuple(f"ssv2/20bn-something-something-v2/{number}.webm" for number in (78687, 42326, 5, 6)),
        lists={
            "ssv2/labels/labels.json": ('{"Holding something": "0", "Turning something upside down": "1"}',),
            "ssv2/labels/train.json": (
                '[{"id":"78687","label":"holding potato","template":"Holding [something]","placeholders":["potato"]},',
                '{"id":"42326","label":"turning a cup upside down","template":"Turning [something] upside down"}]',
            ),
            "ssv2/labels/validation.json": ('[{"id":"5","label":"x","template":"Holding [something]"}]',),
            "ssv2/labels/test.json": ('[{"id":"6"}]',),
        },
        classes=("Holding something", "Turning something upside down"),
        clips={"train": ("78687", "42326"), "val": ("5",)},
        splits=("ssv2/splits", "1"),
    ),
    "Jester": KnownSet(
        block="Jester",
        videos=tuple(f"jester/20bn-jester-v1/{number}/" for number in (34870, 56557, 9, 100)),
        lists={
            "jester/annotations/jester-v1-labels.csv": ("Swiping Left", "Drumming Fingers"),
            "jester/annotations/jester-v1-train.csv": ("34870;Drumming Fingers", "56557;Swiping Left"),
            "jester/annotations/jester-v1-validation.csv": ("9;Drumming Fingers",),
            "jester/annotations/jester-v1-test.csv": ("100",),
        },
        classes=("Swiping Left", "Drumming Fingers"),
        clips={"train": ("34870", "56557"), "val": ("9",)},
        splits=("jester/splits", "1"),
    ),
    "a tree of subsets and classes": KnownSet(
        block="Folders train, val, test",
        videos=("my/videos/train/run/1.mp4", "my/videos/train/walk/2.webm", "my/videos/val/run/3.avi"),
        classes=("run", "walk"),
        clips={"train": ("train/run/1", "train/walk/2"), "val": ("val/run/3",)},
    ),
    "class folders": KnownSet(
        block="Class folders alone",
        videos=tuple(f"my/videos/{name}/{number}.mp4" for name in ("Archery", "Bowling") for number in range(2)),
        classes=("Archery", "Bowling"),
        clips={"train": ("Archery/1", "Bowling/0"), "test": ("Archery/0", "Bowling/1")},
    ),
    "PaddleVideo": KnownSet(
        block="GluonCV, MMAction2, PaddleVideo",
        videos=("my/videos/bow/a.mp4", "my/videos/aim/b.mp4", "my/videos/aim/c.mp4"),
        lists={"my/lists/train.list": ("bow/a.mp4 1", "aim/b.mp4 0"), "my/lists/val.list": ("aim/c.mp4 0",)},
        classes=("aim", "bow"),
        clips={"train": ("bow/a", "aim/b"), "val": ("aim/c",)},
    ),
    "VideoMAE": KnownSet(
        block="SlowFast, VideoMAE",
        videos=("my/videos/k400/a clip.mp4", "my/videos/k400/b.mp4"),
        lists={
            "my/lists/train.csv": ("/home/someone/data/k400/a clip.mp4 1",),
            "my/lists/val.csv": ("/home/someone/data/k400/b.mp4 0",),
            "my/lists/classes.txt": ("Bow", "Aim"),
        },
        classes=("Bow", "Aim"),
        clips={"train": ("k400/a clip",), "val": ("k400/b",)},
    ),
    "UCF101 as on Kaggle": KnownSet(
        block="CSV of your own",
        videos=tuple(f"my/videos/{name}.avi" for name in KAGGLE),
        lists={
            f"my/lists/{name.partition('/')[0]}.csv": ("clip_name,clip_path,label", f"v,/{name}.avi,YoYo")
            for name in KAGGLE
        },
        classes=("YoYo",),
        clips={name.partition("/")[0]: (name,) for name in KAGGLE},
    ),
    "a CSV with a column for the subset": KnownSet(
        block="CSV of your own",
        videos=("my/videos/clips/1.mp4", "my/videos/clips/2.mp4"),
        lists={"my/lists/mine.csv": ("path,label,split", "clips/1.mp4,Archery,train", "clips/2.mp4,Archery,test")},
        classes=("Archery",),
        clips={"train": ("clips/1",), "test": ("clips/2",)},
    ),
    "a list of classes, of which a split is drawn": KnownSet(
        block="One list of classes",
        videos=tuple(f"my/videos/IMG_{number}.mp4" for number in range(4)),
        lists={
            "my/labels.csv": (
                "filename,activity",
                *(f"IMG_{number}.mp4,{'tennis' if number % 2 else 'boxing'}" for number in range(4)),
            )
        },
        classes=("boxing", "tennis"),
        clips={"train": ("IMG_0", "IMG_3"), "test": ("IMG_2", "IMG_1")},
    ),
}
TRAINED = ("UCF101", "Kinetics-400, whole videos")
"""Those that train among the quick tests; the others do by hand."""


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw six videos of 30 frames, one a second so that times of Kinetics lie in them, each in every form."""
    folder = tmp_path_factory.mktemp("drawn")
    words: list[str] = []
    for number in range(6):
        (folder / f"{number}").mkdir()
        part = ["-ss", f"{30 * number}", "-frames:v", "30", "-threads", "1"]
        for name in (f"{number}.avi", f"{number}.mp4", f"{number}.webm", f"{number}/%05d.jpg"):
            fast = ["-deadline", "realtime", "-cpu-used", "8"] if name.endswith(".webm") else []
            words += [*part, *fast, str(folder / name)]
    source = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=1:duration=180"]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, *words], check=True)
    return folder


@pytest.fixture
def known(request: pytest.FixtureRequest, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownSet:
    """Make a set in a folder of its own, and work there."""
    known = SETS[request.param]
    for number, name in enumerate(known.videos):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        source = drawn / f"{number % 6}{Path(name).suffix}"
        (tmp_path / name.rstrip("/")).symlink_to(source)
    for name, lines in known.lists.items():
        write_list(tmp_path / name, *lines)
    monkeypatch.chdir(tmp_path)
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    return known


def check_split(known: KnownSet) -> None:
    folder, name = known.splits
    split = read_split(Path(folder) / f"split{name}.h5")
    assert split.classes == known.classes
    names = {subset: split.names(subset, slice(None)) for subset in SUBSETS}
    assert {subset: names[subset] for subset in SUBSETS if names[subset]} == known.clips


def check_run() -> None:
    (metrics,) = Path("runs").glob("*/metrics.jsonl")
    assert len(metrics.read_text().splitlines()) == 1
    shutil.rmtree("runs")  # what pytest keeps of each test is small so


def test_every_block_of_the_page_has_a_copy() -> None:
    assert set(BLOCKS) == {known.block for known in SETS.values()}
    assert all([line.split()[1] for line in block.splitlines()] == COMMANDS for block in BLOCKS.values())


COMMANDS = ["extract-frames", "build-splits", "train"]


@pytest.mark.parametrize(("known", "trained"), [(name, name in TRAINED) for name in SETS], indirect=["known"])
def test_the_commands_of_the_page_take_a_set_as_it_comes(known: KnownSet, trained: bool) -> None:
    for line in BLOCKS[known.block].splitlines()[: 3 if trained else 2]:
        tsn.main(shlex.split(line)[1:], prog_name="tsn", standalone_mode=False)
    check_split(known)
    if trained:
        check_run()


@pytest.mark.slow
@pytest.mark.parametrize("known", SETS, indirect=True)
def test_a_shell_takes_the_commands_of_the_page(known: KnownSet) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["bash", "-euc", BLOCKS[known.block]], check=True, env={**os.environ, "PATH": path})
    check_split(known)
    check_run()
