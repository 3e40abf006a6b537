"""The names of classes, in the order of their labels: from a file beside the lists, the lists, or the folders."""

import json
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from tsn.pipeline.splits.listed import SUBSET_WORDS, ListedClip, folder_of
from tsn.pipeline.splits.text import numbered_lines, whole_text
from tsn.tsn_shared.errors import DataError, brief

NO_BRACKETS = str.maketrans("", "", "[]")
"""Something-Something's templates put placeholders in brackets, its list of classes does not."""

INDEX = "classInd.txt"
"""UCF101's file of classes."""

FILES = ("classes.txt", "*label_map*.txt", "*labels*.txt", "*labels*.csv", "*labels*.json")
"""Other files that name classes: one a line (also after a number), or in JSON a list, or a number for each name."""


def find_class_file(folder: Path) -> Path | None:
    """Return the file that names the classes in a folder of lists, None without any; DataError for two."""
    if (folder / INDEX).exists():
        return folder / INDEX
    for pattern in FILES:
        found = [path for path in sorted(folder.glob(pattern)) if not any(word in path.stem for word in SUBSET_WORDS)]
        if len(found) > 1:
            raise DataError(f"{found[0]} and {found[1].name} both name classes, it seems: move one away")
        if found:
            return found[0]
    return None


def read_class_file(path: Path) -> tuple[str, ...]:
    """Return the classes that a file names; DataError where a name or a number is there twice or a number lacks."""
    if path.name == INDEX:
        return read_class_index(path)
    if path.suffix == ".json":
        return _read_json(path)
    names = tuple(re.sub(r"^\d+[,;\t]\s*", "", line) for _, line in numbered_lines(path))
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise DataError(f"{path}: {twice!r} is there twice")
    return names


def read_class_index(path: Path) -> tuple[str, ...]:
    """Return the classes of a file with lines `1 Archery`."""
    classes: dict[int, str] = {}
    seen = set[str]()
    for number, line in numbered_lines(path):
        match = re.fullmatch(r"(\d{1,6})\s+(\S.*)", line)
        if match is None:
            raise DataError(f"{path}, line {number}: {line!r}: a line is a number from 1 and a class name")
        if int(match[1]) in classes or match[2] in seen:
            raise DataError(f"{path}, line {number}: {line!r} is there twice")
        classes[int(match[1])] = match[2]
        seen.add(match[2])
    if not classes or sorted(classes) != list(range(1, len(classes) + 1)):
        raise DataError(f"{path}: the numbers of the {len(classes)} classes are not 1 to {len(classes)}")
    return tuple(classes[number] for number in sorted(classes))


def _read_json(path: Path) -> tuple[str, ...]:
    try:
        content = json.loads(whole_text(path))
        if isinstance(content, dict):
            content = {int(number): name for name, number in content.items()}
            content = [content[number] for number in range(len(content))]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{path} is no JSON of classes and their numbers from 0: {brief(error)}") from None
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise DataError(f"{path} is no JSON of classes and their numbers from 0")
    return tuple(name.translate(NO_BRACKETS) for name in content)


def did_you_mean(name: str, classes: Iterable[str]) -> str:
    """Return a question for the class whose name differs in capitals, spaces or the form of Unicode, '' without one."""

    def plain(text: str) -> str:
        return unicodedata.normalize("NFKC", text).casefold().replace("_", " ").strip()

    like = next((other for other in classes if plain(other) == plain(name)), None)
    return f" (did you mean {like!r}?)" if like else ""


def classes_of_folders(folder: Path, clips: Iterable[ListedClip]) -> tuple[str, ...]:
    """Name each label after the folder of its videos, where the two agree throughout."""
    way_out = f"name the classes in {folder / 'classes.txt'}, one a line in the order of the labels"
    names: dict[int, str] = {}
    for clip in clips:
        name = folder_of(clip.path)
        if not name or names.setdefault(clip.label, name) != name:
            raise DataError(f"{folder}: label {clip.label} of {clip.path} is not one folder's: {way_out}")
    if names and min(names) > 0 and len(set(names.values())) == len(names):
        raise DataError(f"{folder}: labels go from {min(names)} to {max(names)}: they must begin at 0")
    if len(set(names.values())) < len(names) or sorted(names) != list(range(len(names))):
        raise DataError(f"{folder}: labels and folders do not match one to one from 0 on: {way_out}")
    return tuple(names[label] for label in range(len(names)))
