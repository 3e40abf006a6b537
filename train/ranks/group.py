"""One process among those that train together: its rank, its device, and what it says to the others."""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from tsn.tsn_shared import environment
from tsn.tsn_shared.errors import SettingsError, TsnError, brief
from tsn.tsn_shared.schema import shown

T = TypeVar("T")

COLLECTIVE_TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others before it gives up."""

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_SLURM = (
    *("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_JOB_ID"),
    *("SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE"),
)


class LostRankError(TsnError):
    """Another rank never came, has died or hangs: nothing that the user could mend in this one."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """One process: `rank` of `world_size`, `local_world_size` of them on this machine; and its device.

    `grouped` ranks speak through a process group: all that a launcher started, be it one alone.
    """

    rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    grouped: bool = False
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this rank writes files and speaks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the element-wise sum over all ranks."""
        if self.grouped:
            dist.all_reduce(values)
        return values

    def max(self, values: Tensor) -> Tensor:
        """Return the element-wise maximum over all ranks."""
        if self.grouped:
            dist.all_reduce(values, dist.ReduceOp.MAX)
        return values

    def gather(self, values: Tensor) -> Tensor:
        """Return the ranks' tensors, all of one shape, one after the other along the first axis."""
        if not self.grouped:
            return values
        parts = [torch.empty_like(values) for _ in range(self.world_size)]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    def gather_words(self, words: str) -> list[str]:
        """Return what each rank says, in their order."""
        if not self.grouped:
            return [words]
        said = [""] * self.world_size
        dist.all_gather_object(said, words)
        return said

    def broadcast(self, values: Tensor) -> None:
        """Overwrite the tensor with the first rank's."""
        if self.grouped:
            dist.broadcast(values, src=0)

    def agree(self, decide: Callable[[], T]) -> T:
        """Return what the first rank decides, on every rank; its error ends them all, and it alone tells it."""
        if not self.grouped:
            return decide()
        answer: list[T | TsnError | None] = [None]
        if self.is_first:
            try:
                answer[0] = decide()
            except TsnError as error:
                answer[0] = error
        dist.broadcast_object_list(answer, src=0)
        if isinstance(answer[0], TsnError):
            raise answer[0] if self.is_first else SystemExit(answer[0].exit_code)
        return answer[0]  # type: ignore[return-value]


def environment_ranks() -> dict[str, int] | None:
    """Return what torchrun says of this process, None without it; a partial or impossible environment is an error."""
    there = [name for name in _TORCHRUN if name in os.environ]
    if not there:
        return None
    if len(there) < len(_TORCHRUN):
        missing = ", ".join(sorted(set(_TORCHRUN) - set(there)))
        raise SettingsError(
            f"{', '.join(there)} set in the environment, but not {missing}: use torchrun, or unset them"
        )
    environment.whole("MASTER_PORT", 0, low=1, high=65_535)
    if not os.environ["MASTER_ADDR"].strip():
        raise SettingsError("MASTER_ADDR is empty in the environment: it must be the first rank's machine")
    world_size = environment.whole("WORLD_SIZE", 1, low=1)
    local_world_size = environment.whole("LOCAL_WORLD_SIZE", 1, low=1, high=world_size)
    return {
        "rank": environment.whole("RANK", 0, high=world_size - 1),
        "world_size": world_size,
        "local_rank": environment.whole("LOCAL_RANK", 0, high=local_world_size - 1),
        "local_world_size": local_world_size,
    }


def adopt_slurm() -> None:
    """Under `srun` with several tasks, a rank each, say in torchrun's variables what Slurm says in its own.

    The first task's machine is where they meet, at a port drawn from the job's number; MASTER_ADDR and MASTER_PORT go
    before. A Slurm allocation without srun, or a step of one task, is no group of ranks and changes nothing.
    """
    if environment.whole("SLURM_STEP_NUM_TASKS", 1) < 2 or {"RANK", "WORLD_SIZE"} & set(os.environ):
        return
    missing = [name for name in _SLURM if name not in os.environ]
    if missing:
        raise SettingsError(f"SLURM_STEP_NUM_TASKS is set in the environment, but not {', '.join(missing)}: use srun")
    port = 12_000 + environment.whole("SLURM_JOB_ID", 0, high=2**62) % 20_000
    os.environ.update(
        RANK=os.environ["SLURM_PROCID"],
        WORLD_SIZE=os.environ["SLURM_STEP_NUM_TASKS"],
        LOCAL_RANK=os.environ["SLURM_LOCALID"],
        LOCAL_WORLD_SIZE=str(_tasks(os.environ["SLURM_STEP_TASKS_PER_NODE"], environment.whole("SLURM_NODEID", 0))),
        MASTER_ADDR=os.environ.get("MASTER_ADDR", first_host(os.environ["SLURM_STEP_NODELIST"])),
        MASTER_PORT=os.environ.get("MASTER_PORT", str(port)),
    )


def first_host(nodes: str) -> str:
    """Return the first machine of a Slurm list: gpu003 of "gpu[003-006,010],login1"."""
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", nodes)
    if match is None:
        raise SettingsError(f"SLURM_STEP_NODELIST is {shown(nodes)} in the environment: no machine in it")
    return "".join(part or "" for part in match.groups())


def _tasks(per_node: str, node: int) -> int:
    """Return the tasks on a machine, given Slurm's list of them: "2(x3),1" is 2, 2, 2, 1."""
    left = node
    for part in per_node.split(","):
        match = re.fullmatch(r"(\d{1,6})(?:\(x(\d{1,6})\))?", part)
        if match is None:
            break
        left -= int(match[2] or 1)
        if left < 0:
            return int(match[1])
    raise SettingsError(
        f"SLURM_STEP_TASKS_PER_NODE is {shown(per_node)} in the environment: it says no number of tasks for the "
        f"machine of SLURM_NODEID {node}"
    )


def on_one_gpu() -> bool:
    """Return whether all ranks share the first GPU and speak through gloo, since NCCL takes no two on one.

    A switch for tests of many ranks where there is one GPU.
    """
    return os.environ.get("TSN_TEST_ONE_GPU") == "1"


@contextmanager
def joined(*, on_gpu: bool) -> Iterator[Ranks]:
    """Join the process group that the environment describes, if any, and leave it at the end.

    LostRankError where the others do not come within COLLECTIVE_TIMEOUT, or one is lost later on.
    """
    launched = environment_ranks()
    found = launched or {"rank": 0, "world_size": 1, "local_rank": 0, "local_world_size": 1}
    if on_gpu:  # a scheduler may let each rank see its own GPU alone, as number 0
        device = torch.device("cuda", found["local_rank"] % torch.cuda.device_count())
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // found["local_world_size"]))
    ranks = Ranks(
        rank=found["rank"],
        world_size=found["world_size"],
        local_world_size=found["local_world_size"],
        grouped=launched is not None,
        device=device,
    )
    if not ranks.grouped:
        yield ranks
        return
    where, seconds = f"rank {ranks.rank} of {ranks.world_size}", COLLECTIVE_TIMEOUT.total_seconds()
    try:
        with _quiet_if_it_fails():
            _meet("nccl" if on_gpu and not on_one_gpu() else "gloo")
    except (dist.DistError, RuntimeError, ValueError) as error:
        at = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise LostRankError(
            f"{where}: the others did not come to {at} within {seconds:.0f} s ({brief(error).rstrip('.')}): "
            "start every rank, each with its own RANK, and let the first one's machine be reached"
        ) from None
    try:
        yield ranks
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "/gloo/" not in str(error):
            raise
        how = f"hangs, for {seconds:.0f} s" if "timed out" in str(error).lower() else "has gone"
        reason = re.sub(r"^\[\S*\] ", "", brief(error))  # without the line of torch's source
        raise LostRankError(
            f"{where}: another rank {how} ({reason}): see what it says; a training goes on from its last checkpoint "
            "with --resume"
        ) from None
    finally:
        dist.destroy_process_group()


@contextmanager
def _quiet_if_it_fails() -> Iterator[None]:
    """Drop what was said to standard error before a failure that is told: torch's C++ says a page of addresses."""
    sys.stderr.flush()
    before = os.dup(2)
    try:
        with tempfile.TemporaryFile() as said:
            os.dup2(said.fileno(), 2)
            try:
                yield
                sys.stderr.flush()
            finally:
                os.dup2(before, 2)
            said.seek(0)
            with suppress(OSError):  # nobody reads it
                os.write(2, said.read())
    finally:
        os.close(before)


def _meet(backend: str) -> None:
    """Wait for all ranks, and make them a process group."""
    store, rank, world_size = next(rendezvous("env://", timeout=COLLECTIVE_TIMEOUT))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    # the store outlives a restart, and in it the addresses of the ranks before: who read those would wait for the dead
    store = PrefixStore(f"attempt {attempt}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=COLLECTIVE_TIMEOUT)
