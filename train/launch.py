"""From the command to the ranks: which devices, which run folder, how many processes, and what a failure says."""

import logging
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from train.ranks import environment_ranks
from train.run import run_rank
from train.run_folder import read_config
from tsn_shared.console import say
from tsn_shared.errors import SettingsError, TsnError
from tsn_shared.settings import TrainSettings, flag_of, from_plain

FREE_ON_RESUME = frozenset(
    {"gpus", "num_processes", "nnodes", "rdzv_endpoint", "max_restarts", "compile", "batch_size", "accumulate"}
    | {"run", "resume", "frames", "splits", "save_every", "num_epochs", "weights"}
)
"""Settings that may change when a run goes on: they do not change what is learned from which clips."""


def train(settings: TrainSettings, given: frozenset[str]) -> None:
    """Train on the devices that the settings ask for; `given` are the settings that the user stated.

    Raises SettingsError for a run folder that holds another run, TsnError with the first failing rank's story.
    """
    gpus = count_gpus(settings.gpus)
    settings, resume = place_run(settings, given)
    processes = gpus or settings.num_processes
    if environment_ranks() is not None or (processes == 1 and settings.nnodes == 1):
        run_rank(settings, on_gpu=gpus > 0, resume=resume)
        return
    launch_ranks(settings, processes=processes, on_gpu=gpus > 0, resume=resume)


def count_gpus(asked: str) -> int:
    """Return on how many GPUs to run, 0 for the CPU."""
    visible = torch.cuda.device_count()
    if asked == "auto":
        if visible == 0:
            say("0 GPUs are visible: running on the CPU")
        return visible
    if not asked.isdecimal():
        raise SettingsError(f"--gpus {asked}: it takes a number of GPUs, or auto")
    if int(asked) > visible:
        raise SettingsError(
            f"--gpus {asked}: {visible} GPUs are visible to torch: use --gpus {visible}"
            f"{' (the CPU)' if visible == 0 else ''}, or look at nvidia-smi and CUDA_VISIBLE_DEVICES"
        )
    return int(asked)


def place_run(settings: TrainSettings, given: frozenset[str]) -> tuple[TrainSettings, bool]:
    """Return the settings with their run folder, and whether it holds a run to go on with.

    A run that goes on keeps its own settings; one that the user states otherwise is refused with the difference.
    """
    folder = settings.run
    if settings.resume not in (None, "auto"):
        folder = Path(str(settings.resume))
        read_config(folder)
    if folder is None:
        if settings.resume == "auto":
            raise SettingsError("--resume auto: name the run with --run DIR")
        folder = Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    settings = replace(settings, run=folder)
    if not (folder / "config.json").exists():
        return settings, False
    if settings.resume is None and environment_ranks() is None:
        raise SettingsError(f"{folder} holds a run: go on with --resume {folder}, or set another --run")
    stored = read_config(folder)["settings"]
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
    return resumed, True


def launch_ranks(settings: TrainSettings, *, processes: int, on_gpu: bool, resume: bool) -> None:
    """Run a process a rank under torch elastic, which restarts them all from the last checkpoint when one dies."""
    if settings.nnodes > 1 and settings.rdzv_endpoint is None:
        raise SettingsError(f"--nnodes {settings.nnodes} needs --rdzv-endpoint HOST:PORT, the same on every machine")
    local = settings.nnodes == 1
    launch = LaunchConfig(
        min_nodes=settings.nnodes,
        max_nodes=settings.nnodes,
        nproc_per_node=processes,
        run_id=f"tsn-{os.getpid()}" if local else "tsn",
        rdzv_backend="c10d",
        rdzv_endpoint=settings.rdzv_endpoint or "localhost:0",
        max_restarts=settings.max_restarts,
        monitor_interval=0.2,
        start_method="spawn",
        local_addr="localhost" if local else None,
    )
    for name in ("torch.distributed.elastic", "torch.multiprocessing.spawn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a failure is told once, by us
    story = Path(str(settings.run)) / ".failure"
    story.unlink(missing_ok=True)
    try:
        elastic_launch(launch, _rank_process)(settings, on_gpu, resume, story)
    except ChildFailedError as error:
        raise _failure(error, story) from None
    finally:
        story.unlink(missing_ok=True)


def run_processes(work: Callable[..., Any], *args: Any, processes: int) -> Any:
    """Run `work(*args)` once as each of `processes` ranks on this machine; return what the first of them returned."""
    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=f"tsn-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
        start_method="spawn",
        local_addr="localhost",
    )
    for name in ("torch.distributed.elastic", "torch.multiprocessing.spawn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a failure is told once, by us
    with tempfile.TemporaryDirectory(prefix="tsn-") as folder:
        story = Path(folder) / "failure"
        try:
            return elastic_launch(launch, _work_process)(work, args, story)[0]
        except ChildFailedError as error:
            raise _failure(error, story) from None


def _work_process(work: Callable[..., Any], args: tuple[Any, ...], story: Path) -> Any:
    try:
        return work(*args)
    except TsnError as error:
        story.write_text(f"{error.exit_code} {error}", encoding="utf-8")
        raise SystemExit(1) from None


def _rank_process(settings: TrainSettings, on_gpu: bool, resume: bool, story: Path) -> None:
    """Run a rank; a failure that the user can act on is left in `story` for the parent."""
    if story.exists():
        raise SystemExit(1)  # a restart cannot mend what the user must
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    if restarts and os.environ["RANK"] == "0":
        say(f"a rank died: restart {restarts} of {settings.max_restarts}, from the last checkpoint")
    try:
        run_rank(settings, on_gpu=on_gpu, resume=resume or restarts > 0)
    except TsnError as error:
        story.write_text(f"{error.exit_code} {error}", encoding="utf-8")
        raise SystemExit(1) from None


def _failure(error: ChildFailedError, story: Path) -> TsnError:
    """Return the first failure as the user's error: its own words, or the rank's traceback."""
    if story.exists():
        code, _, text = story.read_text(encoding="utf-8").partition(" ")
        told = TsnError(text)
        told.exit_code = int(code)
        return told
    rank, first = error.get_first_failure()
    if isinstance(first.message, dict):
        return TsnError(f"rank {rank} failed:\n{first.message['extraInfo']['py_callstack'].rstrip()}")
    return TsnError(f"rank {rank} died ({first.signal_name()}, exit code {first.exitcode}); go on with --resume")
