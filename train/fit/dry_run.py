"""A dry run: all that a training does up to its first step, and that step; of a run, nothing is written."""

import time
from contextlib import ExitStack
from pathlib import Path

import torch

from tsn.train.fit.folder import RunFolder
from tsn.train.fit.place import RunPlace
from tsn.train.fit.run import open_loaders, open_run
from tsn.train.network.memory import GIB, peak
from tsn.train.ranks.group import Ranks
from tsn.train.ranks.stop import stop_requests
from tsn.tsn_shared.console import say


class Unwritten(RunFolder):
    """A run's folder in which nothing is written; what a run says is said."""

    def __init__(self, path: Path, *, speaks: bool) -> None:
        super().__init__(path, writes=False)
        self._speaks = speaks

    def say(self, text: str) -> None:
        """Say a line, and log none."""
        if self._speaks:
            say(text)


def try_out(place: RunPlace, ranks: Ranks) -> None:
    """Open data and network as this rank of a training, take one step, and say how it went.

    Errors are those of a training: SettingsError where the memory is too small, DataError for what is lost or damaged,
    NotFiniteError for a loss that is none.
    """
    with ExitStack() as opened:
        stop = opened.enter_context(stop_requests())
        folder = Unwritten(place.folder, speaks=ranks.is_first)
        run = open_run(place, folder, ranks, stop)
        if run.trainer.finished:
            folder.say(f"dry run: {place.folder} is finished, a larger --num-epochs would go on")
            return
        loaders = open_loaders(run, opened)
        run.announce()
        start = time.monotonic()
        words = run.trainer.try_step(loaders.train)
        seconds = time.monotonic() - start
        most = ranks.max(torch.tensor([peak(ranks.device)], dtype=torch.float64, device=ranks.device)).item()
    folder.say(
        f"dry run: a step of {run.trainer.clips_per_step} clips took {seconds:.1f} s with the wait for its clips "
        f"({words}), {most / GIB:.1f} GiB a process at most; data, memory and network are in order, no run was written"
    )
