"""What a value from outside may be: small checks that are put together, and one line that says what is wrong.

A check takes a value and the words for where it stands ("settings.lr"), and raises WrongValueError. It never trusts
what it is given: a value may be of any type and size and nested to any depth, and is not copied, walked or printed
whole.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping
from reprlib import Repr
from typing import Any

Check = Callable[[Any, str], None]

LONGEST = 4096
"""Characters of text, at most: as long as a path may be."""

MOST = 2**62
"""Of a whole number: it fits torch's and NumPy's."""


class WrongValueError(ValueError):
    """A value is not what it must be; the message says where it stands, the value, and what it must be."""


def whole(low: int = -MOST, high: int = MOST) -> Check:
    """Check a whole number within bounds; True and 1.0 are none."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise wrong(value, where, f"a whole number{_bounds(low, high, MOST)}")

    return check


def real(low: float = -math.inf, high: float = math.inf) -> Check:
    """Check a finite number within bounds, whole or not."""

    def check(value: Any, where: str) -> None:
        if not is_real(value) or not low <= value <= high:
            raise wrong(value, where, f"a finite number{_bounds(low, high, math.inf)}")

    return check


def is_real(value: Any) -> bool:
    """Whether a value is a number that a float can hold: not True, not infinite, not NaN."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return -sys.float_info.max <= value <= sys.float_info.max


def text(value: Any, where: str) -> None:
    """Check text that can be a name or a path."""
    if not isinstance(value, str) or len(value) > LONGEST or "\0" in value:
        raise wrong(value, where, f"text of at most {LONGEST} characters")


def flag(value: Any, where: str) -> None:
    """Check True or False."""
    if not isinstance(value, bool):
        raise wrong(value, where, "true or false")


def maybe(check: Check) -> Check:
    """Check a value that may be absent (None)."""

    def check_there(value: Any, where: str) -> None:
        if value is not None:
            check(value, where)

    return check_there


def each(check: Check, *, most: int) -> Check:
    """Check a list, or a tuple, of at most so many values of one kind."""

    def check_all(value: Any, where: str) -> None:
        if not isinstance(value, list | tuple) or len(value) > most:
            raise wrong(value, where, f"a list of at most {most:,}")
        for index, item in enumerate(value):
            check(item, f"{where}[{index}]")

    return check_all


def record(needed: Mapping[str, Check], optional: Mapping[str, Check] | None = None, *, closed: bool = False) -> Check:
    """Check values by name: those that must be there, those that may; `closed` refuses any other."""
    may = dict(optional or {})

    def check(value: Any, where: str) -> None:
        prefix = f"{where}." if where else ""
        if not isinstance(value, dict):
            raise wrong(value, where, "values by name")
        for name in needed:
            if name not in value:
                raise WrongValueError(f"{prefix}{name} is missing")
        if closed and (others := [name for name in value if name not in needed and name not in may]):
            raise WrongValueError(f"{prefix}{word(others[0])} is unknown")
        for name, item in {**may, **needed}.items():
            if name in value:
                item(value[name], f"{prefix}{name}")

    return check


def read_json(content: str | bytes) -> Any:
    """Parse JSON; ValueError also where it is nested too deep, or holds NaN or Infinity, which are no JSON."""

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no JSON")

    try:
        return json.loads(content, parse_constant=refuse)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def wrong(value: Any, where: str, must_be: str) -> WrongValueError:
    """Return the error for a value."""
    return WrongValueError(f"{where or 'it'} is {shown(value)}: it must be {must_be}")


def shown(value: Any) -> str:
    """Return a value in a few words on one line, whatever it is."""
    if isinstance(value, int) and not -MOST <= value <= MOST:
        return "a number of too many digits"
    if isinstance(value, str | bytes | int | float | list | tuple | dict | None):
        return _SHORT.repr(value)
    return f"of type {type(value).__name__}"


def word(value: Any) -> str:
    """Return a value as `shown` does, but a short printable text as it is."""
    plain = isinstance(value, str) and len(value) <= _SHORT.maxstring and value.isprintable()
    return str(value) if plain else shown(value)


class _Short(Repr):
    def repr_int(self, x: int, level: int) -> str:
        return shown(x) if not -MOST <= x <= MOST else repr(x)

    def repr_instance(self, x: Any, level: int) -> str:
        return repr(x) if isinstance(x, bool | float | None) else f"<{type(x).__name__}>"


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 2


def _bounds(low: float, high: float, none: float) -> str:
    from_low = f" from {low}" if low > -none else ""
    return from_low + (f"{' up' if low <= -none else ''} to {high}" if high < none else "")
