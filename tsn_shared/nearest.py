"""What a name with a slip was probably meant to be: the nearest of the names that there are."""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

LONGEST = 100
"""Letters of a name that are compared."""

ALIKE = 0.75
"""How like a name of a folder must be, from 0 to 1: best.pt is not meant by last.pt."""

MOST = 10_000
"""Names of a folder that are looked at."""


def nearest(name: str, names: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the names that are like one, the nearest first; `cutoff` is how alike, from 0 to 1."""
    return get_close_matches(name[:LONGEST], list(names), n=most, cutoff=cutoff)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question about the nearest name, in brackets; empty where none is near."""
    near = nearest(name, names)
    return f" (did you mean {near[0]}?)" if near else ""


def absent(path: Path) -> str:
    """Say that a path does not exist, and which one was probably meant."""
    near = _near(path)
    return f"{path} does not exist" + (f" (did you mean {near}?)" if near is not None else "")


def _near(path: Path) -> Path | None:
    """Return the path with the first part that is not there replaced by the nearest one, if that exists."""
    missing = [part for part in (path, *path.parents) if not os.path.lexists(part)][-1:]
    if not missing:
        return None
    try:
        with os.scandir(missing[0].parent) as entries:
            near = nearest(missing[0].name, (entry.name for entry in islice(entries, MOST)), cutoff=ALIKE)
    except OSError:
        return None
    meant = [missing[0].parent / name / path.relative_to(missing[0]) for name in near]
    return next((other for other in meant if other.exists()), None)
