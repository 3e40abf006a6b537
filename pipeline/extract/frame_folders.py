"""Folders of frames that are there already: the numbered pictures of one video each. Opens no picture."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tsn.pipeline.extract.ffmpeg_run import VideoError
from tsn.tsn_shared.console import counted

PICTURES = (".jpg", ".jpeg", ".png")
"""Endings, in any case, of pictures that can be frames."""

_NUMBERED = re.compile(r"(.*?)([0-9]+)\.(?:jpe?g|png)", re.IGNORECASE | re.DOTALL)
_FLOW = ("flow", "x_", "y_")
"""What the pictures of optical flow begin with, which lie beside the frames where other tools extracted both."""


@dataclass(frozen=True, kw_only=True)
class PictureSeries:
    """The names of a video's pictures in the order of their numbers, and a note on numbers that are missing."""

    names: tuple[str, ...]
    note: str


def is_numbered_picture(name: str) -> bool:
    """Say whether a file may be a frame by its name: `img_00001.jpg`, `000001.png`."""
    return _NUMBERED.fullmatch(name) is not None


def list_pictures(folder: Path) -> PictureSeries:
    """Return the pictures of a folder that is a video; VideoError where it is none."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise VideoError(f"it cannot be read: {error.strerror}") from None
    return order_pictures(names)


def order_pictures(names: Iterable[str]) -> PictureSeries:
    """Put the numbered pictures among some names in order; VideoError where they are not one series."""
    series: dict[str, dict[int, str]] = {}
    for name in sorted(names):
        if match := _NUMBERED.fullmatch(name):
            numbers, number = series.setdefault(match[1], {}), int(match[2])
            if number in numbers:
                raise VideoError(f"its pictures have the number {number} twice: {numbers[number]} and {name}")
            numbers[number] = name
    if not series:
        raise VideoError("a folder without numbered pictures")
    frames = {begin: numbers for begin, numbers in series.items() if not begin.lower().startswith(_FLOW)} or series
    if len(frames) > 1:
        first, second = (next(iter(numbers.values())) for numbers in list(frames.values())[:2])
        raise VideoError(f"its pictures are of {len(frames)} series, like {first} and {second}: keep one a folder")
    (numbers,) = frames.values()
    return PictureSeries(names=tuple(numbers[number] for number in sorted(numbers)), note=_gaps(sorted(numbers)))


def _gaps(numbers: list[int]) -> str:
    """Say which numbers are missing from a sorted list, '' where none is."""
    first, last = numbers[0], numbers[-1]
    notes = [f"its pictures begin with number {first}"] if first > 1 else []
    if missing := last - first + 1 - len(numbers):
        gap = next(number for number, there in zip(range(first, last), numbers, strict=False) if number != there)
        notes.append(f"{counted(missing, 'picture')} missing up to number {last}, the first: {gap}")
    return "; ".join(notes)
