"""Work done by many processes, a rank each, under torch elastic: start, restart, stop, and what a failure says."""

import logging
import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Callable
from contextlib import nullcontext
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous.api import RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tsn.train.ranks.group import LostRankError
from tsn.train.ranks.stop import signal_children, stop_requests
from tsn.tsn_shared.console import is_speaking, say, speaking
from tsn.tsn_shared.errors import SettingsError, StoppedError, TsnError, brief
from tsn.tsn_shared.files import replacing

SHUTDOWN_SECONDS = 20
"""How long the other ranks have to end after one has died, before they are killed."""


def run_processes(
    work: Callable[..., Any],
    *args: Any,
    processes: int,
    nnodes: int = 1,
    rdzv_endpoint: str | None = None,
    max_restarts: int = 0,
) -> Any:
    """Run `work(*args)` as each of `processes` ranks on this machine, one of `nnodes`; return what the first returned.

    When a rank dies all are started again, `max_restarts` times. A rank's TsnError is raised here as it was, without a
    restart; so is its StoppedError, after SIGTERM or SIGUSR1, which are passed on to the ranks.
    """
    launch = _launch_config(processes, nnodes, rdzv_endpoint, max_restarts)
    for name in ("torch.distributed.elastic", "torch.multiprocessing.spawn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a failure is reported once, by us
    with tempfile.TemporaryDirectory(prefix="tsn-") as folder:
        left = Path(folder) / "failure"

        def stop(number: int) -> None:
            _leave(left, StoppedError("stopped by a signal before the first step"))  # for ranks that it kills
            signal_children(number)
            if nnodes > 1 and not multiprocessing.active_children():
                raise StoppedError("stopped by a signal while waiting for the other machines")

        if nnodes > 1:
            say(f"meeting {nnodes - 1} more of {nnodes} machines at {rdzv_endpoint}")
        try:
            with stop_requests(then=stop):
                ends = elastic_launch(launch, _as_rank)(work, args, left, is_speaking())
        except SignalException as signalled:
            if signalled.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            raise SystemExit(128 + signalled.sigval) from None
        except ChildFailedError as error:
            raise _failure(error, left) from None
        except RendezvousError as error:
            raise TsnError(
                f"--rdzv-endpoint {rdzv_endpoint}: the {nnodes} machines did not meet, or another has ended "
                f"({brief(error)}): start the same command on each, let its first machine be reached, and see what the "
                "others say"
            ) from None
    stopped = next((end for end in ends.values() if isinstance(end, StoppedError)), None)
    if stopped is not None:
        raise stopped
    return next(iter(ends.values()))


def _launch_config(processes: int, nnodes: int, rdzv_endpoint: str | None, max_restarts: int) -> LaunchConfig:
    if nnodes > 1 and rdzv_endpoint is None:
        raise SettingsError(f"--nnodes {nnodes} needs --rdzv-endpoint HOST:PORT, the same on every machine")
    endpoint = rdzv_endpoint or "localhost:0"
    loopback = endpoint.rpartition(":")[0] in ("localhost", "127.0.0.1")
    config = LaunchConfig(
        min_nodes=nnodes,
        max_nodes=nnodes,
        nproc_per_node=processes,
        run_id=f"tsn-{os.getpid()}" if nnodes == 1 else "tsn",
        rdzv_backend="c10d",
        rdzv_endpoint=endpoint,
        max_restarts=max_restarts,
        monitor_interval=0.2,
        start_method="spawn",
        local_addr="localhost" if loopback else None,
        signals_to_handle="SIGINT,SIGHUP,SIGQUIT",  # SIGTERM is ours: the ranks save and end by themselves
    )
    if hasattr(config, "shutdown_timeout"):  # of torch before 2.12, as on some machines, it is 30 s
        config.shutdown_timeout = SHUTDOWN_SECONDS
    return config


def _as_rank(work: Callable[..., Any], args: tuple[Any, ...], left: Path, speaks: bool) -> Any:
    """Do the work of a rank, with words where the parent `speaks`.

    A failure that the user can act on is left in the file `left` for the parent.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if left.exists():
        raise SystemExit(1)  # a restart cannot help, the user can
    try:
        with speaking() if speaks else nullcontext():
            return work(*args)
    except LostRankError:
        raise  # a restart can help
    except StoppedError as stopped:
        return stopped  # not a failure: nothing is to be restarted
    except TsnError as error:
        _leave(left, error)
        raise SystemExit(1) from None


def _end_with_parent() -> None:
    """End this rank when the process that started it is gone: a killed training leaves nobody behind."""
    parent: Any = parent_process()
    parent.join()
    os._exit(1)


def _leave(failure: Path, error: TsnError) -> None:
    with replacing(failure) as temporary:
        temporary.write_bytes(pickle.dumps(error))


def _failure(error: ChildFailedError, left: Path) -> TsnError:
    """Return the first failure as the user's error: its own words, or the rank's traceback."""
    failures = sorted(error.failures.items(), key=lambda failure: failure[1].timestamp)
    others = [(rank, failure) for rank, failure in failures if _lost_words(_crash(failure)) is None]
    rank, first = (others or failures)[0]  # a rank that lost another one does not know why
    crash = _crash(first)
    if left.exists():
        cause: TsnError = pickle.loads(left.read_bytes())  # noqa: S301 (a rank of ours wrote it, into our own folder)
        if not (crash and isinstance(cause, StoppedError)):  # asked to stop, it crashed instead: the crash is reported
            return cause
    if lost := _lost_words(crash):
        return LostRankError(lost)
    if crash:
        failed = TsnError(f"rank {rank} failed:")
        failed.add_note(crash)  # the message is one line
        return failed
    return TsnError(
        f"rank {rank} died ({first.signal_name()}, exit code {first.exitcode}): run it again, a training with --resume"
    )


def _crash(failure: ProcessFailure) -> str | None:
    """Return the traceback of a rank that ended by an exception."""
    message = failure.message
    return message["extraInfo"]["py_callstack"].rstrip() if isinstance(message, dict) else None


def _lost_words(crash: str | None) -> str | None:
    """Return what a rank says that ended since another one was lost; None where it ended otherwise."""
    kind, _, words = (crash or "").rpartition("\n")[2].partition(": ")
    return words if kind.rpartition(".")[2] == LostRankError.__name__ else None
