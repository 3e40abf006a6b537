"""Lists of videos: which train, which test, and under which label. Knows nothing of frames or shards.

Two families are read, told apart by their file names:

- UCF101's own: classInd.txt (`1 Archery`), trainlist01.txt (`Class/v_X.avi 1`), testlist01.txt (`Class/v_X.avi`).
  The label is its number in classInd.txt minus 1, and the class is the folder: the files of
  HandstandPushups are called v_HandStandPushups_*.
- GluonCV's and MMAction2's: pairs such as ucf101_train_split_1_videos.txt and ucf101_val_split_1_videos.txt, with lines
  `path label` or `path frames label`, labels from 0. Class names are those of classInd.txt or classes.txt (one a line)
  beside them, else those of the folders.

Where a folder holds both, UCF101's own are read.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import count
from pathlib import Path, PurePosixPath

from tsn.pipeline.extract.videos import SUFFIXES
from tsn.tsn_shared.console import some
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.files import open_regular
from tsn.tsn_shared.splits import SUBSETS, Subset

LONGEST_LINE = 65_536
"""Characters of a line: whatever a file claims to be, no more than this is read before a line is seen."""

_UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")  # a byte order mark, read as UTF-8
_TEST_WORDS = ("test", "val", "validation")


@dataclass(frozen=True, kw_only=True)
class ListedClip:
    """A line of a list: the path as it stands there, its label from 0, and the frames that the list counts."""

    path: str
    label: int
    frames: int | None = None

    @property
    def name(self) -> str:
        """The path without the suffix of a video file."""
        stem, dot, suffix = self.path.rpartition(".")
        return stem if dot and "." + suffix.lower() in SUFFIXES else self.path


@dataclass(frozen=True, kw_only=True)
class ListedSplit:
    """A split as its lists say; `name` is what `--split` calls it, `source` says where it is from."""

    name: str
    source: str
    clips: dict[Subset, tuple[ListedClip, ...]]
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """All splits of a folder of lists; a clip's label is a row of `classes`."""

    classes: tuple[str, ...]
    splits: tuple[ListedSplit, ...]

    def unread(self, folder: Path) -> list[str]:
        """Name the lists of the folder that are of another family than those that were read, or lack their pair."""
        read = {path for split in self.splits for path in split.files}
        words = ("train", *_TEST_WORDS)
        lists = (path for path in sorted(folder.glob("*.txt")) if any(word in path.stem for word in words))
        return [path.name for path in lists if path not in read]


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A line taken apart: `where` is file and line number, `numbers` the one or two numbers at its end."""

    where: str
    path: str
    numbers: tuple[int, ...]


def read_annotations(folder: Path) -> Annotations:
    """Read and check a folder of lists. DataError names the file, the line and what is wrong with it."""
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder of lists: name the one with classInd.txt and trainlist01.txt, "
            "or draw a split with --split-by group"
        )
    class_file = folder / "classInd.txt"
    classes = _read_class_index(class_file) if class_file.exists() else None
    if sorted(folder.glob("trainlist*.txt")):
        if classes is None:
            raise DataError(f"{class_file} is missing: it belongs to the lists beside it")
        return _read_official(folder, classes)
    return _read_plain(folder, classes)


def group_of(name: str) -> str | None:
    """Return the group of a clip, the footage that it was cut from, as UCF101 names it (`..._g07_c02`), else None."""
    match = re.fullmatch(r"(.*_g\d+)_c\d+", name)
    return match[1] if match else None


def shared_groups(train: Sequence[str], test: Sequence[str]) -> list[str]:
    """Return the groups that have clips on both sides of a split: their footage leaks from train to test."""
    sides = [{group for group in map(group_of, names) if group is not None} for names in (train, test)]
    return sorted(sides[0] & sides[1])


def _read_official(folder: Path, classes: tuple[str, ...]) -> Annotations:
    labels = {name: label for label, name in enumerate(classes)}
    splits = []
    for train in sorted(folder.glob("trainlist*.txt")):
        number = train.stem.removeprefix("trainlist")
        files: dict[Subset, Path] = {"train": train, "test": folder / f"testlist{number}.txt"}
        clips = {s: tuple(_official_clip(line, labels, s) for line in _read_lines(files[s])) for s in SUBSETS}
        splits.append(_checked(number.lstrip("0") or number, files, clips))
    return Annotations(classes=classes, splits=tuple(splits))


def _official_clip(line: _Line, labels: dict[str, int], subset: Subset) -> ListedClip:
    if len(line.numbers) > 1 or (subset == "train" and not line.numbers):
        raise DataError(f"{line.where}: a line is a path, in train lists with a label from 1 after it")
    folder = PurePosixPath(line.path).parent.name
    if folder not in labels:
        raise DataError(f"{line.where}: class {folder!r} is not in classInd.txt")
    label = labels[folder]
    if line.numbers and line.numbers[0] != label + 1:
        raise DataError(f"{line.where}: label {line.numbers[0]}, but {folder} is {label + 1} in classInd.txt")
    return ListedClip(path=line.path, label=label)


def _read_plain(folder: Path, classes: tuple[str, ...] | None) -> Annotations:
    names_file = folder / "classes.txt"
    if classes is None and names_file.exists():
        classes = tuple(line for _, line in _text_lines(names_file))
    splits = []
    for number, files in enumerate(_pairs(folder), start=1):
        clips = {s: tuple(_plain_clip(line, classes) for line in _read_lines(files[s])) for s in SUBSETS}
        found = re.search(r"split_?0*(\d+)|list_?0*(\d+)", files["train"].stem)
        splits.append(_checked((found[1] or found[2]) if found else str(number), files, clips))
    if len({split.name for split in splits}) < len(splits):
        raise DataError(f"{folder}: two pairs of lists are of the same split: keep one kind of list in the folder")
    classes = classes or _classes_of_folders(folder, splits)
    return Annotations(classes=classes, splits=tuple(splits))


def _pairs(folder: Path) -> Iterator[dict[Subset, Path]]:
    found = False
    for train in sorted(path for path in folder.glob("*.txt") if "train" in path.stem):
        tests = [path for word in _TEST_WORDS if (path := train.with_stem(train.stem.replace("train", word))).exists()]
        if len(tests) != 1:
            there = f" ({', '.join(path.name for path in tests)}): move all but one away" if tests else ""
            raise DataError(
                f"{train}: {len(tests)} test lists of that name with test or val for train, there must be 1{there}"
            )
        found = True
        yield {"train": train, "test": tests[0]}
    if not found:
        others = Counter(path.suffix or path.name for path in folder.iterdir())
        there = some([f"{count} {ending}" for ending, count in sorted(others.items())])
        raise DataError(
            f"{folder} holds no trainlist01.txt, nor any other .txt list with train in its name, of lines `path label`"
            + (f", but {there}" if there else "")
        )


def _plain_clip(line: _Line, classes: tuple[str, ...] | None) -> ListedClip:
    if not line.numbers:
        raise DataError(f"{line.where}: a line is `path label` or `path frames label`")
    label = line.numbers[-1]
    if classes is not None and label >= len(classes):
        raise DataError(
            f"{line.where}: label {label}, but the labels of {len(classes)} classes go to {len(classes) - 1}"
        )
    name = PurePosixPath(line.path).parent.name
    if classes is not None and name in classes and classes[label] != name:
        raise DataError(f"{line.where}: label {label} is {classes[label]}, but the video lies in {name}: count from 0")
    return ListedClip(path=line.path, label=label, frames=line.numbers[0] if len(line.numbers) == 2 else None)


def _classes_of_folders(folder: Path, splits: list[ListedSplit]) -> tuple[str, ...]:
    """Name each label after the folder of its videos, where the two agree throughout."""
    way_out = f"name the classes in {folder / 'classes.txt'}, one a line in the order of the labels"
    names: dict[int, str] = {}
    for clip in (clip for split in splits for subset in SUBSETS for clip in split.clips[subset]):
        name = PurePosixPath(clip.path).parent.name
        if not name or names.setdefault(clip.label, name) != name:
            raise DataError(f"{folder}: label {clip.label} of {clip.path} is not one folder's: {way_out}")
    if len(set(names.values())) < len(names) or sorted(names) != list(range(len(names))):
        raise DataError(f"{folder}: labels and folders do not match one to one from 0 on: {way_out}")
    return tuple(names[label] for label in range(len(names)))


def _read_class_index(path: Path) -> tuple[str, ...]:
    classes: dict[int, str] = {}
    for where, line in _text_lines(path):
        match = re.fullmatch(r"(\d{1,6})\s+(\S.*)", line)
        if match is None:
            raise DataError(f"{where}: a line is a number from 1 and a class name")
        number, name = int(match[1]), match[2]
        if number in classes or name in classes.values():
            raise DataError(f"{where}: {line!r} is there twice")
        classes[number] = name
    if not classes or sorted(classes) != list(range(1, len(classes) + 1)):
        raise DataError(f"{path}: the numbers of the {len(classes)} classes are not 1 to {len(classes)}")
    return tuple(classes[number] for number in sorted(classes))


def _read_lines(path: Path) -> Iterator[_Line]:
    for where, text in _text_lines(path):
        # a path that ends as a video file does takes all before it, spaces and numbers too
        match = re.fullmatch(
            rf"(.*(?:{'|'.join(map(re.escape, SUFFIXES))}))((?:\s+\d{{1,9}}){{0,2}})", text, re.IGNORECASE
        )
        match = match or re.fullmatch(r"(.*?\S)((?:\s+\d{1,9}){0,2})", text)
        if match is None:
            raise DataError(f"{where}: {text!r} is not a line of a list")
        parts = match[1].split("/")
        if match[1].startswith("/") or ".." in parts:
            raise DataError(f"{where}: {match[1]!r} leads out of the folder of videos: write it as Class/video")
        yield _Line(where=where, path=match[1].removeprefix("./"), numbers=tuple(map(int, match[2].split())))


def _text_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (where, text) of the lines that are not blank, whatever their ends; names keep bytes that are not UTF-8."""
    try:
        with open_regular(path) as file, TextIOWrapper(file, "utf-8-sig", errors="surrogateescape") as text:
            for number in count(1):
                line, where = text.readline(LONGEST_LINE + 1), f"{path}, line {number}"
                if line.startswith(_UTF_16):
                    raise DataError(f"{path} is text in UTF-16: save it as UTF-8")
                if len(line) > LONGEST_LINE or "\0" in line:
                    raise DataError(f"{where} is no text: it holds a zero byte or over {LONGEST_LINE:,} characters")
                if line.strip():
                    yield where, line.strip()
                if not line:
                    return
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _checked(name: str, files: dict[Subset, Path], clips: dict[Subset, tuple[ListedClip, ...]]) -> ListedSplit:
    """Refuse a video that is listed twice, be it on one side or on both."""
    seen: dict[str, Subset] = {}
    for subset in SUBSETS:
        if not clips[subset]:
            raise DataError(f"{files[subset]} lists no video")
        for clip in clips[subset]:
            if clip.path in seen:
                other = files[seen[clip.path]]
                both = f"{files[subset]} twice" if other == files[subset] else f"{other} and in {files[subset]}"
                raise DataError(f"{clip.path} is in {both}: keep one of the lines")
            seen[clip.path] = subset
    source = " and ".join(path.name for path in files.values())
    return ListedSplit(name=name, source=source, clips=clips, files=tuple(files.values()))
