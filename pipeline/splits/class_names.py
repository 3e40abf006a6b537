"""The names of classes, in the order of their labels: from a file beside the lists, the lists, or the folders."""

import json
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from tsn.pipeline.splits.columns import lists_clips
from tsn.pipeline.splits.listed import SUBSET_WORDS, ListedClip, folder_of
from tsn.pipeline.splits.text import line_with, numbered_lines, whole_text
from tsn.tsn_shared.errors import DataError, brief

NO_BRACKETS = str.maketrans("", "", "[]")
"""Something-Something's templates put placeholders in brackets, its list of classes does not."""

INDEX = "classInd.txt"
"""UCF101's file of classes."""

FILES = ("classes.txt", "*label_map*.txt", "*labels*.txt", "*labels*.csv", "*labels*.json")
"""Other files that name classes: one a line (also after a number), or in JSON a list, or a number for each name."""


def find_class_file(folder: Path, besides: Path | None = None) -> Path | None:
    """Return the file that names the classes in a folder of lists, None without any; DataError for two.

    `besides` is a list, and no such file whatever it is called; nor is a CSV whose header is that of a list.
    """
    if (folder / INDEX).exists():
        return folder / INDEX
    for pattern in FILES:
        paths = (path for path in sorted(folder.glob(pattern)) if path != besides)
        others = (path for path in paths if not any(word in path.stem for word in SUBSET_WORDS))
        found = [path for path in others if not lists_clips(path)]
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


def alike(name: str) -> str:
    """Return what names have in common that differ in capitals, spaces or the form of Unicode alone."""
    return unicodedata.normalize("NFKC", name).casefold().replace("_", " ").strip()


def did_you_mean(name: str, classes: Iterable[str]) -> str:
    """Return a question for the class whose name is alike, '' without one."""
    like = next((other for other in classes if alike(other) == alike(name)), None)
    return f" (did you mean {like!r}?)" if like else ""


def classes_of_folders(folder: Path, clips: Iterable[ListedClip], files: Iterable[Path]) -> tuple[str, ...]:
    """Name each label after the folder of its videos, where the two agree throughout; the clips are listed in files."""
    way_out = f"name the classes in {folder / 'classes.txt'}, one a line in the order of the labels"
    names: dict[int, str] = {}
    paths: dict[int, str] = {}
    for clip in clips:
        name = folder_of(clip.path)
        if clip.label not in names:
            names[clip.label], paths[clip.label] = name, clip.path
        if not name or names[clip.label] != name:
            cause = _no_one_folder(clip, name, names[clip.label])
            raise DataError(
                f"{line_with(clip.path, files)}: label {clip.label} is not one folder's: {cause}; {way_out}"
            )
    lowest, highest = min(names, default=0), max(names, default=0)
    if lowest > 0 and len(set(names.values())) == len(names):
        line = line_with(paths[lowest], files)
        raise DataError(f"{line}: labels go from {lowest} to {highest}: they must begin at 0")
    of = {name: label for label, name in names.items()}
    for label, name in names.items():
        if of[name] != label:
            line = line_with(paths[of[name]], files)
            raise DataError(f"{line}: labels {label} and {of[name]} are both of {name}: {way_out}")
    for label in range(highest):
        if label not in names:
            line = line_with(paths[highest], files)
            raise DataError(f"{line}: labels go from {lowest} to {highest}, and no video has {label}: {way_out}")
    return tuple(names[label] for label in range(len(names)))


def _no_one_folder(clip: ListedClip, name: str, before: str) -> str:
    """Say why a clip's folder does not name its label, which is another's as well."""
    if not name:
        return f"{clip.path} lies in none, whose name would be the class"
    if clip.frames is not None and clip.label > clip.frames:
        return f"{name} here, {before} before; is it the number of frames? a line is `path frames label`"
    if alike(name) == alike(before):
        return f"{name} here, {before} before, which differ in capitals, spaces or the form of Unicode alone"
    return f"{name} here, {before} before"
