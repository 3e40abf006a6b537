"""Lists that several tests write."""

from pathlib import Path

from tests.helpers import write_list

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


RAWFRAMES = ("YoYo/v_YoYo_g08_c01 120 1", "Archery/v_Archery_g08_c01 90 0")


def plain(folder: Path, train: tuple[str, ...], test: tuple[str, ...], kind: str = "val") -> Path:
    write_list(folder / "ucf101_train_split_2_rawframes.txt", *train, end="\n")
    write_list(folder / f"ucf101_{kind}_split_2_rawframes.txt", *test, end="\n")
    return folder
