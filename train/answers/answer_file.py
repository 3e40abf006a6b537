"""The answers of many videos in a file, a line each, written as they come; a command that runs again goes on with it.

A line is whole or not there: what a killed writer left of its last one is dropped. Each states a `key` of all that its
answer depends on: the weights and the options before the dash, the video after it. A rerun keeps the answers whose keys
are still right, and makes the others anew, failures too; lines of videos that are not asked for stay as they are.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from tsn.pipeline.extract.video import made_with
from tsn.pipeline.extract.videos import Source
from tsn.train.answers.prediction import Answer, Failure
from tsn.train.answers.predictor import Predictor
from tsn.tsn_shared.console import counted, json_text, printable, say
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.files import alone, open_regular, replacing, sha256, writing

WAY_OUT = "name another --out"
DIGITS = 12
"""Of each half of a key, hexadecimal."""

Row = dict[str, Any]
"""An answer by name, as `--json` has it, or a video's `failed` with the reason; and its `key`."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """How rows become lines: the file's first line for so many classes an answer, a row's line, and the row of a line.

    `read` need not return more than `video`, `key` and, of a failure, `failed`; ValueError where a line is no row.
    """

    head: Callable[[int], str]
    line: Callable[[Row, int], str]
    read: Callable[[str, int], Mapping[str, Any]]


def _json_line(row: Row, _: int) -> str:
    return json_text(row) + "\n"


def _read_json(line: str, _: int) -> Mapping[str, Any]:
    row = json.loads(line)
    if not (isinstance(row, dict) and isinstance(row.get("video"), str) and isinstance(row.get("key"), str)):
        raise ValueError("no row")
    return row


def _columns(top: int) -> list[str]:
    best = (f"{what}{rank}" for rank in range(1, top + 1) for what in ("class", "score"))
    return ["video", "frames", *best, "note", "failed", "key"]


def _csv_line(row: Row, top: int) -> str:
    best = [part for guess in row.get("top", ()) for part in (guess["class"], f"{guess['score']:.6f}")]
    best += [""] * (2 * top - len(best))
    words = (row.get("note", ""), row.get("failed", ""))
    return _csv([printable(row["video"]), row.get("frames", ""), *best, *map(printable, words), row["key"]])


def _csv(values: Sequence[object]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerow(values)
    return file.getvalue()


def _read_csv(line: str, top: int) -> Mapping[str, Any]:
    return dict(zip(_columns(top), next(csv.reader([line], strict=True)), strict=True))


FORMS: dict[str, Form] = {
    ".jsonl": Form(head=lambda _: "", line=_json_line, read=_read_json),
    ".csv": Form(head=lambda top: _csv(_columns(top)), line=_csv_line, read=_read_csv),
}
"""By the ending of the file."""

OVER_TIME = (".srt", ".png", ".mp4")
"""Endings of files that hold answers over time alone."""


def form_of(path: Path) -> Form:
    """Return what a file of answers is written as; SettingsError for an ending that there is not."""
    if path.suffix not in FORMS:
        others = f"({', '.join(OVER_TIME)} with --every)"
        raise SettingsError(f"--out {path}: it must end in {' or '.join(FORMS)} {others}")
    return FORMS[path.suffix]


def run_key(predictor: Predictor, **options: object) -> str:
    """Return the half of a key that is the same for all videos: weights, protocol, frames, and other options."""
    trained = predictor.trained
    stated = {
        "weights": sha256(trained.path),
        "protocol": predictor.view.name,
        "segments": predictor.snippets.segments,
        "top": predictor.top,
        "frames": [predictor.stored.size, predictor.stored.quality, made_with()],
        "precision": predictor.precision,
        **options,
    }
    return _digest(json.dumps(stated, sort_keys=True))


def video_key(path: Path) -> str:
    """Return the half of a key that changes when a video is replaced: of its path, its size and its time of change."""
    try:
        status = path.stat()
        facts = (status.st_size, status.st_mtime_ns)
    except OSError:
        facts = (0, 0)
    return _digest(f"{path.absolute()} {facts}")


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:DIGITS]


@dataclass(kw_only=True)
class AnswerFile:
    """An open file of answers: `left` are the videos that it has no right answer for yet."""

    path: Path
    left: tuple[Source, ...]
    _form: Form
    _top: int
    _key: str
    _names: list[str]
    _keys: dict[str, str]
    _lines: dict[str, str]
    _others: list[str]
    _file: BinaryIO = field(repr=False)

    def add(self, result: Answer | Failure) -> None:
        """Write the answer of a video, or why it failed; it is in the file when this returns."""
        row = result.plain() if isinstance(result, Answer) else {"video": result.video, "failed": result.reason}
        name = printable(result.video)
        line = self._form.line(row | {"key": f"{self._key}-{self._keys[name]}"}, self._top)
        with writing(self.path, WAY_OUT):
            self._file.write(os.fsencode(line))
            self._file.flush()
        self._lines[name] = line

    def in_order(self) -> str:
        """Return what the file should hold at the end: other videos' lines, then these, as they were asked for."""
        there = [self._lines[name] for name in self._names if name in self._lines]
        return "".join([self._form.head(self._top), *self._others, *there])


@contextmanager
def answer_file(path: Path, sources: Sequence[Source], predictor: Predictor, **options: object) -> Iterator[AnswerFile]:
    """Open a file of answers to go on with, made if need be; nobody else writes to it meanwhile.

    SettingsError for another ending, a file that is no such one, or one that cannot be written.
    """
    form, top = form_of(path), min(predictor.top, len(predictor.classes))
    with alone(path, WAY_OUT):
        key, keys = run_key(predictor, **options), {printable(each.name): video_key(each.path) for each in sources}
        with writing(path, WAY_OUT):
            content = _content(path)
        lines, others = dict[str, str](), list[str]()
        for line, row in _rows(path, content, form, top):
            name = printable(row["video"])
            if name not in keys:
                others.append(line)
            elif row["key"] == f"{key}-{keys[name]}" and not row.get("failed"):
                lines[name] = line
        if lines:
            say(f"{path}: {counted(len(lines), 'answer')} of {len(keys)} there")
        kept = "".join([form.head(top), *others, *lines.values()])
        with writing(path, WAY_OUT):
            _replace(path, content, kept)
            file = path.open("ab")
        with file:
            opened = AnswerFile(
                path=path,
                left=tuple(source for source in sources if printable(source.name) not in lines),
                _form=form,
                _top=top,
                _key=key,
                _names=list(keys),
                _keys=keys,
                _lines=lines,
                _others=others,
                _file=file,
            )
            yield opened
        with writing(path, WAY_OUT):
            _replace(path, _content(path), opened.in_order())


def _content(path: Path) -> str:
    if not path.exists():
        return ""
    with open_regular(path) as file:
        return os.fsdecode(file.read())


def _replace(path: Path, before: str, now: str) -> None:
    """Write a file anew, if it is to hold something else, and all of it at once."""
    if now != before or not path.exists():
        with replacing(path) as temporary:
            temporary.write_bytes(os.fsencode(now))


def _rows(path: Path, content: str, form: Form, top: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the whole lines of a file with their rows; SettingsError where it is no file of such answers."""
    head, lines = form.head(top), content.split("\n")[:-1]
    if head and lines:
        if f"{lines[0]}\n" != head:
            raise SettingsError(f"{path} has other columns than these answers, as with another --top: {WAY_OUT}")
        lines = lines[1:]
    for number, line in enumerate(lines, start=2 if head else 1):
        try:
            yield f"{line}\n", form.read(line, top)
        except (ValueError, RecursionError, StopIteration, csv.Error):
            raise SettingsError(f"{path}: line {number} is no answer of tsn predict: {WAY_OUT}") from None
