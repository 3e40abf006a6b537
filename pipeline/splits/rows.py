"""A list file to rows, by the ending of its name: plain lines, CSV, JSON. Labels may still be names.

- `.txt`, `.list` (GluonCV, MMAction2, PaddleVideo): `path label` or `path frames label`, labels from 0;
- `.csv`, `.tsv`: divided by comma, semicolon (Jester, Something-Something v1) or tab, with a header that names the
  columns (Kinetics) or without (`path,label` or `path,frames,label`); without any of these, `path label` divided at
  the last space (SlowFast, VideoMAE);
- `.json`: a list of objects whose keys are named as those columns (Something-Something v2), or an object for each id
  (Kinetics, ActivityNet).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from tsn.pipeline.splits.class_names import NO_BRACKETS
from tsn.pipeline.splits.columns import NAMES, cells_of, columns_of, is_header, is_number, numbers_at_end
from tsn.pipeline.splits.listed import SUBSET_WORDS, checked_path, without_ending
from tsn.pipeline.splits.text import numbered_lines, whole_text
from tsn.tsn_shared.errors import DataError, brief
from tsn.tsn_shared.splits import Subset

_KINETICS = ("label", "youtube_id", "time_start", "time_end", "split")


class Row(NamedTuple):
    """A clip as a file lists it; `number` is its line from 1, `label` a number from 0, a class's name, or not given."""

    number: int
    path: str
    label: int | str | None
    frames: int | None = None
    start: float | None = None
    end: float | None = None
    subset: Subset | None = None


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a list; DataError names the line, shows it, and says what is probably wrong with it."""
    return FORMS[path.suffix.lower()](path)


def where(path: Path, number: int) -> str:
    """Say where a row stands."""
    return f"{path}, {'entry' if path.suffix.lower() == '.json' else 'line'} {number}"


def with_header(path: Path) -> bool:
    """Return whether a file names its columns, one of which says the subset."""
    if path.suffix.lower() == ".json":
        return any("split" in entry or "subset" in entry for entry in _entries(path)[:1])
    _, cells = next(cells_of(path), (0, []))
    return is_header(cells) and "subset" in columns_of(path, cells)


def _read_lines(path: Path) -> Iterator[Row]:
    for number, line in numbered_lines(path):
        name, numbers = numbers_at_end(line)
        if not numbers:
            raise DataError(f"{where(path, number)}: {line!r}: {_cause(line, number)}")
        if name[0] == "." or ".." in name or "\\" in name:
            name = checked_path(name, where(path, number))
        yield Row(number, name, numbers[-1], numbers[0] if len(numbers) == 2 else None)


def _cause(line: str, number: int) -> str:
    """Say what is probably wrong with a line that does not end in a number."""
    form = "a line is `path label` or `path frames label`, labels from 0"
    first, _, rest = line.partition(" ")
    last = line.split()[-1]
    if number == 1 and {word.strip(",;").casefold() for word in line.split()} & NAMES and "/" not in line:
        return f"this line is a header, it seems: delete it, or end the file's name in .csv; {form}"
    if mark := next((mark for mark in ",;" if mark in line), None):
        return f"{line.rpartition(mark)[2].strip()!r} after {mark!r}: end the file's name in .csv; {form}"
    if rest and (is_number(first) or (not _is_path(first) and _is_path(last))):
        return f"the label stands before the path, it seems: change the two; {form}"
    if last == line or without_ending(last) != last:
        return f"no label after the path; {form}"
    return f"{last!r} is no number from 0: names of classes for labels go in a .csv, as `path,label`; {form}"


def _read_csv(path: Path) -> Iterator[Row]:
    cells = cells_of(path)
    number, first = next(cells, (0, []))
    if not first:
        return iter(())
    if is_header(first):
        columns = columns_of(path, first)
    else:
        columns = _columns_without_header(path, number, first)
        second, at = next(cells, None), columns["path"]
        if second and any(map(_is_path, second[1][at : at + 1])) and not _is_path(first[at]):
            raise DataError(
                f"{where(path, number)}: {first}: a header, it seems, whose columns are not known: name them path,label"
            )
        cells = chain([(number, first)], [second] if second else [], cells)
    return _rows(path, columns, cells)


def _is_path(cell: str) -> bool:
    return "/" in cell or without_ending(cell) != cell


def _columns_without_header(path: Path, number: int, cells: Sequence[str]) -> dict[str, int]:
    count, place = len(cells), where(path, number)
    if count == 2 and not _is_path(cells[0]) and without_ending(cells[1]) != cells[1]:
        raise DataError(f"{place}: {cells}: the label stands before the path: change the two, or write a header")
    if count <= 2:
        return dict(zip(("path", "label"), range(count), strict=False))
    if count == 3 and cells[1].isdecimal():
        return {"path": 0, "frames": 1, "label": 2}
    if count == len(_KINETICS) and cells[2].replace(".", "", 1).isdecimal():
        return {"label": 0, "path": 1, "start": 2, "end": 3, "subset": 4}
    raise DataError(f"{place}: {cells}: {count} fields and no header: name them in a first line, as `path,label`")


def _rows(path: Path, columns: dict[str, int], rows: Iterable[tuple[int, Sequence[str]]]) -> Iterator[Row]:
    path_at, label_at = columns["path"], columns.get("label")
    others = {name: place for name, place in columns.items() if name not in ("path", "label")}
    for number, cells in rows:
        try:
            name, label = cells[path_at], None if label_at is None else cells[label_at]
            more = {key: _READ[key](cells[place]) for key, place in others.items() if cells[place]} if others else {}
        except IndexError:
            raise DataError(
                f"{where(path, number)}: {cells}: {len(cells)} fields, where {max(columns.values()) + 1} are needed"
            ) from None
        except (ValueError, KeyError) as error:
            raise DataError(f"{where(path, number)}: {cells}: {brief(error)} is no time, number or subset") from None
        if not name:
            raise DataError(f"{where(path, number)}: {cells}: no path of a video")
        if name[0] == "." or ".." in name or "\\" in name:
            name = checked_path(name, where(path, number))
        yield Row(number, name, label or None, **more)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < 1e7:
        raise ValueError(text)
    return seconds


_READ: dict[str, Callable[[str], Any]] = {
    "frames": int,
    "start": _seconds,
    "end": _seconds,
    "subset": lambda word: SUBSET_WORDS[word.casefold()],
}


def _read_json(path: Path) -> Iterator[Row]:
    entries = _entries(path)
    header = list(entries[0]) if entries else ["path"]
    columns = columns_of(path, header)
    cells = (
        (number, ["" if entry.get(key) is None else str(entry[key]) for key in header])
        for number, entry in enumerate(entries, start=1)
    )
    for row in _rows(path, columns, cells):
        yield row._replace(label=row.label.translate(NO_BRACKETS)) if isinstance(row.label, str) else row


def _entries(path: Path) -> list[dict[str, object]]:
    try:
        entries = json.loads(whole_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {brief(error)}") from None
    if isinstance(entries, dict):
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            entries = list(_by_id(entries.get("database", entries)))
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f'{path} is no list of videos: what is read is [{{"id": "1", "template": "Class"}}, ...]')
    return entries


def _by_id(videos: dict[str, dict[str, Any]]) -> Iterator[dict[str, object]]:
    """Yield the entries of Kinetics' JSON, an object for each id: of one annotation, or of several as ActivityNet's."""
    for name, video in videos.items():
        notes = video.get("annotations") or {}  # of tests there is none
        for note in notes if isinstance(notes, list) else [notes]:
            start, end = note.get("segment") or (None, None)
            times = {"start": start, "end": end}
            yield {"id": name, "label": note.get("label"), "subset": video["subset"], **times}


FORMS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".txt": _read_lines,
    ".list": _read_lines,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".json": _read_json,
}
"""How a list is read, by the ending of its file's name."""
