"""The columns of a list: how the fields of a line are divided, and what a header calls them."""

import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from tsn.pipeline.splits.listed import without_ending
from tsn.pipeline.splits.text import numbered_lines, text_lines
from tsn.tsn_shared.console import some
from tsn.tsn_shared.errors import DataError, brief

MOST_DIGITS = 9
"""Digits of a label or a number of frames."""

COLUMNS: dict[str, tuple[str, ...]] = {
    "path": (
        *("path", "video_path", "file_path", "filepath", "clip_path", "file", "filename", "file_name", "video"),
        *("video_name", "clip_name", "name", "youtube_id", "video_id", "clip_id", "clip", "id", "vid"),
    ),
    "label": (
        *("template", "label_name", "class_name", "label", "class", "category", "action", "activity"),
        *("label_id", "class_id", "class_index"),
    ),
    "frames": ("frames", "num_frames", "n_frames", "total_frames"),
    "start": ("time_start", "start_time", "start"),
    "end": ("time_end", "end_time", "end"),
    "subset": ("split", "subset", "set"),
}
"""What columns are called, the first that is there before the others."""

NAMES = {name for names in COLUMNS.values() for name in names}
"""All of them, in small letters."""

_OF_ANYTHING = {"id", "name"}
"""Names of a column for paths that a table of classes has as well."""


def numbers_at_end(line: str) -> tuple[str, tuple[int, ...]]:
    """Take a line apart: what it begins with, and the one or two numbers after white space at its end, if any."""
    fields = line.rsplit(None, 2)
    if not is_number(fields[-1]) or len(fields) == 1:
        return line, ()
    last = int(fields[-1])
    if len(fields) == 3 and is_number(fields[1]):
        return fields[0], (int(fields[1]), last)
    return line[: -len(fields[-1])].rstrip(), (last,)


def is_number(field: str) -> bool:
    """Return whether a field is a number from 0, and none of absurdly many digits."""
    return field.isdecimal() and len(field) <= MOST_DIGITS


def cells_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield number and fields of each line of a CSV that is not blank."""
    lines = text_lines(path)
    blank, first = 0, ""
    for first in lines:
        if first.strip():
            break
        blank += 1
    delimiter = _delimiter(first)
    if delimiter == " ":
        for number, line in enumerate(chain([first], lines), start=blank + 1):
            if line.strip():
                yield number, line.strip().rsplit(None, 1)
        return
    reader = csv.reader((line + "\n" for line in chain([first], lines)), delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            if any(fields):
                yield blank + reader.line_num, [field.strip() for field in fields]
    except csv.Error as error:
        raise DataError(
            f"{path}, line {blank + reader.line_num} is no CSV: {brief(error)}; is a quotation mark not closed?"
        ) from None


def _delimiter(line: str) -> str:
    """Return what divides the fields of a CSV, by its first line: the mark that comes first, else the last space."""
    name, numbers = numbers_at_end(line.strip()) if line.strip() else ("", ())
    if numbers and without_ending(name) != name:
        return " "
    marks = [(line.index(mark), mark) for mark in "\t;," if mark in line]
    return min(marks)[1] if marks else " "


def is_header(cells: Sequence[str]) -> bool:
    """Return whether a row names columns: two names that are known, since one could be a class."""
    known = {cell.casefold() for cell in cells} & NAMES
    return len(known) >= min(2, len(cells)) > 0 and not any(cell.isdecimal() for cell in cells)


def lists_clips(path: Path) -> bool:
    """Return whether a CSV's first line names a column for paths, by a name that classes have not, and one for labels.

    A table of classes may be called alike, and need be no CSV in form: nothing but its first line is looked at.
    """
    if path.suffix.lower() not in (".csv", ".tsv"):
        return False
    _, line = next(numbered_lines(path), (0, ""))
    names = {cell.strip('" ').casefold() for cell in line.split(_delimiter(line))}
    return bool(names & {*COLUMNS["path"]} - _OF_ANYTHING) and bool(names & {*COLUMNS["label"]})


def columns_of(path: Path, header: Sequence[str]) -> dict[str, int]:
    """Return where each column that is known stands in a row with this header."""
    at = {name.casefold(): place for place, name in reversed(list(enumerate(header)))}
    columns = {
        column: next(at[name] for name in names if name in at)
        for column, names in COLUMNS.items()
        if any(name in at for name in names)
    }
    if "path" not in columns:
        raise DataError(
            f"{path}: none of the columns {some([repr(name) for name in header], shown=8)} names the videos: "
            f"call that one path and the one of the classes label"
        )
    return columns
