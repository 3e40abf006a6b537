"""Lists of which each names the clips of one subset, or one list with a column that says the subset.

GluonCV, MMAction2, PaddleVideo, SlowFast, VideoMAE, Kinetics, Something-Something, Jester: what differs between them is
how a line is written (rows.py); which lists belong together is told by their names, `..train..` beside `..val..` and
`..test..`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tsn.pipeline.splits.class_names import alike, classes_of_folders, did_you_mean, find_class_file, read_class_file
from tsn.pipeline.splits.columns import is_number
from tsn.pipeline.splits.listed import (
    SUBSET_WORDS,
    Annotations,
    LeftOut,
    ListedClip,
    ListedSplit,
    folder_of,
    listed_split,
)
from tsn.pipeline.splits.rows import FORMS, Row, read_rows, where, with_header
from tsn.tsn_shared.console import some
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.splits import SUBSETS, Subset

Files = dict[Subset, Path]


def lists_of(folder: Path) -> dict[str, Path]:
    """Return the files of a folder that can be lists of clips, by their names in small letters.

    Of those that differ in their endings alone, as Kinetics' train.csv and train.json, the one that FORMS has first.
    """
    class_file = find_class_file(folder)
    paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in FORMS and path != class_file]
    order = list(FORMS)
    paths.sort(key=lambda path: order.index(path.suffix.lower()), reverse=True)
    chosen = {path.stem.casefold(): path for path in paths}
    return {path.name.casefold(): path for path in sorted(chosen.values())}


def recognise(folder: Path) -> bool:
    """Return whether a folder holds a list with train in its name, or one with a column for the subset."""
    lists = lists_of(folder)
    return any("train" in Path(name).stem for name in lists) or _with_subsets(lists) is not None


def read(folder: Path) -> Annotations:
    """Read all such lists of a folder; DataError names the file, the line and what is wrong with it."""
    return _read(folder, list(_groups(lists_of(folder))), find_class_file(folder))


def has_subsets(path: Path) -> bool:
    """Return whether a list has a column for the subset."""
    return path.suffix.lower() not in (".txt", ".list") and with_header(path)


def read_one(path: Path) -> Annotations:
    """Read one list: as its column for the subset says, and where it has none, all of it as train."""
    files: Files = dict.fromkeys(SUBSETS, path) if has_subsets(path) else {"train": path}
    return _read(path.parent, [files], find_class_file(path.parent, besides=path))


def _read(folder: Path, groups: Sequence[Files], class_file: Path | None) -> Annotations:
    rows = [{path: list(read_rows(path)) for path in dict.fromkeys(files.values())} for files in groups]
    labels = replace(_labels_of(rows, read_class_file(class_file) if class_file else None), class_file=class_file)
    splits = []
    for number, files in enumerate(groups, start=1):
        found = re.search(r"split_?0*(\d+)|list_?0*(\d+)", files.get("train", Path()).stem)
        splits.append(_split((found[1] or found[2]) if found else str(number), files, rows[number - 1], labels))
    if len({split.name for split in splits}) < len(splits):
        raise DataError(
            f"{folder}: two pairs of lists are of the same split: keep one kind of list in the folder: "
            + some([split.source for split in splits])
        )
    clips = (clip for split in splits for subset in SUBSETS for clip in split.clips[subset])
    all_of = [path for files in groups for path in files.values()]
    return Annotations(classes=labels.classes or classes_of_folders(folder, clips, all_of), splits=tuple(splits))


def _groups(lists: dict[str, Path]) -> Iterator[Files]:
    """Yield the lists that belong together, one for each subset."""
    trains = [name for name in lists if "train" in Path(name).stem]
    for name in trains:
        yield {"train": lists[name], **_partners(name, lists)}
    if not trains and (path := _with_subsets(lists)):
        yield dict.fromkeys(SUBSETS, path)


def _partners(train: str, lists: dict[str, Path]) -> Files:
    """Return the lists that are called as a train list with another word for train."""
    stem, suffix = Path(train).stem, Path(train).suffix
    own = "training" if "training" in stem else "train"
    files: Files = {}
    for word, subset in SUBSET_WORDS.items():
        path = lists.get(stem.replace(own, word) + suffix)
        if subset == "train" or path is None:
            continue
        if subset in files:
            raise DataError(f"{files[subset]} and {path.name} are two {subset} lists of one train list: move one away")
        files[subset] = path
    if not files and not has_subsets(lists[train]):
        val, test = (stem.replace(own, word) + suffix for word in ("val", "test"))
        raise DataError(
            f"{lists[train]} has no partner, {val} or {test}: "
            "write one, or draw a split without lists by --split-by video"
        )
    return files


def _with_subsets(lists: dict[str, Path]) -> Path | None:
    """Return the only list with a column for the subset."""
    found = [path for path in lists.values() if has_subsets(path)]
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True, kw_only=True)
class _Labels:
    """What the labels of all lists are: the numbers of names, or numbers, and then the lowest and the highest."""

    classes: tuple[str, ...] | None
    number_of: Mapping[str, int] | None
    class_file: Path | None = None
    lowest: int = 0
    highest: int = 0

    @cached_property
    def known(self) -> frozenset[str]:
        """The classes, to be looked up."""
        return frozenset(self.classes or ())

    @property
    def from_1(self) -> str:
        """Words on labels that do not begin at 0, '' where they do."""
        return f": labels go from 1 to {self.highest}, they must begin at 0" if self.lowest == 1 else ""


def _labels_of(rows: Sequence[Mapping[Path, list[Row]]], classes: tuple[str, ...] | None) -> _Labels:
    """Look at all labels; DataError where some are numbers and some are names that no file gives."""
    number: tuple[Path, Row] | None = None
    name: tuple[Path, Row] | None = None
    names, lowest, highest = set[str](), 1 << 62, 0
    for path, row in ((path, row) for files in rows for path, of_file in files.items() for row in of_file):
        label = row.label
        if label is None:
            continue
        if isinstance(label, str) and not is_number(label):
            name = name or (path, row)
            names.add(label)
            continue
        number = number or (path, row)
        label = int(label)
        lowest, highest = min(lowest, label), max(highest, label)
    if number and name and classes is None:
        path, row = max(number, name, key=lambda found: found[1].number)
        raise DataError(
            f"{where(path, row.number)}: {row.path}: the label {str(row.label)!r}, where others are "
            f"{'names' if (path, row) == number else 'numbers'}: write all labels as one or the other"
        )
    if name is None:
        return _Labels(classes=classes, number_of=None, lowest=lowest, highest=highest)
    if classes is None:
        _refuse_names_alike(rows, names)
        classes = tuple(sorted(names))
    return _Labels(classes=classes, number_of={name: label for label, name in enumerate(classes)})


def _refuse_names_alike(rows: Sequence[Mapping[Path, list[Row]]], names: Iterable[str]) -> None:
    """Refuse classes that differ in capitals, spaces or the form of Unicode alone; the second one's line is shown."""
    alikes: dict[str, list[str]] = {}
    for name in names:
        alikes.setdefault(alike(name), []).append(name)
    groups = [group for group in alikes.values() if len(group) > 1]
    if not groups:
        return
    met: set[str] = set()
    for path, row in ((path, row) for files in rows for path, of_file in files.items() for row in of_file):
        met.add(str(row.label))
        if twins := next((group for group in groups if len(met.intersection(group)) > 1), None):
            other = next(name for name in twins if name != row.label and name in met)
            raise DataError(
                f"{where(path, row.number)}: {row.path}: the class {row.label!r} was {other!r} before: write it alike "
                "throughout, or name both in classes.txt beside the lists"
            )


def _split(name: str, files: Files, rows: dict[Path, list[Row]], labels: _Labels) -> ListedSplit:
    """Turn rows into a split; they are used up on the way, since both together would take twice the memory."""
    clips: dict[Subset, list[ListedClip]] = {subset: [] for subset in SUBSETS}
    left_out = []
    one_for_all = len(rows) == 1 and has_subsets(next(iter(rows)))
    subset_of = {} if one_for_all else {path: subset for subset, path in files.items()}
    for path, of_file in rows.items():
        if not of_file:
            raise DataError(f"{path} lists no video")
        of_file.reverse()
        while of_file:
            row = of_file.pop()
            subset = row.subset or subset_of.get(path)
            if subset is None:
                raise DataError(f"{where(path, row.number)}: {row.path}: no subset, such as train or test")
            if row.label is None:
                left_out.append(LeftOut(subset, row.path, "the list gives no class"))
            else:
                clips[subset].append(ListedClip(row.path, _label(row, path, labels), row.frames, row.start, row.end))
    first = next(iter(files.values()))
    if not clips["train"]:
        raise DataError(f"{files.get('train', first)} gives no class for any video to train on: call that column label")
    of_clips = {subset: files.get(subset, first) for subset in SUBSETS if clips[subset]}
    return replace(listed_split(name, of_clips, clips, left_out), files=tuple(dict.fromkeys(files.values())))


def _label(row: Row, path: Path, labels: _Labels) -> int:
    """Return a row's label from 0; DataError where no class has it, or another than the video's folder."""
    if labels.number_of is not None:
        if (known := labels.number_of.get(str(row.label))) is not None:
            return known
        raise DataError(
            f"{where(path, row.number)}: {row.path}: {row.label!r} is none of the classes in {labels.class_file}"
            f"{did_you_mean(str(row.label), labels.number_of)}"
        )
    label, classes = int(row.label or 0), labels.classes
    if classes is None:
        return label
    folder = folder_of(row.path)
    if label < len(classes) and (classes[label] == folder or folder not in labels.known):
        return label
    line = f"{where(path, row.number)}: {row.path}: label {label}"
    if label >= len(classes):
        raise DataError(f"{line}, but the labels of {len(classes)} classes go to {len(classes) - 1}{labels.from_1}")
    cause = labels.from_1 or (
        f", which is {classes.index(folder)} there: the classes must stand in the order of the labels, from 0"
    )
    raise DataError(f"{line} is {classes[label]} in {labels.class_file}, but the video lies in {folder}{cause}")
