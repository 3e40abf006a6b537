"""The text of list files, read without trust: in any encoding that people save lists in, line by line, bounded."""

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tsn.tsn_shared.errors import DataError
from tsn.tsn_shared.files import open_regular, read_bounded

LONGEST_LINE = 65_536
"""Characters of a line: whatever a file claims to be, little more than this is read before a line is seen."""

MOST_WHOLE = 128 << 20
"""Bytes of a file that is read whole, as JSON is; the largest lists in use have 30 MB."""

MOST_SHOWN = 200
"""Characters of a line that is shown."""

BLOCK = 1 << 18
"""Bytes that are read at once."""


def text_lines(path: Path) -> Iterator[str]:
    """Yield every line of a list without its end, whatever the ends are; names keep bytes that are not UTF-8.

    UTF-8 and UTF-16, with and without a byte order mark. DataError, after little was read, for what is no
    text; and for a file that cannot be read or is a FIFO or a device.
    """
    number = 0
    try:
        with open_regular(path) as file:
            block, rest = file.read(BLOCK), ""
            decoder = _decoder(block)
            while True:
                text = rest + decoder.decode(block, final=not block)
                if "\0" in text:
                    before = number + text[: text.index("\0")].count("\n")
                    raise _no_text(path, before + 1)
                lines = text.split("\n")
                rest = lines.pop() if block else ""
                if max(map(len, lines), default=0) > LONGEST_LINE or len(rest) > LONGEST_LINE:
                    long = next((row for row, line in enumerate(lines) if len(line) > LONGEST_LINE), len(lines))
                    raise _no_text(path, number + long + 1)
                yield from lines
                number += len(lines)
                if not block:
                    return
                block = file.read(BLOCK)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number, from 1, and text of each line that is not blank, without the white space around it."""
    for number, line in enumerate(text_lines(path), start=1):
        if line and (stripped := line.strip()):
            yield number, stripped


def line_with(text: str, files: Iterable[Path]) -> str:
    """Say where a text stands first in files, and show its line; the text itself where it is written otherwise."""
    whole = re.compile(rf"(?:^|[\s,;\"/]){re.escape(text)}(?=[\s,;\"]|$)")
    lines = ((file, number, line) for file in files for number, line in numbered_lines(file) if whole.search(line))
    file, number, line = next(lines, (None, 0, ""))
    return f"{file}, line {number}: {line[:MOST_SHOWN]!r}" if file else repr(text)


def whole_text(path: Path) -> str:
    """Return all of a file that has to be read whole; DataError as `text_lines`, or where it is too long."""
    try:
        content = read_bounded(path, MOST_WHOLE)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return _decoder(content).decode(content, final=True)


def _decoder(first: bytes) -> io.IncrementalNewlineDecoder:
    """Return the decoder of a file that begins with these bytes; it turns all line ends into one."""
    if utf16 := _utf16(first):
        return io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(utf16)("replace"), translate=True)
    # names that are not UTF-8 keep their bytes, as file names do
    return io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")("surrogateescape"), translate=True)


def _utf16(first: bytes) -> str | None:
    """Return which UTF-16 it is, by its mark or by the zero bytes in every second place that most letters have."""
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    first = first[:BLOCK]
    even, odd = first[::2].count(0), first[1::2].count(0)
    if max(even, odd) > max(len(first) // 4, 4 * min(even, odd)):
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def _no_text(path: Path, line: int) -> DataError:
    return DataError(
        f"{path}, line {line} is no text: it holds a zero byte or over {LONGEST_LINE:,} characters; "
        "where it is text in an encoding of its own, save it as UTF-8"
    )
