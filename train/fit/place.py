"""Where a run is, and whether it begins or goes on: decided once, by the first rank or before any starts.

It loads no torch, so that a mistake is reported soon.
"""

import errno
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from tsn.train.data import split_facts
from tsn.train.fit.folder import FREE_ON_RESUME, read_config
from tsn.train.network.completion import completed
from tsn.tsn_shared import environment
from tsn.tsn_shared.console import printable
from tsn.tsn_shared.errors import SettingsError
from tsn.tsn_shared.fields import flag_of, from_plain
from tsn.tsn_shared.files import writing
from tsn.tsn_shared.settings import TrainSettings
from tsn.tsn_shared.splits import open_split

RUNS = Path("runs")
"""Where runs are that are given no folder."""


@dataclass(frozen=True, kw_only=True)
class RunPlace:
    """A run's settings, its folder, and whether there is a run in it to go on with (`resume`).

    A `dry` one ends with its first step, and has no folder made for it. `first` is whether runs/, in which the folder
    is, was made with it.
    """

    settings: TrainSettings
    folder: Path
    resume: bool
    dry: bool = False
    first: bool = False


def place_run(settings: TrainSettings, given: frozenset[str], *, dry: bool = False) -> RunPlace:
    """Return where the settings put a run; `given` are the settings that the user stated.

    A run that goes on keeps its own settings; SettingsError for one that the user states otherwise, with the
    difference, and for a folder that cannot be a run's or holds another.
    """
    folder, first = settings.run, False
    if settings.resume not in (None, "auto"):
        folder = Path(str(settings.resume))
        if settings.run not in (None, folder):
            raise SettingsError(f"--resume {folder}: a run goes on in its own folder: leave out --run {settings.run}")
        read_config(folder)
    if folder is None:
        first = not (dry or RUNS.exists())
        folder = _new_folder(settings, make=not dry)
    settings = replace(settings, run=folder)
    if not _holds_a_run(folder):
        return RunPlace(settings=settings, folder=folder, resume=False, dry=dry, first=first)
    if settings.resume is None and not environment.restarts():
        raise SettingsError(
            f"{folder} holds a run: go on with --resume {folder} (--run {folder} --resume auto begins or goes on), "
            "or set another --run"
        )
    return RunPlace(settings=_resumed(settings, folder, given), folder=folder, resume=True, dry=dry)


def explained(
    settings: TrainSettings, given: frozenset[str], origins: Mapping[str, str]
) -> tuple[TrainSettings, Mapping[str, str]]:
    """Return the settings that a training would have, and where each is from.

    Those of a run that goes on are from it; what is left to the network, and is not as for most, is that network's own.
    """
    if settings.resume is not None:
        place = place_run(settings, given, dry=True)
        if place.resume:
            return place.settings, {name: origins[name] if name in given else f"run {place.folder}" for name in origins}
        settings = place.settings
    whole, usual = completed(settings), completed(TrainSettings()).plain()
    own = {name for name, value in whole.plain().items() if value not in (settings.plain()[name], usual[name])}
    return whole, {name: f"{settings.model}'s own" if name in own else origin for name, origin in origins.items()}


def completed_place(place: RunPlace) -> RunPlace:
    """Return the place of a run with all its settings stated; a run that goes on keeps those that it has recorded.

    After the data are known to be in order: it may load timm, and torch with it.
    """
    return place if place.resume else replace(place, settings=completed(place.settings))


def _holds_a_run(folder: Path) -> bool:
    """Whether a run has begun in a folder; SettingsError where none could."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise SettingsError(f"--run {printable(str(folder))}: the name must be text in UTF-8: set another") from None
    with writing(folder, "set another --run"):
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return (folder / "config.json").exists()


def _new_folder(settings: TrainSettings, *, make: bool) -> Path:
    """Make runs/<time> and return it, where nothing needs to find the run again by its name."""
    if settings.resume == "auto":
        raise SettingsError("--resume auto: name the run with --run DIR")
    if settings.nnodes > 1:
        raise SettingsError(f"--nnodes {settings.nnodes} needs --run DIR, a folder that all machines share")
    if environment.may_restart():
        raise SettingsError("torchrun --max-restarts needs --run DIR, so that a restart finds its checkpoints")
    name = time.strftime("%Y%m%d-%H%M%S")
    for number in count(1):
        folder = RUNS / (name if number == 1 else f"{name}-{number}")
        if not make:
            break
        with writing(folder, "set --run"), suppress(FileExistsError):  # of a training that began in the same second
            folder.mkdir(parents=True)
            break
    return folder


def _resumed(settings: TrainSettings, folder: Path, given: frozenset[str]) -> TrainSettings:
    """Return the settings of the run in a folder, with those that the user states and that may change."""
    config = read_config(folder)
    stored, stated = config.settings.plain(), {n: value for n, value in settings.plain().items() if n in given}
    changed = {
        name: (stored[name], value)
        for name, value in stated.items()
        if name not in FREE_ON_RESUME and stored[name] != value
    }
    if changed:
        words = ", ".join(f"{flag_of(name)} was {was}, is {now}" for name, (was, now) in sorted(changed.items()))
        raise SettingsError(f"{folder} was made with other settings: {words}; leave them out, or set another --run")
    resumed: TrainSettings = from_plain(TrainSettings, stored | stated | {"run": str(folder)})
    was, now = config.split.plain(), split_facts(open_split(resumed)).plain()
    if was["sha256"] != now["sha256"]:
        words = ", ".join(f"{name} was {was[name]}, is {now[name]}" for name in now if was[name] != now[name])
        raise SettingsError(f"{folder} was trained on another split: {words}; name its own, or set another --run")
    return resumed
