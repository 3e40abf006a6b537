"""How many columns of a terminal text takes, and how it is shortened to fewer: letters are not all of one width."""

import unicodedata
from collections.abc import Sequence
from itertools import groupby

SENTENCE = 4
"""Words from which on a text is a sentence, and no name."""

_NO_WIDTH = frozenset({"Mn", "Me", "Cf"})
"""Categories of what is drawn on the letter before it, or not at all."""


def width(text: str) -> int:
    """Return the columns of a text: Chinese, Japanese and Korean letters take two, accents of their own none.

    By Unicode's East Asian Width (UAX 11), as terminals do it; the vowels of Korean that is written in parts (NFD) lie
    within the syllable, which is two wide.
    """
    return len(text) if text.isascii() else sum(map(_width_of, text))


def shortened(parts: Sequence[str], columns: int) -> str:
    """Return a text in at most so many columns: its begin and its end, with an ellipsis for what is left out between.

    Names that differ at one end, as paths and numbered classes do, still differ. A text is the sequence of its letters;
    other parts stay in one piece each.
    """
    if width("".join(parts)) <= columns:
        return "".join(parts)
    begin, end = 0, len(parts)
    taken, left = [0, 0], columns - 1
    while begin < end:
        at_end = taken[1] < taken[0]
        size = width(parts[end - 1 if at_end else begin])
        if size > left:
            break
        taken[at_end] += size
        left -= size
        begin, end = (begin, end - 1) if at_end else (begin + 1, end)
    return "".join([*parts[:begin], "…", *parts[end:]])


def folded(parts: Sequence[str], columns: int) -> list[str]:
    """Return a text as lines of at most so many columns: a sentence is broken between its words, a name shortened."""
    words = [list(word) for is_space, word in groupby(parts, key=str.isspace) if not is_space]
    if len(words) < SENTENCE or width("".join(parts)) <= columns:
        return [shortened(parts, columns)]
    lines = [shortened(words[0], columns)]
    for word in words[1:]:
        longer = f"{lines[-1]} {''.join(word)}"
        if width(longer) <= columns:
            lines[-1] = longer
        else:
            lines.append(shortened(word, columns))
    return lines


def _width_of(letter: str) -> int:
    if unicodedata.category(letter) in _NO_WIDTH or "\u1160" <= letter <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
