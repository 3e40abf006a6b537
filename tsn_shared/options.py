"""Options of commands, made from the dataclasses of `tsn_shared.settings`; and settings read from files.

So options and their defaults stand in one place, and a setting cannot be offered and not exist.
"""

import json
import tomllib
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from tsn_shared.errors import SettingsError
from tsn_shared.settings import MODEL_ALIASES, Settings, default_of, flag_of

FOLDER = click.Path(path_type=Path)


class CommaSeparated(click.ParamType[tuple[Any, ...]]):
    """Values of one kind with commas between them, read to a tuple."""

    def __init__(self, kind: Callable[[str], Any], *, like: str) -> None:
        self._kind, self.name = kind, like

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """Parse "30,60" to (30, 60)."""
        if isinstance(value, (tuple, list)):
            value = ",".join(map(str, value))
        try:
            return tuple(self._kind(part) for part in str(value).split(",") if part.strip())
        except ValueError:
            self.fail(f"{value!r} is not a list like {self.name}", param, ctx)


class Choice(click.Choice[str]):
    """A choice that also understands other names of its values."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value itself for one of its other names."""
        return super().convert(MODEL_ALIASES.get(value, value), param, ctx)


def settings_options(kind: type[Settings], *, leave: frozenset[str] = frozenset()) -> Callable[[Any], Any]:
    """Give a command an option for every field of the settings."""
    hints = get_type_hints(kind)

    def decorate(command: Any) -> Any:
        for entry in reversed(fields(kind)):  # type: ignore[arg-type]
            if entry.name not in leave:
                command = _option(entry, hints[entry.name])(command)
        return command

    return decorate


def _option(entry: Field[Any], hint: Any) -> Callable[[Any], Any]:
    rule, default = entry.metadata, default_of(entry)
    types = [part for part in get_args(hint) if part is not type(None)] if default is None else [hint]
    flag, kind = flag_of(entry.name), (types or [hint])[0]
    extra: dict[str, Any] = {"default": default, "help": rule["help"], "metavar": rule["metavar"]}
    if kind is bool:
        extra.pop("metavar")
        if default is False:
            return click.option(entry.name, flag, **extra, is_flag=True)
        off = rule["flags"][0] if rule["flags"] else f"--no-{flag[2:]}"
        return click.option(entry.name, f"{flag}/{off}", **extra, show_default=default is True)
    if rule["choices"]:
        extra["type"] = Choice(rule["choices"])
    elif get_origin(kind) is tuple:
        extra["type"] = CommaSeparated(int, like="30,60")
        extra["default"] = ",".join(str(number) for number in default or ())
    else:
        extra["type"] = FOLDER if kind is Path else kind
    return click.option(entry.name, flag, *rule["flags"], **extra, show_default=default is not None)


def stated(context: click.Context) -> frozenset[str]:
    """Return the names of the parameters that the user stated, by flag, environment or file."""
    sources = {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP}
    return frozenset(name for name in context.params if context.get_parameter_source(name) in sources)


def read_config_file(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Take defaults from a TOML file, or from a run's config.json: flags and environment go before it."""
    if path is None:
        return
    try:
        text = path.read_text(encoding="utf-8")
        values = _settings_of_run(json.loads(text)) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise SettingsError(f"--config {path} cannot be read as {kind}: {error}") from None
    known = {option.name for option in context.command.params} - {parameter.name}
    named = {key.replace("-", "_"): value for key, value in values.items()}
    unknown = sorted(set(named) - known)
    if unknown:
        raise SettingsError(f"--config {path}: no such settings: {', '.join(unknown)}")
    for option in context.command.params:
        value = named.get(option.name or "")
        if (isinstance(value, bool) and not getattr(option, "is_flag", False)) or (
            isinstance(value, float) and option.type is click.INT
        ):
            raise SettingsError(f"--config {path}: {option.name} = {value}: it takes {option.type.name} values")
    context.default_map = {**(context.default_map or {}), **named}


def _settings_of_run(config: Any) -> dict[str, Any]:
    """Return what a run's config.json states, less which run it was."""
    try:
        settings = config["settings"].items()
    except (TypeError, KeyError, AttributeError):
        raise ValueError("it is not the config.json of a run") from None
    return {name: value for name, value in settings if value is not None and name not in ("run", "resume")}
