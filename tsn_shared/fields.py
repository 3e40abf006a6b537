"""What a setting is: a dataclass field with its default, help and bounds, checked wherever its value is from.

`tsn.tsn_shared.settings` declares the settings of the commands with it, `tsn.tsn_shared.options` makes their options.
Imports nothing heavy: `tsn -h` reads this module.
"""

import math
from dataclasses import MISSING, Field, asdict, field, fields
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, TypedDict, Unpack, get_args, get_type_hints

from tsn.tsn_shared import schema
from tsn.tsn_shared.errors import SettingsError


class Rule(TypedDict, total=False):
    """What a setting may be (`low` <= value <= `high`, value > `above`), and how its option is written.

    It is one of the `choices`, or begins with `prefix` and goes on as may be checked elsewhere. A list has `length`
    values, where that is stated.
    """

    choices: tuple[str, ...]
    prefix: str
    length: int
    low: float
    above: float
    high: float
    flags: tuple[str, ...]
    metavar: str


def setting(default: Any, help: str, **rule: Unpack[Rule]) -> Any:  # noqa: A002 (click's own word for it)
    """Declare a field: its default, its help, and what values it takes."""
    absent: dict[str, object] = dict.fromkeys(Rule.__annotations__) | {"flags": ()}
    return field(default=default, metadata={"help": help} | absent | dict(rule))


def flag_of(name: str) -> str:
    """Return the command line's name of a field."""
    return "--" + name.replace("_", "-")


class Settings:
    """Base of the settings: checks every field against its type and what it declared, wherever its value is from."""

    def __post_init__(self) -> None:
        for entry in fields(self):  # type: ignore[arg-type]
            value = getattr(self, entry.name)
            if isinstance(value, str) and entry.name in _paths(type(self)):  # type: ignore[arg-type]
                value = Path(value)
                object.__setattr__(self, entry.name, value)
            try:
                _kinds(type(self))[entry.name](value, flag_of(entry.name))  # type: ignore[arg-type]
            except schema.WrongValueError as error:
                raise SettingsError(str(error)) from None
            _check(entry, value)

    def plain(self) -> dict[str, object]:
        """Return the settings as plain Python values, for JSON and checkpoints."""
        values = asdict(self)  # type: ignore[call-overload]
        return {name: _plain(value) for name, value in values.items()}


def from_plain(kind: type[Any], values: Any) -> Any:
    """Build settings of a kind from plain values by name, as `plain` returns them and a file may hold them.

    Unknown names are refused, absent ones take their defaults; SettingsError for values that cannot be.
    """
    hints = get_type_hints(kind)
    if not isinstance(values, dict):
        raise SettingsError(f"settings are {schema.shown(values)}: they must be values by name")
    unknown = [schema.word(name) for name in values if name not in hints]
    if unknown:
        raise SettingsError(f"unknown settings: {', '.join(sorted(unknown)[:4])}{' and more' * (len(unknown) > 4)}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def default_of(entry: Field[Any]) -> Any:
    """Return a field's default; None where it has none."""
    return None if entry.default is MISSING else entry.default


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _number(value: Any, where: str) -> None:
    """Check a number. Infinity and NaN pass here: the check of the bounds names them."""
    if isinstance(value, float) or schema.is_real(value):
        return
    raise schema.wrong(value, where, "a number")


def _path(value: Any, where: str) -> None:
    if not isinstance(value, Path):
        raise schema.wrong(value, where, "a path")
    schema.text(str(value), where)


MOST_IN_A_LIST = 1000

_KINDS: dict[Any, schema.Check] = {
    bool: schema.flag,
    int: schema.whole(),
    float: _number,
    str: schema.text,
    Path: _path,
    tuple[int, ...]: schema.each(schema.whole(), most=MOST_IN_A_LIST),
    tuple[float, ...]: schema.each(_number, most=MOST_IN_A_LIST),
    tuple[Path, ...]: schema.each(_path, most=MOST_IN_A_LIST),
}


@cache
def _kinds(kind: type[Any]) -> dict[str, schema.Check]:
    """Return the check of each field's type."""
    checks = {}
    for name, hint in get_type_hints(kind).items():
        types = get_args(hint) if NoneType in get_args(hint) else (hint,)
        (own,) = (one for one in types if one is not NoneType)
        check = _KINDS[own]
        checks[name] = schema.maybe(check) if NoneType in types else check
    return checks


@cache
def _paths(kind: type[Any]) -> frozenset[str]:
    """Return the names of the fields that are a path, or one or None: text will do for them."""
    hints = get_type_hints(kind).items()
    return frozenset(name for name, hint in hints if hint is Path or set(get_args(hint)) == {Path, NoneType})


def _check(entry: Field[Any], value: Any) -> None:
    flag, rule = flag_of(entry.name), entry.metadata
    if value is None or not rule:
        return
    choices, low, above, high = rule["choices"], rule["low"], rule["above"], rule["high"]
    prefix = rule["prefix"]
    if choices is not None and value not in choices and not (prefix and value.startswith(prefix)):
        other = f", or {prefix}NAME" if prefix else ""
        raise SettingsError(f"{flag} {schema.word(value)}: it must be one of {', '.join(choices)}{other}")
    if rule["length"] is not None and len(value) != rule["length"]:
        raise SettingsError(f"{flag} {','.join(map(str, value))}: it takes {rule['length']} numbers, {rule['metavar']}")
    for number in value if isinstance(value, tuple) else (value,):
        if low is not None and not number >= low:
            raise SettingsError(f"{flag} {number}: it must be at least {low}")
        if above is not None and not number > above:
            raise SettingsError(f"{flag} {number}: it must be more than {above}")
        if isinstance(number, float) and not math.isfinite(number):
            raise SettingsError(f"{flag} {number}: it must be a finite number")
        if high is not None and not number <= high:
            raise SettingsError(f"{flag} {number}: it must be at most {high}")
