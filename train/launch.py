"""From the command to the ranks: which devices, which run folder, how many processes, and what a failure says."""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous.api import RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

import train.data as data
from train.ranks import adopt_slurm, environment_ranks, joined
from train.run import check_classes, run_rank
from train.run_folder import read_config
from train.stop import signal_children, stop_requests
from tsn_shared.console import say
from tsn_shared.errors import SettingsError, StoppedError, TsnError
from tsn_shared.settings import TrainSettings, flag_of, from_plain

SHUTDOWN_SECONDS = 20
"""How long the other ranks have to end after one has died, before they are killed."""

FREE_ON_RESUME = frozenset(
    {"gpus", "num_processes", "nnodes", "rdzv_endpoint", "max_restarts", "compile", "batch_size", "accumulate"}
    | {"run", "resume", "frames", "splits", "save_every", "num_epochs", "weights"}
)
"""Settings that may change when a run goes on: they do not change what is learned from which clips."""


def train(settings: TrainSettings, given: frozenset[str]) -> None:
    """Train on the devices that the settings ask for; `given` are the settings that the user stated.

    Raises SettingsError for a run folder that holds another run, StoppedError after a signal, TsnError with the first
    failing rank's story.
    """
    if settings.nnodes == 1:
        adopt_slurm()
    gpus = count_gpus(settings.gpus)
    processes = gpus or settings.num_processes
    if environment_ranks() is not None or (processes == 1 and settings.nnodes == 1):
        with joined(on_gpu=gpus > 0) as ranks:
            settings, resume = ranks.agree(lambda: place_run(settings, given))
            run_rank(settings, ranks, resume=resume)
        return
    settings, resume = place_run(settings, given)
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
        folder = _new_folder(settings)
    settings = replace(settings, run=folder)
    if not (folder / "config.json").exists():
        check_classes(data.open_split(settings), settings)  # before any rank starts
        return settings, False
    restarted = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    if settings.resume is None and not restarted:
        raise SettingsError(f"{folder} holds a run: go on with --resume {folder}, or set another --run")
    return _resumed(settings, folder, given), True


def _new_folder(settings: TrainSettings) -> Path:
    """Return runs/<time>, where nothing needs to find the run again by its name."""
    if settings.resume == "auto":
        raise SettingsError("--resume auto: name the run with --run DIR")
    if settings.nnodes > 1:
        raise SettingsError(f"--nnodes {settings.nnodes} needs --run DIR, a folder that all machines share")
    if os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0":
        raise SettingsError("torchrun --max-restarts needs --run DIR, so that a restart finds its checkpoints")
    return Path("runs") / time.strftime("%Y%m%d-%H%M%S")


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
    was, now = config["split"], data.split_facts(data.open_split(resumed))
    if was["sha256"] != now["sha256"]:
        words = ", ".join(f"{name} was {was[name]}, is {now[name]}" for name in now if was[name] != now[name])
        raise SettingsError(f"{folder} was trained on another split: {words}; name its own, or set another --run")
    return resumed


def launch_ranks(settings: TrainSettings, *, processes: int, on_gpu: bool, resume: bool) -> None:
    """Run a process a rank under torch elastic, which restarts them all from the last checkpoint when one dies."""
    _silence()
    story = Path(str(settings.run)) / ".failure"
    story.unlink(missing_ok=True)
    try:
        with stop_requests(then=signal_children):
            ends = elastic_launch(_launch_config(settings, processes), _rank_process)(settings, on_gpu, resume, story)
    except ChildFailedError as error:
        raise _failure(error, story) from None
    except RendezvousError as error:
        raise TsnError(
            f"--rdzv-endpoint {settings.rdzv_endpoint}: the {settings.nnodes} machines did not meet "
            f"({str(error).splitlines()[0]}): start the same command on each, and let its first machine be reached"
        ) from None
    finally:
        story.unlink(missing_ok=True)
    stopped = next((end for end in ends.values() if end is not None), None)
    if stopped is not None:
        raise StoppedError(stopped)


def _launch_config(settings: TrainSettings, processes: int) -> LaunchConfig:
    local = settings.nnodes == 1
    if not local and settings.rdzv_endpoint is None:
        raise SettingsError(f"--nnodes {settings.nnodes} needs --rdzv-endpoint HOST:PORT, the same on every machine")
    endpoint = settings.rdzv_endpoint or "localhost:0"
    loopback = endpoint.rpartition(":")[0] in ("localhost", "127.0.0.1")
    return LaunchConfig(
        min_nodes=settings.nnodes,
        max_nodes=settings.nnodes,
        nproc_per_node=processes,
        run_id=f"tsn-{os.getpid()}" if local else "tsn",
        rdzv_backend="c10d",
        rdzv_endpoint=endpoint,
        max_restarts=settings.max_restarts,
        monitor_interval=0.2,
        start_method="spawn",
        local_addr="localhost" if loopback else None,
        signals_to_handle="SIGINT,SIGHUP,SIGQUIT",  # SIGTERM is ours: the ranks save and end by themselves
        shutdown_timeout=SHUTDOWN_SECONDS,
    )


def run_processes(work: Callable[..., Any], *args: Any, processes: int) -> Any:
    """Run `work(*args)` once as each of `processes` ranks on this machine; return what the first of them returned."""
    _silence()
    with tempfile.TemporaryDirectory(prefix="tsn-") as folder:
        story = Path(folder) / "failure"
        try:
            return elastic_launch(_launch_config(TrainSettings(max_restarts=0), processes), _work_process)(
                work, args, story
            )[0]
        except ChildFailedError as error:
            raise _failure(error, story) from None


def _work_process(work: Callable[..., Any], args: tuple[Any, ...], story: Path) -> Any:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        return work(*args)
    except TsnError as error:
        story.write_text(f"{error.exit_code} {error}", encoding="utf-8")
        raise SystemExit(1) from None


def _silence() -> None:
    for name in ("torch.distributed.elastic", "torch.multiprocessing.spawn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a failure is told once, by us


def _rank_process(settings: TrainSettings, on_gpu: bool, resume: bool, story: Path) -> str | None:
    """Run a rank; return what it says if it was stopped. A failure that the user can act on is left in `story`."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if story.exists():
        raise SystemExit(1)  # a restart cannot mend what the user must
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    if restarts and os.environ["RANK"] == "0":
        say(f"a rank died: restart {restarts} of {settings.max_restarts}, from the last checkpoint")
    try:
        with joined(on_gpu=on_gpu) as ranks:
            run_rank(settings, ranks, resume=resume or restarts > 0)
    except StoppedError as stopped:
        return str(stopped)
    except TsnError as error:
        story.write_text(f"{error.exit_code} {error}", encoding="utf-8")
        raise SystemExit(1) from None
    return None


def _end_with_parent() -> None:
    """End this rank when the process that started it is gone: a killed training leaves nobody behind."""
    parent: Any = parent_process()
    parent.join()
    os._exit(1)


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
