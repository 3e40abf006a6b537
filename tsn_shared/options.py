"""Options of commands, made from the dataclasses of `tsn.tsn_shared.settings`; and settings read from files.

Options and their defaults stand in one place, so no option can be offered that is not a setting.
"""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from tsn.tsn_shared import schema
from tsn.tsn_shared.errors import SettingsError, brief
from tsn.tsn_shared.fields import MOST_IN_A_LIST, Settings, default_of, flag_of
from tsn.tsn_shared.files import found_from, read_bounded
from tsn.tsn_shared.nearest import did_you_mean, nearest
from tsn.tsn_shared.recipe_files import find_config, recipe_names
from tsn.tsn_shared.settings import MODEL_ALIASES

MOST_BYTES = 2**26
"""Of a file of settings; a run's config.json holds the names of its classes as well."""

FOLDER = click.Path(path_type=Path)


class CommaSeparated(click.ParamType[tuple[Any, ...]]):
    """Values of one kind with commas between them, read to a tuple."""

    def __init__(self, kind: Callable[[str], Any], *, like: str) -> None:
        self._kind, self.name = kind, like

    def takes(self, item: Any) -> bool:
        """Return whether an item of a list in a file is one of these values."""
        return isinstance(item, int) or (self._kind is float and isinstance(item, float))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """Parse "30,60" to (30, 60)."""
        if isinstance(value, (tuple, list)):
            value = ",".join(map(str, value))
        try:
            return tuple(self._kind(part) for part in str(value).split(",") if part.strip())
        except ValueError:
            self.fail(f"{value!r} is not a list like {self.name}", param, ctx)


class Choice(click.Choice[str]):
    """A choice that also understands other names of its values, and takes any text that begins with `prefix`."""

    def __init__(self, choices: Sequence[str], prefix: str | None = None) -> None:
        super().__init__(choices)
        self._prefix = prefix

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value itself for one of its other names."""
        if self._prefix and isinstance(value, str) and value.startswith(self._prefix):
            return value
        value = MODEL_ALIASES.get(value, value)
        if self._prefix and value not in self.choices:
            self.fail(self._unknown(str(value), self._prefix), param, ctx)
        return super().convert(value, param, ctx)

    def _unknown(self, value: str, prefix: str) -> str:
        """Say what there is, and what was probably meant: nothing is loaded to find out whether it is there."""
        shown = schema.word(value)
        near = nearest(value, self.choices)
        meant = " or ".join([*near, *([] if "/" in value or shown != value else [f"{prefix}{shown}"])])
        words = f": did you mean {meant}?" if meant else ""
        return f"{shown} is not one of {', '.join(self.choices)}, and does not begin with {prefix}{words}"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """Return the choices as help shows them."""
        shown = super().get_metavar(param, ctx)
        return f"{shown[:-1]}|{self._prefix}NAME]" if self._prefix and shown else shown


class SettingOption(click.Option):
    """An option that is a setting: a file of settings may state it."""


def config_options(command: Any) -> Any:
    """Give a command `--config`, which reads settings from a file or a recipe, and `--print-config`."""
    command = click.option(
        "--print-config", is_flag=True, help="Print the settings as a file for --config, with where each is from; end."
    )(command)
    return click.option(
        "--config",
        type=FOLDER,
        is_eager=True,
        expose_value=False,
        callback=read_config_file,
        metavar="FILE|RECIPE",
        help="Take settings from a TOML file, a run's config.json, or one of the recipes "
        f"{', '.join(recipe_names())}; flags and environment variables go before it.",
    )(command)


def settings_options(kind: type[Settings], *, only: frozenset[str] | None = None) -> Callable[[Any], Any]:
    """Give a command an option for every field of the settings, or only for some."""
    hints = get_type_hints(kind)

    def decorate(command: Any) -> Any:
        for entry in reversed(fields(kind)):  # type: ignore[arg-type]
            if only is None or entry.name in only:
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
            return click.option(entry.name, flag, **extra, cls=SettingOption, is_flag=True)
        off = rule["flags"][0] if rule["flags"] else f"--no-{flag[2:]}"
        return click.option(entry.name, f"{flag}/{off}", **extra, cls=SettingOption, show_default=default is True)
    if rule["choices"]:
        extra["type"] = Choice(rule["choices"], rule["prefix"])
    elif get_origin(kind) is tuple and Path in get_args(kind):
        return click.option(entry.name, flag, **extra, cls=SettingOption, type=FOLDER, multiple=True)
    elif get_origin(kind) is tuple:
        number = get_args(kind)[0]
        extra["type"] = CommaSeparated(number, like="30,60" if number is int else "0.5,0.5,0.5")
        extra["default"] = default and ",".join(map(str, default))
    else:
        extra["type"] = FOLDER if kind is Path else kind
    flags = (flag, *rule["flags"])
    return click.option(entry.name, *flags, **extra, cls=SettingOption, show_default=default is not None)


def stated(context: click.Context) -> frozenset[str]:
    """Return the names of the parameters that the user stated, by flag, environment or file."""
    sources = {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP}
    return frozenset(name for name in context.params if context.get_parameter_source(name) in sources)


def origins(context: click.Context) -> dict[str, str]:
    """Return where the value of each setting came from, in words."""
    words = {
        ParameterSource.COMMANDLINE: "command line",
        ParameterSource.DEFAULT_MAP: context.meta.get(_CONFIG, "file"),
    }
    found = {}
    for name in (str(option.name) for option in context.command.params if isinstance(option, SettingOption)):
        source = context.get_parameter_source(name)
        if source is ParameterSource.ENVIRONMENT:
            found[name] = f"environment variable {context.auto_envvar_prefix}_{name.upper()}"
        else:
            found[name] = words.get(source, "default") if source is not None else "default"
    return found


_CONFIG = "tsn.config"
"""Where a context keeps the words for what `--config` named."""


def read_config_file(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Take defaults from a TOML file, a recipe or a run's config.json: flags and environment go before it."""
    if path is None:
        return
    path, context.meta[_CONFIG] = find_config(path)
    try:
        content = read_bounded(path, MOST_BYTES).decode("utf-8")
        values = _settings_of_run(schema.read_json(content)) if path.suffix == ".json" else tomllib.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        reason = getattr(error, "strerror", None) or brief(error)
        raise SettingsError(f"--config {path} cannot be read as {kind}: {reason}") from None
    options = {option.name: option for option in context.command.params if isinstance(option, SettingOption)}
    named = {key.replace("-", "_"): value for key, value in values.items()}
    if unknown := sorted(set(named) - set(options))[:4]:
        words = ", ".join(schema.word(name) + did_you_mean(name, options) for name in unknown)
        raise SettingsError(f"--config {path}: no such settings: {words}")
    for name, value in named.items():
        if not _fits(value, options[name].type):
            kind = options[name].type.name
            raise SettingsError(f"--config {path}: {name} = {schema.shown(value)}: it takes {kind} values")
    context.default_map = {**(context.default_map or {}), **named}


def _fits(value: Any, kind: click.ParamType[Any]) -> bool:
    """Return whether a value of a file is of an option's type; a number will do for text, as 2 for --gpus."""
    switch = isinstance(kind, type(click.BOOL))
    if isinstance(value, bool) or switch:
        return isinstance(value, bool) and switch
    if isinstance(kind, type(click.INT)):
        return isinstance(value, int)
    if isinstance(kind, type(click.FLOAT)):
        return isinstance(value, float) or schema.is_real(value)
    if isinstance(kind, CommaSeparated) and isinstance(value, list):
        return len(value) <= MOST_IN_A_LIST and all(kind.takes(item) for item in value)
    return isinstance(value, str) or (isinstance(kind, type(click.STRING)) and isinstance(value, int))


def _settings_of_run(config: Any) -> dict[str, object]:
    """Return what a run's config.json states, without which run it was, and with its data where they are."""
    settings = config.get("settings") if isinstance(config, dict) else None
    if not isinstance(settings, dict):
        raise ValueError("it is not the config.json of a run")
    kept = {name: value for name, value in settings.items() if value is not None and name not in ("run", "resume")}
    base = config.get("base")
    for name in ("frames", "splits"):
        if isinstance(base, str) and isinstance(kept.get(name), str):
            kept[name] = str(found_from(Path(kept[name]), base))
    return kept
