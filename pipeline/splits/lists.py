"""Folders of lists: which format one is in, from a table, and what is there when it is in none.

The formats are told apart by the names of the files; the first that recognises a folder reads it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tsn.pipeline.extract.videos import ARCHIVES, SUFFIXES
from tsn.pipeline.splits import by_subset, hmdb51, ucf101
from tsn.pipeline.splits.class_names import find_class_file
from tsn.pipeline.splits.listed import SUBSET_WORDS, Annotations
from tsn.pipeline.splits.rows import FORMS
from tsn.tsn_shared.console import some
from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.nearest import absent


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of lists: whether a folder is in it, and how it is read."""

    recognise: Callable[[Path], bool]
    read: Callable[[Path], Annotations]


FORMATS = {
    "UCF101": Format(recognise=ucf101.recognise, read=ucf101.read),
    "HMDB51": Format(recognise=hmdb51.recognise, read=hmdb51.read),
    "a list for each subset": Format(recognise=by_subset.recognise, read=by_subset.read),
}


def read_annotations(folder: Path) -> Annotations:
    """Read and check a folder of lists. DataError names the file, the line and what is wrong with it."""
    if not folder.is_dir():
        raise DataError(_no_folder(folder))
    try:
        for form in FORMATS.values():
            if form.recognise(folder):
                return form.read(folder)
        raise DataError(_no_lists(folder))
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from None


def read_list(path: Path, *, drawn: bool) -> Annotations:
    """Read one list, of which a split is `drawn` or whose column for the subset says it; DataError as above."""
    try:
        if not drawn and not by_subset.has_subsets(path):
            raise DataError(
                f"{path}: which clips train and which test is not said: draw a split from it with --split-by video, "
                "give it a column split, or name the folder, where other lists beside it are the other subsets"
            )
        return by_subset.read_one(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def unread_lists(folder: Path, listed: Annotations) -> list[str]:
    """Name the lists of a folder that are of another format than those that were read, or lack their pair."""
    read = {path for split in listed.splits for path in split.files} | {find_class_file(folder)}
    lists = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in FORMS)
    return [p.name for p in lists if p not in read and any(word in p.stem.casefold() for word in SUBSET_WORDS)]


def _no_folder(folder: Path) -> str:
    if folder.suffix.lower() in ARCHIVES and folder.exists():
        return f"{folder} is an archive: unpack it first, and name the folder of its lists"
    if folder.exists():
        return f"{folder} is a file: name the folder that it lies in"
    return (
        f"{absent(folder)}: name the folder that holds the lists, or draw a split from folders named after their "
        "classes with --split-by video"
    )


def _holds_a_video(path: Path) -> bool:
    return path.is_dir() and any(inside.suffix.lower() in SUFFIXES for inside in path.iterdir())


def _videos_meant(paths: list[Path]) -> str:
    """Ask whether a folder of these paths is the one of the videos, and say what is needed then; '' without any."""
    if any(_holds_a_video(path) for path in paths):
        return "; or is it the videos, in class folders? Leave it out, and draw a split with --split-by video"
    endings = {path.suffix.lower() for path in paths}
    if endings & {*SUFFIXES} and not endings & {*FORMS}:  # a list beside them is the one that is needed
        return (
            "; or is it the videos? Then list their classes in a file of lines `path,label`, as videos.csv, and draw a "
            "split from that: tsn build-splits videos.csv --split-by video"
        )
    return ""


def _no_lists(folder: Path) -> str:
    paths = sorted(folder.iterdir())
    meant = _videos_meant(paths)
    if lists := [path for path in paths if path.suffix.lower() in FORMS]:
        return (
            f"{folder}: {some([path.name for path in lists])}: which clips train and which test is not said: name the "
            "lists as NAME_train.csv and NAME_val.csv or NAME_test.csv, give one a column split, or name one itself, "
            f"to draw a split from it with --split-by video{meant}"
        )
    if archives := [path.name for path in paths if path.suffix.lower() in ARCHIVES]:
        return f"{folder} holds no lists, but {some(archives)}: unpack it first"
    there = some([f"{count} {ending}" for ending, count in Counter(p.suffix or p.name for p in paths).most_common()])
    return f"{folder} holds no trainlist01.txt, nor any other list ({', '.join(FORMS)})" + (
        f", but {there}{meant}" if there else ""
    )
