"""From the command to the ranks: which devices, which run folder, how many processes, and what a failure says."""

import time
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import tsn.train.loaders as data
from tsn.pipeline.loading.reader import check_shards
from tsn.pipeline.loading.schedule import check_batch
from tsn.train.fit.checkpoint import LAST
from tsn.train.fit.folder import FREE_ON_RESUME, read_config
from tsn.train.fit.run import run_rank
from tsn.train.ranks.devices import count_gpus
from tsn.train.ranks.group import joined
from tsn.train.ranks.processes import run_processes
from tsn.tsn_shared import environment
from tsn.tsn_shared.console import printable, say
from tsn.tsn_shared.errors import NotFiniteError, SettingsError, StoppedError
from tsn.tsn_shared.fields import flag_of, from_plain
from tsn.tsn_shared.files import writing
from tsn.tsn_shared.settings import TrainSettings
from tsn.tsn_shared.splits import open_split


def train(settings: TrainSettings, given: frozenset[str]) -> None:
    """Train on the devices that the settings ask for; `given` are the settings that the user stated.

    Raises SettingsError for a run folder that holds another run, StoppedError after a signal, TsnError with the first
    failing rank's story.
    """
    if settings.nnodes == 1:
        environment.adopt_slurm()
    if environment.launched() is not None:
        with joined(on_gpu=count_gpus(settings.gpus) > 0) as ranks:
            try:
                run_rank(*ranks.agree(lambda: place_run(settings, given)), ranks)
            except (StoppedError, NotFiniteError) as error:  # all raise it, one tells it
                raise error if ranks.is_first else SystemExit(error.exit_code) from None
        return
    settings, resume = place_run(settings, given)  # first: a run that goes on does so on as many devices
    try:
        _start(settings, resume)
    except KeyboardInterrupt:
        if settings.run is not None and (settings.run / "checkpoints" / LAST).exists():
            say(f"the last checkpoint is kept: go on from it with --resume {settings.run}")
        raise
    finally:
        if settings.run is not None:
            with suppress(OSError):
                settings.run.rmdir()  # it is empty where nothing began


def _start(settings: TrainSettings, resume: bool) -> None:
    gpus = count_gpus(settings.gpus)
    processes = gpus or settings.num_processes
    if processes == 1 and settings.nnodes == 1:
        with joined(on_gpu=gpus > 0) as ranks:
            run_rank(settings, resume, ranks)
    else:
        split = open_split(settings)  # what a user may mend is told before any rank starts
        data.check_classes(split, settings)
        check_batch(
            num_clips=len(split.train),
            clips_per_step=settings.batch_size * processes * settings.nnodes * settings.accumulate,
            split=str(split.path),
        )
        check_shards(split, settings.frames)
        run_processes(
            run_started_rank,
            *(settings, resume, gpus > 0),
            processes=processes,
            nnodes=settings.nnodes,
            rdzv_endpoint=settings.rdzv_endpoint,
            max_restarts=settings.max_restarts,
        )


def place_run(settings: TrainSettings, given: frozenset[str]) -> tuple[TrainSettings, bool]:
    """Return the settings with their run folder, and whether it holds a run to go on with.

    A run that goes on keeps its own settings; one that the user states otherwise is refused with the difference.
    """
    folder = settings.run
    if settings.resume not in (None, "auto"):
        folder = Path(str(settings.resume))
        if settings.run not in (None, folder):
            raise SettingsError(f"--resume {folder}: a run goes on in its own folder: leave out --run {settings.run}")

        read_config(folder)
    if folder is None:
        folder = _new_folder(settings)
    settings = replace(settings, run=folder)
    if not _holds_a_run(folder):
        return settings, False
    restarted = environment.restarts() > 0
    if settings.resume is None and not restarted:
        raise SettingsError(f"{folder} holds a run: go on with --resume {folder}, or set another --run")
    return _resumed(settings, folder, given), True


def _holds_a_run(folder: Path) -> bool:
    """Whether a run has begun in a folder; SettingsError where none could."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise SettingsError(f"--run {printable(str(folder))}: the name must be text in UTF-8: set another") from None
    with writing(folder, "set another --run"):
        return (folder / "config.json").exists()


def _new_folder(settings: TrainSettings) -> Path:
    """Make runs/<time> and return it, where nothing needs to find the run again by its name."""
    if settings.resume == "auto":
        raise SettingsError("--resume auto: name the run with --run DIR")
    if settings.nnodes > 1:
        raise SettingsError(f"--nnodes {settings.nnodes} needs --run DIR, a folder that all machines share")
    if environment.may_restart():
        raise SettingsError("torchrun --max-restarts needs --run DIR, so that a restart finds its checkpoints")
    name = time.strftime("%Y%m%d-%H%M%S")
    for number in count(1):
        folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
        with writing(folder, "set --run"), suppress(FileExistsError):  # of a training that began in the same second
            folder.mkdir(parents=True)
            break
    return folder


def _resumed(settings: TrainSettings, folder: Path, given: frozenset[str]) -> TrainSettings:
    """Return the settings of the run in a folder, with those that the user states and that may change."""
    config = read_config(folder)
    stored = config["settings"]
    changed = {
        name: (stored.get(name), value)
        for name, value in settings.plain().items()
        if name in given and name not in FREE_ON_RESUME and stored.get(name) != value
    }
    if changed:
        words = ", ".join(f"{flag_of(name)} was {was}, is {now}" for name, (was, now) in sorted(changed.items()))
        raise SettingsError(f"{folder} was made with other settings: {words}; leave them out, or set another --run")
    kept = stored | {name: value for name, value in settings.plain().items() if name in given} | {"run": str(folder)}
    resumed: TrainSettings = from_plain(TrainSettings, kept)
    was, now = config["split"], data.split_facts(open_split(resumed))
    if was.get("sha256") != now["sha256"]:
        words = ", ".join(f"{name} was {was.get(name)}, is {now[name]}" for name in now if was.get(name) != now[name])
        raise SettingsError(f"{folder} was trained on another split: {words}; name its own, or set another --run")
    return resumed


def run_started_rank(settings: TrainSettings, resume: bool, on_gpu: bool) -> None:
    """Train as a rank that `run_processes` has started, or started again."""
    restarts = environment.restarts()
    with joined(on_gpu=on_gpu) as ranks:
        if restarts and ranks.is_first:
            say(f"a rank died: restart {restarts} of {settings.max_restarts}, from the last checkpoint")
        run_rank(settings, resume or restarts > 0, ranks)
