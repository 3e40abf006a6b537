"""A training from the command to the last epoch: where it runs, which devices, how many ranks; and a rank's whole run.

This module loads no torch until settings and data are known to be in order.
"""

from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tsn.pipeline.loading.schedule import check_batch
from tsn.train.data import check_data
from tsn.train.fit.folder import LAST
from tsn.train.fit.place import RunPlace, completed_place, place_run
from tsn.train.fit.trackers import check_tracker
from tsn.train.history import best_row
from tsn.train.ranks.stop import stop_requests
from tsn.tsn_shared import environment
from tsn.tsn_shared.console import say
from tsn.tsn_shared.errors import NotFiniteError, StoppedError
from tsn.tsn_shared.settings import TrainSettings
from tsn.tsn_shared.splits import Split

if TYPE_CHECKING:
    from tsn.train.ranks.group import Ranks


def train(settings: TrainSettings, given: frozenset[str] = frozenset(), *, dry_run: bool = False) -> None:
    """Train on the devices that the settings ask for; `given` are the settings that the user stated.

    A dry run ends after a step and leaves nothing behind.

    Raises SettingsError for a run folder that holds another run, DataError for data that are not there, StoppedError
    after a signal, and a failing rank's own error.
    """
    if settings.nnodes == 1:
        environment.adopt_slurm()
    if environment.launched() is not None:
        from tsn.train.ranks.group import joined

        with joined(on_gpu=_gpus(settings) > 0) as ranks:
            try:
                run_rank(ranks.agree(partial(_placed, settings, given, ranks.world_size, dry=dry_run)), ranks)
            except (StoppedError, NotFiniteError) as error:  # all ranks raise it, the first reports it
                raise error if ranks.is_first else SystemExit(error.exit_code) from None
        return
    place = place_run(settings, given, dry=dry_run)  # first: a run that goes on does so on as many devices as before
    settings = place.settings
    try:
        check_tracker(settings)
        split, gpus = check_data(settings), _gpus(settings)
        processes = gpus or settings.num_processes
        _check_step(split, settings, world_size=processes * settings.nnodes)
        place = completed_place(place)
        from tsn.train.ranks.group import joined

        if processes == 1 and settings.nnodes == 1:
            with joined(on_gpu=gpus > 0) as ranks:
                run_rank(place, ranks)
        else:
            from tsn.train.ranks.processes import run_processes

            run_processes(
                run_started_rank,
                *(place, gpus > 0),
                processes=processes,
                nnodes=settings.nnodes,
                rdzv_endpoint=settings.rdzv_endpoint,
                max_restarts=0 if dry_run else settings.max_restarts,
            )
    except KeyboardInterrupt:
        if (place.folder / "checkpoints" / LAST).exists():
            say(f"the last checkpoint is kept: go on from it with --resume {place.folder}")
        raise
    finally:
        _leave(place)


def run_rank(place: RunPlace, ranks: "Ranks") -> None:
    """Train as this rank, from where the run stands to its end; StoppedError, all saved, after a signal."""
    if place.dry:
        from tsn.train.fit.dry_run import try_out

        try_out(place, ranks)
        return
    from tsn.train.fit.checkpoint_writer import CheckpointWriter
    from tsn.train.fit.closing import close, close_again
    from tsn.train.fit.reporters import open_reporters
    from tsn.train.fit.run import open_folder, open_loaders, open_run

    with ExitStack() as held:
        stop = held.enter_context(stop_requests())
        folder = held.enter_context(open_folder(place.folder, writes=ranks.is_first))
        run = open_run(place, folder, ranks, stop)
        if run.trainer.finished:
            close_again(run)
            return
        try:
            with ExitStack() as opened:
                loaders = open_loaders(run, opened)
                run.announce()
                saver = opened.enter_context(CheckpointWriter(folder.checkpoints))
                reporters = open_reporters(folder, run.settings, run.history, opened)
                while not run.trainer.finished:
                    row = run.trainer.train_epoch(loaders.train, lambda: run.save(saver, best=False))
                    row = run.validated(row, loaders)
                    run.history.append(row)
                    run.save(saver, best=row is best_row(run.history))
                    for reporter in reporters:
                        reporter.epoch(row)
        except StoppedError as error:
            words = f"{error}: go on with --resume {folder.path}"
            folder.log(words)
            raise StoppedError(words) from None
        close(run)


def run_started_rank(place: RunPlace, on_gpu: bool) -> None:
    """Train as a rank that `run_processes` has started, or started again."""
    from tsn.train.ranks.group import joined

    restarts = environment.restarts()
    with joined(on_gpu=on_gpu) as ranks:
        if restarts and ranks.is_first:
            say(f"a rank died: restart {restarts} of {place.settings.max_restarts}, from the last checkpoint")
        run_rank(replace(place, resume=place.resume or restarts > 0), ranks)


def _gpus(settings: TrainSettings) -> int:
    """Return how many GPUs to train on; torch, which counts them, is loaded where there may be any."""
    if settings.gpus == "0":
        return 0
    from tsn.train.ranks.devices import count_gpus

    return count_gpus(settings.gpus)


def _placed(settings: TrainSettings, given: frozenset[str], world_size: int, *, dry: bool) -> RunPlace:
    """Return the place of a run whose data are there; one that was made for it goes where they are not."""
    place = place_run(settings, given, dry=dry)
    try:
        check_tracker(place.settings)
        _check_step(check_data(place.settings), place.settings, world_size=world_size)
        return completed_place(place)
    except BaseException:
        _leave(place)
        raise


def _leave(place: RunPlace) -> None:
    """Remove the folder that was made for a run, and runs/ with it, if nothing began in it: it is empty then."""
    if not place.dry:
        for folder in (place.folder, place.folder.parent) if place.first else (place.folder,):
            with suppress(OSError):
                folder.rmdir()


def _check_step(split: Split, settings: TrainSettings, *, world_size: int) -> None:
    check_batch(
        num_clips=len(split.train),
        clips_per_step=settings.batch_size * world_size * settings.accumulate,
        split=str(split.path),
    )
