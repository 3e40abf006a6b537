"""HMDB51's own lists: brush_hair_test_split1.txt, ... one for each class and split, with lines `FILE.avi 1`.

1 trains, 2 tests, and 0 is for neither. The class is in the name of the list.
"""

import re
from pathlib import Path

from tsn.pipeline.splits.listed import (
    Annotations,
    LeftOut,
    ListedClip,
    ListedSplit,
    checked_path,
    is_absolute,
    listed_split,
)
from tsn.pipeline.splits.rows import where
from tsn.pipeline.splits.text import numbered_lines
from tsn.tsn_shared.console import some
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.splits import SUBSETS, Subset

NEITHER = "listed as 0, neither train nor test"
_LIST = re.compile(r"(.+)_test_split(\d+)\.txt")
_SUBSET_OF: dict[str, Subset | None] = {"0": None, "1": "train", "2": "test"}


def recognise(folder: Path) -> bool:
    """Return whether a folder holds lists of one class each: none that is the pair of a train list."""
    names = [path.name for path in folder.glob("*_test_split*.txt") if _LIST.fullmatch(path.name)]
    return bool(names) and not any((folder / name.replace("_test_", "_train_")).exists() for name in names)


def read(folder: Path) -> Annotations:
    """Read all splits of a folder; DataError names the file, the line and what is wrong with it."""
    lists = {(match[1], int(match[2])): path for path in folder.iterdir() if (match := _LIST.fullmatch(path.name))}
    classes = tuple(sorted({name for name, _ in lists}))
    splits = []
    for number in sorted({number for _, number in lists}):
        if lacking := [name for name in classes if (name, number) not in lists]:
            raise DataError(
                f"{folder}: split {number} has no list of {some(lacking)}: {lacking[0]}_test_split{number}.txt"
            )
        splits.append(_split(number, {name: lists[name, number] for name in classes}))
    return Annotations(classes=classes, splits=tuple(splits))


def _split(number: int, lists: dict[str, Path]) -> ListedSplit:
    clips: dict[Subset, list[ListedClip]] = {subset: [] for subset in SUBSETS}
    left_out = []
    for label, (name, path) in enumerate(lists.items()):
        for row, line in numbered_lines(path):
            fields = line.rsplit(None, 1)
            if len(fields) != 2 or fields[1] not in _SUBSET_OF:
                raise DataError(
                    f"{where(path, row)}: {line!r}: a line is a video and 1 (train), 2 (test) or 0 (neither)"
                )
            video, subset = checked_path(fields[0], where(path, row)), _SUBSET_OF[fields[1]]
            if not is_absolute(video):
                video = f"{name}/{video}"
            if subset is None:
                left_out.append(LeftOut(None, video, NEITHER))
            else:
                clips[subset].append(ListedClip(video, label))
    first = next(iter(lists.values()))
    split = listed_split(str(number), dict.fromkeys(SUBSETS, first), clips, left_out)
    return ListedSplit(
        name=split.name,
        source=f"*_test_split{number}.txt of {len(lists)} classes",
        clips=split.clips,
        files=tuple(lists.values()),
        left_out=split.left_out,
    )
