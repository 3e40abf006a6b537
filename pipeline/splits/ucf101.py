"""UCF101's own lists: trainlist01.txt (`Class/v_X.avi 1`), testlist01.txt (`Class/v_X.avi`), classInd.txt (`1 Class`).

The label is the number in classInd.txt minus 1, and the class is the folder: the files of HandstandPushups are called
v_HandStandPushups_*.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tsn.pipeline.splits.class_names import INDEX, did_you_mean, read_class_index
from tsn.pipeline.splits.columns import numbers_at_end
from tsn.pipeline.splits.listed import Annotations, ListedClip, checked_path, folder_of, listed_split
from tsn.pipeline.splits.rows import where
from tsn.pipeline.splits.text import numbered_lines
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.splits import Subset


def recognise(folder: Path) -> bool:
    """Return whether a folder holds lists that are called as UCF101's."""
    return any(folder.glob("trainlist*.txt"))


def read(folder: Path) -> Annotations:
    """Read all splits of a folder; DataError names the file, the line and what is wrong with it."""
    if not (folder / INDEX).exists():
        raise DataError(f"{folder / INDEX} is missing: it belongs to the lists beside it")
    classes = read_class_index(folder / INDEX)
    labels = {name: label for label, name in enumerate(classes)}
    splits = []
    for train in sorted(folder.glob("trainlist*.txt")):
        number = train.stem.removeprefix("trainlist")
        files: dict[Subset, Path] = {"train": train, "test": folder / f"testlist{number}.txt"}
        clips = {subset: list(_clips(path, labels, subset)) for subset, path in files.items()}
        if empty := next((files[subset] for subset in files if not clips[subset]), None):
            raise DataError(f"{empty} lists no video")
        splits.append(listed_split(number.lstrip("0") or number, files, clips))
    return Annotations(classes=classes, splits=tuple(splits))


def _clips(path: Path, labels: Mapping[str, int], subset: Subset) -> Iterator[ListedClip]:
    for number, line in numbered_lines(path):
        name, numbers = numbers_at_end(line)
        if len(numbers) > 1 or (subset == "train" and not numbers):
            raise DataError(
                f"{where(path, number)}: {line!r}: a line is a path, in train lists with a label from 1 after it"
            )
        if name[0] == "." or ".." in name or "\\" in name:
            name = checked_path(name, where(path, number))
        folder = folder_of(name)
        label = labels.get(folder)
        if label is None:
            raise DataError(
                f"{where(path, number)}: {line!r}: class {folder!r} is not in {INDEX}{did_you_mean(folder, labels)}"
            )
        if numbers and numbers[0] != label + 1:
            raise DataError(
                f"{where(path, number)}: {line!r}: label {numbers[0]}, but {folder} is {label + 1} in {INDEX}"
            )
        yield ListedClip(name, label)
