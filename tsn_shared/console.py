"""How tsn speaks to a person: words, tables, progress that fits. Results are what a command prints to standard output.

Words go to the logger `tsn`. A command prints them to standard error (`speaking`). A program that calls tsn as a
library hears nothing, unless it listens to that logger; `logging.basicConfig(level=logging.INFO)` is enough.

On a terminal progress is a bar; elsewhere (a log file, CI) it is a line now and then. Both give rates and the end time.
"""

import json
import logging
import math
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import zip_longest
from shutil import get_terminal_size
from threading import Lock
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from tsn.tsn_shared.letters import folded, width

LINE_EVERY = 15.0
"""Seconds between two lines of progress where there is no terminal."""


FAR = 300 * 86_400.0
"""Seconds from which on a day needs its year."""

BAR = "{desc}: {percentage:3.0f}%|{bar:6}| {n_fmt}/{total_fmt}{postfix}"
"""Room for rates and end in 80 columns."""

NARROWEST = 6
"""Columns of a terminal that are left of the longest words in a table."""

_CELL = re.compile(r"\\\||.")  # letters, and a bar that is escaped, which stays in one piece
_NUMBER = re.compile(r"[-+]?\d[\d,.]*( ?[%\w/]{1,9})?|-?")  # with its unit, or none


LOG = logging.getLogger("tsn")
LOG.addHandler(logging.NullHandler())  # else Python prints warnings for a program that does not listen


class _Terminal(logging.Handler):
    """Prints words to standard error as it is at that moment, past a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line."""
        tqdm.write(record.getMessage(), file=sys.stderr)


@contextmanager
def speaking() -> Iterator[None]:
    """Print words and progress to standard error while this lasts, as commands do."""
    if is_speaking():
        yield
        return
    handler, before = _Terminal(), (LOG.level, LOG.propagate)
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False  # a library that gives the root logger a handler would print every line a second time
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(before[0])
        LOG.propagate = before[1]


def is_speaking() -> bool:
    """Return whether words are printed to standard error."""
    return any(isinstance(handler, _Terminal) for handler in LOG.handlers)


def say(text: str) -> None:
    """Say one line of words; what names in it would do to a terminal is shown, so the caller puts them in as they are.

    It is logged as information, or as a warning where it begins with "warning:".
    """
    LOG.log(logging.WARNING if text.startswith("warning:") else logging.INFO, "%s", printable(text))


def printable(name: str) -> str:
    """Return text as one line that any terminal shows: line ends, controls and bytes that are not UTF-8 are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def some(names: Sequence[str], *, shown: int = 3) -> str:
    """Return the first names of many, and how many more there are."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def moment(seconds: float, *, now: datetime | None = None) -> str:
    """Return when something in so many seconds will be, as much of it as a person needs.

    14:03:20 within the hour, else the day too, and the year of what is far away; "never" where no calendar goes.
    """
    now = now or datetime.now()
    if not seconds < (datetime.max - now).total_seconds():
        return "never"
    at = now + timedelta(seconds=seconds)
    if seconds < 3600:
        return f"{at:%H:%M:%S}"
    if at.date() == now.date():
        return f"{at:%H:%M}"
    return f"{at:%a %d %b %H:%M}" if seconds < FAR else f"{at:%d %b} {at.year}"


def counted(count: int, word: str, plural: str = "") -> str:
    """Return "1 video", "3 videos"; `plural` is that of a word that does not end in s then."""
    return f"{count:,} {word if count == 1 else plural or word + 's'}"


def line_columns() -> int:
    """Return the columns of a line on a terminal, 80 where it has fewer or there is none."""
    return max(80, get_terminal_size().columns)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, columns: int | None = None) -> str:
    """Return a table in Markdown that reads well as it is; columns of numbers are set to the right.

    It fits a line of so many `columns`, by default 80 or those of a wider terminal: sentences go on in the next line,
    long names are shortened in their middle, numbers never.
    """
    cells = [[_CELL.findall(printable(str(cell)).replace("|", "\\|")) for cell in row] for row in (headers, *rows)]
    by_column = [["".join(cell) for cell in column] for column in zip(*cells, strict=True)]
    right = [any(column[1:]) and all(map(_NUMBER.fullmatch, column[1:])) for column in by_column]
    room = columns or line_columns()
    most = _widest(by_column, right, room - 3 * len(headers) - 1)
    lines: list[Sequence[str]] = [
        line
        for row in cells
        for line in zip_longest(*(folded(cell, limit) for cell, limit in zip(row, most, strict=True)), fillvalue="")
    ]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * (most - to_right) + ":" * to_right for most, to_right in zip(widths, right, strict=True)])

    def line(row: Sequence[str]) -> str:
        fields = [
            " " * (most - width(cell)) * to_right + cell + " " * (most - width(cell)) * (not to_right)
            for cell, most, to_right in zip(row, widths, right, strict=True)
        ]
        return f"| {' | '.join(fields)} |"

    return "\n".join(map(line, lines))


def _widest(columns: Sequence[Sequence[str]], numbers: Sequence[bool], room: int) -> list[int]:
    """Return how wide each column of a table may be, so that all take so much room: the widest words give way."""
    whole = [max(map(width, column)) for column in columns]
    for limit in range(max(min(max(whole), room), NARROWEST), NARROWEST - 1, -1):
        widths = [one if number else min(one, limit) for one, number in zip(whole, numbers, strict=True)]
        if sum(widths) <= room:
            return widths
    return [one if number else min(one, NARROWEST) for one, number in zip(whole, numbers, strict=True)]


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return a result as JSON, in which there are no NaN and no infinities: null stands for them.

    Letters of all scripts are as they are; what no terminal shows, controls and bytes that are not UTF-8, is escaped.
    """
    text = json.dumps(_without_nan(value), indent=indent, allow_nan=False, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value


class Progress:
    """Progress of `total` items; further counters are shown with their rate (`advance(1, frames=187)`), and a `note`.

    Without `visible` nothing is shown: of many ranks one speaks. A bar is for commands (`speaking`) alone.
    """

    def __init__(self, title: str, *, total: int, unit: str, visible: bool = True) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._visible = visible
        self._done, self._counters = 0, dict[str, int]()
        self.note = ""
        self._lock = Lock()
        self._start = self._spoken = time.monotonic()
        self._bar: tqdm[Any] | None = None
        if visible and is_speaking() and sys.stderr.isatty():
            width, height = get_terminal_size()  # 80 x 24 where a terminal does not know
            self._bar = tqdm(total=total, desc=title, file=sys.stderr, bar_format=BAR, ncols=width, nrows=height)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, items: int = 1, **counters: int) -> None:
        """Count items as done, and add to the further counters; from any thread."""
        with self._lock:
            self._advance(items, counters)

    def _advance(self, items: int, counters: dict[str, int]) -> None:
        self._done += items
        for name, count in counters.items():
            self._counters[name] = self._counters.get(name, 0) + count
        if self._bar is not None:
            self._bar.set_postfix_str(self._rates_and_end(), refresh=False)
            self._bar.update(items)
        elif self._visible and time.monotonic() - self._spoken >= LINE_EVERY:
            self._spoken = time.monotonic()
            say(self._line())

    def _rates(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-9)
        rates = [f"{_rate(count / seconds)} {name}/s" for name, count in self._counters.items()]
        return ", ".join(filter(None, [self.note, *rates]))

    def _rates_and_end(self) -> str:
        left = (time.monotonic() - self._start) / max(self._done, 1) * (self._total - self._done)
        end = f"ends {moment(left)}" if self._done else ""
        return ", ".join(filter(None, [self._rates(), end]))

    def _line(self) -> str:
        return f"{self._title}: {self._done}/{self._total} {self._unit}s, {self._rates_and_end()}"


def _rate(value: float) -> str:
    """Return a rate with two digits at least, however slow it is."""
    return f"{value:,.{0 if value >= 10 else 1}f}" if value >= 1 else f"{value:.2g}"
